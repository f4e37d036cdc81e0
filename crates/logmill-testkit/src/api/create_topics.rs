//! CreateTopics, 2–7. Any broker serves it, and it is done when it is answered.
//!
//! Left out: the list of all settings in the answer (only those that were set are there), quotas.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};

use super::{Answer, Call, Serve};
use crate::state::topics::{NewTopic, Refusal};

impl Serve for CreateTopicsRequest {
    const VERSIONS: RangeInclusive<i16> = 2..=7;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<CreateTopicsResponse> {
        let mut seen = BTreeSet::new();
        let twice: BTreeSet<_> =
            self.topics.iter().map(|topic| &topic.name).filter(|name| !seen.insert(*name)).collect();
        let create = |topic: &CreatableTopic| {
            if twice.contains(&topic.name) {
                let text = "The request names the topic twice.".to_owned();
                return refused(topic, (ErrorCode::InvalidRequest, text));
            }
            let new = match requested(topic) {
                Ok(new) => new,
                Err(refusal) => return refused(topic, refusal),
            };
            match call.state.create_topic(new, self.validate_only) {
                Ok(made) => CreatableTopicResult {
                    name: topic.name.clone(),
                    topic_id: made.id,
                    num_partitions: made.partitions,
                    replication_factor: made.replicas,
                    configs: Some(shown(topic)),
                    ..Default::default()
                },
                Err(refusal) => refused(topic, refusal),
            }
        };
        let topics = self.topics.iter().map(create).collect();
        Answer::Ready(CreateTopicsResponse { topics, ..Default::default() })
    }

    fn refuse(&self, code: ErrorCode) -> CreateTopicsResponse {
        let topics = self.topics.iter().map(|topic| refused(topic, (code, code.to_string()))).collect();
        CreateTopicsResponse { topics, ..Default::default() }
    }
}

fn requested(topic: &CreatableTopic) -> Result<NewTopic, Refusal> {
    let mut assignment = BTreeMap::new();
    for partition in &topic.assignments {
        assignment.insert(partition.partition_index, partition.broker_ids.clone());
    }
    if !assignment.keys().copied().eq(0..topic.assignments.len() as i32) {
        let text = "A manual assignment names each partition from 0 once.".to_owned();
        return Err((ErrorCode::InvalidReplicaAssignment, text));
    }
    let set = |config: &logmill_protocol::messages::create_topics::CreatableTopicConfig| {
        config.value.clone().map(|value| (config.name.clone(), value))
    };
    Ok(NewTopic {
        name: topic.name.as_str().into(),
        partitions: topic.num_partitions,
        replicas: topic.replication_factor,
        assignment: assignment.into_values().collect(),
        configs: topic.configs.iter().filter_map(set).collect(),
    })
}

fn shown(topic: &CreatableTopic) -> Vec<CreatableTopicConfigs> {
    /// The number that stands for "set on the topic" in Kafka's protocol.
    const TOPIC_CONFIG: i8 = 1;
    let show = |config: &logmill_protocol::messages::create_topics::CreatableTopicConfig| {
        let (name, value) = (config.name.clone(), config.value.clone());
        CreatableTopicConfigs { name, value, config_source: TOPIC_CONFIG, ..Default::default() }
    };
    topic.configs.iter().map(show).collect()
}

fn refused(topic: &CreatableTopic, (code, text): Refusal) -> CreatableTopicResult {
    CreatableTopicResult {
        name: topic.name.clone(),
        error_code: code.code(),
        error_message: Some(text.into()),
        configs: Some(Vec::new()),
        ..Default::default()
    }
}
