//! Recipes: what a captured step runs, without its graph. A recipe is data, and so can be written to a file.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::backend::explain::{KernelReport, StoredValue};
use crate::backend::faults::{Check, CheckSources};
use crate::caps::{PANELS, panel_bytes};
use crate::codegen::{GATE_WORDS, KernelText};
use crate::graph::number::Live;
use crate::ir::Source;
use crate::ir::{EndReason, Snapshot};
use crate::ops::scalar::bits;
use crate::plan::{BufferRef, ParamSource, Plan, PlanSummary};

/// A captured step as a GPU runs it. Buffers are counted through: what it starts from, what it leaves behind, the workspace.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Recipe {
    /// The kernels, each once; a file holds those of all its recipes together.
    #[serde(skip)]
    pub kernels: Vec<Arc<KernelText>>,
    /// Numbers that differ from run to run.
    #[serde(skip)]
    pub live: Vec<Live>,
    /// The ops that check indices.
    #[serde(skip)]
    pub checks: Vec<Check>,
    pub calls: Vec<Dispatch>,
    /// Bytes of each value that it starts from.
    pub leaves: Vec<u64>,
    /// Bytes of each value that it leaves behind.
    pub outputs: Vec<u64>,
    /// The value that each of these is written over, where it is.
    #[serde(default)]
    pub in_place: Vec<Option<usize>>,
    /// What each of these depends on.
    pub output_checks: Vec<CheckSources>,
    /// What the gates of assignments wait for.
    #[serde(default)]
    pub gates: Vec<CheckSources>,
    /// Bytes of each buffer of the workspace.
    pub workspace_buffers: Vec<u64>,
    /// Texels of the device's panels that the kernels use.
    pub panels: [u64; PANELS],
    /// The least workspace that would do.
    pub lower_bound: u64,
}

/// A buffer that a kernel binds: position, and offset and size of the part where not all is bound.
pub type Bound = (usize, Option<(u64, u64)>);

/// One kernel run.
#[derive(Clone, Serialize, Deserialize)]
pub struct Dispatch {
    /// Position in [`Recipe::kernels`].
    pub kernel: usize,
    /// Buffers in the order of the kernel's bindings.
    pub operands: Vec<Bound>,
    pub params: Vec<Param>,
    pub workgroups: u64,
    /// Bytes that it touches at least.
    pub work: u64,
    pub about: About,
}

/// A word of a kernel's parameters.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub enum Param {
    Const(u32),
    /// A number of [`Recipe::live`], in the form that its kind takes.
    Live(usize, Form),
    /// How a check of [`Recipe::checks`] reports.
    Tag(usize),
    Slot(usize),
    /// A word of what a gate of [`Recipe::gates`] looks at.
    Gate(usize, usize),
}

/// How a number lies in a kernel's parameters.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub enum Form {
    F32,
    I32,
    U32,
    Bool,
}

/// What reports say of a kernel run.
#[derive(Clone, Serialize, Deserialize)]
pub struct About {
    ops: Vec<String>,
    lines: Vec<String>,
    bytes_read: u64,
    bytes_written: u64,
    flops: Option<u64>,
    #[serde(skip)]
    stored: Vec<StoredValue>,
    #[serde(skip)]
    ended: Vec<(String, EndReason)>,
}

impl Form {
    fn of(dtype: crate::dtype::DType) -> Form {
        use crate::dtype::DType;
        match dtype {
            DType::F16 | DType::F32 | DType::F64 => Form::F32,
            DType::I32 => Form::I32,
            DType::U32 => Form::U32,
            DType::Bool => Form::Bool,
        }
    }

    /// The bits of a number.
    pub fn bits(self, value: f64) -> u32 {
        use crate::dtype::DType;
        let dtype = match self {
            Form::F32 => DType::F32,
            Form::I32 => DType::I32,
            Form::U32 => DType::U32,
            Form::Bool => DType::Bool,
        };
        bits(value, dtype)
    }
}

