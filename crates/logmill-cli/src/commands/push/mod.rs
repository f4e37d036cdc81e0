//! `logmill push`: a node whose handler is an HTTP server, a POST for each record.
//!
//! | file | has |
//! |---|---|
//! | `request` | the record as a request |
//! | `verdict` | what an answer means for the record |
//! | `post` | the request's way there and back |

mod post;
mod request;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use tokio::task::JoinSet;

use self::post::Poster;
use super::node::{FeedArgs, Inbox};
use crate::exit::{Failure, Outcome};
use crate::input::parse_duration;

/// Work on records with a server: an HTTP POST for each, what it answers decides
///
/// The body is the record's payload. Headers say where it is from: logmill-topic, -partition, -offset, -attempt and -key,
/// and a CloudEvent's ce-id, ce-source, ce-type and ce-time.
///
///     2xx                    handled; unless the body is {"status":"RETRY"} or {"status":"DROP"}
///     409 + logmill-skip: 1  handled before
///     408, 425, 429, 5xx     retried, after Retry-After if it is there
///     other 4xx, DROP        a dead letter
///     no answer, 3xx         retried
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    feed: FeedArgs,
    /// Where to send records: http://host:port/path
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    to: Uri,
    /// How many requests at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// A request that is not answered within this time has failed
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    timeout: Duration,
}

fn parse_url(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("{error}; write http://host:port/path"))?;
    match uri.scheme_str() {
        Some("http") if uri.authority().is_some() => Ok(uri),
        Some("https") => Err("push has no TLS: let a proxy on this machine speak it".to_owned()),
        _ => Err("write http://host:port/path".to_owned()),
    }
}

pub(crate) async fn run(args: Args) -> Outcome {
    let at_once = usize::from(args.concurrency);
    let poster = Arc::new(Poster::new(args.to, args.feed.group(), args.timeout, at_once));
    args.feed.run(at_once, |inbox| all(at_once, poster, inbox)).await
}

/// All requests, until the inbox ends.
async fn all(at_once: usize, poster: Arc<Poster>, inbox: Inbox) -> Outcome {
    let mut posting = JoinSet::new();
    for _ in 0..at_once {
        let (poster, inbox) = (poster.clone(), inbox.clone());
        posting.spawn(async move {
            while let Some(delivery) = inbox.next().await {
                let outcome = poster.post(&delivery).await;
                delivery.end(outcome);
            }
        });
    }
    while let Some(ended) = posting.join_next().await {
        ended.map_err(Failure::failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_is_spoken() {
        assert!(parse_url("http://127.0.0.1:8080/charge?a=b").is_ok());
        assert!(parse_url("https://pay.internal/").is_err_and(|error| error.contains("proxy")));
        for text in ["", "/charge", "127.0.0.1:8080", "grpc://a", "http://"] {
            assert!(parse_url(text).is_err_and(|error| error.contains("http://host")), "{text}");
        }
    }
}
