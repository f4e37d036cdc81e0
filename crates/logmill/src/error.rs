//! The one public error: what failed, against whom, what Kafka said, and what to do next.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use logmill_protocol::error::{EncodeError, ErrorCode};
use logmill_protocol::ids::{Offset, Partition};
use logmill_protocol::messages::ApiKey;

use crate::client::transport::Address;
use crate::store::StoreError;

/// What logmill's operations return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation failed. The text says what to do next; [`Error::is_retriable`] says whether the
/// same call may succeed later, [`Error::code`] what Kafka answered, [`Error::api`] to which request.
///
/// Cheap to clone, since one broken connection fails every request that waited on it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting cannot be used.
    #[error("setting {property}: {problem}")]
    Config {
        /// The setting's name, as Kafka has it where Kafka has it.
        property: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// Nothing accepts connections at this address.
    #[error("nothing answers at {address}: {source}; is the broker up, and is the address (-b) right?")]
    Unreachable {
        /// Where the connection was tried.
        address: Address,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// No broker of the list could be reached; the last failure is told.
    #[error("no broker of {brokers} can be used; the last one tried: {last}")]
    NoBroker {
        /// The addresses tried, separated by commas.
        brokers: String,
        /// Why the last one failed.
        last: Box<Error>,
    },
    /// Something that is not a Kafka broker answers there.
    #[error("{address} does not speak Kafka: {what}")]
    NotKafka {
        /// The address.
        address: Address,
        /// What it looks like, and what to check.
        what: String,
    },
    /// The broker is older than Kafka 2.1, and its record format is not supported.
    #[error("the broker at {address} is Kafka {version}; logmill needs 2.1 or later: upgrade the broker")]
    TooOld {
        /// The address.
        address: Address,
        /// Its version, as far as its answers tell.
        version: &'static str,
    },
    /// The broker and logmill have no version of this request in common.
    #[error("the broker at {address} has no {api:?} version that logmill speaks ({reason}); {}", next_for(.api))]
    Unsupported {
        /// The address.
        address: Address,
        /// The request.
        api: ApiKey,
        /// What the broker has, or that it has none.
        reason: String,
    },
    /// The connection ended before the request was sent: the broker has not seen it.
    #[error("connection to {address} lost before {} was sent: {reason}", request_name(*.api))]
    NotSent {
        /// The address.
        address: Address,
        /// The request that waited to be sent, if one did.
        api: Option<ApiKey>,
        /// Why it ended.
        reason: Arc<str>,
    },
    /// The connection ended before the answer came. Whether the broker acted on the request is unknown.
    #[error("connection to {address} lost before {} was answered: {reason}", request_name(*.api))]
    Disconnected {
        /// The address.
        address: Address,
        /// The request that waited, if one did.
        api: Option<ApiKey>,
        /// Why it ended.
        reason: Arc<str>,
    },
    /// The answer did not come in time. Whether the broker acted on the request is unknown.
    #[error(
        "{address} did not answer {api:?} within {after:?}; is the broker overloaded or the network slow? request.timeout.ms allows more time"
    )]
    Timeout {
        /// The address.
        address: Address,
        /// The request.
        api: ApiKey,
        /// How long it was waited for.
        after: Duration,
    },
    /// An operation of several requests did not succeed by its deadline.
    #[error("gave up {what} after {after:?}; the last failure: {last}")]
    GaveUp {
        /// What was being done.
        what: String,
        /// For how long.
        after: Duration,
        /// The last failure.
        last: Box<Error>,
    },
    /// The broker sent bytes that are no answer to the request. The connection was closed.
    #[error("{address} answered {} with bytes that are no answer: {reason}; is something other than a broker in between?", request_name(*.api))]
    Garbage {
        /// The address.
        address: Address,
        /// The request, if the bytes can be matched to one.
        api: Option<ApiKey>,
        /// What is wrong with them.
        reason: Arc<str>,
    },
    /// The request cannot be written in a version that the broker has.
    #[error("{api:?} cannot be sent: {source}; a newer broker may be needed")]
    Encode {
        /// The request.
        api: ApiKey,
        /// What it cannot carry.
        source: EncodeError,
    },
    /// Kafka refused the request.
    #[error("Kafka refused {api:?}{}: {}{}{}", about(.subject), .code.name(), quoted(.message.as_deref()), advice(*.code))]
    Refused {
        /// The request.
        api: ApiKey,
        /// Kafka's error.
        code: ErrorCode,
        /// What it was about (a topic, a partition, a consumer group); empty if about nothing in particular.
        subject: String,
        /// Kafka's own words, if it sent any.
        message: Option<String>,
    },
    /// There is no such topic.
    #[error(
        "topic {topic:?} does not exist; make it: logmill topic create -b {brokers} -t {topic} --partitions 6"
    )]
    UnknownTopic {
        /// The topic asked for.
        topic: String,
        /// The addresses given to the client.
        brokers: String,
    },
    /// The topic has no such partition.
    #[error("{partition} does not exist: the topic has {partitions} partitions, numbered from 0")]
    UnknownPartition {
        /// The partition asked for.
        partition: Partition,
        /// How many the topic has.
        partitions: usize,
    },
    /// The cluster has no such broker now; it may be down.
    #[error("the cluster at {brokers} has no broker {broker} now; is it down?")]
    UnknownBroker {
        /// The broker's number.
        broker: i32,
        /// The addresses given to the client.
        brokers: String,
    },
    /// The partition has no leader now.
    #[error("{partition} has no leader now: its brokers may be down, or an election is under way")]
    NoLeader {
        /// The partition.
        partition: Partition,
    },
    /// The topic was deleted and made again under its name since its id was learnt.
    #[error("topic {topic:?} was deleted and made again: what was known of the old one does not apply")]
    Recreated {
        /// The topic's name.
        topic: String,
    },
    /// The offsets asked for were deleted, by retention or on request. They belong in the gap ledger;
    /// reading goes on at `log_start`.
    #[error("{partition}: offsets {position}..{log_start} were deleted (retention, or delete records)")]
    Deleted {
        /// The partition.
        partition: Partition,
        /// The offset asked for.
        position: Offset,
        /// The first offset that the log still has.
        log_start: Offset,
    },
    /// The log ends before the offset asked for, although it once reached it: an unclean election cut
    /// it short. What is there now at those offsets is other data.
    #[error("{partition}: the log was cut back to {end}, below {position} (unclean leader election?)")]
    Truncated {
        /// The partition.
        partition: Partition,
        /// The offset asked for.
        position: Offset,
        /// Where the log as it was known ends now.
        end: Offset,
    },
    /// The log ends before the offset asked for; its leader may only be behind.
    #[error("{partition}: the log ends at {end}, before {position}")]
    BeyondEnd {
        /// The partition.
        partition: Partition,
        /// The offset asked for.
        position: Offset,
        /// Where the log ends.
        end: Offset,
    },
    /// There is nothing to read yet at this offset.
    #[error(
        "{partition}: nothing to read at {position} yet, readers see the log up to {end}; does an open transaction hold it?"
    )]
    NothingYet {
        /// The partition.
        partition: Partition,
        /// The offset asked for.
        position: Offset,
        /// The first offset that a reader cannot see.
        end: Offset,
    },
    /// A record batch is damaged; asking for it again gave the same.
    #[error(
        "{partition}: the record batch at offset {offset} is damaged ({reason}); check the brokers' disks"
    )]
    Corrupt {
        /// The partition.
        partition: Partition,
        /// The first offset that cannot be read.
        offset: Offset,
        /// What is wrong with it.
        reason: String,
    },
    /// A record batch is larger than the largest that this client accepts.
    #[error(
        "{partition}: the record batch at offset {offset} needs more than {limit} bytes; raise fetch.max.bytes"
    )]
    TooLarge {
        /// The partition.
        partition: Partition,
        /// The first offset that cannot be read.
        offset: Offset,
        /// The limit in bytes.
        limit: usize,
    },
    /// The consumer group does not accept this member, or not at this generation: its partitions are
    /// someone else's by now. Nothing was committed; whatever was read under that membership must not
    /// be committed under another.
    #[error("consumer group {group:?} refused the membership ({}): its partitions belong to another member now", .code.name())]
    NotOwner {
        /// The consumer group.
        group: String,
        /// Kafka's error.
        code: ErrorCode,
    },
    /// The record is larger than a produce request may be.
    #[error(
        "the record takes {size} bytes, max.request.size allows {limit}: raise it (and max.message.bytes of the topic), or send less"
    )]
    RecordTooLarge {
        /// The bytes of a batch that holds nothing else.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A value cannot be written as JSON.
    #[error("the value cannot be written as JSON: {reason}")]
    Json {
        /// What is wrong with it.
        reason: String,
    },
    /// A record was not sent, or may not have been.
    #[error(transparent)]
    Produce(#[from] crate::client::producer::ProduceError),
    /// The store of a group's state failed, or cannot be used.
    #[error(transparent)]
    Store {
        /// What is wrong, and what to do about it.
        source: Arc<StoreError>,
    },
    /// The topic of a group's ledger is missing or not as it has to be.
    #[error("topic {topic:?} cannot be the group's ledger: {problem}; to mend it: {command}")]
    Ledger {
        /// The topic.
        topic: String,
        /// What is wrong.
        problem: String,
        /// The command that mends it, run by someone who may.
        command: String,
    },
    /// The client, connection or membership was closed by its owner.
    #[error("{what} is closed")]
    Closed {
        /// What is closed.
        what: &'static str,
    },
}

impl Error {
    /// Whether the same call may succeed later, at this broker or another.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::NotSent { .. }
            | Self::Disconnected { .. }
            | Self::Timeout { .. }
            | Self::Garbage { .. }
            | Self::UnknownTopic { .. }
            | Self::UnknownBroker { .. }
            | Self::BeyondEnd { .. }
            | Self::NothingYet { .. }
            | Self::NoLeader { .. } => true,
            Self::NoBroker { last, .. } | Self::GaveUp { last, .. } => last.is_retriable(),
            Self::Produce(error) => error.reason().is_retriable(),
            Self::Refused { code, .. } => code.is_retriable(),
            Self::Store { source } => source.is_retriable(),
            _ => false,
        }
    }

    /// Whether the broker may have acted on the request although no answer came.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Disconnected { .. } | Self::Timeout { .. } | Self::Garbage { .. } => true,
            Self::Produce(error) => error.is_possibly_persisted(),
            _ => false,
        }
    }

    /// What Kafka answered, if it answered with an error.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } | Self::NotOwner { code, .. } => Some(*code),
            Self::UnknownTopic { .. } => Some(ErrorCode::UnknownTopicOrPartition),
            Self::NoBroker { last, .. } | Self::GaveUp { last, .. } => last.code(),
            Self::Produce(error) => error.reason().code(),
            _ => None,
        }
    }

    /// Which of Kafka's requests failed, if one did.
    #[must_use]
    pub fn api(&self) -> Option<ApiKey> {
        match self {
            Self::Unsupported { api, .. }
            | Self::Timeout { api, .. }
            | Self::Encode { api, .. }
            | Self::Refused { api, .. } => Some(*api),
            Self::NotSent { api, .. } | Self::Disconnected { api, .. } | Self::Garbage { api, .. } => *api,
            Self::NotOwner { .. } => Some(ApiKey::OffsetCommit),
            Self::NoBroker { last, .. } | Self::GaveUp { last, .. } => last.api(),
            Self::Produce(error) => error.reason().api(),
            _ => None,
        }
    }

    /// A setting that cannot be used.
    pub(crate) fn config(property: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Config { property: property.into(), problem: problem.into() }
    }

    /// A refusal by Kafka, about `subject`.
    pub(crate) fn refused(api: ApiKey, code: ErrorCode, subject: impl Into<String>) -> Self {
        Self::Refused { api, code, subject: subject.into(), message: None }
    }
}

