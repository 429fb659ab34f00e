//! How good a model is: figures over a whole data set, and the same of one batch as tensors.

mod confusion;
mod rank;
mod regression;

pub use confusion::{Average, ConfusionMatrix};

use std::collections::BTreeMap;
use std::panic::Location;

use crate::error::{Error, Result};
use crate::nn::loss::{self, CrossEntropy};
use crate::shape::Shape;
use crate::{DType, Tensor, no_grad};

use rank::Ranks;
use regression::Moments;

/// A figure over a data set, computed from predictions and targets.
///
/// Class metrics take scores (logits or probabilities) `[…, classes]` and i32 or u32 targets `[…]`, so also tokens `[n, t, classes]` with
/// `[n, t]`. Scores of the targets' shape, or with one class, are logits of class 1 of two, which is predicted above 0.
///
/// ```
/// use wgrad::train::metric::{Average, Meter, Metric};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let scores = Tensor::from_slice(&[0.1f32, 0.9, 0.8, 0.2, 0.3, 0.7], [3, 2], &device);
/// let targets = Tensor::from_slice(&[1i32, 0, 0], [3], &device);
/// let mut meter = Meter::new([Metric::Accuracy, Metric::F1(Average::Class(1)), Metric::Auroc]);
/// meter.add(&scores, &targets)?; // for each batch
/// let figures = meter.read()?;
/// assert_eq!(figures[0], ("accuracy".to_string(), 2.0 / 3.0));
/// assert_eq!(figures[2], ("AUROC".to_string(), 1.0));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Metric {
    /// Share of targets with the highest score.
    Accuracy,
    /// Share of targets among so many highest scores.
    TopK(usize),
    /// Of what was predicted as a class, the share that is of it.
    Precision(Average),
    /// Of what is of a class, the share that was predicted as such.
    Recall(Average),
    /// The harmonic mean of precision and recall.
    F1(Average),
    /// Coefficient of determination of float targets: 1 − residuals' squares / squares around the mean, for each column (elements after dim 0),
    /// then their mean. A constant column counts 1 where it is met exactly, else 0 (as scikit-learn does).
    R2,
    /// Area under the receiver operating characteristic: the share of pairs of a positive and a negative whose scores are in the right order,
    /// ties counting half. With more than two classes the mean over classes, each against the rest, by softmax. NaN where one side is missing.
    Auroc,
    /// `exp` of the mean cross-entropy of logits.
    Perplexity,
}

impl Metric {
    /// What the figure is called.
    pub fn name(&self) -> String {
        let averaged = |name: &str, average: &Average| match average {
            Average::Macro => name.to_owned(),
            Average::Weighted => format!("weighted {name}"),
            Average::Micro => format!("micro {name}"),
            Average::Class(class) => format!("{name} of {class}"),
        };
        match self {
            Metric::Accuracy => "accuracy".into(),
            Metric::TopK(k) => format!("top-{k} accuracy"),
            Metric::Precision(average) => averaged("precision", average),
            Metric::Recall(average) => averaged("recall", average),
            Metric::F1(average) => averaged("F1", average),
            Metric::R2 => "R²".into(),
            Metric::Auroc => "AUROC".into(),
            Metric::Perplexity => "perplexity".into(),
        }
    }

    /// Whether it counts classes that were predicted.
    fn decides(&self) -> bool {
        matches!(self, Metric::Accuracy | Metric::Precision(_) | Metric::Recall(_) | Metric::F1(_))
    }
}

/// Metrics over the batches of a data set; see [`Metric`].
///
/// ```
/// use wgrad::train::metric::{Meter, Metric};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let mut meter = Meter::new([Metric::R2]);
/// for batch in [[1f32, 2.0], [3.0, 4.0]] {
///     let targets = Tensor::from_slice(&batch, [2], &device);
///     meter.add(&(&targets + 0.5), &targets)?;
/// }
/// assert_eq!(meter.read()?, [("R²".to_string(), 1.0 - 4.0 * 0.25 / 5.0)]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Meter {
    metrics: Vec<Metric>,
    ignore_index: Option<i32>,
    confusion: Option<ConfusionMatrix>,
    /// Hits by the number of scores looked at.
    hits: BTreeMap<usize, u64>,
    targets: u64,
    nll: f64,
    moments: Moments,
    ranks: Ranks,
}

impl Meter {
    /// Figures of nothing yet.
    pub fn new(metrics: impl IntoIterator<Item = Metric>) -> Meter {
        Meter { metrics: metrics.into_iter().collect(), ..Meter::default() }
    }

