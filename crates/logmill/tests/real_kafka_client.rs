//! The client against real Apache Kafka, of the newest release and of the last one with ZooKeeper's
//! successor still young: what an embedded broker could only imitate.
//!
//! Needs Kafka's jars and Java: `cargo xtask test` brings them.

#![allow(clippy::unwrap_used)]

#[path = "client/log.rs"]
mod log;
#[path = "real_kafka/members.rs"]
mod members;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use log::{Transaction, drain, expected, fill, put, values};
use logmill::Error;
use logmill::client::Client;
use logmill::client::admin::{Committed, NewTopic, OffsetAt};
use logmill::client::fetch::{FetchOptions, Isolation, Position};
use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::Partition;
use logmill_testkit::launch::{Kafka, KafkaOptions, Software, skipped};

const CONSOLE_PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
const CONSOLE_CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

async fn connect(kafka: &Kafka) -> Client {
    // Shown when a test fails, and with RUST_LOG=logmill=debug in more detail.
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    Client::builder().brokers(kafka.bootstrap()).client_id("logmill-test").connect().await.unwrap()
}

async fn java(kafka: &Kafka, class: &str, words: &[&str], input: &str) -> String {
    let servers = kafka.bootstrap();
    let words = [&["--bootstrap-server", &servers], words].concat();
    let done = kafka.run_java(class, &words, input.as_bytes()).await.unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{class}: {text}\n{}", String::from_utf8_lossy(&done.stderr));
    text
}

/// Every check that one broker serves, in one start of it.
async fn one_broker(version: &str) {
    let options = KafkaOptions::default()
        .version(version)
        .set("group.consumer.session.timeout.ms", 3_000)
        .set("log.cleaner.backoff.ms", 200)
        .set("log.initial.task.delay.ms", 0);
    let kafka = Kafka::start(options).await.unwrap();
    let client = connect(&kafka).await;
    topics(&client).await;
    offsets(&client).await;
    compressed_by_java(&kafka, &client).await;
    transactions(&client).await;
    deleted(&client).await;
    compacted(&client).await;
    groups_without_members(&kafka, &client).await;
    members::all(&kafka, &client, !version.starts_with('3')).await;
}

#[tokio::test]
async fn kafka_4_4() {
    if !skipped(&[Software::Kafka]) {
        one_broker("4.4.0").await;
    }
}

#[tokio::test]
async fn kafka_3_9() {
    if !skipped(&[Software::Kafka]) {
        one_broker("3.9.2").await;
    }
}

async fn topics(client: &Client) {
    let admin = client.admin();
    admin.create_topic(NewTopic::new("made", 3).set("retention.ms", "3600000")).await.unwrap();
    let error = admin.create_topic(NewTopic::new("made", 3)).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::TopicAlreadyExists));
    let error = admin.create_topic(NewTopic::new("wide", 3).replication(9)).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::InvalidReplicationFactor), "{error}");
    let first = client.topic("made").await.unwrap();
    assert_eq!((first.partitions.len(), first.id.is_zero()), (3, false));
    assert_eq!(admin.topic_settings("made").await.unwrap()["retention.ms"], "3600000");
    admin.create_partitions("made", 5).await.unwrap();
    // The controller has them at once, the broker that answers a moment later.
    let widened = async { while admin.describe_topics(&["made"]).await.unwrap()[0].partitions.len() < 5 {} };
    tokio::time::timeout(Duration::from_secs(10), widened).await.unwrap();
    client.invalidate("made");
    put(client, &Partition::new("made", 4), &["a"]).await;
    admin.delete_topic("made").await.unwrap();
    assert!(matches!(client.topic("made").await.unwrap_err(), Error::UnknownTopic { .. }));
    // Deleting ends in the background; a name is free again some time after.
    let again = async {
        while admin.create_topic(NewTopic::new("made", 1)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), again).await.unwrap();
    assert_ne!(client.topic("made").await.unwrap().id, first.id);
}

async fn offsets(client: &Client) {
    client.admin().create_topic(NewTopic::new("offsets", 1)).await.unwrap();
    let partition = Partition::new("offsets", 0);
    fill(client, &partition, 3).await;
    let at = async |at| client.admin().offset_at(&partition, at, Isolation::Committed).await.unwrap().offset;
    assert_eq!(at(OffsetAt::Start).await, Some(0));
    assert_eq!(at(OffsetAt::End).await, Some(30));
    assert_eq!(at(OffsetAt::Time(1_005)).await, Some(5));
    assert_eq!(at(OffsetAt::Time(2_000)).await, None);
    let mut stream = client.stream([(partition.clone(), Position::at(0))], &FetchOptions::default());
    let mut seen = Vec::new();
    while seen.len() < 30 {
        seen.extend(values(&stream.next().await.unwrap()));
    }
    assert_eq!(seen, expected(0..30));
    let mut watch = client.watch(Isolation::Committed);
    watch.set(partition.clone(), 30);
    assert!(tokio::time::timeout(Duration::from_secs(2), watch.next()).await.is_err());
    let start = tokio::time::Instant::now();
    let (_, grown) = tokio::join!(put(client, &partition, &["v30"]), watch.next());
    assert_eq!(grown.unwrap().end, 31);
    assert!(start.elapsed() < Duration::from_millis(400), "{:?}: sooner than the poll ends", start.elapsed());
}

