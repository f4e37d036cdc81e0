//! gzip (RFC 1952). Read with any header and several members; written with the shortest header.

use std::io::Read;

use flate2::bufread::MultiGzDecoder;
use flate2::{Compress, Compression as Level, Crc, FlushCompress, Status};

use super::{BatchError, CodecError, Compression};

/// Deflate expands no more than this.
const MOST_EXPANSION: usize = 1032;
/// Magic, deflate, no flags, no time, no extra flags, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

pub(super) fn decompress(body: &[u8], limit: usize) -> Result<Vec<u8>, CodecError> {
    // The last four bytes tell the size of the last member, and may lie.
    let claimed = body.last_chunk().map_or(0, |size| u32::from_le_bytes(*size) as usize);
    let room = limit.saturating_add(1);
    let mut out = Vec::with_capacity(claimed.min(body.len().saturating_mul(MOST_EXPANSION)).min(room));
    MultiGzDecoder::new(body)
        .take(room as u64)
        .read_to_end(&mut out)
        .map_err(|_| CodecError::Bad("bad gzip stream"))?;
    if out.len() > limit { Err(CodecError::TooLarge) } else { Ok(out) }
}

pub(super) struct Encoder(Compress);

impl Encoder {
    pub(super) fn new(level: Option<i32>) -> Result<Self, BatchError> {
        let level = match level {
            // −1 is Kafka's way to say the default.
            None | Some(-1) => Level::default(),
            Some(level @ 1..=9) => Level::new(level as u32),
            Some(level) => {
                let (compression, accepted) =
                    (Compression::Gzip, "levels are 1 to 9, and -1 for the default");
                return Err(BatchError::BadLevel { compression, level, accepted });
            }
        };
        Ok(Self(Compress::new(level, false)))
    }

    pub(super) fn compress(&mut self, body: &[u8], out: &mut Vec<u8>) -> Option<()> {
        out.extend_from_slice(&HEADER);
        self.0.reset();
        loop {
            let read = self.0.total_in() as usize;
            out.reserve((body.len() - read) / 2 + 1024);
            let status = self.0.compress_vec(&body[read..], out, FlushCompress::Finish).ok()?;
            if status == Status::StreamEnd {
                break;
            }
        }
        let mut crc = Crc::new();
        crc.update(body);
        out.extend_from_slice(&crc.sum().to_le_bytes());
        out.extend_from_slice(&crc.amount().to_le_bytes());
        Some(())
    }
}
