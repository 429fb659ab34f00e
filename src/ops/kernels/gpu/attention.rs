//! Attention by tiles in workgroup memory: see `shaders/attention/tiles.wgsl`.

use crate::dtype::DType;
use crate::error::Result;
use crate::graph::Meta;
use crate::graph::kernel::{Access, BufferSlot, Operand, Read, Stage, Wgsl, Word, Write};
use crate::layout::Layout;
use crate::ops::attention::{Attention, Part, Sizes};
use crate::ops::routine::{self, WORKGROUP, wgsl};

/// Largest head, in elements.
const LARGEST_HEAD: usize = 256;
/// Blocks on the shorter and on the longer side of a tile of scores; a block has 4 rows and 4 columns.
const SIDES: [u32; 2] = [8, 16];
/// Blocks of the result in an invocation's registers: with more of them, Intel's compiler spills.
const BLOCKS: usize = 2;

/// Whether heads of these sizes, filled up to whole parts, suit the kernels.
pub fn fit(d: usize, v_size: usize) -> bool {
    v_size > 0 && d.max(v_size) <= LARGEST_HEAD
}

/// Whether one kernel holds the gradients of keys and of values.
pub fn hold_both(d: usize, v_size: usize) -> bool {
    d.max(v_size).div_ceil(4) <= SIDES[1] as usize
}

/// Turns of all loops of an invocation together, at most, where it walks over so many rows: some software adapters count them so.
pub fn iterations(rows: usize, d: usize, v_size: usize) -> usize {
    let quads = d.div_ceil(4) + v_size.div_ceil(4);
    rows.div_ceil(4 * SIDES[0] as usize) * (2 * quads + 80)
}

/// Texts for no mask, a boolean one and one of floats.
macro_rules! texts {
    ($($file:literal),*) => {[
        texts!(@one "tile_mask_none", $($file),*),
        texts!(@one "tile_mask_bool", $($file),*),
        texts!(@one "tile_mask_float", $($file),*),
    ]};
    (@one $mask:literal, $($file:literal),*) => {
        wgsl!("attention/tiles", concat!("attention/", $mask), $(concat!("attention/", $file)),*)
    };
}

fn texts(part: Part) -> [Wgsl; 3] {
    match part {
        Part::Forward => texts!("sums", "forward"),
        Part::Statistics => texts!("statistics"),
        Part::Q => texts!("sums", "backward_q"),
        Part::K | Part::V | Part::Kv => texts!("sums", "backward_kv"),
    }
}

/// How a kernel cuts its work.
struct Cut {
    /// Blocks of a tile along the rows of the result, and along what they are summed over.
    sides: [u32; 2],
    /// Blocks of a row of gradients of queries or keys, and of a row of values, that an invocation holds.
    blocks: [usize; 2],
    /// Workgroups that share the columns of the same rows.
    parts: usize,
}

/// The cut for rows of these many `vec4`s, of which one or both are the result, and so many rows.
fn cut(part: Part, d_quads: usize, v_quads: usize, rows: usize) -> Cut {
    let [short, long] = SIDES;
    let held = |size: usize, side: u32| size.div_ceil(side as usize).min(BLOCKS);
    let widest = match part {
        Part::Statistics => 0,
        Part::Forward | Part::V => v_quads,
        Part::Q | Part::K => d_quads,
        // Two results: each is held in half of the registers.
        Part::Kv => 2 * d_quads.max(v_quads),
    };
    // Wide tiles have few rows, for wide results and for few rows.
    let is_tall = widest <= BLOCKS * short as usize && rows > 4 * short as usize;
    let sides = if is_tall { [long, short] } else { [short, long] };
    let (has_d, has_v) =
        (matches!(part, Part::Q | Part::K | Part::Kv), matches!(part, Part::Forward | Part::V | Part::Kv));
    let d_blocks = if has_d { held(d_quads, sides[1]) } else { 0 };
    let v_blocks = if has_v { held(v_quads, sides[1]) } else { 0 };
    let columns = d_blocks.max(v_blocks).max(1) * sides[1] as usize;
    let parts = if part == Part::Kv { 1 } else { widest.div_ceil(columns).max(1) };
    Cut { sides, blocks: [d_blocks, v_blocks], parts }
}

/// The names of an operand's offset and strides, over batch, head and row, in `vec4`s.
fn names(operand: &str) -> [&'static str; 4] {
    match operand {
        "q" => ["q_start", "q_batch", "q_head", "q_row"],
        "k" => ["k_start", "k_batch", "k_head", "k_row"],
        "v" => ["v_start", "v_batch", "v_head", "v_row"],
        "y" => ["y_start", "y_batch", "y_head", "y_row"],
        _ => ["dy_start", "dy_batch", "dy_head", "dy_row"],
    }
}

