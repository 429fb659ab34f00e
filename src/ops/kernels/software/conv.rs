//! Convolutions and their gradients as matrix products whose right operand is never stored.
//!
//! The tensor that taps read is copied into lines of four or more elements, zeros in the padding (`shaders/software/conv/lines.wgsl`), so that
//! four elements are one load wherever a tap falls; the other operand is packed by rows. Products with few rows (depthwise
//! convolutions) and sums too long for one loop are left to other kernels.

use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::kernel::{Access, BufferSlot, Operand, Read, Stage, Wgsl, Word, Write};
use crate::ops::conv::geometry::volume;
use crate::ops::conv::kernels::{W, sizes, strides, sum_stage};
use crate::ops::conv::{Convolution, Role};
use crate::ops::per_dim::DIMS;
use crate::ops::routine::{self, wgsl};

/// Invocations of a workgroup.
const WORKGROUP: u32 = 64;
/// Invocations that share a tile where there are no subgroups.
const PLAIN_LANES: u32 = 8;
/// Turns of a loop and terms of one sum at most: half of what some drivers allow, and short enough for small rounding errors.
const LONGEST: usize = 16_384;
/// Terms of a slot at least, where a sum is spread over slots for the sake of parallelism.
const SHORTEST: usize = 256;
/// Tiles that should have work, so that all cores do.
const WANTED: usize = 64;
/// Fewer rows than these leave most of a tile empty.
const FEWEST_ROWS: usize = 4;
/// Columns that a lane computes.
const LANE_COLUMNS: usize = 4;

/// The scratch buffers.
const LINES: BufferSlot = BufferSlot::Scratch(0);
const PACKED: BufferSlot = BufferSlot::Scratch(1);
const SUMS: BufferSlot = BufferSlot::Scratch(2);

/// Text for adapters with and without subgroups: the file of an operand's elements, and the files of a product.
macro_rules! product_text {
    ($subgroup:expr, $($file:literal),*) => {
        if $subgroup {
            wgsl!("conv/window", $($file),*, "software/matmul/multiply", "software/matmul/lanes", "software/conv/rows_subgroup", "software/conv/tiles_subgroup")
        } else {
            wgsl!("conv/window", $($file),*, "software/conv/tiles_plain")
        }
    };
}

/// A convolution on its way to kernels.
struct Blocked<'a> {
    op: &'a Convolution,
    name: &'static str,
    caps: &'a Caps,
    /// The tensor that taps read, and the other operand.
    source: (usize, &'a Operand),
    other: (usize, &'a Operand),
    /// Lanes of a tile, and whether they are a subgroup.
    lanes: u32,
    subgroup: bool,
    /// Rows of a group, and of a tile; tiles that they make.
    rows: usize,
    tile_rows: usize,
    row_tiles: usize,
    /// Channels of the source in a group; its positions, and those of the result of the taps.
    channels: usize,
    source_size: [usize; DIMS],
    result_size: [usize; DIMS],
    /// Whether a line holds all taps along the width; quads of a line.
    along_width: bool,
    quads: usize,
}

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
    let (rows, source, channels) = match op.role {
        Role::X => (ins, 1, outs),
        Role::W | Role::Y => (outs, 0, ins),
    };
    if rows < FEWEST_ROWS || g.batch == 0 || channels == 0 {
        return Ok(None);
    }
    let (source_size, result_size) = match op.role {
        Role::X => (g.output, g.input),
        Role::W | Role::Y => (g.input, g.output),
    };
    let width = g.kernel[DIMS - 1];
    // What lines of channels alone cost against lines of all taps along the width, which take more memory.
    let (alone, together) = (width * channels.div_ceil(4), (width * channels).div_ceil(4));
    let along_width = together * 3 <= alone * 2;
    let subgroup = caps.lanes().filter(|&lanes| (8..=WORKGROUP).contains(&lanes));
    let lanes = subgroup.unwrap_or(PLAIN_LANES);
    let columns = match op.role {
        Role::W => volume(&g.kernel) * channels,
        Role::X | Role::Y => g.batch * volume(&result_size),
    };
    let column_tiles = columns.div_ceil(lanes as usize * LANE_COLUMNS) * g.groups;
    // More rows load less; but tiles should not be mostly empty, and keep all cores busy where nothing else does.
    let fits = |tile: usize| {
        let tiles = rows.div_ceil(tile);
        tiles * tile * 3 <= rows.next_multiple_of(8) * 4 && (op.role == Role::W || tiles * column_tiles >= WANTED / 4)
    };
    let tile_rows = if subgroup.is_some() { *[32, 16].iter().find(|&&tile| fits(tile)).unwrap_or(&8) } else { 8 };
    let blocked = Blocked {
        op,
        name,
        caps,
        source: (source, &inputs[source]),
        other: (1 - source, &inputs[1 - source]),
        lanes,
        subgroup: subgroup.is_some(),
        rows,
        tile_rows,
        row_tiles: rows.div_ceil(tile_rows),
        channels,
        source_size,
        result_size,
        along_width,
        quads: if along_width { together } else { channels.div_ceil(4) },
    };
    match op.role {
        Role::W => blocked.weight_product(output),
        Role::X | Role::Y => blocked.product(column_tiles),
    }
}

