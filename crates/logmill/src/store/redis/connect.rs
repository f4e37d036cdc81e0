//! The connection to Redis: one per store, used by all its calls at once, and what its errors mean.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{
    Client, Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo, ProtocolVersion, PushInfo, RedisError,
    ServerErrorKind,
};
use tokio::time::timeout;

use super::script::Script;
use super::wake::Wake;
use crate::store::StoreError;

/// The shortest and longest pause before the connection is tried again; drawn at random below it.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How often that is tried before the calls that wait are told.
const RECONNECT_TRIES: usize = 3;

/// A connection that mends itself.
pub(super) struct Link {
    connection: ConnectionManager,
    /// Host and port, without the password that the URL may hold.
    pub(super) address: String,
    timeout: Duration,
}

impl Link {
    /// Connects to a `redis://` URL and subscribes to `channel`, whose words go to `wake`.
    pub(super) async fn open(
        url: &str,
        channel: &str,
        timeout: Duration,
        wake: Arc<Wake>,
    ) -> Result<Self, StoreError> {
        let info = url.into_connection_info().map_err(|error| StoreError::NotAStore {
            address: "the given address".into(),
            what: format!("it is no Redis URL ({error})"),
            next: "write it as redis://[user:password@]host:port[/database]".into(),
        })?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let info = info.set_redis_settings(settings);
        let address = info.addr().to_string();
        let on_push = move |push: PushInfo| {
            wake.heard(&push.kind);
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
            let client = Client::open(info)?;
            let mut connection = ConnectionManager::new_with_config(client, config).await?;
            connection.subscribe(channel).await?;
            Ok(connection)
        };
        // Each try may use up the timeout of a connection.
        let patience = (timeout + RECONNECT.1) * (RECONNECT_TRIES as u32 + 1);
        let connection = within(&address, patience, connect).await?;
        Ok(Self { connection, address, timeout })
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
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn within<T>(
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
            "grant it EVAL, EVALSHA, SUBSCRIBE and the commands in the scripts on the keys logmill:*",
        ),
        Some(
            "LOADING" | "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "MISCONF" | "BUSY" | "TRYAGAIN" | "MOVED"
            | "ASK" | "NOREPLICAS",
        ) => StoreError::Unready { address, reason: error.to_string() },
        _ => StoreError::BadReply { address, what: error.to_string() },
    }
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
