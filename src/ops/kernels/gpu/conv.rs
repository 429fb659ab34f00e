//! Convolutions and their gradients as matrix products: by the tiled kernel, which reads the operands from where they lie, so that
//! the matrix with taps is never stored. Kernels of one tap are plain products.

use smallvec::smallvec;

use super::tiles::Tiling;
use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::kernel::{Access, BufferSlot, Operand, Read, Stage, Wgsl, Write};
use crate::layout::Layout;
use crate::ops::conv::geometry::{Geometry, volume};
use crate::ops::conv::kernels::{names, sizes, strides, sum_stage};
use crate::ops::conv::{Convolution, Role};
use crate::ops::matmul::plan::{self, Problem, Strides};
use crate::ops::per_dim::DIMS;
use crate::ops::routine::{self, wgsl};
use crate::shape::Shape;

/// Fewer rows than these leave most of a tile empty.
const FEWEST_ROWS: usize = 16;
/// Positions of an image from which a product for each image fills its tiles.
const FEWEST_POSITIONS: usize = 64;

/// The stages, where this way suits the sizes.
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
    // Where steps are channels at a tap, four neighbours are channels of one tap.
    let padded = |channels: usize| channels.next_multiple_of(4) * volume(&g.kernel);
    let (rows, columns, steps) = match op.role {
        Role::Y => (outs, g.batch * volume(&g.output), padded(ins)),
        Role::X => (ins, g.batch * volume(&g.input), padded(outs)),
        Role::W => (outs, ins * volume(&g.kernel), g.batch * volume(&g.output)),
    };
    if rows < FEWEST_ROWS || steps == 0 {
        return Ok(None);
    }
    if let Some(problem) = product(op, inputs) {
        let [a, b] = if op.role == Role::Y { [1, 0] } else { [0, 1] };
        return plan::stages_of(&problem, caps, [a, b]).map(Some);
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
    let is_flat = [g.input[0], g.kernel[0], g.output[0]] == [1; 3] && g.padding[0] == 0;
    consts.push(("FLAT", u32::from(is_flat)));
    // Upstream gradients lie contiguous along their positions.
    consts.push(("A_ALONG_K", 1));
    consts.push(("B_ALONG_K", u32::from(op.role == Role::W)));
    let names = names(op.role);
    params.extend(sizes(g)?);
    params.push(("total", routine::size(name, total)?));
    for (operand, (_, names)) in inputs.iter().zip(names) {
        params.extend(strides(names, operand));
    }
    let mut reads: Vec<Read> =
        (0..2).map(|i| Read { name: names[i].0, slot: BufferSlot::Input(i), access: Access::Raw }).collect();
    let upstream_quads = op.role == Role::W && has_quads(&inputs[1].layout);
    if upstream_quads {
        reads[1].access = Access::RawVec4;
    }
    let channels = match op.role {
        Role::Y => ins,
        Role::X => outs,
        Role::W => 0,
    };
    if op.role != Role::W {
        consts.push(("WHOLE_QUADS", u32::from(channels.is_multiple_of(4))));
        params.push(("channel_quads", routine::size(name, channels.div_ceil(4))?));
    }
    let vec4 = match op.role {
        Role::Y => volume(&g.output),
        Role::X => volume(&g.input),
        Role::W => columns,
    }
    .is_multiple_of(4);
    let whole = cut.splits == 1;
    let partial = Write { name: "sums", slot: sums, vec4, scratch: Some((cut.splits * total, DType::F32)) };
    let mut stages = vec![Stage {
        name,
        source: text(op.role, upstream_quads, whole, vec4),
        reads,
        writes: vec![if whole { Write { vec4, ..routine::output() } } else { partial }],
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

/// Whether the positions of images lie contiguous and can be read four at a time.
fn has_quads(layout: &Layout) -> bool {
    let positions = Layout::contiguous(Shape::from(&layout.shape[2..]));
    let is_aligned = |stride: &isize| stride % 4 == 0;
    let contiguous = layout.shape[2..].iter().zip(layout.strides[2..].iter().zip(&positions.strides));
    positions.shape.numel().is_multiple_of(4)
        && contiguous.into_iter().all(|(&size, (own, wanted))| size == 1 || own == wanted)
        && is_aligned(&layout.offset)
        && layout.strides[..2].iter().all(is_aligned)
}

/// A convolution by one tap, and its input's gradient, as a product for each image and group: rows are channels, columns positions.
fn product(op: &Convolution, inputs: &[Operand]) -> Option<Problem> {
    let g: &Geometry = &op.geometry;
    let is_one = volume(&g.kernel) == 1 && g.stride == [1; DIMS] && g.padding == [0; DIMS];
    if !is_one || op.role == Role::W || volume(&g.output) < FEWEST_POSITIONS {
        return None;
    }
    let (ins, outs) = (g.input_channels / g.groups, g.output_channels / g.groups);
    let (w, images) = if op.role == Role::Y {
        (&inputs[1].layout, &inputs[0].layout)
    } else {
        (&inputs[0].layout, &inputs[1].layout)
    };
    let spatial = Layout {
        shape: Shape::from(&images.shape[2..]),
        strides: images.strides[2..].iter().copied().collect(),
        offset: 0,
    };
    let positions = spatial.collapsed();
    if positions.shape.rank() != 1 {
        return None;
    }
    let group = outs as isize * w.strides[0];
    let (m, k, row, col) = match op.role {
        Role::Y => (outs, ins, w.strides[0], w.strides[1]),
        _ => (ins, outs, w.strides[1], w.strides[0]),
    };
    Some(Problem {
        batch: [g.batch, g.groups].into(),
        m,
        n: positions.shape[0],
        k,
        a: Strides { batch: smallvec![0, group], row, col, offset: w.offset },
        b: Strides {
            batch: smallvec![images.strides[0], k as isize * images.strides[1]],
            row: images.strides[1],
            col: positions.strides[0],
            offset: images.offset,
        },
        is_half: inputs.iter().all(|input| input.meta.dtype == DType::F16),
    })
}

/// The text of the kernel: how it reads A and B, where it stores, and the kernel.
fn text(role: Role, upstream_quads: bool, whole: bool, vec4: bool) -> Wgsl {
    macro_rules! with_kernel {
        ([$($file:literal),+], $finish:literal) => {
            wgsl!(
                concat!("sums/", $finish),
                "conv/window",
                "conv/tiled_columns",
                $($file),+,
                "matmul/tiled"
            )
        };
    }
    macro_rules! with_store {
        ([$($file:literal),+], $quads:literal, $each:literal) => {
            match (whole, vec4) {
                (true, true) => with_kernel!([$($file),+, $quads], "finish_output_quads"),
                (true, false) => with_kernel!([$($file),+, $each], "finish_output"),
                (false, true) => with_kernel!([$($file),+, $quads], "finish_sum_quads"),
                (false, false) => with_kernel!([$($file),+, $each], "finish_sum"),
            }
        };
    }
    match (role, upstream_quads) {
        (Role::Y, _) => with_store!(
            ["conv/tiled_channels", "conv/tiled_forward", "conv/tiled_positions"],
            "conv/tiled_positions_quads",
            "conv/tiled_positions_each"
        ),
        (Role::X, _) => with_store!(
            ["conv/tiled_channels", "conv/tiled_input_gradient", "conv/tiled_positions"],
            "conv/tiled_positions_quads",
            "conv/tiled_positions_each"
        ),
        (Role::W, true) => with_store!(
            ["conv/tiled_weight_gradient", "conv/tiled_upstream_quads"],
            "matmul/tile_c_quads",
            "matmul/tile_c_each"
        ),
        (Role::W, false) => with_store!(
            ["conv/tiled_weight_gradient", "conv/tiled_upstream_elements"],
            "matmul/tile_c_quads",
            "matmul/tile_c_each"
        ),
    }
}
