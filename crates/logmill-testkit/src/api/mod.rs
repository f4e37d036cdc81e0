//! What the brokers serve: one file per API, each saying which versions and what it leaves out.

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod api_versions;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_topic_partitions;
mod end_txn;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_groups;
mod list_offsets;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sync_group;
mod txn_offset_commit;

pub(crate) use api_versions::unsupported as unsupported_api_versions;

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::{self, ApiKey};
use logmill_protocol::wire::{Request, Str};
use tokio::time::Instant;

use crate::faults::Faults;
use crate::state::State;
use crate::state::brokers::Entry;
use crate::state::wakes::Watch;

/// One request while it is being served.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) faults: &'a mut Faults,
    pub(crate) origin: &'a Origin,
    pub(crate) version: i16,
}

/// Where a request came from, and at which broker it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) broker: i32,
    pub(crate) entry: Entry,
    pub(crate) host: Str,
    pub(crate) client_id: Str,
}

/// An answer, or what has to change before there is one.
#[derive(Debug)]
pub(crate) enum Answer<T> {
    Ready(T),
    /// Ask again when one of these changes, or at that time.
    Wait {
        until: Instant,
        on: Vec<Watch>,
    },
}

impl Call<'_> {
    /// Whether the broker that was asked coordinates this consumer group.
    fn coordinates_group(&self, group: &str) -> Result<(), ErrorCode> {
        if group.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        self.coordinates(group)
    }

    /// PRODUCER_FENCED for versions from `since` on, which know it, and what said it before for older.
    fn fenced_since(&self, code: ErrorCode, since: i16) -> ErrorCode {
        match code {
            ErrorCode::ProducerFenced if self.version < since => ErrorCode::InvalidProducerEpoch,
            other => other,
        }
    }

    /// Whether the broker that was asked coordinates this consumer group or transactional id.
    fn coordinates(&self, key: &str) -> Result<(), ErrorCode> {
        match self.state.brokers.coordinator(key) {
            Some(broker) if broker == self.origin.broker => Ok(()),
            _ => Err(ErrorCode::NotCoordinator),
        }
    }
}

/// A request that the embedded brokers serve.
pub(crate) trait Serve: Request {
    /// The versions served.
    const VERSIONS: RangeInclusive<i16>;

    /// What is remembered of a request between two times it is asked.
    type Memo: Default + Send;

    /// Work that needs no lock, done once before the first [`Serve::serve`].
    fn prepare(&self, _memo: &mut Self::Memo) {}

    /// Answers, or says what to wait for. Called again after each wait.
    fn serve(&self, call: &mut Call<'_>, memo: &mut Self::Memo) -> Answer<Self::Response>;

    /// The answer that refuses everything asked, with this error.
    fn refuse(&self, code: ErrorCode) -> Self::Response;

    /// Whether the client wants no answer. An error then closes the connection.
    fn is_silent(&self) -> bool {
        false
    }

    /// Whether a response that nobody wants to see carries an error.
    fn failed(_response: &Self::Response) -> bool {
        false
    }
}

macro_rules! apis {
    ($($module:ident::$request:ident,)*) => {
        /// Every API served, with the versions served.
        pub(crate) const SERVED: &[(ApiKey, RangeInclusive<i16>)] = &[
            $((messages::$module::$request::KEY, <messages::$module::$request as Serve>::VERSIONS),)*
        ];

        /// Has `visitor` visit the request type of an API. `None` if the API is not served.
        pub(crate) async fn dispatch<V: Visitor>(api: ApiKey, visitor: V) -> Option<V::Out> {
            $(if api == messages::$module::$request::KEY {
                return Some(visitor.visit::<messages::$module::$request>().await);
            })*
            None
        }
    };
}

/// Something that is done with a request whose type is known only when it arrives.
pub(crate) trait Visitor: Send {
    type Out: Send;
    fn visit<R: Serve + Send + Sync>(self) -> impl Future<Output = Self::Out> + Send;
}

apis! {
    add_offsets_to_txn::AddOffsetsToTxnRequest,
    add_partitions_to_txn::AddPartitionsToTxnRequest,
    api_versions::ApiVersionsRequest,
    create_partitions::CreatePartitionsRequest,
    create_topics::CreateTopicsRequest,
    delete_groups::DeleteGroupsRequest,
    delete_records::DeleteRecordsRequest,
    delete_topics::DeleteTopicsRequest,
    describe_cluster::DescribeClusterRequest,
    describe_configs::DescribeConfigsRequest,
    describe_groups::DescribeGroupsRequest,
    describe_topic_partitions::DescribeTopicPartitionsRequest,
    end_txn::EndTxnRequest,
    fetch::FetchRequest,
    find_coordinator::FindCoordinatorRequest,
    heartbeat::HeartbeatRequest,
    incremental_alter_configs::IncrementalAlterConfigsRequest,
    init_producer_id::InitProducerIdRequest,
    join_group::JoinGroupRequest,
    leave_group::LeaveGroupRequest,
    list_groups::ListGroupsRequest,
    list_offsets::ListOffsetsRequest,
    metadata::MetadataRequest,
    offset_commit::OffsetCommitRequest,
    offset_delete::OffsetDeleteRequest,
    offset_fetch::OffsetFetchRequest,
    offset_for_leader_epoch::OffsetForLeaderEpochRequest,
    produce::ProduceRequest,
    sync_group::SyncGroupRequest,
    txn_offset_commit::TxnOffsetCommitRequest,
}

/// The versions of an API that these brokers admit to: what is served, within what an old broker
/// would have if one is played.
pub(crate) fn versions(state: &State, api: ApiKey) -> Option<RangeInclusive<i16>> {
    let (_, served) = SERVED.iter().find(|(key, _)| *key == api)?;
    let Some(limits) = &state.version_limits else { return Some(served.clone()) };
    let limit = limits.get(&api)?;
    let both = *served.start().max(limit.start())..=*served.end().min(limit.end());
    (!both.is_empty()).then_some(both)
}
