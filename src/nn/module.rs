//! What all layers and models have in common: named parameters and buffers, and a mode.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::backend::Device;
use crate::error::Result;
use crate::nn::renew::{self, MembersMut};
use crate::nn::summary::{self, Part};
use crate::site::{self, Scope};
use crate::state::{self, StateDict, Unmatched};
use crate::tensor::Tensor;

/// A layer or model that maps one tensor to one tensor. What takes other arguments (a recurrent layer with its state,
/// attention with keys and a mask) has a method of its own for them; [`Parameters`] needs no [`Module::forward`].
///
/// Errors name the line of the innermost [`Module::forward`] that is not the library's, and the layers of the library with their path. Behind
/// `#[track_caller]` it is the line that calls that layer.
///
/// ```
/// use wgrad::nn::{Linear, Module};
/// use wgrad::{Device, Tensor};
/// struct Perceptron { hidden: Linear, out: Linear }
/// wgrad::module!(Perceptron { hidden, out });
/// impl Module for Perceptron {
///     fn forward(&self, x: &Tensor) -> Tensor {
///         self.out.forward(&self.hidden.forward(x).relu())
///     }
/// }
/// let device = Device::cpu();
/// let model = Perceptron { hidden: Linear::new(4, 8, &device), out: Linear::new(8, 2, &device) };
/// assert_eq!(model.forward(&Tensor::ones([3, 4], &device)).shape(), [3, 2]);
/// ```
pub trait Module: Parameters {
    /// The output. Bad input makes a tensor that carries an error.
    fn forward(&self, x: &Tensor) -> Tensor;
}

/// A thing with named parameters and buffers: a layer, a model. The derive macro [`Module`](derive@crate::nn::Module) implements it for a
/// struct, as [`module!`](crate::module) does for some of its fields.
///
/// Methods take `&self`: parameters are handles, so a model can be lent to a captured step and be saved or switched to
/// evaluation beside it.
///
/// ```
/// use wgrad::nn::{Linear, Parameters};
/// use wgrad::Device;
/// let layer = Linear::new(4, 3, &Device::cpu());
/// let elements: usize = layer.parameters().iter().map(|parameter| parameter.numel()).sum();
/// assert_eq!(elements, 4 * 3 + 3);
/// ```
pub trait Parameters: Send + Sync {
    /// Names the parts, in order: tensors and other things with parameters.
    fn members(&self, members: &mut Members);

    /// The parts again, in any order, as what may be replaced: for [`Parameters::to_device`] and [`Parameters::deep_copy`]. The derive macro
    /// [`Module`](derive@crate::nn::Module) and [`module!`](crate::module) write both; without it those are an error.
    fn members_mut(&mut self, members: &mut MembersMut) {
        members.refuse(&self.kind(), "has no members_mut");
    }

    /// What it is called in a [`summary`](crate::nn::summary()): the type's name.
    fn kind(&self) -> String {
        summary::short_name(std::any::type_name::<Self>())
    }

    /// What gradients are computed for, with its names, each tensor once (under its first name, where it has several).
    fn named_parameters(&self) -> Vec<(String, Tensor)> {
        distinct(Members::of(self).tensors, Tensor::is_leaf_with_grad)
    }

    /// Tensors that belong to the state without having a gradient (running statistics), with their names.
    fn named_buffers(&self) -> Vec<(String, Tensor)> {
        distinct(Members::of(self).tensors, |t| !t.is_leaf_with_grad())
    }

    /// The parameters, for an optimizer.
    fn parameters(&self) -> Vec<Tensor> {
        self.named_parameters().into_iter().map(|(_, tensor)| tensor).collect()
    }

    /// Switches to training (`true`, as layers are made) or evaluation: dropout and batch norm behave differently. A
    /// captured step keeps the mode it was recorded in.
    fn train(&self, on: bool) {
        Members::of(self).modes.iter().for_each(|mode| mode.set(on));
    }

