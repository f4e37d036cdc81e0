//! Faults of Redis: emptied, killed and back with its data or without, failed over with the loss of what it wrote last,
//! made to forget its scripts, out of memory.

use std::time::{Duration, Instant};

use logmill::Producer;
use logmill_testkit::launch::{Redis, RedisOptions, Sentinels, Software, skipped};

use super::fleet::{CHECKPOINT, Fleet};
use super::servers::{RECORDS, TOPIC, enqueue, shared, turn};

/// What was handled since the last commit to Kafka may come again, and what was in hand when the store was
/// lost: commits are half a second apart, the rest is for a busy machine.
const AFTER: Duration = Duration::from_secs(2);

#[tokio::test]
async fn redis_is_emptied() {
    with_fault("flushed", false, async |redis| {
        redis.cli(&["FLUSHALL"]).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn redis_is_killed_and_comes_back_with_its_data() {
    with_fault("redis-kept", true, async |redis| {
        redis.kill9();
        redis.restart().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn redis_is_killed_and_comes_back_empty() {
    with_fault("redis-lost", false, async |redis| {
        redis.kill9();
        redis.restart().await.unwrap();
    })
    .await;
}

async fn with_fault(group: &str, aof: bool, fault: impl AsyncFnOnce(&mut Redis)) {
    if skipped(&[Software::Kafka, Software::Redis]) {
        return;
    }
    let shared = shared().await;
    let (kafka, client) = turn(&shared).await;
    let mut redis = Redis::start(RedisOptions::default().aof(aof)).await.unwrap();
    let fleet = Fleet::start(&client, &kafka.bootstrap(), group, TOPIC, RECORDS, Some(&redis.url()));
    fleet.at(40).await;
    let began = Instant::now();
    fault(&mut redis).await;
    let ended = Instant::now();
    // A Redis that kept its data lost no lease: nothing comes again.
    fleet.finish(|line| !aof && line.at + CHECKPOINT >= began && line.at <= ended + AFTER).await;
}

#[tokio::test]
async fn the_primary_is_killed_and_its_replica_lacks_what_it_wrote_last() {
    if skipped(&[Software::Kafka, Software::Redis]) {
        return;
    }
    let shared = shared().await;
    let (kafka, client) = turn(&shared).await;
    let mut all = Sentinels::start(RedisOptions::default()).await.unwrap();
    let fleet = Fleet::start(&client, &kafka.bootstrap(), "failed-over", TOPIC, RECORDS, Some(&all.url()));
    fleet.at(30).await;
    // Sentinels would bring it back to its primary after eight seconds.
    let cut = Instant::now();
    all.servers[1].cli(&["REPLICAOF", "127.0.0.1", "1"]).await.unwrap();
    let held = written(&all.servers[1]).await;
    fleet.at(50).await;
    assert!(written(&all.servers[0]).await > held, "nothing is lost by this failover");
    all.servers[0].kill9();
    let listen = async || {
        let wake = all.servers[1].cli(&["PUBSUB", "CHANNELS", "*:wake"]).await.unwrap();
        !wake.is_empty()
            && all.servers[1].cli(&["PUBSUB", "NUMSUB", &wake]).await.unwrap() == format!("{wake}\n3")
    };
    fleet.until("all nodes listen at the new primary", listen).await;
    let over = Instant::now();
    fleet.finish(|line| line.at + CHECKPOINT >= cut && line.at <= over + AFTER).await;
}

/// How far a server's stream of writes has come.
async fn written(redis: &Redis) -> u64 {
    let info = redis.cli(&["INFO", "replication"]).await.unwrap();
    let offset = |name| info.lines().find_map(|line: &str| line.trim_end().strip_prefix(name)?.parse().ok());
    offset("slave_repl_offset:").or_else(|| offset("master_repl_offset:")).unwrap()
}

#[tokio::test]
async fn redis_forgets_its_scripts_each_second() {
    if skipped(&[Software::Kafka, Software::Redis]) {
        return;
    }
    let shared = shared().await;
    let (kafka, client) = turn(&shared).await;
    let redis = Redis::start(RedisOptions::default()).await.unwrap();
    let fleet = Fleet::start(&client, &kafka.bootstrap(), "forgetful", TOPIC, RECORDS, Some(&redis.url()));
    let forget = async {
        loop {
            redis.cli(&["SCRIPT", "FLUSH"]).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        () = fleet.finish(|_| false) => {}
        () = forget => {}
    }
}

#[tokio::test]
async fn redis_runs_out_of_memory_and_drains() {
    if skipped(&[Software::Kafka, Software::Redis]) {
        return;
    }
    let shared = shared().await;
    let (kafka, client) = turn(&shared).await;
    let redis = Redis::start(RedisOptions::default()).await.unwrap();
    let (topic, half) = ("seeds", 20_000);
    // One, so that none waits for its first unit when memory runs out.
    kafka.create_topic(topic, 1).await.unwrap();
    let producer = Producer::builder().brokers(kafka.bootstrap()).build().await.unwrap();
    let mut pending = Vec::new();
    enqueue(&producer, topic, 1, 0..half, &mut pending).await;
    producer.flush().await.unwrap();

    let fleet = Fleet::start(&client, &kafka.bootstrap(), "full", topic, 2 * half, Some(&redis.url()));
    fleet.at(10).await;
    let leased = async || !redis.cli(&["KEYS", "*:lease"]).await.unwrap().is_empty();
    fleet.until("a unit is leased", leased).await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    enqueue(&producer, topic, 1, half..2 * half, &mut pending).await;
    producer.close().await.unwrap();
    // What was planned is handled and settled, and what comes in is not planned.
    fleet.at(50).await;
    let refused = async || fleet.nodes.iter().any(|node| node.has_said("has no memory left"));
    fleet.until("a plan is refused", refused).await;
    for keys in ["*:ready", "*:lease"] {
        // A sorted set without members is no key.
        let drained = async || redis.cli(&["KEYS", keys]).await.unwrap().is_empty();
        fleet.until("no unit waits or is leased", drained).await;
    }
    assert_eq!(fleet.printed(), half);
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
    fleet.finish(|_| false).await;
}
