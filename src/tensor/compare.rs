//! Comparison within tolerances, and reductions that look at what kind of number an element is.

use std::panic::Location;

use crate::dtype::DType;
use crate::error::Result;
use crate::graph::Var;
use crate::tensor::Tensor;
use crate::tensor::reduce::{all_dims, dims_or_all};

fn is_close(x: &Var, y: &Var, rtol: f64, atol: f64, equal_nan: bool) -> Var {
    let bound = y.float().abs() * rtol + atol;
    let distance = x.maximum(y).sub(&x.minimum(y));
    if !distance.dtype().is_float() {
        // The larger less the smaller is right as an unsigned number even where a signed one overflows.
        return distance.cast(DType::U32).float().le(&bound);
    }
    // Infinities are close to themselves only; differences of infinities must not decide.
    let near = distance.le(&bound).logical_and(&x.is_finite()).logical_and(&y.is_finite());
    let close = x.eq(y).logical_or(&near);
    if equal_nan { close.logical_or(&x.is_nan().logical_and(&y.is_nan())) } else { close }
}

impl Tensor {
    /// Whether `|x − y| ≤ atol + rtol · |y|`, element by element; infinities are close to themselves, and NaN to NaN where
    /// `equal_nan` is set. Shapes broadcast.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let a = Tensor::from_slice(&[1f32, 2.0], [2], &device);
    /// let b = Tensor::from_slice(&[1f32, 2.5], [2], &device);
    /// assert_eq!(a.is_close(&b, 1e-5, 1e-8, false).to_vec::<bool>()?, [true, false]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn is_close(&self, other: &Tensor, rtol: impl Into<f64>, atol: impl Into<f64>, equal_nan: bool) -> Tensor {
        let (rtol, atol) = (rtol.into(), atol.into());
        self.build(Location::caller(), |v| Ok(is_close(v, &other.node(), rtol, atol, equal_nan)))
    }

    /// Whether all elements are close, as [`Tensor::is_close`] has it without equal NaNs; computed on the device.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::ones([3], &Device::default());
    /// assert!(x.allclose(&(&x + 1e-7), 1e-5, 1e-8)?);
    /// assert!(!x.allclose(&(&x + 0.1), 1e-5, 1e-8)?);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Where shapes do not broadcast, and whatever went wrong on the way here.
    #[track_caller]
    pub fn allclose(&self, other: &Tensor, rtol: impl Into<f64>, atol: impl Into<f64>) -> Result<bool> {
        self.is_close(other, rtol, atol, false).all().item::<bool>()
    }

    /// The elements with NaN replaced by `nan`, and the infinities by `posinf` and `neginf`. PyTorch's defaults are 0 and the
    /// largest and smallest finite number, `f32::MAX` and `f32::MIN`. The gradient at replaced elements is 0.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[f32::NAN, f32::INFINITY, 3.0], [3], &Device::cpu());
    /// assert_eq!(x.nan_to_num(0.0, 9.0, -9.0).to_vec::<f32>()?, [0.0, 9.0, 3.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn nan_to_num(&self, nan: impl Into<f64>, posinf: impl Into<f64>, neginf: impl Into<f64>) -> Tensor {
        let (nan, posinf, neginf) = (nan.into(), posinf.into(), neginf.into());
        self.build(Location::caller(), |v| {
            if !v.dtype().is_float() {
                return Ok(v.clone());
            }
            let scalar = |value: f64| v.scalar_like(value);
            let high = v.eq(&scalar(f64::INFINITY)).where_(&scalar(posinf), v);
            let low = v.eq(&scalar(f64::NEG_INFINITY)).where_(&scalar(neginf), &high);
            Ok(v.is_nan().where_(&scalar(nan), &low))
        })
    }

    /// How many elements are not 0 (i32).
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[0f32, 2.0, -3.0], [3], &Device::cpu());
    /// assert_eq!(x.count_nonzero().item::<i32>()?, 2);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn count_nonzero(&self) -> Tensor {
        self.build(Location::caller(), |v| Ok(v.nonzero().sum(&all_dims(v), false)))
    }

    /// How many elements over `dims` (all dims where none are given) are not 0 (i32).
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[0f32, 2.0, 3.0, 4.0], [2, 2], &Device::cpu());
    /// assert_eq!(x.count_nonzero_dims(&[1], false).to_vec::<i32>()?, [1, 2]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn count_nonzero_dims(&self, dims: &[isize], keepdim: bool) -> Tensor {
        self.build(Location::caller(), |v| Ok(v.nonzero().sum(&dims_or_all(v, "count_nonzero", dims)?, keepdim)))
    }

    /// The smallest and the largest element.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], [2, 2], &Device::cpu());
    /// let (low, high) = x.aminmax();
    /// assert_eq!((low.item::<f32>()?, high.item::<f32>()?), (1.0, 4.0));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn aminmax(&self) -> (Tensor, Tensor) {
        self.build_pair(Location::caller(), |v| Ok((v.min(&all_dims(v), false), v.max(&all_dims(v), false))))
    }

    /// The smallest and the largest elements along `dim`; with `keepdim` it stays with size 1.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], [2, 2], &Device::cpu());
    /// let (low, high) = x.aminmax_dim(0, false);
    /// assert_eq!(low.to_vec::<f32>()?, [1.0, 2.0]);
    /// assert_eq!(high.to_vec::<f32>()?, [3.0, 4.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn aminmax_dim(&self, dim: isize, keepdim: bool) -> (Tensor, Tensor) {
        self.build_pair(Location::caller(), |v| {
            let dims = [v.shape().dim("aminmax", dim)?];
            Ok((v.min(&dims, keepdim), v.max(&dims, keepdim)))
        })
    }

    /// Sum of the elements that are not NaN.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, f32::NAN, 3.0], [3], &Device::cpu());
    /// assert_eq!(x.nansum().item::<f32>()?, 4.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn nansum(&self) -> Tensor {
        self.build(Location::caller(), |v| Ok(v.nansum(&all_dims(v), false)))
    }

    /// Sums over `dims` (all dims where none are given) of the elements that are not NaN.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, f32::NAN, 3.0, 5.0], [2, 2], &Device::cpu());
    /// assert_eq!(x.nansum_dims(&[1], false).to_vec::<f32>()?, [1.0, 8.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn nansum_dims(&self, dims: &[isize], keepdim: bool) -> Tensor {
        self.build(Location::caller(), |v| Ok(v.nansum(&dims_or_all(v, "nansum", dims)?, keepdim)))
    }

    /// Mean of the elements that are not NaN; NaN where there are none.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, f32::NAN, 3.0], [3], &Device::cpu());
    /// assert_eq!(x.nanmean().item::<f32>()?, 2.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn nanmean(&self) -> Tensor {
        self.build(Location::caller(), |v| v.nanmean(&all_dims(v), false))
    }

    /// Means over `dims` (all dims where none are given) of the elements that are not NaN; NaN where there are none.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, f32::NAN, 3.0, 5.0], [2, 2], &Device::cpu());
    /// assert_eq!(x.nanmean_dims(&[1], false).to_vec::<f32>()?, [1.0, 4.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn nanmean_dims(&self, dims: &[isize], keepdim: bool) -> Tensor {
        self.build(Location::caller(), |v| v.nanmean(&dims_or_all(v, "nanmean", dims)?, keepdim))
    }
}

impl Var {
    /// 1 (i32) where the element is not 0.
    fn nonzero(&self) -> Var {
        self.cast(DType::Bool).cast(DType::I32)
    }

    /// Σ over `dims` of the elements that are not NaN.
    fn nansum(&self, dims: &[usize], keepdim: bool) -> Var {
        match self.dtype().is_float() {
            true => self.is_nan().where_(&self.scalar_like(0.0), self).sum(dims, keepdim),
            false => self.sum(dims, keepdim),
        }
    }

    fn nanmean(&self, dims: &[usize], keepdim: bool) -> Result<Var> {
        if !self.dtype().is_float() {
            let detail = "takes floating-point elements";
            return Err(crate::error::Error::dtype("nanmean", detail, &[self.dtype()]));
        }
        let count = self.is_nan().logical_not().sum(dims, keepdim);
        let mean = |x: &Var| x.nansum(dims, keepdim).per_count(&count);
        Ok(self.in_f32(mean).unwrap_or_else(|| mean(self)))
    }
}
