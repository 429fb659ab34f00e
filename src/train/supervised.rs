//! The usual task: a model, an optimizer, a loader, a loss.

use std::collections::BTreeSet;
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};

use crate::data::{DataLoader, Position};
use crate::error::Result;
use crate::nn::Parameters;
use crate::optim::Optimizer;
use crate::site;
use crate::tensor::capture::{Captured, capture};
use crate::train::{Checkpoint, Metrics, Task};
use crate::{DType, Device, Tensor, autograd};

/// A step, or a schedule or evaluation around it.
type Loss<M> = Arc<dyn Fn(&M, &[Tensor]) -> Metrics + Send + Sync>;
type Schedule = Box<dyn Fn(u64) -> f32 + Send>;
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
    optimizer: Arc<Mutex<O>>,
    loader: DataLoader,
    device: Device,
    loss: Loss<M>,
    schedule: Option<Schedule>,
    evaluate: Option<Evaluate<M>>,
    before_step: fn(&[Tensor], &mut O) -> Result<()>,
    captured: bool,
    step: Option<Captured<'static>>,
    /// What the outputs of a captured step are called.
    names: Arc<Mutex<Vec<String>>>,
}

impl<M: Parameters + 'static, O: Optimizer + Send + 'static> Supervised<M, O> {
    /// A task. `loss` computes the metrics of a batch; the first is the loss, from which gradients flow, the others are only
    /// reported.
    pub fn new(
        model: M,
        optimizer: O,
        loader: DataLoader,
        device: &Device,
        loss: impl Fn(&M, &[Tensor]) -> Metrics + Send + Sync + 'static,
    ) -> Supervised<M, O> {
        Supervised {
            model: Arc::new(model),
            optimizer: Arc::new(Mutex::new(optimizer)),
            loader,
            device: device.clone(),
            loss: Arc::new(loss),
            schedule: None,
            evaluate: None,
            before_step: |_, _| Ok(()),
            captured: true,
            step: None,
            names: Arc::default(),
        }
    }

    /// The learning rate of each step, from 0.
    ///
    /// ```
    /// # use wgrad::nn::{self, Linear, Module, Parameters};
    /// # use wgrad::{Device, Tensor, data::{DataLoader, Digits}, optim::Sgd, train::Metrics};
    /// use wgrad::train::{Supervised, Trainer};
    /// # fn measure(model: &Linear, batch: &[Tensor]) -> Metrics {
    /// #     vec![("loss".into(), nn::loss::cross_entropy(&model.forward(&batch[0]), &batch[1]))]
    /// # }
    /// # let device = Device::default();
    /// # let model = Linear::new(64, 10, &device);
    /// # let optimizer = Sgd::new(model.parameters(), 0.5);
    /// # let loader = DataLoader::new(Digits::train(), 64, &device).drop_last(true);
    /// let mut task = Supervised::new(model, optimizer, loader, &device, measure).schedule(|_step| 0.0);
    /// let before = task.model().weight.to_vec::<f32>()?;
    /// Trainer::new(2, &device).quiet().run(&mut task)?;
    /// assert_eq!(task.model().weight.to_vec::<f32>()?, before); // a rate of 0 changes nothing
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn schedule(mut self, rate: impl Fn(u64) -> f32 + Send + 'static) -> Self {
        self.schedule = Some(Box::new(rate));
        self
    }

