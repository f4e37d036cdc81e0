//! Every message in every version: it comes back as it was sent, hostile bytes do no harm, and another
//! implementation writes the same bytes.

#![allow(clippy::unwrap_used)]

mod differential;
mod frames;
mod hostile;
mod random;
mod round_trip;
mod sample;

use bytes::Bytes;
use logmill_protocol::error::{DecodeError, EncodeError};
use logmill_protocol::wire::{Message, Reader, Writer};

fn encode<M: Message>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let mut out = Writer::new();
    message.encode(&mut out, version)?;
    let length = out.len();
    let bytes = out.into_bytes();
    assert_eq!(bytes.len(), length, "{} version {version}: the length told beforehand", M::NAME);
    Ok(bytes)
}

/// Reads a message that must fill `bytes`.
fn decode<M: Message>(bytes: &Bytes, version: i16) -> Result<M, DecodeError> {
    let mut input = Reader::new(bytes.clone());
    let message = M::decode(&mut input, version)?;
    match input.remaining() {
        0 => Ok(message),
        left => Err(DecodeError::Trailing { message: M::NAME, left }),
    }
}
