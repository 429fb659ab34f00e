//! Plans that keep to a budget of memory: values that wait long for their next reader are computed again instead.
//!
//! What a gradient reads is stored from the forward pass to the backward pass, and most memory goes there. Where that is more
//! than the budget allows, a value that is alive when most is, and that no kernel touches at that time, is let go, and a copy
//! of its op (and of those before it whose values are gone by then) is put in front of its next reader. Which value: the one
//! that frees most bytes for the least work. This is repeated until the plan fits or nothing helps any more. The idea is that of
//! checkpointing (Chen et al. 2016, arXiv 1604.06174), choosing by benefit against cost as in Kirisame et al. 2021,
//! arXiv 2006.09616.
//!
//! A copied op runs on the same inputs (random numbers have their counter as an input), and what is stored and what is computed by
//! its readers stays as it was, so kernels mostly keep their form and results their bits; in rare graphs a last bit differs.

use std::collections::{HashMap, HashSet};

use crate::caps::Caps;
use crate::error::{Error, Result};
use crate::graph::kernel::Kernel;
use crate::schedule::memory::Search;
use crate::schedule::plan::{Built, Plan};
use crate::schedule::snapshot::{Keep, Snapshot, Source};

/// Plans looked at before giving up.
const TRIES: usize = 512;
/// Candidates that are tried at one peak.
const CANDIDATES: usize = 12;
/// Ops that are copied for one value.
const COPIES: usize = 64;

/// A plan of `snap` that needs at most `budget` bytes at once, where `first` needs more.
///
/// The peak is lowered little by little, whatever the budget, until the plan fits. So what one budget reaches every larger one
/// does too, and the least that an error tells of is reached indeed.
///
/// # Errors
/// [`Error::OverBudget`] with the least that was reached, where no plan is found.
pub fn fit(snap: &Snapshot, caps: &Caps, fuse: bool, budget: u64, first: Built) -> Result<Plan> {
    let fixed = first.plan.fixed_bytes(snap);
    let mut state = State { snap: snap.with_origins(&first.stored), built: first };
    let mut least = u64::MAX;
    let mut tries = 0;
    loop {
        let needed = state.built.plan.workspace + fixed;
        if needed <= budget {
            let mut plan = state.built.plan;
            plan.rename(&state.snap.origin);
            return Ok(plan);
        }
        least = least.min(needed);
        let top = state.built.alive.iter().copied().max().unwrap_or(0);
        match state.improve(caps, fuse, top.saturating_sub((top / 64).max(1)), &mut tries)? {
            Some(next) => state = next,
            None => return Err(Error::OverBudget { budget, least, at: Default::default() }),
        }
    }
}

/// A snapshot with copies of ops, and its plan.
struct State {
    snap: Snapshot,
    built: Built,
}

/// A value that may be let go.
struct Candidate {
    node: usize,
    bytes: u64,
    /// The position in front of which it is computed again, and the step of its reader.
    at: usize,
    step: usize,
}

impl State {
    /// Bytes over the target, added up over all steps.
    fn overshoot(&self, target: u64) -> u64 {
        self.built.alive.iter().map(|&bytes| bytes.saturating_sub(target)).sum()
    }

    /// The next state with less memory over the target.
    fn improve(&self, caps: &Caps, fuse: bool, target: u64, tries: &mut usize) -> Result<Option<State>> {
        let now = self.overshoot(target);
        let mut peaks: Vec<usize> =
            (0..self.built.alive.len()).filter(|&step| self.built.alive[step] > target).collect();
        peaks.sort_by_key(|&step| (std::cmp::Reverse(self.built.alive[step]), step));
        // Where nothing helps at the highest step, something may at another one.
        peaks.dedup_by_key(|step| self.built.alive[*step]);
        for peak in peaks {
            let mut scored: Vec<(u64, Candidate, Vec<usize>)> = self
                .candidates(peak)
                .into_iter()
                .filter_map(|candidate| {
                    let copies = self.copies(&candidate)?;
                    let work: u64 = copies.iter().map(|&i| self.work(i)).sum();
                    // Bytes per unit of work.
                    Some((candidate.bytes.saturating_mul(1 << 20) / work.max(1), candidate, copies))
                })
                .collect();
            scored.sort_by_key(|(score, candidate, _)| (std::cmp::Reverse(*score), candidate.node));
            for (_, candidate, copies) in scored.into_iter().take(CANDIDATES) {
                *tries += 1;
                if *tries > TRIES {
                    return Ok(None);
                }
                let snap = self.with_copies(&candidate, &copies);
                let built = Plan::build(&snap, caps, fuse, Search::Quick)?;
                let next = State { snap, built };
                if next.overshoot(target) < now {
                    return Ok(Some(next));
                }
            }
        }
        Ok(None)
    }

    /// The values that are alive at a step that does not touch them.
    fn candidates(&self, peak: usize) -> Vec<Candidate> {
        let waiting = self.built.lives.iter().filter(|(_, life)| life.first < peak && peak < life.last);
        waiting
            .filter_map(|&(node, life)| {
                let readers = self.built.groups.iter().filter(|g| g.first > peak && g.reads.contains(&node));
                let reader = readers.min_by_key(|g| g.first)?;
                Some(Candidate { node, bytes: life.bytes, at: reader.start, step: reader.first })
            })
            .filter(|candidate| candidate.node < candidate.at)
            .collect()
    }

