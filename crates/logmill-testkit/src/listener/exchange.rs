//! One request: decoded, struck by a fault if a test asked for one, served, answered.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::api_versions::ApiVersionsRequest;
use logmill_protocol::wire::{Frame, Reader, read_request_header, response_frame};

use super::{Shared, World};
use crate::api::{Answer, Call, Origin, Serve, Visitor, dispatch, unsupported_api_versions, versions};
use crate::faults::Fault;
use crate::state::wakes::Ticket;

/// What becomes of the connection after a request.
#[derive(Debug)]
pub(crate) enum Reply {
    Frame(Frame),
    /// These bytes as they are, and then the connection is closed if `close`.
    Raw {
        bytes: Bytes,
        close: bool,
    },
    /// The client wants no answer.
    Nothing,
    /// No answer ever; the connection stays open.
    Hang,
    Close(&'static str),
}

/// Serves one frame.
pub(crate) async fn exchange(shared: &Arc<Shared>, origin: &mut Origin, frame: Bytes) -> Reply {
    let mut input = Reader::new(frame);
    let Ok(header) = read_request_header(&mut input) else { return Reply::Close("no request header") };
    let Ok(api) = ApiKey::try_from(header.request_api_key) else { return Reply::Close("unknown API") };
    let version = header.request_api_version;
    let correlation = header.correlation_id;
    {
        let world = shared.lock();
        if !versions(&world.state, api).is_some_and(|served| served.contains(&version)) {
            if api != ApiKey::ApiVersions {
                return Reply::Close("a version that was not announced");
            }
            let answer = unsupported_api_versions(&world.state);
            return frame_or_close::<ApiVersionsRequest>(&answer, 0, correlation);
        }
    }
    if let Some(client_id) = header.client_id {
        origin.client_id = client_id;
    }
    let one = One { shared, origin, input, version, correlation };
    dispatch(api, one).await.unwrap_or(Reply::Close("an API that is not served"))
}

/// A request whose type is about to be known.
struct One<'a> {
    shared: &'a Arc<Shared>,
    origin: &'a Origin,
    input: Reader,
    version: i16,
    correlation: i32,
}

impl Visitor for One<'_> {
    type Out = Reply;

    async fn visit<R: Serve + Send + Sync>(mut self) -> Reply {
        let Ok(request) = R::decode(&mut self.input, self.version) else {
            return Reply::Close("a request that cannot be decoded");
        };
        if self.input.remaining() > 0 {
            return Reply::Close("bytes after a request");
        }
        let fault = self.shared.lock().faults.request(R::KEY, self.origin.broker);
        match &fault {
            Some(Fault::Error(code)) => return self.answer::<R>(&request, &request.refuse(*code)),
            Some(Fault::Disconnect) => return Reply::Close("a fault asked for"),
            Some(Fault::Hang) => return Reply::Hang,
            Some(Fault::Garbage(bytes)) => return Reply::Raw { bytes: bytes.clone(), close: false },
            Some(Fault::Delay(time)) => tokio::time::sleep(*time).await,
            _ => {}
        }
        let answer = {
            let response = self.serve(&request).await;
            self.answer(&request, &response)
        };
        match fault {
            Some(Fault::ApplyThenError(code)) => self.answer(&request, &request.refuse(code)),
            Some(Fault::ApplyThenDisconnect) => Reply::Close("a fault asked for"),
            Some(Fault::ApplyThenHang) => Reply::Hang,
            Some(Fault::ApplyThenDelay(time)) => {
                tokio::time::sleep(time).await;
                answer
            }
            Some(Fault::CutShort) => damaged(answer, |bytes| {
                bytes.truncate(bytes.len() / 2);
                true
            }),
            Some(Fault::FlipBit) => damaged(answer, |bytes| {
                // The frame's length and the correlation id stay right.
                let bit = self.shared.lock().state.random.below(8 * bytes.len().saturating_sub(8));
                if let Some(byte) = bytes.get_mut(8 + bit / 8) {
                    *byte ^= 1 << (bit % 8);
                }
                false
            }),
            _ => answer,
        }
    }
}

impl One<'_> {
    /// Asks the request again and again until it has its answer.
    async fn serve<R: Serve>(&self, request: &R) -> R::Response {
        let mut memo = R::Memo::default();
        request.prepare(&mut memo);
        loop {
            let (until, waiting) = {
                let mut world = self.shared.lock();
                let World { state, faults } = &mut *world;
                let mut call = Call { state, faults, origin: self.origin, version: self.version };
                match request.serve(&mut call, &mut memo) {
                    Answer::Ready(response) => return response,
                    Answer::Wait { until, on } => {
                        (until, Waiting::new(self.shared, state.wakes.register(on)))
                    }
                }
            };
            tokio::select! {
                biased;
                () = waiting.ticket.woken.notified() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    fn answer<R: Serve>(&self, request: &R, response: &R::Response) -> Reply {
        match (request.is_silent(), R::failed(response)) {
            (false, _) => frame_or_close::<R>(response, self.version, self.correlation),
            (true, false) => Reply::Nothing,
            (true, true) => Reply::Close("an error that the client wants no answer to tell"),
        }
    }
}

fn frame_or_close<R: Serve>(response: &R::Response, version: i16, correlation: i32) -> Reply {
    match response_frame::<R>(response, version, correlation) {
        Ok(frame) => Reply::Frame(frame),
        Err(error) => {
            tracing::error!(api = R::NAME, version, %error, "an answer cannot be encoded");
            Reply::Close("an answer that cannot be encoded")
        }
    }
}

/// Spoils an answer. `spoil` tells whether the connection is to be closed after it.
fn damaged(reply: Reply, spoil: impl FnOnce(&mut BytesMut) -> bool) -> Reply {
    let Reply::Frame(mut frame) = reply else { return reply };
    let mut bytes = BytesMut::from(frame.copy_to_bytes(frame.remaining()));
    let close = spoil(&mut bytes);
    Reply::Raw { bytes: bytes.freeze(), close }
}

/// Takes a waiting request's registration back when it is woken, timed out or dropped.
struct Waiting<'a> {
    shared: &'a Shared,
    ticket: Ticket,
}

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared, ticket: Ticket) -> Self {
        Self { shared, ticket }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.lock().state.wakes.forget(&self.ticket);
    }
}
