//! Views: other walks over the same elements, without copies.

use smallvec::SmallVec;

use crate::array::Array;
use crate::error::{Error, Result};
use crate::graph::kernel::Kernel;
use crate::graph::{Meta, Op, Var, Vjp};
use crate::layout::{Layout, View};
use crate::ops::routine::check_dim;
use crate::ops::unfold::unfolded;
use crate::shape::Shape;

/// The op behind every view.
#[derive(Hash)]
pub struct ViewOp(pub View);

impl Op for ViewOp {
    fn name(&self) -> &str {
        match &self.0 {
            View::Identity => "identity",
            View::Contiguous => "contiguous",
            View::Permute(_) => "permute",
            View::Expand(_) => "expand",
            View::Slice { .. } => "slice",
            View::Unfold { .. } => "unfold",
            View::Reshape(_) => "reshape",
        }
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let input = inputs[0];
        let shape = &input.shape;
        let out = match &self.0 {
            View::Identity | View::Contiguous => shape.clone(),
            View::Permute(order) => {
                let mut seen: SmallVec<[bool; 6]> = SmallVec::from_elem(false, shape.rank());
                let once = order.iter().all(|&d| seen.get_mut(d).is_some_and(|s| !std::mem::replace(s, true)));
                if !once || order.len() != shape.rank() {
                    let detail = format!("{order:?} is not an order of the {} dims", shape.rank());
                    return Err(Error::shape("permute", detail, &[shape]));
                }
                order.iter().map(|&d| shape[d]).collect()
            }
            View::Expand(to) => {
                if shape.broadcast("expand", to).ok().as_ref() != Some(to) {
                    return Err(Error::shape("expand", format!("{shape} does not expand to {to}"), &[shape, to]));
                }
                to.clone()
            }
            View::Slice { dim, start, step, len } => {
                check_dim("slice", shape, *dim)?;
                let (size, last) = (shape[*dim], *start as isize + (len.saturating_sub(1)) as isize * step);
                let inside = match len {
                    0 => *start <= size,
                    _ => *start < size && (0..size as isize).contains(&last),
                };
                if *step == 0 || !inside {
                    let detail = format!(
                        "{len} elements from {start} in steps of {step} leave dim {dim} of size {size} in shape {shape}"
                    );
                    return Err(Error::argument("slice", detail));
                }
                let mut out = shape.clone();
                out.dims_mut()[*dim] = *len;
                out
            }
            View::Unfold { dim, size, step } => unfolded(shape, *dim, *size, *step)?,
            View::Reshape(to) => {
                if to.numel() != shape.numel() {
                    let detail = format!("{} elements do not fit {to}, which has {}", shape.numel(), to.numel());
                    return Err(Error::shape("reshape", detail, &[shape, to]));
                }
                to.clone()
            }
        };
        Ok(Meta { shape: out, dtype: input.dtype })
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::View(self.0.clone())
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let input = inputs[0];
        if matches!(self.0, View::Identity | View::Contiguous) {
            return Ok(input.clone());
        }
        let layout = Layout::contiguous(input.shape());
        // A row-major array can be reshaped freely, so every view of one is a layout.
        match layout.view(&self.0) {
            Some(layout) => Ok(input.strided(&layout)),
            None => Err(Error::argument(self.name(), format!("no layout of {} shows {}", input.shape(), output.shape))),
        }
    }

    fn reference_bytes(&self, _inputs: &[&Meta], output: &Meta) -> u64 {
        output.bytes()
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let (dy, shape) = (cx.dy, cx.inputs[0].shape());
        let dx = match &self.0 {
            View::Identity | View::Contiguous => dy.clone(),
            View::Permute(order) => {
                let mut inverse: SmallVec<[usize; 6]> = SmallVec::from_elem(0, order.len());
                for (to, &from) in order.iter().enumerate() {
                    inverse[from] = to;
                }
                dy.permute(&inverse)
            }
            View::Expand(_) => dy.sum_to(shape),
            View::Slice { dim, start, step, len } => {
                let size = shape[*dim];
                if *len == size && (*step == -1 || *len == 1) {
                    // A flip, which is its own inverse.
                    dy.slice(*dim, *start, *step, *len)
                } else {
                    dy.pad_dim(*dim, *start, *step, size, 0.0)
                }
            }
            View::Unfold { dim, step, .. } => dy.fold(*dim, shape[*dim], *step),
            View::Reshape(_) => dy.reshape(shape),
        };
        Ok(vec![Some(dx)])
    }
}

