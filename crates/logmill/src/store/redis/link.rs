//! The way to a group's server. Another may become the primary: then the way leads there.
//!
//! Sentinels are asked every few seconds, and at once when a call has failed. A single address is looked at only when
//! a call has failed: behind its name another server may be by now, while the connection still leads to what became a
//! replica.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use redis::{Cmd, FromRedisValue, Value};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::connect::Server;
use super::place::Place;
use super::script::Script;
use super::wake::Wake;
use super::{checks, keys};
use crate::store::StoreError;

/// How often sentinels are asked without a reason.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The pause between two looks, however many calls fail.
const PAUSE: Duration = Duration::from_millis(200);

/// The server that is used now, and how to find the one to use next.
pub(super) struct Link {
    inner: Arc<Inner>,
    _following: AbortOnDropHandle<()>,
}

struct Inner {
    place: Place,
    prefix: String,
    timeout: Duration,
    wake: Arc<Wake>,
    server: Mutex<Arc<Server>>,
    /// A call has failed.
    doubt: Arc<Notify>,
}

impl Link {
    /// Connects to what `url` names and looks whether it can hold the group's keys.
    ///
    /// # Errors
    /// It cannot be reached, or cannot be used.
    pub(super) async fn open(
        url: &str,
        prefix: &str,
        timeout: Duration,
        wake: Arc<Wake>,
    ) -> Result<Self, StoreError> {
        let place = Place::of(url)?;
        let server = connect(&place, prefix, timeout, &wake).await?;
        let doubt = Arc::new(Notify::new());
        let (prefix, server) = (prefix.to_owned(), Mutex::new(Arc::new(server)));
        let inner = Arc::new(Inner { place, prefix, timeout, wake, server, doubt: doubt.clone() });
        let following = tokio::spawn(follow(Arc::downgrade(&inner), doubt, inner.place.is_watched()));
        Ok(Self { inner, _following: AbortOnDropHandle::new(following) })
    }

    /// Where the server is, without the password that the URL may hold.
    pub(super) fn address(&self) -> String {
        self.inner.server().address.clone()
    }

    /// Sends a command.
    pub(super) async fn send<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        self.inner.doubted(self.inner.server().send(command).await)
    }

    /// Calls a script.
    pub(super) async fn call(&self, script: &Script, call: &Cmd) -> Result<Value, StoreError> {
        self.inner.doubted(self.inner.server().call(script, call).await)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("place", &self.inner.place).field("address", &self.address()).finish()
    }
}

impl Inner {
    fn server(&self) -> Arc<Server> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn doubted<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        answer.inspect_err(|error| {
            if error.is_retriable() {
                self.doubt.notify_one();
            }
        })
    }

    /// Goes over to another server if there is a reason to.
    async fn look(&self) -> Result<(), StoreError> {
        let used = self.server();
        if self.place.is_watched() {
            let primary = self.place.primary(self.timeout * 2).await?;
            if primary.get_connection_info().addr().to_string() == used.address {
                return Ok(());
            }
        } else {
            // While it does not answer, its connection mends itself.
            let info = used.send::<String>(&redis::cmd("INFO")).await;
            if !info.is_ok_and(|info| checks::is_replica(&info)) {
                return Ok(());
            }
        }
        let server = connect(&self.place, &self.prefix, self.timeout, &self.wake).await?;
        info!(before = used.address, now = server.address, "the primary is another server now");
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(server);
        used.retire();
        Ok(())
    }
}

async fn connect(
    place: &Place,
    prefix: &str,
    timeout: Duration,
    wake: &Arc<Wake>,
) -> Result<Server, StoreError> {
    let client = place.primary(timeout * 2).await?;
    let server = Server::open(client, &keys::wake(prefix), timeout, wake.clone()).await?;
    checks::run(&server, prefix).await?;
    Ok(server)
}

async fn follow(link: Weak<Inner>, doubt: Arc<Notify>, watched: bool) {
    let longest = if watched { LOOK_EVERY } else { Duration::MAX };
    // Of an outage, the first look that fails is told, not five each second.
    let mut told = false;
    loop {
        // Late or not: look.
        let _ = timeout(longest, doubt.notified()).await;
        let Some(link) = link.upgrade() else { return };
        match link.look().await {
            Ok(()) => told = false,
            Err(error) if !told => {
                warn!(%error, "no other server to go to yet");
                told = true;
            }
            Err(_) => {}
        }
        sleep(PAUSE).await;
    }
}
