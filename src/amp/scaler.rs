//! Dynamic loss scaling.

use std::panic::Location;

use crate::backend::Device;
use crate::error::{Error, Result};
use crate::graph::no_grad;
use crate::optim::Optimizer;
use crate::optim::driver::uncaptured;
use crate::optim::state::{self, Loader};
use crate::site;
use crate::state::StateDict;
use crate::tensor::Tensor;

/// Multiplies losses, so that small gradients do not vanish in f16, and divides gradients again before the optimizer's step. Where a
/// gradient is not finite, the step changes nothing and the scale halves; after enough good steps it doubles. (Micikevicius et al.
/// 2018, arXiv 1710.03740; PyTorch's `GradScaler`.)
///
/// All of it stays on the device, where also the check for infinities and NaN runs, and the choice between the old and the new
/// values: nothing is read back, and captured steps may contain it. See [`amp`](crate::amp) for a whole loop.
///
/// ```
/// use wgrad::{Device, Tensor, amp::GradScaler, optim::Sgd};
/// let device = Device::default();
/// let w = Tensor::ones([1], &device).requires_grad();
/// let mut optimizer = Sgd::new(vec![w.clone()], 0.5);
/// let mut scaler = GradScaler::new(&device).init_scale(1024.0);
/// scaler.scale(&w.sum()).backward()?;
/// scaler.step(&mut optimizer)?;
/// scaler.update()?;
/// assert_eq!(w.item::<f32>()?, 0.5);
///
/// optimizer.zero_grad();
/// scaler.scale(&(w.sum() * f32::INFINITY)).backward()?;
/// scaler.step(&mut optimizer)?; // changes nothing
/// scaler.update()?;
/// assert_eq!((w.item::<f32>()?, scaler.get_scale().item::<f32>()?), (0.5, 512.0));
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct GradScaler {
    /// The present scale, and the good steps since it changed: f32 scalars.
    scale: Tensor,
    tracker: Tensor,
    growth_factor: f32,
    backoff_factor: f32,
    growth_interval: u32,
    /// Optimizers (by their first parameter) whose gradients were divided since the last update, and whether these were finite.
    unscaled: Vec<(usize, Tensor)>,
    fault: Option<Error>,
}

impl GradScaler {
    /// A scale of 2¹⁶ at first, halved where gradients are not finite, doubled after 2,000 good steps in a row.
    pub fn new(device: &Device) -> GradScaler {
        let mut fault = None;
        let mut variable = |value: f32| {
            uncaptured(|| Tensor::full((), value, device)).unwrap_or_else(|error| {
                fault.get_or_insert(error);
                Tensor::full((), value, device)
            })
        };
        GradScaler {
            scale: variable(65_536.0),
            tracker: variable(0.0),
            growth_factor: 2.0,
            backoff_factor: 0.5,
            growth_interval: 2000,
            unscaled: Vec::new(),
            fault,
        }
    }

    /// The first scale.
    pub fn init_scale(self, scale: f32) -> GradScaler {
        self.scale.advance(&self.scale.full_like(scale));
        self
    }

    /// What the scale grows by.
    pub fn growth_factor(mut self, factor: f32) -> GradScaler {
        self.growth_factor = factor;
        self
    }

    /// What the scale is multiplied by where gradients are not finite.
    pub fn backoff_factor(mut self, factor: f32) -> GradScaler {
        self.backoff_factor = factor;
        self
    }

    /// Good steps in a row after which the scale grows.
    pub fn growth_interval(mut self, steps: u32) -> GradScaler {
        self.growth_interval = steps;
        self
    }

    /// The present scale, an f32 scalar on the device.
    pub fn get_scale(&self) -> Tensor {
        state::value(&self.scale)
    }

    /// The loss times the scale, in f32, for `backward`.
    #[track_caller]
    pub fn scale(&self, loss: &Tensor) -> Tensor {
        loss * &state::value(&self.scale)
    }

