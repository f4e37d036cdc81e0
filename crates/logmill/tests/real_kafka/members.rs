//! Members of consumer groups, by both group protocols and between them.

use std::collections::BTreeSet;
use std::time::Duration;

use logmill::client::admin::NewTopic;
use logmill::client::membership::{
    Commit, Event, GroupProtocol, Membership, MembershipOptions, MembershipToken,
};
use logmill::client::{Client, Target};
use logmill::node::{Node, Received};
use logmill::{Error, inspect};
use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::Partition;
use logmill_protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use logmill_testkit::launch::{Kafka, KafkaOptions, Software, skipped};

use super::log::{ask, fill};
use super::{CONSOLE_CONSUMER, GROUPS, connect, java};

/// What one broker of each kind serves.
pub(super) async fn all(kafka: &Kafka, client: &Client, is_new: bool) {
    membership(kafka, client, GroupProtocol::Auto, is_new).await;
    if is_new {
        membership(kafka, client, GroupProtocol::Classic, false).await;
        from_one_protocol_to_the_other(client).await;
        held_until_it_is_let_go(client).await;
        thrown_out(client).await;
        nodes_are_known_by_name(kafka, client).await;
    }
    taken_over_from_java(kafka, client).await;
}

fn options_of(topic: &str) -> MembershipOptions {
    let mut options = MembershipOptions::new([topic]);
    options.session_timeout = Duration::from_secs(3);
    options.heartbeat_interval = Duration::from_millis(500);
    options.rebalance_timeout = Duration::from_secs(10);
    options
}

/// A member, and what it holds by the events it was told.
struct Member {
    membership: Membership,
    held: BTreeSet<Partition>,
    token: Option<MembershipToken>,
}

impl Member {
    fn join(client: &Client, group: &str, protocol: GroupProtocol) -> Self {
        let mut options = options_of("grouped");
        options.protocol = protocol;
        Self::with(client, group, options)
    }

    fn with(client: &Client, group: &str, options: MembershipOptions) -> Self {
        let membership = Membership::join(client, group, options);
        Self { membership, held: BTreeSet::new(), token: None }
    }

    async fn step(&mut self) {
        match self.membership.next().await.unwrap() {
            Event::Assigned { partitions, token } => {
                self.held.extend(partitions);
                self.token = Some(token);
            }
            Event::Revoked { partitions, release } => {
                self.held.retain(|held| !partitions.contains(held));
                release.done();
            }
            Event::Lost { partitions } => self.held.retain(|held| !partitions.contains(held)),
            other => panic!("{other:?}"),
        }
    }

