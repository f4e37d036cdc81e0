//! Sending one request to the broker that it is for, again and again until it succeeds, is refused for
//! good, or its time is up.

use std::sync::PoisonError;
use std::time::Duration;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use logmill_protocol::wire::{Request, Str};
use tokio::time::Instant;

use super::{BrokerId, Client, Purpose};
use crate::client::connection::Connection;
use crate::error::{Error, Result};

/// How many consumer groups' coordinators are remembered.
const COORDINATORS: usize = 1024;

/// Which broker a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// Whichever can be reached.
    Any,
    /// The cluster's controller.
    Controller,
    /// This one.
    Broker(BrokerId),
    /// The coordinator of this consumer group.
    Coordinator(String),
}

/// An operation that is tried until its deadline, with growing pauses.
pub(crate) struct Retry<'a> {
    client: &'a Client,
    what: &'a str,
    started: Instant,
    deadline: Instant,
    failures: u32,
    doubtful: bool,
}

impl<'a> Retry<'a> {
    pub(crate) fn new(client: &'a Client, what: &'a str, deadline: Instant) -> Self {
        Self { client, what, started: Instant::now(), deadline, failures: 0, doubtful: false }
    }

    /// Whether an attempt that failed may have had its effect all the same.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// Pauses before the next attempt.
    ///
    /// # Errors
    /// Another attempt cannot help, or there is no time for one.
    pub(crate) async fn again(&mut self, error: Error) -> Result<()> {
        if !error.is_retriable() {
            return Err(error);
        }
        self.failures += 1;
        self.doubtful |= error.may_have_happened();
        let pause = self.client.inner.backoff.pause(self.failures);
        if Instant::now() + pause >= self.deadline {
            let after = self.started.elapsed();
            return Err(match error {
                // A sentence of its own already.
                Error::UnknownTopic { .. } | Error::GaveUp { .. } => error,
                last => Error::GaveUp { what: self.what.to_owned(), after, last: Box::new(last) },
            });
        }
        tracing::debug!(what = self.what, %error, ?pause, "trying again");
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// A request and how to send it.
pub(crate) struct Ask<'a> {
    /// For whom.
    pub(crate) to: Target,
    /// What the error says it was about.
    pub(crate) subject: &'a str,
    /// The newest version to send.
    pub(crate) newest: i16,
    /// How long all attempts together may take; `default.api.timeout.ms` if not given.
    pub(crate) within: Option<Duration>,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(to: Target, subject: &'a str) -> Self {
        Self { to, subject, newest: i16::MAX, within: None }
    }
}

/// A response, and whether an earlier attempt may have had its effect.
pub(crate) struct Answer<T> {
    pub(crate) response: T,
    pub(crate) doubtful: bool,
}

impl Client {
    /// Sends a request and waits for its answer. Failures of connections are tried again until
    /// `default.api.timeout.ms`; what the answer says is for the caller to judge.
    ///
    /// # Errors
    /// No answer came in time, or no version of the request suits the broker.
    pub async fn call<R: Request>(&self, to: Target, request: &R) -> Result<R::Response> {
        let answer = self.ask(Ask::new(to, ""), |_| request.clone(), |_| ErrorCode::None).await?;
        Ok(answer.response)
    }

    /// Sends a request that is made for the version it goes out in, until `judge` finds no error in
    /// the answer, or one that another attempt cannot help.
    pub(crate) async fn ask<R: Request>(
        &self,
        ask: Ask<'_>,
        make: impl Fn(i16) -> R,
        judge: impl Fn(&R::Response) -> ErrorCode,
    ) -> Result<Answer<R::Response>> {
        let deadline = ask.within.map_or_else(|| self.api_deadline(), |within| Instant::now() + within);
        let mut retry = Retry::new(self, R::KEY.name(), deadline);
        loop {
            let attempt = async {
                let connection = self.target(&ask.to, deadline).await?;
                let version = connection.version_up_to::<R>(ask.newest)?;
                let until = self.request_deadline(deadline);
                let response = connection.start_at(&make(version), version, until).await?.await?;
                match judge(&response) {
                    ErrorCode::None => Ok(response),
                    code => Err(Error::refused(R::KEY, code, ask.subject)),
                }
            };
            match attempt.await {
                Ok(response) => return Ok(Answer { response, doubtful: retry.is_doubtful() }),
                Err(error) => {
                    self.target_failed(&ask.to, &error);
                    retry.again(error).await?;
                }
            }
        }
    }

    async fn target(&self, to: &Target, deadline: Instant) -> Result<Connection> {
        let broker = match to {
            Target::Any => return self.any_connection(Purpose::Control, deadline).await,
            Target::Broker(broker) => *broker,
            Target::Coordinator(group) => self.coordinator(group, deadline).await?,
            Target::Controller => {
                let known = self.metadata().controller();
                if known.is_none() {
                    self.refresh(&[], deadline).await?;
                }
                match self.metadata().controller() {
                    Some(controller) => controller,
                    None => {
                        return Err(Error::refused(
                            ApiKey::Metadata,
                            ErrorCode::NotController,
                            "the cluster",
                        ));
                    }
                }
            }
        };
        self.connection(broker, Purpose::Control, deadline).await
    }

    /// Forgets what has just proved wrong about a target.
    fn target_failed(&self, to: &Target, error: &Error) {
        match to {
            Target::Coordinator(group) => {
                // A refusal that is not about the coordinator came from the right one.
                let about =
                    |code| matches!(code, ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable);
                if error.code().is_none_or(about) {
                    self.forget_coordinator(group);
                }
            }
            Target::Controller if error.code().is_none_or(|code| code == ErrorCode::NotController) => {
                self.metadata().forget_controller();
            }
            _ => {}
        }
    }

    pub(crate) fn forget_coordinator(&self, group: &str) {
        self.inner.coordinators.lock().unwrap_or_else(PoisonError::into_inner).remove(group);
    }

    /// Which broker coordinates a consumer group: as remembered, or asked for once.
    pub(crate) async fn coordinator(&self, group: &str, deadline: Instant) -> Result<BrokerId> {
        let known =
            self.inner.coordinators.lock().unwrap_or_else(PoisonError::into_inner).get(group).copied();
        if let Some(broker) = known {
            return Ok(broker);
        }
        let connection = self.any_connection(Purpose::Control, deadline).await?;
        let version = connection.version::<FindCoordinatorRequest>()?;
        let mut request = FindCoordinatorRequest::default();
        if version >= 4 {
            request.coordinator_keys.push(Str::from(group));
        } else {
            request.key = Str::from(group);
        }
        let reply = connection.start_at(&request, version, self.request_deadline(deadline)).await?;
        let (code, broker, host, port) = found(reply.await?, version);
        if code != ErrorCode::None {
            return Err(Error::refused(ApiKey::FindCoordinator, code, format!("consumer group {group:?}")));
        }
        self.metadata().note_broker(broker, &host, port);
        let mut known = self.inner.coordinators.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= COORDINATORS {
            known.clear();
        }
        known.insert(group.to_owned(), broker);
        Ok(broker)
    }
}

fn found(response: FindCoordinatorResponse, version: i16) -> (ErrorCode, BrokerId, Str, i32) {
    if version < 4 {
        return (response.error_code.into(), BrokerId(response.node_id), response.host, response.port);
    }
    match response.coordinators.into_iter().next() {
        Some(found) => (found.error_code.into(), BrokerId(found.node_id), found.host, found.port),
        None => (ErrorCode::CoordinatorNotAvailable, BrokerId(-1), Str::default(), 0),
    }
}
