//! The usual task: a model, an optimizer, a loader, a loss.

mod options;
mod validate;
mod work;

use std::collections::BTreeSet;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::data::{DataLoader, Position};
use crate::error::{Error, Result};
use crate::nn::{Parameters, StateDict};
use crate::optim::Optimizer;
use crate::site;
use crate::tensor::capture::{Captured, capture};
use crate::train::finder::Smooth;
use crate::train::goal::Best;
use crate::train::{Checkpoint, EarlyStopping, LrCurve, LrRange, Metrics, Task, Trainer};
use crate::{DType, Device, Tensor, autograd};
use validate::Metered;
use work::Work;

type Schedule = Box<dyn FnMut(u64) -> f32 + Send>;
type Evaluate<M> = Box<dyn FnMut(&M, u64) -> Result<Vec<(String, f64)>> + Send>;

/// A model that learns from batches: for each, the loss, its gradients, and a step of the optimizer. By default the step is
/// [captured](crate::capture): recorded once for each shape of batch, then replayed.
///
/// ```
/// use wgrad::data::{DataLoader, Digits};
/// use wgrad::nn::{Linear, Module, Parameters, loss};
/// use wgrad::optim::Adam;
/// use wgrad::train::{Supervised, Trainer};
/// use wgrad::Device;
/// let device = Device::default();
/// let model = Linear::new(64, 10, &device);
/// let optimizer = Adam::new(model.parameters(), 5e-2);
/// let loader = DataLoader::new(Digits::train(), 64, &device).shuffle(1).drop_last(true);
/// let mut task = Supervised::new(model, optimizer, loader, &device, |model, batch| {
///     vec![("loss".into(), loss::cross_entropy(&model.forward(&batch[0]), &batch[1]))]
/// })
/// .schedule(|step| 5e-2 * 0.97f32.powi(step as i32));
/// let outcome = Trainer::new(44, &device).quiet().run(&mut task)?;
/// assert!(outcome.history.last("loss").unwrap() < 0.7); // a guess among ten has 2.3
/// let weights = task.model().state_dict();
/// # let _ = weights;
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Supervised<M, O> {
    model: Arc<M>,
    work: Arc<Mutex<Work<M, O>>>,
    loader: DataLoader,
    device: Device,
    schedule: Option<Schedule>,
    evaluate: Option<Evaluate<M>>,
    validation: Option<DataLoader>,
    metrics: Option<Metered<M>>,
    /// Batches a step.
    accumulate: usize,
    stopping: Option<EarlyStopping>,
    best: Option<Best>,
    /// Names of the last evaluation's figures, until a judgement has seen them.
    evaluated: Option<Vec<String>>,
    /// Whether the run evaluates.
    evaluates: bool,
    captured: bool,
    step: Option<Captured<'static>>,
}

impl<M: Parameters + 'static, O: Optimizer + Send + 'static> Supervised<M, O> {
    /// A task. `loss` computes the metrics of a batch; the first is the loss, from which gradients flow, the others are only
    /// reported. Where steps are captured it is called once for each shape of batch.
    pub fn new(
        model: M,
        optimizer: O,
        loader: DataLoader,
        device: &Device,
        loss: impl FnMut(&M, &[Tensor]) -> Metrics + Send + 'static,
    ) -> Supervised<M, O> {
        Supervised {
            model: Arc::new(model),
            work: Arc::new(Mutex::new(Work::new(optimizer, Box::new(loss), device))),
            loader,
            device: device.clone(),
            schedule: None,
            evaluate: None,
            validation: None,
            metrics: None,
            accumulate: 1,
            stopping: None,
            best: None,
            evaluated: None,
            evaluates: false,
            captured: true,
            step: None,
        }
    }

    fn work(&self) -> MutexGuard<'_, Work<M, O>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The learning rate of each step, from 0.
    pub fn schedule(mut self, rate: impl FnMut(u64) -> f32 + Send + 'static) -> Self {
        self.schedule = Some(Box::new(rate));
        self
    }

    /// What [`Trainer::evaluate_every`](crate::train::Trainer::evaluate_every) measures. The model is switched to evaluation
    /// meanwhile, and no graph is kept.
    pub fn evaluate(mut self, f: impl FnMut(&M, u64) -> Result<Vec<(String, f64)>> + Send + 'static) -> Self {
        self.evaluate = Some(Box::new(f));
        self
    }

    /// Called between `backward` and the optimizer's step with the parameters and the optimizer, after gradients have been divided
    /// ([`Supervised::mixed_precision`]) and clipped. Where steps are captured it is called when one is recorded, and what it does to tensors is
    /// replayed.
    pub fn before_step(self, f: impl FnMut(&[Tensor], &mut O) -> Result<()> + Send + 'static) -> Self {
        self.work().before_step = Some(Box::new(f));
        self
    }