    /// Switches to evaluation: [`Parameters::train`] with `false`.
    fn eval(&self) {
        self.train(false);
    }

    /// Forgets the gradients of all parameters.
    fn zero_grad(&self) {
        self.parameters().iter().for_each(Tensor::zero_grad);
    }

    /// Freezes all parameters (`false`), or thaws them (`true`): a frozen one gets no gradient, and optimizers pass it over.
    #[track_caller]
    fn requires_grad_(&self, on: bool) {
        for parameter in self.parameters() {
            // All are leaves; one that carries an error shows it when it is read.
            let _ = parameter.requires_grad_(on);
        }
    }

    /// The values of all parameters and buffers by name, as they are now: what is trained later does not change them.
    #[track_caller]
    fn state_dict(&self) -> StateDict {
        Members::of(self).tensors.into_iter().map(|(name, tensor)| (name, tensor.detach())).collect()
    }

    /// Sets all parameters and buffers to the values of the same names. Tensors on other devices are moved, floats of other types converted: a
    /// file in f16, bf16 or f64 fits a model in f32.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument), which lists all names that are missing or not known and all tensors of
    /// another shape or type; the error that a tensor carries. Then nothing has changed.
    #[track_caller]
    fn load_state_dict(&self, values: &StateDict) -> Result<()> {
        state::load(Members::of(self).tensors, values, true).map(drop)
    }

    /// [`Parameters::load_state_dict`] of the names that both sides have; returns those that only one has.
    ///
    /// # Errors
    /// As [`Parameters::load_state_dict`], for shapes and types.
    #[track_caller]
    fn load_matching(&self, values: &StateDict) -> Result<Unmatched> {
        state::load(Members::of(self).tensors, values, false)
    }

    /// Moves all parameters and buffers to a device, without their gradients. They are new tensors, so an optimizer is made afterwards; what is the
    /// same tensor stays so. On the same device nothing changes.
    ///
    /// # Errors
    /// The error that a tensor carries, or that keeps it from being moved; [`Error::Unsupported`](crate::Error::Unsupported) where a part has no
    /// [`members_mut`](Parameters::members_mut) or is shared by an `Arc`. Then nothing has changed.
    #[track_caller]
    fn to_device(&mut self, device: &Device) -> Result<()> {
        let at = Location::caller();
        let moved = renew::tensors(self, |tensor| match tensor.device() == device {
            true => tensor.clone(),
            false => renew::leaf_like(tensor, &tensor.detach().to_device(device)),
        });
        moved.and_then(|moved| renew::replace(self, &moved, false)).map_err(|error| error.or_at(at))
    }

    /// A copy with parameters, buffers and a mode of its own, where a clone shares them. What is the same tensor in one is so in the other; frozen
    /// parameters are frozen; gradients are not copied. (PyTorch's `copy.deepcopy`.)
    ///
    /// # Errors
    /// As [`Parameters::to_device`].
    #[track_caller]
    fn deep_copy(&self) -> Result<Self>
    where
        Self: Sized + Clone,
    {
        let at = Location::caller();
        let mut copy = self.clone();
        let tensors = renew::tensors(self, |tensor| renew::leaf_like(tensor, &tensor.detach()));
        let replaced = tensors.and_then(|tensors| renew::replace(&mut copy, &tensors, true));
        replaced.map(|()| copy).map_err(|error| error.or_at(at))
    }
}

/// The tensors for which `wanted` holds, without repetitions of one variable.
fn distinct(tensors: Vec<(String, Tensor)>, wanted: impl Fn(&Tensor) -> bool) -> Vec<(String, Tensor)> {
    let mut seen = std::collections::HashSet::new();
    tensors.into_iter().filter(|(_, tensor)| wanted(tensor) && seen.insert(tensor.variable())).collect()
}

