//! What a device computes, and when: flushes of targets, of everything pending, and reads.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Backend, Device, Planned};
use crate::array::Array;
use crate::backend::cpu;
use crate::backend::explain::Explanation;
use crate::backend::validate::from_bytes;
use crate::error::{Error, Result};
use crate::graph::kernel::Kernel;
use crate::graph::node::{Node, lock};
use crate::graph::pending_checks::PendingChecks;
use crate::graph::{Var, anomaly, order, recording};
use crate::host;
use crate::ir::Merged;
use crate::layout::Layout;
use crate::plan::Plan;

/// Nodes recorded since the last flush of everything at which a flush starts by itself, so that loops that never read do not
/// grow.
const AUTO_FLUSH: u64 = 8192;

impl Device {
    /// Computes `targets`, each into a buffer of its own, and with them what somebody holds and shares work with them: so nothing is
    /// computed twice, in whatever order a user reads.
    pub(crate) fn flush(&self, targets: &[Var]) -> Result<()> {
        targets.iter().try_for_each(Var::check)?;
        if recording::active_on(self.context()) || targets.iter().all(|var| var.0.has_value()) {
            // Of a step that is being captured the whole is flushed when it is known.
            return Ok(());
        }
        let asked = |var: &Var| targets.iter().any(|target| target.0.id == var.0.id);
        let held: Vec<Var> = self.context().held_pending().into_iter().map(Var).filter(|var| !asked(var)).collect();
        let also = if held.is_empty() { held } else { order::sharing(targets, &held) };
        match self.run(targets, &also) {
            // What was not asked for must not hold up what was.
            Err(_) if !also.is_empty() => self.run(targets, &[]),
            outcome => outcome,
        }
    }

    /// Computes `targets` and nothing else.
    pub(crate) fn flush_alone(&self, targets: &[Var]) -> Result<()> {
        targets.iter().try_for_each(Var::check)?;
        if recording::active_on(self.context()) { Ok(()) } else { self.run(targets, &[]) }
    }

    /// Computes every pending value that somebody holds.
    pub(crate) fn flush_pending(&self) -> Result<()> {
        if recording::active_on(self.context()) {
            return Ok(());
        }
        let _one_at_a_time = lock(&self.inner.flushing);
        // A search looks at what its own thread has recorded since it began, and at nothing else.
        let searched = match anomaly::active() {
            true => self.flush_nodes(anomaly::take_pending(self.context()), |held| self.run(&[], held)),
            false => Ok(()),
        };
        searched.and(self.flush_nodes(self.inner.context.take_pending(), |held| self.compute(&[], held)))
    }

    /// Computes those of some nodes that somebody holds, by `run`.
    fn flush_nodes(&self, nodes: Vec<Arc<Node>>, run: impl Fn(&[Var]) -> Result<()>) -> Result<()> {
        // Handles of nodes that nobody holds would keep alive what those read.
        let held: Vec<Var> = nodes.into_iter().filter(|node| node.is_held() && !node.has_value()).map(Var).collect();
        let Err(error) = run(&held) else { return Ok(()) };
        // One value that cannot be computed must not hold up the others: now, or when everything is computed again. It is left to
        // whoever reads it, who meets the error too.
        let failed = held.iter().filter(|var| run(std::slice::from_ref(*var)).is_err()).count();
        if failed == 0 { Ok(()) } else { Err(error) }
    }

    /// Flushes where many nodes were recorded without one. An error is left for a read to meet.
    pub(crate) fn flush_if_long(&self) {
        // Most of what a loop with reads has recorded is computed or gone by now, and then nothing needs a flush.
        if self.inner.context.unflushed() >= AUTO_FLUSH
            && self.inner.context.prune() >= AUTO_FLUSH / 2
            && let Err(error) = self.flush_pending()
        {
            log::warn!("an automatic flush failed: {error}");
        }
    }

    fn run(&self, targets: &[Var], also: &[Var]) -> Result<()> {
        if anomaly::active() && !matches!(self.inner.backend, Backend::Null(_)) {
            self.search_anomaly(&targets.iter().chain(also).collect::<Vec<_>>())?;
        }
        self.compute(targets, also)
    }

    pub(crate) fn compute(&self, targets: &[Var], also: &[Var]) -> Result<()> {
        if let (true, Backend::Gpu(gpu)) = (self.inner.eager.load(Ordering::Relaxed), &self.inner.backend) {
            let roots: Vec<Var> = targets.iter().chain(also).cloned().collect();
            for var in order::reachable(&roots, |var| var.0.has_value()) {
                // Views and numbers are no work of their own.
                if !matches!(var.0.kernel(), Kernel::View(_) | Kernel::Scalar(_)) {
                    gpu.flush(std::slice::from_ref(&var), &[])?;
                }
            }
        }
        match &self.inner.backend {
            Backend::Gpu(gpu) => gpu.flush(targets, also),
            Backend::Cpu(cpu) => cpu.flush(targets, also),
            Backend::Null(null) => null.flush(targets, also),
        }
    }

