//! Cuts a stream of bytes into frames.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use logmill_protocol::wire::frame_length;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How much is read at once, in bytes.
const READ: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Frames {
    buffer: BytesMut,
    limit: usize,
}

impl Frames {
    /// `limit`: the largest frame accepted, in bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), limit }
    }

    /// The next frame without its length, or `None` at the end of the stream. Memory is taken as the
    /// bytes arrive, never by what a length claims.
    pub(crate) async fn next(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(&head) = self.buffer.first_chunk::<4>() {
                let length = frame_length(head, self.limit)
                    .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
                if self.buffer.len() >= 4 + length {
                    self.buffer.advance(4);
                    return Ok(Some(self.buffer.split_to(length).freeze()));
                }
            }
            // Growing at least doubles, so a large frame is moved a few times at most.
            self.buffer.reserve(READ);
            if stream.read_buf(&mut self.buffer).await? == 0 {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }
}
