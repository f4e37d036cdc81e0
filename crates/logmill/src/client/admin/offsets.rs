//! Offsets of partitions: where they begin and end, what is there at a time, and cutting their start off.

use std::collections::BTreeMap;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::{Offset, Partition};
use logmill_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use logmill_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use logmill_protocol::wire::Str;

use super::Admin;
use crate::client::cluster::{Item, by_topic};
use crate::client::fetch::Isolation;
use crate::error::{Error, Result};

/// Which offset of a partition is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OffsetAt {
    /// The first that the log still has.
    Start,
    /// The one after the last that a reader of the given isolation can see.
    End,
    /// That of the first record with this timestamp or a later one, in milliseconds since 1970.
    Time(i64),
}

impl OffsetAt {
    fn timestamp(self) -> i64 {
        match self {
            Self::Start => -2,
            Self::End => -1,
            Self::Time(milliseconds) => milliseconds.max(0),
        }
    }
}

/// An offset that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedOffset {
    /// The offset; `None` if no record is as late as the time asked for.
    pub offset: Option<Offset>,
    /// The timestamp of the record there, if a time was asked for.
    pub timestamp: Option<i64>,
    /// The leader epoch that wrote it, or −1.
    pub leader_epoch: i32,
}

impl Admin {
    /// Finds offsets of partitions, each partition with its own outcome.
    pub async fn list_offsets(
        &self,
        asked: impl IntoIterator<Item = (Partition, OffsetAt)>,
        isolation: Isolation,
    ) -> BTreeMap<Partition, Result<ListedOffset>> {
        let make = |_, items: &[Item<OffsetAt>]| ListOffsetsRequest {
            replica_id: -1,
            isolation_level: isolation.level(),
            topics: by_topic(items)
                .into_iter()
                .map(|(topic, items)| ListOffsetsTopic {
                    name: Str::from(topic),
                    partitions: items
                        .into_iter()
                        .map(|item| ListOffsetsPartition {
                            partition_index: item.partition.index,
                            current_leader_epoch: item.leader.epoch,
                            timestamp: item.asked.timestamp(),
                        })
                        .collect(),
                })
                .collect(),
            ..Default::default()
        };
        let deadline = self.client.api_deadline();
        self.client
            .fan_out(asked, deadline, make, |response| {
                let topics = response.topics.into_iter();
                topics
                    .flat_map(|topic| {
                        let name = std::sync::Arc::<str>::from(&*topic.name);
                        topic.partitions.into_iter().map(move |partition| {
                            let listed = ListedOffset {
                                offset: Some(partition.offset).filter(|offset| *offset >= 0),
                                timestamp: Some(partition.timestamp).filter(|time| *time >= 0),
                                leader_epoch: partition.leader_epoch,
                            };
                            let said = match ErrorCode::from(partition.error_code) {
                                ErrorCode::None => Ok(listed),
                                code => Err(code),
                            };
                            (Partition::new(name.clone(), partition.partition_index), said)
                        })
                    })
                    .collect()
            })
            .await
    }

    /// One offset of one partition.
    ///
    /// # Errors
    /// The partition does not exist, or its leader does not answer in time.
    pub async fn offset_at(
        &self,
        partition: &Partition,
        at: OffsetAt,
        isolation: Isolation,
    ) -> Result<ListedOffset> {
        let mut listed = self.list_offsets([(partition.clone(), at)], isolation).await;
        listed.remove(partition).unwrap_or(Err(Error::NoLeader { partition: partition.clone() }))
    }

    /// Deletes the records below the given offsets. Returns where each partition begins now.
    pub async fn delete_records(
        &self,
        below: impl IntoIterator<Item = (Partition, Offset)>,
    ) -> BTreeMap<Partition, Result<Offset>> {
        let timeout_ms = self.timeout_ms();
        let make = |_, items: &[Item<Offset>]| DeleteRecordsRequest {
            topics: by_topic(items)
                .into_iter()
                .map(|(topic, items)| DeleteRecordsTopic {
                    name: Str::from(topic),
                    partitions: items
                        .into_iter()
                        .map(|item| DeleteRecordsPartition {
                            partition_index: item.partition.index,
                            offset: item.asked,
                        })
                        .collect(),
                })
                .collect(),
            timeout_ms,
        };
        let deadline = self.client.api_deadline();
        self.client
            .fan_out(below, deadline, make, |response| {
                let topics = response.topics.into_iter();
                topics
                    .flat_map(|topic| {
                        let name = std::sync::Arc::<str>::from(&*topic.name);
                        topic.partitions.into_iter().map(move |partition| {
                            let said = match ErrorCode::from(partition.error_code) {
                                ErrorCode::None => Ok(partition.low_watermark),
                                code => Err(code),
                            };
                            (Partition::new(name.clone(), partition.partition_index), said)
                        })
                    })
                    .collect()
            })
            .await
    }
}
