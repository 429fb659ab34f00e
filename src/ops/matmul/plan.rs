//! Plans a matrix multiplication: which kernels run, over which grid, with which parameters.
//!
//! The kernels (`shaders/matmul/`) take any strides, so that a transpose, a broadcast or a slice of an operand needs
//! no copy. Sizes and strides travel as parameters; a new size compiles nothing. What a kernel's text depends on is
//! how an operand can be read (by `vec4`s along k, by `vec4`s along the columns, or by elements), and each such way is
//! a small file of its own that is put in front of the kernel.

use smallvec::SmallVec;

use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::{At, Error, Result};
use crate::graph::kernel::{Access, Operand, Read, Slot, Stage, Word, Write};
use crate::layout::Layout;
use crate::shape::Shape;

/// Batch dims that the kernels resolve themselves.
const BATCH_DIMS: usize = 3;
/// Invocations of a workgroup in the kernels that give each invocation its own work.
const WORKGROUP: u32 = 64;
/// Some drivers end loops silently after 65,535 turns an invocation; no kernel here takes more than half of that.
const MAX_TURNS: usize = 32_768;
/// Steps of k that one sum takes at most. Longer ones are cut, which also keeps the rounding errors of long sums small.
const MAX_STEPS: usize = 16_384;

/// A kernel family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// One element of C an invocation: the yardstick.
    Naive,
    /// Register blocks without workgroup memory, for software adapters without subgroups.
    CpuPlain,
    /// Register blocks whose elements of A go round by subgroup broadcast, for software adapters.
    CpuSubgroup,
    /// Workgroup-memory tiles, for GPUs.
    Tiled,
}

/// How one operand is walked, in elements. Batch strides stand for the dims of [`Problem::batch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strides {
    /// From one matrix to the next, along each batch dim.
    pub batch: SmallVec<[isize; BATCH_DIMS]>,
    /// From one row to the next.
    pub row: isize,
    /// From one column to the next.
    pub col: isize,
    /// Where the first element lies.
    pub offset: isize,
}

/// `C[b] = A[b] · B[b]`, with A of `m × k`, B of `k × n` and C contiguous.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Batch dims, as few as possible; at most three.
    pub batch: Shape,
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// How A is walked.
    pub a: Strides,
    /// How B is walked.
    pub b: Strides,
}

impl Problem {
    /// The multiplication of two operands under the usual rules: the last two dims are matrices, the dims before them
    /// broadcast, a vector on the left is a row and a vector on the right a column.
    ///
    /// # Errors
    /// Where the shapes do not fit, or where the batch dims do not collapse to three.
    pub fn new(a: &Operand, b: &Operand) -> Result<Problem> {
        let (a_layout, b_layout) = (&a.layout, &b.layout);
        let shapes = [&a_layout.shape, &b_layout.shape];
        if shapes.iter().any(|s| s.rank() == 0) {
            return Err(Error::shape("matmul", "scalars have no rows or columns", &shapes));
        }
        let (m, a_k, a_row, a_col, a_batch) = split(a_layout, true);
        let (b_k, n, b_row, b_col, b_batch) = split(b_layout, false);
        if a_k != b_k {
            return Err(Error::shape("matmul", format!("inner sizes {a_k} and {b_k} differ"), &shapes));
        }
        let full = a_batch.shape.broadcast("matmul", &b_batch.shape)?;
        let a_strides = expand(&a_batch, &full);
        let b_strides = expand(&b_batch, &full);
        let mut problem = Problem {
            batch: Shape::scalar(),
            m,
            n,
            k: a_k,
            a: Strides { batch: SmallVec::new(), row: a_row, col: a_col, offset: a_layout.offset },
            b: Strides { batch: SmallVec::new(), row: b_row, col: b_col, offset: b_layout.offset },
        };
        problem.set_batch(&full, &a_strides, &b_strides);
        problem.fold_batch_into_rows();
        if problem.batch.rank() > BATCH_DIMS {
            let detail =
                format!("the batch dims {full} need more than {BATCH_DIMS} strides; make an operand contiguous");
            return Err(Error::unsupported("matmul", detail));
        }
        Ok(problem)
    }

    /// Takes over the batch dims: dims of size 1 dropped, neighbours that one stride walks in both operands merged.
    fn set_batch(&mut self, full: &Shape, a: &[isize], b: &[isize]) {
        let mut sizes: SmallVec<[usize; 6]> = SmallVec::new();
        for ((&size, &a_stride), &b_stride) in full.iter().zip(a).zip(b) {
            if size == 1 {
                continue;
            }
            let step = size as isize;
            if let (Some(outer), Some(outer_a), Some(outer_b)) =
                (sizes.last_mut(), self.a.batch.last_mut(), self.b.batch.last_mut())
                && *outer_a == a_stride * step
                && *outer_b == b_stride * step
            {
                *outer *= size;
                (*outer_a, *outer_b) = (a_stride, b_stride);
                continue;
            }
            sizes.push(size);
            self.a.batch.push(a_stride);
            self.b.batch.push(b_stride);
        }
        self.batch = Shape::from(&sizes[..]);
    }

