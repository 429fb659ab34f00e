//! What all optimizers with one update per parameter share: groups, states, the step itself, saving and loading.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::sync::Arc;

use foldhash::{HashMap, HashSet, HashSetExt};

use crate::backend::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::Var;
use crate::graph::no_grad;
use crate::graph::number::{Formula, Number};
use crate::graph::recording::{self, suspended};
use crate::graph::transaction;
use crate::ops::assign::Scope;
use crate::optim::Rate;
use crate::optim::clock::Clock;
use crate::optim::group::{Group, ParamGroup};
use crate::optim::state::{self, Entries, Loader};
use crate::tensor::{Operand, Tensor};

/// A state tensor, of the parameter's type.
pub(super) struct StateField {
    /// Its name in a state dictionary, PyTorch's where it has one.
    pub name: &'static str,
    /// What its elements start from; the learning rate where there is nothing.
    start: Option<f32>,
    /// Whether it is one number, and not of the parameter's shape.
    scalar: bool,
}

impl StateField {
    /// A state that starts from zero.
    pub fn zero(name: &'static str) -> StateField {
        StateField::from(name, 0.0)
    }

    /// A state that starts from this value.
    pub fn from(name: &'static str, start: f32) -> StateField {
        StateField { name, start: Some(start), scalar: false }
    }

    /// A state that starts from the learning rate.
    pub fn rate(name: &'static str) -> StateField {
        StateField { name, start: None, scalar: false }
    }

    /// A state of one number.
    pub fn scalar(name: &'static str, start: f32) -> StateField {
        StateField { name, start: Some(start), scalar: true }
    }

    /// Its first value.
    fn begin(&self, parameter: &Tensor, rate: &Rate) -> Tensor {
        let start = self.start.unwrap_or_else(|| rate.get());
        if !self.scalar {
            // The parameter's own value is not asked for: it may be about to be overwritten.
            return Tensor::full(parameter.shape(), start, parameter.device()).to_dtype(parameter.dtype());
        }
        Tensor::full((), start, parameter.device()).to_dtype(parameter.dtype())
    }
}

/// One kind of optimizer: its hyperparameters and what it does to a parameter.
pub(super) trait Rule {
    /// Hyperparameters out of their domain; `op` is what errors call the optimizer.
    ///
    /// # Errors
    /// Names the hyperparameter and its value.
    fn validate(&self, op: &str) -> Result<()>;

    /// The state tensors that each parameter has.
    fn slots(&self) -> Vec<StateField>;

    /// Whether it counts steps.
    fn counts(&self) -> bool {
        false
    }

    /// What fits a parameter of this shape, for optimizers that do not take all.
    ///
    /// # Errors
    /// Where the parameter does not fit.
    fn accepts(&self, _op: &str, _parameter: &Tensor) -> Result<()> {
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
    state: &'a ParameterState,
    rate: &'a Rate,
    /// What the momentum follows, where it is driven.
    momentum: Option<&'a Rate>,
    /// Number of the group.
    group: usize,
    /// The factors of this step so far.
    factors: &'a Factors,
    /// How many of them this update has asked for.
    asked: Cell<usize>,
}

/// Factors that parameters have in common: of one clock, one group, one position in the update, and one type.
type Factors = RefCell<HashMap<(usize, usize, usize, DType), Tensor>>;

/// A number that depends on the number of the step: known on the host, or computed on the device.
pub(super) enum Factor {
    Host(Number),
    Device(Tensor),
}

impl Operand for Factor {
    fn beside(&self, like: &Var) -> Var {
        match self {
            Factor::Host(number) => number.beside(like),
            Factor::Device(tensor) => tensor.beside(like),
        }
    }
}

/// How slowly a running mean or sum forgets: a hyperparameter, or a number that a handle drives.
#[derive(Clone)]
pub(super) enum Momentum {
    Fixed(f32),
    Driven(Formula),
}

impl Momentum {
    /// `1 − μ`.
    pub fn rest(&self) -> Momentum {
        match self {
            Momentum::Fixed(value) => Momentum::Fixed(1.0 - value),
            Momentum::Driven(formula) => Momentum::Driven(1.0 - formula.clone()),
        }
    }