/// What a part of a model can be: a tensor, a thing with [`Parameters`], a [`Mode`], or an `Option`, `Vec` or array of
/// these. The entries of lists are named by their numbers. A tensor made with `requires_grad` is a parameter, any other a
/// buffer.
///
/// ```
/// use wgrad::nn::{Linear, Module, Parameters};
/// use wgrad::Device;
/// #[derive(Module)]
/// struct Model {
///     #[module(name = "blocks")]
///     layers: Vec<Linear>,
///     head: Option<Linear>,
///     #[module(skip)]
///     slope: f64,
/// }
/// let model = Model { layers: vec![Linear::new(2, 3, &Device::cpu())], head: None, slope: 0.1 };
/// let names: Vec<String> = model.state_dict().into_keys().collect();
/// assert_eq!(names, ["blocks.0.bias", "blocks.0.weight"]);
/// # let _ = model.slope;
/// ```
///
/// A field of another type has to be skipped, so that none is forgotten:
///
/// ```compile_fail
/// use wgrad::nn::{Linear, Module};
/// #[derive(Module)]
/// struct Model {
///     layers: Vec<Linear>,
///     slope: f64, // `f64` is no part of a module
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no part of a module: it has no parameters, buffers or mode",
    label = "no tensor, layer, mode, or list of these",
    note = "a field that is none goes under `#[module(skip)]`; a type of layers of your own implements `nn::Parameters`, by `#[derive(Module)]`"
)]
pub trait Member {
    /// Adds itself under the name that has been reached.
    ///
    /// ```
    /// use wgrad::nn::{Linear, Member, Members, Parameters};
    /// use wgrad::Device;
    /// struct Pair(Linear, Linear);
    /// impl Member for Pair {
    ///     fn join(&self, members: &mut Members) {
    ///         members.add("a", &self.0);
    ///         members.add("b", &self.1);
    ///     }
    /// }
    /// struct Model { pair: Pair }
    /// wgrad::module!(Model { pair });
    /// let device = Device::default();
    /// let model = Model { pair: Pair(Linear::new(2, 3, &device), Linear::new(2, 3, &device)) };
    /// assert_eq!(model.named_parameters()[2].0, "pair.b.weight");
    /// ```
    fn join(&self, members: &mut Members);

    /// Adds itself as what may be replaced; see [`Parameters::members_mut`].
    ///
    /// ```
    /// use wgrad::nn::{Linear, Member, Members, MembersMut};
    /// struct Pair(Linear, Linear);
    /// impl Member for Pair {
    ///     fn join(&self, members: &mut Members) {
    ///         members.add("a", &self.0);
    ///         members.add("b", &self.1);
    ///     }
    ///     fn join_mut(&mut self, members: &mut MembersMut) {
    ///         members.add(&mut self.0);
    ///         members.add(&mut self.1);
    ///     }
    /// }
    /// ```
    fn join_mut(&mut self, members: &mut MembersMut) {
        members.refuse(std::any::type_name::<Self>(), "has no join_mut");
    }
}

/// The parts that a [`Parameters::members`] names.
///
/// ```
/// use wgrad::nn::{Members, Parameters};
/// use wgrad::{Device, Tensor};
/// struct Scale(Tensor);
/// impl Parameters for Scale {
///     fn members(&self, members: &mut Members) {
///         members.add("scale", &self.0);
///     }
/// }
/// let scale = Scale(Tensor::ones([3], &Device::cpu()).requires_grad());
/// assert_eq!(scale.named_parameters()[0].0, "scale");
/// ```
#[derive(Default)]
pub struct Members {
    name: String,
    pub(super) tensors: Vec<(String, Tensor)>,
    pub(super) modes: Vec<Mode>,
    /// Layers and what is built of them.
    pub(super) parts: Vec<Part>,
    /// What the next layer's output is noted under.
    key: Option<usize>,
}

impl Members {
    pub(super) fn of(module: &(impl Parameters + ?Sized)) -> Members {
        let mut members = Members::default();
        module.members(&mut members);
        members
    }

