//! Cuts the bytes of a Fetch response, or of a Produce request, into batches.

use bytes::Bytes;

use super::compression::{Decompressor, Limits};
use super::header::BatchHeader;
use super::layout::{self, get};
use super::{BatchError, Compression, Records};
use crate::error::DecodeError;
use crate::ids::Offset;

/// One batch, header read and checked; its records are still as they came.
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Bytes,
    header: BatchHeader,
    compression: Compression,
    verified: bool,
}

impl Batch {
    pub(super) fn read(bytes: Bytes) -> Result<Self, BatchError> {
        let header = BatchHeader::read(&bytes)?;
        let id = header.attributes.codec();
        let compression = Compression::try_from(id)
            .map_err(|_| BatchError::UnknownCodec { base_offset: header.base_offset, id })?;
        Ok(Self { bytes, header, compression, verified: false })
    }

    /// The header's fields.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The offset of its first record, or where that stood before compaction.
    #[must_use]
    pub fn base_offset(&self) -> Offset {
        self.header.base_offset
    }

    /// The last offset it covers. A reader's position goes on at the one after it, whatever the batch
    /// holds: data, a marker, or nothing any more.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.header.last_offset()
    }

    /// How many records it holds.
    #[must_use]
    pub fn record_count(&self) -> usize {
        self.header.record_count as usize
    }

    /// How its records are compressed.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Whether it holds a transaction's marker instead of data.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.header.attributes.is_control()
    }

    /// Whether it belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.header.attributes.is_transactional()
    }

    /// Its bytes, header included.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(super) fn body(&self) -> Bytes {
        self.bytes.slice(layout::HEADER..)
    }

    /// Checks the CRC-32C. [`Batch::records`] does so too, unless it is done already.
    ///
    /// # Errors
    /// [`BatchError::Corrupt`].
    pub fn verify(&mut self) -> Result<(), BatchError> {
        self.check_crc()?;
        self.verified = true;
        Ok(())
    }

    fn check_crc(&self) -> Result<(), BatchError> {
        if self.verified {
            return Ok(());
        }
        let computed = crc32c::crc32c(&self.bytes[layout::ATTRIBUTES..]);
        let BatchHeader { base_offset, crc: stored, .. } = self.header;
        if stored == computed { Ok(()) } else { Err(BatchError::Corrupt { base_offset, stored, computed }) }
    }

    /// Decompresses the records and makes them readable. Uncompressed ones stay where they are.
    ///
    /// # Errors
    /// The CRC is wrong, the codec is missing or fails, or the records are larger than `limits` allow.
    pub fn records(&self, limits: Limits) -> Result<Records, BatchError> {
        self.records_with(&mut Decompressor::new(limits))
    }

    /// As [`Batch::records`], with a decompressor that is used again and again: cheaper with zstd.
    ///
    /// # Errors
    /// As [`Batch::records`].
    pub fn records_with(&self, decompressor: &mut Decompressor) -> Result<Records, BatchError> {
        self.check_crc()?;
        let body = match self.compression {
            Compression::None => self.body(),
            compression => {
                let body = &self.bytes[layout::HEADER..];
                decompressor.decompress(compression, body, self.header.base_offset)?
            }
        };
        Ok(Records::new(body, &self.header))
    }
}

/// What stands at the end of a response when its last batch was cut off, as brokers do when it does
/// not fit the size that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialBatch {
    /// How many of its bytes are there.
    pub present: usize,
    /// The size that it claims for the whole batch, in bytes; `None` if even that was cut off. Not
    /// checked against anything: whoever allocates by it must have a limit.
    pub claimed: Option<usize>,
}

/// The batches of a response, one after another. An iterator that ends after the first error.
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
    partial: Option<PartialBatch>,
}

impl Batches {
    /// Reads from the start of `bytes`.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        Self { rest: bytes, partial: None }
    }

    /// The cut-off batch at the end, once the iterator has reached it.
    #[must_use]
    pub fn partial(&self) -> Option<PartialBatch> {
        self.partial
    }

    fn advance(&mut self) -> Result<Option<Batch>, BatchError> {
        let rest = &self.rest[..];
        let present = rest.len();
        if present < layout::LENGTH_COUNTS_FROM {
            self.partial = (present > 0).then_some(PartialBatch { present, claimed: None });
            return Ok(None);
        }
        let base_offset = i64::from_be_bytes(get(rest, layout::BASE_OFFSET));
        if let Some(&magic) = rest.get(layout::MAGIC) {
            let magic = magic as i8;
            if magic != layout::MAGIC_V2 {
                return Err(BatchError::UnsupportedFormat { base_offset, magic });
            }
        }
        let claimed = i32::from_be_bytes(get(rest, layout::BATCH_LENGTH));
        let size =
            usize::try_from(claimed).ok().and_then(|length| length.checked_add(layout::LENGTH_COUNTS_FROM));
        let Some(size) = size.filter(|&size| size >= layout::HEADER) else {
            let source =
                DecodeError::BadLength { what: "batch length", claimed: claimed.into(), available: present };
            return Err(BatchError::Malformed { base_offset, source });
        };
        if size > present {
            self.partial = Some(PartialBatch { present, claimed: Some(size) });
            return Ok(None);
        }
        Batch::read(self.rest.split_to(size)).map(Some)
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.partial.is_some() {
            return None;
        }
        let next = self.advance();
        if next.is_err() {
            self.rest = Bytes::new();
        }
        next.transpose()
    }
}
