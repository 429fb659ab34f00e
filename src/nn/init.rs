//! Initial values of parameters, by PyTorch's names. Each function sets a tensor to new random (or fixed) values, drawn from
//! its device's generator; layers come with PyTorch's defaults already.
//!
//! ```
//! use wgrad::nn::{Conv2d, init};
//! use wgrad::Device;
//! let layer = Conv2d::new(3, 16, 3, &Device::default());
//! init::kaiming_normal(&layer.weight, init::Fan::Out, init::Gain::Relu)?;
//! init::zeros(layer.bias.as_ref().unwrap())?;
//! # Ok::<(), wgrad::Error>(())
//! ```
//!
//! All return the error that the tensor carries, [`Error::DType`] unless it is f32, and [`Error::Argument`] for numbers that
//! make no sense.

use std::panic::Location;

use crate::backend::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::no_grad;
use crate::ops::float::erf;
use crate::tensor::Tensor;

/// A parameter that begins uniform in `±1/√fan_in`: what PyTorch's `Linear` and convolutions begin with, weights (He et al.
/// 2015 with a slope of √5) and biases alike.
#[track_caller]
pub(super) fn by_fan(shape: &[usize], fan_in: usize, device: &Device) -> Tensor {
    let bound = if fan_in == 0 { 0.0 } else { 1.0 / (fan_in as f32).sqrt() };
    Tensor::uniform(shape, -bound, bound, device).requires_grad()
}

/// A parameter that carries an error.
pub(super) fn failed(error: Error, device: &Device, at: &'static Location<'static>) -> Tensor {
    Tensor::zeros([0], device).build(at, |_| Err(error)).requires_grad()
}

/// Which number of connections keeps its variance.
///
/// ```
/// use wgrad::nn::{Linear, init::{self, Fan, Gain}};
/// use wgrad::Device;
/// let layer = Linear::new(100, 50, &Device::cpu());
/// init::kaiming_normal(&layer.weight, Fan::Out, Gain::Relu)?; // a standard deviation of √(2 / 50)
/// assert!((layer.weight.std(0.0).item::<f32>()? - 0.2).abs() < 0.02);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fan {
    /// Those into an output: activations keep their variance in the forward pass.
    In,
    /// Those out of an input: gradients keep theirs in the backward pass.
    Out,
}

/// What follows the layer, and so by how much its weights are scaled.
///
/// ```
/// use wgrad::nn::{Linear, init::{self, Fan, Gain}};
/// use wgrad::Device;
/// let layer = Linear::new(100, 50, &Device::cpu());
/// init::kaiming_normal(&layer.weight, Fan::In, Gain::Factor(2.0))?; // a standard deviation of 2 / √100
/// assert!((layer.weight.std(0.0).item::<f32>()? - 0.2).abs() < 0.02);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gain {
    /// Nothing, or a sigmoid: 1.
    Linear,
    /// `√2`.
    Relu,
    /// `√(2 / (1 + slope²))`.
    LeakyRelu(f32),
    /// `5/3`.
    Tanh,
    /// `3/4` (Klambauer et al. 2017).
    Selu,
    /// Any other.
    Factor(f32),
}

impl Gain {
    /// The factor.
    pub fn factor(self) -> f32 {
        match self {
            Gain::Linear => 1.0,
            Gain::Relu => std::f32::consts::SQRT_2,
            Gain::LeakyRelu(slope) => (2.0 / (1.0 + slope * slope)).sqrt(),
            Gain::Tanh => 5.0 / 3.0,
            Gain::Selu => 0.75,
            Gain::Factor(factor) => factor,
        }
    }
}

/// Connections into an output and out of an input, of a weight `[out, in, kernel…]`.
fn fans(op: &str, tensor: &Tensor) -> Result<(usize, usize)> {
    match *tensor.shape() {
        [outputs, inputs, ref kernel @ ..] => {
            let field: usize = kernel.iter().product();
            Ok((inputs * field, outputs * field))
        }
        _ => Err(Error::argument(op, format!("a weight of at least two dims is needed, not {:?}", tensor.shape()))),
    }
}

/// Sets `tensor` to what `make` gives.
fn set(op: &str, tensor: &Tensor, at: &'static Location<'static>, make: impl FnOnce() -> Result<Tensor>) -> Result<()> {
    tensor.check()?;
    if tensor.dtype() != DType::F32 {
        return Err(Error::dtype(op, "takes f32", &[tensor.dtype()]).or_at(at));
    }
    no_grad(|| {
        let value = make().map_err(|error| error.or_at(at))?;
        tensor.assign_initial(&value)
    })
}

