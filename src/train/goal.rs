//! What a run is for: a figure that is to become small or large, and how long that may take.

use crate::error::Result;
use crate::optim::lr::Improvement;
use crate::train::Checkpoint;

/// Ends a run where a figure has stopped improving: an option of [`Supervised`](crate::train::Supervised::early_stopping), or by hand. Its
/// memory, the best value and how many have come since, is part of the task's checkpoints. (Lightning's `EarlyStopping`.)
///
/// ```
/// use wgrad::train::EarlyStopping;
/// let mut stopping = EarlyStopping::new("validation loss").patience(2);
/// let stops: Vec<bool> = [1.0, 0.5, 0.6, 0.7, 0.8].into_iter().map(|loss| stopping.step(loss)).collect();
/// assert_eq!(stops, [false, false, false, true, true]); // two values no better than 0.5
/// assert_eq!(stopping.best(), Some(0.5));
/// ```
#[derive(Clone, Debug)]
pub struct EarlyStopping {
    figure: String,
    improvement: Improvement,
    patience: u32,
    best: Option<f64>,
    bad: u32,
}

impl EarlyStopping {
    /// Stops where three values in a row of this figure are not below the best one before.
    pub fn new(figure: &str) -> EarlyStopping {
        let improvement = Improvement::MinAbsolute(0.0);
        EarlyStopping { figure: figure.to_owned(), improvement, patience: 3, best: None, bad: 0 }
    }

    /// What counts as an improvement (default: any value below the best).
    pub fn improvement(self, improvement: Improvement) -> EarlyStopping {
        EarlyStopping { improvement, ..self }
    }

    /// How many values without an improvement end the run, at least 1 (default: 3).
    pub fn patience(self, values: u32) -> EarlyStopping {
        EarlyStopping { patience: values.max(1), ..self }
    }

    /// Takes in a value; whether the run is to end. NaN is no improvement.
    pub fn step(&mut self, value: f64) -> bool {
        if self.improvement.is_met(value, self.best.unwrap_or(self.improvement.worst())) {
            (self.best, self.bad) = (Some(value), 0);
        } else {
            self.bad = self.bad.saturating_add(1);
        }
        self.is_over()
    }

    /// The best value so far.
    pub fn best(&self) -> Option<f64> {
        self.best
    }

    pub(super) fn figure(&self) -> &str {
        &self.figure
    }

    fn is_over(&self) -> bool {
        self.bad >= self.patience
    }

    /// Why the run is over, if it is.
    pub(super) fn reason(&self) -> Option<String> {
        let best = self.best.map_or_else(String::new, |best| format!(", best {best}"));
        let (figure, bad) = (&self.figure, self.bad);
        self.is_over().then(|| format!("{figure} has not improved in {bad} evaluations{best}"))
    }

    pub(super) fn save(&self, checkpoint: &mut Checkpoint) {
        checkpoint.set("early_stopping.best", self.best.map_or_else(String::new, |best| best.to_string()));
        checkpoint.set("early_stopping.bad", self.bad);
    }

    pub(super) fn load(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.best = number(checkpoint, "early_stopping.best")?;
        self.bad = checkpoint.get("early_stopping.bad")?;
        Ok(())
    }
}

/// The best value of a figure, and its step.
#[derive(Clone, Debug)]
pub struct Best {
    figure: String,
    improvement: Improvement,
    best: Option<(u64, f64)>,
}

impl Best {
    pub fn new(figure: &str, improvement: Improvement) -> Best {
        Best { figure: figure.to_owned(), improvement, best: None }
    }

    pub fn figure(&self) -> &str {
        &self.figure
    }

    pub fn get(&self) -> Option<(u64, f64)> {
        self.best
    }

    /// Whether a value is the best so far.
    pub fn step(&mut self, step: u64, value: f64) -> bool {
        let met = self.improvement.is_met(value, self.best.map_or(self.improvement.worst(), |(_, best)| best));
        if met {
            self.best = Some((step, value));
        }
        met
    }

    pub fn save(&self, checkpoint: &mut Checkpoint) {
        checkpoint.set("best.value", self.best.map_or_else(String::new, |(_, best)| best.to_string()));
        checkpoint.set("best.step", self.best.map_or(0, |(step, _)| step));
    }

    pub fn load(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let step = checkpoint.get("best.step")?;
        self.best = number(checkpoint, "best.value")?.map(|best| (step, best));
        Ok(())
    }
}

/// A number that may not be there yet.
fn number(checkpoint: &Checkpoint, key: &str) -> Result<Option<f64>> {
    match checkpoint.get::<String>(key)?.as_str() {
        "" => Ok(None),
        _ => checkpoint.get(key).map(Some),
    }
}