    /// Adds a part: its tensors are called `name`, or `name.` and their own names.
    pub fn add<M: Member + ?Sized>(&mut self, name: &str, member: &M) {
        let length = self.name.len();
        if length > 0 {
            self.name.push('.');
        }
        self.name.push_str(name.strip_prefix("r#").unwrap_or(name));
        member.join(self);
        self.name.truncate(length);
    }

    /// [`Members::add`] of a layer whose output its owner notes.
    pub(super) fn add_seen<M: Member + ?Sized>(&mut self, name: &str, member: &M, key: usize) {
        self.key = Some(key);
        self.add(name, member);
        self.key = None;
    }
}

impl<M: Parameters> Member for M {
    fn join(&self, members: &mut Members) {
        let (name, key) = (members.name.clone(), members.key.take());
        members.parts.push(Part { name, kind: self.kind(), key });
        self.members(members);
    }

    fn join_mut(&mut self, members: &mut MembersMut) {
        self.members_mut(members);
    }
}

impl Member for Tensor {
    fn join(&self, members: &mut Members) {
        members.tensors.push((members.name.clone(), self.clone()));
    }

    fn join_mut(&mut self, members: &mut MembersMut) {
        members.tensor(self);
    }
}

impl Member for Mode {
    fn join(&self, members: &mut Members) {
        members.modes.push(self.clone());
    }

    fn join_mut(&mut self, members: &mut MembersMut) {
        members.mode(self);
    }
}

impl<M: Member> Member for Option<M> {
    fn join(&self, members: &mut Members) {
        if let Some(member) = self {
            member.join(members);
        }
    }

    fn join_mut(&mut self, members: &mut MembersMut) {
        if let Some(member) = self {
            member.join_mut(members);
        }
    }
}

impl<M: Member> Member for [M] {
    fn join(&self, members: &mut Members) {
        for (i, member) in self.iter().enumerate() {
            members.add(&i.to_string(), member);
        }
    }

    fn join_mut(&mut self, members: &mut MembersMut) {
        self.iter_mut().for_each(|member| member.join_mut(members));
    }
}

impl<M: Member> Member for Vec<M> {
    fn join(&self, members: &mut Members) {
        self.as_slice().join(members);
    }

    fn join_mut(&mut self, members: &mut MembersMut) {
        self.as_mut_slice().join_mut(members);
    }
}

impl<M: Member, const N: usize> Member for [M; N] {
    fn join(&self, members: &mut Members) {
        self.as_slice().join(members);
    }

    fn join_mut(&mut self, members: &mut MembersMut) {
        self.as_mut_slice().join_mut(members);
    }
}

macro_rules! pointers {
    ($($pointer:ident: |$own:ident, $members:ident| $renew:expr;)*) => {$(
        impl<M: Parameters + ?Sized> Parameters for $pointer<M> {
            fn members(&self, members: &mut Members) {
                (**self).members(members);
            }

            fn members_mut(&mut self, $members: &mut MembersMut) {
                let $own = self;
                $renew
            }

            fn kind(&self) -> String {
                (**self).kind()
            }
        }

        impl<M: Module + ?Sized> Module for $pointer<M> {
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                let _through = site::through::<Self, M>(Location::caller());
                (**self).forward(x)
            }
        }
    )*};
}
pointers! {
    Box: |own, members| (**own).members_mut(members);
    Arc: |own, members| match Arc::get_mut(own) {
        Some(module) => module.members_mut(members),
        None => members.refuse(&own.kind(), "is shared by an Arc"),
    };
}

/// Layers and shapes of parameters, as a tree.
impl fmt::Debug for dyn Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        summary::describe(self, f)
    }
}

/// Layers and shapes of parameters, as a tree.
impl fmt::Debug for dyn Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        summary::describe(self, f)
    }
}

/// The scope of a layer's forward pass: errors, reports and traces name the layer, with its sizes, and the user's line.
#[track_caller]
pub(super) fn enter<L: ?Sized>(sizes: fmt::Arguments) -> Scope {
    site::layer::<L>(Location::caller(), sizes)
}

