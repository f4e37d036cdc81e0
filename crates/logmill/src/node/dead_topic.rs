//! A dead-letter topic beside the ledger: the whole record, with headers that users of Spring Kafka and
//! Kafka Connect know. See `docs/dead-letters.md` for the table.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use logmill_protocol::records::OwnedRecord;

use crate::client::Client;
use crate::client::producer::{Producer, Record};
use crate::error::Result;
use crate::ledger::DeadLetter;

/// A topic that gets every record that is given up on.
#[derive(Debug)]
pub(crate) struct DeadTopic {
    client: Client,
    topic: String,
    writer: Mutex<Option<Producer>>,
}

impl DeadTopic {
    pub(crate) fn new(client: &Client, topic: &str) -> Self {
        Self { client: client.clone(), topic: topic.to_owned(), writer: Mutex::default() }
    }

    /// Sends the record there. Returns when all in-sync replicas have it.
    pub(crate) async fn send(&self, letter: &DeadLetter, record: &OwnedRecord, group: &str) -> Result<()> {
        let headers: Vec<_> = record.headers().map(|header| (header.name(), header.value)).collect();
        let mut sent = Record::to(&self.topic).timestamp(record.timestamp);
        for (name, value) in &headers {
            sent = match value {
                Some(value) => sent.header(name, *value),
                None => sent.null_header(name),
            };
        }
        for (name, value) in added(letter, record.timestamp, group) {
            sent = sent.header(name, value);
        }
        if let Some(key) = &record.key {
            sent = sent.key(key);
        }
        if let Some(value) = &record.value {
            sent = sent.value(value);
        }
        self.writer().await?.send(sent).await?;
        Ok(())
    }

    async fn writer(&self) -> Result<Producer> {
        let locked = || self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(writer) = &*locked() {
            return Ok(writer.clone());
        }
        let made = Producer::builder().over(&self.client).set("acks", "all").build().await?;
        Ok(locked().get_or_insert(made).clone())
    }
}

/// Spring writes numbers as big-endian bytes, Connect everything as text.
fn added(letter: &DeadLetter, timestamp: i64, group: &str) -> Vec<(&'static str, Bytes)> {
    let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let number = |number: i64| Bytes::copy_from_slice(&number.to_be_bytes());
    vec![
        ("kafka_dlt-original-topic", text(&letter.topic)),
        ("kafka_dlt-original-partition", Bytes::copy_from_slice(&letter.partition.to_be_bytes())),
        ("kafka_dlt-original-offset", number(letter.offset)),
        ("kafka_dlt-original-timestamp", number(timestamp)),
        ("kafka_dlt-original-consumer-group", text(group)),
        ("kafka_dlt-exception-message", text(&letter.error)),
        ("__connect.errors.topic", text(&letter.topic)),
        ("__connect.errors.partition", text(&letter.partition.to_string())),
        ("__connect.errors.offset", text(&letter.offset.to_string())),
        ("__connect.errors.exception.message", text(&letter.error)),
        ("logmill-reason", text(letter.reason.name())),
        ("logmill-attempts", text(&letter.attempts.to_string())),
    ]
}
