//! Which kernels compute a convolution or one of its gradients, over which grid.

use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::kernel::{Access, BufferSlot, Operand, Read, Routine, Stage, Word, Write};
use crate::ops::conv::geometry::{Geometry, volume};
use crate::ops::conv::{Convolution, Role, depthwise};
use crate::ops::kernels;
use crate::ops::per_dim::DIMS;
use crate::ops::routine::{self, wgsl};

/// Invocations of a workgroup.
pub(in crate::ops) const WORKGROUP: u32 = 64;
/// Some drivers end loops silently after 65,535 iterations an invocation; no kernel here takes more than half of that.
pub(in crate::ops) const MAX_ITERATIONS: usize = 32_768;
/// Terms that a slot has at least, where a sum is spread over slots for the sake of parallelism.
pub(in crate::ops) const SHORTEST: usize = 256;
/// Slots that one sum is spread over at most.
pub(in crate::ops) const MAX_SLOTS: usize = 4096;

/// The text of a kernel, from the files that make it up.
macro_rules! text {
    ($begin:literal, $finish:literal, $kernel:literal) => {
        wgsl!(
            concat!("sums/", $begin),
            concat!("sums/", $finish),
            "conv/window",
            "conv/chunks",
            concat!("conv/", $kernel)
        )
    };
}

/// The texts of a kernel by whether the stage is the first one, and whether it stores the output.
macro_rules! texts {
    ($kernel:literal) => {
        [
            [text!("begin_sum", "finish_sum", $kernel), text!("begin_sum", "finish_output", $kernel)],
            [text!("begin_zero", "finish_sum", $kernel), text!("begin_zero", "finish_output", $kernel)],
        ]
    };
}

/// How the terms of each sum are shared out: `slots` invocations add up a chunk each, `rounds` times over; then a stage adds up
/// the slots. Everything in a fixed order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    slots: usize,
    rounds: usize,
    chunk: usize,
}

/// Cuts sums of `terms` terms, `items` invocations for one slot of each, to at most `longest` terms an invocation, and further
/// where there is too little work for the adapter. `fit` slots can be bound.
fn cut(terms: usize, items: usize, longest: usize, fit: usize, caps: &Caps) -> Cut {
    let by_work = (caps.policy().busy / items.max(1)).min(terms / SHORTEST);
    let slots = by_work.min(fit).clamp(1, MAX_SLOTS);
    let rounds = terms.div_ceil(longest).div_ceil(slots).max(1);
    Cut { slots, rounds, chunk: terms.div_ceil(slots * rounds).max(1) }
}

/// Neighbouring channels that an invocation computes together.
fn block(channels: usize) -> usize {
    match channels {
        0 | 1 => 1,
        2 => 2,
        _ => 4,
    }
}

