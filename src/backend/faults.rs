//! Which values an index out of range has spoilt.
//!
//! Every op that checks indices gets a number each time it runs, and the number a slot of the device's block of index errors,
//! where its kernel notes the first bad index. Until a read brings the slot nobody knows of it; so what the op computes, and
//! all that is computed from that, carries the number in its [`PendingChecks`]. Reads never clear the block, so each brings every
//! fault that it could hand out unnoticed, whatever other threads read meanwhile. A slot is used again when its last number
//! is resolved, and is cleared before that if it holds a fault.
//!
//! A read returns a fault only for a value that depends on it. One that no read has returned waits for `sync`.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use foldhash::HashMap;
use serde::{Deserialize, Serialize};

use crate::backend::indexed;
use crate::codegen::GATE_WORDS;
use crate::error::{At, Error, Result};
use crate::gpu::{FAULT_SLOTS, IndexFault};
use crate::graph::pending_checks::{Checks, NEIGHBOURS, PendingChecks};
use crate::ir::Snapshot;
use crate::ir::Source;
use crate::shape::Shape;
use crate::site::Site;

const SLOTS: u64 = FAULT_SLOTS as u64;
/// Numbers that one flush takes at most; its further ops share them, and a fault spoils what shares its number.
const FLUSH: u64 = SLOTS;
/// Faults kept for `sync`, and ops remembered under one shared number.
const REMEMBERED: usize = 4096;

/// One run of an op that checks indices.
struct Record {
    tag: u32,
    number: u64,
    /// The first number of the flush.
    flush: u64,
    op: String,
    shape: Option<Shape>,
    at: Option<Site>,
}

/// An op that checks indices, as errors name it.
#[derive(Clone, Debug)]
pub struct Check {
    pub op: String,
    /// The shape indexed, where it is known.
    pub shape: Option<Shape>,
    pub at: Option<Site>,
}

impl Check {
    /// The op at position `i`.
    pub fn of(snap: &Snapshot, i: usize) -> Check {
        let var = &snap.nodes[i];
        let first = snap.inputs[i].first().map(|&source| snap.var(source).shape().clone());
        Check { op: var.0.op.name().to_owned(), shape: indexed(var, first), at: Some(var.0.at) }
    }
}

/// What a value that a captured step leaves behind depends on: positions of what it starts from, and of checks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CheckSources {
    pub leaves: Vec<usize>,
    pub checks: Vec<usize>,
    /// The gate that its assignment waits for, where it is such a value: position in [`Recipe::gates`](super::recipe::Recipe::gates).
    #[serde(default)]
    pub gate: Option<usize>,
}

/// How a kernel reports.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// What it writes to say which run of which op it was; given anew only after 2³² runs.
    pub tag: u32,
    /// The slot it writes to.
    pub slot: u32,
}

/// What a read that is submitted now will learn.
#[derive(Clone, Debug)]
pub struct Question {
    /// The slots to bring.
    pub slots: Range<u32>,
    until: u64,
    joined: u64,
}

/// What a flush computes with.
pub struct Opened {
    /// What the value of each node depends on; empty where nothing depends on anything.
    pub all_pending_checks: Vec<PendingChecks>,
    /// How the kernels of each checking node report.
    pub reports: Vec<Report>,
}

/// How the check at position `node` reports; `reports` follow the order of `tagged`.
///
/// # Errors
/// Where no number was given to it.
pub fn report_of(node: usize, tagged: &[usize], reports: &[Report]) -> Result<Report> {
    let found = tagged.binary_search(&node).ok().and_then(|at| reports.get(at));
    found.copied().ok_or_else(|| Error::internal("flush", "a check without a number"))
}

/// What a gate looks at: see [`ParamSource::Gate`](crate::schedule::ParamSource::Gate).
pub type GateWords = [u32; GATE_WORDS];

/// A word of the gate at position `node`.
///
/// # Errors
/// Where there is no such gate.
pub fn gate_word(gates: &HashMap<usize, GateWords>, node: usize, word: usize) -> Result<u32> {
    let found = gates.get(&node).and_then(|words| words.get(word));
    found.copied().ok_or_else(|| Error::internal("flush", "a gate without checks"))
}

