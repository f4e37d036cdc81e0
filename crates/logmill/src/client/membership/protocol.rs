//! The bytes inside JoinGroup and SyncGroup, in the format of Kafka's own consumers, so that Kafka's
//! tools can show them (KIP-429, `ConsumerProtocolSubscription` and `ConsumerProtocolAssignment`).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use logmill_protocol::error::{DecodeError, EncodeError};
use logmill_protocol::ids::Partition;
use logmill_protocol::messages::consumer_protocol_assignment as assignment;
use logmill_protocol::messages::consumer_protocol_subscription as subscription;
use logmill_protocol::wire::{Message, Reader, Str, Writer};

use super::assignor::Member;

/// The assignor's name. All members of a consumer group must have one in common.
pub(crate) const ASSIGNOR: &str = "logmill";

/// Subscriptions are written in this version: the first that carries the generation of the claims.
const SUBSCRIPTION_VERSION: i16 = 2;

const ASSIGNMENT_VERSION: i16 = 1;

/// A list of topics with their partitions, as both blocks carry it.
fn by_topic<'a>(partitions: impl IntoIterator<Item = &'a Partition>) -> BTreeMap<Str, Vec<i32>> {
    let mut topics: BTreeMap<Str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(Str::from(&*partition.topic)).or_default().push(partition.index);
    }
    topics
}

fn block<M: Message>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let mut out = Writer::new();
    out.i16(version);
    message.encode(&mut out, version)?;
    Ok(out.into_bytes())
}

/// The version stands before the block; a newer one begins like the newest that is known here.
fn unblock<M: Message>(bytes: Bytes) -> Result<M, DecodeError> {
    let mut input = Reader::new(bytes);
    let version = input.i16("consumer protocol version")?;
    M::decode(&mut input, version.clamp(M::MIN, M::MAX))
}

/// What a member says of itself when it joins; `about` is for whoever looks at the consumer group.
pub(super) fn encode_member(member: &Member, about: &Bytes) -> Result<Bytes, EncodeError> {
    let owned = by_topic(&member.owned).into_iter();
    let owned = owned.map(|(topic, partitions)| subscription::TopicPartition { topic, partitions });
    let message = subscription::ConsumerProtocolSubscription {
        topics: member.topics.iter().map(|topic| Str::from(topic.as_str())).collect(),
        owned_partitions: owned.collect(),
        generation_id: member.generation,
        user_data: Some(about.clone()).filter(|about| !about.is_empty()),
        ..Default::default()
    };
    block(&message, SUBSCRIPTION_VERSION)
}

/// What another member said of itself.
pub(super) fn decode_member(bytes: Bytes) -> Result<Member, DecodeError> {
    let message: subscription::ConsumerProtocolSubscription = unblock(bytes)?;
    let owned = message.owned_partitions.into_iter().flat_map(|topic| {
        topic.partitions.into_iter().map(move |index| Partition::new(topic.topic.as_str(), index))
    });
    Ok(Member {
        topics: message.topics.iter().map(|topic| topic.to_string()).collect(),
        owned: owned.collect(),
        generation: message.generation_id,
    })
}

/// What a member said about itself beside that. Empty if nothing, or if it is another kind of member.
pub(in crate::client) fn decode_about(bytes: Bytes) -> Bytes {
    let message = unblock::<subscription::ConsumerProtocolSubscription>(bytes);
    message.ok().and_then(|message| message.user_data).unwrap_or_default()
}

/// What the leader gives to one member.
pub(super) fn encode_assignment(partitions: &BTreeSet<Partition>) -> Result<Bytes, EncodeError> {
    let topics = by_topic(partitions).into_iter();
    let topics = topics.map(|(topic, partitions)| assignment::TopicPartition { topic, partitions });
    let message = assignment::ConsumerProtocolAssignment {
        assigned_partitions: topics.collect(),
        ..Default::default()
    };
    block(&message, ASSIGNMENT_VERSION)
}

/// What the leader gave to this member. An empty block is an empty assignment.
pub(in crate::client) fn decode_assignment(bytes: Bytes) -> Result<BTreeSet<Partition>, DecodeError> {
    if bytes.is_empty() {
        return Ok(BTreeSet::new());
    }
    let message: assignment::ConsumerProtocolAssignment = unblock(bytes)?;
    let partitions = message.assigned_partitions.into_iter().flat_map(|topic| {
        topic.partitions.into_iter().map(move |index| Partition::new(topic.topic.as_str(), index))
    });
    Ok(partitions.collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_blocks_read_back_and_hostile_bytes_are_errors() {
        let member = Member {
            topics: ["orders".to_owned()].into(),
            owned: vec![Partition::new("orders", 0), Partition::new("orders", 3)],
            generation: 4,
        };
        let bytes = encode_member(&member, &Bytes::from_static(b"a fir")).unwrap();
        assert_eq!(decode_member(bytes.clone()).unwrap(), member);
        assert_eq!(decode_about(bytes.clone()), &b"a fir"[..]);
        assert_eq!(decode_about(encode_member(&member, &Bytes::new()).unwrap()), &b""[..]);
        let given: BTreeSet<_> = member.owned.into_iter().collect();
        assert_eq!(decode_assignment(encode_assignment(&given).unwrap()).unwrap(), given);
        assert_eq!(decode_assignment(Bytes::new()).unwrap(), BTreeSet::new());
        for end in 0..bytes.len() {
            assert!(decode_member(bytes.slice(..end)).is_err());
            assert!(decode_about(bytes.slice(..end)).is_empty());
        }
    }
}
