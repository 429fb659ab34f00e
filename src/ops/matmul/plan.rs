//! Plans a matrix multiplication: which kernels run, over which grid, with which parameters.
//!
//! The kernels (`shaders/matmul/`) take any strides, so that a transpose, a broadcast or a slice of an operand needs
//! no copy. Sizes and strides travel as parameters; a new size compiles nothing. What a kernel's text depends on is
//! how an operand can be read (by `vec4`s along k, by `vec4`s along the columns, or by elements), and each such way is
//! a small file of its own that is put in front of the kernel.

use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::kernel::{Access, BufferSlot, Read, Stage, Word, Write};
use crate::ops::kernels;
use crate::ops::matmul::problem::{
    BATCH_DIMS, Cut, MAX_ITERATIONS, MAX_STEPS, Side, count, cut, product, stride, too_large, word,
};
use crate::ops::routine::wgsl;

pub use crate::ops::matmul::problem::{Problem, Strides};

/// Invocations of a workgroup in the kernels that give each invocation its own work.
pub(in crate::ops) const WORKGROUP: u32 = 64;
/// A kernel family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// One element of C an invocation: the baseline.
    Naive,
    /// Register blocks without workgroup memory, for software adapters without subgroups.
    CpuPlain,
    /// Register blocks whose elements of A go round by subgroup broadcast, for software adapters.
    CpuSubgroup,
    /// The same with both operands packed into panels, whether that pays or not; it does for large ones, see `panel_pays`.
    CpuPanels,
    /// Workgroup-memory tiles, for GPUs.
    Tiled,
    /// The same with matrices that subgroups multiply, for 16-bit floats on GPUs that have them.
    Cooperative,
}

/// The text of a kernel, from the files that make it up.
macro_rules! text {
    ($($file:literal),*) => {
        wgsl!($(concat!("matmul/", $file)),*)
    };
}

/// The dispatches that compute `problem`.
///
/// # Errors
/// [`Error::TooLarge`](crate::Error::TooLarge) where sizes go past what the kernels index or the device binds.
pub fn stages(problem: &Problem, caps: &Caps, force: Option<Family>) -> Result<Vec<Stage>> {
    stages_by(problem, caps, force, 0)
}

/// The dispatches for a GPU, where the op's inputs of these numbers play A and B.
///
/// # Errors
/// As [`stages`].
pub(in crate::ops) fn stages_of(problem: &Problem, caps: &Caps, inputs: [usize; 2]) -> Result<Vec<Stage>> {
    let family = if problem.cooperates(caps) { Family::Cooperative } else { Family::Tiled };
    Planner::new(problem, caps, family, 0, inputs)?.stages()
}

/// [`stages`] by one of the family's candidates; where there are fewer, it is the first.
///
/// # Errors
/// As [`stages`].
pub(super) fn stages_by(problem: &Problem, caps: &Caps, force: Option<Family>, candidate: usize) -> Result<Vec<Stage>> {
    let elements = product(&[problem.matrices(), problem.m, problem.n])?;
    if elements == 0 {
        return Ok(Vec::new());
    }
    if problem.k == 0 {
        return Ok(vec![zero(elements)]);
    }
    let family = match force.unwrap_or_else(|| kernels::of(caps.kind()).product(problem, caps)) {
        Family::Cooperative if !problem.cooperates(caps) => Family::Tiled,
        family => family,
    };
    if problem.n == 1 && problem.m > 1 && matches!(family, Family::CpuPlain | Family::CpuSubgroup | Family::CpuPanels) {
        return Planner::new(&problem.column_as_row(), caps, family, candidate, [1, 0])?.stages();
    }
    Planner::new(problem, caps, family, candidate, [0, 1])?.stages()
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
    Write { name: "c", slot: BufferSlot::Output, vec4, scratch: None }
}

/// The scratch buffer of partial sums, behind those of packed operands.
const PARTIAL: usize = 2;

/// A kernel's operand reading and grid, while it is planned.
pub(in crate::ops) struct Planner<'a> {
    pub problem: &'a Problem,
    pub caps: &'a Caps,
    pub family: Family,
    pub candidate: usize,
    pub sizes: [usize; BATCH_DIMS],
    pub a: Side,
    pub b: Side,
    pub stages: Vec<Stage>,
}

impl<'a> Planner<'a> {
    /// `inputs` are the op's inputs that play A and B.
    fn new(problem: &'a Problem, caps: &'a Caps, family: Family, candidate: usize, inputs: [usize; 2]) -> Result<Self> {
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
            slot: BufferSlot::Input(inputs[0]),
            offset: a.offset,
            batch: pad(&a.batch),
            u_stride: a.row,
            k_stride: a.col,
            u: problem.m,
            k: problem.k,
        };
        let b = Side {
            slot: BufferSlot::Input(inputs[1]),
            offset: b.offset,
            batch: pad(&b.batch),
            u_stride: b.col,
            k_stride: b.row,
            u: problem.n,
            k: problem.k,
        };
        a.check(sizes)?;
        b.check(sizes)?;
        Ok(Planner { problem, caps, family, candidate, sizes, a, b, stages: Vec::new() })
    }

    fn stages(self) -> Result<Vec<Stage>> {
        match self.family {
            Family::Naive => self.naive(),
            Family::Tiled => self.tiled(),
            Family::Cooperative => self.cooperative(),
            Family::CpuPlain | Family::CpuSubgroup | Family::CpuPanels => self.in_blocks(),
        }
    }

    /// Whether scratch of so many elements can be bound.
    pub fn fits(&self, elements: usize) -> bool {
        elements as u64 * 4 <= self.caps.max_binding.min(self.caps.max_buffer) && u32::try_from(elements).is_ok()
    }

    /// Sizes, batch dims and the cut of k, which every kernel takes.
    pub fn common(&self, cut: Cut) -> Result<Vec<(&'static str, Word)>> {
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
    pub fn element_params(&self) -> Vec<(&'static str, Word)> {
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

    pub fn reads(&self, a: Access, b: Access) -> Vec<Read> {
        vec![Read { name: "a", slot: self.a.slot, access: a }, Read { name: "b", slot: self.b.slot, access: b }]
    }

    /// Where the kernel writes: the output, or partial sums where k is cut.
    pub fn write(&self, cut: Cut, vec4: bool) -> Result<Write> {
        if cut.splits == 1 {
            return Ok(output(vec4));
        }
        let elements = product(&[cut.splits, self.problem.matrices(), self.problem.m, self.problem.n])? as usize;
        if !self.fits(elements) || cut.splits > MAX_ITERATIONS {
            return Err(too_large(elements as u64, self.caps.max_binding / 4));
        }
        Ok(Write { name: "partial", slot: BufferSlot::Scratch(PARTIAL), vec4, scratch: Some((elements, DType::F32)) })
    }

    /// Adds up partial sums.
    pub fn sum(&mut self, cut: Cut) -> Result<()> {
        if cut.splits == 1 {
            return Ok(());
        }
        let elements = self.problem.matrices() * self.problem.m * self.problem.n;
        let vec4 = elements.is_multiple_of(4);
        let items = word(if vec4 { elements / 4 } else { elements })?;
        let access = if vec4 { Access::RawVec4 } else { Access::Raw };
        self.stages.push(Stage {
            name: "matmul_sum",
            source: if vec4 { text!("partial_sum_quads", "sum") } else { text!("partial_sums", "sum") },
            reads: vec![Read { name: "partial", slot: BufferSlot::Scratch(PARTIAL), access }],
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
}

#[cfg(test)]
mod tests;
