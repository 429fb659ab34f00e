//! Element types.

use std::fmt;

/// The type of a tensor's elements.
///
/// `F16` is for storage: kernels compute in f32 and round each op's result once, as PyTorch does on half-precision tensors.
/// It needs an adapter with 16-bit floats in shaders. `F64` exists on the CPU reference only. `Bool` is stored as one `u32`
/// an element on a GPU, since WGSL has no storable boolean.
///
/// ```
/// use wgrad::{DType, Device, Tensor};
/// let x = Tensor::from_slice(&[1i32, 2], [2], &Device::cpu());
/// assert_eq!(x.dtype(), DType::I32);
/// assert_eq!(x.to_dtype(DType::F32).to_vec::<f32>()?, [1.0, 2.0]);
/// assert_eq!(DType::I32.promote(DType::F16), DType::F16);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// `true` or `false`.
    Bool,
    /// 32-bit unsigned integer.
    U32,
    /// 32-bit signed integer.
    I32,
    /// 16-bit IEEE 754 float, where the adapter has it.
    F16,
    /// 32-bit IEEE 754 float.
    F32,
    /// 64-bit IEEE 754 float (CPU reference only).
    F64,
}

impl DType {
    /// What errors say of f16 where the adapter lacks it.
    pub(crate) const NO_F16: &str = "this adapter has no 16-bit floats in shaders; use f32, or the CPU device";

    /// Whether gradients can flow through tensors of this type.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F16 | DType::F32 | DType::F64)
    }

    /// Whether this is a signed or unsigned integer type.
    pub fn is_int(self) -> bool {
        matches!(self, DType::U32 | DType::I32)
    }

    /// Bytes an element takes in a GPU buffer.
    pub fn size(self) -> usize {
        match self {
            DType::F16 => 2,
            DType::F64 => 8,
            _ => 4,
        }
    }

    /// The type that an elementwise op on `self` and `other` computes in: bool < u32 < i32 < f16 < f32 < f64.
    pub fn promote(self, other: DType) -> DType {
        self.max(other)
    }

    /// The type that kernels and the CPU reference compute in: f32 for f16, else the same.
    pub fn register(self) -> DType {
        if self == DType::F16 { DType::F32 } else { self }
    }

    /// The WGSL type of a value in a register.
    pub fn wgsl(self) -> &'static str {
        match self {
            DType::Bool => "bool",
            DType::U32 => "u32",
            DType::I32 => "i32",
            DType::F16 | DType::F32 | DType::F64 => "f32",
        }
    }

    /// The WGSL type of a value in a buffer.
    pub fn wgsl_storage(self) -> &'static str {
        match self {
            DType::F16 => "f16",
            other => other.wgsl_param(),
        }
    }

    /// The WGSL type of a kernel parameter.
    pub fn wgsl_param(self) -> &'static str {
        match self {
            DType::Bool => "u32",
            other => other.wgsl(),
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::Bool => "bool",
            DType::U32 => "u32",
            DType::I32 => "i32",
            DType::F16 => "f16",
            DType::F32 => "f32",
            DType::F64 => "f64",
        })
    }
}

/// A Rust type that tensors can be made from and read into: `f32`, `f64`, [`half::f16`], `i32`, `u32`, `bool`.
///
/// ```
/// use wgrad::{DType, arguments::Element};
/// assert_eq!(bool::DTYPE, DType::Bool);
/// assert_eq!(i32::from_bytes(&i32::to_bytes(&[1, -2])), [1, -2]);
/// ```
pub trait Element: Copy + Send + Sync + fmt::Debug + PartialEq + 'static {
    /// The matching [`DType`].
    ///
    /// ```
    /// use wgrad::arguments::Element;
    /// fn bytes<T: Element>(values: &[T]) -> usize {
    ///     values.len() * T::DTYPE.size()
    /// }
    /// assert_eq!((bytes(&[1f32, 2.0]), bytes(&[1f64, 2.0])), (8, 16));
    /// ```
    const DTYPE: DType;
    /// The elements as they lie in a GPU buffer.
    fn to_bytes(values: &[Self]) -> Vec<u8>;
    /// The elements of a GPU buffer's bytes; the inverse of [`Element::to_bytes`].
    fn from_bytes(bytes: &[u8]) -> Vec<Self>;
}

macro_rules! plain_element {
    ($($t:ty => $d:ident),*) => {$(
        impl Element for $t {
            const DTYPE: DType = DType::$d;
            fn to_bytes(values: &[Self]) -> Vec<u8> {
                bytemuck::cast_slice(values).to_vec()
            }
            fn from_bytes(bytes: &[u8]) -> Vec<Self> {
                bytemuck::pod_collect_to_vec(bytes)
            }
        }
    )*};
}
plain_element!(half::f16 => F16, f32 => F32, f64 => F64, i32 => I32, u32 => U32);

impl Element for bool {
    const DTYPE: DType = DType::Bool;
    fn to_bytes(values: &[Self]) -> Vec<u8> {
        values.iter().flat_map(|&v| u32::from(v).to_ne_bytes()).collect()
    }
    fn from_bytes(bytes: &[u8]) -> Vec<Self> {
        bytemuck::pod_collect_to_vec::<u8, u32>(bytes).into_iter().map(|v| v != 0).collect()
    }
}
