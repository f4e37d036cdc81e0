//! What only a Redis can do to a store: evict, replicate, run short of memory, forget its scripts,
//! break the connection, set its clock back, hold other programs' keys.

#![allow(clippy::unwrap_used)]

mod store_bench;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use logmill::store::{RedisOptions, RedisStore, Store, StoreError};
use logmill_protocol::ids::{Lane, Nonce};
use logmill_protocol::work::{Planned, Settled, Take};
use logmill_testkit::launch::{self, Redis, Software, skipped};
use store_bench::{Bench, LEASE_MS, connect, partition, plan, ranges, rebuild, settle};

async fn refusal(redis: &Redis) -> String {
    let error = connect(redis, &Arc::new(AtomicU64::new(0))).await.unwrap_err();
    assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
    assert!(!error.is_retriable());
    error.to_string()
}

#[tokio::test]
async fn a_server_that_would_evict_units_is_refused() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let redis = Redis::start(launch::RedisOptions::default().unix_socket()).await.unwrap();
    redis.cli(&["CONFIG", "SET", "maxmemory", "100mb"]).await.unwrap();
    let evicting = [
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
    ];
    for policy in evicting {
        redis.cli(&["CONFIG", "SET", "maxmemory-policy", policy]).await.unwrap();
        let said = refusal(&redis).await;
        assert!(said.contains(policy) && said.contains("CONFIG SET maxmemory-policy noeviction"), "{said}");
    }
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await.unwrap();
    connect(&redis, &Arc::default()).await.unwrap();
}

#[tokio::test]
async fn a_replica_and_another_schema_are_refused() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let mut bench = Bench::redis().await;
    bench.planned(&[10]).await;
    let key = bench.key("meta").await;
    for other in ["1", "99"] {
        bench.server().cli(&["HSET", &key, "schema", other]).await.unwrap();
        let said = bench.store.plan(plan(10, &[10])).await.unwrap_err().to_string();
        assert!(said.contains(&format!("schema {other}, this logmill writes schema 2")), "{said}");
        assert_eq!(refusal(bench.server()).await, said);
    }
    bench.server().cli(&["HSET", &key, "schema", "2"]).await.unwrap();
    let planned = bench.store.plan(plan(10, &[10])).await.unwrap();
    assert_eq!(planned, Planned::Ok { planned: 20, units_added: 1 });

    bench.server().cli(&["REPLICAOF", "127.0.0.1", "1"]).await.unwrap();
    let said = refusal(bench.server()).await;
    assert!(said.contains("replica of 127.0.0.1:1"), "{said}");
    let error = bench.store.plan(plan(20, &[10])).await.unwrap_err();
    assert!(error.is_retriable(), "a failover ends: {error}");
}

#[tokio::test]
async fn short_of_memory_it_plans_nothing_and_the_rest_goes_on() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let mut bench = Bench::redis().await;
    bench.planned(&[10, 10]).await;
    bench.server().cli(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    let error = bench.store.plan(plan(20, &[10; 100])).await.unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }) && error.is_retriable(), "{error}");
    let full = bench.store.rebuild(rebuild(2, 0)).await.unwrap_err();
    assert!(matches!(full, StoreError::Full { .. }), "{full}");
    let snapshot = bench.store.snapshot(partition()).await.unwrap().unwrap();
    assert_eq!((snapshot.planned, snapshot.units), (20, 2));

    let taken = bench.take(1, 2).await;
    assert_eq!(bench.renew(&taken.leases[0], 4).await, logmill_protocol::work::Renewed::Kept);
    assert_eq!(bench.settle(&taken.leases[0]).await, Settled::Done { watermark: 10 });
    let back = [store_bench::rest(10, 20, 0, 1)];
    assert_eq!(bench.settle_but(&taken.leases[1], &back).await, Settled::Done { watermark: 10 });
    assert_eq!(ranges(&bench.take(2, 1).await), ["10..20"]);

    bench.server().cli(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
    let planned = bench.store.plan(plan(20, &[10])).await.unwrap();
    assert_eq!(planned, Planned::Ok { planned: 30, units_added: 1 });
}

