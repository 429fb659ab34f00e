//! `WGRAD_TUNE`: ops that have several candidates for their kernels run each of them once for a class of shapes, and the fastest is kept.

use std::time::Duration;

use super::synthetic::{Kernels, operands, variant};
use super::{GpuBackend, GpuState, Purpose};
use crate::error::Result;
use crate::graph::Var;
use crate::graph::kernel::Kernel;
use crate::ir::Snapshot;
use crate::ir::gate::Unchecked;
use crate::plan::Plan;
use crate::trace;
use crate::tuning::CANDIDATES;

/// Times that a candidate is measured; the best counts.
const RUNS: usize = 5;

impl GpuBackend {
    /// Tries the candidates of every op of the snapshot whose class of shapes was not tried here.
    ///
    /// # Errors
    /// Where the file of choices cannot be written, or a candidate does not run.
    pub(super) fn tune(&self, snap: &Snapshot, state: &mut GpuState) -> Result<()> {
        let Some(choices) = self.caps.choices.clone() else { return Ok(()) };
        for node in &snap.nodes {
            let Kernel::Routine(routine) = node.0.kernel() else { continue };
            let inputs = operands(node);
            let Some(class) = routine.class(&inputs).filter(|class| choices.of(class).is_none()) else { continue };
            // The first one of those that are the same.
            let mut candidates: Vec<(usize, u128, String)> = Vec::new();
            for candidate in 0..CANDIDATES {
                let Some((key, names)) = variant(node, &inputs, Kernels::Candidate(candidate), &self.caps) else {
                    continue;
                };
                if candidates.iter().all(|(_, known, _)| *known != key) {
                    candidates.push((candidate, key, names));
                }
            }
            let mut fastest = (0, Duration::MAX);
            if candidates.len() > 1 {
                for (candidate, _, names) in &candidates {
                    let time = self.time(node, *candidate, state)?;
                    log::debug!("{class}: candidate {candidate} ({names}) takes {time:.1?}");
                    if time < fastest.1 {
                        fastest = (*candidate, time);
                    }
                }
            }
            choices.choose(&class, fastest.0)?;
        }
        Ok(())
    }

    /// How long one candidate takes at best.
    fn time(&self, node: &Var, candidate: usize, state: &mut GpuState) -> Result<Duration> {
        let own = self.synthetic_runs(node, &[Kernels::Candidate(candidate)])?;
        let snap = Snapshot::new(&own, &[], Unchecked::Nothing, self.settings(None));
        let (plan, _) = Plan::new(&snap, &self.caps, self.fuse, None)?;
        let mut prepared = self.prepare(&snap, plan)?;
        let GpuState { workspace, faults, partners, .. } = state;
        let mut best = Duration::MAX;
        // The first run compiles.
        for run in 0..=RUNS {
            let start = trace::now();
            self.execute(&snap, &mut prepared, workspace, faults, partners, Purpose::default())?;
            pollster::block_on(self.gpu.wait(0..0))?;
            if run > 0 {
                best = best.min(trace::now().saturating_sub(start));
            }
        }
        Ok(best)
    }
}
