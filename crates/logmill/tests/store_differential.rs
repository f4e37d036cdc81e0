//! The scripts in Redis equal `State`: random histories of transitions, run on both, give the same
//! outcomes and leave the same state, also where a transition was refused.
//!
//! `LOGMILL_HISTORIES` says how many, 2,400 unless set. A failing one is shrunk and printed.

#![allow(clippy::unwrap_used)]

#[path = "../../logmill-protocol/tests/history/mod.rs"]
mod history;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use history::{Call, Driver, Reply, apply, step};
use logmill::store::{RedisOptions, RedisStore, Store, StoreError};
use logmill_protocol::ids::PartitionKey;
use logmill_protocol::work::{Cursor, Overview, PartitionSnapshot, Planned, State, Unit};
use logmill_testkit::launch::{self, Redis, Software, skipped};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

/// Histories that run at once, each on a database of its own.
const WORKERS: u32 = 4;

/// All that a store shows of itself.
#[derive(Debug, PartialEq)]
struct Shown {
    overview: Overview,
    partitions: BTreeMap<String, (PartitionSnapshot, BTreeMap<i64, Unit>)>,
}

fn shown_by_state(state: &State, now: u64) -> Shown {
    let one = |partition: PartitionKey| {
        let units = state.units(&partition, Cursor::START).items;
        let units = units.into_iter().map(|unit| (unit.range.start(), unit)).collect();
        (partition.to_string(), (state.snapshot(&partition).unwrap(), units))
    };
    Shown {
        overview: state.overview(now),
        partitions: state.partitions(Cursor::START).items.into_iter().map(one).collect(),
    }
}

async fn shown_by_store(store: &dyn Store) -> Result<Shown, StoreError> {
    let mut partitions = BTreeMap::new();
    for partition in store.partitions(Cursor::START).await?.items {
        let mut units = BTreeMap::new();
        let mut from = Some(Cursor::START);
        while let Some(cursor) = from {
            let page = store.units(partition.clone(), cursor).await?;
            units.extend(page.items.into_iter().map(|unit| (unit.range.start(), unit)));
            from = page.next;
        }
        let snapshot = store.snapshot(partition.clone()).await?.unwrap();
        partitions.insert(partition.to_string(), (snapshot, units));
    }
    Ok(Shown { overview: store.overview().await?, partitions })
}

async fn apply_to_store(store: &dyn Store, call: Call) -> Result<Reply, StoreError> {
    Ok(match call {
        Call::Rebuild(request) => store.rebuild(request).await.map(|()| Reply::Rebuilt)?,
        Call::Raise(request) => Reply::Raised(store.raise(request).await?),
        Call::Plan(request) => Reply::Planned(store.plan(request).await?),
        Call::Take(request) => Reply::Taken(store.take(request).await?),
        Call::Renew(request) => Reply::Renewed(store.renew(request).await?),
        Call::Settle(request) => Reply::Settled(store.settle(request).await?),
        Call::Requeue(request) => Reply::Requeued(store.requeue(request).await?),
        Call::Forget(partition) => Reply::Forgotten(store.forget(partition).await?),
        Call::Announce(request) => Reply::Announced(store.announce(request).await?),
        Call::Depart(node) => store.depart(node).await.map(|()| Reply::Departed)?,
    })
}

/// A connection to one database, with the time in our hand.
struct Bench {
    store: RedisStore,
    time: Arc<AtomicU64>,
    admin: redis::aio::MultiplexedConnection,
}

impl Bench {
    async fn open(url: &str, database: u32, user: &str) -> Self {
        let url = format!("{url}?db={database}");
        let time = Arc::new(AtomicU64::new(0));
        let mut options = RedisOptions::default();
        let given = time.clone();
        options.time = Some(Arc::new(move || given.load(Ordering::Relaxed)));
        let store = RedisStore::connect(&format!("{url}{user}"), "differential", options).await.unwrap();
        let admin = redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
        Self { store, time, admin }
    }

