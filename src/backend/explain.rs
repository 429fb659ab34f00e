//! What a flush ran, and how long it took.

mod print;

use std::time::Duration;

use crate::caps::Caps;
use crate::dtype::DType;
use crate::gpu::Timing;
use crate::graph::Var;
use crate::graph::kernel::{Kernel, Operand};
use crate::ir::Snapshot;
use crate::ir::{EndReason, StoreReason};
use crate::layout::Layout;
use crate::plan::picture::size;
use crate::plan::{Cluster, Plan, PlanSummary};
use crate::shape::Shape;
use crate::trace::{self, Arg};

/// What computing a tensor took: from [`Tensor::explain`](crate::Tensor::explain). `{}` prints
/// totals by kernel and by source line, then a table, and leaves out what would make it longer than 200 lines; `{:#}` prints all of it, and
/// the WGSL of each distinct kernel.
///
/// ```
/// use wgrad::{Device, Tensor};
/// let x = Tensor::randn([100], &Device::default());
/// x.realize()?;
/// let explanation = x.exp().sum().explain()?;
/// println!("{explanation}");
/// println!("{:?}, {} operations", explanation.kernel_time(), explanation.flops());
/// assert!(!explanation.kernels.is_empty() && explanation.bytes() >= 4 * 100);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The device.
    pub device: String,
    /// What was run, in order; empty where the tensor was computed already.
    pub kernels: Vec<KernelReport>,
    /// The plan's figures: workspace, what is left behind, peak.
    pub plan: PlanSummary,
    /// Whether the plan was known from an earlier run of the same structure.
    pub plan_reused: bool,
    /// Whether the device can tell how long kernels took.
    pub has_times: bool,
    /// Time that finding or making the plan took, code generation included.
    pub planning: Duration,
    /// Time that compiling kernels took.
    pub compiling: Duration,
    /// Time from there until everything was done; longer than without measuring.
    pub running: Duration,
}

/// One kernel that was run; on the CPU reference, one op.
///
/// ```
/// use wgrad::{Device, Tensor};
/// let x = Tensor::randn([100], &Device::default());
/// x.realize()?;
/// let explanation = x.exp().sum().explain()?;
/// let kernel = &explanation.kernels[0];
/// println!("{} computes {:?} from {:?}", kernel.name, kernel.ops, kernel.lines);
/// println!("{:?} GB/s, {:?} GFLOP/s", kernel.gigabytes_per_second(), kernel.gigaflops_per_second());
/// assert!(kernel.bytes_read >= 4 * 100 && kernel.bytes() > kernel.bytes_read);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KernelReport {
    /// Its name.
    pub name: String,
    /// Names of the ops that were computed together. Of several kernels that belong together (the stages of a long
    /// reduction), each lists them all.
    pub ops: Vec<String>,
    /// The lines of the program that these ops come from, as `file:line`, with ` in ` and the layer where there is one, each once.
    pub lines: Vec<String>,
    /// What is left in memory for others.
    pub stored: Vec<StoredValue>,
    /// Which ops after these did not join, and why.
    pub ended: Vec<(String, EndReason)>,
    /// The kernel's text; empty on the CPU reference.
    pub wgsl: String,
    /// The size of the grid; 0 on the CPU reference.
    pub workgroups: u64,
    /// Bytes of the elements that it reads, each counted once. What is looked up by indices counts whole.
    pub bytes_read: u64,
    /// Bytes of the elements that it writes.
    pub bytes_written: u64,
    /// Arithmetic operations, where known: 2mnk for a matrix product, else one for each op at each element, and one for
    /// each element that a reduction takes in.
    pub flops: Option<u64>,
    /// Time on the GPU (on the CPU reference, on the host), where the device can tell.
    pub time: Option<Duration>,
}

/// What kernels that have something in common took together.
///
/// ```
/// use wgrad::{Device, Tensor};
/// let x = Tensor::randn([100], &Device::default());
/// x.realize()?;
/// let totals = x.exp().sum().explain()?.by_line();
/// assert!(totals.iter().all(|total| total.name.contains(".rs:") && total.kernels > 0));
/// assert!((totals.iter().map(|total| total.share).sum::<f64>() - 1.0).abs() < 1e-9);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct KernelTotals {
    /// The name of the kernels, or the source line.
    pub name: String,
    /// How many kernels.
    pub kernels: usize,
    /// Their time, where the device can tell.
    pub time: Option<Duration>,
    /// Bytes read and written.
    pub bytes: u64,
    /// Known arithmetic operations.
    pub flops: u64,
    /// Their part of all kernels' time; where the device cannot tell times, of all bytes.
    pub share: f64,
}

/// A value that a kernel leaves in memory.
///
/// ```
/// use wgrad::{Device, Tensor};
/// let x = Tensor::randn([100], &Device::default());
/// x.realize()?;
/// let explanation = x.exp().explain()?;
/// let stored = &explanation.kernels[0].stored[0];
/// println!("{} is stored: {:?}", stored.op, stored.reason);
/// assert_eq!((&stored.shape[..], stored.bytes), (&[100][..], 400));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredValue {
    /// The op that it is the result of.
    pub op: String,
    /// Its shape.
    pub shape: Shape,
    /// Its element type.
    pub dtype: DType,
    /// Its size.
    pub bytes: u64,
    /// Why it is stored.
    pub reason: StoreReason,
}

