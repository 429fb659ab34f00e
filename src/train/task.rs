//! What a trainer drives.

use crate::data::Position;
use crate::error::{Error, Result};
use crate::train::{Checkpoint, Metrics, Trainer};
use crate::{Device, autograd};

/// What a [`Trainer`](crate::train::Trainer) drives: a model in training. Closures `FnMut(u64) -> Result<Metrics>` are tasks that cannot be saved;
/// [`Supervised`](crate::train::Supervised) is one of a model, an optimizer, a loader and a loss.
///
/// ```
/// use wgrad::optim::Sgd;
/// use wgrad::train::{Checkpoint, Metrics, Task, Trainer};
/// use wgrad::{Device, Result, Tensor};
/// struct Fit {
///     w: Tensor,
///     optimizer: Sgd,
/// }
/// impl Task for Fit {
///     fn step(&mut self, _step: u64) -> Result<Metrics> {
///         let loss = (&self.w - 3.0).square().sum();
///         self.optimizer.zero_grad();
///         loss.backward()?;
///         self.optimizer.step()?;
///         Ok(vec![("loss".into(), loss)])
///     }
///     fn save(&self, checkpoint: &mut Checkpoint) -> Result<()> {
///         checkpoint.put("w", [("w".to_string(), self.w.detach())].into());
///         checkpoint.put_optimizer(&self.optimizer);
///         Ok(())
///     }
///     fn load(&mut self, checkpoint: &Checkpoint) -> Result<()> {
///         self.w.assign(&checkpoint.part("w")?["w"]);
///         checkpoint.load_optimizer(&mut self.optimizer)
///     }
/// }
/// let device = Device::default();
/// let w = Tensor::zeros([1], &device).requires_grad();
/// let mut task = Fit { optimizer: Sgd::new(vec![w.clone()], 0.1), w };
/// # let folder = std::env::temp_dir().join(format!("wgrad-task-{}", std::process::id()));
/// let trainer = |steps| Trainer::new(steps, &device).quiet().folder(&folder).checkpoint_every(10);
/// trainer(20).run(&mut task)?;
/// let outcome = trainer(40).run(&mut task)?; // goes on from the last checkpoint
/// assert_eq!(outcome.resumed, Some(20));
/// assert!((task.w.item::<f32>()? - 3.0).abs() < 0.01);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), wgrad::Error>(())
/// ```
pub trait Task {
    /// Does training step number `step`, from 0, and returns what it measured. The tensors stay on the device: reading one here
    /// would wait for each step.
    ///
    /// # Errors
    /// What went wrong; it ends the run.
    fn step(&mut self, step: u64) -> Result<Metrics>;

    /// Figures that are measured now and then ([`Trainer::evaluate_every`](crate::train::Trainer::evaluate_every)), such as the accuracy on test data; `steps` are done.
    ///
    /// # Errors
    /// What went wrong; it ends the run.
    fn evaluate(&mut self, _steps: u64) -> Result<Vec<(String, f64)>> {
        Ok(Vec::new())
    }

    /// Looks at the settings of a run that is about to begin, and refuses what does not go together.
    ///
    /// # Errors
    /// What does not.
    fn begin(&mut self, _trainer: &Trainer) -> Result<()> {
        Ok(())
    }

    /// Takes in the figures of a report or an evaluation, with `steps` done; whether this is the best state so far, which the trainer then
    /// writes to `best.safetensors` in its folder.
    ///
    /// # Errors
    /// What went wrong; it ends the run.
    fn judge(&mut self, _steps: u64, _figures: &[(String, f64)]) -> Result<bool> {
        Ok(false)
    }

    /// Why no further step is to be done, if so; see [`Task::judge`].
    fn stopped(&self) -> Option<String> {
        None
    }

    /// Where the data of the next step come from, for what is said of a bad step; `None` where that is not known.
    fn position(&self) -> Option<Position> {
        None
    }

    /// Does a step while every value is looked at, to find what made a loss that is not finite. A task that replays captured steps
    /// does it without.
    ///
    /// # Errors
    /// [`Error::NonFinite`], which names op and line.
    fn search(&mut self, step: u64, device: &Device) -> Result<()> {
        autograd::detect_anomaly(device, || self.step(step)).map(|_| ())
    }

    /// The samples of a batch in which an index occurs: their places in the batch, and their numbers in the data set.
    ///
    /// # Errors
    /// Where the batch cannot be read.
    fn samples(&self, _position: Position, _index: i64) -> Result<Vec<(usize, usize)>> {
        Ok(Vec::new())
    }

    /// Passes over the next batch: the one of a step that is left out ([`Trainer::skip_bad_batches`](crate::train::Trainer::skip_bad_batches)).
    ///
    /// # Errors
    /// Where there is no batch.
    fn pass_over(&mut self) -> Result<()> {
        Ok(())
    }

    /// Puts everything that the next steps depend on into a checkpoint: model, optimizer, position in the data, random numbers.
    ///
    /// # Errors
    /// What keeps it from being saved.
    fn save(&self, _checkpoint: &mut Checkpoint) -> Result<()> {
        Err(Error::unsupported(
            "Trainer",
            "this task cannot be saved: implement Task::save and Task::load for a type of its own",
        ))
    }

    /// Takes over what [`Task::save`] has saved.
    ///
    /// # Errors
    /// Where the checkpoint does not fit.
    fn load(&mut self, _checkpoint: &Checkpoint) -> Result<()> {
        Err(Error::unsupported(
            "Trainer",
            "this task cannot be loaded: implement Task::save and Task::load for a type of its own",
        ))
    }
}

impl<F: FnMut(u64) -> Result<Metrics>> Task for F {
    fn step(&mut self, step: u64) -> Result<Metrics> {
        self(step)
    }
}
