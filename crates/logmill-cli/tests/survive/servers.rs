//! One Kafka for all scenarios, since starting it costs more than most of them, and whose turn it is.

use std::sync::{Arc, Weak};

use logmill::client::Client;
use logmill::{Pending, Producer, Record};
use logmill_testkit::launch::{Kafka, KafkaOptions};
use tokio::sync::{Mutex, MutexGuard};

/// The topics that several groups read, and how many records each scenario counts.
pub(crate) const RECORDS: usize = 200_000;
pub(crate) const TOPIC: &str = "trees";
/// One partition: exactly one of a group's nodes organises it.
pub(crate) const NARROW: &str = "narrow";

/// Kafka, with both topics full. Whoever holds the lock has the machine to itself.
pub(crate) type Shared = Arc<Mutex<Kafka>>;

/// Lives while a scenario runs or waits: with one thread per core, from the first to the last.
static SHARED: Mutex<Weak<Mutex<Kafka>>> = Mutex::const_new(Weak::new());

/// The running Kafka, started by whoever asks first.
pub(crate) async fn shared() -> Shared {
    let mut shared = SHARED.lock().await;
    if let Some(kafka) = shared.upgrade() {
        return kafka;
    }
    let kafka = Kafka::start(KafkaOptions::default()).await.unwrap();
    for (topic, partitions) in [(TOPIC, 4), (NARROW, 1)] {
        kafka.create_topic(topic, partitions).await.unwrap();
        let producer = Producer::builder().brokers(kafka.bootstrap()).build().await.unwrap();
        let mut pending = Vec::new();
        enqueue(&producer, topic, partitions, 0..RECORDS, &mut pending).await;
        producer.close().await.unwrap();
    }
    let kafka = Arc::new(Mutex::new(kafka));
    *shared = Arc::downgrade(&kafka);
    kafka
}

/// A turn, and a client for questions.
pub(crate) async fn turn(shared: &Shared) -> (MutexGuard<'_, Kafka>, Client) {
    let kafka = shared.lock().await;
    let client = Client::builder().brokers(kafka.bootstrap()).connect().await.unwrap();
    (kafka, client)
}

/// Accepts the records with these numbers, spread over the partitions in turn.
pub(crate) async fn enqueue(
    producer: &Producer,
    topic: &str,
    partitions: i32,
    numbers: std::ops::Range<usize>,
    pending: &mut Vec<Pending>,
) {
    for number in numbers {
        let partition = i32::try_from(number).unwrap() % partitions;
        let record = Record::to(topic).partition(partition).value(number.to_string());
        pending.push(producer.enqueue(record).await.unwrap());
    }
}
