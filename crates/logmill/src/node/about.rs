//! What a node says about itself: to its store, and to Kafka's consumer group where it organises.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::settings::Settings;

/// It, as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct About {
    /// Its name. The store has it anyway, and a bound for the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<String>,
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) handlers: usize,
    /// When it began, in milliseconds since 1970 by its own clock.
    pub(crate) since_ms: i64,
    /// No other process shares its store: nobody else handles what it organises.
    pub(crate) private_store: bool,
}

impl About {
    pub(super) fn new(settings: &Settings, private_store: bool) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            node: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            handlers: settings.concurrency,
            since_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            private_store,
        }
    }

    pub(super) fn of(self, node: &str) -> Self {
        Self { node: Some(node.to_owned()), ..self }
    }

    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What a node said; none if that is no node of ours, or of another time.
    pub(crate) fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }
}
