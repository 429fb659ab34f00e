//! Tensors and typed arrays.

use js_sys::{Float32Array, Float64Array, Int32Array, Promise, Uint8Array, Uint32Array};
use wasm_bindgen::prelude::*;
use wgrad::{DType, Device, Result};

use crate::{exception, named, promise};

/// A value on a device.
#[wasm_bindgen]
pub struct Tensor(pub(crate) wgrad::Tensor);

#[wasm_bindgen]
impl Tensor {
    /// Its sizes.
    #[wasm_bindgen(getter)]
    pub fn shape(&self) -> Vec<u32> {
        self.0.shape().iter().map(|&size| size as u32).collect()
    }

    /// Its element type: `f32`, `i32`, `u32`, `bool`, `f16` or `f64`.
    #[wasm_bindgen(getter)]
    pub fn dtype(&self) -> String {
        self.0.dtype().to_string()
    }

    /// Its elements, row by row. f16 becomes f32, booleans are bytes.
    #[wasm_bindgen(
        unchecked_return_type = "Promise<Float32Array | Int32Array | Uint32Array | Uint8Array | Float64Array>"
    )]
    pub fn read(&self) -> Promise {
        promise(array(self.0.clone()))
    }

    /// The one element of a tensor with one.
    #[wasm_bindgen(unchecked_return_type = "Promise<number>")]
    pub fn item(&self) -> Promise {
        let tensor = self.0.clone();
        promise(async move {
            Ok(match tensor.dtype() {
                DType::F32 | DType::F16 => f64::from(tensor.to_dtype(DType::F32).item_async::<f32>().await?),
                DType::F64 => tensor.item_async::<f64>().await?,
                DType::I32 => f64::from(tensor.item_async::<i32>().await?),
                DType::U32 => f64::from(tensor.item_async::<u32>().await?),
                DType::Bool => f64::from(u8::from(tensor.item_async::<bool>().await?)),
            })
        })
    }
}

/// The elements as a typed array.
pub(crate) async fn array(tensor: wgrad::Tensor) -> Result<JsValue> {
    Ok(match tensor.dtype() {
        DType::F32 | DType::F16 => {
            Float32Array::from(&tensor.to_dtype(DType::F32).to_vec_async::<f32>().await?[..]).into()
        }
        DType::F64 => Float64Array::from(&tensor.to_vec_async::<f64>().await?[..]).into(),
        DType::I32 => Int32Array::from(&tensor.to_vec_async::<i32>().await?[..]).into(),
        DType::U32 => Uint32Array::from(&tensor.to_vec_async::<u32>().await?[..]).into(),
        DType::Bool => {
            let bytes: Vec<u8> = tensor.to_vec_async::<bool>().await?.into_iter().map(u8::from).collect();
            Uint8Array::from(&bytes[..]).into()
        }
    })
}

/// A tensor of the elements of a typed array.
pub(crate) fn tensor(data: &JsValue, shape: &[usize], device: &Device) -> Result<wgrad::Tensor, JsValue> {
    let tensor = if let Some(data) = data.dyn_ref::<Float32Array>() {
        wgrad::Tensor::from_slice(&data.to_vec(), shape, device)
    } else if let Some(data) = data.dyn_ref::<Int32Array>() {
        wgrad::Tensor::from_slice(&data.to_vec(), shape, device)
    } else if let Some(data) = data.dyn_ref::<Uint32Array>() {
        wgrad::Tensor::from_slice(&data.to_vec(), shape, device)
    } else {
        return Err(named("DType", "elements are given as a Float32Array, an Int32Array or a Uint32Array"));
    };
    tensor.check().map_err(exception)?;
    Ok(tensor)
}

/// Elements of a typed array; `None` for anything else.
pub(crate) fn length(data: &JsValue) -> Option<usize> {
    let of = |data: &JsValue| {
        data.dyn_ref::<Float32Array>()
            .map(Float32Array::length)
            .or_else(|| data.dyn_ref::<Int32Array>().map(Int32Array::length))
            .or_else(|| data.dyn_ref::<Uint32Array>().map(Uint32Array::length))
    };
    of(data).map(|length| length as usize)
}
