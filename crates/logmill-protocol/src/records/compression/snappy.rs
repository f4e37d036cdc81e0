//! Snappy: blocks with a length before each, after a header, as the Java library frames them. Other
//! clients write one bare block; both are read, the framing is written.

use super::CodecError;

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// The magic, the version and the oldest version that can read it: 1 and 1.
const HEADER: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
/// How much goes into one block.
const BLOCK: usize = 32 << 10;
/// No block expands more: a three-byte element yields 64 bytes.
const MOST_EXPANSION: usize = 22;

pub(super) fn decompress(body: &[u8], limit: usize) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    if !body.starts_with(&MAGIC) {
        block(body, &mut out, limit)?;
        return Ok(out);
    }
    let mut rest = body.get(HEADER.len()..).ok_or(CodecError::Bad("framing header cut off"))?;
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        let (one, after) = after.split_at_checked(length).ok_or(CodecError::Bad("block cut off"))?;
        block(one, &mut out, limit)?;
        rest = after;
    }
    if rest.is_empty() { Ok(out) } else { Err(CodecError::Bad("bytes left over after the last block")) }
}

fn block(block: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), CodecError> {
    let bad = |_| CodecError::Bad("bad block");
    let claimed = snap::raw::decompress_len(block).map_err(bad)?;
    if claimed > block.len().saturating_mul(MOST_EXPANSION) {
        return Err(CodecError::Bad("block claims more than it can hold"));
    }
    let start = out.len();
    if claimed > limit.saturating_sub(start) {
        return Err(CodecError::TooLarge);
    }
    out.resize(start + claimed, 0);
    let written = snap::raw::Decoder::new().decompress(block, &mut out[start..]).map_err(bad)?;
    out.truncate(start + written);
    Ok(())
}

pub(super) struct Encoder(snap::raw::Encoder);

impl Default for Encoder {
    fn default() -> Self {
        Self(snap::raw::Encoder::new())
    }
}

impl Encoder {
    pub(super) fn compress(&mut self, body: &[u8], out: &mut Vec<u8>) -> Option<()> {
        out.extend_from_slice(&HEADER);
        for block in body.chunks(BLOCK) {
            let start = out.len() + 4;
            out.resize(start + snap::raw::max_compress_len(block.len()), 0);
            let written = self.0.compress(block, &mut out[start..]).ok()?;
            out[start - 4..start].copy_from_slice(&u32::try_from(written).ok()?.to_be_bytes());
            out.truncate(start + written);
        }
        Some(())
    }
}
