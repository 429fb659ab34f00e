//! The CPU reference: runs the graph op by op, unfused.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use smallvec::SmallVec;

use crate::array::Array;
use crate::backend::explain::{self, Explanation};
use crate::backend::faults::{Check, Faults};
use crate::dtype::DType;
use crate::env;
use crate::error::{Error, Result};
use crate::graph::kernel::Kernel;
use crate::graph::node::lock;
use crate::graph::pending_checks::PendingChecks;
use crate::graph::{Meta, Value, Var};
use crate::host;
use crate::ir::Source;
use crate::ir::gate::Unchecked;
use crate::ir::{Snapshot, StoreReason};
use crate::layout::{Layout, View};
use crate::plan::memory::{self, Lifetime};
use crate::plan::{Cluster, PlanSummary};
use crate::trace::{self, Arg};

/// The backend of the CPU reference.
pub struct CpuBackend {
    /// Flushes run one at a time: a flush takes the inputs away from nodes that it computes.
    running: Mutex<()>,
    pub flushes: AtomicU64,
    pub ops: AtomicU64,
    faults: Mutex<Faults>,
    /// The device's process in the trace; 0 where there is none.
    pub lane: u32,
}

impl CpuBackend {
    pub fn new() -> CpuBackend {
        let lane = trace::process("wgrad: CPU reference", None);
        let (flushes, ops) = (AtomicU64::new(0), AtomicU64::new(0));
        CpuBackend { running: Mutex::default(), flushes, ops, faults: Mutex::default(), lane }
    }

    /// Looks for an index out of range that spoilt a value.
    ///
    /// # Errors
    /// That fault, of which somebody is told thereby.
    pub fn check(&self, pending_checks: &PendingChecks) -> Result<()> {
        if pending_checks.is_empty() { Ok(()) } else { lock(&self.faults).check(pending_checks) }
    }

    /// Looks for an index out of range that nobody was told of yet.
    ///
    /// # Errors
    /// The earliest one.
    pub fn tell(&self) -> Result<()> {
        lock(&self.faults).tell()
    }

    /// Checks answer when they run.
    fn unchecked(&self) -> Unchecked {
        Unchecked::After(lock(&self.faults).resolved())
    }

    /// What the values of `snap` depend on, to be asked node by node, where its leaves depend on `leaves`.
    pub fn all_pending_checks<'a>(&'a self, snap: &'a Snapshot, leaves: Vec<PendingChecks>) -> CheckTracker<'a> {
        CheckTracker {
            backend: self,
            snap,
            leaves,
            nodes: Vec::with_capacity(snap.nodes.len()),
            own: HashMap::new(),
            flush: None,
        }
    }

    /// What has to be computed for `targets`; changes nothing.
    pub fn snapshot(&self, targets: &[Var]) -> Snapshot {
        let _one_at_a_time = lock(&self.running);
        Snapshot::new(targets, &[], self.unchecked(), 0)
    }

    /// Computes what `targets` and the held nodes among `also` need.
    pub fn flush(&self, targets: &[Var], also: &[Var]) -> Result<()> {
        self.flush_with(targets, also, None)
    }

    /// Computes what `targets` need and measures it.
    pub fn explain(&self, targets: &[Var]) -> Result<Explanation> {
        let mut explanation = Explanation::new("CPU reference".into());
        self.flush_with(targets, &[], Some(&mut explanation))?;
        Ok(explanation)
    }

