//! Element types of files, and how they become ours.

use half::{bf16, f16};

use crate::Device;
use crate::array::{Array, ArrayElement};
use crate::dtype::DType;
use crate::shape::Shape;

/// Dims that a file's array may have, as in numpy.
const MOST_DIMS: usize = 64;

/// An element type of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// One byte, 0 or 1.
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    BF16,
    F32,
    F64,
}

impl Element {
    /// Bytes of one.
    pub fn size(self) -> usize {
        match self {
            Element::Bool | Element::U8 | Element::I8 => 1,
            Element::U16 | Element::I16 | Element::F16 | Element::BF16 => 2,
            Element::U32 | Element::I32 | Element::F32 => 4,
            Element::U64 | Element::I64 | Element::F64 => 8,
        }
    }

    /// What an array is written as.
    pub fn of(dtype: DType) -> Element {
        match dtype {
            DType::Bool => Element::Bool,
            DType::U32 => Element::U32,
            DType::I32 => Element::I32,
            DType::F16 => Element::F16,
            DType::F32 => Element::F32,
            DType::F64 => Element::F64,
        }
    }
}

/// The shape that a file gives, where `bytes` hold exactly so many elements.
pub fn checked_shape(dims: &[u64], element: Element, bytes: u64) -> Result<Shape, String> {
    if dims.len() > MOST_DIMS {
        return Err(format!("has {} dims, at most {MOST_DIMS} are read", dims.len()));
    }
    // A dim of 0 makes the array empty, but the others still have to multiply to a number.
    let fits = dims.iter().filter(|&&d| d > 0).try_fold(1u64, |n, &d| n.checked_mul(d)).is_some_and(|n| n < 1 << 60);
    let numel = dims.iter().try_fold(1u64, |n, &d| n.checked_mul(d)).filter(|_| fits);
    let needed = numel.and_then(|n| n.checked_mul(element.size() as u64));
    let sizes: Vec<usize> = dims.iter().filter_map(|&d| usize::try_from(d).ok()).collect();
    match needed {
        Some(needed) if needed == bytes && sizes.len() == dims.len() => Ok(Shape::from(sizes.as_slice())),
        Some(needed) => Err(format!("shape {dims:?} of {element:?} needs {needed} bytes, but there are {bytes}")),
        None => Err(format!("shape {dims:?} is too large for any file")),
    }
}

fn words<const N: usize>(bytes: &[u8], big_endian: bool) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.chunks_exact(N).map(move |chunk| {
        let mut word = [0; N];
        word.copy_from_slice(chunk);
        if big_endian {
            word.reverse();
        }
        word
    })
}

fn array<T: ArrayElement>(shape: &Shape, values: impl Iterator<Item = T>) -> Result<Array, String> {
    Ok(Array::from_vec(shape, values.collect()))
}

/// Numbers of 64 bits as numbers of 32, where they fit.
fn narrowed<T, U>(shape: &Shape, values: impl Iterator<Item = T>, to: &str) -> Result<Array, String>
where
    T: Copy + std::fmt::Display,
    U: ArrayElement + TryFrom<T>,
{
    let narrow = |v: T| U::try_from(v).map_err(|_| format!("the value {v} does not fit {to}"));
    Ok(Array::from_vec(shape, values.map(narrow).collect::<Result<Vec<U>, String>>()?))
}

/// The array in a file's bytes. `shape` is one that [`checked_shape`] gave for them.
pub fn decode(element: Element, shape: &Shape, bytes: &[u8], big_endian: bool) -> Result<Array, String> {
    let big = big_endian;
    match element {
        Element::Bool => match bytes.iter().find(|&&b| b > 1) {
            Some(byte) => Err(format!("the byte {byte} is no boolean")),
            None => array(shape, bytes.iter().map(|&b| b == 1)),
        },
        Element::U8 => array(shape, bytes.iter().map(|&b| u32::from(b))),
        Element::I8 => array(shape, bytes.iter().map(|&b| i32::from(b as i8))),
        Element::U16 => array(shape, words(bytes, big).map(|w| u32::from(u16::from_le_bytes(w)))),
        Element::I16 => array(shape, words(bytes, big).map(|w| i32::from(i16::from_le_bytes(w)))),
        Element::U32 => array(shape, words(bytes, big).map(u32::from_le_bytes)),
        Element::I32 => array(shape, words(bytes, big).map(i32::from_le_bytes)),
        Element::U64 => narrowed::<_, u32>(shape, words(bytes, big).map(u64::from_le_bytes), "u32"),
        Element::I64 => narrowed::<_, i32>(shape, words(bytes, big).map(i64::from_le_bytes), "i32"),
        Element::F16 => array(shape, words(bytes, big).map(f16::from_le_bytes)),
        Element::BF16 => array(shape, words(bytes, big).map(|w| bf16::from_le_bytes(w).to_f32())),
        Element::F32 => array(shape, words(bytes, big).map(f32::from_le_bytes)),
        Element::F64 => array(shape, words(bytes, big).map(f64::from_le_bytes)),
    }
}

/// An array as a file holds it: little-endian, row-major.
pub fn encode(array: &Array) -> Vec<u8> {
    match array {
        Array::Bool(a) => a.iter().map(|&v| u8::from(v)).collect(),
        Array::U32(a) => a.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Array::I32(a) => a.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Array::F16(a) => a.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Array::F32(a) => a.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Array::F64(a) => a.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

/// The array with an element type that the device has: f64 and f16 become f32 where it lacks them.
pub fn for_device(array: Array, device: &Device) -> Array {
    let traits = &device.context().traits;
    match array.dtype() {
        DType::F64 if !traits.allows_f64 => array.cast(DType::F32),
        DType::F16 if !traits.allows_f16 => array.cast(DType::F32),
        _ => array,
    }
}
