//! Making tensors.

use std::panic::Location;

use ndarray::{ArrayBase, Data, Dimension};

use crate::array::{Array, ArrayElement};
use crate::backend::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{Meta, Var, with_location};
use crate::host;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// Builds a tensor on `device`, attributed to `at`.
fn make(device: &Device, at: &'static Location<'static>, f: impl FnOnce() -> Result<Var>) -> Tensor {
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
    /// Carries [`Error::Length`] where the number of values does not match.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2., 3., 4.], [2, 2], &Device::default());
    /// assert_eq!(x.shape(), [2, 2]);
    /// assert!(Tensor::from_slice(&[1f32], [2, 2], &Device::default()).check().is_err());
    /// ```
    #[track_caller]
    pub fn from_slice<T: ArrayElement>(values: &[T], shape: impl Into<Shape>, device: &Device) -> Tensor {
        let shape = shape.into();
        let known = shape.checked_numel().map(|_| Meta::new(shape.clone(), T::DTYPE));
        make_as(known, device, Location::caller(), || {
            if shape.numel() != values.len() {
                let op = "from_slice".into();
                return Err(Error::Length { op, shape, len: values.len(), at: Default::default() });
            }
            host::room_for("from_slice", Some(&shape), size_of_val(values) as u64)?;
            device.upload(Array::from_vec(&shape, values.to_vec()))
        })
    }

    /// A tensor with the values of an ndarray.
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
        T: ArrayElement,
        S: Data<Elem = T>,
        D: Dimension,
    {
        make(device, Location::caller(), || {
            // An ndarray may repeat its elements without holding them more than once.
            let shape = Shape::from(array.shape());
            host::room_for("from_array", Some(&shape), (shape.numel() as u64).saturating_mul(size_of::<T>() as u64))?;
            device.upload(T::wrap(array.as_standard_layout().into_owned().into_dyn()))
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
        let (start, end, step) = (start.into(), end.into(), step.into());
        make(device, Location::caller(), || {
            if step == 0.0 || !step.is_finite() || !((end - start) / step).is_finite() {
                return Err(Error::argument("arange", format!("no range from {start} to {end} by {step}")));
            }
            let len = ((end - start) / step).ceil().max(0.0) as usize;
            Ok(Var::generate_arange(rounded(start), rounded(step), len, DType::F32, device.context()))
        })
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

    /// Uniform random numbers in `[0, 1)`, by a counter-based generator: the same device, seed and order of calls give the same
    /// bits.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::rand([10], &Device::cpu()).to_vec::<f32>()?;
    /// assert!(x.iter().all(|v| (0.0..1.0).contains(v)));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn rand(shape: impl Into<Shape>, device: &Device) -> Tensor {
        Tensor::uniform(shape, 0.0, 1.0, device)
    }

    /// Uniform random numbers in `[low, high)`. Carries an error where `low` is above `high`.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::uniform([10], -2.0, 2.0, &Device::cpu()).to_vec::<f32>()?;
    /// assert!(x.iter().all(|v| (-2.0..=2.0).contains(v)));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn uniform(shape: impl Into<Shape>, low: f32, high: f32, device: &Device) -> Tensor {
        let shape = shape.into();
        make(device, Location::caller(), || {
            if low.is_nan() || high.is_nan() || low > high {
                return Err(Error::argument("uniform", format!("no range from {low} to {high}")));
            }
            let (low, high) = (f64::from(low), f64::from(high));
            Ok(Var::generate_uniform(&shape, low, high, device.next_key(), device.context()))
        })
    }

    /// Normal random numbers with mean 0 and standard deviation 1.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// device.seed(42);
    /// let first = Tensor::randn([4], &device).to_vec::<f32>()?;
    /// device.seed(42);
    /// assert_eq!(Tensor::randn([4], &device).to_vec::<f32>()?, first);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn randn(shape: impl Into<Shape>, device: &Device) -> Tensor {
        let shape = shape.into();
        make(device, Location::caller(), || {
            Ok(Var::generate_normal(&shape, 0.0, 1.0, device.next_key(), device.context()))
        })
    }

    /// Random integers (i32) in `low..high`. Carries an error where the range is empty.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let dice = Tensor::randint([10], 1, 7, &Device::cpu()).to_vec::<i32>()?;
    /// assert!(dice.iter().all(|v| (1..7).contains(v)));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn randint(shape: impl Into<Shape>, low: i32, high: i32, device: &Device) -> Tensor {
        let shape = shape.into();
        make(device, Location::caller(), || {
            if low >= high {
                return Err(Error::argument("randint", format!("no integers in {low}..{high}")));
            }
            Ok(Var::generate_randint(&shape, low, high, device.next_key(), device.context()))
        })
    }

    /// Random booleans that are true with probability `p`.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// assert_eq!(Tensor::bernoulli([4], 0.5, &device).shape(), [4]);
    /// assert_eq!(Tensor::bernoulli([2], 0.0, &device).to_vec::<bool>()?, [false, false]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn bernoulli(shape: impl Into<Shape>, p: f32, device: &Device) -> Tensor {
        let shape = shape.into();
        make(device, Location::caller(), || {
            if !(0.0..=1.0).contains(&p) {
                return Err(Error::argument("bernoulli", format!("probability {p} is not in 0..=1")));
            }
            Ok(Var::generate_bernoulli(&shape, f64::from(p), device.next_key(), device.context()))
        })
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
            let value = if v.dtype().is_float() { v.number(value) } else { value.into() };
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

    /// Uniform random numbers in `[0, 1)` of this tensor's shape and device; f16 for an f16 tensor, else f32.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::zeros([2, 3], &Device::cpu());
    /// assert_eq!(x.rand_like().shape(), [2, 3]);
    /// ```
    #[track_caller]
    pub fn rand_like(&self) -> Tensor {
        self.as_half(Tensor::rand(self.full_shape(), self.device()))
    }

    /// Normal random numbers of this tensor's shape and device; f16 for an f16 tensor, else f32.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::zeros([2, 3], &Device::cpu());
    /// assert_eq!(x.randn_like().shape(), [2, 3]);
    /// ```
    #[track_caller]
    pub fn randn_like(&self) -> Tensor {
        self.as_half(Tensor::randn(self.full_shape(), self.device()))
    }

    #[track_caller]
    fn as_half(&self, x: Tensor) -> Tensor {
        if self.dtype() == DType::F16 { x.to_dtype(DType::F16) } else { x }
    }
}

/// A number as an f32 tensor holds it.
fn rounded(value: f64) -> f64 {
    f64::from(value as f32)
}