    async fn until_holding(&mut self, partitions: usize) {
        let reached = async {
            while self.held.len() != partitions {
                self.step().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reached).await.expect("not assigned in time");
    }

    async fn commit(&self, token: &MembershipToken, index: i32, offset: i64) -> logmill::Result<()> {
        let partition = Partition::new("grouped", index);
        let commit = Commit { partition, offset, leader_epoch: -1, metadata: "note".to_owned() };
        let refused = self.membership.commit(token, vec![commit]).await?;
        assert!(refused.is_empty(), "{refused:?}");
        Ok(())
    }
}

async fn membership(kafka: &Kafka, client: &Client, protocol: GroupProtocol, newer: bool) {
    let group = format!("shared-{protocol:?}");
    let group = &*group;
    // The first member lives in a runtime of its own, which stands still whenever nobody drives it: to
    // the broker and to itself that is a process that was stopped and goes on later.
    let address = kafka.bootstrap();
    let (go, gone) = (tokio::sync::oneshot::channel::<()>(), tokio::sync::oneshot::channel());
    let (held, holding) = tokio::sync::oneshot::channel();
    let named = group.to_owned();
    let paused = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut member = runtime.block_on(async {
            let client = Client::builder().brokers(address).connect().await.unwrap();
            let mut member = Member::join(&client, &named, protocol);
            member.until_holding(2).await;
            member.commit(&member.token.clone().unwrap(), 0, 1).await.unwrap();
            member
        });
        held.send(()).unwrap();
        go.1.blocking_recv().unwrap();
        // Awake again, with the token from before and not knowing of anything.
        let token = member.token.clone().unwrap();
        let late = runtime.block_on(member.commit(&token, 0, 0));
        let told = runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(20), member.until_holding(0)).await });
        gone.0.send((late, told.is_ok())).unwrap();
    });
    holding.await.unwrap();
    let mut second = Member::join(client, group, protocol);
    second.until_holding(2).await;
    let token = second.token.clone().unwrap();
    second.commit(&token, 0, 7).await.unwrap();
    go.0.send(()).unwrap();
    let (late, told) = gone.1.await.unwrap();
    let error = late.unwrap_err();
    assert!(
        matches!(
            error,
            Error::NotOwner { code: ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration, .. }
        ),
        "{error:?}"
    );
    assert!(told, "it learnt that it had lost its partitions");
    paused.join().unwrap();
    let committed = client.admin().committed(group, None).await.unwrap();
    assert_eq!(committed[&Partition::new("grouped", 0)].offset, 7, "the late commit changed nothing");

    // Somebody new comes: the token of before the rebalance is of an older generation.
    let old = second.token.clone().unwrap();
    let mut third = Member::join(client, group, protocol);
    let both = async { tokio::join!(second.until_holding(1), third.until_holding(1)) };
    tokio::time::timeout(Duration::from_secs(30), both).await.expect("two members share two partitions");
    // (Newer brokers take it still for what stayed, by the newer protocol: KIP-1251.)
    let stale = |error: &Error| match error {
        Error::NotOwner { code, .. } => {
            matches!(code, ErrorCode::IllegalGeneration | ErrorCode::StaleMemberEpoch)
        }
        _ => false,
    };
    let error = second.commit(&old, third.held.first().unwrap().index, 1).await.unwrap_err();
    assert!(stale(&error), "{error:?}");
    while second.token == Some(old.clone()) {
        tokio::time::timeout(Duration::from_secs(30), second.step()).await.expect("a newer token");
    }
    // Letting go took a round of its own, so the token may be that of the round before the last.
    let index = second.held.first().unwrap().index;
    while let Err(error) = second.commit(&second.token.clone().unwrap(), index, 8).await {
        assert!(stale(&error), "{error:?}");
        tokio::time::timeout(Duration::from_secs(30), second.step()).await.expect("a newer token");
    }

    // Kafka's own tool shows members, their partitions and the commits.
    let text = java(kafka, GROUPS, &["--describe", "--group", group, "--members", "--verbose"], "").await;
    assert_eq!(text.lines().filter(|line| line.contains("logmill-test")).count(), 2, "{text}");
    assert!(text.contains("grouped"), "{text}");
    let text = java(kafka, GROUPS, &["--describe", "--group", group], "").await;
    assert!(text.lines().filter(|line| line.contains("logmill-test")).count() == 2, "{text}");
    let assignor = if newer { "uniform" } else { "logmill" };
    let text = java(kafka, GROUPS, &["--describe", "--group", group, "--state"], "").await;
    assert!(text.contains("Stable") && text.contains(assignor), "{text}");
    second.membership.leave().await;
    third.membership.leave().await;
    let described = client.admin().describe_group(group).await.unwrap().unwrap();
    assert_eq!((&*described.state, described.members.len()), ("Empty", 0));
}

