//! Fast kernels of an op against its plainest ones: with `WGRAD_VALIDATE=1` before a device runs them for the first time, and always where
//! they are made of cooperative matrices.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::{GpuBackend, Purpose, State, buffer_of};
use crate::array::Array;
use crate::backend::validate::{TOLERANCE, from_bytes, relative_error};
use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::{Kernel, Operand, Routine, Stage};
use crate::graph::node::{Context, Traits, lock};
use crate::graph::{Meta, Op, Value, Var};
use crate::layout::Layout;
use crate::schedule::snapshot::StructuralHasher;
use crate::schedule::{Plan, Snapshot};

/// Products that cooperative matrices are tried on: edges that fill no tile, a sum that is cut, and operands read across their rows.
const TRIALS: [([usize; 2], [usize; 2], bool); 3] =
    [([70, 45], [45, 90], false), ([70, 45], [45, 90], true), ([24, 3000], [3000, 20], false)];

/// An op computed by its yardstick.
struct Plain(Arc<dyn Op>);

impl Op for Plain {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        self.0.infer(inputs)
    }

    fn attributes(&self, hash: &mut dyn Hasher) {
        self.0.attributes(hash);
    }

    fn kernel(&self, inputs: &[&Meta], output: &Meta) -> Kernel {
        match self.0.kernel(inputs, output) {
            Kernel::Routine(routine) => Kernel::Routine(routine.yardstick().unwrap_or(routine)),
            other => other,
        }
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        self.0.reference(inputs, output)
    }
}

impl GpuBackend {
    /// Runs the kernels of every op of the snapshot that has plainer ones beside those, on numbers made for it, where this device did
    /// not run the same kernels so before.
    ///
    /// # Errors
    /// [`Error::Unsupported`] naming the first op whose kernels disagree, with its source line.
    pub(super) fn certify(&self, snap: &Snapshot, state: &mut State) -> Result<()> {
        for node in &snap.nodes {
            let Kernel::Routine(routine) = node.0.kernel() else { continue };
            let Some(plain) = routine.yardstick() else { continue };
            let inputs: Vec<Operand> = node.0.with_inputs(|inputs| inputs.iter().map(operand).collect());
            let output = Operand { meta: node.meta().clone(), layout: Layout::contiguous(node.meta().shape.clone()) };
            let variant = variant(&*routine, &inputs, &output, &self.caps);
            if variant == self::variant(&*plain, &inputs, &output, &self.caps) {
                continue;
            }
            let Some((key, names)) = variant.filter(|(key, _)| !state.certified.contains(key)) else { continue };
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
                    Err(Error::unsupported("matmul", format!("{a:?} by {b:?} has a relative error of {error:.2e}")))
                }
            }
        });
        if let Err(error) = outcome {
            log::warn!("{}: no cooperative matrices, since they failed a test: {error}", self.gpu.info().name);
            self.caps.cooperative = None;
        }
    }

    /// The relative error of one product of 16-bit floats.
    fn trial(&self, a: [usize; 2], b: [usize; 2], turned: bool) -> Result<f64> {
        let traits = Traits {
            allows_f64: false,
            allows_f16: true,
            prefers_expressions: false,
            software: self.caps.software,
            lanes: self.caps.lanes().is_some(),
        };
        let context = Context::new("trial", traits);
        let [a, b] = [(a, 1), (b, 2)].map(|(shape, salt)| self.numbers(&Meta::new(shape, DType::F16), salt, &context));
        let (a, b) = (a?, b?);
        let product = if turned { b.transpose(0, 1).matmul(&a.transpose(0, 1)) } else { a.matmul(&b) };
        self.distance(&unfold(&product).0, &mut lock(&self.state))
    }

    /// The relative error between what an op's kernels and its plainest ones make of the same numbers.
    fn distance(&self, node: &Var, state: &mut State) -> Result<f64> {
        let context = Context::new("certificate", node.0.context.traits);
        let inputs = node.0.inputs();
        let inputs = inputs.iter().zip(1..).map(|(input, salt)| self.stand_in(input, salt, &context));
        let inputs: Vec<Var> = inputs.collect::<Result<_>>()?;
        let inputs: Vec<&Var> = inputs.iter().collect();
        let own = Var::apply_in(node.0.op.clone(), &inputs, &context);
        let plain = Var::apply_in(Arc::new(Plain(node.0.op.clone())), &inputs, &context);
        let both = [own, plain];
        both.iter().try_for_each(Var::check)?;
        let mut snap = Snapshot::new(&both, &[], self.settings(None));
        let plan = Plan::new(&mut snap, &self.caps, self.fuse, None)?;
        let mut prepared = self.prepare(&snap, plan)?;
        let State { workspace, faults, partners, .. } = state;
        self.execute(&snap, &mut prepared, workspace, faults, partners, Purpose::default())?;
        let [own, plain] = both.map(|var| -> Result<Vec<f64>> {
            let (bytes, _) = pollster::block_on(self.gpu.read(&buffer_of(&var)?, 0, var.meta().bytes(), 0..0))?;
            Ok(from_bytes(&bytes, var.meta()).to_f64())
        });
        Ok(relative_error(&own?, &plain?))
    }

    /// Numbers in the place of an input: views of them where it is views of something.
    fn stand_in(&self, input: &Var, salt: u32, context: &Arc<Context>) -> Result<Var> {
        let (base, views) = unfold(input);
        let data = self.numbers(base.meta(), salt, context)?;
        Ok(views.iter().rev().fold(data, |x, view| Var::apply_in(view.0.op.clone(), &[&x], context)))
    }

    /// Numbers from −1 to 1, others for each salt.
    fn numbers(&self, meta: &Meta, salt: u32, context: &Arc<Context>) -> Result<Var> {
        let number = |i: u32| (i.wrapping_add(salt << 24).wrapping_mul(0x9e37_79b1) >> 16) as f32 / 32768.0 - 1.0;
        let numbers: Vec<f32> = (0..meta.numel() as u32).map(number).collect();
        let bytes = Array::from_vec(&meta.shape, numbers).cast(meta.dtype).to_bytes();
        Ok(Var::data(meta.clone(), Arc::new(self.gpu.upload(&bytes)?) as Value, context))
    }
}

