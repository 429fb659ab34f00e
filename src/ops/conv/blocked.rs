//! Convolutions and their gradients as matrix products whose right operand is never stored, for software adapters.
//!
//! A subgroup computes up to 32 channels of one place a lane; see `shaders/conv/lanes.wgsl`. Products with few rows (depthwise
//! convolutions) and sums too long for one loop are left to the direct kernels.

use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::kernel::{Access, Operand, Read, Slot, Stage, Word, Write};
use crate::ops::conv::kernels::{W, X, Y, sizes, strides, sum_stage};
use crate::ops::conv::{Convolution, Role};
use crate::ops::per_dim::DIMS;
use crate::ops::routine;

/// Invocations of a workgroup.
const WORKGROUP: u32 = 64;
/// Turns of a loop and terms of one sum at most: half of what some drivers allow, and short enough for small rounding errors.
const LONGEST: usize = 16_384;
/// Terms of a slot at least, where a sum is spread over slots for the sake of parallelism.
const SHORTEST: usize = 256;
/// Subgroups that should have work.
const WANTED: usize = 64;
/// Fewer rows than these leave most of a block empty.
const FEWEST_ROWS: usize = 4;
/// Lanes that hold the weights of one turn, a `vec4` each.
const HOLDERS: usize = 8;

const SOURCE: [&str; 6] = ["source_offset", "source_n", "source_c", "source_d", "source_h", "source_w"];

macro_rules! text {
    ($($file:literal),*) => {
        concat!($(include_str!(concat!("../../../shaders/", $file, ".wgsl"))),*)
    };
}

/// The rows of a block for so many channels.
fn block(rows: usize) -> usize {
    match rows {
        0..=8 => 8,
        9..=16 => 16,
        _ => 32,
    }
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
    let rows = match op.role {
        Role::X => g.input_channels / g.groups,
        Role::W | Role::Y => g.output_channels / g.groups,
    };
    match caps.lanes().filter(|&lanes| caps.software && (HOLDERS as u32..=WORKGROUP).contains(&lanes)) {
        Some(lanes) if rows >= FEWEST_ROWS => match op.role {
            Role::W => weight_rows(op, name, rows, inputs, output, (caps, lanes)),
            Role::X | Role::Y => source_rows(op, name, rows, inputs, (caps, lanes)),
        },
        _ => Ok(None),
    }
}

fn volume(sizes: &[usize; DIMS]) -> usize {
    sizes.iter().product()
}

fn fits(elements: usize, caps: &Caps) -> bool {
    elements as u64 * 4 <= caps.max_binding.min(caps.max_buffer) && u32::try_from(elements).is_ok()
}

/// The convolution and its gradient with respect to the input.
fn source_rows(
    op: &Convolution,
    name: &'static str,
    rows: usize,
    inputs: &[Operand],
    (caps, lanes): (&Caps, u32),
) -> Result<Option<Vec<Stage>>> {
    let g = &op.geometry;
    let size = |n| routine::size(name, n);
    let (source, weight, channels, places) = match op.role {
        Role::X => (1, 0, g.output_channels / g.groups, g.input),
        Role::W | Role::Y => (0, 1, g.input_channels / g.groups, g.output),
    };
    let block = block(rows);
    let row_tiles = rows.div_ceil(block);
    let turns = volume(&g.kernel) * channels.div_ceil(32 / block);
    let quads = g.groups * row_tiles * turns * HOLDERS;
    if turns > LONGEST || !fits(quads * 4, caps) {
        return Ok(None);
    }
    let columns = g.batch * volume(&places);
    let tiles = row_tiles * g.groups * columns.div_ceil(lanes as usize);
    let mut common = sizes(g)?;
    for (name, value) in
        [("rows", rows), ("row_tiles", row_tiles), ("turns", turns), ("source_channels", channels), ("tiles", tiles)]
    {
        common.push((name, size(value)?));
    }
    let consts = |workgroup: u32| {
        vec![
            ("WORKGROUP", workgroup),
            ("LANES", lanes),
            ("ROWS", block as u32),
            ("STRIDE_D", g.stride[0] as u32),
            ("STRIDE_H", g.stride[1] as u32),
            ("STRIDE_W", g.stride[2] as u32),
        ]
    };
    let packed = Slot::Scratch(0);
    let layout = &inputs[weight].layout;
    let step = |dim: usize, count: usize| Word::U32((layout.strides[dim] * count as isize) as i32 as u32);
    let along = if op.role == Role::X { [1, 0] } else { [0, 1] };
    let mut pack = common.clone();
    pack.extend(strides(W, &inputs[weight]));
    pack.push(("row_step", step(along[0], 1)));
    pack.push(("channel_step", step(along[1], 1)));
    pack.push(("group_step", step(0, g.output_channels / g.groups)));
    pack.push(("quads", size(quads)?));
    common.extend(strides(SOURCE, &inputs[source]));
    Ok(Some(vec![
        Stage {
            name: "conv_pack",
            source: text!("conv/window", "conv/pack"),
            reads: vec![Read { name: "w", slot: Slot::Input(weight), access: Access::Raw }],
            writes: vec![Write { name: "packed", slot: packed, vec4: true, scratch: Some((quads * 4, DType::F32)) }],
            consts: consts(WORKGROUP),
            params: pack,
            checks_indices: false,
            workgroups: (quads as u64).div_ceil(u64::from(WORKGROUP)),
        },
        Stage {
            name,
            source: match op.role {
                Role::X => text!("conv/window", "conv/tap_backward", "conv/lanes", "conv/rows"),
                Role::W | Role::Y => text!("conv/window", "conv/tap_forward", "conv/lanes", "conv/rows"),
            },
            reads: vec![
                Read { name: "source", slot: Slot::Input(source), access: Access::Raw },
                Read { name: "packed", slot: packed, access: Access::RawVec4 },
            ],
            writes: vec![routine::output()],
            consts: consts(WORKGROUP),
            params: common,
            checks_indices: false,
            workgroups: (tiles as u64).div_ceil(u64::from(WORKGROUP / lanes)),
        },
    ]))
}

