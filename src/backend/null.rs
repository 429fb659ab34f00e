//! A device that plans and computes nothing: for tests of the planner without an adapter.

use std::sync::{Arc, Mutex};

use crate::caps::Caps;
use crate::error::Result;
use crate::graph::node::lock;
use crate::graph::{Value, Var};
use crate::schedule::{Plan, Snapshot};

/// What the null device planned for one flush.
#[derive(Clone, Debug, Default)]
pub struct PlanSummary {
    /// Names of the kernels in order.
    pub kernels: Vec<String>,
    /// Their WGSL.
    pub shaders: Vec<String>,
    /// Bytes of the workspace.
    pub workspace: u64,
    /// The least that any assignment needs.
    pub lower_bound: u64,
}

/// The backend of the null device.
pub struct NullBackend {
    pub caps: Caps,
    pub fuse: bool,
    pub plans: Mutex<Vec<PlanSummary>>,
}

impl NullBackend {
    pub fn new(caps: Caps, fuse: bool) -> NullBackend {
        NullBackend { caps, fuse, plans: Mutex::default() }
    }

    pub fn flush(&self, targets: &[Var], also: &[Var]) -> Result<()> {
        let snap = Snapshot::new(targets, also, 0);
        if snap.nodes.is_empty() {
            return Ok(());
        }
        let plan = Plan::new(&snap, &self.caps, self.fuse)?;
        for (i, _) in &plan.outputs {
            snap.nodes[*i].0.set_value(Arc::new(()) as Value);
        }
        snap.nodes.iter().for_each(Var::settle);
        lock(&self.plans).push(PlanSummary {
            kernels: plan.steps.iter().map(|s| s.kernel.name.clone()).collect(),
            shaders: plan.steps.iter().map(|s| s.kernel.wgsl.clone()).collect(),
            workspace: plan.workspace,
            lower_bound: plan.lower_bound,
        });
        Ok(())
    }
}
