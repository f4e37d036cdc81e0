//! krafka: produce with `enqueue`, each record's handle awaited; consume with `poll`, in batches larger than its
//! default of 500, which costs it much.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use krafka::consumer::{AutoOffsetReset, Consumer};
use krafka::producer::{Acks, DeliveryHandle, Producer, ProducerRecord};
use measure::{Run, Settings, payloads};

/// Handles kept before the oldest are awaited.
const AHEAD: usize = 20_000;

#[tokio::main]
async fn main() {
    let settings = Settings::from_command_line();
    match settings.mode.as_str() {
        "produce" => produce(&settings).await,
        "consume" => consume(&settings).await,
        other => panic!("no mode {other:?}"),
    }
}

async fn produce(settings: &Settings) {
    let producer = Producer::builder()
        .bootstrap_servers(settings.brokers.as_str())
        .acks(Acks::All)
        .idempotent(true)
        .linger(Duration::from_millis(settings.linger_ms))
        .batch_size(settings.batch_bytes)
        .build()
        .await
        .expect("a producer");
    let payloads: Vec<Bytes> = payloads(settings.size).into_iter().map(Bytes::from).collect();
    let send_all = async |records: usize| {
        let mut handles = VecDeque::with_capacity(AHEAD);
        for number in 0..records {
            if handles.len() == AHEAD {
                for handle in handles.drain(..AHEAD / 2) {
                    delivered(handle).await;
                }
            }
            let record =
                ProducerRecord::new(settings.topic.as_str(), payloads[number % payloads.len()].clone());
            handles.push_back(producer.enqueue(record).await.expect("enqueued"));
        }
        producer.flush().await.expect("flushed");
        for handle in handles {
            delivered(handle).await;
        }
    };
    send_all(settings.warmup).await;
    let run = Run::start();
    send_all(settings.records).await;
    run.report("krafka", "produce", settings.records);
}

async fn delivered(handle: DeliveryHandle) {
    assert!(handle.await.expect("delivered").is_persisted());
}

async fn consume(settings: &Settings) {
    let consumer = Consumer::builder()
        .bootstrap_servers(settings.brokers.as_str())
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .enable_auto_commit(false)
        .max_poll_records(10_000)
        .build()
        .await
        .expect("a consumer");
    consumer.assign(&settings.topic, (0..settings.partitions).collect()).await.expect("an assignment");
    for partition in 0..settings.partitions {
        consumer.seek_to_beginning(&settings.topic, partition).await.expect("a position");
    }
    let (mut bytes, mut total) = (0, 0);
    let mut read = async |records: usize| {
        let from = total;
        while total < from + records {
            for record in consumer.poll(Duration::from_secs(10)).await.expect("records") {
                bytes += record.value.as_ref().map_or(0, |value| value.len());
                total += 1;
            }
        }
        total - from
    };
    read(settings.warmup).await;
    let run = Run::start();
    let records = read(settings.records).await;
    run.report("krafka", "consume", records);
    assert_eq!(bytes, total * settings.size);
}
