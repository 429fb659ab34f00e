//! Losses. The functions return a scalar, the mean over elements or rows; the methods of [`Reduction`] of the same names a mean, a sum, or the
//! losses themselves.

use crate::nn::reduction::named;
use crate::ops::loss;
pub use crate::ops::loss::Reduction;
use crate::tensor::Tensor;

/// Options of [`cross_entropy_with`] and [`nll_with`].
///
/// ```
/// use wgrad::{Device, Tensor, nn::loss::{self, CrossEntropy}};
/// let device = Device::cpu();
/// let (logits, targets) = (Tensor::zeros([2, 4], &device), Tensor::from_slice(&[3i32, 0], [2], &device));
/// let options = CrossEntropy { label_smoothing: 0.1, ..CrossEntropy::default() };
/// let loss = loss::cross_entropy_with(&logits, &targets, &options).item::<f32>()?;
/// assert!((loss - 4f32.ln()).abs() < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct CrossEntropy {
    /// What becomes of the losses of samples.
    pub reduction: Reduction,
    /// Share of the target that is spread evenly over all classes (Szegedy et al. 2016).
    pub label_smoothing: f32,
    /// A class index that does not count. Class probabilities know none.
    pub ignore_index: Option<i32>,
    /// Weight of each class, `[classes]`.
    pub weight: Option<Tensor>,
}

impl CrossEntropy {
    fn options(&self) -> loss::ClassOptions {
        loss::ClassOptions {
            reduction: self.reduction,
            label_smoothing: f64::from(self.label_smoothing),
            ignore_index: self.ignore_index.map(i64::from),
            weight: self.weight.as_ref().map(Tensor::node),
        }
    }
}

/// Cross-entropy of logits `[n, classes]` (or `[n, classes, d1, …]`) with class indices, i32 or u32, `[n]` (or `[n, d1,
/// …]`): `−ln softmax(logits)[target]`. One sample may come without its dim: logits `[classes]` and a scalar target.
///
/// Float targets of the logits' shape are class probabilities, for mixup, distillation and the like: `−Σ target · ln softmax(logits)`. Gradients
/// flow into them too.
///
/// A target out of range becomes [`crate::Error::IndexOutOfRange`] when the loss, or what is computed from it, is read.
///
/// ```
/// use wgrad::{Device, Tensor, nn::loss};
/// let device = Device::default();
/// let logits = Tensor::zeros([2, 4], &device);
/// let targets = Tensor::from_slice(&[3i32, 0], [2], &device);
/// let loss = loss::cross_entropy(&logits, &targets).item::<f32>()?;
/// assert!((loss - 4f32.ln()).abs() < 1e-6);
/// let soft = Tensor::full([2, 4], 0.25, &device);
/// assert!((loss::cross_entropy(&logits, &soft).item::<f32>()? - 4f32.ln()).abs() < 1e-6);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[track_caller]
pub fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Tensor {
    cross_entropy_with(logits, targets, &CrossEntropy::default())
}

/// [`cross_entropy`] with label smoothing, an ignored target, or class weights.
///
/// ```
/// use wgrad::{Device, Tensor, nn::loss};
/// let device = Device::cpu();
/// let vector = |values: &[f32]| Tensor::from_slice(values, [values.len()], &device);
/// let logits = vector(&[0.0; 6]).reshape([2, 3]);
/// let targets = Tensor::from_slice(&[2i32, -1], [2], &device);
/// let options = loss::CrossEntropy { ignore_index: Some(-1), ..Default::default() };
/// assert!((loss::cross_entropy_with(&logits, &targets, &options).item::<f32>()? - 3f32.ln()).abs() < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[track_caller]
pub fn cross_entropy_with(logits: &Tensor, targets: &Tensor, options: &CrossEntropy) -> Tensor {
    named("cross_entropy", logits, |x| loss::cross_entropy(x, &targets.node(), &options.options()))
}

/// Negative log-likelihood of log-probabilities with class indices; shapes as in [`cross_entropy`].
///
/// ```
/// use wgrad::{Device, Tensor, nn::loss};
/// let device = Device::cpu();
/// let vector = |values: &[f32]| Tensor::from_slice(values, [values.len()], &device);
/// let log_probs = vector(&[0.25, 0.75]).log().reshape([1, 2]);
/// let target = Tensor::from_slice(&[1i32], [1], &device);
/// assert!((loss::nll(&log_probs, &target).item::<f32>()? - (4f32 / 3.0).ln()).abs() < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[track_caller]
pub fn nll(log_probs: &Tensor, targets: &Tensor) -> Tensor {
    nll_with(log_probs, targets, &CrossEntropy::default())
}

