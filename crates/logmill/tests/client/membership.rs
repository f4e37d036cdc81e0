//! Consumer groups: partitions shared out, moved with little disturbance, fenced when stale.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use logmill::Error;
use logmill::client::membership::{Commit, Event, Membership, MembershipOptions, MembershipToken};
use logmill::client::{Client, Transport};
use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::Partition;
use logmill_testkit::{Api, Cluster, Fault};

use crate::support::{builder, cluster, connect, transport};

fn options() -> MembershipOptions {
    let mut options = MembershipOptions::new(["t"]);
    options.session_timeout = Duration::from_secs(10);
    options.rebalance_timeout = Duration::from_secs(20);
    options
}

/// A member, and what it holds by the events it was told.
struct Member {
    membership: Membership,
    held: BTreeSet<Partition>,
    token: Option<MembershipToken>,
    lost: usize,
}

impl Member {
    fn join(client: &Client) -> Self {
        let membership = Membership::join(client, "g", options());
        Self { membership, held: BTreeSet::new(), token: None, lost: 0 }
    }

    /// Follows one event, letting go of what is revoked at once.
    async fn step(&mut self) {
        match self.membership.next().await.unwrap() {
            Event::Assigned { partitions, token } => {
                self.held.extend(partitions);
                self.token = Some(token);
            }
            Event::Revoked { partitions, release } => {
                for partition in &partitions {
                    assert!(self.held.remove(partition), "{partition} was not held");
                }
                release.done();
            }
            Event::Lost { partitions } => {
                self.lost += 1;
                for partition in &partitions {
                    self.held.remove(partition);
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Follows all members until what they hold satisfies `done`; nothing may have two holders on the way.
async fn settle(members: &mut [Member], done: impl Fn(&[Member]) -> bool) {
    let limit = tokio::time::Instant::now() + Duration::from_secs(120);
    while !done(members) {
        let steps = members.iter_mut().map(|member| Box::pin(member.step()));
        let steps = futures_util::future::select_all(steps);
        tokio::time::timeout_at(limit, steps).await.expect("the members do not settle");
        let mut holders: BTreeMap<&Partition, usize> = BTreeMap::new();
        members.iter().flat_map(|member| &member.held).for_each(|it| *holders.entry(it).or_default() += 1);
        assert!(holders.values().all(|count| *count == 1), "{holders:?}");
    }
}

fn loads(members: &[Member]) -> Vec<usize> {
    members.iter().map(|member| member.held.len()).collect()
}

fn commit(index: i32, offset: i64) -> Vec<Commit> {
    vec![Commit { partition: Partition::new("t", index), offset, leader_epoch: -1, metadata: "m".into() }]
}

async fn start(brokers: u16, partitions: i32) -> (Cluster, Client) {
    let cluster = cluster(brokers);
    cluster.create_topic("t", partitions);
    let client = connect(&cluster).await;
    (cluster, client)
}

#[tokio::test(start_paused = true)]
async fn members_share_a_topic_evenly_as_they_come_and_go() {
    let (_cluster, client) = start(3, 6).await;
    let mut members = vec![Member::join(&client)];
    settle(&mut members, |m| loads(m) == [6]).await;
    let first = members[0].held.clone();
    members.push(Member::join(&client));
    settle(&mut members, |m| loads(m) == [3, 3]).await;
    assert!(members[0].held.is_subset(&first));
    members.push(Member::join(&client));
    settle(&mut members, |m| loads(m) == [2, 2, 2]).await;
    let kept: Vec<_> = members.iter().map(|member| member.held.clone()).collect();
    members.remove(0).membership.leave().await;
    settle(&mut members, |m| loads(m) == [3, 3]).await;
    assert!(kept[1].is_subset(&members[0].held) && kept[2].is_subset(&members[1].held), "sticky");
}

#[tokio::test(start_paused = true)]
async fn commits_are_under_the_token_they_were_read_under_and_no_other() {
    let (cluster, client) = start(1, 2).await;
    let mut members = vec![Member::join(&client)];
    settle(&mut members, |m| loads(m) == [2]).await;
    let old = members[0].token.clone().unwrap();
    members[0].membership.commit(&old, commit(0, 5)).await.unwrap();
    assert_eq!(cluster.committed("g", "t", 0).unwrap().offset, 5);

    members.push(Member::join(&client));
    settle(&mut members, |m| loads(m) == [1, 1]).await;
    let error = members[0].membership.commit(&old, commit(0, 1)).await.unwrap_err();
    assert!(matches!(error, Error::NotOwner { code: ErrorCode::IllegalGeneration, .. }), "{error:?}");
    assert!(!error.is_retriable());
    let new = members[0].token.clone().unwrap();
    members[0].membership.commit(&new, commit(0, 9)).await.unwrap();
    assert_eq!(cluster.committed("g", "t", 0).unwrap().offset, 9);
}

#[tokio::test(start_paused = true)]
async fn a_silent_member_is_replaced_and_its_commit_refused() {
    let (cluster, other) = start(1, 2).await;
    let (cut, inside) = (Arc::new(AtomicBool::new(false)), transport(&cluster));
    let gate = Arc::clone(&cut);
    let gated = Transport::new(move |address| {
        let (gate, inside) = (Arc::clone(&gate), inside.clone());
        async move {
            match gate.load(Ordering::Relaxed) {
                true => Err(std::io::ErrorKind::NetworkUnreachable.into()),
                false => inside.dial(address).await,
            }
        }
    });
    let client = builder(&cluster).transport(gated).connect().await.unwrap();
    let mut members = vec![Member::join(&client), Member::join(&other)];
    settle(&mut members, |m| loads(m) == [1, 1]).await;
    let mut silent = members.remove(0);
    let token = silent.token.clone().unwrap();
    let index = silent.held.first().unwrap().index;
    cut.store(true, Ordering::Relaxed);
    client.close();
    settle(&mut members, |m| loads(m) == [2]).await;
    cut.store(false, Ordering::Relaxed);
    let error = silent.membership.commit(&token, commit(index, 1)).await.unwrap_err();
    assert!(matches!(error, Error::NotOwner { .. }), "{error:?}");
    assert_eq!(cluster.committed("g", "t", index), None);
    while silent.lost == 0 {
        silent.step().await;
    }
    members.push(silent);
    settle(&mut members, |m| loads(m) == [1, 1]).await;
}

#[tokio::test(start_paused = true)]
async fn revoked_partitions_wait_for_their_holder_and_can_still_be_committed() {
    let (cluster, client) = start(1, 2).await;
    let mut members = vec![Member::join(&client)];
    settle(&mut members, |m| loads(m) == [2]).await;
    let mut second = Member::join(&client);
    let (mut release, mut revoked) = (None, Vec::new());
    while release.is_none() {
        match members[0].membership.next().await.unwrap() {
            Event::Assigned { token, .. } => members[0].token = Some(token),
            Event::Revoked { partitions, release: held } => (revoked, release) = (partitions, Some(held)),
            other => panic!("{other:?}"),
        }
    }
    // The second member gets nothing while the first still holds on.
    let early = tokio::time::timeout(Duration::from_secs(5), async {
        while second.held.is_empty() {
            second.step().await;
        }
    });
    assert!(early.await.is_err());
    let token = members[0].token.clone().unwrap();
    members[0].membership.commit(&token, commit(revoked[0].index, 7)).await.unwrap();
    assert_eq!(cluster.committed("g", "t", revoked[0].index).unwrap().offset, 7);
    release.unwrap().done();
    members[0].held.remove(&revoked[0]);
    members.push(second);
    settle(&mut members, |m| loads(m) == [1, 1]).await;
}

#[tokio::test(start_paused = true)]
async fn new_partitions_are_shared_out() {
    let (cluster, client) = start(1, 2).await;
    let mut members = vec![Member::join(&client), Member::join(&client)];
    settle(&mut members, |m| loads(m) == [1, 1]).await;
    cluster.add_partitions("t", 6);
    client.invalidate("t");
    settle(&mut members, |m| loads(m) == [3, 3]).await;
}

#[tokio::test(start_paused = true)]
async fn a_membership_survives_a_coordinator_that_moves_or_loses_answers() {
    let (cluster, client) = start(3, 6).await;
    let mut members = vec![Member::join(&client), Member::join(&client)];
    settle(&mut members, |m| loads(m) == [3, 3]).await;
    let coordinator = cluster.coordinator("g").unwrap();
    cluster.crash(coordinator);
    for api in [Api::Heartbeat, Api::JoinGroup, Api::SyncGroup, Api::FindCoordinator] {
        cluster.on_once(api, Fault::ApplyThenDisconnect);
    }
    let run = async {
        loop {
            settle(&mut members, |_| false).await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(60), run).await;
    settle(&mut members, |m| loads(m) == [3, 3]).await;
    let token = members[0].token.clone().unwrap();
    let held = members[0].held.first().unwrap().index;
    members[0].membership.commit(&token, commit(held, 3)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn kafkas_tools_can_describe_the_members() {
    let (_cluster, client) = start(3, 4).await;
    let mut members = vec![Member::join(&client), Member::join(&client)];
    settle(&mut members, |m| loads(m) == [2, 2]).await;
    let described = client.admin().describe_group("g").await.unwrap().unwrap();
    assert_eq!((&*described.state, &*described.assignor), ("Stable", "logmill"));
    let mut shown: Vec<_> = described.members.iter().map(|member| member.partitions.clone()).collect();
    let mut held: Vec<_> =
        members.iter().map(|member| member.held.iter().cloned().collect::<Vec<_>>()).collect();
    shown.sort();
    held.sort();
    assert_eq!(shown, held);
    assert!(described.members.iter().all(|member| member.client_id == "logmill"));
}

#[tokio::test(start_paused = true)]
async fn offsets_of_a_group_with_members_cannot_be_set_from_outside() {
    let (_cluster, client) = start(1, 1).await;
    let mut members = vec![Member::join(&client)];
    settle(&mut members, |m| loads(m) == [1]).await;
    let reset = BTreeMap::from([(Partition::new("t", 0), logmill::client::admin::Committed::at(3))]);
    let error = client.admin().commit("g", &reset).await.unwrap_err();
    assert!(error.to_string().contains("stop the consumer group's members first"), "{error}");
    assert_eq!(client.admin().delete_group("g").await.unwrap_err().code(), Some(ErrorCode::NonEmptyGroup));
    members.remove(0).membership.leave().await;
    client.admin().commit("g", &reset).await.unwrap();
}
