//! A client of nothing but frames.

use bytes::{Buf, Bytes};
use logmill_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use logmill_protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData,
};
use logmill_protocol::records::{BatchBuilder, NewRecord, Stamp};
use logmill_protocol::wire::{Request, Str, read_response, request_frame};
use logmill_testkit::Cluster;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

pub(crate) struct Wire {
    stream: DuplexStream,
    correlation: i32,
}

impl Wire {
    /// Connects to a broker by its id.
    pub(crate) fn to(cluster: &Cluster, broker: i32) -> Self {
        let stream = cluster.dial(&format!("broker-{broker}.embedded"), 9092).unwrap();
        Self { stream, correlation: 0 }
    }

    pub(crate) async fn send<R: Request>(&mut self, request: &R, version: i16) {
        self.correlation += 1;
        let frame = request_frame(request, version, self.correlation, Some(&Str::from("wire"))).unwrap();
        self.raw(&frame.to_bytes()).await;
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        // The broker may close the connection while this is written.
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next frame, or `None` once the broker has closed the connection.
    pub(crate) async fn frame(&mut self) -> Option<Bytes> {
        let length = self.stream.read_u32().await.ok()?;
        let mut frame = vec![0; length as usize];
        self.stream.read_exact(&mut frame).await.ok()?;
        Some(frame.into())
    }

    pub(crate) async fn receive<R: Request>(&mut self, version: i16) -> Option<R::Response> {
        let frame = self.frame().await?;
        let (correlation, response) = read_response::<R>(frame, version).unwrap();
        assert_eq!(correlation, self.correlation, "answers come in order");
        Some(response)
    }

    pub(crate) async fn try_call<R: Request>(&mut self, request: &R, version: i16) -> Option<R::Response> {
        self.send(request, version).await;
        self.receive::<R>(version).await
    }

    pub(crate) async fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        let response = self.try_call(request, version).await;
        response.unwrap_or_else(|| panic!("the broker closed the connection on {} {version}", R::NAME))
    }

    /// Produces one batch with Produce 9.
    pub(crate) async fn produce(
        &mut self,
        topic: &str,
        index: i32,
        batch: Bytes,
    ) -> PartitionProduceResponse {
        let response = self.call(&produce_request(topic, index, batch), 9).await;
        response.responses[0].partition_responses[0].clone()
    }

    /// Fetches one partition with Fetch 12, waiting up to `max_wait_ms` for one byte.
    pub(crate) async fn fetch(
        &mut self,
        topic: &str,
        index: i32,
        offset: i64,
        max_wait_ms: i32,
    ) -> PartitionData {
        let response = self.call(&fetch_request(topic, index, offset, max_wait_ms), 12).await;
        response.responses[0].partitions[0].clone()
    }
}

pub(crate) fn produce_request(topic: &str, index: i32, batch: Bytes) -> ProduceRequest {
    let partition = PartitionProduceData { index, records: Some(batch) };
    let topic =
        TopicProduceData { name: topic.into(), partition_data: vec![partition], ..Default::default() };
    ProduceRequest { acks: -1, timeout_ms: 1000, topic_data: vec![topic], ..Default::default() }
}

pub(crate) fn fetch_request(
    topic: &str,
    partition: i32,
    fetch_offset: i64,
    max_wait_ms: i32,
) -> FetchRequest {
    let asked =
        FetchPartition { partition, fetch_offset, partition_max_bytes: 1 << 20, ..Default::default() };
    let topics = vec![FetchTopic { topic: topic.into(), partitions: vec![asked], ..Default::default() }];
    FetchRequest { max_wait_ms, min_bytes: 1, topics, ..Default::default() }
}

/// A batch of values, timestamps 1,000, 1,001, …
pub(crate) fn batch(values: &[&str], stamp: Stamp) -> Bytes {
    let mut builder = BatchBuilder::new(Vec::new());
    for (time, value) in (1000..).zip(values) {
        builder.append(&NewRecord::new(time, None, Some(value.as_bytes())), usize::MAX).unwrap();
    }
    builder.finish(stamp)
}

pub(crate) fn plain(values: &[&str]) -> Bytes {
    batch(values, Stamp::default())
}

pub(crate) fn numbered(producer_id: i64, producer_epoch: i16, base_sequence: i32) -> Stamp {
    Stamp { producer_id, producer_epoch, base_sequence, ..Stamp::default() }
}

/// The values in a partition's log, as text.
pub(crate) fn values(cluster: &Cluster, topic: &str, index: i32) -> Vec<String> {
    let text = |value: Option<Bytes>| String::from_utf8(value.unwrap().chunk().to_vec()).unwrap();
    cluster.log(topic, index).into_iter().map(|record| text(record.value)).collect()
}
