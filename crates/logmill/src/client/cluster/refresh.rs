//! Asking the cluster about itself: one question at a time, to whichever broker answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::Partition;
use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use logmill_protocol::wire::Str;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::{Client, Inner, Leader, Purpose, Retry, TopicInfo};
use crate::client::connection::Connection;
use crate::client::transport::Address;
use crate::error::{Error, Result};

/// Asks again for all topics in use, every so often, until the client is gone. Topics that nobody has
/// asked about for two rounds are forgotten.
pub(super) async fn keep_fresh(client: Weak<Inner>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(inner) = client.upgrade() else { return };
        let client = Client { inner };
        let unused = Instant::now().checked_sub(every * 2);
        let topics = client.metadata().wanted(true, unused);
        let _turn = client.inner.refreshing.lock().await;
        if let Err(error) = client.refresh(&topics, client.api_deadline()).await {
            tracing::warn!(%error, "cannot refresh the cluster's metadata");
        }
    }
}

impl Client {
    pub(super) async fn topic_until(&self, name: &str, deadline: Instant) -> Result<Arc<TopicInfo>> {
        let mut retry = Retry::new(self, "looking up a topic", deadline);
        let grace = Instant::now() + self.inner.settings.duration("topic.metadata.propagation.max.ms");
        loop {
            match self.known_topic(name, deadline).await {
                Ok(info) => return Ok(info),
                Err(error @ Error::UnknownTopic { .. }) if Instant::now() >= grace => return Err(error),
                Err(error) => retry.again(error).await?,
            }
        }
    }

    pub(crate) async fn leader_until(&self, partition: &Partition, deadline: Instant) -> Result<Leader> {
        let mut retry = Retry::new(self, "looking for a leader", deadline);
        loop {
            let topic = self.topic_until(&partition.topic, deadline).await?;
            let Some(info) = topic.partition(partition.index) else {
                let partitions = topic.partitions.len();
                return Err(Error::UnknownPartition { partition: partition.clone(), partitions });
            };
            if let Some(broker) = info.leader {
                return Ok(Leader { broker, epoch: info.epoch, topic_id: topic.id });
            }
            self.invalidate(&partition.topic);
            retry.again(Error::NoLeader { partition: partition.clone() }).await?;
        }
    }

    /// What is known of a topic, or what one question brings.
    async fn known_topic(&self, name: &str, deadline: Instant) -> Result<Arc<TopicInfo>> {
        let known = self.metadata().topic(name);
        if let Some(info) = known {
            return Ok(info);
        }
        // In a task of its own, which ends with our interest: whoever looks away while it has the turn
        // must not keep it from the others.
        let (asked, asking) = (Instant::now(), self.clone().ask_for_topic(name.into(), deadline));
        let asking = AbortOnDropHandle::new(tokio::spawn(asking));
        match tokio::time::timeout_at(deadline, asking).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Error::Closed { what: "the client's runtime" }),
            Err(_) => Err(self.no_broker(self.inner.bootstrap.first().map(|address| Error::Timeout {
                address: address.clone(),
                api: ApiKey::Metadata,
                after: asked.elapsed(),
            }))),
        }
    }

    async fn ask_for_topic(self, name: Arc<str>, deadline: Instant) -> Result<Arc<TopicInfo>> {
        let _turn = self.inner.refreshing.lock().await;
        // While we waited for our turn, somebody else's question may have brought it.
        let (known, fetched) = {
            let mut metadata = self.metadata();
            (metadata.topic(&name), metadata.fetched(&name))
        };
        if let Some(info) = known {
            return Ok(info);
        }
        if let Some(fetched) = fetched {
            tokio::time::sleep_until(fetched + self.inner.backoff.first).await;
        }
        let mut topics = self.metadata().wanted(false, None);
        if !topics.contains(&name) {
            topics.push(Arc::clone(&name));
        }
        let refused = self.refresh(&topics, deadline).await?;
        let known = self.metadata().topic(&name);
        known.ok_or_else(|| match refused.get(&name) {
            None | Some(ErrorCode::UnknownTopicOrPartition) => {
                Error::UnknownTopic { topic: name.to_string(), brokers: self.bootstrap() }
            }
            Some(code) => Error::refused(ApiKey::Metadata, *code, format!("topic {name:?}")),
        })
    }

    /// Asks for these topics and for the brokers. Returns what was said of topics that cannot be used.
    pub(super) async fn refresh(
        &self,
        topics: &[Arc<str>],
        deadline: Instant,
    ) -> Result<BTreeMap<Arc<str>, ErrorCode>> {
        let response = self.describe_cluster(Some(topics), deadline).await?;
        let (changed, refused) = self.metadata().apply(&response);
        let brokers: Vec<Address> = self.metadata().brokers().map(|(_, address)| address.clone()).collect();
        self.inner
            .pool
            .retain(|address, _| brokers.contains(address) || self.inner.bootstrap.contains(address));
        if changed {
            self.inner.changes.send_modify(|count| *count += 1);
        }
        Ok(refused)
    }

    /// One Metadata request, to whichever broker answers it. `None` asks for all topics.
    pub(crate) async fn describe_cluster(
        &self,
        topics: Option<&[Arc<str>]>,
        deadline: Instant,
    ) -> Result<MetadataResponse> {
        let named =
            |name: &Arc<str>| MetadataRequestTopic { name: Some(Str::from(&**name)), ..Default::default() };
        let request = MetadataRequest {
            topics: topics.map(|topics| topics.iter().map(named).collect()),
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        let mut last = None;
        for address in self.candidates() {
            let asked = async {
                let connection = self.inner.pool.get(&address, Purpose::Control, deadline).await?;
                connection.call(&request, self.request_deadline(deadline)).await
            };
            match asked.await {
                Ok(response) => match ErrorCode::from(response.error_code) {
                    ErrorCode::None => return Ok(response),
                    code => last = Some(Error::refused(ApiKey::Metadata, code, "")),
                },
                Err(error) => last = Some(error),
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        // None that is known can be used: the next question starts from the list we were given.
        self.metadata().rebootstrap();
        Err(self.no_broker(last))
    }

    /// A connection to whichever broker can be reached.
    pub(super) async fn any_connection(&self, purpose: Purpose, deadline: Instant) -> Result<Connection> {
        let mut last = None;
        for address in self.candidates() {
            match self.inner.pool.get(&address, purpose, deadline).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = Some(error),
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        self.metadata().rebootstrap();
        Err(self.no_broker(last))
    }

    fn no_broker(&self, last: Option<Error>) -> Error {
        let last = last.unwrap_or(Error::Closed { what: "the client" });
        if self.inner.bootstrap.len() == 1 && self.metadata().brokers().count() <= 1 {
            return last;
        }
        Error::NoBroker { brokers: self.bootstrap(), last: Box::new(last) }
    }

    /// Whom to ask, in this order: brokers we are connected to, those not tried, those that failed, and
    /// then the addresses we were given; by chance among equals, so that clients spread.
    fn candidates(&self) -> Vec<Address> {
        let known: Vec<Address> = self.metadata().brokers().map(|(_, address)| address.clone()).collect();
        let given = self.inner.bootstrap.iter().filter(|address| !known.contains(address));
        let rank = |address: &Address| match self.inner.pool.health(address) {
            Some(true) => 0,
            None => 1,
            Some(false) => 2,
        };
        let chance = self.chance();
        let mut order: Vec<_> =
            known.iter().map(|address| (rank(address), chance.number(), address.clone())).collect();
        order.extend(given.map(|address| (3, chance.number(), address.clone())));
        order.sort();
        order.into_iter().map(|(_, _, address)| address).collect()
    }
}
