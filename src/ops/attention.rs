//! Scaled dot-product attention: `softmax(q kᵀ / √d + mask) v`, fused so that scores never reach memory, and its decomposition.

use crate::array::Array;
use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::{Kernel, Operand, Routine, Stage};
use crate::graph::{Bits, Meta, Op, Var, Vjp, no_grad};
use crate::ops::kernels;
use crate::ops::routine::{self, poisoned};
use crate::shape::Shape;

/// Heads come in parts of so many elements; others are filled up with zeros.
pub(in crate::ops) const PART: usize = 4;

/// What a fused kernel computes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::ops) enum Part {
    /// `y` from q, k, v.
    Forward,
    /// Log of the summed exponentials and `dy · y` of each query, from q, k, y, dy.
    Statistics,
    /// The gradient of q from q, k, v, dy, statistics.
    Q,
    /// The gradient of k from q, k, v, dy, statistics.
    K,
    /// The gradient of v from the same.
    V,
    /// The gradients of k and v side by side in the last dim, from the same.
    Kv,
}

/// A fused kernel over `[batch, heads, seq, d]`; a mask, where there is one, is the last input. Results are `[batch, seq, heads, d]`,
/// in which order networks go on; only the statistics are `[batch, heads, seq, 2]`.
#[derive(Clone, Copy, Hash)]
pub(in crate::ops) struct Attention {
    pub part: Part,
    pub has_mask: bool,
    pub causal: bool,
    pub scale: Bits,
}

/// Sizes of the operands.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Sizes {
    pub batch: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub queries: usize,
    pub keys: usize,
    pub d: usize,
    pub v_size: usize,
}

impl Part {
    pub fn name(self) -> &'static str {
        match self {
            Part::Forward => "scaled_dot_product_attention",
            Part::Statistics => "attention_statistics",
            Part::Q => "attention_backward_q",
            Part::K => "attention_backward_k",
            Part::V => "attention_backward_v",
            Part::Kv => "attention_backward_kv",
        }
    }

    /// The inputs in order, without the mask.
    pub fn inputs(self) -> &'static [&'static str] {
        match self {
            Part::Forward => &["q", "k", "v"],
            Part::Statistics => &["q", "k", "y", "dy"],
            Part::Q | Part::K | Part::V | Part::Kv => &["q", "k", "v", "dy", "stats"],
        }
    }
}

impl Attention {
    fn sizes(&self, inputs: &[&Meta]) -> Sizes {
        let (q, k) = (&inputs[0].shape, &inputs[1].shape);
        // The size of a value: of v, or of what has its last dim.
        let v_size = match self.part {
            Part::Forward | Part::Statistics => inputs[2].shape[3],
            Part::Q | Part::K | Part::V | Part::Kv => inputs[3].shape[3],
        };
        Sizes { batch: q[0], heads: q[1], kv_heads: k[1], queries: q[2], keys: k[2], d: q[3], v_size }
    }

    /// Which text a mask takes: none, booleans or floats.
    pub fn mask(&self, inputs: &[&Meta]) -> usize {
        match inputs.last().filter(|_| self.has_mask).map(|mask| mask.dtype) {
            None => 0,
            Some(DType::Bool) => 1,
            Some(_) => 2,
        }
    }

    fn with(self, part: Part) -> Attention {
        Attention { part, ..self }
    }
}

