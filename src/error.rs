//! The crate's one error type.
//!
//! Errors are values that travel in the graph: an op on bad input returns a tensor that carries the error, and the first
//! read, `backward`, `step` or `save` returns it. Every variant that an op can raise names the op and the line of user
//! code that called it.

use std::fmt;
use std::panic::Location;

use crate::dtype::DType;
use crate::shape::Shape;

pub use crate::site::Site;

/// `Result` with this crate's [`Error`].
///
/// ```
/// use wgrad::{Device, Result, Tensor};
/// fn doubled(x: &Tensor) -> Result<Vec<f32>> {
///     (x * 2.0).to_vec()
/// }
/// assert_eq!(doubled(&Tensor::ones([2], &Device::cpu()))?, [2.0, 2.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The bound by which kernels report a number that is not finite, instead of an index: no dim is so large. The index is 1 for NaN.
pub(crate) const NOT_FINITE: u32 = u32::MAX;

/// What a value had to be that a kernel reports under [`NOT_FINITE`], as twice this number, and one more for NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Expected {
    /// A norm that is finite.
    Norm,
    /// Rates of a Poisson distribution.
    Rates,
    /// Parameters of normal distributions.
    Deviations,
    /// Weights to draw by.
    Weights,
    /// Logits to draw by.
    Logits,
}

impl Expected {
    const ALL: [Expected; 5] =
        [Expected::Norm, Expected::Rates, Expected::Deviations, Expected::Weights, Expected::Logits];

    fn of(code: i32) -> Expected {
        usize::try_from(code / 2).ok().and_then(|i| Expected::ALL.get(i).copied()).unwrap_or(Expected::Norm)
    }
}

/// The line of user code, and the layer, that an error belongs to; empty where no single line is to blame.
///
/// ```
/// use wgrad::error::At;
/// let at = At::from(std::panic::Location::caller());
/// assert!(at.to_string().contains(".rs:") && At(None).to_string().is_empty());
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct At(pub Option<&'static Site>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(site) => write!(f, " (at {site})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(site) => write!(f, "{site}"),
            None => f.write_str("unknown"),
        }
    }
}

impl From<&'static Location<'static>> for At {
    fn from(location: &'static Location<'static>) -> At {
        At(Some(Site::from(location).kept()))
    }
}

impl From<Site> for At {
    fn from(site: Site) -> At {
        At(Some(site.kept()))
    }
}

