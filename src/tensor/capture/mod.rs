//! Captured steps: a closure over tensors that is recorded once and replayed after that.

mod format;
mod saved;
mod saving;
mod variables;

pub use saved::{load_captured, load_captured_bytes};
pub use variables::Variable;

use std::panic::Location;
use std::sync::{Arc, Mutex};

use foldhash::{HashMap, HashMapExt, HashSet};
use smallvec::SmallVec;

use crate::backend::program::{Base, Computed, Made, Program, Spare};
use crate::backend::{Device, Explanation};
use crate::error::{Error, Result};
use crate::graph::node::{address, lock};
use crate::graph::recording::{self, Rebindable, Recording, Tick};
use crate::graph::{Meta, Var, order, with_location};
use crate::site::Site;
use crate::tensor::Tensor;

/// Variants that are kept; the one unused for longest goes first.
const VARIANTS: usize = 64;

/// What the closure of [`capture`] may return: tensors, or a `Result` of them, so that `?` works inside.
///
/// ```
/// use wgrad::arguments::Outputs;
/// use wgrad::{Device, Result, Tensor};
/// let plain = vec![Tensor::ones([2], &Device::cpu())];
/// let fallible: Result<Vec<Tensor>> = Ok(plain.clone());
/// assert_eq!(plain.into_outputs()?.len(), fallible.into_outputs()?.len());
/// # Ok::<(), wgrad::Error>(())
/// ```
pub trait Outputs {
    /// The tensors.
    ///
    /// # Errors
    /// The closure's own error.
    fn into_outputs(self) -> Result<Vec<Tensor>>;
}

impl Outputs for Vec<Tensor> {
    fn into_outputs(self) -> Result<Vec<Tensor>> {
        Ok(self)
    }
}

impl<O: Outputs> Outputs for Result<O> {
    fn into_outputs(self) -> Result<Vec<Tensor>> {
        self?.into_outputs()
    }
}

/// Captures a step: `f` is called once, at the first [`Captured::run`]; what it computed is planned as a whole, and later runs
/// repeat the plan without calling `f`, without building a graph, and without planning. `f` may contain `backward`, an
/// optimizer's `step`, `zero_grad`, `assign` and random numbers.
///
/// ```
/// use wgrad::{Device, Tensor, optim::Adam};
/// let device = Device::default();
/// let w = Tensor::ones([3, 1], &device).requires_grad();
/// let mut optimizer = Adam::new(vec![w.clone()], 0.1);
/// let weights = w.clone();
/// let step = wgrad::capture(&device, move |x: &[Tensor]| {
///     let loss = (x[0].matmul(&weights) - &x[1]).square().mean();
///     optimizer.zero_grad();
///     loss.backward()?;
///     optimizer.step()?;
///     Ok(vec![loss])
/// })?;
/// let (x, y) = (Tensor::randn([8, 3], &device), Tensor::zeros([8, 1], &device));
/// let first = step.run(&[x.clone(), y.clone()])?[0].item::<f32>()?;
/// for _ in 0..20 {
///     step.run(&[x.clone(), y.clone()])?;
/// }
/// let last = step.run(&[x, y])?[0].item::<f32>()?;
/// assert!(last < first);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// A run gives bit for bit what calling `f` would give, under these rules:
///
/// - *Variables are followed.* A tensor handle or gradient that `f` reads is read anew at each run, so that assignments from
///   outside are seen; one that `f` assigns (parameters, an optimizer's state, running statistics, gradients) is rebound by
///   each run.
///   This is about [`Tensor::assign`] and what is built on it; `total = &total + &loss` makes another tensor, and is an error.
/// - *Host code runs once.* Numbers, shapes, branches and tensors made with `from_slice` inside `f` are constants from the
///   first run on. What changes from run to run goes in as an input, or as a tensor that is assigned from outside. Random numbers
///   go on with the device's stream, optimizers count their steps, and the learning rate is followed through
///   [`optim::Rate`](crate::optim::Rate).
/// - *Inputs and outputs are values.* Gradients flow inside the step, not into its inputs or out of its outputs. Graphs made outside count
///   as constants.
/// - Inputs of another shape or type, and gradients that are there where there were none, make another variant: `f` is called
///   once for each ([`Captured::variants`], [`Captured::strict`]).
///
/// # Errors
/// Where this is called inside a captured step.
#[track_caller]
pub fn capture<'f, F, O>(device: &Device, mut f: F) -> Result<Captured<'f>>
where
    F: FnMut(&[Tensor]) -> O + Send + 'f,
    O: Outputs,
{
    refuse_nesting(Location::caller())?;
    let f = Box::new(move |inputs: &[Tensor]| f(inputs).into_outputs());
    let state = State { f: Some(f), variants: Vec::new(), clock: 0 };
    Ok(Captured { device: device.clone(), strict: false, names: Vec::new(), state: Mutex::new(state) })
}

