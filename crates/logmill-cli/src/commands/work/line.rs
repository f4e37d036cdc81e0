//! A record as the line of JSON that CMD reads.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, BytesMut};
use logmill::node::Received;
use serde::ser::{SerializeMap, SerializeSeq as _};
use serde::{Serialize, Serializer};

use crate::output::RecordView;

/// Appends the record as a line.
///
/// # Errors
/// None that is known: there is no value that JSON does not have.
pub(super) fn write_line(out: &mut BytesMut, record: &Received) -> serde_json::Result<()> {
    let headers: Vec<_> = record.headers().map(|header| (header.key, header.value)).collect();
    write_view(out, RecordView::of(record, &headers), record.attempt())
}

fn write_view(out: &mut BytesMut, record: RecordView<'_>, attempt: u32) -> serde_json::Result<()> {
    serde_json::to_writer(out.writer(), &Line { record, attempt })?;
    out.put_u8(b'\n');
    Ok(())
}

struct Line<'a> {
    record: RecordView<'a>,
    attempt: u32,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let record = &self.record;
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("topic", record.topic)?;
        map.serialize_entry("partition", &record.partition)?;
        map.serialize_entry("offset", &record.offset)?;
        put(&mut map, "key", "key_base64", record.key)?;
        put(&mut map, "payload", "payload_base64", record.value)?;
        map.serialize_entry("attempt", &self.attempt)?;
        map.serialize_entry("timestamp", &record.timestamp)?;
        map.serialize_entry("headers", &Headers(record.headers))?;
        map.end()
    }
}

/// Text under one name, other bytes under the other: nobody takes base64 for what was sent, or bytes for null.
fn put<M: SerializeMap>(
    map: &mut M,
    name: &str,
    name_base64: &str,
    bytes: Option<&[u8]>,
) -> Result<(), M::Error> {
    match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => map.serialize_entry(name, &()),
        Some(Ok(text)) => map.serialize_entry(name, text),
        Some(Err(bytes)) => map.serialize_entry(name_base64, &STANDARD.encode(bytes)),
    }
}

/// In order: a name may come twice.
struct Headers<'a>(&'a [(&'a [u8], Option<&'a [u8]>)]);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(Some(self.0.len()))?;
        for (key, value) in self.0 {
            list.serialize_element(&Header { key, value: *value })?;
        }
        list.end()
    }
}

struct Header<'a> {
    key: &'a [u8],
    value: Option<&'a [u8]>,
}

impl Serialize for Header<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(2))?;
        put(&mut map, "key", "key_base64", Some(self.key))?;
        put(&mut map, "value", "value_base64", self.value)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(record: RecordView<'_>) -> String {
        let mut out = BytesMut::new();
        assert!(write_view(&mut out, record, 3).is_ok());
        String::from_utf8_lossy(&out).into_owned()
    }

    const PLAIN: RecordView<'_> = RecordView {
        topic: "orders",
        partition: 2,
        offset: 41,
        timestamp: 7,
        log_append_time: false,
        key: None,
        value: Some("é\n".as_bytes()),
        headers: &[],
    };

    #[test]
    fn text_is_text_and_null_is_null() {
        let expected = r#"{"topic":"orders","partition":2,"offset":41,"key":null,"payload":"é\n","attempt":3,"timestamp":7,"headers":[]}"#;
        assert_eq!(written(PLAIN), format!("{expected}\n"));
    }

    #[test]
    fn other_bytes_have_names_of_their_own() {
        let headers: &[(&[u8], Option<&[u8]>)] = &[(b"a", Some(b"\xff")), (b"a", None)];
        let line = written(RecordView { key: Some(b"\xff\xfe"), value: Some(b""), headers, ..PLAIN });
        assert!(line.contains(r#""key_base64":"//4=","payload":"","#), "{line}");
        assert!(line.contains(r#""headers":[{"key":"a","value_base64":"/w=="},{"key":"a","value":null}]"#));
        assert!(!line.contains(r#""key":"//"#), "{line}");
    }
}
