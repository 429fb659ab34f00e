//! How ops run on a kind of adapters: `gpu` has the kernels for GPUs, `software` those for adapters that run shaders on CPU cores.
//!
//! What an op computes, and kernels that suit every adapter, are in the op's own file. `gpu` knows nothing of `software`, which falls back
//! on it.

pub(in crate::ops) mod gpu;
pub(in crate::ops) mod software;

use crate::caps::{AdapterKind, Caps};
use crate::error::Result;
use crate::graph::kernel::{Operand, Stage};
use crate::ops::attention::{Attention, Sizes};
use crate::ops::conv::Convolution;
use crate::ops::matmul::plan::{Family, Problem};
use crate::ops::row_kernels::Sharers;

/// What each kind of adapters has kernels of its own for.
pub(in crate::ops) trait Kernels: Sync {
    /// The kernels that multiply two matrices.
    fn product(&self, problem: &Problem, caps: &Caps) -> Family;

    /// A convolution or one of its gradients; `None` where those for every adapter suit better. `name` is the op's.
    ///
    /// # Errors
    /// Where sizes do not fit 32 bits.
    fn convolution(
        &self,
        op: &Convolution,
        name: &'static str,
        inputs: &[Operand],
        output: &Operand,
        caps: &Caps,
    ) -> Result<Option<Vec<Stage>>>;

    /// One part of attention.
    ///
    /// # Errors
    /// Where sizes do not fit 32 bits.
    fn attention(
        &self,
        op: &Attention,
        sizes: Sizes,
        inputs: &[Operand],
        output: &Operand,
        caps: &Caps,
    ) -> Result<Vec<Stage>>;

    /// Whether attention of these sizes is one kernel, in the place of products and a softmax whose scores are stored. `lanes` says
    /// whether the adapter has subgroups of eight lanes or more.
    fn fuses_attention(&self, sizes: Sizes, lanes: bool) -> bool;

    /// Whether one kernel computes the gradients of keys and of values, of which `wanted` are needed.
    fn joins_gradients(&self, sizes: Sizes, wanted: [bool; 2], lanes: bool) -> bool;

    /// Who works on a row of so many parts, of whose elements runs of `run` lie next to each other.
    fn row_sharers(&self, parts: usize, run: usize, caps: &Caps) -> Sharers;
}

/// The kernels of a kind of adapters.
pub(in crate::ops) fn of(kind: AdapterKind) -> &'static dyn Kernels {
    match kind {
        AdapterKind::Gpu => &gpu::Gpu,
        AdapterKind::Software => &software::Software,
    }
}
