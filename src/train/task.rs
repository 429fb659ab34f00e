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
    /// ```
    /// use wgrad::train::{Metrics, Task, Trainer};
    /// use wgrad::{Device, Result};
    /// struct Count;
    /// impl Task for Count {
    ///     fn step(&mut self, _step: u64) -> Result<Metrics> {
    ///         Ok(vec![])
    ///     }
    ///     fn evaluate(&mut self, steps: u64) -> Result<Vec<(String, f64)>> {
    ///         Ok(vec![("steps".into(), steps as f64)])
    ///     }
    /// }
    /// let outcome = Trainer::new(10, &Device::cpu()).quiet().evaluate_every(4).run(&mut Count)?;
    /// assert_eq!(outcome.history.series("steps"), [(4.0, 4.0), (8.0, 8.0), (10.0, 10.0)]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
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
    /// ```
    /// use wgrad::train::{Metrics, Task, Trainer};
    /// use wgrad::{Device, Result, Tensor};
    /// struct Short(bool);
    /// impl Task for Short {
    ///     fn step(&mut self, step: u64) -> Result<Metrics> {
    ///         Ok(vec![("loss".into(), Tensor::full((), 9.0 - step as f64, &Device::cpu()))])
    ///     }
    ///     fn judge(&mut self, _steps: u64, figures: &[(String, f64)]) -> Result<bool> {
    ///         self.0 = figures[0].1 < 6.5;
    ///         Ok(false)
    ///     }
    ///     fn stopped(&self) -> Option<String> {
    ///         self.0.then(|| "good enough".into())
    ///     }
    /// }
    /// let outcome = Trainer::new(10, &Device::cpu()).quiet().report_every(1).run(&mut Short(false))?;
    /// assert_eq!((outcome.steps, outcome.stopped.as_deref()), (4, Some("good enough")));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// What went wrong; it ends the run.
    fn judge(&mut self, _steps: u64, _figures: &[(String, f64)]) -> Result<bool> {
        Ok(false)
    }

    /// Why no further step is to be done, if so; see [`Task::judge`].
    ///
    /// ```
    /// # use wgrad::train::{Metrics, Task};
    /// # use wgrad::Result;
    /// let task = |_: u64| -> Result<Metrics> { Ok(vec![]) };
    /// assert_eq!(task.stopped(), None);
    /// ```
    fn stopped(&self) -> Option<String> {
        None
    }

    /// Where the data of the next step come from, for what is said of a bad step; `None` where that is not known.
    ///
    /// ```
    /// use wgrad::data::{DataLoader, Digits};
    /// # use wgrad::train::{Metrics, Task};
    /// # use wgrad::{Device, Result};
    /// struct Read(DataLoader);
    /// impl Task for Read {
    ///     fn step(&mut self, _step: u64) -> Result<Metrics> {
    ///         self.0.next_batch().map(|_| vec![])
    ///     }
    ///     fn position(&self) -> Option<wgrad::data::Position> {
    ///         Some(self.0.position())
    ///     }
    /// }
    /// let mut task = Read(DataLoader::new(Digits::test(), 50, &Device::cpu()));
    /// task.step(0)?;
    /// assert_eq!(task.position().unwrap().batch, 1);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    fn position(&self) -> Option<Position> {
        None
    }

    /// Does a step while every value is looked at, to find what made a loss that is not finite. A task that replays captured steps
    /// does it without.
    ///
    /// ```
    /// # use wgrad::train::{Metrics, Task};
    /// # use wgrad::{Device, Result, Tensor};
    /// let device = Device::cpu();
    /// let x = Tensor::zeros([2], &device);
    /// let mut task = |_: u64| Ok(vec![("loss".to_string(), x.log().sum())]);
    /// let error = task.search(0, &device).unwrap_err();
    /// assert!(error.to_string().starts_with("log: 2 of 2 elements"));
    /// ```
    ///
    /// # Errors
    /// [`Error::NonFinite`], which names op and line.
    fn search(&mut self, step: u64, device: &Device) -> Result<()> {
        autograd::detect_anomaly(device, || self.step(step)).map(|_| ())
    }

    /// The samples of a batch in which an index occurs: their places in the batch, and their numbers in the data set.
    ///
    /// ```
    /// # use wgrad::train::{Metrics, Task};
    /// # use wgrad::{Device, Result, Tensor};
    /// let task = |_: u64| -> Result<Metrics> { Ok(vec![]) };
    /// # let loader = wgrad::data::DataLoader::new(wgrad::data::Digits::test(), 50, &Device::cpu());
    /// assert!(task.samples(loader.position(), 9)?.is_empty()); // closures do not know
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Where the batch cannot be read.
    fn samples(&self, _position: Position, _index: i64) -> Result<Vec<(usize, usize)>> {
        Ok(Vec::new())
    }

    /// Passes over the next batch: the one of a step that is left out ([`Trainer::skip_bad_batches`](crate::train::Trainer::skip_bad_batches)).
    ///
    /// ```
    /// # use wgrad::train::{Metrics, Task};
    /// # use wgrad::Result;
    /// let mut task = |_: u64| -> Result<Metrics> { Ok(vec![]) };
    /// task.pass_over()?; // closures have no batches
    /// # Ok::<(), wgrad::Error>(())
    /// ```
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