impl Blocked<'_> {
    fn size(&self, size: usize) -> Result<Word> {
        routine::size(self.name, size)
    }

    fn fits(&self, elements: usize) -> bool {
        elements as u64 * 4 <= self.caps.max_binding.min(self.caps.max_buffer) && i32::try_from(elements).is_ok()
    }

    /// Taps that are walked through, one line each.
    fn taps(&self) -> usize {
        let kernel = &self.op.geometry.kernel;
        if self.along_width { kernel[..DIMS - 1].iter().product() } else { volume(kernel) }
    }

    /// Quads of all lines, with the one of zeros.
    fn line_quads(&self) -> usize {
        let mut size = self.source_size;
        if self.along_width {
            size[DIMS - 1] = self.result_size[DIMS - 1];
        }
        let g = &self.op.geometry;
        (g.batch * g.groups).saturating_mul(volume(&size)).saturating_add(1).saturating_mul(self.quads)
    }

    /// Sizes and strides, and what a line is.
    fn params(&self) -> Result<Vec<(&'static str, Word)>> {
        let mut params = sizes(&self.op.geometry)?;
        for (name, value) in [
            ("rows", self.rows),
            ("row_tiles", self.row_tiles),
            ("source_channels", self.channels),
            ("quads", self.quads),
        ] {
            params.push((name, self.size(value)?));
        }
        Ok(params)
    }

    fn consts(&self) -> Vec<(&'static str, u32)> {
        let stride = self.op.geometry.stride;
        vec![
            ("WORKGROUP", WORKGROUP),
            ("LANES", self.lanes),
            ("ROWS", self.tile_rows as u32),
            ("LINES", u32::from(self.along_width)),
            ("STRIDE_D", stride[0] as u32),
            ("STRIDE_H", stride[1] as u32),
            ("STRIDE_W", stride[2] as u32),
        ]
    }

    /// A stage of so many items that packs an operand into `quads` vec4s.
    fn pack(
        &self,
        source: Wgsl,
        read: Read,
        (name, slot, quads): (&'static str, BufferSlot, usize),
        items: usize,
        mut params: Vec<(&'static str, Word)>,
    ) -> Result<Stage> {
        params.push(("items", self.size(items)?));
        Ok(Stage {
            name: "conv_pack",
            source,
            reads: vec![read],
            writes: vec![Write { name, slot, vec4: true, scratch: Some((quads * 4, DType::F32)) }],
            consts: self.consts(),
            params,
            checks_indices: false,
            workgroups: (items as u64).div_ceil(u64::from(WORKGROUP)),
        })
    }

    fn pack_lines(&self) -> Result<Stage> {
        let positions = volume(&self.source_size);
        let blocks = !self.along_width && positions > 0 && positions.is_multiple_of(4);
        let source = match (self.op.role, blocks) {
            (Role::X, false) => {
                wgsl!("conv/window", "software/conv/tap_backward", "software/conv/lines", "software/conv/pack_lines")
            }
            (Role::X, true) => {
                wgsl!("conv/window", "software/conv/tap_backward", "software/conv/lines", "software/conv/pack_blocks")
            }
            (Role::W | Role::Y, false) => {
                wgsl!("conv/window", "software/conv/tap_forward", "software/conv/lines", "software/conv/pack_lines")
            }
            (Role::W | Role::Y, true) => {
                wgsl!("conv/window", "software/conv/tap_forward", "software/conv/lines", "software/conv/pack_blocks")
            }
        };
        let access = if blocks { Access::LogicalVec4 } else { Access::Logical };
        let read = Read { name: "source", slot: BufferSlot::Input(self.source.0), access };
        let quads = self.line_quads();
        let items = if blocks { (quads - self.quads) / 4 } else { quads };
        self.pack(source, read, ("lines", LINES, quads), items, self.params()?)
    }

    fn reads(&self) -> Vec<Read> {
        vec![
            Read { name: "lines", slot: LINES, access: Access::RawVec4 },
            Read { name: "a", slot: PACKED, access: Access::RawVec4 },
        ]
    }

    /// The convolution and its gradient with respect to the input.
    fn product(&self, column_tiles: usize) -> Result<Option<Vec<Stage>>> {
        let g = &self.op.geometry;
        let (taps, tiles) = (self.taps(), self.row_tiles * column_tiles);
        let weights = g.groups * self.row_tiles * taps * self.quads * self.tile_rows;
        if taps * (self.quads + 1) > LONGEST || !self.fits(weights * 4) || !self.fits(self.line_quads() * 4) {
            return Ok(None);
        }
        let layout = &self.other.1.layout;
        let step = |dim: usize, count: usize| Word::U32((layout.strides[dim] * count as isize) as i32 as u32);
        let (row, channel) = if self.op.role == Role::X { (1, 0) } else { (0, 1) };
        let mut packed = self.params()?;
        packed.extend(strides(W, self.other.1));
        packed.push(("row_step", step(row, 1)));
        packed.push(("channel_step", step(channel, 1)));
        packed.push(("group_step", step(0, g.output_channels / g.groups)));
        let weight_text = match self.op.role {
            Role::X => {
                wgsl!("conv/window", "software/conv/tap_backward", "software/conv/lines", "software/conv/pack_weights")
            }
            Role::W | Role::Y => {
                wgsl!("conv/window", "software/conv/tap_forward", "software/conv/lines", "software/conv/pack_weights")
            }
        };
        let read = Read { name: "w", slot: BufferSlot::Input(self.other.0), access: Access::Raw };
        let vec4 = volume(&self.result_size).is_multiple_of(4);
        let source = match (self.op.role, vec4) {
            (Role::X, true) => {
                product_text!(
                    self.subgroup,
                    "software/conv/tap_backward",
                    "software/conv/lines",
                    "software/conv/put_quads",
                    "software/conv/product"
                )
            }
            (Role::X, false) => {
                product_text!(
                    self.subgroup,
                    "software/conv/tap_backward",
                    "software/conv/lines",
                    "software/conv/put_scalars",
                    "software/conv/product"
                )
            }
            (_, true) => {
                product_text!(
                    self.subgroup,
                    "software/conv/tap_forward",
                    "software/conv/lines",
                    "software/conv/put_quads",
                    "software/conv/product"
                )
            }
            (_, false) => {
                product_text!(
                    self.subgroup,
                    "software/conv/tap_forward",
                    "software/conv/lines",
                    "software/conv/put_scalars",
                    "software/conv/product"
                )
            }
        };
        let mut params = self.params()?;
        params.push(("tiles", self.size(tiles)?));
        Ok(Some(vec![
            self.pack_lines()?,
            self.pack(weight_text, read, ("a", PACKED, weights), weights, packed)?,
            Stage {
                name: self.name,
                source,
                reads: self.reads(),
                writes: vec![Write { vec4, ..routine::output() }],
                consts: self.consts(),
                params,
                checks_indices: false,
                workgroups: (tiles as u64).div_ceil(u64::from(WORKGROUP / self.lanes)),
            },
        ]))
    }

    /// The gradient with respect to the weight.
    fn weight_product(&self, output: &Operand) -> Result<Option<Vec<Stage>>> {
        let g = &self.op.geometry;
        let (terms, total) = (g.batch * volume(&g.output), output.meta.numel());
        let columns = self.taps() * self.quads;
        let tiles = columns.div_ceil(self.lanes as usize) * self.row_tiles * g.groups;
        let slots = terms.div_ceil(LONGEST).max(WANTED.div_ceil(tiles).min(terms / SHORTEST)).max(1);
        let chunk = terms.div_ceil(slots).next_multiple_of(4).max(4);
        let slots = terms.div_ceil(chunk).max(1);
        let steps = terms.div_ceil(4);
        let upstream = (g.groups * self.row_tiles).saturating_mul(steps).saturating_mul(self.tile_rows);
        let quads = volume(&g.output).is_multiple_of(4);
        // Subgroups load four positions of a row as well from where they are.
        let in_place = self.subgroup && quads && self.other.1.layout.is_contiguous();
        let upstream = if in_place { 0 } else { upstream };
        let all = [slots.saturating_mul(total), self.line_quads().saturating_mul(4), upstream.saturating_mul(4)];
        if !all.into_iter().all(|elements| self.fits(elements)) {
            return Ok(None);
        }
        let mut packed = self.params()?;
        packed.push(("terms", self.size(terms)?));
        packed.push(("steps", self.size(steps)?));
        let access = if quads { Access::LogicalVec4 } else { Access::Logical };
        let text = match quads {
            true => wgsl!("conv/window", "software/conv/upstream_quads", "software/conv/pack_upstream"),
            false => wgsl!("conv/window", "software/conv/upstream_scalars", "software/conv/pack_upstream"),
        };
        let read = Read { name: "y", slot: BufferSlot::Input(self.other.0), access };
        let mut params = packed.clone();
        for (name, value) in [("tiles", tiles * slots), ("chunk", chunk), ("total", total)] {
            params.push((name, self.size(value)?));
        }
        let partial = Write { name: "sums", slot: SUMS, vec4: false, scratch: Some((slots * total, DType::F32)) };
        let mut stages = vec![self.pack_lines()?];
        let mut reads = self.reads();
        if in_place {
            reads[1] = read;
        } else {
            stages.push(self.pack(text, read, ("a", PACKED, upstream), upstream, packed)?);
        }
        macro_rules! text {
            ($finish:literal, packed) => {
                product_text!(
                    self.subgroup,
                    "software/conv/tap_forward",
                    "software/conv/lines",
                    $finish,
                    "software/conv/upstream_packed",
                    "software/conv/weight_product"
                )
            };
            ($finish:literal, in_place) => {
                wgsl!(
                    "conv/window",
                    "software/conv/tap_forward",
                    "software/conv/lines",
                    $finish,
                    "software/conv/upstream_in_place",
                    "software/conv/weight_product",
                    "software/matmul/multiply",
                    "software/matmul/lanes",
                    "software/conv/tiles_subgroup"
                )
            };
        }
        stages.push(Stage {
            name: self.name,
            source: match (slots, in_place) {
                (1, true) => text!("sums/finish_output", in_place),
                (1, false) => text!("sums/finish_output", packed),
                (_, true) => text!("sums/finish_sum", in_place),
                (_, false) => text!("sums/finish_sum", packed),
            },
            reads,
            writes: vec![if slots == 1 { routine::output() } else { partial }],
            consts: self.consts(),
            params,
            checks_indices: false,
            workgroups: ((tiles * slots) as u64).div_ceil(u64::from(WORKGROUP / self.lanes)),
        });
        if slots > 1 {
            stages.push(sum_stage(self.name, SUMS, total, slots)?);
        }
        Ok(Some(stages))
    }
}
