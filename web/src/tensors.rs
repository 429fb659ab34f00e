//! Tensors by name, as safetensors files hold them.

use std::collections::BTreeMap;

use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wgrad::{Device, io};

use crate::data::Tensor;
use crate::{named, promise};

/// Tensors by name.
#[wasm_bindgen]
pub struct Tensors {
    tensors: BTreeMap<String, wgrad::Tensor>,
    metadata: BTreeMap<String, String>,
    device: Device,
}

impl Tensors {
    pub(crate) fn empty(device: &Device) -> Tensors {
        Tensors { tensors: BTreeMap::new(), metadata: BTreeMap::new(), device: device.clone() }
    }

    pub(crate) fn read(bytes: &[u8], device: &Device) -> wgrad::Result<Tensors> {
        let (tensors, metadata) = io::from_safetensors_bytes(bytes, device)?;
        Ok(Tensors { tensors, metadata, device: device.clone() })
    }
}

#[wasm_bindgen]
impl Tensors {
    /// Their names.
    #[wasm_bindgen(getter)]
    pub fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    /// The tensor of this name.
    pub fn get(&self, name: &str) -> Result<Tensor, JsValue> {
        let found = self.tensors.get(name).cloned().map(Tensor);
        found.ok_or_else(|| named("Argument", format!("there is no tensor {name:?}")))
    }

    /// Adds a tensor, or puts it instead of another.
    pub fn set(&mut self, name: String, value: &Tensor) -> Result<(), JsValue> {
        if !value.0.device().same(&self.device) {
            return Err(named("DeviceMismatch", format!("{name:?} lies on another device")));
        }
        self.tensors.insert(name, value.0.clone());
        Ok(())
    }

    /// What the file says about itself under this key.
    #[wasm_bindgen(js_name = metadata)]
    pub fn words(&self, key: &str) -> Option<String> {
        self.metadata.get(key).cloned()
    }

    /// Says something about the file under a key.
    #[wasm_bindgen(js_name = setMetadata)]
    pub fn set_words(&mut self, key: String, words: String) {
        self.metadata.insert(key, words);
    }

    /// All of them as the bytes of a safetensors file.
    #[wasm_bindgen(js_name = toBytes, unchecked_return_type = "Promise<Uint8Array>")]
    pub fn to_bytes(&self) -> Promise {
        let (tensors, metadata) = (self.tensors.clone(), self.metadata.clone());
        promise(async move {
            let bytes = io::to_safetensors_bytes_async(&tensors, &metadata).await?;
            Ok(Uint8Array::from(&bytes[..]))
        })
    }
}
