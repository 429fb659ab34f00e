//! What all optimizers with one update a parameter share: groups, states, the step itself, saving and loading.

use std::collections::HashSet;
use std::panic::Location;

use crate::backend::Device;
use crate::error::{Error, Result};
use crate::graph::no_grad;
use crate::graph::number::{Count, Formula, Number};
use crate::graph::recording::{self, suspended};
use crate::optim::Rate;
use crate::optim::group::{Group, ParamGroup};
use crate::optim::state::{self, Entries, Loader};
use crate::tensor::Tensor;

/// A state tensor of the parameter's shape.
pub(super) struct Slot {
    /// Its name in a state dictionary, PyTorch's where it has one.
    pub name: &'static str,
    /// What its elements start from.
    pub start: f32,
}

impl Slot {
    /// A state that starts from zero.
    pub fn zero(name: &'static str) -> Slot {
        Slot { name, start: 0.0 }
    }
}

/// One kind of optimizer: its hyperparameters and what it does to a parameter.
pub(super) trait Rule {
    /// What errors call it.
    fn name(&self) -> &'static str;

    /// Hyperparameters out of their domain.
    ///
    /// # Errors
    /// Names the hyperparameter and its value.
    fn validate(&self) -> Result<()>;

    /// The state tensors that each parameter has.
    fn slots(&self) -> Vec<Slot>;

    /// Whether it counts steps.
    fn counts(&self) -> bool {
        false
    }

    /// Weight decay of groups without one of their own.
    fn weight_decay(&self) -> f32;

    /// What fits a parameter of this shape, for optimizers that do not take all.
    ///
    /// # Errors
    /// Where the parameter does not fit.
    fn accepts(&self, _parameter: &Tensor) -> Result<()> {
        Ok(())
    }

    /// The new value of the parameter, and its new states in the order of [`Rule::slots`].
    fn update(&self, cx: &Update) -> (Tensor, Vec<Tensor>);
}

/// What an update starts from.
pub(super) struct Update<'a> {
    /// The parameter.
    pub p: &'a Tensor,
    /// Its gradient.
    pub g: Tensor,
    /// The group's weight decay.
    pub weight_decay: f32,
    state: &'a State,
    rate: &'a Rate,
}

impl Update<'_> {
    /// The state tensor of this position.
    pub fn state(&self, i: usize) -> &Tensor {
        &self.state.tensors[i]
    }

    /// The gradient with the weight decay of L2 regularisation.
    pub fn decayed(&self) -> Tensor {
        if self.weight_decay == 0.0 { self.g.clone() } else { &self.g + self.p * self.weight_decay }
    }

    /// The parameter with a decoupled weight decay: `p · (1 − lr · weight_decay)`.
    pub fn shrunk(&self) -> Tensor {
        let decay = self.weight_decay;
        if decay == 0.0 { self.p.clone() } else { self.p.mul(recording::follow(1.0 - self.rate() * decay)) }
    }

    /// The learning rate as an operand.
    pub fn lr(&self) -> Number {
        self.rate.number()
    }

    /// The learning rate as a part of numbers.
    pub fn rate(&self) -> Formula {
        self.rate.formula()
    }

    /// The number of this step, from 1.
    pub fn count(&self) -> Formula {
        self.state.steps.formula() + 1.0
    }

    /// `1 − βᵗ`, in f64: in f32 it loses half its digits at the first steps.
    pub fn bias(&self, beta: f32) -> Formula {
        1.0 - Formula::from(beta).powi(self.count())
    }
}

/// The state of one parameter.
struct State {
    tensors: Vec<Tensor>,
    steps: Count,
}

impl State {
    /// Values in memory of their own, so that the first step has the structure of all others. They stay the same variables
    /// ([`Tensor::advance`]), so that captured steps know them again.
    fn new(parameter: &Tensor, slots: &[Slot]) -> Result<State> {
        let make = |slot: &Slot| {
            suspended(|| {
                let start = no_grad(|| parameter.full_like(slot.start));
                start.realize()?;
                Ok(start)
            })
        };
        Ok(State { tensors: slots.iter().map(make).collect::<Result<_>>()?, steps: Count::default() })
    }
}

/// An optimizer with one update a parameter.
pub(super) struct Driver<R> {
    pub rule: R,
    parameters: Vec<Tensor>,
    groups: Vec<Group>,
    /// The group of each parameter.
    group: Vec<usize>,
    states: Vec<Option<State>>,
    /// Learning rate of groups without one of their own.
    lr: f32,
    /// What was wrong when it was put together.
    fault: Option<Error>,
}

