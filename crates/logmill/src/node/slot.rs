//! A slot: one handler at work on one record after another.

use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::Instrument as _;

use super::handler::Handler;
use super::record::Received;
use super::state::{Finished, NodeState};
use super::verdict::Ended;
use crate::spans;

/// Starts slots. It forgets the handler's type, so that the rest of a node need not know it.
pub(crate) trait StartSlots: Send + Sync + std::fmt::Debug {
    /// Starts so many.
    fn start(&self, slots: usize);

    /// Whether it does: not in the pull form.
    fn are_any(&self) -> bool;
}

/// Slots that call a handler, on the runtime that the user built the node on.
pub(crate) struct Slots<H, A> {
    pub(crate) state: Arc<NodeState>,
    pub(crate) handler: Arc<H>,
    pub(crate) runtime: Handle,
    pub(crate) arguments: PhantomData<fn(A)>,
}

impl<H, A> std::fmt::Debug for Slots<H, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slots")
    }
}

impl<H: Handler<A>, A: 'static> StartSlots for Slots<H, A> {
    fn start(&self, slots: usize) {
        for _ in 0..slots {
            self.runtime.spawn(work(self.state.clone(), self.handler.clone()));
        }
    }

    fn are_any(&self) -> bool {
        true
    }
}

/// In the pull form nobody calls a handler.
#[derive(Debug)]
pub(crate) struct NoSlots;

impl StartSlots for NoSlots {
    fn start(&self, _slots: usize) {}

    fn are_any(&self) -> bool {
        false
    }
}

/// Handles records until none waits. A handler that is done takes the next one itself, so records
/// cost no wake-up, and one handler's delay holds nobody up.
async fn work<A, H: Handler<A>>(state: Arc<NodeState>, handler: Arc<H>) {
    while let Some(received) = state.queue.pop() {
        if !state.may_begin(&received.unit) {
            state.discard(&received);
            continue;
        }
        let finished = Finished::of(&received);
        let begun = state.meter.begin();
        let span = spans::process(
            &state.settings.group,
            &finished.unit.lease.partition.partition,
            received.offset(),
            received.attempt(),
            received.headers(),
        );
        let handling = AssertUnwindSafe(handle(&*handler, received)).catch_unwind().instrument(span.clone());
        let ended = match state.settings.handler_timeout {
            None => handling.await,
            Some(limit) => match timeout(limit, handling).await {
                Ok(ended) => ended,
                Err(_) => Ok(Ended::TimedOut(limit)),
            },
        };
        let ended = ended.unwrap_or_else(|panic| Ended::Panicked(text_of(&*panic).to_owned()));
        if let Some(kind) = ended.error_type() {
            spans::failed(&span, kind);
        }
        if let Some(since) = begun {
            state.meter.handled(&finished.unit.lease.partition.partition, since);
        }
        // Settled only after the handler returned: losing a record is worse than handling it twice.
        state.finish(finished, ended);
        tokio::task::coop::consume_budget().await;
    }
}

/// The call itself happens inside the caught future too.
async fn handle<A, H: Handler<A>>(handler: &H, received: Received) -> Ended {
    handler.handle(received).await.into()
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