/// [`nll`] with an ignored target or class weights; `label_smoothing` has no meaning here.
///
/// ```
/// use wgrad::{Device, Tensor, nn::loss};
/// let device = Device::cpu();
/// let vector = |values: &[f32]| Tensor::from_slice(values, [values.len()], &device);
/// let log_probs = vector(&[0.5, 0.5, 0.1, 0.9]).log().reshape([2, 2]);
/// let targets = Tensor::from_slice(&[0i32, 1], [2], &device);
/// // Only the first row counts.
/// let options = loss::CrossEntropy { weight: Some(vector(&[1.0, 0.0])), ..Default::default() };
/// assert!((loss::nll_with(&log_probs, &targets, &options).item::<f32>()? - 2f32.ln()).abs() < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[track_caller]
pub fn nll_with(log_probs: &Tensor, targets: &Tensor, options: &CrossEntropy) -> Tensor {
    named("nll", log_probs, |x| loss::nll(x, &targets.node(), &options.options()))
}

/// Mean squared error.
///
/// ```
/// use wgrad::{Device, Tensor, nn::loss};
/// let device = Device::cpu();
/// let vector = |values: &[f32]| Tensor::from_slice(values, [values.len()], &device);
/// assert!((loss::mse(&vector(&[1.0, 2.0]), &vector(&[1.0, 4.0])).item::<f32>()? - 2.0).abs() < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[track_caller]
pub fn mse(x: &Tensor, y: &Tensor) -> Tensor {
    Reduction::Mean.mse(x, y)
}

/// Mean absolute error.
///
/// ```
/// use wgrad::{Device, Tensor, nn::loss};
/// let device = Device::cpu();
/// let vector = |values: &[f32]| Tensor::from_slice(values, [values.len()], &device);
/// assert!((loss::l1(&vector(&[1.0, 2.0]), &vector(&[1.0, 4.0])).item::<f32>()? - 1.0).abs() < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[track_caller]
pub fn l1(x: &Tensor, y: &Tensor) -> Tensor {
    Reduction::Mean.l1(x, y)
}

/// Half the squared error below `delta`, linear above (Huber 1964). Carries [`crate::Error::Argument`] unless `delta` is
/// above 0.
///
/// ```
/// use wgrad::{Device, Tensor, nn::loss};
/// let device = Device::cpu();
/// let vector = |values: &[f32]| Tensor::from_slice(values, [values.len()], &device);
/// assert!((loss::huber(&vector(&[1.0, 5.0]), &vector(&[0.0, 0.0]), 2.0).item::<f32>()? - 4.25).abs() < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[track_caller]
pub fn huber(x: &Tensor, y: &Tensor, delta: impl Into<f64>) -> Tensor {
    Reduction::Mean.huber(x, y, delta)
}

/// [`huber`] divided by `beta`, where it bends; [`l1`] for 0 (Girshick 2015, arXiv 1504.08083). Carries
/// [`crate::Error::Argument`] where `beta` is negative.
///
/// ```
/// use wgrad::{Device, Tensor, nn::loss};
/// let device = Device::cpu();
/// let vector = |values: &[f32]| Tensor::from_slice(values, [values.len()], &device);
/// assert!((loss::smooth_l1(&vector(&[1.0, 5.0]), &vector(&[0.0, 0.0]), 2.0).item::<f32>()? - 2.125).abs() < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[track_caller]
pub fn smooth_l1(x: &Tensor, y: &Tensor, beta: impl Into<f64>) -> Tensor {
    Reduction::Mean.smooth_l1(x, y, beta)
}

/// Binary cross-entropy of probabilities in `[0, 1]`; logarithms are cut at -100.
///
/// ```
/// use wgrad::{Device, Tensor, nn::loss};
/// let device = Device::cpu();
/// let vector = |values: &[f32]| Tensor::from_slice(values, [values.len()], &device);
/// assert!((loss::bce(&vector(&[0.5, 0.5]), &vector(&[0.0, 1.0])).item::<f32>()? - 2f32.ln()).abs() < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[track_caller]
pub fn bce(probabilities: &Tensor, targets: &Tensor) -> Tensor {
    Reduction::Mean.bce(probabilities, targets)
}