impl<R: Rule> Driver<R> {
    pub fn new(rule: R, groups: Vec<ParamGroup>, lr: f32) -> Driver<R> {
        let mut driver = Driver {
            rule,
            parameters: Vec::new(),
            groups: Vec::new(),
            group: Vec::new(),
            states: Vec::new(),
            lr,
            fault: None,
        };
        groups.into_iter().for_each(|group| driver.add(group));
        driver
    }

    pub fn add(&mut self, group: ParamGroup) {
        let known: HashSet<usize> = self.parameters.iter().map(Tensor::variable).collect();
        let mut new = HashSet::new();
        for (i, p) in group.parameters.iter().enumerate() {
            if known.contains(&p.variable()) || !new.insert(p.variable()) {
                let detail = format!(
                    "parameter {i} of group {} is given twice, its shape is {:?}",
                    self.groups.len(),
                    p.shape()
                );
                self.fault.get_or_insert(Error::argument(self.rule.name(), detail));
            }
        }
        self.group.extend(group.parameters.iter().map(|_| self.groups.len()));
        self.states.extend(group.parameters.iter().map(|_| None));
        self.parameters.extend(group.parameters);
        let rate = Rate::new(group.lr.unwrap_or(self.lr));
        self.groups.push(Group { rate, weight_decay: group.weight_decay });
    }

    pub fn parameters(&self) -> &[Tensor] {
        &self.parameters
    }

    pub fn rates(&self) -> Vec<Rate> {
        self.groups.iter().map(|group| group.rate.clone()).collect()
    }

    /// The first group's rate.
    pub fn rate(&self) -> Rate {
        self.groups.first().map_or_else(|| Rate::new(self.lr), |group| group.rate.clone())
    }

    #[track_caller]
    pub fn set_lr(&mut self, lr: f32) {
        self.lr = lr;
        self.groups.iter().for_each(|group| group.rate.set(lr));
    }

    fn decay(&self, group: &Group) -> f32 {
        group.weight_decay.unwrap_or_else(|| self.rule.weight_decay())
    }

