//! Consumer groups by the classic protocol.

use std::time::Duration;

use bytes::Bytes;
use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::delete_groups::DeleteGroupsRequest;
use logmill_protocol::messages::describe_groups::DescribeGroupsRequest;
use logmill_protocol::messages::find_coordinator::FindCoordinatorRequest;
use logmill_protocol::messages::heartbeat::HeartbeatRequest;
use logmill_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use logmill_protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use logmill_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use logmill_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use logmill_protocol::messages::sync_group::{
    SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse,
};
use logmill_protocol::wire::Str;
use logmill_testkit::{Cluster, ClusterOptions};
use tokio::time::Instant;

use crate::wire::Wire;

fn cluster() -> Cluster {
    let mut options = ClusterOptions::brokers(1);
    options.group_min_session_timeout = Duration::from_secs(1);
    let cluster = Cluster::start(options);
    cluster.create_topic("t", 4);
    cluster
}

fn join_request(member: &Str, protocols: &[&str]) -> JoinGroupRequest {
    let protocol = |name: &&str| JoinGroupRequestProtocol {
        name: (*name).into(),
        metadata: Bytes::from(format!("subscription of {member}")),
    };
    JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 20_000,
        member_id: member.clone(),
        protocol_type: "consumer".into(),
        protocols: protocols.iter().map(protocol).collect(),
        ..Default::default()
    }
}

/// Joins as a newcomer, in both steps (KIP-394).
async fn join_new(wire: &mut Wire) -> JoinGroupResponse {
    let id = fresh_id(wire).await;
    wire.call(&join_request(&id, &["range"]), 9).await
}

async fn fresh_id(wire: &mut Wire) -> Str {
    let first = wire.call(&join_request(&Str::default(), &["range"]), 9).await;
    assert_eq!(first.error_code, ErrorCode::MemberIdRequired.code());
    first.member_id
}

fn sync_request(joined: &JoinGroupResponse, assignments: &[(&Str, &'static str)]) -> SyncGroupRequest {
    let assignment = |(id, text): &(&Str, &'static str)| SyncGroupRequestAssignment {
        member_id: (*id).clone(),
        assignment: Bytes::from_static(text.as_bytes()),
    };
    SyncGroupRequest {
        group_id: "g".into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        assignments: assignments.iter().map(assignment).collect(),
        ..Default::default()
    }
}

async fn heartbeat(wire: &mut Wire, member: &Str, generation_id: i32) -> ErrorCode {
    let member_id = member.clone();
    let request = HeartbeatRequest { group_id: "g".into(), generation_id, member_id, ..Default::default() };
    ErrorCode::from(wire.call(&request, 4).await.error_code)
}

async fn leave(wire: &mut Wire, member: &Str) -> i16 {
    let members = vec![MemberIdentity { member_id: member.clone(), ..Default::default() }];
    let request = LeaveGroupRequest { group_id: "g".into(), members, ..Default::default() };
    wire.call(&request, 5).await.members[0].error_code
}

fn commit_request(member: &Str, generation: i32, offset: i64, metadata: &str) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: offset,
        committed_leader_epoch: 3,
        committed_metadata: Some(metadata.into()),
    };
    OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: generation,
        member_id: member.clone(),
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    }
}

async fn commit(wire: &mut Wire, member: &Str, generation: i32, offset: i64) -> ErrorCode {
    let response = wire.call(&commit_request(member, generation, offset, "m"), 9).await;
    ErrorCode::from(response.topics[0].partitions[0].error_code)
}

