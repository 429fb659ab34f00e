//! Which training step a node belongs to.
//!
//! A step of an optimizer ends one. What an index check of the same step has found withholds all assignments of the step, those that do not
//! depend on the check included: running statistics of a batch whose targets are wrong, for example.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

/// The last number given; each thread takes steps of its own.
static LAST: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static CURRENT: Cell<u32> = const { Cell::new(0) };
}

/// The number of this thread's present step.
pub fn current() -> u32 {
    CURRENT.with(Cell::get)
}

/// Ends the present step: what is recorded from now on belongs to the next one.
pub fn finish() {
    // Numbers may come again after 2³² steps, when nothing of the first one is pending.
    CURRENT.with(|current| current.set(LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1)));
}
