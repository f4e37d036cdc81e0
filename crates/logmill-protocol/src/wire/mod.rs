//! Kafka's wire format: primitive types, frames, headers. The messages themselves are in
//! [`messages`](crate::messages).

mod frame;
mod reader;
mod text;
mod writer;

pub use frame::{
    Frame, correlation_id, frame_length, read_request_header, read_response, request_frame, response_frame,
};
pub use reader::Reader;
pub(crate) use reader::{not_null, null_only_if};
pub use text::Str;
pub use writer::Writer;

use crate::error::{DecodeError, EncodeError};
use crate::messages::ApiKey;

/// One request, response, header or data block of Kafka's protocol.
pub trait Message: Clone + std::fmt::Debug + Default + PartialEq + Sized {
    /// Its name in Kafka's definitions.
    const NAME: &'static str;
    /// The oldest version there is.
    const MIN: i16;
    /// The newest version there is.
    const MAX: i16;

    /// Whether the version is flexible: compact lengths and tagged fields (KIP-482).
    #[must_use]
    fn is_flexible(version: i16) -> bool;

    /// For how many milliseconds a response asks its reader to send nothing more on this connection
    /// (KIP-219). 0 if it has no such field.
    #[must_use]
    fn throttle_time_ms(&self) -> i32 {
        0
    }

    /// Appends the message as `version` has it.
    ///
    /// # Errors
    /// The version does not exist, or has no place for a field that is set.
    fn encode(&self, out: &mut Writer, version: i16) -> Result<(), EncodeError>;

    /// Reads the message as `version` has it. Strings and bytes borrow from the input's buffer.
    /// Memory in use at any moment is at most 128 times the bytes given, and 1 KiB: the dearest message, a list
    /// of groups without names, takes 116 (a group of three bytes is four strings in a list that just grew).
    ///
    /// # Errors
    /// The version does not exist, or the bytes do not hold such a message.
    fn decode(input: &mut Reader, version: i16) -> Result<Self, DecodeError>;
}

/// A message that a client sends, and the one that answers it.
pub trait Request: Message {
    /// Which API it belongs to.
    const KEY: ApiKey;
    /// What the broker answers.
    type Response: Message;
}
