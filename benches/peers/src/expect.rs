//! What right results are: computed here in f64, but for training losses, which PyTorch computed in f64 on the same numbers
//! (`bench_torch.py --reference` writes `reference.json`).

use serde_json::Value;

use crate::inputs::{LARGE, Norm, ROWS, TINY, TINY_OPS};

/// Norm of the difference over the norm of what is right. Infinite where anything is not a number.
pub fn relative(got: &[f32], right: &[f64]) -> f64 {
    if got.len() != right.len() {
        return f64::INFINITY;
    }
    let square = |v: f64| v * v;
    let difference: f64 = got.iter().zip(right).map(|(g, r)| square(f64::from(*g) - r)).sum();
    let size: f64 = right.iter().copied().map(square).sum();
    let error = (difference / size).sqrt();
    if error.is_nan() { f64::INFINITY } else { error }
}

/// Error of a product of two `n` × `n` matrices, at 2,048 places.
pub fn matmul(n: usize, [a, b]: &[Vec<f32>; 2], got: &[f32]) -> f64 {
    if got.len() != n * n {
        return f64::INFINITY;
    }
    // A prime stride, so that all rows and columns come up.
    let places: Vec<usize> = (0..2048).map(|i| i * 1_299_709 % (n * n)).collect();
    let right: Vec<f64> = places
        .iter()
        .map(|p| (0..n).map(|k| f64::from(a[p / n * n + k]) * f64::from(b[k * n + p % n])).sum())
        .collect();
    relative(&places.iter().map(|p| got[*p]).collect::<Vec<_>>(), &right)
}

/// Error of `relu(x·a + b)·c + x`.
pub fn chain([x, a, b, c]: &[Vec<f32>; 4], got: &[f32]) -> f64 {
    let value = |i: usize| {
        let [x, a, b, c] = [x, a, b, c].map(|v| f64::from(v[i]));
        (x * a + b).max(0.0) * c + x
    };
    relative(got, &(0..LARGE).map(value).collect::<Vec<_>>())
}

/// Error of a sum.
pub fn sum(x: &[f32], got: f32) -> f64 {
    relative(&[got], &[x.iter().copied().map(f64::from).sum()])
}

/// Error of a softmax of rows.
pub fn softmax(x: &[f32], got: &[f32]) -> f64 {
    let row = |row: &[f32]| -> Vec<f64> {
        let exps: Vec<f64> = row.iter().map(|v| f64::from(*v).exp()).collect();
        let sum: f64 = exps.iter().sum();
        exps.iter().map(|e| e / sum).collect()
    };
    relative(got, &x.chunks(ROWS[1]).flat_map(row).collect::<Vec<_>>())
}

/// The largest error of a layer norm's gradients by its input, weights and biases.
pub fn layer_norm((x, norm, dy): &(Vec<f32>, Norm, Vec<f32>), [dx, dw, db]: [&[f32]; 3]) -> f64 {
    let width = ROWS[1];
    let (mut right_dx, mut right_dw, mut right_db) = (Vec::with_capacity(x.len()), vec![0.0; width], vec![0.0; width]);
    for (x, dy) in x.chunks(width).zip(dy.chunks(width)) {
        let n = width as f64;
        let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let variance = x.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
        let scale = 1.0 / (variance + 1e-5).sqrt();
        let hat: Vec<f64> = x.iter().map(|v| (f64::from(*v) - mean) * scale).collect();
        let upstream: Vec<f64> = dy.iter().zip(&norm.weight).map(|(d, w)| f64::from(*d) * f64::from(*w)).collect();
        let sum: f64 = upstream.iter().sum::<f64>() / n;
        let dot: f64 = upstream.iter().zip(&hat).map(|(u, h)| u * h).sum::<f64>() / n;
        right_dx.extend(upstream.iter().zip(&hat).map(|(u, h)| scale * (u - sum - h * dot)));
        for (i, d) in dy.iter().enumerate() {
            right_dw[i] += f64::from(*d) * hat[i];
            right_db[i] += f64::from(*d);
        }
    }
    let errors = [relative(dx, &right_dx), relative(dw, &right_dw), relative(db, &right_db)];
    errors.into_iter().fold(0.0, f64::max)
}

/// Error of the chain of tiny ops.
pub fn tiny(x: &[f32], got: &[f32]) -> f64 {
    let (factor, summand) = (f64::from(TINY.0), f64::from(TINY.1));
    let end = |x: &f32| (0..TINY_OPS / 2).fold(f64::from(*x), |y, _| y * factor + summand);
    relative(got, &x.iter().map(end).collect::<Vec<_>>())
}

/// The largest relative error of training losses, of which the last is that of the last step that is checked.
pub fn losses(workload: &str, got: &[f32]) -> f64 {
    let reference: Value = serde_json::from_str(include_str!("../reference.json")).unwrap_or_default();
    let right: Vec<f64> = reference[workload].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    if got.is_empty() || right.len() < got.len() {
        return f64::INFINITY;
    }
    let error = |(g, r): (&f32, &f64)| {
        let error = ((f64::from(*g) - r) / r).abs();
        if error.is_nan() { f64::INFINITY } else { error }
    };
    got.iter().zip(&right).map(error).fold(0.0, f64::max)
}