#[tokio::test]
async fn leases_end_also_after_the_servers_clock_was_set_back() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let bench = Bench::redis().await;
    bench.planned(&[10]).await;
    bench.take(1, 1).await;
    bench.pass(-3_600_000).await;
    assert_eq!(bench.take(2, 1).await.next_in_ms, Some(LEASE_MS));
    bench.pass(LEASE_MS as i64).await;
    assert_eq!(ranges(&bench.take(3, 1).await), ["0..10"]);
}

#[tokio::test]
async fn time_is_the_servers_own_unless_a_test_gives_it() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let mut bench = Bench::redis().await;
    let store = RedisStore::connect(&bench.server().url(), "other group", RedisOptions::default()).await;
    let now = store.unwrap().overview().await.unwrap().now_ms;
    let wall = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    assert!(now.abs_diff(wall) < 60_000, "{now} and {wall}");
}

#[tokio::test]
async fn a_server_that_forgot_its_scripts_is_told_again() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let mut bench = Bench::redis().await;
    bench.planned(&[10]).await;
    bench.server().cli(&["SCRIPT", "FLUSH"]).await.unwrap();
    let lease = bench.take(1, 1).await.leases.remove(0);
    bench.server().cli(&["SCRIPT", "FLUSH"]).await.unwrap();
    assert_eq!(bench.settle(&lease).await, Settled::Done { watermark: 10 });
}

#[tokio::test]
async fn a_broken_connection_mends_and_hears_again() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let mut bench = Bench::redis().await;
    bench.planned(&[10]).await;
    let other = bench.other().await;
    for kind in ["normal", "pubsub"] {
        bench.server().cli(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]).await.unwrap();
    }
    // The calls that find it broken fail, and may be tried again.
    let mut from = 10;
    for store in [&bench.store, &other] {
        while let Err(error) = store.plan(plan(from, &[10])).await {
            assert!(error.is_retriable(), "{error}");
        }
        from += 10;
    }
    // Wake-ups come again: wait until one does, for the subscription is mended behind our back.
    let seen = bench.store.version();
    while bench.store.version() == seen {
        other.plan(plan(from, &[10])).await.unwrap();
        from += 10;
        bench.store.changed(seen, Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_server_restarted_empty_says_so_and_one_with_its_files_goes_on() {
    if skipped(&[Software::Redis]) {
        return;
    }
    for aof in [false, true] {
        let mut bench = Bench::redis_with(launch::RedisOptions::default().aof(aof)).await;
        bench.planned(&[10]).await;
        let lease = bench.take(1, 1).await.leases.remove(0);
        bench.server().restart().await.unwrap();
        let answer = loop {
            match bench.store.settle(settle(&lease)).await {
                Err(error) if error.is_retriable() => {}
                answer => break answer,
            }
        };
        if aof {
            assert_eq!(answer.unwrap(), Settled::Done { watermark: 10 });
        } else {
            assert!(store_bench::is_no_state(answer));
        }
    }
}

#[tokio::test]
async fn a_key_of_a_wrong_type_stops_a_script_before_it_writes() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let with_digest = launch::RedisOptions::default().args(["--enable-debug-command", "yes"]);
    let mut bench = Bench::redis_with(with_digest).await;
    bench.planned(&[10, 10]).await;
    let taken = bench.take(1, 1).await;
    for name in ["ready", "lease", "units:*", "parts"] {
        let (key, aside) = (bench.key(name).await, "aside");
        let before = bench.server().cli(&["DEBUG", "DIGEST"]).await.unwrap();
        bench.server().cli(&["RENAME", &key, aside]).await.unwrap();
        bench.server().cli(&["SET", &key, "not what it should be"]).await.unwrap();
        let back = [store_bench::rest(3, 4, 0, 0)];
        let settle = logmill_protocol::work::Settle { rest: back.to_vec(), ..settle(&taken.leases[0]) };
        let error = bench.store.settle(settle).await.unwrap_err();
        assert!(matches!(error, StoreError::BadReply { .. }), "{name}: {error}");
        let (node, nonce) = ("n".into(), Nonce(5));
        let take = Take { node, nonce, lease_ms: 1, max_units: 9, extend: vec![] };
        assert!(bench.store.take(take).await.is_err(), "{name}");
        bench.server().cli(&["RENAME", aside, &key]).await.unwrap();
        let after = bench.server().cli(&["DEBUG", "DIGEST"]).await.unwrap();
        assert_eq!(before, after, "{name}");
    }
    assert_eq!(bench.settle(&taken.leases[0]).await, Settled::Done { watermark: 10 });
}

#[tokio::test]
async fn a_key_of_a_wrong_type_stops_a_script_before_it_touches_a_lane() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let with_digest = launch::RedisOptions::default().args(["--enable-debug-command", "yes"]);
    let mut bench = Bench::redis_with(with_digest).await;
    let lane = partition().in_lane(Lane::new(0, 2).unwrap());
    bench.planned_in(lane.clone(), &[10, 10, 10]).await;
    let lease = bench.take_as("a", 1, 1, &[]).await.leases.remove(0);
    bench.planned(&[10]).await;
    for name in ["ready", "lease", "units:*#0/2", "wait:*", "parts"] {
        let (key, aside) = (bench.key(name).await, "aside");
        let before = bench.server().cli(&["DEBUG", "DIGEST"]).await.unwrap();
        bench.server().cli(&["RENAME", &key, aside]).await.unwrap();
        bench.server().cli(&["SET", &key, "not what it should be"]).await.unwrap();
        let back = [store_bench::rest(3, 4, 0, 0)];
        let settle = logmill_protocol::work::Settle { rest: back.to_vec(), ..settle(&lease) };
        let error = bench.store.settle(settle).await.expect_err(name);
        assert!(matches!(error, StoreError::BadReply { .. }), "{name}: {error}");
        let (node, nonce, extend) = ("a".into(), Nonce(5), vec![lane.clone()]);
        let take = Take { node, nonce, lease_ms: 1, max_units: 9, extend };
        assert!(bench.store.take(take).await.is_err(), "{name}");
        bench.server().cli(&["RENAME", aside, &key]).await.unwrap();
        let after = bench.server().cli(&["DEBUG", "DIGEST"]).await.unwrap();
        assert_eq!(before, after, "{name}");
    }
    assert_eq!(bench.settle(&lease).await, Settled::Done { watermark: 10 });
}

