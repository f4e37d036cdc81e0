//! Settings by the names that Kafka's users know. One table says which there are, what they hold and
//! what they mean; a name or value that is not in it is an error, never ignored.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Error, Result};

/// What a setting's value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Any text.
    Text,
    /// A whole number from the first to the second, both included.
    Number(i64, i64),
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// One setting.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Property {
    /// Its name. A name that ends in `.ms` is in milliseconds, one that ends in `.bytes` in bytes.
    pub name: &'static str,
    /// What it is when nobody sets it. Empty: not set.
    pub default: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// What it does.
    pub meaning: &'static str,
}

const INT: i64 = i32::MAX as i64;
const HOUR: i64 = 3_600_000;

macro_rules! properties {
    ($($name:literal = $default:literal, $kind:expr, $meaning:literal;)*) => {
        /// Every setting there is, by name.
        pub const PROPERTIES: &[Property] = &[
            $(Property { name: $name, default: $default, kind: $kind, meaning: $meaning },)*
        ];
    };
}

properties! {
    "acks" = "all", Kind::OneOf(&["all", "-1", "0", "1"]), "how many replicas must have a record before it counts as sent: all that are in sync, the leader, or none";
    "batch.size" = "65536", Kind::Number(1, INT), "the most bytes of one record batch before it is compressed; a larger record gets a batch of its own";
    "bootstrap.servers" = "", Kind::Text, "brokers to start from: host:port, separated by commas";
    "buffer.memory" = "33554432", Kind::Number(1_024, INT), "how many bytes of records a producer holds; when they are there, sending waits";
    "client.dns.lookup" = "use_all_dns_ips", Kind::OneOf(&["use_all_dns_ips"]), "every address that a name resolves to is tried";
    "client.id" = "logmill", Kind::Text, "the name that brokers show in logs, quotas and group descriptions";
    "compression.gzip.level" = "-1", Kind::Number(-1, 9), "gzip's effort, from 1 to 9; -1 for its default";
    "compression.type" = "none", Kind::OneOf(&["none", "gzip", "snappy", "lz4", "zstd"]), "how a producer compresses record batches";
    "compression.zstd.level" = "3", Kind::Number(-131_072, 22), "zstd's effort, up to 22";
    "connections.max.idle.ms" = "540000", Kind::Number(1_000, 24 * HOUR), "an unused connection is closed after this time; keep it below the brokers' own limit (10 minutes)";
    "default.api.timeout.ms" = "60000", Kind::Number(1, 24 * HOUR), "for how long an operation is retried before it fails";
    "delivery.timeout.ms" = "120000", Kind::Number(1, 24 * HOUR), "by when a record is sent or has failed, waiting and retries included";
    "enable.idempotence" = "true", Kind::OneOf(&["true", "false"]), "whether retries store no record twice and keep the order; off with acks other than all";
    "fetch.max.bytes" = "52428800", Kind::Number(1_024, INT), "the most bytes of one fetch, and the largest record batch that is accepted";
    "fetch.max.wait.ms" = "500", Kind::Number(0, HOUR), "for how long a broker may hold a fetch back until fetch.min.bytes are there";
    "fetch.min.bytes" = "1", Kind::Number(1, INT), "how many bytes a broker collects before it answers a fetch";
    "group.instance.id" = "", Kind::Text, "a fixed member name: a restart within session.timeout.ms causes no rebalance (KIP-345)";
    "group.protocol" = "auto", Kind::OneOf(&["auto", "classic", "consumer"]), "who shares partitions out among a consumer group's members: the brokers (consumer, KIP-848), the members themselves (classic), or the brokers where they can and the store is in memory, if their session timeout is no longer than the node's (auto)";
    "heartbeat.interval.ms" = "3000", Kind::Number(10, HOUR), "how often a member of a consumer group shows that it is alive; at most a third of session.timeout.ms";
    "isolation.level" = "read_committed", Kind::OneOf(&["read_committed", "read_uncommitted"]), "whether records of aborted and open transactions are hidden";
    "linger.ms" = "5", Kind::Number(0, HOUR), "for how long a record waits for others to share its batch";
    "max.block.ms" = "60000", Kind::Number(0, 24 * HOUR), "for how long sending waits for room in buffer.memory, or for a topic to be found";
    "max.in.flight.requests.per.connection" = "5", Kind::Number(1, 64), "how many produce requests a broker may have unanswered; above 5, idempotence is off";
    "max.partition.fetch.bytes" = "1048576", Kind::Number(1_024, INT), "how many bytes of one partition a fetch asks for";
    "max.request.size" = "1048576", Kind::Number(1_024, INT), "the most bytes of one produce request, and of one record";
    "metadata.max.age.ms" = "300000", Kind::Number(100, 24 * HOUR), "how often topics and leaders are looked up again although nothing failed";
    "rebalance.timeout.ms" = "300000", Kind::Number(10, HOUR), "how long a member of a consumer group may take to let go of partitions in a rebalance";
    "receive.message.max.bytes" = "104857600", Kind::Number(1_024, INT), "the largest response accepted from a broker";
    "reconnect.backoff.max.ms" = "1000", Kind::Number(0, HOUR), "the longest pause between two attempts to connect to a broker";
    "reconnect.backoff.ms" = "50", Kind::Number(0, HOUR), "the first pause between two attempts to connect to a broker; doubles each time";
    "request.timeout.ms" = "30000", Kind::Number(1, 24 * HOUR), "how long a broker has for one answer";
    "retry.backoff.max.ms" = "1000", Kind::Number(0, HOUR), "the longest pause before a failed request is sent again";
    "retry.backoff.ms" = "100", Kind::Number(0, HOUR), "the first pause before a failed request is sent again; doubles each time";
    "session.timeout.ms" = "45000", Kind::Number(10, HOUR), "a member of a consumer group that is silent for so long is taken for dead";
    "socket.connection.setup.timeout.ms" = "10000", Kind::Number(1, HOUR), "how long a connection may take to be made";
    "topic.metadata.propagation.max.ms" = "3000", Kind::Number(0, HOUR), "for how long a topic that brokers do not know is asked for again, since a new one takes a moment to be known everywhere";
}

