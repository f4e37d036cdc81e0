//! Keeps leases alive, and brings back failed records whose time has come.

use std::sync::Arc;
use std::time::Duration;

use logmill_protocol::work::MAX_HELD;
use tokio::time::Instant;

use super::in_hand::Due;
use super::record::Received;
use super::slot::StartSlots;
use super::state::NodeState;

/// How exactly the delay of a retry is kept.
const RETRY_TICK: Duration = Duration::from_millis(20);

/// Renews all leases three times in each lease's length, and writes down how far they have come. It
/// runs apart from the handlers, so that handlers that block or burn the processor lose no lease.
pub(crate) async fn renew(state: Arc<NodeState>) {
    let mut tick = tokio::time::interval(state.settings.lease / 3);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        for units in state.units().chunks(MAX_HELD) {
            state.renew(units).await;
        }
    }
}

/// Puts failed records back in the queue when they are due, as long as their unit is still in work
/// here. What is not due when its unit ends waits in the store.
pub(crate) async fn retry(state: Arc<NodeState>, slots: Arc<dyn StartSlots>) {
    let mut tick = tokio::time::interval(RETRY_TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if state.queue.waits() {
            slots.start(state.queue.left_over(state.settings.concurrency));
        }
        let now = Instant::now();
        for unit in state.units().into_iter().filter(|unit| unit.is_live(now)) {
            let due = unit.due(now).into_iter();
            let records: Vec<_> = due
                .map(|Due { record, attempt, line }| {
                    let (unit, attempt) = (unit.clone(), attempt + 1);
                    Received { record, attempt, unit, line, again: true }
                })
                .collect();
            if !records.is_empty() {
                slots.start(state.queue.push_again(records, state.settings.concurrency));
            }
        }
    }
}
