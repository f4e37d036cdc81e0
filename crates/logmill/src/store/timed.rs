//! A store whose calls are timed for metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use logmill_protocol::ids::PartitionKey;
use logmill_protocol::work::{
    Announce, Announced, Cursor, Overview, Page, PartitionSnapshot, Plan, Planned, Raise, Raised, Rebuild,
    Renew, Renewed, Requeue, Requeued, Settle, Settled, Take, Taken, Unit,
};
use metrics::{counter, histogram};
use tokio::time::Instant;

use super::{Answer, Store, StoreError};
use crate::observe::{Histogram, Sinks};

/// Passes every call on.
#[derive(Debug)]
pub(crate) struct Timed {
    store: Arc<dyn Store>,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    durations: BTreeMap<&'static str, Histogram>,
    errors: BTreeMap<(&'static str, &'static str), u64>,
}

impl Timed {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, counted: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn time<'a, T: 'a>(&'a self, command: &'static str, answer: Answer<'a, T>) -> Answer<'a, T> {
        let asked = Instant::now();
        answer
            .inspect(move |answer| {
                let mut counted = self.lock();
                counted
                    .durations
                    .entry(command)
                    .or_insert_with(Histogram::of_durations)
                    .took(asked.elapsed());
                // A refusal is an answer like any other.
                if let Some(problem) = answer.as_ref().err().and_then(kind) {
                    *counted.errors.entry((command, problem)).or_default() += 1;
                }
            })
            .boxed()
    }

    pub(crate) fn publish(&self, sinks: &Sinks) {
        // Recorders are the program's: no call waits for them.
        let counted = std::mem::take(&mut *self.lock());
        for (command, durations) in &counted.durations {
            let drained = durations.drain();
            sinks.each(|| {
                let durations = histogram!("logmill_redis_command_duration_seconds", "command" => *command);
                drained.iter().for_each(|(value, times)| durations.record_many(*value, *times));
            });
        }
        for ((command, problem), count) in &counted.errors {
            sinks.each(|| {
                counter!("logmill_redis_errors_total", "command" => *command, "error_type" => *problem)
                    .increment(*count);
            });
        }
    }
}

const fn kind(problem: &StoreError) -> Option<&'static str> {
    match problem {
        StoreError::Refused(_) => None,
        StoreError::Unreachable { .. } => Some("unreachable"),
        StoreError::TimedOut { .. } => Some("timeout"),
        StoreError::Unready { .. } => Some("unready"),
        StoreError::Full { .. } => Some("full"),
        StoreError::NotAStore { .. } => Some("not_a_store"),
        StoreError::BadReply { .. } => Some("bad_reply"),
    }
}

macro_rules! timed {
    ($($name:ident($($argument:ident: $type:ty)?) -> $answer:ty;)+) => {$(
        fn $name(&self, $($argument: $type)?) -> Answer<'_, $answer> {
            self.time(stringify!($name), self.store.$name($($argument)?))
        }
    )+};
}

impl Store for Timed {
    timed! {
        rebuild(request: Rebuild) -> ();
        raise(request: Raise) -> Raised;
        plan(request: Plan) -> Planned;
        take(request: Take) -> Taken;
        renew(request: Renew) -> Vec<Renewed>;
        settle(request: Settle) -> Settled;
        requeue(request: Requeue) -> Requeued;
        forget(partition: PartitionKey) -> bool;
        announce(request: Announce) -> Announced;
        depart(node: String) -> ();
        snapshot(partition: PartitionKey) -> Option<PartitionSnapshot>;
        overview() -> Overview;
        partitions(from: Cursor) -> Page<PartitionKey>;
    }

    fn units(&self, partition: PartitionKey, from: Cursor) -> Answer<'_, Page<Unit>> {
        self.time("units", self.store.units(partition, from))
    }

    fn version(&self) -> u64 {
        self.store.version()
    }

    fn changed(&self, seen: u64, wait: Duration) -> BoxFuture<'_, ()> {
        self.store.changed(seen, wait)
    }
}
