//! The records of one batch, decoded while they are iterated.

use std::borrow::Cow;

use bytes::Bytes;

use super::BatchError;
use super::header::{BatchHeader, TimestampType};
use super::varint::Cursor;
use crate::error::DecodeError;
use crate::ids::Offset;

/// One header of a record. Names may repeat, and may be any bytes, though they should be UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its name.
    pub key: &'a [u8],
    /// Its value, or null.
    pub value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// A header of that name.
    #[must_use]
    pub fn new(key: &'a str, value: Option<&'a [u8]>) -> Self {
        Self { key: key.as_bytes(), value }
    }

    /// The name as text; what is not UTF-8 is replaced by U+FFFD.
    #[must_use]
    pub fn name(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.key)
    }
}

/// A record's headers in their order; decoded while they are iterated.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    cursor: Cursor<'a>,
    left: usize,
}

impl Headers<'_> {
    /// No headers.
    pub const NONE: Headers<'static> = Headers { cursor: Cursor { bytes: &[], at: 0 }, left: 0 };
}

impl<'a> Headers<'a> {
    fn advance(&mut self) -> Result<Header<'a>, DecodeError> {
        let what = "header key";
        let bytes = self.cursor.bytes;
        let (start, end) = self.cursor.span(what)?.ok_or(DecodeError::UnexpectedNull { what })?;
        let value = self.cursor.span("header value")?;
        Ok(Header { key: &bytes[start..end], value: value.map(|(start, end)| &bytes[start..end]) })
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.left = self.left.checked_sub(1)?;
        // They were walked once when the record was decoded, so this does not fail.
        self.advance().ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// A record that borrows from its batch.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Record<'a> {
    /// Where it stands in the partition.
    pub offset: Offset,
    /// Milliseconds since 1970, by the producer or by the broker; see [`Records::timestamp_type`].
    pub timestamp: i64,
    /// The key, or null.
    pub key: Option<&'a [u8]>,
    /// The value, or null: a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: Headers<'a>,
}

/// A record that holds on to its batch's buffer; nothing was copied.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OwnedRecord {
    /// Where it stands in the partition.
    pub offset: Offset,
    /// Milliseconds since 1970, by the producer or by the broker; see [`Records::timestamp_type`].
    pub timestamp: i64,
    /// The key, or null.
    pub key: Option<Bytes>,
    /// The value, or null: a tombstone.
    pub value: Option<Bytes>,
    headers: Bytes,
    header_count: usize,
}

impl OwnedRecord {
    /// The headers.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        Headers { cursor: Cursor { bytes: &self.headers, at: 0 }, left: self.header_count }
    }
}

/// The decompressed records of one batch.
#[derive(Clone, Debug)]
pub struct Records {
    body: Bytes,
    base_offset: Offset,
    last_offset_delta: i32,
    base_timestamp: i64,
    /// The broker's timestamp, which then counts for every record.
    append_time: Option<i64>,
    count: usize,
}

/// Where one record's parts are in the body.
struct Parts {
    offset: Offset,
    timestamp: i64,
    key: Option<(usize, usize)>,
    value: Option<(usize, usize)>,
    headers: (usize, usize),
    header_count: usize,
}

/// How far an iteration has come.
#[derive(Clone, Copy, Debug)]
struct Position {
    at: usize,
    left: usize,
    /// The next record's offset delta is not below this.
    least: i32,
}

impl Records {
    pub(super) fn new(body: Bytes, header: &BatchHeader) -> Self {
        Self {
            body,
            base_offset: header.base_offset,
            last_offset_delta: header.last_offset_delta,
            base_timestamp: header.base_timestamp,
            append_time: (header.attributes.timestamp_type() == TimestampType::LogAppendTime)
                .then_some(header.max_timestamp),
            count: header.record_count as usize,
        }
    }

