//! numpy's files: npy with one array, npz with several by name.

use std::collections::BTreeMap;
use std::path::Path;

use crate::Device;
use crate::error::Result;
use crate::io::element::for_device;
use crate::io::source::Source;
use crate::io::{failed, npy, or_pickle, to_device, to_host, write_atomically, zip};
use crate::tensor::Tensor;

/// Writes tensors by name into an npz file, as `numpy.savez` does. The file is written atomically
/// ([`write_atomically`]), and the same tensors give the same bytes.
///
/// ```
/// use std::collections::BTreeMap;
/// use wgrad::{Device, Tensor, io};
/// # let folder = std::env::temp_dir().join(format!("wgrad-npz-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let device = Device::default();
/// let path = folder.join("arrays.npz");
/// io::save_npz(&path, &BTreeMap::from([("x".to_string(), Tensor::arange(0.0, 3.0, 1.0, &device))]))?;
/// assert_eq!(io::load_npz(&path, &device)?["x"].to_vec::<f32>()?, [0.0, 1.0, 2.0]);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) where the file cannot be written or would have more than 4 GiB; the error that a tensor carries.
pub fn save_npz(path: impl AsRef<Path>, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    let arrays = to_host(tensors)?;
    let entries: Vec<_> = arrays.iter().map(|(name, array)| (format!("{name}.npy"), npy::write(array))).collect();
    zip::write(path.as_ref(), &entries)
}

/// The arrays of an npz file, by name, on `device`. Reads what `numpy.savez` and `numpy.savez_compressed` write, row- or
/// column-major, in either byte order. Element types change as in [`load_safetensors`](crate::io::load_safetensors).
///
/// ```
/// use wgrad::{Device, Tensor, io};
/// let device = Device::cpu();
/// let path = std::env::temp_dir().join(format!("wgrad-load-npz-{}", std::process::id()));
/// io::save_npz(&path, &[("x".to_string(), Tensor::ones([2], &device))].into())?;
/// assert_eq!(io::load_npz(&path, &device)?["x"].to_vec::<f32>()?, [1.0, 1.0]);
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) that names the file and what is wrong with it; also where a small file would expand to a
/// monstrous one.
pub fn load_npz(path: impl AsRef<Path>, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    let path = path.as_ref();
    let mut arrays = BTreeMap::new();
    for (entry, bytes) in zip::read(path).map_err(|error| or_pickle(path, error))? {
        let name = entry.strip_suffix(".npy").unwrap_or(&entry);
        let unreadable = |error| or_pickle(path, failed(path, format!("array {name:?}: {error}")));
        let array = npy::read(&bytes).map_err(unreadable)?;
        if arrays.insert(name.to_owned(), array).is_some() {
            return Err(failed(path, format!("array {name:?} is there twice")));
        }
    }
    to_device(arrays, device)
}

/// Writes one tensor into an npy file, as `numpy.save` does, atomically.
///
/// ```
/// use wgrad::{Device, Tensor, io};
/// # let folder = std::env::temp_dir().join(format!("wgrad-npy-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let path = folder.join("x.npy");
/// io::save_npy(&path, &Tensor::eye(2, &Device::default()))?;
/// assert_eq!(io::load_npy(&path, &Device::cpu())?.to_vec::<f32>()?, [1.0, 0.0, 0.0, 1.0]);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) where the file cannot be written; the error that the tensor carries.
pub fn save_npy(path: impl AsRef<Path>, tensor: &Tensor) -> Result<()> {
    let bytes = npy::write(&tensor.to_host()?);
    write_atomically(path, |file| file.write_all(&bytes))
}

/// The array of an npy file, on `device`. As [`load_npz`]; [`save_npy`] has an example.
///
/// ```
/// use wgrad::{Device, Tensor, io};
/// let device = Device::cpu();
/// let path = std::env::temp_dir().join(format!("wgrad-load-npy-{}", std::process::id()));
/// io::save_npy(&path, &Tensor::eye(2, &device))?;
/// assert_eq!(io::load_npy(&path, &device)?.shape(), [2, 2]);
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// As [`load_npz`].
pub fn load_npy(path: impl AsRef<Path>, device: &Device) -> Result<Tensor> {
    let path = path.as_ref();
    let array = npy::read(&Source::open(path)?.all()?).map_err(|e| failed(path, e))?;
    Ok(Tensor::from_var(device.upload(for_device(array, device))?, device))
}