/// Binary cross-entropy of logits, without overflow.
///
/// ```
/// use wgrad::{Device, Tensor, nn::loss};
/// let device = Device::cpu();
/// let vector = |values: &[f32]| Tensor::from_slice(values, [values.len()], &device);
/// assert!((loss::bce_with_logits(&vector(&[0.0, 1e4]), &vector(&[0.0, 1.0])).item::<f32>()? - 2f32.ln() / 2.0).abs() < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[track_caller]
pub fn bce_with_logits(logits: &Tensor, targets: &Tensor) -> Tensor {
    Reduction::Mean.bce_with_logits(logits, targets)
}

/// [`bce_with_logits`] with the weight of positive targets: `−mean(w·y·ln σ(x) + (1 − y)·ln(1 − σ(x)))`, with `pos_weight` that broadcasts, one
/// element a class most often. Above 1 it raises the recall of rare classes.
///
/// ```
/// use wgrad::{Device, Tensor, nn::loss};
/// let device = Device::cpu();
/// let vector = |values: &[f32]| Tensor::from_slice(values, [values.len()], &device);
/// let loss = loss::bce_with_logits_with(&vector(&[0.0, 1e4]), &vector(&[1.0, 1.0]), &vector(&[3.0, 1.0]));
/// assert!((loss.item::<f32>()? - 1.5 * 2f32.ln()).abs() < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[track_caller]
pub fn bce_with_logits_with(logits: &Tensor, targets: &Tensor, pos_weight: &Tensor) -> Tensor {
    Reduction::Mean.bce_with_logits_with(logits, targets, pos_weight)
}

/// Multiclass SVM (hinge) loss of scores `[n, classes]` with class indices `[n]`, or of one sample `[classes]` with one index:
/// `Σ_{j≠t} max(0, margin + s[j] − s[t]) / classes` (Weston & Watkins 1999, scaled as in PyTorch).
///
/// ```
/// use wgrad::{Device, Tensor, nn::loss};
/// let device = Device::cpu();
/// let vector = |values: &[f32]| Tensor::from_slice(values, [values.len()], &device);
/// let target = Tensor::from_slice(&[1i32], [1], &device);
/// assert!((loss::multi_margin(&vector(&[0.5, 1.0, -3.0]).reshape([1, 3]), &target, 1.0).item::<f32>()? - 0.5 / 3.0).abs() < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[track_caller]
pub fn multi_margin(scores: &Tensor, targets: &Tensor, margin: impl Into<f64>) -> Tensor {
    Reduction::Mean.multi_margin(scores, targets, margin)
}

/// Kullback–Leibler divergence of `probabilities` from the distribution with the given log-probabilities, averaged over all
/// elements.
///
/// ```
/// use wgrad::{Device, Tensor, nn::loss};
/// let device = Device::cpu();
/// let vector = |values: &[f32]| Tensor::from_slice(values, [values.len()], &device);
/// let p = vector(&[0.25, 0.75]);
/// assert!((loss::kl_div(&p.log(), &p).item::<f32>()? - 0.0).abs() < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[track_caller]
pub fn kl_div(log_probs: &Tensor, probabilities: &Tensor) -> Tensor {
    Reduction::Mean.kl_div(log_probs, probabilities)
}

/// `1 − cos(a, b)` where `sign` is positive, else `max(0, cos(a, b) − margin)`; vectors lie along the last dim.
///
/// ```
/// use wgrad::{Device, Tensor, nn::loss};
/// let device = Device::cpu();
/// let vector = |values: &[f32]| Tensor::from_slice(values, [values.len()], &device);
/// let (a, b) = (vector(&[1.0, 0.0]).unsqueeze(0), vector(&[0.0, 2.0]).unsqueeze(0));
/// assert!((loss::cosine_embedding(&a, &b, &vector(&[1.0]), 0.0).item::<f32>()? - 1.0).abs() < 1e-5);
/// assert!((loss::cosine_embedding(&a, &b, &vector(&[-1.0]), 0.0).item::<f32>()? - 0.0).abs() < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[track_caller]
pub fn cosine_embedding(a: &Tensor, b: &Tensor, sign: &Tensor, margin: impl Into<f64>) -> Tensor {
    Reduction::Mean.cosine_embedding(a, b, sign, margin)
}

