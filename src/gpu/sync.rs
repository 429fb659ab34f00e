//! Small pieces of synchronisation.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Locks, ignoring poison: no invariant of this crate is broken half-way inside a locked region by a panic, and a panic in
/// one thread must not spread to the others.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Mailbox<T> {
    value: Mutex<(Option<T>, Option<std::task::Waker>)>,
    filled: std::sync::Condvar,
}

/// The sending half of a value that a wgpu callback delivers once.
pub(super) struct Sender<T>(Arc<Mailbox<T>>);

/// The receiving half.
pub(super) struct Receiver<T>(Arc<Mailbox<T>>);

/// A channel for one value.
pub(super) fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let slot = Arc::new(Mailbox { value: Mutex::new((None, None)), filled: std::sync::Condvar::new() });
    (Sender(Arc::clone(&slot)), Receiver(slot))
}

impl<T> Sender<T> {
    /// Delivers the value.
    pub(super) fn send(self, value: T) {
        let waker = {
            let mut slot = lock(&self.0.value);
            slot.0 = Some(value);
            slot.1.take()
        };
        self.0.filled.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Receiver<T> {
    /// Waits for the value, at most `limit`. A finished submission does not mean that the callback ran: another thread's
    /// poll may have picked it up and be just about to call it.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn wait(&self, limit: std::time::Duration) -> Option<T> {
        let slot = lock(&self.0.value);
        let (mut slot, _) = self
            .0
            .filled
            .wait_timeout_while(slot, limit, |slot| slot.0.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        slot.0.take()
    }
}

#[cfg(target_arch = "wasm32")]
impl<T> Future for Receiver<T> {
    type Output = T;
    fn poll(self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<T> {
        let mut slot = lock(&self.0.value);
        match slot.0.take() {
            Some(value) => std::task::Poll::Ready(value),
            None => {
                slot.1 = Some(context.waker().clone());
                std::task::Poll::Pending
            }
        }
    }
}
