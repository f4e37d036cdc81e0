//! Reads Kafka's primitive types from the front of a buffer.

use bytes::{Buf, Bytes};

use super::Str;
use crate::error::DecodeError;
use crate::ids::Uuid;

/// The unread rest of a buffer. Every read checks what is left first; strings and byte strings are
/// slices of the buffer.
#[derive(Clone, Debug)]
pub struct Reader {
    rest: Bytes,
}

macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $get:ident, $size:literal;)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Errors
            /// The input ends before it.
            #[inline]
            pub fn $name(&mut self, what: &'static str) -> Result<$type, DecodeError> {
                self.need($size, what)?;
                Ok(self.rest.$get())
            }
        )*
    };
}

impl Reader {
    /// Reads from the start of `bytes`.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// What is left, unread.
    #[must_use]
    pub fn into_rest(self) -> Bytes {
        self.rest
    }

    #[inline]
    fn need(&self, bytes: usize, what: &'static str) -> Result<(), DecodeError> {
        match bytes.checked_sub(self.rest.len()) {
            None | Some(0) => Ok(()),
            Some(missing) => Err(DecodeError::Truncated { what, missing }),
        }
    }

    fixed! {
        /// One signed byte.
        i8: i8 = get_i8, 1;
        /// Two bytes, big-endian, signed.
        i16: i16 = get_i16, 2;
        /// Two bytes, big-endian, unsigned.
        u16: u16 = get_u16, 2;
        /// Four bytes, big-endian, signed.
        i32: i32 = get_i32, 4;
        /// Four bytes, big-endian, unsigned.
        u32: u32 = get_u32, 4;
        /// Eight bytes, big-endian, signed.
        i64: i64 = get_i64, 8;
        /// An IEEE 754 double, big-endian.
        f64: f64 = get_f64, 8;
    }

    /// One byte; anything but 0 is true.
    ///
    /// # Errors
    /// The input ends before it.
    pub fn bool(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        Ok(self.i8(what)? != 0)
    }

    /// Sixteen bytes.
    ///
    /// # Errors
    /// The input ends before them.
    pub fn uuid(&mut self, what: &'static str) -> Result<Uuid, DecodeError> {
        self.need(16, what)?;
        let mut id = [0; 16];
        self.rest.copy_to_slice(&mut id);
        Ok(Uuid(id))
    }

    /// A variable-length unsigned integer of at most 32 bits.
    ///
    /// # Errors
    /// The input ends before it does, or it has more than 32 bits.
    pub fn uvarint(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            self.need(1, what)?;
            let byte = self.rest.get_u8();
            if shift == 28 && byte > 0x0f {
                return Err(DecodeError::BadVarint { what });
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::BadVarint { what })
    }

    /// The number of elements of an array, `None` for null. Each element takes a byte or more, so a
    /// count above what is left is refused before anything is allocated.
    ///
    /// # Errors
    /// The count is negative beyond null, or too large.
    pub fn count(&mut self, flexible: bool, what: &'static str) -> Result<Option<usize>, DecodeError> {
        let claimed = if flexible { i64::from(self.uvarint(what)?) - 1 } else { i64::from(self.i32(what)?) };
        self.length(claimed, what)
    }

    fn length(&self, claimed: i64, what: &'static str) -> Result<Option<usize>, DecodeError> {
        let available = self.rest.len();
        match usize::try_from(claimed) {
            Ok(length) if length <= available => Ok(Some(length)),
            Err(_) if claimed == -1 => Ok(None),
            _ => Err(DecodeError::BadLength { what, claimed, available }),
        }
    }

    /// An array, `None` for null; `element` reads one element.
    ///
    /// # Errors
    /// The count does not fit what is left, or an element does not.
    pub fn array<T>(
        &mut self,
        flexible: bool,
        what: &'static str,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(count) = self.count(flexible, what)? else { return Ok(None) };
        // The claimed count is trusted only as far as the bytes that are there could fill it.
        let likely = count.min(self.rest.len() / size_of::<T>().max(1) + 1);
        let mut list = Vec::with_capacity(likely.min(count));
        for _ in 0..count {
            list.push(element(self)?);
        }
        Ok(Some(list))
    }

    /// A string, `None` for null.
    ///
    /// # Errors
    /// The length does not fit what is left or is above 32,767, or the bytes are not UTF-8.
    pub fn string(&mut self, flexible: bool, what: &'static str) -> Result<Option<Str>, DecodeError> {
        let claimed = if flexible { i64::from(self.uvarint(what)?) - 1 } else { i64::from(self.i16(what)?) };
        if claimed > i64::from(i16::MAX) {
            // A compact length could say more, but no string of the protocol may be longer.
            return Err(DecodeError::BadLength { what, claimed, available: self.rest.len() });
        }
        let Some(length) = self.length(claimed, what)? else { return Ok(None) };
        Str::from_utf8(self.rest.split_to(length)).map(Some).map_err(|_| DecodeError::NotUtf8 { what })
    }

