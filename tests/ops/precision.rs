//! Counts that f16 cannot hold, sums over very many elements, and statistics of data far from zero.

use wgrad::nn::loss::{self, CrossEntropy};
use wgrad::{DType, Device, Tensor};

use crate::common::*;
use crate::inputs::{hardware, plain};

fn everywhere() -> [&'static Device; 4] {
    [gpu(), hardware(), plain(), cpu()]
}

fn f16s(value: f64, count: usize, device: &Device) -> Tensor {
    tensor(&vec![value; count], &[count], DType::F16, device)
}

/// The tensor in memory, so that what follows reads it.
fn realized(x: Tensor) -> Tensor {
    x.realize().unwrap_or_else(|error| panic!("{error}"));
    x
}

/// The gradient of what `f` makes of a leaf.
fn gradient(leaf: &Tensor, f: impl Fn(&Tensor) -> Tensor) -> Vec<f64> {
    f(leaf).backward().unwrap_or_else(|error| panic!("{error}"));
    values(&leaf.grad().expect("a gradient"))
}

#[test]
fn ties_of_f16_are_counted_exactly() {
    let n = 70_000;
    let wanted = f64::from(wgrad::f16::from_f64(1.0 / n as f64));
    for device in everywhere() {
        for f in [Tensor::max, Tensor::min, |x: &Tensor| x.norm(f32::INFINITY), Tensor::median] {
            let leaf = f16s(1.5, n, device).requires_grad();
            assert_close("ties", &gradient(&leaf, f), &vec![wanted; n], 1e-9);
        }
        // Between the counts that f16 has: 4097 lies between 4096 and 4100.
        let leaf = f16s(-2.0, 3 * 4097, device).reshape([3, 4097]).detach().requires_grad();
        let found = gradient(&leaf, |x| (x.max_dims(&[1], false) * 4097.0).sum());
        assert_eq!(found, vec![1.0; 3 * 4097]);
    }
}

#[test]
fn means_of_f16_divide_by_exact_counts() {
    for device in everywhere() {
        for n in [65_520, 70_001] {
            let mut data = vec![1.0; n];
            data[7] = f64::NAN;
            let x = tensor(&data, &[n], DType::F16, device);
            assert_eq!(values(&x.nanmean()), [1.0], "{n}");
            assert_eq!(values(&x.reshape([1, n]).nanmean_dims(&[1], true)), [1.0], "{n}");
            let ones = f16s(1.0, n, device);
            for (what, y) in [("mean", ones.mean()), ("nanmean", ones.nanmean()), ("norm", ones.square().mean().sqrt())]
            {
                assert_eq!(values(&y), [1.0], "{what} of {n}");
            }
            assert_eq!(values(&ones.var(0.0)), [0.0]);
            assert_close("softmax", &values(&ones.softmax(0)), &vec![1.0 / n as f64; n], 2e-3);
            assert_close("log_softmax", &values(&ones.log_softmax(0))[..1], &[-(n as f64).ln()], 1e-3);
            assert_close("logsumexp", &values(&ones.logsumexp()), &[1.0 + (n as f64).ln()], 1e-3);
            let similar = ones.cosine_similarity(&(&ones * 2.0), 0);
            assert_close("cosine_similarity", &values(&similar), &[1.0], 1e-3);
            assert_close("normalize", &values(&ones.normalize(2.0, 0))[..1], &[1.0 / (n as f64).sqrt()], 1e-3);
        }
    }
}

