//! How a client is set up.

use std::sync::{Arc, Mutex, OnceLock};

use logmill_protocol::messages::ApiKey;
use logmill_protocol::wire::Str;
use tokio::sync::watch;

use super::backoff::{Backoff, Chance};
use super::metadata::Metadata;
use super::pool::Pool;
use super::{Client, Inner, refresh};
use crate::client::connection::ConnectionOptions;
use crate::client::fetch::Sizing;
use crate::client::traffic::Traffic;
use crate::client::transport::{Address, Transport};
use crate::config::Settings;
use crate::error::{Error, Result};

/// Sets up a [`Client`].
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until connect is called"]
pub struct ClientBuilder {
    settings: Settings,
    transport: Transport,
    seed: Option<u64>,
    caps: Vec<(ApiKey, i16)>,
    /// The first setting that could not be taken; told on connecting, so that calls can be chained.
    wrong: Option<Error>,
}

impl ClientBuilder {
    /// The brokers to start from: `host:port`, separated by commas.
    pub fn brokers(self, brokers: impl Into<String>) -> Self {
        self.set("bootstrap.servers", brokers)
    }

    /// The name that brokers show in logs, quotas and group descriptions.
    pub fn client_id(self, id: impl Into<String>) -> Self {
        self.set("client.id", id)
    }

    /// Any setting of [`PROPERTIES`](crate::config::PROPERTIES) by its name.
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        if let Err(error) = self.settings.set(name, value) {
            self.wrong.get_or_insert(error);
        }
        self
    }

    /// All settings at once, in place of those given before.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// How streams to brokers are opened. TCP unless told otherwise.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Where chance comes from (pauses, choice of brokers). Two runs with one seed draw the same. From
    /// the system unless told otherwise.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Sends no newer version of a request than this one: to stay clear of a broker's bug, or to test
    /// what an older one does.
    pub fn newest_version(mut self, api: ApiKey, version: i16) -> Self {
        self.caps.push((api, version));
        self
    }

    /// Connects: asks the first broker that answers for the others.
    ///
    /// # Errors
    /// A setting cannot be used, or no broker of the list can be.
    pub async fn connect(self) -> Result<Client> {
        if let Some(error) = self.wrong {
            return Err(error);
        }
        let settings = self.settings;
        let bootstrap = Address::list(settings.text("bootstrap.servers"))?;
        let chance = Chance::new(self.seed.unwrap_or_else(rand::random));
        let backoff = |first, longest| Backoff {
            first: settings.duration(first),
            longest: settings.duration(longest).max(settings.duration(first)),
            chance: chance.clone(),
        };
        let traffic = Arc::new(Traffic::default());
        let options = ConnectionOptions {
            client_id: settings.optional("client.id").map(Str::from),
            connect_timeout: settings.duration("socket.connection.setup.timeout.ms"),
            request_timeout: settings.duration("request.timeout.ms"),
            frame_limit: settings.bytes("receive.message.max.bytes"),
            max_idle: settings.duration("connections.max.idle.ms"),
            caps: self.caps.into(),
            traffic: traffic.clone(),
            ..Default::default()
        };
        let reconnect = backoff("reconnect.backoff.ms", "reconnect.backoff.max.ms");
        let inner = Arc::new(Inner {
            pool: Pool::new(self.transport, options, reconnect),
            backoff: backoff("retry.backoff.ms", "retry.backoff.max.ms"),
            bootstrap,
            chance,
            metadata: Mutex::new(Metadata::default()),
            refreshing: tokio::sync::Mutex::default(),
            changes: watch::Sender::new(0),
            coordinators: Mutex::default(),
            sizing: Sizing::default(),
            traffic,
            background: OnceLock::new(),
            settings,
        });
        let client = Client { inner };
        client.refresh(&[], client.api_deadline()).await?;
        let every = client.inner.settings.duration("metadata.max.age.ms");
        let task = tokio::spawn(refresh::keep_fresh(Arc::downgrade(&client.inner), every));
        let _ = client.inner.background.set(task.abort_handle());
        Ok(client)
    }
}
