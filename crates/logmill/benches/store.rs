//! What a unit costs its store: time of a Redis core per unit taken and settled, and memory per unit.
//!
//! `cargo bench -p logmill --bench store`. Redis' own CPU is read from its INFO, so a busy machine
//! or a slow client does not change the figure.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use logmill::store::{MemoryStore, RedisOptions, RedisStore, Store};
use logmill_protocol::ids::{Boot, Generation, Nonce, Offset, Partition, PartitionKey, Uuid};
use logmill_protocol::work::{Plan, Planned, Rebuild, Settle, Settled, Take};
use logmill_testkit::launch::{self, Redis, Software, skipped};

const PARTITIONS: i32 = 8;
/// Records in a unit: what the offsets look like, nothing more.
const SIZE: Offset = 10_000;
const NODES: u64 = 16;

fn partition(index: i32) -> PartitionKey {
    PartitionKey::new(Partition::new("orders", index), Uuid([5; 16]))
}

/// Plans `units` units, a hundred a call, over the partitions.
async fn plan(store: &dyn Store, units: u64, first: Offset) {
    let mut from = vec![first; PARTITIONS as usize];
    for call in 0..units / 100 {
        let index = (call % PARTITIONS as u64) as i32;
        let at = from[index as usize];
        let ends = (1..=100).map(|unit| at + unit * SIZE).collect();
        let (partition, generation, boot) = (partition(index), Generation(1), Boot(1));
        let plan = Plan { partition, generation, boot, from: at, ends, max_units: 100_000 };
        let Planned::Ok { planned, .. } = store.plan(plan).await.unwrap() else { panic!("not planned") };
        from[index as usize] = planned;
    }
}

/// Takes `at_once` units a call and settles each by a call of its own, until none is left. Returns
/// how many there were.
async fn work(store: Arc<dyn Store>, at_once: u32) -> u64 {
    let draws = Arc::new(AtomicU64::new(1));
    let node = |node: u64| {
        let (store, draws) = (store.clone(), draws.clone());
        tokio::spawn(async move {
            let mut done = 0;
            loop {
                let nonce = Nonce(draws.fetch_add(1, Ordering::Relaxed).into());
                let node = format!("node-{node}");
                let take = Take { node, nonce, lease_ms: 30_000, max_units: at_once, extend: vec![] };
                let taken = store.take(take).await.unwrap();
                if taken.leases.is_empty() {
                    return done;
                }
                for lease in taken.leases {
                    let settle = Settle { held: lease.held(), rest: vec![], gaps: vec![] };
                    assert!(matches!(store.settle(settle).await.unwrap(), Settled::Done { .. }));
                    done += 1;
                }
            }
        })
    };
    let nodes: Vec<_> = (0..NODES).map(node).collect();
    let mut done = 0;
    for node in nodes {
        done += node.await.unwrap();
    }
    done
}

async fn rebuild(store: &dyn Store, first: Offset) {
    for index in 0..PARTITIONS {
        let empty = Rebuild {
            partition: partition(index),
            generation: Generation(1),
            boot: Boot(1),
            leader_epoch: 0,
            watermark: first,
            planned: first,
            done: vec![],
            units: vec![],
        };
        store.rebuild(empty).await.unwrap();
    }
}

/// A number from the server's INFO.
async fn info(redis: &Redis, field: &str) -> f64 {
    let info = redis.cli(&["INFO", "all"]).await.unwrap();
    let line = info.lines().find_map(|line| line.trim().strip_prefix(field)?.strip_prefix(':')).unwrap();
    line.parse().unwrap()
}

async fn cpu(redis: &Redis) -> f64 {
    info(redis, "used_cpu_user").await + info(redis, "used_cpu_sys").await
}

async fn on_redis(units: u64) {
    let redis = Redis::start(launch::RedisOptions::default().unix_socket()).await.unwrap();
    let store = RedisStore::connect(&redis.url(), "bench", RedisOptions::default()).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let first = 1_000_000_000;
    for at_once in [1, 8, 32] {
        redis.cli(&["FLUSHALL"]).await.unwrap();
        rebuild(&*store, first).await;
        let (empty, before) = (info(&redis, "used_memory").await, cpu(&redis).await);
        plan(&*store, units, first).await;
        let (full, planned) = (info(&redis, "used_memory").await, cpu(&redis).await);
        let start = Instant::now();
        let done = work(store.clone(), at_once).await;
        let (took, worked) = (start.elapsed().as_secs_f64(), cpu(&redis).await);
        assert_eq!(done, units);
        let per_unit = |from: f64, to: f64| (to - from) / units as f64 * 1e6;
        println!(
            "redis, {at_once:>2} a take: {:>7.0} units/s per Redis core ({:.1} µs to take and settle, {:.1} µs to plan), {:>7.0} units/s here, {:.0} bytes a unit",
            1e6 / (per_unit(before, worked)),
            per_unit(planned, worked),
            per_unit(before, planned),
            units as f64 / took,
            (full - empty) / units as f64,
        );
    }
}

async fn in_memory(units: u64) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    rebuild(&*store, 0).await;
    let start = Instant::now();
    plan(&*store, units, 0).await;
    let done = work(store, 8).await;
    let per_unit = start.elapsed().as_secs_f64() / done as f64 * 1e6;
    println!("memory, 8 a take: {per_unit:.2} µs to plan, take and settle a unit");
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // `cargo test --benches` only wants to see it run.
    let units = if std::env::args().any(|word| word == "--bench") { 40_000 } else { 800 };
    runtime.block_on(in_memory(units));
    if !skipped(&[Software::Redis]) {
        runtime.block_on(on_redis(units));
    }
}
