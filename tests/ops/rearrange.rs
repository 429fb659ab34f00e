//! Diagonals, rearrangements and small reductions against values worked by hand (as PyTorch gives them) and the CPU reference.

use wgrad::autograd::{gradcheck, gradgradcheck};
use wgrad::{DType, Device, Tensor};

use crate::common::*;
use crate::inputs::*;

#[track_caller]
fn report(failures: Vec<String>) {
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

fn devices() -> [&'static Device; 3] {
    [cpu(), gpu(), hardware()]
}

fn ints(t: &Tensor) -> Vec<i64> {
    values(t).into_iter().map(|v| v as i64).collect()
}

/// 0, 1, 2, … as f32.
fn count(shape: &[usize], device: &Device) -> Tensor {
    let data: Vec<f32> = (0..shape.iter().product()).map(|i| i as f32).collect();
    Tensor::from_slice(&data, shape, device)
}

#[test]
fn every_layout() {
    let mut failures = Vec::new();
    for input in INPUTS.iter().filter(|i| !i.is_large()) {
        for k in [-3, 0, 2, 90] {
            compare(&format!("diagonal {k}"), input, &|x| x.diagonal(k, 0, 1) * 2.0, 1e-6, &mut failures);
            compare(&format!("diagonal {k} of t"), input, &|x| x.diagonal(k, 1, 0), 1e-6, &mut failures);
        }
        for (k, a, b) in [(0, -2, -1), (-1, 0, 2), (2, 2, 0), (1, 1, 0)] {
            compare(&format!("diag_embed {k} {a} {b}"), input, &|x| x.diag_embed(k, a, b), 1e-6, &mut failures);
        }
        compare("repeat_interleave", input, &|x| x.repeat_interleave(3, 0) * 1.5, 1e-6, &mut failures);
        compare("tile", input, &|x| x.tile(&[2, 1, 2]), 1e-6, &mut failures);
        compare("tile of the last", input, &|x| x.tile(&[2]), 1e-6, &mut failures);
        compare("rot90", input, &|x| x.rot90(1, (0, 1)) + x.rot90(-3, (0, 1)), 1e-6, &mut failures);
        compare("movedim", input, &|x| x.unsqueeze(0).movedim(&[0, 1], &[-1, 0]), 1e-6, &mut failures);
        compare("nansum", input, &|x| x.nansum_dims(&[1], true), 1e-5, &mut failures);
        compare("kron", input, &|x| x.kron(&x.slice(0, 0..x.shape()[0].min(2))), 1e-5, &mut failures);
        compare("sum over no dims", input, &|x| x.sum_dims(&[], false), 1e-5, &mut failures);
    }
    report(failures);
}

#[test]
fn diagonals() {
    for device in devices() {
        let x = count(&[2, 3, 4], device);
        assert_eq!(ints(&x.diagonal(0, 0, 1)), [0, 16, 1, 17, 2, 18, 3, 19]);
        assert_eq!(x.diagonal(0, 0, 1).shape(), [4, 2]);
        assert_eq!(ints(&x.diagonal(1, -1, 0)), [12, 16, 20]);
        assert_eq!(x.diagonal(1, -1, 0).shape(), [3, 1]);
        assert_eq!(ints(&x.diagonal(-1, 1, 2)), [4, 9, 16, 21]);
        assert_eq!(x.diagonal(9, 1, 2).shape(), [2, 0]);
        let v = count(&[2], device) + 1.0;
        assert_eq!(ints(&v.diag(-1)), [0, 0, 0, 1, 0, 0, 0, 2, 0]);
        assert_eq!(ints(&v.diag(1).diag(1)), [1, 2]);
        let rows = count(&[2, 2], device) + 1.0;
        assert_eq!(ints(&rows.diag_embed(0, -2, -1)), [1, 0, 0, 2, 3, 0, 0, 4]);
        assert_eq!(ints(&rows.diag_embed(1, 0, 2)), [0, 1, 0, 0, 3, 0, 0, 0, 2, 0, 0, 4, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Tensor::zeros([0], device).diag(2).shape(), [2, 2]);
        assert_eq!(ints(&v.gt(1.0).diag(0)), [0, 0, 0, 1]);
    }
}

#[test]
fn rearrangements() {
    for device in devices() {
        let x = count(&[2, 3], device);
        assert_eq!(ints(&x.rot90(1, (0, 1))), [2, 5, 1, 4, 0, 3]);
        assert_eq!(ints(&x.rot90(-1, (0, 1))), [3, 0, 4, 1, 5, 2]);
        assert_eq!(ints(&x.rot90(2, (1, 0))), [5, 4, 3, 2, 1, 0]);
        assert_eq!(count(&[2, 3, 4, 5], device).movedim(&[3, 0], &[0, 2]).shape(), [5, 3, 2, 4]);
        assert_eq!(ints(&x.tile(&[2])), [0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5]);
        assert_eq!(x.tile(&[2, 1, 1]).shape(), [2, 2, 3]);
        assert_eq!(ints(&x.repeat_interleave(2, 1)), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
        assert_eq!(x.repeat_interleave(0, 0).shape(), [0, 3]);
        assert_eq!(x.unflatten(1, [3, 1]).shape(), [2, 3, 1]);
        assert_eq!(x.unflatten(0, [1, -1]).shape(), [1, 2, 3]);
        let parts = x.unbind(1);
        assert_eq!(parts.iter().map(ints).collect::<Vec<_>>(), [[0, 3], [1, 4], [2, 5]]);
        let (a, b) = (count(&[2], device), count(&[3], device) * 10.0);
        let grids = Tensor::meshgrid(&[&a, &b]);
        assert_eq!((ints(&grids[0]), ints(&grids[1])), (vec![0, 0, 0, 1, 1, 1], vec![0, 10, 20, 0, 10, 20]));
        assert_eq!(ints(&Tensor::hstack(&[&a, &b])), [0, 1, 0, 10, 20]);
        assert_eq!(Tensor::hstack(&[&x, &x]).shape(), [2, 6]);
        assert_eq!(ints(&Tensor::vstack(&[&b, &x])), [0, 10, 20, 0, 1, 2, 3, 4, 5]);
        let k = count(&[2], device).kron(&(count(&[2, 2], device) + 1.0));
        assert_eq!((k.shape(), ints(&k)), (&[2usize, 4][..], vec![0, 0, 1, 2, 0, 0, 3, 4]));
    }
}

#[test]
fn numbers_of_every_kind() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    for device in devices() {
        let x = Tensor::from_slice(&[1f32, nan, inf, -inf, 0., 5.], [2, 3], device).requires_grad();
        assert_eq!(ints(&x.is_inf()), [0, 0, 1, 1, 0, 0]);
        let y = x.nan_to_num(7.0, 8.0, -9.0);
        assert_eq!(y.to_vec::<f32>().unwrap(), [1., 7., 8., -9., 0., 5.]);
        y.sum().backward().unwrap();
        assert_eq!(x.grad().unwrap().to_vec::<f32>().unwrap(), [1., 0., 0., 0., 1., 1.]);
        assert_eq!(x.count_nonzero().item::<i32>().unwrap(), 5);
        assert_eq!(x.count_nonzero_dims(&[0], false).to_vec::<i32>().unwrap(), [2, 1, 2]);
        let some = Tensor::from_slice(&[1f32, nan, 3., nan, nan, nan], [2, 3], device);
        assert_eq!(some.nansum().item::<f32>().unwrap(), 4.0);
        assert_eq!(some.nanmean().item::<f32>().unwrap(), 2.0);
        let means = some.nanmean_dims(&[1], false).to_vec::<f32>().unwrap();
        assert!(means[0] == 2.0 && means[1].is_nan(), "{means:?}");
        let (low, high) = count(&[2, 3], device).aminmax_dim(0, true);
        assert_eq!((ints(&low), ints(&high), low.shape()), (vec![0, 1, 2], vec![3, 4, 5], &[1usize, 3][..]));
        let (low, high) = count(&[2, 3], device).aminmax();
        assert_eq!((low.item::<f32>().unwrap(), high.item::<f32>().unwrap()), (0.0, 5.0));
        let a = Tensor::from_slice(&[1f32, inf, -inf, nan, 100.], [5], device);
        let b = Tensor::from_slice(&[1.0001f32, inf, inf, nan, 101.], [5], device);
        assert_eq!(ints(&a.is_close(&b, 1e-3, 0.0, false)), [1, 1, 0, 0, 0]);
        assert_eq!(ints(&a.is_close(&b, 0.0, 1.0, true)), [1, 1, 0, 1, 1]);
        assert!(!a.allclose(&b, 1.0, 1.0).unwrap() && a.slice(0, 0..2).allclose(&b.slice(0, 0..2), 1e-3, 0.0).unwrap());
        let ends = Tensor::from_slice(&[i32::MIN, 5, 5, 16_777_216], [4], device);
        let others = Tensor::from_slice(&[i32::MAX, 5, 4, 16_777_217], [4], device);
        assert_eq!(ints(&ends.is_close(&others, 0.0, 0.5, false)), [0, 1, 0, 0]);
        assert!(a.allclose(&count(&[2, 2], device), 0.0, 0.0).is_err());
        // A scalar is a row of one; reductions over no dims are over all.
        assert_eq!(Tensor::scalar(3.0, device).argmax(0, false).item::<u32>().unwrap(), 0);
        assert_eq!(Tensor::scalar(3.0, device).argmin(-1, true).shape(), [0usize; 0]);
        assert_eq!(count(&[2, 3], device).sum_dims(&[], true).shape(), [1, 1]);
        assert_eq!(count(&[2, 3], device).max_dims(&[], false).item::<f32>().unwrap(), 5.0);
    }
}

#[test]
fn derivatives() -> wgrad::Result<()> {
    let x = floats(&Rng(8).vec(12, -2.0, 2.0), &[3, 4], cpu()).requires_grad();
    let functions: [fn(&[Tensor]) -> Tensor; 7] = [
        |x| x[0].diagonal(1, 1, 0),
        |x| x[0].diag_embed(-1, 0, 2),
        |x| x[0].select(0, 1).diag(2),
        |x| x[0].repeat_interleave(2, -1).movedim(&[0], &[1]),
        |x| x[0].nan_to_num(0.0, 1.0, -1.0).rot90(3, (0, 1)),
        |x| x[0].nanmean_dims(&[1], false),
        |x| x[0].kron(&x[0].t()),
    ];
    for f in functions {
        gradcheck(f, &[&x], 1e-6)?;
        gradgradcheck(|x| f(x).square(), &[&x], 1e-5)?;
    }
    Ok(())
}

#[test]
fn what_cannot_be_is_an_error() {
    for device in devices() {
        let x = Tensor::zeros([2, 3], device);
        for (found, text) in [
            (x.diagonal(0, 1, -1), "diagonal: dim 1 of shape [2, 3] is named twice"),
            (x.diagonal(0, 0, 2), "diagonal: dim 2 is out of range"),
            (x.diag_embed(0, 3, 0), "diag_embed: dim 3 is out of range for a result of rank 3"),
            (x.diag_embed(0, 1, -2), "diag_embed: dims 1 and 1 are not two"),
            (x.unsqueeze(0).diag(0), "diag: takes a vector or a matrix"),
            (x.select(0, 0).diag(isize::MAX), "diag_embed: "),
            (x.movedim(&[0], &[0, 1]), "movedim: 1 dims for 2 positions"),
            (x.movedim(&[0, 0], &[0, 1]), "name one dim twice"),
            (x.unflatten(1, [2, 2]), "unflatten: sizes [2, 2] do not multiply to 3 of dim 1"),
            (x.unflatten(1, [2, -1]), "unflatten: "),
            (x.rot90(1, (0, 0)), "rot90: "),
            (x.repeat_interleave(2, 2), "repeat_interleave: dim 2 is out of range"),
            (x.unbind(4).remove(0), "unbind: dim 4 is out of range"),
            (Tensor::meshgrid(&[&x]).remove(0), "meshgrid: takes vectors"),
            (x.to_dtype(DType::I32).nanmean(), "nanmean: takes floating-point elements"),
        ] {
            let error = found.check().expect_err(text).to_string();
            assert!(error.contains(text) && error.contains("rearrange.rs:"), "{error}");
        }
    }
}
