//! What the users of a connection and its driver share: the requests to be written, the answers that
//! are due, and why it ended.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use logmill_protocol::messages::ApiKey;
use logmill_protocol::wire::{Frame, Request, Str, correlation_id, request_frame};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use super::ConnectionOptions;
use crate::client::traffic::Traffic;
use crate::client::transport::Address;
use crate::error::{Error, Result};

/// A request on its way to the socket.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) frame: Frame,
    /// Told when the frame is written, for requests that get no answer.
    pub(super) written: Option<(oneshot::Sender<Result<()>>, OwnedSemaphorePermit)>,
}

/// A request whose answer is due.
#[derive(Debug)]
struct Pending {
    correlation: i32,
    api: ApiKey,
    started: Instant,
    deadline: Instant,
    answer: oneshot::Sender<Result<Bytes>>,
    _place: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Outgoing>,
    pending: VecDeque<Pending>,
    /// How many of `pending`, from the back, are still in `queue`: the broker has not seen them.
    unsent: usize,
    /// When the driver wakes by itself.
    armed: Instant,
    used: Instant,
    throttled_until: Instant,
    ended: Option<Error>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) address: Address,
    client_id: Option<Str>,
    pub(super) frame_limit: usize,
    max_idle: Duration,
    traffic: Arc<Traffic>,
    places: Arc<Semaphore>,
    next_correlation: AtomicI32,
    state: Mutex<State>,
    /// There is something to write.
    pub(super) queued: Notify,
    /// The driver must wake earlier than it planned to.
    pub(super) sooner: Notify,
    /// The connection has ended.
    pub(super) ended: Notify,
}

