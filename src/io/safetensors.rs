//! The safetensors format: eight bytes with the length of a JSON header, the header, the data.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata};
use serde_json::{Map, Value, json};

use crate::Device;
use crate::array::Array;
use crate::error::Result;
use crate::host;
use crate::io::element::{Element, checked_shape, decode, encode};
use crate::io::source::Source;
use crate::io::{failed, to_device, to_host, write_atomically};
use crate::tensor::Tensor;
use crate::wait::wait;

/// The key of the header that is no tensor.
const METADATA: &str = "__metadata__";
/// What errors call bytes that are in no file.
const BYTES: &str = "safetensors bytes";
/// The longest header that the format allows.
const LONGEST_HEADER: u64 = 100_000_000;

/// Writes tensors by name into a safetensors file, as PyTorch's `safetensors.torch.load_file` reads it. The file is written
/// atomically ([`write_atomically`](crate::io::write_atomically)), and the same tensors give the same bytes.
///
/// ```
/// use std::collections::BTreeMap;
/// use wgrad::{Device, Tensor, io};
/// # let folder = std::env::temp_dir().join(format!("wgrad-safetensors-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let device = Device::default();
/// let path = folder.join("model.safetensors");
/// let weights = BTreeMap::from([("fc.weight".to_string(), Tensor::ones([2, 3], &device))]);
/// io::save_safetensors(&path, &weights)?;
/// let read = io::load_safetensors(&path, &device)?;
/// assert_eq!(read["fc.weight"].shape(), [2, 3]);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) where the file cannot be written; the error that a tensor carries.
pub fn save_safetensors(path: impl AsRef<Path>, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    save_safetensors_with_metadata(path, tensors, &BTreeMap::new())
}

/// [`save_safetensors`] with words about the file, such as `("format", "pt")`, in its header.
///
/// ```
/// use wgrad::{Device, Tensor, io};
/// # let folder = std::env::temp_dir().join(format!("wgrad-metadata-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let path = folder.join("model.safetensors");
/// let tensors = [("w".to_string(), Tensor::ones([2], &Device::default()))].into();
/// io::save_safetensors_with_metadata(&path, &tensors, &[("format".to_string(), "pt".to_string())].into())?;
/// let (_, metadata) = io::load_safetensors_with_metadata(&path, &Device::cpu())?;
/// assert_eq!(metadata["format"], "pt");
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// As [`save_safetensors`].
pub fn save_safetensors_with_metadata(
    path: impl AsRef<Path>,
    tensors: &BTreeMap<String, Tensor>,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    write(path.as_ref(), &to_host(tensors)?, metadata)
}

/// The tensors of a safetensors file, by name, on `device`; [`save_safetensors`] has an example.
///
/// bf16 is widened to f32; i64 and u64 become i32 and u32 where all values fit, else it is an error; smaller integers are widened
/// to i32 and u32. On a device without f64 or f16 these become f32.
///
/// ```
/// use wgrad::{Device, Tensor, io};
/// let device = Device::cpu();
/// let path = std::env::temp_dir().join(format!("wgrad-load-safetensors-{}", std::process::id()));
/// io::save_safetensors(&path, &[("w".to_string(), Tensor::ones([2], &device))].into())?;
/// assert_eq!(io::load_safetensors(&path, &device)?["w"].to_vec::<f32>()?, [1.0, 1.0]);
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) that names the file and what is wrong with it: too short, sizes that the file cannot hold,
/// tensors that overlap, an element type that is not read.
pub fn load_safetensors(path: impl AsRef<Path>, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    Ok(load_safetensors_with_metadata(path, device)?.0)
}

/// [`load_safetensors`], and the words about the file in its header; [`save_safetensors_with_metadata`] has an example.
///
/// ```
/// use wgrad::{Device, Tensor, io};
/// let device = Device::cpu();
/// let path = std::env::temp_dir().join(format!("wgrad-load-metadata-{}", std::process::id()));
/// let tensors = [("w".to_string(), Tensor::ones([2], &device))].into();
/// io::save_safetensors_with_metadata(&path, &tensors, &[("format".to_string(), "pt".to_string())].into())?;
/// let (tensors, metadata) = io::load_safetensors_with_metadata(&path, &device)?;
/// assert!(tensors.contains_key("w") && metadata["format"] == "pt");
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// As [`load_safetensors`].
pub fn load_safetensors_with_metadata(
    path: impl AsRef<Path>,
    device: &Device,
) -> Result<(BTreeMap<String, Tensor>, BTreeMap<String, String>)> {
    let (arrays, metadata) = read(path.as_ref())?;
    Ok((to_device(arrays, device)?, metadata))
}

