//! A store under test, with its time and its end in our hand, and requests in few words.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    unused_macros,
    reason = "several test programs share it"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use logmill::store::{MemoryStore, RedisOptions, RedisStore, Store, StoreError};
use logmill_protocol::ids::{Boot, Generation, Nonce, Offset, Partition, PartitionKey, Uuid};
use logmill_protocol::work::{
    Gap, Lease, Plan, Planned, Progress, Range, Rebuild, Refused, Renew, Renewed, Rest, Settle, Settled,
    Take, Taken,
};
use logmill_testkit::launch::{self, Redis};

/// Each scenario on each store.
macro_rules! scenarios {
    ($($name:ident)+) => {
        mod memory {
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                super::$name(super::Bench::memory()).await;
            })+
        }
        mod redis {
            $(#[tokio::test]
            async fn $name() {
                if !super::skipped(&[super::Software::Redis]) {
                    super::$name(super::Bench::redis().await).await;
                }
            })+
        }
    };
}

pub const LEASE_MS: u64 = 1_000;

pub struct Bench {
    pub store: Arc<dyn Store>,
    place: Place,
}

enum Place {
    Memory(Arc<MemoryStore>),
    Redis(Redis, Arc<AtomicU64>),
}

impl Bench {
    pub fn memory() -> Self {
        let store = Arc::new(MemoryStore::new());
        Self { store: store.clone(), place: Place::Memory(store) }
    }

    pub async fn redis() -> Self {
        Self::redis_with(launch::RedisOptions::default().unix_socket()).await
    }

    pub async fn redis_with(options: launch::RedisOptions) -> Self {
        let redis = Redis::start(options).await.unwrap();
        let time = Arc::new(AtomicU64::new(1_700_000_000_000));
        let store = Arc::new(connect(&redis, &time).await.unwrap());
        Self { store, place: Place::Redis(redis, time) }
    }

    /// Another process's view of the same store; of memory, the same value.
    pub async fn other(&self) -> Arc<dyn Store> {
        match &self.place {
            Place::Memory(store) => store.clone(),
            Place::Redis(redis, time) => Arc::new(connect(redis, time).await.unwrap()),
        }
    }

    /// The server; there is none in memory.
    pub fn server(&mut self) -> &mut Redis {
        match &mut self.place {
            Place::Memory(_) => panic!("a store in memory has no server"),
            Place::Redis(redis, _) => redis,
        }
    }

    /// The one key of that name, as the server has it.
    pub async fn key(&mut self, name: &str) -> String {
        let keys = self.server().cli(&["KEYS", &format!("*:{name}")]).await.unwrap();
        assert_eq!(keys.lines().count(), 1, "{keys}");
        keys
    }

    /// Lets time pass in the store.
    pub async fn pass(&self, ms: i64) {
        match &self.place {
            Place::Memory(_) => tokio::time::advance(Duration::from_millis(ms.unsigned_abs())).await,
            Place::Redis(_, time) => {
                time.fetch_add(ms as u64, Ordering::Relaxed);
            }
        }
    }

    /// The store loses everything.
    pub async fn wipe(&self) {
        match &self.place {
            Place::Memory(store) => store.wipe(),
            Place::Redis(redis, _) => {
                redis.cli(&["FLUSHALL"]).await.unwrap();
            }
        }
    }

    /// Builds partition 0 empty, and plans units of these sizes.
    pub async fn planned(&self, sizes: &[Offset]) {
        self.planned_in(partition(), sizes).await;
    }

    /// The same of another partition, or of a lane.
    pub async fn planned_in(&self, key: PartitionKey, sizes: &[Offset]) {
        self.store.rebuild(Rebuild { partition: key.clone(), ..rebuild(1, 0) }).await.unwrap();
        let planned = self.store.plan(Plan { partition: key, ..plan(0, sizes) }).await.unwrap();
        assert!(matches!(planned, Planned::Ok { .. }), "{planned:?}");
    }

    pub async fn take(&self, nonce: u128, max_units: u32) -> Taken {
        self.take_as(&format!("node {nonce}"), nonce, max_units, &[]).await
    }

    pub async fn take_as(&self, node: &str, nonce: u128, max_units: u32, extend: &[PartitionKey]) -> Taken {
        let (node, nonce, extend) = (node.to_owned(), Nonce(nonce), extend.to_vec());
        self.store.take(Take { node, nonce, lease_ms: LEASE_MS, max_units, extend }).await.unwrap()
    }

    pub async fn settle(&self, lease: &Lease) -> Settled {
        self.store.settle(settle(lease)).await.unwrap()
    }

    pub async fn settle_but(&self, lease: &Lease, rest: &[Rest]) -> Settled {
        self.store.settle(Settle { rest: rest.to_vec(), ..settle(lease) }).await.unwrap()
    }

    pub async fn renew(&self, lease: &Lease, position: Offset) -> Renewed {
        let held = vec![Progress { held: lease.held(), position }];
        self.store.renew(Renew { lease_ms: LEASE_MS, held }).await.unwrap()[0]
    }

    pub async fn watermark(&self) -> Offset {
        self.store.snapshot(partition()).await.unwrap().unwrap().watermark
    }
}

pub async fn connect(redis: &Redis, time: &Arc<AtomicU64>) -> Result<RedisStore, StoreError> {
    let mut options = RedisOptions::default();
    let time = time.clone();
    options.time = Some(Arc::new(move || time.load(Ordering::Relaxed)));
    RedisStore::connect(&redis.url(), "contract", options).await
}

pub fn partition() -> PartitionKey {
    PartitionKey::new(Partition::new("orders", 0), Uuid([3; 16]))
}

pub fn range(start: Offset, end: Offset) -> Range {
    Range::new(start, end).unwrap()
}

pub fn rebuild(generation: u64, watermark: Offset) -> Rebuild {
    Rebuild {
        partition: partition(),
        generation: Generation(generation),
        boot: Boot(7),
        leader_epoch: 0,
        watermark,
        planned: watermark,
        done: vec![],
        units: vec![],
    }
}

pub fn plan(from: Offset, sizes: &[Offset]) -> Plan {
    let ends = sizes.iter().scan(from, |at, size| {
        *at += size;
        Some(*at)
    });
    Plan {
        partition: partition(),
        generation: Generation(1),
        boot: Boot(7),
        from,
        ends: ends.collect(),
        max_units: 10_000,
    }
}

pub fn settle(lease: &Lease) -> Settle {
    Settle { held: lease.held(), rest: vec![], gaps: vec![] }
}

pub fn rest(start: Offset, end: Offset, delay_ms: u64, attempt: u32) -> Rest {
    Rest { range: range(start, end), delay_ms, attempt }
}

pub fn gaps(lease: &Lease, gaps: Vec<Gap>) -> Settle {
    Settle { gaps, ..settle(lease) }
}

pub fn ranges(taken: &Taken) -> Vec<String> {
    taken.leases.iter().map(|lease| lease.range.to_string()).collect()
}

/// Whether the store said that it does not hold the partition.
pub fn is_no_state<T>(answer: Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Refused(Refused::NoState)))
}
