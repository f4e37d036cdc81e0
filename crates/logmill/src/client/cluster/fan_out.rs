//! One question about many partitions: split by leader, asked at all leaders at once, and for what
//! failed asked again.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::Partition;
use logmill_protocol::wire::Request;
use tokio::time::Instant;

use super::{BrokerId, Client, Leader, Purpose, Retry};
use crate::error::{Error, Result};

/// A partition in a request to its leader, and what is asked about it.
pub(crate) struct Item<P> {
    pub(crate) partition: Partition,
    pub(crate) asked: P,
    pub(crate) leader: Leader,
}

/// What a leader said about one partition.
pub(crate) type Said<T> = (Partition, std::result::Result<T, ErrorCode>);

impl Client {
    /// Asks the leaders of all these partitions. `make` writes one leader's request in the given
    /// version, `read` takes its answer apart. Each partition has its own outcome; those that another
    /// attempt may help are asked for again until the deadline.
    pub(crate) async fn fan_out<R: Request, P: Clone, T>(
        &self,
        asked: impl IntoIterator<Item = (Partition, P)>,
        deadline: Instant,
        make: impl Fn(i16, &[Item<P>]) -> R,
        read: impl Fn(R::Response) -> Vec<Said<T>>,
    ) -> BTreeMap<Partition, Result<T>> {
        let mut open: BTreeMap<Partition, P> = asked.into_iter().collect();
        let mut outcomes = BTreeMap::new();
        let mut retry = Retry::new(self, R::KEY.name(), deadline);
        while !open.is_empty() {
            let mut failed = BTreeMap::new();
            let by_broker = self.by_leader(&open, deadline, &mut failed).await;
            let asking = by_broker.into_iter().map(|(broker, items)| {
                let make = &make;
                async move {
                    let answer = async {
                        let connection = self.connection(broker, Purpose::Control, deadline).await?;
                        let version = connection.version::<R>()?;
                        let until = self.request_deadline(deadline);
                        connection.start_at(&make(version, &items), version, until).await?.await
                    };
                    let answer = answer.await;
                    (items, answer)
                }
            });
            for (items, answer) in join_all(asking).await {
                let (mut said, error) = match answer {
                    Ok(response) => (read(response).into_iter().collect::<BTreeMap<_, _>>(), None),
                    Err(error) => (BTreeMap::new(), Some(error)),
                };
                for item in items {
                    let subject = || item.partition.to_string();
                    let error = match (said.remove(&item.partition), &error) {
                        (Some(Ok(value)), _) => {
                            open.remove(&item.partition);
                            outcomes.insert(item.partition, Ok(value));
                            continue;
                        }
                        (Some(Err(code)), _) => Error::refused(R::KEY, code, subject()),
                        (None, Some(error)) => error.clone(),
                        (None, None) => Error::refused(R::KEY, ErrorCode::UnknownServerError, subject()),
                    };
                    self.leader_failed(&item.partition, &item.leader);
                    failed.insert(item.partition, error);
                }
            }
            let mut last = None;
            for (partition, error) in failed {
                if error.is_retriable() {
                    last = Some(error);
                } else {
                    open.remove(&partition);
                    outcomes.insert(partition, Err(error));
                }
            }
            if let Some(error) = last
                && let Err(error) = retry.again(error).await
            {
                outcomes.extend(open.into_keys().map(|partition| (partition, Err(error.clone()))));
                break;
            }
        }
        outcomes
    }

    /// Sorts partitions by their leaders; those that have none go to `failed`.
    async fn by_leader<P: Clone>(
        &self,
        open: &BTreeMap<Partition, P>,
        deadline: Instant,
        failed: &mut BTreeMap<Partition, Error>,
    ) -> BTreeMap<BrokerId, Vec<Item<P>>> {
        let mut by_broker: BTreeMap<BrokerId, Vec<Item<P>>> = BTreeMap::new();
        for (partition, asked) in open {
            match self.leader_until(partition, deadline).await {
                Ok(leader) => by_broker.entry(leader.broker).or_default().push(Item {
                    partition: partition.clone(),
                    asked: asked.clone(),
                    leader,
                }),
                Err(error) => {
                    failed.insert(partition.clone(), error);
                }
            }
        }
        by_broker
    }
}

/// Gathers items under their topics, in the order they come: requests name a topic once.
pub(crate) fn by_topic<P>(items: &[Item<P>]) -> Vec<(&str, Vec<&Item<P>>)> {
    let mut topics: Vec<(&str, Vec<&Item<P>>)> = Vec::new();
    for item in items {
        match topics.last_mut() {
            Some((topic, members)) if *topic == &*item.partition.topic => members.push(item),
            _ => topics.push((&item.partition.topic, vec![item])),
        }
    }
    topics
}
