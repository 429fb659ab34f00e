//! Initial values, which are computed when somebody first asks for them: those that a checkpoint overwrites never are.
//!
//! A variable that is lazy in this way is bound to a node that is not registered as pending, so no flush of other work computes it. Its
//! random numbers are drawn (their key is taken) when it is made, so laziness changes no bits.

use std::any::Any;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use crate::array::Array;
use crate::backend::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::Kernel;
use crate::graph::node::lock;
use crate::graph::{GradCell, Meta, Op, Unhashed, Var, anomaly, no_grad, recording, with_location};
use crate::shape::Shape;
use crate::tensor::{Held, Inner, Tensor};

/// Nodes that an initial value may be made of.
const NODES: usize = 64;
/// Bytes of data that it may depend on, as an index does.
const DATA: u64 = 1024;

/// Whether the value of a variable is an initial one that nobody has asked for yet.
#[derive(Default)]
pub(super) struct Initial {
    waits: AtomicBool,
    begun: Mutex<()>,
}

impl Initial {
    /// For a variable whose value waits.
    fn waiting() -> Initial {
        Initial { waits: AtomicBool::new(true), begun: Mutex::default() }
    }

    /// Whether the value waits.
    pub(super) fn waits(&self) -> bool {
        self.waits.load(Ordering::Acquire)
    }
}

/// A value that the host makes when it is asked for.
#[derive(Hash)]
struct Deferred {
    meta: Meta,
    make: Unhashed<Box<dyn Fn() -> Result<Array> + Send + Sync>>,
}

impl Op for Deferred {
    fn name(&self) -> &str {
        "initial"
    }
    fn infer(&self, _inputs: &[&Meta]) -> Result<Meta> {
        Ok(self.meta.clone())
    }
    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Data
    }
    fn reference(&self, _inputs: &[&Array], _output: &Meta) -> Result<Array> {
        (self.make.0)()
    }
    fn is_source(&self) -> bool {
        true
    }
}

/// Whether a value is not computed, and made of nothing but numbers.
fn is_initial(var: &Var) -> bool {
    if var.0.error.is_some() || var.0.has_value() || recording::active() || anomaly::active() {
        return false;
    }
    let (mut stack, mut nodes, mut data) = (vec![var.clone()], 0, 0);
    while let Some(var) = stack.pop() {
        nodes += 1;
        if var.0.has_value() {
            data += var.meta().bytes();
        } else if var.0.tracked {
            return false;
        } else {
            stack.extend(var.0.inputs());
        }
        if nodes > NODES || data > DATA {
            return false;
        }
    }
    true
}

impl Inner {
    /// Computes the value that waits.
    pub(super) fn begin(&self) {
        let _one_at_a_time = lock(&self.initial.begun);
        if !self.initial.waits() {
            return;
        }
        let var = self.held();
        // The names of the value, the last one first.
        let (mut base, mut names) = (var.clone(), Vec::new());
        while !base.0.has_value() && base.is_alias() {
            let Some(inner) = base.0.with_inputs(|inputs| inputs.first().cloned()) else { break };
            names.push(std::mem::replace(&mut base, inner));
        }
        let outcome = compute(&base, &self.device);
        // Also while a step is captured, which this is no part of.
        names.iter().rev().for_each(Var::share_value_now);
        if let Err(error) = outcome {
            let op: &dyn Any = &*base.0.op;
            match op.is::<Deferred>() {
                true => self.bind_to(Var::failed(error.or_at(var.0.at), &var.0.context, var.0.at)),
                // Whoever reads it meets the error again.
                false => var.register(),
            }
        }
        self.initial.waits.store(false, Ordering::Release);
    }

    /// Binds the variable to a value that waits.
    fn rebind_initial(&self, var: Var) {
        let _one_at_a_time = lock(&self.initial.begun);
        let mut value = self.value.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let old = std::mem::replace(&mut *value, Held::unregistered(var));
        self.initial.waits.store(true, Ordering::Release);
        drop(value);
        drop(old);
    }
}