    async fn run(&self, steps: &[history::Step]) -> Result<(), TestCaseError> {
        redis::cmd("FLUSHDB").exec_async(&mut self.admin.clone()).await.unwrap();
        let (mut state, mut driver) = (State::new(), Driver::new());
        for (index, step) in steps.iter().enumerate() {
            let Some(call) = driver.call(step) else { continue };
            let expected = apply(&mut state, driver.now, &call);
            driver.learn(&call, &expected);
            self.time.store(driver.now, Ordering::Relaxed);
            let given = match apply_to_store(&self.store, call.clone()).await {
                Ok(reply) => Ok(reply),
                Err(StoreError::Refused(refused)) => Err(refused),
                Err(error) => return Err(TestCaseError::fail(format!("{call:?}: {error}"))),
            };
            prop_assert_eq!(&given, &expected, "{:?}", call);

            let planned_nothing = !matches!(expected, Ok(Reply::Planned(Planned::Ok { .. })));
            let refused = expected.is_err() || (planned_nothing && matches!(call, Call::Plan(_)));
            if refused || index % 7 == 0 || index + 1 == steps.len() {
                let given = shown_by_store(&self.store).await;
                let given = given.map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert_eq!(given, shown_by_state(&state, driver.now), "after {:?}", call);
            }
        }
        Ok(())
    }
}

fn histories() -> u32 {
    std::env::var("LOGMILL_HISTORIES").map_or(2_400, |count| count.parse().unwrap())
}

#[test]
fn the_scripts_equal_the_specification() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = launch::RedisOptions::default().unix_socket();
    let redis = runtime().block_on(Redis::start(options)).unwrap();
    let url = redis.url();

    let worker = &|database: u32| {
        let runtime = runtime();
        let bench = runtime.block_on(Bench::open(&url, database, ""));
        run_histories(&runtime, &bench, histories().div_ceil(WORKERS));
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|database| scope.spawn(move || worker(database))).collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}

fn run_histories(runtime: &tokio::runtime::Runtime, bench: &Bench, cases: u32) {
    let mut runner =
        TestRunner::new(ProptestConfig { cases, source_file: Some(file!()), ..ProptestConfig::default() });
    runner
        .run(&prop::collection::vec(step(), 1..60), |steps| runtime.block_on(bench.run(&steps)))
        .unwrap_or_else(|error| panic!("{error}"));
}

/// The rule for a user of its own, as people are told it.
fn documented_rule() -> Vec<&'static str> {
    let page = include_str!("../../../docs/redis.md");
    let line = page.lines().find(|line| line.starts_with("ACL SETUSER")).unwrap();
    line.split(' ').collect()
}

#[test]
fn the_documented_user_may_do_all_transitions_and_nothing_besides() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = launch::RedisOptions::default().unix_socket();
    let redis = runtime.block_on(Redis::start(options)).unwrap();
    let ask = |words: &[&str]| runtime.block_on(redis.cli(words)).unwrap();
    let rule = documented_rule();
    ask(&rule);
    ask(&["CONFIG", "RESETSTAT"]);
    let bench = runtime.block_on(Bench::open(&redis.url(), 1, "&user=logmill&pass=secret"));
    // No single history needs all that the transitions need.
    run_histories(&runtime, &bench, 300);
    let url = format!("{}?user=logmill&pass=secret", redis.url());
    let at_its_time = RedisStore::connect(&url, "differential", RedisOptions::default());
    runtime.block_on(async { at_its_time.await.unwrap().overview().await.unwrap() });
    // What it reads first may be refused, and then it only warns: so the refusals are looked at too.
    assert_eq!(ask(&["ACL", "LOG"]), "");
    let stats = ask(&["INFO", "commandstats"]);
    for command in rule.iter().filter_map(|word| word.strip_prefix('+')) {
        assert!(
            stats.contains(&format!("cmdstat_{command}:")),
            "{command} is granted and not needed: {stats}"
        );
    }

    ask(&["ACL", "SETUSER", "logmill", "+scan", "+unlink"]);
    runtime.block_on(RedisStore::delete_group(&url, "differential", true)).unwrap();
}
