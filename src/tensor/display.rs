//! Values as text, in PyTorch's form.

use std::fmt;

use crate::array::Array;
use crate::dtype::DType;
use crate::tensor::Tensor;

/// Elements above which only the edges of each dim are shown.
const SUMMARISE: usize = 1000;
/// Elements shown at each edge then.
const EDGE: usize = 3;

impl fmt::Display for Tensor {
    /// Prints the values. Reads them, so it blocks; a tensor that carries an error prints the error.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1.5f32, -2.0], [2], &Device::default());
    /// assert_eq!(x.to_string(), "tensor([ 1.5000, -2.0000])");
    /// assert_eq!(format!("{x:.1}"), "tensor([ 1.5, -2.0])");
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_host() {
            Ok(array) => write_array(f, &array, self.shape(), self.dtype()),
            Err(error) => write!(f, "tensor(error: {error})"),
        }
    }
}

impl fmt::Debug for Tensor {
    /// Shape, type and device, without reading the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({:?}, {}, {})", self.shape(), self.dtype(), self.device().info().name)
    }
}

fn write_array(f: &mut fmt::Formatter<'_>, array: &Array, shape: &[usize], dtype: DType) -> fmt::Result {
    let values = array.to_f64();
    let precision = f.precision().unwrap_or(4);
    let finite = values.iter().filter(|v| v.is_finite());
    let whole = finite.clone().all(|v| v.fract() == 0.0);
    let largest = finite.clone().fold(0.0f64, |m, v| m.max(v.abs()));
    let smallest = finite.filter(|v| **v != 0.0).fold(f64::INFINITY, |m, v| m.min(v.abs()));
    let scientific = dtype.is_float() && (largest >= 1e8 || (smallest.is_finite() && largest / smallest > 1e6));
    let one = |v: f64| match dtype {
        DType::Bool => (v != 0.0).to_string(),
        DType::U32 | DType::I32 => format!("{v}"),
        DType::F16 | DType::F32 | DType::F64 if v.is_nan() => "nan".into(),
        DType::F16 | DType::F32 | DType::F64 if v.is_infinite() => (if v > 0.0 { "inf" } else { "-inf" }).into(),
        DType::F16 | DType::F32 | DType::F64 if scientific => format!("{v:.precision$e}"),
        DType::F16 | DType::F32 | DType::F64 if whole => format!("{v}."),
        DType::F16 | DType::F32 | DType::F64 => format!("{v:.precision$}"),
    };
    let edges = values.len() > SUMMARISE;
    let texts: Vec<String> = values.iter().map(|&v| one(v)).collect();
    let width = texts.iter().map(String::len).max().unwrap_or(0);
    f.write_str("tensor(")?;
    write_dim(f, &texts, shape, width, edges, 8)?;
    if !matches!(dtype, DType::F32) {
        write!(f, ", dtype={dtype}")?;
    }
    f.write_str(")")
}

fn write_dim(
    f: &mut fmt::Formatter<'_>,
    texts: &[String],
    shape: &[usize],
    width: usize,
    edges: bool,
    indent: usize,
) -> fmt::Result {
    let Some((&size, inner)) = shape.split_first() else {
        return f.write_str(texts.first().map_or("", |t| t));
    };
    let block: usize = inner.iter().product();
    f.write_str("[")?;
    let mut first = true;
    for i in 0..size {
        let hidden = edges && size > 2 * EDGE && (EDGE..size - EDGE).contains(&i);
        if hidden && i != EDGE {
            continue;
        }
        if !first {
            match inner.len() {
                0 => f.write_str(", ")?,
                n => {
                    f.write_str(",")?;
                    f.write_str(&"\n".repeat(n))?;
                    f.write_str(&" ".repeat(indent))?;
                }
            }
        }
        first = false;
        if hidden {
            f.write_str("...")?;
        } else if inner.is_empty() {
            write!(f, "{:>width$}", texts[i])?;
        } else {
            write_dim(f, &texts[i * block..(i + 1) * block], inner, width, edges, indent + 1)?;
        }
    }
    f.write_str("]")
}
