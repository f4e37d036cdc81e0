//! Requeue: a dead letter's record is produced again to the partition it came from, and then its entry is
//! taken away.

use logmill_protocol::records::{Decompressor, Limits};

use super::Ledger;
use super::dead::{DeadLetter, DeadRecord};
use super::payload::Payload;
use crate::client::producer::{Ack, Record};
use crate::error::{Error, Result};

/// The header that says where a requeued record stood: `topic/partition@offset`.
pub const REQUEUED_FROM: &str = "logmill-requeued-from";

/// The header of a requeued record whose attempts begin anew.
pub const ATTEMPT: &str = "logmill-attempt";

/// The header that says who changed a requeued record's value.
pub const EDITED_BY: &str = "logmill-edited-by";

/// A value in place of the dead letter's own.
#[derive(Clone, Debug)]
pub struct Edit {
    /// The new value; none for null.
    pub value: Option<bytes::Bytes>,
    /// Who changed it.
    pub by: String,
}

impl Ledger {
    /// Produces the record again, with its key, value and headers, to its topic and partition, and takes the
    /// dead letter away. Whoever dies in between has the record twice, never not at all.
    ///
    /// # Errors
    /// The record was kept by reference, and its topic does not have it any more; or Kafka cannot be reached.
    /// The dead letter stays.
    pub async fn requeue(&self, letter: &DeadLetter, edit: Option<&Edit>) -> Result<Ack> {
        let original = self.record_of(letter).await?;
        let from = format!("{}/{}@{}", letter.topic, letter.partition, letter.offset);
        let ours = [REQUEUED_FROM, ATTEMPT, EDITED_BY];
        let names: Vec<_> =
            original.headers.iter().map(|(name, _)| String::from_utf8_lossy(&name.0)).collect();
        let mut record = Record::to(&letter.topic).partition(letter.partition);
        for (name, (_, value)) in names.iter().zip(&original.headers) {
            record = match value {
                // From an earlier requeue.
                _ if ours.contains(&&**name) => record,
                Some(Payload(value)) => record.header(name, value),
                None => record.null_header(name),
            };
        }
        record = record.header(ATTEMPT, "0").header(REQUEUED_FROM, from);
        let value = match edit {
            Some(edit) => {
                record = record.header(EDITED_BY, &edit.by);
                edit.value.as_ref()
            }
            None => original.value.as_ref().map(|Payload(value)| value),
        };
        if let Some(Payload(key)) = &original.key {
            record = record.key(key);
        }
        if let Some(value) = value {
            record = record.value(value);
        }
        let ack = self.writer().await?.send(record).await?;
        self.remove(&letter.key()).await?;
        Ok(ack)
    }

    /// The record of a dead letter: the copy, or from its topic where only a reference was kept.
    ///
    /// # Errors
    /// The topic does not have it any more, or cannot be read.
    pub async fn record_of(&self, letter: &DeadLetter) -> Result<DeadRecord> {
        if let Some(record) = &letter.record {
            return Ok(record.clone());
        }
        let (place, offset) = (letter.place(), letter.offset);
        let gone = || Error::Deleted { partition: letter.place(), position: offset, log_start: offset + 1 };
        let options = self.fetch_options();
        let range = offset..offset + 1;
        let mut reader = self.inner.client.fetch_range(place.clone(), letter.topic_uuid(), range, &options);
        let mut decompressor = Decompressor::new(Limits::default());
        while let Some(fetched) = reader.next().await? {
            for batch in fetched.batches {
                let damaged = |problem: &dyn std::fmt::Display| Error::Corrupt {
                    partition: place.clone(),
                    offset,
                    reason: problem.to_string(),
                };
                let records = batch.records(&mut decompressor).map_err(|error| damaged(&error))?;
                for record in records.into_owned() {
                    let record = record.map_err(|error| damaged(&error))?;
                    if record.offset == offset {
                        return Ok(DeadRecord::copy(&record));
                    }
                }
            }
        }
        Err(gone())
    }
}
