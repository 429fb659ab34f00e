//! What an op is. Built-in and custom ops implement the same trait; nothing in the crate matches over ops.

use std::any::Any;
use std::hash::Hasher;

use crate::array::Array;
use crate::error::{Error, Result};
use crate::graph::kernel::Kernel;
use crate::graph::{Meta, Var};

/// An operation: shape rule, kernel, gradient rule and CPU reference together.
pub trait Op: Any + Send + Sync {
    /// Name in errors, logs and pictures, such as `"matmul"`.
    fn name(&self) -> &str;

    /// Shape and type of the output.
    ///
    /// # Errors
    /// Where the operands do not fit; the text names them. The caller adds the source line.
    fn infer(&self, inputs: &[&Meta]) -> Result<Meta>;

    /// Feeds every attribute that changes the kernel's text, grid or shapes (not values of scalars) to the hash.
    fn attributes(&self, _hash: &mut dyn Hasher) {}

    /// How the op runs on a GPU.
    fn kernel(&self, inputs: &[&Meta], output: &Meta) -> Kernel;

    /// The CPU reference: simple, independent of the shaders, in f32 or f64 as the inputs are.
    ///
    /// # Errors
    /// Where the data is bad (an index out of range).
    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array>;

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

    /// Whether gradients can flow through the op at all; `false` for comparisons, indices and the like.
    fn differentiable(&self) -> bool {
        true
    }

    /// Whether the op stands for the same value again and again: same inputs, same output. (All do, random ones too: their
    /// counter is an input.) Sources that hold data do not.
    fn is_source(&self) -> bool {
        false
    }
}

/// What a gradient rule sees.
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
    };
}
pub(crate) use passes_on;
