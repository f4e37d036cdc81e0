//! The connection to one Redis server, used by all calls at once, and what its errors mean.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, ErrorKind, FromRedisValue, PushInfo, RedisError, ServerErrorKind};
use tokio::time::timeout;

use super::script::Script;
use super::wake::Wake;
use crate::store::StoreError;

/// The shortest and longest pause before the connection is tried again; drawn at random below it.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How often that is tried before the calls that wait are told.
const RECONNECT_TRIES: usize = 3;

/// One server, over a connection that mends itself.
pub(super) struct Server {
    connection: ConnectionManager,
    /// Host and port, without the password that the URL may hold.
    pub(super) address: String,
    timeout: Duration,
    /// Another is used instead: what this connection still says is of no interest.
    retired: Arc<AtomicBool>,
}

impl Server {
    /// Connects, and subscribes to `channel`, whose words go to `wake`.
    pub(super) async fn open(
        client: Client,
        channel: &str,
        timeout: Duration,
        wake: Arc<Wake>,
    ) -> Result<Self, StoreError> {
        let address = client.get_connection_info().addr().to_string();
        let retired = Arc::new(AtomicBool::new(false));
        let silent = retired.clone();
        let on_push = move |push: PushInfo| {
            if !silent.load(Ordering::Relaxed) {
                wake.heard(&push.kind);
            }
            Ok::<(), std::convert::Infallible>(())
        };
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(Some(timeout))
            .set_min_delay(RECONNECT.0)
            .set_max_delay(RECONNECT.1)
            .set_number_of_retries(RECONNECT_TRIES)
            .set_push_sender(on_push)
            .set_automatic_resubscription();
        let connect = async {
            let mut connection = ConnectionManager::new_with_config(client, config).await?;
            connection.subscribe(channel).await?;
            Ok(connection)
        };
        // Each try may use up the timeout of a connection.
        let patience = (timeout + RECONNECT.1) * (RECONNECT_TRIES as u32 + 1);
        let connection = within(&address, patience, connect).await?;
        Ok(Self { connection, address, timeout, retired })
    }

    /// Sends a command.
    pub(super) async fn send<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        let mut connection = self.connection.clone();
        within(&self.address, self.timeout, command.query_async(&mut connection)).await
    }

    /// Calls a script by its hash, and with its text if the server does not know it: after a restart,
    /// a failover, or a SCRIPT FLUSH.
    pub(super) async fn call(&self, script: &Script, call: &Cmd) -> Result<redis::Value, StoreError> {
        let mut connection = self.connection.clone();
        let answer = async {
            match call.query_async(&mut connection).await {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    script.call_with_text(call).query_async(&mut connection).await
                }
                answer => answer,
            }
        };
        within(&self.address, self.timeout, answer).await
    }

    /// Another is used from now on.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }
}

/// Waits so long for an answer, and tells what an error means.
pub(super) async fn within<T>(
    address: &str,
    wait: Duration,
    answer: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, StoreError> {
    match timeout(wait, answer).await {
        Ok(answer) => answer.map_err(|error| meaning(address, wait, &error)),
        Err(_) => Err(StoreError::TimedOut { address: address.into(), waited: wait }),
    }
}

/// What an error of the client or the server means to a node.
fn meaning(address: &str, waited: Duration, error: &RedisError) -> StoreError {
    let address = address.to_owned();
    let not_a_store = |what: &str, next: &str| StoreError::NotAStore {
        address: address.clone(),
        what: what.into(),
        next: next.into(),
    };
    if error.is_timeout() {
        return StoreError::TimedOut { address, waited };
    }
    if let Some(problem) = certificate(error) {
        return not_a_store(
            &format!("it is not trusted ({problem})"),
            "name the file of whoever certified it in the URL: rediss://host:port/?ca=FILE",
        );
    }
    if error.is_io_error() || error.is_connection_dropped() || error.is_connection_refusal() {
        return StoreError::Unreachable { address, reason: error.to_string() };
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => {
            return not_a_store(
                "it refused the user or password",
                "give them in the URL: redis://user:password@host:port",
            );
        }
        ErrorKind::MasterNameNotFoundBySentinel => {
            return StoreError::Unready { address, reason: error.to_string() };
        }
        ErrorKind::RESP3NotSupported => {
            return not_a_store("it is older than Redis 6", "use Redis 7 or Valkey 7.2, or newer");
        }
        _ => {}
    }
    match error.code() {
        Some("OOM") => StoreError::Full { address },
        Some("NOAUTH" | "WRONGPASS") => not_a_store(
            "it asks for a user and password",
            "give them in the URL: redis://user:password@host:port",
        ),
        Some("NOPERM") => not_a_store(
            &format!("the user may not do what a store must ({error})"),
            "give it the rule that docs/redis.md has",
        ),
        Some(
            "LOADING" | "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "MISCONF" | "BUSY" | "TRYAGAIN" | "MOVED"
            | "ASK" | "NOREPLICAS",
        ) => StoreError::Unready { address, reason: error.to_string() },
        _ => StoreError::BadReply { address, what: error.to_string() },
    }
}

/// What is wrong with the server's certificate, if that is the problem.
fn certificate(error: &RedisError) -> Option<String> {
    // The client does not show the cause but in its text.
    let text = error.to_string();
    Some(text.split_once("invalid peer certificate: ")?.1.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_server_mean_something() {
        let wait = Duration::from_secs(1);
        let meaning = |code: &'static str| {
            let error = redis::make_extension_error(code.to_owned(), Some("because".into()));
            meaning("here:6379", wait, &error)
        };
        assert!(matches!(meaning("OOM"), StoreError::Full { .. }));
        assert!(matches!(meaning("MISCONF"), StoreError::Unready { .. }));
        assert!(matches!(meaning("WRONGTYPE"), StoreError::BadReply { .. }));
        assert!(matches!(meaning("NOAUTH"), StoreError::NotAStore { .. }));
        let lost = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        assert!(super::meaning("here:6379", wait, &lost).is_retriable());
    }
}
