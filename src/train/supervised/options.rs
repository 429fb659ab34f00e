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
    pub fn accumulate(self, batches: usize) -> Self {
        self.edit(|task| task.accumulate = batches.max(1))
    }

    /// Scales gradients so that their norm over all parameters is at most `max_norm` ([`optim::clip_grad_norm`](crate::optim::clip_grad_norm)).
    pub fn clip_grad_norm(self, max_norm: impl Into<f64>) -> Self {
        let clip = Clip::Norm(max_norm.into());
        self.edit(|task| task.work().clip = Some(clip))
    }

    /// Cuts each element of the gradients to `-max_value ..= max_value`, in place of [`Supervised::clip_grad_norm`].
    pub fn clip_grad_value(self, max_value: impl Into<f64>) -> Self {
        let clip = Clip::Value(max_value.into());
        self.edit(|task| task.work().clip = Some(clip))
    }

    /// Forward passes in mixed precision ([`autocast`](crate::amp::autocast)), with losses scaled by `scaler`. Gradients are divided again before
    /// they are clipped and before [`Supervised::before_step`]; a step whose gradients are not finite changes nothing. The scale is part of
    /// checkpoints. A step fails where the device has no f16.
    pub fn mixed_precision(self, scaler: GradScaler) -> Self {
        self.edit(|task| task.work().scaler = Some(scaler))
    }

    /// Keeps an exponential moving average of the model's parameters ([`Ema`]), taken in after each step; evaluations and validations use it. It
    /// is the part `ema` of checkpoints, by the parameters' names: `model.load_matching(checkpoint.part("ema")?)`. Buffers are the model's own.
    pub fn ema(self, decay: f32) -> Self {
        let ema = Ema::new(self.model.parameters(), decay);
        self.edit(|task| task.work().ema = Some(ema))
    }

    /// Exchanges the model's parameters and their averages ([`Supervised::ema`]); called again, it puts them back. Nothing without averages.
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
    pub fn validate(self, loader: DataLoader) -> Self {
        self.edit(|task| task.validation = Some(loader))
    }

    /// Metrics over the data of [`Supervised::validate`]: `predict` gives predictions and targets of a batch. They are
    /// called `validation accuracy` and so on.
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
    pub fn early_stopping(self, stopping: EarlyStopping) -> Self {
        self.edit(|task| task.stopping = Some(stopping))
    }

    /// Writes the state with the best value of a figure to `best.safetensors` in the trainer's folder, a [`Checkpoint`](crate::train::Checkpoint) like the others. The
    /// best value is part of checkpoints.
    pub fn keep_best(self, figure: &str, improvement: Improvement) -> Self {
        let best = crate::train::goal::Best::new(figure, improvement);
        self.edit(|task| task.best = Some(best))
    }

    /// Step and value of the best state so far ([`Supervised::keep_best`]).
    pub fn best(&self) -> Option<(u64, f64)> {
        self.best.as_ref().and_then(crate::train::goal::Best::get)
    }
}