/// The faults of a device.
#[derive(Default)]
pub struct Faults {
    /// The last number given.
    last: u64,
    /// All checks up to this number have answered.
    resolved: u64,
    /// How often a flush had to share the last number with another one.
    joined: u64,
    next_tag: u32,
    /// Of the numbers that are not resolved, ascending.
    checks: VecDeque<Arc<Checks>>,
    records: VecDeque<Record>,
    /// Slots that hold a fault.
    dirty: Vec<u32>,
    /// Faults that nobody was told of.
    untold: VecDeque<Untold>,
}

struct Untold {
    number: u64,
    /// Flush and line of the op. An op and its gradient meet the same bad index in two kernels; one error is enough.
    origin: Origin,
    error: Arc<Error>,
}

type Origin = (u64, Option<Site>);

impl Faults {
    /// Whether a flush with so many checking ops gets numbers of its own.
    #[cfg(any(test, not(target_arch = "wasm32")))]
    pub fn has_room(&self, ops: usize) -> bool {
        (ops as u64).min(FLUSH) <= self.room()
    }

    fn room(&self) -> u64 {
        SLOTS - (self.last - self.resolved)
    }

    /// Starts a flush; `tagged` are the positions of its nodes that check indices.
    pub fn open(&mut self, snap: &Snapshot, tagged: &[usize]) -> Opened {
        let leaves: Vec<PendingChecks> =
            snap.leaves.iter().map(|leaf| leaf.0.pending_checks().after(self.resolved)).collect();
        let gated = || (0..snap.nodes.len()).any(|i| snap.gate(i).is_some());
        if tagged.is_empty() && leaves.iter().all(PendingChecks::is_empty) && !gated() {
            return Opened { all_pending_checks: Vec::new(), reports: Vec::new() };
        }
        let checks: Vec<Check> = tagged.iter().map(|&i| Check::of(snap, i)).collect();
        let begun = self.begin(&checks);
        let own = |check: &usize| {
            tagged.binary_search(check).map_or_else(|_| PendingChecks::default(), |at| begun[at].1.clone())
        };
        let mut next = begun.iter();
        let mut all_pending_checks: Vec<PendingChecks> = Vec::with_capacity(snap.nodes.len());
        for i in 0..snap.nodes.len() {
            if let Some(j) = snap.named(i) {
                all_pending_checks.push(all_pending_checks[j].clone());
                continue;
            }
            let mut pending_checks = PendingChecks::default();
            for input in snap.check_inputs(i) {
                pending_checks = pending_checks.or(match input {
                    Source::Leaf(l) => &leaves[*l],
                    Source::Pending(j) => &all_pending_checks[*j],
                });
            }
            if tagged.get(checks.len() - next.len()) == Some(&i)
                && let Some((_, own)) = next.next()
            {
                pending_checks = pending_checks.or(own);
            }
            if let Some(gate) = snap.gate_of(i) {
                let behind =
                    gate.behind.iter().map(|&leaf| snap.leaves[leaf].0.pending_checks().gate().after(self.resolved));
                let waited = gate.leaves.iter().map(|&leaf| leaves[leaf].clone()).chain(behind);
                let waited = waited.chain(gate.checks.iter().map(own));
                pending_checks = pending_checks.behind(waited.fold(PendingChecks::default(), |all, one| all.or(&one)));
            }
            all_pending_checks.push(pending_checks);
        }
        Opened { all_pending_checks, reports: begun.into_iter().map(|(report, _)| report).collect() }
    }

    /// All checks up to this number have answered.
    pub fn resolved(&self) -> u64 {
        self.resolved
    }

    /// What the gates of a flush look at, by their positions; `reports` follow the order of `tagged`.
    pub fn gates(&self, snap: &Snapshot, tagged: &[usize], reports: &[Report]) -> HashMap<usize, GateWords> {
        let words = |i: usize| {
            let gate = snap.gate(i)?;
            // A check whose value nobody needs does not run.
            let own = gate.checks.iter().filter_map(|check| report_of(*check, tagged, reports).ok());
            let leaves = gate.leaves.iter().map(|&leaf| snap.leaves[leaf].0.pending_checks());
            let behind = gate.behind.iter().map(|&leaf| snap.leaves[leaf].0.pending_checks().gate());
            Some((i, self.gate_words(own, leaves.chain(behind))))
        };
        (0..snap.nodes.len()).filter_map(words).collect()
    }

