//! Reads `fixtures/*.safetensors`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wgrad::nn::StateDict;
use wgrad::{Device, Tensor, io};

/// Where a fixture is.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("parity/fixtures").join(format!("{name}.safetensors"))
}

/// A stored array; its values go into f64 without loss.
pub struct Stored {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
    tensor: Tensor,
}

impl Stored {
    /// The array as a tensor of f32 or i32.
    pub fn upload(&self, device: &Device) -> Tensor {
        self.tensor.to_device(device)
    }
}

/// The arrays of a file by name.
pub struct File(BTreeMap<String, Stored>);

impl File {
    pub fn read(name: &str) -> File {
        let tensors = io::load_safetensors(path(name), &Device::cpu()).unwrap_or_else(|error| panic!("{error}"));
        let stored = |tensor: Tensor| Stored { shape: tensor.shape().to_vec(), values: read(&tensor), tensor };
        File(tensors.into_iter().map(|(name, tensor)| (name, stored(tensor))).collect())
    }

    pub fn get(&self, name: &str) -> Option<&Stored> {
        self.0.get(name)
    }

    pub fn at(&self, name: &str) -> &Stored {
        self.get(name).unwrap_or_else(|| panic!("{name} is not stored"))
    }

    /// What stands below `prefix`, by the rest of the name.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Stored)> {
        self.0.iter().filter_map(move |(name, stored)| Some((name.strip_prefix(prefix)?, stored)))
    }

    /// The same as a state dict.
    pub fn state(&self, prefix: &str, device: &Device) -> StateDict {
        self.below(prefix).map(|(name, stored)| (name.to_string(), stored.upload(device))).collect()
    }

    /// Names in front of the first slash.
    pub fn sections(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.keys().filter_map(|name| Some(name.split_once('/')?.0)).collect();
        names.dedup();
        names
    }
}

/// The elements of a tensor as f64.
pub fn read(tensor: &Tensor) -> Vec<f64> {
    match tensor.dtype() {
        wgrad::DType::I32 => tensor.to_vec::<i32>().unwrap().into_iter().map(f64::from).collect(),
        _ => tensor.to_vec::<f32>().unwrap().into_iter().map(f64::from).collect(),
    }
}

/// `‖a − b‖ / ‖b‖`, or `‖a‖` where b is 0.
pub fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let size = norm(&mut b.iter().copied());
    norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / if size == 0.0 { 1.0 } else { size }
}
