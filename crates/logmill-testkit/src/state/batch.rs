//! One stored record batch, format v2: the fields of its 61-byte header that a broker looks at, and
//! the bytes as the producer sent them. A broker changes only base offset and leader epoch, which the
//! checksum does not cover, so the bytes stay a slice of the frame they came in.

use bytes::{BufMut, Bytes, BytesMut};
use logmill_protocol::error::ErrorCode;

/// Bytes before the first record.
pub(crate) const HEADER: usize = 61;
/// Bytes of base offset and length, which the length does not count.
const PREFIX: usize = 12;
const CRC_AT: usize = 17;
const CRC_FROM: usize = 21;

const CODEC_MASK: i16 = 0b111;
const TRANSACTIONAL: i16 = 0b1_0000;
const CONTROL: i16 = 0b10_0000;
const ZSTD: i16 = 4;

#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) base_offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) records: i32,
    bytes: Bytes,
}

fn get<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

impl Batch {
    /// Takes what a Produce request holds for one partition: exactly one whole batch of format v2,
    /// as Kafka asks since Produce v3.
    pub(crate) fn received(bytes: Bytes) -> Result<Self, ErrorCode> {
        if bytes.len() < HEADER {
            return Err(ErrorCode::CorruptMessage);
        }
        if bytes[16] != 2 {
            return Err(ErrorCode::UnsupportedForMessageFormat);
        }
        let length = usize::try_from(i32::from_be_bytes(get(&bytes, 8))).unwrap_or(0);
        match (length + PREFIX).cmp(&bytes.len()) {
            std::cmp::Ordering::Greater => return Err(ErrorCode::CorruptMessage),
            std::cmp::Ordering::Less => return Err(ErrorCode::InvalidRecord),
            std::cmp::Ordering::Equal => {}
        }
        if u32::from_be_bytes(get(&bytes, CRC_AT)) != crc32c::crc32c(&bytes[CRC_FROM..]) {
            return Err(ErrorCode::CorruptMessage);
        }
        let batch = Self {
            base_offset: i64::from_be_bytes(get(&bytes, 0)),
            leader_epoch: i32::from_be_bytes(get(&bytes, 12)),
            attributes: i16::from_be_bytes(get(&bytes, 21)),
            last_offset_delta: i32::from_be_bytes(get(&bytes, 23)),
            base_timestamp: i64::from_be_bytes(get(&bytes, 27)),
            max_timestamp: i64::from_be_bytes(get(&bytes, 35)),
            producer_id: i64::from_be_bytes(get(&bytes, 43)),
            producer_epoch: i16::from_be_bytes(get(&bytes, 51)),
            base_sequence: i32::from_be_bytes(get(&bytes, 53)),
            records: i32::from_be_bytes(get(&bytes, 57)),
            bytes,
        };
        if batch.attributes & CODEC_MASK > ZSTD {
            return Err(ErrorCode::CorruptMessage);
        }
        Ok(batch)
    }

    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub(crate) fn is_zstd(&self) -> bool {
        self.attributes & CODEC_MASK == ZSTD
    }

    /// Whether a producer numbered it (KIP-98).
    pub(crate) fn is_numbered(&self) -> bool {
        self.producer_id >= 0
    }

    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    pub(crate) fn last_sequence(&self) -> i32 {
        producer_sequence(self.base_sequence, self.last_offset_delta)
    }

    /// Bytes of the whole batch, header included.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Appends the batch as a reader gets it.
    pub(crate) fn write(&self, out: &mut BytesMut) {
        out.put_i64(self.base_offset);
        out.put_slice(&self.bytes[8..PREFIX]);
        out.put_i32(self.leader_epoch);
        out.put_slice(&self.bytes[16..]);
    }

    /// The batch as a reader gets it.
    pub(crate) fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.size());
        self.write(&mut out);
        out.freeze()
    }
}

/// The sequence `steps` after `sequence`. It wraps from 2^31 − 1 to 0.
pub(crate) fn producer_sequence(sequence: i32, steps: i32) -> i32 {
    let sum = i64::from(sequence) + i64::from(steps);
    (sum & i64::from(i32::MAX)) as i32
}