#[test]
fn losses_of_f16_average_over_exact_counts() {
    let n = 70_000;
    let logits: Vec<f64> = (0..2 * n).map(|i| if i % 2 == 0 { 0.0 } else { 3.0 }).collect();
    let targets: Vec<i32> = (0..n as i32).map(|i| if i % 1000 == 999 { -100 } else { 0 }).collect();
    let wanted = (1.0 + 3f64.exp()).ln();
    for device in everywhere() {
        let targets = Tensor::from_slice(&targets, [n], device);
        let weight = tensor(&[0.5, 2.0], &[2], DType::F16, device);
        let options = CrossEntropy { ignore_index: Some(-100), ..CrossEntropy::default() };
        let weighted = CrossEntropy { weight: Some(weight), ..options.clone() };
        for (what, options) in [("plain", options), ("weighted", weighted)] {
            let leaf = tensor(&logits, &[n, 2], DType::F16, device).requires_grad();
            let y = loss::cross_entropy_with(&leaf, &targets, &options);
            assert_eq!(y.dtype(), DType::F16);
            y.backward().unwrap();
            assert_close(what, &values(&y), &[wanted], 1e-3);
            let total: f64 = values(&leaf.grad().unwrap()).iter().map(|g| g.abs()).sum();
            let share = 3f64.exp() / (1.0 + 3f64.exp());
            assert!((total - 2.0 * share).abs() < 0.05, "{what}: {total}");
        }
        let log_probs = tensor(&logits, &[n, 2], DType::F16, device) - 4.0;
        let kept = Tensor::zeros([n], device).to_dtype(DType::I32);
        assert_close("nll", &values(&loss::nll(&log_probs, &kept)), &[4.0], 1e-3);
    }
}

#[test]
fn norms_of_f16_square_beyond_its_range() {
    // Squares of 300 are beyond the largest f16.
    let (rows, size) = (2, 17_000);
    let data: Vec<f64> = (0..rows * size).map(|i| if i % 2 == 0 { 300.0 } else { -300.0 }).collect();
    let wanted: Vec<f64> = data.iter().map(|v| v.signum()).collect();
    for device in everywhere() {
        let x = tensor(&data, &[rows, size], DType::F16, device);
        let one = f16s(1.0, size, device);
        let zero = f16s(0.0, size, device);
        assert_close("layer_norm", &values(&x.layer_norm(&one, &zero, 1e-5)), &wanted, 1e-3);
        assert_close("rms_norm", &values(&x.rms_norm(&one, 1e-5)), &wanted, 1e-3);
        let (mean, var) = (Tensor::zeros([2], device), Tensor::ones([2], device));
        let channels = x.reshape([1, rows, size]).transpose(0, 2).transpose(1, 2).reshape([size, rows]);
        let (y, mean, var) = channels.batch_norm(None, None, &mean, &var, true, 1.0, 1e-5);
        assert_close("batch_norm", &values(&y.abs()), &vec![1.0; rows * size], 1e-3);
        assert_close("running mean", &values(&mean), &[0.0, 0.0], 1e-3);
        let unbiased = 90_000.0 * size as f64 / (size - 1) as f64;
        assert_close("running variance", &values(&var), &[unbiased, unbiased], 1e-5);
    }
}