fn refuse_nesting(at: impl Into<Site>) -> Result<()> {
    if !recording::active() {
        return Ok(());
    }
    let error = Error::unsupported("capture", "captured steps do not nest").or_at(at);
    recording::refuse(error.clone());
    Err(error)
}

/// A step that was recorded and is replayed; see [`capture`], and [`load_captured`] for one from a file.
///
/// ```
/// use wgrad::{Device, Tensor, capture};
/// let device = Device::default();
/// let step = capture(&device, |x: &[Tensor]| vec![&x[0] * 2.0])?;
/// for n in [2, 2, 3] {
///     step.run(&[Tensor::ones([n], &device)])?;
/// }
/// assert_eq!(step.variants(), 2); // one for each shape
/// assert!(step.device().same(&device));
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Captured<'f> {
    device: Device,
    strict: bool,
    /// Names that the user gave to variables.
    names: Vec<(String, Arc<dyn Rebindable>)>,
    state: Mutex<State<'f>>,
}

type Step<'f> = Box<dyn FnMut(&[Tensor]) -> Result<Vec<Tensor>> + Send + 'f>;

struct State<'f> {
    /// `None` for a step from a file, which cannot be recorded anew.
    f: Option<Step<'f>>,
    variants: Vec<Variant>,
    clock: u64,
}

/// The step for inputs of certain shapes and types.
struct Variant {
    inputs: Vec<Meta>,
    reads: Vec<Read>,
    /// What the program starts from.
    leaves: Vec<Origin>,
    program: Program,
    ticks: Vec<Tick>,
    outputs: Vec<Outcome>,
    /// Variables that the step writes; a gradient may be taken away.
    writes: Vec<(Arc<dyn Rebindable>, Option<Outcome>)>,
    /// Positions of the leaves that are variables which no result shows as they were.
    owned: Vec<(usize, usize)>,
    /// Positions of writes to variables that the step does not read, with the output that they get.
    overwrites: Vec<(usize, usize)>,
    used: u64,
}

/// A variable that the step reads before it writes it.
struct Read {
    slot: Arc<dyn Rebindable>,
    /// Whether there was a value: a gradient may be missing.
    there: bool,
    /// Whether the value goes into the program or into its results.
    needed: bool,
}

/// A value that the step leaves behind, and where its base comes from if the program does not compute it.
type Outcome = (Made, Option<Origin>);

/// Where a value that was there before the step comes from.
#[derive(Clone)]
enum Origin {
    Input(usize),
    /// Position in [`Variant::reads`].
    Read(usize),
    Constant(Computed, Meta),
}

impl std::fmt::Debug for Captured<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Captured({:?}, {} variants)", self.device, self.variants())
    }
}

