//! Writes logs request by request, transactions too, so that no test of the reader depends on the
//! producer; and takes apart what a reader brings.

// Each test file uses its part of this.
#![allow(dead_code)]

use std::collections::BTreeMap;

use bytes::Bytes;
use logmill::client::fetch::{Fetched, RangeReader};
use logmill::client::{BrokerId, Client, Purpose, Target};
use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::Partition;
use logmill_protocol::messages::add_partitions_to_txn::{AddPartitionsToTxnRequest, AddPartitionsToTxnTopic};
use logmill_protocol::messages::end_txn::EndTxnRequest;
use logmill_protocol::messages::find_coordinator::FindCoordinatorRequest;
use logmill_protocol::messages::init_producer_id::InitProducerIdRequest;
use logmill_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use logmill_protocol::records::{
    BatchBuilder, Compression, Compressor, Decompressor, Limits, NewRecord, Stamp,
};
use logmill_protocol::wire::{Request, Str};
use tokio::time::{Duration, Instant};

/// A batch of records with these values; the record's key is its number in the batch.
pub(crate) fn batch(values: &[&str], compression: Compression, stamp: Stamp) -> Bytes {
    let mut builder = BatchBuilder::new(Vec::new());
    for (number, value) in values.iter().enumerate() {
        let key = number.to_string();
        let record = NewRecord::new(1_000 + number as i64, Some(key.as_bytes()), Some(value.as_bytes()));
        builder.append(&record, usize::MAX).unwrap();
    }
    let mut compressor = Compressor::new(compression, None).unwrap();
    builder.close(&mut compressor).unwrap().stamp(stamp)
}

/// Appends a batch to a partition; returns its first offset.
pub(crate) async fn append(
    client: &Client,
    partition: &Partition,
    batch: Bytes,
    transaction: Option<&str>,
) -> i64 {
    let deadline = Instant::now() + Duration::from_secs(30);
    let request = ProduceRequest {
        transactional_id: transaction.map(Str::from),
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: Str::from(&*partition.topic),
            topic_id: Default::default(),
            partition_data: vec![PartitionProduceData { index: partition.index, records: Some(batch) }],
        }],
    };
    loop {
        let leader = client.leader(partition).await.unwrap();
        let connection = client.connection(leader.broker, Purpose::Produce, deadline).await.unwrap();
        let version = connection.version_up_to::<ProduceRequest>(11).unwrap();
        let response = connection.start_at(&request, version, deadline).await.unwrap().await.unwrap();
        let answer = &response.responses[0].partition_responses[0];
        let code = ErrorCode::from(answer.error_code);
        // A leader learns that it is one a moment after the others do.
        if code.is_retriable() && Instant::now() < deadline {
            client.leader_failed(partition, &leader);
            continue;
        }
        assert_eq!(code, ErrorCode::None, "produce to {partition}: {:?}", answer.error_message);
        return answer.base_offset;
    }
}

/// Appends one plain batch with these values.
pub(crate) async fn put(client: &Client, partition: &Partition, values: &[&str]) -> i64 {
    append(client, partition, batch(values, Compression::None, Stamp::default()), None).await
}

/// Appends `count` batches of ten records `v0`, `v1`, …, from offset 0 on.
pub(crate) async fn fill(client: &Client, partition: &Partition, count: usize) {
    for nth in 0..count {
        let values: Vec<String> = (0..10).map(|i| format!("v{}", nth * 10 + i)).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        put(client, partition, &values).await;
    }
}

/// Offsets and values of what was fetched.
pub(crate) fn values(fetched: &Fetched) -> Vec<(i64, String)> {
    let mut decompressor = Decompressor::new(Limits::default());
    let mut seen = Vec::new();
    for batch in &fetched.batches {
        let records = batch.records(&mut decompressor).unwrap();
        for record in records.iter() {
            let record = record.unwrap();
            seen.push((record.offset, String::from_utf8(record.value.unwrap().to_vec()).unwrap()));
        }
    }
    seen
}

