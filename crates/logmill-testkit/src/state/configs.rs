//! The settings of topics and brokers that the embedded cluster knows. What is not in these tables is
//! refused; what is in them and has no effect here says so.

use logmill_protocol::error::ErrorCode;

use super::options::ClusterOptions;
use super::topics::Refusal;

/// The number that stands for a topic among the resources that have settings.
pub(crate) const TOPIC_RESOURCE: i8 = 2;
/// The number that stands for a broker among them.
pub(crate) const BROKER_RESOURCE: i8 = 4;

/// One setting a topic can have.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) default: &'static str,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Int,
    Long,
    Double,
    Text,
    List,
}

impl Kind {
    /// The number that DescribeConfigs gives the kind (KIP-569).
    pub(crate) fn code(self) -> i8 {
        match self {
            Self::Bool => 1,
            Self::Text => 2,
            Self::Int => 3,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
        }
    }

    fn accepts(self, value: &str) -> bool {
        match self {
            Self::Bool => matches!(value, "true" | "false"),
            Self::Int => value.parse::<i32>().is_ok(),
            Self::Long => value.parse::<i64>().is_ok(),
            Self::Double => value.parse::<f64>().is_ok(),
            Self::Text | Self::List => true,
        }
    }
}

const fn setting(name: &'static str, default: &'static str, kind: Kind) -> Setting {
    Setting { name, default, kind }
}

pub(crate) const RETENTION_BYTES: &str = "retention.bytes";
pub(crate) const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
pub(crate) const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";
/// Kafka's default for [`MAX_MESSAGE_BYTES`]: 1 MiB and the overhead of a batch.
pub(crate) const DEFAULT_MAX_MESSAGE_BYTES: i64 = 1_048_588;

/// `retention.bytes`, `max.message.bytes` and `min.insync.replicas` are honoured; the rest is kept and
/// shown, and has no effect here.
pub(crate) const TOPIC: &[Setting] = &[
    setting("cleanup.policy", "delete", Kind::List),
    setting("compression.type", "producer", Kind::Text),
    setting("delete.retention.ms", "86400000", Kind::Long),
    setting("file.delete.delay.ms", "60000", Kind::Long),
    setting("flush.messages", "9223372036854775807", Kind::Long),
    setting("flush.ms", "9223372036854775807", Kind::Long),
    setting("max.compaction.lag.ms", "9223372036854775807", Kind::Long),
    setting(MAX_MESSAGE_BYTES, "1048588", Kind::Int),
    setting("message.timestamp.type", "CreateTime", Kind::Text),
    setting("min.cleanable.dirty.ratio", "0.5", Kind::Double),
    setting("min.compaction.lag.ms", "0", Kind::Long),
    setting(MIN_INSYNC_REPLICAS, "1", Kind::Int),
    setting(RETENTION_BYTES, "-1", Kind::Long),
    setting("retention.ms", "604800000", Kind::Long),
    setting("segment.bytes", "1073741824", Kind::Int),
    setting("segment.ms", "604800000", Kind::Long),
    setting("unclean.leader.election.enable", "false", Kind::Bool),
];

/// Whether a topic can have this setting with this value.
pub(crate) fn check_topic(name: &str, value: &str) -> Result<(), Refusal> {
    let Some(setting) = TOPIC.iter().find(|setting| setting.name == name) else {
        return Err((
            ErrorCode::InvalidConfig,
            format!("The embedded broker has no topic setting '{name}'."),
        ));
    };
    if name == "message.timestamp.type" && value != "CreateTime" {
        let text = "The embedded broker keeps the producer's timestamps: only CreateTime is possible.";
        return Err((ErrorCode::InvalidConfig, text.to_owned()));
    }
    if !setting.kind.accepts(value) {
        let text = format!("'{value}' is no value for the topic setting '{name}'.");
        return Err((ErrorCode::InvalidConfig, text));
    }
    Ok(())
}

/// The settings of every broker.
pub(crate) fn broker(options: &ClusterOptions) -> Vec<(&'static str, String, Kind)> {
    let millis = |time: std::time::Duration| time.as_millis().to_string();
    vec![
        ("auto.create.topics.enable", options.auto_create_topics.to_string(), Kind::Bool),
        ("group.initial.rebalance.delay.ms", millis(options.group_initial_rebalance_delay), Kind::Int),
        ("group.min.session.timeout.ms", millis(options.group_min_session_timeout), Kind::Int),
        ("num.partitions", options.default_partitions.to_string(), Kind::Int),
        ("socket.request.max.bytes", options.frame_limit.to_string(), Kind::Int),
    ]
}
