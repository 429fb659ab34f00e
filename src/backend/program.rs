//! Programs: the whole of a captured step as a device runs it, again and again, without its graph.

use std::collections::{HashMap, HashSet};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::array::Array;
use crate::backend::cpu;
use crate::backend::device::{Backend, Device};
use crate::backend::gpu::GpuProgram;
use crate::error::{Error, Result};
use crate::graph::doubt::Doubt;
use crate::graph::kernel::Kernel;
use crate::graph::node::lock;
use crate::graph::number::Live;
use crate::graph::recording::Tick;
use crate::graph::{Meta, Op, Value, Var, with_location};
use crate::layout::View;
use crate::schedule::{Plan, Snapshot};

/// A value between runs, with the index checks that it depends on.
#[derive(Clone)]
pub struct Computed {
    pub value: Value,
    pub doubt: Doubt,
}

impl Computed {
    /// The value of a computed node.
    ///
    /// # Errors
    /// The error that the node carries; where it has no value.
    pub fn of(var: &Var) -> Result<Computed> {
        var.check()?;
        match var.0.value() {
            Some(value) => Ok(Computed { value, doubt: var.0.doubt() }),
            None => Err(Error::argument(var.0.op.name(), "the value is not computed").or_at(var.0.at)),
        }
    }
}

/// Where a value that the step leaves behind comes from.
pub enum Base {
    /// What the program computes, by position.
    Output(usize),
    /// The number at this position of the snapshot.
    Scalar(usize),
    /// Something that was there before.
    Given(Var),
}

/// How a value that the step leaves behind is put together: views of something.
pub struct Made {
    pub base: Base,
    meta: Meta,
    at: &'static Location<'static>,
    views: Vec<Arc<dyn Op>>,
}

/// A compiled step.
pub struct Program {
    /// The graph without its wiring of nodes: ops, shapes, and what reads what.
    snap: Snapshot,
    /// Positions of the nodes whose values are left behind.
    outputs: Vec<usize>,
    /// Scalars that differ from run to run.
    live: Vec<(usize, Live)>,
    kind: Kind,
}

enum Kind {
    Gpu(Box<GpuProgram>),
    Cpu,
    Null,
}

