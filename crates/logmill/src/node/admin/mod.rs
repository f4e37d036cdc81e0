//! A node answers over HTTP how it is: `/livez`, `/readyz`, `/metrics`. For whoever runs it, not for the world: it only tells,
//! bounds connections, time and sizes, and has neither TLS nor passwords.
//!
//! | file | has |
//! |---|---|
//! | `probe` | whether Kafka and the store answer, asked every other second |
//! | `ready` | what a node must have to be ready, and what it lacks |

mod probe;
mod ready;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::debug;

use self::probe::Probe;
use super::metrics::Publisher;
use crate::client::transport::{Listener, listen};
use crate::error::{Error, Result};
use crate::observe::{RECORDS, SECONDS};

/// So many may ask at a time; others wait to be let in.
const CONNECTIONS: usize = 64;

/// A connection ends after this long, whatever it does.
const LONGEST: Duration = Duration::from_secs(60);

/// By when a request must have been sent, from when its connection is free for it.
const ASKED_WITHIN: Duration = Duration::from_secs(10);

/// The longest head of a request, in bytes.
const LONGEST_HEAD: usize = 16 << 10;

const PATHS: &str = "/livez  whether the process should go on\n/readyz  whether it can work, and why not\n/metrics  for Prometheus\n";

/// An address that is listened on.
pub(super) struct Bound {
    listener: Listener,
    pub(super) address: SocketAddr,
    recorder: Arc<PrometheusRecorder>,
}

/// What answers.
pub(super) struct Admin {
    handle: PrometheusHandle,
    publisher: Publisher,
    probe: Probe,
    /// The tasks without which a node does nothing.
    needed: Vec<AbortHandle>,
}

impl Bound {
    pub(super) async fn to(address: &str) -> Result<Self> {
        let cannot = |why: &dyn std::fmt::Display| {
            Error::config(
                "admin_http",
                format!("{address} cannot be listened on: {why}; write it as host:port"),
            )
        };
        let listener = listen(address).await.map_err(|error| cannot(&error))?;
        let own = listener.local_addr().map_err(|error| cannot(&error))?;
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
            .and_then(|builder| {
                builder.set_buckets_for_metric(Matcher::Suffix("_records".to_owned()), RECORDS)
            });
        let recorder = Arc::new(builder.map_err(|error| cannot(&error))?.build_recorder());
        Ok(Self { listener, address: own, recorder })
    }

    /// Whom to publish to, so that it is told here.
    pub(super) fn recorder(&self) -> Arc<PrometheusRecorder> {
        self.recorder.clone()
    }

    /// Answers for ever.
    pub(super) async fn serve(self, publisher: Publisher, needed: Vec<AbortHandle>) {
        let handle = self.recorder.handle();
        let admin = Arc::new(Admin { handle, publisher, probe: Probe::default(), needed });
        tokio::join!(admin.probe.run(&admin.publisher), admin.accept(&self.listener));
    }
}

impl Admin {
    async fn accept(self: &Arc<Self>, listener: &Listener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        while let Ok(place) = places.clone().acquire_owned().await {
            while connections.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((stream, _)) => {
                    let admin = self.clone();
                    connections.spawn(async move {
                        let _place = place;
                        let _ = timeout(LONGEST, admin.converse(stream)).await;
                    });
                }
                Err(problem) => {
                    debug!(%problem, "a connection to the admin address failed");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn converse(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(|request| {
            let answer = self.answer(&request);
            async { Ok::<_, Infallible>(answer) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(ASKED_WITHIN)
            .max_buf_size(LONGEST_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(problem) = connection.await {
            debug!(%problem, "a connection to the admin address ended");
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "it only tells: GET or HEAD\n".to_owned());
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        match request.uri().path() {
            "/livez" => match self.is_alive() {
                true => text(StatusCode::OK, "alive\n".to_owned()),
                false => text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "one of its tasks has ended: the log says why\n".to_owned(),
                ),
            },
            "/readyz" => {
                let readiness = self.readiness();
                let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                let mut answer = text(status, readiness.json());
                set_type(&mut answer, "application/json");
                answer
            }
            "/metrics" => {
                self.publisher.publish();
                let mut answer = text(StatusCode::OK, self.handle.render());
                set_type(&mut answer, "text/plain; version=0.0.4; charset=utf-8");
                answer
            }
            _ => text(StatusCode::NOT_FOUND, PATHS.to_owned()),
        }
    }

    /// A node that was told to end loses its tasks one after the other.
    fn is_alive(&self) -> bool {
        self.publisher.state.quiet.is_cancelled() || !self.needed.iter().any(AbortHandle::is_finished)
    }
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = status;
    set_type(&mut answer, "text/plain; charset=utf-8");
    answer
}

fn set_type(answer: &mut Response<Full<Bytes>>, kind: &'static str) {
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
}
