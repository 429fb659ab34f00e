//! Blocking calls: the asynchronous one, and a wait for it where a thread can wait.

use crate::error::Result;

/// The answer of `future`, for the blocking call named `call`. A page that blocks would wait for ever, since the answer comes through
/// the event loop that it holds up; so in browsers only what is ready at once is returned, as everything on the CPU reference is.
///
/// # Errors
/// Those of `future`; in browsers [`Error::Unsupported`] with `instead`, what to do instead of the call.
#[cfg(not(target_arch = "wasm32"))]
pub fn wait<T>(_call: &str, _instead: &str, future: impl Future<Output = Result<T>>) -> Result<T> {
    pollster::block_on(future)
}

/// The answer of `future`, for the blocking call named `call`, where it is ready at once.
///
/// # Errors
/// Those of `future`; [`Error::Unsupported`] with `instead`, what to do instead of the call, where it is not ready.
#[cfg(target_arch = "wasm32")]
pub fn wait<T>(call: &str, instead: &str, future: impl Future<Output = Result<T>>) -> Result<T> {
    at_once(call, instead, future)
}

#[cfg(any(test, target_arch = "wasm32"))]
fn at_once<T>(call: &str, instead: &str, future: impl Future<Output = Result<T>>) -> Result<T> {
    use std::task::{Context, Poll, Waker};

    let mut context = Context::from_waker(Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        Poll::Ready(answer) => answer,
        Poll::Pending => Err(crate::error::Error::unsupported(call, format!("a browser cannot block; {instead}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn what_is_ready_is_returned_and_what_is_not_names_the_asynchronous_call() {
        assert_eq!(at_once("item", "await item_async", async { Ok(1) }).unwrap(), 1);
        let failed = at_once::<()>("item", "await item_async", async { Err(Error::argument("item", "no")) });
        assert!(failed.unwrap_err().to_string().contains("no"));
        let error = at_once::<()>("item", "await item_async", std::future::pending()).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }));
        let text = error.to_string();
        assert!(text.contains("item") && text.contains("cannot block; await item_async"), "{text}");
    }
}
