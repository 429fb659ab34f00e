//! Reads what `fixtures/` holds: arrays from safetensors files, cases from the lines of `index.jsonl`. The tests in a browser read the same.

use std::collections::HashMap;
use std::sync::Arc;

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use wgrad::{DType, Device, Tensor};

use crate::attributes::{Attributes, integer, list};
use crate::tolerance::Class;

/// A stored array. f64 holds every element of every stored type.
pub struct Stored {
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Stored {
    /// The array as a tensor.
    pub fn upload(&self, device: &Device) -> Tensor {
        let (values, shape) = (&self.values, &self.shape[..]);
        match self.dtype {
            DType::I32 => Tensor::from_slice(&values.iter().map(|&v| v as i32).collect::<Vec<_>>(), shape, device),
            DType::U32 => Tensor::from_slice(&values.iter().map(|&v| v as u32).collect::<Vec<_>>(), shape, device),
            DType::F16 => {
                let halves: Vec<wgrad::f16> = values.iter().map(|&v| wgrad::f16::from_f64(v)).collect();
                Tensor::from_slice(&halves, shape, device)
            }
            DType::Bool => Tensor::from_slice(&values.iter().map(|&v| v != 0.0).collect::<Vec<_>>(), shape, device),
            _ => Tensor::from_slice(&values.iter().map(|&v| v as f32).collect::<Vec<_>>(), shape, device),
        }
    }
}

/// An input: what is stored, and the steps that make the view that the op sees.
pub struct Input {
    pub stored: Arc<Stored>,
    view: Vec<Value>,
}

impl Input {
    /// The view of the uploaded array.
    pub fn view(&self, base: &Tensor) -> Tensor {
        self.view.iter().fold(base.clone(), |x, step| {
            let at = |i: usize| integer(&step[i]);
            match step[0].as_str() {
                Some("transpose") => x.transpose(at(1), at(2)),
                Some("flip") => x.flip(&[at(1)]),
                Some("step") => x.slice_step(at(1), at(2) as usize..at(3) as usize, at(4) as usize),
                Some("expand") => x.expand(list(&step[1]).iter().map(|n| integer(n) as usize).collect::<Vec<_>>()),
                _ => panic!("no view {step}"),
            }
        })
    }
}

/// What PyTorch gave once.
pub struct Case {
    pub id: String,
    pub op: String,
    pub note: String,
    pub attributes: Attributes,
    pub inputs: Vec<Input>,
    pub outputs: Vec<Arc<Stored>>,
    /// Upstream gradients by the output's number.
    pub dy: Vec<(usize, Arc<Stored>)>,
    /// Expected gradients by the input's number.
    pub grads: Vec<(usize, Arc<Stored>)>,
    pub class: Class,
}

impl Case {
    /// Whether f16 goes in.
    pub fn is_half(&self) -> bool {
        self.inputs.iter().any(|input| input.stored.dtype == DType::F16)
    }
}

fn numbers<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes.chunks_exact(N).map(|b| read(b.try_into().expect("N bytes"))).collect()
}

fn arrays(area: &str, bytes: &[u8]) -> HashMap<String, Arc<Stored>> {
    let file = SafeTensors::deserialize(bytes).unwrap_or_else(|error| panic!("{area}: {error}"));
    let arrays = file.tensors().into_iter().map(|(name, view)| {
        let bytes = view.data();
        let (dtype, values) = match view.dtype() {
            Dtype::F32 => (DType::F32, numbers(bytes, |b| f64::from(f32::from_le_bytes(b)))),
            Dtype::F16 => (DType::F16, numbers(bytes, |b| wgrad::f16::from_le_bytes(b).to_f64())),
            Dtype::I32 => (DType::I32, numbers(bytes, |b| f64::from(i32::from_le_bytes(b)))),
            Dtype::U32 => (DType::U32, numbers(bytes, |b| f64::from(u32::from_le_bytes(b)))),
            Dtype::BOOL => (DType::Bool, numbers(bytes, |[b]| f64::from(b))),
            other => panic!("{area}: array {name} is {other:?}"),
        };
        (name, Arc::new(Stored { dtype, shape: view.shape().to_vec(), values }))
    });
    arrays.collect()
}

/// All cases in the order of the index, given the text of the index and the bytes of an area's file.
pub fn parse(index: &str, file: impl Fn(&str) -> Vec<u8>) -> Vec<Case> {
    let mut areas: HashMap<String, HashMap<String, Arc<Stored>>> = HashMap::new();
    let mut cases = Vec::new();
    for line in index.lines() {
        let mut entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        let word = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let area = word(&entry, "area");
        let arrays = areas.entry(area.clone()).or_insert_with(|| arrays(&area, &file(&area)));
        let array = |name: &Value| {
            let name = name.as_str().unwrap_or_else(|| panic!("{name} names no array"));
            arrays.get(name).unwrap_or_else(|| panic!("{area} has no array {name}")).clone()
        };
        let numbered = |value: &Value| {
            let pairs = value.as_object().into_iter().flatten();
            pairs.map(|(i, name)| (i.parse::<usize>().expect("a number"), array(name))).collect::<Vec<_>>()
        };
        let input = |value: &Value| Input { stored: array(&value[0]), view: list(value)[1..].to_vec() };
        cases.push(Case {
            id: word(&entry, "id"),
            op: word(&entry, "op"),
            note: word(&entry, "note"),
            inputs: list(&entry["inputs"]).iter().map(input).collect(),
            outputs: list(&entry["outputs"]).iter().map(array).collect(),
            dy: numbered(&entry["dy"]),
            grads: numbered(&entry["grads"]),
            class: Class::named(&word(&entry, "compare")),
            attributes: Attributes(entry["attributes"].take()),
        });
    }
    cases
}
