//! Faults on request, and crashes.

use std::time::Duration;

use bytes::Bytes;
use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::metadata::MetadataRequest;
use logmill_protocol::messages::produce::ProduceRequest;
use logmill_protocol::wire::read_response;
use logmill_testkit::{Api, Cluster, ClusterOptions, Fault, Rule};
use tokio::time::Instant;

use crate::wire::{Wire, fetch_request, plain, produce_request, values};

fn cluster() -> Cluster {
    let cluster = Cluster::start(ClusterOptions::brokers(1));
    cluster.create_topic("t", 2);
    cluster
}

#[tokio::test(start_paused = true)]
async fn errors_strike_as_often_as_asked() {
    let cluster = cluster();
    let mut wire = Wire::to(&cluster, 1);
    cluster.on_times(Api::Produce, 2, Fault::Error(ErrorCode::NotEnoughReplicas));
    cluster
        .inject(Rule::new(Api::Produce, Fault::ApplyThenError(ErrorCode::RequestTimedOut)).after(1).times(1));
    let mut codes = Vec::new();
    for _ in 0..5 {
        codes.push(ErrorCode::from(wire.produce("t", 0, plain(&["a"])).await.error_code));
    }
    let (few, late) = (ErrorCode::NotEnoughReplicas, ErrorCode::RequestTimedOut);
    assert_eq!(codes, [few, few, ErrorCode::None, late, ErrorCode::None]);
    assert_eq!(cluster.high_watermark("t", 0), 3, "the late one was stored");
    assert_eq!((cluster.calls(Api::Produce), cluster.calls(Api::Fetch)), (5, 0));
    assert_eq!((cluster.calls_at(1, Api::Produce), cluster.calls_at(2, Api::Produce)), (5, 0));
}

#[tokio::test(start_paused = true)]
async fn a_partition_can_be_struck_alone() {
    let cluster = cluster();
    let mut wire = Wire::to(&cluster, 1);
    let fault = Fault::Error(ErrorCode::NotLeaderOrFollower);
    cluster.inject(Rule::new(Api::Produce, fault.clone()).partition("t", 1).times(1));
    let mut request = produce_request("t", 0, plain(&["a"]));
    let mut second = request.topic_data[0].partition_data[0].clone();
    second.index = 1;
    request.topic_data[0].partition_data.push(second);
    let response = wire.call(&request, 9).await;
    let codes: Vec<_> = response.responses[0].partition_responses.iter().map(|p| p.error_code).collect();
    assert_eq!(codes, [0, ErrorCode::NotLeaderOrFollower.code()]);
    // A fetch that would wait is answered when one of its partitions is struck.
    cluster.inject(Rule::new(Api::Fetch, fault).partition("t", 1).times(1));
    let mut request = fetch_request("t", 0, 1, 60_000);
    let mut second = request.topics[0].partitions[0].clone();
    second.partition = 1;
    request.topics[0].partitions.push(second);
    let response = wire.call(&request, 12).await;
    let codes: Vec<_> = response.responses[0].partitions.iter().map(|p| p.error_code).collect();
    assert_eq!(codes, [0, ErrorCode::NotLeaderOrFollower.code()]);
}