    /// Where one B serves the whole innermost batch dim and the rows of A follow one another across it (`[batch, seq,
    /// d] · [d, e]`), the batch is nothing but more rows.
    fn fold_batch_into_rows(&mut self) {
        while let (Some(&size), Some(&a_stride), Some(0)) =
            (self.batch.last(), self.a.batch.last(), self.b.batch.last())
        {
            if self.m == 1 {
                self.a.row = a_stride;
            } else if a_stride != self.a.row * self.m as isize {
                break;
            }
            self.m *= size;
            self.batch = self.batch.without(self.batch.rank() - 1);
            self.a.batch.pop();
            self.b.batch.pop();
        }
    }

    /// A column vector has the same elements in memory as a row vector: `A · b` is computed as `bᵀ · Aᵀ`, which
    /// kernels that keep neighbouring columns in one vector do well.
    fn column_as_row(&self) -> Problem {
        let flip = |s: &Strides| Strides { row: s.col, col: s.row, ..s.clone() };
        Problem { m: self.n, n: self.m, a: flip(&self.b), b: flip(&self.a), ..self.clone() }
    }

    fn matrices(&self) -> usize {
        self.batch.numel()
    }
}

/// Rows, columns, their strides, and the batch dims of an operand.
fn split(layout: &Layout, left: bool) -> (usize, usize, isize, isize, Layout) {
    let rank = layout.shape.rank();
    if rank == 1 {
        let (len, stride) = (layout.shape[0], layout.strides[0]);
        let none = Layout::contiguous(());
        return if left { (1, len, 0, stride, none) } else { (len, 1, stride, 0, none) };
    }
    let batch = Layout {
        shape: Shape::from(&layout.shape[..rank - 2]),
        strides: SmallVec::from_slice(&layout.strides[..rank - 2]),
        offset: 0,
    };
    (layout.shape[rank - 2], layout.shape[rank - 1], layout.strides[rank - 2], layout.strides[rank - 1], batch)
}

/// Strides of `layout` over the broadcast shape `full`.
fn expand(layout: &Layout, full: &Shape) -> SmallVec<[isize; 6]> {
    let lead = full.rank() - layout.shape.rank();
    (0..full.rank())
        .map(|d| match d.checked_sub(lead) {
            Some(own) if layout.shape[own] != 1 => layout.strides[own],
            _ => 0,
        })
        .collect()
}

/// How a cpu kernel reads an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// `vec4`s along k.
    AlongK,
    /// `vec4`s along the free dim: rows of A, columns of B.
    AlongFree,
    /// Element by element.
    Elements,
}

/// An operand as the kernels see it: `u` is its free dim (row of A, column of B).
#[derive(Clone, Debug)]
struct Side {
    slot: Slot,
    offset: isize,
    batch: [isize; BATCH_DIMS],
    u_stride: isize,
    k_stride: isize,
    u: usize,
    k: usize,
}

impl Side {
    /// The widest way to read the operand in place.
    fn reading(&self) -> Reading {
        let aligned = |stride: isize| stride % 4 == 0;
        if !aligned(self.offset) || !self.batch.iter().all(|&s| aligned(s)) {
            return Reading::Elements;
        }
        let contiguous = |along: isize, size: usize, other: isize, others: usize| {
            along == 1 && size.is_multiple_of(4) && (aligned(other) || others == 1)
        };
        if contiguous(self.k_stride, self.k, self.u_stride, self.u) {
            Reading::AlongK
        } else if contiguous(self.u_stride, self.u, self.k_stride, self.k) {
            Reading::AlongFree
        } else {
            Reading::Elements
        }
    }

    /// Whether neighbours in memory are neighbours along k.
    fn k_is_contiguous(&self) -> bool {
        self.u == 1 || (self.k != 1 && self.k_stride.unsigned_abs() <= self.u_stride.unsigned_abs())
    }

    /// Checks that every element's offset can be computed in u32.
    fn check(&self, sizes: [usize; BATCH_DIMS]) -> Result<()> {
        let dims = [sizes[0], sizes[1], sizes[2], self.u, self.k];
        let strides = [self.batch[0], self.batch[1], self.batch[2], self.u_stride, self.k_stride];
        let highest = dims.iter().zip(strides).try_fold(self.offset.max(0) as u64, |sum, (&size, stride)| {
            let reach = (size.saturating_sub(1) as u64).checked_mul(stride.max(0) as u64)?;
            sum.checked_add(reach)
        });
        let count = highest.and_then(|h| h.checked_add(1));
        word(count.and_then(|c| usize::try_from(c).ok()).unwrap_or(usize::MAX)).map(|_| ())
    }
}