#[tokio::test]
async fn keys_that_hold_nonsense_are_an_error() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let mut bench = Bench::redis().await;
    bench.planned(&[10]).await;
    let key = bench.key("parts").await;
    let field = partition().to_string();
    for line in ["", "1 2 3", "1 7 0 0 99999999999999999999999", "1 7 0 -5 10", "1 7 0 5 10 1 0 3 a", "x"] {
        bench.server().cli(&["HSET", &key, &field, line]).await.unwrap();
        let error = bench.store.snapshot(partition()).await.unwrap_err();
        assert!(matches!(error, StoreError::BadReply { .. }), "{line}: {error}");
    }
    let lane = partition().in_lane(Lane::new(0, 2).unwrap());
    for line in ["1 7 0 5 10", "1 7 0 5 10 1 0 ", "1 7 0 5 10 1 0 x a"] {
        bench.server().cli(&["HSET", &key, &lane.to_string(), line]).await.unwrap();
        let error = bench.store.snapshot(lane.clone()).await.unwrap_err();
        assert!(matches!(error, StoreError::BadReply { .. }), "{line}: {error}");
    }
}

#[tokio::test]
async fn what_is_no_redis_is_told_with_the_next_step() {
    let options = || {
        let mut options = RedisOptions::default();
        options.timeout = Duration::from_millis(300);
        options
    };
    let error = RedisStore::connect("localhost", "g", options()).await.unwrap_err();
    assert!(error.to_string().contains("redis://"), "{error}");
    let error = RedisStore::connect("redis://127.0.0.1:1/", "g", options()).await.unwrap_err();
    assert!(error.is_retriable() && error.to_string().contains("127.0.0.1:1"), "{error}");
    let secret = "redis://user:s3cret@127.0.0.1:1/";
    let error = RedisStore::connect(secret, "g", options()).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
}
