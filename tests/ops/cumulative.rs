//! Cumulative ops against the CPU reference and against loops that share nothing with it.

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

#[test]
fn rows_and_columns() {
    let mut failures = Vec::new();
    for input in &INPUTS {
        for dim in [0, -1] {
            let what = |name: &str| format!("{name} {dim}");
            compare(&what("cumsum"), input, &|x| x.cumsum(dim), 2e-5, &mut failures);
            if input.is_large() && (dim == 0) != (input.name == "many rows") {
                continue;
            }
            // Factors near 1, so that long products stay finite; their roundings add up along the row.
            let tolerance = if input.is_large() { 1e-3 } else { 1e-5 };
            compare(&what("cumprod"), input, &|x| (x * 1e-4 + 1.0).cumprod(dim), tolerance, &mut failures);
            compare(&what("logcumsumexp"), input, &|x| x.logcumsumexp(dim), tolerance, &mut failures);
            compare(&what("cummax"), input, &|x| x.cummax(dim).0, 1e-6, &mut failures);
            if !input.is_large() {
                compare(&what("cummin"), input, &|x| x.cummin(dim).0, 1e-6, &mut failures);
                compare(&what("diff"), input, &|x| x.diff(dim), 1e-6, &mut failures);
            }
        }
    }
    report(failures);
}

/// Lengths around the chunks of the scan, one to three levels of them, on poisoned memory, in every type.
#[test]
fn lengths_and_types() {
    for (seed, n) in [1, 2, 63, 64, 65, 4096, 4097, 5000, 300_001].into_iter().enumerate() {
        let data: Vec<f64> = Rng(seed as u64).vec(n, -3.0, 4.0).into_iter().map(f64::trunc).collect();
        let mut sum = 0.0;
        let sums: Vec<f64> = data
            .iter()
            .map(|v| {
                sum += v;
                sum
            })
            .collect();
        let mut best = (f64::NEG_INFINITY, 0.0);
        let mut worst = (f64::INFINITY, 0.0);
        let mut extremes = [Vec::new(), Vec::new()];
        for (k, &v) in data.iter().enumerate() {
            if v >= best.0 {
                best = (v, k as f64);
            }
            if v <= worst.0 {
                worst = (v, k as f64);
            }
            extremes[0].push(best.1);
            extremes[1].push(worst.1);
        }
        for device in devices() {
            poison(device);
            for dtype in [DType::F32, DType::I32] {
                let x = tensor(&data, &[n], dtype, device);
                assert_eq!(values(&x.cumsum(0)), sums, "{n} {dtype}");
                assert_eq!(values(&x.cummax(0).1), extremes[0], "{n} {dtype}");
                assert_eq!(values(&x.cummin(0).1), extremes[1], "{n} {dtype}");
            }
        }
    }
}

#[test]
fn integers_wrap_and_booleans_count() {
    for device in devices() {
        let n = Tensor::from_slice(&[i32::MAX, 1, -5, 3, 3, 3], [2, 3], device);
        assert_eq!(n.cumsum(1).to_vec::<i32>().unwrap(), [i32::MAX, i32::MIN, i32::MAX - 4, 3, 6, 9]);
        assert_eq!(n.cumprod(0).to_vec::<i32>().unwrap(), [i32::MAX, 1, -5, i32::MAX.wrapping_mul(3), 3, -15]);
        let u = Tensor::from_slice(&[u32::MAX, 2, 7], [3], device);
        assert_eq!(u.cumsum(0).to_vec::<u32>().unwrap(), [u32::MAX, 1, 8]);
        assert_eq!(
            u.cumprod(0).to_vec::<u32>().unwrap(),
            [u32::MAX, u32::MAX.wrapping_mul(2), u32::MAX.wrapping_mul(14)]
        );
        assert_eq!(u.cummin(0).1.to_vec::<u32>().unwrap(), [0, 1, 1]);
        let b = Tensor::from_slice(&[false, true, true, false], [4], device);
        assert_eq!(b.cumsum(0).to_vec::<i32>().unwrap(), [0, 1, 2, 2]);
        assert_eq!(b.cummax(0).1.to_vec::<u32>().unwrap(), [0, 1, 2, 2]);
        assert_eq!(b.cummax(0).0.to_vec::<bool>().unwrap(), [false, true, true, true]);
        assert_eq!(b.diff(0).to_vec::<bool>().unwrap(), [true, false, true]);
        let s = Tensor::scalar(2.0, device);
        assert_eq!((s.cumsum(0).item::<f32>().unwrap(), s.cumprod(-1).item::<f32>().unwrap()), (2.0, 2.0));
        assert_eq!(s.cummax(0).1.item::<u32>().unwrap(), 0);
    }
}

