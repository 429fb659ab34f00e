//! Convolutions and their gradients by the tiled kernel of matrix products, for GPUs: the operands are read from where they lie, and what
//! the product of a tile reads of the one with taps is never stored.

use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::kernel::{Access, BufferSlot, Operand, Read, Stage, Write};
use crate::ops::conv::geometry::volume;
use crate::ops::conv::kernels::{names, sizes, strides, sum_stage};
use crate::ops::conv::{Convolution, Role};
use crate::ops::matmul::tiles::Tiling;
use crate::ops::routine::{self, wgsl};

/// Fewer rows than these leave most of a tile empty.
const FEWEST_ROWS: usize = 16;

macro_rules! text {
    ($finish:literal, $($file:literal),+) => {
        wgsl!(
            concat!("sums/", $finish),
            "conv/window",
            "conv/tiled_columns",
            $(concat!("conv/", $file),)+
            "matmul/tiled"
        )
    };
}

/// The stages, where this way suits the adapter and the sizes.
///
/// # Errors
/// Where sizes do not fit 32 bits.
pub fn stages(
    op: &Convolution,
    name: &'static str,
    inputs: &[Operand],
    output: &Operand,
    caps: &Caps,
) -> Result<Option<Vec<Stage>>> {
    let g = &op.geometry;
    let (ins, outs) = (g.input_channels / g.groups, g.output_channels / g.groups);
    let (rows, columns, steps) = match op.role {
        Role::Y => (outs, g.batch * volume(&g.output), ins * volume(&g.kernel)),
        Role::X => (ins, g.batch * volume(&g.input), outs * volume(&g.kernel)),
        Role::W => (outs, ins * volume(&g.kernel), g.batch * volume(&g.output)),
    };
    if caps.software || rows < FEWEST_ROWS || steps == 0 {
        return Ok(None);
    }
    let Tiling { cut, mut consts, mut params, workgroups } = Tiling::new([rows, columns, steps], g.groups, caps, 0)?;
    let total = output.meta.numel();
    let sums = BufferSlot::Scratch(0);
    if cut.splits > 1 && (cut.splits * total) as u64 * 4 > caps.max_binding.min(caps.max_buffer) {
        return Ok(None);
    }
    routine::size(name, cut.splits.saturating_mul(total))?;
    for (side, stride) in ["STRIDE_D", "STRIDE_H", "STRIDE_W"].into_iter().zip(g.stride) {
        consts.push((side, stride as u32));
    }
    // Weights lie contiguous along the channels and taps of a row, and images along their positions.
    consts.push(("A_ALONG_K", 1));
    consts.push(("B_ALONG_K", u32::from(op.role == Role::W)));
    params.extend(sizes(g)?);
    params.push(("total", routine::size(name, total)?));
    let names = names(op.role);
    for (operand, (_, names)) in inputs.iter().zip(names) {
        params.extend(strides(names, operand));
    }
    let whole = cut.splits == 1;
    let partial = Write { name: "sums", slot: sums, vec4: false, scratch: Some((cut.splits * total, DType::F32)) };
    let mut stages = vec![Stage {
        name,
        source: match (op.role, whole) {
            (Role::Y, true) => text!("finish_output", "tiled_taps", "tiled_forward", "tiled_positions"),
            (Role::Y, false) => text!("finish_sum", "tiled_taps", "tiled_forward", "tiled_positions"),
            (Role::W, true) => text!("finish_output", "tiled_taps", "tiled_weight_gradient"),
            (Role::W, false) => text!("finish_sum", "tiled_taps", "tiled_weight_gradient"),
            (Role::X, true) => text!("finish_output", "tiled_input_gradient", "tiled_positions"),
            (Role::X, false) => text!("finish_sum", "tiled_input_gradient", "tiled_positions"),
        },
        reads: (0..2).map(|i| Read { name: names[i].0, slot: BufferSlot::Input(i), access: Access::Raw }).collect(),
        writes: vec![if whole { routine::output() } else { partial }],
        consts,
        params,
        checks_indices: false,
        workgroups,
    }];
    if !whole {
        stages.push(sum_stage(name, sums, total, cut.splits)?);
    }
    Ok(Some(stages))
}
