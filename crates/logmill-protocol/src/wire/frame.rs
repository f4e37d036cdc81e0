//! Frames: a four-byte length, a header, a message.

use std::io::IoSlice;

use bytes::{Buf, Bytes};

use super::{Message, Reader, Request, Str, Writer};
use crate::error::{DecodeError, EncodeError};
use crate::messages::ApiKey;
use crate::messages::header::{RequestHeader, ResponseHeader};

/// A frame ready to be sent: its pieces in order, of which record batches are not copies. A
/// [`Buf`] whose `chunks_vectored` gives all pieces, so one vectored write sends it.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    pieces: std::collections::VecDeque<Bytes>,
}

impl Frame {
    /// The frame as one buffer, copied.
    #[must_use]
    pub fn to_bytes(mut self) -> Bytes {
        self.copy_to_bytes(self.remaining())
    }
}

impl Buf for Frame {
    fn remaining(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| &piece[..])
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let Some(front) = self.pieces.front_mut() else { return };
            let step = count.min(front.len());
            front.advance(step);
            count -= step;
            if front.is_empty() {
                self.pieces.pop_front();
            }
        }
    }
}

/// The length that a frame's first four bytes announce, checked against `limit` (bytes) before
/// anything is allocated for it.
///
/// # Errors
/// It is negative or above the limit.
pub fn frame_length(head: [u8; 4], limit: usize) -> Result<usize, DecodeError> {
    let claimed = i32::from_be_bytes(head);
    match usize::try_from(claimed) {
        Ok(length) if length <= limit => Ok(length),
        _ => Err(DecodeError::BadLength { what: "frame", claimed: claimed.into(), available: limit }),
    }
}

fn frame(write: impl FnOnce(&mut Writer) -> Result<(), EncodeError>) -> Result<Frame, EncodeError> {
    let mut out = Writer::new();
    out.u32(0);
    write(&mut out)?;
    let length = out.len() - 4;
    let announced = i32::try_from(length).map_err(|_| EncodeError::TooLong { what: "frame", length })?;
    out.patch_u32(0, announced as u32);
    Ok(Frame { pieces: out.into_pieces().into() })
}

/// A request's header version: 2 where the request is flexible, else 1.
const fn request_header_version(flexible: bool) -> i16 {
    if flexible { 2 } else { 1 }
}

/// A response's header version: 1 where the response is flexible, else 0. ApiVersions always has 0,
/// so that a client can read it before it knows what the broker speaks (KIP-511).
const fn response_header_version(key: ApiKey, flexible: bool) -> i16 {
    if flexible && !matches!(key, ApiKey::ApiVersions) { 1 } else { 0 }
}

/// A whole request, length and header included.
///
/// # Errors
/// The version cannot carry the request.
pub fn request_frame<R: Request>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: Option<&Str>,
) -> Result<Frame, EncodeError> {
    frame(|out| {
        let header = RequestHeader {
            request_api_key: R::KEY as i16,
            request_api_version: version,
            correlation_id,
            client_id: client_id.cloned(),
        };
        header.encode(out, request_header_version(R::is_flexible(version)))?;
        request.encode(out, version)
    })
}

/// A whole response to a request of type `R`, length and header included.
///
/// # Errors
/// The version cannot carry the response.
pub fn response_frame<R: Request>(
    response: &R::Response,
    version: i16,
    correlation_id: i32,
) -> Result<Frame, EncodeError> {
    frame(|out| {
        let header = ResponseHeader { correlation_id };
        header.encode(out, response_header_version(R::KEY, R::is_flexible(version)))?;
        response.encode(out, version)
    })
}

/// Reads a response to a request of type `R` from a frame's bytes (the length already taken off).
///
/// # Errors
/// The bytes do not hold such a response.
pub fn read_response<R: Request>(frame: Bytes, version: i16) -> Result<(i32, R::Response), DecodeError> {
    let mut input = Reader::new(frame);
    let header_version = response_header_version(R::KEY, R::is_flexible(version));
    let header = ResponseHeader::decode(&mut input, header_version)?;
    let response = R::Response::decode(&mut input, version)?;
    match input.remaining() {
        0 => Ok((header.correlation_id, response)),
        left => Err(DecodeError::Trailing { message: R::Response::NAME, left }),
    }
}

/// Reads the header of a request from a frame's bytes (the length already taken off), and leaves the
/// reader at the request itself. `flexible` tells whether the request of that key and version is
/// flexible; see [`ApiKey::is_flexible`].
///
/// # Errors
/// The bytes do not hold a header.
pub fn read_request_header(input: &mut Reader) -> Result<RequestHeader, DecodeError> {
    // Key, version and correlation id stand first in every header version.
    let mut peek = input.clone();
    let key = peek.i16("api key")?;
    let version = peek.i16("api version")?;
    let flexible = ApiKey::try_from(key).is_ok_and(|key| key.is_flexible(version));
    RequestHeader::decode(input, request_header_version(flexible))
}

/// The correlation id of a response frame, before anything else of it is read.
///
/// # Errors
/// The frame is shorter than four bytes.
pub fn correlation_id(frame: &Bytes) -> Result<i32, DecodeError> {
    Reader::new(frame.clone()).i32("correlation id")
}
