//! Faults of the broker: killed and started again while it is written to and read from.

use logmill::Producer;
use logmill::client::Client;
use logmill_testkit::launch::{Kafka, KafkaOptions, Redis, RedisOptions, Software, skipped};

use super::fleet::Fleet;
use super::servers::{RECORDS, enqueue, shared};

#[tokio::test]
async fn the_broker_is_killed_in_the_middle_of_producing_and_consuming() {
    if skipped(&[Software::Kafka, Software::Redis]) {
        return;
    }
    let shared = shared().await;
    // The machine is this scenario's, the Kafka is not: should it not come back, the others have theirs.
    let _turn = shared.lock().await;
    let mut kafka = Kafka::start(KafkaOptions::default()).await.unwrap();
    let client = Client::builder().brokers(kafka.bootstrap()).connect().await.unwrap();
    let redis = Redis::start(RedisOptions::default()).await.unwrap();
    let brokers = kafka.bootstrap();
    kafka.create_topic("broker-killed", 4).await.unwrap();
    let fleet =
        Fleet::start(&client, &brokers, "broker-killed", "broker-killed", RECORDS, Some(&redis.url()));
    let producer = Producer::builder().brokers(&*brokers).build().await.unwrap();
    let mut pending = Vec::new();
    enqueue(&producer, "broker-killed", 4, 0..RECORDS / 2, &mut pending).await;
    fleet.at(20).await;
    let restarted = async {
        kafka.kill9(0);
        kafka.restart(0).await.unwrap();
    };
    tokio::join!(restarted, enqueue(&producer, "broker-killed", 4, RECORDS / 2..RECORDS, &mut pending));
    for record in pending {
        record.await.unwrap();
    }
    producer.close().await.unwrap();
    // Nobody's lease was lost, and the producer's retries are stored once.
    fleet.finish(|_| false).await;
}
