//! The loop around a model.

use std::panic::Location;
use std::path::{Path, PathBuf};

use web_time::Instant;

use crate::Device;
use crate::array::Array;
use crate::error::{Error, Result};
use crate::file::create_folder;
use crate::site;
use crate::train::history::Log;
use crate::train::metrics::Mean;
use crate::train::progress::{Progress, Standing};
use crate::train::watch::{self, Watch};
use crate::train::{Checkpoint, Checkpoints, History, Task};

/// Values of a checkpoint.
const SECONDS: &str = "trainer.seconds";
const HISTORY: &str = "trainer.history";

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
    dashboard: bool,
    stop_on_non_finite: bool,
    skip_bad_batches: bool,
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
    /// Whether the run is over; `false` after Ctrl-C.
    pub finished: bool,
    /// Why the task ended the run before all steps were done, if it did ([`Task::stopped`]).
    pub stopped: Option<String>,
    /// Steps done, those before a resumption included.
    pub steps: u64,
    /// The step from which the run was resumed, if it was.
    pub resumed: Option<u64>,
    /// Seconds of training, those before a resumption included.
    pub seconds: f64,
    /// All figures, those before a resumption included.
    pub history: History,
    /// Steps whose batch was left out in this run ([`Trainer::skip_bad_batches`]).
    pub skipped: Vec<u64>,
}