/// Two members, synced, the first one leading.
async fn pair(cluster: &Cluster) -> [(Wire, JoinGroupResponse); 2] {
    let (mut one, mut two) = (Wire::to(cluster, 1), Wire::to(cluster, 1));
    let alone = join_new(&mut one).await;
    assert_eq!((alone.generation_id, &alone.leader), (1, &alone.member_id));
    one.call(&sync_request(&alone, &[(&alone.member_id, "all")]), 5).await;
    let id = fresh_id(&mut two).await;
    two.send(&join_request(&id, &["range"]), 9).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(heartbeat(&mut one, &alone.member_id, 1).await, ErrorCode::RebalanceInProgress);
    let first = one.call(&join_request(&alone.member_id, &["range"]), 9).await;
    let second = two.receive::<JoinGroupRequest>(9).await.unwrap();
    assert_eq!((first.generation_id, second.generation_id), (2, 2));
    assert_eq!((&first.leader, &second.leader), (&alone.member_id, &alone.member_id));
    assert_eq!(first.members.iter().map(|m| &m.member_id).collect::<Vec<_>>(), [&first.member_id, &id]);
    assert_eq!(second.members.len(), 0, "only the leader is told of the others");
    two.send(&sync_request(&second, &[]), 5).await;
    let all = sync_request(&first, &[(&first.member_id, "half"), (&id, "other half")]);
    assert_eq!(one.call(&all, 5).await.assignment, "half");
    let theirs: SyncGroupResponse = two.receive::<SyncGroupRequest>(5).await.unwrap();
    assert_eq!(theirs.assignment, "other half");
    [(one, first), (two, second)]
}

#[tokio::test(start_paused = true)]
async fn two_members_share_a_group() {
    let cluster = cluster();
    let began = Instant::now();
    let [(mut one, first), (mut two, second)] = pair(&cluster).await;
    assert_eq!(began.elapsed(), Duration::from_millis(1), "nobody waits for a timer");
    assert_eq!(heartbeat(&mut one, &first.member_id, 2).await, ErrorCode::None);
    assert_eq!(heartbeat(&mut two, &second.member_id, 2).await, ErrorCode::None);
    assert_eq!(heartbeat(&mut two, &second.member_id, 1).await, ErrorCode::IllegalGeneration);
    assert_eq!(heartbeat(&mut two, &"nobody".into(), 2).await, ErrorCode::UnknownMemberId);
    assert_eq!(cluster.members("g").len(), 2);

    // Asked again by a member whose answer was lost, the same is answered, without a rebalance.
    let again = two.call(&join_request(&second.member_id, &["range"]), 9).await;
    assert_eq!((again.error_code, again.generation_id), (0, 2));
    assert_eq!(two.call(&sync_request(&again, &[]), 5).await.assignment, "other half");

    let request = DescribeGroupsRequest { groups: vec!["g".into(), "none".into()], ..Default::default() };
    let described = one.call(&request, 6).await.groups;
    assert_eq!(described[0].group_state, "Stable");
    assert_eq!(described[0].protocol_data, "range");
    assert_eq!(described[0].members.len(), 2);
    assert_eq!(described[0].members[0].client_id, "wire");
    assert_eq!(described[1].error_code, ErrorCode::GroupIdNotFound.code());

    // The leader leaves: the other is told, and leads.
    assert_eq!(leave(&mut one, &first.member_id).await, 0);
    assert_eq!(heartbeat(&mut two, &second.member_id, 2).await, ErrorCode::RebalanceInProgress);
    let third = two.call(&join_request(&second.member_id, &["range"]), 9).await;
    assert_eq!((third.generation_id, &third.leader), (3, &second.member_id));
    assert_eq!(leave(&mut two, &second.member_id).await, 0);
    assert_eq!(one.call(&request, 6).await.groups[0].group_state, "Empty");
}