/// The scope of a call of a container's part.
#[track_caller]
pub(super) fn enter_part<M: ?Sized>(name: &str) -> Scope {
    site::part(Location::caller(), name, std::any::type_name::<M>())
}

/// The forward pass of a container's part.
#[track_caller]
pub(super) fn apply<M: Module + ?Sized>(name: &str, part: &M, x: &Tensor) -> Tensor {
    let _part = enter_part::<M>(name);
    part.forward(x)
}

/// Sizes for [`enter`], as `3×3`.
pub(super) struct Sizes<'a>(pub &'a [usize]);

impl fmt::Display for Sizes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, size) in self.0.iter().enumerate() {
            write!(f, "{}{size}", if i > 0 { "×" } else { "" })?;
        }
        Ok(())
    }
}

/// The size of a parameter along a dim, for [`enter`]; 0 where it has no such dim.
pub(super) fn size(tensor: &Tensor, dim: usize) -> usize {
    tensor.shape().get(dim).copied().unwrap_or(0)
}

/// A layer without parameters and without a mode: what it does to its input.
macro_rules! stateless {
    ($name:ident, |$self:ident, $x:ident| $forward:expr) => {
        impl $crate::nn::Parameters for $name {
            fn members(&self, _members: &mut $crate::nn::Members) {}

            fn members_mut(&mut self, _members: &mut $crate::nn::MembersMut) {}
        }

        impl $crate::nn::Module for $name {
            #[track_caller]
            fn forward(&$self, $x: &$crate::Tensor) -> $crate::Tensor {
                let _layer = $crate::nn::module::enter::<Self>(format_args!(""));
                $forward
            }
        }
    };
}
pub(super) use stateless;

/// Whether a layer trains or evaluates; clones share it. A layer that behaves differently in training has one among its
/// members.
///
/// ```
/// use wgrad::nn::Mode;
/// let mode = Mode::new();
/// let shared = mode.clone();
/// shared.set(false);
/// assert!(!mode.training());
/// ```
#[derive(Clone, Debug)]
pub struct Mode(Arc<AtomicBool>);

impl Mode {
    /// Training, as layers begin.
    pub fn new() -> Mode {
        Mode(Arc::new(AtomicBool::new(true)))
    }

    /// Whether it is training.
    pub fn training(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets training (`true`) or evaluation.
    pub fn set(&self, training: bool) {
        self.0.store(training, Ordering::Relaxed);
    }

    /// What all clones have in common.
    pub(super) fn id(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }
}

impl Default for Mode {
    fn default() -> Mode {
        Mode::new()
    }
}

/// Implements [`nn::Parameters`](crate::nn::Parameters) for a struct: its fields that have parameters or buffers, or behave
/// differently in training. Names in a [`StateDict`](crate::nn::StateDict) are those of the fields, or given with `as`.
///
/// ```
/// use wgrad::nn::{Embedding, Linear, Parameters};
/// use wgrad::Device;
/// struct Model {
///     tokens: Embedding,
///     head: Linear,
/// }
/// wgrad::module!(Model { tokens as "transformer.wte", head });
/// let device = Device::default();
/// let model = Model { tokens: Embedding::new(10, 4, &device), head: Linear::new(4, 10, &device) };
/// assert_eq!(model.named_parameters()[0].0, "transformer.wte.weight");
/// ```
#[macro_export]
macro_rules! module {
    ($type:ty { $($field:ident $(as $name:literal)?),* $(,)? }) => {
        impl $crate::nn::Parameters for $type {
            fn members(&self, members: &mut $crate::nn::Members) {
                $(members.add($crate::module!(@name $field $($name)?), &self.$field);)*
            }

            fn members_mut(&mut self, members: &mut $crate::nn::MembersMut) {
                $(members.add(&mut self.$field);)*
            }
        }
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $name:literal) => { $name };
}
