//! Who waits for what. A request that cannot be answered yet registers here and is asked again when
//! what it waits for has changed, or when its time is up.

use std::collections::BTreeMap;
use std::sync::Arc;

use logmill_protocol::ids::Uuid;
use logmill_protocol::wire::Str;
use tokio::sync::Notify;

/// Something whose change wakes a waiting request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Watch {
    /// A partition's log, leader or last stable offset.
    Partition(Uuid, i32),
    /// A consumer group's state.
    Group(Str),
}

#[derive(Debug, Default)]
pub(crate) struct Wakes {
    next: u64,
    waiting: BTreeMap<Watch, BTreeMap<u64, Arc<Notify>>>,
}

/// One waiting request's registration; give it back with [`Wakes::forget`].
#[derive(Debug)]
pub(crate) struct Ticket {
    id: u64,
    watches: Vec<Watch>,
    pub(crate) woken: Arc<Notify>,
}

impl Wakes {
    pub(crate) fn register(&mut self, watches: Vec<Watch>) -> Ticket {
        self.next += 1;
        let woken = Arc::new(Notify::new());
        for watch in &watches {
            self.waiting.entry(watch.clone()).or_default().insert(self.next, Arc::clone(&woken));
        }
        Ticket { id: self.next, watches, woken }
    }

    pub(crate) fn forget(&mut self, ticket: &Ticket) {
        for watch in &ticket.watches {
            if let Some(waiters) = self.waiting.get_mut(watch) {
                waiters.remove(&ticket.id);
                if waiters.is_empty() {
                    self.waiting.remove(watch);
                }
            }
        }
    }

    pub(crate) fn wake(&self, watch: &Watch) {
        for woken in self.waiting.get(watch).into_iter().flat_map(BTreeMap::values) {
            woken.notify_one();
        }
    }
}
