//! How an embedded cluster is made.

use std::time::{Duration, SystemTime};

/// Settings of a [`Cluster`](crate::Cluster). Start from [`ClusterOptions::default`] and set what
/// should differ.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClusterOptions {
    /// How many brokers, with the ids 1, 2, …; at least 1. Default 1.
    pub brokers: u16,
    /// What all randomness (topic ids, member ids, flipped bits) is drawn from. Two clusters with the
    /// same seed and the same requests behave the same. Default 0.
    pub seed: u64,
    /// Milliseconds since 1970 when the cluster starts; from then on its clock goes with tokio's, also
    /// where that is paused. Default: the system's time. Set it for a run that is to be repeatable.
    pub start_time_ms: i64,
    /// Whether asking for the metadata of a topic creates it (`auto.create.topics.enable`). Default no.
    pub auto_create_topics: bool,
    /// Partitions of a topic created without a number (`num.partitions`). Default 1.
    pub default_partitions: i32,
    /// The largest request accepted, in bytes (`socket.request.max.bytes`). A larger one closes the
    /// connection. Default 100 MiB.
    pub frame_limit: usize,
    /// How many bytes of record batches the cluster keeps in memory; a batch beyond is refused with
    /// KAFKA_STORAGE_ERROR. A topic's `retention.bytes` keeps below it. Default 4 GiB.
    pub memory_limit: usize,
    /// How long a new consumer group waits for more members before its first generation
    /// (`group.initial.rebalance.delay.ms`). Default none; Kafka's own is 3 s.
    pub group_initial_rebalance_delay: Duration,
    /// The shortest session timeout that a member may ask for (`group.min.session.timeout.ms`).
    /// Default 6 s.
    pub group_min_session_timeout: Duration,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            brokers: 1,
            seed: 0,
            start_time_ms: i64::try_from(now.as_millis()).unwrap_or(0),
            auto_create_topics: false,
            default_partitions: 1,
            frame_limit: 100 << 20,
            memory_limit: 4 << 30,
            group_initial_rebalance_delay: Duration::ZERO,
            group_min_session_timeout: Duration::from_secs(6),
        }
    }
}

impl ClusterOptions {
    /// The default settings with this many brokers.
    #[must_use]
    pub fn brokers(count: u16) -> Self {
        Self { brokers: count, ..Self::default() }
    }

    /// Sets [`ClusterOptions::seed`].
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}