impl Op for Attention {
    fn name(&self) -> &str {
        self.part.name()
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let s = self.sizes(inputs);
        let shape = match self.part {
            Part::Forward => Shape::from([s.batch, s.queries, s.heads, s.v_size]),
            Part::Statistics => Shape::from([s.batch, s.heads, s.queries, 2]),
            Part::Q => Shape::from([s.batch, s.queries, s.heads, s.d]),
            Part::K => Shape::from([s.batch, s.keys, s.kv_heads, s.d]),
            Part::V => Shape::from([s.batch, s.keys, s.kv_heads, s.v_size]),
            Part::Kv => Shape::from([s.batch, s.keys, s.kv_heads, s.d + s.v_size]),
        };
        // Statistics are sums over a row, which f16 would spoil.
        let dtype = if self.part == Part::Statistics { inputs[0].dtype.register() } else { inputs[0].dtype };
        Ok(Meta { shape, dtype })
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let metas: Vec<Meta> = inputs.iter().map(|a| Meta { shape: a.shape(), dtype: a.dtype() }).collect();
        let sizes = self.sizes(&metas.iter().collect::<Vec<_>>());
        let mask = self.has_mask.then(|| inputs[inputs.len() - 1]);
        let values: Vec<Vec<f64>> = inputs.iter().map(|a| a.to_f64()).collect();
        let named = |name: &str| self.part.inputs().iter().position(|n| *n == name).map_or(&[][..], |i| &values[i]);
        let out = reference(self, sizes, mask, &named, output.numel());
        Ok(Array::from_vec(&output.shape, out).cast(output.dtype))
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        if self.part != Part::Forward {
            let detail =
                "this op has no gradient; a gradient that is differentiated again is composed of others".into();
            return Err(Error::Autograd { op: self.name().into(), detail, at: Default::default() });
        }
        let (q, k, v, mask) = (&cx.inputs[0], &cx.inputs[1], &cx.inputs[2], cx.inputs.get(3));
        let needs_mask = self.has_mask && cx.needs[3];
        // As the operands have it: [batch, heads, seq, d].
        let (y, dy) = (cx.output.transpose(1, 2), cx.dy.transpose(1, 2));
        if cx.create_graph || needs_mask || q.0.context.traits.prefers_expressions {
            let (dtype, mask) = (q.dtype(), mask.map(wide));
            let composed = Composed::new(&wide(q), &wide(k), &wide(v), mask.as_ref(), self.causal, self.scale.0);
            let mut grads = composed.vjp(&wide(&dy));
            grads.truncate(cx.inputs.len());
            return Ok(grads.into_iter().zip(cx.needs).map(|(g, &needs)| needs.then(|| g.cast(dtype))).collect());
        }
        let apply = |part: Part, inputs: &[&Var]| {
            let all: Vec<&Var> = inputs.iter().copied().chain(mask).collect();
            Var::apply(self.with(part), &all)
        };
        let stats = apply(Part::Statistics, &[q, k, &y, &dy]);
        let gradient = |part: Part, inputs: &[&Var]| apply(part, inputs).transpose(1, 2);
        let inputs = [q, k, v, &dy, &stats];
        let mut grads = vec![cx.needs[0].then(|| gradient(Part::Q, &inputs))];
        let (d, v_size) = (q.shape()[3], v.shape()[3]);
        let traits = q.0.context.traits;
        let metas: Vec<&Meta> = cx.inputs.iter().map(Var::meta).collect();
        let wanted = [cx.needs[1], cx.needs[2]];
        if kernels::of(traits.kind).joins_gradients(self.sizes(&metas), wanted, traits.lanes) {
            let both = gradient(Part::Kv, &inputs);
            let part = |i: usize, from: usize, size: usize| cx.needs[i].then(|| both.slice(3, from, 1, size));
            grads.extend([part(1, 0, d), part(2, d, v_size)]);
        } else {
            grads.push(cx.needs[1].then(|| gradient(Part::K, &inputs)));
            grads.push(cx.needs[2].then(|| gradient(Part::V, &inputs)));
        }
        grads.resize(cx.inputs.len(), None);
        Ok(grads)
    }

    fn differentiable(&self) -> bool {
        self.part == Part::Forward
    }
}