#[tokio::test(start_paused = true)]
async fn a_silent_member_is_out_after_its_session_timeout() {
    let cluster = cluster();
    let [(mut one, first), (mut two, second)] = pair(&cluster).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(heartbeat(&mut one, &first.member_id, 2).await, ErrorCode::None);
    }
    tokio::time::sleep(Duration::from_millis(1001)).await;
    assert_eq!(heartbeat(&mut one, &first.member_id, 2).await, ErrorCode::RebalanceInProgress);
    assert_eq!(heartbeat(&mut two, &second.member_id, 2).await, ErrorCode::UnknownMemberId);
    let alone = one.call(&join_request(&first.member_id, &["range"]), 9).await;
    assert_eq!((alone.generation_id, alone.members.len()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_rebalance_waits_for_members_no_longer_than_their_timeout() {
    let cluster = cluster();
    let [(mut one, first), (mut two, second)] = pair(&cluster).await;
    // The second member lives but does not join again.
    let began = Instant::now();
    one.send(&join_request(&first.member_id, &["range"]), 9).await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(4)).await;
        let code = heartbeat(&mut two, &second.member_id, 2).await;
        assert_eq!(code, ErrorCode::RebalanceInProgress);
    }
    let joined = one.receive::<JoinGroupRequest>(9).await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(20));
    assert_eq!((joined.generation_id, joined.members.len()), (3, 1));
    assert_eq!(heartbeat(&mut two, &second.member_id, 2).await, ErrorCode::UnknownMemberId);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_never_assigns_is_put_out() {
    let cluster = cluster();
    let (mut one, mut two) = (Wire::to(&cluster, 1), Wire::to(&cluster, 1));
    let leader = join_new(&mut one).await;
    let id = fresh_id(&mut two).await;
    two.send(&join_request(&id, &["range"]), 9).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    one.call(&join_request(&leader.member_id, &["range"]), 9).await;
    let second = two.receive::<JoinGroupRequest>(9).await.unwrap();
    two.send(&sync_request(&second, &[]), 5).await;
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(heartbeat(&mut one, &leader.member_id, 2).await, ErrorCode::None);
    }
    let synced = two.receive::<SyncGroupRequest>(5).await.unwrap();
    assert_eq!(synced.error_code, ErrorCode::RebalanceInProgress.code());
    assert_eq!(heartbeat(&mut one, &leader.member_id, 2).await, ErrorCode::UnknownMemberId);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_not_used_holds_a_rebalance_up_until_it_expires() {
    let cluster = cluster();
    let (mut one, mut two) = (Wire::to(&cluster, 1), Wire::to(&cluster, 1));
    let alone = join_new(&mut one).await;
    one.call(&sync_request(&alone, &[(&alone.member_id, "all")]), 5).await;
    fresh_id(&mut two).await;
    assert_eq!(heartbeat(&mut one, &alone.member_id, 1).await, ErrorCode::None, "not a member yet");
    let began = Instant::now();
    let again = one.call(&join_request(&alone.member_id, &["range"]), 9).await;
    assert_eq!((began.elapsed(), again.generation_id), (Duration::from_secs(10), 2));
}

#[tokio::test(start_paused = true)]
async fn members_agree_on_a_protocol_that_all_have() {
    let mut options = ClusterOptions::brokers(1);
    options.group_initial_rebalance_delay = Duration::from_secs(1);
    let cluster = Cluster::start(options);
    let mut wires = [Wire::to(&cluster, 1), Wire::to(&cluster, 1), Wire::to(&cluster, 1)];
    let tastes: [&[&str]; 3] = [&["a", "b", "c"], &["b", "c", "a"], &["c", "b"]];
    let mut ids = Vec::new();
    for wire in &mut wires {
        let first = wire.call(&join_request(&Str::default(), &["a", "b", "c"]), 4).await;
        ids.push(first.member_id);
    }
    for ((wire, id), taste) in wires.iter_mut().zip(&ids).zip(tastes) {
        wire.send(&join_request(id, taste), 9).await;
    }
    for wire in &mut wires {
        let joined = wire.receive::<JoinGroupRequest>(9).await.unwrap();
        assert_eq!((joined.error_code, joined.protocol_name), (0, Some("b".into())));
    }
    let mut stranger = Wire::to(&cluster, 1);
    let refused = stranger.call(&join_request(&Str::default(), &["d"]), 9).await;
    assert_eq!(refused.error_code, ErrorCode::InconsistentGroupProtocol.code());
    let mut other = join_request(&Str::default(), &["b"]);
    other.protocol_type = "connect".into();
    let refused = stranger.call(&other, 9).await;
    assert_eq!(refused.error_code, ErrorCode::InconsistentGroupProtocol.code());
    other.session_timeout_ms = 10;
    let refused = stranger.call(&other, 9).await;
    assert_eq!(refused.error_code, ErrorCode::InvalidSessionTimeout.code());
}

