//! The search for the op that made a NaN or an infinity: whether one is under way on this thread, and what was found.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use crate::error::Error;
use crate::graph::node::{Node, next_id};

/// What a search knows.
#[derive(Default)]
struct Search {
    /// Nodes that gradient rules made, by their ids, with the op that the rule is of.
    backward: Vec<(Range<u64>, String)>,
    fault: Option<Error>,
}

thread_local! {
    static ACTIVE: Cell<bool> = const { Cell::new(false) };
    static SEARCH: RefCell<Search> = RefCell::default();
}

/// Whether values are looked at.
#[inline]
pub fn active() -> bool {
    ACTIVE.with(Cell::get)
}

/// Runs `f` while values are looked at; the first fault. Searches do not nest: an inner one is part of the outer.
pub fn search<R>(f: impl FnOnce() -> R) -> (R, Option<Error>) {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            ACTIVE.with(|a| a.set(self.0));
        }
    }
    let restore = Restore(ACTIVE.with(|a| a.replace(true)));
    if restore.0 {
        return (f(), None);
    }
    SEARCH.with(|s| s.take());
    let result = f();
    (result, SEARCH.with(|s| s.take()).fault)
}

/// Runs a gradient rule of `node`, and what is done with its results.
pub fn in_backward<R>(node: &Node, f: impl FnOnce() -> R) -> R {
    if !active() {
        return f();
    }
    let start = next_id();
    let result = f();
    let range = start..next_id();
    SEARCH.with(|s| s.borrow_mut().backward.push((range, node.op.name().to_owned())));
    result
}

/// The op whose gradient rule made the node; `None` in the forward pass.
pub fn gradient_of(id: u64) -> Option<String> {
    // The innermost rule comes first.
    SEARCH.with(|s| s.borrow().backward.iter().find(|(range, _)| range.contains(&id)).map(|(_, op)| op.clone()))
}

/// Whether something was found.
pub fn is_found() -> bool {
    SEARCH.with(|s| s.borrow().fault.is_some())
}

/// Notes a fault; the first one counts.
pub fn found(error: Error) {
    SEARCH.with(|s| {
        s.borrow_mut().fault.get_or_insert(error);
    });
}
