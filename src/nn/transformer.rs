//! Transformer layers, and stacks of them.

use std::panic::Location;

use crate::backend::Device;
use crate::error::Result;
use crate::nn::init::{self, Gain};
use crate::nn::module::{apply, enter, enter_part, size};
use crate::nn::{Dropout, LayerNorm, Linear, Members, MembersMut, Module, MultiheadAttention, Parameters};
use crate::site;
use crate::tensor::Tensor;

/// What stands between the two linear maps of a [`TransformerEncoderLayer`] or [`TransformerDecoderLayer`].
///
/// ```
/// use wgrad::nn::{Activation, TransformerEncoderLayer};
/// use wgrad::Device;
/// let layer = TransformerEncoderLayer::new(16, 4, 32, &Device::cpu());
/// assert_eq!(layer.activation, Activation::Relu);
/// assert_eq!(layer.activation(Activation::GeluTanh).activation, Activation::GeluTanh);
/// ```
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
        let _layer = enter::<Self>(format_args!("{}", size(&self.linear1.weight, 1)));
        let norm1 = |x: &Tensor| apply("norm1", &self.norm1, x);
        let norm2 = |x: &Tensor| apply("norm2", &self.norm2, x);
        if self.norm_first {
            let x = x + self.attention(&norm1(x), mask, causal);
            &x + self.network(&norm2(&x))
        } else {
            let x = norm1(&(x + self.attention(x, mask, causal)));
            norm2(&(&x + self.network(&x)))
        }
    }

    #[track_caller]
    fn attention(&self, x: &Tensor, mask: Option<&Tensor>, causal: bool) -> Tensor {
        apply("dropout1", &self.dropout1, &attend("self_attn", &self.self_attn, x, x, mask, causal))
    }

    #[track_caller]
    fn network(&self, x: &Tensor) -> Tensor {
        network(x, &self.linear1, self.activation, &self.dropout, &self.linear2, ("dropout2", &self.dropout2))
    }
}

/// The two linear maps of a layer, and what stands between and behind them.
#[track_caller]
fn network(
    x: &Tensor,
    first: &Linear,
    activation: Activation,
    inner: &Dropout,
    second: &Linear,
    (last_name, last): (&str, &Dropout),
) -> Tensor {
    let inner = apply("dropout", inner, &activation.apply(&apply("linear1", first, x)));
    apply(last_name, last, &apply("linear2", second, &inner))
}

/// What an attention of this name makes of queries, and of a memory of keys and values.
#[track_caller]
fn attend(
    name: &str,
    attention: &MultiheadAttention,
    x: &Tensor,
    memory: &Tensor,
    mask: Option<&Tensor>,
    causal: bool,
) -> Tensor {
    let _part = enter_part::<MultiheadAttention>(name);
    attention.attend(x, memory, memory, mask, causal)
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

    fn members_mut(&mut self, members: &mut MembersMut) {
        members.add(&mut self.self_attn);
        members.add(&mut self.linear1);
        members.add(&mut self.dropout);
        members.add(&mut self.linear2);
        members.add(&mut self.norm1);
        members.add(&mut self.norm2);
        members.add(&mut self.dropout1);
        members.add(&mut self.dropout2);
    }
}

impl Module for TransformerEncoderLayer {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.forward_with(x, None, false)
    }
}