    /// How many records there are, if the batch tells the truth.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether the batch has no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The memory that the decompressed records take, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.body.len()
    }

    /// Who set the timestamps.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.append_time.is_some() { TimestampType::LogAppendTime } else { TimestampType::CreateTime }
    }

    /// The records, borrowed: the cheap way to look at them.
    #[must_use]
    pub fn iter(&self) -> RecordsIter<'_> {
        RecordsIter { records: self, position: self.start() }
    }

    /// The records, each holding on to the buffer: for those that outlive the batch.
    #[must_use]
    pub fn into_owned(self) -> OwnedRecords {
        OwnedRecords { position: self.start(), records: self }
    }

    fn start(&self) -> Position {
        Position { at: 0, left: self.count, least: 0 }
    }

    /// Decodes the next record; the iteration ends at the first error.
    #[inline]
    fn advance(&self, position: &mut Position) -> Option<Result<Parts, BatchError>> {
        if position.left == 0 {
            if position.at >= self.body.len() {
                return None;
            }
            let left = self.body.len() - position.at;
            position.at = self.body.len();
            return Some(Err(self.malformed(DecodeError::Trailing { message: "record batch", left })));
        }
        let parts = self.decode(position);
        if parts.is_err() {
            *position = Position { at: self.body.len(), left: 0, least: 0 };
        }
        Some(parts.map_err(|source| self.malformed(source)))
    }

    #[cold]
    fn malformed(&self, source: DecodeError) -> BatchError {
        BatchError::Malformed { base_offset: self.base_offset, source }
    }

    #[inline]
    fn decode(&self, position: &mut Position) -> Result<Parts, DecodeError> {
        let mut cursor = Cursor { bytes: &self.body, at: position.at };
        let what = "record";
        let (at, end) = cursor.span(what)?.ok_or(DecodeError::UnexpectedNull { what })?;
        // Attributes: a byte that means nothing yet.
        let mut cursor = Cursor { bytes: &self.body[..end], at };
        cursor.byte("record attributes")?;
        let timestamp_delta = cursor.varlong("timestamp delta")?;
        let offset_delta = cursor.varint("offset delta")?;
        let key = cursor.span("key")?;
        let value = cursor.span("value")?;
        let claimed = cursor.varint("header count")?;
        let header_count = usize::try_from(claimed).ok().filter(|&count| count <= cursor.left());
        let Some(header_count) = header_count else {
            let (claimed, available) = (claimed.into(), cursor.left());
            return Err(DecodeError::BadLength { what: "header count", claimed, available });
        };
        let headers = (cursor.at, end);
        if header_count > 0 {
            let mut headers = Headers { cursor, left: header_count };
            for _ in 0..header_count {
                headers.advance()?;
            }
            cursor = headers.cursor;
        }
        if cursor.at != end {
            return Err(DecodeError::Trailing { message: "record", left: end - cursor.at });
        }
        // Offsets that do not ascend would let one record be taken for another.
        if offset_delta < position.least || offset_delta > self.last_offset_delta {
            let available = self.last_offset_delta as usize;
            return Err(DecodeError::BadLength {
                what: "offset delta",
                claimed: offset_delta.into(),
                available,
            });
        }
        *position = Position { at: end, left: position.left - 1, least: offset_delta.saturating_add(1) };
        Ok(Parts {
            offset: self.base_offset + i64::from(offset_delta),
            timestamp: self.append_time.unwrap_or_else(|| self.base_timestamp.wrapping_add(timestamp_delta)),
            key,
            value,
            headers,
            header_count,
        })
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = Result<Record<'a>, BatchError>;
    type IntoIter = RecordsIter<'a>;

    fn into_iter(self) -> RecordsIter<'a> {
        self.iter()
    }
}

/// Iterates over borrowed records; ends after the first error.
#[derive(Clone, Debug)]
pub struct RecordsIter<'a> {
    records: &'a Records,
    position: Position,
}

impl<'a> Iterator for RecordsIter<'a> {
    type Item = Result<Record<'a>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let body = &self.records.body[..];
        let slice = |(start, end): (usize, usize)| &body[start..end];
        let parts = match self.records.advance(&mut self.position)? {
            Ok(parts) => parts,
            Err(error) => return Some(Err(error)),
        };
        Some(Ok(Record {
            offset: parts.offset,
            timestamp: parts.timestamp,
            key: parts.key.map(slice),
            value: parts.value.map(slice),
            headers: Headers {
                cursor: Cursor { bytes: slice(parts.headers), at: 0 },
                left: parts.header_count,
            },
        }))
    }
}

/// Iterates over records that hold on to the batch's buffer; ends after the first error.
#[derive(Clone, Debug)]
pub struct OwnedRecords {
    records: Records,
    position: Position,
}

impl OwnedRecords {
    /// The next record for which `choose`, given its offset and key, answers something, with the answer. Those
    /// before it are passed over, and cost no reference to the buffer.
    pub fn next_chosen<T>(
        &mut self,
        mut choose: impl FnMut(Offset, Option<&[u8]>) -> Option<T>,
    ) -> Option<Result<(T, OwnedRecord), BatchError>> {
        let (chosen, parts) = loop {
            let parts = match self.records.advance(&mut self.position)? {
                Ok(parts) => parts,
                Err(error) => return Some(Err(error)),
            };
            let key = parts.key.map(|(start, end)| &self.records.body[start..end]);
            if let Some(chosen) = choose(parts.offset, key) {
                break (chosen, parts);
            }
        };
        let slice = |(start, end): (usize, usize)| self.records.body.slice(start..end);
        let record = OwnedRecord {
            offset: parts.offset,
            timestamp: parts.timestamp,
            key: parts.key.map(slice),
            value: parts.value.map(slice),
            headers: if parts.header_count > 0 { slice(parts.headers) } else { Bytes::new() },
            header_count: parts.header_count,
        };
        Some(Ok((chosen, record)))
    }
}

impl Iterator for OwnedRecords {
    type Item = Result<OwnedRecord, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.next_chosen(|_, _| Some(()))?.map(|((), record)| record))
    }
}
