//! Waits for the GPU before a thread that gave it work ends.
//!
//! A process that exits while work is under way runs the driver's exit handlers beside the driver's own threads, and some
//! drivers crash then. Thread-local values are dropped before exit handlers run, so the wait stands in one.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use super::device::{Gpu, Inner};

/// The devices that this thread has submitted to.
#[derive(Default)]
struct Busy(RefCell<Vec<Weak<Inner>>>);

impl Drop for Busy {
    fn drop(&mut self) {
        let devices: Vec<Arc<Inner>> = self.0.get_mut().drain(..).filter_map(|weak| weak.upgrade()).collect();
        if devices.is_empty() {
            return;
        }
        // Polling uses thread-local values of wgpu's, which may be gone here already; a fresh thread has its own.
        let waiter = std::thread::Builder::new().spawn(move || devices.iter().for_each(|inner| inner.finish()));
        if let Ok(waiter) = waiter {
            let _ = waiter.join();
        }
    }
}

thread_local! {
    static BUSY: Busy = Busy::default();
}

impl Gpu {
    /// Remembers that the calling thread has given this device work.
    pub(super) fn note_thread(&self) {
        // A thread that is ending already has no such value any more, and nothing to wait with.
        let _ = BUSY.try_with(|busy| {
            let mut list = busy.0.borrow_mut();
            if !list.iter().any(|known| known.as_ptr() == Arc::as_ptr(&self.0)) {
                list.retain(|known| known.strong_count() > 0);
                list.push(Arc::downgrade(&self.0));
            }
        });
    }
}