/// Self-attention, attention to an encoder's output, and a network of two linear maps, each with a residual connection and layer norm
/// (Vaswani et al. 2017), batch first.
///
/// Built and named as [`TransformerEncoderLayer`] and as in PyTorch: `self_attn`, `multihead_attn`, `linear1`, `linear2`, `norm1` to `norm3`.
///
/// ```
/// use wgrad::nn::{Parameters, TransformerDecoderLayer};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let layer = TransformerDecoderLayer::new(16, 4, 32, &device).dropout(0.0);
/// let (target, memory) = (Tensor::randn([2, 5, 16], &device), Tensor::randn([2, 7, 16], &device));
/// let y = layer.decode(&target, &memory, None, None, true); // a target sees what came before it, and all of the memory
/// assert_eq!(y.shape(), [2, 5, 16]);
/// assert!(layer.named_parameters().iter().any(|(name, _)| name == "multihead_attn.in_proj_weight"));
/// ```
#[derive(Clone, Debug)]
pub struct TransformerDecoderLayer {
    /// Attention of the target to itself.
    pub self_attn: MultiheadAttention,
    /// Attention of the target to the memory.
    pub multihead_attn: MultiheadAttention,
    /// From `size` to the network's inner size.
    pub linear1: Linear,
    /// And back.
    pub linear2: Linear,
    /// The norm that belongs to self-attention.
    pub norm1: LayerNorm,
    /// The norm that belongs to attention to the memory.
    pub norm2: LayerNorm,
    /// The norm that belongs to the network.
    pub norm3: LayerNorm,
    /// Between the two linear maps.
    pub dropout: Dropout,
    /// Of what self-attention adds.
    pub dropout1: Dropout,
    /// Of what attention to the memory adds.
    pub dropout2: Dropout,
    /// Of what the network adds.
    pub dropout3: Dropout,
    /// Between the two linear maps.
    pub activation: Activation,
    /// Whether the norms come first.
    pub norm_first: bool,
}

impl TransformerDecoderLayer {
    /// A layer with PyTorch's defaults: dropout of 0.1, ReLU, norms after the additions. `inner` is the size between the two
    /// linear maps.
    #[track_caller]
    pub fn new(size: usize, heads: usize, inner: usize, device: &Device) -> TransformerDecoderLayer {
        let layer = TransformerDecoderLayer {
            self_attn: MultiheadAttention::new(size, heads, device),
            multihead_attn: MultiheadAttention::new(size, heads, device),
            linear1: Linear::new(size, inner, device),
            linear2: Linear::new(inner, size, device),
            norm1: LayerNorm::new(size, device),
            norm2: LayerNorm::new(size, device),
            norm3: LayerNorm::new(size, device),
            dropout: Dropout::new(0.0),
            dropout1: Dropout::new(0.0),
            dropout2: Dropout::new(0.0),
            dropout3: Dropout::new(0.0),
            activation: Activation::Relu,
            norm_first: false,
        };
        layer.dropout(0.1)
    }

    /// Sets all probabilities of dropout, those of attention weights too.
    pub fn dropout(mut self, p: f32) -> TransformerDecoderLayer {
        self.self_attn.dropout = p;
        self.multihead_attn.dropout = p;
        let all = [&mut self.dropout, &mut self.dropout1, &mut self.dropout2, &mut self.dropout3];
        all.into_iter().for_each(|dropout| dropout.p = p);
        self
    }

    /// Sets what stands between the two linear maps.
    pub fn activation(self, activation: Activation) -> TransformerDecoderLayer {
        TransformerDecoderLayer { activation, ..self }
    }

    /// Puts the norms before attention and network (`true`) or after the additions.
    pub fn norm_first(self, norm_first: bool) -> TransformerDecoderLayer {
        TransformerDecoderLayer { norm_first, ..self }
    }

    /// The same without biases, in attention, linear maps and norms.
    pub fn without_bias(self) -> TransformerDecoderLayer {
        TransformerDecoderLayer {
            self_attn: self.self_attn.without_bias(),
            multihead_attn: self.multihead_attn.without_bias(),
            linear1: self.linear1.without_bias(),
            linear2: self.linear2.without_bias(),
            norm1: self.norm1.without_bias(),
            norm2: self.norm2.without_bias(),
            norm3: self.norm3.without_bias(),
            ..self
        }
    }

