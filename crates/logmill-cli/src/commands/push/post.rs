//! The request's way there and back: connections that are kept, a time limit, and a bound on what is read.

use std::error::Error;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::Uri;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use logmill::Outcome;
use logmill::node::Received;

use super::request::request;
use super::verdict::verdict;

/// A body longer than this says nothing that matters here.
const LONGEST_BODY: usize = 64 << 10;

/// Sends records to one URL.
#[derive(Debug)]
pub(super) struct Poster {
    client: Client<HttpConnector, Full<Bytes>>,
    to: Uri,
    group: String,
    timeout: Duration,
}

impl Poster {
    pub(super) fn new(to: Uri, group: &str, timeout: Duration, at_once: usize) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(at_once)
            .build(connector);
        Self { client, to, group: group.to_owned(), timeout }
    }

    /// Sends the record. What became of it is what the server answers.
    pub(super) async fn post(&self, record: &Received) -> Outcome {
        let request = request(&self.to, &self.group, record);
        match tokio::time::timeout(self.timeout, self.send(request)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Outcome::Retry { reason: whole(&*error) },
            Err(_) => Outcome::Retry { reason: format!("no answer within {:?}", self.timeout) },
        }
    }

    async fn send(
        &self,
        request: hyper::Request<Full<Bytes>>,
    ) -> Result<Outcome, Box<dyn Error + Send + Sync>> {
        let (head, body) = self.client.request(request).await?.into_parts();
        let body = match Limited::new(body, LONGEST_BODY).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => Bytes::new(),
            // It may have said that the record is to come again.
            Err(error) => return Err(error),
        };
        Ok(verdict(head.status, &head.headers, &body, SystemTime::now()))
    }
}

/// An error with its causes: its first words alone do not say why.
fn whole(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
