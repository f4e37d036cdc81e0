//! How a person or a supervisor asks a running command to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::{Exit, Failure, Outcome};

/// Hears SIGTERM and Ctrl-C from when it is made on.
#[derive(Debug)]
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// # Errors
    /// Signals cannot be heard.
    pub(crate) fn listen() -> Outcome<Self> {
        let deaf = |error| Failure::failed(format!("cannot listen for signals: {error}"));
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(deaf)?,
            interrupt: signal(SignalKind::interrupt()).map_err(deaf)?,
        })
    }

    /// Waits until it is asked. Dropping the future loses nothing.
    ///
    /// # Errors
    /// It was Ctrl-C: the command ends with 130 after it has cleaned up.
    pub(crate) async fn asked(&mut self) -> Outcome {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Ok(()),
            _ = self.interrupt.recv() => Err(Failure::new(Exit::Interrupted, "")),
        }
    }
}