/// All parts by the definition, in f64.
fn reference<'a>(
    op: &Attention,
    s: Sizes,
    mask: Option<&Array>,
    named: &dyn Fn(&str) -> &'a [f64],
    numel: usize,
) -> Vec<f64> {
    let (q, k, v, y, dy, stats) = (named("q"), named("k"), named("v"), named("y"), named("dy"), named("stats"));
    let dot = |a: &[f64], i: usize, b: &[f64], j: usize, n: usize| -> f64 {
        (0..n).map(|c| a[i * n + c] * b[j * n + c]).sum()
    };
    let hidden = mask.map(|m| (m.dtype() == DType::Bool, m.to_f64()));
    let mut out = vec![0.0; numel];
    // Where a row of one head stands where heads lie side by side.
    let place = |row: usize, seq: usize, heads: usize| {
        let head = row / seq;
        (head / heads * seq + row % seq) * heads + head % heads
    };
    for query in 0..s.batch * s.heads * s.queries {
        let (head, i) = (query / s.queries, query % s.queries);
        let key_head = head / s.heads * s.kv_heads + head % s.heads / (s.heads / s.kv_heads.max(1)).max(1);
        let score = |j: usize| {
            let score = op.scale.0 * dot(q, query, k, key_head * s.keys + j, s.d);
            match &hidden {
                _ if op.causal && j > i => f64::NEG_INFINITY,
                None => score,
                Some((true, m)) => {
                    if m[query * s.keys + j] != 0.0 {
                        score
                    } else {
                        f64::NEG_INFINITY
                    }
                }
                Some((false, m)) => score + m[query * s.keys + j],
            }
        };
        let scores: Vec<f64> = (0..s.keys).map(score).collect();
        let largest = routine::largest(&scores).max(f64::MIN);
        let sum: f64 = scores.iter().map(|s| (s - largest).exp()).sum();
        let log_sum = if sum == 0.0 { f64::INFINITY } else { largest + sum.ln() };
        if op.part == Part::Statistics {
            out[query * 2] = log_sum;
            out[query * 2 + 1] = dot(dy, query, y, query, s.v_size);
            continue;
        }
        for (j, score) in scores.into_iter().enumerate() {
            let key = key_head * s.keys + j;
            let p = (score - log_sum).exp();
            let (own, other) = (place(query, s.queries, s.heads), place(key, s.keys, s.kv_heads));
            let ds = || op.scale.0 * p * (dot(dy, query, v, key, s.v_size) - stats[query * 2 + 1]);
            match op.part {
                Part::Forward => (0..s.v_size).for_each(|c| out[own * s.v_size + c] += p * v[key * s.v_size + c]),
                Part::V => (0..s.v_size).for_each(|c| out[other * s.v_size + c] += p * dy[query * s.v_size + c]),
                Part::Q => {
                    let ds = ds();
                    (0..s.d).for_each(|c| out[own * s.d + c] += ds * k[key * s.d + c]);
                }
                Part::K => {
                    let ds = ds();
                    (0..s.d).for_each(|c| out[other * s.d + c] += ds * q[query * s.d + c]);
                }
                Part::Kv => {
                    let (ds, first) = (ds(), other * (s.d + s.v_size));
                    (0..s.d).for_each(|c| out[first + c] += ds * q[query * s.d + c]);
                    (0..s.v_size).for_each(|c| out[first + s.d + c] += p * dy[query * s.v_size + c]);
                }
                Part::Statistics => {}
            }
        }
    }
    out
}

impl Routine for Attention {
    fn stages(&self, inputs: &[Operand], output: &Operand, caps: &Caps) -> Result<Vec<Stage>> {
        let metas: Vec<&Meta> = inputs.iter().map(|i| &i.meta).collect();
        let s = self.sizes(&metas);
        let size = |n| routine::size(self.name(), n);
        if self.has_mask {
            size(s.batch * s.heads * s.queries * s.keys)?;
        }
        kernels::of(caps.kind()).attention(self, s, inputs, output, caps)
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }
}

/// Attention out of primitive ops, over `[batch, kv heads, heads a kv head, seq, d]`.
struct Composed {
    q: Var,
    k: Var,
    v: Var,
    weights: Var,
    scale: f64,
    /// Shapes of q, k and v, and of the mask.
    shapes: [Shape; 3],
    mask_shape: Option<Shape>,
}

impl Composed {
    #[track_caller]
    fn new(q: &Var, k: &Var, v: &Var, mask: Option<&Var>, causal: bool, scale: f64) -> Composed {
        let [b, heads, queries, d] = [0, 1, 2, 3].map(|i| q.shape()[i]);
        let (kv_heads, keys) = (k.shape()[1], k.shape()[2]);
        let group = heads / kv_heads.max(1);
        let q5 = q.reshape(&Shape::from([b, kv_heads, group, queries, d]));
        let (k5, v5) = (k.unsqueeze(2), v.unsqueeze(2));
        let mut scores = q5.matmul(&k5.transpose(3, 4)) * scale;
        let hidden = scores.scalar_like(f64::NEG_INFINITY);
        if let Some(mask) = mask {
            let mask = mask.reshape(&Shape::from([b, kv_heads, group, queries, keys]));
            scores = match mask.dtype() {
                DType::Bool => mask.where_(&scores, &hidden),
                _ => &scores + &mask,
            };
        }
        if causal {
            let seen = Var::generate_tril_mask(queries, keys, 0, &q.0.context);
            scores = seen.where_(&scores, &hidden);
        }
        // A row with nothing to see has the largest score -∞ and the sum 0.
        let lowest = scores.scalar_like(f64::from(f32::MIN));
        let largest = no_grad(|| if keys == 0 { lowest.clone() } else { scores.max(&[4], true).maximum(&lowest) });
        let e = (&scores - largest).exp();
        let sum = e.sum(&[4], true);
        let weights = &e / sum.eq(&sum.scalar_like(0.0)).where_(&sum.scalar_like(1.0), &sum);
        Composed {
            q: q5,
            k: k5,
            v: v5,
            weights,
            scale,
            shapes: [q, k, v].map(|x| x.shape().clone()),
            mask_shape: mask.map(|m| m.shape().clone()),
        }
    }

