//! Windows along a dim: `unfold`, a view, and `fold`, which adds them up again; each other's gradient.

use crate::array::Array;
use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::{Access, BufferSlot, Kernel, Operand, Read, Routine, Stage, Write};
use crate::graph::{Meta, Op, Var, Vjp};
use crate::layout::View;
use crate::ops::movement::ViewOp;
use crate::ops::routine::{self, WORKGROUP, around, check_dim, wgsl};
use crate::shape::Shape;

/// Windows that one stage walks through; some software adapters end loops after 65,535 iterations.
const CHUNK: usize = 16_384;

/// `y[…, i, …] = Σ_j x[…, j, …, i − j·step]` along `dim`, which gets `length` elements; the last dim of `x` holds the windows.
#[derive(Clone, Copy, Hash)]
struct Fold {
    dim: usize,
    length: usize,
    step: usize,
}

impl Fold {
    /// The shape of `x` as `[outer, windows, inner]` and the size of a window.
    fn split(&self, x: &Shape) -> (routine::Around, usize) {
        let last = x.rank() - 1;
        (around(&x.without(last), self.dim), x[last])
    }
}

impl Op for Fold {
    fn name(&self) -> &str {
        "fold"
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let Meta { shape, dtype } = inputs[0];
        if shape.rank() < 2 || self.dim + 1 >= shape.rank() {
            return Err(Error::shape("fold", format!("dim {} and one of windows are needed", self.dim), &[shape]));
        }
        if !dtype.is_float() {
            return Err(Error::dtype("fold", "sums floats", &[*dtype]));
        }
        let (x, size) = self.split(shape);
        let end = x.size.checked_sub(1).and_then(|last| last.checked_mul(self.step)).and_then(|s| s.checked_add(size));
        if self.step == 0 || (x.size > 0 && end.is_none_or(|end| end > self.length)) {
            let detail =
                format!("{} windows of {size}, {} apart, do not fit {} elements", x.size, self.step, self.length);
            return Err(Error::shape("fold", detail, &[shape]));
        }
        let mut out = shape.without(shape.rank() - 1);
        out.dims_mut()[self.dim] = self.length;
        Ok(Meta::new(out, *dtype))
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let (from, size) = self.split(&inputs[0].shape());
        let mut sums = vec![0.0; output.numel()];
        for (p, value) in inputs[0].to_f64().into_iter().enumerate() {
            let (row, within) = (p / size, p % size);
            let (r, j, o) = (row % from.inner, row / from.inner % from.size, row / from.inner / from.size);
            sums[(o * self.length + j * self.step + within) * from.inner + r] += value;
        }
        Ok(Array::from_vec(&output.shape, sums).cast(output.dtype))
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let x = cx.inputs[0].shape();
        let (from, size) = self.split(x);
        // The windows may leave a rest at the end, or be none at all.
        let windows = cx.dy.unfold(self.dim, size, self.step);
        Ok(vec![Some(if windows.0.error.is_some() { windows } else { windows.slice(self.dim, 0, 1, from.size) })])
    }
}

impl Routine for Fold {
    fn stages(&self, inputs: &[Operand], output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
        macro_rules! text {
            ($begin:literal, $finish:literal) => {
                wgsl!(concat!("sums/", $begin), concat!("sums/", $finish), "fold/forward")
            };
        }
        let word = |n| routine::size("fold", n);
        let (from, size) = self.split(&inputs[0].meta.shape);
        let total = output.meta.numel();
        let stages = size.div_ceil(self.step).min(from.size).div_ceil(CHUNK).max(1);
        let sums = BufferSlot::Scratch(0);
        (0..stages)
            .map(|k| {
                let (first, last) = (k == 0, k + 1 == stages);
                let mut reads = vec![routine::read("x", 0)];
                if !first {
                    reads.push(Read { name: "sums", slot: sums, access: Access::Raw });
                }
                let partial = Write { name: "sums", slot: sums, vec4: false, scratch: Some((total, DType::F32)) };
                Ok(Stage {
                    name: "fold",
                    source: match (first, last) {
                        (true, true) => text!("begin_zero", "finish_output"),
                        (true, false) => text!("begin_zero", "finish_sum"),
                        (false, true) => text!("begin_sum", "finish_output"),
                        (false, false) => text!("begin_sum", "finish_sum"),
                    },
                    reads,
                    writes: vec![if last { routine::output() } else { partial }],
                    consts: vec![("WORKGROUP", WORKGROUP)],
                    params: vec![
                        ("total", word(total)?),
                        ("inner", word(from.inner)?),
                        ("length", word(self.length)?),
                        ("windows", word(from.size)?),
                        ("size", word(size)?),
                        // No window starts beyond the end, so a larger step does the same.
                        ("step", word(self.step.min(self.length.max(1)))?),
                        ("start", word(k * CHUNK)?),
                        ("chunk", word(CHUNK)?),
                    ],
                    checks_indices: false,
                    workgroups: routine::grid(total),
                })
            })
            .collect()
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }
}

impl Var {
    /// Windows of `size` elements along `dim`, `step` apart, as a view: `dim` counts the windows, and a new last dim holds their
    /// elements. Carries an error where a window is larger than the dim, or `step` is 0.
    #[track_caller]
    pub fn unfold(&self, dim: usize, size: usize, step: usize) -> Var {
        Var::apply(ViewOp(View::Unfold { dim, size, step }), &[self])
    }

    /// The transpose of [`Var::unfold`]: adds up the windows in the last dim, which start `step` apart, into `dim`, which gets
    /// `length` elements. Carries an error where they do not fit.
    #[track_caller]
    pub fn fold(&self, dim: usize, length: usize, step: usize) -> Var {
        Var::apply(Fold { dim, length, step }, &[self])
    }
}

/// The shape of [`Var::unfold`].
pub(super) fn unfolded(shape: &Shape, dim: usize, size: usize, step: usize) -> Result<Shape> {
    check_dim("unfold", shape, dim)?;
    if size > shape[dim] {
        let detail = format!("a window of {size} does not fit dim {dim} of size {} in shape {shape}", shape[dim]);
        return Err(Error::argument("unfold", detail));
    }
    if step == 0 || isize::try_from(step).is_err() {
        return Err(Error::argument("unfold", format!("the step must be above 0, and {step} is not or is too large")));
    }
    let mut out = shape.with_inserted(shape.rank(), size);
    out.dims_mut()[dim] = (shape[dim] - size) / step + 1;
    Ok(out)
}
