//! The crate's one error type.
//!
//! Errors are values that travel in the graph: an op on bad input returns a tensor that carries the error, and the first
//! read, `backward`, `step` or `save` returns it. Every variant that an op can raise names the op and the line of user
//! code that called it.

use std::fmt;
use std::panic::Location;

use crate::dtype::DType;
use crate::shape::Shape;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The line of user code that an error belongs to; empty where no single line is to blame.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct At(pub Option<&'static Location<'static>>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(location) => write!(f, " (at {location})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(location) => write!(f, "{location}"),
            None => f.write_str("unknown"),
        }
    }
}

impl From<&'static Location<'static>> for At {
    fn from(location: &'static Location<'static>) -> At {
        At(Some(location))
    }
}

/// What went wrong, with the op, the operands and the user's source line.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Operands whose shapes do not fit the op or each other.
    #[error("{op}: {detail}; operand shapes {}{at}", list(.shapes))]
    Shape { op: String, detail: String, shapes: Vec<Shape>, at: At },
    /// Operands whose element type the op does not take.
    #[error("{op}: {detail}; operand dtypes {}{at}", list(.dtypes))]
    DType { op: String, detail: String, dtypes: Vec<DType>, at: At },
    /// An argument that is not a tensor (a dim, a range, a length) is out of its domain.
    #[error("{op}: {detail}{at}")]
    Argument { op: String, detail: String, at: At },
    /// A slice whose length does not match the shape that was asked for.
    #[error("{op}: shape {shape} has {} elements, but {len} values were given{at}", .shape.numel())]
    Length { op: String, shape: Shape, len: usize, at: At },
    /// An index held in a tensor lies outside the dimension that it indexes.
    #[error("{op}: index {index} is out of range for a dimension of size {bound}{at}")]
    IndexOutOfRange { op: String, index: i64, bound: u64, at: At },
    /// Operands that live on different devices.
    #[error("{op}: operands live on different devices ({}){at}; move them with to_device", .devices.join(", "))]
    DeviceMismatch { op: String, devices: Vec<String>, at: At },
    /// A gradient was asked for where there is none.
    #[error("{op}: {detail}{at}")]
    Autograd { op: String, detail: String, at: At },
    /// A tensor, or one op's working set, is larger than the device can bind or index.
    #[error("{op}: needs {bytes} bytes in one binding, the device allows {limit}{at}")]
    TooLarge { op: String, bytes: u64, limit: u64, at: At },
    /// Something that this device or build cannot do.
    #[error("{op}: {detail}{at}")]
    Unsupported { op: String, detail: String, at: At },
    /// No GPU adapter was found.
    #[error("no GPU adapter found ({detail}). {advice}")]
    NoAdapter { detail: String, advice: String },
    /// The device asked for does not exist; `available` lists those that do.
    #[error("no device matches {asked:?}; available: {}", .available.join(", "))]
    UnknownDevice { asked: String, available: Vec<String> },
    /// The device has no memory left, even after unused buffers were given back.
    #[error("out of device memory: {asked} bytes asked for, {in_use} in use, {pooled} pooled")]
    OutOfMemory { asked: u64, in_use: u64, pooled: u64 },
    /// The device is gone (driver reset, time-out, unplugged). Nothing more can run on it.
    #[error("device lost: {0}")]
    DeviceLost(String),
    /// A shader failed to compile or to validate.
    #[error("shader {name}: {detail}")]
    Shader { name: String, detail: String },
    /// Reading or writing a file failed.
    #[error("{path}: {detail}")]
    Io { path: String, detail: String },
}

impl Error {
    /// Fills in the source line where the error does not have one yet.
    pub fn or_at(mut self, location: &'static Location<'static>) -> Error {
        match &mut self {
            Error::Shape { at, .. }
            | Error::DType { at, .. }
            | Error::Argument { at, .. }
            | Error::Length { at, .. }
            | Error::IndexOutOfRange { at, .. }
            | Error::DeviceMismatch { at, .. }
            | Error::Autograd { at, .. }
            | Error::TooLarge { at, .. }
            | Error::Unsupported { at, .. } => {
                if at.0.is_none() {
                    *at = At(Some(location));
                }
            }
            Error::NoAdapter { .. }
            | Error::UnknownDevice { .. }
            | Error::OutOfMemory { .. }
            | Error::DeviceLost(_)
            | Error::Shader { .. }
            | Error::Io { .. } => {}
        }
        self
    }

    /// A [`Error::Shape`] without a source line yet.
    pub fn shape(op: &str, detail: impl Into<String>, shapes: &[&Shape]) -> Error {
        Error::Shape {
            op: op.into(),
            detail: detail.into(),
            shapes: shapes.iter().map(|s| (*s).clone()).collect(),
            at: At(None),
        }
    }

    /// A [`Error::DType`] without a source line yet.
    pub fn dtype(op: &str, detail: impl Into<String>, dtypes: &[DType]) -> Error {
        Error::DType { op: op.into(), detail: detail.into(), dtypes: dtypes.to_vec(), at: At(None) }
    }

    /// A [`Error::Argument`] without a source line yet.
    pub fn argument(op: &str, detail: impl Into<String>) -> Error {
        Error::Argument { op: op.into(), detail: detail.into(), at: At(None) }
    }

    /// A [`Error::Unsupported`] without a source line yet.
    pub fn unsupported(op: &str, detail: impl Into<String>) -> Error {
        Error::Unsupported { op: op.into(), detail: detail.into(), at: At(None) }
    }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(" and ")
}
