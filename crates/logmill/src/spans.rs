//! Spans, as OpenTelemetry names them: a record sent, a record handled, a unit settled, watermarks committed. Where nobody asks for
//! them they cost a load each; they are asked for by `logmill::span=debug`. Neither key nor value is in one.

use std::ops::Range;

use logmill_protocol::ids::{Offset, Partition};
use logmill_protocol::records::Headers;
use tracing::field::Empty;
use tracing::{Span, debug_span};

/// What a filter names.
const TARGET: &str = "logmill::span";

/// The header in which a producer's context stands, by the W3C's trace context.
const TRACEPARENT: &str = "traceparent";

/// A longer one is none, in bytes.
const LONGEST: usize = 128;

/// A record is sent, until its fate is known.
pub(crate) fn send(topic: &str) -> Span {
    debug_span!(target: TARGET, "send",
        otel.name = format!("send {topic}"), otel.kind = "producer",
        messaging.system = "kafka", messaging.operation.name = "send", messaging.operation.type = "send",
        messaging.destination.name = topic, error.type = Empty)
}

/// A handler has a record. The context of whoever sent it is told by its text, for a link.
pub(crate) fn process(
    group: &str,
    partition: &Partition,
    offset: Offset,
    attempt: u32,
    headers: Headers<'_>,
) -> Span {
    debug_span!(target: TARGET, "process",
        otel.name = format!("process {}", partition.topic), otel.kind = "consumer",
        messaging.system = "kafka", messaging.operation.name = "process", messaging.operation.type = "process",
        messaging.destination.name = &*partition.topic, messaging.destination.partition.id = partition.index,
        messaging.consumer.group.name = group, messaging.kafka.offset = offset, logmill.attempt = attempt,
        traceparent = traceparent(headers), error.type = Empty)
}

/// A unit is ended in the store.
pub(crate) fn settle(group: &str, partition: &Partition, range: Range<Offset>) -> Span {
    debug_span!(target: TARGET, "ack",
        otel.name = format!("ack {}", partition.topic), otel.kind = "client",
        messaging.system = "kafka", messaging.operation.name = "ack", messaging.operation.type = "settle",
        messaging.destination.name = &*partition.topic, messaging.destination.partition.id = partition.index,
        messaging.consumer.group.name = group, logmill.unit.start = range.start, logmill.unit.end = range.end)
}

/// Watermarks go to Kafka.
pub(crate) fn commit(group: &str, partitions: usize) -> Span {
    debug_span!(target: TARGET, "commit",
        otel.name = format!("commit {group}"), otel.kind = "client",
        messaging.system = "kafka", messaging.operation.name = "commit", messaging.operation.type = "settle",
        messaging.consumer.group.name = group, logmill.partitions = partitions, error.type = Empty)
}

/// It did not succeed.
pub(crate) fn failed(span: &Span, kind: &str) {
    span.record("error.type", kind);
}

fn traceparent(headers: Headers<'_>) -> Option<&str> {
    let found = headers.into_iter().find(|header| header.key == TRACEPARENT.as_bytes())?;
    std::str::from_utf8(found.value?).ok().filter(|text| text.len() <= LONGEST)
}
