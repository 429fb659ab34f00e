//! Losses of elements or rows, and what is made of them: a mean, a sum, or what they are.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{Bits, Var};
use crate::ops::cross_entropy::{CrossEntropy, kept};
use crate::ops::row_kernels::LONGEST_ROW;
use crate::shape::Shape;

/// What a loss returns of the losses of its elements or rows. Its methods are the losses; the functions of [`crate::nn::loss`] are those of
/// [`Reduction::Mean`].
///
/// ```
/// use wgrad::nn::loss::{self, Reduction};
/// use wgrad::{Device, Tensor};
/// let device = Device::cpu();
/// let (x, y) = (Tensor::from_slice(&[1f32, 3.0], [2], &device), Tensor::zeros([2], &device));
/// assert_eq!(Reduction::None.mse(&x, &y).to_vec::<f32>()?, [1.0, 9.0]);
/// assert_eq!(Reduction::Sum.mse(&x, &y).item::<f32>()?, 10.0);
/// assert_eq!(loss::mse(&x, &y).item::<f32>()?, 5.0);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// The losses themselves.
    None,
    /// Their sum.
    Sum,
    /// Their mean, weighted where classes have weights.
    #[default]
    Mean,
}

impl Reduction {
    fn reduce(self, losses: &Var) -> Var {
        match self {
            Reduction::None => losses.clone(),
            Reduction::Sum => sum(losses),
            Reduction::Mean => mean(losses),
        }
    }

    /// Of the losses of rows, which the mean divides by what is `counted`.
    fn of_rows(self, losses: Var, counted: impl FnOnce() -> Var, shape: &Shape) -> Var {
        match self {
            Reduction::None => losses.reshape(shape),
            Reduction::Sum => sum(&losses),
            Reduction::Mean => sum(&losses) / counted(),
        }
    }
}

/// Options of [`cross_entropy`] and [`nll`].
#[derive(Clone, Default)]
pub struct ClassOptions {
    pub reduction: Reduction,
    /// Share of the target that is spread evenly over all classes.
    pub label_smoothing: f64,
    /// A target that does not count.
    pub ignore_index: Option<i64>,
    /// Weight of each class, `[classes]`.
    pub weight: Option<Var>,
}

/// The target that does not count, where the targets' type can hold it; no target equals one that it cannot.
fn ignored(targets: &Var, options: &ClassOptions) -> Option<i64> {
    options.ignore_index.filter(|&i| i >= 0 || targets.dtype() != DType::U32)
}

/// Mean of all elements.
fn mean(x: &Var) -> Var {
    x.mean(&(0..x.shape().rank()).collect::<Vec<_>>(), false)
}

/// Sum of all elements.
fn sum(x: &Var) -> Var {
    x.sum(&(0..x.shape().rank()).collect::<Vec<_>>(), false)
}

/// `[n, c, d1, …]` as rows `[n·d1·…, c]`; also one sample `[c]` with a scalar target.
fn rows(op: &str, x: &Var, targets: &Var) -> Result<(Var, Var)> {
    x.check()?;
    targets.check()?;
    let shape = x.shape();
    if shape.rank() == 1 && targets.shape().rank() == 0 {
        return Ok((x.unsqueeze(0), targets.unsqueeze(0)));
    }
    let rest = |s: &Shape| s.iter().enumerate().filter(|(d, _)| *d != 1).map(|(_, &n)| n).collect::<Shape>();
    if shape.rank() < 2 || rest(shape) != *targets.shape() {
        let detail = "scores must be [n, classes, …] and targets [n, …], or [classes] and one target";
        return Err(Error::shape(op, detail, &[shape, targets.shape()]));
    }
    let order: Vec<usize> = [0].into_iter().chain(2..shape.rank()).chain([1]).collect();
    let count = targets.shape().numel();
    Ok((x.permute(&order).reshape(&Shape::from([count, shape[1]])), targets.reshape(&Shape::from([count]))))
}

