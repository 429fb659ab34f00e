//! `scatter_reduce` of every kind, by few and by many indices, single elements and whole rows, against the CPU reference.

use wgrad::ScatterReduction::{self, Amax, Amin, Mean, Prod, Sum};
use wgrad::autograd::{gradcheck, gradgradcheck};
use wgrad::{DType, Device, Tensor};

use crate::common::*;
use crate::inputs::*;

const KINDS: [ScatterReduction; 5] = [Sum, Mean, Amax, Amin, Prod];

#[test]
fn every_layout_and_kind() {
    let mut failures = Vec::new();
    for input in &INPUTS {
        for (i, kind) in KINDS.into_iter().enumerate() {
            if input.is_large() && kind == Mean {
                continue;
            }
            for include_self in [true, false] {
                let dim = (i + usize::from(include_self)) % 2;
                let reduced = |x: &Tensor| {
                    let mut shape = [x.shape()[0], x.shape()[1]];
                    // So that products of thousands stay numbers.
                    let x = if kind == Prod { x * 1e-4 + 1.0 } else { x.clone() };
                    let index = indices(x.numel(), 4, &shape, dim == 1, x.device());
                    shape[dim] = 5;
                    let base = floats(&Rng(9).vec(shape[0] * shape[1], 0.9, 1.1), &shape, x.device());
                    base.scatter_reduce(dim as isize, &index, &x, kind, include_self)
                };
                let what = format!("{kind:?} {dim}, include_self {include_self}");
                // Rounded factors add up to more than rounded terms.
                let tolerance = if kind == Prod && input.is_large() { 3e-4 } else { 1e-5 };
                compare(&what, input, &reduced, tolerance, &mut failures);
                let onto = |x: &Tensor| {
                    let size = x.shape()[dim];
                    let (count, narrow) = (if size == 0 { 0 } else { 6 }, x.shape()[1 - dim].div_ceil(2));
                    let mut shape = [narrow; 2];
                    shape[dim] = count;
                    let index = indices(count * narrow, size, &shape, false, x.device());
                    let source = floats(&Rng(10).vec(count * narrow, -2.0, 2.0), &shape, x.device());
                    (x * 2.0).scatter_reduce(dim as isize, &index, &source, kind, include_self) + 1.0
                };
                compare(&format!("{what} onto"), input, &onto, 1e-5, &mut failures);
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Rows of a table, and segments that span several chunks: one place gets most of what there is.
#[test]
fn long_segments_and_rows() {
    let mut failures = Vec::new();
    for (columns, places) in [(1, 3), (3, 40), (8, 7), (20, 500)] {
        let rows = 5000;
        let leaf: &'static [usize] = Box::leak(Box::new([rows, columns]));
        let input = Input { name: "rows", leaf, view: Tensor::clone };
        let at: Vec<i64> = (0..rows).map(|r| if r % 3 > 0 { 1 } else { (r * 7 % places) as i64 }).collect();
        for kind in [Amax, Amin, Prod, Mean] {
            for include_self in [true, false] {
                let reduced = |x: &Tensor| {
                    let index = Tensor::from_slice(&at, [rows, 1], x.device()).expand([rows, columns]);
                    let base = Tensor::full([places, columns], 0.5, x.device()).to_dtype(x.dtype());
                    let x = if kind == Prod { x * 1e-4 + 1.0 } else { x.clone() };
                    base.scatter_reduce(0, &index, &x, kind, include_self)
                };
                compare(&format!("{kind:?} {columns} {include_self}"), &input, &reduced, 1e-4, &mut failures);
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn integers_halves_and_what_is_no_number() {
    for device in [gpu(), hardware(), cpu()] {
        let index = Tensor::from_slice(&[0i64, 0, 2, 0], [4], device);
        let run =
            |x: &Tensor, source: &Tensor, kind, include_self| x.scatter_reduce(0, &index, source, kind, include_self);
        let x = Tensor::from_slice(&[3i32, 4, -5], [3], device);
        let source = Tensor::from_slice(&[7i32, -8, 9, 2], [4], device);
        let read = |y: Tensor| y.to_vec::<i32>().unwrap();
        assert_eq!(read(run(&x, &source, Sum, false)), [1, 4, 9]);
        // Rounded down: (3 + 7 - 8 + 2) / 4, (-5 + 9) / 2; (7 - 8 + 2) / 3.
        assert_eq!(read(run(&x, &source, Mean, true)), [1, 4, 2]);
        assert_eq!(read(run(&x, &(&source - 4), Mean, false)), [-4, 4, 5]);
        assert_eq!(read(run(&x, &source, Prod, true)), [-336, 4, -45]);
        assert_eq!(read(run(&x, &source, Amax, true)), [7, 4, 9]);
        assert_eq!(read(run(&x, &source, Amin, false)), [-8, 4, 9]);
        let wraps = Tensor::full_as([4], 1 << 20, DType::I32, device);
        assert_eq!(read(run(&x, &wraps, Prod, false)), [0, 4, 1 << 20]);
        let u = Tensor::from_slice(&[3_000_000_000u32, 1, 2], [3], device);
        let big = Tensor::from_slice(&[4_000_000_000u32, 3, 0, 5], [4], device);
        assert_eq!(run(&u, &big, Amax, true).to_vec::<u32>().unwrap(), [4_000_000_000, 1, 2]);
        assert_eq!(run(&u, &big, Amin, true).to_vec::<u32>().unwrap(), [3, 1, 0]);
        let f = |values: &[f32]| Tensor::from_slice(values, [values.len()], device);
        let bad = f(&[1.0, f32::NAN, f32::NEG_INFINITY, 2.0]);
        let y = values(&run(&f(&[0.0, f32::NAN, 5.0]), &bad, Amax, false));
        assert!(y[0].is_nan() && y[1].is_nan() && y[2] == f64::NEG_INFINITY, "{y:?}");
        let y = values(&run(&f(&[0.0, 1.0, 5.0]), &bad, Amin, true));
        assert!(y[0].is_nan() && y[1] == 1.0 && y[2] == f64::NEG_INFINITY, "{y:?}");
        // The sum passes the largest f16; the mean does not.
        let half = |values: &[f32]| f(values).to_dtype(DType::F16);
        let y = run(&half(&[0.0; 3]), &half(&[60_000.0, 60_000.0, 1.0, 60_000.0]), Mean, false);
        assert_eq!(y.to_dtype(DType::F32).to_vec::<f32>().unwrap(), [60_000.0, 0.0, 1.0]);
        // Ties among what counts share; what a place held does not count.
        let x = f(&[2.0, 2.0, 2.0]).requires_grad();
        let source = f(&[2.0, 2.0, 1.0, 0.0]).requires_grad();
        run(&x, &source, Amax, false).sum().backward().unwrap();
        assert_eq!(values(&x.grad().unwrap()), [0.0, 1.0, 0.0]);
        assert_eq!(values(&source.grad().unwrap()), [0.5, 0.5, 1.0, 0.0]);
        // A scalar.
        let y = Tensor::scalar(3.0, device).scatter_reduce(
            0,
            &Tensor::from_slice(&[0i32], (), device),
            &Tensor::scalar(5.0, device),
            Prod,
            true,
        );
        assert_eq!((y.rank(), y.item::<f32>().unwrap()), (0, 15.0));
        let bad = Tensor::from_slice(&[0i64, 3, 0, 0], [4], &Device::cpu());
        let error =
            Tensor::zeros([3], bad.device()).scatter_reduce(0, &bad, &Tensor::ones([4], bad.device()), Prod, true);
        let error = error.to_vec::<f32>().unwrap_err().to_string();
        assert!(error.contains("scatter_reduce: index 3 is out of range"), "{error}");
    }
}

#[test]
fn derivatives_of_both_orders() {
    let x = floats(&Rng(5).vec(6, -2.0, 2.0), &[3, 2], cpu());
    let source = floats(&Rng(6).vec(10, -2.0, 2.0), &[5, 2], cpu());
    for kind in KINDS {
        for include_self in [true, false] {
            let f = |x: &[Tensor]| {
                let index = Tensor::from_slice(&[0i64, 1, 1, 1, 0, 0, 1, 0, 0, 1], [5, 2], x[0].device());
                x[0].scatter_reduce(0, &index, &x[1], kind, include_self)
            };
            let what = |e| panic!("{kind:?}, include_self {include_self}: {e}");
            gradcheck(|x| f(x), &[&x, &source], 1e-6).unwrap_or_else(what);
            gradgradcheck(|x| f(x).square(), &[&x, &source], 1e-5).unwrap_or_else(what);
        }
    }
    // One zero among the factors of a place.
    let source = Tensor::from_slice(&[0.0f64, 3.0, 2.0], [3], cpu());
    let x = Tensor::from_slice(&[2.0f64], [1], cpu());
    let f = |x: &[Tensor]| x[0].scatter_reduce(0, &Tensor::zeros_as([3], DType::I32, x[0].device()), &x[1], Prod, true);
    gradcheck(|x| f(x), &[&x, &source], 1e-6).unwrap();
    gradgradcheck(|x| f(x).square(), &[&x, &source], 1e-5).unwrap();
}
