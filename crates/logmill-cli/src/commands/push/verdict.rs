//! What an answer means for the record. Pure: the time comes in.

use std::time::{Duration, SystemTime};

use hyper::header::RETRY_AFTER;
use hyper::{HeaderMap, StatusCode};
use logmill::Outcome;
use serde::Deserialize;

use super::super::node::LONGEST_DELAY;

/// So much of a body is quoted in a reason.
const QUOTED: usize = 200;

/// What a body may say.
#[derive(Deserialize)]
struct Said {
    status: String,
}

/// Decides. `body` is empty if it was too long to be of interest.
pub(super) fn verdict(status: StatusCode, head: &HeaderMap, body: &[u8], now: SystemTime) -> Outcome {
    let reason = || reason(status, body);
    let retry = || match retry_after(head, now) {
        Some(delay) => Outcome::RetryAfter { delay, reason: reason() },
        None => Outcome::Retry { reason: reason() },
    };
    let skip = head.get("logmill-skip").is_some_and(|value| value == "1");
    match status.as_u16() {
        200..=299 => match said(body).as_deref() {
            Some("RETRY") => retry(),
            Some("DROP") => Outcome::DeadLetter(reason()),
            // SUCCESS, SKIP, or words of the server's own.
            _ => Outcome::Ack,
        },
        409 if skip => Outcome::Ack,
        408 | 425 | 429 | 500..=599 => retry(),
        400..=499 => Outcome::DeadLetter(reason()),
        // A redirect is a mistake in the address, which no record is to blame for.
        _ => retry(),
    }
}

fn said(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Said>(body).ok().map(|said| said.status)
}

fn reason(status: StatusCode, body: &[u8]) -> String {
    let body = String::from_utf8_lossy(&body[..body.len().min(QUOTED)]);
    let body = body.trim();
    if body.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {body}") }
}

/// Seconds, or a date.
fn retry_after(head: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = head.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let delay = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        // One that has passed means now.
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(delay.min(LONGEST_DELAY))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    /// Its name, and the delay in seconds.
    fn decided(status: u16, header: Option<(&'static str, &str)>, body: &str) -> (&'static str, Option<u64>) {
        let mut head = HeaderMap::new();
        if let Some((name, Ok(value))) = header.map(|(name, value)| (name, value.parse())) {
            head.insert(name, value);
        }
        let status = StatusCode::from_u16(status).unwrap_or_default();
        // 60 s before the date below.
        let now = UNIX_EPOCH + Duration::from_secs(1_445_412_420);
        match verdict(status, &head, body.as_bytes(), now) {
            Outcome::Ack => ("ack", None),
            Outcome::Retry { .. } => ("retry", None),
            Outcome::RetryAfter { delay, .. } => ("retry", Some(delay.as_secs())),
            Outcome::DeadLetter(_) => ("dead", None),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_code_decides() {
        for (status, expected) in [
            (200, "ack"),
            (204, "ack"),
            (302, "retry"),
            (400, "dead"),
            (404, "dead"),
            (408, "retry"),
            (409, "dead"),
            (422, "dead"),
            (425, "retry"),
            (429, "retry"),
            (500, "retry"),
            (503, "retry"),
            (599, "retry"),
        ] {
            assert_eq!(decided(status, None, "").0, expected, "{status}");
        }
        assert_eq!(decided(409, Some(("logmill-skip", "1")), "").0, "ack");
        assert_eq!(decided(409, Some(("logmill-skip", "0")), "").0, "dead");
        assert_eq!(decided(400, Some(("logmill-skip", "1")), "").0, "dead");
    }

    #[test]
    fn a_body_may_say_otherwise_of_a_success_only() {
        for (status, body, expected) in [
            (200, r#"{"status":"SUCCESS"}"#, "ack"),
            (200, r#"{"status":"SKIP"}"#, "ack"),
            (200, r#"{"status":"ok"}"#, "ack"),
            (200, r#"{"status":7}"#, "ack"),
            (200, r#"{"status":"RETRY"}"#, "retry"),
            (200, r#"{"status":"DROP"}"#, "dead"),
            (500, r#"{"status":"SUCCESS"}"#, "retry"),
            (400, r#"{"status":"RETRY"}"#, "dead"),
        ] {
            assert_eq!(decided(status, None, body).0, expected, "{status} {body}");
        }
    }

    #[test]
    fn the_delay_asked_for_is_kept_within_reason() {
        let after = |text| decided(503, Some(("retry-after", text)), "").1;
        assert_eq!(after("7"), Some(7));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(60));
        assert_eq!(after("Wed, 21 Oct 2015 07:26:00 GMT"), Some(0));
        assert_eq!(after("18446744073709551615"), Some(LONGEST_DELAY.as_secs()));
        assert_eq!(after("soon"), None);
        assert_eq!(decided(200, Some(("retry-after", "7")), r#"{"status":"RETRY"}"#), ("retry", Some(7)));
    }

    #[test]
    fn a_reason_quotes_what_was_said() {
        let reason = reason(StatusCode::BAD_REQUEST, " card expired\n".as_bytes());
        assert_eq!(reason, "HTTP 400 Bad Request: card expired");
    }
}
