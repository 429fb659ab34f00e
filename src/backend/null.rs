//! A device that plans and computes nothing: for tests of the planner without an adapter.

use std::sync::{Arc, Mutex};

use crate::caps::Caps;
use crate::error::Result;
use crate::graph::node::lock;
use crate::graph::{Value, Var};
use crate::schedule::{Plan, PlanSummary, Snapshot};

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

    /// Plans what `targets` need, without setting any value.
    pub fn plan(&self, targets: &[Var]) -> Result<(Snapshot, Plan)> {
        let snap = Snapshot::new(targets, &[], 0);
        let plan = Plan::new(&snap, &self.caps, self.fuse)?;
        Ok((snap, plan))
    }

    pub fn flush(&self, targets: &[Var], also: &[Var]) -> Result<()> {
        let snap = Snapshot::new(targets, also, 0);
        if snap.nodes.is_empty() {
            return Ok(());
        }
        let plan = Plan::new(&snap, &self.caps, self.fuse)?;
        let summary = plan.summary(&snap);
        for (i, _) in &plan.outputs {
            snap.nodes[*i].0.set_value(Arc::new(()) as Value);
        }
        snap.nodes.iter().for_each(Var::settle);
        lock(&self.plans).push(summary);
        Ok(())
    }
}
