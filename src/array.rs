//! Arrays in host memory: the values of the CPU reference.

use std::borrow::Cow;

use half::f16;
use ndarray::{ArrayD, IxDyn};

use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::shape::Shape;

/// An n-dimensional array in host memory, of any element type, in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// Booleans.
    Bool(ArrayD<bool>),
    /// 32-bit unsigned integers.
    U32(ArrayD<u32>),
    /// 32-bit signed integers.
    I32(ArrayD<i32>),
    /// 16-bit floats.
    F16(ArrayD<f16>),
    /// 32-bit floats.
    F32(ArrayD<f32>),
    /// 64-bit floats.
    F64(ArrayD<f64>),
}

/// Runs `$body` with `$a` bound to the typed ndarray inside an [`Array`].
#[macro_export]
#[doc(hidden)]
macro_rules! with_array {
    ($array:expr, $a:ident => $body:expr) => {
        match $array {
            $crate::array::Array::Bool($a) => $body,
            $crate::array::Array::U32($a) => $body,
            $crate::array::Array::I32($a) => $body,
            $crate::array::Array::F16($a) => $body,
            $crate::array::Array::F32($a) => $body,
            $crate::array::Array::F64($a) => $body,
        }
    };
}

/// Element types that an [`Array`] can hold.
pub trait ArrayElement: Element {
    /// Wraps a typed array.
    #[doc(hidden)]
    fn wrap(array: ArrayD<Self>) -> Array;
    /// The typed array, where the element type is this one.
    #[doc(hidden)]
    fn unwrap(array: &Array) -> Option<&ArrayD<Self>>;
}

macro_rules! array_element {
    ($($t:ty => $v:ident),*) => {$(
        impl ArrayElement for $t {
            fn wrap(array: ArrayD<Self>) -> Array {
                Array::$v(array)
            }
            fn unwrap(array: &Array) -> Option<&ArrayD<Self>> {
                if let Array::$v(a) = array { Some(a) } else { None }
            }
        }
    )*};
}
array_element!(bool => Bool, u32 => U32, i32 => I32, f16 => F16, f32 => F32, f64 => F64);

/// Element types of host data that tensors are made from: those that tensors hold, and other integers. As tensors hold 32 bits, `i64`, `isize`
/// and `usize` become i32 and `u64` becomes u32, where every value fits; `i8` and `i16` become i32, `u8` and `u16` u32.
///
/// ```
/// use wgrad::{DType, Device, Tensor};
/// let device = Device::cpu();
/// let labels = Tensor::from_slice(&[3i64, 0], [2], &device);
/// assert_eq!(labels.dtype(), DType::I32);
/// let error = Tensor::from_slice(&[3i64, 3_000_000_000], [2], &device).check().unwrap_err().to_string();
/// assert!(error.contains("3000000000 at place 1 does not fit i32"));
/// ```
pub trait HostElement: Copy {
    /// The type that tensors hold it in.
    type Stored: ArrayElement;

    /// The values as `op` stores them; the first that does not fit is named.
    #[doc(hidden)]
    fn stored<'a>(op: &str, values: &'a [Self]) -> Result<Cow<'a, [Self::Stored]>>;
}

impl<T: ArrayElement> HostElement for T {
    type Stored = T;

    fn stored<'a>(_op: &str, values: &'a [T]) -> Result<Cow<'a, [T]>> {
        Ok(Cow::Borrowed(values))
    }
}

macro_rules! host_integers {
    ($($t:ty => $stored:ty),*) => {$(
        impl HostElement for $t {
            type Stored = $stored;

            fn stored<'a>(op: &str, values: &'a [$t]) -> Result<Cow<'a, [$stored]>> {
                let narrow = |(place, &value): (usize, &$t)| {
                    <$stored>::try_from(value).map_err(|_| {
                        let held = <$stored as Element>::DTYPE;
                        Error::argument(op, format!("the value {value} at place {place} does not fit {held}"))
                    })
                };
                values.iter().enumerate().map(narrow).collect::<Result<Vec<$stored>>>().map(Cow::Owned)
            }
        }
    )*};
}
host_integers!(i64 => i32, isize => i32, usize => i32, u64 => u32, i8 => i32, i16 => i32, u8 => u32, u16 => u32);

/// To 16 bits by way of f32, as kernels do: the result of f32 arithmetic is what is rounded.
fn half(value: f64) -> f16 {
    f16::from_f32(value as f32)
}

/// The elements in row-major order, copied only where they do not lie so.
pub(crate) fn flat<T: Copy>(a: &ArrayD<T>) -> Cow<'_, [T]> {
    a.as_slice().map_or_else(|| a.iter().copied().collect(), Cow::Borrowed)
}

impl Array {
    /// An array of `shape` from row-major values. `values.len()` must equal the shape's number of elements.
    pub fn from_vec<T: ArrayElement>(shape: &Shape, values: Vec<T>) -> Array {
        debug_assert_eq!(shape.numel(), values.len());
        let array = ArrayD::from_shape_vec(IxDyn(shape), values);
        T::wrap(array.expect("the number of values was checked against the shape by the caller"))
    }

