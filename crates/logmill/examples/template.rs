//! kafka-clj's test template with its `startup-resources`, `create-topics` and `shutdown-resources`: brokers
//! and topics in one call, records produced and consumed and counted one by one, and everything gone
//! when the kit is dropped. There is no ZooKeeper to start.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use logmill::node::Received;
use logmill::{Node, Producer, Record};
use logmill_testkit::Kit;
use tokio::sync::Notify;

const RECORDS: usize = 100_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kit = Kit::builder().brokers(3).topic("template", 6).start().await?;

    let (seen, grown) = (Arc::new(Mutex::new((BTreeSet::new(), 0))), Arc::new(Notify::new()));
    let (set, more) = (seen.clone(), grown.clone());
    let handler = move |record: Received| {
        let text =
            record.value().map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default();
        if let Ok(mut seen) = set.lock() {
            seen.1 += usize::from(!seen.0.insert(text));
            if seen.0.len() == RECORDS {
                more.notify_one();
            }
        }
        async {}
    };
    let node =
        Node::builder().brokers(kit.bootstrap()).group("template").topics(["template"]).handler(handler);
    let node = node.build().await?;

    let producer = Producer::builder().brokers(kit.bootstrap()).build().await?;
    for number in 0..RECORDS {
        let value = format!("record {number}");
        let _acknowledged_by_close = producer.enqueue(Record::to("template").value(value.as_bytes())).await?;
    }
    producer.close().await?;

    grown.notified().await;
    node.drain().await?;
    let (different, repeated) = seen.lock().map(|seen| (seen.0.len(), seen.1)).unwrap_or_default();
    println!("{different} records by identity, {repeated} of them more than once");
    assert_eq!((different, repeated), (RECORDS, 0));
    Ok(())
}