/// What [`save_safetensors_with_metadata`] writes, as bytes, for where there are no files.
///
/// ```
/// use std::collections::BTreeMap;
/// use wgrad::{Device, Tensor, io};
/// let device = Device::default();
/// let weights = BTreeMap::from([("w".to_string(), Tensor::ones([2, 3], &device))]);
/// let bytes = io::to_safetensors_bytes(&weights, &BTreeMap::new())?;
/// let (read, _) = io::from_safetensors_bytes(&bytes, &device)?;
/// assert_eq!(read["w"].to_vec::<f32>()?, [1.0; 6]);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) where a name cannot be written; the error that a tensor carries.
#[track_caller]
pub fn to_safetensors_bytes(
    tensors: &BTreeMap<String, Tensor>,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    wait("to_safetensors_bytes", "await to_safetensors_bytes_async", to_safetensors_bytes_async(tensors, metadata))
}

/// [`to_safetensors_bytes`] as a future, for browsers, where it does not block; natively it blocks the thread that awaits it.
///
/// ```
/// use std::collections::BTreeMap;
/// use wgrad::{Device, Tensor, io};
/// let weights = BTreeMap::from([("w".to_string(), Tensor::ones([2], &Device::cpu()))]);
/// let bytes = pollster::block_on(io::to_safetensors_bytes_async(&weights, &BTreeMap::new()))?;
/// assert_eq!(bytes, io::to_safetensors_bytes(&weights, &BTreeMap::new())?);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// As [`to_safetensors_bytes`].
pub async fn to_safetensors_bytes_async(
    tensors: &BTreeMap<String, Tensor>,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    // Before anything is awaited, so that all are of one moment.
    let held: Vec<(&String, Tensor)> = tensors.iter().map(|(name, tensor)| (name, tensor.detach())).collect();
    held.iter().try_for_each(|(_, tensor)| tensor.realize())?;
    let mut arrays = BTreeMap::new();
    for (name, tensor) in held {
        arrays.insert(name.clone(), tensor.to_host_async().await?);
    }
    let path = Path::new(BYTES);
    let (header, order) = header(path, &arrays, metadata)?;
    let mut bytes = Vec::new();
    put(&mut bytes, &header, &order).map_err(|error| failed(path, error))?;
    Ok(bytes)
}

/// The tensors and the metadata in a safetensors file's bytes, as [`load_safetensors_with_metadata`] reads them. It never blocks.
///
/// ```
/// use wgrad::{Device, io};
/// let error = io::from_safetensors_bytes(b"no such file", &Device::cpu()).unwrap_err();
/// assert!(error.to_string().contains("safetensors"));
/// ```
///
/// # Errors
/// As [`load_safetensors`].
pub fn from_safetensors_bytes(
    bytes: &[u8],
    device: &Device,
) -> Result<(BTreeMap<String, Tensor>, BTreeMap<String, String>)> {
    let (arrays, metadata) = contents(Source::of_bytes(BYTES, bytes))?;
    Ok((to_device(arrays, device)?, metadata))
}

fn name_of(element: Element) -> &'static str {
    match element {
        Element::Bool => "BOOL",
        Element::U8 => "U8",
        Element::I8 => "I8",
        Element::U16 => "U16",
        Element::I16 => "I16",
        Element::U32 => "U32",
        Element::I32 => "I32",
        Element::U64 => "U64",
        Element::I64 => "I64",
        Element::F16 => "F16",
        Element::BF16 => "BF16",
        Element::F32 => "F32",
        Element::F64 => "F64",
    }
}

fn element_of(dtype: Dtype) -> Option<Element> {
    Some(match dtype {
        Dtype::BOOL => Element::Bool,
        Dtype::U8 => Element::U8,
        Dtype::I8 => Element::I8,
        Dtype::U16 => Element::U16,
        Dtype::I16 => Element::I16,
        Dtype::U32 => Element::U32,
        Dtype::I32 => Element::I32,
        Dtype::U64 => Element::U64,
        Dtype::I64 => Element::I64,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::BF16,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        _ => return None,
    })
}