async fn compressed_by_java(kafka: &Kafka, client: &Client) {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("java-{codec}");
        client.admin().create_topic(NewTopic::new(&topic, 1)).await.unwrap();
        let lines: String = (0..2_000).map(|i| format!("v{i}\n")).collect();
        let words = ["--topic", &topic, "--compression-codec", codec, "--producer-property", "linger.ms=50"];
        java(kafka, CONSOLE_PRODUCER, &words, &lines).await;
        let partition = Partition::new(&*topic, 0);
        for step in [333, 2_000] {
            let mut seen = Vec::new();
            for start in (0..2_000).step_by(step) {
                let range = start..(start + step as i64).min(2_000);
                let mut reader = client.fetch_range(partition.clone(), None, range, &FetchOptions::default());
                seen.extend(drain(&mut reader).await.unwrap());
            }
            assert_eq!(seen, expected(0..2_000), "{codec}");
        }
    }
}

async fn transactions(client: &Client) {
    client.admin().create_topic(NewTopic::new("transactions", 1)).await.unwrap();
    let partition = Partition::new("transactions", 0);
    let mut a = Transaction::open(client, "a").await;
    let mut b = Transaction::open(client, "b").await;
    a.put(&partition, &["x0", "x1"]).await;
    put(client, &partition, &["v2"]).await;
    b.put(&partition, &["v3", "v4"]).await;
    a.put(&partition, &["x5"]).await;
    let end = async |isolation| {
        client.admin().offset_at(&partition, OffsetAt::End, isolation).await.unwrap().offset.unwrap()
    };
    assert_eq!((end(Isolation::Committed).await, end(Isolation::Uncommitted).await), (0, 6));
    let mut watch = client.watch(Isolation::Committed);
    watch.set(partition.clone(), 0);
    assert!(
        tokio::time::timeout(Duration::from_secs(1), watch.next()).await.is_err(),
        "nothing is stable yet"
    );
    a.end(false).await;
    b.end(true).await;
    b.put(&partition, &["x8"]).await;
    b.end(false).await;
    // Markers are written in the background, after the transaction has ended for its producer.
    let mut stable = 0;
    while stable < 10 {
        stable = watch.next().await.unwrap().end;
    }
    let committed: Vec<_> = [2, 3, 4].into_iter().map(|offset| (offset, format!("v{offset}"))).collect();
    for step in [1, 2, 3, 10] {
        let mut seen = Vec::new();
        for start in (0..10).step_by(step) {
            let range = start..(start + step as i64).min(10);
            let mut reader = client.fetch_range(partition.clone(), None, range, &FetchOptions::default());
            seen.extend(drain(&mut reader).await.unwrap());
        }
        assert_eq!(seen, committed, "in ranges of {step}");
    }
}

async fn deleted(client: &Client) {
    client.admin().create_topic(NewTopic::new("deleted", 1)).await.unwrap();
    let partition = Partition::new("deleted", 0);
    fill(client, &partition, 5).await;
    let outcome = client.admin().delete_records([(partition.clone(), 23)]).await;
    assert_eq!(*outcome[&partition].as_ref().unwrap(), 23);
    let mut reader = client.fetch_range(partition.clone(), None, 10..50, &FetchOptions::default());
    let error = reader.next().await.unwrap_err();
    assert!(matches!(error, Error::Deleted { position: 10, log_start: 23, .. }), "{error:?}");
    let mut reader = client.fetch_range(partition.clone(), None, 23..50, &FetchOptions::default());
    assert_eq!(drain(&mut reader).await.unwrap(), expected(23..50));
    let mut options = FetchOptions::default();
    options.patience = Duration::from_secs(3);
    let mut reader = client.fetch_range(partition.clone(), None, 60..70, &options);
    let error = reader.next().await.unwrap_err();
    assert!(matches!(error, Error::Truncated { position: 60, end: 50, .. }), "{error:?}");
}