    /// This share of the way from one tensor to another.
    pub fn lerp(&self, from: &Tensor, to: &Tensor) -> Tensor {
        match self {
            Momentum::Fixed(value) => from.lerp(to, *value),
            Momentum::Driven(_) => from + (to - from).mul(self.clone()),
        }
    }

    /// As a part of numbers.
    fn formula(&self) -> Formula {
        match self {
            Momentum::Fixed(value) => (*value).into(),
            Momentum::Driven(formula) => formula.clone(),
        }
    }
}

impl From<f32> for Momentum {
    fn from(value: f32) -> Momentum {
        Momentum::Fixed(value)
    }
}

impl Operand for Momentum {
    fn beside(&self, like: &Var) -> Var {
        match self {
            Momentum::Fixed(value) => value.beside(like),
            Momentum::Driven(formula) => recording::follow(formula.clone()).beside(like),
        }
    }
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

    /// The parameter with a decoupled weight decay, `p − p · lr · weight_decay`: one minus a small number would lose its digits.
    pub fn shrunk(&self) -> Tensor {
        let decay = self.weight_decay;
        if decay == 0.0 { self.p.clone() } else { self.p - self.p.mul(recording::follow(self.rate() * decay)) }
    }

    /// The parameter and the gradient that an update starts from, with the weight decay in the one or in the other.
    pub fn decay_into(&self, decoupled: bool) -> (Tensor, Tensor) {
        if decoupled { (self.shrunk(), self.g.clone()) } else { (self.p.clone(), self.decayed()) }
    }

    /// The momentum, which is `value` unless it is driven.
    pub fn momentum(&self, value: f32) -> Momentum {
        self.momentum.map_or(Momentum::Fixed(value), |rate| Momentum::Driven(rate.formula()))
    }

    /// The running mean in state `i`, with the gradient taken in.
    pub fn mean(&self, i: usize, beta: &Momentum, g: &Tensor) -> Tensor {
        self.state(i).mul(beta.clone()) + g.mul(beta.rest())
    }

    /// The learning rate as an operand.
    pub fn lr(&self) -> Number {
        self.rate.number()
    }

    /// The learning rate as a part of numbers.
    pub fn rate(&self) -> Formula {
        self.rate.formula()
    }

    /// What follows from the number of this step, from 1: by `host` from what the host counts, or, where only the device knows which
    /// steps counted, by `device` from a scalar.
    pub fn factor(&self, host: impl FnOnce(Formula) -> Formula, device: impl FnOnce(&Tensor) -> Tensor) -> Factor {
        let clock = &self.state.clock;
        let count = clock.steps.formula() + 1.0;
        let Some(skipped) = clock.skipped() else { return Factor::Host(recording::follow(host(count))) };
        let key = (clock.steps.id(), self.group, self.asked.replace(self.asked.get() + 1), self.p.dtype());
        let make = || {
            let count = skipped.zeros_like().add(recording::follow(count));
            device(&(count - skipped)).to_dtype(self.p.dtype())
        };
        Factor::Device(self.factors.borrow_mut().entry(key).or_insert_with(make).clone())
    }

    /// What follows from `1 − βᵗ`. In f64 on the host, and by `expm1` on the device: computed in f32 as it stands it loses half
    /// its digits at the first steps.
    pub fn unbiased(
        &self,
        beta: impl Into<Momentum>,
        host: impl FnOnce(Formula) -> Formula,
        device: impl FnOnce(&Tensor) -> Tensor,
    ) -> Factor {
        let beta = beta.into();
        self.factor(
            |t| host(1.0 - beta.formula().powi(t)),
            |t| {
                let exponent = match &beta {
                    Momentum::Fixed(beta) => t * f64::from(*beta).ln() as f32,
                    driven => t * t.zeros_like().add(driven.clone()).log(),
                };
                device(&-exponent.expm1())
            },
        )
    }

    /// `lr / (1 − βᵗ)`.
    pub fn unbiased_rate(&self, beta: impl Into<Momentum>) -> Factor {
        self.unbiased(beta, |bias| self.rate() / bias, |bias| bias.recip().mul(recording::follow(self.rate())))
    }

