//! Programs: the whole of a captured step as a device runs it, again and again, without its graph.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use foldhash::{HashMap, HashMapExt, HashSet};

use crate::array::Array;
use crate::backend::cpu;
use crate::backend::device::{Backend, Device};
use crate::backend::explain::{self, Explanation};
use crate::backend::gpu::{GpuProgram, Graph};
use crate::backend::recipe::Recipe;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::Kernel;
use crate::graph::node::lock;
use crate::graph::number::Live;
use crate::graph::pending_checks::PendingChecks;
use crate::graph::recording::Tick;
use crate::graph::{Meta, Op, Value, Var, order, with_location};
use crate::ir::gate::Unchecked;
use crate::ir::{Dag, Snapshot};
use crate::layout::View;
use crate::ops::movement::ViewOp;
use crate::plan::Plan;
use crate::site::Site;
use crate::trace;

/// A value between runs, with the index checks that it depends on.
#[derive(Clone)]
pub struct Computed {
    pub value: Value,
    pub pending_checks: PendingChecks,
}

impl Computed {
    /// The value of a computed node.
    ///
    /// # Errors
    /// The error that the node carries; where it has no value.
    pub fn of(var: &Var) -> Result<Computed> {
        var.check()?;
        match var.0.value() {
            Some(value) => Ok(Computed { value, pending_checks: var.0.pending_checks() }),
            None => Err(Error::internal(var.0.op.name(), "the value is not computed").or_at(var.0.at)),
        }
    }
}

/// Where a value that the step leaves behind comes from.
pub enum Base {
    /// What the program computes, by position.
    Output(usize),
    /// A number that the host knows.
    Number { value: f64, live: Option<Live>, dtype: DType },
    /// Something that was there before.
    Given(Var),
    /// The same, where the caller knows what it is.
    Known,
}

/// How a value that the step leaves behind is put together: views of something.
pub struct Made {
    pub base: Base,
    /// Shape and type of the base.
    pub meta: Meta,
    pub at: Site,
    pub views: Vec<View>,
}

impl Made {
    /// Shape and type of the value.
    ///
    /// # Errors
    /// Where a view does not fit.
    pub fn shape(&self) -> Result<Meta> {
        self.views.iter().try_fold(self.meta.clone(), |meta, view| ViewOp(view.clone()).infer(&[&meta]))
    }
}

/// What a run may take over of what was there before.
#[derive(Default)]
pub struct Spare {
    /// Whether nobody else has the value that the program starts from, for each leaf.
    pub leaves: Vec<bool>,
    /// For each output the address of a value that it takes the place of and that nobody else has; 0 where there is none.
    pub outputs: Vec<usize>,
}

/// A compiled step.
pub struct Program {
    /// The graph without its wiring of nodes: ops, shapes, and what reads what. A step from a file has none.
    snap: Option<Snapshot>,
    /// Positions of the nodes whose values are left behind.
    outputs: Vec<usize>,
    /// Scalars that differ from run to run.
    live: Vec<(usize, Live)>,
    /// Whether it withholds assignments where what it starts from depends on index checks that fail.
    guarded: bool,
    kind: ProgramKind,
}

impl Program {
    /// Whether it withholds assignments where what it starts from depends on index checks that fail.
    pub fn is_guarded(&self) -> bool {
        self.guarded
    }

    /// What runs on a GPU; `None` for other devices.
    pub fn recipe(&self) -> Option<&Recipe> {
        match &self.kind {
            ProgramKind::Gpu(program) => Some(program.recipe()),
            ProgramKind::Cpu | ProgramKind::Null => None,
        }
    }
}

enum ProgramKind {
    Gpu(Box<GpuProgram>),
    Cpu,
    Null,
}

