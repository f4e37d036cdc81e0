//! Why a server did not start, and what to do about it.

use std::path::PathBuf;
use std::time::Duration;

/// A server could not be started, stopped or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// The software is not on this machine.
    #[error(
        "{what} not found: {looked}. Run `cargo xtask servers` (or `cargo xtask test`), or leave these tests out with LOGMILL_SKIP={skip}"
    )]
    Missing {
        /// What is missing.
        what: String,
        /// Where it was looked for.
        looked: String,
        /// What `LOGMILL_SKIP` must name to leave its tests out.
        skip: &'static str,
    },
    /// The operating system refused.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The server ended, or was not ready in time.
    #[error("{name} {how}; its log is {}, and ends:\n{tail}", log.display())]
    NotReady {
        /// Which server.
        name: String,
        /// What happened to it.
        how: String,
        /// Its log, kept.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// Somebody else took the server's port first, again and again.
    #[error("{name} found its port taken, several times over; see what listens between 18000 and 32000")]
    PortTaken {
        /// Which server.
        name: String,
    },
    /// The server did not end when asked.
    #[error("{name} still runs {} s after SIGTERM; it was killed", after.as_secs())]
    WouldNotStop {
        /// Which server.
        name: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The server answered with an error.
    #[error("{name} answered {command:?} with: {answer}")]
    Refused {
        /// Which server.
        name: String,
        /// What it was asked.
        command: String,
        /// What it answered.
        answer: String,
    },
}

impl LaunchError {
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
