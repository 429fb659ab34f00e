//! The variables of captured steps: what they read and write beside inputs and outputs.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::panic::Location;
use std::sync::Arc;

use super::{Captured, State, Variant};
use crate::backend::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::node::{address, lock};
use crate::graph::number::{Formula, Rate};
use crate::graph::recording::{Rebindable, Tick};
use crate::graph::{Meta, Var, no_grad, with_location};
use crate::shape::Shape;
use crate::tensor::Tensor;

/// A variable of a captured step: a parameter, a part of an optimizer's state, a running statistic, a gradient. It lives on in
/// the step from run to run; see [`Captured::variables`].
///
/// ```
/// use wgrad::{Device, Tensor, capture};
/// let device = Device::default();
/// let total = Tensor::zeros([2], &device);
/// let own = total.clone();
/// let step = capture(&device, move |x: &[Tensor]| {
///     own.assign(&(&own + &x[0]));
///     Vec::new()
/// })?
/// .named([("total", &total)]);
/// step.run(&[Tensor::ones([2], &device)])?;
/// let variable = step.variable("total").unwrap();
/// assert!(variable.is_read() && variable.is_written());
/// assert_eq!((variable.name(), variable.get().unwrap().to_vec::<f32>()?), ("total", vec![1.0, 1.0]));
/// variable.set(&Tensor::zeros([2], &device))?;
/// assert_eq!(total.to_vec::<f32>()?, [0.0, 0.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone)]
pub struct Variable {
    name: String,
    slot: Arc<dyn Rebindable>,
    device: Device,
    read: bool,
    written: bool,
}

impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = self.slot.value().map(|var| var.shape().clone());
        write!(f, "Variable({:?}, {shape:?})", self.name)
    }
}

impl Variable {
    /// Its name: the one that [`Captured::named`] gave, that plus `.grad` for the gradient of a named tensor, else `variable.`
    /// and a number.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is the gradient of another variable.
    pub fn is_gradient(&self) -> bool {
        self.slot.is_gradient()
    }

    /// Whether a run reads its value of before the run.
    pub fn is_read(&self) -> bool {
        self.read
    }

    /// Whether a run gives it a new value.
    pub fn is_written(&self) -> bool {
        self.written
    }

    /// Its present value; `None` for a gradient that is not there.
    pub fn get(&self) -> Option<Tensor> {
        self.slot.value().map(|var| Tensor::from_var(var.detach(), &self.device))
    }

    /// Gives it another value, of the same shape and type and on the same device, for the runs to come.
    ///
    /// # Errors
    /// Where the value does not fit, or carries an error.
    #[track_caller]
    pub fn set(&self, value: &Tensor) -> Result<()> {
        let at = Location::caller();
        value.check()?;
        if !value.device().same(&self.device) {
            let devices = vec![self.device.info().name.clone(), value.device().info().name.clone()];
            return Err(Error::DeviceMismatch { op: "set".into(), devices, at: at.into() });
        }
        if let Some(present) = self.slot.value() {
            if present.shape() != value.node().shape() {
                let shapes = [present.shape(), value.node().shape()].map(Clone::clone);
                let detail = format!("the new value of {} has another shape", self.name);
                return Err(Error::shape("set", detail, &[&shapes[0], &shapes[1]]).or_at(at));
            }
            if present.dtype() != value.dtype() {
                let detail = format!("the new value of {} has another dtype", self.name);
                return Err(Error::dtype("set", detail, &[present.dtype(), value.dtype()]).or_at(at));
            }
        }
        let detached = with_location(at, || no_grad(|| value.node().detach()));
        self.slot.bind(Some(detached));
        Ok(())
    }

    pub(super) fn slot(&self) -> &Arc<dyn Rebindable> {
        &self.slot
    }

    /// Shape and type of the present value.
    pub(super) fn value(&self) -> Option<Var> {
        self.slot.value()
    }
}

