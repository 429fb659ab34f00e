//! Placing a tensor into a larger one: padding, and the gradient of slices.

use std::any::Any;

use crate::array::{Array, ArrayElement};
use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::{Kernel, Operand, Routine, Stage, Word};
use crate::graph::{Bits, Meta, Op, Var, Vjp};
use crate::layout::{Layout, View};
use crate::ops::routine::{self, WORKGROUP, around, check_dim, wgsl};

/// `y[o, start + k·step, i] = x[o, k, i]` along `dim`, which gets `size` elements, and `value` elsewhere.
#[derive(Clone, Copy, Debug, Hash)]
struct Pad {
    dim: usize,
    start: usize,
    step: isize,
    size: usize,
    value: Bits,
}

impl Op for Pad {
    fn name(&self) -> &str {
        "pad"
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let Meta { shape, dtype } = inputs[0];
        check_dim("pad", shape, self.dim)?;
        let last = self.start as isize + shape[self.dim].saturating_sub(1) as isize * self.step;
        let inside = self.start < self.size && (0..self.size as isize).contains(&last);
        if self.step == 0 || (shape[self.dim] > 0 && !inside) {
            let Pad { dim, start, step, size, .. } = self;
            let detail = format!("dim {dim} of {shape} does not fit a size of {size} from {start} in steps of {step}");
            return Err(Error::shape("pad", detail, &[shape]));
        }
        let mut out = shape.clone();
        out.dims_mut()[self.dim] = self.size;
        Ok(Meta::new(out, *dtype))
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        fn put<T: ArrayElement>(y: &mut [T], layout: &Layout, x: impl Iterator<Item = T>) {
            for (offset, value) in layout.offsets().zip(x) {
                y[offset] = value;
            }
        }
        let x = inputs[0];
        let len = x.shape()[self.dim];
        let mut y = Array::full(&output.shape, output.dtype, self.value.0);
        if len == 0 {
            return Ok(y);
        }
        let view = View::Slice { dim: self.dim, start: self.start, step: self.step, len };
        let layout = Layout::contiguous(output.shape.clone()).view(&view);
        let layout = layout.ok_or_else(|| Error::internal("pad", "a slice is always a layout"))?;
        macro_rules! typed {
            ($($v:ident),*) => {
                match (&mut y, x) {
                    $((Array::$v(y), Array::$v(x)) => {
                        if let Some(y) = y.as_slice_mut() {
                            put(y, &layout, x.iter().copied());
                        }
                    })*
                    _ => return Err(Error::dtype("pad", "input and output differ", &[x.dtype(), output.dtype])),
                }
            };
        }
        typed!(Bool, U32, I32, F16, F32, F64);
        Ok(y)
    }

    fn reference_bytes(&self, _inputs: &[&Meta], output: &Meta) -> u64 {
        output.bytes()
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let len = cx.inputs[0].shape()[self.dim];
        Ok(vec![Some(cx.dy.slice(self.dim, if len == 0 { 0 } else { self.start }, self.step, len))])
    }
}

impl Routine for Pad {
    fn stages(&self, inputs: &[Operand], output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
        let size = |n| routine::size("pad", n);
        let to = around(&output.meta.shape, self.dim);
        let start = i32::try_from(self.start).map_err(|_| Error::unsupported("pad", "the start exceeds 31 bits"))?;
        Ok(vec![Stage {
            name: "pad",
            source: wgsl!("pad/forward"),
            reads: vec![routine::read("x", 0)],
            writes: vec![routine::output()],
            consts: vec![("WORKGROUP", WORKGROUP)],
            params: vec![
                ("total", size(output.meta.numel())?),
                ("inner", size(to.inner)?),
                ("size", size(to.size)?),
                ("len", size(inputs[0].meta.shape[self.dim])?),
                ("start", Word::I32(start)),
                ("stride", size(self.step.unsigned_abs())?),
                ("backwards", Word::U32(u32::from(self.step < 0))),
                ("value", routine::word(output.meta.dtype, self.value.0)),
            ],
            checks_indices: false,
            workgroups: routine::grid(output.meta.numel()),
        }])
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }
}

/// A slice's gradient before it is put among zeros: what stands from `start` along `dim`, which has `size` elements.
#[derive(Clone)]
pub struct Padded {
    /// The elements.
    pub part: Var,
    /// The dim.
    pub dim: usize,
    /// Where they begin.
    pub start: usize,
    /// Size of the whole.
    pub size: usize,
}

impl Padded {
    /// Where the elements end.
    pub fn end(&self) -> usize {
        self.start + self.part.shape()[self.dim]
    }
}

impl Var {
    /// Where this is a part among zeros, still to be computed: the part.
    pub fn placed(&self) -> Option<Padded> {
        let op: &dyn Any = &*self.0.op;
        let &Pad { dim, start, step: 1, size, value: Bits(0.0) } = op.downcast_ref::<Pad>()? else { return None };
        let part = self.0.with_inputs(|inputs| inputs.first().cloned())?;
        Some(Padded { part, dim, start, size })
    }

    /// The transpose of [`Var::slice`]: along `dim`, which gets `size` elements, the elements of `self` stand from `start`,
    /// `step` apart; the rest is `value`. Carries [`Error::Shape`] where they do not fit.
    #[track_caller]
    pub fn pad_dim(&self, dim: usize, start: usize, step: isize, size: usize, value: f64) -> Var {
        if self.dtype() == DType::Bool && self.0.error.is_none() {
            // The kernel's constant has the type of a buffer element, which a boolean has not.
            return self.cast(DType::U32).pad_dim(dim, start, step, size, value).cast(DType::Bool);
        }
        Var::apply(Pad { dim, start, step, size, value: Bits(value) }, &[self])
    }

    /// Adds `before` and `after` elements of `value` along each dim; `padding` has one pair a dim (else
    /// [`Error::Argument`]). The gradient is the slice of the inside.
    #[track_caller]
    pub fn pad(&self, padding: &[(usize, usize)], value: f64) -> Var {
        if padding.len() != self.shape().rank() {
            let detail = format!("{} pairs were given for shape {}", padding.len(), self.shape());
            return self.fail(Error::argument("pad", detail));
        }
        let mut out = self.clone();
        for (dim, &(before, after)) in padding.iter().enumerate() {
            if before > 0 || after > 0 {
                let size = before.saturating_add(self.shape()[dim]).saturating_add(after);
                out = out.pad_dim(dim, before, 1, size, value);
            }
        }
        out
    }
}
