//! Reads `fixtures/*.safetensors`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use wgrad::nn::StateDict;
use wgrad::{Device, Tensor};

/// Where a fixture is.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures").join(format!("{name}.safetensors"))
}

/// A stored array; all types go into f64 without loss.
pub struct Stored {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
    integer: bool,
}

impl Stored {
    /// The array as a tensor of f32 or i32.
    pub fn upload(&self, device: &Device) -> Tensor {
        if self.integer {
            Tensor::from_slice(&self.values.iter().map(|&v| v as i32).collect::<Vec<_>>(), &self.shape[..], device)
        } else {
            Tensor::from_slice(&self.values.iter().map(|&v| v as f32).collect::<Vec<_>>(), &self.shape[..], device)
        }
    }
}

/// The arrays of a file by name.
pub struct File(BTreeMap<String, Stored>);

impl File {
    pub fn read(name: &str) -> File {
        let bytes = std::fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let array = |view: &safetensors::tensor::TensorView<'_>| {
            let parts = |n: usize| view.data().chunks_exact(n);
            let values = match view.dtype() {
                Dtype::F32 => parts(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into()).collect(),
                Dtype::I32 => parts(4).map(|b| i32::from_le_bytes(b.try_into().unwrap()).into()).collect(),
                Dtype::I64 => parts(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64).collect(),
                other => panic!("{other:?} is not among the types of fixtures"),
            };
            Stored { shape: view.shape().to_vec(), values, integer: view.dtype() != Dtype::F32 }
        };
        File(file.iter().map(|(name, view)| (name.to_string(), array(&view))).collect())
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