impl Captured<'_> {
    /// Makes runs an error that would need another variant than the first: a shape that changes by mistake is found, instead
    /// of being planned anew.
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// How many variants were recorded and are kept, of at most 64.
    pub fn variants(&self) -> usize {
        lock(&self.state).variants.len()
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Runs the step. The results are new tensors, outside any graph.
    ///
    /// # Errors
    /// The error that an input carries; [`Error::DeviceMismatch`] for an input on another device; [`Error::Autograd`] for one
    /// that a gradient would flow to. At the first run the closure's own error, and [`Error::Unsupported`] with the line where it
    /// does what cannot be captured, such as reading a value; what it did before stays done. [`Error::Argument`] where
    /// [`Captured::strict`] forbids another variant.
    #[track_caller]
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        self.run_with(inputs, Location::caller(), None)
    }

    /// Runs the step and says how: the kernels with their ops, source lines, WGSL, traffic, arithmetic and time on the GPU, as
    /// [`Tensor::explain`] does. The run counts like any other.
    ///
    /// # Errors
    /// As [`Captured::run`].
    #[track_caller]
    pub fn explain(&self, inputs: &[Tensor]) -> Result<(Vec<Tensor>, Explanation)> {
        let mut explanation = Explanation::new(self.device.info().to_string());
        let outputs = self.run_with(inputs, Location::caller(), Some(&mut explanation))?;
        Ok((outputs, explanation))
    }

    fn run_with(
        &self,
        inputs: &[Tensor],
        at: &'static Location<'static>,
        explanation: Option<&mut Explanation>,
    ) -> Result<Vec<Tensor>> {
        refuse_nesting(at)?;
        let vars = self.check(inputs, at)?;
        let mut state = lock(&self.state);
        state.clock += 1;
        let clock = state.clock;
        let state = &mut *state;
        // Parameters that took their steps together no longer do.
        state.variants.retain(|variant| !variant.is_outdated());
        if let Some(variant) = state.variants.iter_mut().find(|variant| variant.fits(&vars)) {
            let fixed = self.strict || state.f.is_none();
            if variant.program.is_guarded() || !variant.is_in_doubt(&self.device, &vars) {
                variant.used = clock;
                return variant.replay(&self.device, &vars, explanation);
            }
            if fixed {
                // Nothing withholds what a failed check spoils, so that has to be known first.
                variant.answer(&self.device, &vars)?;
                variant.used = clock;
                return variant.replay(&self.device, &vars, explanation);
            }
        }
        let guarded = state.variants.iter().any(|variant| variant.fits(&vars));
        if guarded {
            // The one that withholds serves in all cases.
            state.variants.retain(|variant| !variant.fits(&vars));
        }
        let f = match (&mut state.f, state.variants.first()) {
            (Some(_), Some(first)) if self.strict => return Err(strict_error(first, &vars, "is strict").or_at(at)),
            (None, Some(first)) => return Err(strict_error(first, &vars, "comes from a file").or_at(at)),
            (None, None) => return Err(Error::argument("run", "the step has no variants").or_at(at)),
            (Some(f), _) => f,
        };
        let (mut variant, outputs) = with_location(at, || self.record(f, &vars, guarded, explanation))?;
        variant.used = clock;
        if state.variants.len() >= VARIANTS
            && let Some(oldest) = (0..state.variants.len()).min_by_key(|&i| state.variants[i].used)
        {
            state.variants.swap_remove(oldest);
        }
        state.variants.push(variant);
        Ok(outputs)
    }

    /// The nodes of the inputs, computed.
    fn check(&self, inputs: &[Tensor], at: &'static Location<'static>) -> Result<Vec<Var>> {
        let mut vars = Vec::with_capacity(inputs.len());
        for (i, input) in inputs.iter().enumerate() {
            let var = input.node();
            var.check()?;
            if !input.device().same(&self.device) {
                let devices = vec![self.device.info().name.clone(), input.device().info().name.clone()];
                return Err(Error::DeviceMismatch { op: "run".into(), devices, at: at.into() });
            }
            if var.0.tracked {
                let detail = format!(
                    "no gradient flows out of a captured step into its input {i}: pass input.detach(), or read the tensor \
                     inside the closure"
                );
                return Err(Error::Autograd { op: "run".into(), detail, at: at.into() });
            }
            vars.push(var);
        }
        realize_all(&self.device, &vars)?;
        Ok(vars)
    }

    /// Calls the closure, plans what it did, and runs it for the first time.
    fn record(
        &self,
        f: &mut Step<'_>,
        vars: &[Var],
        guarded: bool,
        explanation: Option<&mut Explanation>,
    ) -> Result<(Variant, Vec<Tensor>)> {
        let device = &self.device;
        device.flush_pending()?;
        // Nodes of their own, which no other tensor has.
        let own = |var: &Var| -> Result<Var> {
            let Computed { value, pending_checks } = Computed::of(var)?;
            Ok(Var::computed(var.meta().clone(), value, pending_checks, var.0.at, device.context()))
        };
        let inputs: Vec<Var> = vars.iter().map(own).collect::<Result<_>>()?;
        let handles: Vec<Tensor> = inputs.iter().map(|v| Tensor::from_var(v.clone(), device)).collect();
        let on = device.clone();
        let before = move |var: &Var| {
            // An error shows again when the step is run.
            let _ = realize_all(&on, std::slice::from_ref(var));
        };
        let (result, mut recording) = recording::record(device.context(), Arc::new(before), || f(&handles));
        let variant = match recording.refused.take() {
            Some(error) => Err(error),
            None => result.and_then(|outputs| self.compile(&inputs, &handles, &outputs, guarded, &mut recording)),
        };
        let outcome = variant.and_then(|(mut variant, start)| {
            let outputs = variant.execute(device, vars, &start, explanation)?;
            Ok((variant, outputs))
        });
        recording.release();
        outcome
    }

    /// Plans what was recorded. The variant, and what its first run starts from.
    fn compile(
        &self,
        inputs: &[Var],
        handles: &[Tensor],
        outputs: &[Tensor],
        guarded: bool,
        recording: &mut Recording,
    ) -> Result<(Variant, Vec<Option<Computed>>)> {
        let device = &self.device;
        let mut results = Vec::new();
        for output in outputs {
            if !output.device().same(device) {
                let devices = vec![device.info().name.clone(), output.device().info().name.clone()];
                return Err(Error::DeviceMismatch {
                    op: "capture".into(),
                    devices,
                    at: output.inner.present().0.at.into(),
                });
            }
            results.push(output.inner.present());
        }
        let reads: Vec<_> = recording.reads.iter().filter_map(|r| Some((r.slot.upgrade()?, &r.found))).collect();
        // A handle from before that is gone now was replaced by the closure, which replays could not repeat.
        let followed: HashSet<u64> = reads.iter().filter_map(|(_, found)| Some(found.as_ref()?.0.id)).collect();
        let lost = recording
            .reads
            .iter()
            .filter_map(|r| r.found.as_ref())
            .find(|found| recording.predates(found) && !followed.contains(&found.0.id));
        if let Some(lost) = lost {
            let detail = "the closure replaced a tensor that it holds (with `=`, `+=` or the like), which happens once: write \
                          new values with assign";
            return Err(Error::unsupported("capture", detail).or_at(lost.0.at));
        }
        let (mut stored, mut held) = (Vec::new(), results.clone());
        let mut writes: Vec<(Arc<dyn Rebindable>, bool)> = Vec::new();
        for slot in recording.writes.iter().filter_map(|w| w.upgrade()) {
            if handles.iter().any(|h| std::ptr::addr_eq(Arc::as_ptr(&h.inner), Arc::as_ptr(&slot))) {
                return Err(
                    Error::unsupported("capture", "a captured step cannot assign to its inputs").or_at(location())
                );
            }
            let value = slot.value();
            if let Some(var) = &value {
                if reads.iter().any(|(read, _)| is_same(read, &slot)) {
                    stored.push(order::readable(var, Var::is_assignment));
                } else {
                    held.push(var.clone());
                }
                results.push(var.clone());
            }
            writes.push((slot, value.is_some()));
        }
        results.iter().try_for_each(Var::check)?;
        if let Some(foreign) = results.iter().find(|v| !Arc::ptr_eq(&v.0.context, device.context())) {
            let devices = vec![device.info().name.clone(), foreign.0.context.device.clone()];
            return Err(Error::DeviceMismatch { op: "capture".into(), devices, at: foreign.0.at.into() });
        }
        let starts = inputs.iter().chain(reads.iter().filter_map(|(_, found)| found.as_ref()));
        let guarded = guarded || starts.into_iter().any(|var| device.is_open(&var.0.pending_checks()));
        let (program, leaves, made) = device.compile(&stored, &held, &results, guarded)?;
        // Where a node with a value comes from, by its id.
        let mut origin: HashMap<u64, Origin> = HashMap::new();
        for (i, (_, found)) in reads.iter().enumerate() {
            if let Some(var) = found {
                origin.entry(var.0.id).or_insert(Origin::Read(i));
            }
        }
        origin.extend(inputs.iter().enumerate().map(|(i, var)| (var.0.id, Origin::Input(i))));
        let from = |var: &Var| match origin.get(&var.0.id) {
            Some(origin) => Ok(origin.clone()),
            None if recording.predates(var) || var.is_data() => {
                Ok(Origin::Constant(Computed::of(var)?, var.meta().clone()))
            }
            None => {
                let detail = "another thread computed a value of the step while it was being captured";
                Err(Error::unsupported("capture", detail).or_at(var.0.at))
            }
        };
        let leaves = leaves.iter().map(from).collect::<Result<Vec<_>>>()?;
        let based = |mut made: Made| {
            let given = if let Base::Given(var) = &made.base { Some(from(var)?) } else { None };
            if given.is_some() {
                // The node has served to find where its value comes from.
                made.base = Base::Known;
            }
            Ok((made, given))
        };
        let made = made.into_iter().map(based).collect::<Result<Vec<_>>>()?;
        let mut needed = vec![false; reads.len()];
        for origin in leaves.iter().chain(made.iter().filter_map(|(_, given)| given.as_ref())) {
            if let Origin::Read(r) = origin {
                needed[*r] = true;
            }
        }
        let mut start = Vec::with_capacity(reads.len());
        let mut variables = Vec::with_capacity(reads.len());
        for ((slot, found), needed) in reads.iter().zip(needed) {
            start.push(found.as_ref().filter(|_| needed).map(Computed::of).transpose()?);
            variables.push(Read { slot: slot.clone(), there: found.is_some(), needed });
        }
        let mut made = made.into_iter();
        let outputs = made.by_ref().take(outputs.len()).collect();
        let writes: Vec<(Arc<dyn Rebindable>, Option<Outcome>)> =
            writes.into_iter().map(|(slot, some)| (slot, if some { made.next() } else { None })).collect();
        let ticks = std::mem::take(&mut recording.ticks);
        let inputs = inputs.iter().map(|v| v.meta().clone()).collect();
        // Until the first run is done the variables are what they were, and nothing holds the graph that was recorded.
        for (slot, _) in &writes {
            let found = reads.iter().find(|(read, _)| is_same(read, slot)).map(|(_, found)| (*found).clone());
            if found.is_some() || slot.is_gradient() {
                slot.bind(found.flatten());
            }
        }
        drop(reads);
        recording.reads.clear();
        Ok((Variant::new(inputs, variables, leaves, program, ticks, outputs, writes), start))
    }
}

