//! Consumer groups: which there are, who is in them, away with them.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::try_join_all;
use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::Partition;
use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::consumer_group_describe::{
    self as modern, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse,
};
use logmill_protocol::messages::delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
use logmill_protocol::messages::describe_groups::{
    self as classic, DescribeGroupsRequest, DescribeGroupsResponse,
};
use logmill_protocol::messages::list_groups::ListGroupsRequest;
use logmill_protocol::wire::Str;

use super::Admin;
use crate::client::cluster::{Ask, Target};
use crate::client::membership::protocol::{decode_about, decode_assignment};
use crate::client::membership::{ASSIGNOR, node_of};
use crate::error::{Error, Result};

/// A consumer group in a listing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct ListedGroup {
    /// Its name.
    pub name: String,
    /// What its members speak among themselves: `consumer` for consumers. Empty if it has only commits.
    pub protocol_type: String,
    /// Its state, as Kafka names it: `Stable`, `Empty`, … Empty on brokers before 2.6.
    pub state: String,
}

/// A consumer group and its members.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DescribedGroup {
    /// Its name.
    pub name: String,
    /// Its state, as Kafka names it: `Stable`, `Empty`, `PreparingRebalance`, …
    pub state: String,
    /// How its partitions are shared out: the assignor's name. Empty without members.
    pub assignor: String,
    /// Its members, by id.
    pub members: Vec<DescribedMember>,
}

impl DescribedGroup {
    /// Whether its members are nodes, or some of them, and not only other clients.
    pub(crate) fn has_nodes(&self) -> bool {
        // In the newer protocol the assignor is the broker's own, whoever the members are.
        self.assignor.is_empty()
            || self.assignor == ASSIGNOR
            || self.members.iter().any(|member| member.node.is_some())
    }
}

/// A member of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DescribedMember {
    /// Its id, drawn by the broker or the member.
    pub id: String,
    /// Its fixed name, if it has one (KIP-345).
    pub instance_id: Option<String>,
    /// The client's name.
    pub client_id: String,
    /// Where it connects from, as the broker sees it.
    pub host: String,
    /// What it was assigned.
    pub partitions: Vec<Partition>,
    /// What it says about itself: user data of the classic protocol. Empty while the group is rebalanced.
    pub about: Bytes,
    /// The node's name that its id has, in the newer protocol, where members draw their ids.
    pub(crate) node: Option<String>,
}

impl Admin {
    /// All consumer groups of the cluster, asked of every broker, by name.
    ///
    /// # Errors
    /// A broker does not answer in time, or refuses.
    pub async fn list_groups(&self) -> Result<Vec<ListedGroup>> {
        let asking = self.client.brokers().into_iter().map(|(broker, address)| {
            let subject = address.to_string();
            async move {
                let ask = Ask::new(Target::Broker(broker), &subject);
                let listed = self.client.ask(ask, |_| ListGroupsRequest::default(), |r| r.error_code.into());
                listed.await.map(|answer| answer.response.groups)
            }
        });
        let mut groups: Vec<_> = try_join_all(asking)
            .await?
            .into_iter()
            .flatten()
            .map(|group| ListedGroup {
                name: group.group_id.to_string(),
                protocol_type: group.protocol_type.to_string(),
                state: group.group_state.to_string(),
            })
            .collect();
        groups.sort();
        groups.dedup_by(|a, b| a.name == b.name);
        Ok(groups)
    }

