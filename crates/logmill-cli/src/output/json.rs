//! The JSON envelope of `consume -J`: kcat's, field by field.

use std::io::{self, Write};

use serde::Serialize;

use super::record::RecordView;

#[derive(Serialize)]
struct Envelope<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    tstype: &'static str,
    ts: i64,
    /// Names and values in turn, since a name may come twice.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<Option<Text<'a>>>,
    key: Option<Text<'a>>,
    payload: Option<Text<'a>>,
    /// Not in kcat, which writes such bytes as they are, so that the line is no JSON: the fields of the
    /// envelope that hold bytes which are not UTF-8. All texts in them are given as hexadecimal digits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hex: Vec<&'static str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Text<'a> {
    Plain(&'a str),
    Hex(String),
}

/// Writes the record as one line of JSON.
pub(super) fn write_json(out: &mut impl Write, record: &RecordView<'_>) -> io::Result<()> {
    let mut hex = Vec::new();
    let mut plain = |field, bytes: &[&[u8]]| {
        let plain = bytes.iter().all(|bytes| std::str::from_utf8(bytes).is_ok());
        if !plain {
            hex.push(field);
        }
        plain
    };
    let parts = || record.headers.iter().flat_map(|(name, value)| [Some(*name), *value]);
    let headers_plain = plain("headers", &parts().flatten().collect::<Vec<_>>());
    let headers = parts().map(|part| Some(text(part?, headers_plain))).collect();
    let key = record.key.map(|bytes| text(bytes, plain("key", &[bytes])));
    let payload = record.value.map(|bytes| text(bytes, plain("payload", &[bytes])));
    let tstype = match record.timestamp {
        i64::MIN..=-1 => "unknown",
        _ if record.log_append_time => "logappend",
        _ => "create",
    };
    let envelope = Envelope {
        topic: record.topic,
        partition: record.partition,
        offset: record.offset,
        tstype,
        ts: record.timestamp,
        headers,
        key,
        payload,
        hex,
    };
    serde_json::to_writer(&mut *out, &envelope)?;
    out.write_all(b"\n")
}

fn text(bytes: &[u8], plain: bool) -> Text<'_> {
    match std::str::from_utf8(bytes) {
        Ok(text) if plain => Text::Plain(text),
        _ => Text::Hex(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::sample;
    use super::*;

    fn printed(record: &RecordView<'_>) -> String {
        let mut out = Vec::new();
        assert!(write_json(&mut out, record).is_ok());
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn the_envelope_is_kcats() {
        let headers = r#""headers":["a","1","a","2","none",null]"#;
        let expected = format!(
            r#"{{"topic":"orders","partition":2,"offset":41,"tstype":"create","ts":1763800000123,{headers},"key":"k\"1","payload":"v1"}}"#
        );
        assert_eq!(printed(&sample()), expected + "\n");
        let bare = RecordView { headers: &[], key: None, value: None, timestamp: -1, ..sample() };
        let expected = r#"{"topic":"orders","partition":2,"offset":41,"tstype":"unknown","ts":-1,"key":null,"payload":null}"#;
        assert_eq!(printed(&bare), format!("{expected}\n"));
    }

    #[test]
    fn bytes_that_are_no_text_are_marked_and_not_lost() {
        let record = RecordView { headers: &[], value: Some(b"c\xff"), ..sample() };
        let line = printed(&record);
        assert!(line.contains(r#""payload":"63ff","hex":["payload"]"#), "{line}");
    }
}
