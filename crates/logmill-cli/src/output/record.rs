//! One record as the output sees it, and the shapes it can be printed in.

use std::io::{self, Write};

use logmill::node::Received;

use super::json::write_json;
use super::template::Template;
use super::unescape;
use crate::exit::Failure;

/// A consumed record, borrowed for printing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordView<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Milliseconds since 1970; -1 if the record has none.
    pub(crate) timestamp: i64,
    /// The broker set the timestamp when it appended the record.
    pub(crate) log_append_time: bool,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [(&'a [u8], Option<&'a [u8]>)],
}

impl<'a> RecordView<'a> {
    /// A record that a node of a group has in its hands.
    pub(crate) fn of(record: &'a Received, headers: &'a [(&'a [u8], Option<&'a [u8]>)]) -> Self {
        Self {
            topic: record.topic(),
            partition: record.partition(),
            offset: record.offset(),
            timestamp: record.timestamp(),
            log_append_time: false,
            key: record.key().map(|key| &key[..]),
            value: record.value().map(|value| &value[..]),
            headers,
        }
    }
}

/// How records are printed. kcat's flags, with kcat's meanings.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// The JSON envelope, a line each.
    Json,
    /// A format string.
    Format(Template),
    /// The value, the key before it if a delimiter for it is given, and a delimiter after it.
    Plain { key_delimiter: Option<Vec<u8>>, delimiter: Vec<u8>, null: &'static [u8] },
}

impl Shape {
    /// The shape that the flags ask for: `-J`, `-f`, `-K`, `-D`, `-Z`.
    pub(crate) fn from_flags(
        json: bool,
        format: Option<&str>,
        key_delimiter: Option<&str>,
        delimiter: Option<&str>,
        null: bool,
    ) -> Result<Self, Failure> {
        if json {
            return Ok(Self::Json);
        }
        let null: &'static [u8] = if null { b"NULL" } else { b"" };
        match format {
            Some(format) => Template::parse(format, null).map(Self::Format).map_err(Failure::usage),
            None => Ok(Self::Plain {
                key_delimiter: key_delimiter.map(unescape),
                delimiter: unescape(delimiter.unwrap_or("\n")),
                null,
            }),
        }
    }

    pub(crate) fn write(&self, out: &mut impl Write, record: &RecordView<'_>) -> io::Result<()> {
        match self {
            Self::Json => write_json(out, record),
            Self::Format(template) => template.write(out, record),
            Self::Plain { key_delimiter, delimiter, null } => {
                if let Some(key_delimiter) = key_delimiter {
                    out.write_all(record.key.unwrap_or(null))?;
                    out.write_all(key_delimiter)?;
                }
                out.write_all(record.value.unwrap_or(null))?;
                out.write_all(delimiter)
            }
        }
    }
}

#[cfg(test)]
pub(super) fn sample<'a>() -> RecordView<'a> {
    RecordView {
        topic: "orders",
        partition: 2,
        offset: 41,
        timestamp: 1_763_800_000_123,
        log_append_time: false,
        key: Some(b"k\"1"),
        value: Some(b"v1"),
        headers: &[(b"a", Some(b"1")), (b"a", Some(b"2")), (b"none", None)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(shape: &Result<Shape, Failure>, record: &RecordView<'_>) -> String {
        let mut out = Vec::new();
        if let Ok(shape) = shape {
            assert!(shape.write(&mut out, record).is_ok());
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn a_value_is_a_line_and_a_key_stands_before_it() {
        let record = sample();
        assert_eq!(printed(&Shape::from_flags(false, None, None, None, false), &record), "v1\n");
        assert_eq!(
            printed(&Shape::from_flags(false, None, Some("\\t"), Some(";"), false), &record),
            "k\"1\tv1;"
        );
    }

    #[test]
    fn null_is_empty_unless_asked_for() {
        let record = RecordView { key: None, value: None, ..sample() };
        assert_eq!(printed(&Shape::from_flags(false, None, Some(":"), None, false), &record), ":\n");
        assert_eq!(printed(&Shape::from_flags(false, None, Some(":"), None, true), &record), "NULL:NULL\n");
    }
}
