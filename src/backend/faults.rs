//! Which values an index out of range has spoilt.
//!
//! Kernels that check indices note the first bad one on the device; the next read learns of it. Until then nobody knows which
//! values it went into. So every flush with such kernels gets a number, and what it computes, and all that is computed from
//! that, carries the span of numbers in doubt. A read that brings no fault clears all numbers up to it; one that brings a
//! fault condemns them, and every later read of a value with such a number in its span returns the error again.

use std::collections::VecDeque;
use std::panic::Location;

use crate::error::{At, Error, Result};
use crate::gpu::IndexFault;
use crate::graph::Var;

/// Index-checking ops, and faults, that are remembered.
const REMEMBERED: usize = 4096;

/// First and last number of the flushes in doubt.
pub type Span = (u64, u64);

struct Tag {
    number: u32,
    flush: u64,
    op: String,
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

    /// Starts a flush: the span of what it computes from leaves with the given spans.
    pub fn open(&mut self, checks: bool, leaves: impl Iterator<Item = Span>) -> Option<Span> {
        let mut span: Option<Span> = None;
        for (since, until) in leaves {
            let condemned = self.check(Some((since, until))).is_err();
            if condemned || until > self.settled {
                let since = if condemned { since } else { since.max(self.settled + 1) };
                span = Some(span.map_or((since, until), |(a, b)| (a.min(since), b.max(until))));
            }
        }
        if checks {
            self.last += 1;
            span = Some(span.map_or((self.last, self.last), |(since, _)| (since, self.last)));
        }
        span
    }

    /// Notes an index-checking op of the flush that was opened last, and returns the number by which its kernel names it.
    pub fn tag(&mut self, var: &Var) -> u32 {
        let number = var.0.id as u32;
        if self.tags.len() >= REMEMBERED {
            self.tags.pop_front();
        }
        self.tags.push_back(Tag { number, flush: self.last, op: var.0.op.name().to_owned(), at: var.0.at });
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
