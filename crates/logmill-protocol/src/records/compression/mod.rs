//! The five codecs, each behind the cargo feature of its name, and the limit on what they may produce.

#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(feature = "zstd")]
mod zstd;

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use super::BatchError;
use crate::ids::Offset;

/// How a batch's records are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy blocks in the framing of the Java library.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// RFC 8878 (Kafka 2.1 and later).
    Zstd,
}

/// No codec of Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a codec of Kafka's: one of none, gzip, snappy, lz4, zstd is expected")]
pub struct UnknownCompression;

impl Compression {
    /// All of them, by their number.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// Its number in a batch's attributes.
    #[must_use]
    pub const fn id(self) -> u8 {
        self as u8
    }

    /// Its name in Kafka's configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl TryFrom<u8> for Compression {
    type Error = UnknownCompression;

    fn try_from(id: u8) -> Result<Self, UnknownCompression> {
        Self::ALL.get(usize::from(id)).copied().ok_or(UnknownCompression)
    }
}

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(name: &str) -> Result<Self, UnknownCompression> {
        Self::ALL.into_iter().find(|codec| codec.name() == name).ok_or(UnknownCompression)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How much a reader lets a batch take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most that the records of one batch may come to when they are decompressed, in bytes; 64 MiB
    /// by default. What a batch claims is never allocated before it is checked against its bytes.
    pub max_decompressed: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_decompressed: 64 << 20 }
    }
}

/// What one codec makes of bytes.
#[derive(Debug)]
#[allow(dead_code)] // Without any codec nothing makes one.
enum CodecError {
    /// The output is larger than the limit.
    TooLarge,
    /// The input is not what the codec writes.
    Bad(&'static str),
}

/// Decompresses batches, one after another: buffers and tables of the codecs are used again.
#[derive(Default)]
pub struct Decompressor {
    limits: Limits,
    #[cfg(feature = "zstd")]
    zstd: zstd::Decoder,
}

impl Decompressor {
    /// A decompressor that keeps to `limits`.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// What it keeps to.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn decompress(
        &mut self,
        compression: Compression,
        body: &[u8],
        base_offset: Offset,
    ) -> Result<Bytes, BatchError> {
        let limit = self.limits.max_decompressed;
        let out = match compression {
            Compression::None => Ok(body.to_vec()),
            #[cfg(feature = "gzip")]
            Compression::Gzip => gzip::decompress(body, limit),
            #[cfg(feature = "snappy")]
            Compression::Snappy => snappy::decompress(body, limit),
            #[cfg(feature = "lz4")]
            Compression::Lz4 => lz4::decompress(body, limit),
            #[cfg(feature = "zstd")]
            Compression::Zstd => self.zstd.decompress(body, limit),
            #[allow(unreachable_patterns)]
            _ => return Err(BatchError::CodecMissing { compression }),
        };
        match out {
            Ok(out) => Ok(out.into()),
            Err(CodecError::TooLarge) => Err(BatchError::TooLarge { base_offset, limit }),
            Err(CodecError::Bad(reason)) => {
                Err(BatchError::BadCompression { base_offset, compression, reason })
            }
        }
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").field("limits", &self.limits).finish_non_exhaustive()
    }
}

enum Encoder {
    None,
    #[cfg(feature = "gzip")]
    Gzip(gzip::Encoder),
    #[cfg(feature = "snappy")]
    Snappy(Box<snappy::Encoder>),
    #[cfg(feature = "lz4")]
    Lz4(Box<lz4::Encoder>),
    #[cfg(feature = "zstd")]
    Zstd(zstd::Encoder),
}

/// Compresses batches, one after another: buffers and tables of the codec are used again.
pub struct Compressor {
    compression: Compression,
    encoder: Encoder,
    /// The last batch's uncompressed buffer, which takes the next one's compressed bytes.
    spare: Vec<u8>,
}

impl Compressor {
    /// A compressor that leaves batches as they are.
    #[must_use]
    pub const fn none() -> Self {
        Self { compression: Compression::None, encoder: Encoder::None, spare: Vec::new() }
    }

    /// A compressor of that codec and level. gzip has levels 1 to 9 (6 by default), zstd −131072 to 22 (3 by
    /// default), the others none.
    ///
    /// # Errors
    /// The codec is not in this build, or has no such level.
    pub fn new(compression: Compression, level: Option<i32>) -> Result<Self, BatchError> {
        let without = |encoder| match level {
            None => Ok(encoder),
            Some(level) => {
                Err(BatchError::BadLevel { compression, level, accepted: "it has one level: leave it unset" })
            }
        };
        let encoder = match compression {
            Compression::None => without(Encoder::None)?,
            #[cfg(feature = "gzip")]
            Compression::Gzip => Encoder::Gzip(gzip::Encoder::new(level)?),
            #[cfg(feature = "snappy")]
            Compression::Snappy => without(Encoder::Snappy(Box::default()))?,
            #[cfg(feature = "lz4")]
            Compression::Lz4 => without(Encoder::Lz4(Box::default()))?,
            #[cfg(feature = "zstd")]
            Compression::Zstd => Encoder::Zstd(zstd::Encoder::new(level)?),
            #[allow(unreachable_patterns)]
            _ => return Err(BatchError::CodecMissing { compression }),
        };
        Ok(Self { compression, encoder, spare: Vec::new() })
    }

    /// The codec.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Compresses what stands in `buffer` from `from` on, and keeps what is before it. Leaves the buffer
    /// alone where that would make it larger, and says what it did.
    pub(super) fn compress(&mut self, buffer: &mut Vec<u8>, from: usize) -> Result<Compression, BatchError> {
        if self.compression == Compression::None {
            return Ok(Compression::None);
        }
        let out = &mut self.spare;
        out.clear();
        out.extend_from_slice(&buffer[..from]);
        let body = &buffer[from..];
        let done = match &mut self.encoder {
            Encoder::None => Some(()),
            #[cfg(feature = "gzip")]
            Encoder::Gzip(encoder) => encoder.compress(body, out),
            #[cfg(feature = "snappy")]
            Encoder::Snappy(encoder) => encoder.compress(body, out),
            #[cfg(feature = "lz4")]
            Encoder::Lz4(encoder) => encoder.compress(body, out),
            #[cfg(feature = "zstd")]
            Encoder::Zstd(encoder) => encoder.compress(body, out),
        };
        done.ok_or(BatchError::CannotCompress { compression: self.compression })?;
        if out.len() >= buffer.len() {
            return Ok(Compression::None);
        }
        std::mem::swap(buffer, out);
        Ok(self.compression)
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").field("compression", &self.compression).finish_non_exhaustive()
    }
}
