//! Pause, resume and reset on real Kafka, through a node's death and an emptied Redis.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use logmill::node::{Node, Received};
use logmill::{Partition, Producer};
use logmill_testkit::launch::{Redis, RedisOptions, Software, skipped};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::fleet::LEASE;
use super::servers::{enqueue, shared, turn};

const RECORDS: usize = 3_000;
const PARTITIONS: i32 = 3;

/// So long nothing is begun that must not be.
const REST: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_paused_and_reset_with_the_store_in_memory() {
    if !skipped(&[Software::Kafka]) {
        paused_and_reset("control-in-memory", None).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_paused_and_reset_with_redis_which_is_emptied_meanwhile() {
    if !skipped(&[Software::Kafka, Software::Redis]) {
        paused_and_reset("control-in-redis", Some(Redis::start(RedisOptions::default()).await.unwrap()))
            .await;
    }
}

/// How often each record was begun.
#[derive(Clone, Default)]
struct Begun {
    times: Arc<Mutex<BTreeMap<(i32, i64), usize>>>,
    grown: Arc<Notify>,
}

impl Begun {
    async fn handle(self, record: Received) {
        *self.times.lock().unwrap().entry((record.partition(), record.offset())).or_default() += 1;
        self.grown.notify_one();
        sleep(Duration::from_millis(3)).await;
    }

    fn total(&self) -> usize {
        self.times.lock().unwrap().values().sum()
    }

    /// Records that were begun so often, at least.
    fn records(&self, times: usize) -> usize {
        self.times.lock().unwrap().values().filter(|begun| **begun >= times).count()
    }

    /// Waits until so many records were begun so often.
    async fn reaches(&self, records: usize, times: usize) {
        while self.records(times) < records {
            let grown = timeout(Duration::from_secs(60), self.grown.notified()).await;
            assert!(grown.is_ok(), "{} of {records} were begun {times} times", self.records(times));
        }
    }
}

async fn paused_and_reset(group: &str, redis: Option<Redis>) {
    let shared = shared().await;
    let (kafka, client) = turn(&shared).await;
    let brokers = kafka.bootstrap();
    kafka.create_topic(group, PARTITIONS).await.unwrap();
    let producer = Producer::builder().brokers(&*brokers).build().await.unwrap();
    enqueue(&producer, group, PARTITIONS, 0..RECORDS, &mut Vec::new()).await;
    producer.close().await.unwrap();

    let begun = Begun::default();
    let url = redis.as_ref().map(Redis::url);
    let start = async || {
        let mut node = Node::builder().brokers(&*brokers).group(group).topics([group]).concurrency(4);
        node = node.lease(LEASE).session_timeout(LEASE * 2).commit_interval(Duration::from_millis(200));
        if let Some(url) = &url {
            node = node.redis(url);
        }
        let begun = begun.clone();
        node.handler(move |record: Received| begun.clone().handle(record)).build().await.unwrap()
    };
    let logmill = async |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logmill"));
        command.args(&words[..2]).args(["-b", &brokers, "-g", group]).args(&words[2..]);
        command.args(url.iter().flat_map(|url| ["--redis", url]));
        let ended = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    };
    let committed = async || {
        let partitions: Vec<_> = (0..PARTITIONS).map(|index| Partition::new(group, index)).collect();
        let committed = client.admin().committed(group, Some(&partitions)).await.unwrap();
        committed.values().map(|committed| committed.offset).sum::<i64>()
    };
    let all_is_committed = async || {
        while committed().await < RECORDS as i64 {
            sleep(Duration::from_millis(50)).await;
        }
    };

    let (first, second) = (start().await, start().await);
    begun.reaches(RECORDS / 5, 1).await;
    logmill(&["group", "pause"]).await;
    first.kill();
    if let Some(redis) = &redis {
        redis.cli(&["FLUSHALL"]).await.unwrap();
    }
    let third = start().await;
    // What the handlers had when it was paused may just have been begun.
    sleep(REST / 3).await;
    let at_rest = begun.total();
    sleep(REST).await;
    assert_eq!(begun.total(), at_rest, "a paused group begins nothing");
    assert!(at_rest < RECORDS);
    logmill(&["group", "resume"]).await;
    begun.reaches(RECORDS, 1).await;
    all_is_committed().await;

    let before = begun.records(2);
    assert!(before <= RECORDS / 5 + 200, "{before} came again, for one killed node and an emptied store");
    begun.times.lock().unwrap().values_mut().for_each(|times| *times = 1);
    logmill(&["offsets", "reset", "--to", "earliest", "--execute"]).await;
    begun.reaches(RECORDS, 2).await;
    all_is_committed().await;

    second.drain().await.unwrap();
    third.drain().await.unwrap();
    logmill(&["offsets", "reset", "--to", "earliest", "--execute"]).await;
    assert_eq!(committed().await, 0);
    let fourth = start().await;
    begun.reaches(RECORDS, 3).await;
    all_is_committed().await;
    fourth.drain().await.unwrap();
    assert_eq!(
        begun.records(5),
        0,
        "nothing comes more often than it was asked for and a rewind under work repeats"
    );
    logmill(&["group", "delete", "--execute"]).await;
    if let Some(redis) = &redis {
        assert_eq!(redis.cli(&["DBSIZE"]).await.unwrap().trim(), "0");
    }
}
