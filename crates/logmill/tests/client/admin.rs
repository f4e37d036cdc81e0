//! Administration: topics, offsets.

use std::collections::BTreeMap;

use logmill::Error;
use logmill::client::admin::{Committed, NewTopic, OffsetAt};
use logmill::client::fetch::Isolation;
use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::Partition;
use logmill_testkit::{Api, Fault};

use crate::support::{cluster, connect, fill};

#[tokio::test(start_paused = true)]
async fn offsets_are_listed_by_place_and_time_with_an_outcome_for_each_partition() {
    let cluster = cluster(3);
    cluster.create_topic("t", 3);
    let client = connect(&cluster).await;
    let (full, empty) = (Partition::new("t", 0), Partition::new("t", 1));
    fill(&client, &full, 3).await;
    let admin = client.admin();
    let at = async |partition: &Partition, at| {
        admin.offset_at(partition, at, Isolation::Committed).await.unwrap().offset
    };
    assert_eq!(at(&full, OffsetAt::Start).await, Some(0));
    assert_eq!(at(&full, OffsetAt::End).await, Some(30));
    assert_eq!(at(&full, OffsetAt::Time(1_000)).await, Some(0));
    assert_eq!(at(&full, OffsetAt::Time(9_999_999)).await, None);
    assert_eq!(at(&empty, OffsetAt::End).await, Some(0));

    let deleted = admin.delete_records([(full.clone(), 12)]).await;
    assert_eq!(*deleted[&full].as_ref().unwrap(), 12);
    assert_eq!(at(&full, OffsetAt::Start).await, Some(12));

    let missing = Partition::new("t", 9);
    let asked = [full.clone(), empty.clone(), missing.clone()].map(|p| (p, OffsetAt::End));
    let listed: BTreeMap<_, _> = admin.list_offsets(asked, Isolation::Committed).await;
    assert_eq!(listed[&full].as_ref().unwrap().offset, Some(30));
    assert_eq!(listed[&empty].as_ref().unwrap().offset, Some(0));
    assert!(matches!(listed[&missing], Err(Error::UnknownPartition { .. })));
}

#[tokio::test(start_paused = true)]
async fn offsets_are_asked_for_again_where_the_leader_has_moved() {
    let cluster = cluster(3);
    cluster.create_topic("t", 6);
    let client = connect(&cluster).await;
    let asked = || (0..6).map(|index| (Partition::new("t", index), OffsetAt::End));
    let listed = client.admin().list_offsets(asked(), Isolation::Committed).await;
    assert!(listed.values().all(Result::is_ok));
    for index in 0..6 {
        let leader = cluster.leader("t", index).unwrap();
        cluster.move_leader("t", index, 1 + leader % 3);
    }
    cluster.crash(2);
    let listed = client.admin().list_offsets(asked(), Isolation::Committed).await;
    assert!(listed.values().all(Result::is_ok), "{listed:?}");
}

#[tokio::test(start_paused = true)]
async fn topics_are_made_described_widened_and_deleted() {
    let cluster = cluster(3);
    let client = connect(&cluster).await;
    let admin = client.admin();
    let topic = NewTopic::new("orders", 3).replication(2).set("cleanup.policy", "compact");
    admin.create_topic(topic.clone()).await.unwrap();
    let error = admin.create_topic(topic.clone()).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::TopicAlreadyExists));
    assert!(error.to_string().contains("orders"), "{error}");
    assert!(!admin.ensure_topic(topic).await.unwrap());

    let described = admin.describe_topics(&["orders", "nope"]).await.unwrap();
    assert_eq!(described.len(), 1);
    assert_eq!(described[0].partitions.len(), 3);
    assert!(described[0].partitions.iter().all(|p| p.replicas.len() == 2 && p.leader.is_some()));

    admin.create_partitions("orders", 5).await.unwrap();
    assert_eq!(client.topic("orders").await.unwrap().partitions.len(), 5);
    assert!(admin.create_partitions("orders", 2).await.is_err());

    admin.delete_topic("orders").await.unwrap();
    let error = admin.delete_topic("orders").await.unwrap_err();
    assert!(matches!(error, Error::UnknownTopic { .. }), "{error:?}");
    assert!(admin.describe_topics(&[]).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_change_whose_answer_was_lost_is_no_error_when_it_took_place() {
    let cluster = cluster(1);
    let admin = connect(&cluster).await.admin();
    cluster.on_once(Api::CreateTopics, Fault::ApplyThenDisconnect);
    admin.create_topic(NewTopic::new("t", 1)).await.unwrap();
    cluster.on_once(Api::DeleteTopics, Fault::ApplyThenDisconnect);
    admin.delete_topic("t").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn settings_of_a_topic_are_shown() {
    let cluster = cluster(1);
    let admin = connect(&cluster).await.admin();
    admin.create_topic(NewTopic::new("t", 1).set("cleanup.policy", "compact")).await.unwrap();
    assert_eq!(admin.topic_settings("t").await.unwrap()["cleanup.policy"], "compact");
    assert!(admin.topic_settings("nope").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_consumer_group_without_members_is_read_committed_to_listed_and_deleted() {
    let cluster = cluster(3);
    cluster.create_topic("t", 3);
    let client = connect(&cluster).await;
    let admin = client.admin();
    let partitions: Vec<_> = (0..3).map(|index| Partition::new("t", index)).collect();
    assert!(admin.committed("g", None).await.unwrap().is_empty());
    assert_eq!(admin.describe_group("g").await.unwrap(), None);

    let mut commits = BTreeMap::new();
    let mut second = Committed::at(7);
    second.metadata = "note".to_owned();
    commits.insert(partitions[0].clone(), Committed::at(0));
    commits.insert(partitions[1].clone(), second);
    admin.commit("g", &commits).await.unwrap();
    assert_eq!(admin.committed("g", Some(&partitions)).await.unwrap(), commits);
    assert_eq!(admin.committed("g", None).await.unwrap(), commits);

    let listed = admin.list_groups().await.unwrap();
    assert_eq!(listed.iter().map(|group| &*group.name).collect::<Vec<_>>(), ["g"]);
    assert_eq!(admin.describe_group("g").await.unwrap().unwrap().state, "Empty");

    admin.delete_committed("g", &partitions[..1]).await.unwrap();
    assert_eq!(admin.committed("g", None).await.unwrap().len(), 1);
    admin.delete_group("g").await.unwrap();
    assert_eq!(admin.delete_group("g").await.unwrap_err().code(), Some(ErrorCode::GroupIdNotFound));
    assert!(admin.committed("g", None).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn committed_offsets_are_found_at_every_release_and_through_a_moved_coordinator() {
    for release in ["2.1", "2.4", "2.8", "3.3", "3.9", "4.0"] {
        let cluster = cluster(3);
        cluster.create_topic("t", 1);
        cluster.play_kafka(release);
        let client = connect(&cluster).await;
        let admin = client.admin();
        let commits = BTreeMap::from([(Partition::new("t", 0), Committed::at(5))]);
        admin.commit("g", &commits).await.unwrap();
        cluster.crash(cluster.coordinator("g").unwrap());
        assert_eq!(admin.committed("g", None).await.unwrap(), commits, "{release}");
    }
}
