//! Small helpers that the structured ops share.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::Var;
use crate::graph::kernel::{Access, BufferSlot, Read, Stage, Word, Write};
use crate::shape::Shape;

/// The text of a stage: files below `shaders/`, without ending.
macro_rules! wgsl {
    ($($file:expr),+ $(,)?) => {
        &[$(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $file, ".wgsl"))),+] as $crate::graph::kernel::Wgsl
    };
}
pub(crate) use wgsl;

/// Invocations in a workgroup of a kernel over a 1-D grid.
pub const WORKGROUP: u32 = 256;

/// Longest row that one invocation walks: three walks stay below the 65,535 iterations after which some software adapters end
/// loops. Ops over longer rows are composed of reductions, which the scheduler splits.
pub const LONG_ROW: usize = 16_384;

/// Workgroups of a 1-D grid with one invocation an element.
pub fn grid(elements: usize) -> u64 {
    (elements as u64).div_ceil(u64::from(WORKGROUP))
}

/// A read of input `index` through `load_NAME`.
pub fn read(name: &'static str, index: usize) -> Read {
    Read { name, slot: BufferSlot::Input(index), access: Access::Logical }
}

/// The write of the output through `store`.
pub fn output() -> Write {
    Write { name: "y", slot: BufferSlot::Output, vec4: false, scratch: None }
}

/// How often these stages load each element of an input, where `times` says it of a read; `None` where one of them reads it raw, or
/// `times` does not know. (For [`Routine::loads`](crate::graph::kernel::Routine::loads).)
pub fn loads(stages: &[Stage], input: usize, times: impl Fn(&Stage, &Read) -> Option<usize>) -> Option<usize> {
    let reads = stages.iter().flat_map(|stage| stage.reads.iter().map(move |read| (stage, read)));
    let own = reads.filter(|(_, read)| read.slot == BufferSlot::Input(input));
    own.map(|(stage, read)| if read.access == Access::Raw { None } else { times(stage, read) }).sum()
}

/// A size as a kernel parameter.
///
/// # Errors
/// [`Error::Unsupported`] where it does not fit 32 bits.
pub fn size(op: &str, size: usize) -> Result<Word> {
    u32::try_from(size)
        .map(Word::U32)
        .map_err(|_| Error::unsupported(op, format!("a size of {size} elements does not fit 32-bit indices")))
}

/// A value of `dtype` as a kernel parameter; booleans travel as `u32`.
pub fn word(dtype: DType, value: f64) -> Word {
    match dtype {
        DType::Bool | DType::U32 => Word::U32(value as u32),
        DType::I32 => Word::I32(value as i32),
        DType::F16 | DType::F32 | DType::F64 => Word::F32(value as f32),
    }
}

/// A shape seen as `[outer, size of dim, inner]`, row-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Around {
    /// Product of the sizes before the dim.
    pub outer: usize,
    /// Size of the dim.
    pub size: usize,
    /// Product of the sizes after the dim.
    pub inner: usize,
}

/// Splits `shape` around `dim`.
pub fn around(shape: &Shape, dim: usize) -> Around {
    Around { outer: shape[..dim].iter().product(), size: shape[dim], inner: shape[dim + 1..].iter().product() }
}

/// Checks that `dim` is a dim of `shape`.
///
/// # Errors
/// [`Error::Argument`] that names both.
pub fn check_dim(op: &str, shape: &Shape, dim: usize) -> Result<()> {
    if dim < shape.rank() {
        Ok(())
    } else {
        Err(Error::argument(op, format!("dim {dim} is out of range for shape {shape} of rank {}", shape.rank())))
    }
}

/// Checks that an operand is of floats.
///
/// # Errors
/// [`Error::DType`] that names its type.
pub fn expect_float(op: &str, dtype: DType) -> Result<()> {
    if dtype.is_float() { Ok(()) } else { Err(Error::dtype(op, "takes floats", &[dtype])) }
}

impl Var {
    /// A value that carries `error`, or this value's own, on its device, of its shape and type, attributed to the caller's line.
    #[track_caller]
    pub(crate) fn fail(&self, error: Error) -> Var {
        let at = crate::graph::here();
        let error = self.0.error.clone().unwrap_or(error).or_at(at);
        Var::failed_as(error, Some(self.meta().clone()), &self.0.context, at)
    }
}

/// The first error that an operand carries, of the shape and type of the first operand: for methods that compare shapes before they apply
/// an op, whose own complaint would hide that error.
pub(crate) fn poisoned(vars: &[&Var]) -> Option<Var> {
    let failed = vars.iter().find(|v| v.0.error.is_some())?;
    let (error, first) = (failed.0.error.clone()?, vars.first()?);
    Some(Var::failed_as(error, Some(first.meta().clone()), &first.0.context, failed.0.at))
}

/// The largest element, NaN where there is one; -∞ of none. For the CPU references of row ops.
pub(super) fn largest(row: &[f64]) -> f64 {
    row.iter().fold(f64::NEG_INFINITY, |m, &v| if v.is_nan() || v > m { v } else { m })
}
