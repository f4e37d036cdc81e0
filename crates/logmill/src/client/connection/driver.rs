//! The task behind a connection: writes what is queued, reads what comes, ends it when either fails.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use logmill_protocol::wire::{Frame, frame_length};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::Instant;

use super::state::Shared;
use crate::client::transport::Stream;
use crate::error::{Error, Result};

/// Room for answers that are not record batches; one read takes several of them.
const SMALL_READ: usize = 8 << 10;

/// Serves a connection until it ends.
pub(super) async fn run(shared: Arc<Shared>, stream: Box<dyn Stream>) {
    let (reader, writer) = tokio::io::split(stream);
    let end = tokio::select! {
        biased;
        () = shared.ended.notified() => return,
        end = read(&shared, reader) => end,
        end = write(&shared, writer) => end,
    };
    tracing::debug!(broker = %shared.address, reason = %end, "connection ended");
    shared.close(&end);
}

async fn write(shared: &Shared, mut writer: WriteHalf<Box<dyn Stream>>) -> Error {
    let mut waiting = Vec::new();
    loop {
        shared.queued.notified().await;
        let throttled = shared.throttled_until();
        if throttled > Instant::now() {
            tokio::time::sleep_until(throttled).await;
        }
        let mut burst = Burst::default();
        for outgoing in shared.take_queue() {
            burst.frames.push_back(outgoing.frame);
            waiting.extend(outgoing.written);
        }
        let done = async {
            writer.write_all_buf(&mut burst).await?;
            writer.flush().await
        };
        if let Err(error) = done.await {
            return shared.lost(None, &error.to_string(), true);
        }
        for (written, _place) in waiting.drain(..) {
            let _ = written.send(Ok(()));
        }
    }
}

async fn read(shared: &Shared, mut reader: ReadHalf<Box<dyn Stream>>) -> Error {
    let mut buffer = BytesMut::with_capacity(SMALL_READ);
    let mut alarm = pin!(tokio::time::sleep_until(Instant::now()));
    loop {
        loop {
            match next_frame(shared, &mut buffer) {
                Ok(Some(frame)) => {
                    if let Err(error) = shared.answer(frame) {
                        return error;
                    }
                }
                Ok(None) => break,
                Err(error) => return error,
            }
        }
        tokio::select! {
            biased;
            // Reading comes first: after a pause of the whole process, what has arrived counts.
            outcome = reader.read_buf(&mut buffer) => match outcome {
                Ok(0) => return shared.lost(None, "the broker closed it", true),
                Ok(_) => continue,
                Err(error) => return shared.lost(None, &error.to_string(), true),
            },
            () = shared.sooner.notified() => {}
            () = &mut alarm => {}
        }
        match shared.next_alarm() {
            Ok(at) => alarm.as_mut().reset(at),
            Err(error) => return error,
        }
    }
}

/// Takes a whole frame off the buffer, without its length; if there is none yet, makes room for the
/// rest of it.
fn next_frame(shared: &Shared, buffer: &mut BytesMut) -> Result<Option<Bytes>> {
    let Some(&head) = buffer.first_chunk::<4>() else {
        buffer.reserve(SMALL_READ);
        return Ok(None);
    };
    let length = frame_length(head, shared.frame_limit).map_err(|error| not_kafka(shared, head, &error))?;
    if let Some(missing @ 1..) = (4 + length).checked_sub(buffer.len()) {
        // Room for the whole frame at once: what has been read of it is copied here at most, and that
        // is no more than one small read.
        buffer.reserve(missing);
        return Ok(None);
    }
    buffer.advance(4);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// Says what speaks when it is not Kafka.
fn not_kafka(shared: &Shared, head: [u8; 4], error: &dyn std::fmt::Display) -> Error {
    let what = match &head {
        b"HTTP" => "an HTTP server answers there; give the broker's port (often 9092)",
        [0x15 | 0x16, 0x03, ..] => "it speaks TLS; give the plaintext listener's port",
        b"-ERR" => "a Redis server answers there; give the broker's port (often 9092)",
        b"SSH-" => "an SSH server answers there; give the broker's port (often 9092)",
        _ => return shared.garbage(None, &format!("{error}; receive.message.max.bytes allows more")),
    };
    Error::NotKafka { address: shared.address.clone(), what: what.to_owned() }
}

/// Several frames as one buffer, so that one system call writes them all.
#[derive(Default)]
struct Burst {
    frames: VecDeque<Frame>,
}

impl Buf for Burst {
    fn remaining(&self) -> usize {
        self.frames.iter().map(Frame::remaining).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.frames.front().map_or(&[], Frame::chunk)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for frame in &self.frames {
            if filled == slices.len() {
                break;
            }
            filled += frame.chunks_vectored(&mut slices[filled..]);
        }
        filled
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(front) = self.frames.front_mut() {
            let step = count.min(front.remaining());
            front.advance(step);
            count -= step;
            if front.has_remaining() {
                return;
            }
            self.frames.pop_front();
        }
    }
}
