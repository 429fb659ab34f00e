//! Sorting and what follows from an order, against the CPU reference and against orders worked by hand.

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

/// Every operand layout, forward and backward.
#[test]
fn rows_and_columns() {
    let mut failures = Vec::new();
    for input in &INPUTS {
        for (dim, descending) in [(0, true), (-1, false)] {
            let what = |name: &str| format!("{name} {dim}, descending {descending}");
            if input.is_large() && (dim == 0) != (input.name == "many rows") {
                continue;
            }
            let sorted = |x: &Tensor| x.sort(dim, descending).0;
            compare(&what("sort"), input, &sorted, 1e-6, &mut failures);
            if input.is_large() {
                continue;
            }
            let best = |x: &Tensor| {
                let size = x.shape()[if dim == 0 { 0 } else { 1 }];
                x.topk_with(size.min(3), dim, descending, true).0
            };
            compare(&what("topk"), input, &best, 1e-6, &mut failures);
            compare(&what("kthvalue"), input, &|x| x.kthvalue(2, dim, descending).0, 1e-6, &mut failures);
            compare(&what("median"), input, &|x| x.median_dim(dim, descending).0, 1e-6, &mut failures);
        }
        if !input.is_large() {
            compare("median", input, &|x| x.median(), 1e-6, &mut failures);
        }
    }
    report(failures);
}

/// Orders of every element type with many ties, which shows stability.
#[test]
fn ties_keep_their_order_in_every_type() {
    for seed in 0..3 {
        let (m, n) = (3, [1, 33, 97][seed as usize]);
        let mut data: Vec<f64> = Rng(seed).vec(m * n, -3.0, 4.0).into_iter().map(f64::trunc).collect();
        for dtype in [DType::F32, DType::I32, DType::U32, DType::Bool] {
            if dtype == DType::U32 {
                data.iter_mut().for_each(|v| *v = v.abs());
            }
            for (dim, descending) in [(0, false), (0, true), (1, false), (1, true)] {
                let order = |device: &Device| values(&tensor(&data, &[m, n], dtype, device).argsort(dim, descending));
                let expected = order(cpu());
                for device in [gpu(), hardware()] {
                    poison(device);
                    assert_eq!(order(device), expected, "{dtype}, dim {dim}, descending {descending}");
                }
                // The reference against the definition: neighbours are in order, ties by index.
                let x = tensor(&data, &[m, n], dtype, cpu());
                let (sorted, order) = x.sort(dim, descending);
                let (sorted, order) = if dim == 0 { (sorted.t(), order.t()) } else { (sorted, order) };
                let len = sorted.shape()[1];
                let (sorted, order) = (values(&sorted), values(&order));
                for (k, (v, o)) in sorted.windows(2).zip(order.windows(2)).enumerate() {
                    let before = if descending { v[0] > v[1] } else { v[0] < v[1] };
                    assert!((k + 1) % len == 0 || before || (v[0] == v[1] && o[0] < o[1]), "{v:?} {o:?}");
                }
            }
        }
    }
}

#[test]
fn special_values_have_their_places() {
    let x = [f32::NAN, 0.0, f32::INFINITY, -0.0, f32::NEG_INFINITY, -f32::NAN, 1e-40, -1e-40, f32::MAX];
    for device in devices() {
        let x = Tensor::from_slice(&x, [9], device);
        assert_eq!(x.argsort(0, false).to_vec::<u32>().unwrap(), [4, 7, 1, 3, 6, 8, 2, 0, 5]);
        assert_eq!(x.argsort(0, true).to_vec::<u32>().unwrap(), [0, 5, 2, 8, 6, 1, 3, 7, 4]);
        let ends = [i32::MAX, 0, i32::MIN, -1];
        assert_eq!(
            Tensor::from_slice(&ends, [4], device).sort(0, false).0.to_vec::<i32>().unwrap(),
            [i32::MIN, -1, 0, i32::MAX]
        );
        let ends = [u32::MAX, 0, 1 << 31, 1];
        assert_eq!(
            Tensor::from_slice(&ends, [4], device).sort(-1, true).0.to_vec::<u32>().unwrap(),
            [u32::MAX, 1 << 31, 1, 0]
        );
    }
}

