//! Mistakes that a store, a node or an organiser could make and that the simulation must find: each is made on
//! purpose, and some seed must fail for it. A gate that lets one through proves nothing when it is silent.

use std::time::Duration;

use logmill::client::Client;
use logmill::ledger::{DeadLetter, DeadReason, Ledger};
use logmill::node::Received;
use logmill_protocol::ids::PartitionKey;
use logmill_protocol::work::{Cursor, PartitionSnapshot, Rebuild, Settle, State, Taken, Unit};

use logmill_testkit::Cluster;
use tokio::time::sleep;

use super::first_failure;
use super::gate::Gate;
use super::world::GROUP;

/// As many seeds as it may take.
const SEEDS: u64 = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// What is queued counts as done, as in kafka-clj.
    QueuedIsSaved,
    /// The watermark is the highest settled offset, not the end of what is settled without a hole.
    HighestSettled,
    /// A unit is known by where it begins: a settle need not show range, nonce, generation and boot.
    SettledByStart,
    /// A settled unit counts as settled whole, though parts of it were to come again.
    RestForgotten,
    /// The handler's work goes on after it returned.
    SettledBeforeHandled,
    /// A record that is given up on counts as settled, and the ledger gets it when it gets it.
    SettledBeforeBuried,
    /// An empty store begins at what was planned, not at what was done.
    EmptyMeansEnd,
    /// A rewind leaves the store's watermark where it is.
    RewindForgotten,
    /// "Nothing read" and "read up to 0" are the same, so record 0 is lost.
    NothingIsZero,
}

impl Bug {
    pub(crate) fn in_snapshot(
        bug: Option<Self>,
        snapshot: Option<PartitionSnapshot>,
    ) -> Option<PartitionSnapshot> {
        let mut snapshot = snapshot?;
        match bug {
            Some(Self::QueuedIsSaved) => snapshot.watermark = snapshot.planned,
            Some(Self::HighestSettled) => {
                snapshot.watermark = snapshot.done.last().map_or(snapshot.watermark, |range| range.end());
            }
            _ => return Some(snapshot),
        }
        (snapshot.done, snapshot.done_ranges) = (Vec::new(), 0);
        Some(snapshot)
    }

    pub(crate) fn in_settle(bug: Option<Self>, state: &State, mut request: Settle) -> Settle {
        match bug {
            Some(Self::RestForgotten) => request.rest.clear(),
            Some(Self::SettledByStart) => {
                let held = &mut request.held;
                if let Some((unit, part)) = unit_at(state, &held.partition, held.range.start()) {
                    (held.range, held.nonce) = (unit.range, unit.nonce);
                    (held.generation, held.boot) = (part.generation, part.boot);
                    request.rest.retain(|rest| rest.range.end() <= unit.range.end());
                }
            }
            _ => {}
        }
        request
    }

    pub(crate) fn in_rebuild(bug: Option<Self>, state: &State, mut request: Rebuild) -> Rebuild {
        let before = state.snapshot(&request.partition).map_or(0, |before| before.watermark);
        if bug == Some(Self::RewindForgotten) && before > request.watermark {
            (request.watermark, request.planned) = (before, before.max(request.planned));
            (request.done, request.units) = (Vec::new(), Vec::new());
        }
        if bug == Some(Self::EmptyMeansEnd) && request.generation.0 > 1 {
            request.watermark = request.planned.max(request.watermark + 50);
            request.planned = request.watermark;
            (request.done, request.units) = (Vec::new(), Vec::new());
        }
        request
    }

    pub(crate) fn in_taken(bug: Option<Self>, mut taken: Taken) -> Taken {
        if bug == Some(Self::NothingIsZero) {
            taken.leases.iter_mut().for_each(|lease| lease.position = lease.position.max(1));
        }
        taken
    }
}

/// What [`Bug::SettledBeforeBuried`] does after the record was settled.
pub(crate) async fn bury_late(gate: Gate, cluster: Cluster, record: Received) {
    sleep(Duration::from_secs(2)).await;
    gate.pass().await;
    let client = Client::builder().brokers(cluster.bootstrap()).transport(gate.transport(&cluster));
    let Ok(client) = client.seed(1).connect().await else { return };
    let letter = DeadLetter {
        topic: record.topic().to_string(),
        topic_id: String::new(),
        partition: record.partition(),
        offset: record.offset(),
        reason: DeadReason::Attempts,
        error: String::new(),
        attempts: record.attempt(),
        first_failure_ms: 0,
        last_failure_ms: 0,
        node: String::new(),
        record: None,
    };
    let _ = Ledger::open(&client, GROUP).append(&letter.entry().unwrap()).await;
}

/// The unit that begins there.
fn unit_at(state: &State, partition: &PartitionKey, start: i64) -> Option<(Unit, PartitionSnapshot)> {
    let part = state.snapshot(partition)?;
    let mut page = state.units(partition, Cursor(start as u64)).items.into_iter();
    Some((page.find(|unit| unit.range.start() == start)?, part))
}

#[test]
fn every_seeded_bug_is_found() {
    for bug in [
        Bug::QueuedIsSaved,
        Bug::HighestSettled,
        Bug::SettledByStart,
        Bug::RestForgotten,
        Bug::SettledBeforeHandled,
        Bug::SettledBeforeBuried,
        Bug::EmptyMeansEnd,
        Bug::RewindForgotten,
        Bug::NothingIsZero,
    ] {
        let found = first_failure(0..SEEDS, Some(bug));
        let Some((seed, run)) = found else { panic!("{SEEDS} seeds do not find {bug:?}") };
        eprintln!("{bug:?}: found by seed {seed}: {}", run.verdict.unwrap_err());
    }
}
