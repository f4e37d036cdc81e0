//! kafka-clj's `create-connector`, `send-msg`, `close`: an asynchronous, batching producer that says
//! what became of each record. Runs against embedded brokers, or `cargo run --example connector -- host:port`.

use logmill::{Producer, Record};
use logmill_testkit::Kit;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kit = Kit::builder().brokers(3).topic("orders", 3).start().await?;
    let brokers = std::env::args().nth(1).unwrap_or_else(|| kit.bootstrap());
    let producer = Producer::builder().brokers(brokers).set("compression.type", "lz4").build().await?;

    // `send` waits for the broker's acknowledgement.
    let ack = producer.send(Record::to("orders").key("1").value("first")).await?;
    println!("partition {} offset {:?}", ack.partition, ack.offset);

    // `enqueue` returns once the record is buffered; the handle resolves to the acknowledgement.
    let mut pending = Vec::new();
    for number in 0..1_000 {
        let (key, value) = (number.to_string(), format!("order {number}"));
        pending
            .push(producer.enqueue(Record::to("orders").key(key.as_bytes()).value(value.as_bytes())).await?);
    }
    let mut persisted = 0;
    for acknowledgement in pending {
        acknowledgement.await?;
        persisted += 1;
    }
    assert_eq!(persisted, 1_000);
    println!("{persisted} records persisted");
    producer.close().await?;
    Ok(())
}