    fn validate(&self) -> Result<()> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        self.rule.validate()?;
        for group in &self.groups {
            in_domain(self.rule.name(), "lr", group.rate.get(), |lr| lr >= 0.0)?;
            in_domain(self.rule.name(), "weight_decay", self.decay(group), |decay| decay >= 0.0)?;
        }
        Ok(())
    }

    pub fn step(&mut self, at: &'static Location<'static>) -> Result<()> {
        self.validate().map_err(|e| e.or_at(at))?;
        let gradients = self.gradients(at)?;
        let slots = self.rule.slots();
        for (i, _) in &gradients {
            if self.states[*i].is_none() {
                self.states[*i] = Some(State::new(&self.parameters[*i], &slots)?);
            }
        }
        // All updates are made before the first parameter changes, so that an error leaves all as they were.
        let updates = no_grad(|| {
            let mut updates = Vec::with_capacity(gradients.len());
            for (i, g) in gradients {
                let Some(state) = &self.states[i] else { continue };
                let group = &self.groups[self.group[i]];
                let p = &self.parameters[i];
                let cx = Update { p, g, weight_decay: self.decay(group), state, rate: &group.rate };
                let (value, states) = self.rule.update(&cx);
                value.check()?;
                states.iter().try_for_each(Tensor::check)?;
                updates.push((i, value, states));
            }
            Ok::<_, Error>(updates)
        })?;
        for (i, value, states) in updates {
            self.parameters[i].try_assign(&value)?;
            let Some(state) = &self.states[i] else { continue };
            state.tensors.iter().zip(&states).for_each(|(variable, new)| variable.advance(new));
            if self.rule.counts() {
                state.steps.advance();
            }
        }
        run(&self.parameters)
    }

    /// Gradients of the parameters that have one, with their positions.
    fn gradients(&self, at: &'static Location<'static>) -> Result<Vec<(usize, Tensor)>> {
        let mut out = Vec::with_capacity(self.parameters.len());
        for (i, parameter) in self.parameters.iter().enumerate() {
            parameter.check()?;
            let failed = |detail: String| Err(Error::argument(self.rule.name(), detail).or_at(at));
            if !parameter.is_leaf_with_grad() {
                return failed(format!(
                    "parameter {i} of shape {:?} was not made with requires_grad",
                    parameter.shape()
                ));
            }
            self.rule.accepts(parameter).map_err(|e| e.or_at(at))?;
            if let Some(grad) = parameter.grad() {
                grad.check()?;
                if grad.shape() != parameter.shape() || grad.dtype() != parameter.dtype() {
                    let of = |t: &Tensor| format!("{} {:?}", t.dtype(), t.shape());
                    return failed(format!("parameter {i} is {}, but its gradient is {}", of(parameter), of(&grad)));
                }
                out.push((i, grad));
            }
        }
        Ok(out)
    }

    pub fn state_dict(&self) -> Entries {
        let mut entries = Entries::new();
        let Some(device) = self.parameters.first().map(Tensor::device) else { return entries };
        for (g, group) in self.groups.iter().enumerate() {
            entries.insert(format!("group.{g}.lr"), state::number(group.rate.get(), device));
        }
        let slots = self.rule.slots();
        for (i, state) in self.states.iter().enumerate() {
            let Some(state) = state else { continue };
            for (slot, tensor) in slots.iter().zip(&state.tensors) {
                entries.insert(format!("state.{i}.{}", slot.name), state::value(tensor));
            }
            if self.rule.counts() {
                entries.insert(format!("state.{i}.step"), state::number(state.steps.get(), device));
            }
        }
        entries
    }

    pub fn load_state_dict(&mut self, entries: &Entries, at: &'static Location<'static>) -> Result<()> {
        state::refuse_in_capture().map_err(|e| e.or_at(at))?;
        let mut loader = Loader::new(self.rule.name(), entries);
        let named = !self.parameters.is_empty();
        let groups = self.groups.len();
        let rates: Vec<_> =
            (0..groups).filter(|_| named).map(|g| loader.number::<f32>(&format!("group.{g}.lr"))).collect();
        let slots = self.rule.slots();
        let mut found = Vec::with_capacity(self.parameters.len());
        for (i, parameter) in self.parameters.iter().enumerate() {
            // A parameter without a gradient so far has no state.
            if !loader.has(&format!("state.{i}.")) {
                found.push(None);
                continue;
            }
            let name = |slot: &str| format!("state.{i}.{slot}");
            let tensors: Vec<_> = slots.iter().map(|slot| loader.tensor(&name(slot.name), parameter)).collect();
            let steps = if self.rule.counts() { loader.number::<i32>(&name("step")) } else { Some(0) };
            found.push(Some((tensors, steps)));
        }
        loader.finish().map_err(|e| e.or_at(at))?;
        // Nothing fails from here on, but for the memory of fresh states, which are made first.
        for (i, new) in found.iter().enumerate() {
            if new.is_some() || self.states[i].is_some() {
                let fresh = State::new(&self.parameters[i], &slots)?;
                match &self.states[i] {
                    None => self.states[i] = Some(fresh),
                    // Variables stay what they are; a state that is not in the dictionary begins anew.
                    Some(old) if new.is_none() => {
                        old.tensors.iter().zip(&fresh.tensors).for_each(|(old, fresh)| old.advance(fresh));
                        old.steps.set(0);
                    }
                    Some(_) => {}
                }
            }
        }
        for (state, new) in self.states.iter().zip(found) {
            let (Some(state), Some((tensors, steps))) = (state, new) else { continue };
            state.tensors.iter().zip(tensors.iter().flatten()).for_each(|(variable, new)| variable.advance(new));
            state.steps.set(steps.unwrap_or(0));
        }
        for (group, rate) in self.groups.iter().zip(rates.into_iter().flatten()) {
            group.rate.set(rate);
        }
        Ok(())
    }
}

/// A hyperparameter has to be in its domain.
pub(super) fn in_domain(op: &str, name: &str, value: f32, inside: impl Fn(f32) -> bool) -> Result<()> {
    if inside(value) {
        return Ok(());
    }
    Err(Error::argument(op, format!("{name} = {value} is out of its domain")))
}

/// Runs everything that is pending on the parameters' devices.
pub(super) fn run(parameters: &[Tensor]) -> Result<()> {
    let mut done: Vec<&Device> = Vec::new();
    for device in parameters.iter().map(Tensor::device) {
        if !done.iter().any(|d| d.same(device)) {
            device.flush_pending()?;
            done.push(device);
        }
    }
    Ok(())
}
