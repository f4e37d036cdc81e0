//! How a person or a supervisor asks a running command to stop.

use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{Exit, Failure, Outcome};

/// Waits for SIGTERM, or Ctrl-C.
///
/// # Errors
/// It was Ctrl-C: the command ends with 130 after it has cleaned up. (Or signals cannot be heard.)
pub(crate) async fn asked() -> Outcome {
    let deaf = |error| Failure::failed(format!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(deaf)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(deaf)?;
    tokio::select! {
        biased;
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Err(Failure::new(Exit::Interrupted, "")),
    }
}