impl Device {
    /// Plans the computation of `stored`, each into a buffer of its own, and of `held`, which may stay views. The program,
    /// the values that it starts from, and how `results` are put together of what it computes.
    pub(crate) fn compile(
        &self,
        stored: &[Var],
        held: &[Var],
        results: &[Var],
    ) -> Result<(Program, Vec<Var>, Vec<Made>)> {
        let mut snap = Snapshot::new(stored, held, 0);
        let ids: HashSet<u64> = held.iter().map(|v| v.0.id).collect();
        for (keep, node) in snap.keep.iter_mut().zip(&snap.nodes) {
            keep.held = ids.contains(&node.0.id);
            // Nothing goes backward through a step once it is done.
            keep.awaits_backward = false;
        }
        let (kind, outputs) = match self.backend() {
            Backend::Gpu(gpu) => {
                let (program, outputs) = gpu.compile(&snap)?;
                (Kind::Gpu(Box::new(program)), outputs)
            }
            Backend::Cpu(_) => {
                let kept = |i: &usize| snap.keep[*i].root || snap.keep[*i].held;
                (Kind::Cpu, (0..snap.nodes.len()).filter(kept).collect())
            }
            Backend::Null(null) => {
                let plan = Plan::new(&snap, &null.caps, null.fuse)?;
                (Kind::Null, plan.outputs.iter().map(|(i, _)| *i).collect())
            }
        };
        let position: HashMap<u64, usize> = snap.nodes.iter().enumerate().map(|(i, v)| (v.0.id, i)).collect();
        let output: HashMap<usize, usize> = outputs.iter().enumerate().map(|(o, i)| (*i, o)).collect();
        let made = results.iter().map(|var| trace(var, &position, &output)).collect::<Result<Vec<_>>>()?;
        let leaves = std::mem::take(&mut snap.leaves);
        snap.leaves = leaves.iter().map(Var::skeleton).collect();
        snap.nodes = snap.nodes.iter().map(Var::skeleton).collect();
        let live = snap.nodes.iter().enumerate().filter_map(|(i, v)| Some((i, v.live()?))).collect();
        Ok((Program { snap, outputs, live, kind }, leaves, made))
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

    /// Runs a program on the values that it starts from.
    pub(crate) fn replay(&self, program: &mut Program, leaves: &[Computed]) -> Result<Vec<Computed>> {
        if program.snap.nodes.is_empty() {
            return Ok(Vec::new());
        }
        match (self.backend(), &mut program.kind) {
            (Backend::Gpu(gpu), Kind::Gpu(compiled)) => {
                if crate::env::get().validate {
                    refresh(&mut program.snap, &program.live);
                }
                gpu.replay(compiled, &program.snap, leaves)
            }
            (Backend::Cpu(cpu), Kind::Cpu) => {
                refresh(&mut program.snap, &program.live);
                cpu.flushes.fetch_add(1, Ordering::Relaxed);
                cpu.ops.fetch_add(program.snap.nodes.len() as u64, Ordering::Relaxed);
                let arrays = leaves.iter().map(array).collect::<Result<Vec<_>>>()?;
                let mut results: HashMap<usize, Arc<Array>> = HashMap::new();
                cpu::interpret(&program.snap, &arrays, |i, array| {
                    if program.outputs.binary_search(&i).is_ok() {
                        results.insert(i, array.clone());
                    }
                })?;
                let result = |i: &usize| {
                    let array = results.get(i).ok_or_else(|| Error::argument("capture", "a result is missing"))?;
                    Ok(Computed { value: array.clone() as Value, doubt: Doubt::default() })
                };
                program.outputs.iter().map(result).collect()
            }
            (Backend::Null(null), Kind::Null) => {
                lock(&null.plans).push(Default::default());
                let nothing = || Computed { value: Arc::new(()) as Value, doubt: Doubt::default() };
                Ok(program.outputs.iter().map(|_| nothing()).collect())
            }
            _ => Err(Error::argument("capture", "the step was captured on another device")),
        }
    }

    /// The node of a value that a run has left behind. `given` is the base where that was there before.
    pub(crate) fn materialise(
        &self,
        program: &Program,
        made: &Made,
        outputs: &[Computed],
        given: Option<&Computed>,
    ) -> Result<Var> {
        let computed = match (&made.base, given) {
            (Base::Output(o), _) => outputs.get(*o),
            (Base::Given(_), given) => given,
            (Base::Scalar(_), _) => None,
        };
        let mut var = match (&made.base, computed) {
            (_, Some(Computed { value, doubt })) => {
                Var::computed(made.meta.clone(), value.clone(), doubt.clone(), made.at, self.context())
            }
            (Base::Scalar(i), None) => {
                let scalar = &program.snap.nodes[*i];
                let value = scalar.live().map(|live| live.get()).or(scalar.scalar_value()).unwrap_or(0.0);
                with_location(made.at, || Var::scalar(value, scalar.dtype(), self.context()))
            }
            (_, None) => return Err(Error::argument("capture", "a result is missing")),
        };
        for view in &made.views {
            var = with_location(made.at, || Var::apply_in(view.clone(), &[&var], self.context()));
        }
        Ok(var)
    }
}

/// How `var` is put together of what a program computes.
fn trace(var: &Var, position: &HashMap<u64, usize>, output: &HashMap<usize, usize>) -> Result<Made> {
    let at = var.0.at;
    let mut var = var.clone();
    let mut views: Vec<(Arc<dyn Op>, Meta, bool)> = Vec::new();
    let base = loop {
        if var.0.has_value() {
            break Base::Given(var.clone());
        }
        // Names and reshapes of what is computed may themselves be no part of the program.
        if let Some(&i) = position.get(&var.0.id) {
            if let Some(&o) = output.get(&i) {
                break Base::Output(o);
            }
            if var.scalar_value().is_some() {
                break Base::Scalar(i);
            }
        }
        let Kernel::View(view) = var.0.kernel() else {
            return Err(Error::argument(var.0.op.name(), "the planner kept no value of a result").or_at(var.0.at));
        };
        if !matches!(view, View::Identity) {
            let in_place = matches!(view, View::Reshape(_));
            views.push((var.0.op.clone(), var.meta().clone(), in_place));
        }
        let input = var.0.with_inputs(|inputs| inputs.first().cloned());
        var = input.ok_or_else(|| Error::argument("capture", "a view of nothing"))?;
    };
    let mut meta = var.meta().clone();
    // What the program computes lies in memory in order, so a reshape is only another name for it. (The CPU reference
    // keeps every result as it is and has no views here.)
    while let (Base::Output(_), Some((_, shape, true))) = (&base, views.last()) {
        meta = shape.clone();
        views.pop();
    }
    Ok(Made { base, meta, at, views: views.into_iter().rev().map(|(op, ..)| op).collect() })
}

/// Gives scalars that differ from run to run their present values.
fn refresh(snap: &mut Snapshot, live: &[(usize, Live)]) {
    for (i, live) in live {
        let old = &snap.nodes[*i];
        let scalar = || Var::live_scalar(live.get(), old.dtype(), Some(live.clone()), &old.0.context);
        snap.nodes[*i] = with_location(old.0.at, scalar);
    }
}

fn array(computed: &Computed) -> Result<Arc<Array>> {
    computed.value.clone().downcast().map_err(|_| Error::argument("capture", "a value is not in host memory"))
}
