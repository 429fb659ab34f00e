//! Making tensors.

use std::panic::Location;

use ndarray::{ArrayBase, Data, Dimension};

use crate::array::{Array, HostElement};
use crate::backend::Device;
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::graph::{Context, Meta, Var, with_location};
use crate::host;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// Builds a tensor on `device`, attributed to `at`.
pub(super) fn make(device: &Device, at: &'static Location<'static>, f: impl FnOnce() -> Result<Var>) -> Tensor {
    make_as(None, device, at, f)
}

/// [`make`] of a known shape and type, which the tensor has with an error too.
fn make_as(
    known: Option<Meta>,
    device: &Device,
    at: &'static Location<'static>,
    f: impl FnOnce() -> Result<Var>,
) -> Tensor {
    let failed = |error: Error| Var::failed_as(error.or_at(at), known, device.context(), at);
    Tensor::from_var(with_location(at, f).unwrap_or_else(failed), device)
}

impl Tensor {
    /// A tensor of `shape` from row-major values.
    ///
    /// Integers of 64 bits, such as labels, are stored in 32 ([`HostElement`]). Carries [`Error::Length`] where the number of values does not
    /// match, [`Error::Argument`] where one does not fit.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2., 3., 4.], [2, 2], &Device::default());
    /// assert_eq!(x.shape(), [2, 2]);
    /// assert!(Tensor::from_slice(&[1f32], [2, 2], &Device::default()).check().is_err());
    /// ```
    #[track_caller]
    pub fn from_slice<T: HostElement>(values: &[T], shape: impl Into<Shape>, device: &Device) -> Tensor {
        let shape = shape.into();
        let known = shape.checked_numel().map(|_| Meta::new(shape.clone(), T::Stored::DTYPE));
        make_as(known, device, Location::caller(), || {
            if shape.numel() != values.len() {
                let op = "from_slice".into();
                return Err(Error::Length { op, shape, len: values.len(), at: Default::default() });
            }
            host::room_for("from_slice", Some(&shape), size_of_val(values) as u64)?;
            device.upload(Array::from_vec(&shape, T::stored("from_slice", values)?.into_owned()))
        })
    }

    /// A tensor with the values of an ndarray, of the types that [`Tensor::from_slice`] takes.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let array = ndarray::array![[1f32, 2.0], [3.0, 4.0]];
    /// let x = Tensor::from_array(&array, &Device::cpu());
    /// assert_eq!(x.shape(), [2, 2]);
    /// assert_eq!(x.to_vec::<f32>()?, [1.0, 2.0, 3.0, 4.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn from_array<T, S, D>(array: &ArrayBase<S, D>, device: &Device) -> Tensor
    where
        T: HostElement,
        S: Data<Elem = T>,
        D: Dimension,
    {
        make(device, Location::caller(), || {
            // An ndarray may repeat its elements without holding them more than once.
            let shape = Shape::from(array.shape());
            host::room_for("from_array", Some(&shape), (shape.numel() as u64).saturating_mul(size_of::<T>() as u64))?;
            let array = array.as_standard_layout();
            let values = array.as_slice().expect("the layout is the standard one");
            device.upload(Array::from_vec(&shape, T::stored("from_array", values)?.into_owned()))
        })
    }

