//! Where a node's own tasks run.

use std::future::Future;
use std::io;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::settings::Background;

/// A runtime for the node's own tasks, apart from the handlers'. They end when it is dropped.
#[derive(Debug)]
pub(crate) struct Engine {
    handle: Handle,
    /// Dropped to end the thread.
    _running: Option<oneshot::Sender<()>>,
}

impl Engine {
    /// Starts it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(background: Background) -> io::Result<Self> {
        if background == Background::Here {
            return Ok(Self { handle: Handle::current(), _running: None });
        }
        let (running, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        std::thread::Builder::new().name("logmill".to_owned()).spawn(move || {
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, _running: Some(running) })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(crate) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.handle.spawn(task)
    }
}