/// The line of the run.
fn location() -> Site {
    crate::graph::here()
}

/// Whether both are one variable.
fn is_same(a: &Arc<dyn Rebindable>, b: &Arc<dyn Rebindable>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b))
}

fn strict_error(first: &Variant, vars: &[Var], why: &str) -> Error {
    let list = |metas: &mut dyn Iterator<Item = &Meta>| -> String {
        metas.map(|m| format!("{} {}", m.dtype, m.shape)).collect::<Vec<_>>().join(", ")
    };
    let captured = list(&mut first.inputs.iter());
    let given = list(&mut vars.iter().map(Var::meta));
    let detail = if captured == given {
        format!("gradients that the step adds to were there at one run and not at the other, and the step {why}")
    } else {
        format!("the step was captured for inputs ({captured}), not ({given}), and {why}")
    };
    Error::argument("run", detail)
}

/// Computes what is still pending.
fn realize_all(device: &Device, vars: &[Var]) -> Result<()> {
    vars.iter().filter(|v| !v.0.has_value()).for_each(Var::share_value);
    let pending: Vec<Var> = vars.iter().filter(|v| !v.0.has_value()).cloned().collect();
    if pending.is_empty() { Ok(()) } else { device.flush(&pending) }
}

impl Origin {
    /// What it is in a run with these inputs, in which variables hold `reads`.
    fn given<'a>(&'a self, inputs: &'a [Computed], reads: &'a [Option<Computed>]) -> Result<&'a Computed> {
        match self {
            Origin::Input(i) => Ok(&inputs[*i]),
            Origin::Read(r) => reads[*r].as_ref().ok_or_else(missing),
            Origin::Constant(computed, _) => Ok(computed),
        }
    }
}

