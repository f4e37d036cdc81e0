//! zstd (RFC 8878), in one go: the output is sized by the blocks that are there, so no window is
//! allocated because a frame's header asks for one.

use zstd::zstd_safe::{CCtx, CParameter, DCtx, compress_bound, get_error_name, max_c_level, min_c_level};

use super::{BatchError, CodecError, Compression};

const MAGIC: u32 = 0xFD2F_B528;
/// No block decompresses to more.
const MOST_BLOCK: u64 = 128 << 10;

const CUT_OFF: CodecError = CodecError::Bad("frame cut off");

#[derive(Default)]
pub(super) struct Decoder(Option<DCtx<'static>>);

impl Decoder {
    pub(super) fn decompress(&mut self, body: &[u8], limit: usize) -> Result<Vec<u8>, CodecError> {
        let most = output_bound(body)?;
        let capacity = usize::try_from(most).unwrap_or(usize::MAX).min(limit);
        if self.0.is_none() {
            self.0 = DCtx::try_create();
        }
        let context = self.0.as_mut().ok_or(CodecError::Bad("no memory for a context"))?;
        let mut out = Vec::with_capacity(capacity);
        match context.decompress(&mut out, body) {
            Ok(_) => Ok(out),
            Err(code) if capacity < usize::try_from(most).unwrap_or(usize::MAX) && is_too_small(code) => {
                Err(CodecError::TooLarge)
            }
            Err(_) => Err(CodecError::Bad("bad zstd frame")),
        }
    }
}

fn is_too_small(code: usize) -> bool {
    get_error_name(code) == "Destination buffer is too small"
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], CodecError> {
    let (taken, after) = rest.split_at_checked(count).ok_or(CUT_OFF)?;
    *rest = after;
    Ok(taken)
}

fn take_number(rest: &mut &[u8], bytes: usize) -> Result<u64, CodecError> {
    Ok(take(rest, bytes)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

/// The most that the frames can decompress to: what their blocks hold, or what they announce if less.
fn output_bound(body: &[u8]) -> Result<u64, CodecError> {
    let (mut rest, mut most) = (body, 0u64);
    while !rest.is_empty() {
        let magic = take_number(&mut rest, 4)? as u32;
        if magic == MAGIC {
            most = most.saturating_add(frame_bound(&mut rest)?);
        } else if magic & !0xf == 0x184D_2A50 {
            let length = take_number(&mut rest, 4)?;
            take(&mut rest, length as usize)?;
        } else {
            return Err(CodecError::Bad("not a zstd frame"));
        }
    }
    Ok(most)
}

fn frame_bound(rest: &mut &[u8]) -> Result<u64, CodecError> {
    let descriptor = take_number(rest, 1)?;
    let single_segment = descriptor >> 5 & 1 == 1;
    let checksum = if descriptor >> 2 & 1 == 1 { 4 } else { 0 };
    let dictionary = [0, 1, 2, 4][(descriptor & 3) as usize];
    let size = match descriptor >> 6 {
        0 if single_segment => 1,
        0 => 0,
        flag => 1 << flag,
    };
    take(rest, usize::from(!single_segment) + dictionary)?;
    let announced = match take_number(rest, size)? {
        _ if size == 0 => u64::MAX,
        number if size == 2 => number + 256,
        number => number,
    };
    let mut held = 0u64;
    loop {
        let header = take_number(rest, 3)?;
        let size = header >> 3;
        let (output, input) = match header >> 1 & 3 {
            0 => (size, size),
            1 => (size, 1),
            2 => (MOST_BLOCK, size),
            _ => return Err(CodecError::Bad("bad block")),
        };
        take(rest, input as usize)?;
        held = held.saturating_add(output);
        if header & 1 == 1 {
            break;
        }
    }
    take(rest, checksum)?;
    Ok(held.min(announced))
}

pub(super) struct Encoder(CCtx<'static>);

impl Encoder {
    pub(super) fn new(level: Option<i32>) -> Result<Self, BatchError> {
        let compression = Compression::Zstd;
        let level = level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL);
        let (least, most) = (min_c_level(), max_c_level());
        if !(least..=most).contains(&level) {
            let accepted = "levels are -131072 to 22";
            return Err(BatchError::BadLevel { compression, level, accepted });
        }
        let failed = BatchError::CannotCompress { compression };
        let mut context = CCtx::try_create().ok_or_else(|| failed.clone())?;
        context.set_parameter(CParameter::CompressionLevel(level)).map_err(|_| failed)?;
        Ok(Self(context))
    }

    pub(super) fn compress(&mut self, body: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let start = out.len();
        out.reserve(compress_bound(body.len()));
        let mut target = std::io::Cursor::new(out);
        target.set_position(start as u64);
        self.0.compress2(&mut target, body).ok()?;
        Some(())
    }
}
