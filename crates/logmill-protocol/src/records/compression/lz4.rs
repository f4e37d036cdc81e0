//! LZ4 frames. Written: independent blocks of 64 KiB, no checksums, as the Java client does. Read: any
//! block size up to 4 MiB, linked or independent blocks, with or without checksums, several frames.
//!
//! The frame's own checksums are passed over: the batch's CRC-32C has covered every one of these bytes.

use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, decompress_into_with_dict,
    get_maximum_output_size,
};

use super::CodecError;

const MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
/// Magic, flags (version 1, independent blocks), block size (64 KiB), and the checksum of those two.
const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
const BLOCK: usize = 64 << 10;
/// The bit of a block's length that says it is not compressed.
const PLAIN: u32 = 1 << 31;
/// How far back a linked block may refer.
const WINDOW: usize = 64 << 10;

const CUT_OFF: CodecError = CodecError::Bad("frame cut off");

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], CodecError> {
    let (taken, after) = rest.split_at_checked(count).ok_or(CUT_OFF)?;
    *rest = after;
    Ok(taken)
}

fn take_u32(rest: &mut &[u8]) -> Result<u32, CodecError> {
    let (taken, after) = rest.split_first_chunk().ok_or(CUT_OFF)?;
    *rest = after;
    Ok(u32::from_le_bytes(*taken))
}

pub(super) fn decompress(body: &[u8], limit: usize) -> Result<Vec<u8>, CodecError> {
    let (mut rest, mut out) = (body, Vec::new());
    while !rest.is_empty() {
        let magic = take_u32(&mut rest)?;
        if magic == u32::from_le_bytes(MAGIC) {
            frame(&mut rest, &mut out, limit)?;
        } else if magic & !0xf == 0x184D_2A50 {
            let length = take_u32(&mut rest)?;
            take(&mut rest, length as usize)?;
        } else {
            return Err(CodecError::Bad("not an LZ4 frame"));
        }
    }
    Ok(out)
}

fn frame(rest: &mut &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), CodecError> {
    let descriptor = take(rest, 2)?;
    let flag = |bit: u8| usize::from(descriptor[0] >> bit & 1);
    if descriptor[0] >> 6 != 1 {
        return Err(CodecError::Bad("unknown frame version"));
    }
    let (independent, block_checksum, content_size, content_checksum, dictionary) =
        (flag(5) == 1, 4 * flag(4), 8 * flag(3), 4 * flag(2), 4 * flag(0));
    if dictionary > 0 {
        return Err(CodecError::Bad("frame needs a dictionary"));
    }
    let most = match descriptor[1] >> 4 & 7 {
        size @ 4..=7 => 1usize << (8 + 2 * size),
        _ => return Err(CodecError::Bad("unknown block size")),
    };
    take(rest, content_size + 1)?;
    let start = out.len();
    loop {
        let length = take_u32(rest)?;
        if length == 0 {
            break;
        }
        let block = take(rest, (length & !PLAIN) as usize)?;
        take(rest, block_checksum)?;
        let history = if independent { 0 } else { (out.len() - start).min(WINDOW) };
        let room = limit.saturating_sub(out.len());
        if length & PLAIN != 0 {
            if block.len() > most {
                return Err(CodecError::Bad("block larger than announced"));
            }
            if block.len() > room {
                return Err(CodecError::TooLarge);
            }
            out.extend_from_slice(block);
        } else {
            let size = output_size(block, most)?;
            if size > room {
                return Err(CodecError::TooLarge);
            }
            let at = out.len();
            out.resize(at + size, 0);
            let (before, target) = out.split_at_mut(at);
            let written = if history == 0 {
                decompress_into(block, target)
            } else {
                decompress_into_with_dict(block, target, &before[at - history..])
            };
            if written.ok() != Some(size) {
                return Err(CodecError::Bad("bad block"));
            }
        }
    }
    take(rest, content_checksum)?;
    Ok(())
}

/// What a block decompresses to, by its sequences' lengths: exact, so nothing is allocated because a
/// descriptor says so, and small batches under a 4 MiB descriptor stay cheap.
fn output_size(block: &[u8], most: usize) -> Result<usize, CodecError> {
    let bad = CodecError::Bad("bad block");
    let (mut at, mut size) = (0, 0usize);
    let extended = |at: &mut usize, nibble: u8| -> Option<usize> {
        let mut length = usize::from(nibble);
        if nibble == 15 {
            loop {
                let byte = *block.get(*at)?;
                *at += 1;
                length += usize::from(byte);
                if byte != 255 {
                    break;
                }
            }
        }
        Some(length)
    };
    while let Some(&token) = block.get(at) {
        at += 1;
        let Some(literals) = extended(&mut at, token >> 4) else { return Err(bad) };
        at += literals;
        size += literals;
        if at >= block.len() {
            break;
        }
        at += 2;
        let Some(matched) = extended(&mut at, token & 15) else { return Err(bad) };
        size += matched + 4;
        if size > most {
            break;
        }
    }
    if at > block.len() {
        return Err(bad);
    }
    if size > most { Err(CodecError::Bad("block larger than announced")) } else { Ok(size) }
}

pub(super) struct Encoder(CompressTable);

impl Default for Encoder {
    fn default() -> Self {
        Self(CompressTable::large())
    }
}

impl Encoder {
    pub(super) fn compress(&mut self, body: &[u8], out: &mut Vec<u8>) -> Option<()> {
        out.extend_from_slice(&HEADER);
        for block in body.chunks(BLOCK) {
            let start = out.len() + 4;
            out.resize(start + get_maximum_output_size(block.len()), 0);
            let written = compress_into_with_table(block, &mut out[start..], &mut self.0).ok()?;
            let length = if written < block.len() {
                out.truncate(start + written);
                written as u32
            } else {
                out.truncate(start);
                out.extend_from_slice(block);
                block.len() as u32 | PLAIN
            };
            out[start - 4..start].copy_from_slice(&length.to_le_bytes());
        }
        out.extend_from_slice(&[0; 4]);
        Some(())
    }
}
