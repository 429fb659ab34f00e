//! Joining tensors along a dim.

use std::sync::Arc;

use ndarray::ArrayD;

use crate::array::{Array, ArrayElement, flat};
use crate::caps::Caps;
use crate::error::{Error, Result};
use crate::graph::kernel::{Access, Kernel, Operand, Read, Routine, Stage, Write};
use crate::graph::{Meta, Op, Var, Vjp};
use crate::ops::routine::{self, WORKGROUP, around, check_dim, poisoned, wgsl};
use crate::shape::Shape;

/// Inputs that one dispatch copies: with the output they stay below the eight buffers that every device binds.
const TOGETHER: usize = 4;

/// Inputs one after the other along a dim.
#[derive(Clone, Copy, Debug, Hash)]
struct Cat {
    dim: usize,
}

impl Op for Cat {
    fn name(&self) -> &str {
        "cat"
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let first = inputs[0];
        check_dim("cat", &first.shape, self.dim)?;
        let mut out = first.shape.clone();
        out.dims_mut()[self.dim] = 0;
        for (i, input) in inputs.iter().enumerate() {
            let differ =
                (0..first.shape.rank()).find(|&d| d != self.dim && input.shape.get(d) != Some(&first.shape[d]));
            if input.shape.rank() != first.shape.rank() || differ.is_some() {
                let detail = match differ.filter(|_| input.shape.rank() == first.shape.rank()) {
                    Some(d) => format!("input {i} differs from input 0 at dim {d}, only dim {} may differ", self.dim),
                    None => {
                        format!("input {i} has rank {}, input 0 has rank {}", input.shape.rank(), first.shape.rank())
                    }
                };
                return Err(Error::shape("cat", detail, &[&first.shape, &input.shape]));
            }
            if input.dtype != first.dtype {
                return Err(Error::dtype("cat", format!("input {i} differs"), &[first.dtype, input.dtype]));
            }
            out.dims_mut()[self.dim] += input.shape[self.dim];
        }
        Ok(Meta::new(out, first.dtype))
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        fn join<T: ArrayElement>(inputs: &[&Array], outer: usize, shape: &Shape, _: &ArrayD<T>) -> Array {
            let parts: Vec<_> = inputs.iter().filter_map(|a| T::unwrap(a)).map(flat).collect();
            let mut joined = Vec::with_capacity(shape.numel());
            for row in 0..outer {
                for part in &parts {
                    let len = part.len() / outer;
                    joined.extend_from_slice(&part[row * len..][..len]);
                }
            }
            Array::from_vec(shape, joined)
        }
        debug_assert_eq!(output.dtype, inputs[0].dtype());
        let outer = around(&output.shape, self.dim).outer;
        Ok(crate::with_array!(inputs[0], first => join(inputs, outer, &output.shape, first)))
    }

    fn reference_bytes(&self, _inputs: &[&Meta], output: &Meta) -> u64 {
        output.bytes()
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let mut start = 0;
        let slices = cx.inputs.iter().zip(cx.needs).map(|(input, &needs)| {
            let (len, from) = (input.shape()[self.dim], start);
            start += len;
            needs.then(|| cx.dy.slice(self.dim, from, 1, len))
        });
        Ok(slices.collect())
    }
}

impl Routine for Cat {
    fn stages(&self, inputs: &[Operand], output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
        let size = |n| routine::size("cat", n);
        size(output.meta.numel())?;
        let to = around(&output.meta.shape, self.dim);
        let elements = |input: usize| inputs[input].meta.shape[self.dim] * to.inner;
        let filled: Vec<usize> = (0..inputs.len()).filter(|&i| inputs[i].meta.numel() > 0).collect();
        // Copies of four neighbours at once, where no group of them straddles two inputs; sizes then count groups.
        let quads = filled.iter().all(|&i| elements(i).is_multiple_of(4));
        let (access, unit) = if quads { (Access::LogicalVec4, 4) } else { (Access::Logical, 1) };
        let window = |input: usize| elements(input) / unit;
        let mut offset = 0;
        let mut stages = Vec::with_capacity(filled.len().div_ceil(TOGETHER));
        for joint in filled.chunks(TOGETHER) {
            let ends: Vec<usize> = joint
                .iter()
                .scan(0, |end, &i| {
                    *end += window(i);
                    Some(*end)
                })
                .collect();
            let whole = ends[ends.len() - 1];
            let total = whole * to.outer;
            let mut params = vec![
                ("total", size(total)?),
                ("window", size(whole)?),
                ("stride", size(to.size * to.inner / unit)?),
                ("offset", size(offset)?),
            ];
            // Inputs that are missing are the last one again, with nothing left for them.
            let at = |k: usize| k.min(joint.len() - 1);
            for (k, name) in ["end_a", "end_b", "end_c"].into_iter().enumerate() {
                params.push((name, size(ends[at(k)])?));
            }
            let names = ["a", "b", "c", "d"].into_iter().enumerate();
            stages.push(Stage {
                name: "cat",
                source: wgsl!("cat/forward"),
                reads: names.map(|(k, name)| Read { access, ..routine::read(name, joint[at(k)]) }).collect(),
                writes: vec![Write { vec4: quads, ..routine::output() }],
                consts: vec![("WORKGROUP", WORKGROUP)],
                params,
                checks_indices: false,
                workgroups: routine::grid(total),
            });
            offset += whole;
        }
        Ok(stages)
    }
}

impl Var {
    /// The inputs one after the other along `dim`; other dims must be equal (else [`Error::Shape`]), but empty vectors (shape `[0]`) are left
    /// out among inputs of other ranks. Types are promoted to the widest. The gradient is cut into slices.
    #[track_caller]
    pub fn cat(inputs: &[&Var], dim: usize) -> Result<Var> {
        let Some(first) = inputs.first() else {
            return Err(Error::argument("cat", "needs at least one input"));
        };
        if let Some(failed) = poisoned(inputs) {
            return Ok(failed);
        }
        let dtype = inputs.iter().fold(first.dtype(), |t, v| t.promote(v.dtype()));
        // Empty vectors join anything, as in PyTorch.
        let fits = |v: &&&Var| {
            let shaped = inputs.iter().find(|v| v.shape()[..] != [0]);
            v.shape()[..] != [0]
                || shaped
                    .is_none_or(|shaped| shaped.shape().rank() == 1 || !Arc::ptr_eq(&shaped.0.context, &v.0.context))
        };
        let cast: Vec<Var> =
            inputs.iter().filter(fits).map(|v| if v.dtype() == dtype { (*v).clone() } else { v.cast(dtype) }).collect();
        Ok(Var::apply(Cat { dim }, &cast.iter().collect::<Vec<_>>()))
    }

    /// Inputs of one shape along a new dim before position `dim`.
    #[track_caller]
    pub fn stack(inputs: &[&Var], dim: usize) -> Result<Var> {
        if let Some(other) = inputs.iter().find(|v| v.0.error.is_none() && v.shape() != inputs[0].shape()) {
            if let Some(failed) = poisoned(inputs) {
                return Ok(failed);
            }
            let shapes = [inputs[0].shape(), other.shape()];
            return Ok(other.fail(Error::shape("stack", "shapes must be equal", &shapes)));
        }
        let wide: Vec<Var> = inputs.iter().map(|v| v.unsqueeze(dim)).collect();
        Var::cat(&wide.iter().collect::<Vec<_>>(), dim)
    }
}
