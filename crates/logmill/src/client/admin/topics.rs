//! Topics: make, delete, widen, describe.

use std::collections::BTreeMap;
use std::sync::Arc;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use logmill_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use logmill_protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use logmill_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse,
};
use logmill_protocol::wire::Str;

use super::Admin;
use crate::client::cluster::{Ask, Target, TopicInfo, describe_topic};
use crate::error::{Error, Result};

/// The numbers of topics and groups among the kinds of things that have settings.
const RESOURCE_TOPIC: i8 = 2;
const RESOURCE_GROUP: i8 = 32;

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a topic is made by Admin::create_topic"]
pub struct NewTopic {
    name: String,
    partitions: i32,
    replication: i16,
    settings: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic of so many partitions. The cluster's default decides how many copies there are.
    pub fn new(name: impl Into<String>, partitions: u32) -> Self {
        let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
        Self { name: name.into(), partitions, replication: -1, settings: BTreeMap::new() }
    }

    /// How many brokers hold a copy.
    pub fn replication(mut self, copies: u16) -> Self {
        self.replication = i16::try_from(copies).unwrap_or(i16::MAX);
        self
    }

    /// One of Kafka's topic settings, as in `cleanup.policy`, `compact`.
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.insert(name.into(), value.into());
        self
    }

    fn request(&self) -> CreatableTopic {
        let setting = |(name, value): (&String, &String)| CreatableTopicConfig {
            name: Str::from(&**name),
            value: Some(Str::from(&**value)),
        };
        CreatableTopic {
            name: Str::from(&*self.name),
            num_partitions: self.partitions,
            replication_factor: self.replication,
            configs: self.settings.iter().map(setting).collect(),
            ..Default::default()
        }
    }
}

/// What one item of a request came to.
fn outcome(api: ApiKey, topic: &str, code: i16, message: Option<&Str>) -> Result<()> {
    match ErrorCode::from(code) {
        ErrorCode::None => Ok(()),
        code => Err(Error::Refused {
            api,
            code,
            subject: format!("topic {topic:?}"),
            message: message.map(|text| text.to_string()),
        }),
    }
}

/// The one error that makes it worth sending a request of one item again.
fn retriable(codes: impl IntoIterator<Item = i16>) -> ErrorCode {
    let mut codes = codes.into_iter().map(ErrorCode::from);
    codes
        .find(|code| code.is_retriable() && *code != ErrorCode::UnknownTopicOrPartition)
        .unwrap_or(ErrorCode::None)
}

impl Admin {
    /// Makes a topic.
    ///
    /// # Errors
    /// It exists, or the cluster refuses it.
    pub async fn create_topic(&self, topic: NewTopic) -> Result<()> {
        let name = topic.name.clone();
        let request = CreateTopicsRequest {
            topics: vec![topic.request()],
            timeout_ms: self.timeout_ms(),
            ..Default::default()
        };
        let answer = self
            .client
            .ask(
                Ask::new(Target::Controller, &name),
                |_| request.clone(),
                |r| retriable(r.topics.iter().map(|t| t.error_code)),
            )
            .await?;
        // A name that was unknown before must be looked up anew.
        self.client.invalidate(&name);
        for made in &answer.response.topics {
            let exists = ErrorCode::from(made.error_code) == ErrorCode::TopicAlreadyExists;
            if exists && answer.doubtful {
                // An attempt of ours whose answer was lost made it.
                continue;
            }
            outcome(ApiKey::CreateTopics, &name, made.error_code, made.error_message.as_ref())?;
        }
        Ok(())
    }

