//! What a try of a record came to, and what that means for it. Pure: the time and chance come in.

use std::time::Duration;

use super::event::Failure;
use super::handler::Outcome;
use super::settings::Settings;
use crate::ledger::DeadReason;

/// How a try ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The handler, or the caller of the pull form, said what is to become of it.
    Said(Outcome),
    Panicked(String),
    TimedOut(Duration),
}

impl Ended {
    /// What it failed with.
    pub(crate) fn error(&self) -> Option<&str> {
        match self {
            Self::Said(Outcome::Ack) => None,
            Self::Said(
                Outcome::Retry { reason }
                | Outcome::RetryAfter { reason, .. }
                | Outcome::DeadLetter(reason)
                | Outcome::Undecodable(reason),
            ) => Some(reason),
            Self::Panicked(text) => Some(text),
            Self::TimedOut(_) => Some("the handler did not end in time"),
        }
    }

    /// In which way it failed, if it did.
    pub(crate) fn error_type(&self) -> Option<&'static str> {
        Some(match self {
            Self::Said(Outcome::Ack) => return None,
            Self::Said(Outcome::Undecodable(_)) => Failure::Decode.name(),
            Self::Said(_) => Failure::Handler.name(),
            Self::Panicked(_) => Failure::Panic.name(),
            Self::TimedOut(_) => Failure::Timeout.name(),
        })
    }
}

impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Self {
        Self::Said(outcome)
    }
}

/// What becomes of the record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Handled,
    /// It comes again after the delay.
    Again {
        delay: Duration,
        failure: Failure,
        error: String,
    },
    /// It is given up on.
    Dead {
        reason: DeadReason,
        error: String,
    },
}

/// The try that ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tried {
    /// Its number, from 1.
    pub(crate) attempt: u32,
    /// How long ago the record was produced; `None` if it does not say.
    pub(crate) age: Option<Duration>,
    /// From 0 to 1.
    pub(crate) draw: f64,
    /// So many fail now that the record is not to be blamed.
    pub(crate) in_doubt: bool,
}

/// Decides.
pub(crate) fn verdict(ended: Ended, tried: Tried, settings: &Settings) -> Verdict {
    let backoff = || settings.retry.delay(tried.attempt, tried.draw);
    let (delay, failure, error, at_last) = match ended {
        Ended::Said(Outcome::Ack) => return Verdict::Handled,
        Ended::Said(Outcome::DeadLetter(reason)) => {
            return Verdict::Dead { reason: DeadReason::Handler, error: reason };
        }
        Ended::Said(Outcome::Undecodable(reason)) => {
            let error = format!("decode: {reason}");
            if settings.dead_letter_undecodable && !tried.in_doubt {
                return Verdict::Dead { reason: DeadReason::Decode, error };
            }
            (backoff(), Failure::Decode, error, DeadReason::Decode)
        }
        Ended::Said(Outcome::Retry { reason }) => (backoff(), Failure::Handler, reason, DeadReason::Attempts),
        Ended::Said(Outcome::RetryAfter { delay, reason }) => {
            (delay, Failure::Handler, reason, DeadReason::Attempts)
        }
        Ended::Panicked(text) => {
            (backoff(), Failure::Panic, format!("the handler panicked: {text}"), DeadReason::Attempts)
        }
        Ended::TimedOut(after) => {
            let error = format!("the handler did not end within {after:?}");
            (backoff(), Failure::Timeout, error, DeadReason::Timeout)
        }
    };
    if settings.retry.is_exhausted(tried.attempt, tried.age) && !tried.in_doubt {
        return Verdict::Dead { reason: at_last, error };
    }
    Verdict::Again { delay, failure, error }
}