    /// A consumer group and its members, of the classic protocol or of KIP-848's. `None` if there is none.
    ///
    /// # Errors
    /// The coordinator refuses, or cannot be found in time.
    pub async fn describe_group(&self, group: &str) -> Result<Option<DescribedGroup>> {
        let ask = || Ask::new(Target::Coordinator(group.to_owned()), group);
        let request = DescribeGroupsRequest { groups: vec![Str::from(group)], ..Default::default() };
        let first = |r: &DescribeGroupsResponse| first_code(r.groups.iter().map(|group| group.error_code));
        let described = self.client.ask(ask(), |_| request.clone(), first).await?.response.groups;
        let described = described.into_iter().next();
        if let Some(found) = described.filter(|it| it.error_code == 0 && it.group_state != "Dead") {
            return Ok(Some(of_classic(found)));
        }
        // A group of the newer protocol is dead, or not found, to the older question.
        let request =
            ConsumerGroupDescribeRequest { group_ids: vec![Str::from(group)], ..Default::default() };
        let first =
            |r: &ConsumerGroupDescribeResponse| first_code(r.groups.iter().map(|group| group.error_code));
        let described = match self.client.ask(ask(), |_| request.clone(), first).await {
            Ok(answer) => answer.response.groups.into_iter().next(),
            Err(Error::Unsupported { .. }) => None,
            // Kafka 3.9 lists the request also where the newer protocol is switched off.
            Err(error) if error.code() == Some(ErrorCode::UnsupportedVersion) => None,
            Err(error) => return Err(error),
        };
        Ok(described.filter(|it| it.error_code == 0).map(of_modern))
    }

    /// Deletes a consumer group with all that it has committed. It must have no members.
    ///
    /// # Errors
    /// It has members, or does not exist.
    pub async fn delete_group(&self, group: &str) -> Result<()> {
        let request = DeleteGroupsRequest { groups_names: vec![Str::from(group)] };
        let ask = Ask::new(Target::Coordinator(group.to_owned()), group);
        let retriable = |r: &DeleteGroupsResponse| {
            let mut codes = r.results.iter().map(|result| ErrorCode::from(result.error_code));
            codes.find(|code| code.is_retriable()).unwrap_or(ErrorCode::None)
        };
        let answer = self.client.ask(ask, |_| request.clone(), retriable).await?;
        for result in answer.response.results {
            let code = ErrorCode::from(result.error_code);
            if code == ErrorCode::None || (code == ErrorCode::GroupIdNotFound && answer.doubtful) {
                continue;
            }
            return Err(Error::Refused {
                api: ApiKey::DeleteGroups,
                code,
                subject: format!("consumer group {group:?}"),
                message: result.error_message.map(|text| text.to_string()),
            });
        }
        Ok(())
    }
}

/// The first error, other than that there is no such group.
fn first_code(codes: impl Iterator<Item = i16>) -> ErrorCode {
    let is_error = |code: &ErrorCode| !matches!(code, ErrorCode::None | ErrorCode::GroupIdNotFound);
    codes.map(ErrorCode::from).find(is_error).unwrap_or(ErrorCode::None)
}

fn of_classic(group: classic::DescribedGroup) -> DescribedGroup {
    let member = |member: classic::DescribedGroupMember| DescribedMember {
        id: member.member_id.to_string(),
        instance_id: member.group_instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        // Members of other kinds than consumers write what they like here.
        partitions: decode_assignment(member.member_assignment).unwrap_or_default().into_iter().collect(),
        about: decode_about(member.member_metadata),
        node: None,
    };
    let mut members: Vec<_> = group.members.into_iter().map(member).collect();
    members.sort_by(|a, b| a.id.cmp(&b.id));
    DescribedGroup {
        name: group.group_id.to_string(),
        state: group.group_state.to_string(),
        assignor: group.protocol_data.to_string(),
        members,
    }
}

fn of_modern(group: modern::DescribedGroup) -> DescribedGroup {
    let partitions = |assignment: modern::Assignment| {
        let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for topic in assignment.topic_partitions {
            topics.entry(topic.topic_name.to_string()).or_default().extend(topic.partitions);
        }
        let named = |(topic, indexes): (String, Vec<i32>)| {
            indexes.into_iter().map(move |index| Partition::new(topic.as_str(), index))
        };
        topics.into_iter().flat_map(named).collect()
    };
    let member = |member: modern::Member| DescribedMember {
        id: member.member_id.to_string(),
        instance_id: member.instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        partitions: partitions(member.assignment),
        about: Bytes::new(),
        node: node_of(&member.member_id).map(str::to_owned),
    };
    let mut members: Vec<_> = group.members.into_iter().map(member).collect();
    members.sort_by(|a, b| a.id.cmp(&b.id));
    DescribedGroup {
        name: group.group_id.to_string(),
        state: group.group_state.to_string(),
        assignor: group.assignor_name.to_string(),
        members,
    }
}