    /// Makes a topic unless one of that name exists, whatever its partitions. Returns whether it was made.
    ///
    /// # Errors
    /// The cluster refuses it.
    pub async fn ensure_topic(&self, topic: NewTopic) -> Result<bool> {
        match self.create_topic(topic).await {
            Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Deletes a topic with all its records.
    ///
    /// # Errors
    /// It does not exist, or the cluster refuses.
    pub async fn delete_topic(&self, name: &str) -> Result<()> {
        let timeout_ms = self.timeout_ms();
        let make = |version| {
            let (mut topics, mut topic_names) = (Vec::new(), Vec::new());
            if version >= 6 {
                topics.push(DeleteTopicState { name: Some(Str::from(name)), ..Default::default() });
            } else {
                topic_names.push(Str::from(name));
            }
            DeleteTopicsRequest { topics, topic_names, timeout_ms }
        };
        let answer = self
            .client
            .ask(Ask::new(Target::Controller, name), make, |r| {
                retriable(r.responses.iter().map(|t| t.error_code))
            })
            .await?;
        self.client.invalidate(name);
        for deleted in &answer.response.responses {
            let gone = ErrorCode::from(deleted.error_code) == ErrorCode::UnknownTopicOrPartition;
            if gone && answer.doubtful {
                continue;
            }
            if gone {
                let (topic, brokers) = (name.to_owned(), self.client.bootstrap());
                return Err(Error::UnknownTopic { topic, brokers });
            }
            outcome(ApiKey::DeleteTopics, name, deleted.error_code, deleted.error_message.as_ref())?;
        }
        Ok(())
    }

    /// Widens a topic to so many partitions in all. Keys that hashed to one partition may hash to
    /// another afterwards.
    ///
    /// # Errors
    /// It has as many or more, does not exist, or the cluster refuses.
    pub async fn create_partitions(&self, name: &str, partitions: u32) -> Result<()> {
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: Str::from(name),
                count: i32::try_from(partitions).unwrap_or(i32::MAX),
                assignments: None,
            }],
            timeout_ms: self.timeout_ms(),
            validate_only: false,
        };
        let answer = self
            .client
            .ask(
                Ask::new(Target::Controller, name),
                |_| request.clone(),
                |r| retriable(r.results.iter().map(|t| t.error_code)),
            )
            .await?;
        self.client.invalidate(name);
        for widened in &answer.response.results {
            outcome(ApiKey::CreatePartitions, name, widened.error_code, widened.error_message.as_ref())?;
        }
        Ok(())
    }

    /// A topic's settings in force, by their names, as `cleanup.policy` and `retention.ms`. Secrets are
    /// left out.
    ///
    /// # Errors
    /// It does not exist, or may not be described.
    pub async fn topic_settings(&self, name: &str) -> Result<BTreeMap<String, String>> {
        self.settings_of(RESOURCE_TOPIC, name).await
    }

    /// A consumer group's settings in force, by their names, as `consumer.session.timeout.ms`. Kafka 4.0 and later.
    ///
    /// # Errors
    /// The brokers have none for groups, or they may not be described.
    pub async fn group_settings(&self, name: &str) -> Result<BTreeMap<String, String>> {
        self.settings_of(RESOURCE_GROUP, name).await
    }

    async fn settings_of(&self, resource_type: i8, name: &str) -> Result<BTreeMap<String, String>> {
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type,
                resource_name: Str::from(name),
                configuration_keys: None,
            }],
            ..Default::default()
        };
        let ask = Ask::new(Target::Any, name);
        let judge = |r: &DescribeConfigsResponse| {
            r.results.first().map_or(ErrorCode::None, |result| result.error_code.into())
        };
        let answer = self.client.ask(ask, |_| request.clone(), judge).await?;
        let settings = answer.response.results.into_iter().flat_map(|result| result.configs);
        Ok(settings.filter_map(|it| Some((it.name.to_string(), it.value?.to_string()))).collect())
    }

    /// Describes topics, asking the cluster now; all of them if none is named. A name that the cluster
    /// does not know is left out.
    ///
    /// # Errors
    /// No broker answers, or a topic may not be seen.
    pub async fn describe_topics(&self, names: &[&str]) -> Result<Vec<TopicInfo>> {
        let named: Vec<Arc<str>> = names.iter().copied().map(Arc::from).collect();
        let asked = if names.is_empty() { None } else { Some(&*named) };
        let response = self.client.describe_cluster(asked, self.client.api_deadline()).await?;
        let mut topics = Vec::new();
        for topic in &response.topics {
            let Some(name) = topic.name.as_deref() else { continue };
            match ErrorCode::from(topic.error_code) {
                ErrorCode::UnknownTopicOrPartition => {}
                ErrorCode::None | ErrorCode::LeaderNotAvailable => topics.push(describe_topic(name, topic)),
                code => return Err(Error::refused(ApiKey::Metadata, code, format!("topic {name:?}"))),
            }
        }
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }
}
