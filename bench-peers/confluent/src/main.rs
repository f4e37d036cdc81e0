//! Confluent's Rust client: produce with its own zero-copy `send` and a callback for each record; consume with
//! `poll`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use confluent_kafka::common::TopicPartition;
use confluent_kafka::common::serialization::{ByteArrayDeserializer, ByteArraySerializer};
use confluent_kafka::consumer::{Consumer, ConsumerConfig, KafkaConsumer};
use confluent_kafka::producer::{KafkaProducer, Producer, ProducerConfig, ProducerRecord, callback};
use measure::{Run, Settings, payloads};

#[tokio::main]
async fn main() {
    let settings = Settings::from_command_line();
    match settings.mode.as_str() {
        "produce" => produce(&settings).await,
        "consume" => consume(&settings).await,
        other => panic!("no mode {other:?}"),
    }
}

fn properties<const N: usize>(list: [(&str, String); N]) -> HashMap<String, String> {
    list.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Idempotence and acks=all are its defaults.
async fn produce(settings: &Settings) {
    let config = ProducerConfig::new(&properties([
        ("bootstrap.servers", settings.brokers.clone()),
        ("linger.ms", settings.linger_ms.to_string()),
        ("batch.size", settings.batch_bytes.to_string()),
    ]))
    .expect("a configuration");
    let producer = KafkaProducer::<Vec<u8>, Vec<u8>>::new(
        config,
        ByteArraySerializer::new(),
        ByteArraySerializer::new(),
    )
    .expect("a producer");
    let payloads = payloads(settings.size);
    let (delivered, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let send_all = async |records: usize| {
        for number in 0..records {
            let value = payloads[number % payloads.len()].as_slice();
            let record = ProducerRecord::<&[u8], &[u8]>::new(settings.topic.clone(), Some(value));
            let (delivered, failed) = (delivered.clone(), failed.clone());
            let done = callback::new(move |_, error| {
                let counter = if error.is_none() { &delivered } else { &failed };
                counter.fetch_add(1, Ordering::Relaxed);
            });
            producer.send(record, Some(Box::new(done))).await.expect("sent");
        }
        producer.flush().await.expect("flushed");
    };
    send_all(settings.warmup).await;
    let run = Run::start();
    send_all(settings.records).await;
    run.report("confluent", "produce", settings.records);
    assert_eq!(failed.load(Ordering::Relaxed), 0);
    assert_eq!(delivered.load(Ordering::Relaxed), settings.warmup + settings.records);
}

/// The CRC is checked by default.
async fn consume(settings: &Settings) {
    let config = ConsumerConfig::new(&properties([
        ("bootstrap.servers", settings.brokers.clone()),
        ("group.id", "none".to_owned()),
        ("group.protocol", "consumer".to_owned()),
        ("enable.auto.commit", "false".to_owned()),
        ("auto.offset.reset", "earliest".to_owned()),
    ]))
    .expect("a configuration");
    let mut consumer = KafkaConsumer::<Vec<u8>, Vec<u8>>::new(
        config,
        ByteArrayDeserializer::new(),
        ByteArrayDeserializer::new(),
    )
    .expect("a consumer");
    let partitions: Vec<_> = (0..settings.partitions)
        .map(|partition| TopicPartition::new(settings.topic.as_str(), partition))
        .collect();
    consumer.assign(partitions.clone()).await.expect("an assignment");
    consumer.seek_to_beginning(&partitions).await.expect("a position");
    let (mut bytes, mut total) = (0, 0);
    let mut read = async |records: usize| {
        let from = total;
        while total < from + records {
            for record in &consumer.poll(Duration::from_secs(10)).await.expect("records") {
                bytes += record.value().map_or(0, Vec::len);
                total += 1;
            }
        }
        total - from
    };
    read(settings.warmup).await;
    let run = Run::start();
    let records = read(settings.records).await;
    run.report("confluent", "consume", records);
    assert_eq!(bytes, total * settings.size);
}