/// What went wrong, with the op, the operands and the user's source line. `Debug` prints what `Display` does, so that a `main` that returns
/// an error prints its message. An op inside a loss is named behind it: `mse: sub: …`.
///
/// ```
/// use wgrad::{Device, Error, Tensor};
/// let device = Device::cpu();
/// let sum = &Tensor::ones([2], &device) + &Tensor::ones([3], &device); // carries the error
/// assert!(matches!(sum.to_vec::<f32>(), Err(Error::Shape { .. })));
/// ```
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Operands whose shapes do not fit the op or each other.
    #[error("{op}: {detail}; operand shapes {}{at}", list(.shapes))]
    Shape {
        /// The op, as users name it.
        op: String,
        /// What does not fit, in words.
        detail: String,
        /// Shapes of the operands.
        shapes: Vec<Shape>,
        /// The user's line.
        at: At,
    },
    /// Operands whose element type the op does not take.
    #[error("{op}: {detail}; operand dtypes {}{at}", list(.dtypes))]
    DType {
        /// The op, as users name it.
        op: String,
        /// What does not fit, in words.
        detail: String,
        /// Element types of the operands.
        dtypes: Vec<DType>,
        /// The user's line.
        at: At,
    },
    /// An argument that is not a tensor (a dim, a range, a length) is out of its domain.
    #[error("{op}: {detail}{at}")]
    Argument {
        /// The op, as users name it.
        op: String,
        /// What is wrong with it.
        detail: String,
        /// The user's line.
        at: At,
    },
    /// A slice whose length does not match the shape that was asked for.
    #[error("{op}: shape {shape} has {} elements, but {len} values were given{at}", .shape.numel())]
    Length {
        /// The op, as users name it.
        op: String,
        /// The shape that was asked for.
        shape: Shape,
        /// Number of values that were given.
        len: usize,
        /// The user's line.
        at: At,
    },
    /// An index held in a tensor lies outside the dimension that it indexes.
    #[error("{op}: index {index} is out of range for a dimension of size {bound}{}{at}", of_shape(.shape))]
    IndexOutOfRange {
        /// The op, as users name it.
        op: String,
        /// The index.
        index: i64,
        /// Size of the dimension.
        bound: u64,
        /// The shape indexed, where it is known.
        shape: Option<Shape>,
        /// The user's line.
        at: At,
    },
    /// Operands that live on different devices.
    #[error("{op}: operands live on different devices ({}); move them with to_device{at}", .devices.join(", "))]
    DeviceMismatch {
        /// The op, as users name it.
        op: String,
        /// Names of the devices.
        devices: Vec<String>,
        /// The user's line.
        at: At,
    },
    /// A gradient was asked for where there is none.
    #[error("{op}: {detail}{at}")]
    Autograd {
        /// The op, as users name it.
        op: String,
        /// Why there is none.
        detail: String,
        /// The user's line.
        at: At,
    },
    /// An op made a NaN or an infinity; only [`detect_anomaly`](crate::autograd::detect_anomaly) looks, and
    /// [`clip_grad_norm_with`](crate::optim::clip_grad_norm_with) where it is asked to.
    #[error("{op}: {detail}{at}")]
    NonFinite {
        /// The op, as users name it.
        op: String,
        /// What it made.
        detail: String,
        /// The user's line.
        at: At,
    },
    /// A tensor, or one op's working set, is larger than the device can bind or index.
    #[error("{op}: needs {bytes} bytes in one binding, the device allows {limit}{at}")]
    TooLarge {
        /// The op, as users name it.
        op: String,
        /// Bytes that one binding would need.
        bytes: u64,
        /// Bytes that one binding may have.
        limit: u64,
        /// The user's line.
        at: At,
    },
    /// A tensor, or the reach of an op's indices, has more elements than indices of the device count.
    #[error("{op}: {elements} elements are more than the {limit} that indices count{at}")]
    TooManyElements {
        /// The op, as users name it.
        op: String,
        /// Elements that would have to be counted.
        elements: u64,
        /// Elements that can be.
        limit: u64,
        /// The user's line.
        at: At,
    },
    /// A memory budget that no plan keeps to.
    #[error("the memory budget of {budget} bytes is too small: the least that was reached is {least} bytes{at}")]
    OverBudget {
        /// The budget.
        budget: u64,
        /// The least that any plan found needs at once.
        least: u64,
        /// The user's line.
        at: At,
    },
    /// Something that this device or build cannot do.
    #[error("{op}: {detail}{at}")]
    Unsupported {
        /// The op, as users name it.
        op: String,
        /// What cannot be done.
        detail: String,
        /// The user's line.
        at: At,
    },
    /// The engine has broken one of its own rules. That is a bug of this library, not of the program.
    #[error(
        "{op}: internal error: {detail}{at}. This is a bug in wgrad: please report it, with the program that led to it"
    )]
    Internal {
        /// The op, as users name it.
        op: String,
        /// The rule.
        detail: String,
        /// The user's line.
        at: At,
    },
    /// No GPU adapter was found.
    #[error("no GPU adapter found ({detail}){at}. {advice}")]
    NoAdapter {
        /// What was looked for and found.
        detail: String,
        /// What to install.
        advice: String,
        /// The user's line.
        at: At,
    },
    /// The device asked for does not exist; `available` lists those that do.
    #[error("no device matches {asked:?}{at}; available: {}", .available.join(", "))]
    UnknownDevice {
        /// The name that was asked for.
        asked: String,
        /// What there is.
        available: Vec<String>,
        /// The user's line.
        at: At,
    },
    /// The device, or on the CPU reference and for reads and files the machine, has no memory left, even after unused buffers
    /// were given back.
    #[error("{op}: out of memory: {asked} bytes asked for{}, {in_use} in use, {pooled} pooled{at}", for_shape(.shape))]
    OutOfMemory {
        /// The op, as users name it.
        op: String,
        /// The shape of what the memory was for, where it is known.
        shape: Option<Shape>,
        /// Bytes that were asked for.
        asked: u64,
        /// Bytes in use, where it is known.
        in_use: u64,
        /// Bytes kept free for reuse.
        pooled: u64,
        /// The user's line.
        at: At,
    },
    /// The device is gone (driver reset, time-out, unplugged). Nothing more can run on it.
    #[error("device lost: {0}")]
    DeviceLost(String),
    /// A shader failed to compile or to validate.
    #[error("shader {name}: {detail}")]
    Shader {
        /// The shader.
        name: String,
        /// The compiler's message.
        detail: String,
    },
    /// Reading or writing a file failed.
    #[error("{path}: {detail}")]
    Io {
        /// The file.
        path: String,
        /// The system's message.
        detail: String,
    },
}

