//! Faults of Redis: emptied, killed and back with its data, killed and back without.

use std::time::{Duration, Instant};

use logmill_testkit::launch::{Redis, RedisOptions, Software, skipped};

use super::fleet::{CHECKPOINT, Fleet};
use super::servers::{RECORDS, TOPIC, shared, turn};

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
