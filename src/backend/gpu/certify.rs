//! Fast kernels of an op against its plainest ones: with `WGRAD_VALIDATE=1` before a device runs them for the first time, and always where
//! they are made of cooperative matrices.

use super::synthetic::{Kernels, operands, unfold, variant};
use super::{GpuBackend, GpuState, Purpose, buffer_of};
use crate::backend::validate::{TOLERANCE, from_bytes, relative_error};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::node::{Context, Traits, lock};
use crate::graph::{Meta, Var};
use crate::ir::Snapshot;
use crate::ir::gate::Unchecked;
use crate::plan::Plan;

/// Products that cooperative matrices are tried on: edges that fill no tile, a sum that is cut, and operands read across their rows.
const TRIALS: [([usize; 2], [usize; 2], bool); 3] =
    [([70, 45], [45, 90], false), ([70, 45], [45, 90], true), ([24, 3000], [3000, 20], false)];

impl GpuBackend {
    /// Runs the kernels of every op of the snapshot that has plainer ones beside those, on numbers made for it, where this device did
    /// not run the same kernels so before.
    ///
    /// # Errors
    /// [`Error::Unsupported`] naming the first op whose kernels disagree, with its source line.
    pub(super) fn certify(&self, snap: &Snapshot, state: &mut GpuState) -> Result<()> {
        for node in &snap.nodes {
            let inputs = operands(node);
            let Some(plainest) = variant(node, &inputs, Kernels::Plainest, &self.caps) else { continue };
            let Some((key, names)) = variant(node, &inputs, Kernels::Own, &self.caps) else { continue };
            if key == plainest.0 || state.certified.contains(&key) {
                continue;
            }
            let error = self.distance(node, state)?;
            if error.is_nan() || error > TOLERANCE {
                let shapes: Vec<String> = inputs.iter().map(|input| input.meta.shape.to_string()).collect();
                let detail = format!(
                    "the kernels {names} and the plainest ones disagree on shapes {}: relative error {error:.2e}",
                    shapes.join(" and ")
                );
                return Err(Error::unsupported(node.0.op.name(), detail).or_at(node.0.at));
            }
            log::debug!("{}: kernels {names} certified, relative error {error:.2e}", node.0.op.name());
            state.certified.insert(key);
        }
        Ok(())
    }

    /// Multiplies by cooperative matrices before anything relies on them, since drivers' support for them is young. Where a product
    /// fails or is wrong, the device goes on without.
    pub(super) fn try_cooperative(&mut self) {
        if self.caps.cooperative.is_none() {
            return;
        }
        let outcome = TRIALS.iter().try_for_each(|&(a, b, turned)| {
            let error = self.trial(a, b, turned)?;
            match error <= TOLERANCE {
                true => Ok(()),
                false => {
                    let detail = format!("{a:?} by {b:?} has a relative error of {error:.2e}");
                    Err(Error::unsupported("matmul", detail))
                }
            }
        });
        if let Err(error) = outcome {
            log::warn!("{}: no cooperative matrices, since they failed a test: {error}", self.gpu.info().name);
            self.caps.cooperative = None;
        }
        // Users count what they ran.
        self.gpu.reset_stats();
    }

    /// The relative error of one product of 16-bit floats.
    fn trial(&self, a: [usize; 2], b: [usize; 2], turned: bool) -> Result<f64> {
        let traits = Traits {
            allows_f64: false,
            allows_f16: true,
            prefers_expressions: false,
            kind: self.caps.kind(),
            lanes: self.caps.lanes().is_some(),
        };
        let context = Context::new("trial", traits);
        let [a, b] = [(a, 1), (b, 2)].map(|(shape, salt)| self.numbers(&Meta::new(shape, DType::F16), salt, &context));
        let (a, b) = (a?, b?);
        let product = if turned { b.transpose(0, 1).matmul(&a.transpose(0, 1)) } else { a.matmul(&b) };
        self.distance(&unfold(&product).0, &mut lock(&self.state))
    }

    /// The relative error between what an op's kernels and its plainest ones make of the same numbers.
    fn distance(&self, node: &Var, state: &mut GpuState) -> Result<f64> {
        let both = self.synthetic_runs(node, &[Kernels::Own, Kernels::Plainest])?;
        let snap = Snapshot::new(&both, &[], Unchecked::Nothing, self.settings(None));
        let (plan, _) = Plan::new(&snap, &self.caps, self.fuse, None)?;
        let mut prepared = self.prepare(&snap, plan)?;
        let GpuState { workspace, faults, partners, .. } = state;
        self.execute(&snap, &mut prepared, workspace, faults, partners, Purpose::default())?;
        let read = |var: &Var| -> Result<Vec<f64>> {
            let (bytes, _) = pollster::block_on(self.gpu.read(&buffer_of(var)?, 0, var.meta().bytes(), 0..0))?;
            Ok(from_bytes(&bytes, var.meta()).to_f64())
        };
        Ok(relative_error(&read(&both[0])?, &read(&both[1])?))
    }
}
