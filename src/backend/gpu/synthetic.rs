//! Ops by other kernels than they would take, on numbers made for the purpose.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::GpuBackend;
use crate::array::Array;
use crate::caps::Caps;
use crate::error::Result;
use crate::graph::kernel::{Kernel, Operand, Routine, Stage};
use crate::graph::node::Context;
use crate::graph::{Meta, Op, Value, Var};
use crate::ir::hash::StructuralHasher;
use crate::layout::Layout;

/// Which kernels of an op.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kernels {
    /// Its own.
    Own,
    /// The plainest ones, [`Routine::baseline`].
    Plainest,
    /// Those of a number, [`Routine::candidate`].
    Candidate(usize),
}

impl Kernels {
    /// The routine with these kernels, where it has them.
    pub fn of(self, routine: Box<dyn Routine>) -> Option<Box<dyn Routine>> {
        match self {
            Kernels::Own => Some(routine),
            Kernels::Plainest => routine.baseline(),
            Kernels::Candidate(candidate) => routine.candidate(candidate),
        }
    }
}

/// An op by kernels that it has.
struct By(Arc<dyn Op>, Kernels);

impl Hash for By {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.structure(state);
        self.1.hash(state);
    }
}

impl Op for By {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        self.0.infer(inputs)
    }

    fn kernel(&self, inputs: &[&Meta], output: &Meta) -> Kernel {
        match self.0.kernel(inputs, output) {
            Kernel::Routine(routine) => match self.1.of(routine) {
                Some(routine) => Kernel::Routine(routine),
                None => self.0.kernel(inputs, output),
            },
            other => other,
        }
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        self.0.reference(inputs, output)
    }
}

impl GpuBackend {
    /// A node's op by each of `kernels` on the same numbers.
    pub(super) fn synthetic_runs(&self, node: &Var, kernels: &[Kernels]) -> Result<Vec<Var>> {
        let context = Context::new("synthetic inputs", node.0.context.traits);
        let inputs = node.0.inputs();
        let inputs = inputs.iter().zip(1..).map(|(input, salt)| self.synthetic_input(input, salt, &context));
        let inputs: Vec<Var> = inputs.collect::<Result<_>>()?;
        let inputs: Vec<&Var> = inputs.iter().collect();
        let by = |&kernels: &Kernels| Var::apply_in(Arc::new(By(node.0.op.clone(), kernels)), &inputs, &context);
        let all: Vec<Var> = kernels.iter().map(by).collect();
        all.iter().try_for_each(Var::check)?;
        Ok(all)
    }

    /// Numbers instead of an input: views of them where it is views of something.
    fn synthetic_input(&self, input: &Var, salt: u32, context: &Arc<Context>) -> Result<Var> {
        let (base, views) = unfold(input);
        let data = self.numbers(base.meta(), salt, context)?;
        Ok(views.iter().rev().fold(data, |x, view| Var::apply_in(view.0.op.clone(), &[&x], context)))
    }

    /// Numbers from −1 to 1, others for each salt.
    pub(super) fn numbers(&self, meta: &Meta, salt: u32, context: &Arc<Context>) -> Result<Var> {
        let number = |i: u32| (i.wrapping_add(salt << 24).wrapping_mul(0x9e37_79b1) >> 16) as f32 / 32768.0 - 1.0;
        let numbers: Vec<f32> = (0..meta.numel() as u32).map(number).collect();
        let bytes = Array::from_vec(&meta.shape, numbers).cast(meta.dtype).to_bytes();
        Ok(Var::data(meta.clone(), Arc::new(self.gpu.upload(&bytes)?) as Value, context))
    }
}

/// What an input is a view of, and the views on the way, the last one first.
pub fn unfold(input: &Var) -> (Var, Vec<Var>) {
    let (mut base, mut views) = (input.clone(), Vec::new());
    // A computed node is what it is, and may have let its inputs go.
    while !base.0.has_value() && matches!(base.0.kernel(), Kernel::View(_)) {
        let Some(inner) = base.0.with_inputs(|inputs| inputs.first().cloned()) else { break };
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

/// A node's inputs as kernels see them.
pub fn operands(node: &Var) -> Vec<Operand> {
    node.0.with_inputs(|inputs| inputs.iter().map(operand).collect())
}

/// What tells kernels of a node from others, and their names; `None` where it has no such ones.
pub fn variant(node: &Var, inputs: &[Operand], kernels: Kernels, caps: &Caps) -> Option<(u128, String)> {
    let Kernel::Routine(routine) = node.0.kernel() else { return None };
    let output = Operand { meta: node.meta().clone(), layout: Layout::contiguous(node.meta().shape.clone()) };
    let stages = kernels.of(routine)?.stages(inputs, &output, caps).ok()?;
    let mut hash = StructuralHasher::default();
    for Stage { name, source, reads, consts, .. } in &stages {
        (name, source, consts).hash(&mut hash);
        reads.iter().for_each(|read| (read.slot, read.access).hash(&mut hash));
    }
    inputs.iter().for_each(|input| input.meta.dtype.hash(&mut hash));
    let names: Vec<&str> = stages.iter().map(|stage| stage.name).collect();
    Some((hash.finish128(), names.join(", ")))
}
