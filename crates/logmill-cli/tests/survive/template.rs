//! The original's test template: 100,000 records, three nodes, no fault, each exactly once.

use logmill::Producer;
use logmill_testkit::launch::{Redis, RedisOptions, Software, skipped};

use super::fleet::Fleet;
use super::servers::{enqueue, shared, turn};

const RECORDS: usize = 100_000;

#[tokio::test]
async fn every_record_comes_once_with_the_store_in_memory() {
    if !skipped(&[Software::Kafka]) {
        once("in-memory", None).await;
    }
}

#[tokio::test]
async fn every_record_comes_once_with_redis() {
    if !skipped(&[Software::Kafka, Software::Redis]) {
        once("in-redis", Some(Redis::start(RedisOptions::default()).await.unwrap())).await;
    }
}

/// Produces while three nodes of the group work.
async fn once(group: &str, redis: Option<Redis>) {
    let shared = shared().await;
    let (kafka, client) = turn(&shared).await;
    let brokers = kafka.bootstrap();
    kafka.create_topic(group, 6).await.unwrap();
    let url = redis.as_ref().map(Redis::url);
    let fleet = Fleet::start(&client, &brokers, group, group, RECORDS, url.as_deref());
    let producer = Producer::builder().brokers(&*brokers).build().await.unwrap();
    let mut pending = Vec::new();
    enqueue(&producer, group, 6, 0..RECORDS, &mut pending).await;
    for record in pending {
        record.await.unwrap();
    }
    producer.close().await.unwrap();
    fleet.finish(|_| false).await;
}
