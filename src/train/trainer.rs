//! The loop around a model.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::Device;
use crate::error::{Error, Result};
use crate::file::create_folder;
use crate::train::history::Log;
use crate::train::metrics::Mean;
use crate::train::progress::{Progress, Standing};
use crate::train::{Checkpoint, Checkpoints, History, Metrics};

/// Values of a checkpoint.
const SECONDS: &str = "trainer.seconds";
const HISTORY: &str = "trainer.history";

/// What a [`Trainer`] drives: a model in training. Closures `FnMut(u64) -> Result<Metrics>` are tasks that cannot be saved;
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

    /// Figures that are measured now and then ([`Trainer::evaluate_every`]), such as the accuracy on test data; `steps` are done.
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

/// Runs training steps: shows progress, keeps a history, writes a log and checkpoints, resumes, and on Ctrl-C saves and stops.
/// Metrics are added up on the device and read only when they are reported.
///
/// ```
/// use wgrad::optim::Sgd;
/// use wgrad::train::Trainer;
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let w = Tensor::ones([3], &device).requires_grad();
/// let mut optimizer = Sgd::new(vec![w.clone()], 0.1);
/// let outcome = Trainer::new(20, &device).quiet().report_every(5).run(&mut |_step| {
///     let loss = w.square().sum();
///     optimizer.zero_grad();
///     loss.backward()?;
///     optimizer.step()?;
///     Ok(vec![("loss".into(), loss)])
/// })?;
/// assert!(outcome.finished && outcome.history.last("loss").unwrap() < 0.1);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Trainer {
    steps: u64,
    device: Device,
    report_every: u64,
    evaluate_every: u64,
    checkpoint_every: u64,
    keep: usize,
    folder: Option<PathBuf>,
    resume: bool,
    quiet: bool,
}

/// How a run ended.
///
/// ```
/// use wgrad::train::Trainer;
/// use wgrad::{Device, Tensor};
/// let device = Device::cpu();
/// let outcome = Trainer::new(20, &device).quiet().run(&mut |_step| Ok(vec![("ones".into(), Tensor::ones([4], &device).sum())]))?;
/// assert!(outcome.finished && outcome.steps == 20 && outcome.resumed.is_none());
/// assert_eq!(outcome.history.last("ones"), Some(4.0));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether all steps are done; `false` after Ctrl-C.
    pub finished: bool,
    /// Steps done, those before a resumption included.
    pub steps: u64,
    /// The step from which the run was resumed, if it was.
    pub resumed: Option<u64>,
    /// Seconds of training, those before a resumption included.
    pub seconds: f64,
    /// All figures, those before a resumption included.
    pub history: History,
}

