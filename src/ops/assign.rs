//! Assignments that a failed index check withholds: the device itself decides, and nothing is read.
//!
//! A variable that takes on a new value is bound to an [`Assign`] of the new and the old one. Where no index check is involved, that is the
//! new value under another name, and costs nothing. Where one is, the planner puts a [`Gate`] behind the checks, and the assignment chooses
//! between the two values by it.

use std::sync::Arc;

use crate::array::Array;
use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::{Kernel, Operand, Routine, Stage};
use crate::graph::op::passes_on;
use crate::graph::{Meta, Op, Var, no_grad};
use crate::ops::elementwise::select;
use crate::ops::routine::{self, wgsl};
use crate::shape::Shape;

/// What the checks of a training step have to do with an assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// It waits for the checks that the new value depends on, and so does the whole step of an optimizer.
    Value,
    /// It also waits for the other checks of the training step that touch the same graph: a batch with a wrong target moves no running
    /// statistics.
    Step,
}

/// The new value of a variable, beside the old one. To the planner it is a choice between the two, by a gate that comes first, where index
/// checks are involved.
#[derive(Hash)]
pub struct Assign(pub Scope);

impl Op for Assign {
    fn name(&self) -> &str {
        "assign"
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        Ok(inputs[0].clone())
    }

    fn kernel(&self, inputs: &[&Meta], output: &Meta) -> Kernel {
        if inputs.len() == GATED {
            select().kernel(inputs, output)
        } else {
            Kernel::View(crate::layout::View::Identity)
        }
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        if inputs.len() == GATED { select().reference(inputs, output) } else { Ok(inputs[0].clone()) }
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn is_name(&self) -> bool {
        true
    }

    fn needs(&self) -> usize {
        1
    }
}

/// Inputs of an assignment that chooses: gate, new value, old value. In the graph it has the latter two alone.
pub const GATED: usize = 3;

/// A value under another name, which belongs together with others: an assignment of it waits for the checks of all.
#[derive(Hash)]
struct Together;

impl Op for Together {
    fn name(&self) -> &str {
        "together"
    }
    passes_on!();
    fn is_name(&self) -> bool {
        true
    }
    fn differentiable(&self) -> bool {
        false
    }
}

/// Whether certain index checks have found nothing. The planner makes these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Gate {
    /// The checks: positions of nodes.
    pub checks: Vec<usize>,
    /// Values whose checks have run before, but may not have answered: positions of leaves.
    pub leaves: Vec<usize>,
    /// Values whose assignment waited for such checks: positions of leaves.
    pub behind: Vec<usize>,
}

impl Op for Gate {
    fn name(&self) -> &str {
        "checks passed"
    }

    fn infer(&self, _inputs: &[&Meta]) -> Result<Meta> {
        Ok(Meta::new(Shape::default(), DType::Bool))
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(Passed))
    }

    fn reference(&self, _inputs: &[&Array], _output: &Meta) -> Result<Array> {
        // The interpreter knows what the checks have found, and does not ask.
        Err(Error::internal(self.name(), "has no reference of its own"))
    }

    fn differentiable(&self) -> bool {
        false
    }
}

impl Gate {
    /// The gate as a node of a plan, attributed to the line of `like`.
    pub fn planned(self, like: &Var) -> Var {
        Var::bare(Arc::new(self), Meta::new(Shape::default(), DType::Bool), like.0.at, &like.0.context)
    }
}

/// Reads the device's block of index errors.
struct Passed;

impl Routine for Passed {
    fn stages(&self, _inputs: &[Operand], _output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
        Ok(vec![Stage {
            name: "checks_passed",
            source: wgsl!("index/checks_passed"),
            reads: Vec::new(),
            writes: vec![routine::output()],
            consts: Vec::new(),
            params: Vec::new(),
            checks_indices: false,
            workgroups: 1,
        }])
    }

    fn awaits_checks(&self) -> bool {
        true
    }
}

impl Var {
    /// This value as the next one of a variable that holds `old`, outside the graph of gradients: where index checks fail that it waits
    /// for, by `scope`, the variable keeps the old value.
    #[track_caller]
    pub(crate) fn assigned(&self, old: &Var, scope: Scope) -> Var {
        let computed = self.0.has_value() && !self.0.is_unchecked();
        let name = |var: &Var| {
            let name = no_grad(|| var.detach());
            name.share_value();
            name
        };
        if computed || self.0.error.is_some() || old.0.error.is_some() || self.meta() != old.meta() {
            return name(self);
        }
        Var::apply(Assign(scope), &[self, old])
    }

    /// This value, which belongs together with `others`.
    #[track_caller]
    pub(crate) fn together(&self, others: &[Var]) -> Var {
        let inputs: Vec<&Var> = std::iter::once(self).chain(others).collect();
        Var::apply(Together, &inputs)
    }
}