    /// A scalar (shape `[]`) of type f32. It travels with the kernels and takes no buffer.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::scalar(2.5, &Device::cpu());
    /// assert_eq!((x.rank(), x.item::<f32>()?), (0, 2.5));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn scalar(value: impl Into<f64>, device: &Device) -> Tensor {
        let value = rounded(value.into());
        make(device, Location::caller(), || Ok(Var::scalar(value, DType::F32, device.context())))
    }

    /// Every element equal to `value`. A view of one scalar: no memory is taken until something needs it.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// assert_eq!(Tensor::full([2], 7.0, &Device::default()).to_vec::<f32>()?, [7.0, 7.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn full(shape: impl Into<Shape>, value: impl Into<f64>, device: &Device) -> Tensor {
        let (shape, value) = (shape.into(), rounded(value.into()));
        make(device, Location::caller(), || Ok(Var::scalar(value, DType::F32, device.context()).expand(&shape)))
    }

    /// Zeros.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// assert_eq!(Tensor::zeros([2], &Device::cpu()).to_vec::<f32>()?, [0.0, 0.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn zeros(shape: impl Into<Shape>, device: &Device) -> Tensor {
        Tensor::full(shape, 0.0, device)
    }

    /// Ones.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// assert_eq!(Tensor::ones([2], &Device::cpu()).to_vec::<f32>()?, [1.0, 1.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn ones(shape: impl Into<Shape>, device: &Device) -> Tensor {
        Tensor::full(shape, 1.0, device)
    }

    /// Every element equal to `value`, of any type: integers and booleans exactly, fractions beside integer types truncated as by
    /// [`Tensor::to_dtype`]. A view of one scalar, as [`Tensor::full`].
    ///
    /// Carries an error where the type cannot hold the value or the device lacks the type (f16 without shader support, f64 on a GPU).
    ///
    /// ```
    /// use wgrad::{DType, Device, Tensor};
    /// let x = Tensor::full_as([2], 7, DType::I32, &Device::default());
    /// assert_eq!(x.to_vec::<i32>()?, [7, 7]);
    /// assert!(Tensor::full_as([2], -1, DType::U32, &Device::default()).check().is_err());
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn full_as(shape: impl Into<Shape>, value: impl Into<f64>, dtype: DType, device: &Device) -> Tensor {
        full_as("full", shape.into(), value.into(), dtype, device, Location::caller())
    }

    /// Zeros of any type (`false` for bool); see [`Tensor::full_as`].
    ///
    /// ```
    /// use wgrad::{DType, Device, Tensor};
    /// let x = Tensor::zeros_as([2], DType::U32, &Device::default());
    /// assert_eq!(x.to_vec::<u32>()?, [0, 0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn zeros_as(shape: impl Into<Shape>, dtype: DType, device: &Device) -> Tensor {
        full_as("zeros", shape.into(), 0.0, dtype, device, Location::caller())
    }

    /// Ones of any type (`true` for bool); see [`Tensor::full_as`].
    ///
    /// ```
    /// use wgrad::{DType, Device, Tensor};
    /// let x = Tensor::ones_as([2], DType::Bool, &Device::default());
    /// assert_eq!(x.to_vec::<bool>()?, [true, true]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn ones_as(shape: impl Into<Shape>, dtype: DType, device: &Device) -> Tensor {
        full_as("ones", shape.into(), 1.0, dtype, device, Location::caller())
    }

    /// `start, start + step, …` up to but without `end`, as f32.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::arange(0.0, 1.0, 0.25, &Device::default());
    /// assert_eq!(x.to_vec::<f32>()?, [0.0, 0.25, 0.5, 0.75]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn arange(start: impl Into<f64>, end: impl Into<f64>, step: impl Into<f64>, device: &Device) -> Tensor {
        arange_as([start.into(), end.into(), step.into()], DType::F32, device, Location::caller())
    }

    /// [`Tensor::arange`] of any type but bool. Integer types take whole numbers as `start` and `step`.
    ///
    /// Carries an error where they are none, a value does not fit the type, or the device lacks the type.
    ///
    /// ```
    /// use wgrad::{DType, Device, Tensor};
    /// let x = Tensor::arange_as(5, 0, -2, DType::I32, &Device::default());
    /// assert_eq!(x.to_vec::<i32>()?, [5, 3, 1]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn arange_as(
        start: impl Into<f64>,
        end: impl Into<f64>,
        step: impl Into<f64>,
        dtype: DType,
        device: &Device,
    ) -> Tensor {
        arange_as([start.into(), end.into(), step.into()], dtype, device, Location::caller())
    }

    /// `steps` values evenly spaced from `start` to `end`, both included exactly.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::linspace(0.0, 1.0, 5, &Device::cpu());
    /// assert_eq!(x.to_vec::<f32>()?, [0.0, 0.25, 0.5, 0.75, 1.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn linspace(start: f32, end: f32, steps: usize, device: &Device) -> Tensor {
        make(device, Location::caller(), || {
            Ok(Var::generate_linspace(f64::from(start), f64::from(end), steps, device.context()))
        })
    }

    /// The identity matrix `[n, n]`.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// assert_eq!(Tensor::eye(2, &Device::cpu()).to_vec::<f32>()?, [1.0, 0.0, 0.0, 1.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn eye(n: usize, device: &Device) -> Tensor {
        make(device, Location::caller(), || Ok(Var::generate_eye(n, n, DType::F32, device.context())))
    }

    /// Every element equal to `value`, of this tensor's shape, type and device.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1i32, 2], [2], &Device::cpu());
    /// assert_eq!(x.full_like(7.0).to_vec::<i32>()?, [7, 7]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn full_like(&self, value: impl Into<f64>) -> Tensor {
        self.build(Location::caller(), |v| {
            let value = value.into();
            let value = if v.dtype().is_float() { held("full_like", value, v.dtype())? } else { value };
            Ok(v.scalar_like(value).expand(v.shape()))
        })
    }

    /// Zeros of this tensor's shape, type and device.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1i32, 2], [2], &Device::cpu());
    /// assert_eq!(x.zeros_like().to_vec::<i32>()?, [0, 0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn zeros_like(&self) -> Tensor {
        self.full_like(0.0)
    }

    /// Ones of this tensor's shape, type and device.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1i32, 2], [2], &Device::cpu());
    /// assert_eq!(x.ones_like().to_vec::<i32>()?, [1, 1]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn ones_like(&self) -> Tensor {
        self.full_like(1.0)
    }
}

