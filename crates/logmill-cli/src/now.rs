//! Asking a future once, without waiting.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// What the future gives if it is ready; `None` if it would wait. It may be asked again.
pub(crate) async fn now<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
