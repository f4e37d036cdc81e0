//! The ledger's topic: made when it is first needed, widened if it lacks a shelf, and refused when it would forget.

use logmill_protocol::error::ErrorCode;
use tracing::{info, warn};

use super::entry::Shelf;
use crate::client::Client;
use crate::client::admin::NewTopic;
use crate::error::{Error, Result};

/// As many copies as this, or as there are brokers.
const COPIES: usize = 3;

/// Makes sure that the topic is there and compacted.
pub(super) async fn prepare(client: &Client, topic: &str) -> Result<()> {
    let admin = client.admin();
    let copies = client.brokers().len().clamp(1, COPIES) as u16;
    let known = admin.describe_topics(&[topic]).await?;
    let partitions = known.first().map_or(0, |known| known.partitions.len() as u32);
    if known.is_empty() {
        let new = NewTopic::new(topic, Shelf::COUNT).replication(copies).set("cleanup.policy", "compact");
        match admin.ensure_topic(new).await {
            Ok(true) => {
                info!(topic, copies, "made the group's ledger");
                return Ok(());
            }
            Ok(false) => {}
            Err(source) if source.is_retriable() => return Err(source),
            Err(source) => {
                let command = format!(
                    "logmill topic create -b {} -t {topic} --partitions {} --replication {copies} --config cleanup.policy=compact",
                    client.bootstrap(),
                    Shelf::COUNT
                );
                return Err(unusable(topic, format!("it cannot be made: {source}"), command));
            }
        }
    }
    if (1..Shelf::COUNT).contains(&partitions)
        && let Err(source) = admin.create_partitions(topic, Shelf::COUNT).await
    {
        if source.is_retriable() {
            return Err(source);
        }
        let command = format!(
            "kafka-topics.sh --bootstrap-server {} --alter --topic {topic} --partitions {}",
            client.bootstrap(),
            Shelf::COUNT
        );
        let problem = format!("it needs {} partitions and cannot be given them: {source}", Shelf::COUNT);
        return Err(unusable(topic, problem, command));
    }
    let policy = match admin.topic_settings(topic).await {
        Ok(settings) => settings.get("cleanup.policy").cloned().unwrap_or_default(),
        Err(problem) if is_forbidden(&problem) => {
            warn!(topic, "whether the ledger is compacted may not be seen; it must be, or it forgets");
            return Ok(());
        }
        Err(problem) => return Err(problem),
    };
    if policy == "compact" {
        return Ok(());
    }
    let command = format!(
        "kafka-configs.sh --bootstrap-server {} --alter --entity-type topics --entity-name {topic} --add-config cleanup.policy=compact",
        client.bootstrap()
    );
    Err(unusable(topic, format!("cleanup.policy is {policy:?}, so it would forget entries"), command))
}

fn unusable(topic: &str, problem: String, command: String) -> Error {
    Error::Ledger { topic: topic.to_owned(), problem, command }
}

pub(super) fn is_forbidden(problem: &Error) -> bool {
    let code = problem.code();
    matches!(code, Some(ErrorCode::TopicAuthorizationFailed | ErrorCode::ClusterAuthorizationFailed))
}
