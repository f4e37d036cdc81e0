//! Units that nodes died with, again and again: worked alone, cut up, and at last given up on, so that one
//! record that kills its node cannot take the fleet down.
//!
//! ```text
//! tries:   1 … limit−2      limit−1            limit
//!          as any unit      alone in a node    several offsets: cut into pieces, each to be worked alone
//!                                              one record: a dead letter
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use logmill_protocol::records::{Decompressor, Limits};
use logmill_protocol::work::{Lease, Range, Rest, Settle, Settled};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use super::failures::wall_ms;
use super::in_hand::{InHand, MAX_TRACKED};
use super::read::Reading;
use super::settings::Settings;
use super::state::{Finished, NodeState};
use crate::error::Result;
use crate::ledger::DeadReason;

/// Into so many pieces a unit is cut at most: a unit of a thousand records needs three cuts.
const PIECES: u64 = 16;

impl Settings {
    /// The try that a unit is not given any more. A record that fails comes back with one failure less than
    /// `max_attempts` at the most, so beyond that only nodes that never answered explain the number. Records
    /// that are retried for ever are so whatever their nodes die of: then there is no limit.
    fn last_try(&self) -> Option<u32> {
        Some(self.retry.most_attempts()?.saturating_add(self.max_unit_attempts))
    }
}

/// Whether the nodes that had the unit may have died of it.
pub(crate) fn is_suspect(state: &NodeState, lease: &Lease) -> bool {
    let guilty = state.settings.last_try().is_some_and(|limit| lease.attempt.saturating_add(1) >= limit);
    // What this node does not work on now, it does not judge either.
    guilty && lease.range.len() <= MAX_TRACKED && !state.is_letting_go(&lease.partition.partition)
}

/// Works on a suspect, or ends it. Nothing else is taken meanwhile: when a node dies with several units, all
/// of them look guilty.
pub(crate) async fn confine(reading: &Reading, lease: Lease, asked: Instant) {
    let state = &reading.state;
    let Some(limit) = state.settings.last_try() else { return };
    let unit = state.take_in(lease, asked);
    let lease = &unit.lease;
    let guilty = lease.attempt >= limit;
    match (guilty, lease.range.end() - lease.position) {
        (true, 1) => condemn(reading, &unit).await,
        (true, 2..) => cut(state, &unit, limit).await,
        _ if alone(state, &unit, asked + state.settings.lease).await => {
            warn!(partition = %lease.partition.partition, range = %lease.range, attempt = lease.attempt,
                "nodes died while they had this unit: it is worked on alone");
            state.engine.spawn(reading.clone().read_in_turn(vec![VecDeque::from([unit.clone()])]));
            ended(state, &unit).await;
        }
        _ => put_back(state, &unit),
    }
}

/// Waits until nothing else is in hand; false if that takes too long, or the node is to end.
async fn alone(state: &Arc<NodeState>, unit: &Arc<InHand>, deadline: Instant) -> bool {
    loop {
        let ended = state.ended.notified();
        tokio::pin!(ended);
        ended.as_mut().enable();
        if !unit.is_live(Instant::now()) {
            return false;
        }
        if state.units().iter().all(|other| Arc::ptr_eq(other, unit)) {
            return true;
        }
        tokio::select! {
            biased;
            () = state.quiet.cancelled() => return false,
            in_time = timeout_at(deadline, ended) => if in_time.is_err() { return false },
        }
    }
}

/// Waits until the unit is out of hand.
async fn ended(state: &Arc<NodeState>, unit: &Arc<InHand>) {
    loop {
        let ended = state.ended.notified();
        tokio::pin!(ended);
        ended.as_mut().enable();
        if state.units().iter().all(|other| !Arc::ptr_eq(other, unit)) {
            return;
        }
        tokio::select! {
            biased;
            () = state.quiet.cancelled() => return,
            () = ended => {}
        }
    }
}

/// It comes again as if it had not been taken.
fn put_back(state: &Arc<NodeState>, unit: &Arc<InHand>) {
    debug!(range = %unit.lease.range, "a unit to be worked on alone goes back: this node is busy");
    state.read(unit, unit.lease.position, unit.lease.range.end());
    state.give_back_from(unit, super::take::ELSEWHERE_MS);
    state.close(unit, 1);
}

/// Each piece has one try more, alone.
async fn cut(state: &Arc<NodeState>, unit: &Arc<InHand>, limit: u32) {
    let lease = &unit.lease;
    warn!(partition = %lease.partition.partition, range = %lease.range, attempt = lease.attempt,
        "nodes died while they had this unit: it is cut into pieces, to find the record that kills them");
    let (mut at, end) = (lease.position, lease.range.end());
    let length = ((end - at) as u64).div_ceil(PIECES) as i64;
    let mut rest = Vec::new();
    while let Some(range) = Range::new(at, end.min(at + length)) {
        rest.push(Rest { range, delay_ms: 0, attempt: limit - 2 });
        at = range.end();
    }
    state.read(unit, lease.position, end);
    match state.store.settle(Settle { held: lease.held(), rest, gaps: Vec::new() }).await {
        Ok(Settled::Done { .. } | Settled::Already) => {}
        Ok(answer) => warn!(?answer, "unit not cut: it returns when its lease ends"),
        Err(problem) => warn!(%problem, "unit not cut: it returns when its lease ends"),
    }
    state.let_out(unit);
}

/// The one record that is left is given up on, unread by any handler.
async fn condemn(reading: &Reading, unit: &Arc<InHand>) {
    let state = &reading.state;
    match find(reading, unit).await {
        Ok(Some(record)) => {
            let attempt = unit.lease.attempt.saturating_sub(1);
            let error =
                format!("nodes died while they had it: {attempt} tries, and the last ones never ended");
            let finished = Finished { record, attempt, unit: unit.clone(), line: None, again: false };
            state.read(unit, unit.lease.position, unit.lease.range.end());
            state.give_up(finished, DeadReason::Killed, error, wall_ms());
        }
        // Compacted away, or of a transaction that was rolled back: read as any other, it ends by itself.
        Ok(None) => reading.clone().read_in_turn(vec![VecDeque::from([unit.clone()])]).await,
        Err(problem) => {
            warn!(range = %unit.lease.range, %problem, "a record to be given up on cannot be read");
            put_back(state, unit);
        }
    }
}

async fn find(
    reading: &Reading,
    unit: &Arc<InHand>,
) -> Result<Option<logmill_protocol::records::OwnedRecord>> {
    let (key, range) = (&unit.lease.partition, unit.lease.position..unit.lease.range.end());
    let mut reader =
        reading.client.fetch_range(key.partition.clone(), Some(key.topic_id), range, &reading.options);
    let mut decompressor = Decompressor::new(Limits::default());
    while let Some(fetched) = reader.next().await? {
        for batch in fetched.batches {
            let Ok(records) = batch.records(&mut decompressor) else { continue };
            if let Some(Ok(record)) = records.into_owned().next() {
                return Ok(Some(record));
            }
        }
    }
    Ok(None)
}
