//! The Kafka launcher against real Kafka, of the newest and of the oldest release we run.
#![allow(clippy::unwrap_used)]

use logmill_testkit::launch::{Kafka, KafkaOptions, LaunchError, Software, skipped};

const PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";

async fn produce(kafka: &Kafka, lines: &str) {
    let servers = kafka.bootstrap();
    let words = ["--bootstrap-server", &servers, "--topic", "logs", "--producer-property", "acks=all"];
    let done = kafka.run_java(PRODUCER, &words, lines.as_bytes()).await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

async fn consume(kafka: &Kafka, most: &str) -> Vec<String> {
    let servers = kafka.bootstrap();
    let words =
        ["--bootstrap-server", &servers, "--topic", "logs", "--from-beginning", "--max-messages", most];
    let done =
        kafka.run_java(CONSUMER, &[&words[..], &["--timeout-ms", "30000"]].concat(), b"").await.unwrap();
    let mut lines: Vec<String> = String::from_utf8_lossy(&done.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn one_broker_keeps_its_records_through_kill_and_restart() {
    if skipped(&[Software::Kafka]) {
        return;
    }
    let mut kafka = Kafka::start(KafkaOptions::default()).await.unwrap();
    kafka.create_topic("logs", 2).await.unwrap();
    let again = kafka.create_topic("logs", 2).await.unwrap_err();
    assert!(
        matches!(&again, LaunchError::Refused { answer, .. } if answer == "TOPIC_ALREADY_EXISTS"),
        "{again}"
    );
    produce(&kafka, "oak\npine\n").await;
    kafka.kill9(0);
    kafka.restart(0).await.unwrap();
    assert_eq!(consume(&kafka, "2").await, ["oak", "pine"]);
    kafka.stop(0).await.unwrap();
    let folder = kafka.folder().to_path_buf();
    drop(kafka);
    assert!(!folder.exists());
}

#[tokio::test]
async fn three_brokers_go_on_with_two() {
    if skipped(&[Software::Kafka]) {
        return;
    }
    let mut kafka = Kafka::start(KafkaOptions::default().brokers(3)).await.unwrap();
    kafka.create_topic("logs", 3).await.unwrap();
    kafka.kill9(1);
    produce(&kafka, "oak\npine\nbirch\n").await;
    assert_eq!(consume(&kafka, "3").await, ["birch", "oak", "pine"]);
    kafka.pause(2).unwrap();
    kafka.resume(2).unwrap();
    kafka.restart(1).await.unwrap();
}

#[tokio::test]
async fn the_oldest_release_starts_too() {
    if skipped(&[Software::Kafka]) {
        return;
    }
    let kafka = Kafka::start(KafkaOptions::default().version("3.9.2")).await.unwrap();
    kafka.create_topic("logs", 1).await.unwrap();
    assert_eq!(consume(&kafka, "0").await, [""; 0]);
}

#[tokio::test]
async fn a_wrong_setting_is_reported_with_the_log() {
    if skipped(&[Software::Kafka]) {
        return;
    }
    let options = KafkaOptions::default().set("num.io.threads", "none");
    let error = Kafka::start(options).await.unwrap_err().to_string();
    assert!(error.contains("num.io.threads"), "{error}");
}
