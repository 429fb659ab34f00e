//! What a trainer looks out for: losses and weights that are not finite, and batches with bad indices.
//!
//! Losses stay on the device until they are reported. Only where their mean is bad are they read one by one, to find the step. What made
//! it is found by doing that step again from a state before it, with each value looked at.

use crate::array::Array;
use crate::data::Position;
use crate::error::{At, Error, Result};
use crate::train::{Checkpoint, Checkpoints, Metrics, Task};
use crate::{DType, Device, Tensor, no_grad};

/// Steps after which the losses are looked at where no report does it.
const LOOK_EVERY: usize = 100;
/// A state up to this size is kept in memory from one look to the next.
const SMALL_STATE: u64 = 64 << 20;
/// Steps that are done again at most to get from a good state to a bad step.
const AGAIN: u64 = 1000;

/// A step whose figures nobody has read yet.
struct Seen {
    step: u64,
    position: Option<Position>,
    values: Vec<Tensor>,
}

/// A step that went wrong.
pub struct Bad {
    pub step: u64,
    pub position: Option<Position>,
    pub fault: Fault,
}

/// What went wrong.
pub enum Fault {
    /// An index out of range.
    Index(Error),
    /// A loss that is not finite.
    Loss(f64),
    /// A value in the state that is NaN.
    State(String),
}

/// What was done since the last look, and states from before.
pub struct Watch {
    device: Device,
    /// Whether losses and states have to be finite.
    finite: bool,
    seen: Vec<Seen>,
    last: Option<(u64, Option<Position>)>,
    /// States at the last two looks, with the number of steps done: a step makes the weights bad whose effect the next one shows.
    states: Vec<(u64, Checkpoint)>,
}

impl Watch {
    pub fn new(device: &Device, finite: bool) -> Watch {
        Watch { device: device.clone(), finite, seen: Vec::new(), last: None, states: Vec::new() }
    }

    /// Notes the state after `done` steps, where it is small.
    pub fn keep(&mut self, done: u64, task: &impl Task) {
        self.seen.clear();
        if self.states.last().is_some_and(|(last, _)| *last == done) {
            return;
        }
        let mut state = Checkpoint::new();
        // A task that cannot be saved cannot be put back either.
        if task.save(&mut state).is_ok() && state.bytes() <= SMALL_STATE {
            self.states.push((done, state));
            if self.states.len() > 2 {
                self.states.remove(0);
            }
        }
    }

    /// Notes what a step measured. Nothing is read.
    pub fn note(&mut self, step: u64, position: Option<Position>, metrics: &Metrics) {
        let value = |(_, value): &(String, Tensor)| {
            let value = no_grad(|| value.detach());
            // The number alone, not the graph behind it.
            value.node().share_value();
            value
        };
        self.seen.push(Seen { step, position, values: metrics.iter().map(value).collect() });
        self.last = Some((step, position));
    }

    /// Whether it is time for a look.
    pub fn is_due(&self) -> bool {
        self.seen.len() >= LOOK_EVERY
    }

    /// Whether a figure says that something is wrong with a step.
    pub fn suspects(&self, loss: &Result<Option<f64>>) -> bool {
        match loss {
            Ok(loss) => self.finite && loss.is_some_and(|loss| !loss.is_finite()),
            Err(error) => matches!(error, Error::IndexOutOfRange { .. }),
        }
    }

    /// The first step since the last look that went wrong. A sum may be infinite of finite losses.
    pub fn first_bad(&self) -> Result<Option<Bad>> {
        for Seen { step, position, values } in &self.seen {
            for (i, value) in values.iter().enumerate() {
                let fault = match read(value) {
                    Err(error @ Error::IndexOutOfRange { .. }) => Fault::Index(error),
                    Ok(loss) if i == 0 && self.finite && !loss.is_finite() => Fault::Loss(loss),
                    other => {
                        other?;
                        continue;
                    }
                };
                return Ok(Some(Bad { step: *step, position: *position, fault }));
            }
        }
        Ok(None)
    }

    /// Objects to values that are not finite in the state after `done` steps. Infinities that were there before are no fault: masks have them.
    ///
    /// # Errors
    /// [`Error::NonFinite`].
    pub fn check(&self, done: u64, name: &str, array: &Array, checkpoints: &Checkpoints) -> Result<()> {
        if !self.finite {
            return Ok(());
        }
        let (count, what) = match special(array) {
            (0, 0) => return Ok(()),
            (0, infinite) => (infinite, "infinite"),
            (nan, _) => (nan, "NaN"),
        };
        if what == "infinite" {
            let kept = self.states.iter().find(|(earlier, _)| *earlier < done).map(|(_, state)| state.clone());
            let before = kept.or_else(|| Some(checkpoints.latest(&self.device).ok()??.checkpoint));
            let old = before.as_ref().and_then(|state| state.tensor(name)).map(Tensor::to_host).transpose()?;
            if old.is_none_or(|old| special(&old).1 > 0) {
                return Ok(());
            }
        }
        Err(non_finite(format!("{count} elements of {name}, of shape {}, are {what}", array.shape())))
    }

    /// What is wrong where the state that the last step left cannot be saved.
    pub fn bad_state(&self, error: &Error) -> Option<Bad> {
        let (step, position) = self.last?;
        let fault = match error {
            Error::IndexOutOfRange { .. } => Fault::Index(error.clone()),
            Error::NonFinite { detail, .. } => Fault::State(detail.clone()),
            _ => return None,
        };
        Some(Bad { step, position, fault })
    }

