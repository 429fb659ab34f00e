//! Runs the cases of one op on a device and holds what comes out against the fixtures.

use std::panic::{AssertUnwindSafe, catch_unwind};

use wgrad::{DType, Device, Tensor, autograd};

use crate::fixtures::{Case, Stored};
use crate::ops;
use crate::tolerance::Bound;

/// What one op gave on one device.
#[derive(Default)]
pub struct Outcome {
    /// Largest error of outputs and of gradients.
    pub forward: f64,
    pub backward: f64,
    /// Cases that differ, in words.
    pub misses: Vec<String>,
}

/// Outputs and gradients of a case, not yet computed.
struct Recorded {
    outputs: Vec<Tensor>,
    grads: Vec<Tensor>,
}

/// Records all cases, computes them together, compares.
pub async fn replay(cases: &[&Case], device: &Device) -> Outcome {
    let mut outcome = Outcome::default();
    let recorded: Vec<(&Case, Recorded)> = cases
        .iter()
        .filter_map(|&case| {
            // An op never panics; one that does must not hide the others.
            let result = catch_unwind(AssertUnwindSafe(|| record(case, device)));
            match result.unwrap_or_else(|_| Err("panicked".into())) {
                Ok(recorded) => Some((case, recorded)),
                Err(error) => {
                    outcome.miss(case, &error);
                    None
                }
            }
        })
        .collect();
    // One flush for all. Its error comes again at the read of what it spoilt.
    let _ = device.sync_async().await;
    for (case, recorded) in recorded {
        compare(case, &recorded, &mut outcome).await;
    }
    outcome
}

fn record(case: &Case, device: &Device) -> Result<Recorded, String> {
    let text = |error: wgrad::Error| error.to_string();
    let wanted = |i: usize| case.grads.iter().any(|&(at, _)| at == i);
    let upload = |(i, input): (usize, &crate::fixtures::Input)| {
        let base = input.stored.upload(device);
        if wanted(i) { base.requires_grad() } else { base }
    };
    let leaves: Vec<Tensor> = case.inputs.iter().enumerate().map(upload).collect();
    let inputs: Vec<Tensor> = case.inputs.iter().zip(&leaves).map(|(input, leaf)| input.view(leaf)).collect();
    let run = ops::find(&case.op).expect("ops that are not known are left out before");
    let outputs = run(&inputs, &case.attributes, device);
    outputs.iter().try_for_each(|y| y.check().map(drop)).map_err(text)?;
    if outputs.len() != case.outputs.len() {
        return Err(format!("{} outputs instead of {}", outputs.len(), case.outputs.len()));
    }
    let roots: Vec<&Tensor> = case.dy.iter().map(|(i, _)| &outputs[*i]).collect();
    let dys: Vec<Tensor> = case.dy.iter().map(|(_, dy)| dy.upload(device)).collect();
    let of: Vec<&Tensor> = case.grads.iter().map(|(i, _)| &leaves[*i]).collect();
    let grads = match of.is_empty() {
        true => Vec::new(),
        false => autograd::grad_with(&roots, &dys.iter().map(Some).collect::<Vec<_>>(), &of, false).map_err(text)?,
    };
    Ok(Recorded { outputs, grads })
}

async fn compare(case: &Case, recorded: &Recorded, outcome: &mut Outcome) {
    for (i, (y, expected)) in recorded.outputs.iter().zip(&case.outputs).enumerate() {
        match difference(y, expected, case.class.forward()).await {
            Ok(error) => outcome.forward = outcome.forward.max(error),
            Err(detail) => outcome.miss(case, &format!("output {i}: {detail}")),
        }
    }
    for (grad, (i, expected)) in recorded.grads.iter().zip(&case.grads) {
        match difference(grad, expected, case.class.backward()).await {
            Ok(error) => outcome.backward = outcome.backward.max(error),
            Err(detail) => outcome.miss(case, &format!("gradient of input {i}: {detail}")),
        }
    }
}

/// The error, or in words what differs.
async fn difference(found: &Tensor, expected: &Stored, bound: Bound) -> Result<f64, String> {
    let kind = |dtype: DType| (dtype.is_float(), dtype.is_int(), dtype == DType::F16);
    if found.shape() != expected.shape {
        return Err(format!("shape {:?} instead of {:?}", found.shape(), expected.shape));
    }
    if kind(found.dtype()) != kind(expected.dtype) {
        return Err(format!("{} instead of {}", found.dtype(), expected.dtype));
    }
    let values = values(found).await.map_err(|error| error.to_string())?;
    let error = bound.error(&values, &expected.values);
    match bound.worst(&values, &expected.values) {
        Some(i) if error > bound.tolerance => Err(format!(
            "error {error:.1e}, allowed {:.0e}; element {i} is {:e} instead of {:e}",
            bound.tolerance, values[i], expected.values[i]
        )),
        _ => Ok(error),
    }
}

async fn values(tensor: &Tensor) -> wgrad::Result<Vec<f64>> {
    Ok(match tensor.dtype() {
        DType::I32 => tensor.to_vec_async::<i32>().await?.into_iter().map(f64::from).collect(),
        DType::U32 => tensor.to_vec_async::<u32>().await?.into_iter().map(f64::from).collect(),
        DType::F16 => tensor.to_vec_async::<wgrad::f16>().await?.into_iter().map(f64::from).collect(),
        DType::Bool => tensor.to_vec_async::<bool>().await?.into_iter().map(|b| f64::from(u8::from(b))).collect(),
        _ => tensor.to_vec_async::<f32>().await?.into_iter().map(f64::from).collect(),
    })
}

impl Outcome {
    /// The larger errors of two devices, the misses of both.
    pub fn worse(self, other: Outcome) -> Outcome {
        let misses = [self.misses, other.misses].concat();
        Outcome { forward: self.forward.max(other.forward), backward: self.backward.max(other.backward), misses }
    }

    fn miss(&mut self, case: &Case, detail: &str) {
        self.misses.push(format!("{} ({}) {}: {detail}", case.id, case.note, case.attributes.0));
    }
}