/// A count that the kernels hold in a u32.
fn word(value: usize) -> Result<u32> {
    u32::try_from(value).map_err(|_| too_large(value as u64, u64::from(u32::MAX)))
}

fn too_large(elements: u64, limit: u64) -> Error {
    Error::TooLarge {
        op: "matmul".into(),
        bytes: elements.saturating_mul(4),
        limit: limit.saturating_mul(4),
        at: At(None),
    }
}

/// The product of sizes as a u32.
fn product(sizes: &[usize]) -> Result<u32> {
    word(sizes.iter().try_fold(1usize, |p, &s| p.checked_mul(s)).unwrap_or(usize::MAX))
}

/// A stride or offset; negative ones wrap, and so do the sums in the kernel.
fn stride(value: isize) -> Word {
    Word::U32(value as i32 as u32)
}

fn count(value: usize) -> Result<Word> {
    word(value).map(Word::U32)
}

/// The text of a kernel, from the files that make it up.
macro_rules! text {
    ($($file:literal),*) => {
        concat!($(include_str!(concat!("../../../shaders/matmul/", $file, ".wgsl"))),*)
    };
}

/// The dispatches that compute `problem`.
///
/// # Errors
/// [`Error::TooLarge`] where sizes go past what the kernels index or the device binds.
pub fn stages(problem: &Problem, caps: &Caps, force: Option<Family>) -> Result<Vec<Stage>> {
    let elements = product(&[problem.matrices(), problem.m, problem.n])?;
    if elements == 0 {
        return Ok(Vec::new());
    }
    if problem.k == 0 {
        return Ok(vec![zero(elements)]);
    }
    let family = force.unwrap_or_else(|| choose(caps));
    if problem.n == 1 && problem.m > 1 && matches!(family, Family::CpuPlain | Family::CpuSubgroup) {
        return Planner::new(&problem.column_as_row(), caps, family, [1, 0])?.stages();
    }
    Planner::new(problem, caps, family, [0, 1])?.stages()
}

/// The family that suits an adapter.
fn choose(caps: &Caps) -> Family {
    match (caps.software, lanes(caps)) {
        (false, _) => Family::Tiled,
        (true, Some(_)) => Family::CpuSubgroup,
        (true, None) => Family::CpuPlain,
    }
}

/// The subgroup size, where it is fixed and one that the subgroup kernel can work with.
fn lanes(caps: &Caps) -> Option<u32> {
    let (min, max) = caps.subgroup?;
    (min == max && min.is_power_of_two() && (4..=64).contains(&min)).then_some(min)
}

fn zero(elements: u32) -> Stage {
    Stage {
        name: "matmul_zero",
        source: text!("zero"),
        reads: Vec::new(),
        writes: vec![output(false)],
        consts: vec![("WORKGROUP", WORKGROUP)],
        params: vec![("count", Word::U32(elements))],
        checks_indices: false,
        workgroups: u64::from(elements.div_ceil(WORKGROUP)),
    }
}

fn output(vec4: bool) -> Write {
    Write { name: "c", slot: Slot::Output, vec4, scratch: None }
}

/// The scratch buffers.
const PACKED_A: usize = 0;
const PACKED_B: usize = 1;
const PARTIAL: usize = 2;

/// How k is cut: `splits` parts of `chunk` steps each (the last may be shorter).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    splits: usize,
    chunk: usize,
}

/// Cuts k into parts of at most `longest` steps, and further while there are fewer than `wanted` tiles of work and the
/// parts stay at least `shortest` long. Parts are multiples of `grain`.
fn cut(k: usize, tiles: usize, wanted: usize, shortest: usize, longest: usize, grain: usize) -> Cut {
    let by_length = k.div_ceil(longest);
    let by_work = wanted.div_ceil(tiles.max(1)).min(k / shortest);
    let splits = by_length.max(by_work).max(1);
    let chunk = k.div_ceil(splits).next_multiple_of(grain);
    Cut { splits: k.div_ceil(chunk), chunk }
}

/// A kernel's operand reading and grid, while it is planned.
struct Planner<'a> {
    problem: &'a Problem,
    caps: &'a Caps,
    family: Family,
    sizes: [usize; BATCH_DIMS],
    a: Side,
    b: Side,
    stages: Vec<Stage>,
}

impl<'a> Planner<'a> {
    /// `inputs` are the op's inputs that play A and B.
    fn new(problem: &'a Problem, caps: &'a Caps, family: Family, inputs: [usize; 2]) -> Result<Self> {
        let mut sizes = [1; BATCH_DIMS];
        let lead = BATCH_DIMS - problem.batch.rank();
        sizes[lead..].copy_from_slice(&problem.batch);
        let pad = |strides: &[isize]| {
            let mut out = [0; BATCH_DIMS];
            out[lead..].copy_from_slice(strides);
            out
        };
        let (a, b) = (&problem.a, &problem.b);
        let a = Side {
            slot: Slot::Input(inputs[0]),
            offset: a.offset,
            batch: pad(&a.batch),
            u_stride: a.row,
            k_stride: a.col,
            u: problem.m,
            k: problem.k,
        };
        let b = Side {
            slot: Slot::Input(inputs[1]),
            offset: b.offset,
            batch: pad(&b.batch),
            u_stride: b.col,
            k_stride: b.row,
            u: problem.n,
            k: problem.k,
        };
        a.check(sizes)?;
        b.check(sizes)?;
        Ok(Planner { problem, caps, family, sizes, a, b, stages: Vec::new() })
    }

