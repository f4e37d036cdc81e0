//! Where each field of a batch's header stands, and how numbers are put there. All are big-endian.

pub(super) const BASE_OFFSET: usize = 0;
pub(super) const BATCH_LENGTH: usize = 8;
pub(super) const LEADER_EPOCH: usize = 12;
pub(super) const MAGIC: usize = 16;
pub(super) const CRC: usize = 17;
/// The first byte that the CRC covers; what stands before it may change without it.
pub(super) const ATTRIBUTES: usize = 21;
pub(super) const LAST_OFFSET_DELTA: usize = 23;
pub(super) const BASE_TIMESTAMP: usize = 27;
pub(super) const MAX_TIMESTAMP: usize = 35;
pub(super) const PRODUCER_ID: usize = 43;
pub(super) const PRODUCER_EPOCH: usize = 51;
pub(super) const BASE_SEQUENCE: usize = 53;
pub(super) const RECORD_COUNT: usize = 57;
/// The whole header's size: the records follow.
pub(super) const HEADER: usize = 61;

/// The batch length counts what follows it.
pub(super) const LENGTH_COUNTS_FROM: usize = 12;
/// The format's number.
pub(super) const MAGIC_V2: i8 = 2;

/// The `N` bytes at `at`, which the caller knows to be there.
#[inline]
pub(super) fn get<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

/// Overwrites the `N` bytes at `at`, which the caller knows to be there.
#[inline]
pub(super) fn put<const N: usize>(bytes: &mut [u8], at: usize, field: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&field);
}

/// Computes the CRC-32C of a whole batch and writes it.
pub(super) fn put_crc(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[ATTRIBUTES..]);
    put(batch, CRC, crc.to_be_bytes());
}