/// Sums of 0.1, whose rounding errors have one sign.
#[test]
fn sums_of_very_many_terms() {
    let tenth = f64::from(0.1f32);
    for device in [gpu(), hardware(), plain()] {
        // Whole buffers, fused producers, rows and columns; eights, fours and odd numbers of elements.
        for n in [8_000_000, 8_000_004, 4_000_001] {
            let x = realized(Tensor::full([n], 0.1, device));
            let exact = tenth * n as f64;
            let check = |what: &str, y: &Tensor, exact: f64| {
                let worst = values(y).iter().map(|v| (v - exact).abs() / exact).fold(0.0, f64::max);
                assert!(worst < 1e-6, "{what} of {n}: {worst:e}");
            };
            check("sum", &x.sum(), exact);
            check("fused sum", &(&x * &x).sum(), tenth * exact);
            check("mean", &x.mean(), tenth);
            check("norm", &x.norm(2.0), (tenth * exact).sqrt());
            check("logsumexp", &(x.logsumexp() - 0.1).exp(), n as f64);
            check("dot", &x.dot(&x), tenth * exact);
            for columns in [4, 7] {
                let rows = n / columns;
                let x = x.narrow(0, 0, rows * columns);
                let down = x.reshape([rows, columns]).sum_dims(&[0], false);
                check("columns", &down, tenth * rows as f64);
                let along = x.reshape([columns, rows]).sum_dims(&[1], false);
                check("rows", &along, tenth * rows as f64);
            }
        }
        // Kernels over rows: what is held, and what is read in several walks.
        for size in [1000, 4096, 8192, 8191, 16_000] {
            let x = realized(Tensor::full([20, size], 0.1, device));
            let rows = x.sum_dims(&[1], true);
            let worst = |y: &Tensor, exact: f64| values(y).iter().map(|v| (v / exact - 1.0).abs()).fold(0.0, f64::max);
            assert!(worst(&rows, tenth * size as f64) < 1e-6, "rows of {size}");
            assert!(worst(&(&x / &rows), 1.0 / size as f64) < 1e-6, "shares of {size}");
            // One element of 1 among elements of 0, each of which adds 1 / e.
            let one = Tensor::arange(0.0, size as f32, 1.0, device).eq(Tensor::zeros([], device)).to_dtype(DType::F32);
            let softmax = realized(one.expand([20, size]).contiguous()).softmax(1).narrow(1, 0, 1);
            assert!(worst(&softmax, 1.0 / (1.0 + (size - 1) as f64 * (-1f64).exp())) < 1e-6, "softmax of {size}");
        }
    }
}

#[test]
fn statistics_far_from_zero() {
    for (middle, spread, tolerance) in [(1e6, 10.0, 1e-5), (1e7, 3.0, 1e-5), (0.0, 1.0, 1e-5), (-3e4, 0.5, 1e-4)] {
        for (rows, size) in [(1, 10_000), (6, 3001), (3, 100_000)] {
            let mut rng = Rng(77);
            let data: Vec<f64> =
                (0..rows * size).map(|_| f64::from((middle + rng.uniform(-spread, spread)) as f32)).collect();
            let exact: Vec<f64> = data
                .chunks(size)
                .map(|row| {
                    let mean = row.iter().sum::<f64>() / size as f64;
                    row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (size - 1) as f64
                })
                .collect();
            for device in everywhere() {
                // The CPU reference in f32, as users have it.
                let data: Vec<f32> = data.iter().map(|&v| v as f32).collect();
                let x = Tensor::from_slice(&data, [rows, size], device).requires_grad();
                let what = format!("{rows} rows of {size} around {middle}");
                assert_close(&what, &values(&x.var_dims(&[1], 1.0, false)), &exact, tolerance);
                assert_close(&what, &values(&x.t().contiguous().var_dims(&[0], 1.0, false)), &exact, tolerance);
                let roots: Vec<f64> = exact.iter().map(|v| v.sqrt()).collect();
                let std = x.std_dims(&[1], 1.0, false);
                assert_close(&what, &values(&std), &roots, tolerance);
                // The gradient of the standard deviation: (x - mean) / (n - 1) / std.
                std.sum().backward().unwrap();
                let wanted: Vec<f64> = (data.chunks(size).zip(&roots))
                    .flat_map(|(row, root)| {
                        let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / size as f64;
                        row.iter().map(move |&v| (f64::from(v) - mean) / (size - 1) as f64 / root)
                    })
                    .collect();
                let found = values(&x.grad().unwrap());
                let norm = wanted.iter().map(|v| v * v).sum::<f64>().sqrt();
                let off = found.iter().zip(&wanted).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                assert!(off / norm < tolerance, "gradient of {what}: {:e}", off / norm);
                let normal = x.detach().layer_norm(None, None, 0.0).square().mean_dims(&[1], false);
                assert_close(&what, &values(&normal), &vec![1.0; rows], 1e-4);
            }
        }
    }
}
