//! Records out of a stream of bytes, one after each other, in bounded memory.

use std::io;

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How much is read at once. A record is a slice of what was read, not a copy.
const READ: usize = 256 * 1024;

/// Reads records that end in a delimiter; the last one may end with the stream.
#[derive(Debug)]
pub(crate) struct Records<R> {
    from: R,
    delimiter: Finder<'static>,
    longest: usize,
    buffer: BytesMut,
    /// Up to here there is no delimiter.
    searched: usize,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Records<R> {
    /// What is longer than `longest` is no record.
    ///
    /// # Errors
    /// The delimiter is empty.
    pub(crate) fn new(from: R, delimiter: &[u8], longest: usize) -> Result<Self, String> {
        if delimiter.is_empty() {
            return Err("the delimiter (-D) is empty".to_owned());
        }
        let delimiter = Finder::new(delimiter).into_owned();
        Ok(Self { from, delimiter, longest, buffer: BytesMut::new(), searched: 0, ended: false })
    }

    /// Lines, each a record.
    pub(crate) fn lines(from: R, longest: usize) -> Self {
        let delimiter = Finder::new(b"\n").into_owned();
        Self { from, delimiter, longest, buffer: BytesMut::new(), searched: 0, ended: false }
    }

    /// The next record, without its delimiter; `None` at the end. An empty line is an empty record; nothing
    /// after the last delimiter is none.
    ///
    /// # Errors
    /// Reading failed, or a record is too long.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let width = self.delimiter.needle().len();
        loop {
            if let Some(at) = self.delimiter.find(&self.buffer[self.searched..]) {
                let record = self.buffer.split_to(self.searched + at).freeze();
                let _ = self.buffer.split_to(width);
                self.searched = 0;
                return Ok(Some(record));
            }
            // The next read may complete a delimiter that has begun.
            self.searched = self.buffer.len().saturating_sub(width - 1);
            if self.ended {
                let rest = self.buffer.split().freeze();
                self.searched = 0;
                return Ok(Some(rest).filter(|rest| !rest.is_empty()));
            }
            if self.buffer.len() > self.longest {
                let problem = format!("more than {} MiB without a delimiter", self.longest >> 20);
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
            self.buffer.reserve(READ);
            self.ended = self.from.read_buf(&mut self.buffer).await? == 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: usize = 1 << 20;

    /// Gives its bytes one at a time.
    struct Slow<'a>(&'a [u8]);

    impl AsyncRead for Slow<'_> {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            if let Some((first, rest)) = self.0.split_first() {
                buffer.put_slice(&[*first]);
                self.0 = rest;
            }
            std::task::Poll::Ready(Ok(()))
        }
    }

    async fn all(from: impl AsyncRead + Unpin, delimiter: &str) -> Vec<String> {
        let mut got = Vec::new();
        if let Ok(mut records) = Records::new(from, delimiter.as_bytes(), LONGEST) {
            while let Ok(Some(record)) = records.next().await {
                got.push(String::from_utf8_lossy(&record).into_owned());
            }
        }
        got
    }

    #[tokio::test]
    async fn lines_are_records_and_the_last_needs_no_end() {
        assert_eq!(all(&b"a\n\nb"[..], "\n").await, ["a", "", "b"]);
        assert_eq!(all(&b"a\nb\n"[..], "\n").await, ["a", "b"]);
        assert_eq!(all(&b""[..], "\n").await, [""; 0]);
    }

    #[tokio::test]
    async fn a_long_delimiter_may_come_in_pieces() {
        assert_eq!(all(Slow(b"a::b:c::"), "::").await, ["a", "b:c"]);
        assert_eq!(all(Slow(b"a:::b"), "::").await, ["a", ":b"]);
    }

    #[tokio::test]
    async fn a_record_without_end_is_refused() {
        let mut records = Records::lines(tokio::io::repeat(b'x'), LONGEST);
        assert!(records.next().await.is_err_and(|error| error.to_string().contains("1 MiB")));
    }
}