    /// The output for a target `[N, T, size]` and a memory `[N, S, size]`. The masks are those of [`MultiheadAttention::attend`] for the target and
    /// the memory; with `causal` a target sees the targets up to itself.
    #[track_caller]
    pub fn decode(
        &self,
        target: &Tensor,
        memory: &Tensor,
        mask: Option<&Tensor>,
        memory_mask: Option<&Tensor>,
        causal: bool,
    ) -> Tensor {
        let _layer = enter::<Self>(format_args!("{}", size(&self.linear1.weight, 1)));
        let own =
            |x: &Tensor| apply("dropout1", &self.dropout1, &attend("self_attn", &self.self_attn, x, x, mask, causal));
        let other = |x: &Tensor| {
            let seen = attend("multihead_attn", &self.multihead_attn, x, memory, memory_mask, false);
            apply("dropout2", &self.dropout2, &seen)
        };
        let last = ("dropout3", &self.dropout3);
        let network = |x: &Tensor| network(x, &self.linear1, self.activation, &self.dropout, &self.linear2, last);
        let norm1 = |x: &Tensor| apply("norm1", &self.norm1, x);
        let norm2 = |x: &Tensor| apply("norm2", &self.norm2, x);
        let norm3 = |x: &Tensor| apply("norm3", &self.norm3, x);
        if self.norm_first {
            let x = target + own(&norm1(target));
            let x = &x + other(&norm2(&x));
            &x + network(&norm3(&x))
        } else {
            let x = norm1(&(target + own(target)));
            let x = norm2(&(&x + other(&x)));
            norm3(&(&x + network(&x)))
        }
    }
}

impl Parameters for TransformerDecoderLayer {
    fn members(&self, members: &mut Members) {
        members.add("self_attn", &self.self_attn);
        members.add("multihead_attn", &self.multihead_attn);
        members.add("linear1", &self.linear1);
        members.add("dropout", &self.dropout);
        members.add("linear2", &self.linear2);
        members.add("norm1", &self.norm1);
        members.add("norm2", &self.norm2);
        members.add("norm3", &self.norm3);
        members.add("dropout1", &self.dropout1);
        members.add("dropout2", &self.dropout2);
        members.add("dropout3", &self.dropout3);
    }

    fn members_mut(&mut self, members: &mut MembersMut) {
        members.add(&mut self.self_attn);
        members.add(&mut self.multihead_attn);
        members.add(&mut self.linear1);
        members.add(&mut self.dropout);
        members.add(&mut self.linear2);
        members.add(&mut self.norm1);
        members.add(&mut self.norm2);
        members.add(&mut self.norm3);
        members.add(&mut self.dropout1);
        members.add(&mut self.dropout2);
        members.add(&mut self.dropout3);
    }
}

/// Encoder layers one after another, `layers.0` and so on, and a norm at the end, if any.
///
/// Unlike PyTorch's, which copies one layer, each layer begins with values of its own.
///
/// ```
/// use wgrad::nn::{LayerNorm, Module, Parameters, TransformerEncoder, TransformerEncoderLayer};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let layers = (0..2).map(|_| TransformerEncoderLayer::new(16, 4, 32, &device).norm_first(true)).collect();
/// let encoder = TransformerEncoder { layers, norm: Some(LayerNorm::new(16, &device)) };
/// assert_eq!(encoder.forward(&Tensor::randn([2, 5, 16], &device)).shape(), [2, 5, 16]);
/// assert!(encoder.state_dict().contains_key("layers.1.norm1.weight"));
/// ```
#[derive(Clone, Debug)]
pub struct TransformerEncoder {
    /// The layers in order.
    pub layers: Vec<TransformerEncoderLayer>,
    /// Of the output.
    pub norm: Option<LayerNorm>,
}

crate::module!(TransformerEncoder { layers, norm });

impl TransformerEncoder {
    /// The output, with a mask or a causal one in every layer: see [`MultiheadAttention::attend`].
    #[track_caller]
    pub fn forward_with(&self, x: &Tensor, mask: Option<&Tensor>, causal: bool) -> Tensor {
        let _layer = enter::<Self>(format_args!(""));
        let mut x = x.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            let _part = enter_part::<TransformerEncoderLayer>(&format!("layers.{i}"));
            x = layer.forward_with(&x, mask, causal);
        }
        normed(&self.norm, x)
    }
}

impl Module for TransformerEncoder {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.forward_with(x, None, false)
    }
}

/// What a stack ends with.
#[track_caller]
fn normed(norm: &Option<LayerNorm>, x: Tensor) -> Tensor {
    match norm {
        Some(norm) => apply("norm", norm, &x),
        None => x,
    }
}

