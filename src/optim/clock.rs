//! How many steps parameters have taken, where some steps may turn out not to count.

use std::sync::{Arc, OnceLock};

use crate::backend::Device;
use crate::error::Result;
use crate::graph::number::Count;
use crate::graph::{Var, no_grad};
use crate::ops::assign::Scope;
use crate::optim::driver::uncaptured;
use crate::optim::state;
use crate::tensor::Tensor;

/// The steps of parameters that take all of them together. The host counts all steps. Which of them did not count (their condition did not
/// hold, or an index check failed) only the device knows.
#[derive(Default)]
pub(super) struct Clock {
    pub steps: Count,
    /// How many steps changed nothing, in f32; once there may be any.
    skipped: OnceLock<Tensor>,
}

impl Clock {
    /// How many of the steps changed nothing, where there may be any.
    pub fn skipped(&self) -> Option<&Tensor> {
        self.skipped.get()
    }

    /// From now on some steps may not count.
    ///
    /// # Errors
    /// Where there is no memory for the number of those.
    pub fn may_skip(&self, device: &Device) -> Result<()> {
        if self.skipped.get().is_none() {
            let zero = uncaptured(|| Tensor::zeros((), device))?;
            // Another thread may have been first; both start from zero.
            let _ = self.skipped.set(zero);
        }
        Ok(())
    }

    /// Counts a step, if `condition` holds and all of `checks` pass.
    pub fn advance(&self, condition: Option<&Tensor>, checks: &[Var]) {
        self.steps.advance();
        let Some(skipped) = self.skipped.get() else { return };
        let new = no_grad(|| match condition {
            Some(condition) => condition.where_(skipped, &(skipped + 1.0)),
            None => skipped.clone(),
        });
        match checks {
            [] if condition.is_none() => {}
            [] => skipped.advance_by(&new, Scope::Value),
            checks => skipped.advance_or(&new.together(checks), &no_grad(|| skipped + 1.0)),
        }
    }

    /// Goes on from another number of steps.
    pub fn restart(&self, steps: i32) {
        self.steps.set(steps);
        if let Some(skipped) = self.skipped.get() {
            skipped.advance(&no_grad(|| skipped.zeros_like()));
        }
    }

    /// A clock that shows the same and goes its own way. Captured steps that go by this one have to be captured anew.
    ///
    /// # Errors
    /// Where the number of steps that did not count cannot be computed.
    pub fn divide(&self) -> Result<Arc<Clock>> {
        self.steps.retire();
        let clock = Clock { steps: self.steps.get().into(), skipped: OnceLock::new() };
        if let Some(skipped) = self.skipped.get() {
            let _ = clock.skipped.set(uncaptured(|| state::value(skipped))?);
        }
        Ok(Arc::new(clock))
    }
}
