//! Why bytes could not be read, or a value could not be written. Kafka's own error codes are
//! [`ErrorCode`].

mod code;

pub use code::ErrorCode;

/// Bytes that do not hold what they should. Whoever sent them is broken or hostile: the connection
/// they came from is closed, nothing is guessed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ends before the value does.
    #[error("input ends {missing} bytes early while reading {what}")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// How many more bytes it needs.
        missing: usize,
    },
    /// A length or count is negative, or larger than what is left could hold.
    #[error("{what} claims {claimed}, only {available} bytes are left")]
    BadLength {
        /// What was being read.
        what: &'static str,
        /// The length or count that the bytes claim.
        claimed: i64,
        /// The bytes that are left.
        available: usize,
    },
    /// A string is not UTF-8.
    #[error("{what} is not UTF-8")]
    NotUtf8 {
        /// What was being read.
        what: &'static str,
    },
    /// A variable-length integer runs past its last byte.
    #[error("variable-length integer too long in {what}")]
    BadVarint {
        /// What was being read.
        what: &'static str,
    },
    /// A null stands where the protocol has none.
    #[error("{what} is null, which it must not be")]
    UnexpectedNull {
        /// What was being read.
        what: &'static str,
    },
    /// The version is none that this message has.
    #[error("{message} has no version {version}")]
    UnknownVersion {
        /// The message's name.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// The bytes go on after the message has ended.
    #[error("{left} bytes left over after {message}")]
    Trailing {
        /// The message's name.
        message: &'static str,
        /// How many bytes are left.
        left: usize,
    },
}

/// A value that the chosen version cannot carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The version is none that this message has.
    #[error("{message} has no version {version}")]
    UnknownVersion {
        /// The message's name.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// The field is set, and this version has no place for it.
    #[error("{message} version {version} cannot carry {field}")]
    Unsupported {
        /// The message's name.
        message: &'static str,
        /// The field that is set.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// The field is null, and this version has no null there.
    #[error("{message} version {version} cannot carry a null {field}")]
    Null {
        /// The message's name.
        message: &'static str,
        /// The field that is null.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A string, byte string or array is longer than its length field can say.
    #[error("{what} of {length} is too long for the protocol")]
    TooLong {
        /// What was being written.
        what: &'static str,
        /// Its length in bytes or elements.
        length: usize,
    },
}