    /// Whether steps are captured (default: yes). A loss whose Rust code does something else from step to step must not be.
    pub fn captured(mut self, captured: bool) -> Self {
        self.captured = captured;
        self.step = None;
        self
    }

    /// The model.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The model, taken out; `None` where something else still holds it.
    pub fn into_model(self) -> Option<M> {
        let Supervised { model, step, work, .. } = self;
        drop((step, work));
        Arc::into_inner(model)
    }

    /// The loader.
    pub fn loader(&self) -> &DataLoader {
        &self.loader
    }

    /// Does a step, by replaying the captured one or without, at a rate of its own or that of the schedule.
    fn advance(&mut self, step: u64, captured: bool, rate: Option<f32>) -> Result<Metrics> {
        if let Some(rate) = rate.or_else(|| self.schedule.as_mut().map(|schedule| schedule(step))) {
            self.work().optimizer.set_lr(rate);
        }
        let mut batches = Vec::new();
        for _ in 0..self.accumulate {
            batches.extend(self.loader.next_batch()?);
        }
        let (model, work, count) = (self.model.clone(), self.work.clone(), self.accumulate);
        let function =
            move |batches: &[Tensor]| work.lock().unwrap_or_else(PoisonError::into_inner).step(&model, batches, count);
        let values = if captured {
            if self.step.is_none() {
                self.step = Some(capture(&self.device, function)?);
            }
            self.step.as_ref().map_or_else(|| Ok(Vec::new()), |step| step.run(&batches))?
        } else {
            function(&batches)?
        };
        let names = self.work().names.clone();
        Ok(names.into_iter().zip(values).collect())
    }

    /// Tries learning rates: from the present state on, a step at each rate of the range, then the state is put back. The losses are smoothed
    /// (an exponential mean, as in fastai and Lightning). The search ends early where the loss explodes.
    ///
    /// # Errors
    /// [`Error::Argument`] where the range makes no sense or the loss closure measures nothing; the error of a step. The state is put back all
    /// the same.
    pub fn find_lr(&mut self, range: &LrRange) -> Result<LrCurve> {
        range.check()?;
        let mut before = Checkpoint::new();
        self.save(&mut before)?;
        let outcome = self.try_rates(range);
        self.load(&before)?;
        outcome.map(LrCurve::new)
    }

    fn try_rates(&mut self, range: &LrRange) -> Result<Vec<(f32, f64)>> {
        let (mut smooth, mut lowest, mut points) = (Smooth::default(), f64::INFINITY, Vec::new());
        for step in 0..range.steps {
            let rate = range.rate(step);
            let metrics = self.advance(u64::from(step), self.captured, Some(rate))?;
            let Some((_, loss)) = metrics.first() else {
                return Err(Error::argument("find_lr", "the loss closure measured nothing"));
            };
            let loss = smooth.add(f64::from(crate::no_grad(|| loss.to_dtype(DType::F32).item::<f32>())?));
            points.push((rate, loss));
            lowest = lowest.min(loss);
            if step > 0 && (loss.is_nan() || loss > range.stop_at * lowest) {
                break;
            }
        }
        Ok(points)
    }

    /// Runs `f` on the averaged weights, where there are any, in evaluation mode and without a graph.
    fn at_rest<R>(&mut self, f: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        let swap = |task: &Self| task.work().ema.as_ref().map_or(Ok(()), crate::optim::Ema::swap);
        swap(self)?;
        self.model.eval();
        let outcome = crate::no_grad(|| f(self));
        self.model.train(true);
        swap(self)?;
        outcome
    }
}

impl<M: Parameters + 'static, O: Optimizer + Send + 'static> Task for Supervised<M, O> {
    fn begin(&mut self, trainer: &Trainer) -> Result<()> {
        self.evaluates = trainer.evaluates();
        if let Some(best) = &self.best
            && !trainer.has_folder()
        {
            let detail = format!("the state with the best {:?} needs a folder: call Trainer::folder", best.figure());
            return Err(Error::argument("Supervised", detail));
        }
        if self.metrics.is_some() && self.validation.is_none() {
            return Err(Error::argument("Supervised", "metrics need data: call Supervised::validate"));
        }
        Ok(())
    }

    #[track_caller]
    fn step(&mut self, step: u64) -> Result<Metrics> {
        let _from = site::from(Location::caller());
        self.advance(step, self.captured, None)
    }

    fn position(&self) -> Option<Position> {
        Some(self.loader.position())
    }

    #[track_caller]
    fn search(&mut self, step: u64, device: &Device) -> Result<()> {
        let _from = site::from(Location::caller());
        // Replays are not looked into.
        autograd::detect_anomaly(device, || self.advance(step, false, None)).map(|_| ())
    }