    /// What computing `targets` would take, within a budget of bytes if there is one: nothing is run.
    pub(crate) fn plan(&self, targets: &[Var], budget: Option<u64>) -> Result<Planned> {
        targets.iter().try_for_each(Var::check)?;
        let planned = |(plan, graph): (Plan, Merged)| {
            let summary = plan.summary(&graph);
            Planned { graph, clusters: plan.clusters, summary }
        };
        match &self.inner.backend {
            Backend::Gpu(gpu) => gpu.plan(targets, budget).map(planned),
            Backend::Null(null) => null.plan(targets, budget).map(planned),
            Backend::Cpu(cpu) => {
                let snap = cpu.snapshot(targets);
                let (clusters, summary) = cpu::outline(&snap);
                Ok(Planned { graph: Merged::without_duplicates((*snap).clone()), clusters, summary })
            }
        }
    }

    /// Computes `targets` and says how.
    pub(crate) fn explain(&self, targets: &[Var]) -> Result<Explanation> {
        targets.iter().try_for_each(Var::check)?;
        match &self.inner.backend {
            Backend::Gpu(gpu) => gpu.explain(targets),
            Backend::Cpu(cpu) => cpu.explain(targets),
            Backend::Null(_) => Err(Error::unsupported("explain", "the null device computes nothing")),
        }
    }

    /// Whether index checks among these have not answered yet, or have failed.
    pub(crate) fn is_open(&self, pending_checks: &PendingChecks) -> bool {
        !pending_checks.is_empty()
            && match &self.inner.backend {
                Backend::Gpu(gpu) => gpu.is_open(pending_checks),
                Backend::Cpu(_) => pending_checks.fault().is_some(),
                Backend::Null(_) => false,
            }
    }

    /// Waits until index checks have answered.
    ///
    /// # Errors
    /// What a check has found; in browsers, which cannot wait, also where one has not answered.
    pub(crate) fn answer(&self, pending_checks: &PendingChecks) -> Result<()> {
        match &self.inner.backend {
            Backend::Gpu(gpu) => gpu.answer(pending_checks),
            Backend::Cpu(cpu) => cpu.check(pending_checks),
            Backend::Null(_) => Ok(()),
        }
    }

    /// Computes and reads a value.
    pub(crate) async fn read(&self, var: &Var) -> Result<Array> {
        var.check()?;
        recording::forbid_reading("read", None)?;
        let base = order::readable(var, Var::is_assignment);
        base.share_value();
        if let Some((source, layout)) = shown(&base) {
            // Far more than what it shows, where it repeats elements.
            host::room_for("read", Some(var.shape()), 2 * var.meta().bytes())?;
            let array = self.fetch(&source).await?.strided(&layout);
            let same = array.shape() == *var.shape();
            return Ok(if same { array } else { array.strided(&Layout::contiguous(var.shape().clone())) });
        }
        self.flush(std::slice::from_ref(&base))?;
        self.fetch_as(&base, var).await
    }

    /// Reads a value that is computed.
    pub(in crate::backend) async fn fetch(&self, var: &Var) -> Result<Array> {
        self.fetch_as(var, var).await
    }

    async fn fetch_as(&self, base: &Var, var: &Var) -> Result<Array> {
        match &self.inner.backend {
            Backend::Gpu(gpu) => {
                // The bytes, and the array that is made of them.
                host::room_for("read", Some(var.shape()), 2 * var.meta().bytes())?;
                Ok(from_bytes(&gpu.read(base).await?, var.meta()))
            }
            Backend::Cpu(cpu) => {
                cpu.check(&base.0.pending_checks())?;
                host::room_for("read", Some(var.shape()), var.meta().bytes())?;
                let array = cpu::host_array(base)?;
                Ok(array.strided(&Layout::contiguous(var.shape().clone())))
            }
            Backend::Null(_) => Err(Error::unsupported("read", "the null device computes nothing")),
        }
    }
}

/// Of a view of most of a value that is there: the node of that value, and how the view walks over it. Reading it takes no kernel.
fn shown(var: &Var) -> Option<(Var, Layout)> {
    let (mut source, mut views) = (var.clone(), Vec::new());
    while !source.0.has_value() {
        if source.is_assignment() {
            return None;
        }
        // The inputs are looked at once: another thread may compute the node meanwhile, which takes them away.
        let inputs = source.0.inputs();
        let viewed = inputs.first()?.clone();
        let metas: Vec<_> = inputs.iter().map(Var::meta).collect();
        let Kernel::View(view) = source.0.op.kernel(&metas, source.meta()) else { return None };
        views.push(view);
        source = viewed;
    }
    let whole = Layout::contiguous(source.shape().clone());
    let layout = views.iter().rev().try_fold(whole, |layout, view| layout.view(view))?;
    (!views.is_empty() && source.meta().numel() <= 2 * var.meta().numel()).then_some((source, layout))
}
