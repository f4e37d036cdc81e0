//! Clients of other makes against the embedded brokers on TCP: kcat (librdkafka), Java's,
//! and franz-go.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Output, Stdio};

use logmill_testkit::launch::{Software, java_tool, skipped};
use logmill_testkit::{Cluster, ClusterOptions, ListenOptions};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

async fn cluster() -> (Cluster, String) {
    let cluster = Cluster::start(ClusterOptions::brokers(3));
    let brokers = cluster.listen_tcp(ListenOptions::default()).await.unwrap();
    cluster.create_topic("logs", 4);
    (cluster, brokers)
}

fn lines(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

async fn kcat(words: &[&str], input: &str) -> Output {
    let program = std::env::var("LOGMILL_KCAT").unwrap_or_else(|_| "kcat".to_owned());
    let mut command = Command::new(&program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().unwrap_or_else(|error| {
        panic!("{program} cannot be run: {error}; run `cargo xtask test`, or set LOGMILL_SKIP=kcat")
    });
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    child.wait_with_output().await.unwrap()
}

fn numbered(codec: &str) -> String {
    (0..500).map(|n| format!("{codec}-{n}\n")).collect()
}

fn all() -> BTreeSet<String> {
    CODECS.iter().flat_map(|codec| numbered(codec).lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_produces_and_consumes_every_codec() {
    if skipped(&[Software::Kcat]) {
        return;
    }
    let (cluster, brokers) = cluster().await;
    for codec in CODECS {
        let done = kcat(&["-b", &brokers, "-t", "logs", "-P", "-z", codec], &numbered(codec)).await;
        lines(&done);
    }
    let read = lines(&kcat(&["-b", &brokers, "-t", "logs", "-C", "-e", "-q", "-o", "beginning"], "").await);
    assert_eq!((read.len(), read.into_iter().collect()), (2500, all()));

    // A leader that has moved is found again.
    for partition in 0..4 {
        cluster.move_leader("logs", partition, 1 + partition % 3);
    }
    cluster.crash(2);
    let read = lines(&kcat(&["-b", &brokers, "-t", "logs", "-C", "-e", "-q", "-o", "beginning"], "").await);
    assert_eq!(read.len(), 2500);
    let listed = lines(&kcat(&["-b", &brokers, "-L"], "").await).join("\n");
    assert!(listed.contains("topic \"logs\" with 4 partitions"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_takes_part_in_a_consumer_group_and_goes_on_where_it_left() {
    if skipped(&[Software::Kcat]) {
        return;
    }
    let (cluster, brokers) = cluster().await;
    let read = async || {
        // Leaves after every partition's end.
        let words = ["-b", &brokers, "-G", "saws", "-e", "-q", "-X", "auto.offset.reset=earliest", "logs"];
        lines(&kcat(&words, "").await)
    };
    lines(&kcat(&["-b", &brokers, "-t", "logs", "-P"], &numbered("first")).await);
    assert_eq!(read().await.len(), 500);
    let committed: i64 = cluster.all_committed("saws").values().map(|committed| committed.offset).sum();
    assert_eq!(committed, 500);
    assert!(cluster.members("saws").is_empty(), "it left the group");
    lines(&kcat(&["-b", &brokers, "-t", "logs", "-P"], &numbered("second")).await);
    let second = read().await;
    assert_eq!(second.len(), 500);
    assert!(second.iter().all(|line| line.starts_with("second-")));
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_speaks_to_an_old_kafka() {
    if skipped(&[Software::Kcat]) {
        return;
    }
    let (cluster, brokers) = cluster().await;
    cluster.play_kafka("2.1");
    lines(&kcat(&["-b", &brokers, "-t", "logs", "-P", "-z", "lz4"], &numbered("old")).await);
    let read = lines(&kcat(&["-b", &brokers, "-t", "logs", "-C", "-e", "-q", "-o", "beginning"], "").await);
    assert_eq!(read.len(), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn java_clients_produce_consume_and_administer() {
    if skipped(&[Software::Kafka]) {
        return;
    }
    for (version, producer) in
        [("4.3.1", "org.apache.kafka.tools.ConsoleProducer"), ("3.9.2", "kafka.tools.ConsoleProducer")]
    {
        let (cluster, brokers) = cluster().await;
        let tool = async |class: &str, words: &[&str], input: &str| {
            let words = [&["--bootstrap-server", &brokers], words].concat();
            lines(&java_tool(version, class, &words, input.as_bytes()).await.unwrap())
        };
        let topics = "org.apache.kafka.tools.TopicCommand";
        tool(topics, &["--create", "--topic", "made", "--partitions", "3"], "").await;
        let described = tool(topics, &["--describe", "--topic", "made"], "").await;
        assert!(described[0].contains("PartitionCount: 3\tReplicationFactor: 3"), "{described:?}");

        let words = ["--topic", "logs", "--compression-codec", "zstd"];
        tool(producer, &words, &numbered("java")).await;
        let consumer = "org.apache.kafka.tools.consumer.ConsoleConsumer";
        let words = [
            "--topic",
            "logs",
            "--group",
            "saws",
            "--from-beginning",
            "--max-messages",
            "500",
            "--timeout-ms",
            "30000",
        ];
        let read: BTreeSet<_> = tool(consumer, &words, "").await.into_iter().collect();
        assert_eq!(read, numbered("java").lines().map(str::to_owned).collect());
        let committed: i64 = cluster.all_committed("saws").values().map(|committed| committed.offset).sum();
        assert_eq!(committed, 500);

        let groups = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
        let described = tool(groups, &["--describe", "--group", "saws", "--timeout", "30000"], "").await;
        let lags: Vec<_> = described.iter().filter(|line| line.starts_with("saws")).collect();
        // A partition that had nothing to read may be committed or not.
        assert_eq!(lags.len(), cluster.all_committed("saws").len(), "{described:?}");
    }
}

/// Builds the Go program beside this file.
async fn franz_go() -> std::path::PathBuf {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("franz-go");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/franz-go");
    let mut go = Command::new(std::env::var("LOGMILL_GO").unwrap_or_else(|_| "go".to_owned()));
    let go = go.current_dir(source).env("CGO_ENABLED", "0").args(["build", "-buildvcs=false", "-o"]);
    let built = go.arg(&program).output().await.unwrap_or_else(|error| {
        panic!("go cannot be run: {error}; run `cargo xtask servers`, or set LOGMILL_SKIP=go")
    });
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    program
}

#[tokio::test(flavor = "multi_thread")]
async fn franz_go_produces_and_consumes_as_two_members_of_a_consumer_group() {
    if skipped(&[Software::Go]) {
        return;
    }
    let program = franz_go().await;
    for release in [None, Some("2.1"), Some("3.9")] {
        let (cluster, brokers) = cluster().await;
        if let Some(release) = release {
            cluster.play_kafka(release);
        }
        let mut command = Command::new(&program);
        let done = command.args([&*brokers, "logs", "saws"]).kill_on_drop(true).output().await.unwrap();
        assert_eq!(lines(&done), ["2500 records read, each once"], "{release:?}");
        let committed: i64 = cluster.all_committed("saws").values().map(|committed| committed.offset).sum();
        assert_eq!(committed, 2500);
        assert!(cluster.members("saws").is_empty(), "both left");
    }
}
