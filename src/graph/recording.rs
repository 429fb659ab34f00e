//! What a step that is being captured does besides computing.
//!
//! While the closure of a captured step runs for the first time, its thread notes which variables (tensors that may be
//! assigned, gradients) it reads before it writes them and which it writes, and what it does on the host that every step does
//! anew: drawing keys of random numbers, counting steps, looking up the learning rate. A replay of the step repeats exactly
//! that. Flushes wait until the closure is done, since the whole step becomes one plan.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::sync::{Arc, Weak};

use foldhash::{HashSet, HashSetExt};

use crate::error::Error;
use crate::graph::node::{Context, Meta, Node, Value, Var, address, next_id};
use crate::graph::number::{Count, Formula, Live, Number};
use crate::graph::pending_checks::PendingChecks;
use crate::site::Site;

/// A variable: something that stays while its value changes from step to step.
pub trait Rebindable: Send + Sync {
    /// The present value; `None` for a gradient that is not there.
    fn value(&self) -> Option<Var>;
    /// Whether there is one.
    fn is_there(&self) -> bool;
    /// Takes a new value, which comes without a graph.
    fn bind(&self, value: Option<Var>);
    /// Takes a computed value instead of one of the same shape that nobody else holds; gives it back otherwise.
    ///
    /// # Errors
    /// The value, for [`Rebindable::bind`].
    fn renew(
        &self,
        meta: &Meta,
        value: Value,
        pending_checks: PendingChecks,
        at: Site,
    ) -> Result<(), (Value, PendingChecks)>;
    /// The gradient that this is, or that belongs to this: the same for a variable and its gradient.
    fn gradient(&self) -> Option<usize>;
    /// Whether this is a gradient.
    fn is_gradient(&self) -> bool {
        false
    }
}

/// Something on the host that every run of the step does.
#[derive(Clone)]
pub(crate) enum Tick {
    /// The device's random numbers start anew from a seed.
    Seed(u64),
    /// A key of random numbers is drawn.
    Draw([Live; 2]),
    /// A step is counted.
    Count(Count),
    /// A number is computed.
    Number(Live, Formula),
    /// Host code; it cannot be written to a file.
    Opaque(Arc<dyn Fn() + Send + Sync>),
}

/// A variable that the step reads before it writes it.
pub struct Read {
    /// The variable, as long as somebody holds it.
    pub slot: Weak<dyn Rebindable>,
    /// What it held at the first read.
    pub found: Option<Var>,
}

/// Computes values that were pending before the step.
type Realize = Arc<dyn Fn(&Var) + Send + Sync>;

/// What was noted.
pub struct Recording {
    context: Arc<Context>,
    realize: Realize,
    /// Nodes with lower ids were there before.
    start: u64,
    known: HashSet<usize>,
    written: HashSet<usize>,
    /// Variables read before they were written, in order.
    pub reads: Vec<Read>,
    /// Variables written.
    pub writes: Vec<Weak<dyn Rebindable>>,
    /// What each run does on the host, in order.
    pub(crate) ticks: Vec<Tick>,
    /// The first thing that cannot be replayed.
    pub refused: Option<Error>,
    drawn: Vec<((u32, u32), [Live; 2])>,
    held: Vec<Weak<Node>>,
}

impl Recording {
    /// Whether the node was there before the step.
    pub fn predates(&self, var: &Var) -> bool {
        var.0.id < self.start
    }

    /// Hands nodes that users still hold over to the device, whose next flush computes them.
    pub fn release(&self) {
        for node in self.held.iter().filter_map(Weak::upgrade).filter(|node| node.is_held()) {
            Var(node).register();
        }
    }
}

thread_local! {
    static ACTIVE: Cell<bool> = const { Cell::new(false) };
    static CURRENT: RefCell<Option<Recording>> = const { RefCell::new(None) };
}

/// Sets [`ACTIVE`] until it is dropped.
struct Switch(bool);

impl Switch {
    fn to(active: bool) -> Switch {
        Switch(ACTIVE.with(|a| a.replace(active)))
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        ACTIVE.with(|a| a.set(self.0));
    }
}

/// Whether this thread is capturing a step.
#[inline]
pub fn active() -> bool {
    ACTIVE.with(Cell::get)
}

/// Whether this thread is capturing a step on the device of `context`.
pub fn active_on(context: &Arc<Context>) -> bool {
    active() && with(|r| Arc::ptr_eq(&r.context, context)).unwrap_or(false)
}

fn with<R>(f: impl FnOnce(&mut Recording) -> R) -> Option<R> {
    if active() { CURRENT.with(|c| c.borrow_mut().as_mut().map(f)) } else { None }
}

