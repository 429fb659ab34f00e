//! Which learning rate to begin with.

use crate::error::{Error, Result};

/// A range of learning rates to try: so many steps, each at a higher rate than the one before, from `start` to `end` (Smith 2017,
/// arXiv 1506.01186). See [`Supervised::find_lr`](crate::train::Supervised::find_lr).
///
/// ```
/// use wgrad::train::LrRange;
/// let range = LrRange { steps: 50, ..LrRange::default() };
/// assert_eq!((range.start, range.end, range.stop_at), (1e-7, 1.0, 4.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrRange {
    /// The first rate, above 0.
    pub start: f32,
    /// The last rate, above the first.
    pub end: f32,
    /// Steps in all, at least 2.
    pub steps: u32,
    /// The search ends where the smoothed loss is this many times the lowest one.
    pub stop_at: f64,
}

impl Default for LrRange {
    fn default() -> LrRange {
        LrRange { start: 1e-7, end: 1.0, steps: 100, stop_at: 4.0 }
    }
}

impl LrRange {
    pub(super) fn check(&self) -> Result<()> {
        let LrRange { start, end, steps, stop_at } = *self;
        // Written so that NaN is refused.
        if start > 0.0 && end > start && end.is_finite() && steps >= 2 && stop_at > 1.0 {
            return Ok(());
        }
        let detail = format!(
            "needs 0 < start < end, at least 2 steps and a stop_at above 1, not {start}, {end}, {steps} and {stop_at}"
        );
        Err(Error::argument("find_lr", detail))
    }

    pub(super) fn rate(&self, step: u32) -> f32 {
        let (start, end) = (f64::from(self.start), f64::from(self.end));
        (start * (end / start).powf(f64::from(step) / f64::from(self.steps - 1))) as f32
    }
}

/// Losses by learning rate.
///
/// ```
/// use wgrad::train::LrCurve;
/// let losses = [2.0, 2.0, 1.9, 1.5, 1.2, 1.1, 1.2, 3.0];
/// let curve = LrCurve::new(losses.iter().enumerate().map(|(i, &loss)| (10f32.powi(i as i32 - 6), loss)).collect());
/// assert!((curve.suggestion_with(0, 1).unwrap() - 1e-3).abs() < 1e-9); // where the loss falls fastest
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LrCurve {
    points: Vec<(f32, f64)>,
}

impl LrCurve {
    /// A curve of rates and losses, in the order of the rates.
    pub fn new(points: Vec<(f32, f64)>) -> LrCurve {
        LrCurve { points }
    }

    /// Rates and losses; those of a search are smoothed.
    pub fn points(&self) -> &[(f32, f64)] {
        &self.points
    }

    /// The rate at which the loss falls fastest from one step to the next, without the first ten points and the last one, as Lightning does.
    /// `None` where too few losses are finite.
    pub fn suggestion(&self) -> Option<f32> {
        self.suggestion_with(10, 1)
    }

    /// [`LrCurve::suggestion`] without so many of the first and of the last points.
    pub fn suggestion_with(&self, skip_first: usize, skip_last: usize) -> Option<f32> {
        let kept = self.points.get(skip_first..self.points.len().checked_sub(skip_last)?)?;
        let kept: Vec<(f32, f64)> = kept.iter().copied().filter(|(_, loss)| loss.is_finite()).collect();
        let last = kept.len().checked_sub(1).filter(|&last| last > 0)?;
        // Central differences, one-sided at the ends.
        let slope = |i: usize| {
            let (a, b) = (i.saturating_sub(1), (i + 1).min(last));
            (kept[b].1 - kept[a].1) / (b - a) as f64
        };
        (0..=last).min_by(|&a, &b| slope(a).total_cmp(&slope(b))).map(|i| kept[i].0)
    }

    /// Draws the losses over the decimal logarithm of the rate into `<path>.png` and `<path>.svg`.
    ///
    /// # Errors
    /// [`Error::Io`] where a picture cannot be drawn or written.
    #[cfg(feature = "train")]
    pub fn draw(&self, path: impl AsRef<std::path::Path>) -> Result<[std::path::PathBuf; 2]> {
        use crate::train::plot::{Panel, curves};
        let points = self.points.iter().map(|(rate, loss)| (f64::from(*rate).log10(), *loss)).collect();
        let lines = vec![("loss", points)];
        curves(path, &[Panel { title: "Loss by learning rate", x: "log10 of the rate", y: "loss", lines }])
    }
}

/// An exponential mean that forgets a fiftieth a step, without the bias of its start.
#[derive(Default)]
pub(super) struct Smooth {
    mean: f64,
    weight: f64,
}

impl Smooth {
    pub fn add(&mut self, value: f64) -> f64 {
        const KEPT: f64 = 0.98;
        self.mean = KEPT * self.mean + (1.0 - KEPT) * value;
        self.weight = KEPT * self.weight + (1.0 - KEPT);
        self.mean / self.weight
    }
}
