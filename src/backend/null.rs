//! A device that plans and computes nothing: for tests of the planner without an adapter.

use std::sync::{Arc, Mutex};

use crate::caps::Caps;
use crate::error::Result;
use crate::graph::node::lock;
use crate::graph::{Value, Var};
use crate::ir::gate::Unchecked;
use crate::ir::{Merged, Snapshot};
use crate::plan::{Plan, PlanSummary};

/// The backend of the null device.
pub struct NullBackend {
    pub caps: Caps,
    pub fuse: bool,
    pub plans: Mutex<Vec<PlanSummary>>,
    budget: Mutex<Option<u64>>,
}

impl NullBackend {
    pub fn new(caps: Caps, fuse: bool) -> NullBackend {
        NullBackend { caps, fuse, plans: Mutex::default(), budget: Mutex::default() }
    }

    /// Sets the bytes that a flush may need at once.
    pub fn set_budget(&self, budget: Option<u64>) {
        *lock(&self.budget) = budget;
    }

    pub fn budget(&self) -> Option<u64> {
        *lock(&self.budget)
    }

    /// Plans what `targets` need, without setting any value.
    pub fn plan(&self, targets: &[Var], budget: Option<u64>) -> Result<(Plan, Merged)> {
        let snap = Snapshot::new(targets, &[], Unchecked::Nothing, 0);
        Plan::new(&snap, &self.caps, self.fuse, budget.or(self.budget()))
    }

    pub fn flush(&self, targets: &[Var], also: &[Var]) -> Result<()> {
        let snap = Snapshot::new(targets, also, Unchecked::Nothing, 0);
        if snap.nodes.is_empty() {
            return Ok(());
        }
        let (plan, _) = Plan::new(&snap, &self.caps, self.fuse, self.budget())?;
        let summary = plan.summary(&snap);
        let values: Vec<Value> = plan.outputs.iter().map(|_| Arc::new(()) as Value).collect();
        for (i, o) in &plan.values {
            snap.nodes[*i].0.set_value(values[*o].clone());
        }
        snap.share_values();
        lock(&self.plans).push(summary);
        Ok(())
    }
}
