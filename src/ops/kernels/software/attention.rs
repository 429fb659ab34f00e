//! Attention with subgroups of eight lanes or more: a lane owns rows, and the lanes share the loads of all others.

use crate::caps::Caps;
use crate::error::Result;
use crate::graph::Meta;
use crate::graph::kernel::{Access, BufferSlot, Operand, Read, Stage, Wgsl, Word, Write};
use crate::ops::attention::{Attention, PART, Part, Sizes};
use crate::ops::routine::{self, wgsl};

/// Largest head, in elements: what a lane holds of its rows.
const LARGEST_HEAD: usize = 256;
/// `vec4`s that eight lanes share.
const OCTET: usize = 8;

/// Whether heads of these sizes suit the kernels.
pub fn fit(d: usize, v_size: usize) -> bool {
    let fits = |size: usize| size > 0 && size.is_multiple_of(PART) && size <= LARGEST_HEAD;
    fits(d) && fits(v_size)
}

/// Texts for no mask, a boolean one and one of floats.
macro_rules! texts {
    ($($file:literal),*) => {[
        texts!(@one "mask_none", $($file),*),
        texts!(@one "mask_bool", $($file),*),
        texts!(@one "mask_float", $($file),*),
    ]};
    (@one $mask:literal, $($file:literal),*) => {
        wgsl!("software/attention/lanes", concat!("software/attention/", $mask), $(concat!("software/attention/", $file)),*)
    };
}

fn texts(part: Part) -> Option<[Wgsl; 3]> {
    Some(match part {
        Part::Forward => texts!("lanes_q", "lanes_k", "lanes_v", "lanes_queries", "lanes_forward"),
        Part::Statistics => texts!("lanes_q", "lanes_k", "lanes_queries", "lanes_statistics"),
        Part::Q => {
            texts!("lanes_q", "lanes_k", "lanes_v", "lanes_dy", "lanes_queries", "lanes_put", "lanes_q_gradient")
        }
        Part::Kv => texts!("lanes_q", "lanes_k", "lanes_v", "lanes_dy", "lanes_put", "lanes_kv_gradient"),
        Part::K | Part::V => return None,
    })
}

/// The kernel of a part, where the device and the sizes suit it.
pub fn stage(op: &Attention, s: Sizes, inputs: &[Operand], caps: &Caps) -> Result<Option<Stage>> {
    let lanes = caps.lanes().filter(|lanes| *lanes >= 8 && fit(s.d, s.v_size));
    let (Some(lanes), Some(texts)) = (lanes, texts(op.part)) else { return Ok(None) };
    let size = |n| routine::size(op.part.name(), n);
    let metas: Vec<&Meta> = inputs.iter().map(|i| &i.meta).collect();
    let octets = |size: usize| (size / PART).div_ceil(OCTET);
    let (d_octets, v_octets) = (octets(s.d), octets(s.v_size));
    let (heads, seq) = if op.part == Part::Kv { (s.kv_heads, s.keys) } else { (s.heads, s.queries) };
    // More rows per lane share more loads, but what a lane holds must stay in the nearest cache; and tiles should not be half empty.
    let most = match op.part {
        Part::Forward | Part::Statistics => 4,
        _ => 2,
    };
    let mut rows = (most / d_octets.max(v_octets)).max(1);
    while rows > 1 && seq <= lanes as usize * rows / 2 {
        rows /= 2;
    }
    let tiles = seq.div_ceil(lanes as usize * rows);
    let all_tiles = s.batch * heads * tiles;
    let names = op.part.inputs().iter().copied().chain(op.has_mask.then_some("mask"));
    let mut reads: Vec<Read> = names
        .enumerate()
        .map(|(i, name)| {
            let access = if matches!(name, "mask" | "stats") { Access::Logical } else { Access::LogicalVec4 };
            Read { name, slot: BufferSlot::Input(i), access }
        })
        .collect();
    // Two operands may be one tensor, which is then read under both names all the same.
    reads.sort_by_key(|r| r.name);
    let workgroup = lanes * 2;
    Ok(Some(Stage {
        name: op.part.name(),
        source: texts[op.mask(&metas)],
        reads,
        writes: vec![Write { vec4: op.part != Part::Statistics, ..routine::output() }],
        consts: vec![
            ("WORKGROUP", workgroup),
            ("LANES", lanes),
            ("ROWS", rows as u32),
            ("D_OCTETS", d_octets as u32),
            ("V_OCTETS", v_octets as u32),
        ],
        params: vec![
            ("all_tiles", size(all_tiles)?),
            ("tiles", size(tiles)?),
            ("heads", size(s.heads)?),
            ("kv_heads", size(s.kv_heads)?),
            ("group", size(s.heads / s.kv_heads.max(1))?),
            ("queries", size(s.queries)?),
            ("keys", size(s.keys)?),
            ("d_quads", size(s.d / 4)?),
            ("v_quads", size(s.v_size / 4)?),
            ("causal", Word::U32(u32::from(op.causal))),
            ("scale", Word::F32(op.scale.0 as f32)),
        ],
        checks_indices: false,
        workgroups: (all_tiles as u64).div_ceil(u64::from(workgroup / lanes)),
    }))
}
