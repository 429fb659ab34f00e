//! Attention with several heads.

use std::panic::Location;

use crate::backend::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::nn::init;
use crate::nn::module::{apply, enter};
use crate::nn::summary::seen;
use crate::nn::{Linear, Members, MembersMut, Mode, Module, Parameters};
use crate::tensor::Tensor;

/// Attention with several heads (Vaswani et al. 2017), batch first: queries `[N, L, size]`, keys and values `[N, S, size]`
/// to `[N, L, size]`.
///
/// Parameters are `in_proj_weight` `[3·size, size]` (for queries, keys and values; it begins uniform as by Glorot & Bengio
/// 2010), `in_proj_bias` `[3·size]` (begins at 0) and `out_proj` (its bias begins at 0). Where keys or values are of
/// another size ([`MultiheadAttention::new_with`]), three weights of their own stand instead of `in_proj_weight`.
///
/// Where queries, keys and values are one tensor, one product projects all. [`Module::forward`] is self-attention without a
/// mask. Attention weights are not returned: fused attention never stores them.
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
    /// `[3·size, size]`: the maps of queries, keys and values, where all are of one size.
    pub in_proj_weight: Option<Tensor>,
    /// `[size, size]`: the map of queries, where sizes differ.
    pub q_proj_weight: Option<Tensor>,
    /// `[size, key size]`: the map of keys, where sizes differ.
    pub k_proj_weight: Option<Tensor>,
    /// `[size, value size]`: the map of values, where sizes differ.
    pub v_proj_weight: Option<Tensor>,
    /// `[3·size]`, if any.
    pub in_proj_bias: Option<Tensor>,
    /// `[1, 1, size]`: a key that every query sees behind the others, if any.
    pub bias_k: Option<Tensor>,
    /// `[1, 1, size]`: its value.
    pub bias_v: Option<Tensor>,
    /// What the heads' results go through.
    pub out_proj: Linear,
    /// Number of heads.
    pub heads: usize,
    /// Whether every query also sees a key and a value of zeros.
    pub add_zero_attn: bool,
    /// Probability with which an attention weight becomes 0 in training.
    pub dropout: f32,
    /// Training or evaluation.
    pub mode: Mode,
}

impl MultiheadAttention {
    /// Without dropout. The parameters carry an error where the size does not divide into the heads.
    #[track_caller]
    pub fn new(size: usize, heads: usize, device: &Device) -> MultiheadAttention {
        MultiheadAttention::new_with(size, heads, size, size, device)
    }

