//! What an op is. Built-in and custom ops implement the same trait; nothing in the crate matches over ops.

use std::any::Any;

use crate::array::Array;
use crate::error::{Error, Result};
use crate::graph::kernel::Kernel;
use crate::graph::{Meta, Structure, Var};
use crate::layout::Layout;

/// An operation: shape rule, kernel, gradient rule and CPU reference together.
///
/// It derives `Hash`: two ops of a type and name whose fields have equal hashes have equal kernels, so a plan made for the one is reused for the
/// other. A float among the fields is a [`Bits`](crate::graph::Bits); what says nothing about the kernel is
/// [`Unhashed`](crate::graph::Unhashed).
pub trait Op: Structure + Any + Send + Sync {
    /// Name in errors, logs and pictures, such as `"matmul"`.
    fn name(&self) -> &str;

    /// Shape and type of the output.
    ///
    /// # Errors
    /// Where the operands do not fit; the text names them. The caller adds the source line.
    fn infer(&self, inputs: &[&Meta]) -> Result<Meta>;

    /// How the op runs on a GPU.
    fn kernel(&self, inputs: &[&Meta], output: &Meta) -> Kernel;

    /// The CPU reference: simple, independent of the shaders, in f32 or f64 as the inputs are.
    ///
    /// # Errors
    /// Where the data is bad (an index out of range).
    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array>;

    /// Bytes that [`Op::reference`] needs beside its inputs, at most: its output, and what it holds on the way to it. The CPU
    /// reference runs no op that there is no memory for.
    fn reference_bytes(&self, inputs: &[&Meta], output: &Meta) -> u64 {
        // Inputs as f64 twice, the output as f64 and in its own type.
        let words = |meta: &Meta| 8 * meta.numel() as u64;
        inputs.iter().map(|input| 2 * words(input)).fold(words(output) + output.bytes(), u64::saturating_add)
    }

    /// The CPU reference of an op that takes its operands as they lie in memory: each is the elements of a row-major array that a layout
    /// shows. So views need no copies. `None` where the op does not, or not these.
    fn reference_of_views(&self, _inputs: &[(&Array, &Layout)], _output: &Meta) -> Option<Result<Array>> {
        None
    }

    /// The gradient of each input, given the gradient of the output, as new graph nodes; `None` where the input gets none.
    /// Only inputs with `needs[i]` set are asked for.
    ///
    /// # Errors
    /// Where the op has no gradient.
    fn vjp(&self, _cx: &Vjp) -> Result<Vec<Option<Var>>> {
        Err(Error::Autograd {
            op: self.name().into(),
            detail: "this op has no gradient".into(),
            at: Default::default(),
        })
    }

    /// Lets go of values that the op keeps for its gradient: a backward pass has gone through its node, and none will again.
    fn release(&self) {}

    /// Whether gradients can flow through the op at all; `false` for comparisons, indices and the like.
    fn differentiable(&self) -> bool {
        true
    }

    /// Whether second gradients of a linear op are zeros, instead of an error that says that its inputs take no part in the first ones:
    /// for ops that are linear for some of their options only, or have nonlinear siblings. So PyTorch has it for pooling.
    fn is_flat(&self) -> bool {
        false
    }

    /// Whether the op can meet an index that is out of range (or another value that it has to reject) while it runs, and reports it.
    fn checks_indices(&self) -> bool {
        false
    }

    /// What [`Op::checks_indices`] checks, where that is one input against one bound: ops that check the same agree.
    fn index_check(&self, _inputs: &[&Meta]) -> Option<IndexCheck> {
        None
    }

    /// Whether the value is that of the first input under another name. Further inputs only say what belongs together.
    fn is_name(&self) -> bool {
        false
    }

    /// How many of the inputs, from the first, are computed in any case. An assignment needs the old value only where it may be withheld.
    fn needs(&self) -> usize {
        usize::MAX
    }

    /// Whether the op stands for the same value again and again: same inputs, same output. (All do, random ones too: their
    /// counter is an input.) Sources that hold data do not.
    fn is_source(&self) -> bool {
        false
    }
}

/// What an op checks of its indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IndexCheck {
    /// The input that holds the indices.
    pub input: usize,
    /// They lie below it, and are not negative.
    pub bound: u64,
    /// A number that is allowed beside these.
    pub ignored: Option<i64>,
}

/// What a gradient rule sees; [`Op`] shows one.
pub struct Vjp<'a> {
    /// The op's inputs.
    pub inputs: &'a [Var],
    /// The op's output.
    pub output: &'a Var,
    /// Gradient of the loss with respect to the output (the upstream gradient), of the output's shape.
    pub dy: &'a Var,
    /// Which inputs need a gradient.
    pub needs: &'a [bool],
    /// Whether the gradient will itself be differentiated: then rules must use differentiable ops only.
    pub create_graph: bool,
}

/// What an op does whose value is that of its first input, under another name: shape, kernel and reference. Stands in an `impl Op`.
macro_rules! passes_on {
    () => {
        fn infer(&self, inputs: &[&$crate::graph::Meta]) -> $crate::error::Result<$crate::graph::Meta> {
            Ok(inputs[0].clone())
        }

        fn kernel(
            &self,
            _inputs: &[&$crate::graph::Meta],
            _output: &$crate::graph::Meta,
        ) -> $crate::graph::kernel::Kernel {
            $crate::graph::kernel::Kernel::View($crate::layout::View::Identity)
        }

        fn reference(
            &self,
            inputs: &[&$crate::array::Array],
            _output: &$crate::graph::Meta,
        ) -> $crate::error::Result<$crate::array::Array> {
            Ok(inputs[0].clone())
        }

        fn reference_bytes(&self, _inputs: &[&$crate::graph::Meta], output: &$crate::graph::Meta) -> u64 {
            output.bytes()
        }
    };
}
pub(crate) use passes_on;