impl Device {
    /// Plans the computation of `stored`, each into a buffer of its own, and of `held`, which may stay views. The program,
    /// the values that it starts from, and how `results` are put together of what it computes. Where it is `guarded`, what it starts from may
    /// depend on index checks that fail.
    pub(crate) fn compile(
        &self,
        stored: &[Var],
        held: &[Var],
        results: &[Var],
        guarded: bool,
    ) -> Result<(Program, Vec<Var>, Vec<Made>)> {
        let roots: Vec<Var> = stored.iter().chain(held).cloned().collect();
        let checks = || order::reachable(&roots, |var| var.0.has_value()).iter().any(|var| var.0.op.checks_indices());
        let guarded = guarded || checks();
        let unchecked = if guarded { Unchecked::All } else { Unchecked::Nothing };
        let mut snap = Snapshot::new(stored, held, unchecked, 0);
        let ids: HashSet<u64> = held.iter().map(|v| v.0.id).collect();
        let Dag { keep, nodes, .. } = &mut snap.dag;
        for (keep, node) in keep.iter_mut().zip(nodes) {
            keep.held = ids.contains(&node.0.id);
            // Nothing goes backward through a step once it is done.
            keep.awaits_backward = false;
        }
        let positions = |plan: &Plan| plan.outputs.iter().map(|(i, _)| *i).collect::<Vec<_>>();
        // Positions of the outputs, and which output the value of each node is that has one.
        let (kind, outputs, values) = match self.backend() {
            Backend::Gpu(gpu) => {
                let (program, plan) = gpu.compile(&snap)?;
                (ProgramKind::Gpu(Box::new(program)), positions(&plan), plan.values)
            }
            Backend::Cpu(_) => {
                let kept = |i: &usize| snap.keep[*i].root || snap.keep[*i].held;
                let outputs: Vec<usize> = (0..snap.nodes.len()).filter(kept).collect();
                let values = outputs.iter().enumerate().map(|(o, i)| (*i, o)).collect();
                (ProgramKind::Cpu, outputs, values)
            }
            Backend::Null(null) => {
                let (plan, _) = Plan::new(&snap, &null.caps, null.fuse, null.budget())?;
                (ProgramKind::Null, positions(&plan), plan.values)
            }
        };
        let position: HashMap<u64, usize> = snap.nodes.iter().enumerate().map(|(i, v)| (v.0.id, i)).collect();
        let output: HashMap<usize, usize> = values.into_iter().collect();
        let made = results.iter().map(|var| trace(var, &position, &output)).collect::<Result<Vec<_>>>()?;
        let leaves = std::mem::take(&mut snap.dag.leaves);
        snap.dag.leaves = leaves.iter().map(Var::skeleton).collect();
        snap.dag.nodes = snap.nodes.iter().map(Var::skeleton).collect();
        let live = snap.nodes.iter().enumerate().filter_map(|(i, v)| Some((i, v.live()?))).collect();
        Ok((Program { snap: Some(snap), outputs, live, guarded, kind }, leaves, made))
    }

    /// The program of a recipe from a file, whose kernels run with all run-time checks.
    pub(crate) fn assemble(&self, recipe: Recipe) -> Result<Program> {
        let Backend::Gpu(gpu) = self.backend() else {
            return Err(Error::unsupported("load_captured", "saved steps run on GPU adapters only"));
        };
        let outputs = (0..recipe.outputs.len()).collect();
        // Steps without gates assign nothing that could wait for one, or were saved before there were any.
        let guarded = !recipe.gates.is_empty();
        let kind = ProgramKind::Gpu(Box::new(gpu.assemble(recipe, false)?));
        Ok(Program { snap: None, outputs, live: Vec::new(), guarded, kind })
    }

    /// Does on the host what every run of a captured step does.
    pub(crate) fn tick(&self, tick: &Tick) {
        match tick {
            Tick::Seed(seed) => self.seed(*seed),
            Tick::Draw([first, second]) => {
                let key = self.advance_key();
                first.set(f64::from(key.0));
                second.set(f64::from(key.1));
            }
            Tick::Count(count) => count.increment(),
            Tick::Number(live, formula) => live.set(f64::from(formula.value() as f32)),
            Tick::Opaque(f) => f(),
        }
    }

    /// Runs a program on the values that it starts from; with an explanation also measures it.
    pub(crate) fn replay(
        &self,
        program: &mut Program,
        leaves: &[&Computed],
        spare: &Spare,
        explanation: Option<&mut Explanation>,
    ) -> Result<Vec<Computed>> {
        if program.snap.as_ref().is_some_and(|snap| snap.nodes.is_empty()) {
            return Ok(Vec::new());
        }
        match (self.backend(), &mut program.kind) {
            (Backend::Gpu(gpu), ProgramKind::Gpu(compiled)) => {
                if let (true, Some(snap)) = (crate::env::get().validate, &mut program.snap) {
                    refresh(snap, &program.live);
                }
                let graph = program.snap.as_ref().map(|snap| Graph { snap, outputs: &program.outputs });
                gpu.replay(compiled, leaves, spare, graph, explanation)
            }
            (Backend::Cpu(cpu), ProgramKind::Cpu) => {
                let Some(snap) = &mut program.snap else {
                    return Err(Error::internal("capture", "the step has no graph"));
                };
                refresh(snap, &program.live);
                cpu.flushes.fetch_add(1, Ordering::Relaxed);
                cpu.ops.fetch_add(snap.nodes.len() as u64, Ordering::Relaxed);
                let arrays = leaves.iter().map(|leaf| array(leaf)).collect::<Result<Vec<_>>>()?;
                let mut results: HashMap<usize, Computed> = HashMap::new();
                let (mut since, mut reports) = (trace::now(), Vec::new());
                let failures = cpu::failures(leaves.iter().map(|leaf| &leaf.pending_checks));
                let mut all_pending_checks =
                    cpu.all_pending_checks(snap, leaves.iter().map(|leaf| leaf.pending_checks.clone()).collect());
                let asked = |i: usize| program.outputs.binary_search(&i).is_ok();
                cpu::interpret(snap, cpu::Given { leaves: &arrays, failures: &failures }, asked, |i, found| {
                    let pending_checks = all_pending_checks.next(found.fault);
                    if explanation.is_some() && found.ran {
                        reports.push(explain::op_report(snap, i, trace::now().saturating_sub(since)));
                        since = trace::now();
                    }
                    if let Some(array) = found.array.filter(|_| asked(i)) {
                        results.insert(i, Computed { value: array.clone() as Value, pending_checks });
                    }
                })?;
                if let Some(explanation) = explanation {
                    explanation.running = reports.iter().filter_map(|report| report.time).sum();
                    (explanation.kernels, explanation.has_times, explanation.plan_reused) = (reports, true, true);
                }
                let missing = || Error::internal("capture", "a result is missing");
                let result = |i: &usize| results.get(i).cloned().ok_or_else(missing);
                program.outputs.iter().map(result).collect()
            }
            (Backend::Null(null), ProgramKind::Null) => {
                lock(&null.plans).push(Default::default());
                let nothing = || Computed { value: Arc::new(()) as Value, pending_checks: PendingChecks::default() };
                Ok(program.outputs.iter().map(|_| nothing()).collect())
            }
            _ => Err(Error::internal("capture", "the step was captured on another device")),
        }
    }

