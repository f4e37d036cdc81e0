//! One copy of CMD, kept running: started again when it ends, after a pause that grows while it does nothing.

use std::ffi::OsString;
use std::time::Duration;

use super::super::node::Inbox;
use super::running::Running;
use super::talk::{Ended, Limits, talk};
use crate::exit::{Failure, Outcome};

/// The pause after a CMD that ended without an answer, doubled for each more, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What to run, and how much it may hold.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    pub(super) command: Vec<OsString>,
    pub(super) limits: Limits,
}

impl Copy {
    /// Runs until the inbox ends.
    ///
    /// # Errors
    /// CMD cannot be started the first time: then there is something wrong with it, not with a record.
    pub(super) async fn keep_running(self, inbox: Inbox) -> Outcome {
        let name = self.command.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut pause: Option<Duration> = None;
        loop {
            let ended = match Running::start(&self.command) {
                Ok(running) => talk(running, &inbox, self.limits).await,
                Err(error) if pause.is_none() => {
                    return Err(Failure::failed(format!("{name} cannot be started: {error}")));
                }
                Err(error) => Ended { answers: 0, in_vain: Some(format!("cannot be started: {error}")) },
            };
            if inbox.has_ended() {
                return Ok(());
            }
            let next = match (ended.answers, pause) {
                (0, Some(before)) => (before * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE),
                (0, None) => FIRST_PAUSE,
                _ => Duration::ZERO,
            };
            if let Some(why) = ended.in_vain {
                eprintln!("logmill: {name} {why}; it is started again in {next:?}");
            }
            tokio::select! {
                () = tokio::time::sleep(next) => {}
                () = inbox.ended() => return Ok(()),
            }
            pause = Some(next);
        }
    }
}
