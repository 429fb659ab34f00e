//! Gradients of the elementwise table against central differences in f64, and second derivatives on the GPU.

use wgrad::ops::elementwise::rows;
use wgrad::ops::elementwise::table::{Kind, Row};
use wgrad::tensor::autograd::{grad, grad_with, gradcheck, gradgradcheck};
use wgrad::{DType, Device, Tensor};

use crate::common::*;

/// Random operands away from kinks: of the floats only.
fn operands(row: &Row, count: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut rng = Rng(seed);
    let first = usize::from(row.kind == Kind::Select);
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
    if row.kind == Kind::Select {
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