/// Cross-entropy of `logits` `[n, classes, …]` with class indices (i32 or u32) `[n, …]`, or of one sample `[classes]` with one index; or with
/// class probabilities, floats of the logits' shape.
///
/// # Errors
/// [`Error::Shape`] and [`Error::DType`] where the operands do not fit.
pub fn cross_entropy(logits: &Var, targets: &Var, options: &ClassOptions) -> Result<Var> {
    let smoothing = options.label_smoothing;
    if !(0.0..=1.0).contains(&smoothing) {
        return Err(Error::argument("cross_entropy", format!("label_smoothing {smoothing} is not in 0..=1")));
    }
    if targets.dtype().is_float() && targets.0.error.is_none() {
        return soft(logits, targets, options);
    }
    let (x, t) = rows("cross_entropy", logits, targets)?;
    let classes = x.shape()[1];
    if classes > LONGEST_ROW || (options.weight.is_some() && smoothing != 0.0) {
        return weighted(&x.log_softmax(1), &t, targets.shape(), options);
    }
    let op = CrossEntropy { smoothing: Bits(smoothing), ignore_index: ignored(&t, options) };
    let losses = Var::apply(op, &[&x, &t]);
    losses.check()?;
    let kept = op.kept(&t);
    if let Some(weight) = &options.weight {
        let weights = class_weights(weight, classes, &t, kept.as_ref())?;
        let dtype = losses.dtype().promote(weight.dtype());
        let losses = wide(losses) * &weights;
        return Ok(options.reduction.of_rows(losses, || sum(&weights), targets.shape()).cast(dtype));
    }
    Ok(match (options.reduction, kept) {
        (Reduction::Mean, Some(kept)) => {
            let mean = |losses: &Var| sum(losses).per_count(&sum(&kept));
            losses.in_f32(mean).unwrap_or_else(|| mean(&losses))
        }
        (Reduction::None, _) => losses.reshape(targets.shape()),
        (reduction, _) => reduction.reduce(&losses),
    })
}

/// [`cross_entropy`] with class probabilities of the logits' shape, which need not add up to 1: `−Σ w[c] p[c] ln softmax(x)[c]`, averaged over
/// samples whatever the weights are.
fn soft(logits: &Var, targets: &Var, options: &ClassOptions) -> Result<Var> {
    const NAME: &str = "cross_entropy";
    logits.check()?;
    if !logits.dtype().is_float() {
        return Err(Error::dtype(NAME, "takes float logits", &[logits.dtype(), targets.dtype()]));
    }
    let shape = logits.shape();
    if shape.rank() == 0 || shape != targets.shape() {
        let detail = "float targets are class probabilities, of the shape of the logits [n, classes, …] or [classes]; class indices are i32 \
                      or u32";
        return Err(Error::shape(NAME, detail, &[shape, targets.shape()]));
    }
    if let Some(index) = options.ignore_index.filter(|&index| index >= 0) {
        let detail = format!("ignore_index {index} has no meaning for class probabilities");
        return Err(Error::argument(NAME, detail));
    }
    let dim = usize::from(shape.rank() > 1);
    let (x, smoothing) = (wide(logits.clone()), options.label_smoothing);
    let mut wanted = wide(targets.clone());
    if smoothing != 0.0 {
        wanted = wanted * (1.0 - smoothing) + smoothing / shape[dim] as f64;
    }
    let mut dtype = logits.dtype().promote(targets.dtype());
    if let Some(weight) = &options.weight {
        expect_weight(weight, shape[dim])?;
        let along: Shape = (0..shape.rank()).map(|d| if d == dim { shape[d] } else { 1 }).collect();
        wanted = wanted * wide(weight.clone()).reshape(&along);
        dtype = dtype.promote(weight.dtype());
    }
    let losses = -(x.log_softmax(dim) * wanted).sum(&[dim], false);
    Ok(options.reduction.reduce(&losses).cast(dtype))
}

/// f16 as f32, in which sums are taken.
fn wide(x: Var) -> Var {
    if x.dtype() == DType::F16 { x.cast(DType::F32) } else { x }
}