    fn flush_with(&self, targets: &[Var], also: &[Var], explanation: Option<&mut Explanation>) -> Result<()> {
        let _one_at_a_time = lock(&self.running);
        let start = trace::now();
        let snap = Snapshot::new(targets, also, self.unchecked(), 0);
        if snap.nodes.is_empty() {
            return Ok(());
        }
        trace::recorded(self.lane, start);
        let _flush = trace::span_since(self.lane, "flush", start);
        let profile = explanation.is_some() || env::get().debug >= 2 || self.lane != 0;
        let summary = profile.then(|| outline(&snap).1);
        let mut times = Vec::new();
        self.flushes.fetch_add(1, Ordering::Relaxed);
        self.ops.fetch_add(snap.nodes.len() as u64, Ordering::Relaxed);
        let leaves = snap.leaves.iter().map(host_array).collect::<Result<Vec<_>>>()?;
        let planned = trace::now();
        let mut before = planned;
        let all_pending_checks: Vec<PendingChecks> = snap.leaves.iter().map(|leaf| leaf.0.pending_checks()).collect();
        let failures = failures(&all_pending_checks);
        let mut all_pending_checks = self.all_pending_checks(&snap, all_pending_checks);
        let kept = kept(&snap);
        interpret(
            &snap,
            Given { leaves: &leaves, failures: &failures },
            |i| kept[i],
            |i, found| {
                let pending_checks = all_pending_checks.next(found.fault);
                if profile && found.ran {
                    let now = trace::now();
                    times.push((i, before, now.saturating_sub(before)));
                    before = now;
                }
                if let Some(array) = found.array.filter(|_| kept[i]) {
                    snap.nodes[i].0.set_pending_checks(pending_checks);
                    snap.nodes[i].0.set_value(array.clone() as Value);
                }
            },
        )?;
        snap.share_values();
        let Some(summary) = summary else { return Ok(()) };
        let mut kernels = Vec::new();
        for (i, start, time) in times.into_iter().filter(|(i, ..)| !snap.nodes[*i].0.op.is_source()) {
            let report = explain::op_report(&snap, i, time);
            trace::past(self.lane, &report.name, start, time, &[("source", Arg::Text(&report.lines.join(", ")))]);
            kernels.push(report);
        }
        if env::get().debug >= 2 {
            kernels.iter().for_each(|kernel| log::info!("  {}", kernel.line()));
        }
        if let Some(explanation) = explanation {
            explanation.kernels = kernels;
            explanation.plan = summary;
            explanation.has_times = true;
            explanation.planning = planned.saturating_sub(start);
            explanation.running = trace::now().saturating_sub(planned);
        }
        Ok(())
    }
}

/// What the values of a flush depend on, as far as it has come.
pub struct CheckTracker<'a> {
    backend: &'a CpuBackend,
    snap: &'a Snapshot,
    leaves: Vec<PendingChecks>,
    nodes: Vec<PendingChecks>,
    /// What the checks that failed have found themselves, by their positions.
    own: HashMap<usize, PendingChecks>,
    /// The number of the first fault.
    flush: Option<u64>,
}

impl CheckTracker<'_> {
    /// What the next node depends on: what its inputs do, and the index that it met itself.
    pub fn next(&mut self, fault: Option<&Error>) -> PendingChecks {
        let i = self.nodes.len();
        if let Some(j) = self.snap.named(i) {
            self.nodes.push(self.nodes[j].clone());
            return self.nodes[j].clone();
        }
        let mut pending_checks =
            self.snap.check_inputs(i).iter().fold(PendingChecks::default(), |pending_checks, source| {
                pending_checks.or(match source {
                    Source::Leaf(l) => &self.leaves[*l],
                    Source::Pending(j) => &self.nodes[*j],
                })
            });
        if let Some(Error::IndexOutOfRange { index, bound, .. }) = fault {
            let own = lock(&self.backend.faults).met(Check::of(self.snap, i), *index, *bound, &mut self.flush);
            pending_checks = pending_checks.or(&own);
            self.own.insert(i, own);
        }
        if let Some(gate) = self.snap.gate_of(i) {
            let checks = gate.checks.iter().filter_map(|check| self.own.get(check).cloned());
            let leaves = gate.leaves.iter().map(|&leaf| self.leaves[leaf].clone());
            let behind = gate.behind.iter().map(|&leaf| self.leaves[leaf].gate());
            let waited = checks.chain(leaves).chain(behind).fold(PendingChecks::default(), |all, one| all.or(&one));
            pending_checks = pending_checks.behind(waited);
        }
        self.nodes.push(pending_checks.clone());
        pending_checks
    }
}