    /// Says what went wrong, and why, and puts the last good state back where there is one.
    pub fn explain(&self, bad: Bad, task: &mut impl Task, checkpoints: Option<&Checkpoints>) -> Error {
        let Bad { step, position, fault } = bad;
        let good = self.good(step, checkpoints);
        let error = match fault {
            Fault::Index(error) => bad_batch(error, step, position, task),
            Fault::Loss(loss) => {
                let what = if loss.is_nan() { "NaN" } else { "infinite" };
                let cause = self.cause(good.as_ref(), step, task);
                non_finite(format!("the loss of {} is {what}; {cause}", place(step, position)))
            }
            Fault::State(detail) => {
                let cause = self.cause(good.as_ref(), step, task);
                non_finite(format!("{} left values that cannot be saved: {detail}; {cause}", place(step, position)))
            }
        };
        let restored = match &good {
            Some((done, state)) if task.load(state).is_ok() => {
                format!("; the state after step {done} is back in place")
            }
            _ => String::new(),
        };
        let saved = checkpoints.and_then(|checkpoints| checkpoints.steps().ok()?.last().copied());
        let saved = saved.map_or(String::new(), |saved| format!("; the newest checkpoint is that of step {saved}"));
        match error {
            Error::NonFinite { op, detail, at } => {
                Error::NonFinite { op, detail: format!("{detail}{restored}{saved}"), at }
            }
            other => other,
        }
    }

    /// The newest state from before the step before `step`; where there is none, the oldest from before `step`.
    fn good(&self, step: u64, checkpoints: Option<&Checkpoints>) -> Option<(u64, Checkpoint)> {
        let kept = self.states.iter().rev().find(|(done, _)| *done < step);
        let kept = kept.or(self.states.first().filter(|(done, _)| *done <= step));
        kept.cloned().or_else(|| {
            let latest = checkpoints?.latest(&self.device).ok()??;
            (latest.step <= step).then_some((latest.step, latest.checkpoint))
        })
    }

    /// What made the loss of a step bad: the steps up to it are done again, the last one with each value looked at.
    fn cause(&self, good: Option<&(u64, Checkpoint)>, step: u64, task: &mut impl Task) -> String {
        let Some((done, state)) = good.filter(|(done, _)| step - done <= AGAIN) else {
            return "no state from before it was kept, so what made it is not known (autograd::detect_anomaly finds it)".into();
        };
        let mut again = |last: u64| {
            task.load(state)?;
            (*done..last).try_for_each(|step| task.step(step).map(|_| ()))?;
            task.search(last, &self.device)
        };
        let mut outcome = again(step);
        if let (Err(Error::NonFinite { op, .. }), true) = (&outcome, step > *done)
            && op == "leaf"
            && let earlier @ Err(Error::NonFinite { .. }) = again(step - 1)
        {
            // The step before has made the weights bad.
            outcome = earlier;
        }
        match outcome {
            Err(error @ Error::NonFinite { .. }) => format!("the first of its kind: {error}"),
            Err(error) => format!("doing it again failed: {error}"),
            Ok(()) => "done again it was finite".into(),
        }
    }
}

/// An index out of range, with the step and the samples that it came with.
pub fn bad_batch(error: Error, step: u64, position: Option<Position>, task: &impl Task) -> Error {
    let Error::IndexOutOfRange { op, index, bound, shape, at } = error else { return error };
    let samples = position.and_then(|position| task.samples(position, index).ok()).unwrap_or_default();
    let listed: Vec<String> =
        samples.iter().take(3).map(|(row, number)| format!("sample {row}, number {number} of the data set")).collect();
    let more = if samples.len() > 3 { format!(" and {} more", samples.len() - 3) } else { String::new() };
    let samples = if listed.is_empty() { String::new() } else { format!(", {}{more}", listed.join(", ")) };
    let op = format!("{}{samples}: {op}", place(step, position));
    Error::IndexOutOfRange { op, index, bound, shape, at }
}

/// Reads what a step measured.
///
/// # Errors
/// An index out of range among them.
pub fn read_all(metrics: &Metrics) -> Result<()> {
    metrics.iter().try_for_each(|(_, value)| read(value).map(|_| ()))
}

/// How many elements are NaN, and how many infinite.
fn special(array: &Array) -> (usize, usize) {
    fn count<T: Copy>(values: impl Iterator<Item = T>, wide: impl Fn(T) -> f64) -> (usize, usize) {
        values
            .map(wide)
            .fold((0, 0), |(nan, infinite), v| (nan + usize::from(v.is_nan()), infinite + usize::from(v.is_infinite())))
    }
    match array {
        Array::F32(a) => count(a.iter().copied(), f64::from),
        Array::F16(a) => count(a.iter().copied(), f64::from),
        Array::F64(a) => count(a.iter().copied(), |v| v),
        Array::Bool(_) | Array::U32(_) | Array::I32(_) => (0, 0),
    }
}

fn non_finite(detail: String) -> Error {
    Error::NonFinite { op: "Trainer".into(), detail, at: At(None) }
}

fn place(step: u64, position: Option<Position>) -> String {
    match position {
        Some(Position { epoch, batch, .. }) => format!("step {step} (epoch {epoch}, batch {batch})"),
        None => format!("step {step}"),
    }
}

fn read(value: &Tensor) -> Result<f64> {
    no_grad(|| value.to_dtype(DType::F32).item::<f32>()).map(f64::from)
}
