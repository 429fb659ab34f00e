//! Views: other walks over the same elements, without copies.

use std::hash::{Hash, Hasher};

use crate::array::Array;
use crate::error::{Error, Result};
use crate::graph::kernel::Kernel;
use crate::graph::{Meta, Op, Var};
use crate::layout::{Layout, View};
use crate::shape::Shape;

/// The op behind every view.
pub struct ViewOp(pub View);

impl Op for ViewOp {
    fn name(&self) -> &str {
        match &self.0 {
            View::Identity => "identity",
            View::Permute(_) => "permute",
            View::Expand(_) => "expand",
            View::Slice { .. } => "slice",
            View::Reshape(_) => "reshape",
        }
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let input = inputs[0];
        let shape = &input.shape;
        let out = match &self.0 {
            View::Identity => shape.clone(),
            View::Permute(order) => order.iter().map(|&d| shape[d]).collect(),
            View::Expand(to) => {
                if shape.broadcast("expand", to).ok().as_ref() != Some(to) {
                    return Err(Error::shape("expand", format!("{shape} does not expand to {to}"), &[shape, to]));
                }
                to.clone()
            }
            View::Slice { dim, len, .. } => {
                let mut out = shape.clone();
                out.dims_mut()[*dim] = *len;
                out
            }
            View::Reshape(to) => {
                if to.numel() != shape.numel() {
                    let detail = format!("{} elements do not fit {to} with {}", shape.numel(), to.numel());
                    return Err(Error::shape("reshape", detail, &[shape, to]));
                }
                to.clone()
            }
        };
        Ok(Meta { shape: out, dtype: input.dtype })
    }

    fn attributes(&self, mut hash: &mut dyn Hasher) {
        self.0.hash(&mut hash);
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::View(self.0.clone())
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let input = inputs[0];
        let layout = Layout::contiguous(input.shape());
        // A row-major array can be reshaped freely, so every view of one is a layout.
        match layout.view(&self.0) {
            Some(layout) => Ok(input.strided(&layout)),
            None => Err(Error::argument(self.name(), format!("no layout of {} shows {}", input.shape(), output.shape))),
        }
    }
}

impl Var {
    /// Repeats dims of size 1 up to `shape`; new dims stand in front.
    #[track_caller]
    pub fn expand(&self, shape: &Shape) -> Var {
        if self.shape() == shape { self.clone() } else { Var::apply(ViewOp(View::Expand(shape.clone())), &[self]) }
    }
}
