//! What can be added to a task.

use std::sync::PoisonError;

use crate::Tensor;
use crate::amp::GradScaler;
use crate::data::DataLoader;
use crate::nn::Parameters;
use crate::optim::lr::Improvement;
use crate::optim::{Ema, Optimizer};
use crate::train::metric::Metric;
use crate::train::supervised::validate::Metered;
use crate::train::supervised::work::Clip;
use crate::train::{EarlyStopping, Supervised};

impl<M: Parameters + 'static, O: Optimizer + Send + 'static> Supervised<M, O> {
    fn edit(mut self, edit: impl FnOnce(&mut Self)) -> Self {
        // What has been recorded is no longer true.
        self.step = None;
        edit(&mut self);
        self
    }

    /// Takes so many batches a step (at least 1): gradients of the mean of their losses, then one step of the optimizer. Activations of one
    /// batch are gone before the next one's come, so memory is that of one batch. A captured step contains all of them.
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
    /// # let loader = DataLoader::new(Digits::train(), 16, &device).drop_last(true);
    /// let mut task = Supervised::new(model, optimizer, loader, &device, measure).accumulate(4);
    /// Trainer::new(3, &device).quiet().run(&mut task)?;
    /// assert_eq!(task.loader().position().batch, 12);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn accumulate(self, batches: usize) -> Self {
        self.edit(|task| task.accumulate = batches.max(1))
    }

    /// Scales gradients so that their norm over all parameters is at most `max_norm` ([`optim::clip_grad_norm`](crate::optim::clip_grad_norm)).
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
    /// let mut task = Supervised::new(model, optimizer, loader, &device, measure).clip_grad_norm(0.01);
    /// let before = task.model().weight.detach();
    /// Trainer::new(1, &device).quiet().run(&mut task)?;
    /// assert!((&task.model().weight - before).abs().max().item::<f32>()? < 0.011); // at a learning rate of 1
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn clip_grad_norm(self, max_norm: impl Into<f64>) -> Self {
        let clip = Clip::Norm(max_norm.into());
        self.edit(|task| task.work().clip = Some(clip))
    }

    /// Cuts each element of the gradients to `-max_value ..= max_value`, in place of [`Supervised::clip_grad_norm`].
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
    /// let mut task = Supervised::new(model, optimizer, loader, &device, measure).clip_grad_value(0.001);
    /// let before = task.model().weight.detach();
    /// Trainer::new(1, &device).quiet().run(&mut task)?;
    /// assert!((&task.model().weight - before).abs().max().item::<f32>()? < 0.0011); // at a learning rate of 1
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn clip_grad_value(self, max_value: impl Into<f64>) -> Self {
        let clip = Clip::Value(max_value.into());
        self.edit(|task| task.work().clip = Some(clip))
    }

    /// Forward passes in mixed precision ([`autocast`](crate::amp::autocast)), with losses scaled by `scaler`. Gradients are divided again before
    /// they are clipped and before [`Supervised::before_step`]; a step whose gradients are not finite changes nothing. The scale is part of
    /// checkpoints. A step fails where the device has no f16.
    ///
    /// ```
    /// # use wgrad::nn::{self, Linear, Module, Parameters};
    /// # use wgrad::{Device, Tensor, data::{DataLoader, Digits}, optim::Sgd, train::Metrics};
    /// use wgrad::amp::GradScaler;
    /// use wgrad::train::{Supervised, Trainer};
    /// # fn measure(model: &Linear, batch: &[Tensor]) -> Metrics {
    /// #     vec![("loss".into(), nn::loss::cross_entropy(&model.forward(&batch[0]), &batch[1]))]
    /// # }
    /// let device = Device::cpu(); // has f16 always; a GPU adapter may lack it
    /// # let model = Linear::new(64, 10, &device);
    /// # let optimizer = Sgd::new(model.parameters(), 0.5);
    /// # let loader = DataLoader::new(Digits::train(), 64, &device).drop_last(true);
    /// let task = Supervised::new(model, optimizer, loader, &device, measure);
    /// let mut task = task.mixed_precision(GradScaler::new(&device));
    /// let outcome = Trainer::new(22, &device).quiet().run(&mut task)?;
    /// assert!(outcome.history.last("loss").unwrap() < 1.5);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn mixed_precision(self, scaler: GradScaler) -> Self {
        self.edit(|task| task.work().scaler = Some(scaler))
    }

    /// Keeps an exponential moving average of the model's parameters ([`Ema`]), taken in after each step; evaluations and validations use it. It
    /// is the part `ema` of checkpoints, by the parameters' names: `model.load_matching(checkpoint.part("ema")?)`. Buffers are the model's own.
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
    /// let mut task = Supervised::new(model, optimizer, loader, &device, measure).ema(0.9);
    /// Trainer::new(5, &device).quiet().run(&mut task)?;
    /// let trained = task.model().weight.to_vec::<f32>()?;
    /// task.swap_averages()?; // from here on the model has the averages
    /// assert_ne!(task.model().weight.to_vec::<f32>()?, trained);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn ema(self, decay: f32) -> Self {
        let ema = Ema::new(self.model.parameters(), decay);
        self.edit(|task| task.work().ema = Some(ema))
    }

    /// Exchanges the model's parameters and their averages ([`Supervised::ema`]); called again, it puts them back. Nothing without averages.
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
    /// let mut task = Supervised::new(model, optimizer, loader, &device, measure).ema(0.99);
    /// task.swap_averages()?; // for the model that is kept in the end
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// The error that a parameter carries.
    #[track_caller]
    pub fn swap_averages(&mut self) -> crate::Result<()> {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        work.ema.as_ref().map_or(Ok(()), Ema::swap)
    }

    /// Data that each evaluation ([`Trainer::evaluate_every`](crate::train::Trainer::evaluate_every)) goes through once: what the loss closure
    /// measures on them, as `validation loss` and so on, is the mean over samples. The model is in evaluation mode, and no graph is kept.
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
    /// let validation = DataLoader::new(Digits::test(), 100, &device);
    /// let mut task = Supervised::new(model, optimizer, loader, &device, measure).validate(validation);
    /// let outcome = Trainer::new(10, &device).quiet().evaluate_every(5).run(&mut task)?;
    /// assert_eq!(outcome.history.series("validation loss").len(), 2);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn validate(self, loader: DataLoader) -> Self {
        self.edit(|task| task.validation = Some(loader))
    }

    /// Metrics over the data of [`Supervised::validate`]: `predict` gives predictions and targets of a batch. They are
    /// called `validation accuracy` and so on.
    ///
    /// ```
    /// # use wgrad::nn::{self, Linear, Module, Parameters};
    /// # use wgrad::{Device, Tensor, data::{DataLoader, Digits}, optim::Sgd, train::Metrics};
    /// use wgrad::train::metric::{Average, Metric};
    /// use wgrad::train::{Supervised, Trainer};
    /// # fn measure(model: &Linear, batch: &[Tensor]) -> Metrics {
    /// #     vec![("loss".into(), nn::loss::cross_entropy(&model.forward(&batch[0]), &batch[1]))]
    /// # }
    /// # let device = Device::default();
    /// # let model = Linear::new(64, 10, &device);
    /// # let optimizer = Sgd::new(model.parameters(), 0.5);
    /// # let loader = DataLoader::new(Digits::train(), 64, &device).drop_last(true);
    /// let mut task = Supervised::new(model, optimizer, loader, &device, measure)
    ///     .validate(DataLoader::new(Digits::test(), 100, &device))
    ///     .metrics([Metric::Accuracy, Metric::TopK(3), Metric::F1(Average::Macro)], |model, batch| {
    ///         (model.forward(&batch[0]), batch[1].clone())
    ///     });
    /// let outcome = Trainer::new(22, &device).quiet().evaluate_every(22).run(&mut task)?;
    /// assert!(outcome.history.last("validation top-3 accuracy") > outcome.history.last("validation accuracy"));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// A run of a task with metrics and without such data is an error.
    pub fn metrics(
        self,
        metrics: impl IntoIterator<Item = Metric>,
        predict: impl FnMut(&M, &[Tensor]) -> (Tensor, Tensor) + Send + 'static,
    ) -> Self {
        let metered = Metered { metrics: metrics.into_iter().collect(), predict: Box::new(predict) };
        self.edit(|task| task.metrics = Some(metered))
    }

    /// Ends the run where a figure has stopped improving. What it remembers is part of checkpoints, so a run that is resumed stops where an
    /// uninterrupted one would have.
    ///
    /// ```
    /// # use wgrad::nn::{self, Linear, Module, Parameters};
    /// # use wgrad::{Device, Tensor, data::{DataLoader, Digits}, optim::Sgd, train::Metrics};
    /// use wgrad::train::{EarlyStopping, Supervised, Trainer};
    /// # fn measure(model: &Linear, batch: &[Tensor]) -> Metrics {
    /// #     vec![("loss".into(), nn::loss::cross_entropy(&model.forward(&batch[0]), &batch[1]))]
    /// # }
    /// # let device = Device::default();
    /// # let model = Linear::new(64, 10, &device);
    /// # let optimizer = Sgd::new(model.parameters(), 0.0); // learns nothing
    /// # let loader = DataLoader::new(Digits::train(), 64, &device).drop_last(true);
    /// let mut task = Supervised::new(model, optimizer, loader, &device, measure)
    ///     .validate(DataLoader::new(Digits::test(), 360, &device))
    ///     .early_stopping(EarlyStopping::new("validation loss").patience(2));
    /// let outcome = Trainer::new(100, &device).quiet().evaluate_every(10).run(&mut task)?;
    /// assert_eq!(outcome.steps, 30); // at a learning rate of 0
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn early_stopping(self, stopping: EarlyStopping) -> Self {
        self.edit(|task| task.stopping = Some(stopping))
    }

    /// Writes the state with the best value of a figure to `best.safetensors` in the trainer's folder, a [`Checkpoint`](crate::train::Checkpoint) like the others. The
    /// best value is part of checkpoints.
    ///
    /// ```
    /// # use wgrad::nn::{self, Linear, Module, Parameters};
    /// # use wgrad::{Device, Tensor, data::{DataLoader, Digits}, optim::Sgd, train::Metrics};
    /// use wgrad::optim::lr::Improvement;
    /// use wgrad::train::metric::Metric;
    /// use wgrad::train::{Checkpoint, Supervised, Trainer};
    /// # fn measure(model: &Linear, batch: &[Tensor]) -> Metrics {
    /// #     vec![("loss".into(), nn::loss::cross_entropy(&model.forward(&batch[0]), &batch[1]))]
    /// # }
    /// # let device = Device::default();
    /// # let model = Linear::new(64, 10, &device);
    /// # let optimizer = Sgd::new(model.parameters(), 0.5);
    /// # let loader = DataLoader::new(Digits::train(), 64, &device).drop_last(true);
    /// # let folder = std::env::temp_dir().join(format!("wgrad-keep-best-{}", std::process::id()));
    /// let mut task = Supervised::new(model, optimizer, loader, &device, measure)
    ///     .validate(DataLoader::new(Digits::test(), 360, &device))
    ///     .metrics([Metric::Accuracy], |model, batch| (model.forward(&batch[0]), batch[1].clone()))
    ///     .keep_best("validation accuracy", Improvement::MaxAbsolute(0.0));
    /// Trainer::new(20, &device).quiet().folder(&folder).evaluate_every(5).run(&mut task)?;
    /// let (_step, accuracy) = task.best().unwrap();
    /// Checkpoint::load(folder.join("best.safetensors"), &device)?.load_model(task.model())?;
    /// assert!(accuracy > 0.5);
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn keep_best(self, figure: &str, improvement: Improvement) -> Self {
        let best = crate::train::goal::Best::new(figure, improvement);
        self.edit(|task| task.best = Some(best))
    }

    /// Step and value of the best state so far ([`Supervised::keep_best`]).
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
    /// assert_eq!(task.best(), None);
    /// ```
    pub fn best(&self) -> Option<(u64, f64)> {
        self.best.as_ref().and_then(crate::train::goal::Best::get)
    }
}
