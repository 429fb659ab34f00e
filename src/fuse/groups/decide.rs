//! Which values are stored, and which are computed by whoever reads them.

use foldhash::HashSet;

use super::{Fuser, Role, fold};
use crate::error::{Error, Result};
use crate::graph::Meta;
use crate::graph::kernel::Operand;
use crate::ir::{Source, StoreReason};
use crate::layout::Layout;

/// Instructions that one kernel may hold; long chains are cut here, since drivers compile in superlinear time.
pub const MAX_INSTRUCTIONS: usize = 128;
/// Elementwise work (elements times instructions) below which recomputing is cheaper than one more dispatch.
pub const RECOMPUTE_WORK: usize = 200_000;
/// A value that several kernels read is recomputed if it takes at most this many instructions and buffers.
const RECOMPUTE_INSTRUCTIONS: usize = 4;
const RECOMPUTE_BUFFERS: usize = 2;

/// What a routine may compute where it loads an operand's elements once: instructions and buffers.
const PRODUCER_INSTRUCTIONS: usize = 16;
const PRODUCER_BUFFERS: usize = 3;
/// The same where it loads each element several times, from one buffer.
const REPEATED_LOADS: usize = 4;
const REPEATED_INSTRUCTIONS: usize = 2;

impl Fuser<'_> {
    /// Decides for every node whether it is stored.
    pub(super) fn decide(&mut self) -> Result<()> {
        if let Some(decisions) = self.decisions {
            let is_value = |i: usize| !matches!(self.role[i], Role::Scalar | Role::View) && self.graph.is_needed(i);
            self.stored = (0..self.role.len()).map(|i| decisions.stored[i] && is_value(i)).collect();
        }
        // Storing a value changes what its earlier readers load, so this goes on until nothing changes. The stored values
        // only ever grow in number, so it ends.
        loop {
            let before = self.stored.iter().filter(|s| **s).count();
            self.decide_once()?;
            if self.stored.iter().filter(|s| **s).count() == before {
                break;
            }
        }
        for i in 0..self.stored.len() {
            // What is in memory anyway is kept for a backward pass still to come.
            let awaited = |j: usize| self.graph.keep[j].awaits_backward;
            let dear = matches!(self.role[i], Role::Reduce(_) | Role::Routine(_));
            let read_by_awaited = dear && self.consumers[i].iter().any(|&c| awaited(c));
            let copied = self.is_copy(i);
            self.keep[i] |= self.stored[i] && !copied && (awaited(i) || read_by_awaited);
        }
        Ok(())
    }

    fn decide_once(&mut self) -> Result<()> {
        for i in (0..self.graph.nodes.len()).filter(|&i| self.graph.is_needed(i)) {
            match self.role[i] {
                Role::Scalar | Role::View => continue,
                Role::Routine(_) => {
                    for (source, _) in self.operands(i) {
                        if !self.takes(i, source) {
                            self.store(source);
                        }
                    }
                    // The output, what a routine of several stages keeps in between, and index errors.
                    while self.operand_buffers(i) > self.budget - 3 {
                        let operands = self.operands(i);
                        let Some((source, _)) = operands.into_iter().find(|(s, _)| self.is_virtual(*s)) else { break };
                        self.store(source);
                    }
                    self.mark(i, StoreReason::Result);
                }
                Role::Reduce(_) => {
                    // Partial results of arg reductions are two.
                    self.fit(i, self.budget - 2)?;
                    self.mark(i, StoreReason::Result);
                }
                Role::Elementwise(_) | Role::Copy(..) | Role::Fill(_) => {
                    self.fit(i, self.budget - 1)?;
                    let reason = self.must_store(i);
                    match self.decisions.map(|decisions| decisions.stored[i]) {
                        // What was computed by its readers before ops were copied still is: kernels keep their form, and
                        // results their bits.
                        Some(false) => {}
                        Some(true) => self.mark(i, reason.unwrap_or(StoreReason::Shared)),
                        None => {
                            if let Some(reason) = reason {
                                self.mark(i, reason);
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether routine `i` computes `source` where it loads it.
    fn takes(&mut self, i: usize, source: Source) -> bool {
        let Source::Pending(p) = source else { return false };
        if !self.fuse || !self.is_virtual(source) || !matches!(self.role[p], Role::Elementwise(_)) {
            return false;
        }
        if let Some(decisions) = self.decisions {
            return !decisions.stored[p];
        }
        if self.keep[p] || self.consumers[p].len() != 1 {
            return false;
        }
        if !self.loads.contains_key(&i) {
            let loads = self.loads_of(i);
            self.loads.insert(i, loads);
        }
        let operands = self.operands(i);
        let (size, bases) = (self.size[p], self.buffers(p));
        let read = operands.iter().enumerate().filter(|(_, (s, _))| *s == source);
        let loads: Option<usize> = read.map(|(k, _)| self.loads[&i].get(k).copied().flatten()).sum();
        match loads {
            Some(1) => size <= PRODUCER_INSTRUCTIONS && bases <= PRODUCER_BUFFERS,
            Some(loads) => loads <= REPEATED_LOADS && size <= REPEATED_INSTRUCTIONS && bases <= 1,
            None => false,
        }
    }

    /// How often routine `i` loads each element of its operands, were they computed in place.
    fn loads_of(&self, i: usize) -> Vec<Option<usize>> {
        let Role::Routine(Some(routine)) = &self.role[i] else { return Vec::new() };
        let operand = |(source, path): &(Source, super::Path)| {
            let meta = self.graph.var(*source).meta();
            let layout = fold(&meta.shape, path)?;
            Some(Operand { meta: Meta { shape: layout.shape.clone(), dtype: meta.dtype }, layout })
        };
        let Some(inputs) = self.operands(i).iter().map(operand).collect::<Option<Vec<_>>>() else { return Vec::new() };
        let meta = self.graph.nodes[i].meta();
        let output = Operand { meta: meta.clone(), layout: Layout::contiguous(meta.shape.clone()) };
        (0..inputs.len()).map(|k| routine.loads(k, &inputs, &output, self.caps)).collect()
    }

    /// Buffers that the operands of node `i` are loaded from.
    fn operand_buffers(&self, i: usize) -> usize {
        let bases = self.dependencies(&self.operands(i)).into_iter().map(|(s, _)| s);
        bases.filter(|s| !self.is_virtual(*s)).collect::<HashSet<Source>>().len()
    }

    fn store(&mut self, source: Source) {
        if self.is_virtual(source)
            && let Source::Pending(i) = source
        {
            self.mark(i, StoreReason::Operand);
        }
    }

    /// Stores node `i`; the first reason is the one that counts, but for what the user sees.
    fn mark(&mut self, i: usize, reason: StoreReason) {
        self.stored[i] = true;
        let keep = self.graph.keep[i];
        let seen = if keep.root { Some(StoreReason::Asked) } else { self.keep[i].then_some(StoreReason::Held) };
        let again = self.is_copy(i).then_some(StoreReason::Budget);
        self.reason[i].get_or_insert(again.or(seen).unwrap_or(reason));
    }

    /// Stores inputs of node `i` until what remains virtual can be evaluated within the budgets.
    fn fit(&mut self, i: usize, buffers: usize) -> Result<()> {
        loop {
            let operands = self.operands(i);
            let mut virtuals: Vec<usize> = operands
                .iter()
                .filter(|(source, _)| self.is_virtual(*source))
                .filter_map(|(source, _)| if let Source::Pending(j) = source { Some(*j) } else { None })
                .collect();
            virtuals.sort_unstable();
            virtuals.dedup();
            let dependencies = self.dependencies(&operands);
            let size = 1 + virtuals.iter().map(|&j| self.size[j]).sum::<usize>();
            let bound = dependencies.iter().filter(|(s, _)| !self.is_virtual(*s)).count();
            if let Some(bad) = dependencies.iter().find(|d| !self.expressible(d)) {
                // The reader's view cannot be pushed down to this base: store the operand on the way to it.
                let culprit = virtuals.iter().copied().find(|&j| {
                    let through =
                        operands.iter().filter(|(s, _)| *s == Source::Pending(j)).cloned().collect::<Vec<_>>();
                    self.dependencies(&through).contains(bad)
                });
                match culprit {
                    Some(j) => self.mark(j, StoreReason::View),
                    None => return Err(self.too_many_buffers(i)),
                }
                continue;
            }
            if size <= MAX_INSTRUCTIONS / 2 && bound <= buffers {
                self.size[i] = size;
                return Ok(());
            }
            match virtuals.iter().copied().max_by_key(|&j| (self.buffers(j), self.size[j])) {
                Some(j) if bound > buffers => self.mark(j, StoreReason::Buffers),
                Some(j) => self.mark(j, StoreReason::Instructions),
                None => return Err(self.too_many_buffers(i)),
            }
        }
    }

    pub(super) fn too_many_buffers(&self, i: usize) -> Error {
        let node = &self.graph.nodes[i].0;
        let detail = format!("the op reads more buffers than the {} that a kernel may bind", self.budget - 1);
        Error::unsupported(node.op.name(), detail).or_at(node.at)
    }

    /// Buffers that evaluating virtual node `j` loads from.
    fn buffers(&self, j: usize) -> usize {
        let bases: HashSet<Source> =
            self.dependencies(&self.operands(j)).into_iter().map(|(s, _)| s).filter(|s| !self.is_virtual(*s)).collect();
        bases.len()
    }

    fn must_store(&mut self, i: usize) -> Option<StoreReason> {
        // A copy changes the index space, so a reader's view cannot be pushed through it.
        let is_copy = matches!(self.role[i], Role::Copy(..) | Role::Fill(_));
        let plain = [
            (is_copy, StoreReason::Copy),
            (self.keep[i], StoreReason::Held),
            (!self.fuse, StoreReason::FusionOff),
            (self.consumers[i].is_empty(), StoreReason::Unread),
        ];
        if let Some((_, reason)) = plain.into_iter().find(|(applies, _)| *applies) {
            return Some(reason);
        }
        let numel = self.graph.nodes[i].meta().numel();
        let mut evaluations = 0usize;
        for c in self.consumers[i].clone() {
            if matches!(self.role[c], Role::Routine(_)) {
                if self.takes(c, Source::Pending(i)) {
                    continue;
                }
                return Some(StoreReason::Operand);
            }
            let space = match &self.role[c] {
                Role::Reduce(_) => self.graph.var(self.graph.inputs[c][0]).meta().numel(),
                _ => self.graph.nodes[c].meta().numel(),
            };
            if space > numel {
                evaluations += space;
            }
        }
        if evaluations.saturating_mul(self.size[i]) > RECOMPUTE_WORK && self.buffers(i) > 0 {
            return Some(StoreReason::Expanded);
        }
        let dear = self.consumers[i].len() > 1
            && (self.size[i] > RECOMPUTE_INSTRUCTIONS || self.buffers(i) > RECOMPUTE_BUFFERS)
            && numel * self.size[i] > RECOMPUTE_WORK / 10;
        dear.then_some(StoreReason::Shared)
    }
}