    #[track_caller]
    fn forward(&self) -> Var {
        let [b, heads, queries] = [0, 1, 2].map(|i| self.shapes[0][i]);
        self.weights.matmul(&self.v).reshape(&Shape::from([b, heads, queries, self.shapes[2][3]]))
    }

    /// Gradients of q, k, v and the mask.
    #[track_caller]
    fn vjp(&self, dy: &Var) -> Vec<Var> {
        let p = &self.weights;
        let dims: Vec<usize> = p.shape()[..4].iter().copied().chain([self.shapes[2][3]]).collect();
        let dy = dy.reshape(&Shape::from(&dims[..]));
        let dp = dy.matmul(&self.v.transpose(3, 4));
        let ds = p * (&dp - (p * &dp).sum(&[4], true));
        let sum_group = |x: Var, shape: &Shape| x.sum(&[2], false).reshape(shape);
        let mut grads = vec![
            (ds.matmul(&self.k) * self.scale).reshape(&self.shapes[0]),
            sum_group(ds.transpose(3, 4).matmul(&self.q), &self.shapes[1]) * self.scale,
            sum_group(p.transpose(3, 4).matmul(&dy), &self.shapes[2]),
        ];
        grads.extend(self.mask_shape.as_ref().map(|shape| ds.reshape(shape)));
        grads
    }
}

/// 16-bit floats as f32: sums over a row, and the lowest number of f32, need it.
#[track_caller]
fn wide(x: &Var) -> Var {
    if x.dtype() == DType::F16 { x.cast(DType::F32) } else { x.clone() }
}

/// The operands of attention with their shapes checked, as `[batch, heads, seq, d]`.
struct Operands {
    q: Var,
    k: Var,
    v: Var,
    mask: Option<Var>,
    output: Shape,
}

impl Operands {
    fn check(q: &Var, k: &Var, v: &Var, mask: Option<&Var>) -> Result<Operands> {
        const NAME: &str = "scaled_dot_product_attention";
        let shapes = [q.shape(), k.shape(), v.shape()];
        let fault = |detail: &str| Err(Error::shape(NAME, detail, &shapes));
        if q.shape().rank() < 2 || shapes.iter().any(|s| s.rank() != q.shape().rank()) {
            return fault("q, k and v must be [.., heads, seq, d], of one rank of at least 2");
        }
        if [q, k, v].iter().any(|x| !x.dtype().is_float()) {
            return Err(Error::dtype(NAME, "takes floats", &[q.dtype(), k.dtype(), v.dtype()]));
        }
        let dtype = q.dtype().promote(k.dtype()).promote(v.dtype());
        let split = |s: &Shape| {
            let r = s.rank();
            let heads = if r > 2 { s[r - 3] } else { 1 };
            let batch: usize = s[..r.saturating_sub(3)].iter().product();
            [batch, heads, s[r - 2], s[r - 1]]
        };
        let [qs, ks, vs] = shapes.map(split);
        if qs[3] != ks[3] || qs[3] == 0 {
            return fault("q and k must have the same last dim, not 0");
        }
        if ks[..3] != vs[..3] {
            return fault("k and v must have the same batch, heads and length");
        }
        let outer = |s: &Shape| s[..s.rank().saturating_sub(3)].to_vec();
        if outer(q.shape()) != outer(k.shape()) {
            return fault("q and k must have the same batch dims");
        }
        if ks[1] != qs[1] && (ks[1] == 0 || !qs[1].is_multiple_of(ks[1])) {
            return fault("the heads of q must be a multiple of the heads of k and v");
        }
        let lead = &q.shape()[..q.shape().rank() - 2];
        let mask = match mask {
            None => None,
            Some(mask) => {
                if !(mask.dtype() == DType::Bool || mask.dtype().is_float()) {
                    return Err(Error::dtype(NAME, "the mask must be of booleans or floats", &[mask.dtype()]));
                }
                let full: Shape = lead.iter().copied().chain([qs[2], ks[2]]).collect();
                if !matches!(full.broadcast(NAME, mask.shape()), Ok(s) if s == full) {
                    let detail = format!("the mask must broadcast to {full} [.., heads, queries, keys]");
                    return Err(Error::shape(NAME, detail, &[mask.shape(), q.shape(), k.shape()]));
                }
                let mask = if mask.dtype() == DType::Bool { mask.clone() } else { mask.cast(dtype) };
                Some(mask.expand(&full).reshape(&Shape::from([qs[0], qs[1], qs[2], ks[2]])))
            }
        };
        let output = lead.iter().copied().chain([qs[2], vs[3]]).collect();
        let whole = |x: &Var, s: [usize; 4]| x.cast(dtype).reshape(&Shape::from(s));
        Ok(Operands { q: whole(q, qs), k: whole(k, ks), v: whole(v, vs), mask, output })
    }

