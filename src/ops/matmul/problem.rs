//! A multiplication in terms of strides, and how its operands can be read.

use smallvec::SmallVec;

use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::{At, Error, Result};
use crate::graph::kernel::{BufferSlot, Operand, Word};
use crate::layout::Layout;
use crate::shape::Shape;

/// Batch dims that the kernels resolve themselves.
pub(in crate::ops) const BATCH_DIMS: usize = 3;

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
    /// Whether the operands are 16-bit floats.
    pub is_half: bool,
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
            is_half: a.meta.dtype == DType::F16 && b.meta.dtype == DType::F16,
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

    /// Products of one class are about as large, and their operands lie alike.
    pub fn class(&self) -> String {
        let size = |size: usize| size.next_power_of_two();
        let lies = |strides: &Strides| match (strides.row, strides.col) {
            (_, 1) => "rows",
            (1, _) => "columns",
            _ => "strided",
        };
        let dtype = if self.is_half { "f16" } else { "f32" };
        let sizes = [self.matrices(), self.m, self.k, self.n].map(size).map(|size| size.to_string());
        format!("matmul {dtype} {}, A by {}, B by {}", sizes.join(" "), lies(&self.a), lies(&self.b))
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
    pub(in crate::ops) fn column_as_row(&self) -> Problem {
        let flip = |s: &Strides| Strides { row: s.col, col: s.row, ..s.clone() };
        Problem { m: self.n, n: self.m, a: flip(&self.b), b: flip(&self.a), ..self.clone() }
    }

    pub(in crate::ops) fn matrices(&self) -> usize {
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
pub(in crate::ops) enum Reading {
    /// `vec4`s along k.
    AlongK,
    /// `vec4`s along the free dim: rows of A, columns of B.
    AlongFree,
    /// Element by element.
    Elements,
}

/// An operand as the kernels see it: `u` is its free dim (row of A, column of B).
#[derive(Clone, Debug)]
pub(in crate::ops) struct Side {
    pub slot: BufferSlot,
    pub offset: isize,
    pub batch: [isize; BATCH_DIMS],
    pub u_stride: isize,
    pub k_stride: isize,
    pub u: usize,
    pub k: usize,
}

impl Side {
    /// The widest way to read the operand in place.
    pub(in crate::ops) fn reading(&self) -> Reading {
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
    pub(in crate::ops) fn k_is_contiguous(&self) -> bool {
        self.u == 1 || (self.k != 1 && self.k_stride.unsigned_abs() <= self.u_stride.unsigned_abs())
    }

    /// Checks that every element's offset can be computed in u32.
    pub(in crate::ops) fn check(&self, sizes: [usize; BATCH_DIMS]) -> Result<()> {
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
pub(in crate::ops) fn word(value: usize) -> Result<u32> {
    let limit = u64::from(u32::MAX);
    u32::try_from(value).map_err(|_| Error::TooManyElements {
        op: "matmul".into(),
        elements: value as u64,
        limit,
        at: At(None),
    })
}

pub(in crate::ops) fn too_large(elements: u64, limit: u64) -> Error {
    Error::TooLarge {
        op: "matmul".into(),
        bytes: elements.saturating_mul(4),
        limit: limit.saturating_mul(4),
        at: At(None),
    }
}

/// The product of sizes as a u32.
pub(in crate::ops) fn product(sizes: &[usize]) -> Result<u32> {
    word(sizes.iter().try_fold(1usize, |p, &s| p.checked_mul(s)).unwrap_or(usize::MAX))
}

/// A stride or offset; negative ones wrap, and so do the sums in the kernel.
pub(in crate::ops) fn stride(value: isize) -> Word {
    Word::U32(value as i32 as u32)
}

pub(in crate::ops) fn count(value: usize) -> Result<Word> {
    word(value).map(Word::U32)
}

/// Some drivers end loops silently after 65,535 iterations an invocation; no kernel here takes more than half of that.
pub(in crate::ops) const MAX_ITERATIONS: usize = 32_768;
/// Steps of k that one sum takes at most. Longer ones are cut, which also keeps the rounding errors of long sums small.
pub(in crate::ops) const MAX_STEPS: usize = 16_384;

/// How k is cut: `splits` parts of `chunk` steps each (the last may be shorter).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub splits: usize,
    pub chunk: usize,
}

/// Cuts k into parts of at most `longest` steps, and further while there are fewer than `wanted` tiles of work and the
/// parts stay at least `shortest` long. Parts are multiples of `grain`.
pub(in crate::ops) fn cut(k: usize, tiles: usize, wanted: usize, shortest: usize, longest: usize, grain: usize) -> Cut {
    let by_length = k.div_ceil(longest);
    let by_work = wanted.div_ceil(tiles.max(1)).min(k / shortest);
    let splits = by_length.max(by_work).max(1);
    let chunk = k.div_ceil(splits).next_multiple_of(grain);
    Cut { splits: k.div_ceil(chunk), chunk }
}

/// Subgroups of a workgroup of the kernel by cooperative matrices.
pub(in crate::ops) const COOPERATIVE_SUBGROUPS: u32 = 4;

impl Problem {
    /// Whether the device has cooperative matrices for the problem, and workgroups for the kernel.
    pub(in crate::ops) fn cooperates(&self, caps: &Caps) -> bool {
        let threads = caps.lanes().map(|lanes| lanes * COOPERATIVE_SUBGROUPS);
        self.is_half && caps.cooperative.is_some() && threads.is_some_and(|threads| threads <= caps.max_invocations)
    }
}
