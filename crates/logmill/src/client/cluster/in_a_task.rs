//! Work that holds a lock while it waits for the network.

use std::future::Future;

use tokio_util::task::AbortOnDropHandle;

use crate::error::{Error, Result};

/// Does the work in a task of its own and waits for it. Whoever stops waiting ends the work.
///
/// A future that waits is not always polled: a reader's next fetch lies still while the reader works on the last
/// one. Were such a future to hold a lock, everyone after it would wait for ever. So whatever holds a lock across
/// an await here is driven by the runtime, not by whoever asked for it.
pub(super) async fn in_a_task<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T> {
    match AbortOnDropHandle::new(tokio::spawn(work)).await {
        Ok(done) => Ok(done),
        Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
        Err(_) => Err(Error::Closed { what: "the client's runtime" }),
    }
}
