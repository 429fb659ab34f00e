//! What a step does with its batches.

use crate::amp::{GradScaler, autocast};
use crate::error::{Error, Result};
use crate::nn::Parameters;
use crate::optim::{self, Ema, Optimizer};
use crate::train::Metrics;
use crate::{Device, Tensor, no_grad};

type Loss<M> = Box<dyn FnMut(&M, &[Tensor]) -> Metrics + Send>;
type BeforeStep<O> = Box<dyn FnMut(&[Tensor], &mut O) -> Result<()> + Send>;

/// How gradients are limited.
#[derive(Clone, Copy)]
pub enum Clip {
    Norm(f64),
    Value(f64),
}

/// The optimizer, and everything around it that a captured step contains.
pub struct Work<M, O> {
    pub optimizer: O,
    loss: Loss<M>,
    device: Device,
    pub clip: Option<Clip>,
    pub before_step: Option<BeforeStep<O>>,
    pub scaler: Option<GradScaler>,
    pub ema: Option<Ema>,
    /// What the results of a step are called.
    pub names: Vec<String>,
}

impl<M: Parameters, O: Optimizer> Work<M, O> {
    pub fn new(optimizer: O, loss: Loss<M>, device: &Device) -> Work<M, O> {
        let device = device.clone();
        Work { optimizer, loss, device, clip: None, before_step: None, scaler: None, ema: None, names: Vec::new() }
    }

    /// The metrics of a batch, in mixed precision where that is on.
    pub fn measure(&mut self, model: &M, batch: &[Tensor]) -> Result<Metrics> {
        match self.scaler {
            Some(_) => autocast(&self.device, || (self.loss)(model, batch)),
            None => Ok((self.loss)(model, batch)),
        }
    }

    /// Gradients of `count` batches whose tensors come one after the other, then the optimizer's step.
    pub fn step(&mut self, model: &M, batches: &[Tensor], count: usize) -> Result<Vec<Tensor>> {
        let width = batches.len() / count;
        self.optimizer.zero_grad();
        let mut sums = Metrics::new();
        for batch in 0..count {
            let metrics = self.measure(model, &batches[batch * width..][..width])?;
            if let Some((_, loss)) = metrics.first() {
                let part = if count > 1 { loss / count as f64 } else { loss.clone() };
                match &self.scaler {
                    Some(scaler) => scaler.scale(&part).backward()?,
                    None => part.backward()?,
                }
            }
            add(&mut sums, metrics, count)?;
        }
        let parameters = self.optimizer.parameters().to_vec();
        if let Some(scaler) = &mut self.scaler
            && (self.clip.is_some() || self.before_step.is_some())
        {
            scaler.unscale(&self.optimizer)?;
        }
        match self.clip {
            Some(Clip::Norm(most)) => optim::clip_grad_norm(&parameters, most).check()?,
            Some(Clip::Value(most)) => optim::clip_grad_value(&parameters, most),
            None => {}
        }
        if let Some(before_step) = &mut self.before_step {
            before_step(&parameters, &mut self.optimizer)?;
        }
        match &mut self.scaler {
            Some(scaler) => {
                scaler.step(&mut self.optimizer)?;
                scaler.update()?;
            }
            None => self.optimizer.step()?,
        }
        if let Some(ema) = &self.ema {
            ema.update()?;
        }
        let (names, values) = sums.into_iter().unzip();
        self.names = names;
        Ok(values)
    }
}

/// Adds the metrics of one of `count` batches to their means.
fn add(sums: &mut Metrics, metrics: Metrics, count: usize) -> Result<()> {
    if count == 1 {
        *sums = metrics;
        return Ok(());
    }
    let parts = metrics.into_iter().map(|(name, value)| (name, no_grad(|| value.detach() / count as f64)));
    if sums.is_empty() {
        sums.extend(parts);
        return Ok(());
    }
    let parts: Metrics = parts.collect();
    if !sums.iter().map(|sum| &sum.0).eq(parts.iter().map(|part| &part.0)) {
        return Err(Error::argument("Supervised", "the batches of a step measured figures of other names"));
    }
    for ((_, sum), (_, part)) in sums.iter_mut().zip(parts) {
        *sum = no_grad(|| &*sum + part);
    }
    Ok(())
}