/// Settings as they were given, each checked against [`PROPERTIES`].
#[derive(Clone, Debug, Default)]
pub struct Settings {
    given: BTreeMap<&'static str, String>,
}

impl Settings {
    /// Takes a setting.
    ///
    /// # Errors
    /// There is no such setting, or its value does not fit. The error says what would.
    pub fn set(&mut self, name: &str, value: impl Into<String>) -> Result<()> {
        let property = find(name)?;
        let value = value.into();
        match property.kind {
            Kind::Text => {}
            Kind::OneOf(words) if words.contains(&&*value) => {}
            Kind::OneOf(words) => {
                return Err(Error::config(name, format!("{value:?} is not one of {}", words.join(", "))));
            }
            Kind::Number(least, most) => match value.parse::<i64>() {
                Ok(number) if (least..=most).contains(&number) => {}
                _ => {
                    return Err(Error::config(
                        name,
                        format!("{value:?} is not a whole number from {least} to {most}"),
                    ));
                }
            },
        }
        self.given.insert(property.name, value);
        Ok(())
    }

    /// The value of a setting of the table: as given, or its default.
    #[must_use]
    pub fn text(&self, name: &'static str) -> &str {
        debug_assert!(find(name).is_ok(), "{name} is not in the table");
        match self.given.get(name) {
            Some(value) => value,
            None => find(name).map_or("", |property| property.default),
        }
    }

    /// The value of a setting that may be left out: `None` if it is empty.
    #[must_use]
    pub fn optional(&self, name: &'static str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// Whether the setting was given, rather than left at its default.
    #[must_use]
    pub fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// The value of a numeric setting. Its range was checked when it was taken.
    #[must_use]
    pub fn number(&self, name: &'static str) -> i64 {
        self.text(name).parse().unwrap_or_default()
    }

    /// The value of a setting in bytes.
    #[must_use]
    pub fn bytes(&self, name: &'static str) -> usize {
        usize::try_from(self.number(name)).unwrap_or_default()
    }

    /// The value of a setting in milliseconds.
    #[must_use]
    pub fn duration(&self, name: &'static str) -> Duration {
        Duration::from_millis(u64::try_from(self.number(name)).unwrap_or_default())
    }
}

fn find(name: &str) -> Result<&'static Property> {
    PROPERTIES.iter().find(|property| property.name == name).ok_or_else(|| {
        let near = PROPERTIES.iter().map(|p| (distance(p.name, name), p.name)).min();
        let problem = match near {
            Some((steps, near)) if steps <= 5 => format!("there is no such setting; did you mean {near}?"),
            _ => "there is no such setting; logmill config list shows all".to_owned(),
        };
        Error::config(name, problem)
    })
}

/// How many letters must be put in, taken out or replaced to make one name of the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_default_fits_its_own_rule_and_the_table_is_in_order() {
        for property in PROPERTIES {
            if !property.default.is_empty() {
                Settings::default().set(property.name, property.default).unwrap();
            }
        }
        assert!(PROPERTIES.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn a_misspelt_name_is_answered_with_the_right_one() {
        let error = Settings::default().set("session.timeout", "1").unwrap_err().to_string();
        assert!(error.contains("did you mean session.timeout.ms?"), "{error}");
        let error = Settings::default().set("no.such.thing.at.all", "1").unwrap_err().to_string();
        assert!(error.contains("config list"), "{error}");
    }

    #[test]
    fn a_value_that_does_not_fit_is_answered_with_what_would() {
        let mut settings = Settings::default();
        let error = settings.set("request.timeout.ms", "soon").unwrap_err().to_string();
        assert!(error.contains("whole number from 1 to"), "{error}");
        let error = settings.set("isolation.level", "none").unwrap_err().to_string();
        assert!(error.contains("read_committed, read_uncommitted"), "{error}");
        settings.set("request.timeout.ms", "250").unwrap();
        assert_eq!(settings.duration("request.timeout.ms"), Duration::from_millis(250));
        assert_eq!(settings.duration("retry.backoff.ms"), Duration::from_millis(100));
    }
}
