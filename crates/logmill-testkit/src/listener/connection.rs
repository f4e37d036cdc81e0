//! One client's connection: frames in, frames out, until either side ends it.

use std::io;
use std::sync::Arc;

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Shared;
use super::exchange::{Reply, exchange};
use super::frames::Frames;
use crate::api::Origin;

/// Serves a connection until the client closes it, the broker crashes or the cluster is dropped.
pub(crate) async fn serve<S>(shared: Arc<Shared>, origin: Origin, stream: S)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let broker = origin.broker;
    let Some(life) = shared.life(broker) else { return };
    if !shared.lock().state.brokers.is_up(broker) {
        return;
    }
    let host = origin.host.clone();
    let ended = tokio::select! {
        biased;
        () = life.cancelled() => return,
        ended = frames(&shared, origin, stream) => ended,
    };
    match ended {
        Ok(None) => {}
        Ok(Some(why)) => tracing::debug!(broker, %host, why, "connection closed"),
        Err(error) => tracing::debug!(broker, %host, %error, "connection lost"),
    }
}

/// Serves frame after frame. Gives the reason if the broker closes the connection.
async fn frames<S>(
    shared: &Arc<Shared>,
    mut origin: Origin,
    mut stream: S,
) -> io::Result<Option<&'static str>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let mut frames = Frames::new(shared.frame_limit);
    while let Some(frame) = frames.next(&mut stream).await? {
        match exchange(shared, &mut origin, frame).await {
            Reply::Frame(mut frame) => {
                while frame.has_remaining() {
                    stream.write_buf(&mut frame).await?;
                }
                stream.flush().await?;
            }
            Reply::Raw { bytes, close } => {
                stream.write_all(&bytes).await?;
                stream.flush().await?;
                if close {
                    return Ok(Some("a fault asked for"));
                }
            }
            Reply::Nothing => {}
            Reply::Hang => return swallow(&mut stream).await,
            Reply::Close(why) => return Ok(Some(why)),
        }
    }
    Ok(None)
}

/// Reads and forgets whatever the client still sends.
async fn swallow(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<&'static str>> {
    let mut void = [0; 1024];
    while stream.read(&mut void).await? > 0 {}
    Ok(None)
}
