//! Values read back: each call that blocks, and the asynchronous one that it waits for.

use std::panic::Location;

use ndarray::ArrayD;

use crate::array::{Array, ArrayElement};
use crate::backend::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{Meta, Var, recording, with_location};
use crate::host;
use crate::tensor::Tensor;
use crate::wait::wait;

impl Tensor {
    /// The elements in row-major order. Blocks; on the web use [`Tensor::to_vec_async`].
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::arange(0.0, 6.0, 1.0, &Device::default()).reshape([2, 3]);
    /// assert_eq!(x.t().to_vec::<f32>()?, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    /// assert!(x.to_vec::<i32>().is_err());
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::DType`] where `T` is not the tensor's type, and whatever went wrong on the way here.
    #[track_caller]
    pub fn to_vec<T: ArrayElement>(&self) -> Result<Vec<T>> {
        self.expect_type(T::DTYPE, "to_vec", Location::caller())?;
        let at = Location::caller();
        wait("to_vec", "await to_vec_async", self.vec("to_vec", at)).map_err(|e| e.or_at(at))
    }

    async fn vec<T: ArrayElement>(&self, op: &str, at: &'static Location<'static>) -> Result<Vec<T>> {
        let array = self.device().read(&self.node()).await.map_err(|e| e.or_at(at))?;
        self.room_for_copy(op, at)?;
        Ok(array.to_vec().unwrap_or_default())
    }

    /// [`Tensor::to_vec`] as a future, for browsers, where it does not block. Natively it polls the device inside, so awaiting
    /// it blocks the thread until the value is there.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::ones([2], &Device::cpu());
    /// let values = pollster::block_on(x.to_vec_async::<f32>())?;
    /// assert_eq!(values, [1.0, 1.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tensor::to_vec`].
    #[track_caller]
    pub fn to_vec_async<T: ArrayElement>(&self) -> impl Future<Output = Result<Vec<T>>> {
        let at = Location::caller();
        async move {
            self.expect_type(T::DTYPE, "to_vec_async", at)?;
            self.vec("to_vec_async", at).await
        }
    }

    /// The one element of a tensor with one element.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::full([10], 0.5, &Device::default());
    /// assert_eq!(x.sum().item::<f32>()?, 5.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] where there is not exactly one element; else as [`Tensor::to_vec`].
    #[track_caller]
    pub fn item<T: ArrayElement>(&self) -> Result<T> {
        let at = Location::caller();
        wait("item", "await item_async", self.one("item", at)).map_err(|e| e.or_at(at))
    }

    /// [`Tensor::item`] as a future, for browsers, where it does not block; natively as [`Tensor::to_vec_async`].
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::full([10], 0.5, &Device::default());
    /// assert_eq!(pollster::block_on(x.sum().item_async::<f32>())?, 5.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tensor::item`].
    #[track_caller]
    pub fn item_async<T: ArrayElement>(&self) -> impl Future<Output = Result<T>> {
        let at = Location::caller();
        async move { self.one("item_async", at).await }
    }

    async fn one<T: ArrayElement>(&self, op: &str, at: &'static Location<'static>) -> Result<T> {
        self.expect_type(T::DTYPE, op, at)?;
        // Before anything is computed or read.
        if self.numel() != 1 {
            let detail = format!("shape {} has {} elements, not one", self.inner.meta.shape, self.numel());
            return Err(Error::argument(op, detail).or_at(at));
        }
        let values = self.vec::<T>(op, at).await?;
        values.first().copied().ok_or_else(|| Error::argument(op, "no element was read").or_at(at))
    }

    /// The elements as an ndarray.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::eye(2, &Device::default());
    /// assert_eq!(x.to_array::<f32>()?[[1, 1]], 1.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tensor::to_vec`].
    #[track_caller]
    pub fn to_array<T: ArrayElement>(&self) -> Result<ArrayD<T>> {
        let at = Location::caller();
        wait("to_array", "await to_array_async", self.array("to_array", at)).map_err(|e| e.or_at(at))
    }

    /// [`Tensor::to_array`] as a future, for browsers, where it does not block; natively as [`Tensor::to_vec_async`].
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::eye(2, &Device::default());
    /// assert_eq!(pollster::block_on(x.to_array_async::<f32>())?[[1, 1]], 1.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tensor::to_vec`].
    #[track_caller]
    pub fn to_array_async<T: ArrayElement>(&self) -> impl Future<Output = Result<ArrayD<T>>> {
        let at = Location::caller();
        async move { self.array("to_array_async", at).await }
    }

    async fn array<T: ArrayElement>(&self, op: &str, at: &'static Location<'static>) -> Result<ArrayD<T>> {
        self.expect_type(T::DTYPE, op, at)?;
        let array = self.device().read(&self.node()).await.map_err(|e| e.or_at(at))?;
        self.room_for_copy(op, at)?;
        T::unwrap(&array).cloned().ok_or_else(|| Error::dtype(op, "wrong type", &[T::DTYPE, self.dtype()]))
    }

    /// Looks for room for another copy of the values on the host.
    fn room_for_copy(&self, op: &str, at: &'static Location<'static>) -> Result<()> {
        host::room_for(op, Some(self.full_shape()), self.inner.meta.bytes()).map_err(|error| error.or_at(at))
    }

    fn expect_type(&self, asked: DType, op: &str, at: &'static Location<'static>) -> Result<()> {
        self.check()?;
        recording::forbid_reading(op, Some(at))?;
        if asked == self.dtype() {
            return Ok(());
        }
        let detail = format!("a tensor of {} cannot be read as {asked}; convert it with to_dtype", self.dtype());
        Err(Error::dtype(op, detail, &[self.dtype(), asked]).or_at(at))
    }

    /// The elements as a host array of whatever type.
    pub(crate) fn to_host(&self) -> Result<Array> {
        wait("reading", "await to_vec_async, or another call that ends in _async", self.to_host_async())
    }

    /// The elements as a host array of whatever type.
    pub(crate) async fn to_host_async(&self) -> Result<Array> {
        self.device().read(&self.node()).await
    }

    /// The same values on another device, outside the graph.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::ones([3], &Device::default()).to_device(&Device::cpu());
    /// assert!(x.device().is_cpu());
    /// ```
    #[track_caller]
    pub fn to_device(&self, device: &Device) -> Tensor {
        let at = Location::caller();
        let moved = self.moved(device, at);
        wait("to_device", "await to_device_async", async { Ok(moved.await) }).unwrap_or_else(|error| {
            let failed = self.not_moved(error, device, at);
            Tensor::from_var(failed, device)
        })
    }

    /// [`Tensor::to_device`] as a future, for browsers, where it does not block; natively as [`Tensor::to_vec_async`].
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::ones([3], &Device::default());
    /// assert!(pollster::block_on(x.to_device_async(&Device::cpu())).device().is_cpu());
    /// ```
    #[track_caller]
    pub fn to_device_async(&self, device: &Device) -> impl Future<Output = Tensor> {
        self.moved(device, Location::caller())
    }

    async fn moved(&self, device: &Device, at: &'static Location<'static>) -> Tensor {
        if device.same(self.device()) {
            return self.clone();
        }
        let array = self.to_host_async().await;
        let moved = with_location(at, || array.and_then(|array| device.upload(array)));
        Tensor::from_var(moved.unwrap_or_else(|error| self.not_moved(error, device, at)), device)
    }

    fn not_moved(&self, error: Error, device: &Device, at: &'static Location<'static>) -> Var {
        let known = Meta::new(self.full_shape().clone(), self.dtype());
        Var::failed_as(error.or_at(at), Some(known), device.context(), at)
    }
}
