//! Encodes records into a batch as they come, each once and in place.

use super::closed::ClosedBatch;
use super::header::Attributes;
use super::layout::{self, put};
use super::record::Header;
use super::varint::{self, zigzag64};
use super::{BatchError, Compression, Compressor, NO_PRODUCER};

/// A record to be written. Null and empty are different, for key and value alike.
#[derive(Clone, Debug)]
pub struct NewRecord<'a, H = std::iter::Empty<Header<'a>>> {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The key, or null.
    pub key: Option<&'a [u8]>,
    /// The value, or null: a tombstone in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// The headers, in order; names may repeat. Walked twice: once to count, once to write.
    pub headers: H,
}

impl<'a> NewRecord<'a> {
    /// A record without headers.
    #[must_use]
    pub fn new(timestamp: i64, key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Self {
        Self { timestamp, key, value, headers: std::iter::empty() }
    }
}

/// The record would make the batch larger than allowed. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the batch would be {size} bytes, {limit} are allowed")]
pub struct RecordTooLarge {
    /// The batch's size with the record, uncompressed, header included.
    pub size: usize,
    /// The most that is allowed.
    pub limit: usize,
}

/// An open batch: its header's room, then the records so far.
#[derive(Debug)]
pub struct BatchBuilder {
    buffer: Vec<u8>,
    base_timestamp: i64,
    max_timestamp: i64,
    records: u32,
    /// The offset delta of the next record.
    next: u32,
}

/// What the length of one record's parts comes to.
struct Sizes {
    /// The record without its own length field.
    body: u64,
    headers: u32,
}

/// Lengths and counts are 32-bit; the sizes of a batch are kept within this.
const MOST: usize = i32::MAX as usize;
/// The longest head of a record: length, attributes, timestamp delta, offset delta, key length.
const HEAD: usize = 5 + 1 + 10 + 5 + 5;

#[inline]
fn length_size(length: usize) -> u64 {
    varint::size((length as u64) << 1) as u64 + length as u64
}

#[inline]
fn optional_size(bytes: Option<&[u8]>) -> u64 {
    bytes.map_or(1, |bytes| length_size(bytes.len()))
}

/// The zigzag form of a length, which [`MOST`] bounds, or of −1 for null.
#[inline]
fn length(bytes: Option<&[u8]>) -> u64 {
    bytes.map_or(1, |bytes| (bytes.len() as u64) << 1)
}

#[inline]
fn sizes<'a, H>(record: &NewRecord<'a, H>, timestamp_delta: i64, offset_delta: u32) -> Sizes
where
    H: Iterator<Item = Header<'a>> + Clone,
{
    let mut body = 1
        + varint::size(zigzag64(timestamp_delta)) as u64
        + varint::size(u64::from(offset_delta) << 1) as u64
        + optional_size(record.key)
        + optional_size(record.value);
    let mut headers = 0;
    for header in record.headers.clone() {
        body += length_size(header.key.len()) + optional_size(header.value);
        headers += 1;
    }
    body += varint::size(u64::from(headers) << 1) as u64;
    Sizes { body, headers }
}

impl BatchBuilder {
    /// An empty batch in `buffer`, whose contents are dropped and whose capacity is used.
    #[must_use]
    pub fn new(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.resize(layout::HEADER, 0);
        Self { buffer, base_timestamp: -1, max_timestamp: -1, records: 0, next: 0 }
    }

    /// The batch's size so far in bytes, uncompressed, header included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether no record was appended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// How many records were appended.
    #[must_use]
    pub fn records(&self) -> u32 {
        self.records
    }

