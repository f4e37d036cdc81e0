//! Why a batch cannot be read or written.

use super::Compression;
use crate::error::DecodeError;
use crate::ids::Offset;

/// A record batch that cannot be read, or a codec that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// Its fields contradict each other or its bytes.
    #[error("record batch at offset {base_offset} is malformed: {source}")]
    Malformed {
        /// The batch's base offset, as its header has it.
        base_offset: Offset,
        /// What is wrong.
        source: DecodeError,
    },
    /// The stored CRC-32C is not that of the bytes: they changed on the way or on disk.
    #[error(
        "record batch at offset {base_offset} is corrupt: its CRC is {stored:#010x}, its bytes have {computed:#010x}"
    )]
    Corrupt {
        /// The batch's base offset, as its header has it.
        base_offset: Offset,
        /// The CRC in its header.
        stored: u32,
        /// The CRC of its bytes.
        computed: u32,
    },
    /// Format v0 or v1, from before Kafka 0.11, or one that does not exist yet.
    #[error(
        "record batch at offset {base_offset} has format v{magic}; logmill reads v2 only. Formats v0 and v1 end \
         with Kafka 3: copy the topic with a client that writes v2"
    )]
    UnsupportedFormat {
        /// The batch's base offset, as its header has it.
        base_offset: Offset,
        /// The format's number.
        magic: i8,
    },
    /// Its attributes name a codec that Kafka does not have.
    #[error("record batch at offset {base_offset} names the unknown codec {id}")]
    UnknownCodec {
        /// The batch's base offset.
        base_offset: Offset,
        /// The codec's number.
        id: u8,
    },
    /// The codec's cargo feature is off in this build.
    #[error("compression {compression} is not in this build: turn on the cargo feature of that name")]
    CodecMissing {
        /// The codec.
        compression: Compression,
    },
    /// The level is none that the codec has.
    #[error("compression {compression} has no level {level}; {accepted}")]
    BadLevel {
        /// The codec.
        compression: Compression,
        /// The level asked for.
        level: i32,
        /// What it has instead.
        accepted: &'static str,
    },
    /// The compressed records are not what the codec writes.
    #[error("record batch at offset {base_offset}: cannot decompress {compression}: {reason}")]
    BadCompression {
        /// The batch's base offset.
        base_offset: Offset,
        /// The codec.
        compression: Compression,
        /// What the codec says.
        reason: &'static str,
    },
    /// The records take more memory than allowed.
    #[error(
        "record batch at offset {base_offset} decompresses to more than {limit} bytes: raise the limit, or look for who \
         writes such batches"
    )]
    TooLarge {
        /// The batch's base offset.
        base_offset: Offset,
        /// The most that is allowed, in bytes.
        limit: usize,
    },
    /// The codec failed to compress, which only lack of memory explains.
    #[error("cannot compress with {compression}")]
    CannotCompress {
        /// The codec.
        compression: Compression,
    },
}
