//! Softmax and log-softmax along one dim, as one kernel per pass, and their decompositions into primitive ops.

use crate::array::Array;
use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::kernel::{Kernel, Operand, Routine, Stage, Wgsl};
use crate::graph::{Meta, Op, Var, Vjp};
use crate::ops::routine::{self, LONG_ROW, around, check_dim, expect_float, largest};
use crate::ops::row_kernels::{RowPlan, rows_texts};

/// Softmax (`log` unset) or log-softmax along `dim`.
#[derive(Clone, Copy, Hash)]
struct Softmax {
    dim: usize,
    log: bool,
}

/// The gradient of [`Softmax`] from its output and the upstream gradient.
#[derive(Clone, Copy, Hash)]
struct SoftmaxBackward(Softmax);

/// Rows of `shape` along `dim` in f64, each handed to `f` with its elements; `f` returns the new row.
fn map_rows(inputs: &[&Array], output: &Meta, dim: usize, f: impl Fn(&[Vec<f64>]) -> Vec<f64>) -> Array {
    let around = around(&output.shape, dim);
    let values: Vec<Vec<f64>> = inputs.iter().map(|a| a.to_f64()).collect();
    let mut out = vec![0.0; output.numel()];
    for o in 0..around.outer {
        for i in 0..around.inner {
            let at = |k: usize| (o * around.size + k) * around.inner + i;
            let rows: Vec<Vec<f64>> = values.iter().map(|v| (0..around.size).map(|k| v[at(k)]).collect()).collect();
            for (k, value) in f(&rows).into_iter().enumerate() {
                out[at(k)] = value;
            }
        }
    }
    Array::from_vec(&output.shape, out).cast(output.dtype)
}

impl Op for Softmax {
    fn name(&self) -> &str {
        if self.log { "log_softmax" } else { "softmax" }
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        expect_float(self.name(), inputs[0].dtype)?;
        check_dim(self.name(), &inputs[0].shape, self.dim)?;
        Ok(inputs[0].clone())
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        Ok(map_rows(inputs, output, self.dim, |rows| {
            let x = &rows[0];
            let largest = largest(x);
            let sum: f64 = x.iter().map(|v| (v - largest).exp()).sum();
            x.iter().map(|v| if self.log { v - largest - sum.ln() } else { (v - largest).exp() / sum }).collect()
        }))
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let (y, dy) = (cx.output, cx.dy);
        if !cx.create_graph && !y.0.context.traits.prefers_expressions {
            return Ok(vec![Some(Var::apply(SoftmaxBackward(*self), &[y, dy]))]);
        }
        let gradient = |y: &Var, dy: &Var| match self.log {
            true => dy - y.exp() * dy.sum(&[self.dim], true),
            false => y * (dy - (dy * y).sum(&[self.dim], true)),
        };
        let wide = y.in_f32(|y| gradient(y, &dy.cast(DType::F32)));
        Ok(vec![Some(wide.unwrap_or_else(|| gradient(y, dy)))])
    }
}

impl Op for SoftmaxBackward {
    fn name(&self) -> &str {
        if self.0.log { "log_softmax_backward" } else { "softmax_backward" }
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        Ok(inputs[0].clone())
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        Ok(map_rows(inputs, output, self.0.dim, |rows| {
            let (y, dy) = (&rows[0], &rows[1]);
            let weighted = |(y, dy): (&f64, &f64)| if self.0.log { *dy } else { y * dy };
            let sum: f64 = y.iter().zip(dy).map(weighted).sum();
            y.iter().zip(dy).map(|(y, dy)| if self.0.log { dy - y.exp() * sum } else { y * (dy - sum) }).collect()
        }))
    }

    fn differentiable(&self) -> bool {
        false
    }
}

impl Softmax {
    fn rows(&self, shape: &crate::shape::Shape, caps: &Caps) -> RowPlan {
        let around = around(shape, self.dim);
        let run = if around.inner == 1 { around.size } else { 1 };
        RowPlan::new(caps, around.outer * around.inner, around.size, run)
    }

