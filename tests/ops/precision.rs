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