    fn stages(self) -> Result<Vec<Stage>> {
        match self.family {
            Family::Naive => self.naive(),
            Family::Tiled => self.tiled(),
            Family::CpuPlain | Family::CpuSubgroup => self.cpu(),
        }
    }

    /// Whether scratch of so many elements can be bound.
    fn fits(&self, elements: usize) -> bool {
        elements as u64 * 4 <= self.caps.max_binding.min(self.caps.max_buffer) && u32::try_from(elements).is_ok()
    }

    /// Sizes, batch dims and the cut of k, which every kernel takes.
    fn common(&self, cut: Cut) -> Result<Vec<(&'static str, Word)>> {
        Ok(vec![
            ("m", count(self.problem.m)?),
            ("n", count(self.problem.n)?),
            ("k", count(self.problem.k)?),
            ("k_chunk", count(cut.chunk)?),
            ("batch", count(self.problem.matrices())?),
            ("batch1", count(self.sizes[1])?),
            ("batch2", count(self.sizes[2])?),
        ])
    }

    /// The parameters of two operands read by elements.
    fn element_params(&self) -> Vec<(&'static str, Word)> {
        vec![
            ("a_offset", stride(self.a.offset)),
            ("a_batch0", stride(self.a.batch[0])),
            ("a_batch1", stride(self.a.batch[1])),
            ("a_batch2", stride(self.a.batch[2])),
            ("a_row", stride(self.a.u_stride)),
            ("a_col", stride(self.a.k_stride)),
            ("b_offset", stride(self.b.offset)),
            ("b_batch0", stride(self.b.batch[0])),
            ("b_batch1", stride(self.b.batch[1])),
            ("b_batch2", stride(self.b.batch[2])),
            ("b_row", stride(self.b.k_stride)),
            ("b_col", stride(self.b.u_stride)),
        ]
    }

    fn reads(&self, a: Access, b: Access) -> Vec<Read> {
        vec![Read { name: "a", slot: self.a.slot, access: a }, Read { name: "b", slot: self.b.slot, access: b }]
    }

    /// Where the kernel writes: the output, or partial sums where k is cut.
    fn write(&self, cut: Cut, vec4: bool) -> Result<Write> {
        if cut.splits == 1 {
            return Ok(output(vec4));
        }
        let elements = product(&[cut.splits, self.problem.matrices(), self.problem.m, self.problem.n])? as usize;
        if !self.fits(elements) || cut.splits > MAX_TURNS {
            return Err(too_large(elements as u64, self.caps.max_binding / 4));
        }
        Ok(Write { name: "partial", slot: Slot::Scratch(PARTIAL), vec4, scratch: Some((elements, DType::F32)) })
    }

    /// Adds up partial sums.
    fn sum(&mut self, cut: Cut) -> Result<()> {
        if cut.splits == 1 {
            return Ok(());
        }
        let elements = self.problem.matrices() * self.problem.m * self.problem.n;
        let vec4 = elements.is_multiple_of(4);
        let items = word(if vec4 { elements / 4 } else { elements })?;
        let access = if vec4 { Access::RawVec4 } else { Access::Raw };
        self.stages.push(Stage {
            name: "matmul_sum",
            source: if vec4 { text!("sum_quads") } else { text!("sum_scalars") },
            reads: vec![Read { name: "partial", slot: Slot::Scratch(PARTIAL), access }],
            writes: vec![output(vec4)],
            consts: vec![("WORKGROUP", WORKGROUP)],
            params: vec![("count", Word::U32(items)), ("splits", count(cut.splits)?)],
            checks_indices: false,
            workgroups: u64::from(items.div_ceil(WORKGROUP)),
        });
        Ok(())
    }

    fn naive(mut self) -> Result<Vec<Stage>> {
        let cut = cut(self.problem.k, usize::MAX, 1, 1, MAX_STEPS, 1);
        let elements = product(&[cut.splits, self.problem.matrices(), self.problem.m, self.problem.n])?;
        let mut params = self.common(cut)?;
        params.push(("count", Word::U32(elements)));
        params.extend(self.element_params());
        self.stages.push(Stage {
            name: "matmul_naive",
            source: if cut.splits == 1 {
                text!("batch", "store_one", "naive")
            } else {
                text!("batch", "partial_one", "naive")
            },
            reads: self.reads(Access::Raw, Access::Raw),
            writes: vec![self.write(cut, false)?],
            consts: vec![("WORKGROUP", WORKGROUP)],
            params,
            checks_indices: false,
            workgroups: u64::from(elements.div_ceil(WORKGROUP)),
        });
        self.sum(cut)?;
        Ok(self.stages)
    }

