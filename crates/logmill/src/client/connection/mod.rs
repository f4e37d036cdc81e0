//! One connection to one broker: many requests in flight, answers in the order of the requests.
//!
//! ```text
//! start ──► queue ──► writer ──► socket ──► reader ──► Reply
//!              └────── pending, in the same order ──────┘
//! ```
//!
//! A broker answers the requests of one connection one after the other. So the answer at the front is
//! always the next one due, a request past its deadline means that all behind it are late too (the
//! connection is closed), and a request that a broker holds back (a long poll, a join) holds back what
//! is sent after it: such requests get a connection of their own.

mod driver;
mod handshake;
mod state;
mod versions;

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use logmill_protocol::messages::ApiKey;
use logmill_protocol::wire::{self, Message, Request, Str};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::traffic::Traffic;
use super::transport::{Address, Transport};
use crate::error::{Error, Result};
use state::Shared;
pub use versions::Versions;

/// How a connection behaves. Public through the settings that fill it.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionOptions {
    /// What the broker logs and shows as the client's name.
    pub(crate) client_id: Option<Str>,
    /// How long dialling may take.
    pub(crate) connect_timeout: Duration,
    /// How long the first exchange may take.
    pub(crate) request_timeout: Duration,
    /// The largest response, in bytes.
    pub(crate) frame_limit: usize,
    /// How many requests may wait for their answers.
    pub(crate) in_flight: usize,
    /// An unused connection is closed after this time.
    pub(crate) max_idle: Duration,
    /// The newest version to use of some requests.
    pub(crate) caps: Arc<[(ApiKey, i16)]>,
    /// Where answers are counted.
    pub(crate) traffic: Arc<Traffic>,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            client_id: Some(Str::from_static("logmill")),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            frame_limit: 100 << 20,
            in_flight: 64,
            max_idle: Duration::from_secs(540),
            caps: Arc::new([]),
            traffic: Arc::default(),
        }
    }
}

/// A connection to a broker, after the two have agreed on versions. Cheap to clone; it closes when
/// the last clone and the last [`Reply`] are gone.
#[derive(Clone, Debug)]
pub struct Connection {
    handle: Arc<Handle>,
}

/// Closes the connection when nobody can use it any more.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    versions: Versions,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close(&Error::Closed { what: "the connection" });
    }
}

impl Connection {
    /// Dials a broker and agrees with it on versions.
    ///
    /// # Errors
    /// Nothing answers there, it is not Kafka, or it is too old.
    pub(crate) async fn open(
        transport: &Transport,
        address: Address,
        options: &ConnectionOptions,
    ) -> Result<Self> {
        let dialling = tokio::time::timeout(options.connect_timeout, transport.dial(address.clone()));
        let unreachable = |source| Error::Unreachable { address: address.clone(), source: Arc::new(source) };
        let stream = match dialling.await {
            Ok(dialled) => dialled.map_err(unreachable)?,
            Err(_) => {
                let waited = format!("no connection within {:?}", options.connect_timeout);
                return Err(unreachable(std::io::Error::new(std::io::ErrorKind::TimedOut, waited)));
            }
        };
        let shared = Arc::new(Shared::new(address, options));
        tokio::spawn(driver::run(Arc::clone(&shared), stream));
        // From here on, dropping the handle ends the driver.
        let mut handle = Handle { shared, versions: Versions::default() };
        handle.versions = handshake::agree(&handle.shared, options).await?;
        Ok(Self { handle: Arc::new(handle) })
    }

    /// Whom it is connected to.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.handle.shared.address
    }

    /// What the broker speaks.
    #[must_use]
    pub fn versions(&self) -> &Versions {
        &self.handle.versions
    }

    /// The version in which requests of type `R` go to this broker: the newest that both speak.
    ///
    /// # Errors
    /// The two have none in common.
    pub fn version<R: Request>(&self) -> Result<i16> {
        self.version_up_to::<R>(R::MAX)
    }

    /// As [`Connection::version`], and no newer than `newest`.
    ///
    /// # Errors
    /// The two have none in common.
    pub fn version_up_to<R: Request>(&self, newest: i16) -> Result<i16> {
        self.handle.versions.pick(R::KEY, R::MIN, R::MAX.min(newest)).map_err(|reason| Error::Unsupported {
            address: self.address().clone(),
            api: R::KEY,
            reason,
        })
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.handle.shared.is_closed()
    }

    /// Ends it; every request that waits fails.
    pub fn close(&self) {
        self.handle.shared.close(&Error::Closed { what: "the connection" });
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// The connection ended, or the answer did not come by the deadline (which ends the connection).
    /// What the answer says is for the caller to judge.
    pub async fn call<R: Request>(&self, request: &R, deadline: Instant) -> Result<R::Response> {
        self.start(request, deadline).await?.await
    }

    /// Sends a request; the [`Reply`] resolves to its answer. Requests started one after the other
    /// are sent in that order. Waits while too many are in flight. Dropping the reply drops the
    /// answer, not the request.
    ///
    /// # Errors
    /// The connection has ended, or no version of the request suits the broker.
    pub async fn start<R: Request>(&self, request: &R, deadline: Instant) -> Result<Reply<R>> {
        self.start_at(request, self.version::<R>()?, deadline).await
    }

    /// As [`Connection::start`], in a version that the caller has chosen, because what it writes into
    /// the request depends on it.
    ///
    /// # Errors
    /// As [`Connection::start`]; also if the version cannot carry the request.
    pub async fn start_at<R: Request>(
        &self,
        request: &R,
        version: i16,
        deadline: Instant,
    ) -> Result<Reply<R>> {
        let answer = self.handle.shared.start(request, version, deadline).await?;
        Ok(Reply { connection: self.clone(), version, answer, request: PhantomData })
    }

    /// Sends a request that the broker will not answer (`Produce` with `acks=0`); returns once it is
    /// handed to the system's socket, which says nothing about its arrival.
    ///
    /// # Errors
    /// As [`Connection::start`], or the connection ended while it was being written.
    pub async fn tell<R: Request>(&self, request: &R, version: i16, deadline: Instant) -> Result<()> {
        self.handle.shared.tell(request, version, deadline).await
    }
}

/// The answer to come of a request that was sent.
#[derive(Debug)]
#[must_use = "a reply does nothing unless awaited"]
pub struct Reply<R: Request> {
    connection: Connection,
    version: i16,
    answer: oneshot::Receiver<Result<Bytes>>,
    request: PhantomData<fn() -> R>,
}

impl<R: Request> Reply<R> {
    /// The version in which it was asked, and will be answered.
    #[must_use]
    pub fn version(&self) -> i16 {
        self.version
    }
}

impl<R: Request> Future for Reply<R> {
    type Output = Result<R::Response>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Poll::Ready(answer) = Pin::new(&mut self.answer).poll(context) else { return Poll::Pending };
        let shared = &self.connection.handle.shared;
        // The sender is gone without a word only if the runtime dropped the driver.
        let frame = answer.unwrap_or(Err(Error::Closed { what: "the connection" }))?;
        Poll::Ready(match wire::read_response::<R>(frame, self.version) {
            Ok((_, response)) => {
                shared.throttle(response.throttle_time_ms());
                Ok(response)
            }
            Err(source) => {
                let error = shared.garbage(Some(R::KEY), &source.to_string());
                shared.close(&error);
                Err(error)
            }
        })
    }
}
