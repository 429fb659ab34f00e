//! Kernels of a device held against the CPU reference, op by op: what a certificate says of kernels, and what `WGRAD_CERTIFY` does when
//! a device is opened.

mod cache;
mod trials;

use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};

use crate::array::Array;
use crate::backend::Device;
use crate::backend::cpu;
use crate::backend::validate::relative_error;
use crate::caps::{Caps, REDUCTION};
use crate::differentiate::{Graph, gradients};
use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::graph::kernel::Kernel;
use crate::graph::{GradCell, Var, order};
use crate::ir::gate::Unchecked;
use crate::ir::{Snapshot, Source};
use crate::shape::Shape;

use trials::{TRIALS, Trial};

/// Times that a device is checked again with plain kernels in the place of those that failed.
const ROUNDS: usize = 3;

/// What the check of one family of kernels has found.
pub(crate) struct KernelCheck {
    /// What was computed.
    pub name: &'static str,
    /// The element type.
    pub dtype: DType,
    /// Names of the kernels that ran.
    pub kernels: Vec<String>,
    /// The worst relative error of an op's value, or why nothing was computed.
    pub error: Result<f64>,
    /// The error that is allowed.
    pub tolerance: f64,
    /// The ops whose values are wrong though what they were computed from is right, by the names of [`Caps::plain`].
    pub wrong: BTreeSet<String>,
}

impl KernelCheck {
    /// Whether every value was right.
    pub fn passed(&self) -> bool {
        self.wrong.is_empty() && matches!(self.error, Ok(error) if error <= self.tolerance)
    }
}

/// Checks the kernels that a device runs, forward and backward: those of the short list, or of the whole one.
pub(crate) fn kernels(device: &Device, seed: u64, quick: bool) -> Vec<KernelCheck> {
    let half = device.caps().is_some_and(|caps| caps.f16);
    let listed = TRIALS.iter().filter(|trial| trial.is_short || !quick);
    let types = |trial: &'static Trial| {
        let halves = half && (trial.is_half || !quick && !trial.is_large);
        [Some((trial, DType::F32)), halves.then_some((trial, DType::F16))].into_iter().flatten()
    };
    listed.flat_map(types).map(|(trial, dtype)| check(device, trial, dtype, seed)).collect()
}

/// The relative error up to which values of a type count as equal.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 1e-2,
        DType::F32 | DType::F64 => 1e-4,
        DType::I32 | DType::U32 | DType::Bool => 0.0,
    }
}

/// Numbers in −1..1 that follow from a seed.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let number = |i: u64| {
        // SplitMix64 (Steele, Lea & Flood 2014).
        let mut z = seed.wrapping_add(i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count as u64).map(number).collect()
}

fn check(device: &Device, trial: &Trial, dtype: DType, seed: u64) -> KernelCheck {
    let mut found = KernelCheck {
        name: trial.name,
        dtype,
        kernels: Vec::new(),
        error: Ok(0.0),
        tolerance: tolerance(dtype),
        wrong: BTreeSet::new(),
    };
    if let Err(error) = run(device, trial, dtype, seed, &mut found) {
        found.error = Err(error);
    }
    found
}

/// The values to compute: results and gradients, and those of all routines on the way, so that each is looked at by itself.
fn targets(device: &Device, trial: &Trial, dtype: DType, seed: u64) -> Result<Vec<Var>> {
    let mut inputs = Vec::with_capacity(trial.inputs.len());
    for (k, input) in trial.inputs.iter().enumerate() {
        let numbers = numbers(input.shape.iter().product(), seed ^ ((k as u64 + 1) << 32));
        let shape = Shape::from(input.shape);
        inputs.push(match input.bound {
            0 => {
                let data = device.upload(Array::from_vec(&shape, numbers).cast(dtype))?;
                data.leaf(Arc::new(GradCell::default()))
            }
            bound => {
                let indices = numbers.iter().map(|x| ((x + 1.0) / 2.0 * bound as f32) as i32 % bound as i32);
                device.upload(Array::from_vec(&shape, indices.collect::<Vec<i32>>()))?
            }
        });
    }
    let y = (trial.run)(&inputs);
    y.check()?;
    let mut roots = vec![y.clone()];
    if y.0.tracked {
        let dy = numbers(y.meta().numel(), seed ^ 0xd1);
        let dy = device.upload(Array::from_vec(y.shape(), dy).cast(y.dtype()))?;
        let leaves: Vec<Var> = inputs.iter().filter(|input| input.dtype().is_float()).cloned().collect();
        roots.extend(gradients(&[y], &leaves, &[Some(dy)], Graph::Retain)?.into_iter().flatten());
    }
    for var in order::reachable(&roots, |var| var.0.has_value()) {
        let known = roots.iter().any(|root| root.0.id == var.0.id);
        if !known && matches!(var.0.kernel(), Kernel::Routine(_)) {
            roots.push(var);
        }
    }
    Ok(roots)
}

