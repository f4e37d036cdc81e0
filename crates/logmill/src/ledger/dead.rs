//! A dead letter: a record given up on, why, and the record itself.

use logmill_protocol::ids::{Offset, Partition, Uuid};
use logmill_protocol::records::OwnedRecord;
use serde::{Deserialize, Serialize};

use super::entry::{Entry, EntryKey};
use super::payload::Payload;
use crate::error::Result;

/// The kind of a dead letter's key.
pub const DEAD: &str = "dead";

/// The longest text of an error that is kept, in bytes.
const LONGEST_ERROR: usize = 4 << 10;

/// Why a record was given up on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DeadReason {
    /// It failed as often, or for as long, as it may.
    Attempts,
    /// Its handler said so.
    Handler,
    /// Its key, value or headers are not what the handler takes.
    Decode,
    /// Its handler did not end in time, and it failed as often as it may.
    Timeout,
    /// Nodes died while they had it, again and again.
    Killed,
}

impl DeadReason {
    /// Its name, as the ledger writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attempts => "attempts",
            Self::Handler => "handler",
            Self::Decode => "decode",
            Self::Timeout => "timeout",
            Self::Killed => "killed",
        }
    }
}

/// A record given up on, as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The record's topic.
    pub topic: String,
    /// The topic's id, 22 characters; all zero, as a text, where brokers have none. A topic made again
    /// under the name has another.
    pub topic_id: String,
    /// The record's partition.
    pub partition: i32,
    /// The record's offset.
    pub offset: Offset,
    /// Why it was given up on.
    pub reason: DeadReason,
    /// What went wrong last.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it failed first, as far as the node knows that gave it up; milliseconds since 1970.
    pub first_failure_ms: i64,
    /// When it was given up on; milliseconds since 1970.
    pub last_failure_ms: i64,
    /// The node that gave it up.
    pub node: String,
    /// The record itself; none where it was too large, and must be read from its topic.
    #[serde(default)]
    pub record: Option<DeadRecord>,
}

/// The record of a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadRecord {
    /// Its timestamp, in milliseconds since 1970.
    pub timestamp: i64,
    /// Its key, or null.
    pub key: Option<Payload>,
    /// Its value, or null.
    pub value: Option<Payload>,
    /// Its headers, in order; names may repeat.
    #[serde(default)]
    pub headers: Vec<(Payload, Option<Payload>)>,
}

impl DeadRecord {
    /// A copy of a record.
    #[must_use]
    pub fn copy(record: &OwnedRecord) -> Self {
        let payload = |bytes: &bytes::Bytes| Payload::from(&bytes[..]);
        Self {
            timestamp: record.timestamp,
            key: record.key.as_ref().map(payload),
            value: record.value.as_ref().map(payload),
            headers: record.headers().map(|it| (it.key.into(), it.value.map(Payload::from))).collect(),
        }
    }
}

impl DeadLetter {
    /// The topic and partition of the record.
    #[must_use]
    pub fn place(&self) -> Partition {
        Partition::new(&*self.topic, self.partition)
    }

    /// The id that the topic had, if its brokers give ids.
    #[must_use]
    pub fn topic_uuid(&self) -> Option<Uuid> {
        self.topic_id.parse().ok().filter(|id: &Uuid| !id.is_zero())
    }

    /// The key under which the ledger has it.
    #[must_use]
    pub fn key(&self) -> EntryKey {
        EntryKey::of_offset(DEAD, &self.place(), self.offset)
    }

    /// It as an entry. The text of the error is cut at 4 KiB.
    ///
    /// # Errors
    /// None that can happen: every field has a form in JSON.
    pub fn entry(mut self) -> Result<Entry> {
        if self.error.len() > LONGEST_ERROR {
            let cut = (0..=LONGEST_ERROR).rev().find(|&at| self.error.is_char_boundary(at));
            self.error.truncate(cut.unwrap_or_default());
        }
        Entry::new(self.key(), &self)
    }

    /// Reads an entry whose key is of the kind [`DEAD`].
    ///
    /// # Errors
    /// It is no dead letter, or one of a newer logmill.
    pub fn from_entry(key: &EntryKey, value: &[u8]) -> Result<Self> {
        Entry::read(key, value)
    }
}
