//! WGSL text from groups.
//!
//! Kernels are built from pieces that stand in shader files and from single-assignment statements; shader code is never
//! edited as text. Sizes, strides, offsets and scalars are parameters, so equal structure means equal text, and a
//! pipeline is compiled once for each distinct text.

mod cancel;
mod elementwise;
mod expr;
mod horizontal;
mod reached;
mod reduce;
mod routine;
mod row_fusion;
mod writer;

pub use horizontal::workgroup_of;
pub use writer::KernelText;

use std::sync::Arc;

use crate::caps::{Caps, PANELS};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ir::group::{Body, Core, Group, What};
use crate::ir::{Dag, Source};

/// A buffer that a kernel binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bound {
    /// A leaf or the stored value of a pending node.
    Source(Source),
    /// Temporary storage within one group.
    Scratch(usize),
}

/// Where a kernel parameter's bits come from at each run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamSource {
    /// Fixed by the plan.
    Const(u32),
    /// The value of the scalar node at this position.
    Scalar {
        /// Position of the node in the snapshot.
        node: usize,
        /// The type that the kernel takes it in.
        dtype: DType,
    },
    /// A number that identifies the node at this position in an index fault.
    Tag {
        /// Position of the node in the snapshot.
        node: usize,
    },
    /// The slot of the block of index errors for the node at this position.
    Slot {
        /// Position of the node in the snapshot.
        node: usize,
    },
    /// What the gate at this position looks at: a word of the mask of slots, and after those whether a failed check is known.
    Gate {
        /// Position of the node in the snapshot.
        node: usize,
        /// Which of them.
        word: usize,
    },
}

/// Words by which a gate learns which slots of the block of index errors to look at: a bit for each of 256 slots, and one word more.
pub const GATE_WORDS: usize = 9;

/// One dispatch.
pub struct Call {
    pub kernel: Arc<KernelText>,
    /// Buffers in binding order.
    pub bound: Vec<Bound>,
    /// Where a buffer is bound in part: offset and size in bytes, by binding. Empty where all are bound whole.
    pub windows: Vec<Option<(u64, u64)>>,
    /// Parameters in order.
    pub params: Vec<ParamSource>,
    pub workgroups: u64,
    /// Bytes that the kernel touches at least, for splitting very long flushes.
    pub work: u64,
    /// Arithmetic operations, where known: one for each call of an op's function at an element.
    pub flops: Option<u64>,
}

/// The dispatches of a group, the scratch buffers they share, in bytes, and the texels of panels that they use.
#[derive(Default)]
pub struct Calls {
    pub calls: Vec<Call>,
    pub scratch: Vec<u64>,
    pub panels: [u64; PANELS],
}

/// Prints a group.
///
/// # Errors
/// Where an index does not fit u32, or a routine cannot run at this size.
pub fn generate(group: &Group, dag: &Dag, caps: &Caps) -> Result<Calls> {
    let reductions = caps.of_reductions();
    let caps = if matches!(group.core, Core::Routine { .. }) { caps } else { &*reductions };
    let result = match &group.core {
        Core::Elementwise => elementwise::generate(group, dag, caps),
        Core::Reduce { node, reduce, body, value } => {
            reduce::generate(group, dag, caps, reduce::Parts { node: *node, reduce, body, value: *value })
        }
        Core::Routine { node, routine, inputs, producers } => {
            routine::generate(group, dag, caps, routine::Parts { node: *node, routine: &**routine, inputs, producers })
        }
        Core::Horizontal(parts) => horizontal::generate(parts, dag, caps),
        Core::Rows { parts, rows, size } => row_fusion::generate(group, parts, *rows, *size, dag, caps),
    };
    let blamed = match &group.core {
        Core::Elementwise | Core::Horizontal(_) | Core::Rows { .. } => group.members.first(),
        Core::Reduce { node, .. } | Core::Routine { node, .. } => Some(node),
    };
    result.map_err(|error| match blamed {
        Some(&node) => {
            let node = &dag.nodes[node].0;
            let named = match error {
                Error::TooManyElements { elements, limit, at, .. } => {
                    Error::TooManyElements { op: node.op.name().into(), elements, limit, at }
                }
                other => other,
            };
            named.or_at(node.at)
        }
        None => error,
    })
}

/// Function calls that a body takes at each element.
fn calls(body: &Body) -> u64 {
    body.code.iter().filter(|inst| matches!(inst.what, What::Call { .. })).count() as u64
}

/// A size or stride as a shader word.
fn word(value: usize) -> Result<u32> {
    u32::try_from(value).map_err(|_| Error::TooManyElements {
        op: "index arithmetic".into(),
        elements: value as u64,
        limit: u64::from(u32::MAX),
        at: Default::default(),
    })
}

/// Invocations in a workgroup of the generated kernels.
fn workgroup_size(caps: &Caps) -> u32 {
    caps.max_invocations.min(256)
}