    fn tiled(mut self) -> Result<Vec<Stage>> {
        let (m, n, k, matrices) = (self.problem.m, self.problem.n, self.problem.k, self.problem.matrices());
        let tiles = |side: usize| m.div_ceil(side) * n.div_ceil(side) * matrices;
        // The largest tile that still gives every multiprocessor of a usual GPU something to do.
        let shapes = [(16u32, 2u32, 8u32), (16, 1, 16), (8, 1, 8)];
        let fit = shapes.iter().filter(|(side, ..)| side * side <= self.caps.max_invocations);
        let (side, quads, depth) = fit
            .clone()
            .find(|&&(side, quads, _)| tiles((side * quads * 4) as usize) >= 96 && m.min(n) > 16)
            .or_else(|| fit.last())
            .copied()
            .unwrap_or((8, 1, 8));
        let edge = (side * quads * 4) as usize;
        // Turns of all loops of the kernel that one step of the walk over k takes.
        let turns = 3 + depth as usize * (1 + (quads * (quads + 1)) as usize);
        let longest = (MAX_TURNS / turns) * depth as usize;
        let longest = if self.caps.software { longest.min(MAX_STEPS) } else { MAX_STEPS };
        let cut = cut(k, tiles(edge), 128, 256, longest, depth as usize);
        let tiles = product(&[tiles(edge), cut.splits])?;
        let mut params = self.common(cut)?;
        params.push(("tiles", Word::U32(tiles)));
        params.push(("row_tiles", count(m.div_ceil(edge))?));
        params.push(("column_tiles", count(n.div_ceil(edge))?));
        params.extend(self.element_params());
        let vec4 = n.is_multiple_of(4);
        self.stages.push(Stage {
            name: "matmul_tiled",
            source: match (cut.splits == 1, vec4) {
                (true, true) => text!("batch", "store_quads", "tiled"),
                (true, false) => text!("batch", "store_scalars", "tiled"),
                (false, true) => text!("batch", "partial_quads", "tiled"),
                (false, false) => text!("batch", "partial_scalars", "tiled"),
            },
            reads: self.reads(Access::Raw, Access::Raw),
            writes: vec![self.write(cut, vec4)?],
            consts: vec![
                ("SIDE", side),
                ("QUADS", quads),
                ("DEPTH", depth),
                ("A_ALONG_K", u32::from(self.a.k_is_contiguous())),
                ("B_ALONG_K", u32::from(self.b.k_is_contiguous())),
            ],
            params,
            checks_indices: false,
            workgroups: u64::from(tiles),
        });
        self.sum(cut)?;
        Ok(self.stages)
    }

    fn cpu(mut self) -> Result<Vec<Stage>> {
        let (m, n, k, matrices) = (self.problem.m, self.problem.n, self.problem.k, self.problem.matrices());
        let subgroup = match (self.family, lanes(self.caps)) {
            (Family::CpuSubgroup, Some(lanes)) if m > 1 => Some(lanes),
            _ => None,
        };
        let lanes = subgroup.unwrap_or(8);
        let rows: u32 = if m == 1 {
            1
        } else if subgroup.is_some() {
            lanes.min(8)
        } else {
            8
        };

        let (row_tiles, column_tiles) = (m.div_ceil(rows as usize), n.div_ceil(lanes as usize * 4));
        let cut = cut(k, row_tiles.saturating_mul(column_tiles).saturating_mul(matrices), 16, 512, MAX_STEPS, 4);
        let tiles = product(&[row_tiles, column_tiles, matrices, cut.splits])?;

        let mut params = self.common(cut)?;
        params.push(("tiles", Word::U32(tiles)));
        params.push(("row_tiles", count(row_tiles)?));
        params.push(("column_tiles", count(column_tiles)?));

        let (a_reading, a_params) = self.read_a(rows as usize)?;
        let (b_reading, b_params) = self.read_b(lanes as usize)?;
        params.extend(a_params);
        params.extend(b_params);
        let access = |reading| if reading == Reading::Elements { Access::Raw } else { Access::RawVec4 };
        let tail = !k.is_multiple_of(4) && !(a_reading == Reading::AlongK && matches!(self.b.slot, Slot::Scratch(_)));
        let vec4 = n.is_multiple_of(4);
        let source = cpu_text(subgroup.is_some(), a_reading, b_reading, cut.splits > 1, vec4);
        let workgroup = WORKGROUP.max(lanes);
        self.stages.push(Stage {
            name: if subgroup.is_some() { "matmul_cpu_subgroup" } else { "matmul_cpu_plain" },
            source,
            reads: self.reads(access(a_reading), access(b_reading)),
            writes: vec![self.write(cut, vec4)?],
            consts: vec![("WORKGROUP", workgroup), ("LANES", lanes), ("ROWS", rows), ("K_TAIL", u32::from(tail))],
            params,
            checks_indices: false,
            workgroups: u64::from(tiles.div_ceil(workgroup / lanes)),
        });
        self.sum(cut)?;
        Ok(self.stages)
    }