/// Targets to look up: those that do not count may be no class at all, so they stand for class 0.
fn safe(targets: &Var, kept: Option<&Var>) -> Var {
    kept.map_or_else(|| targets.clone(), |kept| kept.where_(targets, &targets.scalar_like(0.0)))
}

/// Checks that there is a weight for each class.
fn expect_weight(weight: &Var, classes: usize) -> Result<()> {
    weight.check()?;
    if *weight.shape() != Shape::from([classes]) {
        let detail = format!("the weight must be [{classes}]");
        return Err(Error::shape("cross_entropy", detail, &[weight.shape()]));
    }
    Ok(())
}

/// The weight of each target's class, 0 of those that do not count.
fn class_weights(weight: &Var, classes: usize, targets: &Var, kept: Option<&Var>) -> Result<Var> {
    expect_weight(weight, classes)?;
    let weights = wide(weight.index_select(0, &safe(targets, kept)));
    Ok(kept.map_or_else(|| weights.clone(), |kept| kept.where_(&weights, &weights.scalar_like(0.0))))
}

/// Negative log-likelihood of log-probabilities `[n, classes, …]` with class indices `[n, …]`.
///
/// # Errors
/// As [`cross_entropy`].
pub fn nll(log_probs: &Var, targets: &Var, options: &ClassOptions) -> Result<Var> {
    let (x, t) = rows("nll", log_probs, targets)?;
    weighted(&x, &t, targets.shape(), &ClassOptions { label_smoothing: 0.0, ..options.clone() })
}

/// `−w[t] logp[t]` of rows that count, with the smoothed target's share of all classes; the mean divides by Σ w[t]. `shape` is that of the losses.
fn weighted(log_probs: &Var, targets: &Var, shape: &Shape, options: &ClassOptions) -> Result<Var> {
    let classes = log_probs.shape()[1];
    let kept = ignored(targets, options).map(|ignored| kept(targets, ignored));
    let chosen = wide(log_probs.gather(1, &safe(targets, kept.as_ref()).unsqueeze(1)).squeeze(1));
    chosen.check()?;
    let dtype = options.weight.iter().fold(log_probs.dtype(), |dtype, weight| dtype.promote(weight.dtype()));
    let weights = match (&options.weight, &kept) {
        (Some(weight), kept) => class_weights(weight, classes, targets, kept.as_ref())?,
        (None, Some(kept)) => kept.cast(chosen.dtype()),
        (None, None) => chosen.scalar_like(1.0).expand(chosen.shape()),
    };
    let mut losses = -(&chosen * &weights);
    if options.label_smoothing != 0.0 {
        let log_probs = wide(log_probs.clone());
        let spread = match &options.weight {
            Some(weight) => (log_probs * wide(weight.clone())).sum(&[1], false),
            None => log_probs.sum(&[1], false),
        };
        let spread = match &kept {
            Some(kept) => kept.where_(&spread, &spread.scalar_like(0.0)),
            None => spread,
        };
        let s = options.label_smoothing;
        losses = losses * (1.0 - s) - spread * (s / classes as f64);
    }
    if let Some(kept) = &kept {
        // Whatever an ignored row holds, infinities and NaN too, does not count.
        losses = kept.where_(&losses, &losses.scalar_like(0.0));
    }
    Ok(options.reduction.of_rows(losses, || sum(&weights), shape).cast(dtype))
}

/// Squared error.
pub fn mse(x: &Var, y: &Var, reduction: Reduction) -> Var {
    reduction.reduce(&(x - y).square())
}

/// Absolute error.
pub fn l1(x: &Var, y: &Var, reduction: Reduction) -> Var {
    reduction.reduce(&(x - y).abs())
}

/// Squared below `delta`, linear above (Huber 1964).
pub fn huber(x: &Var, y: &Var, delta: f64, reduction: Reduction) -> Var {
    let d = (x - y).abs();
    let inside = d.le(&d.scalar_like(delta));
    reduction.reduce(&inside.where_(&(d.square() * 0.5), &((&d - 0.5 * delta) * delta)))
}

