//! What a node's metrics mean, in a line each, for whoever reads them.

use metrics::{describe_counter, describe_gauge, describe_histogram};

use crate::observe::Sinks;

const COUNTERS: [(&str, &str); 11] = [
    ("messaging_client_consumed_messages_total", "Records read from Kafka"),
    ("messaging_client_sent_messages_total", "Records that Kafka has acknowledged"),
    ("logmill_unit_planned_total", "Units planned by this node's organiser"),
    ("logmill_lease_expirations_total", "Units that this node lost to others, or with the store"),
    ("logmill_retries_total", "Tries of records that failed and come again"),
    ("logmill_dead_letters_total", "Records that were given up on"),
    ("logmill_skipped_total", "Offsets that nobody handled, nor will"),
    ("logmill_organiser_rebalances_total", "How often partitions were assigned to this node anew"),
    ("logmill_offset_mirror_errors_total", "Commits that Kafka did not take"),
    (
        "logmill_kafka_throttle_seconds_total",
        "For how long brokers asked this client to pause, in whole seconds",
    ),
    ("logmill_redis_errors_total", "Calls of the store that failed"),
];

const GAUGES: [(&str, &str); 17] = [
    ("logmill_build_info", "Which logmill this is"),
    ("logmill_node_info", "Which part this node has"),
    ("logmill_node_slots", "Handlers at work, and those free"),
    ("logmill_node_last_heartbeat_timestamp_seconds", "When this node announced itself last"),
    ("logmill_lease_active_age_seconds", "For how long this node has had the oldest unit in its hands"),
    ("logmill_organiser_partitions", "Partitions that this node organises"),
    (
        "logmill_organiser_last_success_timestamp_seconds",
        "When the organiser went through its partitions last",
    ),
    ("logmill_queue_size", "Units of the group, told by the node that organises its first partition"),
    ("logmill_queue_latency_seconds", "For how long the oldest unit waits"),
    (
        "logmill_queue_backlog",
        "Records that are not settled, in units and not yet in any, of the partitions organised here",
    ),
    ("logmill_consumer_lag", "From the watermark to the log's end, of the partitions organised here"),
    ("logmill_consumer_lag_time_seconds", "The age of the oldest record that is not settled"),
    ("logmill_partition_offset", "Where the log begins and ends, and how far it is planned and complete"),
    ("logmill_partition_gaps", "Ranges that are settled above the watermark"),
    ("logmill_paused", "Whether it is paused"),
    ("logmill_kafka_connections", "Open connections"),
    ("logmill_producer_buffered_bytes", "Bytes that are not sent and acknowledged"),
];

const HISTOGRAMS: [(&str, &str); 7] = [
    (
        "messaging_process_duration_seconds",
        "How long records were with handlers, or with the caller of the pull form",
    ),
    ("messaging_client_operation_duration_seconds", "How long Kafka took to answer, long polls included"),
    ("logmill_unit_duration_seconds", "From taking a unit to its end"),
    ("logmill_organiser_pass_duration_seconds", "How long the organiser took to go through its partitions"),
    ("logmill_kafka_request_duration_seconds", "How long brokers took to answer, long polls included"),
    ("logmill_redis_command_duration_seconds", "How long the store took to answer"),
    ("logmill_producer_batch_records", "Records in a batch"),
];

/// Tells it to the recorders.
pub(super) fn describe(sinks: &Sinks) {
    sinks.each(|| {
        COUNTERS.iter().for_each(|(name, text)| describe_counter!(*name, *text));
        GAUGES.iter().for_each(|(name, text)| describe_gauge!(*name, *text));
        HISTOGRAMS.iter().for_each(|(name, text)| describe_histogram!(*name, *text));
    });
}