/// Everything a range reader brings.
pub(crate) async fn drain(reader: &mut RangeReader) -> logmill::Result<Vec<(i64, String)>> {
    let mut seen = Vec::new();
    while let Some(fetched) = reader.next().await? {
        seen.extend(values(&fetched));
    }
    Ok(seen)
}

/// `(offset, "v<offset>")` for these offsets, as [`fill`] wrote them.
pub(crate) fn expected(offsets: std::ops::Range<i64>) -> Vec<(i64, String)> {
    offsets.map(|offset| (offset, format!("v{offset}"))).collect()
}

/// A transactional producer, one request at a time, in the first protocol of transactions (before
/// KIP-890), which every broker since 2.1 serves.
pub(crate) struct Transaction {
    client: Client,
    id: &'static str,
    coordinator: BrokerId,
    producer_id: i64,
    epoch: i16,
    sequences: BTreeMap<Partition, i32>,
}

impl Transaction {
    /// Finds the coordinator and takes the id over from whoever used it before.
    pub(crate) async fn open(client: &Client, id: &'static str) -> Self {
        let find = FindCoordinatorRequest { key: id.into(), key_type: 1, ..Default::default() };
        let coordinator = until(async || {
            let found = ask(client, Target::Any, &find, 3).await;
            (ErrorCode::from(found.error_code) == ErrorCode::None).then_some(BrokerId(found.node_id))
        })
        .await;
        let init = InitProducerIdRequest {
            transactional_id: Some(id.into()),
            transaction_timeout_ms: 60_000,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        let (producer_id, epoch) = until(async || {
            let given = ask(client, Target::Broker(coordinator), &init, 4).await;
            (given.error_code == 0).then_some((given.producer_id, given.producer_epoch))
        })
        .await;
        Self { client: client.clone(), id, coordinator, producer_id, epoch, sequences: BTreeMap::new() }
    }

    /// Appends a batch inside the transaction.
    pub(crate) async fn put(&mut self, partition: &Partition, values: &[&str]) -> i64 {
        let topic =
            AddPartitionsToTxnTopic { name: Str::from(&*partition.topic), partitions: vec![partition.index] };
        let add = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.id.into(),
            v3_and_below_producer_id: self.producer_id,
            v3_and_below_producer_epoch: self.epoch,
            v3_and_below_topics: vec![topic],
            ..Default::default()
        };
        until(async || {
            let added = ask(&self.client, Target::Broker(self.coordinator), &add, 3).await;
            let result = &added.results_by_topic_v3_and_below[0].results_by_partition[0];
            (result.partition_error_code == 0).then_some(())
        })
        .await;
        let sequence = self.sequences.entry(partition.clone()).or_default();
        let stamp = Stamp {
            producer_id: self.producer_id,
            producer_epoch: self.epoch,
            base_sequence: *sequence,
            transactional: true,
            control: false,
        };
        *sequence += values.len() as i32;
        append(&self.client, partition, batch(values, Compression::None, stamp), Some(self.id)).await
    }

    /// Ends the transaction; the next [`Transaction::put`] begins another.
    pub(crate) async fn end(&mut self, committed: bool) {
        let end = EndTxnRequest {
            transactional_id: self.id.into(),
            producer_id: self.producer_id,
            producer_epoch: self.epoch,
            committed,
        };
        until(async || {
            let ended = ask(&self.client, Target::Broker(self.coordinator), &end, 3).await;
            (ended.error_code == 0).then_some(())
        })
        .await;
    }
}

/// Asks a broker once; the first that is known, if it matters not which.
pub(crate) async fn ask<R: Request>(client: &Client, to: Target, request: &R, newest: i16) -> R::Response {
    let deadline = Instant::now() + Duration::from_secs(30);
    let broker = match to {
        Target::Broker(broker) => broker,
        _ => client.brokers()[0].0,
    };
    let connection = client.connection(broker, Purpose::Control, deadline).await.unwrap();
    let version = connection.version_up_to::<R>(newest).unwrap();
    connection.start_at(request, version, deadline).await.unwrap().await.unwrap()
}

/// Tries until it succeeds: coordinators load, and concurrent transactions end, in their own time.
async fn until<T>(mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..300 {
        if let Some(done) = attempt().await {
            return done;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not done within 30 s");
}
