//! The producer against the embedded cluster: what it promises holds through lost answers, refusals,
//! crashes and changes of leader. Time is paused, so a run takes no time and is the same each time.
#![allow(clippy::unwrap_used, missing_docs)]

mod basics;
mod faults;
mod limits;

use std::collections::BTreeMap;

use logmill::client::{Address, Transport};
use logmill::{Pending, Producer, Record};
use logmill_testkit::{Cluster, ClusterOptions};

/// A cluster of three brokers with topic `t`.
fn cluster(partitions: i32) -> Cluster {
    let cluster = Cluster::start(ClusterOptions::brokers(3).seed(1));
    cluster.create_topic("t", partitions);
    cluster
}

async fn producer(cluster: &Cluster, settings: &[(&str, &str)]) -> Producer {
    let dialled = cluster.clone();
    let transport = Transport::new(move |address: Address| {
        let stream = dialled.dial(&address.host, address.port);
        async move { stream }
    });
    let mut builder = Producer::builder()
        .brokers(cluster.bootstrap())
        .transport(transport)
        .seed(7)
        .on_this_runtime()
        .simulated_time(1_700_000_000_000);
    for (name, value) in settings {
        builder = builder.set(name, *value);
    }
    builder.build().await.unwrap()
}

/// Accepts values `from..to` for one partition.
async fn enqueue(producer: &Producer, partition: i32, range: std::ops::Range<u32>) -> Vec<Pending> {
    let mut pending = Vec::new();
    for n in range {
        let record = Record::to("t").partition(partition).value(n.to_string());
        pending.push(producer.enqueue(record).await.unwrap());
    }
    pending
}

/// The values in a partition's log, in order.
fn logged(cluster: &Cluster, partition: i32) -> Vec<u32> {
    let values = cluster.log("t", partition).into_iter();
    values.map(|record| std::str::from_utf8(&record.value.unwrap()).unwrap().parse().unwrap()).collect()
}

/// Every handle says persisted, and says where: the log has exactly these values, in order, at these
/// offsets.
async fn all_persisted_in_order(cluster: &Cluster, partition: i32, pending: Vec<Pending>) {
    let count = pending.len() as u32;
    let mut offsets = BTreeMap::new();
    for (n, pending) in pending.into_iter().enumerate() {
        let ack = pending.await.unwrap();
        assert_eq!(ack.partition, partition);
        offsets.insert(n as i64, ack.offset);
    }
    let log = logged(cluster, partition);
    assert_eq!(log, (0..count).collect::<Vec<_>>(), "the order of acceptance, each once");
    for (n, offset) in offsets {
        assert!(offset == n || offset == -1, "record {n} said to be at {offset}");
    }
}