impl Variant {
    /// The step with what follows from its parts.
    fn new(
        inputs: Vec<Meta>,
        reads: Vec<Read>,
        leaves: Vec<Origin>,
        program: Program,
        ticks: Vec<Tick>,
        outputs: Vec<Outcome>,
        writes: Vec<(Arc<dyn Rebindable>, Option<Outcome>)>,
    ) -> Variant {
        let shown = |(_, origin): &Outcome| if let Some(Origin::Read(r)) = origin { Some(*r) } else { None };
        let results = outputs.iter().chain(writes.iter().filter_map(|(_, outcome)| outcome.as_ref()));
        let shown: HashSet<usize> = results.filter_map(shown).collect();
        let variable = |(l, origin): (usize, &Origin)| match origin {
            Origin::Read(r) if !shown.contains(r) => Some((l, *r)),
            _ => None,
        };
        let owned = leaves.iter().enumerate().filter_map(variable).collect();
        let read: HashSet<*const ()> =
            reads.iter().filter(|read| read.needed).map(|read| Arc::as_ptr(&read.slot).cast()).collect();
        let overwrite = |(w, (slot, outcome)): (usize, &(Arc<dyn Rebindable>, Option<Outcome>))| match outcome {
            Some((Made { base: Base::Output(o), .. }, _)) if !read.contains(&Arc::as_ptr(slot).cast()) => Some((w, *o)),
            _ => None,
        };
        let overwrites = writes.iter().enumerate().filter_map(overwrite).collect();
        Variant { inputs, reads, leaves, program, ticks, outputs, writes, owned, overwrites, used: 0 }
    }