    /// The node of a value that a run has left behind. `given` is the base where that was there before.
    pub(crate) fn materialise(&self, made: &Made, outputs: &[Computed], given: Option<&Computed>) -> Result<Var> {
        let computed = match (&made.base, given) {
            (Base::Output(o), _) => outputs.get(*o),
            (Base::Given(_) | Base::Known, given) => given,
            (Base::Number { .. }, _) => None,
        };
        let mut var = match (&made.base, computed) {
            (_, Some(Computed { value, pending_checks })) => {
                Var::computed(made.meta.clone(), value.clone(), pending_checks.clone(), made.at, self.context())
            }
            (Base::Number { value, live, dtype }, None) => {
                let value = live.as_ref().map_or(*value, Live::get);
                with_location(made.at, || Var::scalar(value, *dtype, self.context()))
            }
            (_, None) => return Err(Error::internal("capture", "a result is missing")),
        };
        for view in &made.views {
            var = with_location(made.at, || Var::apply(ViewOp(view.clone()), &[&var]));
        }
        Ok(var)
    }
}

/// How `var` is put together of what a program computes.
fn trace(var: &Var, position: &HashMap<u64, usize>, output: &HashMap<usize, usize>) -> Result<Made> {
    let at = var.0.at;
    let mut var = var.clone();
    let mut views: Vec<(View, Meta)> = Vec::new();
    let base = loop {
        if var.0.has_value() {
            break Base::Given(var.clone());
        }
        // Names and reshapes of what is computed may themselves be no part of the program.
        if let Some(&i) = position.get(&var.0.id) {
            if let Some(&o) = output.get(&i) {
                break Base::Output(o);
            }
            if let Some(value) = var.scalar_value() {
                break Base::Number { value, live: var.live(), dtype: var.dtype() };
            }
        }
        let Kernel::View(view) = var.0.kernel() else {
            return Err(Error::internal(var.0.op.name(), "the planner kept no value of a result").or_at(var.0.at));
        };
        if !matches!(view, View::Identity) {
            views.push((view, var.meta().clone()));
        }
        let input = var.0.with_inputs(|inputs| inputs.first().cloned());
        var = input.ok_or_else(|| Error::internal("capture", "a view of nothing"))?;
    };
    let mut meta = var.meta().clone();
    // What the program computes lies in memory in order, so a reshape is only another name for it. (The CPU reference
    // keeps every result as it is and has no views here.)
    while let (Base::Output(_), Some((View::Reshape(_), shape))) = (&base, views.last()) {
        meta = shape.clone();
        views.pop();
    }
    Ok(Made { base, meta, at, views: views.into_iter().rev().map(|(view, _)| view).collect() })
}

/// Gives scalars that differ from run to run their present values.
fn refresh(snap: &mut Snapshot, live: &[(usize, Live)]) {
    for (i, live) in live {
        let old = &snap.nodes[*i];
        let scalar = || Var::live_scalar(live.get(), old.dtype(), Some(live.clone()), &old.0.context);
        snap.dag.nodes[*i] = with_location(old.0.at, scalar);
    }
}

fn array(computed: &Computed) -> Result<Arc<Array>> {
    computed.value.clone().downcast().map_err(|_| Error::internal("capture", "a value is not in host memory"))
}