    /// What a gate looks at: the slots of checks of its own run, and those of the checks behind values from before it.
    pub fn gate_words(
        &self,
        own: impl Iterator<Item = Report>,
        before: impl Iterator<Item = PendingChecks>,
    ) -> GateWords {
        let mut words = [0; GATE_WORDS];
        let mut look_at = |slot: u32| words[slot as usize / 32] |= 1 << (slot % 32);
        own.for_each(|report| look_at(report.slot));
        let mut failed = false;
        for pending_checks in before {
            let open = pending_checks.after(self.resolved);
            failed |= open.fault().is_some();
            open.numbers().for_each(|number| look_at(slot(number)));
        }
        words[GATE_WORDS - 1] = u32::from(failed);
        words
    }

    /// Starts a run of a captured step: what its outputs depend on, from the all_pending_checks of what it starts from.
    pub fn open_run(
        &mut self,
        checks: &[Check],
        leaves: &[&PendingChecks],
        outputs: &[CheckSources],
        gates: &[CheckSources],
    ) -> Opened {
        let leaves: Vec<PendingChecks> = leaves.iter().map(|leaf| leaf.after(self.resolved)).collect();
        let begun = self.begin(checks);
        let pending_checks = |sources: &CheckSources| {
            let inherited = sources.leaves.iter().map(|&l| &leaves[l]);
            inherited
                .chain(sources.checks.iter().map(|&c| &begun[c].1))
                .fold(PendingChecks::default(), PendingChecks::or)
        };
        let gates: Vec<PendingChecks> = gates.iter().map(pending_checks).collect();
        let gated = |sources: &CheckSources| match sources.gate.and_then(|gate| gates.get(gate)) {
            Some(gate) => pending_checks(sources).behind(gate.clone()),
            None => pending_checks(sources),
        };
        let all_pending_checks = outputs.iter().map(gated).collect();
        Opened { all_pending_checks, reports: begun.into_iter().map(|(report, _)| report).collect() }
    }

    /// Numbers the checks of one run: how each reports, and the pending_checks of what depends on it alone.
    fn begin(&mut self, checks: &[Check]) -> Vec<(Report, PendingChecks)> {
        let numbers = self.take_numbers(checks.len());
        let one = |(i, check): (usize, &Check)| {
            let number = numbers.start + i as u64 % (numbers.end - numbers.start);
            let Check { op, shape, at } = check.clone();
            let tag = self.record(Record { tag: self.next_tag, number, flush: numbers.start, op, shape, at });
            (Report { tag, slot: slot(number) }, PendingChecks::of(&self.checks_of(number), number))
        };
        checks.iter().enumerate().map(one).collect()
    }

    /// Numbers for the checking ops of a flush: one each, or fewer that they share.
    fn take_numbers(&mut self, ops: usize) -> Range<u64> {
        if ops == 0 {
            return 0..0;
        }
        let count = (ops as u64).min(FLUSH).min(self.room());
        if count == 0 {
            self.joined += 1;
            return self.last..self.last + 1;
        }
        self.last += count;
        self.last + 1 - count..self.last + 1
    }

    fn checks_of(&mut self, number: u64) -> Arc<Checks> {
        let first = number / NEIGHBOURS * NEIGHBOURS;
        if let Some(found) = self.checks.iter().rev().find(|checks| checks.first() == first) {
            return Arc::clone(found);
        }
        let checks = Arc::new(Checks::new(first));
        self.checks.push_back(Arc::clone(&checks));
        checks
    }

    /// Remembers a run of an op and returns its tag.
    fn record(&mut self, mut record: Record) -> u32 {
        if let Some(last) = self.records.back()
            && self.joined > 0
            && self.records.len() >= REMEMBERED
            && last.number == record.number
        {
            // Ops that join a number without end are remembered no longer; the last record stands for all of them.
            if last.op == NAMELESS {
                return last.tag;
            }
            record = Record { op: NAMELESS.into(), shape: None, at: None, ..record };
        }
        self.next_tag = self.next_tag.wrapping_add(1);
        let tag = record.tag;
        self.records.push_back(record);
        tag
    }

