//! One stored record batch: the bytes as the producer sent them, a slice of the frame they came in, and
//! the two header fields that a broker sets. The checksum does not cover those, so they are written
//! only when the batch is read.

use bytes::{BufMut, Bytes, BytesMut};
use logmill_protocol::error::ErrorCode;
use logmill_protocol::records::{self, BatchError, BatchHeader, Batches, Compression, Limits, OwnedRecord};

/// Where the leader epoch stands, between the length and the rest that is sent as it came.
const LENGTH: std::ops::Range<usize> = 8..12;
const AFTER_EPOCH: usize = 16;

#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) base_offset: i64,
    pub(crate) leader_epoch: i32,
    sent: records::Batch,
}

impl Batch {
    /// Takes what a Produce request holds for one partition: exactly one whole batch of format v2, as
    /// Kafka asks since Produce v3. Checksum, codec and every record are checked.
    pub(crate) fn received(bytes: Bytes) -> Result<Self, ErrorCode> {
        let batch = Self::read(bytes)?;
        let header = batch.header();
        let counted = header.record_count >= 1 && header.last_offset_delta == header.record_count - 1;
        let numbered = header.producer_id < 0 || (header.base_sequence >= 0 && header.producer_epoch >= 0);
        if header.attributes.is_control() || !counted || !numbered {
            return Err(ErrorCode::InvalidRecord);
        }
        let decompressed = batch.sent.records(Limits::default()).map_err(|error| refusal(&error))?;
        // As many records as offsets, ascending: none is missing. What follows the last one is an error.
        if decompressed.iter().any(|record| record.is_err()) {
            return Err(ErrorCode::InvalidRecord);
        }
        Ok(batch)
    }

    /// Takes one whole batch that need not be what a producer sends: a marker, a compacted one.
    pub(crate) fn read(bytes: Bytes) -> Result<Self, ErrorCode> {
        let mut batches = Batches::new(bytes);
        let mut sent = match batches.next() {
            Some(Ok(batch)) => batch,
            Some(Err(error)) => return Err(refusal(&error)),
            None => return Err(ErrorCode::CorruptMessage),
        };
        if batches.next().is_some() || batches.partial().is_some() {
            return Err(ErrorCode::InvalidRecord);
        }
        sent.verify().map_err(|error| refusal(&error))?;
        let BatchHeader { base_offset, partition_leader_epoch, .. } = *sent.header();
        Ok(Self { base_offset, leader_epoch: partition_leader_epoch, sent })
    }

    /// The header as it was sent: base offset and leader epoch are not the stored ones.
    pub(crate) fn header(&self) -> &BatchHeader {
        self.sent.header()
    }

    pub(crate) fn is_control(&self) -> bool {
        self.sent.is_control()
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.sent.is_transactional()
    }

    pub(crate) fn compression(&self) -> Compression {
        self.sent.compression()
    }

    pub(crate) fn marker(&self) -> Option<records::Marker> {
        self.sent.marker()
    }

    /// Whether a producer numbered it (KIP-98).
    pub(crate) fn is_numbered(&self) -> bool {
        self.header().producer_id >= 0 && self.header().base_sequence >= 0
    }

    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.header().last_offset_delta)
    }

    pub(crate) fn last_sequence(&self) -> i32 {
        producer_sequence(self.header().base_sequence, self.header().last_offset_delta)
    }

    /// Bytes of the whole batch, header included.
    pub(crate) fn size(&self) -> usize {
        self.sent.bytes().len()
    }

    /// Appends the batch as a reader gets it.
    pub(crate) fn write(&self, out: &mut BytesMut) {
        let sent = self.sent.bytes();
        out.put_i64(self.base_offset);
        out.put_slice(&sent[LENGTH]);
        out.put_i32(self.leader_epoch);
        out.put_slice(&sent[AFTER_EPOCH..]);
    }

    /// Its records at the offsets where they are stored. They were checked when they came.
    pub(crate) fn records(&self) -> impl Iterator<Item = OwnedRecord> + use<> {
        let moved = self.base_offset - self.header().base_offset;
        let records = self.sent.records(Limits::default()).ok().map(records::Records::into_owned);
        records.into_iter().flatten().filter_map(Result::ok).map(move |mut record| {
            record.offset += moved;
            record
        })
    }
}

fn refusal(error: &BatchError) -> ErrorCode {
    match error {
        BatchError::UnsupportedFormat { .. } => ErrorCode::UnsupportedForMessageFormat,
        BatchError::CodecMissing { .. } => ErrorCode::UnsupportedCompressionType,
        _ => ErrorCode::CorruptMessage,
    }
}

/// The sequence `steps` after `sequence`. It wraps from 2^31 − 1 to 0.
pub(crate) fn producer_sequence(sequence: i32, steps: i32) -> i32 {
    let sum = i64::from(sequence) + i64::from(steps);
    (sum & i64::from(i32::MAX)) as i32
}