fn compute(base: &Var, device: &Device) -> Result<()> {
    let op: &dyn Any = &*base.0.op;
    match op.downcast_ref::<Deferred>() {
        _ if base.0.has_value() => Ok(()),
        Some(deferred) => {
            let made = device.upload((deferred.make.0)()?)?;
            if let Some(value) = made.0.value() {
                base.0.set_value(value);
            }
            Ok(())
        }
        None => device.compute(std::slice::from_ref(base), &[]),
    }
}

impl Inner {
    /// Notes that the variable has taken on another value before the first one was asked for.
    pub(super) fn forget_initial(&self) {
        if self.initial.waits() {
            self.initial.waits.store(false, Ordering::Release);
        }
    }
}

impl Tensor {
    /// A leaf with the value of `self`, which waits where it is an initial one; `None` where it is not.
    pub(super) fn initial_leaf(&self, cell: &Arc<GradCell>, at: &'static Location<'static>) -> Option<Tensor> {
        let var = self.inner.held();
        if !is_initial(&var) {
            return None;
        }
        let leaf = with_location(at, || no_grad(|| var.detach()).leaf(cell.clone()));
        Some(Tensor::waiting(leaf, self.device(), Some(cell.clone())))
    }

    /// A variable with this value, which waits where it is an initial one and is computed now where it is not.
    ///
    /// # Errors
    /// Where it cannot be computed.
    pub(crate) fn into_initial(self) -> Result<Tensor> {
        let var = self.inner.held();
        if is_initial(&var) {
            return Ok(Tensor::waiting(var, self.device(), None));
        }
        self.device().flush_alone(&[self.node()])?;
        Ok(self)
    }

    fn waiting(var: Var, device: &Device, cell: Option<Arc<GradCell>>) -> Tensor {
        let meta = var.meta().clone();
        let value = RwLock::new(Held::unregistered(var));
        let (device, frozen, initial) = (device.clone(), AtomicBool::new(false), Initial::waiting());
        Tensor { inner: Arc::new(Inner { value, meta, device, cell, frozen, initial }) }
    }

    /// [`Tensor::try_assign`] of an initial value of the same shape and type: it is computed when it is asked for.
    ///
    /// # Errors
    /// Where it carries an error, or cannot wait and cannot be computed.
    pub(crate) fn assign_initial(&self, value: &Tensor) -> Result<()> {
        value.check()?;
        let var = value.inner.held();
        if !is_initial(&var) {
            // Parameters are wanted as data before the first step, so that the first step looks like all others.
            value.realize()?;
            return self.try_assign(value);
        }
        let detached = with_location(var.0.at, || no_grad(|| var.detach()));
        self.inner.rebind_initial(self.inner.bound(detached));
        Ok(())
    }

    /// A tensor of f32 that the host makes when it is asked for.
    pub(crate) fn deferred(
        shape: impl Into<Shape>,
        device: &Device,
        at: &'static Location<'static>,
        make: impl Fn() -> Result<Vec<f32>> + Send + Sync + 'static,
    ) -> Tensor {
        let meta = Meta::new(shape, DType::F32);
        let values = {
            let shape = meta.shape.clone();
            move || match make()? {
                values if values.len() == shape.numel() => Ok(Array::from_vec(&shape, values)),
                values => {
                    Err(Error::Length { op: "initial".into(), shape: shape.clone(), len: values.len(), at: at.into() })
                }
            }
        };
        let op = Deferred { meta, make: Unhashed(Box::new(values)) };
        let var = with_location(at, || Var::apply_in(Arc::new(op), &[], device.context()));
        let waiting = Tensor::waiting(var, device, None);
        if recording::active() || anomaly::active() {
            waiting.inner.begin();
        }
        waiting
    }
}
