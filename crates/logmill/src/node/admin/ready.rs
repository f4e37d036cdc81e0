//! What a node must have to be ready, and what it lacks.

use serde::Serialize;
use tokio::time::Instant;

use super::Admin;

/// Whether a node can work.
#[derive(Debug, Serialize)]
pub(super) struct Readiness {
    pub(super) ready: bool,
    node: String,
    group: String,
    /// How many partitions it organises. None is well too: others do.
    organises: usize,
    /// An operator has paused the whole group. It is ready all the same.
    paused: bool,
    /// Why it is not ready.
    reasons: Vec<String>,
}

impl Readiness {
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }
}

impl Admin {
    pub(super) fn readiness(&self) -> Readiness {
        let state = &self.publisher.state;
        let private = self.publisher.private_store;
        let mut reasons = Vec::new();
        reasons.extend(self.probe.kafka().map(|problem| format!("kafka: {problem}")));
        reasons.extend(self.probe.store(private).map(|problem| format!("store: {problem}")));
        let is_member = state.member.get().is_some_and(|member| member.is_sure(Instant::now()));
        if private && !is_member {
            reasons.push("member: Kafka does not count it among the consumer group's members now".to_owned());
        }
        if state.quiet.is_cancelled() {
            reasons.push("draining: it takes no more units".to_owned());
        }
        Readiness {
            ready: reasons.is_empty(),
            node: state.settings.node.clone(),
            group: state.settings.group.clone(),
            organises: state.teller.assigned_count(),
            paused: state.asked.is_group_paused(),
            reasons,
        }
    }
}
