//! Tensors in files: safetensors, as PyTorch's world exchanges weights, and numpy's npz and npy.
//!
//! Files are written atomically: a reader, or a program that resumes after a crash, finds the old file or the new one, whole.
//! What is read is not trusted: sizes in headers are held against the file's length before anything is allocated, and damage is
//! an [`Error::Io`] that names file and reason.

mod atomic;
mod element;
mod npy;
mod npz;
pub(crate) mod safetensors;
pub(crate) mod source;
mod zip;

pub use atomic::write_atomically;
pub(crate) use atomic::{create_folder, is_temporary};
pub use npz::{load_npy, load_npz, save_npy, save_npz};
pub use safetensors::{
    load_safetensors, load_safetensors_with_metadata, save_safetensors, save_safetensors_with_metadata,
};

use std::collections::BTreeMap;
use std::path::Path;

use crate::Device;
use crate::array::Array;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// An error about a file.
pub(crate) fn failed(path: &Path, detail: impl std::fmt::Display) -> Error {
    Error::Io { path: path.display().to_string(), detail: detail.to_string() }
}

/// The values of tensors in host memory.
fn to_host(tensors: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Array>> {
    tensors.iter().map(|(name, tensor)| Ok((name.clone(), tensor.to_host()?))).collect()
}

/// Arrays as tensors on `device`.
pub(crate) fn to_device(arrays: BTreeMap<String, Array>, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    let tensor = |(name, array)| Ok((name, Tensor::from_var(device.upload(element::for_device(array, device))?, device)));
    arrays.into_iter().map(tensor).collect()
}