impl Recipe {
    /// What a plan of `snap` does.
    pub fn of(snap: &Snapshot, plan: &Plan) -> Recipe {
        let mut recipe = Recipe { lower_bound: plan.lower_bound, ..Recipe::default() };
        recipe.leaves = snap.leaves.iter().map(|leaf| leaf.meta().bytes()).collect();
        recipe.outputs = plan.outputs.iter().map(|(_, bytes)| *bytes).collect();
        recipe.in_place = plan.in_place.clone();
        recipe.workspace_buffers = plan.workspace_buffers.clone();
        recipe.panels = plan.panels;
        let (leaves, outputs) = (recipe.leaves.len(), recipe.outputs.len());
        let mut tagged: BTreeSet<usize> = BTreeSet::new();
        for source in plan.steps.iter().flat_map(|step| &step.params) {
            if let ParamSource::Tag { node } | ParamSource::Slot { node } = source {
                tagged.insert(*node);
            }
        }
        let check_of: HashMap<usize, usize> = tagged.iter().enumerate().map(|(c, node)| (*node, c)).collect();
        recipe.checks = tagged.iter().map(|&node| Check::of(snap, node)).collect();
        let mut gate_of: HashMap<usize, usize> = HashMap::new();
        for (i, gate) in (0..snap.nodes.len()).filter_map(|i| Some((i, snap.gate(i)?))) {
            gate_of.insert(i, recipe.gates.len());
            let checks = gate.checks.iter().filter_map(|check| check_of.get(check).copied()).collect();
            recipe.gates.push(CheckSources { leaves: gate.leaves.clone(), checks, gate: None });
        }
        recipe.output_checks = output_checks(snap, plan, &check_of, &gate_of);
        let mut kernel_of: HashMap<u128, usize> = HashMap::new();
        let mut live_of: HashMap<usize, usize> = HashMap::new();
        for (step, report) in plan.steps.iter().zip(crate::backend::explain::reports(snap, plan, &[])) {
            let kernels = &mut recipe.kernels;
            let kernel = *kernel_of.entry(step.kernel.key).or_insert_with(|| {
                kernels.push(step.kernel.clone());
                kernels.len() - 1
            });
            let position = |buffer: &BufferRef| match buffer {
                BufferRef::Leaf(l) => *l,
                BufferRef::Output(o) => leaves + o,
                BufferRef::Workspace(p) => leaves + outputs + p,
            };
            let window = |i: usize| step.windows.get(i).copied().flatten();
            let operands = step.buffers.iter().enumerate().map(|(i, buffer)| (position(buffer), window(i))).collect();
            let live = &mut recipe.live;
            let mut param = |source: &ParamSource| match source {
                ParamSource::Const(bits) => Param::Const(*bits),
                ParamSource::Tag { node } => Param::Tag(check_of[node]),
                ParamSource::Slot { node } => Param::Slot(check_of[node]),
                ParamSource::Gate { node, word } => Param::Gate(gate_of[node], *word),
                ParamSource::Scalar { node, dtype } => {
                    let (scalar, form) = (&snap.nodes[*node], Form::of(*dtype));
                    match scalar.live() {
                        None => Param::Const(form.bits(scalar.scalar_value().unwrap_or(0.0))),
                        Some(source) => {
                            let index = *live_of.entry(source.id()).or_insert_with(|| {
                                live.push(source.clone());
                                live.len() - 1
                            });
                            Param::Live(index, form)
                        }
                    }
                }
            };
            recipe.calls.push(Dispatch {
                kernel,
                operands,
                params: step.params.iter().map(&mut param).collect(),
                workgroups: step.workgroups,
                work: step.work,
                about: About {
                    ops: report.ops,
                    lines: report.lines,
                    bytes_read: report.bytes_read,
                    bytes_written: report.bytes_written,
                    flops: report.flops,
                    stored: report.stored,
                    ended: report.ended,
                },
            });
        }
        recipe
    }

    /// The value that an output is written over.
    pub fn replaced(&self, output: usize) -> Option<usize> {
        self.in_place.get(output).copied().flatten()
    }

    /// Whether every position is one of something that is there: the recipe may come from a file.
    pub fn is_sound(&self) -> bool {
        let buffers = self.leaves.len() + self.outputs.len() + self.workspace_buffers.len();
        // What a step starts from is others' and is not written to, but where the step takes it over.
        let taken: BTreeSet<usize> = self.in_place.iter().copied().flatten().collect();
        let fits = |(bytes, leaf): (&u64, &Option<usize>)| leaf.is_none_or(|leaf| self.leaves.get(leaf) == Some(bytes));
        // Files from before there were updates in place name none.
        let in_place = [0, self.outputs.len()].contains(&self.in_place.len())
            && taken.len() == self.in_place.iter().flatten().count()
            && self.outputs.iter().zip(&self.in_place).all(fits);
        let operand = |(operand, writable): (&Bound, &bool)| {
            operand.0 < buffers && (!writable || operand.0 >= self.leaves.len() || taken.contains(&operand.0))
        };
        let call = |call: &Dispatch| {
            let param = |param: &Param| match param {
                Param::Const(_) => true,
                Param::Live(index, _) => *index < self.live.len(),
                Param::Tag(check) | Param::Slot(check) => *check < self.checks.len(),
                Param::Gate(gate, word) => *gate < self.gates.len() && *word < GATE_WORDS,
            };
            call.kernel < self.kernels.len()
                && self.kernels[call.kernel]
                    .panels
                    .iter()
                    .all(|(panel, _)| self.panels.get(*panel).is_some_and(|&t| t > 0))
                && call.operands.len() == self.kernels[call.kernel].writable.len()
                && call.operands.iter().zip(&self.kernels[call.kernel].writable).all(operand)
                && call.params.iter().all(param)
                && 4 * call.params.len() <= self.kernels[call.kernel].params_bytes.next_multiple_of(16) as usize
        };
        let sources = |sources: &CheckSources| {
            sources.leaves.iter().all(|l| *l < self.leaves.len())
                && sources.checks.iter().all(|c| *c < self.checks.len())
                && sources.gate.is_none_or(|gate| gate < self.gates.len())
        };
        in_place
            && self.calls.iter().all(call)
            && self.output_checks.len() == self.outputs.len()
            && self.output_checks.iter().chain(&self.gates).all(sources)
    }