/// [`huber`] divided by `beta`, its bend; absolute error for 0 (Girshick 2015, arXiv 1504.08083).
pub fn smooth_l1(x: &Var, y: &Var, beta: f64, reduction: Reduction) -> Var {
    if beta == 0.0 { l1(x, y, reduction) } else { huber(x, y, beta, reduction) / beta }
}

/// Binary cross-entropy of probabilities. The logarithm of 0 counts as -100, without gradient, so that certainty gives
/// neither infinities nor NaN.
pub fn bce(p: &Var, y: &Var, reduction: Reduction) -> Var {
    let log = |v: &Var| {
        let none = v.abs().lt(&v.scalar_like(f64::from(f32::MIN_POSITIVE)));
        // The inner choice keeps 0 from the logarithm's derivative, the outer one from its value. NaN passes both.
        none.where_(&v.scalar_like(-100.0), &none.where_(&v.scalar_like(1.0), v).log())
    };
    reduction.reduce(&-(y * log(p) + (1.0 - y) * log(&(1.0 - p))))
}

/// Binary cross-entropy of logits: `softplus(x) − x·y`.
pub fn bce_with_logits(x: &Var, y: &Var, reduction: Reduction) -> Var {
    reduction.reduce(&(x.softplus() - x * y))
}

/// Multiclass hinge loss: `Σ_{j≠t} max(0, margin + s[j] − s[t]) / classes` of each row (Weston & Watkins 1999).
///
/// # Errors
/// [`Error::Shape`] where scores are not `[n, classes]` and targets `[n]`.
pub fn multi_margin(scores: &Var, targets: &Var, margin: f64, reduction: Reduction) -> Result<Var> {
    // One sample may have its target as a vector of one, as in PyTorch.
    let single = scores.shape().rank() == 1 && targets.shape()[..] == [1];
    let targets = if single { targets.squeeze(0) } else { targets.clone() };
    let (s, t) = rows("multi_margin", scores, &targets)?;
    let classes = s.shape()[1];
    let right = s.gather(1, &t.unsqueeze(1));
    right.check()?;
    let hinge = (&s - right + margin).relu();
    let other = t.is_class(classes).where_(&hinge.scalar_like(0.0), &hinge);
    Ok(match reduction {
        Reduction::Mean => mean(&other),
        // f16 holds neither long sums nor large counts.
        _ => {
            let rows = (wide(other).sum(&[1], false) / classes as f64).cast(s.dtype());
            reduction.reduce(&rows.reshape(targets.shape()))
        }
    })
}

/// Kullback–Leibler divergence `p (ln p − log_q)`, 0 where `p` is 0.
pub fn kl_div(log_q: &Var, p: &Var, reduction: Reduction) -> Var {
    let positive = p.gt(&p.scalar_like(0.0));
    let safe = positive.where_(p, &p.scalar_like(1.0));
    reduction.reduce(&positive.where_(&(p * (safe.log() - log_q)), &p.scalar_like(0.0)))
}

/// `1 − cos(a, b)` where the sign is positive, else `max(0, cos(a, b) − margin)`; rows are the last dim.
pub fn cosine_embedding(a: &Var, b: &Var, sign: &Var, margin: f64, reduction: Reduction) -> Var {
    if a.dtype() == DType::F16 && b.dtype() == DType::F16 {
        // The products below pass the largest f16 soon, and 1e-12 is below the smallest.
        return cosine_embedding(&a.cast(DType::F32), &b.cast(DType::F32), sign, margin, reduction).cast(DType::F16);
    }
    let last = a.shape().rank().saturating_sub(1);
    let dot = |x: &Var, y: &Var| (x * y).sum(&[last], false);
    let cos = dot(a, b) / ((dot(a, a) + 1e-12) * (dot(b, b) + 1e-12)).sqrt();
    let positive = sign.cast(DType::F32).gt(&Var::scalar(0.0, DType::F32, &sign.0.context));
    reduction.reduce(&positive.where_(&(1.0 - &cos), &(&cos - margin).relu()))
}

