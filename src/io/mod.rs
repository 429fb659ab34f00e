//! Tensors in files: safetensors, as PyTorch's world exchanges weights, and numpy's npz and npy.
//!
//! Files are written atomically: a reader, or a program that resumes after a crash, finds the old file or the new one, whole.
//! What is read is not trusted: sizes in headers are held against the file's length before anything is allocated, and damage is
//! an [`Error::Io`] that names file and reason.

mod element;
mod npy;
mod npz;
pub(crate) mod safetensors;
pub(crate) mod source;
mod zip;

pub(crate) use crate::file::failed;
pub use npz::{load_npy, load_npz, save_npy, save_npz};
pub use safetensors::{
    from_safetensors_bytes, load_safetensors, load_safetensors_with_metadata, save_safetensors,
    save_safetensors_with_metadata, to_safetensors_bytes, to_safetensors_bytes_async,
};

use std::collections::BTreeMap;
use std::path::Path;

use crate::Device;
use crate::array::Array;
use crate::error::{Error, Result};
use crate::file;
use crate::tensor::Tensor;

/// Writes a file so that, whatever happens, `path` holds either what it held before or all that `write` writes: into a
/// temporary file beside it, which is synced to the disk and then takes the name.
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("wgrad-atomic-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let path = folder.join("answer.txt");
/// wgrad::io::write_atomically(&path, |file| file.write_all(b"42"))?;
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "42");
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`] with the path and the system's message, or that of `write`; the temporary file is removed.
pub fn write_atomically(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>,
) -> Result<()> {
    file::write_atomically(path.as_ref(), write)
}

/// Says where a file that could not be read is a pickle, which is what PyTorch writes.
pub(crate) fn or_pickle(path: &Path, error: Error) -> Error {
    use std::io::Read;
    let mut start = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(256).read_to_end(&mut start));
    let zipped = start.starts_with(b"PK\x03\x04") && start.windows(8).any(|name| name == b"data.pkl");
    let plain = matches!(start[..], [0x80, 2..=5, ..]);
    if read.is_err() || !(zipped || plain) {
        return error;
    }
    let detail = "a PyTorch pickle; save it as safetensors: in Python, `from safetensors.torch import save_file`, then \
                  `save_file(torch.load(\"model.pth\", weights_only=True), \"model.safetensors\")` for a file that holds a state dict";
    failed(path, detail)
}

/// The values of tensors in host memory.
fn to_host(tensors: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Array>> {
    tensors.iter().map(|(name, tensor)| Ok((name.clone(), tensor.to_host()?))).collect()
}

/// Arrays as tensors on `device`.
pub(crate) fn to_device(arrays: BTreeMap<String, Array>, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    let tensor =
        |(name, array)| Ok((name, Tensor::from_var(device.upload(element::for_device(array, device))?, device)));
    arrays.into_iter().map(tensor).collect()
}
