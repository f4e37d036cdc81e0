//! A group on Kafka alone moves from one group protocol to the other while it is at work.

use logmill::Producer;
use logmill_testkit::launch::{Software, skipped};

use super::fleet::{CHECKPOINT, Fleet};
use super::servers::{RECORDS, enqueue, shared, turn};

const TOPIC: &str = "members";
const PARTITIONS: i32 = 4;
/// How many records come at a time.
const LOAD: usize = RECORDS / 2;

#[tokio::test]
async fn nodes_of_the_classic_protocol_are_replaced_by_newer_ones_of_which_one_is_killed() {
    if skipped(&[Software::Kafka]) {
        return;
    }
    let shared = shared().await;
    let (kafka, client) = turn(&shared).await;
    kafka.create_topic(TOPIC, PARTITIONS).await.unwrap();
    let brokers = kafka.bootstrap();
    let producer = Producer::builder().brokers(&*brokers).build().await.unwrap();
    let mut fleet = Fleet::empty(&client, &brokers, TOPIC, TOPIC, 4 * LOAD, None);
    fleet.add_with(3, &["-X", "group.protocol=classic"]);
    let assignor = async || client.admin().describe_group(TOPIC).await.unwrap().unwrap().assignor;
    let mut pending = Vec::new();
    for old in 0..3 {
        enqueue(&producer, TOPIC, PARTITIONS, LOAD * old..LOAD * (old + 1), &mut pending).await;
        // A quarter of them is printed: now one joins and one goes.
        fleet.at(old * 25 + 6).await;
        if old == 0 {
            assert_eq!(assignor().await, "logmill");
        }
        fleet.add(1);
        fleet.has_partitions(old + 3).await;
        assert_eq!(assignor().await, "uniform");
        fleet.drain(old);
    }
    enqueue(&producer, TOPIC, PARTITIONS, LOAD * 3..LOAD * 4, &mut pending).await;
    for record in pending {
        record.await.unwrap();
    }
    producer.close().await.unwrap();
    fleet.at(80).await;
    // What it had printed since its last commit comes again, once the broker's session has passed.
    let died = fleet.nodes[3].kill9();
    fleet.finish(|line| line.node == 3 && line.at + CHECKPOINT >= died).await;
}
