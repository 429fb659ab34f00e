//! Figures over a data set that the model does not learn from.

use crate::data::DataLoader;
use crate::error::{Error, Result};
use crate::nn::Parameters;
use crate::optim::Optimizer;
use crate::train::metric::{Meter, Metric};
use crate::train::supervised::work::Work;
use crate::{DType, Tensor};

/// Predictions and targets of a batch.
pub type Predict<M> = Box<dyn FnMut(&M, &[Tensor]) -> (Tensor, Tensor) + Send>;

/// Metrics, and what they are of.
pub struct Metered<M> {
    pub metrics: Vec<Metric>,
    pub predict: Predict<M>,
}

/// The means of what the loss closure measures, by samples, and the metrics.
pub fn run<M: Parameters, O: Optimizer>(
    loader: &mut DataLoader,
    mut metered: Option<&mut Metered<M>>,
    model: &M,
    work: &mut Work<M, O>,
) -> Result<Vec<(String, f64)>> {
    let mut start = loader.position();
    (start.epoch, start.batch) = (0, 0);
    loader.restore(start)?;
    let (mut sums, mut samples): (Vec<(String, f64)>, usize) = (Vec::new(), 0);
    let mut meter = metered.as_ref().map(|metered| Meter::new(metered.metrics.iter().copied()));
    for batch in loader.epoch() {
        let batch = batch?;
        let rows = batch.first().and_then(|tensor| tensor.shape().first().copied()).unwrap_or(1);
        let measured = work.measure(model, &batch)?;
        if sums.is_empty() {
            sums.extend(measured.iter().map(|(name, _)| (name.clone(), 0.0)));
        }
        if !sums.iter().map(|sum| &sum.0).eq(measured.iter().map(|figure| &figure.0)) {
            return Err(Error::argument("Supervised", "the batches of a validation measured figures of other names"));
        }
        for (sum, (_, value)) in sums.iter_mut().zip(&measured) {
            sum.1 += f64::from(value.to_dtype(DType::F32).item::<f32>()?) * rows as f64;
        }
        samples += rows;
        if let (Some(meter), Some(metered)) = (&mut meter, &mut metered) {
            let (predictions, targets) = (metered.predict)(model, &batch);
            meter.add(&predictions, &targets)?;
        }
    }
    if samples == 0 {
        return Err(Error::argument("Supervised", format!("there is nothing to validate on in {loader:?}")));
    }
    let means = sums.into_iter().map(|(name, sum)| (name, sum / samples as f64));
    let figures = meter.map_or_else(|| Ok(Vec::new()), |meter| meter.read())?;
    Ok(means.chain(figures).map(|(name, value)| (format!("validation {name}"), value)).collect())
}
