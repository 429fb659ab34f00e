//! Kernels for GPUs: tiles in workgroup memory, which the invocations of a workgroup fill and share.

mod attention;
mod conv;
mod matmul;
mod tiles;

pub(in crate::ops) use attention::{fit as fits_attention, iterations as attention_iterations};

use super::Kernels;
use crate::caps::Caps;
use crate::error::Result;
use crate::graph::kernel::{Operand, Stage};
use crate::ops::attention::{Attention, Sizes};
use crate::ops::conv::Convolution;
use crate::ops::matmul::plan::{Family, Problem};
use crate::ops::row_kernels::Sharers;

pub struct Gpu;

impl Kernels for Gpu {
    fn product(&self, problem: &Problem, caps: &Caps) -> Family {
        // Smaller ones would leave most of a tile empty.
        let fills_tiles = problem.m.min(problem.n) > 16;
        if fills_tiles && problem.cooperates(caps) { Family::Cooperative } else { Family::Tiled }
    }

    fn convolution(
        &self,
        op: &Convolution,
        name: &'static str,
        inputs: &[Operand],
        output: &Operand,
        caps: &Caps,
    ) -> Result<Option<Vec<Stage>>> {
        conv::stages(op, name, inputs, output, caps)
    }

    fn attention(
        &self,
        op: &Attention,
        s: Sizes,
        inputs: &[Operand],
        output: &Operand,
        _: &Caps,
    ) -> Result<Vec<Stage>> {
        attention::stages(op, s, inputs, output)
    }

    fn fuses_attention(&self, s: Sizes, _: bool) -> bool {
        attention::fit(s.d, s.v_size)
    }

    fn joins_gradients(&self, s: Sizes, [keys, values]: [bool; 2], _: bool) -> bool {
        keys && values && attention::hold_both(s.d, s.v_size)
    }

    fn row_sharers(&self, _parts: usize, _run: usize, caps: &Caps) -> Sharers {
        // Small subgroups leave more to combine than a tree has levels.
        match caps.subgroup {
            Some((_, largest)) if largest >= 32 => Sharers::WorkgroupOfSubgroups,
            _ => Sharers::Workgroup,
        }
    }
}