/// What a flush would do: an op at a time, each result in memory until its last reader ran.
pub fn outline(snap: &Snapshot) -> (Vec<Cluster>, PlanSummary) {
    let n = snap.nodes.len();
    let mut last: Vec<usize> = (0..n).collect();
    for (i, source) in snap.inputs.iter().enumerate().flat_map(|(i, own)| own.iter().map(move |s| (i, s))) {
        if let Source::Pending(j) = source {
            last[*j] = i;
        }
    }
    let name = |i: usize| snap.nodes[i].0.op.name().to_owned();
    let bytes = |i: usize| snap.nodes[i].meta().bytes();
    let kept = kept(snap);
    let kept = |i: usize| kept[i];
    let reason = |i: usize| match (snap.keep[i].root, snap.keep[i].held) {
        (true, _) => StoreReason::Asked,
        (_, true) => StoreReason::Held,
        _ => StoreReason::FusionOff,
    };
    let ops: Vec<usize> = (0..n).filter(|&i| !snap.nodes[i].0.op.is_source()).collect();
    let clusters = ops
        .iter()
        .map(|&i| Cluster { name: name(i), ops: vec![i], stored: vec![(i, reason(i))], ended: Vec::new() })
        .collect();
    let life = |i: usize| Lifetime { bytes: bytes(i), first: i, last: if kept(i) { n.max(1) - 1 } else { last[i] } };
    let alive = memory::lower_bound(&(0..n).map(life).collect::<Vec<_>>());
    let outputs: u64 = (0..n).filter(|&i| kept(i)).map(bytes).sum();
    let storage: HashMap<*const (), u64> = snap
        .leaves
        .iter()
        .filter_map(|leaf| Some((Arc::as_ptr(&leaf.0.value()?).cast(), leaf.meta().bytes())))
        .collect();
    let leaves: u64 = storage.values().sum();
    let summary = PlanSummary {
        kernels: ops.iter().map(|&i| name(i)).collect(),
        shaders: Vec::new(),
        dispatches: ops.len(),
        merged: 0,
        recomputed: 0,
        workspace: alive - outputs,
        lower_bound: alive - outputs,
        outputs,
        leaves,
        peak_bytes: leaves + alive,
    };
    (clusters, summary)
}

/// Which nodes' values outlive a flush. A view that only a backward pass may want is made anew then, where what it shows outlives it.
fn kept(snap: &Snapshot) -> Vec<bool> {
    let (mut kept, mut at_hand) = (Vec::with_capacity(snap.nodes.len()), Vec::with_capacity(snap.nodes.len()));
    for (i, keep) in snap.keep.iter().enumerate() {
        let shows = snap.inputs[i].first().is_some_and(|source| match source {
            Source::Leaf(_) => true,
            Source::Pending(j) => at_hand[*j],
        });
        let free = shows && view_of(snap, i).is_some();
        let own = keep.root || keep.held || (keep.awaits_backward && !free);
        kept.push(own);
        at_hand.push(own || free);
    }
    kept
}

/// The view that node `i` is, where it is one. By the snapshot's inputs: nodes of captured steps have let go of theirs.
fn view_of(snap: &Snapshot, i: usize) -> Option<View> {
    let [source] = snap.inputs[i][..] else { return None };
    match snap.nodes[i].0.op.kernel(&[snap.var(source).meta()], snap.nodes[i].meta()) {
        Kernel::View(view) => Some(view),
        _ => None,
    }
}

/// A value: an array, or what a layout shows of one.
#[derive(Clone)]
struct Seen {
    array: Arc<Array>,
    layout: Option<Layout>,
}

impl Seen {
    fn whole(array: Arc<Array>) -> Seen {
        Seen { array, layout: None }
    }

    fn layout(&self) -> Layout {
        self.layout.clone().unwrap_or_else(|| Layout::contiguous(self.array.shape()))
    }

    /// The value through a view, where that needs no copy.
    fn view(&self, view: &View) -> Option<Seen> {
        Some(Seen { array: self.array.clone(), layout: Some(self.layout().view(view)?) })
    }

    /// Whether it is other than the array as it lies.
    fn differs(&self) -> bool {
        self.layout.as_ref().is_some_and(|layout| *layout != Layout::contiguous(self.array.shape()))
    }

    /// As an array of its own.
    ///
    /// # Errors
    /// Where there is no memory for it.
    fn array(&mut self) -> Result<Arc<Array>> {
        if self.differs()
            && let Some(layout) = &self.layout
        {
            let bytes = Meta::new(layout.shape.clone(), self.array.dtype()).bytes();
            host::room_for("a copy of a view", Some(&layout.shape), bytes)?;
            self.array = Arc::new(self.array.strided(layout));
        }
        self.layout = None;
        Ok(self.array.clone())
    }
}

