//! A group's state in this process's memory: nothing to install, nothing shared with other
//! processes, gone when the process ends. Kafka's consumer group shares the partitions out among
//! processes then.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use logmill_protocol::ids::PartitionKey;
use logmill_protocol::work::{
    Announce, Announced, Cursor, Overview, Page, PartitionSnapshot, Plan, Planned, Raise, Raised, Rebuild,
    Refused, Renew, Renewed, Requeue, Requeued, Settle, Settled, State, Take, Taken, Unit,
};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::{Answer, Store};

/// [`State`] behind a lock, with tokio's clock, so that tests can pause it.
///
/// Share one among the nodes of a process with an `Arc`. It never waits for anything but
/// [`changed`](Store::changed), and never fails but by a refusal.
pub struct MemoryStore {
    state: Mutex<State>,
    /// When this store's clock showed 0.
    born: Instant,
    version: watch::Sender<u64>,
}

impl MemoryStore {
    /// An empty store. Its clock starts at 0.
    #[must_use]
    pub fn new() -> Self {
        Self { state: Mutex::default(), born: Instant::now(), version: watch::Sender::new(0) }
    }

    /// Forgets everything, as a Redis does that is flushed or restarted without its files. For tests
    /// of what must survive that.
    pub fn wipe(&self) {
        *self.lock() = State::new();
        self.announce_change();
    }

    /// A copy of the whole state, for tests.
    #[must_use]
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    /// No transition panics; were one to, every later call must not fail for it too.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn announce_change(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    /// Runs a transition, and wakes the waiting if it added units.
    fn run<'a, T: Send>(
        &'a self,
        transition: impl FnOnce(&mut State, u64) -> Result<T, Refused> + Send + 'a,
        adds: impl FnOnce(&T) -> bool + Send + 'a,
    ) -> Answer<'a, T> {
        async move {
            let outcome = transition(&mut self.lock(), self.now_ms())?;
            if adds(&outcome) {
                self.announce_change();
            }
            Ok(outcome)
        }
        .boxed()
    }

    fn read<'a, T: Send>(&'a self, view: impl FnOnce(&State, u64) -> T + Send + 'a) -> Answer<'a, T> {
        async move { Ok(view(&self.lock(), self.now_ms())) }.boxed()
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("version", &self.version()).finish_non_exhaustive()
    }
}

impl Store for MemoryStore {
    fn rebuild(&self, request: Rebuild) -> Answer<'_, ()> {
        self.run(move |state, now| state.rebuild(now, &request), |()| true)
    }

    fn raise(&self, request: Raise) -> Answer<'_, Raised> {
        // A unit that straddles the new watermark is ready again.
        self.run(move |state, now| state.raise(now, &request), |_| true)
    }

    fn plan(&self, request: Plan) -> Answer<'_, Planned> {
        let adds = |planned: &Planned| matches!(planned, Planned::Ok { .. });
        self.run(move |state, now| state.plan(now, &request), adds)
    }

    fn take(&self, request: Take) -> Answer<'_, Taken> {
        self.run(move |state, now| state.take(now, &request), |_| false)
    }

    fn renew(&self, request: Renew) -> Answer<'_, Vec<Renewed>> {
        self.run(move |state, now| state.renew(now, &request), |_| false)
    }

    fn settle(&self, request: Settle) -> Answer<'_, Settled> {
        // A lane may have become free.
        let may_add = !request.rest.is_empty() || !request.held.partition.lane.is_whole();
        let adds = move |settled: &Settled| may_add && matches!(settled, Settled::Done { .. });
        self.run(move |state, now| state.settle(now, &request), adds)
    }

    fn requeue(&self, request: Requeue) -> Answer<'_, Requeued> {
        self.run(move |state, now| state.requeue(now, &request), |_| true)
    }

    fn forget(&self, partition: PartitionKey) -> Answer<'_, bool> {
        self.run(move |state, now| state.forget(now, &partition), |_| false)
    }

    fn announce(&self, request: Announce) -> Answer<'_, Announced> {
        self.run(move |state, now| state.announce(now, &request), |_| false)
    }

    fn depart(&self, node: String) -> Answer<'_, ()> {
        self.run(move |state, now| state.depart(now, &node), |()| false)
    }

    fn snapshot(&self, partition: PartitionKey) -> Answer<'_, Option<PartitionSnapshot>> {
        self.read(move |state, _| state.snapshot(&partition))
    }

    fn overview(&self) -> Answer<'_, Overview> {
        self.read(|state, now| state.overview(now))
    }

    fn partitions(&self, from: Cursor) -> Answer<'_, Page<PartitionKey>> {
        self.read(move |state, _| state.partitions(from))
    }

    fn units(&self, partition: PartitionKey, from: Cursor) -> Answer<'_, Page<Unit>> {
        self.read(move |state, _| state.units(&partition, from))
    }

    fn version(&self) -> u64 {
        *self.version.borrow()
    }

    fn changed(&self, seen: u64, wait: Duration) -> BoxFuture<'_, ()> {
        let mut version = self.version.subscribe();
        async move {
            let moved = version.wait_for(|version| *version != seen);
            // Time out or moved: either way the caller takes again.
            let _ = timeout(wait, moved).await;
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn its_time_is_tokios() {
        let store = MemoryStore::new();
        tokio::time::advance(Duration::from_millis(1_234)).await;
        assert_eq!(store.overview().await.unwrap().now_ms, 1_234);
    }
}