/// `max(0, margin − y (a − b))`, y being 1 where `a` should rank higher and -1 where `b` should.
pub fn margin_ranking(a: &Var, b: &Var, y: &Var, margin: f64, reduction: Reduction) -> Var {
    reduction.reduce(&(margin - y * (a - b)).relu())
}

/// `x` where `y` is 1, `max(0, margin − x)` where it is -1.
pub fn hinge_embedding(x: &Var, y: &Var, margin: f64, reduction: Reduction) -> Var {
    let similar = y.gt(&y.scalar_like(0.0));
    reduction.reduce(&similar.where_(x, &(margin - x).relu()))
}

/// `max(0, d(anchor, positive) − d(anchor, negative) + margin)` with the p-norm of differences along the last dim, to each
/// element of which 1e-6 is added (Balntas et al. 2016).
pub fn triplet_margin(anchor: &Var, positive: &Var, negative: &Var, margin: f64, p: f64, reduction: Reduction) -> Var {
    reduction.reduce(&(anchor.pairwise_distance(positive, p) - anchor.pairwise_distance(negative, p) + margin).relu())
}

/// `ln(1 + e^(-x y))` with y of 1 and -1.
pub fn soft_margin(x: &Var, y: &Var, reduction: Reduction) -> Var {
    reduction.reduce(&(-(x * y)).softplus())
}

/// Negative log-likelihood of counts `y` under a Poisson distribution with log-rate `x`, without the constant: `e^x − x y`.
pub fn poisson_nll(x: &Var, y: &Var, reduction: Reduction) -> Var {
    reduction.reduce(&(x.exp() - x * y))
}

/// Negative log-likelihood of `y` under a normal distribution with mean `x` and variance `var`, without the constant:
/// `(ln v + (x − y)² / v) / 2` with `v = max(var, 1e-6)` (Nix & Weigend 1994).
pub fn gaussian_nll(x: &Var, y: &Var, var: &Var, reduction: Reduction) -> Var {
    // The gradient passes below the least variance too, so that a variance can leave it.
    let least = var.scalar_like(1e-6);
    let missing = var.lt(&least).where_(&(&least - var), &var.scalar_like(0.0)).detach();
    let v = var + missing;
    reduction.reduce(&((v.log() + (x - y).square() / &v) * 0.5))
}

impl Var {
    /// The p-norm of `self − other + 1e-6` along the last dim.
    #[track_caller]
    pub fn pairwise_distance(&self, other: &Var, p: f64) -> Var {
        let difference = self - other + 1e-6;
        if difference.0.error.is_some() {
            return difference;
        }
        match difference.shape().rank() {
            0 => difference.abs(),
            rank => difference.norm(p, &[rank - 1], false),
        }
    }

    /// `a·b / (max(‖a‖, ε) max(‖b‖, ε))` along `dim`, with ε = 1e-8.
    #[track_caller]
    pub fn cosine_similarity(&self, other: &Var, dim: usize) -> Var {
        if other.dtype() == DType::F16
            && let Some(y) = self.in_f32(|x| x.cosine_similarity(&other.cast(DType::F32), dim))
        {
            return y;
        }
        let product = self * other;
        let dot = product.sum(&[dim], false);
        if dot.0.error.is_some() {
            return dot;
        }
        // Broadcast first, so that `dim` means the same dim of both.
        let size = |x: &Var| x.expand(product.shape()).norm(2.0, &[dim], false).clamp_min(1e-8);
        dot / (size(self) * size(other))
    }

    /// This divided by the p-norm along `dim`, or by 1e-12 where that is larger.
    #[track_caller]
    pub fn normalize(&self, p: f64, dim: usize) -> Var {
        if let Some(y) = self.in_f32(|x| x.normalize(p, dim)) {
            return y;
        }
        let size = self.norm(p, &[dim], true);
        if size.0.error.is_some() { size } else { self / size.clamp_min(1e-12) }
    }
}
