//! The names of things, shared by every module: topic ids, partitions, and the tokens that tell one
//! lease or one incarnation of a partition from another.

mod partition;

use std::fmt;
use std::str::FromStr;

pub use partition::{BadPartitionKey, Lane, MAX_LANES, Partition, PartitionKey};

/// An offset in a partition's log. Kafka numbers records from 0; logmill accepts up to
/// [`MAX_OFFSET`].
pub type Offset = i64;

/// The largest offset the work queue plans: 2^53 − 1, the largest integer that Redis' Lua numbers
/// hold exactly.
pub const MAX_OFFSET: Offset = (1 << 53) - 1;

/// A 128-bit identity that Kafka gives to a topic (KIP-516). All zero where the broker has none.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// The absent id: brokers before 2.8 do not name topics by id.
    pub const ZERO: Self = Self([0; 16]);

    /// Whether this is [`Uuid::ZERO`].
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }
}

const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// URL-safe base64 without padding, 22 characters, as Kafka prints topic ids.
impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        for digit in 0..22 {
            // 128 bits are 21 digits of six bits and a last one of two.
            let index = if digit < 21 { (bits >> (122 - 6 * digit)) & 63 } else { (bits & 3) << 4 };
            fmt::Write::write_char(f, char::from(BASE64_URL[index as usize]))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a topic id: 22 characters of URL-safe base64 are expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a topic id: expected 22 characters of URL-safe base64")]
pub struct BadUuid;

impl FromStr for Uuid {
    type Err = BadUuid;

    fn from_str(text: &str) -> Result<Self, BadUuid> {
        let mut bits = 0u128;
        if text.len() != 22 {
            return Err(BadUuid);
        }
        for (digit, byte) in text.bytes().enumerate() {
            let value = BASE64_URL.iter().position(|&c| c == byte).ok_or(BadUuid)? as u128;
            if digit < 21 {
                bits = (bits << 6) | value;
            } else if value & 15 == 0 {
                bits = (bits << 2) | (value >> 4);
            } else {
                return Err(BadUuid);
            }
        }
        Ok(Self(bits.to_be_bytes()))
    }
}

macro_rules! token {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

token! {
    /// Which incarnation of a partition's state this is. It is raised in Kafka, in the commit's
    /// metadata, before the store is rebuilt or rewound, so what belongs to an older one is refused.
    /// 0 is a commit that logmill did not write. At most 2^53 − 1.
    Generation(u64)
}
token! {
    /// A random number drawn when a partition's state is built in a store. It tells a rebuilt store
    /// from the one that was lost even where the generation is the same. At most 2^53 − 1.
    Boot(u64)
}

/// A random number drawn for each take. A settle must show it, so that a lease that was lost, or
/// that a failover undid, never matches another's.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nonce(pub u128);

/// 32 hexadecimal digits.
impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Nonce {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_ids_print_as_kafka_prints_them_and_read_back() {
        let id = Uuid(*b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f");
        assert_eq!(id.to_string(), "AAECAwQFBgcICQoLDA0ODw");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!("AAECAwQFBgcICQoLDA0OD_".parse::<Uuid>(), Err(BadUuid));
        assert_eq!("short".parse::<Uuid>(), Err(BadUuid));
    }
}