/// What became of a node.
pub struct Found<'a> {
    /// Its value; none for a view that nobody asked for.
    pub array: Option<&'a Arc<Array>>,
    /// Whether anything ran.
    pub ran: bool,
    /// The index out of range that it met: the value is made of zeros then.
    pub fault: Option<&'a Error>,
}

/// What a run starts from.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    pub leaves: &'a [Arc<Array>],
    pub failures: &'a [Failure],
}

/// What index checks have found of a value from before a run.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// Whether one has failed that the value depends on.
    pub of_value: bool,
    /// Whether one has failed that its assignment waited for.
    pub of_gate: bool,
}

/// What is known of values that depend on these checks.
pub fn failures<'a>(all_pending_checks: impl IntoIterator<Item = &'a PendingChecks>) -> Vec<Failure> {
    let failure = |pending_checks: &PendingChecks| Failure {
        of_value: pending_checks.fault().is_some(),
        of_gate: pending_checks.gate().fault().is_some(),
    };
    all_pending_checks.into_iter().map(failure).collect()
}

/// Runs the reference of every node in order and hands each result to `done`. Results live until their last reader ran. Views that are
/// not `asked` for are copied only for readers that want an array; `done` is told of them without one.
///
/// An index out of range makes a value of zeros, which comes with the error: only what is computed from it is spoilt.
pub fn interpret(
    snap: &Snapshot,
    given: Given<'_>,
    asked: impl Fn(usize) -> bool,
    mut done: impl FnMut(usize, Found),
) -> Result<()> {
    let mut readers = vec![0usize; snap.nodes.len()];
    for source in snap.inputs.iter().flatten() {
        if let Source::Pending(i) = source {
            readers[*i] += 1;
        }
    }
    let mut values: Vec<Option<Seen>> = vec![None; snap.nodes.len()];
    let mut failed = vec![false; snap.nodes.len()];
    for (i, var) in snap.nodes.iter().enumerate() {
        let node = &var.0;
        let mut inputs = snap.inputs[i]
            .iter()
            .map(|source| match source {
                Source::Leaf(l) => Ok(Seen::whole(given.leaves[*l].clone())),
                Source::Pending(j) => values[*j].clone().ok_or_else(|| missing(var)),
            })
            .collect::<Result<SmallVec<[Seen; 3]>>>()?;
        let view = view_of(snap, i).and_then(|view| inputs[0].view(&view));
        let passed = snap.gate(i).map(|gate| {
            !gate.checks.iter().any(|&check| failed[check])
                && !gate.leaves.iter().any(|&leaf| given.failures[leaf].of_value)
                && !gate.behind.iter().any(|&leaf| given.failures[leaf].of_gate)
        });
        let value = match (passed, view) {
            (Some(passed), _) => {
                let array = Arc::new(Array::full(&node.meta.shape, node.meta.dtype, f64::from(u8::from(passed))));
                done(i, Found { array: Some(&array), ran: true, fault: None });
                Seen::whole(array)
            }
            (None, Some(mut view)) => {
                let copies = asked(i) && view.differs();
                let array = if asked(i) { Some(view.array().map_err(|error| error.or_at(node.at))?) } else { None };
                // What shows a number beside f16 tensors has its value in f32 until it is somebody's own.
                let array = array.map(|array| match array.dtype() == node.meta.dtype {
                    true => array,
                    false => Arc::new(array.cast(node.meta.dtype)),
                });
                done(i, Found { array: array.as_ref(), ran: copies, fault: None });
                view
            }
            (None, None) => {
                let (array, fault) = computed(snap, i, &mut inputs, &mut values)?;
                let array = Arc::new(array);
                failed[i] = fault.is_some();
                done(i, Found { array: Some(&array), ran: true, fault: fault.as_ref() });
                match var.scalar_value() {
                    // Numbers beside f16 tensors keep their f32 value.
                    Some(value) => {
                        Seen::whole(Arc::new(Array::full(&node.meta.shape, node.meta.dtype.register(), value)))
                    }
                    None => Seen::whole(array),
                }
            }
        };
        if readers[i] > 0 {
            values[i] = Some(value);
        }
        for source in &snap.inputs[i] {
            if let Source::Pending(j) = source {
                readers[*j] -= 1;
                if readers[*j] == 0 {
                    values[*j] = None;
                }
            }
        }
    }
    Ok(())
}

