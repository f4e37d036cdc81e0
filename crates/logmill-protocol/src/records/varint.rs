//! Variable-length integers as records have them: zigzag, seven bits a byte, low bits first.

use crate::error::DecodeError;

#[inline]
pub(super) fn zigzag64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// How many bytes a zigzag-encoded value takes.
#[inline]
pub(super) fn size(zigzag: u64) -> usize {
    // Nine bits of shift per seven of payload, rounded: exact for every 64-bit value.
    (((63 - (zigzag | 1).leading_zeros()) * 9 + 73) / 64) as usize
}

/// Writes a zigzag-encoded value at `at` and returns where it ends. The caller has made room.
#[inline]
pub(super) fn put(out: &mut [u8], mut at: usize, mut zigzag: u64) -> usize {
    while zigzag >= 0x80 {
        out[at] = zigzag as u8 | 0x80;
        zigzag >>= 7;
        at += 1;
    }
    out[at] = zigzag as u8;
    at + 1
}

/// Reads one after another from a slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl Cursor<'_> {
    #[inline]
    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    #[inline]
    pub(super) fn byte(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        let byte = *self.bytes.get(self.at).ok_or(DecodeError::Truncated { what, missing: 1 })?;
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    pub(super) fn varint(&mut self, what: &'static str) -> Result<i32, DecodeError> {
        let first = self.byte(what)?;
        let zigzag = if first < 0x80 { u32::from(first) } else { self.long(first, 32, what)? as u32 };
        Ok((zigzag >> 1) as i32 ^ -((zigzag & 1) as i32))
    }

    #[inline]
    pub(super) fn varlong(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        let first = self.byte(what)?;
        let zigzag = if first < 0x80 { u64::from(first) } else { self.long(first, 64, what)? };
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    #[inline]
    fn long(&mut self, first: u8, bits: u32, what: &'static str) -> Result<u64, DecodeError> {
        let mut value = u64::from(first & 0x7f);
        let mut shift = 7;
        loop {
            let byte = self.byte(what)?;
            let left = bits - shift;
            if left < 7 && byte >> left != 0 {
                return Err(DecodeError::BadVarint { what });
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
            shift += 7;
        }
    }

    /// A length that is there: `None` for null, which is −1 and nothing else.
    #[inline]
    pub(super) fn span(&mut self, what: &'static str) -> Result<Option<(usize, usize)>, DecodeError> {
        let claimed = self.varint(what)?;
        match usize::try_from(claimed) {
            Ok(length) if length <= self.left() => {
                let start = self.at;
                self.at += length;
                Ok(Some((start, self.at)))
            }
            Err(_) if claimed == -1 => Ok(None),
            _ => Err(DecodeError::BadLength { what, claimed: claimed.into(), available: self.left() }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_length_reads_back_and_is_foretold() {
        let mut values = vec![0i64, -1, 1, i64::MAX, i64::MIN, i32::MAX.into(), i32::MIN.into()];
        values.extend((0..63).flat_map(|bit| [(1i64 << bit) - 1, 1 << bit, -(1 << bit)]));
        for value in values {
            let mut out = [0; 10];
            let end = put(&mut out, 0, zigzag64(value));
            assert_eq!(end, size(zigzag64(value)), "{value}");
            assert_eq!(Cursor { bytes: &out[..end], at: 0 }.varlong("test"), Ok(value));
            if let Ok(small) = i32::try_from(value) {
                assert_eq!(Cursor { bytes: &out[..end], at: 0 }.varint("test"), Ok(small));
            } else {
                assert!(Cursor { bytes: &out[..end], at: 0 }.varint("test").is_err(), "{value}");
            }
        }
    }

    #[test]
    fn overlong_and_truncated_are_errors() {
        for bytes in [&[0xff; 10][..], &[0x80], &[], &[0xff, 0xff, 0xff, 0xff, 0x10]] {
            assert!(Cursor { bytes, at: 0 }.varint("test").is_err(), "{bytes:?}");
        }
        let eleven = [0xff; 11];
        assert!(Cursor { bytes: &eleven, at: 0 }.varlong("test").is_err());
    }
}