/// A spread that can be one.
fn expect_spread(op: &str, what: &str, value: f32) -> Result<()> {
    match value >= 0.0 && value.is_finite() {
        true => Ok(()),
        false => Err(Error::argument(op, format!("{what} must be 0 or above, not {value}"))),
    }
}

/// Uniform in `[low, high)`.
///
/// ```
/// use wgrad::nn::init;
/// use wgrad::{Device, Tensor};
/// let w = Tensor::zeros([40, 50], &Device::default()).requires_grad();
/// init::uniform(&w, -0.5, 0.5)?;
/// assert!(w.abs().max().item::<f32>()? <= 0.5);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// Where `low` is above `high`; as all of this module.
#[track_caller]
pub fn uniform(tensor: &Tensor, low: f32, high: f32) -> Result<()> {
    set("uniform", tensor, Location::caller(), || match low <= high {
        true => Ok(Tensor::uniform(tensor.shape(), low, high, tensor.device())),
        false => Err(Error::argument("uniform", format!("no range from {low} to {high}"))),
    })
}

/// Normal.
///
/// ```
/// use wgrad::nn::init;
/// use wgrad::{Device, Tensor};
/// let w = Tensor::zeros([40, 50], &Device::default()).requires_grad();
/// init::normal(&w, 0.0, 0.02)?;
/// assert!((w.std(0.0).item::<f32>()? / 0.02 - 1.0).abs() < 0.1);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// Where `std` is negative; as all of this module.
#[track_caller]
pub fn normal(tensor: &Tensor, mean: f32, std: f32) -> Result<()> {
    set("normal", tensor, Location::caller(), || {
        expect_spread("normal", "std", std)?;
        Ok(Tensor::randn(tensor.shape(), tensor.device()) * std + mean)
    })
}

/// Every element `value`.
///
/// ```
/// use wgrad::nn::init;
/// use wgrad::{Device, Tensor};
/// let w = Tensor::zeros([40, 50], &Device::default()).requires_grad();
/// init::constant(&w, 0.25)?;
/// assert_eq!(w.mean().item::<f32>()?, 0.25);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// As all of this module.
#[track_caller]
pub fn constant(tensor: &Tensor, value: f32) -> Result<()> {
    set("constant", tensor, Location::caller(), || Ok(Tensor::full(tensor.shape(), value, tensor.device())))
}

/// Every element 0.
///
/// ```
/// use wgrad::nn::init;
/// use wgrad::{Device, Tensor};
/// let w = Tensor::zeros([40, 50], &Device::default()).requires_grad();
/// init::zeros(&w)?;
/// assert_eq!(w.abs().max().item::<f32>()?, 0.0);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// As all of this module.
#[track_caller]
pub fn zeros(tensor: &Tensor) -> Result<()> {
    constant(tensor, 0.0)
}

/// Every element 1.
///
/// ```
/// use wgrad::nn::init;
/// use wgrad::{Device, Tensor};
/// let w = Tensor::zeros([40, 50], &Device::default()).requires_grad();
/// init::ones(&w)?;
/// assert_eq!(w.min().item::<f32>()?, 1.0);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// As all of this module.
#[track_caller]
pub fn ones(tensor: &Tensor) -> Result<()> {
    constant(tensor, 1.0)
}

/// Uniform in `±gain · √(6 / (fan_in + fan_out))` (Glorot & Bengio 2010).
///
/// ```
/// use wgrad::nn::init::{self, Gain};
/// use wgrad::{Device, Tensor};
/// let w = Tensor::zeros([40, 50], &Device::default()).requires_grad();
/// init::xavier_uniform(&w, Gain::Tanh)?;
/// assert!(w.abs().max().item::<f32>()? <= 5.0 / 3.0 * (6f32 / 90.0).sqrt());
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// Where the tensor has fewer than two dims; as all of this module.
#[track_caller]
pub fn xavier_uniform(tensor: &Tensor, gain: Gain) -> Result<()> {
    set("xavier_uniform", tensor, Location::caller(), || {
        let (inputs, outputs) = fans("xavier_uniform", tensor)?;
        let bound = gain.factor() * (6.0 / (inputs + outputs).max(1) as f32).sqrt();
        expect_spread("xavier_uniform", "gain", bound)?;
        Ok(Tensor::uniform(tensor.shape(), -bound, bound, tensor.device()))
    })
}

