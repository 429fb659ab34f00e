//! Tensors of a model replaced by others: moved, copied.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::error::{Error, Result};
use crate::graph::no_grad;
use crate::nn::{Member, Members, Mode, Parameters};
use crate::tensor::Tensor;

/// The parts that a [`Parameters::members_mut`] gives for replacement.
///
/// ```
/// use wgrad::nn::{Linear, Members, MembersMut, Parameters};
/// use wgrad::Device;
/// #[derive(Clone)]
/// struct Wrapped(Linear);
/// impl Parameters for Wrapped {
///     fn members(&self, members: &mut Members) {
///         members.add("inner", &self.0);
///     }
///     fn members_mut(&mut self, members: &mut MembersMut) {
///         members.add(&mut self.0);
///     }
/// }
/// let model = Wrapped(Linear::new(2, 3, &Device::default()));
/// assert!(!model.deep_copy()?.0.weight.is_same(&model.0.weight));
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct MembersMut<'a> {
    tensors: &'a HashMap<usize, Tensor>,
    /// Modes that take the place of others; `None` where modes stay.
    modes: Option<HashMap<usize, Mode>>,
    /// Whether anything is replaced.
    replaces: bool,
    fault: Option<Error>,
}

impl MembersMut<'_> {
    /// Adds a part.
    pub fn add<M: Member + ?Sized>(&mut self, member: &mut M) {
        member.join_mut(self);
    }

    pub(super) fn tensor(&mut self, tensor: &mut Tensor) {
        // One that `members` does not name stays.
        if let (true, Some(new)) = (self.replaces, self.tensors.get(&tensor.variable())) {
            *tensor = new.clone();
        }
    }

    pub(super) fn mode(&mut self, mode: &mut Mode) {
        if let (true, Some(modes)) = (self.replaces, &mut self.modes) {
            let new = modes.entry(mode.id()).or_insert_with(|| {
                let new = Mode::new();
                new.set(mode.training());
                new
            });
            *mode = new.clone();
        }
    }

    pub(super) fn refuse(&mut self, kind: &str, why: &str) {
        let detail =
            format!("{kind} {why}, so its tensors cannot be replaced; #[derive(Module)] writes what is needed");
        self.fault.get_or_insert_with(|| Error::unsupported("members_mut", detail));
    }
}

/// What takes the place of each tensor of a module, by variable.
pub(super) fn tensors(
    module: &(impl Parameters + ?Sized),
    new: impl Fn(&Tensor) -> Tensor,
) -> Result<HashMap<usize, Tensor>> {
    let mut found = HashMap::new();
    for (_, tensor) in &Members::of(module).tensors {
        if let Entry::Vacant(place) = found.entry(tensor.variable()) {
            tensor.check()?;
            let new = new(tensor);
            new.check()?;
            place.insert(new);
        }
    }
    Ok(found)
}

/// A value as a parameter, frozen or not, or as a buffer, as `like` is.
pub(super) fn leaf_like(like: &Tensor, value: &Tensor) -> Tensor {
    if !like.is_leaf_with_grad() {
        return no_grad(|| value.detach());
    }
    let leaf = value.requires_grad();
    if like.is_frozen() {
        // A leaf that carries an error shows it when it is looked at.
        let _ = leaf.requires_grad_(false);
    }
    leaf
}

/// Replaces tensors, and modes by new ones where `copies`; nothing where a part cannot be.
pub(super) fn replace(
    module: &mut (impl Parameters + ?Sized),
    tensors: &HashMap<usize, Tensor>,
    copies: bool,
) -> Result<()> {
    for replaces in [false, true] {
        let modes = copies.then(HashMap::new);
        let mut members = MembersMut { tensors, modes, replaces, fault: None };
        module.members_mut(&mut members);
        if let Some(fault) = members.fault {
            return Err(fault);
        }
    }
    Ok(())
}
