//! Layers one after another, and what stands between them.

use std::panic::Location;

use crate::nn::module::enter;
use crate::nn::summary::{describe, seen_as};
use crate::nn::{Members, MembersMut, Module, Parameters};
use crate::site;
use crate::tensor::Tensor;

/// Layers that run one after another. Their parameters are named by number (`0.weight`), or by name where they were added
/// with one.
///
/// ```
/// use wgrad::nn::{Conv2d, Flatten, Lambda, Linear, Module, Parameters, Relu, Sequential};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let model = Sequential::new()
///     .add(Conv2d::new(1, 8, 3, &device).padding(1))
///     .add(Relu)
///     .add(Lambda::new(|x| x.max_pool2d(2, 2, 0)))
///     .add(Flatten::default())
///     .add_named("head", Linear::new(8 * 4 * 4, 10, &device));
/// assert_eq!(model.forward(&Tensor::randn([2, 1, 8, 8], &device)).shape(), [2, 10]);
/// let names: Vec<String> = model.named_parameters().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["0.weight", "0.bias", "head.weight", "head.bias"]);
/// assert!(format!("{model:?}").starts_with("Sequential { 0: Conv2d { weight: f32 [8, 1, 3, 3], "));
/// ```
///
/// As of all layers, a clone has the same parameters; [`deep_copy`](Parameters::deep_copy) gives it its own.
#[derive(Default)]
pub struct Sequential {
    layers: Vec<Entry>,
}

/// A module that can be cloned without its type being known.
trait Layer: Module {
    fn copy(&self) -> Box<dyn Layer>;
}

impl<M: Module + Clone + 'static> Layer for M {
    fn copy(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

impl Clone for Sequential {
    fn clone(&self) -> Sequential {
        let copy = |entry: &Entry| Entry { name: entry.name.clone(), kind: entry.kind, layer: (*entry.layer).copy() };
        Sequential { layers: self.layers.iter().map(copy).collect() }
    }
}

impl Sequential {
    /// No layers: the output is the input.
    pub fn new() -> Sequential {
        Sequential::default()
    }

    /// Adds a layer at the end, named by its number.
    #[allow(clippy::should_implement_trait, reason = "it adds a layer and is no arithmetic")]
    pub fn add(self, layer: impl Module + Clone + 'static) -> Sequential {
        let name = self.layers.len().to_string();
        self.add_named(&name, layer)
    }

    /// Adds a layer at the end under a name.
    pub fn add_named(mut self, name: &str, layer: impl Module + Clone + 'static) -> Sequential {
        self.layers.push(Entry { name: name.into(), kind: kind_of(&layer), layer: Box::new(layer) });
        self
    }

    /// How many layers there are.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The layers in order.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Module> {
        self.layers.iter().map(|entry| -> &dyn Module { &*entry.layer })
    }
}

struct Entry {
    name: String,
    /// The type of the layer, for messages.
    kind: &'static str,
    layer: Box<dyn Layer>,
}

fn kind_of<M>(_layer: &M) -> &'static str {
    std::any::type_name::<M>()
}

impl Parameters for Sequential {
    fn members(&self, members: &mut Members) {
        for entry in &self.layers {
            members.add_seen(&entry.name, &entry.layer, key(entry));
        }
    }

    fn members_mut(&mut self, members: &mut MembersMut) {
        self.layers.iter_mut().for_each(|entry| members.add(&mut entry.layer));
    }
}

impl Module for Sequential {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let at = Location::caller();
        let _layer = enter::<Self>(format_args!(""));
        self.layers.iter().fold(x.clone(), |x, entry| {
            let _part = site::part(at, &entry.name, entry.kind);
            seen_as(key(entry), entry.layer.forward(&x))
        })
    }
}

/// A layer's place in memory, which no other has while the model lives.
fn key(layer: &Entry) -> usize {
    std::ptr::from_ref(layer) as usize
}

/// Layers and shapes of parameters, as a tree.
impl std::fmt::Debug for Sequential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        describe(self, f)
    }
}

/// A function as a layer.
///
/// ```
/// use wgrad::nn::{Lambda, Module};
/// use wgrad::{Device, Tensor};
/// let halve = Lambda::new(|x| x * 0.5);
/// assert_eq!(halve.forward(&Tensor::ones([2], &Device::default())).to_vec::<f32>()?, [0.5, 0.5]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Lambda<F>(F);

impl<F> std::fmt::Debug for Lambda<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lambda")
    }
}

impl<F: Fn(&Tensor) -> Tensor + Send + Sync> Lambda<F> {
    /// A layer that calls `f`.
    ///
    /// ```
    /// use wgrad::nn::{Lambda, Module};
    /// use wgrad::{Device, Tensor};
    /// let first = Lambda::new(|x| x.narrow(1, 0, 2)); // the first two columns
    /// assert_eq!(first.forward(&Tensor::ones([3, 5], &Device::default())).shape(), [3, 2]);
    /// ```
    pub fn new(f: F) -> Lambda<F> {
        Lambda(f)
    }
}

impl<F: Fn(&Tensor) -> Tensor + Send + Sync> Parameters for Lambda<F> {
    fn members(&self, _members: &mut Members) {}

    fn members_mut(&mut self, _members: &mut MembersMut) {}
}

impl<F: Fn(&Tensor) -> Tensor + Send + Sync> Module for Lambda<F> {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let _layer = enter::<Self>(format_args!(""));
        (self.0)(x)
    }
}