impl Captured<'_> {
    /// Gives names to the tensors that the step works on, for [`Captured::variables`] and files: parameters under the names that
    /// a model gives them, for example. Their gradients get the name with `.grad`. Of two tensors with one name the later
    /// keeps it.
    pub fn named<N: Into<String>, T: std::borrow::Borrow<Tensor>>(
        mut self,
        names: impl IntoIterator<Item = (N, T)>,
    ) -> Self {
        for (name, tensor) in names {
            let name = name.into();
            self.names.retain(|(known, _)| *known != name);
            self.names.push((name, tensor.borrow().inner.clone() as Arc<dyn Rebindable>));
        }
        self
    }

    /// Types and shapes of the inputs of each recorded variant; none before the first run.
    pub fn inputs(&self) -> Vec<Vec<(DType, Shape)>> {
        let inputs = |variant: &Variant| variant.inputs.iter().map(|meta| (meta.dtype, meta.shape.clone())).collect();
        lock(&self.state).variants.iter().map(inputs).collect()
    }

    /// The step's variables, in the order in which it meets them; none before its first run.
    pub fn variables(&self) -> Vec<Variable> {
        self.table(&lock(&self.state))
    }

    /// The variable of this name.
    pub fn variable(&self, name: &str) -> Option<Variable> {
        self.variables().into_iter().find(|variable| variable.name == name)
    }

    /// The learning rates that the step follows, in the order in which it meets them: one for each group of parameters; and where a
    /// [handle](crate::optim::Sgd::momentum_rate) drives an optimizer's momentum, that too. They are how the rate of a step from a file is set.
    pub fn rates(&self) -> Vec<Rate> {
        let mut rates: Vec<Rate> = Vec::new();
        for tick in lock(&self.state).variants.iter().flat_map(|variant| &variant.ticks) {
            if let Tick::Number(_, formula) = tick {
                collect_rates(formula, &mut rates);
            }
        }
        rates
    }

    pub(super) fn table(&self, state: &State<'_>) -> Vec<Variable> {
        let mut slots: Vec<(Arc<dyn Rebindable>, bool, bool)> = Vec::new();
        let mut position: HashMap<usize, usize> = HashMap::new();
        for variant in &state.variants {
            let reads = variant.reads.iter().map(|read| (&read.slot, read.needed, false));
            for (slot, read, written) in reads.chain(variant.writes.iter().map(|(slot, _)| (slot, false, true))) {
                let at = *position.entry(address(slot)).or_insert_with(|| {
                    slots.push((slot.clone(), false, false));
                    slots.len() - 1
                });
                slots[at].1 |= read;
                slots[at].2 |= written;
            }
        }
        let own: HashMap<usize, &str> = self.names.iter().map(|(name, slot)| (address(slot), name.as_str())).collect();
        // The name of the tensor that a gradient belongs to.
        let mut owner: HashMap<usize, String> = HashMap::new();
        for (name, slot) in &self.names {
            if let (Some(cell), false) = (slot.gradient(), slot.is_gradient()) {
                owner.insert(cell, name.clone());
            }
        }
        for (i, (slot, ..)) in slots.iter().enumerate() {
            if let (Some(cell), false) = (slot.gradient(), slot.is_gradient()) {
                let name = own.get(&address(slot)).map_or_else(|| format!("variable.{i}"), |name| (*name).to_owned());
                owner.entry(cell).or_insert(name);
            }
        }
        let name = |i: usize, slot: &Arc<dyn Rebindable>| match (own.get(&address(slot)), slot.is_gradient()) {
            (Some(name), _) => (*name).to_owned(),
            (None, true) => match slot.gradient().and_then(|cell| owner.get(&cell)) {
                Some(owner) => format!("{owner}.grad"),
                None => format!("variable.{i}"),
            },
            (None, false) => format!("variable.{i}"),
        };
        let make = |(i, (slot, read, written)): (usize, (Arc<dyn Rebindable>, bool, bool))| Variable {
            name: name(i, &slot),
            slot,
            device: self.device.clone(),
            read,
            written,
        };
        slots.into_iter().enumerate().map(make).collect()
    }

    /// The step as a text for people: variables, numbers, and for each variant inputs, outputs, kernels and memory.
    pub fn describe(&self) -> String {
        let state = lock(&self.state);
        let mut text = format!("captured step on {}: {} variants\n", self.device.info(), state.variants.len());
        // Writing to a String cannot fail, here and below.
        let table = self.table(&state);
        if !table.is_empty() {
            text += "variables:\n";
        }
        for variable in &table {
            let value = variable.value().map_or("not there".to_owned(), |var| meta(var.meta()));
            let use_ = match (variable.read, variable.written) {
                (true, true) => "read and written",
                (true, false) => "read",
                (false, true) => "written",
                (false, false) => "looked at",
            };
            let _ = writeln!(text, "  {}: {value}, {use_}", variable.name);
        }
        for (v, variant) in state.variants.iter().enumerate() {
            let inputs: Vec<String> = variant.inputs.iter().map(meta).collect();
            let outputs = variant.outputs.iter().map(|(made, _)| made.shape().as_ref().map_or("?".to_owned(), meta));
            let outputs: Vec<String> = outputs.collect();
            let _ = writeln!(text, "variant {v}: ({}) -> ({})", inputs.join(", "), outputs.join(", "));
            for tick in &variant.ticks {
                let _ = match tick {
                    Tick::Seed(seed) => writeln!(text, "  seeds the random numbers with {seed}"),
                    Tick::Draw(_) => writeln!(text, "  draws a key of random numbers"),
                    Tick::Count(count) => writeln!(text, "  counts a step after {}", count.get()),
                    Tick::Number(live, formula) => writeln!(text, "  number {} = {formula}", live.get()),
                    Tick::Opaque(_) => writeln!(text, "  runs host code"),
                };
            }
            if let Some(recipe) = variant.program.recipe() {
                let _ = write!(text, "{}", recipe.summary());
            }
        }
        text
    }
}

fn meta(meta: &Meta) -> String {
    format!("{} {}", meta.dtype, meta.shape)
}

fn collect_rates(formula: &Formula, rates: &mut Vec<Rate>) {
    match formula {
        Formula::Rate(rate) => {
            if rates.iter().all(|known| known.id() != rate.id()) {
                rates.push(rate.clone());
            }
        }
        Formula::Sqrt(x) => collect_rates(x, rates),
        Formula::Two(_, operands) => operands.iter().for_each(|operand| collect_rates(operand, rates)),
        Formula::Const(_) | Formula::Count(_) => {}
    }
}
