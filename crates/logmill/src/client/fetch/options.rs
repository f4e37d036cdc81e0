//! What a reader asks of a broker.

use std::time::Duration;

use crate::config::Settings;

/// Which records of transactions are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// Only those of transactions that were committed, and those that belong to none. The log ends, for
    /// a reader, where the oldest open transaction begins (the last stable offset).
    #[default]
    Committed,
    /// All, aborted ones included.
    Uncommitted,
}

impl Isolation {
    /// The number on the wire.
    pub(crate) fn level(self) -> i8 {
        match self {
            Self::Committed => 1,
            Self::Uncommitted => 0,
        }
    }
}

/// How records are fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchOptions {
    /// Which records of transactions are shown (`isolation.level`).
    pub isolation: Isolation,
    /// How many bytes of one partition a fetch asks for (`max.partition.fetch.bytes`).
    pub partition_bytes: usize,
    /// The most bytes of one fetch, and the largest batch accepted (`fetch.max.bytes`).
    pub max_bytes: usize,
    /// How many bytes a broker collects before it answers (`fetch.min.bytes`).
    pub min_bytes: usize,
    /// For how long a broker may hold a fetch back until `min_bytes` are there (`fetch.max.wait.ms`).
    pub max_wait: Duration,
    /// For how long a reader goes on without moving before it gives up (`default.api.timeout.ms`).
    pub patience: Duration,
    /// How many fetched bytes of a stream may wait to be taken; it fetches no more until there is room.
    /// Default 64 MiB.
    pub buffer_bytes: usize,
    /// Which of several connections to a broker to use, from 0. Fetches on one connection are answered
    /// one after the other. Default 0.
    pub connection: u16,
}

impl FetchOptions {
    /// What the settings say.
    #[must_use]
    pub fn from_settings(settings: &Settings) -> Self {
        let isolation = match settings.text("isolation.level") {
            "read_uncommitted" => Isolation::Uncommitted,
            _ => Isolation::Committed,
        };
        Self {
            isolation,
            partition_bytes: settings.bytes("max.partition.fetch.bytes"),
            max_bytes: settings.bytes("fetch.max.bytes"),
            min_bytes: settings.bytes("fetch.min.bytes"),
            max_wait: settings.duration("fetch.max.wait.ms"),
            patience: settings.duration("default.api.timeout.ms"),
            buffer_bytes: 64 << 20,
            connection: 0,
        }
    }
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self::from_settings(&Settings::default())
    }
}
