//! Pending nodes by position, inputs before consumers.

use std::any::Any;

use smallvec::SmallVec;

use crate::graph::kernel::Kernel;
use crate::graph::{Meta, Var};
use crate::ir::Replacement;
use crate::ops::assign::{GATED, Gate};

/// An input of a pending node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The pending node at this position.
    Pending(usize),
    /// The computed value at this position.
    Leaf(usize),
}

/// Why a node's value may outlive the flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Keep {
    /// Asked for by this flush: stored contiguously even if it is a view.
    pub root: bool,
    /// A user holds it.
    pub held: bool,
    /// A backward pass may still need it.
    pub awaits_backward: bool,
}

/// What is to be computed, from which values.
#[derive(Clone, Default)]
pub struct Dag {
    /// Nodes without a value, inputs before consumers.
    pub nodes: Vec<Var>,
    /// Inputs of each of `nodes`.
    pub inputs: Vec<SmallVec<[Source; 3]>>,
    /// What is to happen with each node's value.
    pub keep: Vec<Keep>,
    /// Nodes with a value that `nodes` read, in order of first use.
    pub leaves: Vec<Var>,
    /// New values of variables whose old ones are leaves.
    pub replaces: Vec<Replacement>,
}

impl Dag {
    /// The node behind a source.
    pub fn var(&self, source: Source) -> &Var {
        match source {
            Source::Pending(i) => &self.nodes[i],
            Source::Leaf(i) => &self.leaves[i],
        }
    }

    /// How node `i` runs, by the inputs that it has here: those of captured steps have none of their own.
    pub fn kernel_of(&self, i: usize) -> Kernel {
        let metas: SmallVec<[&Meta; 4]> = self.inputs[i].iter().map(|&source| self.var(source).meta()).collect();
        self.nodes[i].0.op.kernel(&metas, self.nodes[i].meta())
    }

    /// The gate that node `i` is, where it is one.
    pub fn gate(&self, i: usize) -> Option<&Gate> {
        let op: &dyn Any = &*self.nodes[i].0.op;
        op.downcast_ref()
    }

    /// The gate that the assignment at position `i` waits for, where it does.
    pub fn gate_of(&self, i: usize) -> Option<&Gate> {
        match (self.nodes[i].is_alias(), &self.inputs[i][..]) {
            (true, [Source::Pending(gate), _, _]) => self.gate(*gate),
            _ => None,
        }
    }

    /// Whether node `i` is its input under another name.
    pub fn is_name(&self, i: usize) -> bool {
        self.nodes[i].is_alias() && self.inputs[i].len() == 1
    }

    /// The node that node `i` is another name of.
    pub fn named(&self, i: usize) -> Option<usize> {
        match (self.is_name(i), &self.inputs[i][..]) {
            (true, &[Source::Pending(named)]) => Some(named),
            _ => None,
        }
    }

    /// The inputs that decide which index checks the value of node `i` depends on. An assignment that waits for them is as right as the old
    /// value is.
    pub fn check_inputs(&self, i: usize) -> &[Source] {
        let gated = self.nodes[i].is_alias() && self.inputs[i].len() == GATED;
        if gated { &self.inputs[i][GATED - 1..] } else { &self.inputs[i] }
    }
}