/// Runs `f` and notes what it does. `realize` computes a value that was pending before.
pub fn record<R>(context: &Arc<Context>, realize: Realize, f: impl FnOnce() -> R) -> (R, Recording) {
    /// Takes the notes away also where `f` panics.
    struct Clear;
    impl Drop for Clear {
        fn drop(&mut self) {
            // Dropped outside the borrow: destructors may make tensors.
            drop(CURRENT.with(|c| c.borrow_mut().take()));
        }
    }
    let recording = || Recording {
        context: context.clone(),
        realize: realize.clone(),
        start: next_id(),
        known: HashSet::new(),
        written: HashSet::new(),
        reads: Vec::new(),
        writes: Vec::new(),
        ticks: Vec::new(),
        refused: None,
        drawn: Vec::new(),
        held: Vec::new(),
    };
    CURRENT.with(|c| *c.borrow_mut() = Some(recording()));
    let _clear = Clear;
    let result = {
        let _on = Switch::to(true);
        f()
    };
    let recorded = CURRENT.with(|c| c.borrow_mut().take());
    // `f` cannot take the notes away, since capturing does not nest.
    (result, recorded.unwrap_or_else(recording))
}

/// Runs `f` as if nothing were captured: for what happens once and is no part of the step, such as an optimizer's state at its
/// first use.
pub fn suspended<R>(f: impl FnOnce() -> R) -> R {
    let _off = Switch::to(false);
    f()
}

/// Notes that the step reads a variable that holds `found`.
pub fn read<S: Rebindable + 'static>(slot: &Arc<S>, found: Option<&Var>) {
    let realize = with(|r| {
        let ours = found.is_none_or(|v| Arc::ptr_eq(&v.0.context, &r.context) && v.0.error.is_none());
        // What the step itself has made is no input of it.
        let inside = found.is_some_and(|v| !r.predates(v) && !v.0.has_value());
        if !ours || inside || !r.known.insert(address(slot)) {
            return None;
        }
        let weak: Weak<S> = Arc::downgrade(slot);
        r.reads.push(Read { slot: weak, found: found.cloned() });
        found.filter(|v| !v.0.has_value()).map(|v| (r.realize.clone(), v.clone()))
    });
    if let Some((realize, var)) = realize.flatten() {
        suspended(|| realize(&var));
    }
}

/// Notes that the step writes a variable.
pub fn write<S: Rebindable + 'static>(slot: &Arc<S>) {
    with(|r| {
        r.known.insert(address(slot));
        if r.written.insert(address(slot)) {
            let weak: Weak<S> = Arc::downgrade(slot);
            r.writes.push(weak);
        }
    });
}

/// Keeps a node that a user holds away from the device's list; [`Recording::release`] hands it over. False where nothing is
/// captured.
pub(super) fn hold(node: &Arc<Node>) -> bool {
    with(|r| Arc::ptr_eq(&r.context, &node.context).then(|| r.held.push(Arc::downgrade(node)))).flatten().is_some()
}

/// Makes every run of the step do this too, in the order of these calls. The step that is being captured has done it already.
pub(crate) fn tick(tick: Tick) {
    with(|r| r.ticks.push(tick));
}

/// A number that every run of the step computes anew.
pub(crate) fn follow(formula: Formula) -> Number {
    let value = formula.value();
    let live = active().then(|| {
        let live = Live::new(f64::from(value as f32));
        tick(Tick::Number(live.clone(), formula));
        live
    });
    Number { value: value as f32, live }
}

/// Notes that a key of random numbers was drawn; every run of the step draws the next one.
pub fn draw(context: &Arc<Context>, key: (u32, u32)) {
    if !active_on(context) {
        return;
    }
    let live = [key.0, key.1].map(|word| Live::new(f64::from(word)));
    tick(Tick::Draw(live.clone()));
    with(|r| r.drawn.push((key, live)));
}

/// Where replays find the words of a key that the step has drawn.
pub fn drawn(key: (u32, u32)) -> Option<[Live; 2]> {
    with(|r| r.drawn.iter().rev().find(|(k, _)| *k == key).map(|(_, live)| live.clone())).flatten()
}

/// Whether this thread is capturing a step and the node was there before.
pub fn predates(var: &Var) -> bool {
    with(|r| r.predates(var)).unwrap_or(false)
}

/// Makes the capture fail with `error`.
pub fn refuse(error: Error) {
    with(|r| r.refused.get_or_insert(error).clone());
}

/// An error where a step is being captured: `op` reads a value, which is not computed yet and would be the same at every run.
pub fn forbid_reading(op: &str, at: Option<&'static Location<'static>>) -> crate::error::Result<()> {
    if !active() {
        return Ok(());
    }
    let detail = "a captured step cannot read values while it runs: return the tensor and read it after the run";
    let error = Error::unsupported(op, detail);
    let error = match at {
        Some(at) => error.or_at(at),
        None => error,
    };
    refuse(error.clone());
    Err(error)
}
