//! kafka-clj's `publish-work`, `get-work!`, `wait-and-do-work-unit!` and `do-work-unit!`: plan a range, take
//! a unit, work it, without a node. With `-- redis://host:port` the queue is in Redis.

use std::sync::Arc;
use std::time::Duration;

use logmill::client::Client;
use logmill::queue::WorkQueue;
use logmill::store::{MemoryStore, RedisOptions, RedisStore, Store};
use logmill::{Partition, Producer, Record};
use logmill_testkit::Kit;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kit = Kit::builder().topic("orders", 1).start().await?;
    let producer = Producer::builder().brokers(kit.bootstrap()).build().await?;
    for number in 0..250 {
        let value = number.to_string();
        let _acknowledged_by_close = producer.enqueue(Record::to("orders").value(value.as_bytes())).await?;
    }
    producer.close().await?;

    let client = Client::builder().brokers(kit.bootstrap()).connect().await?;
    let store: Arc<dyn Store> = match std::env::args().nth(1) {
        Some(url) => Arc::new(RedisStore::connect(&url, "by-hand", RedisOptions::default()).await?),
        None => Arc::new(MemoryStore::new()),
    };
    let queue = WorkQueue::new(client, store, "one");
    let units = queue.publish(&Partition::new("orders", 0), 0..250, 100).await?;
    println!("{units} units published");

    let mut decompressor = logmill::records::Decompressor::default();
    let mut seen = 0;
    while let Some(unit) = queue.take(Duration::from_millis(200)).await? {
        let mut records = unit.records();
        while let Some(fetched) = records.next().await? {
            for batch in fetched.batches {
                seen += batch.records(&mut decompressor)?.iter().count();
            }
        }
        println!("{} {:?} worked, attempt {}", unit.partition(), unit.range(), unit.attempt());
        unit.settle().await?;
    }
    assert_eq!(seen, 250);
    Ok(())
}