    /// `√v / √(1 − βᵗ)`.
    pub fn unbiased_root(&self, v: &Tensor, beta: f32) -> Tensor {
        v.sqrt().mul(self.unbiased(beta, |bias| 1.0 / bias.sqrt(), |bias| bias.rsqrt()))
    }
}

/// The state of one parameter.
struct ParameterState {
    tensors: Vec<Tensor>,
    clock: Arc<Clock>,
}

impl ParameterState {
    /// Values in memory of their own, so that the first step has the structure of all others. They stay the same variables
    /// ([`Tensor::advance`]), so that captured steps know them again.
    fn new(parameter: &Tensor, slots: &[StateField], rate: &Rate, clock: &Arc<Clock>) -> Result<ParameterState> {
        let tensors = slots.iter().map(|slot| uncaptured(|| slot.begin(parameter, rate))).collect::<Result<_>>()?;
        Ok(ParameterState { tensors, clock: clock.clone() })
    }
}

/// A variable that is no part of a step that is being captured: computed, or an initial value that waits.
pub(crate) fn uncaptured(make: impl FnOnce() -> Tensor) -> Result<Tensor> {
    suspended(|| no_grad(make).into_initial())
}

/// An optimizer with one update per parameter. What does not depend on the rule is compiled once, for any rule ([`Driver::any`]).
pub(super) struct Driver<R: ?Sized> {
    /// What errors call it.
    name: &'static str,
    /// Weight decay of groups without one of their own.
    pub weight_decay: f32,
    /// Whether it climbs.
    pub maximize: bool,
    /// What the momentum follows, once somebody has asked for its handle.
    momentum: Option<Rate>,
    parameters: Vec<Tensor>,
    groups: Vec<Group>,
    /// The group of each parameter.
    group: Vec<usize>,
    states: Vec<Option<ParameterState>>,
    /// Learning rate of groups without one of their own.
    lr: f32,
    /// What was wrong when it was put together.
    fault: Option<Error>,
    pub rule: R,
}

impl<R: Rule + 'static> Driver<R> {
    pub fn new(name: &'static str, rule: R, groups: Vec<ParamGroup>, lr: f32, weight_decay: f32) -> Driver<R> {
        let mut driver = Driver {
            name,
            rule,
            weight_decay,
            maximize: false,
            momentum: None,
            parameters: Vec::new(),
            groups: Vec::new(),
            group: Vec::new(),
            states: Vec::new(),
            lr,
            fault: None,
        };
        groups.into_iter().for_each(|group| driver.any_mut().add(group));
        driver
    }

    pub fn any(&self) -> &Driver<dyn Rule> {
        self
    }

    pub fn any_mut(&mut self) -> &mut Driver<dyn Rule> {
        self
    }

    /// The momentum's handle, made from its present value.
    pub fn momentum_rate(&mut self, value: impl FnOnce(&R) -> f32) -> Rate {
        let start = value(&self.rule);
        if start == 0.0 {
            self.fault
                .get_or_insert(Error::argument(self.name, "a momentum of 0 cannot be driven: begin with another"));
        }
        self.momentum.get_or_insert_with(|| Rate::new(start)).clone()
    }
}