    /// The size of a batch that holds this record and nothing else, uncompressed.
    pub fn size_alone<'a, H>(record: &NewRecord<'a, H>) -> u64
    where
        H: Iterator<Item = Header<'a>> + Clone,
    {
        let body = sizes(record, 0, 0).body;
        (layout::HEADER + varint::size(body << 1)) as u64 + body
    }

    /// How many bytes the record would add.
    pub fn size_of<'a, H>(&self, record: &NewRecord<'a, H>) -> u64
    where
        H: Iterator<Item = Header<'a>> + Clone,
    {
        let body = self.sizes(record).body;
        varint::size(body << 1) as u64 + body
    }

    #[inline]
    fn sizes<'a, H>(&self, record: &NewRecord<'a, H>) -> Sizes
    where
        H: Iterator<Item = Header<'a>> + Clone,
    {
        sizes(record, self.timestamp_delta(record.timestamp), self.next)
    }

    #[inline]
    fn timestamp_delta(&self, timestamp: i64) -> i64 {
        if self.records == 0 { 0 } else { timestamp.wrapping_sub(self.base_timestamp) }
    }

    /// Appends a record if the batch stays within `limit` bytes, and says at which offset delta it
    /// stands.
    ///
    /// # Errors
    /// The batch would be larger; nothing was written. On an empty batch this means that the record
    /// is too large for `limit` by itself.
    pub fn append<'a, H>(&mut self, record: &NewRecord<'a, H>, limit: usize) -> Result<u32, RecordTooLarge>
    where
        H: Iterator<Item = Header<'a>> + Clone,
    {
        let Sizes { body, headers } = self.sizes(record);
        let size = varint::size(body << 1) as u64 + body;
        let total = self.buffer.len() as u64 + size;
        let limit = limit.min(MOST);
        if total > limit as u64 || self.next >= MOST as u32 {
            return Err(RecordTooLarge { size: usize::try_from(total).unwrap_or(usize::MAX), limit });
        }
        self.buffer.reserve(size as usize);

        let mut head = [0; HEAD];
        let mut end = varint::put(&mut head, 0, body << 1) + 1;
        end = varint::put(&mut head, end, zigzag64(self.timestamp_delta(record.timestamp)));
        end = varint::put(&mut head, end, u64::from(self.next) << 1);
        end = varint::put(&mut head, end, length(record.key));
        self.extend(head, end);
        self.buffer.extend_from_slice(record.key.unwrap_or_default());
        self.put_bytes(record.value);
        self.put_varint(u64::from(headers) << 1);
        for header in record.headers.clone() {
            self.put_bytes(Some(header.key));
            self.put_bytes(header.value);
        }

        if self.records == 0 {
            self.base_timestamp = record.timestamp;
            self.max_timestamp = record.timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        self.records += 1;
        self.next += 1;
        Ok(self.next - 1)
    }

    /// Leaves out `offsets` offsets, as compaction does. After the last record it moves the batch's
    /// last offset; without any record it makes the empty batch that compaction retains.
    pub fn skip(&mut self, offsets: u32) {
        self.next = self.next.saturating_add(offsets).min(MOST as u32);
    }

    /// Copies the whole array, whose size is known when this is compiled, then drops what is too much:
    /// faster than a copy of a length that is not.
    #[inline]
    fn extend<const N: usize>(&mut self, bytes: [u8; N], used: usize) {
        let end = self.buffer.len() + used;
        self.buffer.extend_from_slice(&bytes);
        self.buffer.truncate(end);
    }

    #[inline]
    fn put_varint(&mut self, zigzag: u64) {
        if zigzag < 0x80 {
            self.buffer.push(zigzag as u8);
        } else {
            let mut bytes = [0; 8];
            let used = varint::put(&mut bytes, 0, zigzag);
            self.extend(bytes, used);
        }
    }

    #[inline]
    fn put_bytes(&mut self, bytes: Option<&[u8]>) {
        self.put_varint(length(bytes));
        self.buffer.extend_from_slice(bytes.unwrap_or_default());
    }

    /// Ends the batch: compresses the records, if that makes them smaller, and fills the header but for
    /// what [`ClosedBatch::stamp`] writes. The batch has base offset 0, no producer, and no CRC yet.
    ///
    /// # Errors
    /// The codec fails.
    pub fn close(mut self, compressor: &mut Compressor) -> Result<ClosedBatch, BatchError> {
        let compression = if self.records == 0 {
            Compression::None
        } else {
            compressor.compress(&mut self.buffer, layout::HEADER)?
        };
        let last_offset_delta = self.next.saturating_sub(1);
        let batch_length = (self.buffer.len() - layout::LENGTH_COUNTS_FROM) as u32;
        let header = &mut self.buffer[..];
        put(header, layout::BATCH_LENGTH, batch_length.to_be_bytes());
        put(header, layout::LEADER_EPOCH, (-1i32).to_be_bytes());
        put(header, layout::MAGIC, layout::MAGIC_V2.to_be_bytes());
        put(header, layout::ATTRIBUTES, Attributes::default().with(compression).0.to_be_bytes());
        put(header, layout::LAST_OFFSET_DELTA, last_offset_delta.to_be_bytes());
        put(header, layout::BASE_TIMESTAMP, self.base_timestamp.to_be_bytes());
        put(header, layout::MAX_TIMESTAMP, self.max_timestamp.to_be_bytes());
        put(header, layout::PRODUCER_ID, NO_PRODUCER.to_be_bytes());
        put(header, layout::PRODUCER_EPOCH, (-1i16).to_be_bytes());
        put(header, layout::BASE_SEQUENCE, (-1i32).to_be_bytes());
        put(header, layout::RECORD_COUNT, self.records.to_be_bytes());
        Ok(ClosedBatch::new(self.buffer, self.records))
    }
}