    /// The report on each kernel run, without times.
    pub fn reports(&self) -> Vec<KernelReport> {
        let report = |call: &Dispatch| {
            let (kernel, about) = (&self.kernels[call.kernel], call.about.clone());
            KernelReport {
                name: kernel.name.clone(),
                ops: about.ops,
                lines: about.lines,
                stored: about.stored,
                ended: about.ended,
                wgsl: kernel.needed(),
                workgroups: call.workgroups,
                bytes_read: about.bytes_read,
                bytes_written: about.bytes_written,
                flops: about.flops,
                time: None,
            }
        };
        self.calls.iter().map(report).collect()
    }

    /// The recipe in figures.
    pub fn summary(&self) -> PlanSummary {
        let size = crate::caps::size_class;
        let total = |bytes: &[u64]| bytes.iter().copied().map(size).fold(0, u64::saturating_add);
        let own = |o: &usize| self.replaced(*o).is_none();
        let outputs: Vec<u64> = (0..self.outputs.len()).filter(own).map(|o| self.outputs[o]).collect();
        let panels = self.panels.iter().copied().map(panel_bytes).fold(0, u64::saturating_add);
        let workspace = self.workspace_buffers.iter().copied().fold(panels, u64::saturating_add);
        let (outputs, leaves) = (total(&outputs), total(&self.leaves));
        let kernel = |call: &Dispatch| &self.kernels[call.kernel];
        #[allow(clippy::needless_update, reason = "the other fields of a summary describe graphs")]
        PlanSummary {
            kernels: self.calls.iter().map(|call| kernel(call).name.clone()).collect(),
            shaders: self.calls.iter().map(|call| kernel(call).needed()).collect(),
            dispatches: self.calls.len(),
            workspace,
            lower_bound: self.lower_bound.saturating_add(panels),
            outputs,
            leaves,
            peak_bytes: outputs.saturating_add(leaves).saturating_add(workspace),
            ..PlanSummary::default()
        }
    }
}

/// What the outputs of a plan depend on.
fn output_checks(
    snap: &Snapshot,
    plan: &Plan,
    check_of: &HashMap<usize, usize>,
    gate_of: &HashMap<usize, usize>,
) -> Vec<CheckSources> {
    // Sets are shared along chains: most nodes depend on what one of their inputs depends on.
    let mut sets: Vec<Arc<(BTreeSet<usize>, BTreeSet<usize>)>> = Vec::with_capacity(snap.nodes.len());
    let nothing = Arc::new((BTreeSet::new(), BTreeSet::new()));
    let leaves: Vec<_> = (0..snap.leaves.len()).map(|l| Arc::new((BTreeSet::from([l]), BTreeSet::new()))).collect();
    for i in 0..snap.nodes.len() {
        let mut set = nothing.clone();
        for input in snap.check_inputs(i) {
            let other = match input {
                Source::Leaf(l) => &leaves[*l],
                Source::Pending(j) => &sets[*j],
            };
            if set.0.is_empty() && set.1.is_empty() {
                set = other.clone();
            } else if !(other.0.is_subset(&set.0) && other.1.is_subset(&set.1)) {
                let own = Arc::make_mut(&mut set);
                own.0.extend(&other.0);
                own.1.extend(&other.1);
            }
        }
        if let Some(check) = check_of.get(&i) {
            Arc::make_mut(&mut set).1.insert(*check);
        }
        sets.push(set);
    }
    let gate = |i: usize| {
        let base = std::iter::successors(Some(i), |&i| snap.named(i)).last().unwrap_or(i);
        match snap.inputs[base].first() {
            Some(Source::Pending(gate)) if snap.gate_of(base).is_some() => gate_of.get(gate).copied(),
            _ => None,
        }
    };
    let sources = |(i, _): &(usize, u64)| CheckSources {
        leaves: sets[*i].0.iter().copied().collect(),
        checks: sets[*i].1.iter().copied().collect(),
        gate: gate(*i),
    };
    plan.outputs.iter().map(sources).collect()
}
