//! Gradients of gradients: each op of the fixtures that has a gradient passes `gradcheck` and `gradgradcheck` (in f64 on the CPU
//! reference) on the inputs of one of its own cases, and its second derivatives on the GPU are those of the CPU.

use std::collections::BTreeMap;

use wgrad::autograd::{grad_retain_graph, grad_with, gradcheck, gradgradcheck};
use wgrad::{DType, Device, Tensor};

use crate::fixtures::Case;
use crate::ops;

/// Ops with gradients but without a check here, and why. No others may be left out.
const WITHOUT: &[(&str, &str)] = &[("to_dtype", "rounds what is computed in f64 to f32, which differences see")];

/// Inputs of a case have at most this many elements together, so that differences of gradients take no time.
const ELEMENTS: usize = 40;

/// How many cases of an op are tried before it counts as wrong: at a kink no difference agrees.
const TRIED: usize = 6;

/// What central differences of f64 leave of six digits in first and second derivatives.
const TOLERANCE: f64 = 1e-5;

/// Whether all inputs are ordinary numbers of moderate size and the case is no collection of kinks.
fn is_regular(case: &Case) -> bool {
    let odd =
        ["kinks", "ties", "zeros", "edge", "saturation", "NaN", "large", "certain", "far", "infinit", "round", "ends"];
    let stored = || case.inputs.iter().map(|input| &input.stored);
    let size: usize = stored().map(|s| s.values.len()).sum();
    (1..=ELEMENTS).contains(&size)
        && !case.grads.is_empty()
        && !case.is_half()
        && case.outputs.iter().any(|y| !y.values.is_empty())
        && !odd.iter().any(|word| case.note.contains(word))
        && stored().all(|s| s.values.iter().all(|v| v.is_finite() && v.abs() < 50.0))
}

/// The inputs that get gradients, on the device.
fn leaves(case: &Case, device: &Device) -> Vec<Tensor> {
    case.grads.iter().map(|(i, _)| case.inputs[*i].stored.upload(device)).collect()
}

/// The sum of the case's float outputs with weights that vary, as a function of the inputs that get gradients.
fn total(case: &Case, leaves: &[Tensor]) -> Tensor {
    let device = leaves[0].device();
    let base = |i: usize| match case.grads.iter().position(|&(at, _)| at == i) {
        Some(at) => leaves[at].clone(),
        None => {
            let constant = case.inputs[i].stored.upload(device);
            if constant.dtype() == DType::F32 { constant.to_dtype(leaves[0].dtype()) } else { constant }
        }
    };
    let inputs: Vec<Tensor> = case.inputs.iter().enumerate().map(|(i, input)| input.view(&base(i))).collect();
    let run = ops::find(&case.op).expect("known ops only");
    let outputs = run(&inputs, &case.attributes, device);
    let weighted = |i: &usize| {
        let y = &outputs[*i];
        let weights: Vec<f32> = (0..y.numel()).map(|k| (1.3 + k as f32 * 0.9).sin() + 0.2).collect();
        (y * Tensor::from_slice(&weights, y.shape(), device).to_dtype(y.dtype())).sum()
    };
    let rooted: Vec<Tensor> = case.dy.iter().map(|(i, _)| weighted(i)).collect();
    rooted.into_iter().reduce(|a, b| a + b).expect("cases with gradients have outputs with gradients")
}

/// The gradient of a weighted sum of the gradients. `None` where no gradient depends on an input.
fn second(case: &Case, device: &Device) -> Result<Option<Vec<f64>>, String> {
    let text = |error: wgrad::Error| error.to_string();
    let leaves: Vec<Tensor> = leaves(case, device).into_iter().map(|x| x.requires_grad()).collect();
    let of: Vec<&Tensor> = leaves.iter().collect();
    let first = grad_with(&[&total(case, &leaves)], &[None], &of, true).map_err(text)?;
    let varied = |g: &Tensor| {
        let weights: Vec<f32> = (0..g.numel()).map(|k| (0.4 + k as f32 * 0.7).cos() + 0.3).collect();
        (g * Tensor::from_slice(&weights, g.shape(), device)).sum()
    };
    let sum = first.iter().map(varied).reduce(|a, b| a + b).expect("one gradient at least");
    let mut found = Vec::new();
    let mut any = false;
    for x in of {
        match grad_retain_graph(&[&sum], &[x]) {
            Ok(grads) => {
                any = true;
                found.extend(grads[0].to_vec::<f32>().map_err(text)?.into_iter().map(f64::from));
            }
            Err(error) if error.to_string().contains("take part") => found.extend(vec![0.0; x.numel()]),
            Err(error) => return Err(text(error)),
        }
    }
    Ok(any.then_some(found))
}