/// Values and places as `torch.median`, `nanmedian`, `kthvalue` and `topk` give them.
#[test]
fn medians_and_ranks() {
    let nan = f32::NAN;
    for device in devices() {
        let x = Tensor::from_slice(&[3f32, 1., 4., 2., nan, 5., 0., nan, nan, nan, nan, nan], [3, 4], device);
        let (value, index) = x.median_dim(1, false);
        assert_eq!(index.to_vec::<u32>().unwrap(), [3, 0, 0]);
        let value = value.to_vec::<f32>().unwrap();
        assert!(value[0] == 2.0 && value[1].is_nan() && value[2].is_nan(), "{value:?}");
        let (value, index) = x.nanmedian_dim(-1, true);
        assert_eq!((value.shape(), index.to_vec::<u32>().unwrap()), (&[3usize, 1][..], vec![3, 2, 0]));
        let value = value.to_vec::<f32>().unwrap();
        assert!(value[..2] == [2.0, 0.0] && value[2].is_nan(), "{value:?}");
        assert!(x.median().item::<f32>().unwrap().is_nan());
        assert_eq!(x.nanmedian().item::<f32>().unwrap(), 2.0);
        assert!(Tensor::zeros([0], device).median().item::<f32>().unwrap().is_nan());
        let n = Tensor::from_slice(&[5i32, -2, 7, 0, 0, 9], [2, 3], device);
        assert_eq!(n.median().item::<i32>().unwrap(), 0);
        assert_eq!(n.median_dim(1, false).0.to_vec::<i32>().unwrap(), [5, 0]);
        assert_eq!(n.kthvalue(2, 1, false).1.to_vec::<u32>().unwrap(), [0, 1]);
        let (value, index) = n.topk(2, 1);
        assert_eq!(value.to_vec::<i32>().unwrap(), [7, 5, 9, 0]);
        assert_eq!(index.to_vec::<u32>().unwrap(), [2, 0, 2, 0]);
        let (value, _) = n.topk_with(1, 0, false, false);
        assert_eq!(value.to_vec::<i32>().unwrap(), [0, -2, 7]);
        // A scalar is a row of one.
        let s = Tensor::scalar(2.5, device);
        let (value, index) = s.sort(-1, false);
        assert_eq!((value.shape(), value.item::<f32>().unwrap(), index.item::<u32>().unwrap()), (&[][..], 2.5, 0));
        assert_eq!(s.topk(1, 0).0.item::<f32>().unwrap(), 2.5);
        assert_eq!(s.median_dim(0, false).1.item::<u32>().unwrap(), 0);
        // The gradient of the whole median is shared, that along a dim goes to the place chosen.
        let x = Tensor::from_slice(&[2f32, 1., 2., 3.], [4], device).requires_grad();
        x.median().backward().unwrap();
        assert_eq!(x.grad().unwrap().to_vec::<f32>().unwrap(), [0.5, 0.0, 0.5, 0.0]);
        x.zero_grad();
        x.median_dim(0, false).0.backward().unwrap();
        assert_eq!(x.grad().unwrap().to_vec::<f32>().unwrap(), [1.0, 0.0, 0.0, 0.0]);
    }
}

/// One long row, whose length is no power of two, and more short rows than one grid dimension has workgroups.
#[test]
fn long_rows_and_many_rows() {
    let n = 100_003;
    let long: Vec<f64> = Rng(5).vec(n, -50.0, 50.0).into_iter().map(|v| (v * 64.0).trunc()).collect();
    let many = Rng(6).vec(70_000 * 5, -1.0, 1.0);
    let orders = |device: &Device| {
        let long = floats(&long, &[n], device);
        let many = floats(&many, &[70_000, 5], device);
        [long.argsort(0, true), many.argsort(1, false), many.sort(1, true).0].map(|t| values(&t))
    };
    let expected = orders(cpu());
    for device in [gpu(), hardware()] {
        assert_eq!(orders(device), expected);
    }
}

#[test]
fn permutations_are_random_and_repeatable() {
    // Devices of its own: other tests draw from the shared ones.
    let reference = Device::cpu();
    for device in &[Device::gpu().unwrap(), own_hardware()] {
        let n = 1000;
        device.seed(3);
        let (first, second) = (Tensor::randperm(n, device), Tensor::randperm(n, device));
        reference.seed(3);
        let (first, second) = (first.to_vec::<u32>().unwrap(), second.to_vec::<u32>().unwrap());
        assert_eq!(first, Tensor::randperm(n, &reference).to_vec::<u32>().unwrap());
        assert_ne!(first, second);
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..n as u32).collect::<Vec<_>>());
        let fixed = first.iter().zip(0u32..).filter(|(a, b)| **a == *b).count();
        assert!(fixed < 12, "{fixed} of {n} elements stay in place, where 1 is expected");
        assert_eq!(Tensor::randperm(0, device).shape(), [0]);
        assert_eq!(Tensor::randperm(1, device).to_vec::<u32>().unwrap(), [0]);
    }
}

#[test]
fn derivatives() -> wgrad::Result<()> {
    let x = floats(&Rng(8).vec(15, -2.0, 2.0), &[3, 5], cpu()).requires_grad();
    let functions: [fn(&[Tensor]) -> Tensor; 5] = [
        |x| x[0].sort(1, true).0 * Tensor::arange(1.0, 6.0, 1.0, x[0].device()),
        |x| x[0].topk(2, 0).0,
        |x| x[0].kthvalue(3, 1, false).0,
        |x| x[0].median_dim(0, true).0,
        |x| x[0].median(),
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
        let errors = [
            (x.sort(2, false).0, "sort: dim 2 is out of range for shape [2, 3]"),
            (x.sort(2, false).1, "sort: dim 2 is out of range for shape [2, 3]"),
            (x.argsort(-3, false), "argsort: dim -3 is out of range"),
            (x.topk(4, 1).1, "topk: k = 4 of the 3 elements along dim 1 of shape [2, 3]"),
            (x.kthvalue(0, 1, false).0, "kthvalue: k = 0 is not in 1..=3"),
            (x.kthvalue(4, 1, false).0, "kthvalue: k = 4 is not in 1..=3"),
            (Tensor::zeros([2, 0], device).median_dim(1, false).0, "median: no element to choose along dim 1"),
            (Tensor::from_slice::<i32>(&[], [0], device).median(), "median: no element"),
        ];
        for (found, text) in errors {
            let error = found.check().expect_err(text).to_string();
            assert!(error.contains(text) && error.contains("order.rs:"), "{error}");
        }
    }
}