    /// A class that does not count as a target, such as padding.
    pub fn ignore_index(self, class: i32) -> Meter {
        Meter { ignore_index: Some(class), ..self }
    }

    /// The matrix of targets and predictions, where a metric needs one and there was a batch.
    pub fn confusion(&self) -> Option<&ConfusionMatrix> {
        self.confusion.as_ref()
    }

    /// Takes in a batch, whose predictions and targets are read.
    ///
    /// # Errors
    /// [`Error::Shape`] where predictions and targets do not fit each other, [`Error::Argument`] where a target is no class or not of the type
    /// that a metric needs; the error that a tensor carries.
    #[track_caller]
    pub fn add(&mut self, predictions: &Tensor, targets: &Tensor) -> Result<()> {
        let at = Location::caller();
        no_grad(|| self.take_in(&predictions.detach(), &targets.detach())).map_err(|error| error.or_at(at))
    }

    fn take_in(&mut self, predictions: &Tensor, targets: &Tensor) -> Result<()> {
        predictions.check()?;
        targets.check()?;
        if self.metrics.contains(&Metric::R2) {
            self.moments.add(predictions, targets)?;
        }
        if self.metrics.iter().all(|metric| *metric == Metric::R2) {
            return Ok(());
        }
        let labels = labels(targets)?;
        let scores = Scores::of(predictions, targets.shape())?;
        let classes = scores.classes();
        let counts = |label: &i64| Some(*label) != self.ignore_index.map(i64::from);
        if let Some(bad) = labels.iter().find(|label| counts(label) && !(0..classes as i64).contains(label)) {
            return Err(Error::argument("Meter", format!("target {bad} is none of {classes} classes")));
        }
        let used: Vec<usize> = (0..labels.len()).filter(|&i| counts(&labels[i])).collect();
        self.targets += used.len() as u64;
        if self.metrics.iter().any(Metric::decides) {
            let decided = scores.decide()?;
            let matrix = self.confusion.get_or_insert_with(|| ConfusionMatrix::new(classes));
            used.iter().try_for_each(|&i| matrix.note(labels[i] as usize, decided[i] as usize))?;
        }
        for metric in &self.metrics {
            if let Metric::TopK(k) = metric {
                let best = scores.best(*k)?;
                let width = best.len() / labels.len().max(1);
                let hit = |&&i: &&usize| best[i * width..][..width].iter().any(|&class| i64::from(class) == labels[i]);
                *self.hits.entry(*k).or_default() += used.iter().filter(hit).count() as u64;
            }
        }
        if self.metrics.contains(&Metric::Perplexity) && !used.is_empty() {
            self.nll += scores.cross_entropy(targets, self.ignore_index)? * used.len() as f64;
        }
        if self.metrics.contains(&Metric::Auroc) {
            self.ranks.add(&scores.ranked()?, &labels, &used)?;
        }
        Ok(())
    }

    /// The figures, in the order of the metrics.
    ///
    /// # Errors
    /// [`Error::Argument`] where there was no target.
    pub fn read(&self) -> Result<Vec<(String, f64)>> {
        let none = || Error::argument("Meter", "there was no target to measure");
        let matrix = || self.confusion.as_ref().filter(|_| self.targets > 0).ok_or_else(none);
        let value = |metric: &Metric| {
            if *metric != Metric::R2 && self.targets == 0 {
                return Err(none());
            }
            Ok(match metric {
                Metric::Accuracy => matrix()?.accuracy(),
                Metric::TopK(k) => self.hits.get(k).map_or(0.0, |&hits| hits as f64 / self.targets as f64),
                Metric::Precision(average) => matrix()?.precision(*average),
                Metric::Recall(average) => matrix()?.recall(*average),
                Metric::F1(average) => matrix()?.f1(*average),
                Metric::R2 => self.moments.r2().ok_or_else(none)?,
                Metric::Auroc => self.ranks.auroc(),
                Metric::Perplexity => (self.nll / self.targets as f64).exp(),
            })
        };
        self.metrics.iter().map(|metric| Ok((metric.name(), value(metric)?))).collect()
    }
}

/// Targets as numbers.
fn labels(targets: &Tensor) -> Result<Vec<i64>> {
    match targets.dtype() {
        DType::I32 => Ok(targets.to_vec::<i32>()?.into_iter().map(i64::from).collect()),
        DType::U32 => Ok(targets.to_vec::<u32>()?.into_iter().map(i64::from).collect()),
        DType::Bool => Ok(targets.to_vec::<bool>()?.into_iter().map(i64::from).collect()),
        other => Err(Error::argument("Meter", format!("targets are classes, i32 or u32, and not {other}"))),
    }
}

