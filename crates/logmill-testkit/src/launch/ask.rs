//! One request to a broker, one answer, on a connection of its own: as much of a client as launching needs.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use logmill_protocol::wire::{Request, frame_length, read_response, request_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A broker that takes longer for such small requests is not ready.
const PATIENCE: Duration = Duration::from_secs(10);
/// Answers are a few kilobytes.
const MOST: usize = 1 << 24;

/// Sends the request in the given version and reads the answer.
pub(super) async fn ask<R: Request>(address: &str, version: i16, request: &R) -> io::Result<R::Response> {
    let exchange = async {
        let frame = request_frame(request, version, 1, None).map_err(io::Error::other)?;
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&frame.to_bytes()).await?;
        let mut head = [0; 4];
        stream.read_exact(&mut head).await?;
        let mut body = BytesMut::zeroed(frame_length(head, MOST).map_err(io::Error::other)?);
        stream.read_exact(&mut body).await?;
        let (_, response) = read_response::<R>(body.freeze(), version).map_err(io::Error::other)?;
        Ok(response)
    };
    tokio::time::timeout(PATIENCE, exchange).await?
}
