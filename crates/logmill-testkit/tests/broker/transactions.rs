//! Transactions: markers, the last stable offset, fencing, offsets inside.

use std::time::Duration;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::add_offsets_to_txn::AddOffsetsToTxnRequest;
use logmill_protocol::messages::add_partitions_to_txn::{AddPartitionsToTxnRequest, AddPartitionsToTxnTopic};
use logmill_protocol::messages::end_txn::EndTxnRequest;
use logmill_protocol::messages::fetch::PartitionData;
use logmill_protocol::messages::init_producer_id::InitProducerIdRequest;
use logmill_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use logmill_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use logmill_protocol::records::{AbortedTransactions, Batches, Limits, Stamp};
use logmill_testkit::{Cluster, ClusterOptions};
use tokio::time::Instant;

use crate::wire::{Wire, batch, fetch_request};

fn cluster() -> Cluster {
    let cluster = Cluster::start(ClusterOptions::brokers(1));
    cluster.create_topic("t", 2);
    cluster
}

/// A transactional producer with one partition in its hands.
struct Producer {
    wire: Wire,
    id: i64,
    epoch: i16,
    sequence: i32,
}

impl Producer {
    async fn start(cluster: &Cluster) -> Self {
        let mut wire = Wire::to(cluster, 1);
        let taken = wire.call(&init_request(-1, -1), 5).await;
        assert_eq!(taken.error_code, 0);
        Self { wire, id: taken.producer_id, epoch: taken.producer_epoch, sequence: 0 }
    }

    async fn add(&mut self) -> ErrorCode {
        let topic = AddPartitionsToTxnTopic { name: "t".into(), partitions: vec![0] };
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: "x".into(),
            v3_and_below_producer_id: self.id,
            v3_and_below_producer_epoch: self.epoch,
            v3_and_below_topics: vec![topic],
            ..Default::default()
        };
        let response = self.wire.call(&request, 3).await;
        let result = &response.results_by_topic_v3_and_below[0].results_by_partition[0];
        ErrorCode::from(result.partition_error_code)
    }

    async fn write(&mut self, value: &str) -> ErrorCode {
        let stamp = Stamp {
            producer_id: self.id,
            producer_epoch: self.epoch,
            base_sequence: self.sequence,
            transactional: true,
            control: false,
        };
        self.sequence += 1;
        ErrorCode::from(self.wire.produce("t", 0, batch(&[value], stamp)).await.error_code)
    }

    async fn end(&mut self, committed: bool) -> ErrorCode {
        let request = EndTxnRequest {
            transactional_id: "x".into(),
            producer_id: self.id,
            producer_epoch: self.epoch,
            committed,
        };
        ErrorCode::from(self.wire.call(&request, 4).await.error_code)
    }
}

fn init_request(producer_id: i64, producer_epoch: i16) -> InitProducerIdRequest {
    InitProducerIdRequest {
        transactional_id: Some("x".into()),
        transaction_timeout_ms: 60_000,
        producer_id,
        producer_epoch,
        ..Default::default()
    }
}

/// What a reader of committed records sees of an answer.
fn visible(data: &PartitionData) -> Vec<String> {
    let aborted = data.aborted_transactions.as_ref().unwrap();
    let mut aborted = AbortedTransactions::new(aborted.iter().map(|a| (a.producer_id, a.first_offset)));
    let mut seen = Vec::new();
    for batch in Batches::new(data.records.clone().unwrap()) {
        let batch = batch.unwrap();
        if aborted.is_visible(&batch) {
            for record in batch.records(Limits::default()).unwrap().into_owned() {
                seen.push(String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap());
            }
        }
    }
    seen
}

async fn read_committed(wire: &mut Wire, offset: i64, max_wait_ms: i32) -> PartitionData {
    let mut request = fetch_request("t", 0, offset, max_wait_ms);
    request.isolation_level = 1;
    wire.call(&request, 12).await.responses[0].partitions[0].clone()
}

