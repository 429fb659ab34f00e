//! Transformer layers.

use crate::backend::Device;
use crate::nn::{Dropout, LayerNorm, Linear, Members, Module, MultiheadAttention, Parameters};
use crate::tensor::Tensor;

/// What stands between the two linear maps of a [`TransformerEncoderLayer`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// [`Tensor::relu`], PyTorch's default.
    #[default]
    Relu,
    /// [`Tensor::gelu`].
    Gelu,
    /// [`Tensor::gelu_tanh`], as in GPT-2.
    GeluTanh,
    /// [`Tensor::silu`].
    Silu,
}

impl Activation {
    #[track_caller]
    fn apply(self, x: &Tensor) -> Tensor {
        match self {
            Activation::Relu => x.relu(),
            Activation::Gelu => x.gelu(),
            Activation::GeluTanh => x.gelu_tanh(),
            Activation::Silu => x.silu(),
        }
    }
}

/// Self-attention and a network of two linear maps, each with a residual connection and layer norm (Vaswani et al. 2017),
/// batch first: `[N, L, size]` to the same.
///
/// The norms follow the additions, or with [`TransformerEncoderLayer::norm_first`] stand before attention and network (Xiong
/// et al. 2020). With a causal mask it is the layer of a GPT. Parameters are named as in PyTorch:
/// `self_attn.in_proj_weight`, `linear1.weight`, `norm1.weight` and so on. [`Module::forward`] uses no mask.
///
/// ```
/// use wgrad::nn::{Activation, Module, Parameters, TransformerEncoderLayer};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let layer = TransformerEncoderLayer::new(16, 4, 32, &device).dropout(0.0).norm_first(true).activation(Activation::Gelu);
/// let x = Tensor::randn([2, 5, 16], &device);
/// assert_eq!(layer.forward(&x).shape(), x.shape());
/// assert_eq!(layer.forward_with(&x, None, true).shape(), x.shape()); // causal
/// assert_eq!(layer.named_parameters()[2].0, "self_attn.out_proj.weight");
/// ```
#[derive(Clone, Debug)]
pub struct TransformerEncoderLayer {
    /// Attention.
    pub self_attn: MultiheadAttention,
    /// From `size` to the network's inner size.
    pub linear1: Linear,
    /// And back.
    pub linear2: Linear,
    /// The norm that belongs to attention.
    pub norm1: LayerNorm,
    /// The norm that belongs to the network.
    pub norm2: LayerNorm,
    /// Between the two linear maps.
    pub dropout: Dropout,
    /// Of what attention adds.
    pub dropout1: Dropout,
    /// Of what the network adds.
    pub dropout2: Dropout,
    /// Between the two linear maps.
    pub activation: Activation,
    /// Whether the norms come first.
    pub norm_first: bool,
}

impl TransformerEncoderLayer {
    /// A layer with PyTorch's defaults: dropout of 0.1, ReLU, norms after the additions. `inner` is the size between the two
    /// linear maps.
    #[track_caller]
    pub fn new(size: usize, heads: usize, inner: usize, device: &Device) -> TransformerEncoderLayer {
        let layer = TransformerEncoderLayer {
            self_attn: MultiheadAttention::new(size, heads, device),
            linear1: Linear::new(size, inner, device),
            linear2: Linear::new(inner, size, device),
            norm1: LayerNorm::new(size, device),
            norm2: LayerNorm::new(size, device),
            dropout: Dropout::new(0.0),
            dropout1: Dropout::new(0.0),
            dropout2: Dropout::new(0.0),
            activation: Activation::Relu,
            norm_first: false,
        };
        layer.dropout(0.1)
    }

    /// Sets all probabilities of dropout, that of attention weights too.
    pub fn dropout(mut self, p: f32) -> TransformerEncoderLayer {
        self.self_attn.dropout = p;
        [&mut self.dropout, &mut self.dropout1, &mut self.dropout2].into_iter().for_each(|dropout| dropout.p = p);
        self
    }

    /// Sets what stands between the two linear maps.
    pub fn activation(self, activation: Activation) -> TransformerEncoderLayer {
        TransformerEncoderLayer { activation, ..self }
    }

    /// Puts the norms before attention and network (`true`) or after the additions.
    pub fn norm_first(self, norm_first: bool) -> TransformerEncoderLayer {
        TransformerEncoderLayer { norm_first, ..self }
    }

    /// The same without biases, in attention, linear maps and norms.
    pub fn without_bias(self) -> TransformerEncoderLayer {
        TransformerEncoderLayer {
            self_attn: self.self_attn.without_bias(),
            linear1: self.linear1.without_bias(),
            linear2: self.linear2.without_bias(),
            norm1: self.norm1.without_bias(),
            norm2: self.norm2.without_bias(),
            ..self
        }
    }

    /// The output, with a mask or a causal one: see [`MultiheadAttention::attend`].
    #[track_caller]
    pub fn forward_with(&self, x: &Tensor, mask: Option<&Tensor>, causal: bool) -> Tensor {
        if self.norm_first {
            let x = x + self.attention(&self.norm1.forward(x), mask, causal);
            &x + self.network(&self.norm2.forward(&x))
        } else {
            let x = self.norm1.forward(&(x + self.attention(x, mask, causal)));
            self.norm2.forward(&(&x + self.network(&x)))
        }
    }

    #[track_caller]
    fn attention(&self, x: &Tensor, mask: Option<&Tensor>, causal: bool) -> Tensor {
        self.dropout1.forward(&self.self_attn.attend(x, x, x, mask, causal))
    }

    #[track_caller]
    fn network(&self, x: &Tensor) -> Tensor {
        let inner = self.dropout.forward(&self.activation.apply(&self.linear1.forward(x)));
        self.dropout2.forward(&self.linear2.forward(&inner))
    }
}

impl Parameters for TransformerEncoderLayer {
    fn members(&self, members: &mut Members) {
        members.add("self_attn", &self.self_attn);
        members.add("linear1", &self.linear1);
        members.add("dropout", &self.dropout);
        members.add("linear2", &self.linear2);
        members.add("norm1", &self.norm1);
        members.add("norm2", &self.norm2);
        members.add("dropout1", &self.dropout1);
        members.add("dropout2", &self.dropout2);
    }
}

impl Module for TransformerEncoderLayer {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.forward_with(x, None, false)
    }
}
