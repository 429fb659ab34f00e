//! Gradients against differences.

use std::any::Any;
use std::panic::Location;

use crate::backend::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::order::reachable;
use crate::ops::elementwise::Forward;
use crate::site;
use crate::tensor::Tensor;
use crate::tensor::autograd::grad;

/// What [`gradcheck`] and [`gradgradcheck`] found.
///
/// ```
/// use wgrad::{Device, Tensor, autograd};
/// let x = Tensor::from_slice(&[0.5f32, 2.0], [2], &Device::cpu());
/// let autograd::GradcheckReport { worst, compared } = autograd::gradcheck(|x| x[0].square(), &[&x], 1e-6)?;
/// assert!(worst <= 1e-6 && compared == 2);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GradcheckReport {
    /// Largest difference between a derivative and its central difference, relative to the larger of the two and 1.
    pub worst: f64,
    /// Derivatives compared; those of a function with an op of the user's count twice, as they are compared on the adapter too.
    pub compared: usize,
}

/// The least tolerance on an adapter, where values are f32.
const ADAPTER_TOLERANCE: f64 = 5e-3;

/// Holds the gradient of `f` at `inputs` against central differences. `f` must return one tensor; its elements are summed, with weights.
///
/// The inputs may live anywhere: they are moved to the CPU reference and computed with in f64, where differences are exact enough. What
/// `f` captures is not moved, so it has to live on the CPU too, in f64, or be an input; else the check refuses and says so.
///
/// Where `f` uses an [`ElementwiseOp`](crate::autograd::ElementwiseOp), its shaders run too: the same comparison is made in f32 on the inputs'
/// adapter (that of [`Device::default`] where they live on the CPU), with a tolerance of at least 5e-3. So a wrong backward function is found,
/// which the CPU never calls. An op without a CPU reference and a derivative is checked there only.
///
/// ```
/// use wgrad::{Device, Tensor, autograd};
/// let x = Tensor::from_slice(&[0.3f32, -1.2], [2], &Device::default());
/// let report = autograd::gradcheck(|x| x[0].tanh() * &x[0], &[&x], 1e-6)?;
/// assert_eq!(report.compared, 2);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Autograd`] naming the element and both values where they differ by more than `tolerance`; [`Error::Unsupported`] where `f`
/// captures a tensor of another device; errors of `f`.
#[track_caller]
pub fn gradcheck(f: impl Fn(&[Tensor]) -> Tensor, inputs: &[&Tensor], tolerance: f64) -> Result<GradcheckReport> {
    check("gradcheck", &f, inputs, tolerance)
}

/// [`gradcheck`] of the gradient of `f`: second derivatives.
///
/// ```
/// use wgrad::{Device, Tensor, autograd};
/// let x = Tensor::from_slice(&[0.3f32, -1.2], [2], &Device::default());
/// autograd::gradgradcheck(|x| x[0].sigmoid(), &[&x], 1e-6)?;
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// As [`gradcheck`].
#[track_caller]
pub fn gradgradcheck(f: impl Fn(&[Tensor]) -> Tensor, inputs: &[&Tensor], tolerance: f64) -> Result<GradcheckReport> {
    let gradient = |inputs: &[Tensor]| {
        // Weights that differ from element to element, so that errors cannot cancel.
        let refs: Vec<&Tensor> = inputs.iter().collect();
        let y = f(inputs);
        match grad(&[&weighted(&y)], &refs, true) {
            Ok(grads) => grads.iter().map(weighted).reduce(|a, b| &a + &b).unwrap_or(y),
            Err(error) => y.build(Location::caller(), |_| Err(error)),
        }
    };
    check("gradgradcheck", &gradient, inputs, tolerance)
}

fn weight(i: usize) -> f64 {
    (1.0 + i as f64 * 0.7).sin() + 0.3
}

/// The sum of the elements with fixed weights of varied size and sign.
fn weighted(y: &Tensor) -> Tensor {
    let weights = (0..y.numel()).map(weight);
    let weights = match y.dtype() {
        DType::F64 => Tensor::from_slice(&weights.collect::<Vec<f64>>(), y.full_shape(), y.device()),
        _ => Tensor::from_slice(&weights.map(|w| w as f32).collect::<Vec<f32>>(), y.full_shape(), y.device()),
    };
    (y * &weights).sum()
}

/// Where and how finely gradients are compared.
struct Check<'a> {
    op: &'static str,
    f: &'a dyn Fn(&[Tensor]) -> Tensor,
    inputs: &'a [&'a Tensor],
    start: Vec<Vec<f64>>,
    device: Device,
    tolerance: f64,
}

#[track_caller]
fn check(
    op: &'static str,
    f: &dyn Fn(&[Tensor]) -> Tensor,
    inputs: &[&Tensor],
    tolerance: f64,
) -> Result<GradcheckReport> {
    let at = Location::caller();
    let _from = site::from(at);
    let run = || {
        let start = inputs.iter().map(|t| Ok(t.to_host()?.to_f64())).collect::<Result<_>>()?;
        let own = Check { op, f, inputs, start, device: Device::cpu(), tolerance };
        let y = own.value(&own.start);
        y.check().map_err(|error| refusal(op, error))?;
        let users = users(&y);
        if users.is_empty() {
            return own.run();
        }
        let given = inputs.iter().map(|input| input.device()).find(|device| !device.is_cpu()).cloned();
        let device = given.unwrap_or_default();
        if device.is_cpu() {
            log::warn!("{op}: there is no adapter here, so the shaders of {} are not checked", users[0].0);
            return own.run();
        }
        let tolerance = tolerance.max(ADAPTER_TOLERANCE);
        let adapter = Check { op, f, inputs, start: own.start.clone(), device, tolerance }.run()?;
        if users.iter().any(|(_, on_host)| !on_host) {
            return Ok(adapter);
        }
        let host = own.run()?;
        Ok(GradcheckReport { worst: adapter.worst.max(host.worst), compared: adapter.compared + host.compared })
    };
    run().map_err(|error: Error| error.or_at(at))
}