    /// A byte string or a block of records, `None` for null.
    ///
    /// # Errors
    /// The length does not fit what is left.
    pub fn bytes(&mut self, flexible: bool, what: &'static str) -> Result<Option<Bytes>, DecodeError> {
        let claimed = if flexible { i64::from(self.uvarint(what)?) - 1 } else { i64::from(self.i32(what)?) };
        Ok(self.length(claimed, what)?.map(|length| self.rest.split_to(length)))
    }

    /// The tagged fields at the end of a flexible structure: calls `known` with each tag and a reader
    /// of its bytes; `known` answers whether it knows the tag. Unknown ones are passed over, as
    /// KIP-482 asks.
    ///
    /// # Errors
    /// A length does not fit what is left, or `known` fails.
    pub fn tagged(
        &mut self,
        mut known: impl FnMut(u32, &mut Reader) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        const WHAT: &str = "tagged fields";
        let fields = self.uvarint(WHAT)?;
        for _ in 0..fields {
            let tag = self.uvarint(WHAT)?;
            let claimed = i64::from(self.uvarint(WHAT)?);
            let Some(length) = self.length(claimed, WHAT)? else { continue };
            let mut field = Reader::new(self.rest.split_to(length));
            if known(tag, &mut field)? && field.remaining() > 0 {
                return Err(DecodeError::Trailing { message: WHAT, left: field.remaining() });
            }
        }
        Ok(())
    }
}

/// Takes a value that the protocol never leaves null.
///
/// # Errors
/// It is null.
pub(crate) fn not_null<T>(value: Option<T>, what: &'static str) -> Result<T, DecodeError> {
    value.ok_or(DecodeError::UnexpectedNull { what })
}

