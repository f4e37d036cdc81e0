//! What operators ask of the group, as this node has heard it in the ledger: it pauses, its organiser rewinds, and it is
//! quiet or drains.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use logmill_protocol::ids::{Offset, Partition};
use tokio::sync::Notify;
use tracing::{info, warn};

use super::event::Event;
use super::state::{NodeState, lock};
use crate::control::{Asked, Rewind, Scope, Wish};
use crate::ledger::{EntryKey, Followed, Logged};

/// What was heard so far.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    asked: Mutex<Asked>,
    /// All that the ledger had when the node began.
    up_to_date: AtomicBool,
    /// Below it the ledger has been heard: when it is read again, what stands there is old.
    heard: AtomicI64,
    /// This node is to take no units.
    quiet: AtomicBool,
    /// Whether units may be taken has changed.
    changed: Notify,
    /// A rewind is asked for.
    pub(crate) rewinds: Notify,
}

impl Heard {
    /// Whether units are to be taken: not before what is paused is known.
    fn allows_work(&self) -> bool {
        let rests = self.quiet.load(Ordering::Acquire) || self.is_group_paused();
        self.up_to_date.load(Ordering::Acquire) && !rests
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
            Followed::CaughtUp => {
                state.begin_unasked();
                state.asked.is_up_to_date();
            }
            Followed::Forbidden(problem) => {
                warn!(%problem, ledger = state.dead.ledger.topic(),
                    "what operators ask does not reach this node: it may not read the group's ledger");
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

    /// Whether an entry was written since this node began, and is heard for the first time.
    fn is_news(&self, at: Offset) -> bool {
        let heard = self.heard.fetch_max(at + 1, Ordering::AcqRel);
        self.up_to_date.load(Ordering::Acquire) && at >= heard
    }
}

impl NodeState {
    fn hear(self: &Arc<Self>, logged: &Logged<Option<Bytes>>) {
        let is_news = self.asked.is_news(logged.at);
        let heard = lock(&self.asked.asked).hear(logged);
        match heard {
            Ok(true) => {}
            Ok(false) => return,
            Err(problem) => {
                return warn!(key = %logged.key, %problem, "what is asked in the ledger cannot be read");
            }
        }
        if let Some(node) = logged.key.node() {
            if node == self.settings.node && is_news {
                info!(asked = logged.value.is_some(), "heard of an operator: this node is meant");
                self.heed();
            }
            return;
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

    /// Does what is asked of this node now.
    fn heed(&self) {
        let wish = lock(&self.asked.asked).of_node(&self.settings.node).map(|asked| asked.wish);
        if wish == Some(Wish::Drain) {
            return self.ending.cancel();
        }
        let quiet = wish == Some(Wish::Quiet);
        if self.asked.quiet.swap(quiet, Ordering::AcqRel) != quiet {
            self.teller.tell(|| if quiet { Event::Quiet } else { Event::Woken });
        }
        self.asked.changed.notify_waiters();
    }

    /// What the ledger had of this node when it began was asked of an earlier process of its name, which is gone.
    fn begin_unasked(self: &Arc<Self>) {
        if lock(&self.asked.asked).forget_node(&self.settings.node) {
            let state = self.clone();
            self.engine.spawn(async move { state.retire_asked().await });
        }
    }

    /// Nothing is asked any more of a node that has gone.
    pub(crate) async fn no_longer_asked(&self) {
        if lock(&self.asked.asked).forget_node(&self.settings.node) {
            self.retire_asked().await;
        }
    }

    async fn retire_asked(&self) {
        let key = EntryKey::of_node(&self.settings.node);
        if let Err(problem) = self.dead.ledger.remove(&key).await {
            warn!(%problem, "what was asked of this node stays in the ledger");
        }
    }

    /// Begins nothing more of what is paused.
    pub(crate) fn let_paused_rest(self: &Arc<Self>) {
        if lock(&self.asked.asked).pauses().next().is_some() {
            self.let_rest(|unit| self.asked.is_paused(&unit.lease.partition.partition));
        }
    }
}