/// A number as an f32 tensor holds it.
fn rounded(value: f64) -> f64 {
    f64::from(value as f32)
}

/// Whether the device has the type.
pub(super) fn expect_type(op: &str, dtype: DType, context: &Context) -> Result<()> {
    match dtype {
        DType::F64 if !context.traits.allows_f64 => Err(Error::unsupported(op, "f64 exists on the CPU device only")),
        DType::F16 if !context.traits.allows_f16 => Err(Error::unsupported(op, DType::NO_F16)),
        _ => Ok(()),
    }
}

/// The value as a tensor of the type holds it.
fn held(op: &str, value: f64, dtype: DType) -> Result<f64> {
    let whole = value.trunc();
    let (least, most) = match dtype {
        DType::F64 => return Ok(value),
        DType::F16 => return Ok(f64::from(half::f16::from_f32(value as f32))),
        DType::F32 => return Ok(rounded(value)),
        DType::Bool => return Ok(f64::from(u8::from(value != 0.0))),
        DType::I32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
        DType::U32 => (0.0, f64::from(u32::MAX)),
    };
    match (least..=most).contains(&whole) {
        true => Ok(whole),
        false => Err(Error::argument(op, format!("{value} does not fit {dtype}, which holds {least} to {most}"))),
    }
}

fn full_as(
    op: &str,
    shape: Shape,
    value: f64,
    dtype: DType,
    device: &Device,
    at: &'static Location<'static>,
) -> Tensor {
    let known = shape.checked_numel().map(|_| Meta::new(shape.clone(), dtype));
    make_as(known, device, at, || {
        expect_type(op, dtype, device.context())?;
        Ok(Var::scalar(held(op, value, dtype)?, dtype, device.context()).expand(&shape))
    })
}

fn arange_as([start, end, step]: [f64; 3], dtype: DType, device: &Device, at: &'static Location<'static>) -> Tensor {
    make(device, at, || {
        expect_type("arange", dtype, device.context())?;
        let range = format!("from {start} to {end} by {step}");
        if dtype == DType::Bool {
            return Err(Error::dtype("arange", "makes numbers", &[dtype]));
        }
        if step == 0.0 || !step.is_finite() || !((end - start) / step).is_finite() {
            return Err(Error::argument("arange", format!("no range {range}")));
        }
        if dtype.is_int() && (start.fract() != 0.0 || step.fract() != 0.0) {
            let detail = format!("{dtype} takes a whole start and a whole step, not a range {range}");
            return Err(Error::argument("arange", detail));
        }
        let len = ((end - start) / step).ceil().max(0.0) as usize;
        if dtype.is_int() && len > 0 {
            held("arange", start, dtype)?;
            held("arange", start + (len - 1) as f64 * step, dtype)?;
        }
        let context = device.context();
        Ok(match dtype {
            DType::F64 => Var::generate_arange(start, step, len, dtype, context),
            DType::F32 | DType::F16 => {
                Var::generate_arange(rounded(start), rounded(step), len, DType::F32, context).cast(dtype)
            }
            // The kernel counts in the type, which has no negative step.
            DType::U32 if step < 0.0 && len > 0 => {
                let last = start + (len - 1) as f64 * step;
                Var::generate_arange(last, -step, len, dtype, context).flip(&[0])
            }
            _ => Var::generate_arange(start, step, len, dtype, context),
        })
    })
}