impl Error {
    /// Fills in the source line where the error does not have one yet.
    pub fn or_at(mut self, site: impl Into<Site>) -> Error {
        if let Some((op, at)) = self.origin()
            && at.0.is_none()
        {
            let site = site.into();
            *at = site.into();
            if let (Some(op), Some(function)) = (op, site.function())
                && op.split(':').next() != Some(function)
            {
                *op = format!("{function}: {op}");
            }
        }
        self
    }

    /// The op and the line, of errors that have one.
    fn origin(&mut self) -> Option<(Option<&mut String>, &mut At)> {
        match self {
            Error::Shape { op, at, .. }
            | Error::DType { op, at, .. }
            | Error::Argument { op, at, .. }
            | Error::Length { op, at, .. }
            | Error::IndexOutOfRange { op, at, .. }
            | Error::DeviceMismatch { op, at, .. }
            | Error::Autograd { op, at, .. }
            | Error::NonFinite { op, at, .. }
            | Error::TooLarge { op, at, .. }
            | Error::TooManyElements { op, at, .. }
            | Error::OutOfMemory { op, at, .. }
            | Error::Unsupported { op, at, .. }
            | Error::Internal { op, at, .. } => Some((Some(op), at)),
            Error::OverBudget { at, .. } | Error::NoAdapter { at, .. } | Error::UnknownDevice { at, .. } => {
                Some((None, at))
            }
            Error::DeviceLost(_) | Error::Shader { .. } | Error::Io { .. } => None,
        }
    }

    /// What a kernel has reported: an index out of range, or with the bound [`NOT_FINITE`] a number that is not finite.
    pub(crate) fn reported(op: &str, index: i32, bound: u32, shape: Option<Shape>, at: At) -> Error {
        if bound == NOT_FINITE {
            return Error::unexpected(op, Expected::of(index), index & 1 != 0).at(at);
        }
        let (index, bound, op) = (i64::from(index), u64::from(bound), op.into());
        Error::IndexOutOfRange { op, index, bound, shape, at: At(None) }.at(at)
    }

    fn at(self, at: At) -> Error {
        match at.0 {
            Some(site) => self.or_at(*site),
            None => self,
        }
    }

    /// An [`Error::Internal`] without a source line yet.
    pub(crate) fn internal(op: &str, detail: impl Into<String>) -> Error {
        Error::Internal { op: op.into(), detail: detail.into(), at: At(None) }
    }

    /// A value is not what was expected; `nan` says how, where it is a norm. Without a source line yet.
    pub(crate) fn unexpected(op: &str, expected: Expected, nan: bool) -> Error {
        let detail = match expected {
            Expected::Norm => {
                let detail = format!("the total norm of the gradients is {}", if nan { "NaN" } else { "infinite" });
                return Error::NonFinite { op: op.into(), detail, at: At(None) };
            }
            Expected::Rates => "rates must be 0 or more, and finite",
            Expected::Deviations => "means and standard deviations must be finite, and deviations 0 or more",
            Expected::Weights => "the weights of each row must be 0 or more and finite, and enough of them above 0",
            Expected::Logits => {
                "logits must be no NaN and below infinity, and in each row one must be above minus infinity"
            }
        };
        Error::argument(op, detail)
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

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(" and ")
}

fn for_shape(shape: &Option<Shape>) -> String {
    shape.as_ref().map_or_else(String::new, |shape| format!(" for shape {shape}"))
}

fn of_shape(shape: &Option<Shape>) -> String {
    shape.as_ref().map_or_else(String::new, |shape| format!(" of shape {shape}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_rules_ask_for_a_report() {
        let error = Error::internal("plan", "a buffer has no place").or_at(Location::caller());
        let text = error.to_string();
        assert!(
            text.starts_with("plan: internal error: a buffer has no place (at ") && text.contains("please report it")
        );
        assert_eq!(format!("{error:?}"), text);
    }

    #[test]
    fn errors_are_small() {
        assert!(size_of::<Error>() < 128, "{}", size_of::<Error>());
    }
}
