//! wgrad for pages: a device, tensors, and captured steps that train on typed arrays. `index.js` loads the wasm file; README.md has the
//! commands and an example.
//!
//! Every failure is a JavaScript `Error` with the library's text, whose `name` is the kind: `Argument`, `Shape`, `DType`,
//! `Unsupported`, `OutOfMemory`, `DeviceLost`, `IndexOutOfRange`, and the other kinds of `wgrad::Error`.

#[cfg(feature = "checks")]
mod checks;
mod data;
#[cfg(feature = "demo")]
mod digits;
#[cfg(feature = "demo")]
mod gpt;
#[cfg(feature = "demo")]
mod saved;
mod step;
mod tensors;
#[cfg(feature = "demo")]
mod writer;

use std::fmt::Display;

use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;
use wgrad::Target;
use wgrad::{Error, Result};

pub use data::Tensor;
pub use step::Step;
pub use tensors::Tensors;

/// An error of the library as an exception.
fn exception(error: Error) -> JsValue {
    let kind = match &error {
        Error::Shape { .. } => "Shape",
        Error::DType { .. } => "DType",
        Error::Argument { .. } => "Argument",
        Error::Length { .. } => "Length",
        Error::IndexOutOfRange { .. } => "IndexOutOfRange",
        Error::DeviceMismatch { .. } => "DeviceMismatch",
        Error::Autograd { .. } => "Autograd",
        Error::NonFinite { .. } => "NonFinite",
        Error::TooLarge { .. } => "TooLarge",
        Error::TooManyElements { .. } => "TooManyElements",
        Error::OverBudget { .. } => "OverBudget",
        Error::Unsupported { .. } => "Unsupported",
        Error::NoAdapter { .. } => "NoAdapter",
        Error::OutOfMemory { .. } => "OutOfMemory",
        Error::DeviceLost(_) => "DeviceLost",
        Error::Shader { .. } => "Shader",
        Error::Io { .. } => "Io",
        _ => "Error",
    };
    named(kind, error)
}

/// An exception of this kind.
fn named(kind: &str, text: impl Display) -> JsValue {
    let exception = js_sys::Error::new(&text.to_string());
    exception.set_name(kind);
    exception.into()
}

/// A promise of what the future gives.
fn promise<T: Into<JsValue>>(future: impl Future<Output = Result<T>> + 'static) -> Promise {
    future_to_promise(async move { future.await.map(Into::into).map_err(exception) })
}

/// Shows panics, which would be bugs of the library, in the console.
#[wasm_bindgen(start)]
fn start() {
    console_error_panic_hook::set_once();
}

/// A GPU that the browser gives to the page, or the CPU reference.
#[wasm_bindgen]
pub struct Device(wgrad::Device);

#[wasm_bindgen]
impl Device {
    /// Opens the GPU. Rejected with a `NoAdapter` error where the browser has no WebGPU. `portable` keeps kernels within what every WebGPU
    /// device has, so that steps that are saved run on all of them.
    #[wasm_bindgen(unchecked_return_type = "Promise<Device>")]
    pub fn open(portable: Option<bool>) -> Promise {
        promise(async move {
            let device = match portable.unwrap_or(false) {
                true => wgrad::Device::gpu_for_async(&Target::portable()).await?,
                false => wgrad::Device::gpu_async().await?,
            };
            Ok(Device(device))
        })
    }

    /// The CPU reference: every op, slowly, without a GPU. Captured steps do not run on it.
    pub fn cpu() -> Device {
        Device(wgrad::Device::cpu())
    }

    /// Name, graphics interface and kind of the adapter.
    #[wasm_bindgen(getter)]
    pub fn info(&self) -> String {
        self.0.info().to_string()
    }

    /// Bytes of device memory that tensors use.
    #[wasm_bindgen(getter, js_name = bytesInUse)]
    pub fn bytes_in_use(&self) -> f64 {
        self.0.memory().in_use as f64
    }

    /// Starts random numbers anew.
    pub fn seed(&self, seed: u32) {
        self.0.seed(u64::from(seed));
    }

    /// Waits for all work; rejected with what went wrong in it.
    #[wasm_bindgen(unchecked_return_type = "Promise<void>")]
    pub fn sync(&self) -> Promise {
        let device = self.0.clone();
        promise(async move { device.sync_async().await.map(|()| JsValue::UNDEFINED) })
    }

    /// A tensor of these elements: `Float32Array`, `Int32Array` or `Uint32Array`.
    pub fn tensor(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Float32Array | Int32Array | Uint32Array")] data: &JsValue,
        shape: Vec<u32>,
    ) -> Result<Tensor, JsValue> {
        let shape: Vec<usize> = shape.into_iter().map(|size| size as usize).collect();
        data::tensor(data, &shape, &self.0).map(Tensor)
    }

    /// A captured step from the bytes that `Captured::save` has written, on any machine, or `Step.toBytes`.
    #[wasm_bindgen(js_name = loadStep)]
    pub fn load_step(&self, bytes: &[u8]) -> Result<Step, JsValue> {
        wgrad::load_captured_bytes(bytes, &self.0).map(Step::new).map_err(exception)
    }

    /// Tensors by name from the bytes of a safetensors file.
    #[wasm_bindgen(js_name = loadTensors)]
    pub fn load_tensors(&self, bytes: &[u8]) -> Result<Tensors, JsValue> {
        Tensors::read(bytes, &self.0).map_err(exception)
    }

    /// No tensors yet, to be filled and saved.
    pub fn tensors(&self) -> Tensors {
        Tensors::empty(&self.0)
    }
}
