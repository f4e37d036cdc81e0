//! Faults of brokers: the only one killed and started again, three restarted in turn, while they are written
//! to and read from.

use logmill::client::Client;
use logmill::{Pending, Producer};
use logmill_testkit::launch::{Kafka, KafkaOptions, Redis, RedisOptions, Software, skipped};

use super::fleet::Fleet;
use super::servers::{RECORDS, enqueue, shared};

const PARTITIONS: i32 = 4;

/// A Kafka of a scenario's own, and a group at work on it: should a broker not come back, the other scenarios
/// have theirs.
struct Stage {
    kafka: Kafka,
    topic: &'static str,
    fleet: Fleet,
    producer: Producer,
    pending: Vec<Pending>,
    _redis: Redis,
}

impl Stage {
    /// `topic` names the group too.
    async fn set(brokers: usize, topic: &'static str) -> Self {
        let kafka = Kafka::start(KafkaOptions::default().brokers(brokers)).await.unwrap();
        kafka.create_topic(topic, PARTITIONS).await.unwrap();
        let addresses = kafka.bootstrap();
        let client = Client::builder().brokers(&*addresses).connect().await.unwrap();
        let redis = Redis::start(RedisOptions::default()).await.unwrap();
        let fleet = Fleet::start(&client, &addresses, topic, topic, RECORDS, Some(&redis.url()));
        let producer = Producer::builder().brokers(addresses).build().await.unwrap();
        Self { kafka, topic, fleet, producer, pending: Vec::new(), _redis: redis }
    }

    async fn enqueue(&mut self, numbers: std::ops::Range<usize>) {
        enqueue(&self.producer, self.topic, PARTITIONS, numbers, &mut self.pending).await;
    }

    /// No lease was lost, and what the producer tried again is stored once: each record came once.
    async fn finish(self) {
        for record in self.pending {
            record.await.unwrap();
        }
        self.producer.close().await.unwrap();
        self.fleet.finish(|_| false).await;
    }
}

#[tokio::test]
async fn the_broker_is_killed_in_the_middle_of_producing_and_consuming() {
    if skipped(&[Software::Kafka, Software::Redis]) {
        return;
    }
    let shared = shared().await;
    let _turn = shared.lock().await;
    let mut stage = Stage::set(1, "broker-killed").await;
    stage.enqueue(0..RECORDS / 2).await;
    stage.fleet.at(20).await;
    stage.kafka.kill9(0);
    let Stage { kafka, producer, pending, topic, .. } = &mut stage;
    let (restarted, ()) =
        tokio::join!(kafka.restart(0), enqueue(producer, topic, PARTITIONS, RECORDS / 2..RECORDS, pending));
    restarted.unwrap();
    stage.finish().await;
}

#[tokio::test]
async fn three_brokers_are_restarted_one_after_the_other() {
    if skipped(&[Software::Kafka, Software::Redis]) {
        return;
    }
    let shared = shared().await;
    let _turn = shared.lock().await;
    let mut stage = Stage::set(3, "brokers-rolled").await;
    for broker in 0..3 {
        // A third at a time: a restart takes longer than the nodes need for all of it.
        stage.enqueue(RECORDS * broker / 3..RECORDS * (broker + 1) / 3).await;
        stage.fleet.at(broker * 33 + 10).await;
        stage.kafka.stop(broker).await.unwrap();
        stage.kafka.restart(broker).await.unwrap();
    }
    stage.finish().await;
}
