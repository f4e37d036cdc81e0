//! Administration: topics, offsets.

use std::collections::BTreeMap;

use logmill::Error;
use logmill::client::admin::OffsetAt;
use logmill::client::fetch::Isolation;
use logmill_protocol::ids::Partition;

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