/// Writes arrays by name.
///
/// # Errors
/// As [`save_safetensors`].
pub(crate) fn write(path: &Path, arrays: &BTreeMap<String, Array>, metadata: &BTreeMap<String, String>) -> Result<()> {
    let (header, order) = header(path, arrays, metadata)?;
    write_atomically(path, |file| put(file, &header, &order))
}

/// Header and data, one after the other.
fn put(out: &mut dyn Write, header: &str, order: &[&Array]) -> std::io::Result<()> {
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    order.iter().try_for_each(|array| out.write_all(&encode(array)))
}

/// The header, and the arrays in the order of their data.
fn header<'a>(
    path: &Path,
    arrays: &'a BTreeMap<String, Array>,
    metadata: &BTreeMap<String, String>,
) -> Result<(String, Vec<&'a Array>)> {
    if arrays.contains_key(METADATA) {
        return Err(failed(path, format!("no tensor can be called {METADATA}: the format uses the name itself")));
    }
    // Large elements first, so that each tensor lies aligned.
    let mut order: Vec<(&String, &Array)> = arrays.iter().collect();
    order.sort_by_key(|(_, array)| std::cmp::Reverse(Element::of(array.dtype()).size()));
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert(METADATA.into(), json!(metadata));
    }
    let mut end = 0;
    for (name, array) in &order {
        let element = Element::of(array.dtype());
        let (shape, start) = (array.shape(), end);
        end += shape.numel() * element.size();
        let entry = json!({ "dtype": name_of(element), "shape": &shape[..], "data_offsets": [start, end] });
        header.insert((*name).clone(), entry);
    }
    let mut header = Value::Object(header).to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    if header.len() as u64 > LONGEST_HEADER {
        return Err(failed(
            path,
            format!("the header would have {} bytes, at most {LONGEST_HEADER} can be", header.len()),
        ));
    }
    Ok((header, order.into_iter().map(|(_, array)| array).collect()))
}

/// Arrays by name, and the metadata.
pub(crate) type Contents = (BTreeMap<String, Array>, BTreeMap<String, String>);

/// Reads arrays by name.
///
/// # Errors
/// As [`load_safetensors`].
pub(crate) fn read(path: &Path) -> Result<Contents> {
    Source::open(path).and_then(contents).map_err(|error| crate::io::or_pickle(path, error))
}

fn contents(mut source: Source) -> Result<Contents> {
    let len = source.bytes(0, 8, "the length of a safetensors header")?;
    let len = u64::from_le_bytes(len.try_into().unwrap_or_default());
    if len > LONGEST_HEADER {
        return Err(source.failed(format!("is no safetensors file: its header would have {len} bytes")));
    }
    let head = source.bytes(8, len, "the safetensors header")?;
    let unsound = |e: &dyn std::fmt::Display| source.failed(format!("is no sound safetensors file: {e}"));
    let text = std::str::from_utf8(&head).map_err(|e| unsound(&e))?;
    // Checks that the tensors lie one behind the other, without a hole.
    let header: Metadata = serde_json::from_str(text).map_err(|e| unsound(&e))?;
    let data = source.len() - 8 - len;
    if header.data_len() as u64 != data {
        return Err(
            source.failed(format!("holds {data} bytes of data, but its header describes {}", header.data_len()))
        );
    }
    let mut arrays = BTreeMap::new();
    for (name, info) in header.tensors() {
        let element = element_of(info.dtype)
            .ok_or_else(|| source.failed(format!("tensor {name:?} is of type {:?}, which is not read", info.dtype)))?;
        let (start, end) = info.data_offsets;
        let size = (end - start) as u64;
        let dims: Vec<u64> = info.shape.iter().map(|&d| d as u64).collect();
        let shape = checked_shape(&dims, element, size).map_err(|e| source.failed(format!("tensor {name:?}: {e}")))?;
        let bytes = source.bytes(8 + len + start as u64, size, "a tensor")?;
        host::room_for("reading a tensor", Some(&shape), size)?;
        let array = decode(element, &shape, &bytes, false);
        arrays.insert(name.clone(), array.map_err(|e| source.failed(format!("tensor {name:?}: {e}")))?);
    }
    let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    Ok((arrays, metadata))
}