impl Driver<dyn Rule> {
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
                self.fault.get_or_insert(Error::argument(self.name, detail));
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
        // A loop, since closures would hide the line that the error names.
        for group in &self.groups {
            group.rate.set(lr);
        }
    }

    fn decay(&self, group: &Group) -> f32 {
        group.weight_decay.unwrap_or(self.weight_decay)
    }

    fn validate(&self) -> Result<()> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        self.rule.validate(self.name)?;
        if let Some(momentum) = &self.momentum {
            // Without a momentum to begin with there is no state for it.
            in_domain(self.name, "momentum", momentum.get(), "[0, 1)", |m| (0.0..1.0).contains(&m))?;
        }
        if self.parameters.is_empty() {
            let detail = "there are no parameters: give those of a model, `model.parameters()`";
            return Err(Error::argument(self.name, detail));
        }
        for group in &self.groups {
            in_domain(self.name, "lr", group.rate.get(), "[0, ∞]", |lr| lr >= 0.0)?;
            in_domain(self.name, "weight_decay", self.decay(group), "[0, ∞]", |decay| decay >= 0.0)?;
        }
        Ok(())
    }

    /// The step, or, given a boolean scalar, what is a step where it holds and nothing where not.
    pub fn step(&mut self, condition: Option<&Tensor>, at: &'static Location<'static>) -> Result<()> {
        self.validate().map_err(|e| e.or_at(at))?;
        if let Some(condition) = condition {
            check_condition(self.name, condition).map_err(|e| e.or_at(at))?;
        }
        let gradients = self.gradients(at)?;
        // Where an index check fails that a gradient depends on, nothing changes: the device decides.
        let may_fail = gradients.iter().any(|(_, g)| g.node().0.checked);
        self.prepare(&gradients, condition.is_some() || may_fail)?;
        let unchecked: Vec<Var> = gradients.iter().map(|(_, g)| g.node()).filter(|g| g.0.is_unchecked()).collect();
        let checks: Option<Var> = unchecked.split_first().map(|(first, others)| first.together(others));
        let checks: Vec<Var> = checks.into_iter().collect();
        // All updates are made before the first parameter changes, so that an error leaves all as they were.
        let factors = Factors::default();
        let updates = no_grad(|| {
            let mut updates = Vec::with_capacity(gradients.len());
            for (i, g) in gradients {
                let Some(state) = &self.states[i] else { continue };
                let group = &self.groups[self.group[i]];
                let p = &self.parameters[i];
                let g = if self.maximize { -g } else { g };
                let (weight_decay, rate, factors) = (self.decay(group), &group.rate, &factors);
                let (momentum, group, asked) = (self.momentum.as_ref(), self.group[i], Cell::new(0));
                let (mut value, mut states) =
                    self.rule.update(&Update { p, g, weight_decay, state, rate, momentum, group, factors, asked });
                if let Some(condition) = condition {
                    value = condition.where_(&value, p);
                    for (new, old) in states.iter_mut().zip(&state.tensors) {
                        *new = condition.where_(&*new, old);
                    }
                }
                value.check()?;
                states.iter().try_for_each(Tensor::check)?;
                updates.push((i, value, states));
            }
            Ok::<_, Error>(updates)
        })?;
        let waiting = |value: &Tensor| if checks.is_empty() { value.clone() } else { value.together(&checks) };
        let mut clocks: Vec<Arc<Clock>> = Vec::new();
        for (i, value, states) in updates {
            self.parameters[i].assign_by(&waiting(&value), Scope::Value)?;
            let Some(state) = &self.states[i] else { continue };
            let states = state.tensors.iter().zip(&states);
            states.for_each(|(variable, new)| variable.advance_by(&waiting(new), Scope::Value));
            if self.rule.counts() && !clocks.iter().any(|clock| Arc::ptr_eq(clock, &state.clock)) {
                clocks.push(state.clock.clone());
            }
        }
        clocks.iter().for_each(|clock| clock.advance(condition, &checks));
        transaction::finish();
        run(&self.parameters)
    }

    /// Makes the states that are missing, and sees to it that those who share a clock take the same steps.
    fn prepare(&mut self, gradients: &[(usize, Tensor)], conditional: bool) -> Result<()> {
        let slots = self.rule.slots();
        let takes_part = |i: usize| gradients.binary_search_by_key(&i, |(own, _)| *own).is_ok();
        let clock_of =
            |states: &[Option<ParameterState>], i: usize| states[i].as_ref().map(|state| state.clock.clone());
        // Those that take part in a step without others of their clock go on by one of their own.
        for i in 0..self.states.len() {
            let Some(clock) = clock_of(&self.states, i).filter(|_| !takes_part(i)) else { continue };
            let shares = |j: &usize| self.states[*j].as_ref().is_some_and(|other| Arc::ptr_eq(&other.clock, &clock));
            let all: Vec<usize> = (0..self.states.len()).filter(shares).collect();
            if !all.iter().any(|&j| takes_part(j)) {
                continue;
            }
            let (moving, resting) = (clock.divide()?, clock.divide()?);
            for j in all {
                if let Some(state) = &mut self.states[j] {
                    state.clock = if takes_part(j) { moving.clone() } else { resting.clone() };
                }
            }
        }
        let mut begun: Vec<(Device, Arc<Clock>)> = Vec::new();
        for (i, _) in gradients {
            let parameter = &self.parameters[*i];
            let device = parameter.device();
            if self.states[*i].is_none() {
                let known = begun.iter().find(|(on, _)| on.same(device)).map(|(_, clock)| clock.clone());
                let clock = known.unwrap_or_default();
                begun.push((device.clone(), clock.clone()));
                let rate = &self.groups[self.group[*i]].rate;
                self.states[*i] = Some(ParameterState::new(parameter, &slots, rate, &clock)?);
            }
            if let (Some(state), true) = (&self.states[*i], conditional && self.rule.counts()) {
                state.clock.may_skip(device)?;
            }
        }
        Ok(())
    }

    /// Gradients of the parameters that have one, with their positions.
    fn gradients(&self, at: &'static Location<'static>) -> Result<Vec<(usize, Tensor)>> {
        let mut out = Vec::with_capacity(self.parameters.len());
        for (i, parameter) in self.parameters.iter().enumerate() {
            parameter.check()?;
            let failed = |detail: String| Err(Error::argument(self.name, detail).or_at(at));
            if !parameter.is_leaf_with_grad() {
                return failed(format!(
                    "parameter {i} of shape {:?} was not made with requires_grad",
                    parameter.shape()
                ));
            }
            self.rule.accepts(self.name, parameter).map_err(|e| e.or_at(at))?;
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
        if let Some(momentum) = &self.momentum {
            entries.insert(MOMENTUM.into(), state::number(momentum.get(), device));
        }
        let slots = self.rule.slots();
        for (i, state) in self.states.iter().enumerate() {
            let Some(state) = state else { continue };
            for (slot, tensor) in slots.iter().zip(&state.tensors) {
                entries.insert(format!("state.{i}.{}", slot.name), state::value(tensor));
            }
            if self.rule.counts() {
                let count = state::number(state.clock.steps.get(), device);
                // How many steps did not count is known on the device only.
                let step = match state.clock.skipped() {
                    Some(skipped) => no_grad(|| count - skipped.to_dtype(DType::I32)),
                    None => count,
                };
                entries.insert(format!("state.{i}.step"), step);
            }
        }
        entries
    }

    pub fn load_state_dict(&mut self, entries: &Entries, at: &'static Location<'static>) -> Result<()> {
        state::refuse_in_capture().map_err(|e| e.or_at(at))?;
        let mut loader = Loader::new(self.name, entries);
        let named = !self.parameters.is_empty();
        let groups = self.groups.len();
        let rates: Vec<_> =
            (0..groups).filter(|_| named).map(|g| loader.number::<f32>(&format!("group.{g}.lr"))).collect();
        let momentum = self.momentum.as_ref().filter(|_| named).and_then(|_| loader.number::<f32>(MOMENTUM));
        let slots = self.rule.slots();
        let mut found = Vec::with_capacity(self.parameters.len());
        for (i, parameter) in self.parameters.iter().enumerate() {
            // A parameter without a gradient so far has no state.
            if !loader.has(&format!("state.{i}.")) {
                found.push(None);
                continue;
            }
            let name = |slot: &str| format!("state.{i}.{slot}");
            let rate = &self.groups[self.group[i]].rate;
            let tensors: Vec<_> =
                slots.iter().map(|slot| loader.tensor(&name(slot.name), &slot.begin(parameter, rate))).collect();
            let steps = if self.rule.counts() { loader.number::<i32>(&name("step")) } else { Some(0) };
            found.push(Some((tensors, steps)));
        }
        loader.finish().map_err(|e| e.or_at(at))?;
        // Nothing fails from here on, but for the memory of fresh states, which are made first.
        for (i, new) in found.iter().enumerate() {
            if new.is_some() || self.states[i].is_some() {
                let rate = &self.groups[self.group[i]].rate;
                let fresh = ParameterState::new(&self.parameters[i], &slots, rate, &Arc::default())?;
                match &self.states[i] {
                    None => self.states[i] = Some(fresh),
                    // Variables stay what they are; a state that is not in the dictionary begins anew.
                    Some(old) if new.is_none() => {
                        old.tensors.iter().zip(&fresh.tensors).for_each(|(old, fresh)| old.advance(fresh));
                    }
                    Some(_) => {}
                }
            }
        }
        let mut steps = Vec::with_capacity(found.len());
        for (state, new) in self.states.iter().zip(found) {
            let (tensors, count) = new.unwrap_or_default();
            steps.push(count.unwrap_or(0));
            let Some(state) = state else { continue };
            state.tensors.iter().zip(tensors.iter().flatten()).for_each(|(variable, new)| variable.advance(new));
        }
        self.restart(&steps)?;
        for (group, rate) in self.groups.iter().zip(rates.into_iter().flatten()) {
            group.rate.set(rate);
        }
        if let (Some(handle), Some(momentum)) = (&self.momentum, momentum) {
            handle.set(momentum);
        }
        Ok(())
    }
}