    /// How the cpu kernels read A: packed where that pays, else in place. Each element is loaded once a tile, so aligned
    /// rows are as good as a packed copy.
    fn read_a(&mut self, rows: usize) -> Result<(Reading, Vec<(&'static str, Word)>)> {
        let reading = self.a.reading();
        let in_place = if reading == Reading::AlongK { Reading::AlongK } else { Reading::Elements };
        if rows > 1 && in_place == Reading::Elements && packing_pays(&self.a, self.problem.n, false) {
            let steps = self.problem.k.div_ceil(4);
            if let Some(batch) = self.pack(PACKED_A, reading, rows, steps)? {
                let panel = (rows * steps) as isize;
                return Ok((
                    Reading::AlongK,
                    operand_params(A_QUADS, &[0, batch[0], batch[1], batch[2], panel, 1, rows as isize]),
                ));
            }
        }
        let a = &self.a;
        if in_place == Reading::Elements {
            let values = [a.offset, a.batch[0], a.batch[1], a.batch[2], a.u_stride, a.k_stride];
            return Ok((in_place, operand_params(A_ELEMENTS, &values)));
        }
        let row = a.u_stride / 4;
        let panel = row * rows as isize;
        let values = [a.offset / 4, a.batch[0] / 4, a.batch[1] / 4, a.batch[2] / 4, panel, row, 1];
        Ok((in_place, operand_params(A_QUADS, &values)))
    }

    /// How the cpu kernels read B: packed where that pays, else in place.
    fn read_b(&mut self, lanes: usize) -> Result<(Reading, Vec<(&'static str, Word)>)> {
        let reading = self.b.reading();
        if packing_pays(&self.b, self.problem.m, reading != Reading::Elements) {
            let steps = self.problem.k.next_multiple_of(4);
            if let Some(batch) = self.pack(PACKED_B, reading, lanes, steps)? {
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

    /// Adds the stage that copies an operand into panels of `lanes` by `steps` vec4s, and makes the copy the operand.
    /// Gives the copy's batch strides in vec4s (a repeated matrix is packed once), or `None` where it would be too
    /// large to bind.
    fn pack(
        &mut self,
        scratch: usize,
        reading: Reading,
        lanes: usize,
        steps: usize,
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
        if quads as u64 * 16 > self.caps.max_binding.min(self.caps.max_buffer) {
            return Ok(None);
        }
        let wide = reading == if along_k { Reading::AlongK } else { Reading::AlongFree };
        let mut params = vec![
            ("quads", count(quads)?),
            ("steps", count(steps)?),
            ("panels", count(panels)?),
            ("batch1", count(sizes[1])?),
            ("batch2", count(sizes[2])?),
        ];
        let unit = if wide { 4 } else { 1 };
        params.push(("offset", stride(side.offset / unit)));
        params.push(("stride0", stride(side.batch[0] / unit)));
        params.push(("stride1", stride(side.batch[1] / unit)));
        params.push(("stride2", stride(side.batch[2] / unit)));
        let mut consts = vec![("WORKGROUP", PACK_WORKGROUP), ("LANES", word(lanes)?)];
        if wide {
            let (inside_lanes, inside_steps) = if along_k { (side.u, side.k / 4) } else { (side.u / 4, side.k) };
            let (lane_stride, step_stride) = if along_k { (side.u_stride / 4, 1) } else { (1, side.k_stride / 4) };
            params.push(("lanes", count(inside_lanes)?));
            params.push(("steps_inside", count(inside_steps)?));
            params.push(("lane_stride", stride(lane_stride)));
            params.push(("step_stride", stride(step_stride)));
        } else {
            consts.push(("ALONG_K", u32::from(along_k)));
            params.push(("u", count(side.u)?));
            params.push(("k", count(side.k)?));
            params.push(("u_stride", stride(side.u_stride)));
            params.push(("k_stride", stride(side.k_stride)));
        }
        let access = if wide { Access::RawVec4 } else { Access::Raw };
        let slot = Slot::Scratch(scratch);
        self.stages.push(Stage {
            name: "matmul_pack",
            source: if wide { text!("batch", "pack_quads") } else { text!("batch", "pack") },
            reads: vec![Read { name: "source", slot: side.slot, access }],
            writes: vec![Write { name: "packed", slot, vec4: true, scratch: Some((quads * 4, DType::F32)) }],
            consts,
            params,
            checks_indices: false,
            workgroups: (quads as u64).div_ceil(u64::from(PACK_WORKGROUP)),
        });
        side.slot = slot;
        Ok(Some(batch))
    }
}

/// Invocations of a workgroup in the packing kernels.
const PACK_WORKGROUP: u32 = 256;

/// Whether a packed copy of an operand saves more time than it costs. Each of its elements is used `uses` times; an
/// operand that can be read by `vec4`s in place gains only by the better use of caches and address translation.
fn packing_pays(side: &Side, uses: usize, aligned: bool) -> bool {
    let elements = side.u * side.k;
    if aligned { uses >= 256 && elements >= 512 << 10 } else { uses >= 32 && elements >= 8 << 10 }
}

/// Names of an operand's parameters, by the file that reads them.
const A_QUADS: &[&str] = &["a_offset", "a_batch0", "a_batch1", "a_batch2", "a_panel", "a_row", "a_step"];
const A_ELEMENTS: &[&str] = &["a_offset", "a_batch0", "a_batch1", "a_batch2", "a_row", "a_col"];
const B_COLUMNS: &[&str] = &["b_offset", "b_batch0", "b_batch1", "b_batch2", "b_panel", "b_step"];
const B_QUADS: &[&str] = &["b_offset", "b_batch0", "b_batch1", "b_batch2", "b_col"];
const B_ELEMENTS: &[&str] = &["b_offset", "b_batch0", "b_batch1", "b_batch2", "b_row", "b_col"];

fn operand_params(names: &[&'static str], values: &[isize]) -> Vec<(&'static str, Word)> {
    names.iter().zip(values).map(|(&name, &value)| (name, stride(value))).collect()
}

/// The text of a cpu kernel: how it reads A and B, where it stores, and the kernel.
fn cpu_text(subgroup: bool, a: Reading, b: Reading, partial: bool, vec4: bool) -> &'static str {
    macro_rules! with_kernel {
        ($a:literal, $b:literal, $store:literal) => {
            if subgroup {
                text!("batch", $a, $b, $store, "cpu_subgroup")
            } else {
                text!("batch", $a, $b, $store, "cpu_plain")
            }
        };
    }
    macro_rules! with_store {
        ($a:literal, $b:literal) => {
            match (partial, vec4) {
                (false, true) => with_kernel!($a, $b, "store_quads"),
                (false, false) => with_kernel!($a, $b, "store_scalars"),
                (true, true) => with_kernel!($a, $b, "partial_quads"),
                (true, false) => with_kernel!($a, $b, "partial_scalars"),
            }
        };
    }
    match (a, b) {
        (Reading::AlongK, Reading::AlongFree) => with_store!("a_quads", "b_columns"),
        (Reading::AlongK, Reading::AlongK) => with_store!("a_quads", "b_quads"),
        (Reading::AlongK, Reading::Elements) => with_store!("a_quads", "b_scalars"),
        (_, Reading::AlongFree) => with_store!("a_scalars", "b_columns"),
        (_, Reading::AlongK) => with_store!("a_scalars", "b_quads"),
        (_, Reading::Elements) => with_store!("a_scalars", "b_scalars"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Meta;
    use crate::layout::View;

    fn operand(layout: Layout) -> Operand {
        Operand { meta: Meta { shape: layout.shape.clone(), dtype: DType::F32 }, layout }
    }

    fn problem(a: impl Into<Shape>, b: impl Into<Shape>) -> Result<Problem> {
        Problem::new(&operand(Layout::contiguous(a)), &operand(Layout::contiguous(b)))
    }

    fn software() -> Caps {
        Caps { software: true, subgroup: Some((8, 8)), ..Caps::baseline() }
    }

    fn names(problem: &Problem, caps: &Caps) -> Vec<&'static str> {
        stages(problem, caps, None).unwrap().iter().map(|s| s.name).collect()
    }

    fn param(stage: &Stage, name: &str) -> u32 {
        stage.params.iter().find(|(n, _)| *n == name).unwrap().1.bits()
    }

    #[test]
    fn batch_dims_collapse() {
        // Rows of A follow one another across the batch: one matrix.
        let p = problem([4, 5, 6], [6, 7]).unwrap();
        assert_eq!((p.batch.rank(), p.m, p.n, p.k), (0, 20, 7, 6));
        // Two dims that both operands walk with one stride merge.
        let p = problem([2, 3, 5, 6], [2, 3, 6, 7]).unwrap();
        assert_eq!((&p.batch[..], &p.a.batch[..], &p.b.batch[..]), (&[6][..], &[30][..], &[42][..]));
        // A repeats over the first, B over the second: two dims.
        let p = problem([1, 3, 5, 6], [2, 1, 6, 7]).unwrap();
        assert_eq!((&p.batch[..], p.m, &p.a.batch[..], &p.b.batch[..]), (&[2][..], 15, &[0][..], &[42][..]));
        let p = problem([2, 1, 5, 6], [1, 3, 6, 7]).unwrap();
        assert_eq!((&p.batch[..], &p.a.batch[..], &p.b.batch[..]), (&[2, 3][..], &[30, 0][..], &[0, 42][..]));
        assert!(problem([2, 1, 2, 1, 5, 6], [1, 2, 1, 2, 6, 7]).is_err());
    }

    #[test]
    fn vectors_and_bad_shapes() {
        let p = problem([6], [6]).unwrap();
        assert_eq!((p.m, p.n, p.k), (1, 1, 6));
        let p = problem([5, 6], [6]).unwrap();
        assert_eq!((p.m, p.n, p.b.row, p.b.col), (5, 1, 1, 0));
        assert!(problem([5, 6], [5, 6]).is_err());
        assert!(problem((), [5]).is_err());
        assert!(problem([2, 5, 6], [3, 6, 5]).is_err());
    }

    #[test]
    fn empty_problems() {
        assert!(names(&problem([0, 3], [3, 4]).unwrap(), &software()).is_empty());
        assert_eq!(names(&problem([2, 0], [0, 4]).unwrap(), &software()), ["matmul_zero"]);
    }

    #[test]
    fn operands_are_read_in_the_widest_way() {
        let reading = |a: Layout, b: Layout| {
            let p = Problem::new(&operand(a), &operand(b)).unwrap();
            let planner =
                Planner::new(&p, &software(), Family::CpuSubgroup, [0, 1]).map(|p| (p.a.reading(), p.b.reading()));
            planner.unwrap()
        };
        let transposed =
            |shape: [usize; 2]| Layout::contiguous(shape).view(&View::Permute(SmallVec::from_slice(&[1, 0]))).unwrap();
        let plain = |shape: [usize; 2]| Layout::contiguous(shape);
        assert_eq!(reading(plain([8, 16]), plain([16, 12])), (Reading::AlongK, Reading::AlongFree));
        assert_eq!(reading(plain([8, 16]), transposed([12, 16])), (Reading::AlongK, Reading::AlongK));
        assert_eq!(reading(transposed([16, 8]), plain([16, 12])), (Reading::AlongFree, Reading::AlongFree));
        assert_eq!(reading(plain([8, 17]), plain([17, 11])), (Reading::Elements, Reading::Elements));
        let mut shifted = plain([8, 16]);
        shifted.offset = 1;
        assert_eq!(reading(shifted, plain([16, 12])).0, Reading::Elements);
    }

    #[test]
    fn families_follow_the_adapter() {
        let p = problem([64, 64], [64, 64]).unwrap();
        assert_eq!(names(&p, &software()), ["matmul_cpu_subgroup"]);
        assert_eq!(names(&p, &Caps { subgroup: None, ..software() }), ["matmul_cpu_plain"]);
        assert_eq!(names(&p, &Caps { subgroup: Some((4, 64)), ..software() }), ["matmul_cpu_plain"]);
        assert_eq!(names(&p, &Caps::baseline()), ["matmul_tiled"]);
        let large = problem([1024, 1024], [1024, 1024]).unwrap();
        assert_eq!(names(&large, &software()), ["matmul_pack", "matmul_cpu_subgroup"]);
        // A vector on either side runs as a row times a matrix.
        let column = stages(&problem([512, 64], [64, 1]).unwrap(), &software(), None).unwrap();
        assert_eq!((param(column.last().unwrap(), "m"), column[0].reads[0].slot), (1, Slot::Input(1)));
    }

    #[test]
    fn loops_are_bounded() {
        for k in [1, 511, 512, 16_384, 16_385, 100_000, 16_777_216] {
            for tiles in [1, 3, 1000] {
                let cut = cut(k, tiles, 128, 256, MAX_STEPS, 8);
                assert!(cut.chunk <= MAX_STEPS && cut.splits <= MAX_TURNS, "{k} {cut:?}");
                assert!(cut.chunk * cut.splits >= k && cut.chunk * (cut.splits - 1) < k, "{k} {cut:?}");
            }
        }
        let p = problem([2, 100_000], [100_000, 3]).unwrap();
        for family in [Family::Naive, Family::CpuPlain, Family::CpuSubgroup, Family::Tiled] {
            let stages = stages(&p, &software(), Some(family)).unwrap();
            assert_eq!(stages.last().unwrap().name, "matmul_sum");
            let main = &stages[stages.len() - 2];
            assert!(param(main, "k_chunk") as usize <= MAX_STEPS, "{family:?}");
            assert!(family == Family::Naive || param(main, "k_chunk") % 4 == 0);
        }
    }

    #[test]
    fn offsets_past_u32_are_refused() {
        let huge = Layout { shape: [4, 4].into(), strides: SmallVec::from_slice(&[1 << 31, 1]), offset: 0 };
        let p = Problem::new(&operand(huge), &operand(Layout::contiguous([4, 4]))).unwrap();
        assert!(matches!(stages(&p, &software(), None), Err(Error::TooLarge { .. })));
        let outer = problem([1 << 17, 1], [1, 1 << 17]).unwrap();
        assert!(matches!(stages(&outer, &software(), None), Err(Error::TooLarge { .. })));
    }
}
