//! What a reader gets, and when.

use std::time::Duration;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use logmill_protocol::messages::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use logmill_protocol::records::Batches;
use logmill_testkit::{Cluster, ClusterOptions};
use tokio::time::Instant;

use crate::wire::{Wire, fetch_request};

fn cluster() -> Cluster {
    let cluster = Cluster::start(ClusterOptions::brokers(1));
    cluster.create_topic("t", 2);
    cluster
}

#[tokio::test(start_paused = true)]
async fn a_fetch_waits_for_an_append_and_no_longer_than_asked() {
    let cluster = cluster();
    let mut wire = Wire::to(&cluster, 1);
    let began = Instant::now();
    let empty = wire.fetch("t", 0, 0, 500).await;
    assert_eq!((empty.error_code, empty.high_watermark, empty.records.unwrap().len()), (0, 0, 0));
    assert_eq!(began.elapsed(), Duration::from_millis(500));

    let began = Instant::now();
    let waits = tokio::spawn(async move { wire.fetch("t", 0, 0, 60_000).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    cluster.produce("t", 1, ["in another partition"]);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(!waits.is_finished());
    cluster.produce("t", 0, ["a"]);
    assert_eq!(waits.await.unwrap().high_watermark, 1);
    assert_eq!(began.elapsed(), Duration::from_millis(20));
}

#[tokio::test(start_paused = true)]
async fn a_fetch_waits_for_min_bytes() {
    let cluster = cluster();
    let mut wire = Wire::to(&cluster, 1);
    cluster.produce("t", 0, ["a"]);
    let mut request = fetch_request("t", 0, 0, 1000);
    request.min_bytes = 100;
    wire.send(&request, 12).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    let began = Instant::now();
    cluster.produce("t", 0, ["b"]);
    let response = wire.receive::<logmill_protocol::messages::fetch::FetchRequest>(12).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(response.responses[0].partitions[0].records.as_ref().unwrap().len() > 100);
}

#[tokio::test(start_paused = true)]
async fn the_first_batch_is_whole_and_the_last_may_be_cut() {
    let cluster = cluster();
    let mut wire = Wire::to(&cluster, 1);
    for _ in 0..3 {
        cluster.produce("t", 0, ["x".repeat(1000)]);
        cluster.produce("t", 1, ["x".repeat(1000)]);
    }
    let whole = cluster.raw_log("t", 0).len() / 3;
    let mut request = fetch_request("t", 0, 1, 0);
    request.topics[0].partitions[0].partition_max_bytes = 1;
    let mut other = request.topics[0].partitions[0].clone();
    other.partition = 1;
    request.topics[0].partitions.push(other);
    let sizes = async |wire: &mut Wire, request: &logmill_protocol::messages::fetch::FetchRequest| {
        let response = wire.call(request, 12).await;
        let partitions = &response.responses[0].partitions;
        partitions.iter().map(|p| p.records.as_ref().unwrap().len()).collect::<Vec<_>>()
    };
    assert_eq!(sizes(&mut wire, &request).await, [whole, 0], "one batch at least, and only one (KIP-74)");
    request.topics[0].partitions[0].partition_max_bytes = whole as i32 + 100;
    assert_eq!(sizes(&mut wire, &request).await, [whole + 100, 0]);
    request.max_bytes = 50;
    assert_eq!(sizes(&mut wire, &request).await, [whole, 0], "the limit of the whole answer counts too");

    let data = wire.fetch("t", 0, 2, 0).await;
    let batch = Batches::new(data.records.unwrap()).next().unwrap().unwrap();
    assert_eq!((batch.base_offset(), batch.last_offset()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn offsets_outside_the_log_are_refused_at_once() {
    let cluster = cluster();
    let mut wire = Wire::to(&cluster, 1);
    cluster.produce("t", 0, ["a", "b", "c"]);
    cluster.delete_records("t", 0, 2);
    let out = ErrorCode::OffsetOutOfRange.code();
    for (offset, code) in [(-1, out), (1, out), (2, 0), (4, out)] {
        assert_eq!(wire.fetch("t", 0, offset, 60_000).await.error_code, code, "offset {offset}");
    }
    let data = wire.fetch("t", 0, 2, 0).await;
    assert_eq!((data.log_start_offset, data.high_watermark), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn leader_epochs_fence_readers_with_stale_or_future_metadata() {
    let cluster = Cluster::start(ClusterOptions::brokers(2));
    cluster.create_topic("t", 1);
    cluster.move_leader("t", 0, 1);
    cluster.move_leader("t", 0, 2);
    let mut wire = Wire::to(&cluster, 2);
    let mut code = async |broker: i32, epoch: i32| {
        let mut request = fetch_request("t", 0, 0, 0);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let response = if broker == 2 {
            wire.call(&request, 12).await
        } else {
            Wire::to(&cluster, broker).call(&request, 12).await
        };
        ErrorCode::from(response.responses[0].partitions[0].error_code)
    };
    assert_eq!(code(2, 2).await, ErrorCode::None);
    assert_eq!(code(2, -1).await, ErrorCode::None);
    assert_eq!(code(2, 1).await, ErrorCode::FencedLeaderEpoch);
    assert_eq!(code(2, 3).await, ErrorCode::UnknownLeaderEpoch);
    assert_eq!(code(1, 2).await, ErrorCode::NotLeaderOrFollower);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_fetch_learns_that_the_leader_moved() {
    let cluster = Cluster::start(ClusterOptions::brokers(2));
    cluster.create_topic("t", 1);
    cluster.move_leader("t", 0, 1);
    let mut wire = Wire::to(&cluster, 1);
    let waits = tokio::spawn(async move { wire.fetch("t", 0, 0, 60_000).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    cluster.move_leader("t", 0, 2);
    let data = waits.await.unwrap();
    assert_eq!(data.error_code, ErrorCode::NotLeaderOrFollower.code());
    assert_eq!(data.current_leader.leader_id, 2);
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_truncated_records_is_told_where_the_logs_part() {
    let cluster = cluster();
    let mut wire = Wire::to(&cluster, 1);
    for _ in 0..4 {
        cluster.produce("t", 0, ["x"]);
    }
    cluster.truncate("t", 0, 2);
    cluster.produce("t", 0, ["y"]);
    let mut request = fetch_request("t", 0, 4, 60_000);
    request.topics[0].partitions[0].last_fetched_epoch = 0;
    let data = wire.call(&request, 12).await.responses[0].partitions[0].clone();
    assert_eq!((data.diverging_epoch.epoch, data.diverging_epoch.end_offset), (0, 2));
    assert_eq!(data.records.unwrap().len(), 0);

    let asked = |leader_epoch| OffsetForLeaderEpochRequest {
        topics: vec![OffsetForLeaderTopic {
            topic: "t".into(),
            partitions: vec![OffsetForLeaderPartition {
                partition: 0,
                current_leader_epoch: -1,
                leader_epoch,
            }],
        }],
        ..Default::default()
    };
    for (epoch, found) in [(0, (0, 2)), (1, (1, 3)), (2, (-1, -1))] {
        let end = &wire.call(&asked(epoch), 4).await.topics[0].partitions[0];
        assert_eq!((end.leader_epoch, end.end_offset), found, "epoch {epoch}");
    }
}

#[tokio::test(start_paused = true)]
async fn offsets_are_found_by_time() {
    let cluster = cluster();
    let mut wire = Wire::to(&cluster, 1);
    // Timestamps 1,000 to 1,002, then 1,000 again.
    cluster.append("t", 0, crate::wire::plain(&["a", "b", "c"])).unwrap();
    cluster.append("t", 0, crate::wire::plain(&["d"])).unwrap();
    let mut find = async |timestamp: i64| {
        let partition = ListOffsetsPartition { partition_index: 0, timestamp, ..Default::default() };
        let topic = ListOffsetsTopic { name: "t".into(), partitions: vec![partition] };
        let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
        let found = wire.call(&request, 7).await.topics[0].partitions[0].clone();
        assert_eq!(found.error_code, 0);
        (found.offset, found.timestamp)
    };
    assert_eq!(find(-2).await, (0, -1));
    assert_eq!(find(-1).await, (4, -1));
    assert_eq!(find(-3).await, (2, 1002), "the greatest timestamp (KIP-734)");
    assert_eq!(find(0).await, (0, 1000));
    assert_eq!(find(1001).await, (1, 1001));
    assert_eq!(find(1003).await, (-1, -1));
    cluster.delete_records("t", 0, 3);
    assert_eq!(find(-2).await, (3, -1));
    assert_eq!(find(1001).await, (-1, -1), "what is deleted is not found");
}

#[tokio::test(start_paused = true)]
async fn sessions_are_declined_politely() {
    let cluster = cluster();
    let mut wire = Wire::to(&cluster, 1);
    let mut request = fetch_request("t", 0, 0, 0);
    request.session_epoch = 0;
    assert_eq!(wire.call(&request, 12).await.session_id, 0);
    request.session_id = 5;
    let response = wire.call(&request, 12).await;
    assert_eq!(response.error_code, ErrorCode::FetchSessionIdNotFound.code());
}

#[tokio::test(start_paused = true)]
async fn topics_are_named_by_id_from_version_13_on() {
    let cluster = cluster();
    let mut wire = Wire::to(&cluster, 1);
    cluster.produce("t", 0, ["a"]);
    let mut request = fetch_request("", 0, 0, 60_000);
    request.topics[0].topic_id = cluster.topic_id("t").unwrap();
    let response = wire.call(&request, 18).await;
    assert_eq!(response.responses[0].partitions[0].high_watermark, 1);
    // Deleted while a fetch waits: it learns at once.
    request.topics[0].partitions[0].fetch_offset = 1;
    wire.send(&request, 18).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let began = Instant::now();
    cluster.delete_topic("t");
    let response = wire.receive::<logmill_protocol::messages::fetch::FetchRequest>(18).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(response.responses[0].partitions[0].error_code, ErrorCode::UnknownTopicId.code());
}
