//! Which index checks a value depends on.
//!
//! A kernel that meets an index out of range notes it on the device, and the host learns of it only later. Until then every
//! value that the kernel's output went into is in pending_checks. Checks are numbered; a value's [`PendingChecks`] is the set of the numbers
//! it depends on, and [`Checks`] holds what has become of 64 neighbouring numbers. Values share the latter, so a value knows
//! its fault for as long as it lives, and a fault that no value depends on any more takes up no memory.

use std::sync::{Arc, Mutex};

use crate::error::Error;
use crate::graph::node::lock;

/// Neighbouring numbers that share a [`Checks`].
pub const NEIGHBOURS: u64 = 64;

/// The faults among the checks `first .. first + 64`.
#[derive(Debug)]
pub struct Checks {
    first: u64,
    faults: Mutex<Vec<(u64, Arc<Error>)>>,
}

impl Checks {
    /// No faults among the checks from `first`, a multiple of [`NEIGHBOURS`].
    pub fn new(first: u64) -> Checks {
        Checks { first, faults: Mutex::default() }
    }

    /// The first number.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Notes that check `number` found a fault; whether that is new.
    pub fn record_fault(&self, number: u64, error: Arc<Error>) -> bool {
        let mut faults = lock(&self.faults);
        let new = faults.iter().all(|(known, _)| *known != number);
        if new {
            faults.push((number, error));
        }
        new
    }

    /// The fault with the lowest number among `bits`.
    fn fault(&self, bits: u64) -> Option<(u64, Arc<Error>)> {
        let faults = lock(&self.faults);
        let within = faults.iter().filter(|(number, _)| bits >> (number - self.first) & 1 == 1);
        within.min_by_key(|(number, _)| *number).cloned()
    }

    /// The bits of the numbers above `resolved`.
    fn above(&self, resolved: u64) -> u64 {
        match resolved.checked_sub(self.first) {
            None => u64::MAX,
            Some(below) if below + 1 >= NEIGHBOURS => 0,
            Some(below) => u64::MAX << (below + 1),
        }
    }
}

/// Some of the checks of a [`Checks`], as bits from the lowest.
type Among = (Arc<Checks>, u64);

/// A set of checks, ascending. A clone shares it.
type Checked = Option<Arc<Vec<Among>>>;

/// The checks that a value depends on. A clone shares the set.
///
/// An assigned value that waited for checks depends on none of these. It remembers them apart ([`PendingChecks::gate`]): what is assigned because it
/// was, as an average of it is, waits for the same ones.
#[derive(Clone, Debug, Default)]
pub struct PendingChecks(Checked, Checked);

impl PendingChecks {
    /// The pending_checks of a value that depends on one check.
    pub fn of(checks: &Arc<Checks>, number: u64) -> PendingChecks {
        PendingChecks(Some(Arc::new(vec![(Arc::clone(checks), 1 << (number - checks.first))])), None)
    }

    /// This, of a value whose assignment waited for the checks of `gate`.
    #[must_use]
    pub fn behind(self, gate: PendingChecks) -> PendingChecks {
        PendingChecks(self.0, gate.0)
    }

    /// The checks that the assignment of the value waited for.
    pub fn gate(&self) -> PendingChecks {
        PendingChecks(self.1.clone(), None)
    }

    /// Whether the value depends on nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn entries(&self) -> &[Among] {
        self.0.as_ref().map_or(&[], |entries| entries)
    }

    fn covers(&self, other: &PendingChecks) -> bool {
        let holds = |(checks, bits): &Among| {
            self.entries().iter().any(|(own, set)| own.first == checks.first && bits & !set == 0)
        };
        other.entries().iter().all(holds)
    }

    /// The pending_checks of a value made from two others.
    #[must_use]
    pub fn or(self, other: &PendingChecks) -> PendingChecks {
        let same = match (&self.0, &other.0) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (_, None) => true,
            (None, Some(_)) => return PendingChecks(other.0.clone(), None),
        };
        if same || self.covers(other) {
            return PendingChecks(self.0, None);
        }
        let mut all = self.entries().to_vec();
        for (checks, bits) in other.entries() {
            match all.binary_search_by_key(&checks.first, |(own, _)| own.first) {
                Ok(at) => all[at].1 |= bits,
                Err(at) => all.insert(at, (Arc::clone(checks), *bits)),
            }
        }
        PendingChecks(Some(Arc::new(all)), None)
    }

    /// The numbers of the checks.
    pub fn numbers(&self) -> impl Iterator<Item = u64> + '_ {
        let of = |(checks, bits): &Among| {
            let (first, bits) = (checks.first, *bits);
            (0..NEIGHBOURS).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| first + bit)
        };
        self.entries().iter().flat_map(of)
    }

    /// The fault that spoilt the value, if one did: the earliest that is known.
    pub fn fault(&self) -> Option<(u64, Arc<Error>)> {
        self.entries().iter().find_map(|(checks, bits)| checks.fault(*bits))
    }

    /// What is left to say where all checks up to `resolved` have answered: the fault if there is one, else the open checks.
    #[must_use]
    pub fn after(&self, resolved: u64) -> PendingChecks {
        for (checks, bits) in self.entries() {
            if let Some((number, _)) = checks.fault(*bits) {
                return PendingChecks::of(checks, number);
            }
        }
        if self.entries().iter().all(|(checks, bits)| bits & !checks.above(resolved) == 0) {
            return PendingChecks(self.0.clone(), None);
        }
        let open = self.entries().iter().map(|(checks, bits)| (Arc::clone(checks), bits & checks.above(resolved)));
        let open: Vec<_> = open.filter(|(_, bits)| *bits != 0).collect();
        PendingChecks((!open.is_empty()).then(|| Arc::new(open)), None)
    }
}
