//! What the tests of the client share: an embedded cluster, a client on it, and batches put into its
//! logs request by request, so that nothing here depends on the producer.

use bytes::Bytes;
use logmill::client::fetch::{Fetched, RangeReader};
use logmill::client::{Client, ClientBuilder, Purpose, Transport};
use logmill_protocol::ids::Partition;
use logmill_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use logmill_protocol::records::{
    BatchBuilder, Compression, Compressor, Decompressor, Limits, NewRecord, Stamp,
};
use logmill_protocol::wire::Str;
use logmill_testkit::{Cluster, ClusterOptions};
use tokio::time::{Duration, Instant};

pub(crate) fn cluster(brokers: u16) -> Cluster {
    Cluster::start(ClusterOptions::brokers(brokers).seed(7))
}

pub(crate) fn transport(cluster: &Cluster) -> Transport {
    let cluster = cluster.clone();
    Transport::new(move |address| {
        let cluster = cluster.clone();
        async move { cluster.dial(&address.host, address.port) }
    })
}

pub(crate) fn builder(cluster: &Cluster) -> ClientBuilder {
    Client::builder().brokers(cluster.bootstrap()).transport(transport(cluster)).seed(11)
}

pub(crate) async fn connect(cluster: &Cluster) -> Client {
    builder(cluster).connect().await.unwrap()
}

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
    let leader = client.leader(partition).await.unwrap();
    let connection = client.connection(leader.broker, Purpose::Produce, deadline).await.unwrap();
    let request = ProduceRequest {
        transactional_id: transaction.map(Str::from),
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: Str::from(&*partition.topic),
            topic_id: leader.topic_id,
            partition_data: vec![PartitionProduceData { index: partition.index, records: Some(batch) }],
        }],
    };
    let version = connection.version_up_to::<ProduceRequest>(11).unwrap();
    let mut request = request;
    if version < 13 {
        request.topic_data[0].topic_id = Default::default();
    }
    let response = connection.start_at(&request, version, deadline).await.unwrap().await.unwrap();
    let answer = &response.responses[0].partition_responses[0];
    assert_eq!(answer.error_code, 0, "produce to {partition}: {:?}", answer.error_message);
    answer.base_offset
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