#[tokio::test(start_paused = true)]
async fn readers_of_committed_records_see_neither_open_nor_aborted_ones() {
    let cluster = cluster();
    let mut producer = Producer::start(&cluster).await;
    let mut reader = Wire::to(&cluster, 1);
    cluster.produce("t", 0, ["before"]);
    assert_eq!(producer.write("too early").await, ErrorCode::InvalidTxnState, "the partition is not added");
    producer.sequence = 0;
    assert_eq!(producer.add().await, ErrorCode::None);
    assert_eq!(producer.write("aborted").await, ErrorCode::None);
    cluster.produce("t", 0, ["between"]);
    assert_eq!(cluster.last_stable_offset("t", 0), 1);
    let data = read_committed(&mut reader, 0, 0).await;
    assert_eq!((data.last_stable_offset, data.high_watermark, visible(&data)), (1, 3, vec!["before".into()]));

    // A reader that waits at the last stable offset is woken by the end of the transaction.
    let waits = tokio::spawn(async move { read_committed(&mut reader, 1, 50_000).await });
    tokio::time::sleep(Duration::from_millis(1)).await;
    let began = Instant::now();
    assert_eq!(producer.end(false).await, ErrorCode::None);
    let data = waits.await.unwrap();
    assert_eq!((began.elapsed(), visible(&data)), (Duration::ZERO, vec!["between".into()]));
    assert_eq!(data.aborted_transactions.as_ref().unwrap()[0].first_offset, 1);

    assert_eq!(producer.add().await, ErrorCode::None);
    assert_eq!(producer.write("committed").await, ErrorCode::None);
    assert_eq!(producer.end(true).await, ErrorCode::None);
    assert_eq!(producer.end(true).await, ErrorCode::None, "asked again, the same");
    assert_eq!(producer.end(false).await, ErrorCode::InvalidTxnState);
    let data = read_committed(&mut Wire::to(&cluster, 1), 0, 0).await;
    assert_eq!(visible(&data), ["before", "between", "committed"]);
    assert_eq!((data.last_stable_offset, data.high_watermark), (6, 6));
    let aborted: Vec<_> = cluster.log("t", 0).iter().map(|r| (r.offset, r.aborted)).collect();
    assert_eq!(aborted, [(0, false), (1, true), (2, false), (4, false)], "3 and 5 are markers");
}

