//! Products in blocks of sums, without workgroup memory.

use crate::dtype::DType;
use crate::error::Result;
use crate::graph::kernel::{Access, BufferSlot, Read, Stage, Wgsl, Word, Write};
use crate::ops::matmul::plan::{Family, Planner, WORKGROUP};
use crate::ops::matmul::problem::{BATCH_DIMS, MAX_STEPS, Reading, Side, count, cut, product, stride, word};
use crate::ops::routine::wgsl;

/// Tiles that a product is cut into at least per core, where its size allows.
const TILES_PER_CORE: usize = 4;
/// Multiplications from which a kernel of its own for tall tiles pays.
const LARGE: usize = 2 << 20;
/// The scratch buffers of packed operands, or the device's panels.
const PACKED_A: usize = 0;
const PACKED_B: usize = 1;

/// The text of a product: how batches are found, and files of this folder.
macro_rules! text {
    ($($file:literal),*) => {
        wgsl!("matmul/batch", $(concat!("software/matmul/", $file)),*)
    };
}

impl Planner<'_> {
    pub(in crate::ops) fn in_blocks(mut self) -> Result<Vec<Stage>> {
        let (m, n, k, matrices) = (self.problem.m, self.problem.n, self.problem.k, self.problem.matrices());
        let subgroup = match (self.family, self.caps.lanes()) {
            (Family::CpuSubgroup | Family::CpuPanels, Some(lanes)) if m > 1 => Some(lanes),
            _ => None,
        };
        let lanes = subgroup.unwrap_or(8);
        let tiles = |rows: u32| {
            m.div_ceil(rows as usize).saturating_mul(n.div_ceil(lanes as usize * 4)).saturating_mul(matrices)
        };
        let rows: u32 = if m == 1 {
            1
        } else if lanes < 8 {
            lanes
        } else if subgroup.is_some() {
            // More rows load less; but the tiles have to keep all cores busy, and not to be mostly empty. A small product gains
            // less in many steps than another kernel takes to compile.
            let large = matrices.saturating_mul(m).saturating_mul(n).saturating_mul(k) >= LARGE;
            let fewest = TILES_PER_CORE * self.caps.cores as usize;
            let fits = |&&rows: &&u32| large && m > rows as usize / 2 && tiles(rows) >= fewest;
            let first = *[32, 16].iter().find(fits).unwrap_or(&8);
            let mut others = [32, 16, 8].into_iter().filter(|&rows| large && rows != first);
            self.candidate.checked_sub(1).and_then(|other| others.nth(other)).unwrap_or(first)
        } else {
            8
        };

        let (row_tiles, column_tiles) = (m.div_ceil(rows as usize), n.div_ceil(lanes as usize * 4));
        let cut = cut(k, row_tiles.saturating_mul(column_tiles).saturating_mul(matrices), 16, 512, MAX_STEPS, 8);
        let tiles = product(&[row_tiles, column_tiles, matrices, cut.splits])?;

        let mut params = self.common(cut)?;
        params.push(("tiles", Word::U32(tiles)));
        params.push(("row_tiles", count(row_tiles)?));
        params.push(("column_tiles", count(column_tiles)?));

        let panels = subgroup.is_some() && self.caps.panel_texels > 0;
        let (a_reading, a_params) = self.read_a(rows as usize, subgroup.is_some(), panels.then_some(column_tiles))?;
        let (b_reading, b_params) = self.read_b(lanes as usize, panels.then_some(row_tiles))?;
        params.extend(a_params);
        params.extend(b_params);
        let a_access = match a_reading {
            ReadA::Octets | ReadA::StepOctets => Access::RawOctets,
            ReadA::Quads | ReadA::StepQuads => Access::RawVec4,
            ReadA::Elements => Access::Raw,
        };
        let b_access = if b_reading == Reading::Elements { Access::Raw } else { Access::RawVec4 };
        let tail = !(k.is_multiple_of(4)
            || a_reading != ReadA::Elements && matches!(self.b.slot, BufferSlot::Scratch(_) | BufferSlot::Panel(_)));
        let vec4 = n.is_multiple_of(4);
        let source = text(subgroup.is_some(), a_reading, b_reading, cut.splits > 1, vec4);
        // Two subgroups: small products have few tiles, which all cores should share.
        let workgroup = if subgroup.is_some() { lanes * 2 } else { WORKGROUP };
        self.stages.push(Stage {
            name: if subgroup.is_some() { "matmul_cpu_subgroup" } else { "matmul_cpu_plain" },
            source,
            reads: self.reads(a_access, b_access),
            writes: vec![self.write(cut, vec4)?],
            consts: vec![("WORKGROUP", workgroup), ("LANES", lanes), ("ROWS", rows), ("K_TAIL", u32::from(tail))],
            params,
            checks_indices: false,
            workgroups: u64::from(tiles.div_ceil(workgroup / lanes)),
        });
        self.sum(cut)?;
        Ok(self.stages)
    }

    /// How the kernels read A: packed where that pays, else in place. Each element is loaded once per tile, so aligned
    /// rows are as good as a packed copy in a buffer. `uses` is how often a panel's texel would be fetched, where there are panels.
    fn read_a(
        &mut self,
        rows: usize,
        subgroup: bool,
        uses: Option<usize>,
    ) -> Result<(ReadA, Vec<(&'static str, Word)>)> {
        let reading = self.a.reading();
        let is_whole = self.problem.m >= 8 && self.problem.k.is_multiple_of(4);
        if reading == Reading::AlongFree && subgroup && rows >= 8 && is_whole && self.family != Family::CpuPanels {
            return Ok(self.steps_of_a());
        }
        let aligned = reading == Reading::AlongK;
        let into_panel = uses.is_some_and(|uses| self.panel_pays(&self.a, uses, aligned));
        let into_buffer = rows > 1 && !aligned && packing_pays(&self.a, self.problem.n, false);
        if into_panel || into_buffer {
            let steps = self.problem.k.div_ceil(4);
            if let Some(batch) = self.pack(PACKED_A, reading, rows, steps, into_panel)? {
                return Ok(self.rows_of_a([0, batch[0], batch[1], batch[2], steps as isize], subgroup && !into_panel));
            }
        }
        let a = &self.a;
        if !aligned {
            let values = [a.offset, a.batch[0], a.batch[1], a.batch[2], a.u_stride, a.k_stride];
            return Ok((ReadA::Elements, operand_params(A_ELEMENTS, &values)));
        }
        let quads = [a.offset, a.batch[0], a.batch[1], a.batch[2], a.u_stride].map(|elements| elements / 4);
        Ok(self.rows_of_a(quads, subgroup))
    }

    /// How A is read where its rows are contiguous: offset and strides (of the batch dims and the rows) count vec4s. Where lanes load one
    /// by one, and `octets` are not forbidden, eight neighbours at once: the loop over the lanes costs more than what it loads.
    fn rows_of_a(&self, quads: [isize; 5], octets: bool) -> (ReadA, Vec<(&'static str, Word)>) {
        let even = |quads: &isize| quads % 2 == 0;
        if octets && self.caps.wide_loads && self.problem.k.is_multiple_of(8) && quads.iter().all(even) {
            return (ReadA::Octets, operand_params(A_ROWS, &quads.map(|quads| quads / 2)));
        }
        (ReadA::Quads, operand_params(A_ROWS, &quads))
    }

    /// How A is read where its columns are contiguous, and lanes hold a step of k each: no copy is needed, and an element is loaded
    /// as often as one of contiguous rows.
    fn steps_of_a(&self) -> (ReadA, Vec<(&'static str, Word)>) {
        let a = &self.a;
        let elements = [a.offset, a.batch[0], a.batch[1], a.batch[2], a.k_stride];
        let by = |width: isize| operand_params(A_STEPS, &elements.map(|elements| elements / width));
        let is_even = self.problem.m.is_multiple_of(8) && elements.iter().all(|elements| elements % 8 == 0);
        if is_even && self.caps.wide_loads { (ReadA::StepOctets, by(8)) } else { (ReadA::StepQuads, by(4)) }
    }

    /// How the kernels read B: packed where that pays, else in place.
    fn read_b(&mut self, lanes: usize, uses: Option<usize>) -> Result<(Reading, Vec<(&'static str, Word)>)> {
        let reading = self.b.reading();
        let aligned = reading != Reading::Elements;
        let into_panel = uses.is_some_and(|uses| self.panel_pays(&self.b, uses, aligned));
        if into_panel || packing_pays(&self.b, self.problem.m, aligned) {
            let steps = self.problem.k.next_multiple_of(4);
            if let Some(batch) = self.pack(PACKED_B, reading, lanes, steps, into_panel)? {
                let panel = (lanes * steps) as isize;
                return Ok((
                    Reading::AlongFree,
                    operand_params(B_COLUMNS, &[0, batch[0], batch[1], batch[2], panel, lanes as isize]),
                ));
            }
        }
        let b = &self.b;
        let quads = [b.offset / 4, b.batch[0] / 4, b.batch[1] / 4, b.batch[2] / 4];
        let params = match reading {
            Reading::AlongFree => {
                let values = [quads[0], quads[1], quads[2], quads[3], lanes as isize, b.k_stride / 4];
                operand_params(B_COLUMNS, &values)
            }
            Reading::AlongK => operand_params(B_QUADS, &[quads[0], quads[1], quads[2], quads[3], b.u_stride / 4]),
            Reading::Elements => {
                let values = [b.offset, b.batch[0], b.batch[1], b.batch[2], b.k_stride, b.u_stride];
                operand_params(B_ELEMENTS, &values)
            }
        };
        Ok((reading, params))
    }

    /// Whether a copy in a panel of the device saves more than it costs, where each vec4 is then fetched `uses` times. On a host with
    /// slow loads (AMD EPYC) fetching a texel costs a quarter of loading it from a buffer, packing it twice such a load, and a kernel
    /// some 50 µs; on one with fast loads (Intel Xeon) a fetch saves little and packing costs many loads. Only what pays on both is
    /// packed.
    fn panel_pays(&self, side: &Side, uses: usize, aligned: bool) -> bool {
        if self.family == Family::CpuPanels {
            return true;
        }
        let matrices = (0..BATCH_DIMS).filter(|&d| side.batch[d] != 0).map(|d| self.sizes[d]).product::<usize>();
        let uses = uses * (self.problem.matrices() / matrices.max(1));
        let gain = if aligned { uses.saturating_sub(16) } else { (2 * uses).saturating_sub(24) };
        (matrices * side.u * side.k / 4).saturating_mul(gain) >= PANEL_PAYS
    }

    /// Adds the stage that copies an operand into panels of `lanes` by `steps` vec4s, in a panel of the device where
    /// `into_panel` asks for that and it fits, and makes the copy the operand.
    /// Gives the copy's batch strides in vec4s (a repeated matrix is packed once), or `None` where it would be too
    /// large to bind.
    fn pack(
        &mut self,
        scratch: usize,
        reading: Reading,
        lanes: usize,
        steps: usize,
        into_panel: bool,
    ) -> Result<Option<[isize; BATCH_DIMS]>> {
        let along_k = scratch == PACKED_A;
        let side = if along_k { &mut self.a } else { &mut self.b };
        let panels = side.u.div_ceil(if along_k { lanes } else { lanes * 4 });
        let mut matrices = 1;
        let mut sizes = self.sizes;
        let mut batch = [0; BATCH_DIMS];
        for d in (0..BATCH_DIMS).rev() {
            if side.batch[d] == 0 {
                sizes[d] = 1;
            } else {
                batch[d] = (matrices * panels * lanes * steps) as isize;
                matrices *= sizes[d];
            }
        }
        let quads = matrices * panels * lanes * steps;
        let into_panel = into_panel && quads as u64 <= self.caps.panel_texels;
        if !into_panel && quads as u64 * 16 > self.caps.max_binding.min(self.caps.max_buffer) {
            return Ok(None);
        }
        let blocks = reading == if along_k { Reading::AlongFree } else { Reading::AlongK } && lanes.is_multiple_of(4);
        let wide = reading == if along_k { Reading::AlongK } else { Reading::AlongFree };
        let mut params = vec![
            if blocks { ("blocks", count(quads / 4)?) } else { ("quads", count(quads)?) },
            ("steps", count(if blocks && !along_k { steps / 4 } else { steps })?),
            ("panels", count(panels)?),
            ("batch1", count(sizes[1])?),
            ("batch2", count(sizes[2])?),
        ];
        let unit = if wide || blocks { 4 } else { 1 };
        params.push(("offset", stride(side.offset / unit)));
        params.push(("stride0", stride(side.batch[0] / unit)));
        params.push(("stride1", stride(side.batch[1] / unit)));
        params.push(("stride2", stride(side.batch[2] / unit)));
        let consts = vec![("WORKGROUP", PACK_WORKGROUP), ("LANES", word(lanes)?), ("ALONG_K", u32::from(along_k))];
        if blocks {
            let (quads_inside, lines_inside, line_stride) =
                if along_k { (side.u / 4, side.k, side.k_stride) } else { (side.k / 4, side.u, side.u_stride) };
            params.push(("quads_inside", count(quads_inside)?));
            params.push(("lines_inside", count(lines_inside)?));
            params.push(("line_stride", stride(line_stride / 4)));
        } else if wide {
            let (inside_lanes, inside_steps) = if along_k { (side.u, side.k / 4) } else { (side.u / 4, side.k) };
            let (lane_stride, step_stride) = if along_k { (side.u_stride / 4, 1) } else { (1, side.k_stride / 4) };
            params.push(("lanes", count(inside_lanes)?));
            params.push(("steps_inside", count(inside_steps)?));
            params.push(("lane_stride", stride(lane_stride)));
            params.push(("step_stride", stride(step_stride)));
        } else {
            params.push(("u", count(side.u)?));
            params.push(("k", count(side.k)?));
            params.push(("u_stride", stride(side.u_stride)));
            params.push(("k_stride", stride(side.k_stride)));
        }
        let access = if wide || blocks { Access::RawVec4 } else { Access::Element };
        let slot = if into_panel { BufferSlot::Panel(scratch) } else { BufferSlot::Scratch(scratch) };
        self.stages.push(Stage {
            name: "matmul_pack",
            source: match (wide, blocks) {
                (true, _) => wgsl!("matmul/batch", "software/matmul/pack_quads"),
                (_, true) => wgsl!("matmul/batch", "software/matmul/pack_blocks"),
                _ => wgsl!("matmul/batch", "software/matmul/pack"),
            },
            reads: vec![Read { name: "source", slot: side.slot, access }],
            writes: vec![Write { name: "packed", slot, vec4: true, scratch: Some((quads * 4, DType::F32)) }],
            consts,
            params,
            checks_indices: false,
            workgroups: (quads / if blocks { 4 } else { 1 }).div_ceil(PACK_WORKGROUP as usize) as u64,
        });
        side.slot = slot;
        Ok(Some(batch))
    }
}

/// Texels times fetches from which on a panel pays, see `panel_pays`: well above what a dispatch costs.
const PANEL_PAYS: usize = 64 << 10;
/// Invocations of a workgroup in the packing kernels.
const PACK_WORKGROUP: u32 = 256;

/// Whether a packed copy of an operand saves more time than it costs. Each of its elements is used `uses` times; an
/// operand that can be read by `vec4`s in place gains only by the better use of caches and address translation.
fn packing_pays(side: &Side, uses: usize, aligned: bool) -> bool {
    let elements = side.u * side.k;
    if aligned { uses >= 256 && elements >= 512 << 10 } else { uses >= 32 && elements >= 8 << 10 }
}

/// Names of an operand's parameters, by the file that reads them.
const A_ROWS: &[&str] = &["a_offset", "a_batch0", "a_batch1", "a_batch2", "a_row"];
const A_STEPS: &[&str] = &["a_offset", "a_batch0", "a_batch1", "a_batch2", "a_step"];
const A_ELEMENTS: &[&str] = &["a_offset", "a_batch0", "a_batch1", "a_batch2", "a_row", "a_col"];
const B_COLUMNS: &[&str] = &["b_offset", "b_batch0", "b_batch1", "b_batch2", "b_panel", "b_step"];
const B_QUADS: &[&str] = &["b_offset", "b_batch0", "b_batch1", "b_batch2", "b_col"];
const B_ELEMENTS: &[&str] = &["b_offset", "b_batch0", "b_batch1", "b_batch2", "b_row", "b_col"];

fn operand_params(names: &[&'static str], values: &[isize]) -> Vec<(&'static str, Word)> {
    names.iter().zip(values).map(|(&name, &value)| (name, stride(value))).collect()
}

/// How a kernel reads A: contiguous rows by eight or four elements, contiguous columns (a lane a step of k) in the same way, else by
/// elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadA {
    Octets,
    Quads,
    StepOctets,
    StepQuads,
    Elements,
}

/// The text of a kernel: how it reads A and B, where it stores, and the kernel.
fn text(subgroup: bool, a: ReadA, b: Reading, partial: bool, vec4: bool) -> Wgsl {
    macro_rules! with_kernel {
        (["a_octets"], [$($b:literal),+], $store:literal) => {
            text!(
                "a_places", "a_rows", "a_octets", $($b),+, $store, "edges", "multiply", "lanes", "a_by_row",
                "a_eights", "subgroup"
            )
        };
        (["a_by_step", $($a:literal),+], [$($b:literal),+], $store:literal) => {
            text!($($b),+, $store, "edges", "multiply", "lanes", "a_by_step", $($a),+, "subgroup")
        };
        ([$($a:literal),+], [$($b:literal),+], $store:literal) => {
            if subgroup {
                text!(
                    "a_places", $($a),+, "a_fours", $($b),+, $store, "edges", "multiply", "lanes",
                    "a_by_row", "a_eights", "subgroup"
                )
            } else {
                text!("a_places", $($a),+, $($b),+, $store, "edges", "multiply", "plain")
            }
        };
    }
    macro_rules! with_store {
        ($a:tt, $b:tt) => {
            match (partial, vec4) {
                (false, true) => with_kernel!($a, $b, "store_quads"),
                (false, false) => with_kernel!($a, $b, "store_scalars"),
                (true, true) => with_kernel!($a, $b, "partial_quads"),
                (true, false) => with_kernel!($a, $b, "partial_scalars"),
            }
        };
    }
    macro_rules! with_b {
        ($a:tt) => {
            match b {
                Reading::AlongFree => with_store!($a, ["b_columns", "b_rows"]),
                Reading::AlongK => with_store!($a, ["b_places", "b_quads"]),
                Reading::Elements => with_store!($a, ["b_places", "b_scalars", "b_rows"]),
            }
        };
    }
    match a {
        ReadA::Octets => with_b!(["a_octets"]),
        ReadA::Quads => with_b!(["a_rows", "a_quads"]),
        ReadA::StepOctets => with_b!(["a_by_step", "a_step_octets"]),
        ReadA::StepQuads => with_b!(["a_by_step", "a_step_quads", "a_eights"]),
        ReadA::Elements => with_b!(["a_scalars"]),
    }
}