    /// Whether the step, as it was recorded, is the one for these inputs.
    fn fits(&self, inputs: &[Var]) -> bool {
        self.inputs.len() == inputs.len()
            && self.inputs.iter().zip(inputs).all(|(meta, var)| meta == var.meta())
            && self.reads.iter().all(|read| read.slot.is_there() == read.there)
    }

    /// Whether the parameters that it updates no longer take their steps together.
    fn is_outdated(&self) -> bool {
        self.ticks.iter().any(|tick| matches!(tick, Tick::Count(count) if count.is_retired()))
    }

    /// What a run on these inputs starts from and may depend on index checks.
    fn starts<'a>(&'a self, inputs: &'a [Var]) -> impl Iterator<Item = Var> + 'a {
        let reads = self.reads.iter().filter(|read| read.needed).filter_map(|read| read.slot.value());
        inputs.iter().cloned().chain(reads)
    }

    /// Whether what a run starts from depends on index checks that have not answered, or have failed.
    fn is_in_doubt(&self, device: &Device, inputs: &[Var]) -> bool {
        self.starts(inputs).any(|var| device.is_open(&var.0.pending_checks()))
    }

    /// Waits for the answers of those checks.
    ///
    /// # Errors
    /// Where one has failed.
    fn answer(&self, device: &Device, inputs: &[Var]) -> Result<()> {
        self.starts(inputs).try_for_each(|var| device.answer(&var.0.pending_checks()))
    }

