//! Weights that are computed from other parameters in each forward pass.

use crate::backend::Device;
use crate::graph::no_grad;
use crate::nn::{
    Bilinear, Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, Embedding, Linear, Members,
    MembersMut, Mode, Module, Parameters,
};
use crate::tensor::Tensor;

/// A layer with a weight that [`WeightNorm`] and [`SpectralNorm`] can compute: linear maps, convolutions, embeddings.
///
/// ```
/// use wgrad::nn::{Linear, Module, Weighted};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let layer = Linear::new(2, 1, &device).without_bias();
/// let doubled = layer.with_weight(layer.weight() * 2.0);
/// let x = Tensor::ones([1, 2], &device);
/// let (once, twice) = (layer.forward(&x).item::<f32>()?, doubled.forward(&x).item::<f32>()?);
/// assert!((twice - 2.0 * once).abs() < 1e-6);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub trait Weighted: Parameters + Sized {
    /// The dim of the weight that belongs to the outputs (PyTorch's default of [`SpectralNorm`]).
    const OUTPUTS: usize;

    /// The weight.
    fn weight(&self) -> &Tensor;

    /// The bias, if any.
    fn bias(&self) -> Option<&Tensor>;

    /// The same layer with another weight.
    #[must_use]
    fn with_weight(&self, weight: Tensor) -> Self;
}

macro_rules! weighted {
    ($($name:ident $outputs:literal $bias:expr;)*) => {$(
        impl Weighted for $name {
            const OUTPUTS: usize = $outputs;

            fn weight(&self) -> &Tensor {
                &self.weight
            }

            fn bias(&self) -> Option<&Tensor> {
                let bias: fn(&$name) -> Option<&Tensor> = $bias;
                bias(self)
            }

            fn with_weight(&self, weight: Tensor) -> $name {
                $name { weight, ..self.clone() }
            }
        }
    )*};
}
weighted! {
    Linear 0 |layer| layer.bias.as_ref();
    Bilinear 0 |layer| layer.bias.as_ref();
    Conv1d 0 |layer| layer.bias.as_ref();
    Conv2d 0 |layer| layer.bias.as_ref();
    Conv3d 0 |layer| layer.bias.as_ref();
    ConvTranspose1d 1 |layer| layer.bias.as_ref();
    ConvTranspose2d 1 |layer| layer.bias.as_ref();
    ConvTranspose3d 1 |layer| layer.bias.as_ref();
    Embedding 0 |_| None;
}

/// A layer whose weight is `w = g · v / ‖v‖`, with the norm over all dims but one, so that length and direction are learned apart (Salimans &
/// Kingma 2016, arXiv 1602.07868). Names are those of PyTorch's `parametrizations.weight_norm`: `parametrizations.weight.original0` is g,
/// `…original1` is v.
///
/// ```
/// use wgrad::nn::{Linear, Module, Parameters, WeightNorm};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let layer = Linear::new(4, 3, &device);
/// let (x, plain) = (Tensor::randn([2, 4], &device), layer.clone());
/// let layer = WeightNorm::new(layer);
/// assert!((layer.forward(&x) - plain.forward(&x)).abs().max().item::<f32>()? < 1e-5); // at first
/// let names: Vec<String> = layer.named_parameters().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["bias", "parametrizations.weight.original0", "parametrizations.weight.original1"]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct WeightNorm<L> {
    /// The layer, whose own weight is v.
    pub layer: L,
    /// Lengths, of v's shape with a size of 1 at all dims but one.
    pub g: Tensor,
    dim: usize,
}

impl<L: Weighted> WeightNorm<L> {
    /// A norm for each size of dim 0: each output of linear maps and convolutions.
    #[track_caller]
    pub fn new(layer: L) -> WeightNorm<L> {
        WeightNorm::new_with(layer, 0)
    }

    /// A norm for each size of `dim`.
    #[track_caller]
    pub fn new_with(layer: L, dim: usize) -> WeightNorm<L> {
        let g = no_grad(|| norms(layer.weight(), dim)).requires_grad();
        WeightNorm { layer, g, dim }
    }

    /// The weight as it is now.
    #[track_caller]
    pub fn weight(&self) -> Tensor {
        let v = self.layer.weight();
        v * (&self.g / norms(v, self.dim))
    }
}

/// The norm over all dims but one; a dim that is not there makes an error.
#[track_caller]
fn norms(v: &Tensor, dim: usize) -> Tensor {
    let others: Vec<isize> = (0..v.rank()).filter(|&d| d != dim).map(|d| d as isize).collect();
    if dim >= v.rank() {
        // Says which dims there are.
        return v.sum_dims(&[dim as isize], true);
    }
    if others.is_empty() { v.abs() } else { v.norm_dims(2.0, &others, true) }
}

impl<L: Weighted> Parameters for WeightNorm<L> {
    fn members(&self, members: &mut Members) {
        members.add("bias", &self.layer.bias().cloned());
        members.add("parametrizations.weight.original0", &self.g);
        members.add("parametrizations.weight.original1", self.layer.weight());
    }

    fn members_mut(&mut self, members: &mut MembersMut) {
        members.add(&mut self.layer);
        members.add(&mut self.g);
    }
}