impl Trainer {
    /// A run of `steps` steps on `device`, which reports every 10 steps and keeps nothing.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, train::Trainer};
    /// let device = Device::default();
    /// let outcome = Trainer::new(25, &device).quiet().run(&mut |_step| Ok(vec![("one".into(), Tensor::ones([1], &device))]))?;
    /// assert_eq!(outcome.history.series("one"), [(10.0, 1.0), (20.0, 1.0), (25.0, 1.0)]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn new(steps: u64, device: &Device) -> Trainer {
        Trainer {
            steps,
            device: device.clone(),
            report_every: 10,
            evaluate_every: 0,
            checkpoint_every: 0,
            keep: 3,
            folder: None,
            resume: true,
            quiet: false,
        }
    }

    /// After how many steps the means of the metrics are read, shown and logged; 0 only at the end.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, train::Trainer};
    /// let device = Device::default();
    /// let mut task = |step: u64| Ok(vec![("step".into(), Tensor::full((), step as f32, &device))]);
    /// let outcome = Trainer::new(4, &device).quiet().report_every(2).run(&mut task)?;
    /// assert_eq!(outcome.history.series("step"), [(2.0, 0.5), (4.0, 2.5)]); // means of 0 and 1, of 2 and 3
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn report_every(self, steps: u64) -> Trainer {
        Trainer { report_every: steps, ..self }
    }

    /// After how many steps [`Task::evaluate`] is called; 0 (the default) never, else also at the end.
    ///
    /// ```
    /// # use wgrad::train::{Metrics, Task, Trainer};
    /// # use wgrad::{Device, Result};
    /// # struct Count;
    /// # impl Task for Count {
    /// #     fn step(&mut self, _step: u64) -> Result<Metrics> {
    /// #         Ok(vec![])
    /// #     }
    /// #     fn evaluate(&mut self, steps: u64) -> Result<Vec<(String, f64)>> {
    /// #         Ok(vec![("steps".into(), steps as f64)])
    /// #     }
    /// # }
    /// let trainer = Trainer::new(10, &Device::cpu()).quiet(); // of a task that measures "steps"
    /// assert!(trainer.run(&mut Count)?.history.rows().is_empty());
    /// assert_eq!(trainer.evaluate_every(5).run(&mut Count)?.history.series("steps").len(), 2);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn evaluate_every(self, steps: u64) -> Trainer {
        Trainer { evaluate_every: steps, ..self }
    }

    /// A folder for `log.csv` (a line a report, as they come), `history.json` (at the end) and checkpoints.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, train::Trainer};
    /// # let folder = std::env::temp_dir().join(format!("wgrad-trainer-folder-{}", std::process::id()));
    /// let device = Device::default();
    /// let mut task = |_step: u64| Ok(vec![("one".into(), Tensor::ones([1], &device))]);
    /// Trainer::new(20, &device).quiet().folder(&folder).run(&mut task)?;
    /// assert_eq!(std::fs::read_to_string(folder.join("log.csv")).unwrap().lines().count(), 3); // a header and two reports
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn folder(self, folder: impl AsRef<Path>) -> Trainer {
        Trainer { folder: Some(folder.as_ref().to_owned()), ..self }
    }

    /// After how many steps a checkpoint is written into the folder's `checkpoints`; 0 (the default) never, else also at the end and
    /// on Ctrl-C.
    ///
    /// ```
    /// use wgrad::{Device, train::{Checkpoints, Trainer}};
    /// # use wgrad::train::{Checkpoint, Metrics, Task};
    /// # use wgrad::Result;
    /// # struct Saved;
    /// # impl Task for Saved {
    /// #     fn step(&mut self, _step: u64) -> Result<Metrics> {
    /// #         Ok(vec![])
    /// #     }
    /// #     fn save(&self, _checkpoint: &mut Checkpoint) -> Result<()> {
    /// #         Ok(())
    /// #     }
    /// #     fn load(&mut self, _checkpoint: &Checkpoint) -> Result<()> {
    /// #         Ok(())
    /// #     }
    /// # }
    /// # let folder = std::env::temp_dir().join(format!("wgrad-trainer-checkpoint-every-{}", std::process::id()));
    /// Trainer::new(25, &Device::cpu()).quiet().folder(&folder).checkpoint_every(10).run(&mut Saved)?;
    /// assert_eq!(Checkpoints::open(folder.join("checkpoints"))?.steps()?, [10, 20, 25]);
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn checkpoint_every(self, steps: u64) -> Trainer {
        Trainer { checkpoint_every: steps, ..self }
    }

    /// How many checkpoints are kept (default: 3).
    ///
    /// ```
    /// use wgrad::{Device, train::{Checkpoints, Trainer}};
    /// # use wgrad::train::{Checkpoint, Metrics, Task};
    /// # use wgrad::Result;
    /// # struct Saved;
    /// # impl Task for Saved {
    /// #     fn step(&mut self, _step: u64) -> Result<Metrics> {
    /// #         Ok(vec![])
    /// #     }
    /// #     fn save(&self, _checkpoint: &mut Checkpoint) -> Result<()> {
    /// #         Ok(())
    /// #     }
    /// #     fn load(&mut self, _checkpoint: &Checkpoint) -> Result<()> {
    /// #         Ok(())
    /// #     }
    /// # }
    /// # let folder = std::env::temp_dir().join(format!("wgrad-trainer-keep-{}", std::process::id()));
    /// Trainer::new(5, &Device::cpu()).quiet().folder(&folder).checkpoint_every(1).keep(2).run(&mut Saved)?;
    /// assert_eq!(Checkpoints::open(folder.join("checkpoints"))?.steps()?, [4, 5]);
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn keep(self, checkpoints: usize) -> Trainer {
        Trainer { keep: checkpoints, ..self }
    }

    /// Whether to go on from the newest checkpoint in the folder where there is one (default: yes). A run that begins anew
    /// removes old checkpoints as it writes its own.
    ///
    /// ```
    /// use wgrad::{Device, train::Trainer};
    /// # use wgrad::train::{Checkpoint, Metrics, Task};
    /// # use wgrad::Result;
    /// # struct Saved;
    /// # impl Task for Saved {
    /// #     fn step(&mut self, _step: u64) -> Result<Metrics> {
    /// #         Ok(vec![])
    /// #     }
    /// #     fn save(&self, _checkpoint: &mut Checkpoint) -> Result<()> {
    /// #         Ok(())
    /// #     }
    /// #     fn load(&mut self, _checkpoint: &Checkpoint) -> Result<()> {
    /// #         Ok(())
    /// #     }
    /// # }
    /// # let folder = std::env::temp_dir().join(format!("wgrad-trainer-resume-{}", std::process::id()));
    /// let trainer = |steps| Trainer::new(steps, &Device::cpu()).quiet().folder(&folder).checkpoint_every(5);
    /// trainer(5).run(&mut Saved)?;
    /// assert_eq!(trainer(10).run(&mut Saved)?.resumed, Some(5));
    /// assert_eq!(trainer(10).resume(false).run(&mut Saved)?.resumed, None);
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn resume(self, resume: bool) -> Trainer {
        Trainer { resume, ..self }
    }

    /// Shows nothing.
    pub fn quiet(self) -> Trainer {
        Trainer { quiet: true, ..self }
    }

    /// Runs the steps that are left.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, train::Trainer};
    /// let device = Device::default();
    /// let mut task = |step: u64| Ok(vec![("step".into(), Tensor::full((), step as f32, &device))]);
    /// let outcome = Trainer::new(3, &device).quiet().run(&mut task)?;
    /// assert_eq!((outcome.steps, outcome.history.last("step")), (3, Some(1.0))); // the mean of 0, 1 and 2
    /// let error = Trainer::new(3, &device).quiet().checkpoint_every(1).run(&mut task).unwrap_err();
    /// assert!(error.to_string().contains("checkpoints need a folder"));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// The error of a step, an evaluation, or a metric; where files cannot be written; where checkpoints exist and all are damaged, or
    /// do not fit the task.
    pub fn run(&self, task: &mut impl Task) -> Result<Outcome> {
        if self.checkpoint_every > 0 && self.folder.is_none() {
            return Err(Error::argument("Trainer", "checkpoints need a folder: call Trainer::folder"));
        }
        #[cfg(feature = "train")]
        if self.checkpoint_every > 0 {
            crate::train::interrupt::listen();
        }
        if let Some(folder) = &self.folder {
            create_folder(folder)?;
        }
        let checkpoints = match (&self.folder, self.checkpoint_every) {
            (Some(folder), 1..) => Some(Checkpoints::open(folder.join("checkpoints"))?.keep(self.keep)),
            _ => None,
        };
        let mut state = State { step: 0, seconds: 0.0, history: History::new(), mean: Mean::default() };
        let resumed = match &checkpoints {
            Some(checkpoints) if self.resume => self.load(checkpoints, task, &mut state)?,
            _ => None,
        };
        let log =
            self.folder.as_ref().map(|folder| Log::create(&folder.join("log.csv"), &state.history)).transpose()?;
        let progress = Progress::new(self.steps, state.step, self.quiet);
        if let Some(step) = resumed {
            progress.say(&format!("resumed from the checkpoint of step {step}"));
        }
        let outcome = self.steps(task, state, checkpoints.as_ref(), log, &progress);
        progress.finish();
        let (state, finished) = outcome?;
        if let Some(folder) = &self.folder {
            state.history.save_json(folder.join("history.json"))?;
        }
        let State { step, seconds, history, .. } = state;
        Ok(Outcome { finished, steps: step, resumed, seconds, history })
    }

    fn steps(
        &self,
        task: &mut impl Task,
        mut state: State,
        checkpoints: Option<&Checkpoints>,
        mut log: Option<Log>,
        progress: &Progress,
    ) -> Result<(State, bool)> {
        let before = state.seconds;
        let start = Instant::now();
        let (mut reported, mut reported_at) = (state.step, start);
        while state.step < self.steps {
            let metrics = task.step(state.step)?;
            state.mean.add(&metrics)?;
            state.step += 1;
            progress.step();
            let due = |every: u64| every > 0 && state.step.is_multiple_of(every);
            let (last, stop) = (state.step == self.steps, stop_requested());
            let mut figures = Vec::new();
            if due(self.report_every) || last {
                figures = state.mean.take()?;
                state.seconds = before + start.elapsed().as_secs_f64();
                let rate = (state.step - reported) as f64 / reported_at.elapsed().as_secs_f64();
                progress.report(&Standing { step: state.step, figures: &figures, rate });
                (reported, reported_at) = (state.step, Instant::now());
            }
            if due(self.evaluate_every) || (last && self.evaluate_every > 0) {
                let evaluated = task.evaluate(state.step)?;
                state.seconds = before + start.elapsed().as_secs_f64();
                progress.say(&format!("step {:>6}  {}", state.step, super::progress::line(&evaluated)));
                figures.extend(evaluated);
            }
            if !figures.is_empty() {
                let figures: Vec<(&str, f64)> = figures.iter().map(|(name, value)| (name.as_str(), *value)).collect();
                state.history.push(state.step, state.seconds, &figures);
                log.as_mut().map_or(Ok(()), |log| log.append(&state.history))?;
            }
            if let Some(checkpoints) = checkpoints
                && (due(self.checkpoint_every) || last || stop)
            {
                state.seconds = before + start.elapsed().as_secs_f64();
                checkpoints.save(state.step, &state.save(task)?)?;
            }
            if stop && !last {
                progress.say(&format!("stopped after step {}", state.step));
                return Ok((state, false));
            }
        }
        Ok((state, true))
    }

    /// Takes over the newest checkpoint that can be read; its step.
    fn load(&self, checkpoints: &Checkpoints, task: &mut impl Task, state: &mut State) -> Result<Option<u64>> {
        let Some(latest) = checkpoints.latest(&self.device)? else { return Ok(None) };
        for damaged in &latest.damaged {
            // A log that may be off is too quiet for this.
            eprintln!("warning: a checkpoint is passed over: {damaged}");
        }
        let checkpoint = &latest.checkpoint;
        task.load(checkpoint)?;
        *state = State {
            step: latest.step,
            seconds: checkpoint.get(SECONDS)?,
            history: History::from_csv(&checkpoint.get::<String>(HISTORY)?)?,
            mean: Mean::load(checkpoint, &self.device)?,
        };
        Ok(Some(latest.step))
    }
}

/// Where a run is.
struct State {
    step: u64,
    seconds: f64,
    history: History,
    mean: Mean,
}

impl State {
    fn save(&self, task: &impl Task) -> Result<Checkpoint> {
        let mut checkpoint = Checkpoint::new();
        task.save(&mut checkpoint)?;
        self.mean.save(&mut checkpoint);
        checkpoint.set(SECONDS, self.seconds);
        checkpoint.set(HISTORY, self.history.to_csv());
        Ok(checkpoint)
    }
}

fn stop_requested() -> bool {
    #[cfg(feature = "train")]
    return crate::train::interrupt::requested();
    #[cfg(not(feature = "train"))]
    false
}
