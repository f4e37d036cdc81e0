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
    /// The length does not fit what is left, or the bytes are not UTF-8.
    pub fn string(&mut self, flexible: bool, what: &'static str) -> Result<Option<Str>, DecodeError> {
        let claimed = if flexible { i64::from(self.uvarint(what)?) - 1 } else { i64::from(self.i16(what)?) };
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