impl<L: Weighted + Module> Module for WeightNorm<L> {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.layer.with_weight(self.weight()).forward(x)
    }
}

/// A layer whose weight is divided by its largest singular value, which power iterations follow: one with each forward pass in training, by which
/// the vectors u and v move; none in evaluation (Miyato et al. 2018, arXiv 1802.05957). Names are those of PyTorch's
/// `parametrizations.spectral_norm`: `parametrizations.weight.original`, and the buffers `parametrizations.weight.0._u` and `…_v`.
///
/// ```
/// use wgrad::nn::{Linear, Module, Parameters, SpectralNorm};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let layer = SpectralNorm::new(Linear::new(4, 4, &device).without_bias());
/// let x = Tensor::randn([100, 4], &device);
/// let longer = layer.forward(&x).norm_dims(2.0, &[1], false) / x.norm_dims(2.0, &[1], false);
/// assert!(longer.max().item::<f32>()? < 1.05); // the layer stretches nothing
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SpectralNorm<L> {
    /// The layer, whose own weight is the one before the division.
    pub layer: L,
    /// The left singular vector, `[outputs]`.
    pub u: Tensor,
    /// The right singular vector, `[the other sizes multiplied]`.
    pub v: Tensor,
    /// Power iterations with a forward pass in training.
    pub iterations: usize,
    /// What norms are at least.
    pub eps: f64,
    /// Training or evaluation.
    pub mode: Mode,
}

impl<L: Weighted> SpectralNorm<L> {
    /// One power iteration a forward pass, after 15 at the beginning.
    #[track_caller]
    pub fn new(layer: L) -> SpectralNorm<L> {
        let matrix = no_grad(|| matrix(layer.weight(), L::OUTPUTS));
        let (rows, columns) =
            (matrix.shape().first().copied().unwrap_or(0), matrix.shape().get(1).copied().unwrap_or(0));
        let device: &Device = layer.weight().device();
        let eps = 1e-12;
        let draw = |size: usize| no_grad(|| unit(&Tensor::randn([size], device).to_dtype(layer.weight().dtype()), eps));
        let (u, v) = no_grad(|| iterate(&matrix, draw(rows), draw(columns), 15, eps));
        for vector in [&u, &v] {
            // Buffers are data before the first step; what goes wrong here comes again when they are read.
            let _ = vector.realize();
        }
        SpectralNorm { layer, u: u.detach(), v: v.detach(), iterations: 1, eps, mode: Mode::new() }
    }

    /// Sets how many power iterations a forward pass in training makes.
    pub fn iterations(self, iterations: usize) -> SpectralNorm<L> {
        SpectralNorm { iterations, ..self }
    }

    /// The weight as it is now, without a power iteration.
    #[track_caller]
    pub fn weight(&self) -> Tensor {
        self.divided(&no_grad(|| self.u.detach()), &no_grad(|| self.v.detach()))
    }

    /// The weight over `uᵀ W v`, in which u and v count as constants.
    #[track_caller]
    fn divided(&self, u: &Tensor, v: &Tensor) -> Tensor {
        let weight = self.layer.weight();
        let sigma = (matrix(weight, L::OUTPUTS).matmul(v) * u).sum();
        weight / sigma
    }
}

/// A weight as a matrix with a row for each output.
#[track_caller]
fn matrix(weight: &Tensor, outputs: usize) -> Tensor {
    weight.movedim(&[outputs as isize], &[0]).flatten(1, -1)
}

/// A vector of length 1.
#[track_caller]
fn unit(x: &Tensor, eps: f64) -> Tensor {
    x / x.norm(2.0).clamp_min(eps)
}

/// Power iterations.
#[track_caller]
fn iterate(matrix: &Tensor, mut u: Tensor, mut v: Tensor, times: usize, eps: f64) -> (Tensor, Tensor) {
    for _ in 0..times {
        u = unit(&matrix.matmul(&v), eps);
        v = unit(&matrix.t().matmul(&u), eps);
    }
    (u, v)
}

impl<L: Weighted> Parameters for SpectralNorm<L> {
    fn members(&self, members: &mut Members) {
        members.add("bias", &self.layer.bias().cloned());
        members.add("parametrizations.weight.original", self.layer.weight());
        members.add("parametrizations.weight.0._u", &self.u);
        members.add("parametrizations.weight.0._v", &self.v);
        members.add("mode", &self.mode);
    }

    fn members_mut(&mut self, members: &mut MembersMut) {
        members.add(&mut self.layer);
        members.add(&mut self.u);
        members.add(&mut self.v);
        members.add(&mut self.mode);
    }
}

impl<L: Weighted + Module> Module for SpectralNorm<L> {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let (mut u, mut v) = no_grad(|| (self.u.detach(), self.v.detach()));
        if self.mode.training() && self.iterations > 0 {
            (u, v) = no_grad(|| iterate(&matrix(self.layer.weight(), L::OUTPUTS), u, v, self.iterations, self.eps));
            if u.check().is_ok() && v.check().is_ok() {
                self.u.advance(&u);
                self.v.advance(&v);
            }
        }
        self.layer.with_weight(self.divided(&u, &v)).forward(x)
    }
}
