//! Attention with several heads.

use std::panic::Location;

use crate::backend::Device;
use crate::error::{Error, Result};
use crate::nn::init;
use crate::nn::{Linear, Members, Mode, Module, Parameters};
use crate::tensor::Tensor;

/// Attention with several heads (Vaswani et al. 2017), batch first: queries `[N, L, size]`, keys and values `[N, S, size]`
/// to `[N, L, size]`.
///
/// Parameters are `in_proj_weight` `[3·size, size]` (for queries, keys and values; it begins uniform as by Glorot & Bengio
/// 2010), `in_proj_bias` `[3·size]` (begins at 0) and `out_proj` (its bias begins at 0).
///
/// Where queries, keys and values are one tensor, one product projects all. [`Module::forward`] is self-attention without a
/// mask.
///
/// ```
/// use wgrad::nn::{Module, MultiheadAttention};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let attention = MultiheadAttention::new(12, 3, &device);
/// let (x, memory) = (Tensor::randn([2, 5, 12], &device), Tensor::randn([2, 7, 12], &device));
/// assert_eq!(attention.attend(&x, &memory, &memory, None, false).shape(), [2, 5, 12]);
/// // Causal: what comes later makes no difference.
/// let whole = attention.attend(&x, &x, &x, None, true).narrow(1, 0, 3);
/// let start = x.narrow(1, 0, 3);
/// let alone = attention.attend(&start, &start, &start, None, true);
/// assert!((whole - alone).abs().max().item::<f32>()? < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MultiheadAttention {
    /// `[3·size, size]`: the maps of queries, keys and values.
    pub in_proj_weight: Tensor,
    /// `[3·size]`, if any.
    pub in_proj_bias: Option<Tensor>,
    /// What the heads' results go through.
    pub out_proj: Linear,
    /// Number of heads.
    pub heads: usize,
    /// Probability with which an attention weight becomes 0 in training.
    pub dropout: f32,
    /// Training or evaluation.
    pub mode: Mode,
}

impl MultiheadAttention {
    /// Without dropout. The parameters carry an error where the size does not divide into the heads.
    #[track_caller]
    pub fn new(size: usize, heads: usize, device: &Device) -> MultiheadAttention {
        let at = Location::caller();
        let out_proj = Linear::new(size, size, device);
        let drawn = || -> Result<Tensor> {
            if heads == 0 || !size.is_multiple_of(heads) {
                let detail = format!("a size of {size} does not divide into {heads} heads");
                return Err(Error::argument("MultiheadAttention", detail));
            }
            let weight = Tensor::zeros([3 * size, size], device).requires_grad();
            init::xavier_uniform(&weight, init::Gain::Linear)?;
            if let Some(bias) = &out_proj.bias {
                init::zeros(bias)?;
            }
            Ok(weight)
        };
        MultiheadAttention {
            in_proj_weight: drawn().unwrap_or_else(|error| init::failed(error, device, at)),
            in_proj_bias: Some(Tensor::zeros([3 * size], device).requires_grad()),
            out_proj,
            heads,
            dropout: 0.0,
            mode: Mode::new(),
        }
    }

    /// Sets the probability with which an attention weight becomes 0 in training. Then all scores are stored, which fused
    /// attention avoids.
    pub fn dropout(self, p: f32) -> MultiheadAttention {
        MultiheadAttention { dropout: p, ..self }
    }

    /// The same without biases.
    pub fn without_bias(self) -> MultiheadAttention {
        MultiheadAttention { in_proj_bias: None, out_proj: self.out_proj.without_bias(), ..self }
    }

    /// The attention of queries to keys and values.
    ///
    /// `mask` and `causal` are those of [`Tensor::scaled_dot_product_attention`]: booleans are true where a query may look,
    /// which is the other way round than in PyTorch's `MultiheadAttention`; a mask of whole keys is `[N, 1, 1, S]`.
    #[track_caller]
    pub fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>, causal: bool) -> Tensor {
        let size = self.out_proj.weight.shape().last().copied().unwrap_or(0);
        for (name, x) in [("queries", q), ("keys", k), ("values", v)] {
            if x.check().is_ok() && (x.rank() != 3 || x.shape()[2] != size) {
                let detail = format!("{name} must be [batch, length, {size}]");
                let error = Error::shape("MultiheadAttention", detail, &[&x.shape().into()]);
                return x.build(Location::caller(), |_| Err(error));
            }
        }
        let (weight, bias) = (&self.in_proj_weight, self.in_proj_bias.as_ref());
        let part = |x: &Tensor, from: usize, count: usize| {
            let bias = bias.map(|b| b.narrow(0, from * size, count * size));
            x.linear(&weight.narrow(0, from * size, count * size), bias.as_ref())
        };
        let (q, k, v) = if q.is_same(k) && k.is_same(v) {
            let all = q.linear(weight, bias);
            let third = |i: usize| all.narrow(2, i * size, size);
            (third(0), third(1), third(2))
        } else if k.is_same(v) {
            let both = part(k, 1, 2);
            (part(q, 0, 1), both.narrow(2, 0, size), both.narrow(2, size, size))
        } else {
            (part(q, 0, 1), part(k, 1, 1), part(v, 2, 1))
        };
        let split = |x: &Tensor| x.unflatten(2, [self.heads as isize, -1]).transpose(1, 2);
        let (q, k, v) = (split(&q), split(&k), split(&v));
        let y = if self.dropout > 0.0 && self.mode.training() {
            self.with_dropout(&q, &k, &v, mask, causal)
        } else {
            q.scaled_dot_product_attention(&k, &v, mask, causal)
        };
        self.out_proj.forward(&y.transpose(1, 2).flatten(2, 3))
    }

    /// Attention out of matrix products, with dropout of the weights.
    #[track_caller]
    fn with_dropout(&self, q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>, causal: bool) -> Tensor {
        let scale = 1.0 / (q.shape().last().copied().unwrap_or(1).max(1) as f32).sqrt();
        let mut scores = q.matmul(&k.transpose(-1, -2)) * scale;
        let hide = |scores: &Tensor, see: &Tensor| scores.masked_fill(&see.logical_not(), f32::NEG_INFINITY);
        match mask {
            Some(mask) if mask.dtype().is_float() => scores = &scores + mask,
            Some(mask) => scores = hide(&scores, mask),
            None => {}
        }
        if causal && let [.., queries, keys] = *scores.shape() {
            scores = hide(&scores, &Tensor::ones([queries, keys], q.device()).tril(0).ne(0.0));
        }
        // A query that sees nothing has the largest score -∞ and the sum 0, and gives 0.
        let largest = scores.detach().max_dims(&[-1], true).clamp_min(f32::MIN);
        let e = (scores - largest).exp();
        let sum = e.sum_dims(&[-1], true);
        let weights = e / sum.masked_fill(&sum.eq(0.0), 1.0);
        weights.dropout(self.dropout, true).matmul(v)
    }
}

impl Parameters for MultiheadAttention {
    fn members(&self, members: &mut Members) {
        members.add("in_proj_weight", &self.in_proj_weight);
        members.add("in_proj_bias", &self.in_proj_bias);
        members.add("out_proj", &self.out_proj);
        members.add("mode", &self.mode);
    }
}

impl Module for MultiheadAttention {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.attend(x, x, x, None, false)
    }
}
