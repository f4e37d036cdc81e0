//! A batch whose records are written: stamped and sent, perhaps more than once.

use bytes::{Bytes, BytesMut};

use super::header::Attributes;
use super::layout::{self, get, put};
use super::{BatchBuilder, NO_PRODUCER};

/// What is known only when a batch is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The idempotent producer's id, or −1.
    pub producer_id: i64,
    /// Its epoch, or −1.
    pub producer_epoch: i16,
    /// The first record's sequence number, or −1.
    pub base_sequence: i32,
    /// Whether the batch belongs to a transaction.
    pub transactional: bool,
    /// Whether the batch is a transaction's marker.
    pub control: bool,
}

/// No producer: neither idempotent nor transactional.
impl Default for Stamp {
    fn default() -> Self {
        Self {
            producer_id: NO_PRODUCER,
            producer_epoch: -1,
            base_sequence: -1,
            transactional: false,
            control: false,
        }
    }
}

/// A complete batch but for its stamp.
#[derive(Debug)]
pub struct ClosedBatch {
    bytes: Bytes,
    records: u32,
}

impl ClosedBatch {
    pub(super) fn new(buffer: Vec<u8>, records: u32) -> Self {
        Self { bytes: buffer.into(), records }
    }

    /// How many records it holds.
    #[must_use]
    pub fn records(&self) -> u32 {
        self.records
    }

    /// Its size in bytes, as sent.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never: a batch has at least its header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Writes producer, sequence and flags, then the CRC-32C, and gives the bytes to send. A batch may
    /// be stamped again, for a retry under another producer id or sequence: in place when nobody holds
    /// the bytes of the last time any more, on a copy when somebody does.
    pub fn stamp(&mut self, stamp: Stamp) -> Bytes {
        let mut batch = match std::mem::take(&mut self.bytes).try_into_mut() {
            Ok(batch) => batch,
            Err(shared) => BytesMut::from(&shared[..]),
        };
        let attributes = Attributes(u16::from_be_bytes(get(&batch, layout::ATTRIBUTES)))
            .flagged(stamp.transactional, stamp.control);
        put(&mut batch, layout::ATTRIBUTES, attributes.0.to_be_bytes());
        put(&mut batch, layout::PRODUCER_ID, stamp.producer_id.to_be_bytes());
        put(&mut batch, layout::PRODUCER_EPOCH, stamp.producer_epoch.to_be_bytes());
        put(&mut batch, layout::BASE_SEQUENCE, stamp.base_sequence.to_be_bytes());
        layout::put_crc(&mut batch);
        self.bytes = batch.freeze();
        self.bytes.clone()
    }

    /// The bytes as last stamped.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Gives the buffer back for [`BatchBuilder::new`], empty; without its capacity if somebody still
    /// holds the bytes.
    #[must_use]
    pub fn into_buffer(self) -> Vec<u8> {
        match self.bytes.try_into_mut() {
            Ok(mut bytes) => {
                bytes.clear();
                bytes.into()
            }
            Err(_) => Vec::new(),
        }
    }
}

/// For tests and brokers: a batch that is written and stamped in one go.
impl BatchBuilder {
    /// Ends the batch uncompressed and stamps it.
    #[must_use]
    pub fn finish(self, stamp: Stamp) -> Bytes {
        match self.close(&mut super::Compressor::none()) {
            Ok(mut closed) => closed.stamp(stamp),
            // Only codecs fail, and there is none.
            Err(_) => Bytes::new(),
        }
    }
}