/// Takes a value that only some versions may leave null.
///
/// # Errors
/// It is null where it must not be.
pub(crate) fn null_only_if<T>(
    allowed: bool,
    value: Option<T>,
    what: &'static str,
) -> Result<Option<T>, DecodeError> {
    if value.is_none() && !allowed { Err(DecodeError::UnexpectedNull { what }) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn reader(bytes: &'static [u8]) -> Reader {
        Reader::new(Bytes::from_static(bytes))
    }

    #[test]
    fn numbers_are_big_endian() {
        let mut input = reader(&[0xff, 0x80, 0, 0xff, 0xfe, 0x80, 0, 0, 1, 0, 0, 0, 2]);
        assert_eq!(input.i8("a"), Ok(-1));
        assert_eq!(input.i16("b"), Ok(i16::MIN));
        assert_eq!(input.u16("c"), Ok(0xfffe));
        assert_eq!(input.i32("d"), Ok(i32::MIN + 1));
        assert_eq!(input.i64("e"), Err(DecodeError::Truncated { what: "e", missing: 4 }));
        assert_eq!(input.u32("f"), Ok(2), "a failed read takes nothing");
        assert_eq!(reader(&[0x3f, 0xf8, 0, 0, 0, 0, 0, 0]).f64("g"), Ok(1.5));
    }

    #[test]
    fn varints_of_every_length_are_read_and_longer_ones_refused() {
        for (bytes, value) in [
            (&[0x00][..], 0),
            (&[0x7f], 127),
            (&[0x80, 0x01], 128),
            (&[0xff, 0xff, 0x03], 65_535),
            (&[0xff, 0xff, 0xff, 0xff, 0x0f], u32::MAX),
            (&[0x80, 0x80, 0x00], 0),
        ] {
            let mut input = Reader::new(Bytes::copy_from_slice(bytes));
            assert_eq!(input.uvarint("n"), Ok(value));
            assert_eq!(input.remaining(), 0);
        }
        assert_eq!(
            reader(&[0xff, 0xff, 0xff, 0xff, 0x10]).uvarint("n"),
            Err(DecodeError::BadVarint { what: "n" }),
            "33 bits"
        );
        assert_eq!(
            reader(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]).uvarint("n"),
            Err(DecodeError::BadVarint { what: "n" }),
            "six bytes"
        );
        assert_eq!(reader(&[0x80]).uvarint("n"), Err(DecodeError::Truncated { what: "n", missing: 1 }));
    }

    #[test]
    fn strings_and_bytes_borrow_and_tell_null_from_empty() {
        let whole = Bytes::from_static(b"\x00\x02hi\xff\xff\x00\x00\x03hi\x00\x01");
        let mut input = Reader::new(whole.clone());
        let text = input.string(false, "s").unwrap().unwrap();
        assert_eq!(text, "hi");
        assert_eq!(text.as_ptr(), whole[2..].as_ptr(), "no copy");
        assert_eq!(input.string(false, "s"), Ok(None));
        assert_eq!(input.string(false, "s"), Ok(Some(Str::default())));
        assert_eq!(input.string(true, "s"), Ok(Some(Str::from("hi"))));
        assert_eq!(input.string(true, "s"), Ok(None));
        assert_eq!(input.string(true, "s"), Ok(Some(Str::default())));

        assert_eq!(reader(b"\x00\x00\x00\x01x").bytes(false, "b"), Ok(Some(Bytes::from_static(b"x"))));
        assert_eq!(reader(b"\xff\xff\xff\xff").bytes(false, "b"), Ok(None));
        assert_eq!(reader(b"\x00\x01\xff").string(false, "s"), Err(DecodeError::NotUtf8 { what: "s" }));
    }

    #[test]
    fn lengths_beyond_the_input_are_refused() {
        let bad = |claimed, available| Err(DecodeError::BadLength { what: "x", claimed, available });
        assert_eq!(reader(b"\x00\x03hi").string(false, "x"), bad(3, 2));
        assert_eq!(reader(b"\xff\xfehi").string(false, "x"), bad(-2, 2));
        assert_eq!(reader(b"\x04hi").string(true, "x"), bad(3, 2));
        let long = [&[0x81, 0x80, 0x02][..], &[b'x'; 32_768]].concat();
        assert_eq!(Reader::new(long.into()).string(true, "x"), bad(32_768, 32_768), "longer than any may be");
        assert_eq!(reader(b"\x7f\xff\xff\xff").bytes(false, "x").map(drop), bad(0x7fff_ffff, 0).map(drop));
        assert_eq!(
            reader(b"\x80\x00\x00\x00").count(false, "x").map(drop),
            bad(i32::MIN.into(), 0).map(drop)
        );
    }

    /// A list's count may at most be the bytes that are left; and room is made only for what they could hold.
    #[test]
    fn a_hostile_count_allocates_nothing() {
        let input = [&[0x7f, 0xff, 0xff, 0xff][..], &[0; 64]].concat();
        let read = Reader::new(input.into()).array(false, "x", |input| input.i8("y"));
        assert_eq!(read, Err(DecodeError::BadLength { what: "x", claimed: 0x7fff_ffff, available: 64 }));

        let input = [&[0, 0, 0x10, 0][..], &[0; 4096]].concat();
        let used = allocation_counter::measure(|| {
            let read = Reader::new(input.into())
                .array::<[i64; 64]>(false, "x", |input| input.uuid("y").map(|_| [0; 64]));
            assert!(matches!(read, Err(DecodeError::Truncated { missing: 16, .. })), "{:?}", read.map(drop));
        });
        // 256 elements of 512 bytes were read; 4,096 of them would be two megabytes.
        assert!(used.bytes_max < 1 << 19, "{} bytes", used.bytes_max);
    }

    #[test]
    fn unknown_tags_are_passed_over_and_known_ones_must_be_read_to_the_end() {
        // Two fields: tag 5 with one byte, tag 200 with two.
        let bytes = b"\x02\x05\x01\x07\xc8\x01\x02\x00\x09rest";
        let mut seen = Vec::new();
        let mut input = reader(bytes);
        input
            .tagged(|tag, field| {
                seen.push((tag, field.remaining()));
                Ok(tag == 5 && field.i8("five")? == 7)
            })
            .unwrap();
        assert_eq!(seen, [(5, 1), (200, 2)]);
        assert_eq!(input.into_rest(), "rest");

        let refused = reader(bytes).tagged(|_, _| Ok(true));
        assert_eq!(refused, Err(DecodeError::Trailing { message: "tagged fields", left: 1 }));
        let refused = reader(b"\x01\x00\x05ab").tagged(|_, _| Ok(false));
        assert_eq!(refused, Err(DecodeError::BadLength { what: "tagged fields", claimed: 5, available: 2 }));
        let refused = reader(b"\xff\xff\xff\xff\x0f").tagged(|_, _| Ok(false));
        assert_eq!(
            refused,
            Err(DecodeError::Truncated { what: "tagged fields", missing: 1 }),
            "4 billion fields"
        );
    }
}
