//! What a Redis says of itself, for tools.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::{RedisStore, checks};
use crate::store::StoreError;

/// What the server of a [`RedisStore`] says of itself. What it does not show is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisServer {
    /// Its version; Valkey tells the Redis that it is compatible with.
    pub version: Option<String>,
    /// Its `maxmemory-policy`.
    pub eviction: Option<String>,
    /// How many bytes it uses.
    pub used_memory: Option<u64>,
    /// How many bytes it may use.
    pub max_memory: Option<u64>,
    /// Whether it has an append-only file.
    pub append_only: Option<bool>,
    /// How long it took to answer.
    pub answered_in: Duration,
    /// By how many milliseconds its clock is ahead of this machine's; negative if it is behind.
    pub clock_ahead_ms: i64,
}

impl RedisServer {
    /// Whether it has no memory left: it takes no new units then.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.used_memory.zip(self.max_memory).is_some_and(|(used, most)| used >= most)
    }

    fn of(info: &str) -> Self {
        let fields = checks::fields(info);
        let text = |name| fields.get(name).map(|value: &&str| (*value).to_owned());
        let number = |name| fields.get(name).and_then(|value| value.parse::<u64>().ok());
        Self {
            version: text("redis_version"),
            eviction: text("maxmemory_policy"),
            used_memory: number("used_memory"),
            max_memory: number("maxmemory").filter(|most| *most > 0),
            append_only: number("aof_enabled").map(|enabled| enabled == 1),
            ..Self::default()
        }
    }
}

impl RedisStore {
    /// What the server says of itself.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn server(&self) -> Result<RedisServer, StoreError> {
        let mut server = match self.link.send::<String>(&redis::cmd("INFO")).await {
            Ok(info) => RedisServer::of(&info),
            Err(error) if error.is_retriable() => return Err(error),
            // The user may not see it.
            Err(_) => RedisServer::default(),
        };
        let asked = Instant::now();
        let (seconds, micros): (u64, u64) = self.link.send(&redis::cmd("TIME")).await?;
        server.answered_in = asked.elapsed();
        let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // It looked at its clock about halfway.
        let here = here.saturating_sub(server.answered_in / 2);
        let there = Duration::from_secs(seconds).saturating_add(Duration::from_micros(micros));
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        server.clock_ahead_ms = ms(there) - ms(here);
        Ok(server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_with_no_memory_left_is_full_and_one_without_a_limit_never() {
        let of = |used, most| RedisServer::of(&format!("used_memory:{used}\r\nmaxmemory:{most}\r\n"));
        assert!(of(100, 100).is_full() && !of(99, 100).is_full() && !of(100, 0).is_full());
        let server =
            RedisServer::of("redis_version:7.2.4\r\nmaxmemory_policy:noeviction\r\naof_enabled:0\r\n");
        assert_eq!((server.version.as_deref(), server.append_only), (Some("7.2.4"), Some(false)));
        assert_eq!((server.eviction.as_deref(), server.is_full()), (Some("noeviction"), false));
    }
}