impl KernelReport {
    /// Bytes read and written.
    pub fn bytes(&self) -> u64 {
        self.bytes_read + self.bytes_written
    }

    /// Traffic in 10⁹ bytes per second, where the time is known.
    pub fn gigabytes_per_second(&self) -> Option<f64> {
        rate(self.bytes(), self.time)
    }

    /// Arithmetic in 10⁹ operations a second, where time and operations are known.
    pub fn gigaflops_per_second(&self) -> Option<f64> {
        rate(self.flops?, self.time)
    }

    /// The line of the log: name, time, rates.
    pub(crate) fn line(&self) -> String {
        let figure =
            |value: Option<f64>, unit: &str| value.map_or(format!("- {unit}"), |v| format!("{} {unit}", short(v)));
        let time = self.time.map_or("no time".to_owned(), micros);
        let rates = [
            figure(self.gigabytes_per_second(), "GB/s"),
            figure(self.gigaflops_per_second(), "GFLOP/s"),
            size(self.bytes()),
        ];
        format!("{}: {time}, {}, {}", self.name, rates.join(", "), self.lines.join(", "))
    }
}

fn rate(amount: u64, time: Option<Duration>) -> Option<f64> {
    let nanos = time?.as_nanos() as f64;
    (nanos > 0.0).then(|| amount as f64 / nanos)
}