/// Members of both protocols share the partitions of one group, which goes from one to the other as they come and go.
async fn from_one_protocol_to_the_other(client: &Client) {
    let assignor = async || client.admin().describe_group("moving").await.unwrap().unwrap().assignor;
    let mut classic = Member::join(client, "moving", GroupProtocol::Classic);
    classic.until_holding(2).await;
    classic.commit(&classic.token.clone().unwrap(), 0, 1).await.unwrap();
    assert_eq!(assignor().await, "logmill");
    let mut newer = Member::join(client, "moving", GroupProtocol::Auto);
    share(&mut classic, &mut newer).await;
    assert_eq!(assignor().await, "uniform");
    classic.membership.leave().await;
    newer.until_holding(2).await;
    newer.commit(&newer.token.clone().unwrap(), 0, 2).await.unwrap();
    // And back.
    let mut classic = Member::join(client, "moving", GroupProtocol::Classic);
    share(&mut newer, &mut classic).await;
    newer.membership.leave().await;
    classic.until_holding(2).await;
    assert_eq!(assignor().await, "logmill");
    while let Err(error) = classic.commit(&classic.token.clone().unwrap(), 0, 3).await {
        assert!(matches!(error, Error::NotOwner { .. }), "{error:?}");
        classic.step().await;
    }
    classic.membership.leave().await;
}

/// Until each of them holds one of the two partitions. None is ever held by both.
async fn share(one: &mut Member, other: &mut Member) {
    let shared = async {
        while (one.held.len(), other.held.len()) != (1, 1) {
            tokio::select! {
                () = one.step() => {}
                () = other.step() => {}
            }
            assert!(one.held.is_disjoint(&other.held), "{:?} {:?}", one.held, other.held);
        }
    };
    tokio::time::timeout(Duration::from_secs(30), shared).await.expect("they do not share");
}

/// What is revoked can still be committed, and is nobody else's, until it is let go.
async fn held_until_it_is_let_go(client: &Client) {
    let mut one = Member::join(client, "slow", GroupProtocol::Auto);
    one.until_holding(2).await;
    let mut other = Member::join(client, "slow", GroupProtocol::Auto);
    let (partition, release) = loop {
        match one.membership.next().await.unwrap() {
            Event::Assigned { token, .. } => one.token = Some(token),
            Event::Revoked { partitions, release } => break (partitions[0].clone(), release),
            other => panic!("{other:?}"),
        }
    };
    // Some heartbeats of both.
    assert!(tokio::time::timeout(Duration::from_secs(2), other.until_holding(1)).await.is_err());
    one.commit(one.token.as_ref().unwrap(), partition.index, 5).await.unwrap();
    release.done();
    other.until_holding(1).await;
    assert_eq!(other.held, BTreeSet::from([partition.clone()]));
    assert_eq!(client.admin().committed("slow", None).await.unwrap()[&partition].offset, 5);
    one.membership.leave().await;
    other.membership.leave().await;
}

/// A member that the broker no longer knows comes back in its own place.
async fn thrown_out(client: &Client) {
    let members = async || client.admin().describe_group("thrown").await.unwrap().unwrap().members;
    let mut member = Member::join(client, "thrown", GroupProtocol::Auto);
    member.until_holding(2).await;
    let token = member.token.clone().unwrap();
    let id = members().await[0].id.clone();
    let leaves = ConsumerGroupHeartbeatRequest {
        group_id: "thrown".into(),
        member_id: id.as_str().into(),
        member_epoch: -1,
        ..Default::default()
    };
    assert_eq!(ask(client, Target::Any, &leaves, 1).await.error_code, 0);
    member.until_holding(0).await;
    member.until_holding(2).await;
    assert_eq!(members().await.into_iter().map(|member| member.id).collect::<Vec<_>>(), [id]);
    let error = member.commit(&token, 0, 1).await.unwrap_err();
    assert!(matches!(error, Error::NotOwner { code: ErrorCode::StaleMemberEpoch, .. }), "{error:?}");
    member.membership.leave().await;
}

