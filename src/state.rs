//! Values by name, and how they come into a model.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::panic::Location;

use crate::error::{Error, Result};
use crate::graph::no_grad;
use crate::tensor::Tensor;

/// Tensors by name, as PyTorch calls them.
///
/// ```
/// use wgrad::nn::{Linear, Parameters, StateDict};
/// use wgrad::Device;
/// let values: StateDict = Linear::new(4, 3, &Device::default()).state_dict();
/// assert_eq!(values["weight"].shape(), [3, 4]);
/// ```
pub type StateDict = BTreeMap<String, Tensor>;

/// What [`Parameters::load_matching`](crate::nn::Parameters::load_matching) found on one side only.
///
/// ```
/// use wgrad::nn::{Linear, Parameters, Unmatched};
/// use wgrad::Device;
/// let layer = Linear::new(4, 3, &Device::cpu());
/// let mut values = layer.state_dict();
/// values.remove("bias");
/// let unmatched = layer.load_matching(&values)?;
/// assert_eq!(unmatched, Unmatched { missing: vec!["bias".into()], unexpected: vec![] });
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unmatched {
    /// Names of the model for which there were no values.
    pub missing: Vec<String>,
    /// Names of values that the model does not have.
    pub unexpected: Vec<String>,
}

/// How many names of a kind an error lists.
const LISTED: usize = 12;

/// Sets tensors to the values of the same names; all or none.
#[track_caller]
pub(super) fn load(tensors: Vec<(String, Tensor)>, values: &StateDict, strict: bool) -> Result<Unmatched> {
    let at = Location::caller();
    let names: BTreeSet<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
    let unexpected: Vec<&str> = values.keys().map(String::as_str).filter(|name| !names.contains(name)).collect();
    let missing = tensors.iter().filter(|(name, _)| !values.contains_key(name) && !may_be_missing(name));
    let missing: Vec<&(String, Tensor)> = missing.collect();
    let pairs: Vec<(&String, &Tensor, &Tensor)> =
        tensors.iter().filter_map(|(name, tensor)| Some((name, tensor, values.get(name)?))).collect();
    let mut complaints = Vec::new();
    if strict {
        let entry = |(name, tensor): &&(String, Tensor)| {
            let nearest = nearest(name, unexpected.iter().copied());
            let hint = nearest.map_or_else(String::new, |nearest| format!(" (is it \"{nearest}\"?)"));
            format!("{name} {:?}{hint}", tensor.shape())
        };
        complaints.extend(complaint("missing", &missing, entry));
        complaints.extend(complaint("not known", &unexpected, |name| format!("{name} {:?}", values[*name].shape())));
    }
    // Floats of other types are converted, as bf16 is when a file is read; a count or a mask of another type is a mistake.
    let alike =
        |to: &Tensor, from: &Tensor| to.dtype() == from.dtype() || (to.dtype().is_float() && from.dtype().is_float());
    let fits = |(_, to, from): &&(&String, &Tensor, &Tensor)| to.shape() == from.shape() && alike(to, from);
    let unfit: Vec<_> = pairs.iter().filter(|pair| from_ok(pair.2) && !fits(pair)).collect();
    let entry = |(name, to, from): &&(&String, &Tensor, &Tensor)| {
        let mut text = format!("{name} is");
        let (shapes, dtypes) = (to.shape() != from.shape(), !alike(to, from));
        for (side, tensor) in [("", to), (", the value", from)] {
            text += side;
            if dtypes {
                let _ = write!(text, " {}", tensor.dtype());
            }
            if shapes {
                let _ = write!(text, " {:?}", tensor.shape());
            }
        }
        text
    };
    complaints.extend(complaint("of another shape or type", &unfit, entry));
    if !complaints.is_empty() {
        return Err(Error::argument("load_state_dict", complaints.join("; ")).or_at(at));
    }
    let mut moved = Vec::with_capacity(pairs.len());
    for (_, to, from) in &pairs {
        to.check()?;
        from.check()?;
        let value = converted(from, to)?;
        moved.push(value);
    }
    for ((_, to, _), value) in pairs.iter().zip(&moved) {
        to.try_assign(value)?;
    }
    Ok(Unmatched {
        missing: missing.into_iter().map(|(name, _)| name.clone()).collect(),
        unexpected: unexpected.into_iter().map(String::from).collect(),
    })
}

/// A value on the device and of the type of the tensor that takes it.
fn converted(from: &Tensor, to: &Tensor) -> Result<Tensor> {
    // Where it is, since the other device may not have its type; or there, where it does not have the other.
    let here = no_grad(|| from.to_dtype(to.dtype()));
    let value = match here.check() {
        Ok(()) => here.to_device(to.device()),
        Err(_) => no_grad(|| from.to_device(to.device()).to_dtype(to.dtype())),
    };
    value.check().map(|()| value)
}

/// Counts of batches are kept as they are where a file has none: it is of a time before there were such counts, or of a program that has
/// none. So PyTorch does, too.
fn may_be_missing(name: &str) -> bool {
    name.rsplit('.').next() == Some("num_batches_tracked")
}

/// A value with an error has no shape to compare; the error itself is returned later.
fn from_ok(value: &Tensor) -> bool {
    value.check().is_ok()
}

/// `3 missing: a [2], b [3], …`, or nothing.
fn complaint<T>(what: &str, items: &[T], entry: impl Fn(&T) -> String) -> Option<String> {
    if items.is_empty() {
        return None;
    }
    let mut listed: Vec<String> = items.iter().take(LISTED).map(entry).collect();
    if items.len() > LISTED {
        listed.push(format!("and {} more", items.len() - LISTED));
    }
    Some(format!("{} {what}: {}", items.len(), listed.join(", ")))
}

/// The name that `name` was most likely meant to be: one with parts more in front, else one with few other letters.
fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let within = |long: &str, short: &str| long.strip_suffix(short).is_some_and(|rest| rest.ends_with('.'));
    candidates
        .map(|other| {
            let prefixed = within(other, name) || within(name, other);
            (if prefixed { 0 } else { distance(name, other) }, other)
        })
        .min()
        .filter(|(distance, other)| *distance <= name.len().max(other.len()) / 3)
        .map(|(_, other)| other)
}

/// Letters to insert, delete or replace (Levenshtein 1966).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        let names = ["fc1.weight", "fc2.weight", "module.fc3.weight", "a"];
        assert_eq!(nearest("fc1.weights", names.into_iter()), Some("fc1.weight"));
        assert_eq!(nearest("fc3.weight", names.into_iter()), Some("module.fc3.weight"));
        assert_eq!(nearest("tokens", names.into_iter()), None);
        assert_eq!(nearest("tokens", [].into_iter()), None);
    }

    #[test]
    fn distances() {
        for (a, b, expected) in [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2)] {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        }
    }
}