impl Driver<dyn Rule> {
    /// Sets how many steps each parameter has taken. Those who share a clock keep it where they agree.
    fn restart(&mut self, steps: &[i32]) -> Result<()> {
        let mut known: Vec<(Arc<Clock>, i32, Arc<Clock>)> = Vec::new();
        for i in 0..self.states.len() {
            let Some(old) = self.states[i].as_ref().map(|state| state.clock.clone()) else { continue };
            let same = |(of, count, _): &&(Arc<Clock>, i32, Arc<Clock>)| Arc::ptr_eq(of, &old) && *count == steps[i];
            let new = match known.iter().find(same) {
                Some((.., new)) => new.clone(),
                None => {
                    let mut all = self.states.iter().zip(steps);
                    let mut own =
                        all.by_ref().filter(|(state, _)| state.as_ref().is_some_and(|s| Arc::ptr_eq(&s.clock, &old)));
                    let agree =
                        own.all(|(_, count)| *count == steps[i]) && known.iter().all(|(of, ..)| !Arc::ptr_eq(of, &old));
                    let new = if agree { old.clone() } else { old.divide()? };
                    new.restart(steps[i]);
                    known.push((old, steps[i], new.clone()));
                    new
                }
            };
            if let Some(state) = &mut self.states[i] {
                state.clock = new;
            }
        }
        Ok(())
    }
}

