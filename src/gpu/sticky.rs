//! Errors of the device: those that last, and those caught around single calls.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::sync::lock;
use crate::error::{Error, Result};

/// The first error after which nothing more can be relied on. Every later call returns it.
#[derive(Default)]
pub(super) struct Sticky {
    set: AtomicBool,
    error: Mutex<Option<Error>>,
}

impl Sticky {
    /// Records `error` unless there is one already.
    pub(super) fn set(&self, error: Error) {
        lock(&self.error).get_or_insert(error);
        self.set.store(true, Ordering::Release);
    }

    /// The recorded error, if any.
    pub(super) fn check(&self) -> Result<()> {
        if !self.set.load(Ordering::Acquire) {
            return Ok(());
        }
        lock(&self.error).clone().map_or(Ok(()), Err)
    }
}

/// What a wgpu error says, without the frame that wgpu puts around it.
pub(super) fn describe(error: &wgpu::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("Validation Error").unwrap_or(&text).trim_start();
    text.strip_prefix("Caused by:").unwrap_or(text).trim().to_owned()
}

/// Runs `f` and returns with its result the first error that wgpu raised in it.
///
/// Native error scopes are thread-local and answer at once. In a browser the answer would come later, so there errors go
/// to the handler of uncaught errors and stick.
pub(super) fn scoped<T>(device: &wgpu::Device, f: impl FnOnce() -> T) -> (T, Option<wgpu::Error>) {
    if cfg!(target_arch = "wasm32") {
        return (f(), None);
    }
    let filters = [wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Internal];
    let [first, second, third] = filters.map(|filter| device.push_error_scope(filter));
    let value = f();
    let mut error = None;
    for scope in [third, second, first] {
        let mut pop = std::pin::pin!(scope.pop());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        if let std::task::Poll::Ready(Some(found)) = pop.as_mut().poll(&mut context) {
            error = Some(found);
        }
    }
    (value, error)
}
