//! Why the planner did what it did, for explanations.

use std::fmt;

/// Why a value is written to memory instead of being computed where it is read.
///
/// ```
/// use wgrad::{Device, StoreReason, Tensor};
/// let x = Tensor::ones([256], &Device::gpu()?);
/// let explanation = (x.exp() + 1.0).explain()?;
/// assert_eq!(explanation.kernels[0].stored[0].reason, StoreReason::Asked);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreReason {
    /// It was asked for.
    Asked,
    /// A user holds a handle to it, or to a view of it.
    Held,
    /// A structured op reads it, and those bind buffers.
    Operand,
    /// It is the result of a reduction or of a structured op.
    Result,
    /// It is a reshape that strides cannot express, or a scalar that becomes data: its elements get a new order.
    Copy,
    /// Several kernels read it, and computing it anew in each would cost more.
    Shared,
    /// An expand repeats it, and computing it anew for every repetition would cost more.
    Expanded,
    /// A reader's view cannot be pushed through the ops that make it.
    View,
    /// It is computed again, because keeping it until then would take more memory than the budget allows.
    Budget,
    /// A kernel may hold only so many instructions.
    Instructions,
    /// A kernel may bind only so many buffers.
    Buffers,
    /// Nothing in this flush reads it.
    Unread,
    /// Fusion is off.
    FusionOff,
}

impl fmt::Display for StoreReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StoreReason::Asked => "asked for",
            StoreReason::Held => "held by the program",
            StoreReason::Operand => "operand of a structured op",
            StoreReason::Result => "result of a reduction or structured op",
            StoreReason::Copy => "elements in a new order",
            StoreReason::Shared => "read by several kernels, dear to recompute",
            StoreReason::Expanded => "repeated by an expand, dear to recompute",
            StoreReason::View => "read through a view that strides cannot express",
            StoreReason::Budget => "computed again to keep to the memory budget",
            StoreReason::Instructions => "instruction budget of a kernel",
            StoreReason::Buffers => "buffer budget of a kernel",
            StoreReason::Unread => "read by nothing in this flush",
            StoreReason::FusionOff => "fusion is off",
        })
    }
}

/// Why the ops after a kernel are not part of it.
///
/// ```
/// use wgrad::{Device, EndReason, Tensor};
/// let x = Tensor::ones([16, 16], &Device::gpu()?);
/// let explanation = x.sum_dims(&[1], false).max().explain()?;
/// assert_eq!(explanation.kernels[0].ended, [("max".to_string(), EndReason::Core)]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// The consumer is a reduction or a structured op, which is a kernel of its own.
    Core,
    /// The consumer runs over another index space, or reads the values at other places.
    IndexSpace,
    /// The structured op of this kernel takes no consumers into its last store.
    NoEpilogue,
    /// The consumer also reads what a later kernel makes.
    Later,
    /// Where ops are computed again to keep to a memory budget, kernels stay what they are without it.
    Budget,
    /// With the consumer the kernel would hold too many instructions.
    Instructions,
    /// The consumer is a long function, and the structured op of this kernel stores at many places, each of which would repeat it.
    ManyStores,
    /// The consumer writes over a value that a later kernel reads, or that this kernel cannot write over.
    InPlace,
    /// With the consumer the kernel would bind too many buffers.
    Buffers,
    /// Fusion is off.
    FusionOff,
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EndReason::Core => "starts a kernel of its own",
            EndReason::IndexSpace => "runs over another index space",
            EndReason::NoEpilogue => "cannot join, the structured op takes no consumers",
            EndReason::Later => "also reads what a later kernel makes",
            EndReason::Budget => "is in another kernel, as without the memory budget",
            EndReason::Instructions => "would burst the instruction budget",
            EndReason::ManyStores => "is too long to be repeated at each store of the structured op",
            EndReason::InPlace => "writes over its variable's old value, which this kernel cannot",
            EndReason::Buffers => "would burst the buffer budget",
            EndReason::FusionOff => "is another op, and fusion is off",
        })
    }
}
