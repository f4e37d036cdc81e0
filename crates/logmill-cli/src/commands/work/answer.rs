//! What CMD answers, and what it means for the record.

use std::time::Duration;

use logmill::Outcome;
use logmill::node::Received;
use serde::Deserialize;

use super::super::node::LONGEST_DELAY;

/// What every complaint about an answer ends with.
pub(super) const EXPECTED: &str = "expected a line such as \
    {\"topic\":\"orders\",\"partition\":0,\"offset\":41,\"status\":\"ack\"}, or status \"retry\" or \"dead\" with an \"error\"";

/// One line of CMD's stdout.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
    status: String,
    error: Option<String>,
    delay_ms: Option<u64>,
}

impl Answer {
    pub(super) fn parse(line: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(line)
    }

    pub(super) fn is_for(&self, record: &Received) -> bool {
        (&*self.topic, self.partition, self.offset)
            == (&**record.topic(), record.partition(), record.offset())
    }

    /// What becomes of the record.
    ///
    /// # Errors
    /// The status is none.
    pub(super) fn outcome(self) -> Result<Outcome, String> {
        let error = |otherwise: &str| self.error.clone().unwrap_or_else(|| otherwise.to_owned());
        match (&*self.status, self.delay_ms) {
            ("ack", _) => Ok(Outcome::Ack),
            ("retry", None) => Ok(Outcome::Retry { reason: error("CMD asked for a retry") }),
            ("retry", Some(ms)) => {
                let delay = Duration::from_millis(ms).min(LONGEST_DELAY);
                Ok(Outcome::RetryAfter { delay, reason: error("CMD asked for a retry") })
            }
            ("dead", _) => Ok(Outcome::DeadLetter(error("CMD gave it up"))),
            (other, _) => Err(format!("CMD answered with the status {other:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(rest: &str) -> Result<Outcome, String> {
        let line = format!(r#"{{"topic":"t","partition":0,"offset":1,{rest}}}"#);
        Answer::parse(line.as_bytes()).map_err(|error| error.to_string())?.outcome()
    }

    #[test]
    fn each_status_has_its_outcome() {
        assert_eq!(outcome(r#""status":"ack","extra":[]"#), Ok(Outcome::Ack));
        let reason = "slow down".to_owned();
        let retry = Outcome::Retry { reason: reason.clone() };
        assert_eq!(outcome(r#""status":"retry","error":"slow down""#), Ok(retry));
        let later = Outcome::RetryAfter { delay: Duration::from_millis(5), reason };
        assert_eq!(outcome(r#""status":"retry","error":"slow down","delay_ms":5"#), Ok(later));
        assert_eq!(outcome(r#""status":"dead","error":"no""#), Ok(Outcome::DeadLetter("no".to_owned())));
        assert_eq!(outcome(r#""status":"dead""#), Ok(Outcome::DeadLetter("CMD gave it up".to_owned())));
    }

    #[test]
    fn a_delay_without_end_ends() {
        let Ok(Outcome::RetryAfter { delay, .. }) =
            outcome(r#""status":"retry","delay_ms":18446744073709551615"#)
        else {
            panic!("no delay")
        };
        assert_eq!(delay, LONGEST_DELAY);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        assert!(outcome(r#""status":"done""#).is_err_and(|error| error.contains("done")));
        assert!(outcome(r#""state":"ack""#).is_err());
        assert!(Answer::parse(b"working...").is_err());
    }
}