/// Whether the rows of an operand begin at whole `vec4`s and lie in one piece.
fn has_whole_rows(layout: &Layout) -> bool {
    let outer = layout.shape.iter().zip(&layout.strides).take(3);
    let whole = |step: isize| step >= 0 && step % 4 == 0;
    layout.strides[3] == 1 && whole(layout.offset) && outer.into_iter().all(|(&size, &step)| size <= 1 || whole(step))
}

/// The kernels of a part: copies of operands that lie otherwise, and the one by tiles.
pub fn stages(op: &Attention, s: Sizes, inputs: &[Operand], output: &Operand) -> Result<Vec<Stage>> {
    let size = |n| routine::size(op.part.name(), n);
    let metas: Vec<&Meta> = inputs.iter().map(|i| &i.meta).collect();
    let (d_quads, v_quads) = (s.d / 4, s.v_size / 4);
    let (heads, rows) = match op.part {
        Part::K | Part::V | Part::Kv => (s.kv_heads, s.keys),
        _ => (s.heads, s.queries),
    };
    let cut = cut(op.part, d_quads, v_quads, rows);
    let tiles = rows.div_ceil(4 * cut.sides[0] as usize);
    let all_tiles = s.batch * heads * tiles * cut.parts;
    let row_quads = match op.part {
        Part::K => d_quads,
        Part::Kv => d_quads + v_quads,
        _ => v_quads,
    };
    let mut params = vec![
        ("all_tiles", size(all_tiles)?),
        ("tiles", size(tiles)?),
        ("parts", size(cut.parts)?),
        ("heads", size(s.heads)?),
        ("kv_heads", size(s.kv_heads)?),
        ("group", size(s.heads / s.kv_heads.max(1))?),
        ("queries", size(s.queries)?),
        ("keys", size(s.keys)?),
        ("d_quads", size(d_quads)?),
        ("v_quads", size(v_quads)?),
        ("row_quads", size(row_quads)?),
        ("causal", Word::U32(u32::from(op.causal))),
        ("scale", Word::F32(op.scale.0 as f32)),
    ];
    let mut stages = Vec::new();
    let mut reads = Vec::new();
    for (i, &name) in op.part.inputs().iter().enumerate() {
        if name == "stats" {
            reads.push(routine::read(name, i));
            continue;
        }
        let mut slot = BufferSlot::Input(i);
        let mut layout = inputs[i].layout.clone();
        if !has_whole_rows(&layout) {
            slot = BufferSlot::Scratch(stages.len());
            layout = Layout::contiguous(layout.shape);
            stages.push(pack(i, slot, layout.shape.numel())?);
        }
        reads.push(Read { name, slot, access: Access::RawVec4 });
        let steps = layout.shape.iter().zip(&layout.strides).map(|(&size, &step)| if size <= 1 { 0 } else { step });
        for (name, quads) in names(name).into_iter().zip(std::iter::once(layout.offset).chain(steps)) {
            params.push((name, size((quads / 4) as usize)?));
        }
    }
    let mut mask = [0; 5];
    if op.has_mask {
        let layout = &inputs[inputs.len() - 1].layout;
        reads.push(Read { name: "mask", slot: BufferSlot::Input(inputs.len() - 1), access: Access::Element });
        mask = std::array::from_fn(|i| if i == 0 { layout.offset } else { layout.strides[i - 1] });
    }
    // Steps may be negative: the arithmetic wraps around.
    let mask_names = ["mask_start", "mask_batch", "mask_head", "mask_query", "mask_key"];
    params.extend(mask_names.into_iter().zip(mask).map(|(name, step)| (name, Word::U32(step as u32))));
    // Two operands may be one tensor, which is then read under both names all the same.
    reads.sort_by_key(|r| r.name);
    stages.push(Stage {
        name: op.part.name(),
        source: texts(op.part)[op.mask(&metas)],
        reads,
        writes: vec![Write { vec4: op.part != Part::Statistics, ..routine::output() }],
        consts: vec![
            ("ROW_SIDE", cut.sides[0]),
            ("COLUMN_SIDE", cut.sides[1]),
            ("D_BLOCKS", cut.blocks[0] as u32),
            ("V_BLOCKS", cut.blocks[1] as u32),
            ("HAS_MASK", u32::from(op.has_mask)),
        ],
        params,
        checks_indices: false,
        workgroups: if output.meta.numel() == 0 { 0 } else { all_tiles as u64 },
    });
    Ok(stages)
}

/// A copy of input `i` in row-major order.
fn pack(i: usize, slot: BufferSlot, numel: usize) -> Result<Stage> {
    Ok(Stage {
        name: "attention_pack",
        source: wgsl!("attention/pack"),
        reads: vec![Read { name: "x", slot: BufferSlot::Input(i), access: Access::LogicalVec4 }],
        writes: vec![Write { name: "packed", slot, vec4: true, scratch: Some((numel.max(4), DType::F32)) }],
        consts: vec![("WORKGROUP", WORKGROUP)],
        params: vec![("quads", routine::size("attention_pack", numel / 4)?)],
        checks_indices: false,
        workgroups: routine::grid(numel / 4),
    })
}