    /// An array with every element equal to `value`, converted to `dtype`.
    pub fn full(shape: &Shape, dtype: DType, value: f64) -> Array {
        let dims = IxDyn(shape);
        match dtype {
            DType::Bool => Array::Bool(ArrayD::from_elem(dims, value != 0.0)),
            DType::U32 => Array::U32(ArrayD::from_elem(dims, value as u32)),
            DType::I32 => Array::I32(ArrayD::from_elem(dims, value as i32)),
            DType::F16 => Array::F16(ArrayD::from_elem(dims, half(value))),
            DType::F32 => Array::F32(ArrayD::from_elem(dims, value as f32)),
            DType::F64 => Array::F64(ArrayD::from_elem(dims, value)),
        }
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        match self {
            Array::Bool(_) => DType::Bool,
            Array::U32(_) => DType::U32,
            Array::I32(_) => DType::I32,
            Array::F16(_) => DType::F16,
            Array::F32(_) => DType::F32,
            Array::F64(_) => DType::F64,
        }
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        with_array!(self, a => Shape::from(a.shape()))
    }

    /// The elements in row-major order, where the type is `T`.
    pub fn to_vec<T: ArrayElement>(&self) -> Option<Vec<T>> {
        T::unwrap(self).map(|a| flat(a).into_owned())
    }

    /// The elements in row-major order as `f64` (bool as 0 and 1).
    pub fn to_f64(&self) -> Vec<f64> {
        match self {
            Array::Bool(a) => flat(a).iter().map(|&v| f64::from(u8::from(v))).collect(),
            Array::U32(a) => flat(a).iter().map(|&v| f64::from(v)).collect(),
            Array::I32(a) => flat(a).iter().map(|&v| f64::from(v)).collect(),
            Array::F16(a) => flat(a).iter().map(|&v| f64::from(v)).collect(),
            Array::F32(a) => flat(a).iter().map(|&v| f64::from(v)).collect(),
            Array::F64(a) => flat(a).into_owned(),
        }
    }

    /// The elements as they lie in a GPU buffer.
    pub fn to_bytes(&self) -> Vec<u8> {
        fn bytes<T: ArrayElement>(a: &ArrayD<T>) -> Vec<u8> {
            T::to_bytes(&flat(a))
        }
        with_array!(self, a => bytes(a))
    }

    /// The elements that `layout` selects from this row-major array.
    pub fn strided(&self, layout: &Layout) -> Array {
        fn pick<T: ArrayElement>(a: &ArrayD<T>, layout: &Layout) -> Array {
            let flat = flat(a);
            let Layout { shape, strides, offset } = layout.collapsed();
            let values = match shape.rank().checked_sub(1) {
                // Neighbours are copied together.
                Some(last) if strides[last] == 1 && shape.numel() > 0 => {
                    let outer = Layout { shape: shape[..last].into(), strides: strides[..last].into(), offset };
                    outer.offsets().flat_map(|start| &flat[start..start + shape[last]]).copied().collect()
                }
                _ => layout.offsets().map(|o| flat[o]).collect(),
            };
            Array::from_vec(&layout.shape, values)
        }
        with_array!(self, a => pick(a, layout))
    }

    /// Converts the element type: to bool by `!= 0`, from float to integer by truncation (saturating).
    pub fn cast(&self, dtype: DType) -> Array {
        if self.dtype() == dtype {
            return self.clone();
        }
        macro_rules! to {
            ($a:ident, $f64:expr) => {{
                let (shape, flat) = (Shape::from($a.shape()), flat($a));
                match dtype {
                    DType::Bool => Array::from_vec(&shape, flat.iter().map(|&v| $f64(v) != 0.0).collect()),
                    DType::U32 => Array::from_vec(&shape, flat.iter().map(|&v| $f64(v) as u32).collect()),
                    DType::I32 => Array::from_vec(&shape, flat.iter().map(|&v| $f64(v) as i32).collect()),
                    DType::F16 => Array::from_vec(&shape, flat.iter().map(|&v| half($f64(v))).collect()),
                    DType::F32 => Array::from_vec(&shape, flat.iter().map(|&v| $f64(v) as f32).collect()),
                    DType::F64 => Array::from_vec(&shape, flat.iter().map(|&v| $f64(v)).collect()),
                }
            }};
        }
        match self {
            Array::Bool(a) => to!(a, |v: bool| f64::from(u8::from(v))),
            Array::U32(a) => to!(a, f64::from),
            Array::I32(a) => match dtype {
                // Two's complement, as WGSL's u32(i32) has it.
                DType::U32 => Array::U32(a.mapv(|v| v as u32)),
                _ => to!(a, f64::from),
            },
            Array::F16(a) => to!(a, f64::from),
            Array::F32(a) => to!(a, f64::from),
            Array::F64(a) => to!(a, |v: f64| v),
        }
    }
}