fn run(device: &Device, trial: &Trial, dtype: DType, seed: u64, found: &mut KernelCheck) -> Result<()> {
    let targets = targets(device, trial, dtype, seed)?;
    let snap = Snapshot::new(&targets, &[], Unchecked::Nothing, 0);
    let suspects = |snap: &Snapshot| {
        let families = snap.nodes.iter().filter_map(family).collect::<BTreeSet<String>>();
        if families.is_empty() { BTreeSet::from([REDUCTION.to_owned()]) } else { families }
    };
    // Ops that a kernel computes together with the reduction that it is for.
    let mut reduced: HashMap<u64, bool> = HashMap::new();
    let planned = device.plan(&targets, None).and_then(|planned| {
        for cluster in &planned.clusters {
            let nodes = || cluster.ops.iter().map(|&i| &planned.graph.nodes[i]);
            let reduces = nodes().any(|var| matches!(var.0.kernel(), Kernel::Reduce(_)));
            reduced.extend(nodes().map(|var| (var.0.id, reduces)));
            found.kernels.push(cluster.name.clone());
        }
        device.flush_alone(&targets)
    });
    if let Err(error) = planned {
        found.wrong = suspects(&snap);
        return Err(error);
    }
    found.kernels.dedup();
    let fetch = |var: &Var| -> Result<Array> { pollster::block_on(device.fetch(var)) };
    let leaves = snap.leaves.iter().map(|leaf| Ok(Arc::new(fetch(leaf)?))).collect::<Result<Vec<_>>>()?;
    let mut values: HashMap<usize, Array> = HashMap::new();
    for (i, var) in snap.nodes.iter().enumerate() {
        if targets.iter().any(|target| target.0.id == var.0.id) {
            values.insert(i, fetch(var)?);
        }
    }
    let all_pending_checks: Vec<_> = snap.leaves.iter().map(|leaf| leaf.0.pending_checks()).collect();
    let failures = cpu::failures(&all_pending_checks);
    let mut worst: f64 = 0.0;
    // What is computed from a wrong value is wrong for no reason of its own.
    let mut spoilt = vec![false; snap.nodes.len()];
    let given = cpu::Given { leaves: &leaves, failures: &failures };
    cpu::interpret(
        &snap,
        given,
        |i| values.contains_key(&i),
        |i, reference| {
            let is_pending = |source: &Source| matches!(source, Source::Pending(j) if spoilt[*j]);
            spoilt[i] = snap.inputs[i].iter().any(is_pending);
            let (Some(value), Some(expected)) = (values.get(&i), reference.array) else { return };
            let error = error_of(value, expected);
            if spoilt[i] {
                return;
            }
            worst = if error.is_nan() { f64::INFINITY } else { worst.max(error) };
            let var = &snap.nodes[i];
            if error.is_nan()
                || error > tolerance(var.dtype()).max(if dtype == DType::F16 { found.tolerance } else { 0.0 })
            {
                spoilt[i] = true;
                let fused = reduced.get(&var.0.id) == Some(&true);
                let other = || if fused { REDUCTION.to_owned() } else { var.0.op.name().to_owned() };
                found.wrong.insert(family(var).unwrap_or_else(other));
            }
        },
    )?;
    found.error = Ok(worst);
    Ok(())
}

/// The error of a value; integers and booleans are right or wrong.
fn error_of(value: &Array, expected: &Array) -> f64 {
    let error = relative_error(&value.to_f64(), &expected.to_f64());
    if error.is_finite() { error } else { f64::NAN }
}

/// What an op is called in [`Caps::plain`], where it has kernels to choose from.
fn family(var: &Var) -> Option<String> {
    match var.0.kernel() {
        Kernel::Routine(_) => Some(var.0.op.name().to_owned()),
        Kernel::Reduce(_) => Some(REDUCTION.to_owned()),
        _ => None,
    }
}

/// What a device is to be opened with: its capabilities, and the ops that have to run plain kernels, as the short checks find it or the
/// cache has it.
pub(super) fn certified(gpu: &Gpu, caps: Caps, fuse: bool) -> Caps {
    let key = cache::Key::new(gpu.info(), &caps);
    if let Some(plain) = cache::find(&key) {
        if !plain.is_empty() {
            let ops: Vec<&str> = plain.iter().map(String::as_str).collect();
            log::warn!("{}: plain kernels for {}, as an earlier check found", gpu.info().name, ops.join(", "));
        }
        return Caps { plain, ..caps };
    }
    let name = &gpu.info().name;
    let mut caps = caps;
    for round in 0..=ROUNDS {
        let device = Device::of_gpu(gpu.clone(), caps.clone(), fuse);
        let failed: Vec<KernelCheck> =
            kernels(&device, 0x5eed, true).into_iter().filter(|check| !check.passed()).collect();
        let mut changed = false;
        for check in &failed {
            let what = match &check.error {
                Ok(error) => format!("a relative error of {error:.1e}"),
                Err(error) => error.to_string(),
            };
            for op in &check.wrong {
                let kernels = check.kernels.join(", ");
                if round < ROUNDS && caps.plain.insert(op.clone()) {
                    changed = true;
                    log::warn!(
                        "{name}: {op} runs plain kernels, since one of {kernels} failed a check ({}): {what}",
                        check.name
                    );
                } else {
                    log::error!("{name}: {op} is wrong by its plain kernels too ({}; {kernels}): {what}", check.name);
                }
            }
            if check.wrong.is_empty() {
                log::error!("{name}: the check of {} did not run: {what}", check.name);
            }
        }
        if !changed {
            if failed.is_empty() {
                cache::keep(&key, &caps.plain);
            }
            break;
        }
    }
    gpu.trim();
    gpu.reset_stats();
    gpu.reset_peak_memory();
    caps
}

impl Device {
    /// The same adapter as another device, whose kernels are chosen by capabilities that `change` leaves; `None` for devices that are no GPU.
    pub(crate) fn variant(&self, change: impl FnOnce(&mut Caps)) -> Option<Device> {
        let (gpu, mut caps, fuse) = self.parts()?;
        change(&mut caps);
        Some(Device::of_gpu(gpu, caps, fuse))
    }
}
