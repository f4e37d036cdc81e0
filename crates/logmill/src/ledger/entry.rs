//! Keys and values: text and JSON, so that any tool can read a ledger.

use std::fmt;

use bytes::Bytes;
use logmill_protocol::ids::{Offset, Partition};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// The kind of entry that says what is paused.
pub(crate) const PAUSE: &str = "pause";

/// The kind of entry that asks the organiser of a partition to go on at another offset.
pub(crate) const REWIND: &str = "rewind";

/// The kind of entry that asks a single node to be quiet or to drain.
const NODE: &str = "node";

/// The kind of entry that says which offsets an operator had the group pass over.
pub(crate) const SKIPPED: &str = "skipped";

/// Which partition of the ledger an entry is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// What became of records.
    Records,
    /// What operators ask of the group.
    Asked,
}

impl Shelf {
    pub(super) const fn partition(self) -> i32 {
        match self {
            Self::Records => 0,
            Self::Asked => 1,
        }
    }

    /// How many there are.
    pub(super) const COUNT: u32 = 2;
}

/// The version of the values. It grows when an older logmill could misread a newer one's.
const VERSION: u32 = 1;

/// What an entry is about: `<kind>`, and as far as it is about one topic, partition or record,
/// `/<topic>`, `/<partition>`, `/<offset>`. No topic's name has a `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryKey(String);

impl EntryKey {
    /// Of the whole group.
    #[must_use]
    pub fn of_group(kind: &str) -> Self {
        Self(kind.to_owned())
    }

    /// Of a topic.
    #[must_use]
    pub fn of_topic(kind: &str, topic: &str) -> Self {
        Self(format!("{kind}/{topic}"))
    }

    /// Of a partition.
    #[must_use]
    pub fn of_partition(kind: &str, partition: &Partition) -> Self {
        Self(format!("{kind}/{}/{}", partition.topic, partition.index))
    }

    /// Of a record, or of what begins there.
    #[must_use]
    pub fn of_offset(kind: &str, partition: &Partition, offset: Offset) -> Self {
        Self(format!("{kind}/{}/{}/{offset}", partition.topic, partition.index))
    }

    /// Of a node, whose name may have any sign.
    pub(crate) fn of_node(node: &str) -> Self {
        Self(format!("{NODE}/{node}"))
    }

    /// The node that it names, if it is about one.
    pub(crate) fn node(&self) -> Option<&str> {
        self.0.strip_prefix(NODE)?.strip_prefix('/')
    }

    /// A key as it stands in the topic.
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// It, as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Which shelf an entry with this key is on.
    #[must_use]
    pub fn shelf(&self) -> Shelf {
        match self.kind() {
            PAUSE | REWIND | NODE => Shelf::Asked,
            _ => Shelf::Records,
        }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.part(0).unwrap_or_default()
    }

    /// Its topic, if it names one.
    #[must_use]
    pub fn topic(&self) -> Option<&str> {
        self.part(1)
    }

    /// Its partition, if it names one.
    #[must_use]
    pub fn partition(&self) -> Option<Partition> {
        Some(Partition::new(self.topic()?, self.part(2)?.parse().ok()?))
    }

    /// Its offset, if it names one.
    #[must_use]
    pub fn offset(&self) -> Option<Offset> {
        self.part(3)?.parse().ok()
    }

    fn part(&self, number: usize) -> Option<&str> {
        self.0.split('/').nth(number)
    }
}

impl fmt::Display for EntryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An entry to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is about.
    pub key: EntryKey,
    value: Bytes,
}

/// The version stands beside the fields of the value.
#[derive(Serialize, serde::Deserialize)]
struct Versioned<T> {
    v: u32,
    #[serde(flatten)]
    body: T,
}

#[derive(serde::Deserialize)]
struct Version {
    v: u32,
}

impl Entry {
    /// An entry whose value is `body` as a JSON object, with its version as the field `v`.
    ///
    /// # Errors
    /// The body cannot be written as a JSON object.
    pub fn new(key: EntryKey, body: &impl Serialize) -> Result<Self> {
        let value = serde_json::to_vec(&Versioned { v: VERSION, body })
            .map_err(|error| Error::Json { reason: error.to_string() })?;
        Ok(Self { key, value: value.into() })
    }

    /// Its value: JSON.
    #[must_use]
    pub fn value(&self) -> &Bytes {
        &self.value
    }

    /// Reads a value back.
    ///
    /// # Errors
    /// It is no such JSON, or was written by a newer logmill in a way that this one does not know.
    pub fn read<T: DeserializeOwned>(key: &EntryKey, value: &[u8]) -> Result<T> {
        let wrong = |problem: String| Error::Json { reason: format!("ledger entry {key}: {problem}") };
        let version: Version = serde_json::from_slice(value).map_err(|error| wrong(error.to_string()))?;
        if version.v > VERSION {
            return Err(wrong(format!(
                "it has version {}, this logmill knows {VERSION}: upgrade",
                version.v
            )));
        }
        serde_json::from_slice(value).map_err(|error| wrong(error.to_string()))
    }
}

impl<V> Logged<V> {
    pub(crate) fn new(key: EntryKey, value: V, at: Offset, written_ms: i64) -> Self {
        Self { key, value, at, written_ms }
    }
}

/// An entry as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Logged<V = Bytes> {
    /// What it is about.
    pub key: EntryKey,
    /// Its value; while following, `None` where the entry was taken away.
    pub value: V,
    /// Where it stands in the ledger's partition.
    pub at: Offset,
    /// When it was written, in milliseconds since 1970.
    pub written_ms: i64,
}
