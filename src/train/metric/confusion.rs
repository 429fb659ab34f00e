//! Who is taken for whom.

use std::fmt;

use crate::error::{Error, Result};
use crate::train::metric::{Scores, labels};
use crate::{Tensor, no_grad};

/// How a figure of each class becomes one.
///
/// ```
/// use wgrad::train::metric::{Average, ConfusionMatrix};
/// let mut matrix = ConfusionMatrix::new(2);
/// [(0, 0), (0, 1), (1, 1)].into_iter().try_for_each(|(target, predicted)| matrix.note(target, predicted))?;
/// assert_eq!(matrix.recall(Average::Class(0)), 0.5);
/// assert_eq!(matrix.recall(Average::Macro), 0.75);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Average {
    /// The mean over classes that occur, as targets or predictions.
    #[default]
    Macro,
    /// The mean over classes, each with the share of its targets.
    Weighted,
    /// Over all samples, whatever their class; with one class a sample that is the accuracy.
    Micro,
    /// The figure of one class, such as the positive of two.
    Class(usize),
}

/// How often each class was predicted as each: rows are targets, columns predictions.
///
/// ```
/// use wgrad::train::metric::ConfusionMatrix;
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let mut matrix = ConfusionMatrix::new(3);
/// let scores = Tensor::from_slice(&[9f32, 0.0, 0.0, 0.0, 9.0, 0.0], [2, 3], &device);
/// matrix.add(&scores, &Tensor::from_slice(&[0i32, 2], [2], &device))?;
/// assert_eq!((matrix.count(0, 0), matrix.count(2, 1)), (1, 1));
/// println!("{matrix}"); // as a table
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// A matrix of `classes` classes, all 0.
    pub fn new(classes: usize) -> ConfusionMatrix {
        ConfusionMatrix { classes, counts: vec![0; classes * classes] }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Takes in a batch: scores `[…, classes]` and targets `[…]` as for [`Metric`](crate::train::metric::Metric).
    ///
    /// # Errors
    /// Where shapes or types do not fit, or a target is no class; then nothing is counted.
    #[track_caller]
    pub fn add(&mut self, scores: &Tensor, targets: &Tensor) -> Result<()> {
        let at = std::panic::Location::caller();
        let pairs = no_grad(|| {
            scores.check()?;
            let labels = labels(targets)?;
            let decided = Scores::of(&scores.detach(), targets.shape())?.decide()?;
            let class = |label: i64| usize::try_from(label).unwrap_or(usize::MAX);
            Ok::<_, Error>(labels.into_iter().map(class).zip(decided).collect::<Vec<_>>())
        });
        let pairs = pairs.map_err(|error| error.or_at(at))?;
        let fits = |(target, decided): &(usize, u32)| self.check(*target, *decided as usize);
        pairs.iter().try_for_each(fits).map_err(|error| error.or_at(at))?;
        pairs.into_iter().try_for_each(|(target, decided)| self.note(target, decided as usize))
    }

    fn check(&self, target: usize, predicted: usize) -> Result<()> {
        for (what, class) in [("target", target), ("prediction", predicted)] {
            if class >= self.classes {
                let class = if class == usize::MAX { "below 0".to_owned() } else { class.to_string() };
                let detail = format!("{what} {class} is none of {} classes", self.classes);
                return Err(Error::argument("ConfusionMatrix", detail));
            }
        }
        Ok(())
    }

    /// Counts one sample.
    ///
    /// # Errors
    /// [`Error::Argument`] where one is no class.
    pub fn note(&mut self, target: usize, predicted: usize) -> Result<()> {
        self.check(target, predicted)?;
        self.counts[target * self.classes + predicted] += 1;
        Ok(())
    }

    /// How often samples of class `target` were predicted as `predicted`; 0 for what is no class.
    pub fn count(&self, target: usize, predicted: usize) -> u64 {
        match self.check(target, predicted) {
            Ok(()) => self.counts[target * self.classes + predicted],
            Err(_) => 0,
        }
    }

    /// Samples in all.
    fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Right ones, all that are of the class, all that were predicted as it.
    fn of(&self, class: usize) -> [u64; 3] {
        let all = |count: &dyn Fn(usize) -> u64| (0..self.classes).map(count).sum();
        [self.count(class, class), all(&|other| self.count(class, other)), all(&|other| self.count(other, class))]
    }

    /// Share of samples that were predicted rightly; 0 of none.
    pub fn accuracy(&self) -> f64 {
        share((0..self.classes).map(|class| self.count(class, class)).sum(), self.total())
    }

    fn averaged(&self, average: Average, figure: impl Fn([u64; 3]) -> f64) -> f64 {
        let classes = || (0..self.classes).map(|class| self.of(class));
        match average {
            Average::Class(class) => figure(self.of(class)),
            Average::Micro => self.accuracy(),
            Average::Macro => {
                let seen: Vec<f64> = classes().filter(|[_, is, taken]| is + taken > 0).map(&figure).collect();
                if seen.is_empty() { 0.0 } else { seen.iter().sum::<f64>() / seen.len() as f64 }
            }
            Average::Weighted => classes().map(|class| share(class[1], self.total()) * figure(class)).sum(),
        }
    }

    /// Of what was predicted as a class, the share that is of it; 0 where nothing was predicted as it.
    pub fn precision(&self, average: Average) -> f64 {
        self.averaged(average, |[right, _, taken]| share(right, taken))
    }

    /// Of what is of a class, the share that was predicted as it; 0 where nothing is of it.
    pub fn recall(&self, average: Average) -> f64 {
        self.averaged(average, |[right, is, _]| share(right, is))
    }

    /// The harmonic mean of precision and recall, of each class; 0 where both are.
    pub fn f1(&self, average: Average) -> f64 {
        self.averaged(average, |[right, is, taken]| share(2 * right, is + taken))
    }
}

fn share(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

impl fmt::Display for ConfusionMatrix {
    /// Targets downwards, predictions to the right.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.counts.iter().map(|count| count.to_string().len()).max().unwrap_or(1);
        let width = widest.max(self.classes.to_string().len()) + 1;
        write!(f, "{:>7}", "target")?;
        (0..self.classes).try_for_each(|class| write!(f, "{class:>width$}"))?;
        for target in 0..self.classes {
            write!(f, "\n{target:>7}")?;
            (0..self.classes).try_for_each(|predicted| write!(f, "{:>width$}", self.count(target, predicted)))?;
        }
        Ok(())
    }
}
