//! Metrics that stay on the device until somebody wants to see them.

use crate::error::{Error, Result};
use crate::nn::StateDict;
use crate::train::Checkpoint;
use crate::{DType, Device, Tensor, no_grad};

/// What a step measured: a name and a tensor with one element each. The first is the loss.
///
/// ```
/// use wgrad::{Device, Tensor, train::Metrics};
/// let device = Device::default();
/// let metrics: Metrics = vec![("loss".into(), Tensor::full((), 2.5, &device)), ("norm".into(), Tensor::ones([1], &device))];
/// assert!(metrics.iter().all(|(_, value)| value.numel() == 1));
/// ```
pub type Metrics = Vec<(String, Tensor)>;

/// Sums of metrics over steps.
#[derive(Default)]
pub struct Mean {
    sums: Vec<(String, Tensor)>,
    steps: u64,
}

/// The part of a checkpoint with the sums.
const PART: &str = "metrics";
/// The value of a checkpoint with the number of steps.
const STEPS: &str = "metrics.steps";

impl Mean {
    /// Adds the metrics of a step. Nothing is read.
    pub fn add(&mut self, metrics: &Metrics) -> Result<()> {
        let fresh = self.sums.is_empty();
        if !fresh && !self.sums.iter().map(|s| &s.0).eq(metrics.iter().map(|m| &m.0)) {
            let names = |list: &[(String, Tensor)]| list.iter().map(|m| m.0.clone()).collect::<Vec<_>>().join(", ");
            let detail = format!("a step measured {}, the ones before it {}", names(metrics), names(&self.sums));
            return Err(Error::argument("metrics", detail));
        }
        for (i, (name, value)) in metrics.iter().enumerate() {
            if value.numel() != 1 {
                let detail = format!("metric {name:?} has shape {:?}, not one element", value.shape());
                return Err(Error::argument("metrics", detail));
            }
            let value = no_grad(|| value.detach().to_dtype(DType::F32).reshape([0usize; 0]));
            if fresh {
                // Starts as data, so that the first step has the structure of all others and uses their plan.
                self.sums.push((name.clone(), Tensor::from_slice(&[0f32], (), value.device())));
            }
            let sum = no_grad(|| &self.sums[i].1 + &value);
            // A pending sum would keep every step's results alive.
            sum.realize()?;
            self.sums[i].1 = sum;
        }
        self.steps += 1;
        Ok(())
    }

    /// Reads the means, in one go, and begins anew.
    pub fn take(&mut self) -> Result<Vec<(String, f64)>> {
        let (sums, steps) = (std::mem::take(&mut self.sums), std::mem::take(&mut self.steps));
        let tensors: Vec<&Tensor> = sums.iter().map(|(_, sum)| sum).collect();
        if tensors.is_empty() {
            return Ok(Vec::new());
        }
        let values = Tensor::stack(&tensors, 0).to_vec::<f32>()?;
        let mean = |((name, _), sum): ((String, Tensor), f32)| (name, f64::from(sum) / steps as f64);
        Ok(sums.into_iter().zip(values).map(mean).collect())
    }

    /// Reads the sum of the first metric, the loss, which is not finite where that of a step is not; 0 before the first step.
    pub fn loss(&self) -> Result<f64> {
        self.sums.first().map_or(Ok(0.0), |(_, sum)| sum.item::<f32>().map(f64::from))
    }

    /// Puts the sums into a checkpoint, so that a run that is resumed between two reports reports the same.
    pub fn save(&self, checkpoint: &mut Checkpoint) {
        // Numbered: their order is part of the report.
        let tensors = self.sums.iter().enumerate();
        let tensors: StateDict = tensors.map(|(i, (name, sum))| (format!("{i:03} {name}"), sum.clone())).collect();
        checkpoint.put(PART, tensors);
        checkpoint.set(STEPS, self.steps);
    }

    /// The sums of a checkpoint.
    pub fn load(checkpoint: &Checkpoint, device: &Device) -> Result<Mean> {
        let named = |(name, sum): (&String, &Tensor)| {
            let name = name.split_once(' ').map_or(name.as_str(), |(_, name)| name);
            (name.to_owned(), sum.to_device(device))
        };
        Ok(Mean { sums: checkpoint.part(PART)?.iter().map(named).collect(), steps: checkpoint.get(STEPS)? })
    }
}
