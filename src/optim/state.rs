//! What is saved and loaded: names to tensors, all or nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::array::ArrayElement;
use crate::backend::Device;
use crate::error::{Error, Result};
use crate::graph::recording;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// Entries by name.
pub(crate) type Entries = BTreeMap<String, Tensor>;

/// A number as an entry.
pub(crate) fn number<T: ArrayElement>(value: T, device: &Device) -> Tensor {
    Tensor::from_slice(&[value], (), device)
}

/// The value of a variable now, as a tensor of its own.
pub(crate) fn value(variable: &Tensor) -> Tensor {
    Tensor::from_var(variable.node(), variable.device())
}

/// Takes entries out of a dictionary, notes everything that does not fit, and says so at the end.
pub(crate) struct Loader<'a> {
    op: &'static str,
    entries: &'a Entries,
    used: BTreeSet<&'a str>,
    faults: Vec<String>,
}

impl<'a> Loader<'a> {
    pub fn new(op: &'static str, entries: &'a Entries) -> Loader<'a> {
        Loader { op, entries, used: BTreeSet::new(), faults: Vec::new() }
    }

    /// Whether there is an entry whose name starts with `prefix`.
    pub fn has(&self, prefix: &str) -> bool {
        self.entries.range(prefix.to_owned()..).next().is_some_and(|(name, _)| name.starts_with(prefix))
    }

    fn take(&mut self, name: &str) -> Option<&'a Tensor> {
        let Some((key, tensor)) = self.entries.get_key_value(name) else {
            self.faults.push(format!("{name} is missing"));
            return None;
        };
        self.used.insert(key);
        if let Err(error) = tensor.check() {
            self.faults.push(format!("{name} carries an error: {error}"));
            return None;
        }
        Some(tensor)
    }

    /// The entry of this name, computed, on the device of `like` and of its shape and type.
    pub fn tensor(&mut self, name: &str, like: &Tensor) -> Option<Tensor> {
        let tensor = self.take(name)?;
        if (tensor.shape(), tensor.dtype()) != (like.shape(), like.dtype()) {
            let describe = |t: &Tensor| format!("{} {:?}", t.dtype(), t.shape());
            self.faults.push(format!("{name} is {}, not {}", describe(tensor), describe(like)));
            return None;
        }
        let moved = tensor.detach().to_device(like.device());
        match moved.realize() {
            Ok(()) => Some(moved),
            Err(error) => {
                self.faults.push(format!("{name} cannot be computed: {error}"));
                None
            }
        }
    }

    /// The number in the entry of this name.
    pub fn number<T: ArrayElement>(&mut self, name: &str) -> Option<T> {
        let tensor = self.take(name)?;
        if tensor.numel() != 1 || tensor.dtype() != T::DTYPE {
            let (dtype, shape) = (tensor.dtype(), Shape::from(tensor.shape()));
            self.faults.push(format!("{name} is {dtype} {shape}, not one number of type {}", T::DTYPE));
            return None;
        }
        match tensor.item::<T>() {
            Ok(value) => Some(value),
            Err(error) => {
                self.faults.push(format!("{name} cannot be read: {error}"));
                None
            }
        }
    }

    /// One error for all that does not fit.
    pub fn finish(mut self) -> Result<()> {
        let unexpected = self.entries.keys().filter(|name| !self.used.contains(name.as_str()));
        self.faults.extend(unexpected.map(|name| format!("{name} is unexpected")));
        if self.faults.is_empty() {
            return Ok(());
        }
        let more = self.faults.len().saturating_sub(8);
        let mut text = self.faults.into_iter().take(8).collect::<Vec<_>>().join("; ");
        if more > 0 {
            text.push_str(&format!("; and {more} more"));
        }
        Err(Error::argument("load_state_dict", format!("{}: {text}", self.op)))
    }
}

/// Loading happens on the host, once.
pub(crate) fn refuse_in_capture() -> Result<()> {
    if !recording::active() {
        return Ok(());
    }
    let error = Error::unsupported("load_state_dict", "a captured step cannot load a state: load it between the runs");
    recording::refuse(error.clone());
    Err(error)
}