/// Sizes and strides of the geometry as parameters.
pub(in crate::ops) fn sizes(geometry: &Geometry) -> Result<Vec<(&'static str, Word)>> {
    let rows: [(&[&'static str; DIMS], &[usize; DIMS]); 5] = [
        (&["input_d", "input_h", "input_w"], &geometry.input),
        (&["kernel_d", "kernel_h", "kernel_w"], &geometry.kernel),
        (&["output_d", "output_h", "output_w"], &geometry.output),
        (&["padding_d", "padding_h", "padding_w"], &geometry.padding),
        (&["dilation_d", "dilation_h", "dilation_w"], &geometry.dilation),
    ];
    let mut out = Vec::new();
    for (names, values) in rows {
        for (name, value) in names.iter().zip(values) {
            out.push((*name, routine::size("conv", *value)?));
        }
    }
    for (name, value) in [
        ("batch", geometry.batch),
        ("groups", geometry.groups),
        ("input_channels", geometry.input_channels / geometry.groups),
        ("output_channels", geometry.output_channels / geometry.groups),
    ] {
        out.push((name, routine::size("conv", value)?));
    }
    Ok(out)
}

/// Offset and strides of an operand. Negative ones wrap, and so do the sums in the kernel.
pub(in crate::ops) fn strides(names: [&'static str; 6], operand: &Operand) -> Vec<(&'static str, Word)> {
    let word = |value: isize| Word::U32(value as i32 as u32);
    let [offset, outer, channel, spatial @ ..] = names;
    let given = &operand.layout.strides;
    let mut out = vec![(offset, word(operand.layout.offset)), (outer, word(given[0])), (channel, word(given[1]))];
    let lead = DIMS - (given.len() - 2);
    out.extend((0..DIMS).map(|d| (spatial[d], word(d.checked_sub(lead).map_or(0, |own| given[2 + own])))));
    out
}

const X: [&str; 6] = ["x_offset", "x_n", "x_c", "x_d", "x_h", "x_w"];
pub(in crate::ops) const W: [&str; 6] = ["w_offset", "w_n", "w_c", "w_d", "w_h", "w_w"];
const Y: [&str; 6] = ["y_offset", "y_n", "y_c", "y_d", "y_h", "y_w"];

/// The operands from which a tensor is computed, with their parameters for [`strides`].
pub(in crate::ops) fn names(computed: Role) -> [(&'static str, [&'static str; 6]); 2] {
    match computed {
        Role::X => [("w", W), ("y", Y)],
        Role::W => [("x", X), ("y", Y)],
        Role::Y => [("x", X), ("w", W)],
    }
}

/// Adds up the slots of each of `total` sums.
pub(in crate::ops) fn sum_stage(op: &str, sums: BufferSlot, total: usize, slots: usize) -> Result<Stage> {
    Ok(Stage {
        name: "conv_sum",
        source: wgsl!("matmul/partial_sums", "matmul/sum"),
        reads: vec![Read { name: "partial", slot: sums, access: Access::Raw }],
        writes: vec![routine::output()],
        consts: vec![("WORKGROUP", WORKGROUP)],
        params: vec![("count", routine::size(op, total)?), ("splits", routine::size(op, slots)?)],
        checks_indices: false,
        workgroups: (total as u64).div_ceil(u64::from(WORKGROUP)),
    })
}

impl Routine for Convolution {
    fn stages(&self, inputs: &[Operand], output: &Operand, caps: &Caps) -> Result<Vec<Stage>> {
        let g = &self.geometry;
        let total = output.meta.numel();
        if total == 0 {
            return Ok(Vec::new());
        }
        let (ins, outs) = (g.input_channels / g.groups, g.output_channels / g.groups);
        // Texts, channels computed together, terms of a sum.
        let (name, texts, channels, terms) = match self.role {
            Role::Y => ("conv", texts!("forward"), outs, ins * volume(&g.kernel)),
            Role::X => ("conv_transpose", texts!("input_gradient"), ins, outs * volume(&g.kernel)),
            Role::W => ("conv_weight_gradient", texts!("weight_gradient"), outs, g.batch * volume(&g.output)),
        };
        if !self.is_plain {
            if let Some(stages) = kernels::of(caps.kind()).convolution(self, name, inputs, output, caps)? {
                return Ok(stages);
            }
            if let Some(stages) = depthwise::stages(self, name, inputs, output, caps)? {
                return Ok(stages);
            }
        }
        let names = names(self.role);
        let block = block(channels);
        let items = total / channels * channels.div_ceil(block);
        let fit = (caps.max_binding.min(caps.max_buffer) / 4) as usize / total;
        let cut = cut(terms, items, MAX_ITERATIONS / (1 + block), fit, caps);
        let slots_total = cut.slots.saturating_mul(total);
        let items = items.saturating_mul(cut.slots);
        routine::size(name, slots_total)?;
        routine::size(name, (cut.slots * cut.rounds).saturating_mul(cut.chunk))?;

        let mut common = sizes(g)?;
        common.push(("items", routine::size(name, items)?));
        common.push(("total", routine::size(name, total)?));
        common.push(("terms", routine::size(name, terms)?));
        common.push(("chunk", routine::size(name, cut.chunk)?));
        common.push(("slots", routine::size(name, cut.slots)?));
        for (operand, (_, names)) in inputs.iter().zip(names) {
            common.extend(strides(names, operand));
        }
        let sums = BufferSlot::Scratch(0);
        let mut stages = Vec::new();
        for round in 0..cut.rounds {
            let (first, last) = (round == 0, round + 1 == cut.rounds && cut.slots == 1);
            let mut reads: Vec<Read> =
                (0..2).map(|i| Read { name: names[i].0, slot: BufferSlot::Input(i), access: Access::Raw }).collect();
            if !first {
                reads.push(Read { name: "sums", slot: sums, access: Access::Raw });
            }
            let partial = Write { name: "sums", slot: sums, vec4: false, scratch: Some((slots_total, DType::F32)) };
            let mut params = common.clone();
            params.push(("round", routine::size(name, round)?));
            stages.push(Stage {
                name,
                source: texts[usize::from(first)][usize::from(last)],
                reads,
                writes: vec![if last { routine::output() } else { partial }],
                consts: vec![
                    ("WORKGROUP", WORKGROUP),
                    ("BLOCK", block as u32),
                    ("STRIDE_D", g.stride[0] as u32),
                    ("STRIDE_H", g.stride[1] as u32),
                    ("STRIDE_W", g.stride[2] as u32),
                ],
                params,
                checks_indices: false,
                workgroups: (items as u64).div_ceil(u64::from(WORKGROUP)),
            });
        }
        if cut.slots > 1 {
            stages.push(sum_stage(name, sums, total, cut.slots)?);
        }
        Ok(stages)
    }

    /// Once where an operand is packed; where lines hold all taps along the width, once for each of those; an upstream gradient in place
    /// too often to say.
    fn loads(&self, input: usize, inputs: &[Operand], output: &Operand, caps: &Caps) -> Option<usize> {
        let stages = self.stages(inputs, output, caps).ok()?;
        let along_width = |stage: &Stage, read: &Read| read.name == "source" && stage.consts.contains(&("LINES", 1));
        routine::loads(&stages, input, |stage, read| match read.name {
            _ if stage.name == "matmul_tiled" => None,
            "y" if stage.name != "conv_pack" => None,
            _ if along_width(stage, read) => Some(self.geometry.kernel[DIMS - 1]),
            _ => Some(1),
        })
    }

    fn baseline(&self) -> Option<Box<dyn Routine>> {
        Some(Box::new(Convolution { is_plain: true, ..*self }))
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }

    fn stores_at_many_places(&self) -> bool {
        true
    }

    /// A multiplication and an addition for each tap and channel of each position, those outside the image included.
    fn flops(&self, stage: &Stage, _inputs: &[Operand], output: &Operand) -> Option<u64> {
        match stage.name {
            "conv_pack" => Some(0),
            "conv_sum" | "matmul_sum" => {
                let (_, slots) = stage.params.iter().find(|(name, _)| *name == "splits")?;
                (output.meta.numel() as u64).checked_mul(u64::from(slots.bits()))
            }
            _ => {
                let filter = (self.geometry.w().numel() / self.geometry.output_channels.max(1)) as u64;
                (self.geometry.y().numel() as u64).checked_mul(2)?.checked_mul(filter)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every term is in exactly one chunk, and no chunk is longer than a loop may be.
    #[test]
    fn cuts_cover_the_terms() {
        for software in [true, false] {
            let caps = Caps { software, ..Caps::baseline() };
            for terms in [0, 1, 255, 256, 1000, 6553, 6554, 72_000, 1 << 20, 100_000_000] {
                for items in [1, 3, 512, 1024, 65_536, 1 << 24] {
                    for fit in [0, 1, 2, 100, 1 << 20] {
                        let cut = cut(terms, items, 6553, fit, &caps);
                        assert!(cut.chunk <= 6553 && cut.slots <= MAX_SLOTS && cut.slots <= fit.max(1), "{cut:?}");
                        assert!(cut.slots * cut.rounds * cut.chunk >= terms, "{cut:?} of {terms}");
                    }
                }
            }
        }
    }
}
