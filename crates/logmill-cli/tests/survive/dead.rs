//! Records that are given up on, on real Kafka: through the command they are listed, sent again and handled.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use logmill::Producer;
use logmill::node::{Node, Received, Retry};
use logmill_testkit::launch::{Redis, RedisOptions, Software, skipped};
use serde_json::Value;
use tokio::sync::Notify;

use super::servers::{enqueue, shared, turn};

const RECORDS: usize = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_come_back_with_the_store_in_memory() {
    if !skipped(&[Software::Kafka]) {
        given_up_and_sent_again("dead-in-memory", None).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_come_back_with_redis() {
    if !skipped(&[Software::Kafka, Software::Redis]) {
        given_up_and_sent_again("dead-in-redis", Some(Redis::start(RedisOptions::default()).await.unwrap()))
            .await;
    }
}

/// What the handler did, and whether what it cannot do is mended by now.
#[derive(Default)]
struct Desk {
    mended: AtomicBool,
    handled: AtomicUsize,
    grown: Notify,
}

impl Desk {
    async fn reaches(&self, records: usize) {
        while self.handled.load(Ordering::SeqCst) < records {
            self.grown.notified().await;
        }
    }
}

async fn given_up_and_sent_again(group: &str, redis: Option<Redis>) {
    let shared = shared().await;
    let (kafka, _) = turn(&shared).await;
    let brokers = kafka.bootstrap();
    kafka.create_topic(group, 3).await.unwrap();
    let producer = Producer::builder().brokers(&*brokers).build().await.unwrap();
    enqueue(&producer, group, 3, 0..RECORDS, &mut Vec::new()).await;
    producer.close().await.unwrap();

    let desk = Arc::new(Desk::default());
    let at_desk = desk.clone();
    let handler = move |record: Received| {
        let desk = at_desk.clone();
        async move {
            let number: usize = record.json().unwrap();
            if number % 100 == 42 && !desk.mended.load(Ordering::SeqCst) {
                return Err("card expired");
            }
            desk.handled.fetch_add(1, Ordering::SeqCst);
            desk.grown.notify_one();
            Ok(())
        }
    };
    let retry = Retry::exponential(Duration::from_millis(50), Duration::from_millis(500)).max_attempts(3);
    let mut node = Node::builder().brokers(&*brokers).group(group).topics([group]).retry(retry);
    if let Some(redis) = &redis {
        node = node.redis(redis.url());
    }
    let node = node.handler(handler).build().await.unwrap();
    desk.reaches(RECORDS - 10).await;
    while node.counts().dead_letters < 10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let listed = dead(&brokers, group, &["list", "--json"]).await;
    let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.len(), 10);
    assert!(
        listed
            .iter()
            .all(|it| it["attempts"] == 3 && it["reason"] == "attempts" && it["error"] == "card expired")
    );
    let place = format!("{group}/{}@{}", listed[0]["partition"], listed[0]["offset"]);
    let shown: Value =
        serde_json::from_str(&dead(&brokers, group, &["show", &place, "--json"]).await).unwrap();
    assert!(shown["record"]["value"].as_str().unwrap().ends_with("42"), "{shown}");

    desk.mended.store(true, Ordering::SeqCst);
    let words = ["requeue", "--error", "expired", "--execute"];
    assert_eq!(dead(&brokers, group, &words).await, "requeued 10\n");
    desk.reaches(RECORDS).await;
    assert_eq!(dead(&brokers, group, &["list", "--json"]).await, "[]\n");
    node.drain().await.unwrap();
}

/// Runs `logmill dead` to its end, and gives what it printed.
async fn dead(brokers: &str, group: &str, words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logmill"));
    command.args(["dead", words[0], "-b", brokers, "-g", group]).args(&words[1..]);
    let ended = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap()
}
