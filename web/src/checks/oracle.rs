//! The cases against PyTorch, of which `tests/oracle` runs all natively.

use std::collections::BTreeMap;
use std::rc::Rc;

use js_sys::{Array, Promise, Uint8Array};
use oracle::fixtures::{self, Case};
use oracle::replay::replay;
use wasm_bindgen::prelude::*;

use crate::{Device, promise};

/// The chosen cases by the name of their op.
#[wasm_bindgen]
pub struct Oracle(Rc<BTreeMap<String, Vec<Case>>>);

#[wasm_bindgen]
impl Oracle {
    /// Cases of `tests/oracle/fixtures`: the text of the index, and the files by their areas' names. Of each op `share` cases are
    /// taken, from the first to the last in equal steps; 0 takes all.
    #[wasm_bindgen(constructor)]
    pub fn new(index: &str, names: Vec<String>, files: Vec<Uint8Array>, share: usize) -> Oracle {
        let files: BTreeMap<String, Vec<u8>> = names.into_iter().zip(files.iter().map(Uint8Array::to_vec)).collect();
        let mut by_op: BTreeMap<String, Vec<Case>> = BTreeMap::new();
        for case in fixtures::parse(index, |area| files.get(area).cloned().unwrap_or_default()) {
            by_op.entry(case.op.clone()).or_default().push(case);
        }
        for cases in by_op.values_mut().filter(|cases| share > 0 && cases.len() > share) {
            let last = cases.len() - 1;
            let chosen: Vec<usize> = (0..share).map(|i| i * last / (share - 1).max(1)).collect();
            let mut number = 0..;
            cases.retain(|_| number.next().is_some_and(|i| chosen.contains(&i)));
        }
        Oracle(Rc::new(by_op))
    }

    /// The ops that have cases.
    #[wasm_bindgen(getter)]
    pub fn ops(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// Runs the cases of an op: how many, how many of them have gradients, and those that differ, in words. Cases in f16 are left out where `half` is
    /// false.
    #[wasm_bindgen(unchecked_return_type = "Promise<[number, number, string[]]>")]
    pub fn run(&self, op: &str, half: bool, device: &Device) -> Promise {
        let (all, op, device) = (self.0.clone(), op.to_owned(), device.0.clone());
        promise(async move {
            let cases: Vec<&Case> = all.get(&op).into_iter().flatten().filter(|case| half || !case.is_half()).collect();
            let backward = cases.iter().filter(|case| !case.grads.is_empty()).count();
            let outcome = replay(&cases, &device).await;
            let misses: Array = outcome.misses.into_iter().map(JsValue::from).collect();
            Ok(Array::of3(&cases.len().into(), &backward.into(), &misses.into()))
        })
    }
}

/// Whether the device computes in f16.
#[wasm_bindgen(js_name = hasHalf)]
pub fn has_half(device: &Device) -> bool {
    wgrad::Tensor::from_slice(&[wgrad::f16::ONE], [1], &device.0).realize().is_ok()
}