    /// Repeats what the step did.
    fn replay(
        &mut self,
        device: &Device,
        inputs: &[Var],
        explanation: Option<&mut Explanation>,
    ) -> Result<Vec<Tensor>> {
        let present = |read: &Read| match read.needed {
            true => read.slot.value().map(Some).ok_or_else(missing),
            false => Ok(None),
        };
        let mut reads = Vec::with_capacity(self.reads.len());
        // No handle to what a variable holds outlives this: a node that the variable alone has takes the next value.
        for read in &self.reads {
            let Some(var) = present(read)? else {
                reads.push(None);
                continue;
            };
            if !var.0.has_value() {
                let vars =
                    self.reads.iter().filter_map(|read| present(read).transpose()).collect::<Result<Vec<_>>>()?;
                vars.iter().try_for_each(Var::check)?;
                realize_all(device, &vars)?;
            }
            reads.push(Some(Computed::of(&var)?));
        }
        self.ticks.iter().for_each(|tick| device.tick(tick));
        self.execute(device, inputs, &reads, explanation)
    }

    /// What the variables alone hold, and the run may write over.
    fn spare(&self) -> Spare {
        // Two handles of a node are the variable's, or that of the view of it, and the one at hand; of a value there is one more than these.
        let alone = |slot: &Arc<dyn Rebindable>, holders: usize| {
            let mut var = slot.value()?;
            loop {
                if Arc::strong_count(&var.0) != 2 {
                    return None;
                }
                if let Some(value) = var.0.value() {
                    return (Arc::strong_count(&value) == holders + 1).then(|| address(&value));
                }
                let viewed = var.0.with_inputs(|inputs| inputs.first().cloned())?;
                var = viewed;
            }
        };
        let mut spare = Spare { leaves: vec![false; self.leaves.len()], outputs: Vec::new() };
        for &(leaf, read) in &self.owned {
            spare.leaves[leaf] = alone(&self.reads[read].slot, 2).is_some();
        }
        for &(write, output) in &self.overwrites {
            // The value is the node's and the ring's.
            if let Some(address) = alone(&self.writes[write].0, 2) {
                spare.outputs.resize(spare.outputs.len().max(output + 1), 0);
                spare.outputs[output] = address;
            }
        }
        spare
    }

    /// Runs the program on inputs and on what the variables held before, and binds the variables that it writes.
    fn execute(
        &mut self,
        device: &Device,
        inputs: &[Var],
        reads: &[Option<Computed>],
        explanation: Option<&mut Explanation>,
    ) -> Result<Vec<Tensor>> {
        let inputs = inputs.iter().map(Computed::of).collect::<Result<SmallVec<[Computed; 4]>>>()?;
        let leaves = self.leaves.iter().map(|origin| origin.given(&inputs, reads));
        let leaves = leaves.collect::<Result<SmallVec<[&Computed; 32]>>>()?;
        let spare = self.spare();
        let values = device.replay(&mut self.program, &leaves, &spare, explanation)?;
        let make = |(made, origin): &Outcome| -> Result<Var> {
            let base = origin.as_ref().map(|origin| origin.given(&inputs, reads)).transpose()?;
            device.materialise(made, &values, base)
        };
        let outputs = self.outputs.iter().map(make).collect::<Result<Vec<_>>>()?;
        // What can fail comes before the first variable changes.
        let mut plain = SmallVec::<[Option<&Made>; 32]>::new();
        let mut made = Vec::new();
        for (_, outcome) in &self.writes {
            match outcome {
                Some((made @ Made { base: Base::Output(o), views, .. }, _))
                    if views.is_empty() && *o < values.len() =>
                {
                    plain.push(Some(made));
                }
                Some(outcome) => {
                    plain.push(None);
                    made.push(Some(make(outcome)?));
                }
                None => {
                    plain.push(None);
                    made.push(None);
                }
            }
        }
        let mut made = made.into_iter();
        for ((slot, _), plain) in self.writes.iter().zip(plain) {
            let Some(Made { base: Base::Output(o), meta, at, .. }) = plain else {
                slot.bind(made.next().flatten());
                continue;
            };
            let Computed { value, pending_checks } = values[*o].clone();
            if let Err((value, pending_checks)) = slot.renew(meta, value, pending_checks, *at) {
                slot.bind(Some(Var::computed(meta.clone(), value, pending_checks, *at, device.context())));
            }
        }
        Ok(outputs.into_iter().map(|var| Tensor::from_var(var, device)).collect())
    }
}

fn missing() -> Error {
    Error::argument("run", "a gradient that the step reads is gone")
}