/// The newer protocol has no room for what a node says of itself, except in its id.
async fn nodes_are_known_by_name(kafka: &Kafka, client: &Client) {
    let node = Node::builder().brokers(kafka.bootstrap()).group("named").topics(["grouped"]);
    let node = node.session_timeout(Duration::from_secs(3)).name("box-a").handler(async |_: Received| ());
    let node = node.build().await.unwrap();
    let seen = async {
        loop {
            let seen = inspect::nodes(client, "named", None).await.unwrap();
            if seen.iter().any(|node| node.organises.len() == 2) {
                break seen;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let seen = tokio::time::timeout(Duration::from_secs(30), seen).await.expect("not assigned in time");
    let [only] = &*seen else { panic!("{seen:?}") };
    assert!(only.node == "box-a" && only.private_store && only.host.is_some(), "{only:?}");
    assert_eq!(client.admin().describe_group("named").await.unwrap().unwrap().assignor, "uniform");
    node.drain().await.unwrap();
}

/// A Java consumer was here before, and comes back afterwards: each goes on where the other stopped.
async fn taken_over_from_java(kafka: &Kafka, client: &Client) {
    let partition = Partition::new("handed", 0);
    client.admin().create_topic(NewTopic::new("handed", 1)).await.unwrap();
    fill(client, &partition, 2).await;
    let read = ["--topic", "handed", "--group", "hand", "--timeout-ms", "20000"];
    let words = [&read[..], &["--from-beginning", "--max-messages", "5"]].concat();
    let text = java(kafka, CONSOLE_CONSUMER, &words, "").await;
    assert_eq!(text.lines().collect::<Vec<_>>(), ["v0", "v1", "v2", "v3", "v4"]);
    let committed = client.admin().committed("hand", None).await.unwrap();
    assert_eq!(committed[&partition].offset, 5);

    let mut membership = Membership::join(client, "hand", options_of("handed"));
    let token = loop {
        match membership.next().await.unwrap() {
            Event::Assigned { partitions, token } if partitions.contains(&partition) => break token,
            _ => {}
        }
    };
    let commit = Commit { partition: partition.clone(), offset: 12, leader_epoch: -1, metadata: "m".into() };
    assert!(membership.commit(&token, vec![commit]).await.unwrap().is_empty());
    membership.leave().await;

    let words = [&read[..], &["--max-messages", "8"]].concat();
    let text = java(kafka, CONSOLE_CONSUMER, &words, "").await;
    assert_eq!(text.lines().next(), Some("v12"), "{text}");
}

#[tokio::test]
async fn a_group_that_the_broker_does_not_convert_stays_classic() {
    if skipped(&[Software::Kafka]) {
        return;
    }
    let options = KafkaOptions::default()
        .set("group.consumer.session.timeout.ms", 3_000)
        .set("group.consumer.migration.policy", "disabled");
    let mut kafka = Kafka::start(options).await.unwrap();
    let client = connect(&kafka).await;
    client.admin().create_topic(NewTopic::new("grouped", 2)).await.unwrap();
    let described = async || client.admin().describe_group("kept").await.unwrap().unwrap();
    let mut first = Member::join(&client, "kept", GroupProtocol::Classic);
    first.until_holding(2).await;
    let mut second = Member::join(&client, "kept", GroupProtocol::Auto);
    share(&mut first, &mut second).await;
    assert_eq!(described().await.assignor, "logmill");
    first.membership.leave().await;
    second.until_holding(2).await;
    second.membership.leave().await;

    // Once it is empty, it is whatever its next member asks for: here a session that only that member can have.
    let mut options = options_of("grouped");
    options.session_timeout = Duration::from_secs(2);
    let mut shorter = Member::with(&client, "kept", options);
    shorter.until_holding(2).await;
    assert_eq!(described().await.assignor, "logmill");
    shorter.membership.leave().await;
    let mut newer = Member::join(&client, "kept", GroupProtocol::Auto);
    newer.until_holding(2).await;
    assert_eq!(described().await.assignor, "uniform");
    newer.membership.leave().await;

    // Silence counts by the broker's session, however long a one the member would have liked.
    let mut options = options_of("grouped");
    options.session_timeout = Duration::from_secs(600);
    let mut alone = Member::with(&client, "alone", options);
    alone.until_holding(2).await;
    kafka.kill9(0);
    alone.until_holding(0).await;
}