/// The users' elementwise ops that lead to `y`, and whether the CPU reference has all that it needs of them.
fn users(y: &Tensor) -> Vec<(String, bool)> {
    let nodes = reachable(&[y.node()], |_| false);
    let of_user = nodes.iter().filter_map(|var| {
        let op: &dyn Any = &*var.0.op;
        let definition = &op.downcast_ref::<Forward>()?.0;
        definition.is_users().then(|| (definition.name.clone(), definition.runs_on_host()))
    });
    of_user.collect()
}

/// What a tensor that the function captures has led to, in words.
fn refusal(op: &str, error: Error) -> Error {
    let captured = "what the function captures stays as it is: give it as an input, or keep it on the CPU in f64";
    let (detail, at) = match error {
        Error::DeviceMismatch { op: inner, devices, at } => {
            (format!("{inner}: operands on {}; inputs are moved to the CPU, but {captured}", devices.join(" and ")), at)
        }
        Error::DType { op: inner, detail, dtypes, at } if dtypes.contains(&DType::F64) => {
            (format!("{inner}: {detail}; inputs are computed with in f64, but {captured}"), at)
        }
        other => return other,
    };
    Error::Unsupported { op: op.into(), detail, at }
}

impl Check<'_> {
    fn is_exact(&self) -> bool {
        self.device.is_cpu()
    }

    fn leaves(&self, values: &[Vec<f64>]) -> Vec<Tensor> {
        let leaf = |(v, t): (&Vec<f64>, &&Tensor)| match self.is_exact() {
            true => Tensor::from_slice(v, t.full_shape(), &self.device),
            false => {
                let single: Vec<f32> = v.iter().map(|&x| x as f32).collect();
                Tensor::from_slice(&single, t.full_shape(), &self.device)
            }
        };
        values.iter().zip(self.inputs).map(|pair| leaf(pair).requires_grad()).collect()
    }

    fn value(&self, values: &[Vec<f64>]) -> Tensor {
        (self.f)(&self.leaves(values))
    }

    /// The weighted sum of the value at `start` moved by `step` in one element.
    fn moved(&self, k: usize, i: usize, step: f64) -> Result<f64> {
        let mut moved = self.start.clone();
        moved[k][i] += step;
        if !self.is_exact() {
            moved[k][i] = f64::from(moved[k][i] as f32);
        }
        let y = self.value(&moved).to_host()?.to_f64();
        Ok(y.iter().enumerate().map(|(j, y)| y * weight(j)).sum())
    }

    /// Derivatives by differences: in f32 by more points that lie further apart, at two distances, since neither suits every function.
    fn numeric(&self, k: usize, i: usize) -> Result<Vec<f64>> {
        let size = self.start[k][i].abs().max(1.0);
        if self.is_exact() {
            let step = 1e-5 * size;
            return Ok(vec![(self.moved(k, i, step)? - self.moved(k, i, -step)?) / (2.0 * step)]);
        }
        let at = |step: f64| -> Result<f64> {
            let near = self.moved(k, i, step)? - self.moved(k, i, -step)?;
            let far = self.moved(k, i, 2.0 * step)? - self.moved(k, i, -2.0 * step)?;
            Ok((8.0 * near - far) / (12.0 * step))
        };
        // Powers of two: the distances are exact in f32.
        Ok(vec![at(size.log2().floor().exp2() / 64.0)?, at(size.log2().floor().exp2() / 1024.0)?])
    }

    fn run(&self) -> Result<GradcheckReport> {
        let leaves = self.leaves(&self.start);
        let refs: Vec<&Tensor> = leaves.iter().collect();
        let y = (self.f)(&leaves);
        y.check().map_err(|error| refusal(self.op, error))?;
        let grads = grad(&[&weighted(&y)], &refs, false)?;
        let mut report = GradcheckReport::default();
        for (k, gradient) in grads.iter().enumerate() {
            for (i, analytic) in gradient.to_host()?.to_f64().into_iter().enumerate() {
                let error = |numeric: f64| (analytic - numeric).abs() / analytic.abs().max(numeric.abs()).max(1.0);
                let found = self.numeric(k, i)?.into_iter().map(|numeric| (error(numeric), numeric));
                let Some((error, numeric)) = found.min_by(|a, b| a.0.total_cmp(&b.0)) else { continue };
                report.compared += 1;
                report.worst = report.worst.max(error);
                if error.is_nan() || error > self.tolerance {
                    let place = if self.is_exact() {
                        String::new()
                    } else {
                        format!(", by the shaders of {}", self.device.info())
                    };
                    let detail =
                        format!("input {k}, element {i}: gradient {analytic}{place}, central difference {numeric}");
                    return Err(Error::Autograd { op: self.op.into(), detail, at: Default::default() });
                }
            }
        }
        Ok(report)
    }
}
