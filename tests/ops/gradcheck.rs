//! Gradients of the elementwise table against central differences in f64, and second derivatives on the GPU.

use wgrad::autograd::{grad, grad_allow_unused, grad_with, gradcheck, gradgradcheck};
use wgrad::internals::rows;
use wgrad::internals::{Row, RowKind};
use wgrad::{DType, Device, Tensor};

use crate::common::*;

/// Random operands away from kinks: of the floats only.
fn operands(row: &Row, count: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut rng = Rng(seed);
    let first = usize::from(row.kind == RowKind::Select);
    let near = |x: &[f64]| {
        let key = if x.len() > 1 && row.tensors == 2 { x[0] - x[1] } else { x[0] };
        row.kinks.iter().any(|kink| (key - kink).abs() < 0.05)
    };
    let mut out = vec![Vec::new(); row.tensors - first];
    for _ in 0..count {
        let x = loop {
            let x: Vec<f64> = row.domain[first..row.tensors].iter().map(|&(l, h)| rng.uniform(l, h)).collect();
            if !near(&x) {
                break x;
            }
        };
        out.iter_mut().zip(x).for_each(|(column, x)| column.push(x));
    }
    out
}

/// Applies a row to its float operands; conditions and scalars are fixed.
fn apply(row: &Row, x: &[Tensor]) -> Tensor {
    let device: &Device = x[0].device();
    let mut all: Vec<Tensor> = Vec::new();
    if row.kind == RowKind::Select {
        let bits: Vec<f64> = (0..x[0].numel()).map(|i| (i % 2) as f64).collect();
        all.push(tensor(&bits, x[0].shape(), DType::Bool, device));
    }
    all.extend(x.iter().cloned());
    for &(low, high) in &row.domain[row.tensors..] {
        all.push(Tensor::scalar((low * 0.4 + high * 0.6) as f32, device));
    }
    all[0].elementwise(row.name, &all[1..].iter().collect::<Vec<_>>())
}

fn differentiable() -> impl Iterator<Item = (u64, &'static Row)> {
    rows().iter().enumerate().filter(|(_, r)| r.derivative.is_some()).map(|(i, r)| (i as u64, *r))
}