#[tokio::test(start_paused = true)]
async fn connections_are_cut_before_or_after_the_request_is_applied() {
    let cluster = cluster();
    for (fault, stored) in [(Fault::Disconnect, 0), (Fault::ApplyThenDisconnect, 1), (Fault::CutShort, 2)] {
        cluster.on_once(Api::Produce, fault.clone());
        let mut wire = Wire::to(&cluster, 1);
        assert!(wire.try_call(&produce_request("t", 0, plain(&["a"])), 9).await.is_none(), "{fault:?}");
        assert_eq!(cluster.high_watermark("t", 0), stored, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_are_late_or_never_come() {
    let cluster = cluster();
    let mut wire = Wire::to(&cluster, 1);
    let second = Duration::from_secs(1);
    for (fault, stored_at_once) in [(Fault::Delay(second), 0), (Fault::ApplyThenDelay(second), 2)] {
        cluster.on_once(Api::Produce, fault.clone());
        let began = Instant::now();
        wire.send(&produce_request("t", 0, plain(&["a"])), 9).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(cluster.high_watermark("t", 0), stored_at_once, "{fault:?}");
        wire.receive::<ProduceRequest>(9).await.unwrap();
        assert_eq!(began.elapsed(), second);
    }
    for (fault, stored) in [(Fault::Hang, 2), (Fault::ApplyThenHang, 3)] {
        cluster.on_once(Api::Produce, fault);
        let mut wire = Wire::to(&cluster, 1);
        wire.send(&produce_request("t", 0, plain(&["a"])), 9).await;
        let answer = tokio::time::timeout(Duration::from_secs(3600), wire.frame()).await;
        assert!(answer.is_err(), "neither an answer nor the end of the connection");
        assert_eq!(cluster.high_watermark("t", 0), stored);
    }
}

#[tokio::test(start_paused = true)]
async fn answers_are_garbage_or_wrong_by_one_bit() {
    let cluster = cluster();
    let mut wire = Wire::to(&cluster, 1);
    cluster.produce("t", 0, ["x".repeat(10_000)]);
    cluster.on_once(Api::Metadata, Fault::Garbage(Bytes::from_static(b"\0\0\0\x04HTTP")));
    wire.send(&MetadataRequest::default(), 12).await;
    assert_eq!(wire.frame().await.unwrap(), "HTTP");

    let request = fetch_request("t", 0, 0, 0);
    wire.send(&request, 12).await;
    let good = wire.frame().await.unwrap();
    cluster.on_once(Api::Fetch, Fault::FlipBit);
    wire.send(&request, 12).await;
    let bad = wire.frame().await.unwrap();
    let differing: u32 = good[4..].iter().zip(&bad[4..]).map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!((good.len(), differing), (bad.len(), 1));
    wire.send(&request, 12).await;
    let (_, response) =
        read_response::<logmill_protocol::messages::fetch::FetchRequest>(wire.frame().await.unwrap(), 12)
            .unwrap();
    assert_eq!(response.responses[0].partitions[0].error_code, 0, "the log itself is whole");
}

#[tokio::test(start_paused = true)]
async fn a_fault_can_be_tied_to_a_broker_and_taken_back() {
    let cluster = Cluster::start(ClusterOptions::brokers(2));
    cluster.inject(Rule::new(Api::Metadata, Fault::Disconnect).broker(2));
    let request = MetadataRequest::default();
    assert!(Wire::to(&cluster, 1).try_call(&request, 12).await.is_some());
    assert!(Wire::to(&cluster, 2).try_call(&request, 12).await.is_none());
    cluster.clear_faults();
    assert!(Wire::to(&cluster, 2).try_call(&request, 12).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_crash_ends_connections_and_keeps_what_was_acknowledged() {
    let cluster = Cluster::start(ClusterOptions::brokers(2));
    cluster.create_topic("t", 1);
    cluster.move_leader("t", 0, 1);
    let mut wire = Wire::to(&cluster, 1);
    assert_eq!(wire.produce("t", 0, plain(&["kept"])).await.error_code, 0);
    // One request is being delayed when the broker goes down: it is not applied.
    cluster.on_once(Api::Produce, Fault::Delay(Duration::from_secs(1)));
    wire.send(&produce_request("t", 0, plain(&["lost"])), 9).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    cluster.crash(1);
    assert!(wire.frame().await.is_none());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let refused = cluster.dial("broker-1.embedded", 9092).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!((cluster.leader("t", 0), cluster.leader_epoch("t", 0)), (Some(2), 2));
    assert_eq!(values(&cluster, "t", 0), ["kept"]);
    cluster.restart(1);
    assert!(Wire::to(&cluster, 1).try_call(&MetadataRequest::default(), 12).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn connections_end_with_the_last_handle() {
    let cluster = cluster();
    let other = cluster.clone();
    let mut wire = Wire::to(&cluster, 1);
    drop(cluster);
    assert!(wire.try_call(&MetadataRequest::default(), 12).await.is_some());
    drop(other);
    assert!(wire.frame().await.is_none());
}
