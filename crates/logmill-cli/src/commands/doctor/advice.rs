//! What to type about an obstacle.

use logmill::Partition;
use logmill::control::Scope;
use logmill::inspect::Obstacle;

use super::finding::Finding;

/// Where it was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) brokers: &'a str,
    pub(super) group: &'a str,
    pub(super) ledger: &'a str,
    /// One that the group reads, if any is known.
    pub(super) topic: &'a str,
}

pub(super) fn is_of_ledger(obstacle: &Obstacle) -> bool {
    matches!(obstacle, Obstacle::LedgerForgets { .. } | Obstacle::LedgerReadOnly { .. })
}

fn about(obstacle: &Obstacle) -> &'static str {
    match obstacle {
        Obstacle::NoTopic { .. } | Obstacle::NoLeader { .. } => "topics",
        Obstacle::NoNode => "nodes",
        Obstacle::NoOrganiser { .. }
        | Obstacle::OtherClient { .. }
        | Obstacle::Rebalancing { .. }
        | Obstacle::Unassigned { .. } => "organisers",
        Obstacle::Paused { .. } => "paused",
        Obstacle::Overtaken { .. } | Obstacle::OpenTransaction { .. } | Obstacle::HeldUp { .. } => "progress",
        Obstacle::OtherStore | Obstacle::StoreEmpty { .. } | Obstacle::StoreBehind { .. } => "store",
        Obstacle::LongHeld { .. } => "units",
        it if is_of_ledger(it) => "ledger",
        _ => "group",
    }
}

impl Place<'_> {
    pub(super) fn finding(&self, obstacle: &Obstacle) -> Finding {
        Finding::wrong(about(obstacle), obstacle.to_string(), self.next(obstacle))
    }

    fn next(&self, obstacle: &Obstacle) -> Vec<String> {
        let Self { brokers, group, ledger, topic } = self;
        let logmill = |words: String| vec![format!("logmill {words}")];
        let kafka = |tool: &str, words: String| vec![format!("{tool} --bootstrap-server {brokers} {words}")];
        let describe = || logmill(format!("group describe -b {brokers} {group}"));
        let start = || logmill(format!("work -b {brokers} -g {group} -t {topic} -- CMD"));
        let look = |partition: &Partition, offset: i64| {
            let Partition { topic, index } = partition;
            format!("logmill consume -b {brokers} -t {topic} -p {index} -o {offset} -n 1 -J")
        };
        match obstacle {
            Obstacle::NoTopic { topic } => {
                logmill(format!("topic create -b {brokers} -t {topic} --partitions 6"))
            }
            Obstacle::NoLeader { .. } => {
                kafka("kafka-topics.sh", "--describe --unavailable-partitions".into())
            }
            Obstacle::NeverBegan | Obstacle::NoNode | Obstacle::NoOrganiser { .. } => start(),
            Obstacle::Paused { scope, .. } => {
                let scope = match scope {
                    Scope::Group => String::new(),
                    Scope::Topic(topic) => format!(" -t {topic}"),
                    Scope::Partition(Partition { topic, index }) => format!(" -t {topic} -p {index}"),
                };
                logmill(format!("group resume -b {brokers} {group}{scope}"))
            }
            Obstacle::LedgerForgets { .. } => {
                let alter = "--alter --entity-type topics --entity-name";
                kafka("kafka-configs.sh", format!("{alter} {ledger} --add-config cleanup.policy=compact"))
            }
            Obstacle::LedgerReadOnly { .. } => {
                kafka("kafka-topics.sh", "--describe --under-min-isr-partitions".into())
            }
            Obstacle::Overtaken { partition, .. } => {
                let alter = "--alter --entity-type topics --entity-name";
                let topic = &partition.topic;
                kafka("kafka-configs.sh", format!("{alter} {topic} --add-config retention.ms=MORE"))
            }
            Obstacle::OpenTransaction { partition: Partition { topic, index }, .. } => {
                let words = format!("describe-producers --topic {topic} --partition {index}");
                kafka("kafka-transactions.sh", words)
            }
            Obstacle::HeldUp { partition, offset, .. } => vec![look(partition, *offset)],
            Obstacle::LongHeld { partition, range, .. } => vec![look(partition, range.start)],
            Obstacle::OtherStore => vec!["give the --redis that its nodes have, or none".to_owned()],
            Obstacle::OtherClient { .. }
            | Obstacle::Rebalancing { .. }
            | Obstacle::Unassigned { .. }
            | Obstacle::StoreEmpty { .. }
            | Obstacle::StoreBehind { .. } => describe(),
            _ => Vec::new(),
        }
    }
}
