//! Random numbers: reproducible, the CPU's bits, and the right distributions.

use std::sync::{Mutex, PoisonError};

use wgrad::{Device, Tensor};

use crate::common::*;

/// Draws with a fresh seed; one test at a time, since a device has one stream of keys.
pub fn drawn<R>(device: &Device, seed: u64, draw: impl FnOnce(&Device) -> R) -> R {
    static ONE: Mutex<()> = Mutex::new(());
    let _guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    device.seed(seed);
    draw(device)
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let draw = |device: &Device| {
        let mut all = bits(&Tensor::rand([333], device));
        all.extend(bits(&Tensor::randn([5, 77], device)));
        all.extend(Tensor::randint([100], -5, 9, device).to_vec::<i32>().unwrap().iter().map(|&v| v as u32));
        all.extend(Tensor::bernoulli([100], 0.3, device).to_vec::<bool>().unwrap().iter().map(|&v| u32::from(v)));
        all
    };
    let first = drawn(gpu(), 42, draw);
    assert_eq!(first, drawn(gpu(), 42, draw));
    assert_ne!(first, drawn(gpu(), 43, draw));
    // Two calls differ.
    let (a, b) = drawn(gpu(), 42, |d| (bits(&Tensor::rand([64], d)), bits(&Tensor::rand([64], d))));
    assert!(a.iter().zip(&b).filter(|(x, y)| x == y).count() < 4);
}

#[test]
fn uniform_bits_are_those_of_the_reference() {
    for (low, high) in [(0.0, 1.0), (-3.0, 2.5)] {
        let draw = |device: &Device| bits(&Tensor::uniform([10_007], low, high, device));
        let (found, expected) = (drawn(gpu(), 7, draw), drawn(cpu(), 7, draw));
        assert_eq!(found, expected, "{low}..{high}");
    }
    let draw = |device: &Device| Tensor::randint([10_007], -100, 1000, device).to_vec::<i32>().unwrap();
    assert_eq!(drawn(gpu(), 8, draw), drawn(cpu(), 8, draw));
    let draw = |device: &Device| Tensor::bernoulli([10_007], 0.37, device).to_vec::<bool>().unwrap();
    assert_eq!(drawn(gpu(), 9, draw), drawn(cpu(), 9, draw));
    let draw = |device: &Device| values(&Tensor::randn([10_007], device));
    assert_close("normal", &drawn(gpu(), 10, draw), &drawn(cpu(), 10, draw), 1e-5);
}

/// The numbers do not depend on how they are consumed.
#[test]
fn fused_draws_are_the_same_draws() {
    let shape = [7, 30];
    let plain = drawn(gpu(), 5, |d| values(&Tensor::rand(shape, d)));
    let sum = drawn(gpu(), 5, |d| values(&Tensor::rand(shape, d).sum_dims(&[1], false)));
    let rows: Vec<f64> = plain.chunks(30).map(|row| row.iter().sum()).collect();
    assert_close("row sums", &sum, &rows, 1e-5);
    let columns = drawn(gpu(), 5, |d| values(&Tensor::rand(shape, d).sum_dims(&[0], false)));
    let wanted: Vec<f64> = (0..30).map(|c| plain.chunks(30).map(|row| row[c]).sum()).collect();
    assert_close("column sums", &columns, &wanted, 1e-5);
    let moved = drawn(gpu(), 5, |d| values(&(Tensor::rand(shape, d).t().flip(&[0]) * 2.0)));
    let wanted: Vec<f64> = (0..210).map(|i| 2.0 * plain[(i % 7) * 30 + 29 - i / 7]).collect();
    assert_close("transposed", &moved, &wanted, 1e-6);
    let reshaped = drawn(gpu(), 5, |d| values(&Tensor::rand(shape, d).reshape([21, 10]).sum_dims(&[1], false)));
    let wanted: Vec<f64> = plain.chunks(10).map(|row| row.iter().sum()).collect();
    assert_close("reshaped", &reshaped, &wanted, 1e-5);
}

#[test]
fn a_mask_is_the_same_in_both_passes() {
    let (y, grad) = drawn(gpu(), 11, |d| {
        let x = Tensor::ones([40, 50], d).requires_grad();
        let y = &x * Tensor::rand([40, 50], d);
        y.sum().backward().unwrap();
        let grad = x.grad().unwrap();
        (values(&y), values(&grad))
    });
    assert_eq!(y, grad);
}

#[test]
fn distributions() {
    let n = 1_000_003usize;
    let uniform = drawn(gpu(), 1, |d| Tensor::uniform([n], -1.0, 3.0, d).to_vec::<f32>().unwrap());
    assert!(uniform.iter().all(|x| (-1.0..3.0).contains(x)));
    let moment = |v: &[f32], k: i32| v.iter().map(|&x| f64::from(x).powi(k)).sum::<f64>() / v.len() as f64;
    // Five standard deviations of each estimate.
    assert!((moment(&uniform, 1) - 1.0).abs() < 5.0 * 1.155 / 1e3, "{}", moment(&uniform, 1));
    let normal = drawn(gpu(), 2, |d| Tensor::randn([n], d).to_vec::<f32>().unwrap());
    for (k, wanted, deviation) in [(1, 0.0, 1.0), (2, 1.0, 1.42), (3, 0.0, 3.88), (4, 3.0, 9.8)] {
        let found = moment(&normal, k);
        assert!((found - wanted).abs() < 5.0 * deviation / 1e3, "moment {k}: {found}");
    }
    assert!(normal.iter().all(|x| x.is_finite()) && normal.iter().any(|x| x.abs() > 4.0));
    // Neighbours are independent.
    let together: f64 = normal.windows(2).map(|w| f64::from(w[0]) * f64::from(w[1])).sum::<f64>() / n as f64;
    assert!(together.abs() < 5e-3, "{together}");
    let mut counts = [0usize; 6];
    let integers = drawn(gpu(), 3, |d| Tensor::randint([n], -2, 4, d).to_vec::<i32>().unwrap());
    integers.iter().for_each(|&v| counts[usize::try_from(v + 2).unwrap()] += 1);
    for count in counts {
        let share = count as f64 / n as f64;
        assert!((share - 1.0 / 6.0).abs() < 5.0 * 0.373 / 1e3, "{counts:?}");
    }
    for p in [0.0f32, 0.1, 0.5, 1.0] {
        let hits = drawn(gpu(), 4, |d| Tensor::bernoulli([n], p, d).to_dtype(wgrad::DType::I32).sum());
        let rate = f64::from(hits.item::<i32>().unwrap()) / n as f64;
        assert!(
            (rate - f64::from(p)).abs() <= 5.0 * 0.5 / 1e3 * f64::from(p * (1.0 - p)).sqrt().min(1.0) * 2.0,
            "{p}: {rate}"
        );
    }
    assert!(Tensor::randint([3], 4, 4, gpu()).check().is_err());
    assert!(Tensor::bernoulli([3], 1.5, gpu()).check().is_err());
}