impl From<StoreError> for Error {
    fn from(source: StoreError) -> Self {
        Self::Store { source: Arc::new(source) }
    }
}

fn request_name(api: Option<ApiKey>) -> String {
    api.map_or_else(|| "a request".to_owned(), |api| format!("{api:?}"))
}

fn about(subject: &str) -> String {
    if subject.is_empty() { String::new() } else { format!(" for {subject}") }
}

fn quoted(message: Option<&str>) -> String {
    message.filter(|m| !m.is_empty()).map_or_else(String::new, |m| format!(" ({m})"))
}

fn next_for(api: &ApiKey) -> &'static str {
    match api {
        ApiKey::ConsumerGroupHeartbeat => "use the classic group protocol",
        _ => "use another broker version, or a newer logmill",
    }
}

/// What to do about Kafka's commoner refusals.
fn advice(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::TopicAuthorizationFailed
        | ErrorCode::GroupAuthorizationFailed
        | ErrorCode::ClusterAuthorizationFailed => "; grant this user the missing ACL",
        ErrorCode::TopicAlreadyExists => "; pick another name, or use the topic as it is",
        ErrorCode::InvalidReplicationFactor => "; it cannot exceed the number of brokers",
        ErrorCode::NonEmptyGroup => "; stop the consumer group's members first",
        ErrorCode::InconsistentGroupProtocol => {
            "; members of another kind use this consumer group: stop them first, or choose another group"
        }
        ErrorCode::InvalidSessionTimeout => {
            "; the broker allows group.min.session.timeout.ms to group.max.session.timeout.ms"
        }
        ErrorCode::GroupMaxSizeReached => "; raise group.max.size on the brokers, or run fewer members",
        ErrorCode::MessageTooLarge => "; lower batch.size below the topic's max.message.bytes, or raise that",
        ErrorCode::OffsetMetadataTooLarge => "; raise offset.metadata.max.bytes on the brokers",
        _ => "",
    }
}
