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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
    use crate::messages::metadata::MetadataRequest;
    use crate::messages::sasl_authenticate::SaslAuthenticateRequest;

    #[test]
    fn a_length_is_refused_before_anything_is_allocated_for_it() {
        assert_eq!(frame_length([0, 0, 1, 0], 256), Ok(256));
        for (head, claimed) in [([0, 0, 1, 1], 257), ([0xff; 4], -1), ([0x7f, 0xff, 0xff, 0xff], 0x7fff_ffff)]
        {
            let refused = frame_length(head, 256);
            assert_eq!(refused, Err(DecodeError::BadLength { what: "frame", claimed, available: 256 }));
        }
    }

    #[test]
    fn headers_have_the_layout_of_their_version() {
        let client = Str::from("me");
        let classic = request_frame(&MetadataRequest::default(), 1, 7, Some(&client)).unwrap().to_bytes();
        assert_eq!(classic[..], *b"\0\0\0\x10\0\x03\0\x01\0\0\0\x07\0\x02me\0\0\0\0");
        let nameless = request_frame(&MetadataRequest::default(), 1, 7, None).unwrap().to_bytes();
        assert_eq!(nameless[..], *b"\0\0\0\x0e\0\x03\0\x01\0\0\0\x07\xff\xff\0\0\0\0");
        // Flexible: tagged fields after the client id, whose own length stays two bytes (KIP-482).
        let flexible = request_frame(&ApiVersionsRequest::default(), 3, 7, Some(&client)).unwrap().to_bytes();
        assert_eq!(flexible[..], *b"\0\0\0\x10\0\x12\0\x03\0\0\0\x07\0\x02me\0\x01\x01\0");
    }

    /// KIP-511: a client that asked in a version the broker lacks must be able to read the answer.
    #[test]
    fn the_answer_to_api_versions_never_has_a_flexible_header() {
        let response = ApiVersionsResponse { error_code: 35, ..Default::default() };
        let frame = response_frame::<ApiVersionsRequest>(&response, 3, 9).unwrap().to_bytes();
        assert_eq!(frame[..], *b"\0\0\0\x0c\0\0\0\x09\0\x23\x01\0\0\0\0\0");
        let read = read_response::<ApiVersionsRequest>(frame.slice(4..), 3);
        assert_eq!(read, Ok((9, response)));
    }

    #[test]
    fn a_request_of_an_unknown_api_still_shows_its_header() {
        let mut input = Reader::new(Bytes::from_static(b"\x03\xe7\0\x63\0\0\0\x05\0\x01xrest"));
        let header = read_request_header(&mut input).unwrap();
        assert_eq!((header.request_api_key, header.request_api_version, header.correlation_id), (999, 99, 5));
        assert_eq!(input.into_rest(), "rest");
    }

    #[test]
    fn a_frame_is_sent_in_pieces_from_any_point() {
        let request = SaslAuthenticateRequest { auth_bytes: Bytes::from(vec![9; 5000]) };
        let frame = request_frame(&request, 1, 1, None).unwrap();
        let whole = frame.clone().to_bytes();
        let mut slices = [IoSlice::new(&[]); 8];
        assert_eq!(frame.chunks_vectored(&mut slices), 2, "what precedes the bytes, and the bytes");
        assert_eq!(slices[1].as_ptr(), request.auth_bytes.as_ptr(), "not copied");
        for step in [1, 7, 18, 19, 4096, whole.len()] {
            let (mut rest, mut sent) = (frame.clone(), Vec::new());
            while rest.has_remaining() {
                let now = step.min(rest.remaining());
                sent.extend_from_slice(&rest.copy_to_bytes(now));
                assert_eq!(rest.remaining(), whole.len() - sent.len());
            }
            assert_eq!(sent, whole, "steps of {step}");
        }
        let mut one = [IoSlice::new(&[])];
        assert_eq!(frame.chunks_vectored(&mut one), 1, "never more than there is room for");
    }
}