    /// For keys and values of other sizes than queries and output, `[N, S, key_size]` and `[N, S, value_size]`. (PyTorch's `kdim` and
    /// `vdim`.)
    #[track_caller]
    pub fn new_with(
        size: usize,
        heads: usize,
        key_size: usize,
        value_size: usize,
        device: &Device,
    ) -> MultiheadAttention {
        let at = Location::caller();
        let out_proj = Linear::new(size, size, device);
        let joint = (key_size, value_size) == (size, size);
        let draw = |rows: usize, columns: usize| -> Tensor {
            let drawn = || -> Result<Tensor> {
                if heads == 0 || !size.is_multiple_of(heads) {
                    let detail = format!("a size of {size} does not divide into {heads} heads");
                    return Err(Error::argument("MultiheadAttention", detail));
                }
                let weight = Tensor::zeros([rows, columns], device).requires_grad();
                init::xavier_uniform(&weight, init::Gain::Linear)?;
                Ok(weight)
            };
            drawn().unwrap_or_else(|error| init::failed(error, device, at))
        };
        MultiheadAttention {
            in_proj_weight: joint.then(|| draw(3 * size, size)),
            q_proj_weight: (!joint).then(|| draw(size, size)),
            k_proj_weight: (!joint).then(|| draw(size, key_size)),
            v_proj_weight: (!joint).then(|| draw(size, value_size)),
            in_proj_bias: Some(Tensor::zeros([3 * size], device).requires_grad()),
            bias_k: None,
            bias_v: None,
            out_proj: Linear { bias: Some(Tensor::zeros([size], device).requires_grad()), ..out_proj },
            heads,
            add_zero_attn: false,
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

    /// The same with a learned key and value, `bias_k` and `bias_v`, that every query sees behind the others, whatever the mask. They begin
    /// normal (Glorot & Bengio 2010).
    #[track_caller]
    pub fn add_bias_kv(self) -> MultiheadAttention {
        let (size, device) = (self.size(), self.out_proj.weight.device());
        let [k, v] = [(); 2].map(|()| Tensor::zeros([1, 1, size], device).requires_grad());
        for bias in [&k, &v] {
            // A fresh f32 tensor of three dims takes any.
            let _ = init::xavier_normal(bias, init::Gain::Linear);
        }
        MultiheadAttention { bias_k: Some(k), bias_v: Some(v), ..self }
    }

    /// Sets whether every query also sees a key and a value of zeros, so that it can look at nothing.
    pub fn add_zero_attn(self, add_zero_attn: bool) -> MultiheadAttention {
        MultiheadAttention { add_zero_attn, ..self }
    }

    /// Size of queries and output.
    fn size(&self) -> usize {
        self.out_proj.weight.shape().last().copied().unwrap_or(0)
    }

    /// Sizes of queries, keys and values.
    fn sizes(&self) -> [usize; 3] {
        let columns = |weight: &Option<Tensor>| weight.as_ref().and_then(|w| w.shape().last().copied());
        [
            self.size(),
            columns(&self.k_proj_weight).unwrap_or(self.size()),
            columns(&self.v_proj_weight).unwrap_or(self.size()),
        ]
    }

    /// The attention of queries `[batch, length, size]` to keys and values, or of all three without a batch dim.
    ///
    /// `mask` and `causal` are those of [`Tensor::scaled_dot_product_attention`]: booleans are true where a query may look,
    /// which is the other way round than in PyTorch's `MultiheadAttention`; a mask of whole keys is `[N, 1, 1, S]`.
    #[track_caller]
    pub fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>, causal: bool) -> Tensor {
        let _layer = enter::<Self>(format_args!("{}, {} heads", self.size(), self.heads));
        self.attention(q, k, v, mask, causal, false).0
    }

    /// [`MultiheadAttention::attend`], and how much each query looks at each key: `[batch, heads, length, keys]`, in training after dropout. They
    /// are stored for it, which `attend` avoids. PyTorch's `need_weights` gives their mean over heads, `weights.mean_dims(&[1], false)`.
    #[track_caller]
    pub fn attend_with_weights(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        mask: Option<&Tensor>,
        causal: bool,
    ) -> (Tensor, Tensor) {
        let _layer = enter::<Self>(format_args!("{}, {} heads", self.size(), self.heads));
        let (y, weights) = self.attention(q, k, v, mask, causal, true);
        // Without weights something failed, and the output says what.
        let weights = weights.unwrap_or_else(|| y.clone());
        (y, weights)
    }

    #[track_caller]
    fn attention(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        mask: Option<&Tensor>,
        causal: bool,
        wanted: bool,
    ) -> (Tensor, Option<Tensor>) {
        if [q, k, v].iter().all(|x| x.check().is_ok() && x.rank() == 2) {
            let q3 = q.unsqueeze(0);
            // What is the same tensor stays so: then one product makes all.
            let k3 = if k.is_same(q) { q3.clone() } else { k.unsqueeze(0) };
            let v3 = if v.is_same(k) { k3.clone() } else { v.unsqueeze(0) };
            let (y, weights) = self.attention(&q3, &k3, &v3, mask, causal, wanted);
            return (y.squeeze(0), weights.map(|weights| weights.squeeze(0)));
        }
        for ((name, x), size) in [("queries", q), ("keys", k), ("values", v)].into_iter().zip(self.sizes()) {
            if x.check().is_ok() && (x.rank() != 3 || x.shape()[2] != size) {
                let detail = format!("{name} must be [batch, length, {size}], or all [length, …] without a batch");
                let error = Error::shape("MultiheadAttention", detail, &[&x.shape().into()]);
                return (x.build(Location::caller(), |_| Err(error)), None);
            }
        }
        let (q, mut k, mut v) = self.projected(q, k, v);
        let (keys, queries) = (k.shape().get(1).copied().unwrap_or(0), q.shape().get(1).copied().unwrap_or(0));
        if let (Some(bias_k), Some(bias_v)) = (&self.bias_k, &self.bias_v) {
            let behind = |x: &Tensor, bias: &Tensor| {
                Tensor::cat(&[x, &bias.expand([x.shape().first().copied().unwrap_or(0), 1, self.size()])], 1)
            };
            (k, v) = (behind(&k, bias_k), behind(&v, bias_v));
        }
        let split = |x: &Tensor| x.unflatten(2, [self.heads as isize, -1]).transpose(1, 2);
        let (q, mut k, mut v) = (split(&q), split(&k), split(&v));
        if self.add_zero_attn {
            let padding = [(0, 0), (0, 0), (0, 1), (0, 0)];
            (k, v) = (k.pad(&padding, 0.0), v.pad(&padding, 0.0));
        }
        let more = usize::from(self.bias_k.is_some()) + usize::from(self.add_zero_attn);
        let widened =
            (more > 0 && (mask.is_some() || causal)).then(|| widened(mask, causal, [queries, keys], more, &q));
        let (mask, causal) = match &widened {
            Some(mask) => (Some(mask), false),
            None => (mask, causal),
        };
        let drops = self.dropout > 0.0 && self.mode.training();
        let (y, weights) = if drops || wanted {
            let weights = attention_weights(&q, &k, mask, causal);
            let weights = if drops { weights.dropout(self.dropout, true) } else { weights };
            (weights.matmul(&v), wanted.then_some(weights))
        } else {
            (q.scaled_dot_product_attention(&k, &v, mask, causal), None)
        };
        let own = self.in_proj_weight.as_ref().or(self.q_proj_weight.as_ref());
        (seen(own, apply("out_proj", &self.out_proj, &y.transpose(1, 2).flatten(2, 3))), weights)
    }

    /// Queries, keys and values through their maps; inputs that are the same tensor share a product.
    #[track_caller]
    fn projected(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> (Tensor, Tensor, Tensor) {
        let (size, bias) = (self.size(), self.in_proj_bias.as_ref());
        let bias = |from: usize, count: usize| bias.map(|b| b.narrow(0, from * size, count * size));
        if let (Some(wq), Some(wk), Some(wv)) = (&self.q_proj_weight, &self.k_proj_weight, &self.v_proj_weight) {
            let map = |x: &Tensor, w: &Tensor, i: usize| x.linear(w, bias(i, 1).as_ref());
            return (map(q, wq, 0), map(k, wk, 1), map(v, wv, 2));
        }
        let Some(weight) = &self.in_proj_weight else {
            let error = Error::argument(
                "MultiheadAttention",
                "there is neither in_proj_weight nor all of q_, k_ and v_proj_weight",
            );
            let failed = q.build(Location::caller(), |_| Err(error));
            return (failed.clone(), failed.clone(), failed);
        };
        let part = |x: &Tensor, from: usize, count: usize| {
            x.linear(&weight.narrow(0, from * size, count * size), bias(from, count).as_ref())
        };
        if q.is_same(k) && k.is_same(v) {
            let all = q.linear(weight, self.in_proj_bias.as_ref());
            let third = |i: usize| all.narrow(2, i * size, size);
            (third(0), third(1), third(2))
        } else if k.is_same(v) {
            let both = part(k, 1, 2);
            (part(q, 0, 1), both.narrow(2, 0, size), both.narrow(2, size, size))
        } else {
            (part(q, 0, 1), part(k, 1, 1), part(v, 2, 1))
        }
    }
}

/// How much each query looks at each key: `[batch, heads, length, keys]`.
#[track_caller]
fn attention_weights(q: &Tensor, k: &Tensor, mask: Option<&Tensor>, causal: bool) -> Tensor {
    let size = q.shape().last().copied().unwrap_or(1).max(1);
    let scale = match q.dtype() {
        DType::F64 => 1.0 / (size as f64).sqrt(),
        _ => f64::from(1.0 / (size as f32).sqrt()),
    };
    let mut scores = q.matmul(&k.transpose(-1, -2)) * scale;
    let hide = |scores: &Tensor, see: &Tensor| scores.masked_fill(&see.logical_not(), f32::NEG_INFINITY);
    match mask {
        Some(mask) if mask.dtype().is_float() => scores = &scores + mask,
        Some(mask) => scores = hide(&scores, mask),
        None => {}
    }
    if causal && let [.., queries, keys] = *scores.shape() {
        scores = hide(&scores, &up_to_itself(queries, keys, q));
    }
    // A query that sees nothing has the largest score -∞ and the sum 0, and gives 0.
    let largest = scores.detach().max_dims(&[-1], true).clamp_min(f32::MIN);
    let e = (scores - largest).exp();
    let sum = e.sum_dims(&[-1], true);
    e / sum.masked_fill(&sum.eq(0.0), 1.0)
}

/// Where each query sees the keys up to its own place.
#[track_caller]
fn up_to_itself(queries: usize, keys: usize, like: &Tensor) -> Tensor {
    Tensor::ones([queries, keys], like.device()).tril(0).ne(0.0)
}

/// A mask, a causal one, or both, with so many keys more that all queries see.
#[track_caller]
fn widened(mask: Option<&Tensor>, causal: bool, [queries, keys]: [usize; 2], more: usize, like: &Tensor) -> Tensor {
    let wider = |mask: &Tensor, value: f32| {
        let rank = mask.rank();
        if rank == 0 {
            return mask.clone();
        }
        // A mask that is the same for all keys is written out first.
        let mut shape = mask.shape().to_vec();
        shape[rank - 1] = keys;
        let padding: Vec<(usize, usize)> = (0..rank).map(|d| (0, if d + 1 == rank { more } else { 0 })).collect();
        mask.expand(shape).pad(&padding, value)
    };
    let seen = |mask: &Tensor| wider(&mask.to_dtype(DType::F32), 1.0).ne(0.0);
    let own = causal.then(|| seen(&up_to_itself(queries, keys, like)));
    match (mask, own) {
        (Some(mask), None) if mask.dtype().is_float() => wider(mask, 0.0),
        (Some(mask), Some(own)) if mask.dtype().is_float() => {
            let mask = wider(mask, 0.0);
            mask.masked_fill(&own.logical_not(), f32::NEG_INFINITY)
        }
        (Some(mask), None) => seen(mask),
        (Some(mask), Some(own)) => seen(mask).logical_and(&own),
        (None, Some(own)) => own,
        (None, None) => seen(&Tensor::ones([1, keys], like.device())),
    }
}

impl Parameters for MultiheadAttention {
    fn members(&self, members: &mut Members) {
        members.add("in_proj_weight", &self.in_proj_weight);
        members.add("q_proj_weight", &self.q_proj_weight);
        members.add("k_proj_weight", &self.k_proj_weight);
        members.add("v_proj_weight", &self.v_proj_weight);
        members.add("in_proj_bias", &self.in_proj_bias);
        members.add("bias_k", &self.bias_k);
        members.add("bias_v", &self.bias_v);
        members.add("out_proj", &self.out_proj);
        members.add("mode", &self.mode);
    }

    fn members_mut(&mut self, members: &mut MembersMut) {
        members.add(&mut self.in_proj_weight);
        members.add(&mut self.q_proj_weight);
        members.add(&mut self.k_proj_weight);
        members.add(&mut self.v_proj_weight);
        members.add(&mut self.in_proj_bias);
        members.add(&mut self.bias_k);
        members.add(&mut self.bias_v);
        members.add(&mut self.out_proj);
        members.add(&mut self.mode);
    }
}

impl Module for MultiheadAttention {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.attend(x, x, x, None, false)
    }
}
