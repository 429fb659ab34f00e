//! Moving averages of parameters.

use std::panic::Location;

use crate::error::Result;
use crate::graph::no_grad;
use crate::graph::recording::suspended;
use crate::ops::assign::Scope;
use crate::optim::driver::in_domain;
use crate::optim::state::{self, Loader};
use crate::site;
use crate::state::StateDict;
use crate::tensor::Tensor;

/// An exponential moving average of parameters, which often generalises better than they do (Polyak & Juditsky 1992; Izmailov et al.
/// 2018, arXiv 1803.05407): `a ← a + (1 − decay)(p − a)`. It starts from the parameters' values. Pass running statistics too, if
/// there are any; what is no float is copied.
///
/// ```
/// use wgrad::{Device, Tensor, optim::Ema};
/// let w = Tensor::zeros([1], &Device::default()).requires_grad();
/// let ema = Ema::new(vec![w.clone()], 0.75);
/// w.assign(&w.ones_like()); // a step of an optimizer
/// ema.update()?;
/// ema.swap()?; // evaluate with the average …
/// assert_eq!(w.item::<f32>()?, 0.25);
/// ema.swap()?; // … and go on training
/// assert_eq!(w.item::<f32>()?, 1.0);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Ema {
    parameters: Vec<Tensor>,
    averages: Vec<Tensor>,
    decay: f32,
}

impl Ema {
    /// Averages that start from the present values.
    pub fn new(parameters: Vec<Tensor>, decay: f32) -> Ema {
        let averages = suspended(|| parameters.iter().map(|p| state::value(&p.detach())).collect());
        Ema { parameters, averages, decay }
    }

    /// Takes in the parameters' present values. Captured steps may contain it, after the optimizer's step.
    ///
    /// # Errors
    /// The error that a parameter carries; a decay outside `0..=1`. Then no average has changed.
    #[track_caller]
    pub fn update(&self) -> Result<()> {
        let at = Location::caller();
        let _from = site::from(at);
        in_domain("Ema", "decay", self.decay, "[0, 1]", |d| (0.0..=1.0).contains(&d)).map_err(|e| e.or_at(at))?;
        let updates = no_grad(|| {
            let update = |(p, average): (&Tensor, &Tensor)| {
                let p = p.detach();
                let new = if p.dtype().is_float() { average.lerp(&p, 1.0 - self.decay) } else { p };
                new.check().map(|()| new)
            };
            self.parameters.iter().zip(&self.averages).map(update).collect::<Result<Vec<_>>>()
        })?;
        let moved = self.averages.iter().zip(&updates);
        moved.for_each(|(average, new)| average.advance_by(new, Scope::Value));
        Ok(())
    }

    /// Exchanges the parameters' values and the averages; called again, it puts them back.
    ///
    /// # Errors
    /// The error that a parameter or an average carries; then nothing has changed.
    #[track_caller]
    pub fn swap(&self) -> Result<()> {
        self.parameters.iter().chain(&self.averages).try_for_each(Tensor::check)?;
        for (p, average) in self.parameters.iter().zip(&self.averages) {
            let value = no_grad(|| p.detach());
            p.try_assign(&state::value(average))?;
            average.advance(&value);
        }
        Ok(())
    }

    /// The averages, in the order of the parameters.
    pub fn averages(&self) -> Vec<Tensor> {
        self.averages.iter().map(state::value).collect()
    }

    /// The averages as `average.I`.
    pub fn state_dict(&self) -> StateDict {
        let entry = |(i, average): (usize, &Tensor)| (format!("average.{i}"), state::value(average));
        self.averages.iter().enumerate().map(entry).collect()
    }

    /// Takes over what [`Ema::state_dict`] has returned.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) that names the entries that are missing, unexpected, or of another shape or type; then
    /// nothing has changed.
    #[track_caller]
    pub fn load_state_dict(&mut self, entries: &StateDict) -> Result<()> {
        let at = Location::caller();
        let _from = site::from(at);
        state::refuse_in_capture().map_err(|e| e.or_at(at))?;
        let mut loader = Loader::new("Ema", entries);
        let averages = self.averages.iter().enumerate();
        let new: Vec<_> = averages.map(|(i, average)| loader.tensor(&format!("average.{i}"), average)).collect();
        loader.finish().map_err(|e| e.or_at(at))?;
        self.averages.iter().zip(new.iter().flatten()).for_each(|(average, new)| average.advance(new));
        Ok(())
    }
}