/// How a case went.
enum Found {
    Curved,
    Linear,
    Wrong(String),
}

fn check(case: &Case, gpu: &Device, cpu: &Device) -> Found {
    let inputs = leaves(case, cpu);
    let refs: Vec<&Tensor> = inputs.iter().collect();
    let f = |x: &[Tensor]| total(case, x);
    if let Err(error) = gradcheck(f, &refs, TOLERANCE) {
        return Found::Wrong(error.to_string());
    }
    // The gradients of a linear op depend on no input. With squares added all inputs take part, and the rest must be flat.
    let bowl = |x: &[Tensor]| x.iter().map(|x| x.square().sum() * 0.5).fold(total(case, x), |sum, square| sum + square);
    if let Err(error) = gradgradcheck(bowl, &refs, TOLERANCE) {
        return Found::Wrong(error.to_string());
    }
    match (second(case, gpu), second(case, cpu)) {
        (Ok(a), Ok(b)) if a.is_some() != b.is_some() => Found::Wrong("linear on one device only".into()),
        (Ok(Some(a)), Ok(Some(b))) => {
            let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
            let error = norm(&mut a.iter().zip(&b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied()).max(1.0);
            match error <= 1e-4 {
                true => Found::Curved,
                false => Found::Wrong(format!("second derivatives on the GPU differ from the CPU's by {error:.1e}")),
            }
        }
        (Ok(_), Ok(_)) => Found::Linear,
        (a, b) => Found::Wrong(a.err().or(b.err()).unwrap_or_default()),
    }
}

#[test]
fn gradients_of_gradients() {
    let gpu =
        Device::gpu().unwrap_or_else(|error| panic!("{error}\nThis test needs a GPU adapter; a software one will do"));
    let cpu = Device::cpu();
    let mut by_op: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for case in crate::load() {
        if !case.grads.is_empty() && ops::find(&case.op).is_some() && crate::asked(&case.op) {
            by_op.entry(case.op.clone()).or_default().push(case);
        }
    }
    assert!(!by_op.is_empty(), "WGRAD_ORACLE names no op that has gradients");
    let (mut curved, mut linear, mut misses) = (Vec::new(), Vec::new(), Vec::new());
    for (op, cases) in &by_op {
        let excused = WITHOUT.iter().any(|(name, _)| name == op);
        let mut wrong = Vec::new();
        let mut passed = None;
        for (i, case) in cases.iter().filter(|case| is_regular(case)).take(TRIED).enumerate() {
            match check(case, &gpu, &cpu) {
                Found::Wrong(detail) => wrong.push(format!("{} {}: {detail}", case.id, case.attributes.0)),
                // The product of one number is linear; another case tells.
                Found::Linear => passed = passed.or(Some(Found::Linear)),
                Found::Curved => passed = Some(Found::Curved),
            }
            if matches!(passed, Some(Found::Curved)) || (passed.is_some() && i >= 2) {
                break;
            }
        }
        match passed {
            Some(_) if excused => misses.push(format!("{op} passes; take it off the list")),
            Some(Found::Linear) => linear.push(op.as_str()),
            Some(_) => curved.push(op.as_str()),
            None if excused => {}
            None if wrong.is_empty() => misses.push(format!("{op}: no suitable case among {}", cases.len())),
            None => misses.push(wrong.join("\n  ")),
        }
    }
    println!("{} ops with second derivatives: {}", curved.len(), curved.join(" "));
    println!("{} linear ops, or flat in pieces: {}", linear.len(), linear.join(" "));
    assert!(misses.is_empty(), "{} ops fail:\n{}", misses.len(), misses.join("\n"));
}