impl Trainer {
    /// A run of `steps` steps on `device`, which reports every 10 steps and keeps nothing.
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
            dashboard: false,
            stop_on_non_finite: true,
            skip_bad_batches: false,
        }
    }

    /// After how many steps the means of the metrics are read, shown and logged; 0 only at the end.
    pub fn report_every(self, steps: u64) -> Trainer {
        Trainer { report_every: steps, ..self }
    }

    /// After how many steps [`Task::evaluate`] is called; 0 (the default) never, else also at the end.
    pub fn evaluate_every(self, steps: u64) -> Trainer {
        Trainer { evaluate_every: steps, ..self }
    }

    /// A folder for `log.csv` (a line a report, as they come), `history.json` (at the end), checkpoints, and the best state of a task that
    /// knows one (`best.safetensors`).
    pub fn folder(self, folder: impl AsRef<Path>) -> Trainer {
        Trainer { folder: Some(folder.as_ref().to_owned()), ..self }
    }

    /// After how many steps a checkpoint is written into the folder's `checkpoints`; 0 (the default) never, else also at the end and
    /// on Ctrl-C.
    pub fn checkpoint_every(self, steps: u64) -> Trainer {
        Trainer { checkpoint_every: steps, ..self }
    }

    /// How many checkpoints are kept (default: 3).
    pub fn keep(self, checkpoints: usize) -> Trainer {
        Trainer { keep: checkpoints, ..self }
    }

    /// Whether to go on from the newest checkpoint in the folder where there is one (default: yes). A run that begins anew
    /// removes old checkpoints as it writes its own.
    pub fn resume(self, resume: bool) -> Trainer {
        Trainer { resume, ..self }
    }

    /// Whether to stop where the loss of a step, the first of its metrics, is not finite (default: yes). The losses are looked at when they
    /// are reported, and at the latest after 100 steps. The error names step, epoch and batch, and the first op that made the NaN or the
    /// infinity: the step is done again from a state before it ([`Task::search`]), the newest checkpoint's or a small one kept in memory, and
    /// that state is put back. Nor is a state that has become NaN or infinite saved over a good checkpoint.
    pub fn stop_on_non_finite(self, stop: bool) -> Trainer {
        Trainer { stop_on_non_finite: stop, ..self }
    }

    /// Whether to leave out batches with an index out of range (a token beyond the vocabulary, a label beyond the classes) and go on (default:
    /// no; such a batch ends the run, with an error that names step, epoch, batch, and the sample where that is known). The step counts as
    /// done; what it has changed is put back where the task can be saved. The metrics of each step are read, so the device waits for the host.
    pub fn skip_bad_batches(self, skip: bool) -> Trainer {
        Trainer { skip_bad_batches: skip, ..self }
    }

    /// Shows the run as a live dashboard in the terminal: progress, figures, and curves of all figures so far. Where the output is piped, and
    /// without the feature `train`, lines are printed as without it. The terminal is as before when the run ends.
    pub fn dashboard(self) -> Trainer {
        Trainer { dashboard: true, ..self }
    }

    /// Whether it evaluates now and then.
    pub(super) fn evaluates(&self) -> bool {
        self.evaluate_every > 0
    }

    /// Whether it has a folder.
    pub(super) fn has_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// Shows nothing.
    pub fn quiet(self) -> Trainer {
        Trainer { quiet: true, ..self }
    }

    /// Runs the steps that are left.
    ///
    /// # Errors
    /// The error of a step, an evaluation, or a metric; where files cannot be written; where checkpoints exist and all are damaged, or
    /// do not fit the task.
    #[track_caller]
    pub fn run(&self, task: &mut impl Task) -> Result<Outcome> {
        let _from = site::from(Location::caller());
        if self.checkpoint_every > 0 && self.folder.is_none() {
            let error = Error::argument("Trainer", "checkpoints need a folder: call Trainer::folder");
            return Err(error.or_at(Location::caller()));
        }
        task.begin(self)?;
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
        let mut state =
            TrainerState { step: 0, seconds: 0.0, history: History::new(), mean: Mean::default(), skipped: Vec::new() };
        let resumed = match &checkpoints {
            Some(checkpoints) if self.resume => self.load(checkpoints, task, &mut state)?,
            _ => None,
        };
        let log =
            self.folder.as_ref().map(|folder| Log::create(&folder.join("log.csv"), &state.history)).transpose()?;
        let progress = Progress::new(self.steps, state.step, self.quiet, self.dashboard);
        if let Some(step) = resumed {
            progress.say(&format!("resumed from the checkpoint of step {step}"));
        }
        let watch = progress.watch_compiling();
        let outcome = self.steps(task, state, checkpoints.as_ref(), log, &progress);
        drop(watch);
        progress.finish();
        let (state, finished) = outcome?;
        if let Some(folder) = &self.folder {
            state.history.save_json(folder.join("history.json"))?;
        }
        let TrainerState { step, seconds, history, skipped, .. } = state;
        let stopped = task.stopped().filter(|_| finished && step < self.steps);
        Ok(Outcome { finished, stopped, steps: step, resumed, seconds, history, skipped })
    }

    fn steps(
        &self,
        task: &mut impl Task,
        mut state: TrainerState,
        checkpoints: Option<&Checkpoints>,
        mut log: Option<Log>,
        progress: &Progress,
    ) -> Result<(TrainerState, bool)> {
        let before = state.seconds;
        let start = Instant::now();
        let (mut reported, mut reported_at) = (state.step, start);
        let mut watch = Watch::new(&self.device, self.stop_on_non_finite);
        watch.keep(state.step, task);
        while state.step < self.steps && task.stopped().is_none() {
            self.step(task, &mut state, &mut watch, progress)?;
            state.step += 1;
            progress.step();
            let due = |every: u64| every > 0 && state.step.is_multiple_of(every);
            let (last, stop) = (state.step == self.steps, stop_requested());
            let mut figures = Vec::new();
            if due(self.report_every) || last {
                let taken = state.mean.take();
                let loss = taken.as_ref().map(|figures| figures.first().map(|figure| figure.1)).map_err(Clone::clone);
                self.look(&mut watch, loss, state.step, task, checkpoints)?;
                figures = taken?;
                state.seconds = before + start.elapsed().as_secs_f64();
                let rate = (state.step - reported) as f64 / reported_at.elapsed().as_secs_f64();
                progress.report(&Standing { step: state.step, figures: &figures, rate });
                (reported, reported_at) = (state.step, Instant::now());
            }
            if watch.is_due() {
                self.look(&mut watch, state.mean.loss().map(Some), state.step, task, checkpoints)?;
            }
            if due(self.evaluate_every) || (last && self.evaluate_every > 0) {
                let evaluated = task.evaluate(state.step)?;
                state.seconds = before + start.elapsed().as_secs_f64();
                progress.say(&format!("step {:>6}  {}", state.step, super::progress::line(&evaluated)));
                figures.extend(evaluated);
            }
            let mut best = false;
            if !figures.is_empty() {
                best = task.judge(state.step, &figures)?;
                let figures: Vec<(&str, f64)> = figures.iter().map(|(name, value)| (name.as_str(), *value)).collect();
                state.history.push(state.step, state.seconds, &figures);
                log.as_mut().map_or(Ok(()), |log| log.append(&state.history))?;
                progress.chart(&state.history);
            }
            if best {
                self.save_best(&state, task)?;
            }
            let ended = task.stopped();
            if let Some(reason) = &ended {
                progress.say(&format!("stopped after step {}: {reason}", state.step));
            }
            if let Some(checkpoints) = checkpoints
                && (due(self.checkpoint_every) || last || stop || ended.is_some())
            {
                state.seconds = before + start.elapsed().as_secs_f64();
                self.look(&mut watch, state.mean.loss().map(Some), state.step, task, Some(checkpoints))?;
                self.save(&state, &watch, task, checkpoints)?;
            }
            if stop && !last && ended.is_none() {
                progress.say(&format!("stopped after step {}", state.step));
                return Ok((state, false));
            }
        }
        Ok((state, true))
    }

    /// Does the next step, or leaves its batch out.
    fn step(
        &self,
        task: &mut impl Task,
        state: &mut TrainerState,
        watch: &mut Watch,
        progress: &Progress,
    ) -> Result<()> {
        let (step, position) = (state.step, task.position());
        let before = self.skip_bad_batches.then(|| {
            let mut before = Checkpoint::new();
            task.save(&mut before).ok().map(|()| before)
        });
        let done = task.step(step).and_then(|metrics| match before {
            Some(_) => watch::read_all(&metrics).map(|()| metrics),
            None => Ok(metrics),
        });
        match (done, before) {
            (Ok(metrics), _) => {
                state.mean.add(&metrics)?;
                watch.note(step, position, &metrics);
            }
            (Err(error @ Error::IndexOutOfRange { .. }), Some(before)) => {
                progress.say(&format!("left out: {}", watch::bad_batch(error, step, position, task)));
                if let Some(before) = before {
                    task.load(&before)?;
                    task.pass_over()?;
                }
                state.skipped.push(step);
            }
            (Err(error), _) => return Err(watch::bad_batch(error, step, position, task)),
        }
        Ok(())
    }

    /// Looks at the losses since the last look where their mean, or the error of reading it, says that one is bad.
    fn look(
        &self,
        watch: &mut Watch,
        loss: Result<Option<f64>>,
        done: u64,
        task: &mut impl Task,
        checkpoints: Option<&Checkpoints>,
    ) -> Result<()> {
        if watch.suspects(&loss)
            && let Some(bad) = watch.first_bad()?
        {
            return Err(watch.explain(bad, task, checkpoints));
        }
        loss?;
        watch.keep(done, task);
        Ok(())
    }

    /// Saves a state, unless it is bad.
    fn save(&self, state: &TrainerState, watch: &Watch, task: &mut impl Task, checkpoints: &Checkpoints) -> Result<()> {
        let check = |name: &str, array: &Array| watch.check(state.step, name, array, checkpoints);
        let Err(error) = checkpoints.save_checked(state.step, &state.save(task)?, check) else { return Ok(()) };
        match watch.bad_state(&error) {
            Some(bad) => Err(watch.explain(bad, task, Some(checkpoints))),
            None => Err(error),
        }
    }

    /// Saves the best state so far.
    fn save_best(&self, state: &TrainerState, task: &impl Task) -> Result<()> {
        let Some(folder) = &self.folder else {
            return Err(Error::argument("Trainer", "the best state needs a folder: call Trainer::folder"));
        };
        state.save(task)?.save(folder.join("best.safetensors"))
    }

    /// Takes over the newest checkpoint that can be read; its step.
    fn load(&self, checkpoints: &Checkpoints, task: &mut impl Task, state: &mut TrainerState) -> Result<Option<u64>> {
        let Some(latest) = checkpoints.latest(&self.device)? else { return Ok(None) };
        for damaged in &latest.damaged {
            // A log that may be off is too quiet for this.
            eprintln!("warning: a checkpoint is passed over: {damaged}");
        }
        let checkpoint = &latest.checkpoint;
        task.load(checkpoint)?;
        *state = TrainerState {
            step: latest.step,
            seconds: checkpoint.get(SECONDS)?,
            history: History::from_csv(&checkpoint.get::<String>(HISTORY)?)?,
            mean: Mean::load(checkpoint, &self.device)?,
            skipped: Vec::new(),
        };
        Ok(Some(latest.step))
    }
}

/// Where a run is.
struct TrainerState {
    step: u64,
    seconds: f64,
    history: History,
    mean: Mean,
    skipped: Vec<u64>,
}

impl TrainerState {
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