    /// The slots among those of `reports` that hold an old fault and must be cleared first.
    pub fn stale(&self, reports: &[Report]) -> Vec<u32> {
        self.dirty.iter().copied().filter(|dirty| reports.iter().any(|report| report.slot == *dirty)).collect()
    }

    /// Notes that slots were cleared.
    pub fn cleared(&mut self, slots: &[u32]) {
        self.dirty.retain(|dirty| !slots.contains(dirty));
    }

    /// What a read must bring to learn of all checks so far.
    pub fn ask(&self) -> Question {
        let slots = match (self.last - self.resolved, slot(self.resolved + 1), slot(self.last)) {
            (0, ..) => 0..0,
            (_, first, last) if first <= last => first..last + 1,
            _ => 0..FAULT_SLOTS,
        };
        Question { slots, until: self.last, joined: self.joined }
    }

    /// Takes in what a read brought.
    pub fn resolve(&mut self, asked: &Question, found: &[IndexFault]) {
        for fault in found {
            // A tag that is not on record belongs to a check that another read has resolved.
            let Some(record) = self.records.iter().find(|record| record.tag == fault.tag) else { continue };
            let (number, origin) = (record.number, (record.flush, record.at));
            let (shape, at) = (record.shape.clone(), record.at.map_or(At(None), At::from));
            let error = Arc::new(Error::reported(&record.op, fault.index, fault.bound, shape, at));
            if !self.checks_of(number).record_fault(number, Arc::clone(&error)) {
                continue;
            }
            self.dirty.push(slot(number));
            if self.untold.len() < REMEMBERED {
                self.untold.push_back(Untold { number, origin, error });
            } else {
                log::warn!("{error} (too many such errors wait for a sync; values that it spoilt still return it)");
            }
        }
        // What joined the last number since the question may have run after the answer.
        let until = if self.joined == asked.joined { asked.until } else { asked.until.saturating_sub(1) };
        self.resolved = self.resolved.max(until);
        while self.records.front().is_some_and(|record| record.number <= self.resolved) {
            self.records.pop_front();
        }
        while self.checks.front().is_some_and(|checks| checks.first() + NEIGHBOURS <= self.resolved + 1) {
            self.checks.pop_front();
        }
    }

    /// Notes a fault of a check that has run on the host: what depends on it. `flush` is the number of the first such fault of the
    /// same flush.
    pub fn met(&mut self, check: Check, index: i64, bound: u64, flush: &mut Option<u64>) -> PendingChecks {
        let Some((report, pending_checks)) = self.begin(&[check]).pop() else { return PendingChecks::default() };
        if let Some(record) = self.records.back_mut() {
            record.flush = *flush.get_or_insert(record.flush);
        }
        let index = i32::try_from(index).unwrap_or(if index < 0 { i32::MIN } else { i32::MAX });
        let fault = IndexFault { tag: report.tag, index, bound: u32::try_from(bound).unwrap_or(u32::MAX) };
        self.resolve(&self.ask(), &[fault]);
        pending_checks
    }

    /// Looks for the fault that spoilt a value.
    ///
    /// # Errors
    /// That fault, of which somebody is told thereby.
    pub fn check(&mut self, pending_checks: &PendingChecks) -> Result<()> {
        let Some((number, error)) = pending_checks.fault() else { return Ok(()) };
        if let Some(origin) = self.untold.iter().find(|untold| untold.number == number).map(|untold| untold.origin) {
            self.untold.retain(|untold| untold.origin != origin);
        }
        Err((*error).clone())
    }

    /// Looks for a fault that nobody was told of yet.
    ///
    /// # Errors
    /// The earliest such fault.
    pub fn tell(&mut self) -> Result<()> {
        let Some(first) = self.untold.pop_front() else { return Ok(()) };
        self.untold.retain(|untold| untold.origin != first.origin);
        Err((*first.error).clone())
    }
}

/// The op of a fault whose record is gone.
const NAMELESS: &str = "index";

