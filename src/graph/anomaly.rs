//! The search for the op that made a NaN or an infinity: whether one is under way on this thread, and what was found.
//!
//! What the thread records meanwhile is pending here, not on the device, where a flush of another thread would compute it without
//! a look at it.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::{Arc, Weak};

use crate::error::Error;
use crate::graph::node::{Context, Node, next_id};

/// What a search knows.
#[derive(Default)]
struct Search {
    /// Nodes that gradient rules made, by their ids, with the op that the rule is of.
    backward: Vec<(Range<u64>, String)>,
    pending: Vec<Weak<Node>>,
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
            if !self.0 {
                // What was not computed, on other devices or after a panic.
                for node in held(SEARCH.with(|s| std::mem::take(&mut s.borrow_mut().pending))) {
                    node.context.restore_pending(std::slice::from_ref(&node));
                }
            }
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

/// Keeps a node that was recorded, where a search is under way.
pub fn keep(node: &Arc<Node>) -> bool {
    let active = active();
    if active {
        SEARCH.with(|s| s.borrow_mut().pending.push(Arc::downgrade(node)));
    }
    active
}

/// Takes the nodes of a device that this thread's search keeps, as [`Context::take_pending`] does those of the device.
pub fn take_pending(context: &Arc<Context>) -> Vec<Arc<Node>> {
    let kept = held(SEARCH.with(|s| std::mem::take(&mut s.borrow_mut().pending)));
    let (own, others): (Vec<_>, Vec<_>) = kept.into_iter().partition(|node| Arc::ptr_eq(&node.context, context));
    SEARCH.with(|s| s.borrow_mut().pending.extend(others.iter().map(Arc::downgrade)));
    own
}

fn held(nodes: Vec<Weak<Node>>) -> Vec<Arc<Node>> {
    nodes.iter().filter_map(Weak::upgrade).collect()
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