/// NaN and infinities, as torch has them.
#[test]
fn special_values() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let read =
        |t: &Tensor| t.to_vec::<f32>().unwrap().into_iter().map(|v| format!("{v}")).collect::<Vec<_>>().join(" ");
    for device in devices() {
        let x = Tensor::from_slice(&[1f32, nan, 3., nan, 5.], [5], device);
        assert_eq!(x.cummax(0).1.to_vec::<u32>().unwrap(), [0, 1, 1, 3, 3]);
        assert_eq!(x.cummin(0).1.to_vec::<u32>().unwrap(), [0, 1, 1, 3, 3]);
        assert_eq!(read(&x.cummax(0).0), "1 NaN NaN NaN NaN");
        assert_eq!(read(&x.cumsum(0)), "1 NaN NaN NaN NaN");
        assert_eq!(read(&x.logcumsumexp(0)), "1 NaN NaN NaN NaN");
        let y = Tensor::from_slice(&[-inf, -inf, 0., -inf, inf], [5], device).requires_grad();
        assert_eq!(read(&y.logcumsumexp(0)), "-inf -inf 0 0 inf");
        y.slice(0, 0..4).logcumsumexp(0).sum().backward().unwrap();
        assert_eq!(read(&y.grad().unwrap()), "0 0 2 0 0");
        let z = Tensor::from_slice(&[1000f32, 1000., -1000.], [3], device);
        assert_close("large", &values(&z.logcumsumexp(0)), &[1000., 1000.6931471805599, 1000.6931471805599], 1e-6);
    }
}

#[test]
fn derivatives() -> wgrad::Result<()> {
    let random = floats(&Rng(8).vec(15, -2.0, 2.0), &[3, 5], cpu()).requires_grad();
    let zeros = floats(&[2., 0., 3., -1., 1.5, 0., 2., 0., 3., 1., 0., 0., 0., 1., 2.], &[3, 5], cpu()).requires_grad();
    let functions: [fn(&[Tensor]) -> Tensor; 6] = [
        |x| x[0].cumsum(0),
        |x| x[0].cumprod(1),
        |x| x[0].logcumsumexp(-1),
        |x| x[0].cummax(1).0,
        |x| x[0].cummin(0).0,
        |x| x[0].diff(1),
    ];
    for f in functions {
        gradcheck(f, &[&random], 1e-6)?;
        gradgradcheck(|x| f(x).square(), &[&random], 1e-5)?;
    }
    // Products at one and at several zeros.
    for dim in [0, 1] {
        gradcheck(|x| x[0].cumprod(dim), &[&zeros], 1e-6)?;
        gradgradcheck(|x| x[0].cumprod(dim), &[&zeros], 1e-5)?;
    }
    Ok(())
}

#[test]
fn products_have_their_gradient_at_zeros_on_every_device() {
    for device in devices() {
        let x = Tensor::from_slice(&[2f32, 0., 3., 0., 5.], [5], device).requires_grad();
        x.cumprod(0).sum().backward().unwrap();
        // d/dx₀: 1; d/dx₁: 2 + 2·3 (the second zero ends it); the rest stands behind a zero.
        assert_eq!(x.grad().unwrap().to_vec::<f32>().unwrap(), [1., 8., 0., 0., 0.]);
    }
}

#[test]
fn what_cannot_be_is_an_error() {
    for device in devices() {
        let x = Tensor::zeros([2, 3], device);
        for (found, text) in [
            (x.cumsum(2), "cumsum: dim 2 is out of range for shape [2, 3]"),
            (x.cumprod(-3), "cumprod: dim -3 is out of range"),
            (x.cummax(5).1, "cummax: dim 5 is out of range"),
            (x.logcumsumexp(2), "logcumsumexp: dim 2 is out of range"),
            (Tensor::scalar(1.0, device).diff(0), "diff: dim 0 is out of range"),
        ] {
            let error = found.check().expect_err(text).to_string();
            assert!(error.contains(text) && error.contains("cumulative.rs:"), "{error}");
        }
    }
}