/// Normal with the standard deviation `gain · √(2 / (fan_in + fan_out))` (Glorot & Bengio 2010).
///
/// ```
/// use wgrad::nn::init::{self, Gain};
/// use wgrad::{Device, Tensor};
/// let w = Tensor::zeros([40, 50], &Device::default()).requires_grad();
/// init::xavier_normal(&w, Gain::Linear)?;
/// assert!((w.std(0.0).item::<f32>()? / (2f32 / 90.0).sqrt() - 1.0).abs() < 0.1);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// Where the tensor has fewer than two dims; as all of this module.
#[track_caller]
pub fn xavier_normal(tensor: &Tensor, gain: Gain) -> Result<()> {
    set("xavier_normal", tensor, Location::caller(), || {
        let (inputs, outputs) = fans("xavier_normal", tensor)?;
        let std = gain.factor() * (2.0 / (inputs + outputs).max(1) as f32).sqrt();
        expect_spread("xavier_normal", "gain", std)?;
        Ok(Tensor::randn(tensor.shape(), tensor.device()) * std)
    })
}

/// Standard deviation `gain / √fan`.
fn kaiming(op: &str, tensor: &Tensor, fan: Fan, gain: Gain) -> Result<f32> {
    let (inputs, outputs) = fans(op, tensor)?;
    let count = if fan == Fan::In { inputs } else { outputs };
    let std = gain.factor() / (count.max(1) as f32).sqrt();
    expect_spread(op, "gain", std)?;
    Ok(std)
}

/// Uniform in `±gain · √(3 / fan)` (He et al. 2015).
///
/// ```
/// use wgrad::nn::init::{self, Fan, Gain};
/// use wgrad::{Device, Tensor};
/// let w = Tensor::zeros([40, 50], &Device::default()).requires_grad();
/// init::kaiming_uniform(&w, Fan::In, Gain::Relu)?;
/// assert!(w.abs().max().item::<f32>()? <= (6f32 / 50.0).sqrt());
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// Where the tensor has fewer than two dims; as all of this module.
#[track_caller]
pub fn kaiming_uniform(tensor: &Tensor, fan: Fan, gain: Gain) -> Result<()> {
    set("kaiming_uniform", tensor, Location::caller(), || {
        let bound = kaiming("kaiming_uniform", tensor, fan, gain)? * 3f32.sqrt();
        Ok(Tensor::uniform(tensor.shape(), -bound, bound, tensor.device()))
    })
}

/// Normal with the standard deviation `gain / √fan` (He et al. 2015).
///
/// ```
/// use wgrad::nn::init::{self, Fan, Gain};
/// use wgrad::{Device, Tensor};
/// let w = Tensor::zeros([40, 50], &Device::default()).requires_grad();
/// init::kaiming_normal(&w, Fan::Out, Gain::Relu)?;
/// assert!((w.std(0.0).item::<f32>()? / (2f32 / 40.0).sqrt() - 1.0).abs() < 0.1);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// Where the tensor has fewer than two dims; as all of this module.
#[track_caller]
pub fn kaiming_normal(tensor: &Tensor, fan: Fan, gain: Gain) -> Result<()> {
    set("kaiming_normal", tensor, Location::caller(), || {
        let std = kaiming("kaiming_normal", tensor, fan, gain)?;
        Ok(Tensor::randn(tensor.shape(), tensor.device()) * std)
    })
}

/// Normal with mean `mean` and standard deviation `std` before it is cut to `low..=high`: by the inverse of the distribution
/// function.
///
/// ```
/// use wgrad::nn::init;
/// use wgrad::{Device, Tensor};
/// let w = Tensor::zeros([100, 10], &Device::default()).requires_grad();
/// init::trunc_normal(&w, 0.0, 0.02, -0.04, 0.04)?;
/// assert!(w.abs().max().item::<f32>()? <= 0.04);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// Where `std` is not above 0, or `low` is not below `high`, or the distribution has less than one part in a million between
/// them; as all of this module.
#[track_caller]
pub fn trunc_normal(tensor: &Tensor, mean: f32, std: f32, low: f32, high: f32) -> Result<()> {
    let (op, at) = ("trunc_normal", Location::caller());
    set(op, tensor, at, || {
        if !(std > 0.0 && std.is_finite() && low < high) {
            return Err(Error::argument(op, format!("no normal distribution with std {std} from {low} to {high}")));
        }
        let below = |x: f32| normal_below(f64::from(x - mean) / f64::from(std));
        let (from, to) = (below(low), below(high));
        if to - from < 1e-6 {
            let detail = format!("next to nothing of mean {mean}, std {std} lies between {low} and {high}");
            return Err(Error::argument(op, detail));
        }
        // On the host: the inverse loses its digits in f32 where it is steep.
        let quantiles = on_host(tensor, |shape, device| Tensor::rand(shape, device));
        let value = move |u: f32| {
            let x = normal_quantile(from + f64::from(u) * (to - from));
            (f64::from(mean) + f64::from(std) * x).clamp(f64::from(low), f64::from(high)) as f32
        };
        let values = move || Ok(quantiles()?.into_iter().map(value).collect());
        Ok(Tensor::deferred(tensor.shape(), tensor.device(), at, values))
    })
}