    /// What [`Trainer::evaluate_every`](crate::train::Trainer::evaluate_every) measures. The model is switched to evaluation
    /// meanwhile, and no graph is kept.
    ///
    /// ```
    /// # use wgrad::nn::{self, Linear, Module, Parameters};
    /// # use wgrad::{Device, Tensor, data::{DataLoader, Digits}, optim::Sgd, train::Metrics};
    /// use wgrad::train::{Supervised, Trainer};
    /// # fn measure(model: &Linear, batch: &[Tensor]) -> Metrics {
    /// #     vec![("loss".into(), nn::loss::cross_entropy(&model.forward(&batch[0]), &batch[1]))]
    /// # }
    /// # let device = Device::default();
    /// # let model = Linear::new(64, 10, &device);
    /// # let optimizer = Sgd::new(model.parameters(), 0.5);
    /// # let loader = DataLoader::new(Digits::train(), 64, &device).drop_last(true);
    /// let (images, labels) = Digits::test().tensors(&device);
    /// let task = Supervised::new(model, optimizer, loader, &device, measure);
    /// let mut task = task.evaluate(move |model, _steps| {
    ///     let loss = nn::loss::cross_entropy(&model.forward(&images), &labels).item::<f32>()?;
    ///     Ok(vec![("test loss".into(), f64::from(loss))])
    /// });
    /// let outcome = Trainer::new(10, &device).quiet().evaluate_every(5).run(&mut task)?;
    /// assert_eq!(outcome.history.series("test loss").len(), 2);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn evaluate(mut self, f: impl FnMut(&M, u64) -> Result<Vec<(String, f64)>> + Send + 'static) -> Self {
        self.evaluate = Some(Box::new(f));
        self
    }

    /// Called between `backward` and the optimizer's step with the parameters, such as to clip gradients.
    ///
    /// ```
    /// # use wgrad::nn::{self, Linear, Module, Parameters};
    /// # use wgrad::{Device, Tensor, data::{DataLoader, Digits}, optim::Sgd, train::Metrics};
    /// use wgrad::train::{Supervised, Trainer};
    /// # fn measure(model: &Linear, batch: &[Tensor]) -> Metrics {
    /// #     vec![("loss".into(), nn::loss::cross_entropy(&model.forward(&batch[0]), &batch[1]))]
    /// # }
    /// # let device = Device::default();
    /// # let model = Linear::new(64, 10, &device);
    /// # let optimizer = Sgd::new(model.parameters(), 1.0);
    /// # let loader = DataLoader::new(Digits::train(), 64, &device).drop_last(true);
    /// let task = Supervised::new(model, optimizer, loader, &device, measure);
    /// let mut task = task.before_step(|parameters, _optimizer| {
    ///     wgrad::optim::clip_grad_norm(parameters, 0.01);
    ///     Ok(())
    /// });
    /// let before = task.model().weight.detach();
    /// Trainer::new(1, &device).quiet().run(&mut task)?;
    /// assert!((&task.model().weight - before).abs().max().item::<f32>()? < 0.011); // at a learning rate of 1
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn before_step(mut self, f: fn(&[Tensor], &mut O) -> Result<()>) -> Self {
        self.before_step = f;
        self
    }

    /// Whether steps are captured (default: yes). A loss whose Rust code does something else from step to step must not be.
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicU32, Ordering}};
    /// # use wgrad::nn::{self, Linear, Module, Parameters};
    /// # use wgrad::{Device, Tensor, data::{DataLoader, Digits}, optim::Sgd, train::Metrics};
    /// use wgrad::train::{Supervised, Trainer};
    /// # fn measure(model: &Linear, batch: &[Tensor]) -> Metrics {
    /// #     vec![("loss".into(), nn::loss::cross_entropy(&model.forward(&batch[0]), &batch[1]))]
    /// # }
    /// # let device = Device::default();
    /// # let model = Linear::new(64, 10, &device);
    /// # let optimizer = Sgd::new(model.parameters(), 0.5);
    /// # let loader = DataLoader::new(Digits::train(), 64, &device).drop_last(true);
    /// let calls = Arc::new(AtomicU32::new(0));
    /// let counted = calls.clone();
    /// let task = Supervised::new(model, optimizer, loader, &device, move |model, batch| {
    ///     counted.fetch_add(1, Ordering::Relaxed);
    ///     measure(model, batch)
    /// });
    /// Trainer::new(3, &device).quiet().run(&mut task.captured(false))?;
    /// assert_eq!(calls.load(Ordering::Relaxed), 3); // at each step, and not once for all
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn captured(mut self, captured: bool) -> Self {
        self.captured = captured;
        self.step = None;
        self
    }

    /// The model.
    ///
    /// ```
    /// # use wgrad::nn::{self, Linear, Module, Parameters};
    /// # use wgrad::{Device, Tensor, data::{DataLoader, Digits}, optim::Sgd, train::Metrics};
    /// use wgrad::train::Supervised;
    /// # fn measure(model: &Linear, batch: &[Tensor]) -> Metrics {
    /// #     vec![("loss".into(), nn::loss::cross_entropy(&model.forward(&batch[0]), &batch[1]))]
    /// # }
    /// # let device = Device::default();
    /// # let model = Linear::new(64, 10, &device);
    /// # let optimizer = Sgd::new(model.parameters(), 0.5);
    /// # let loader = DataLoader::new(Digits::train(), 64, &device).drop_last(true);
    /// let task = Supervised::new(model, optimizer, loader, &device, measure);
    /// assert_eq!(task.model().weight.shape(), [10, 64]);
    /// ```
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The model, taken out; `None` where something else still holds it.
    ///
    /// ```
    /// # use wgrad::nn::{self, Linear, Module, Parameters};
    /// # use wgrad::{Device, Tensor, data::{DataLoader, Digits}, optim::Sgd, train::Metrics};
    /// use wgrad::train::{Supervised, Trainer};
    /// # fn measure(model: &Linear, batch: &[Tensor]) -> Metrics {
    /// #     vec![("loss".into(), nn::loss::cross_entropy(&model.forward(&batch[0]), &batch[1]))]
    /// # }
    /// # let device = Device::default();
    /// # let model = Linear::new(64, 10, &device);
    /// # let optimizer = Sgd::new(model.parameters(), 0.5);
    /// # let loader = DataLoader::new(Digits::train(), 64, &device).drop_last(true);
    /// let mut task = Supervised::new(model, optimizer, loader, &device, measure);
    /// Trainer::new(2, &device).quiet().run(&mut task)?;
    /// let trained: Linear = task.into_model().unwrap();
    /// assert_eq!(trained.weight.shape(), [10, 64]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn into_model(self) -> Option<M> {
        let Supervised { model, step, .. } = self;
        drop(step);
        Arc::into_inner(model)
    }

    /// The loader.
    ///
    /// ```
    /// # use wgrad::nn::{self, Linear, Module, Parameters};
    /// # use wgrad::{Device, Tensor, data::{DataLoader, Digits}, optim::Sgd, train::Metrics};
    /// use wgrad::train::{Supervised, Trainer};
    /// # fn measure(model: &Linear, batch: &[Tensor]) -> Metrics {
    /// #     vec![("loss".into(), nn::loss::cross_entropy(&model.forward(&batch[0]), &batch[1]))]
    /// # }
    /// # let device = Device::default();
    /// # let model = Linear::new(64, 10, &device);
    /// # let optimizer = Sgd::new(model.parameters(), 0.5);
    /// # let loader = DataLoader::new(Digits::train(), 64, &device).drop_last(true);
    /// let mut task = Supervised::new(model, optimizer, loader, &device, measure);
    /// Trainer::new(3, &device).quiet().run(&mut task)?;
    /// assert_eq!(task.loader().position().batch, 3);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn loader(&self) -> &DataLoader {
        &self.loader
    }

    /// What every step does with its batch.
    fn function(&self) -> impl FnMut(&[Tensor]) -> Result<Vec<Tensor>> + Send + 'static {
        let (model, optimizer, loss) = (self.model.clone(), self.optimizer.clone(), self.loss.clone());
        let (names, before_step) = (self.names.clone(), self.before_step);
        move |batch: &[Tensor]| {
            let metrics = loss(&model, batch);
            let mut optimizer = optimizer.lock().unwrap_or_else(PoisonError::into_inner);
            optimizer.zero_grad();
            if let Some((_, loss)) = metrics.first() {
                loss.backward()?;
            }
            let parameters = optimizer.parameters().to_vec();
            before_step(&parameters, &mut optimizer)?;
            optimizer.step()?;
            let (called, values): (Vec<String>, Vec<Tensor>) = metrics.into_iter().unzip();
            *names.lock().unwrap_or_else(PoisonError::into_inner) = called;
            Ok(values)
        }
    }

    /// Does a step, by replaying the captured one or without.
    fn advance(&mut self, step: u64, captured: bool) -> Result<Metrics> {
        if let Some(schedule) = &self.schedule {
            self.optimizer.lock().unwrap_or_else(PoisonError::into_inner).set_lr(schedule(step));
        }
        let batch = self.loader.next_batch()?;
        let values = if captured {
            if self.step.is_none() {
                self.step = Some(capture(&self.device, self.function())?);
            }
            self.step.as_ref().map_or_else(|| Ok(Vec::new()), |step| step.run(&batch))?
        } else {
            self.function()(&batch)?
        };
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(names.into_iter().zip(values).collect())
    }
}