/// Scores `[n, classes]`, or logits `[n]` of the second of two classes.
enum Scores {
    Two(Tensor),
    Many(Tensor),
}

impl Scores {
    fn of(predictions: &Tensor, targets: &[usize]) -> Result<Scores> {
        let predictions = predictions.to_dtype(DType::F32);
        let shape = predictions.shape();
        if shape == targets {
            return Ok(Scores::Two(predictions.reshape([-1])));
        }
        match shape.split_last() {
            Some((1, rest)) if rest == targets => Ok(Scores::Two(predictions.reshape([-1]))),
            Some((&classes, rest)) if rest == targets && classes > 0 => {
                let rows: usize = rest.iter().product();
                Ok(Scores::Many(predictions.reshape([rows, classes])))
            }
            _ => {
                let detail = "scores are […, classes], or logits of two classes of the targets' shape […]";
                Err(Error::shape("Meter", detail, &[&Shape::from(shape), &Shape::from(targets)]))
            }
        }
    }

    fn classes(&self) -> usize {
        match self {
            Scores::Two(_) => 2,
            Scores::Many(scores) => scores.shape()[1],
        }
    }

    fn decide(&self) -> Result<Vec<u32>> {
        match self {
            Scores::Two(logits) => {
                Ok(logits.to_vec::<f32>()?.into_iter().map(|logit| u32::from(logit > 0.0)).collect())
            }
            Scores::Many(scores) => scores.argmax(-1, false).to_dtype(DType::U32).to_vec(),
        }
    }

    /// The `k` classes of the highest scores of each row, one row after the other.
    fn best(&self, k: usize) -> Result<Vec<u32>> {
        let Scores::Many(scores) = self else {
            let detail = format!("top-{k} accuracy needs a score for each class, and there are logits of two");
            return Err(Error::argument("Meter", detail));
        };
        scores.topk(k, -1).1.to_dtype(DType::U32).to_vec()
    }

    fn cross_entropy(&self, targets: &Tensor, ignore_index: Option<i32>) -> Result<f64> {
        let Scores::Many(logits) = self else {
            return Err(Error::argument(
                "Meter",
                "perplexity needs a logit for each class, and there are logits of two",
            ));
        };
        let options = CrossEntropy { ignore_index, ..CrossEntropy::default() };
        let targets = targets.reshape([-1]);
        loss::cross_entropy_with(logits, &targets, &options).item::<f32>().map(f64::from)
    }

    /// What orders the samples: a number for each, or for each class.
    fn ranked(&self) -> Result<Vec<Vec<f32>>> {
        match self {
            Scores::Two(logits) => Ok(vec![logits.to_vec()?]),
            Scores::Many(scores) if scores.shape()[1] == 2 => {
                Ok(vec![(scores.select(1, 1) - scores.select(1, 0)).to_vec()?])
            }
            Scores::Many(scores) => {
                let shares = scores.softmax(-1).t();
                (0..scores.shape()[1]).map(|class| shares.select(0, class as isize).to_vec()).collect()
            }
        }
    }
}

/// The accuracy of a batch as a scalar on the device, for the metrics of a training step: scores `[…, classes]`, targets `[…]`.
///
/// ```
/// use wgrad::train::metric;
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let scores = Tensor::from_slice(&[0.1f32, 0.9, 0.8, 0.2], [2, 2], &device);
/// let targets = Tensor::from_slice(&[1i32, 1], [2], &device);
/// assert_eq!(metric::accuracy(&scores, &targets).item::<f32>()?, 0.5);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[track_caller]
pub fn accuracy(scores: &Tensor, targets: &Tensor) -> Tensor {
    no_grad(|| scores.argmax(-1, false).to_dtype(targets.dtype()).eq(targets).to_dtype(DType::F32).mean())
}

/// The share of targets among the `k` highest scores of a batch as a scalar on the device: scores `[…, classes]`, targets `[…]`.
///
/// ```
/// use wgrad::train::metric;
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let scores = Tensor::from_slice(&[0.1f32, 0.5, 0.4], [1, 3], &device);
/// let target = Tensor::from_slice(&[2i32], [1], &device);
/// assert_eq!([1, 2].map(|k| metric::top_k(&scores, &target, k).item::<f32>().unwrap()), [0.0, 1.0]);
/// ```
#[track_caller]
pub fn top_k(scores: &Tensor, targets: &Tensor, k: usize) -> Tensor {
    no_grad(|| {
        let best = scores.topk(k, -1).1.to_dtype(targets.dtype());
        best.eq(targets.unsqueeze(-1)).to_dtype(DType::F32).sum_dims(&[-1], false).mean()
    })
}
