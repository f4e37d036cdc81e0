//! kafka-clj's `consume!` with a message channel and n consumer threads, and `read-msg!` with a timeout:
//! the caller takes records, on as many tasks as it likes, and settles each.

use std::sync::Arc;
use std::time::Duration;

use logmill::{Node, Producer, Record};
use logmill_testkit::Kit;

const RECORDS: usize = 300;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kit = Kit::builder().topic("orders", 1).start().await?;
    let producer = Producer::builder().brokers(kit.bootstrap()).build().await?;
    for _ in 0..RECORDS {
        let _acknowledged_by_close = producer.enqueue(Record::to("orders").value("an order")).await?;
    }
    producer.close().await?;

    let node = Node::builder().brokers(kit.bootstrap()).group("billing").topics(["orders"]).build().await?;
    let node = Arc::new(node);
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let node = node.clone();
        tasks.push(tokio::spawn(async move {
            let mut settled = 0;
            // A read with a timeout: two seconds without a record, and this task ends.
            while let Ok(Ok(Some(delivery))) = tokio::time::timeout(Duration::from_secs(2), node.recv()).await
            {
                assert_eq!(delivery.value().map(|value| &value[..]), Some(&b"an order"[..]));
                delivery.ack(); // dropped instead, it would come again
                settled += 1;
            }
            settled
        }));
    }
    let mut settled = 0;
    for task in tasks {
        settled += task.await?;
    }
    assert_eq!(settled, RECORDS);
    println!("{settled} records settled by four tasks");
    if let Ok(node) = Arc::try_unwrap(node) {
        node.drain().await?;
    }
    Ok(())
}