#[tokio::test(start_paused = true)]
async fn a_new_holder_of_the_id_fences_the_old_one_and_rolls_back_what_it_left() {
    let cluster = cluster();
    let mut old = Producer::start(&cluster).await;
    old.add().await;
    old.write("left open").await;
    let mut new = Producer::start(&cluster).await;
    assert_eq!(new.id, old.id);
    assert!(new.epoch > old.epoch);
    assert_eq!(cluster.last_stable_offset("t", 0), 2);
    assert!(cluster.log("t", 0)[0].aborted);
    assert_eq!(old.write("zombie").await, ErrorCode::InvalidProducerEpoch);
    assert_eq!(old.add().await, ErrorCode::ProducerFenced);
    assert_eq!(old.end(true).await, ErrorCode::ProducerFenced);
    let held = old.wire.call(&init_request(old.id, old.epoch), 5).await;
    assert_eq!(held.error_code, ErrorCode::ProducerFenced.code());
    assert_eq!(new.add().await, ErrorCode::None);
    assert_eq!(new.write("new").await, ErrorCode::None);
    assert_eq!(new.end(true).await, ErrorCode::None);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_stays_open_is_rolled_back_in_time() {
    let cluster = cluster();
    let mut producer = Producer::start(&cluster).await;
    producer.add().await;
    producer.write("forgotten").await;
    let began = Instant::now();
    let data = read_committed(&mut Wire::to(&cluster, 1), 0, 100_000).await;
    assert_eq!(began.elapsed(), Duration::from_secs(60), "the reader does not wait longer than that");
    assert_eq!(visible(&data), Vec::<String>::new());
    assert_eq!(data.last_stable_offset, 2);
    assert_eq!(producer.end(true).await, ErrorCode::ProducerFenced);
}

#[tokio::test(start_paused = true)]
async fn offsets_in_a_transaction_count_when_it_commits() {
    let cluster = cluster();
    let mut producer = Producer::start(&cluster).await;
    let commit = |producer: &Producer, offset| TxnOffsetCommitRequest {
        transactional_id: "x".into(),
        group_id: "g".into(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        topics: vec![TxnOffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![TxnOffsetCommitRequestPartition {
                partition_index: 0,
                committed_offset: offset,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let request = commit(&producer, 5);
    let code = producer.wire.call(&request, 3).await.topics[0].partitions[0].error_code;
    assert_eq!(code, ErrorCode::InvalidTxnState.code(), "the group is not added");
    for (offset, committed, counts) in [(5, true, Some(5)), (9, false, Some(5)), (10, true, Some(10))] {
        let add = AddOffsetsToTxnRequest {
            transactional_id: "x".into(),
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            group_id: "g".into(),
        };
        assert_eq!(producer.wire.call(&add, 3).await.error_code, 0);
        let request = commit(&producer, offset);
        assert_eq!(producer.wire.call(&request, 3).await.topics[0].partitions[0].error_code, 0);
        let topic =
            OffsetFetchRequestTopics { name: "t".into(), partition_indexes: vec![0], ..Default::default() };
        let group =
            OffsetFetchRequestGroup { group_id: "g".into(), topics: Some(vec![topic]), ..Default::default() };
        let stable = OffsetFetchRequest { groups: vec![group], require_stable: true, ..Default::default() };
        let found = producer.wire.call(&stable, 9).await.groups[0].topics[0].partitions[0].clone();
        assert_eq!(found.error_code, ErrorCode::UnstableOffsetCommit.code());
        assert_eq!(producer.end(committed).await, ErrorCode::None);
        assert_eq!(cluster.committed("g", "t", 0).map(|c| c.offset), counts);
    }
}

#[tokio::test(start_paused = true)]
async fn compaction_and_truncation_leave_the_log_right() {
    let cluster = cluster();
    let mut producer = Producer::start(&cluster).await;
    producer.add().await;
    producer.write("aborted").await;
    producer.end(false).await;
    producer.add().await;
    producer.write("committed").await;
    producer.end(true).await;
    cluster.compact("t", 0);
    let data = read_committed(&mut Wire::to(&cluster, 1), 0, 0).await;
    assert_eq!(visible(&data), ["committed"]);
    assert_eq!(cluster.log("t", 0).len(), 1, "aborted records are gone, markers stay");
    // The marker that commits is cut off: the transaction is open in the log again.
    cluster.truncate("t", 0, 3);
    assert_eq!((cluster.last_stable_offset("t", 0), cluster.high_watermark("t", 0)), (2, 3));
    assert!(cluster.log("t", 0)[0].open);
}

#[tokio::test(start_paused = true)]
async fn producer_ids_are_given_out_and_bumped() {
    let cluster = cluster();
    let mut wire = Wire::to(&cluster, 1);
    let request = |producer_id, producer_epoch| InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: i32::MAX,
        producer_id,
        producer_epoch,
        ..Default::default()
    };
    let mut init = async |id, epoch| {
        let got = wire.call(&request(id, epoch), 5).await;
        (ErrorCode::from(got.error_code), got.producer_id, got.producer_epoch)
    };
    let (code, first, epoch) = init(-1, -1).await;
    assert_eq!((code, epoch), (ErrorCode::None, 0));
    assert_eq!(init(-1, -1).await, (ErrorCode::None, first + 1, 0));
    assert_eq!(init(first, 0).await, (ErrorCode::None, first, 1));
    assert_eq!(init(first, i16::MAX).await, (ErrorCode::None, first + 2, 0));
    assert_eq!(init(0, -1).await.0, ErrorCode::InvalidRequest);
    let mut zero = init_request(-1, -1);
    zero.transaction_timeout_ms = 0;
    let code = Wire::to(&cluster, 1).call(&zero, 5).await.error_code;
    assert_eq!(code, ErrorCode::InvalidTransactionTimeout.code());
}
