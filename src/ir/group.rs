//! What one kernel computes, in the form that the code generator prints.

use std::sync::Arc;

use crate::dtype::DType;
use crate::graph::kernel::{Reduce, Routine, WgslFn};
use crate::ir::{EndReason, Replacement, Source, StoreReason};
use crate::layout::Layout;

/// Straight-line code over single-assignment values, evaluated at every element of an index space.
#[derive(Clone, Default)]
pub struct Body {
    /// Instructions; each refers to earlier ones by position.
    pub code: Vec<Inst>,
    /// Buffers that the code loads from.
    pub leaves: Vec<Leaf>,
}

/// One instruction and the type of its value.
#[derive(Clone)]
pub struct Inst {
    pub what: What,
    pub dtype: DType,
}

/// What an instruction does.
#[derive(Clone)]
pub enum What {
    /// Loads from `Body::leaves[_]`.
    Load(usize),
    /// The value of the pending scalar node at this position.
    Scalar(usize),
    /// The row-major index of the element in the space that the layout gives.
    Index(Layout),
    /// Calls a function; `left_out` are arguments given as text, by position.
    Call { function: Arc<WgslFn>, field: Option<&'static str>, args: Vec<usize>, left_out: Vec<(usize, &'static str)> },
    /// Copies a value (a reshape that strides cannot express).
    Copy(usize),
    /// What the group's reduction or routine produced.
    Result,
}

/// A buffer and how the index space maps to it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Leaf {
    pub source: Source,
    pub layout: Layout,
    pub dtype: DType,
}

/// What a kernel is built around.
pub enum Core {
    /// Nothing: elementwise code alone.
    Elementwise,
    /// A reduction of `body`'s value `value`, which lives in the index space `input_shape`.
    Reduce { node: usize, reduce: Reduce, body: Body, value: usize },
    /// Horizontal fusion: several groups without dependence on each other in one kernel.
    Horizontal(Vec<Group>),
    /// Reductions over the last dim of `[rows, size]`, and elementwise code over its elements, in one kernel that walks over each row
    /// once a part.
    Rows { parts: Vec<Group>, rows: usize, size: usize },
    /// A routine; `inputs` are its operands in order, and `producers` compute those of them that are in no buffer.
    Routine { node: usize, routine: Box<dyn Routine>, inputs: Vec<Leaf>, producers: Vec<Option<Producer>> },
}

/// What computes an operand of a routine where it is loaded: `body`'s value `value`, in the operand's own index space.
pub struct Producer {
    pub body: Body,
    pub value: usize,
}

impl Group {
    /// The groups that horizontal fusion put into it; else itself.
    pub fn parts(&self) -> impl Iterator<Item = &Group> {
        let (parts, own) = match &self.core {
            Core::Horizontal(parts) => (parts.as_slice(), None),
            _ => (&[][..], Some(self)),
        };
        parts.iter().chain(own)
    }

    /// The members by the kernels that they would take without those that walk over rows several times.
    pub fn kernels(&self) -> Vec<Vec<usize>> {
        match &self.core {
            Core::Rows { parts, .. } => parts.iter().map(|part| part.members.clone()).collect(),
            _ => vec![self.members.clone()],
        }
    }

    /// Positions of the nodes whose values stay within the kernel, as values of its rows.
    pub fn inner(&self) -> Vec<usize> {
        let Core::Rows { parts, .. } = &self.core else { return Vec::new() };
        let made = parts.iter().flat_map(|part| &part.outputs).map(|(_, node)| *node);
        made.filter(|node| !self.outputs.iter().any(|(_, own)| own == node)).collect()
    }

    /// Instructions for an element, of a reduction's input and of the output.
    pub fn instructions(&self) -> usize {
        let of_core = if let Core::Reduce { body, .. } = &self.core { body.code.len() } else { 0 };
        of_core + self.body.code.len()
    }

    /// The buffer that the value of an output is stored in.
    pub fn target(&self, node: usize) -> Source {
        let replaced = self.in_place.iter().find(|replacement| replacement.node == node);
        replaced.map_or(Source::Pending(node), |replacement| Source::Leaf(replacement.leaf))
    }

    /// Every buffer that is loaded from.
    pub fn leaves(&self) -> Vec<&Leaf> {
        let core: Vec<&Leaf> = match &self.core {
            Core::Elementwise => Vec::new(),
            Core::Reduce { body, .. } => body.leaves.iter().collect(),
            Core::Routine { inputs, producers, .. } => {
                let made = producers.iter().flatten().flat_map(|producer| &producer.body.leaves);
                let bound = inputs.iter().zip(producers).filter(|(_, made)| made.is_none());
                bound.map(|(input, _)| input).chain(made).collect()
            }
            Core::Horizontal(parts) => parts.iter().flat_map(Group::leaves).collect(),
            Core::Rows { parts, .. } => {
                let made = |source: Source| {
                    matches!(source, Source::Pending(i)
                        if parts.iter().any(|part| part.outputs.iter().any(|&(_, node)| node == i)))
                };
                parts.iter().flat_map(Group::leaves).filter(|leaf| !made(leaf.source)).collect()
            }
        };
        core.into_iter().chain(&self.body.leaves).collect()
    }
}

/// One kernel (or, for routines and long reductions, a few that belong together).
pub struct Group {
    pub core: Core,
    /// Elementwise code over the output's index space.
    pub body: Body,
    /// Values of `body` that are stored: (value, position of the node).
    pub outputs: Vec<(usize, usize)>,
    /// Outputs that are written over leaves.
    pub in_place: Vec<Replacement>,
    /// Number of elements of the output's index space.
    pub numel: usize,
    /// Positions of the nodes that start or joined the kernel; the kernel is named after them.
    pub members: Vec<usize>,
    /// Positions of all nodes that the kernel computes, those computed again for it included, in the order of the code.
    pub ops: Vec<usize>,
    /// Why each of `outputs` is stored.
    pub stored: Vec<(usize, StoreReason)>,
    /// Why consumers did not join, with the position of the consumer.
    pub ended: Vec<(EndReason, usize)>,
}