/// Rows (or columns, where there are more rows than columns) that are orthogonal to each other and of length `gain`,
/// uniformly distributed among all such (Saxe et al. 2014; Mezzadri 2007). Dims after the first count as one.
///
/// ```
/// use wgrad::nn::init::{self, Gain};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let w = Tensor::zeros([3, 5], &device).requires_grad();
/// init::orthogonal(&w, Gain::Linear)?;
/// let product = w.matmul(&w.t());
/// assert!((product - Tensor::eye(3, &device)).abs().max().item::<f32>()? < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// Where the tensor has fewer than two dims; as all of this module.
#[track_caller]
pub fn orthogonal(tensor: &Tensor, gain: Gain) -> Result<()> {
    let (op, at) = ("orthogonal", Location::caller());
    set(op, tensor, at, || {
        fans(op, tensor)?;
        let rows = tensor.shape()[0];
        let columns: usize = tensor.shape()[1..].iter().product();
        let drawn = on_host(tensor, |shape, device| Tensor::randn(shape, device));
        let values = move || Ok(orthogonalized(&drawn()?, rows, columns, f64::from(gain.factor())));
        Ok(Tensor::deferred(tensor.shape(), tensor.device(), at, values))
    })
}

/// The vectors of the shorter side of a matrix, made orthogonal to each other one after the other, of length `gain`.
fn orthogonalized(drawn: &[f32], rows: usize, columns: usize, gain: f64) -> Vec<f32> {
    // The shorter side's vectors, each contiguous.
    let (count, size) = (rows.min(columns), rows.max(columns));
    let place = |k: usize, i: usize| if rows <= columns { k * columns + i } else { i * columns + k };
    let mut vectors: Vec<Vec<f64>> =
        (0..count).map(|k| (0..size).map(|i| f64::from(drawn[place(k, i)])).collect()).collect();
    for k in 0..count {
        let (done, rest) = vectors.split_at_mut(k);
        let Some(vector) = rest.first_mut() else { break };
        // Twice is enough to be orthogonal to rounding (Giraud et al. 2005).
        for other in done.iter().chain(done.iter()) {
            let along: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
            vector.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
        }
        let length = vector.iter().map(|a| a * a).sum::<f64>().sqrt();
        vector.iter_mut().for_each(|a| *a /= length.max(f64::MIN_POSITIVE));
    }
    let mut values = vec![0f32; rows * columns];
    for (k, vector) in vectors.iter().enumerate() {
        for (i, v) in vector.iter().enumerate() {
            values[place(k, i)] = (v * gain) as f32;
        }
    }
    values
}

/// Random numbers of the tensor's shape, drawn with the next key of its device, on the host: without waiting for a GPU.
fn on_host(
    tensor: &Tensor,
    draw: impl Fn(&[usize], &Device) -> Tensor + Send + Sync + 'static,
) -> impl Fn() -> Result<Vec<f32>> + Send + Sync + 'static {
    let (high, low) = tensor.device().next_key();
    let shape = tensor.shape().to_vec();
    move || {
        let cpu = Device::cpu();
        cpu.seed(u64::from(high) << 32 | u64::from(low));
        draw(&shape, &cpu).to_vec::<f32>()
    }
}

/// The part of the standard normal distribution below `x`.
fn normal_below(x: f64) -> f64 {
    0.5 * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2))
}

/// The number below which a part `p` of the standard normal distribution lies: by bisection, to 2⁻⁶⁰ of the range ±9.
fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if normal_below(middle) < p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}