    fn samples(&self, position: Position, index: i64) -> Result<Vec<(usize, usize)>> {
        let (mut found, mut at, mut before) = (Vec::new(), position, 0);
        for _ in 0..self.accumulate {
            let (numbers, batch) = self.loader.batch_at(at)?;
            let mut rows = BTreeSet::new();
            for tensor in batch.iter().filter(|tensor| tensor.dtype().is_int()) {
                let width = tensor.shape().iter().skip(1).product::<usize>().max(1);
                let values = match tensor.dtype() {
                    DType::U32 => tensor.to_vec::<u32>()?.into_iter().map(i64::from).collect(),
                    _ => tensor.to_vec::<i32>()?.into_iter().map(i64::from).collect::<Vec<i64>>(),
                };
                rows.extend(values.iter().enumerate().filter(|(_, value)| **value == index).map(|(i, _)| i / width));
            }
            found.extend(rows.into_iter().filter_map(|row| Some((before + row, *numbers.get(row)?))));
            before += numbers.len();
            at.batch += 1;
            if at.batch >= self.loader.per_epoch() {
                (at.epoch, at.batch) = (at.epoch + 1, 0);
            }
        }
        Ok(found)
    }

    fn pass_over(&mut self) -> Result<()> {
        (0..self.accumulate).try_for_each(|_| self.loader.next_batch().map(|_| ()))
    }

    fn evaluate(&mut self, steps: u64) -> Result<Vec<(String, f64)>> {
        let figures = self.at_rest(|task| {
            let mut figures = match &mut task.evaluate {
                Some(evaluate) => evaluate(&task.model, steps)?,
                None => Vec::new(),
            };
            if let Some(loader) = &mut task.validation {
                let mut work = task.work.lock().unwrap_or_else(PoisonError::into_inner);
                figures.extend(validate::run(loader, task.metrics.as_mut(), &task.model, &mut work)?);
            }
            Ok(figures)
        })?;
        self.evaluated = Some(figures.iter().map(|(name, _)| name.clone()).collect());
        Ok(figures)
    }

    fn judge(&mut self, steps: u64, figures: &[(String, f64)]) -> Result<bool> {
        let value = |name: &str| figures.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
        let goals =
            self.stopping.as_ref().map(EarlyStopping::figure).into_iter().chain(self.best.as_ref().map(Best::figure));
        let evaluated = self.evaluated.take();
        for goal in goals {
            let measured = value(goal).is_some() || self.work().names.iter().any(|name| name == goal);
            if !measured && (evaluated.is_some() || !self.evaluates) {
                let names: Vec<&str> = figures.iter().map(|(name, _)| name.as_str()).collect();
                let hint = if self.evaluates { "" } else { "; Trainer::evaluate_every measures more" };
                let detail = format!("{goal:?} was not measured, only {}{hint}", names.join(", "));
                return Err(Error::argument("Supervised", detail));
            }
        }
        if let Some(stopping) = &mut self.stopping
            && let Some(value) = value(stopping.figure())
        {
            stopping.step(value);
        }
        match &mut self.best {
            Some(best) => Ok(value(best.figure()).is_some_and(|value| best.step(steps, value))),
            None => Ok(false),
        }
    }

    fn stopped(&self) -> Option<String> {
        self.stopping.as_ref().and_then(EarlyStopping::reason)
    }

    fn save(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        checkpoint.put_model(&*self.model);
        let work = self.work();
        checkpoint.put_optimizer(&work.optimizer);
        if let Some(ema) = &work.ema {
            checkpoint.put(
                "ema",
                self.model.named_parameters().into_iter().map(|(name, _)| name).zip(ema.averages()).collect(),
            );
        }
        if let Some(scaler) = &work.scaler {
            checkpoint.put("scaler", scaler.state_dict());
        }
        if let Some(stopping) = &self.stopping {
            stopping.save(checkpoint);
        }
        if let Some(best) = &self.best {
            best.save(checkpoint);
        }
        checkpoint.put_loader(&self.loader);
        checkpoint.put_rng(&self.device);
        Ok(())
    }

    fn load(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        checkpoint.load_model(&*self.model)?;
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        checkpoint.load_optimizer(&mut work.optimizer)?;
        if let Some(ema) = &mut work.ema {
            let averages = checkpoint.part("ema")?;
            let numbered = |(i, (name, _)): (usize, (String, Tensor))| {
                averages.get(&name).map(|average| (format!("average.{i}"), average.clone()))
            };
            let averages: StateDict =
                self.model.named_parameters().into_iter().enumerate().filter_map(numbered).collect();
            ema.load_state_dict(&averages)?;
        }
        if let Some(scaler) = &mut work.scaler {
            scaler.load_state_dict(checkpoint.part("scaler")?)?;
        }
        drop(work);
        if let Some(stopping) = &mut self.stopping {
            stopping.load(checkpoint)?;
        }
        if let Some(best) = &mut self.best {
            best.load(checkpoint)?;
        }
        checkpoint.load_loader(&mut self.loader)?;
        checkpoint.load_rng(&self.device)
    }
}
