//! What operators ask of the group, as this node has heard it in the ledger: it pauses, and its organiser rewinds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use logmill_protocol::ids::Partition;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::event::Event;
use super::state::{NodeState, lock};
use crate::control::{Asked, Rewind, Scope};
use crate::ledger::{Followed, Logged};

/// What was heard so far.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    asked: Mutex<Asked>,
    /// All that the ledger had when the node began.
    up_to_date: AtomicBool,
    /// Whether units may be taken has changed.
    changed: Notify,
    /// A rewind is asked for.
    pub(crate) rewinds: Notify,
}

impl Heard {
    /// Whether units are to be taken: not before what is paused is known.
    fn allows_work(&self) -> bool {
        self.up_to_date.load(Ordering::Acquire) && !self.is_group_paused()
    }

    /// Returns when units are to be taken.
    pub(crate) async fn until_work_is_allowed(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.allows_work() {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn is_group_paused(&self) -> bool {
        lock(&self.asked).is_group_paused()
    }

    /// What is paused.
    pub(crate) fn paused(&self) -> Vec<Scope> {
        lock(&self.asked).pauses().map(|pause| pause.scope.clone()).collect()
    }

    pub(crate) fn is_paused(&self, partition: &Partition) -> bool {
        lock(&self.asked).is_paused(partition)
    }

    /// What was asked last of a partition.
    pub(crate) fn rewind_of(&self, partition: &Partition) -> Option<Rewind> {
        lock(&self.asked).rewind_of(partition).cloned()
    }

    /// All that was asked of a partition, the oldest first.
    pub(crate) fn rewinds_of(&self, partition: &Partition) -> Vec<Rewind> {
        lock(&self.asked).rewinds_of(partition)
    }
}

/// Follows the ledger.
pub(crate) async fn follow(state: Arc<NodeState>) {
    let mut ledger = state.dead.ledger.follow();
    loop {
        match ledger.next().await {
            Followed::Entry(logged) => state.hear(&logged),
            Followed::CaughtUp => state.asked.is_up_to_date(),
            Followed::Forbidden(problem) => {
                warn!(%problem, ledger = state.dead.ledger.topic(),
                    "pauses and rewinds do not reach this node: it may not read the group's ledger");
                state.asked.is_up_to_date();
            }
        }
    }
}

impl Heard {
    fn is_up_to_date(&self) {
        self.up_to_date.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }
}

impl NodeState {
    fn hear(self: &Arc<Self>, logged: &Logged<Option<Bytes>>) {
        let heard = lock(&self.asked.asked).hear(logged);
        match heard {
            Ok(true) => {}
            Ok(false) => return,
            Err(problem) => {
                return warn!(key = %logged.key, %problem, "what is asked in the ledger cannot be read");
            }
        }
        info!(key = %logged.key, asked = logged.value.is_some(), "heard of an operator");
        if let Some(scope) = Scope::of_pause(&logged.key) {
            let event = if logged.value.is_some() { Event::Paused } else { Event::Resumed };
            self.teller.tell(|| event(scope));
        }
        self.asked.changed.notify_waiters();
        self.asked.rewinds.notify_one();
        self.let_paused_rest();
        if let Some(rewound) =
            logged.key.partition().filter(|partition| self.asked.rewind_of(partition).is_some())
        {
            // Whatever is in hand is of a generation that is about to end.
            self.let_rest(|unit| unit.lease.partition.partition == rewound);
        }
    }

    /// Begins nothing more of what is paused.
    pub(crate) fn let_paused_rest(self: &Arc<Self>) {
        if lock(&self.asked.asked).pauses().next().is_some() {
            self.let_rest(|unit| self.asked.is_paused(&unit.lease.partition.partition));
        }
    }
}