impl Shared {
    pub(super) fn new(address: Address, options: &ConnectionOptions) -> Self {
        let now = Instant::now();
        Self {
            address,
            client_id: options.client_id.clone(),
            frame_limit: options.frame_limit,
            max_idle: options.max_idle,
            traffic: options.traffic.clone(),
            places: Arc::new(Semaphore::new(options.in_flight)),
            next_correlation: AtomicI32::new(1),
            state: Mutex::new(State {
                queue: VecDeque::new(),
                pending: VecDeque::new(),
                unsent: 0,
                armed: now,
                used: now,
                throttled_until: now,
                ended: None,
            }),
            queued: Notify::new(),
            sooner: Notify::new(),
            ended: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().ended.is_some()
    }

    /// Why it ended, as a request that was never sent sees it.
    fn why_ended(&self, api: ApiKey) -> Error {
        match &self.lock().ended {
            Some(cause) => self.seen_by(cause, api, false),
            None => self.lost(Some(api), "it is closed", false),
        }
    }

    async fn place(&self, api: ApiKey, deadline: Instant) -> Result<OwnedSemaphorePermit> {
        let asked = Instant::now();
        let place = Arc::clone(&self.places).acquire_owned();
        match tokio::time::timeout_at(deadline, place).await {
            Ok(place) => place.map_err(|_| self.why_ended(api)),
            Err(_) => {
                let reason = format!("too many requests in flight for {:?}", asked.elapsed());
                Err(self.lost(Some(api), &reason, false))
            }
        }
    }

    fn frame<R: Request>(&self, request: &R, version: i16) -> Result<(i32, Frame)> {
        // Correlation ids need to differ among those in flight only; their order means nothing.
        let correlation = self.next_correlation.fetch_add(1, Ordering::Relaxed);
        let frame = request_frame(request, version, correlation, self.client_id.as_ref())
            .map_err(|source| Error::Encode { api: R::KEY, source })?;
        Ok((correlation, frame))
    }

    pub(super) async fn start<R: Request>(
        &self,
        request: &R,
        version: i16,
        deadline: Instant,
    ) -> Result<oneshot::Receiver<Result<Bytes>>> {
        let place = self.place(R::KEY, deadline).await?;
        let (correlation, frame) = self.frame(request, version)?;
        let (answer, receiver) = oneshot::channel();
        let started = Instant::now();
        let mut state = self.lock();
        if state.ended.is_some() {
            drop(state);
            return Err(self.why_ended(R::KEY));
        }
        // A broker that asked for a pause must not be taken for one that does not answer.
        let deadline = deadline + state.throttled_until.saturating_duration_since(started);
        state.used = started;
        state.queue.push_back(Outgoing { frame, written: None });
        state.pending.push_back(Pending {
            correlation,
            api: R::KEY,
            started,
            deadline,
            answer,
            _place: place,
        });
        state.unsent += 1;
        if deadline < state.armed {
            state.armed = deadline;
            self.sooner.notify_one();
        }
        drop(state);
        self.queued.notify_one();
        Ok(receiver)
    }

    pub(super) async fn tell<R: Request>(&self, request: &R, version: i16, deadline: Instant) -> Result<()> {
        let place = self.place(R::KEY, deadline).await?;
        let (_, frame) = self.frame(request, version)?;
        let (written, receiver) = oneshot::channel();
        {
            let mut state = self.lock();
            if state.ended.is_some() {
                drop(state);
                return Err(self.why_ended(R::KEY));
            }
            state.used = Instant::now();
            state.queue.push_back(Outgoing { frame, written: Some((written, place)) });
        }
        self.queued.notify_one();
        let lost = || self.lost(Some(R::KEY), "it ended while the request was being written", true);
        receiver.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Takes what is to be written; it counts as sent from here on.
    pub(super) fn take_queue(&self) -> VecDeque<Outgoing> {
        let mut state = self.lock();
        state.unsent = 0;
        std::mem::take(&mut state.queue)
    }

    pub(super) fn throttled_until(&self) -> Instant {
        self.lock().throttled_until
    }

    /// Notes that the broker asked for a pause (KIP-219).
    pub(super) fn throttle(&self, milliseconds: i32) {
        if let Ok(pause @ 1..) = u64::try_from(milliseconds) {
            tracing::debug!(broker = %self.address, pause_ms = pause, "throttled by the broker's quota");
            self.traffic.throttled(&self.address, Duration::from_millis(pause));
            let until = Instant::now() + Duration::from_millis(pause);
            let mut state = self.lock();
            state.throttled_until = state.throttled_until.max(until);
        }
    }

    /// Hands a response frame to the request at the front.
    ///
    /// # Errors
    /// It is not that request's.
    pub(super) fn answer(&self, frame: Bytes) -> Result<()> {
        let mut state = self.lock();
        state.used = Instant::now();
        if state.pending.len() <= state.unsent {
            return Err(self.garbage(None, "an answer that nothing asked for"));
        }
        let Some(front) = state.pending.pop_front() else { return Ok(()) };
        let wrong = match correlation_id(&frame) {
            Ok(id) if id == front.correlation => None,
            Ok(id) => Some(format!("correlation id {id} came where {} is due", front.correlation)),
            Err(source) => Some(source.to_string()),
        };
        let Some(wrong) = wrong else {
            drop(state);
            self.traffic.answered(&self.address, front.api, front.started);
            // Nobody may be waiting any more, which is fine.
            let _ = front.answer.send(Ok(frame));
            return Ok(());
        };
        let error = self.garbage(Some(front.api), &wrong);
        state.pending.push_front(front);
        Err(error)
    }

    /// When the driver must look again, or why the connection must end now.
    ///
    /// # Errors
    /// A request is past its deadline, or nobody has used the connection for long.
    pub(super) fn next_alarm(&self) -> Result<Instant> {
        let now = Instant::now();
        let mut state = self.lock();
        let alarm = match state.pending.iter().min_by_key(|request| request.deadline) {
            Some(first) if first.deadline <= now => {
                let after = now - first.started;
                return Err(Error::Timeout { address: self.address.clone(), api: first.api, after });
            }
            Some(first) => first.deadline,
            None if state.used + self.max_idle <= now => {
                return Err(self.lost(None, "unused for connections.max.idle.ms", false));
            }
            None => state.used + self.max_idle,
        };
        state.armed = alarm;
        Ok(alarm)
    }

    /// Ends the connection: every request learns why, and whether the broker can have seen it.
    pub(super) fn close(&self, cause: &Error) {
        let mut state = self.lock();
        if state.ended.is_some() {
            return;
        }
        state.ended = Some(cause.clone());
        self.places.close();
        let (pending, unsent) = (std::mem::take(&mut state.pending), std::mem::take(&mut state.unsent));
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        let (now, sent) = (Instant::now(), pending.len() - unsent);
        for (nth, request) in pending.into_iter().enumerate() {
            let late = request.deadline <= now && matches!(cause, Error::Timeout { .. });
            let error = if late {
                let after = now - request.started;
                Error::Timeout { address: self.address.clone(), api: request.api, after }
            } else {
                self.seen_by(cause, request.api, nth < sent)
            };
            let _ = request.answer.send(Err(error));
        }
        for (written, _place) in queue.into_iter().filter_map(|outgoing| outgoing.written) {
            let _ = written.send(Err(self.lost(None, &cause.to_string(), false)));
        }
        self.ended.notify_one();
    }

    /// The end of the connection as one request sees it.
    fn seen_by(&self, cause: &Error, api: ApiKey, sent: bool) -> Error {
        match cause {
            Error::Garbage { reason, .. } if sent => self.garbage(Some(api), reason),
            Error::NotKafka { .. } => cause.clone(),
            Error::Disconnected { reason, .. } | Error::NotSent { reason, .. } => {
                self.lost(Some(api), reason, sent)
            }
            other => self.lost(Some(api), &other.to_string(), sent),
        }
    }

    pub(super) fn lost(&self, api: Option<ApiKey>, reason: &str, sent: bool) -> Error {
        let (address, reason) = (self.address.clone(), reason.into());
        if sent {
            Error::Disconnected { address, api, reason }
        } else {
            Error::NotSent { address, api, reason }
        }
    }

    pub(super) fn garbage(&self, api: Option<ApiKey>, reason: &str) -> Error {
        Error::Garbage { address: self.address.clone(), api, reason: reason.into() }
    }
}
