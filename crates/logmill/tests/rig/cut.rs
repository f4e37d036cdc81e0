//! A store that a node can be cut off from, while others reach what is behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use logmill::store::{Answer, MemoryStore, Store, StoreError};
use logmill_protocol::ids::PartitionKey;
use logmill_protocol::work::{
    Announce, Announced, Cursor, Overview, Page, PartitionSnapshot, Plan, Planned, Raise, Raised, Rebuild,
    Renew, Renewed, Requeue, Requeued, Settle, Settled, Take, Taken, Unit,
};

/// One node's way to the store.
#[derive(Debug)]
pub struct Way {
    store: Arc<MemoryStore>,
    cut: AtomicBool,
}

impl Way {
    pub fn to(store: &Arc<MemoryStore>) -> Arc<Self> {
        Arc::new(Self { store: store.clone(), cut: AtomicBool::new(false) })
    }

    pub fn cut(&self) {
        self.cut.store(true, Ordering::Release);
    }

    pub fn mend(&self) {
        self.cut.store(false, Ordering::Release);
    }
}

macro_rules! pass {
    ($($name:ident($($argument:ident: $type:ty)?) -> $answer:ty;)+) => {$(
        fn $name(&self, $($argument: $type)?) -> Answer<'_, $answer> {
            if self.cut.load(Ordering::Acquire) {
                let (address, reason) = ("the store".to_owned(), "cut off".to_owned());
                return std::future::ready(Err(StoreError::Unreachable { address, reason })).boxed();
            }
            self.store.$name($($argument)?)
        }
    )+};
}

impl Store for Way {
    pass! {
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
        self.store.units(partition, from)
    }

    fn version(&self) -> u64 {
        self.store.version()
    }

    fn changed(&self, seen: u64, wait: Duration) -> BoxFuture<'_, ()> {
        self.store.changed(seen, wait)
    }
}