/// The value of node `i`, and the index out of range that it met. Inputs that have to be arrays are so in `values` afterwards too.
fn computed(
    snap: &Snapshot,
    i: usize,
    inputs: &mut [Seen],
    values: &mut [Option<Seen>],
) -> Result<(Array, Option<Error>)> {
    let (var, node) = (&snap.nodes[i], &snap.nodes[i].0);
    let layouts: SmallVec<[Layout; 3]> = inputs.iter().map(Seen::layout).collect();
    let metas = inputs.iter().zip(&layouts).map(|(seen, layout)| Meta::new(layout.shape.clone(), seen.array.dtype()));
    let metas: Vec<Meta> = metas.collect();
    host::room_for(node.op.name(), Some(&node.meta.shape), node.meta.bytes()).map_err(|error| error.or_at(node.at))?;
    let half = node.meta.dtype == DType::F16 || inputs.iter().any(|input| input.array.dtype() == DType::F16);
    let of_views = || {
        let seen: SmallVec<[(&Array, &Layout); 3]> = inputs.iter().map(|seen| &*seen.array).zip(&layouts).collect();
        node.op.reference_of_views(&seen, &node.meta)
    };
    let found = match if half { None } else { of_views() } {
        Some(found) => found,
        None => {
            for (input, source) in inputs.iter_mut().zip(&snap.inputs[i]) {
                input.array().map_err(|error| error.or_at(node.at))?;
                if let Source::Pending(j) = source {
                    values[*j] = Some(input.clone());
                }
            }
            room_for(var, &metas).map_err(|error| error.or_at(node.at))?;
            reference(var, &inputs.iter().map(|input| &*input.array).collect::<Vec<_>>())
        }
    };
    let (array, fault) = match found {
        Err(fault @ Error::IndexOutOfRange { .. }) => {
            (Array::full(&node.meta.shape, node.meta.dtype, 0.0), Some(fault))
        }
        outcome => (outcome.map_err(|error| error.or_at(node.at))?, None),
    };
    if (array.shape(), array.dtype()) != (node.meta.shape.clone(), node.meta.dtype) {
        let detail = format!(
            "the CPU reference gave {} {}, but the op's shape rule says {} {}",
            array.dtype(),
            array.shape(),
            node.meta.dtype,
            node.meta.shape
        );
        return Err(Error::argument(node.op.name(), detail).or_at(node.at));
    }
    Ok((array, fault))
}

/// Looks for the memory that the op's reference needs.
fn room_for(var: &Var, inputs: &[Meta]) -> Result<()> {
    let (op, meta) = (&var.0.op, &var.0.meta);
    let bytes = op.reference_bytes(&inputs.iter().collect::<Vec<_>>(), meta);
    let numbers = inputs.iter().chain([meta]).map(|meta| meta.numel() as u64);
    let half = inputs.iter().chain([meta]).any(|meta| meta.dtype == DType::F16);
    let wide = if half { numbers.fold(0, |n, own| n + 4 * own) } else { 0 };
    host::room_for(op.name(), Some(&meta.shape), bytes.saturating_add(wide))
}

/// What the op's reference says; f16 is computed in f32 and rounded once.
fn reference(var: &Var, inputs: &[&Array]) -> Result<Array> {
    let (op, meta) = (&var.0.op, &var.0.meta);
    if meta.dtype != DType::F16 && inputs.iter().all(|a| a.dtype() != DType::F16) {
        return op.reference(inputs, meta);
    }
    let wide: Vec<Array> = inputs.iter().map(|a| a.cast(a.dtype().register())).collect();
    let output = Meta { shape: meta.shape.clone(), dtype: meta.dtype.register() };
    Ok(op.reference(&wide.iter().collect::<Vec<_>>(), &output)?.cast(meta.dtype))
}

/// The host array that a computed node of a CPU device holds.
pub fn host_array(var: &Var) -> Result<Arc<Array>> {
    let value = var.0.value().ok_or_else(|| missing(var))?;
    value.downcast::<Array>().map_err(|_| missing(var))
}

fn missing(var: &Var) -> Error {
    Error::internal(var.0.op.name(), "the value is not in host memory").or_at(var.0.at)
}
