//! Writes Kafka's primitive types, and keeps large byte strings out of the copy.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::EncodeError;
use crate::ids::Uuid;

/// Byte strings from this size on are handed to the socket as they are, instead of being copied.
const SPLICE_FROM: usize = 4096;

/// A message being written. Small values are appended to one buffer; record batches stay where they
/// are and are only remembered by position.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: BytesMut,
    /// Byte strings to send, each before the position in `buffer` it stands at.
    splices: Vec<(usize, Bytes)>,
    spliced: usize,
}

macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $put:ident;)*) => {
        $(
            $(#[$doc])*
            #[inline]
            pub fn $name(&mut self, value: $type) {
                self.buffer.$put(value);
            }
        )*
    };
}

impl Writer {
    /// An empty message.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len() + self.spliced
    }

    /// Whether nothing has been written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fixed! {
        /// One signed byte.
        i8: i8 = put_i8;
        /// Two bytes, big-endian, signed.
        i16: i16 = put_i16;
        /// Two bytes, big-endian, unsigned.
        u16: u16 = put_u16;
        /// Four bytes, big-endian, signed.
        i32: i32 = put_i32;
        /// Four bytes, big-endian, unsigned.
        u32: u32 = put_u32;
        /// Eight bytes, big-endian, signed.
        i64: i64 = put_i64;
        /// An IEEE 754 double, big-endian.
        f64: f64 = put_f64;
    }

    /// One byte, 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.buffer.put_u8(u8::from(value));
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self, value: Uuid) {
        self.buffer.put_slice(&value.0);
    }

    /// A variable-length unsigned integer.
    pub fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.put_u8(value as u8);
    }

    /// The number of elements of an array, or null.
    ///
    /// # Errors
    /// There are more than 2^31 − 2.
    pub fn count(
        &mut self,
        count: Option<usize>,
        flexible: bool,
        what: &'static str,
    ) -> Result<(), EncodeError> {
        self.length(count, i32::MAX as usize - 1, flexible, what, |out, length| out.i32(length))
    }

    /// An array, or null; `element` writes one element.
    ///
    /// # Errors
    /// There are more than 2^31 − 2, or an element cannot be written.
    pub fn array<T>(
        &mut self,
        list: Option<&[T]>,
        flexible: bool,
        what: &'static str,
        mut element: impl FnMut(&mut Self, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.count(list.map(<[T]>::len), flexible, what)?;
        list.unwrap_or_default().iter().try_for_each(|item| element(self, item))
    }

    /// A string, or null.
    ///
    /// # Errors
    /// It is longer than 32,767 bytes.
    pub fn string(
        &mut self,
        value: Option<&str>,
        flexible: bool,
        what: &'static str,
    ) -> Result<(), EncodeError> {
        let length = value.map(str::len);
        self.length(length, i16::MAX as usize, flexible, what, |out, length| out.i16(length as i16))?;
        self.buffer.put_slice(value.unwrap_or_default().as_bytes());
        Ok(())
    }

    /// A byte string or a block of records, or null.
    ///
    /// # Errors
    /// It is longer than 2^31 − 2 bytes.
    pub fn bytes(
        &mut self,
        value: Option<&Bytes>,
        flexible: bool,
        what: &'static str,
    ) -> Result<(), EncodeError> {
        self.count(value.map(Bytes::len), flexible, what)?;
        if let Some(value) = value {
            self.append(value);
        }
        Ok(())
    }

    /// Bytes without a length, copied when they are few and spliced when they are many.
    pub fn append(&mut self, value: &Bytes) {
        if value.len() >= SPLICE_FROM {
            self.splices.push((self.buffer.len(), value.clone()));
            self.spliced += value.len();
        } else {
            self.buffer.put_slice(value);
        }
    }

    /// The head of the tagged fields that end a flexible structure: how many follow.
    pub fn tagged_count(&mut self, fields: u32) {
        self.uvarint(fields);
    }

    /// One tagged field (KIP-482): its tag, its length, and what `body` writes.
    ///
    /// # Errors
    /// What `body` fails with.
    pub fn tagged(
        &mut self,
        tag: u32,
        body: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut field = Writer::new();
        body(&mut field)?;
        self.uvarint(tag);
        self.uvarint(field.len() as u32);
        let mut from = 0;
        for (at, bytes) in field.splices {
            self.buffer.put_slice(&field.buffer[from..at]);
            self.append(&bytes);
            from = at;
        }
        self.buffer.put_slice(&field.buffer[from..]);
        Ok(())
    }

    fn length(
        &mut self,
        length: Option<usize>,
        most: usize,
        flexible: bool,
        what: &'static str,
        classic: impl FnOnce(&mut Self, i32),
    ) -> Result<(), EncodeError> {
        if let Some(length) = length.filter(|&length| length > most) {
            return Err(EncodeError::TooLong { what, length });
        }
        match (length, flexible) {
            (Some(length), true) => self.uvarint(length as u32 + 1),
            (None, true) => self.uvarint(0),
            (Some(length), false) => classic(self, length as i32),
            (None, false) => classic(self, -1),
        }
        Ok(())
    }

    /// Overwrites four bytes written before any splice: a frame's length.
    pub(super) fn patch_u32(&mut self, at: usize, value: u32) {
        self.buffer[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }

    /// The pieces, in order; together they are the message.
    pub(super) fn into_pieces(mut self) -> Vec<Bytes> {
        let mut pieces = Vec::with_capacity(2 * self.splices.len() + 1);
        let mut taken = 0;
        for (at, bytes) in self.splices {
            if at > taken {
                pieces.push(self.buffer.split_to(at - taken).freeze());
                taken = at;
            }
            pieces.push(bytes);
        }
        if !self.buffer.is_empty() {
            pieces.push(self.buffer.freeze());
        }
        pieces
    }

    /// The message as one contiguous buffer; copies only if something was spliced.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        if self.splices.is_empty() {
            return self.buffer.freeze();
        }
        let mut whole = BytesMut::with_capacity(self.len());
        for piece in self.into_pieces() {
            whole.put_slice(&piece);
        }
        whole.freeze()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn written(write: impl FnOnce(&mut Writer) -> Result<(), EncodeError>) -> Bytes {
        let mut out = Writer::new();
        write(&mut out).unwrap();
        out.into_bytes()
    }

    #[test]
    fn varints_are_as_short_as_they_can_be() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (127, &[0x7f]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xff, 0x7f]),
            (u32::MAX, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            assert_eq!(
                written(|out| {
                    out.uvarint(value);
                    Ok(())
                }),
                bytes
            );
        }
    }

    #[test]
    fn null_and_empty_differ_in_both_forms() {
        assert_eq!(written(|out| out.string(None, false, "s")), &[0xff, 0xff][..]);
        assert_eq!(written(|out| out.string(Some(""), false, "s")), &[0, 0][..]);
        assert_eq!(written(|out| out.string(None, true, "s")), &[0][..]);
        assert_eq!(written(|out| out.string(Some(""), true, "s")), &[1][..]);
        assert_eq!(written(|out| out.bytes(None, false, "b")), &[0xff; 4][..]);
        assert_eq!(written(|out| out.bytes(None, true, "b")), &[0][..]);
    }

    #[test]
    fn a_string_longer_than_its_length_can_say_is_refused() {
        let longest = "x".repeat(32_767);
        for flexible in [false, true] {
            assert_eq!(Writer::new().string(Some(&longest), flexible, "s"), Ok(()));
            let refused = Writer::new().string(Some(&(longest.clone() + "x")), flexible, "s");
            assert_eq!(refused, Err(EncodeError::TooLong { what: "s", length: 32_768 }));
        }
    }

    #[test]
    fn large_bytes_are_spliced_where_they_stand_and_not_copied() {
        let large = Bytes::from(vec![7; SPLICE_FROM]);
        let small = Bytes::from(vec![8; SPLICE_FROM - 1]);
        let mut out = Writer::new();
        out.append(&large);
        out.i8(1);
        out.append(&small);
        out.append(&large);
        out.append(&large);
        out.i8(2);
        assert_eq!(out.len(), 4 * SPLICE_FROM + 1);
        let pieces = out.into_pieces();
        let shape: Vec<usize> = pieces.iter().map(Bytes::len).collect();
        assert_eq!(shape, [SPLICE_FROM, SPLICE_FROM, SPLICE_FROM, SPLICE_FROM, 1]);
        for spliced in [0, 2, 3] {
            assert_eq!(pieces[spliced].as_ptr(), large.as_ptr(), "piece {spliced} is the caller's buffer");
        }
        assert_eq!((pieces[1][0], pieces[1][1], pieces[4][0]), (1, 8, 2));
    }

    #[test]
    fn a_tagged_field_tells_its_length_with_what_is_spliced_into_it() {
        let large = Bytes::from(vec![7; SPLICE_FROM]);
        let mut out = Writer::new();
        out.tagged_count(1);
        out.tagged(3, |out| {
            out.i8(1);
            out.bytes(Some(&large), true, "b")?;
            out.i8(2);
            Ok(())
        })
        .unwrap();
        let length = out.len();
        let bytes = out.into_bytes();
        // Count, tag, a length of two bytes (4,100 = 0x04 | 0x20 << 7), 1, the inner length of two bytes.
        assert_eq!(bytes[..7], [1, 3, 0x84, 0x20, 1, 0x81, 0x20]);
        assert_eq!((bytes.len(), bytes[7], bytes[bytes.len() - 1]), (7 + SPLICE_FROM + 1, 7, 2));
        assert_eq!(length, bytes.len());
    }
}