/// What an input is a view of, and the views on the way, the last one first.
fn unfold(input: &Var) -> (Var, Vec<Var>) {
    let (mut base, mut views) = (input.clone(), Vec::new());
    while let (false, Kernel::View(_)) = (base.0.has_value(), base.0.kernel()) {
        let inner = base.0.with_inputs(|inputs| inputs[0].clone());
        views.push(std::mem::replace(&mut base, inner));
    }
    (base, views)
}

/// An input as kernels see it; what strides cannot express is copied before.
fn operand(input: &Var) -> Operand {
    let (base, views) = unfold(input);
    let mut layout = Layout::contiguous(base.shape().clone());
    for view in views.iter().rev() {
        let Kernel::View(own) = view.0.kernel() else { continue };
        layout = layout.view(&own).unwrap_or_else(|| Layout::contiguous(view.shape().clone()));
    }
    Operand { meta: input.meta().clone(), layout }
}

/// What tells the kernels of a routine from others, and their names; `None` where it cannot run.
fn variant(routine: &dyn Routine, inputs: &[Operand], output: &Operand, caps: &Caps) -> Option<(u128, String)> {
    let stages = routine.stages(inputs, output, caps).ok()?;
    let mut hash = StructuralHasher::default();
    for Stage { name, source, reads, consts, .. } in &stages {
        (name, source, consts).hash(&mut hash);
        reads.iter().for_each(|read| (read.slot, read.access).hash(&mut hash));
    }
    inputs.iter().for_each(|input| input.meta.dtype.hash(&mut hash));
    let names: Vec<&str> = stages.iter().map(|stage| stage.name).collect();
    Some((hash.finish128(), names.join(", ")))
}