/// Whether the spatial dims of an operand lie contiguous, images and channels at multiples of four elements.
fn reads_quads(operand: &Operand) -> bool {
    let layout = &operand.layout;
    let mut expected = 1;
    for d in (2..layout.shape.rank()).rev() {
        if layout.shape[d] != 1 && layout.strides[d] != expected {
            return false;
        }
        expected *= layout.shape[d] as isize;
    }
    let aligned = |d: usize| layout.shape[d] == 1 || layout.strides[d] % 4 == 0;
    expected % 4 == 0 && layout.offset % 4 == 0 && aligned(0) && aligned(1)
}

/// The gradient with respect to the weight.
fn weight_rows(
    op: &Convolution,
    name: &'static str,
    rows: usize,
    inputs: &[Operand],
    output: &Operand,
    (caps, lanes): (&Caps, u32),
) -> Result<Option<Vec<Stage>>> {
    let g = &op.geometry;
    let size = |n| routine::size(name, n);
    let (terms, total) = (g.batch * volume(&g.output), output.meta.numel());
    let block = block(rows);
    let row_tiles = rows.div_ceil(block);
    let columns = g.input_channels / g.groups * volume(&g.kernel);
    let tiles = columns.div_ceil(lanes as usize) * row_tiles * g.groups;
    let slots = terms.div_ceil(LONGEST).max(WANTED.div_ceil(tiles).min(terms / SHORTEST)).max(1);
    let chunk = terms.div_ceil(slots).next_multiple_of(4).max(4);
    let slots = terms.div_ceil(chunk).max(1);
    if !fits(slots.saturating_mul(total), caps) || terms == 0 {
        return Ok(None);
    }
    let quads = reads_quads(&inputs[1]);
    let mut params = sizes(g)?;
    for (name, value) in [
        ("row_tiles", row_tiles),
        ("tiles", tiles * slots),
        ("terms", terms),
        ("chunk", chunk),
        ("slots", slots),
        ("total", total),
    ] {
        params.push((name, size(value)?));
    }
    params.extend(strides(X, &inputs[0]));
    params.extend(strides(Y, &inputs[1]));
    let sums = Slot::Scratch(0);
    let partial = Write { name: "sums", slot: sums, vec4: false, scratch: Some((slots * total, DType::F32)) };
    macro_rules! texts {
        ($upstream:literal) => {
            [
                text!("sums/finish_sum", "conv/window", "conv/lanes", $upstream, "conv/weight_rows"),
                text!("sums/finish_output", "conv/window", "conv/lanes", $upstream, "conv/weight_rows"),
            ]
        };
    }
    let texts = if quads { texts!("conv/upstream_quads") } else { texts!("conv/upstream_scalars") };
    let mut stages = vec![Stage {
        name,
        source: texts[usize::from(slots == 1)],
        reads: vec![
            Read { name: "x", slot: Slot::Input(0), access: Access::Raw },
            Read { name: "y", slot: Slot::Input(1), access: if quads { Access::RawVec4 } else { Access::Raw } },
        ],
        writes: vec![if slots == 1 { routine::output() } else { partial }],
        consts: vec![
            ("WORKGROUP", WORKGROUP),
            ("LANES", lanes),
            ("ROWS", block as u32),
            ("STRIDE_D", g.stride[0] as u32),
            ("STRIDE_H", g.stride[1] as u32),
            ("STRIDE_W", g.stride[2] as u32),
        ],
        params,
        checks_indices: false,
        workgroups: ((tiles * slots) as u64).div_ceil(u64::from(WORKGROUP / lanes)),
    }];
    if slots > 1 {
        stages.push(sum_stage(name, sums, total, slots)?);
    }
    Ok(Some(stages))
}