impl Var {
    /// The same values in row-major order: a copy where strides say otherwise.
    #[track_caller]
    pub fn contiguous(&self) -> Var {
        Var::apply(ViewOp(View::Contiguous), &[self])
    }

    /// Repeats dims of size 1 up to `shape`; new dims stand in front. Carries [`Error::Shape`] where that does not fit.
    #[track_caller]
    pub fn expand(&self, shape: &Shape) -> Var {
        if self.shape() == shape { self.clone() } else { Var::apply(ViewOp(View::Expand(shape.clone())), &[self]) }
    }

    /// The same elements in row-major order under another shape of as many elements, else [`Error::Shape`].
    #[track_caller]
    pub fn reshape(&self, shape: &Shape) -> Var {
        if self.shape() == shape { self.clone() } else { Var::apply(ViewOp(View::Reshape(shape.clone())), &[self]) }
    }

    /// Dim `i` of the output is dim `order[i]`. Carries [`Error::Shape`] where `order` does not name each dim once.
    #[track_caller]
    pub fn permute(&self, order: &[usize]) -> Var {
        if order.len() == self.shape().rank() && order.iter().enumerate().all(|(i, &d)| i == d) {
            return self.clone();
        }
        Var::apply(ViewOp(View::Permute(SmallVec::from_slice(order))), &[self])
    }

    /// Swaps two dims. Carries [`Error::Argument`] where one is out of range.
    #[track_caller]
    pub fn transpose(&self, a: usize, b: usize) -> Var {
        let shape = self.shape();
        if let Err(error) = check_dim("transpose", shape, a).and_then(|()| check_dim("transpose", shape, b)) {
            return self.fail(error);
        }
        let mut order: SmallVec<[usize; 6]> = (0..shape.rank()).collect();
        order.swap(a, b);
        self.permute(&order)
    }

    /// Along `dim`: `len` elements from `start`, `step` apart (negative walks backwards). Carries [`Error::Argument`] where
    /// that leaves the dim.
    #[track_caller]
    pub fn slice(&self, dim: usize, start: usize, step: isize, len: usize) -> Var {
        let whole = self.shape().get(dim) == Some(&len) && start == 0 && (step == 1 || (step != 0 && len == 1));
        if whole { self.clone() } else { Var::apply(ViewOp(View::Slice { dim, start, step, len }), &[self]) }
    }

    /// Reverses the order along each of `dims`.
    #[track_caller]
    pub fn flip(&self, dims: &[usize]) -> Var {
        let mut out = self.clone();
        for &dim in dims {
            let len = out.shape().get(dim).copied().unwrap_or(0);
            out = out.slice(dim, len.saturating_sub(1), -1, len);
        }
        out
    }

    /// Drops `dim` if it has size 1, else changes nothing.
    #[track_caller]
    pub fn squeeze(&self, dim: usize) -> Var {
        let shape = self.shape();
        if let Err(error) = check_dim("squeeze", shape, dim) {
            return self.fail(error);
        }
        if shape[dim] == 1 { self.reshape(&shape.without(dim)) } else { self.clone() }
    }

    /// Puts a dim of size 1 before position `dim`, which may be the rank.
    #[track_caller]
    pub fn unsqueeze(&self, dim: usize) -> Var {
        let shape = self.shape();
        if dim > shape.rank() {
            let detail = format!("position {dim} is out of range for shape {shape} of rank {}", shape.rank());
            return self.fail(Error::argument("unsqueeze", detail));
        }
        self.reshape(&shape.with_inserted(dim, 1))
    }

    /// The elements at `index` of `dim`, without that dim. Carries [`Error::Argument`] where one is out of range.
    #[track_caller]
    pub fn select(&self, dim: usize, index: usize) -> Var {
        self.slice(dim, index, 1, 1).squeeze(dim)
    }

    /// Sums over the dims that broadcasting from `shape` has made or stretched: the transpose of [`Var::expand`], and the
    /// one place where gradients are un-broadcast.
    #[track_caller]
    pub fn sum_to(&self, shape: &Shape) -> Var {
        if self.shape() == shape {
            return self.clone();
        }
        let Some(lead) = self.shape().rank().checked_sub(shape.rank()) else {
            let detail = format!("{} is not broadcast from {shape}", self.shape());
            return self.fail(Error::shape("sum_to", detail, &[self.shape(), shape]));
        };
        let stretched = |d: usize| d < lead || (shape[d - lead] == 1 && self.shape()[d] != 1);
        let dims: Vec<usize> = (0..self.shape().rank()).filter(|&d| stretched(d)).collect();
        self.sum(&dims, false).reshape(shape)
    }
}
