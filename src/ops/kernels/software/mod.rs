//! Kernels for software adapters, which run shaders on CPU cores: no workgroup memory, no barriers, and blocks of sums that fill a core's
//! vector registers. Where an adapter has subgroups, their lanes share what they load.

mod attention;
mod conv;
mod matmul;

use super::{Kernels, gpu};
use crate::caps::Caps;
use crate::error::Result;
use crate::graph::kernel::{Operand, Stage};
use crate::ops::attention::{Attention, PART, Sizes};
use crate::ops::conv::Convolution;
use crate::ops::matmul::plan::{Family, Problem};
use crate::ops::routine::LONG_ROW;
use crate::ops::row_kernels::Sharers;

/// Bytes of scores up to which products of matrices and a softmax are faster than one kernel without subgroups.
const SCORES: usize = 64 << 20;
/// Turns of all loops of an invocation; some software adapters end loops after 65,535.
const MAX_ITERATIONS: usize = 60_000;
/// Shortest row that a subgroup shares.
const SHORTEST_SHARED: usize = 32;

pub struct Software;

impl Kernels for Software {
    fn product(&self, _problem: &Problem, caps: &Caps) -> Family {
        if caps.lanes().is_some() { Family::CpuSubgroup } else { Family::CpuPlain }
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
        caps: &Caps,
    ) -> Result<Vec<Stage>> {
        match attention::stage(op, s, inputs, caps)? {
            Some(stage) => Ok(vec![stage]),
            None => gpu::Gpu.attention(op, s, inputs, output, caps),
        }
    }

    fn fuses_attention(&self, s: Sizes, lanes: bool) -> bool {
        let part = |size: usize| size.next_multiple_of(PART);
        let rows = s.keys.max(s.heads / s.kv_heads.max(1) * s.queries);
        if lanes && attention::fit(part(s.d), part(s.v_size)) {
            return rows <= MAX_ITERATIONS;
        }
        let scores = s.batch * s.heads * s.queries * s.keys;
        gpu::fits_attention(s.d, s.v_size)
            && scores * 4 > SCORES
            && gpu::attention_iterations(rows, s.d, s.v_size) <= MAX_ITERATIONS
    }

    fn joins_gradients(&self, s: Sizes, wanted: [bool; 2], lanes: bool) -> bool {
        match lanes && attention::fit(s.d, s.v_size) {
            true => wanted.contains(&true),
            false => gpu::Gpu.joins_gradients(s, wanted, lanes),
        }
    }

    fn row_sharers(&self, parts: usize, run: usize, caps: &Caps) -> Sharers {
        match caps.lanes() {
            Some(lanes) if run >= SHORTEST_SHARED && parts / lanes as usize <= LONG_ROW => Sharers::Subgroup(lanes),
            _ if parts <= LONG_ROW => Sharers::One,
            _ => Sharers::Workgroup,
        }
    }
}