    fn stage(
        &self,
        name: &'static str,
        shape: &crate::shape::Shape,
        caps: &Caps,
        texts: [[Wgsl; 2]; 4],
        inputs: &[&'static str],
    ) -> Result<Stage> {
        let around = around(shape, self.dim);
        let rows = around.outer * around.inner;
        let plan = self.rows(shape, caps);
        let mut consts = plan.consts();
        consts.push(("LOG", u32::from(self.log)));
        let mut params = plan.params(name, rows)?;
        params.push(("inner", routine::size(name, around.inner)?));
        Ok(Stage {
            name,
            source: plan.text(texts),
            reads: inputs.iter().enumerate().map(|(i, input)| plan.read(input, i)).collect(),
            writes: vec![plan.output()],
            consts,
            params,
            checks_indices: false,
            workgroups: if around.size == 0 { 0 } else { plan.workgroups(rows) },
        })
    }
}

impl Routine for Softmax {
    fn stages(&self, _inputs: &[Operand], output: &Operand, caps: &Caps) -> Result<Vec<Stage>> {
        let name = if self.log { "log_softmax" } else { "softmax" };
        Ok(vec![self.stage(name, &output.meta.shape, caps, rows_texts!("softmax/forward"), &["x"])?])
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }

    fn loads(&self, _input: usize, _inputs: &[Operand], output: &Operand, caps: &Caps) -> Option<usize> {
        self.rows(&output.meta.shape, caps).loads()
    }
}

impl Routine for SoftmaxBackward {
    fn stages(&self, _inputs: &[Operand], output: &Operand, caps: &Caps) -> Result<Vec<Stage>> {
        let name = if self.0.log { "log_softmax_backward" } else { "softmax_backward" };
        let texts = rows_texts!("softmax/backward");
        Ok(vec![self.0.stage(name, &output.meta.shape, caps, texts, &["y", "dy"])?])
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }

    fn loads(&self, _input: usize, _inputs: &[Operand], output: &Operand, caps: &Caps) -> Option<usize> {
        self.0.rows(&output.meta.shape, caps).loads()
    }
}

impl Var {
    /// `e^x / Σ e^x` along `dim`, without overflow.
    #[track_caller]
    pub fn softmax(&self, dim: usize) -> Var {
        if self.is_long_row(dim) {
            return self.softmax_composed(dim);
        }
        Var::apply(Softmax { dim, log: false }, &[&self.float()])
    }

    /// `x − ln Σ e^x` along `dim`, without overflow.
    #[track_caller]
    pub fn log_softmax(&self, dim: usize) -> Var {
        if self.is_long_row(dim) {
            return self.log_softmax_composed(dim);
        }
        Var::apply(Softmax { dim, log: true }, &[&self.float()])
    }

    /// Softmax out of primitive ops: what the kernel is tested against, and what very long rows use.
    #[track_caller]
    pub fn softmax_composed(&self, dim: usize) -> Var {
        if let Some(y) = self.in_f32(|x| x.softmax_composed(dim)) {
            return y;
        }
        let e = (self - crate::graph::no_grad(|| self.max(&[dim], true))).exp();
        &e / e.sum(&[dim], true)
    }

    /// Log-softmax out of primitive ops.
    #[track_caller]
    pub fn log_softmax_composed(&self, dim: usize) -> Var {
        if let Some(y) = self.in_f32(|x| x.log_softmax_composed(dim)) {
            return y;
        }
        let shifted = self - crate::graph::no_grad(|| self.max(&[dim], true));
        &shifted - shifted.exp().sum(&[dim], true).log()
    }

    fn is_long_row(&self, dim: usize) -> bool {
        self.shape().get(dim).is_some_and(|&size| size > LONG_ROW)
    }

    /// Integers as f32; floats as they are.
    pub(crate) fn float(&self) -> Var {
        if self.dtype().is_float() { self.clone() } else { self.cast(DType::F32) }
    }
}
