//! kafka-clj's `create-node!` with a handler, and its organiser, queues and consumer threads: one node
//! does it all. Embedded brokers, store in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use logmill::node::{Node, Value};
use logmill::{Meta, Outcome, Producer, Record};
use logmill_testkit::Kit;
use tokio::sync::Notify;

const RECORDS: u32 = 500;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kit = Kit::builder().topic("orders", 2).start().await?;
    let producer = Producer::builder().brokers(kit.bootstrap()).build().await?;
    for number in 0..RECORDS {
        let value = number.to_string();
        let _acknowledged_by_close = producer.enqueue(Record::to("orders").value(value.as_bytes())).await?;
    }
    producer.close().await?;

    let (handled, done) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
    let (count, all) = (handled.clone(), done.clone());
    // Arguments are extracted from the record; what is returned settles it.
    let handler = move |Value(value): Value, meta: Meta| {
        let (count, all) = (count.clone(), all.clone());
        async move {
            if value.as_ref() == b"13" && meta.attempt == 1 {
                return Err("not at the first attempt: it comes again after a back-off");
            }
            if count.fetch_add(1, Ordering::SeqCst) + 1 == RECORDS {
                all.notify_one();
            }
            Ok(Outcome::Ack)
        }
    };
    let node = Node::builder()
        .brokers(kit.bootstrap())
        .group("billing")
        .topics(["orders"])
        .concurrency(32) // more than the two partitions
        .handler(handler)
        .build()
        .await?;
    done.notified().await;
    node.drain().await?;
    println!("{} records handled, each once", handled.load(Ordering::SeqCst));
    Ok(())
}
