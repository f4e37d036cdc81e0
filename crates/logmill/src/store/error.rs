//! What can go wrong between a node and its store.

use std::time::Duration;

use logmill_protocol::work::{Invalid, Refused};

/// Why a store did not answer as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store works and said no. It changed nothing.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store cannot be reached, or the connection broke. It may have done what it was asked.
    #[error("no answer from the store at {address}: {reason}; is it up, and is the address right?")]
    Unreachable {
        /// Where.
        address: String,
        /// What the connection said.
        reason: String,
    },
    /// The store did not answer in time. It may have done what it was asked.
    #[error("the store at {address} did not answer within {waited:?}")]
    TimedOut {
        /// Where.
        address: String,
        /// For how long.
        waited: Duration,
    },
    /// The store is there and cannot serve now: it loads, fails over, or has a full disk.
    #[error("the store at {address} cannot serve now: {reason}")]
    Unready {
        /// Where.
        address: String,
        /// What it said.
        reason: String,
    },
    /// The store's memory is full, so it plans nothing new. Taking and settling go on, so it drains.
    #[error(
        "the store at {address} has no memory left: no new units until some are settled, or maxmemory is raised"
    )]
    Full {
        /// Where.
        address: String,
    },
    /// What answers cannot be used as a store.
    #[error("the server at {address} cannot hold work units: {what}; {next}")]
    NotAStore {
        /// Where.
        address: String,
        /// What is wrong with it.
        what: String,
        /// What to do about it.
        next: String,
    },
    /// The store answered something that no store answers. Nothing is guessed from it.
    #[error(
        "the store at {address} gave an answer that makes no sense: {what}; does something else write to its keys?"
    )]
    BadReply {
        /// Where.
        address: String,
        /// What was wrong.
        what: String,
    },
}

impl StoreError {
    /// Whether trying again, after a while, may succeed.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Unready { .. } | Self::Full { .. } => {
                true
            }
            Self::Refused(_) | Self::NotAStore { .. } | Self::BadReply { .. } => false,
        }
    }

    /// Why the store said no, if it did.
    #[must_use]
    pub const fn refused(&self) -> Option<&Refused> {
        match self {
            Self::Refused(refused) => Some(refused),
            _ => None,
        }
    }
}

impl From<Invalid> for StoreError {
    fn from(invalid: Invalid) -> Self {
        Self::Refused(Refused::Invalid(invalid))
    }
}