/// Decoder layers one after another, `layers.0` and so on, and a norm at the end, if any.
///
/// ```
/// use wgrad::nn::{TransformerDecoder, TransformerDecoderLayer};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let decoder = TransformerDecoder { layers: vec![TransformerDecoderLayer::new(16, 4, 32, &device)], norm: None };
/// let (target, memory) = (Tensor::randn([2, 5, 16], &device), Tensor::randn([2, 7, 16], &device));
/// assert_eq!(decoder.decode(&target, &memory, None, None, true).shape(), [2, 5, 16]);
/// ```
#[derive(Clone, Debug)]
pub struct TransformerDecoder {
    /// The layers in order.
    pub layers: Vec<TransformerDecoderLayer>,
    /// Of the output.
    pub norm: Option<LayerNorm>,
}

crate::module!(TransformerDecoder { layers, norm });

impl TransformerDecoder {
    /// The output, with the same masks in every layer: see [`TransformerDecoderLayer::decode`].
    #[track_caller]
    pub fn decode(
        &self,
        target: &Tensor,
        memory: &Tensor,
        mask: Option<&Tensor>,
        memory_mask: Option<&Tensor>,
        causal: bool,
    ) -> Tensor {
        let _layer = enter::<Self>(format_args!(""));
        let mut x = target.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            let _part = enter_part::<TransformerDecoderLayer>(&format!("layers.{i}"));
            x = layer.decode(&x, memory, mask, memory_mask, causal);
        }
        normed(&self.norm, x)
    }
}

/// An encoder and a decoder (Vaswani et al. 2017): sources `[N, S, size]` and targets `[N, T, size]` to `[N, T, size]`.
///
/// ```
/// use wgrad::nn::{Parameters, Transformer};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let model = Transformer::new(16, 4, 2, 1, 32, &device)?;
/// let (source, target) = (Tensor::randn([2, 7, 16], &device), Tensor::randn([2, 5, 16], &device));
/// let memory = model.encoder.forward_with(&source, None, false);
/// assert_eq!(model.decoder.decode(&target, &memory, None, None, true).shape(), [2, 5, 16]);
/// assert!(model.state_dict().contains_key("decoder.layers.0.multihead_attn.out_proj.weight"));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Transformer {
    /// Of sources.
    pub encoder: TransformerEncoder,
    /// Of targets.
    pub decoder: TransformerDecoder,
}

crate::module!(Transformer { encoder, decoder });

impl Transformer {
    /// So many layers of PyTorch's defaults with norms at the end of both; all weights begin uniform as by Glorot & Bengio 2010.
    ///
    /// # Errors
    /// Where the size does not divide into the heads.
    #[track_caller]
    pub fn new(
        size: usize,
        heads: usize,
        encoder_layers: usize,
        decoder_layers: usize,
        inner: usize,
        device: &Device,
    ) -> Result<Transformer> {
        let _from = site::from(Location::caller());
        let norm = || Some(LayerNorm::new(size, device));
        let encoder = (0..encoder_layers).map(|_| TransformerEncoderLayer::new(size, heads, inner, device)).collect();
        let decoder = (0..decoder_layers).map(|_| TransformerDecoderLayer::new(size, heads, inner, device)).collect();
        let model = Transformer {
            encoder: TransformerEncoder { layers: encoder, norm: norm() },
            decoder: TransformerDecoder { layers: decoder, norm: norm() },
        };
        for parameter in model.parameters() {
            parameter.check()?;
            if parameter.rank() > 1 {
                init::xavier_uniform(&parameter, Gain::Linear)?;
            }
        }
        Ok(model)
    }

    /// The output for a source and a target that sees only what came before, without other masks.
    #[track_caller]
    pub fn forward_pair(&self, source: &Tensor, target: &Tensor) -> Tensor {
        let _layer = enter::<Self>(format_args!(""));
        let memory = apply("encoder", &self.encoder, source);
        let _part = enter_part::<TransformerDecoder>("decoder");
        self.decoder.decode(target, &memory, None, None, true)
    }
}