#[test]
fn first_and_second_derivatives_match_differences() {
    let mut failures = Vec::new();
    for (i, row) in differentiable() {
        let data = operands(row, 5, 77 + i);
        let inputs: Vec<Tensor> = data.iter().map(|v| floats(v, &[v.len()], cpu())).collect();
        let refs: Vec<&Tensor> = inputs.iter().collect();
        let compared = 5 * inputs.len();
        match gradcheck(|x| apply(row, x), &refs, 1e-6) {
            Ok(report) => assert_eq!(report.compared, compared, "{}", row.name),
            Err(error) => failures.push(format!("{}: {error}", row.name)),
        }
        // Where the gradient does not depend on an operand, there is no second derivative to check.
        if let Err(error) = gradgradcheck(|x| apply(row, x), &refs, 1e-5)
            && !error.to_string().contains("take part")
        {
            failures.push(format!("{}: {error}", row.name));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Second derivatives with respect to each operand; `None` where it does not take part in the gradient.
fn second(row: &Row, data: &[Vec<f64>], device: &Device) -> Vec<Option<Vec<f64>>> {
    let count = data[0].len();
    let leaves: Vec<Tensor> = data.iter().map(|v| floats(v, &[count], device).requires_grad()).collect();
    let refs: Vec<&Tensor> = leaves.iter().collect();
    let weights = |seed: u64| floats(&Rng(seed).vec(count, 0.5, 1.5), &[count], device);
    let y = apply(row, &leaves);
    let dy = weights(1);
    let grads = grad_with(&[&y], &[Some(&dy)], &refs, true).unwrap_or_else(|e| panic!("{}: {e}", row.name));
    let total = grads.iter().enumerate().map(|(k, g)| (g * &weights(2 + k as u64)).sum());
    let total = total.reduce(|a, b| &a + &b).unwrap();
    leaves.iter().map(|leaf| grad(&[&total], &[leaf], false).ok().map(|g| values(&g[0]))).collect()
}

#[test]
fn second_derivatives_on_the_gpu() {
    let mut failures = Vec::new();
    for (i, row) in differentiable() {
        let data = operands(row, 33, 177 + i);
        let (found, expected) = (second(row, &data, gpu()), second(row, &data, cpu()));
        for (k, (a, b)) in found.iter().zip(&expected).enumerate() {
            let name = format!("{} operand {k}", row.name);
            match (a, b) {
                (Some(a), Some(b)) if relative_error(a, b) > 1e-4 => {
                    failures.push(format!("{name}: {:.1e}, {}", relative_error(a, b), first_difference(a, b, 1e-4)));
                }
                (Some(_), Some(_)) | (None, None) => {}
                _ => failures.push(format!("{name}: one device has a second derivative, the other has none")),
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

type Function = fn(&Tensor) -> Tensor;

/// Functions of one vector of six elements that are linear, or linear in pieces.
const FLAT: [(&str, Function); 22] = [
    ("relu", |x| x.relu()),
    ("relu, scaled", |x| x.relu() * 3.0),
    ("leaky_relu", |x| x.leaky_relu(0.1)),
    ("hardtanh", |x| x.hardtanh()),
    ("hardsigmoid", |x| x.hardsigmoid()),
    ("abs", |x| x.abs()),
    ("sign", |x| x.sign()),
    ("floor", |x| x.floor()),
    ("clamp", |x| x.clamp(-1.0, 1.0)),
    ("maximum", |x| x.maximum(x.flip(&[0]))),
    ("softshrink", |x| x.softshrink(0.5)),
    ("max", |x| x.max()),
    ("max of rows", |x| x.reshape([2, 3]).max_dims(&[1], false)),
    ("sorted", |x| x.sort(0, false).0),
    ("cummax", |x| x.cummax(0).0),
    ("norm of order 1", |x| x.norm(1.0)),
    ("max_pool1d", |x| x.reshape([1, 1, 6]).max_pool1d(2, 1, 0)),
    ("max_pool2d", |x| x.reshape([1, 1, 2, 3]).max_pool2d(2, 2, 0)),
    ("adaptive_max_pool1d", |x| x.reshape([1, 1, 6]).adaptive_max_pool1d(4)),
    ("avg_pool1d", |x| x.reshape([1, 1, 6]).avg_pool1d(2, 1, 0)),
    ("avg_pool2d", |x| x.reshape([1, 1, 2, 3]).avg_pool2d([2, 1], 1, 0)),
    ("adaptive_avg_pool1d", |x| x.reshape([1, 1, 6]).adaptive_avg_pool1d(4)),
];

/// What is flat in pieces has second gradients of zeros; what takes no part has none.
#[test]
fn second_gradients_of_flat_functions_are_zeros() {
    for device in [cpu(), gpu()] {
        for (name, f) in FLAT {
            // Read in between, or not: what a value was computed from is let go.
            for read in [false, true] {
                let leaf = || floats(&[0.3, -1.7, 2.2, -0.4, 0.9, -2.6], &[6], device).requires_grad();
                let (x, w, other) = (leaf(), leaf(), leaf());
                let first = grad(&[&f(&x).sum()], &[&x], true).unwrap_or_else(|e| panic!("{name}: {e}"));
                if read {
                    values(&first[0]);
                }
                let second = grad(&[&(&first[0] * 2.0).sum()], &[&x], true).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert_eq!(values(&second[0]), [0.0; 6], "{name}");
                // Between smooth functions the second gradient is that of the whole: w² f'(w x)² · 2.
                let inner = f(&(&x * &w));
                let first = grad(&[&inner.square().sum()], &[&x], true).unwrap_or_else(|e| panic!("{name}: {e}"));
                let second = grad_with(&[&first[0]], &[Some(&w.detach())], &[&x, &w], true);
                assert_eq!(second.unwrap_or_else(|e| panic!("{name}: {e}"))[0].shape(), [6], "{name}");
                // Nothing depends on another leaf.
                let error = grad(&[&first[0].sum()], &[&x, &other], true).unwrap_err().to_string();
                assert!(error.contains("input 1 of shape [6] does not take part"), "{name}: {error}");
                let found = grad_allow_unused(&[&first[0].sum()], &[None], &[&other, &x], false).unwrap();
                assert!(found[0].is_none() && found[1].is_some(), "{name}");
            }
        }
        for (name, f) in FLAT {
            let x = floats(&[0.3, -1.7, 2.2, -0.4, 0.9, -2.6], &[6], device);
            gradgradcheck(|x| f(&x[0]), &[&x], 1e-5).unwrap_or_else(|e| panic!("{name}: {e}"));
            gradgradcheck(|x| f(&(x[0].square() + &x[0])).powi(2), &[&x], 1e-5)
                .unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        // Linear: the first gradient is a constant, of which nothing takes part.
        let x = floats(&[1.0, 2.0], &[2], device).requires_grad();
        let first = grad(&[&(&x * 2.0).sum()], &[&x], true).unwrap();
        assert!(grad(&[&first[0].sum()], &[&x], false).unwrap_err().to_string().contains("does not take part"));
        // What is detached takes no part either.
        let y = (x.detach() * 3.0 + x.gt(1.5).to_dtype(x.dtype())).sum();
        assert!(grad(&[&y], &[&x], false).unwrap_err().to_string().contains("input 0 of shape [2]"));
    }
}
