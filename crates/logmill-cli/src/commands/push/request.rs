//! A record as an HTTP request: CloudEvents' binary mode, and where the record is from.

use std::fmt::Write as _;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Uri};
use logmill::node::Received;

use crate::input::date_of;
use crate::output::RecordView;

/// The request for a record.
pub(super) fn request(to: &Uri, group: &str, record: &Received) -> Request<Full<Bytes>> {
    let headers: Vec<_> = record.headers().map(|header| (header.key, header.value)).collect();
    let mut request = Request::new(Full::new(record.value().cloned().unwrap_or_default()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = to.clone();
    *request.headers_mut() = head(&RecordView::of(record, &headers), record.attempt(), group);
    request
}

fn head(record: &RecordView<'_>, attempt: u32, group: &str) -> HeaderMap {
    let mut head = HeaderMap::new();
    let mut put = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            head.insert(HeaderName::from_static(name), value);
        }
    };
    let (topic, partition, offset) = (record.topic, record.partition, record.offset);
    put("logmill-group", visible(group.as_bytes()));
    put("logmill-topic", topic.to_owned());
    put("logmill-partition", partition.to_string());
    put("logmill-offset", offset.to_string());
    put("logmill-attempt", attempt.to_string());
    if let Some(key) = record.key {
        put("logmill-key", visible(key));
    }
    if record.value.is_none() {
        put("logmill-null", "1".to_owned());
    }
    put("ce-specversion", "1.0".to_owned());
    put("ce-id", format!("{topic}/{partition}@{offset}"));
    put("ce-source", format!("kafka:{topic}"));
    put("ce-type", "logmill.record".to_owned());
    if let Some(time) = date_of(record.timestamp) {
        put("ce-time", time);
    }
    put("content-type", "application/octet-stream".to_owned());
    own(&mut head, record);
    head
}

/// What the record says of itself: its content type, its trace, and a CloudEvent's attributes as they are in Kafka.
fn own(head: &mut HeaderMap, record: &RecordView<'_>) {
    for (name, value) in record.headers {
        let (Ok(name), Some(value)) = (std::str::from_utf8(name), value) else { continue };
        let lower = name.to_ascii_lowercase();
        let name = match lower.strip_prefix("ce_") {
            Some(attribute) => HeaderName::try_from(format!("ce-{attribute}")),
            None if ["traceparent", "tracestate", CONTENT_TYPE.as_str()].contains(&&*lower) => {
                HeaderName::try_from(&*lower)
            }
            None => continue,
        };
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(visible(value))) {
            head.insert(name, value);
        }
    }
}

/// Bytes as a header's value: what is no visible ASCII, a quote or a per cent sign, is written %XX, as CloudEvents
/// has it.
fn visible(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for (at, &byte) in bytes.iter().enumerate() {
        // A space at an end would be trimmed on the way.
        let inner = byte == b' ' && at > 0 && at + 1 < bytes.len();
        if inner || (byte.is_ascii_graphic() && byte != b'%' && byte != b'"') {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: RecordView<'_> = RecordView {
        topic: "orders",
        partition: 2,
        offset: 41,
        timestamp: 1_732_269_600_250,
        log_append_time: false,
        key: Some(b"k\xff 1%"),
        value: None,
        headers: &[],
    };

    fn of(record: &RecordView<'_>) -> Vec<String> {
        let head = head(record, 3, "billing");
        head.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?"))).collect()
    }

    #[test]
    fn a_record_says_where_it_is_from() {
        for expected in [
            "logmill-group: billing",
            "logmill-topic: orders",
            "logmill-partition: 2",
            "logmill-offset: 41",
            "logmill-attempt: 3",
            "logmill-key: k%FF 1%25",
            "logmill-null: 1",
            "ce-specversion: 1.0",
            "ce-id: orders/2@41",
            "ce-source: kafka:orders",
            "ce-type: logmill.record",
            "ce-time: 2024-11-22T10:00:00.250Z",
            "content-type: application/octet-stream",
        ] {
            assert!(of(&RECORD).iter().any(|line| line == expected), "{expected}: {:?}", of(&RECORD));
        }
        let bare = of(&RecordView { key: None, value: Some(b""), timestamp: -1, ..RECORD });
        for absent in ["logmill-key", "logmill-null", "ce-time"] {
            assert!(bare.iter().all(|line| !line.starts_with(absent)), "{bare:?}");
        }
    }

    #[test]
    fn what_a_record_says_of_itself_wins() {
        let headers: &[(&[u8], Option<&[u8]>)] = &[
            (b"content-type", Some(b"application/json")),
            (b"ce_type", Some(b"order \xc3\xa9")),
            (b"ce_bad name", Some(b"1")),
            (b"traceparent", Some(b"00-1-2-01")),
            (b"authorization", Some(b"secret")),
            (b"tracestate", None),
        ];
        let got = of(&RecordView { headers, ..RECORD });
        for expected in ["content-type: application/json", "ce-type: order %C3%A9", "traceparent: 00-1-2-01"]
        {
            assert_eq!(got.iter().filter(|line| *line == expected).count(), 1, "{got:?}");
        }
        assert!(!got.iter().any(|line| line.contains("secret") || line.contains("bad name")), "{got:?}");
    }

    #[test]
    fn a_key_cannot_end_its_header() {
        assert_eq!(visible(b" a\r\nb "), "%20a%0D%0Ab%20");
    }
}
