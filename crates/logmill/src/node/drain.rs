//! How a node ends in good order, whoever asks for it: its owner, or an operator by the ledger.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::event::Event;
use super::state::NodeState;
use crate::error::{Error, Result};

/// How long the last words to Kafka and the store may take.
const FAREWELL: Duration = Duration::from_secs(15);

/// How long a node that leaves tries to say that nothing is asked of it any more.
const RETIRE: Duration = Duration::from_secs(2);

/// What has to end, and in which order.
pub(super) struct Drain {
    pub(super) state: Arc<NodeState>,
    pub(super) take: JoinHandle<()>,
    pub(super) organise: JoinHandle<()>,
    pub(super) stop_organising: CancellationToken,
}

impl Drain {
    pub(super) async fn when_asked(self) -> Result<()> {
        let Self { state, take, organise, stop_organising } = self;
        state.ending.cancelled().await;
        let node = state.settings.node.as_str();
        info!(node, "draining");
        state.be_quiet();
        let deadline = Instant::now() + state.settings.drain_timeout;
        let _ = take.await;
        state.give_back(|_| true, deadline).await;
        stop_organising.cancel();
        if timeout(FAREWELL, organise).await.is_err() {
            return Err(Error::Closed { what: "the node, but Kafka was not told in time: the organiser" });
        }
        // Last, so that whoever waits for that knows that the node has gone.
        let _ = timeout(RETIRE, state.no_longer_asked()).await;
        info!(node, "drained");
        state.teller.tell(|| Event::Drained);
        Ok(())
    }
}

impl NodeState {
    /// Takes no more units, from now on.
    pub(super) fn be_quiet(&self) {
        if !self.quiet.is_cancelled() {
            self.quiet.cancel();
            self.teller.tell(|| Event::Quiet);
        }
    }
}
