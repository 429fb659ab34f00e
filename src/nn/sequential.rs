//! Layers one after another, and what stands between them.

use std::panic::Location;

use crate::nn::module::enter;
use crate::nn::{Members, Module, Parameters};
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
/// ```
#[derive(Default)]
pub struct Sequential {
    layers: Vec<Entry>,
}

impl Sequential {
    /// No layers: the output is the input.
    ///
    /// ```
    /// use wgrad::nn::{Module, Sequential};
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::ones([2], &Device::default());
    /// assert_eq!(Sequential::new().forward(&x).to_vec::<f32>()?, [1.0, 1.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn new() -> Sequential {
        Sequential::default()
    }

    /// Adds a layer at the end, named by its number.
    ///
    /// ```
    /// use wgrad::nn::{Linear, Parameters, Relu, Sequential};
    /// use wgrad::Device;
    /// let model = Sequential::new().add(Relu).add(Linear::new(4, 3, &Device::default()));
    /// assert_eq!(model.named_parameters()[0].0, "1.weight");
    /// ```
    #[allow(clippy::should_implement_trait)]
    pub fn add(self, layer: impl Module + 'static) -> Sequential {
        let name = self.layers.len().to_string();
        self.add_named(&name, layer)
    }

    /// Adds a layer at the end under a name.
    ///
    /// ```
    /// use wgrad::nn::{Linear, Parameters, Sequential};
    /// use wgrad::Device;
    /// let model = Sequential::new().add_named("head", Linear::new(4, 3, &Device::default()));
    /// assert_eq!(model.named_parameters()[0].0, "head.weight");
    /// ```
    pub fn add_named(mut self, name: &str, layer: impl Module + 'static) -> Sequential {
        self.layers.push(Entry { name: name.into(), kind: kind_of(&layer), layer: Box::new(layer) });
        self
    }

    /// How many layers there are.
    ///
    /// ```
    /// use wgrad::nn::{Relu, Sequential, Tanh};
    /// assert_eq!(Sequential::new().add(Relu).add(Tanh).len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there are none.
    ///
    /// ```
    /// use wgrad::nn::Sequential;
    /// assert!(Sequential::new().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The layers in order.
    ///
    /// ```
    /// use wgrad::nn::{Module, Relu, Sequential, Tanh};
    /// use wgrad::{Device, Tensor};
    /// let model = Sequential::new().add(Relu).add(Tanh);
    /// let mut x = Tensor::from_slice(&[-1f32, 0.0], [2], &Device::default());
    /// for layer in model.iter() {
    ///     x = layer.forward(&x); // a place to look at what is between the layers
    /// }
    /// assert_eq!(x.to_vec::<f32>()?, [0.0, 0.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = &dyn Module> {
        self.layers.iter().map(|entry| &*entry.layer)
    }
}

struct Entry {
    name: String,
    /// The type of the layer, for messages.
    kind: &'static str,
    layer: Box<dyn Module>,
}

fn kind_of<M>(_layer: &M) -> &'static str {
    std::any::type_name::<M>()
}

impl Parameters for Sequential {
    fn members(&self, members: &mut Members) {
        for entry in &self.layers {
            members.add(&entry.name, &entry.layer);
        }
    }
}

impl Module for Sequential {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let at = Location::caller();
        let _layer = enter::<Self>(format_args!(""));
        self.layers.iter().fold(x.clone(), |x, entry| {
            let _part = site::part(at, &entry.name, entry.kind);
            entry.layer.forward(&x)
        })
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
#[derive(Clone, Copy, Debug)]
pub struct Lambda<F>(F);

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
}

impl<F: Fn(&Tensor) -> Tensor + Send + Sync> Module for Lambda<F> {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let _layer = enter::<Self>(format_args!(""));
        (self.0)(x)
    }
}