    /// The nodes to copy for a candidate, in order: its own, and those before it whose values are gone when it is read.
    fn copies(&self, candidate: &Candidate) -> Option<Vec<usize>> {
        let lives: HashMap<usize, (usize, usize)> =
            self.built.lives.iter().map(|(i, life)| (*i, (life.first, life.last))).collect();
        let there = |i: usize| match lives.get(&i) {
            Some(&(first, last)) => first < candidate.step && candidate.step <= last,
            None => self.built.outputs.contains(&i) || self.snap.nodes[i].0.op.is_source(),
        };
        let mut copies = HashSet::from([candidate.node]);
        let mut stack = vec![candidate.node];
        while let Some(i) = stack.pop() {
            for source in self.sources(i) {
                if let Source::Pending(j) = source
                    && !there(j)
                    && copies.insert(j)
                {
                    stack.push(j);
                }
            }
            if copies.len() > COPIES {
                return None;
            }
        }
        let mut copies: Vec<usize> = copies.into_iter().collect();
        copies.sort_unstable();
        Some(copies)
    }

    /// What a node reads: its inputs, or the earlier node of the same value.
    fn sources(&self, i: usize) -> Vec<Source> {
        match self.snap.twin(i) {
            Some(twin) => vec![Source::Pending(twin)],
            None => self.snap.inputs[i].to_vec(),
        }
    }

    /// A rough measure of what computing a node takes: elements touched, more for those of structured ops.
    fn work(&self, i: usize) -> u64 {
        let elements = |source: Source| self.snap.var(source).meta().numel() as u64;
        let touched: u64 = self.sources(i).into_iter().map(elements).sum::<u64>() + elements(Source::Pending(i));
        match self.snap.nodes[i].0.kernel() {
            Kernel::Scalar(_) | Kernel::Data | Kernel::View(_) => 0,
            Kernel::Elementwise(_) => touched / 4,
            Kernel::Reduce(_) => touched,
            Kernel::Routine(_) => touched.saturating_mul(8),
        }
    }

    /// The snapshot with copies of `copies` in front of position `at`, which everything from there on reads.
    fn with_copies(&self, candidate: &Candidate, copies: &[usize]) -> Snapshot {
        let (snap, at) = (&self.snap, candidate.at);
        let n = snap.nodes.len();
        // Whoever reads the value through views and through ops that are evaluated by their readers reads the copy through
        // copies of those.
        let stored = self.built.stores();
        let mut through = vec![false; at];
        for &i in copies {
            through[i] = true;
        }
        for i in 0..at {
            let evaluated = !stored.contains(&i) && !snap.nodes[i].0.op.is_source();
            let reads = |source: &Source| matches!(source, Source::Pending(j) if through[*j]);
            through[i] |= evaluated && self.sources(i).iter().any(reads);
        }
        let leaves = snap.leaves.clone();
        let mut out = Snapshot { leaves, hash: snap.hash, ..Snapshot::default() };
        let mut moved: Vec<usize> = Vec::with_capacity(n);
        let mut copies: HashMap<usize, usize> = HashMap::new();
        for i in 0..n {
            if i == at {
                let start = out.nodes.len();
                for j in (0..at).filter(|&j| through[j]) {
                    let place = |k: usize| copies.get(&k).copied().unwrap_or_else(|| moved[k]);
                    let to = out.adopt(snap, j, place);
                    out.keep[to] = Keep { root: false, held: false, awaits_backward: false };
                    out.copied[to] = Some(start);
                    copies.insert(j, to);
                }
            }
            let place = |k: usize| copies.get(&k).copied().unwrap_or_else(|| moved[k]);
            let to = out.adopt(snap, i, place);
            moved.push(to);
            out.copied[to] = snap.copied[i].map(|start| moved[start]);
        }
        out.find_needed();
        out
    }
}

impl Snapshot {
    /// The snapshot, ready to take copies.
    fn with_origins(&self, stored: &[bool]) -> Snapshot {
        let n = self.nodes.len();
        let same = if self.same.is_empty() { vec![None; n] } else { self.same.clone() };
        let needed = if self.needed.is_empty() { vec![true; n] } else { self.needed.clone() };
        Snapshot {
            origin: (0..n).collect(),
            copied: vec![None; n],
            decided: stored.to_vec(),
            same,
            needed,
            ..self.clone()
        }
    }

    /// Appends node `i` of another snapshot, whose positions are mapped by `place`; its new position.
    fn adopt(&mut self, from: &Snapshot, i: usize, place: impl Fn(usize) -> usize) -> usize {
        let map = |source: &Source| match source {
            Source::Pending(k) => Source::Pending(place(*k)),
            leaf => *leaf,
        };
        self.nodes.push(from.nodes[i].clone());
        self.inputs.push(from.inputs[i].iter().map(map).collect());
        self.keep.push(from.keep[i]);
        self.same.push(from.same[i].map(&place));
        self.origin.push(from.origin[i]);
        self.decided.push(from.decided[i]);
        self.copied.push(None);
        self.nodes.len() - 1
    }

    /// Where the copies that node `i` belongs to begin, where it is computed again for the budget.
    pub fn again(&self, i: usize) -> Option<usize> {
        self.copied.get(i).copied().flatten()
    }
}
