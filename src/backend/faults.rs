//! Which values an index out of range has spoilt.
//!
//! Kernels that check indices note the first bad one on the device; the next read learns of it. Until then nobody knows which
//! values it went into. So every flush with such kernels gets a number, and what it computes, and all that is computed from
//! that, carries the span of numbers in doubt. A read that brings no fault clears all numbers up to it; one that brings a
//! fault condemns them, and every later read of a value with such a number in its span returns the error again.

use std::collections::VecDeque;
use std::panic::Location;

use crate::backend::indexed;
use crate::error::{At, Error, Result};
use crate::gpu::IndexFault;
use crate::schedule::Snapshot;
use crate::schedule::snapshot::Source;
use crate::shape::Shape;

/// Index-checking ops, and faults, that are remembered.
const REMEMBERED: usize = 4096;

/// First and last number of the flushes in doubt.
pub type Span = (u64, u64);

struct Tag {
    number: u32,
    flush: u64,
    op: String,
    shape: Option<Shape>,
    at: &'static Location<'static>,
}

/// The faults of a device.
#[derive(Default)]
pub struct Faults {
    tags: VecDeque<Tag>,
    /// Number of the last flush that checks indices.
    last: u64,
    /// Flushes up to this number are known to be good or are listed in `known`.
    settled: u64,
    known: VecDeque<(Span, Error)>,
}

impl Faults {
    /// The last flush so far: what a read that is submitted now learns of.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Starts a flush; `tagged` are the positions of its nodes that check indices. The span of each node's value.
    pub fn open(&mut self, snap: &Snapshot, tagged: &[usize]) -> Vec<Option<Span>> {
        if !tagged.is_empty() {
            self.last += 1;
        }
        let leaves: Vec<Option<Span>> = snap.leaves.iter().map(|leaf| self.carry(leaf.0.doubt()?)).collect();
        if tagged.is_empty() && leaves.iter().all(Option::is_none) {
            return vec![None; snap.nodes.len()];
        }
        let mut spans: Vec<Option<Span>> = Vec::with_capacity(snap.nodes.len());
        for (i, inputs) in snap.inputs.iter().enumerate() {
            let own = tagged.contains(&i).then_some((self.last, self.last));
            let below = inputs.iter().map(|input| match input {
                Source::Leaf(l) => leaves[*l],
                Source::Pending(j) => spans[*j],
            });
            spans.push(below.chain([own]).flatten().reduce(|(a, b), (c, d)| (a.min(c), b.max(d))));
        }
        spans
    }

    /// What of a leaf's span is still in doubt.
    fn carry(&self, (since, until): Span) -> Option<Span> {
        if self.check(Some((since, until))).is_err() {
            return Some((since, until));
        }
        (until > self.settled).then(|| (since.max(self.settled + 1), until))
    }

    /// Notes an index-checking op of the flush that was opened last, and returns the number by which its kernel names it.
    pub fn tag(&mut self, snap: &Snapshot, node: usize) -> u32 {
        let var = &snap.nodes[node];
        let number = var.0.id as u32;
        let first = snap.inputs[node].first().map(|&source| snap.var(source).shape().clone());
        if self.tags.len() >= REMEMBERED {
            self.tags.pop_front();
        }
        let op = var.0.op.name().to_owned();
        self.tags.push_back(Tag { number, flush: self.last, op, shape: indexed(var, first), at: var.0.at });
        number
    }

    /// Takes in what a read learnt that was submitted after flush `submitted`.
    ///
    /// # Errors
    /// The fault, if there was one.
    pub fn settle(&mut self, fault: Option<IndexFault>, submitted: u64) -> Result<()> {
        let first = self.settled + 1;
        self.settled = self.settled.max(submitted);
        let Some(fault) = fault else { return Ok(()) };
        let tag = self.tags.iter().rev().find(|tag| tag.number == fault.tag);
        let error = Error::IndexOutOfRange {
            op: tag.map_or_else(|| "index".into(), |tag| tag.op.clone()),
            index: i64::from(fault.index),
            bound: u64::from(fault.bound),
            shape: tag.and_then(|tag| tag.shape.clone()),
            at: At(tag.map(|tag| tag.at)),
        };
        // Only the first fault is noted, so any flush from there on may have had one of its own.
        let from = tag.map_or(first, |tag| tag.flush).min(submitted);
        if self.known.len() >= REMEMBERED {
            self.known.pop_front();
        }
        self.known.push_back(((from, submitted), error.clone()));
        Err(error)
    }

    /// The fault in the span of a value.
    ///
    /// # Errors
    /// That fault.
    pub fn check(&self, span: Option<Span>) -> Result<()> {
        let Some((since, until)) = span else { return Ok(()) };
        match self.known.iter().find(|((from, to), _)| since <= *to && *from <= until) {
            Some((_, error)) => Err(error.clone()),
            None => Ok(()),
        }
    }
}