    /// Divides the gradients of an optimizer's parameters, for those who clip or look at them before [`GradScaler::step`].
    ///
    /// # Errors
    /// Where they were divided since the last [`GradScaler::update`]; the error that a gradient carries.
    #[track_caller]
    pub fn unscale(&mut self, optimizer: &dyn Optimizer) -> Result<()> {
        let at = Location::caller();
        let _from = site::from(at);
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let Some(key) = optimizer.parameters().first().map(Tensor::variable) else { return Ok(()) };
        if self.unscaled.iter().any(|(known, _)| *known == key) {
            let detail = "the gradients of this optimizer were divided since the last update";
            return Err(Error::argument("GradScaler", detail).or_at(at));
        }
        let finite = no_grad(|| {
            let factor = self.scale.recip();
            let mut finite: Option<Tensor> = None;
            for p in optimizer.parameters() {
                let Some(g) = p.grad() else { continue };
                g.check()?;
                // The inverse of the scale may be too small for f16: the product is in f32.
                let divided = (g * &factor).to_dtype(p.dtype());
                let good = divided.is_finite().all();
                finite = Some(finite.map_or(good.clone(), |f| f.logical_and(&good)));
                p.set_grad(Some(&divided));
            }
            Ok::<_, Error>(finite.unwrap_or_else(|| self.scale.is_finite()))
        });
        self.unscaled.push((key, finite.map_err(|e| e.or_at(at))?));
        Ok(())
    }

    /// Divides the gradients, if [`GradScaler::unscale`] has not, and makes the optimizer's step, which changes nothing where a gradient
    /// is not finite.
    ///
    /// # Errors
    /// As [`Optimizer::step`].
    #[track_caller]
    pub fn step(&mut self, optimizer: &mut dyn Optimizer) -> Result<()> {
        let _from = site::from(Location::caller());
        let Some(key) = optimizer.parameters().first().map(Tensor::variable) else { return Ok(()) };
        if !self.unscaled.iter().any(|(known, _)| *known == key) {
            self.unscale(optimizer)?;
        }
        match self.unscaled.iter().find(|(known, _)| *known == key) {
            Some((_, finite)) => optimizer.step_if(finite),
            None => Ok(()),
        }
    }

    /// Changes the scale by what was found since the last call. At the end of each iteration.
    ///
    /// # Errors
    /// Where no gradients were divided since.
    #[track_caller]
    pub fn update(&mut self) -> Result<()> {
        let _from = site::from(Location::caller());
        let found = std::mem::take(&mut self.unscaled);
        let Some(finite) = found.into_iter().map(|(_, finite)| finite).reduce(|a, b| a.logical_and(&b)) else {
            let detail = "update comes after step, and there was none";
            return Err(Error::argument("GradScaler", detail).or_at(Location::caller()));
        };
        let (scale, tracker) = no_grad(|| {
            let (scale, next) = (&self.scale, &self.tracker + 1.0);
            let grows = next.ge(self.growth_interval as f32);
            // A scale that would not be finite stays.
            let larger = scale * self.growth_factor;
            let larger = larger.is_finite().where_(&larger, scale);
            let good = grows.where_(&larger, scale);
            let tracker = finite.logical_and(grows.logical_not()).where_(&next, next.zeros_like());
            (finite.where_(&good, &(scale * self.backoff_factor)), tracker)
        });
        self.scale.advance(&scale);
        self.tracker.advance(&tracker);
        Ok(())
    }

    /// The scale and the count of good steps, as `scale` and `growth_tracker` (f32 scalars).
    pub fn state_dict(&self) -> StateDict {
        let entry = |name: &str, variable: &Tensor| (name.to_owned(), state::value(variable));
        StateDict::from([entry("scale", &self.scale), entry("growth_tracker", &self.tracker)])
    }

    /// Takes over what [`GradScaler::state_dict`] has returned.
    ///
    /// # Errors
    /// [`Error::Argument`] that names the entries that are missing, unexpected, or of another shape or type; then nothing has
    /// changed.
    #[track_caller]
    pub fn load_state_dict(&mut self, entries: &StateDict) -> Result<()> {
        let at = Location::caller();
        state::refuse_in_capture().map_err(|e| e.or_at(at))?;
        let mut loader = Loader::new("GradScaler", entries);
        let (scale, tracker) = (loader.tensor("scale", &self.scale), loader.tensor("growth_tracker", &self.tracker));
        loader.finish().map_err(|e| e.or_at(at))?;
        for (variable, new) in [(&self.scale, scale), (&self.tracker, tracker)] {
            if let Some(new) = new {
                variable.advance(&new);
            }
        }
        Ok(())
    }
}