#[tokio::test(start_paused = true)]
async fn a_static_member_comes_back_without_a_rebalance_and_fences_its_former_self() {
    let cluster = cluster();
    let (mut one, mut two) = (Wire::to(&cluster, 1), Wire::to(&cluster, 1));
    let mut request = join_request(&Str::default(), &["range"]);
    request.group_instance_id = Some("pod-1".into());
    let first = one.call(&request, 9).await;
    assert_eq!((first.error_code, first.generation_id), (0, 1));
    one.call(&sync_request(&first, &[(&first.member_id, "all")]), 5).await;
    let back = two.call(&request, 9).await;
    assert_eq!((back.error_code, back.generation_id, back.skip_assignment), (0, 1, true));
    assert_ne!(back.member_id, first.member_id);
    assert_eq!(two.call(&sync_request(&back, &[]), 5).await.assignment, "all");
    let beat = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: 1,
        member_id: first.member_id,
        group_instance_id: Some("pod-1".into()),
    };
    assert_eq!(one.call(&beat, 4).await.error_code, ErrorCode::FencedInstanceId.code());
}

#[tokio::test(start_paused = true)]
async fn a_first_rebalance_can_be_put_off_for_more_members() {
    let mut options = ClusterOptions::brokers(1);
    options.group_initial_rebalance_delay = Duration::from_secs(3);
    let cluster = Cluster::start(options);
    let (mut one, mut two) = (Wire::to(&cluster, 1), Wire::to(&cluster, 1));
    let began = Instant::now();
    let id = fresh_id(&mut one).await;
    one.send(&join_request(&id, &["range"]), 9).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let second = join_new(&mut two).await;
    assert_eq!(began.elapsed(), Duration::from_secs(6), "a newcomer puts it off once more");
    let first = one.receive::<JoinGroupRequest>(9).await.unwrap();
    assert_eq!((first.generation_id, second.generation_id, first.members.len()), (1, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn commits_are_checked_by_membership_and_generation() {
    let cluster = cluster();
    let mut outside = Wire::to(&cluster, 1);
    let nobody = Str::default();
    assert_eq!(commit(&mut outside, &"ghost".into(), 1, 5).await, ErrorCode::IllegalGeneration);
    assert_eq!(commit(&mut outside, &nobody, -1, 5).await, ErrorCode::None, "the group has no members");
    let [(mut one, first), (_two, _)] = pair(&cluster).await;
    assert_eq!(commit(&mut outside, &nobody, -1, 6).await, ErrorCode::UnknownMemberId);
    assert_eq!(commit(&mut one, &first.member_id, 1, 6).await, ErrorCode::IllegalGeneration);
    assert_eq!(commit(&mut one, &"ghost".into(), 2, 6).await, ErrorCode::UnknownMemberId);
    assert_eq!(commit(&mut one, &first.member_id, 2, 7).await, ErrorCode::None);
    let committed = cluster.committed("g", "t", 0).unwrap();
    assert_eq!((committed.offset, committed.leader_epoch, committed.metadata.as_str()), (7, 3, "m"));

    let long = "x".repeat(4097);
    let response = one.call(&commit_request(&first.member_id, 2, 8, &long), 9).await;
    let code = response.topics[0].partitions[0].error_code;
    assert_eq!(code, ErrorCode::OffsetMetadataTooLarge.code());
    let mut unknown = commit_request(&first.member_id, 2, 8, "");
    unknown.topics[0].name = "none".into();
    let code = one.call(&unknown, 9).await.topics[0].partitions[0].error_code;
    assert_eq!(code, ErrorCode::UnknownTopicOrPartition.code());

    // In a rebalance the members of the generation that ends may still commit, until the next begins.
    one.send(&join_request(&first.member_id, &["range"]), 9).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(commit(&mut outside, &first.member_id, 2, 9).await, ErrorCode::None);
    tokio::time::sleep(Duration::from_secs(11)).await;
    let third = one.receive::<JoinGroupRequest>(9).await.unwrap();
    assert_eq!(third.generation_id, 3);
    assert_eq!(commit(&mut outside, &first.member_id, 2, 10).await, ErrorCode::IllegalGeneration);
    assert_eq!(commit(&mut outside, &first.member_id, 3, 10).await, ErrorCode::RebalanceInProgress);
    assert_eq!(cluster.committed("g", "t", 0).unwrap().offset, 9);
}

#[tokio::test(start_paused = true)]
async fn offsets_are_fetched_and_groups_deleted() {
    let cluster = cluster();
    let mut wire = Wire::to(&cluster, 1);
    commit(&mut wire, &Str::default(), -1, 5).await;
    let topic =
        OffsetFetchRequestTopics { name: "t".into(), partition_indexes: vec![0, 1], ..Default::default() };
    let group = |topics| OffsetFetchRequestGroup { group_id: "g".into(), topics, ..Default::default() };
    let request =
        OffsetFetchRequest { groups: vec![group(Some(vec![topic])), group(None)], ..Default::default() };
    let groups = wire.call(&request, 9).await.groups;
    let offsets = |nth: usize| {
        let partitions = groups[nth].topics[0].partitions.iter();
        partitions.map(|p| (p.partition_index, p.committed_offset)).collect::<Vec<_>>()
    };
    assert_eq!(offsets(0), [(0, 5), (1, -1)]);
    assert_eq!(offsets(1), [(0, 5)], "all that there is");

    let delete = DeleteGroupsRequest { groups_names: vec!["g".into(), "none".into()] };
    let joined = join_new(&mut wire).await;
    let codes = |results: Vec<logmill_protocol::messages::delete_groups::DeletableGroupResult>| {
        results.iter().map(|r| ErrorCode::from(r.error_code)).collect::<Vec<_>>()
    };
    let (busy, none) = (ErrorCode::NonEmptyGroup, ErrorCode::GroupIdNotFound);
    assert_eq!(codes(wire.call(&delete, 2).await.results), [busy, none]);
    leave(&mut wire, &joined.member_id).await;
    assert_eq!(codes(wire.call(&delete, 2).await.results), [ErrorCode::None, none]);
    assert_eq!(cluster.committed("g", "t", 0), None);
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_crashes_hands_its_groups_over() {
    let cluster = Cluster::start(ClusterOptions::brokers(3));
    let first = cluster.coordinator("g").unwrap();
    let find = FindCoordinatorRequest { coordinator_keys: vec!["g".into()], ..Default::default() };
    let mut member = Wire::to(&cluster, first);
    let joined = join_new(&mut member).await;
    member.call(&sync_request(&joined, &[]), 5).await;
    cluster.crash(first);
    assert!(member.frame().await.is_none());
    let other = first % 3 + 1;
    let mut wire = Wire::to(&cluster, other);
    let found = wire.call(&find, 4).await.coordinators[0].node_id;
    assert_ne!(found, first);
    assert_eq!(heartbeat(&mut Wire::to(&cluster, found), &joined.member_id, 1).await, ErrorCode::None);
    cluster.restart(first);
    let code = heartbeat(&mut Wire::to(&cluster, found), &joined.member_id, 1).await;
    assert_eq!(code, ErrorCode::NotCoordinator);
    assert_eq!(wire.call(&find, 4).await.coordinators[0].node_id, first);
}
