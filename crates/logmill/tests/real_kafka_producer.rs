//! The producer against real Apache Kafka, read back by the clients of others and by ours.
//!
//! Needs Kafka's jars, Java and kcat: `cargo xtask test` brings them.

#![allow(clippy::unwrap_used)]

#[path = "client/log.rs"]
mod log;

use std::process::Command;

use log::drain;
use logmill::client::Client;
use logmill::client::admin::{NewTopic, OffsetAt};
use logmill::client::fetch::{FetchOptions, Isolation};
use logmill::{Pending, Producer, Record};
use logmill_protocol::ids::Partition;
use logmill_testkit::launch::{Kafka, KafkaOptions, Software, skipped};

const CONSOLE_CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
/// The newest release, and the oldest that is run in full.
const RELEASES: [&str; 2] = ["4.4.0", "3.9.2"];

async fn start(version: &str) -> (Kafka, Client) {
    let kafka = Kafka::start(KafkaOptions::default().version(version)).await.unwrap();
    let client = Client::builder().brokers(kafka.bootstrap()).connect().await.unwrap();
    (kafka, client)
}

async fn producer(kafka: &Kafka, settings: &[(&str, &str)]) -> Producer {
    let mut builder = Producer::builder().brokers(kafka.bootstrap());
    for (name, value) in settings {
        builder = builder.set(name, *value);
    }
    builder.build().await.unwrap()
}

/// Accepts values `v<n>` for partition 0.
async fn enqueue(producer: &Producer, topic: &str, range: std::ops::Range<i64>) -> Vec<Pending> {
    let mut pending = Vec::new();
    for n in range {
        let (key, value) = (format!("k{n}"), format!("v{n}"));
        let record = Record::to(topic).partition(0).key(&key).value(&value).header("n", &value);
        pending.push(producer.enqueue(record).await.unwrap());
    }
    pending
}

/// Each handle tells its record's offset, and the log has these records and no others, in order.
async fn all_there_once(client: &Client, topic: &str, pending: Vec<Pending>) {
    let count = pending.len() as i64;
    for (n, pending) in (0..).zip(pending) {
        let ack = pending.await.unwrap();
        // A batch that was sent again long after has none.
        assert!(ack.offset == n || ack.offset == -1, "record {n} said to be at {}", ack.offset);
    }
    let partition = Partition::new(topic, 0);
    let end = client.admin().offset_at(&partition, OffsetAt::End, Isolation::Committed).await.unwrap();
    assert_eq!(end.offset, Some(count));
    let mut reader = client.fetch_range(partition, None, 0..count, &FetchOptions::default());
    assert!(drain(&mut reader).await.unwrap() == log::expected(0..count), "each once, in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_is_read_by_java_and_by_kcat() {
    if skipped(&[Software::Kafka, Software::Kcat]) {
        return;
    }
    for version in RELEASES {
        let (kafka, client) = start(version).await;
        let servers = kafka.bootstrap();
        client.admin().create_topic(NewTopic::new("codecs", 1)).await.unwrap();
        let mut lines = String::new();
        for (nth, codec) in (0..).zip(CODECS) {
            let producer = producer(&kafka, &[("compression.type", codec)]).await;
            drop(enqueue(&producer, "codecs", nth * 500..nth * 500 + 500).await);
            producer.close().await.unwrap();
            lines.extend((nth * 500..nth * 500 + 500).map(|n| format!("n:v{n}|k{n}|v{n}\n")));
        }
        let words = [
            &[
                "--bootstrap-server",
                &servers,
                "--topic",
                "codecs",
                "--from-beginning",
                "--max-messages",
                "2500",
            ][..],
            &["--timeout-ms", "60000", "--property", "print.key=true", "--property", "print.headers=true"],
            &["--property", "key.separator=|", "--property", "headers.separator=|"],
        ];
        let done = kafka.run_java(CONSOLE_CONSUMER, &words.concat(), b"").await.unwrap();
        // The console consumer's own words are among them.
        let java = String::from_utf8_lossy(&done.stdout);
        let java: Vec<_> = java.lines().filter(|line| line.starts_with("n:")).collect();
        assert!(java == lines.lines().collect::<Vec<_>>(), "Kafka {version}: {done:?}");
        let kcat = Command::new("kcat")
            .args(["-C", "-b", &servers, "-t", "codecs", "-o", "beginning", "-e", "-q"])
            .args(["-X", "check.crcs=true", "-f", "%h|%k|%s\\n"])
            .output()
            .expect("kcat is not on PATH: run `cargo xtask servers`, or set LOGMILL_SKIP=kcat");
        let kcat = String::from_utf8_lossy(&kcat.stdout).replace("n=", "n:");
        assert!(kcat == lines, "Kafka {version}: {kcat}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_in_the_middle_costs_no_record_and_doubles_none() {
    if skipped(&[Software::Kafka]) {
        return;
    }
    for version in RELEASES {
        let (mut kafka, client) = start(version).await;
        client.admin().create_topic(NewTopic::new("numbers", 1)).await.unwrap();
        // Batches of some fifty records: there are always some on the way.
        let producer = producer(&kafka, &[("batch.size", "2000"), ("linger.ms", "1")]).await;
        let mut pending = Vec::new();
        for kill in 0..3 {
            let from = kill * 20_000;
            let mut first = enqueue(&producer, "numbers", from..from + 10_000).await;
            // Some are stored, some are on their way.
            (&mut first[1_000]).await.unwrap();
            kafka.kill9(0);
            let (restarted, more) =
                tokio::join!(kafka.restart(0), enqueue(&producer, "numbers", from + 10_000..from + 20_000));
            restarted.unwrap();
            pending.extend(first.into_iter().chain(more));
            producer.flush().await.unwrap();
        }
        all_there_once(&client, "numbers", pending).await;
        producer.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_too_large_for_the_topic_go_on_in_halves() {
    if skipped(&[Software::Kafka]) {
        return;
    }
    for version in RELEASES {
        let (kafka, client) = start(version).await;
        for codec in CODECS {
            let topic = format!("small-{codec}");
            let small = NewTopic::new(&topic, 1).set("max.message.bytes", "300");
            client.admin().create_topic(small).await.unwrap();
            let producer = producer(&kafka, &[("compression.type", codec), ("batch.size", "4000")]).await;
            let pending = enqueue(&producer, &topic, 0..1_000).await;
            let huge = producer.enqueue(Record::to(&topic).partition(0).value(noise(400))).await.unwrap();
            let error = huge.await.unwrap_err();
            assert!(error.to_string().contains("max.message.bytes"), "{codec}: {error}");
            all_there_once(&client, &topic, pending).await;
            assert!(producer.close().await.is_err());
        }
    }
}

/// Bytes that no codec makes much smaller.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = |state: &mut u32| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*state >> 24) as u8
    };
    (0..count).map(|_| next(&mut state)).collect()
}