/// `max(0, margin − y (a − b))`, with `y` 1 where `a` should be the larger and -1 where `b` should.
///
/// ```
/// use wgrad::{Device, Tensor, nn::loss};
/// let device = Device::cpu();
/// let vector = |values: &[f32]| Tensor::from_slice(values, [values.len()], &device);
/// assert!((loss::margin_ranking(&vector(&[1.0]), &vector(&[3.0]), &vector(&[1.0]), 0.5).item::<f32>()? - 2.5).abs() < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[track_caller]
pub fn margin_ranking(a: &Tensor, b: &Tensor, y: &Tensor, margin: impl Into<f64>) -> Tensor {
    Reduction::Mean.margin_ranking(a, b, y, margin)
}

/// The distance `x` itself where `y` is 1 (similar), `max(0, margin − x)` where it is -1.
///
/// ```
/// use wgrad::{Device, Tensor, nn::loss};
/// let device = Device::cpu();
/// let vector = |values: &[f32]| Tensor::from_slice(values, [values.len()], &device);
/// assert!((loss::hinge_embedding(&vector(&[2.0, 0.25]), &vector(&[1.0, -1.0]), 1.0).item::<f32>()? - 1.375).abs() < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[track_caller]
pub fn hinge_embedding(x: &Tensor, y: &Tensor, margin: impl Into<f64>) -> Tensor {
    Reduction::Mean.hinge_embedding(x, y, margin)
}

/// `max(0, d(anchor, positive) − d(anchor, negative) + margin)` with the p-norm `d` of differences along the last dim
/// (Balntas et al. 2016).
///
/// ```
/// use wgrad::{Device, Tensor, nn::loss};
/// let device = Device::cpu();
/// let vector = |values: &[f32]| Tensor::from_slice(values, [values.len()], &device);
/// let point = |x: f32, y: f32| vector(&[x, y]).unsqueeze(0);
/// let (anchor, near, far) = (point(0.0, 0.0), point(3.0, 4.0), point(0.0, 2.0));
/// assert!((loss::triplet_margin(&anchor, &near, &far, 1.0, 2.0).item::<f32>()? - 4.0).abs() < 1e-4);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[track_caller]
pub fn triplet_margin(
    anchor: &Tensor,
    positive: &Tensor,
    negative: &Tensor,
    margin: impl Into<f64>,
    p: impl Into<f64>,
) -> Tensor {
    Reduction::Mean.triplet_margin(anchor, positive, negative, margin, p)
}

/// `ln(1 + e^(-x y))` with targets `y` of 1 and -1.
///
/// ```
/// use wgrad::{Device, Tensor, nn::loss};
/// let device = Device::cpu();
/// let vector = |values: &[f32]| Tensor::from_slice(values, [values.len()], &device);
/// assert!((loss::soft_margin(&vector(&[0.0, 100.0]), &vector(&[1.0, 1.0])).item::<f32>()? - 2f32.ln() / 2.0).abs() < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[track_caller]
pub fn soft_margin(x: &Tensor, y: &Tensor) -> Tensor {
    Reduction::Mean.soft_margin(x, y)
}

/// Negative log-likelihood of counts under a Poisson distribution with log-rates `log_rates`, without the constant.
///
/// ```
/// use wgrad::{Device, Tensor, nn::loss};
/// let device = Device::cpu();
/// let vector = |values: &[f32]| Tensor::from_slice(values, [values.len()], &device);
/// assert!((loss::poisson_nll(&vector(&[0.0]), &vector(&[3.0])).item::<f32>()? - 1.0).abs() < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[track_caller]
pub fn poisson_nll(log_rates: &Tensor, counts: &Tensor) -> Tensor {
    Reduction::Mean.poisson_nll(log_rates, counts)
}

/// Negative log-likelihood of `y` under normal distributions with the given means and variances (at least 1e-6), without the
/// constant (Nix & Weigend 1994).
///
/// ```
/// use wgrad::{Device, Tensor, nn::loss};
/// let device = Device::cpu();
/// let vector = |values: &[f32]| Tensor::from_slice(values, [values.len()], &device);
/// assert!((loss::gaussian_nll(&vector(&[0.0]), &vector(&[2.0]), &vector(&[1.0])).item::<f32>()? - 2.0).abs() < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[track_caller]
pub fn gaussian_nll(means: &Tensor, y: &Tensor, variances: &Tensor) -> Tensor {
    Reduction::Mean.gaussian_nll(means, y, variances)
}