    /// The operands with heads filled up by zeros to whole parts, where they have others.
    fn in_parts(&self) -> Option<Operands> {
        let full = |x: &Var| x.shape()[3].next_multiple_of(PART) - x.shape()[3];
        let (d, v_size) = (full(&self.q), full(&self.v));
        if d == 0 && v_size == 0 {
            return None;
        }
        let fill = |x: &Var, by: usize| x.pad(&[(0, 0), (0, 0), (0, 0), (0, by)], 0.0);
        Some(Operands {
            q: fill(&self.q, d),
            k: fill(&self.k, d),
            v: fill(&self.v, v_size),
            mask: self.mask.clone(),
            output: self.output.clone(),
        })
    }

    /// Whether the fused kernels run, which store no scores.
    fn is_fused(&self) -> bool {
        let (q, k) = (self.q.shape(), self.k.shape());
        let [batch, heads, queries, d] = [q[0], q[1], q[2], q[3]];
        let sizes = Sizes { batch, heads, kv_heads: k[1], queries, keys: k[2], d, v_size: self.v.shape()[3] };
        let traits = self.q.0.context.traits;
        kernels::of(traits.kind).fuses_attention(sizes, traits.lanes)
    }
}

impl Var {
    /// `softmax(q kᵀ · scale + mask) v` with this as q `[.., heads, queries, d]`, k `[.., kv_heads, keys, d]` and v
    /// `[.., kv_heads, keys, v_size]`; scale is `1/√d` where none is given. See `Tensor::scaled_dot_product_attention`.
    #[track_caller]
    pub fn scaled_dot_product_attention(
        &self,
        k: &Var,
        v: &Var,
        mask: Option<&Var>,
        causal: bool,
        scale: Option<f64>,
    ) -> Var {
        self.attention(k, v, mask, causal, scale, Operands::is_fused)
    }

    /// Attention out of primitive ops: what the kernels are tested against.
    #[track_caller]
    pub fn attention_composed(&self, k: &Var, v: &Var, mask: Option<&Var>, causal: bool, scale: Option<f64>) -> Var {
        self.attention(k, v, mask, causal, scale, |_| false)
    }

    #[track_caller]
    fn attention(
        &self,
        k: &Var,
        v: &Var,
        mask: Option<&Var>,
        causal: bool,
        scale: Option<f64>,
        is_fused: impl FnOnce(&Operands) -> bool,
    ) -> Var {
        let given: Vec<&Var> = [self, k, v].into_iter().chain(mask).collect();
        if let Some(failed) = poisoned(&given) {
            return failed;
        }
        let operands = match Operands::check(self, k, v, mask) {
            Ok(operands) => operands,
            Err(error) => return self.fail(error),
        };
        let fused = is_fused(&operands);
        let scale = scale.unwrap_or_else(|| 1.0 / (operands.q.shape()[3] as f64).sqrt());
        let v_size = operands.v.shape()[3];
        let operands = if fused { operands.in_parts().unwrap_or(operands) } else { operands };
        let Operands { q, k, v, mask, output } = operands;
        let y = if fused {
            let op = Attention { part: Part::Forward, has_mask: mask.is_some(), causal, scale: Bits(q.number(scale)) };
            let inputs: Vec<&Var> = [&q, &k, &v].into_iter().chain(&mask).collect();
            let y = Var::apply(op, &inputs).transpose(1, 2);
            if y.0.error.is_some() { y } else { y.slice(3, 0, 1, v_size) }
        } else if q.dtype() == DType::F16 {
            let mask = mask.as_ref().map(wide);
            Composed::new(&wide(&q), &wide(&k), &wide(&v), mask.as_ref(), causal, scale).forward().cast(DType::F16)
        } else {
            Composed::new(&q, &k, &v, mask.as_ref(), causal, scale).forward()
        };
        if y.0.error.is_some() { y } else { y.reshape(&output) }
    }
}