async fn compacted(client: &Client) {
    let topic = NewTopic::new("compacted", 1)
        .set("cleanup.policy", "compact")
        .set("min.cleanable.dirty.ratio", "0.01")
        .set("segment.ms", "100")
        // Segments are closed by the records' own time, and the test's records are of 1970.
        .set("message.timestamp.type", "LogAppendTime");
    client.admin().create_topic(topic).await.unwrap();
    let partition = Partition::new("compacted", 0);
    // Each batch has the keys 0 to 9: of all but the last few batches nothing stays.
    fill(client, &partition, 30).await;
    let left = async || {
        let mut reader = client.fetch_range(partition.clone(), None, 0..300, &FetchOptions::default());
        drain(&mut reader).await.unwrap().into_iter().map(|(offset, _)| offset).collect::<Vec<_>>()
    };
    let cleaned = async {
        loop {
            // A segment is closed, and can be cleaned, when a record comes after its time.
            put(client, &partition, &["a"]).await;
            let left = left().await;
            if left.len() < 200 {
                return left;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let seen = tokio::time::timeout(Duration::from_secs(60), cleaned).await.unwrap();
    assert!(seen.is_sorted());
    // Ranges that hold nothing any more end too, and all together show what one range shows.
    let mut options = FetchOptions::default();
    options.patience = Duration::from_secs(10);
    let mut parts = BTreeSet::new();
    for start in (0..300).step_by(7) {
        let mut reader = client.fetch_range(partition.clone(), None, start..(start + 7).min(300), &options);
        parts.extend(drain(&mut reader).await.unwrap().into_iter().map(|(offset, _)| offset));
    }
    let after: BTreeSet<_> = left().await.into_iter().collect();
    assert!(after.is_subset(&parts) && parts.is_subset(&seen.into_iter().collect()));
}

async fn groups_without_members(kafka: &Kafka, client: &Client) {
    client.admin().create_topic(NewTopic::new("grouped", 2)).await.unwrap();
    let (admin, first) = (client.admin(), Partition::new("grouped", 0));
    let mut commit = Committed::at(3);
    commit.metadata = "note".to_owned();
    let commits = BTreeMap::from([(first.clone(), commit)]);
    fill(client, &first, 1).await;
    admin.commit("by-hand", &commits).await.unwrap();
    assert_eq!(admin.committed("by-hand", None).await.unwrap(), commits);
    let listed = admin.list_groups().await.unwrap();
    assert!(listed.iter().any(|group| group.name == "by-hand" && group.state == "Empty"), "{listed:?}");
    let text = java(kafka, GROUPS, &["--describe", "--group", "by-hand"], "").await;
    assert!(text.contains("grouped"), "{text}");
    admin.delete_committed("by-hand", std::slice::from_ref(&first)).await.unwrap();
    // With its last commit Kafka 3.9 forgets the group itself.
    match admin.delete_group("by-hand").await {
        Ok(()) => {}
        Err(error) => assert_eq!(error.code(), Some(ErrorCode::GroupIdNotFound), "{error:?}"),
    }
    assert_eq!(admin.describe_group("by-hand").await.unwrap(), None);
}

#[tokio::test]
async fn three_brokers_of_which_one_dies_under_a_reader() {
    if skipped(&[Software::Kafka]) {
        return;
    }
    let mut kafka = Kafka::start(KafkaOptions::default().brokers(3)).await.unwrap();
    let client = connect(&kafka).await;
    client.admin().create_topic(NewTopic::new("t", 3).replication(3)).await.unwrap();
    for index in 0..3 {
        fill(&client, &Partition::new("t", index), 40).await;
    }
    let mut options = FetchOptions::default();
    options.partition_bytes = 1;
    let victim = client.leader(&Partition::new("t", 0)).await.unwrap().broker;
    let mut range = client.fetch_range(Partition::new("t", 0), None, 0..400, &options);
    let from = (0..3).map(|index| (Partition::new("t", index), Position::at(0)));
    let mut stream = client.stream(from, &options);
    let mut ranged = values(&range.next().await.unwrap().unwrap());
    let first = stream.next().await.unwrap();
    let mut streamed: BTreeMap<_, _> = BTreeMap::from([(first.partition.clone(), values(&first))]);

    kafka.kill9(victim.0 as usize - 1);
    ranged.extend(drain(&mut range).await.unwrap());
    assert_eq!(ranged, expected(0..400));
    while streamed.values().map(Vec::len).sum::<usize>() < 1_200 {
        let fetched = stream.next().await.unwrap();
        streamed.entry(fetched.partition.clone()).or_default().extend(values(&fetched));
    }
    assert!(streamed.values().all(|seen| *seen == expected(0..400)));
    kafka.restart(victim.0 as usize - 1).await.unwrap();
    put(&client, &Partition::new("t", 0), &["v400"]).await;
    let mut range = client.fetch_range(Partition::new("t", 0), None, 395..401, &options);
    assert_eq!(drain(&mut range).await.unwrap(), expected(395..401));
}