impl<M: Parameters + 'static, O: Optimizer + Send + 'static> Task for Supervised<M, O> {
    #[track_caller]
    fn step(&mut self, step: u64) -> Result<Metrics> {
        let _from = site::from(Location::caller());
        self.advance(step, self.captured)
    }

    fn position(&self) -> Option<Position> {
        Some(self.loader.position())
    }

    #[track_caller]
    fn search(&mut self, step: u64, device: &Device) -> Result<()> {
        let _from = site::from(Location::caller());
        // Replays are not looked into.
        autograd::detect_anomaly(device, || self.advance(step, false)).map(|_| ())
    }

    fn samples(&self, position: Position, index: i64) -> Result<Vec<(usize, usize)>> {
        let (numbers, batch) = self.loader.batch_at(position)?;
        let mut rows = BTreeSet::new();
        for tensor in batch.iter().filter(|tensor| tensor.dtype().is_int()) {
            let width = tensor.shape().iter().skip(1).product::<usize>().max(1);
            let values = match tensor.dtype() {
                DType::U32 => tensor.to_vec::<u32>()?.into_iter().map(i64::from).collect(),
                _ => tensor.to_vec::<i32>()?.into_iter().map(i64::from).collect::<Vec<i64>>(),
            };
            rows.extend(values.iter().enumerate().filter(|(_, value)| **value == index).map(|(i, _)| i / width));
        }
        Ok(rows.into_iter().filter_map(|row| Some((row, *numbers.get(row)?))).collect())
    }

    fn pass_over(&mut self) -> Result<()> {
        self.loader.next_batch().map(|_| ())
    }

    fn evaluate(&mut self, steps: u64) -> Result<Vec<(String, f64)>> {
        let Some(evaluate) = &mut self.evaluate else { return Ok(Vec::new()) };
        self.model.eval();
        let figures = crate::no_grad(|| evaluate(&self.model, steps));
        self.model.train(true);
        figures
    }

    fn save(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        checkpoint.put_model(&*self.model);
        checkpoint.put_optimizer(&*self.optimizer.lock().unwrap_or_else(PoisonError::into_inner));
        checkpoint.put_loader(&self.loader);
        checkpoint.put_rng(&self.device);
        Ok(())
    }

    fn load(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        checkpoint.load_model(&*self.model)?;
        checkpoint.load_optimizer(&mut *self.optimizer.lock().unwrap_or_else(PoisonError::into_inner))?;
        checkpoint.load_loader(&mut self.loader)?;
        checkpoint.load_rng(&self.device)
    }
}