/// A figure with three digits or so.
fn short(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

fn micros(time: Duration) -> String {
    let nanos = time.as_nanos() as f64;
    if nanos >= 1e7 { format!("{} ms", short(nanos / 1e6)) } else { format!("{} µs", short(nanos / 1e3)) }
}

impl Explanation {
    pub(crate) fn new(device: String) -> Explanation {
        Explanation {
            device,
            kernels: Vec::new(),
            plan: PlanSummary::default(),
            plan_reused: false,
            has_times: false,
            planning: Duration::ZERO,
            compiling: Duration::ZERO,
            running: Duration::ZERO,
        }
    }

    /// The times of all kernels together, where the device can tell. Kernels whose time is not known do not count.
    pub fn kernel_time(&self) -> Option<Duration> {
        self.kernels.iter().filter_map(|kernel| kernel.time).reduce(|a, b| a + b)
    }

    /// Bytes that all kernels read and write.
    pub fn bytes(&self) -> u64 {
        self.kernels.iter().map(KernelReport::bytes).sum()
    }

    /// Known arithmetic operations of all kernels.
    pub fn flops(&self) -> u64 {
        self.kernels.iter().filter_map(|kernel| kernel.flops).sum()
    }
}

/// The user's lines of these nodes, with their layers, each once.
fn lines(nodes: impl Iterator<Item = Var>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for var in nodes {
        let at = var.0.at;
        let layer = at.layer().map_or_else(String::new, |layer| format!(" in {layer}"));
        let line = format!("{}:{}{layer}", at.file(), at.line());
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

fn stored(snap: &Snapshot, cluster: &Cluster) -> Vec<StoredValue> {
    let value = |&(i, reason): &(usize, StoreReason)| {
        let var = &snap.nodes[i];
        let meta = var.meta();
        let op = var.0.op.name().to_owned();
        StoredValue { op, shape: meta.shape.clone(), dtype: meta.dtype, bytes: meta.bytes(), reason }
    };
    cluster.stored.iter().map(value).collect()
}

fn ended(snap: &Snapshot, cluster: &Cluster) -> Vec<(String, EndReason)> {
    let mut ended: Vec<(String, EndReason)> = Vec::new();
    for (reason, consumer) in &cluster.ended {
        let end = (snap.nodes[*consumer].0.op.name().to_owned(), *reason);
        if !ended.contains(&end) {
            ended.push(end);
        }
    }
    ended
}

/// A cluster in a line of the log: its ops, their lines, what it stores and why it ends.
pub fn cluster_line(snap: &Snapshot, cluster: &Cluster) -> String {
    let ops: Vec<&str> = cluster.ops.iter().map(|&i| snap.nodes[i].0.op.name()).collect();
    let mut line = format!("{}: {} ops ({})", cluster.name, ops.len(), ops.join(" "));
    line += &format!(" from {}", lines(cluster.ops.iter().map(|&i| snap.nodes[i].clone())).join(", "));
    for value in stored(snap, cluster) {
        line += &format!("; stores {} {}: {}", value.op, value.shape, value.reason);
    }
    for (consumer, reason) in ended(snap, cluster) {
        line += &format!("; ends: {consumer} {reason}");
    }
    line
}

/// A report for each step of a plan.
pub fn reports(snap: &Snapshot, plan: &Plan, timings: &[Option<Timing>]) -> Vec<KernelReport> {
    let report = |(s, step): (usize, &crate::plan::Step)| {
        let cluster = &plan.clusters[step.cluster];
        KernelReport {
            name: step.kernel.name.clone(),
            ops: cluster.ops.iter().map(|&i| snap.nodes[i].0.op.name().to_owned()).collect(),
            lines: lines(cluster.ops.iter().map(|&i| snap.nodes[i].clone())),
            stored: stored(snap, cluster),
            ended: ended(snap, cluster),
            wgsl: step.kernel.needed(),
            workgroups: step.workgroups,
            bytes_read: step.bytes_read,
            bytes_written: step.bytes_written,
            flops: step.flops,
            time: timings.get(s).copied().flatten().map(|timing| timing.length),
        }
    };
    plan.steps.iter().enumerate().map(report).collect()
}

/// The kernels in the GPU's lane of the trace.
pub fn trace(lane: u32, kernels: &[KernelReport], timings: &[Option<Timing>]) {
    if lane == 0 {
        return;
    }
    for ((kernel, timing), beside) in kernels.iter().zip(timings).zip(beside(timings)) {
        let Some(timing) = timing else { continue };
        let (ops, lines) = (kernel.ops.join(" "), kernel.lines.join(", "));
        let mut args = vec![
            ("ops", Arg::Text(&ops)),
            ("source", Arg::Text(&lines)),
            ("bytes", Arg::Number(kernel.bytes())),
            ("workgroups", Arg::Number(kernel.workgroups)),
        ];
        args.extend(kernel.flops.map(|flops| ("flops", Arg::Number(flops))));
        args.extend(kernel.gigabytes_per_second().map(|rate| ("GB/s", Arg::Fraction(rate))));
        args.extend(kernel.gigaflops_per_second().map(|rate| ("GFLOP/s", Arg::Fraction(rate))));
        trace::kernel(lane, beside, &kernel.name, timing.start, timing.length, &args);
    }
}

/// A lane for each kernel, such that those of one lane do not overlap.
fn beside(timings: &[Option<Timing>]) -> Vec<usize> {
    let mut ends: Vec<Duration> = Vec::new();
    let place = |timing: &Option<Timing>| {
        let Some(Timing { start, length }) = timing else { return 0 };
        let lane = ends.iter().position(|end| end <= start).unwrap_or(ends.len());
        ends.resize(ends.len().max(lane + 1), Duration::ZERO);
        ends[lane] = *start + *length;
        lane
    };
    timings.iter().map(place).collect()
}

/// The report of an op on the CPU reference.
pub fn op_report(snap: &Snapshot, i: usize, time: Duration) -> KernelReport {
    let var = &snap.nodes[i];
    let inputs: Vec<&Var> = snap.inputs[i].iter().map(|source| snap.var(*source)).collect();
    let name = var.0.op.name().to_owned();
    let keep = snap.keep[i];
    let reason = match (keep.root, keep.held) {
        (true, _) => StoreReason::Asked,
        (_, true) => StoreReason::Held,
        _ => StoreReason::FusionOff,
    };
    let meta = var.meta();
    let (shape, dtype, bytes) = (meta.shape.clone(), meta.dtype, meta.bytes());
    KernelReport {
        ops: vec![name.clone()],
        lines: lines(std::iter::once(var.clone())),
        stored: vec![StoredValue { op: name.clone(), shape, dtype, bytes, reason }],
        ended: Vec::new(),
        wgsl: String::new(),
        workgroups: 0,
        bytes_read: inputs.iter().map(|input| input.meta().bytes()).sum(),
        bytes_written: bytes,
        flops: op_flops(var, &inputs),
        time: Some(time),
        name,
    }
}

/// The arithmetic of one op alone, where known.
fn op_flops(var: &Var, inputs: &[&Var]) -> Option<u64> {
    let metas: Vec<_> = inputs.iter().map(|input| input.meta()).collect();
    match var.0.op.kernel(&metas, var.meta()) {
        Kernel::Scalar(_) | Kernel::Data | Kernel::View(_) => Some(0),
        Kernel::Elementwise(_) => Some(var.meta().numel() as u64),
        Kernel::Reduce(_) => Some(metas.first()?.numel() as u64),
        Kernel::Routine(routine) => {
            let operand =
                |var: &Var| Operand { meta: var.meta().clone(), layout: Layout::contiguous(var.shape().clone()) };
            let (operands, output): (Vec<_>, _) = (inputs.iter().map(|input| operand(input)).collect(), operand(var));
            let stages = routine.stages(&operands, &output, &Caps::baseline()).ok()?;
            stages.iter().map(|stage| routine.flops(stage, &operands, &output)).sum()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_that_overlap_get_lanes_of_their_own() {
        let at =
            |start, length| Some(Timing { start: Duration::from_nanos(start), length: Duration::from_nanos(length) });
        assert_eq!(beside(&[at(0, 10), at(10, 5), None, at(20, 9)]), [0, 0, 0, 0]);
        assert_eq!(beside(&[at(0, 10), at(5, 10), at(9, 2), at(12, 1), at(14, 9)]), [0, 1, 2, 0, 0]);
    }
}