/// The entry of a driven momentum.
const MOMENTUM: &str = "momentum";

/// A hyperparameter has to be in its domain, which the error names.
pub(super) fn in_domain(op: &str, name: &str, value: f32, domain: &str, inside: impl Fn(f32) -> bool) -> Result<()> {
    if inside(value) {
        return Ok(());
    }
    Err(Error::argument(op, format!("{name} = {value} is out of its domain, which is {domain}")))
}

/// Hyperparameters that must not be negative, by name.
pub(super) fn not_negative(op: &str, values: &[(&str, f32)]) -> Result<()> {
    values.iter().try_for_each(|(name, value)| in_domain(op, name, *value, "[0, ∞]", |v| v >= 0.0))
}

/// Decay rates lie in 0..1.
pub(super) fn valid_betas(op: &str, betas: (f32, f32)) -> Result<()> {
    in_domain(op, "beta1", betas.0, "[0, 1)", |b| (0.0..1.0).contains(&b))?;
    in_domain(op, "beta2", betas.1, "[0, 1)", |b| (0.0..1.0).contains(&b))
}

/// What makes a step conditional is one boolean.
fn check_condition(op: &str, condition: &Tensor) -> Result<()> {
    condition.check()?;
    if condition.dtype() == DType::Bool && condition.numel() == 1 && condition.rank() == 0 {
        return Ok(());
    }
    let detail =
        format!("the condition of a step is a boolean scalar, not {} {:?}", condition.dtype(), condition.shape());
    Err(Error::argument(op, detail))
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