fn slot(number: u64) -> u32 {
    (number % SLOTS) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flush of one op whose line is nobody's.
    fn flush(faults: &mut Faults) -> (PendingChecks, Report) {
        let number = faults.take_numbers(1).start;
        let record =
            Record { tag: faults.next_tag, number, flush: number, op: format!("op {number}"), shape: None, at: None };
        let tag = faults.record(record);
        (PendingChecks::of(&faults.checks_of(number), number), Report { tag, slot: slot(number) })
    }

    fn fault(report: Report, index: i32) -> IndexFault {
        IndexFault { tag: report.tag, index, bound: 1 }
    }

    fn index_of(outcome: Result<()>) -> Option<i64> {
        match outcome {
            Err(Error::IndexOutOfRange { index, .. }) => Some(index),
            Err(other) => panic!("{other}"),
            Ok(()) => None,
        }
    }

    #[test]
    fn answers_that_overlap_hide_nothing() {
        let mut faults = Faults::default();
        let (spoilt, report) = flush(&mut faults);
        let (asked_a, asked_b) = (faults.ask(), faults.ask());
        assert_eq!((asked_a.slots.clone(), asked_b.slots.clone()), (1..2, 1..2));
        let (later, later_report) = flush(&mut faults);
        faults.resolve(&asked_b, &[fault(report, 5)]);
        assert_eq!(index_of(faults.check(&spoilt)), Some(5));
        // The second answer brings the same fault, and one that came after its question.
        faults.resolve(&asked_a, &[fault(report, 5), fault(later_report, 6)]);
        assert_eq!(index_of(faults.check(&later)), Some(6));
        assert_eq!(index_of(faults.tell()), None);
        faults.resolve(&faults.ask(), &[fault(later_report, 6)]);
        assert_eq!(index_of(faults.tell()), None);
        assert!(faults.records.is_empty() && faults.ask().slots.is_empty());
        assert_eq!(faults.stale(&[Report { tag: 9, slot: 1 }, Report { tag: 10, slot: 3 }]), [1]);
    }

    /// What browsers come to, where a flush cannot wait for slots: the last number is shared.
    #[test]
    fn flushes_beyond_the_slots_share_a_number() {
        let mut faults = Faults::default();
        let first: Vec<_> = (0..SLOTS).map(|_| flush(&mut faults)).collect();
        assert!(!faults.has_room(1) && faults.ask().slots == (0..FAULT_SLOTS));
        let asked = faults.ask();
        let joined: Vec<_> = (0..3 * REMEMBERED).map(|_| flush(&mut faults)).collect();
        assert!(faults.records.len() <= REMEMBERED + 1, "{}", faults.records.len());
        assert!(joined.iter().all(|(_, report)| report.slot == first[SLOTS as usize - 1].1.slot));
        // An answer to a question from before resolves all but the shared number.
        faults.resolve(&asked, &[]);
        let pending_checks = joined[0].0.clone().or(&first[3].0);
        assert!(first[3].0.after(faults.resolved).is_empty() && !pending_checks.after(faults.resolved).is_empty());
        assert_eq!(faults.room(), SLOTS - 1);
        let asked = faults.ask();
        faults.resolve(&asked, &[fault(joined[9].1, 8)]);
        for (pending_checks, _) in joined.iter().chain(&first[SLOTS as usize - 1..]) {
            assert_eq!(index_of(faults.check(pending_checks)), Some(8));
        }
        assert!(first[..SLOTS as usize - 1].iter().all(|(pending_checks, _)| pending_checks.fault().is_none()));
        assert!(faults.has_room(usize::MAX) && faults.checks.len() <= 1);
    }

    #[test]
    fn pending_checks_follow_the_ring() {
        let mut faults = Faults::default();
        let mut sum = PendingChecks::default();
        for turn in 0..20 {
            let mut reports = Vec::new();
            for _ in 0..100 {
                let (pending_checks, report) = flush(&mut faults);
                sum = sum.after(faults.resolved).or(&pending_checks);
                reports.push(report);
            }
            let asked = faults.ask();
            let found: Vec<_> = if turn == 13 { vec![fault(reports[41], 3)] } else { Vec::new() };
            faults.resolve(&asked, &found);
            assert_eq!(index_of(faults.check(&sum)), (turn >= 13).then_some(3), "turn {turn}");
            assert_eq!(sum.after(faults.resolved).is_empty(), turn < 13);
        }
    }
}
