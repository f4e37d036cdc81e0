//! How a producer is set up, and where its sender runs.

use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::buffer::{Shared, Wall};
use super::options::Options;
use super::sender::Sender;
use super::{Inner, Producer};
use crate::client::{Client, ClientBuilder, Transport};
use crate::config::Settings;
use crate::error::{Error, Result};

/// Sets up a [`Producer`].
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until build is called"]
pub struct ProducerBuilder {
    client: ClientBuilder,
    settings: Settings,
    wrong: Option<Error>,
    here: bool,
    over: Option<Client>,
    simulated_from: Option<i64>,
    metrics: bool,
}

impl ProducerBuilder {
    /// The brokers to start from: `host:port`, separated by commas.
    pub fn brokers(self, brokers: impl Into<String>) -> Self {
        self.set("bootstrap.servers", brokers)
    }

    /// Any setting of [`PROPERTIES`](crate::config::PROPERTIES) by its name, such as
    /// `compression.type`, `linger.ms` or `acks`.
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
        self.client = self.client.transport(transport);
        self
    }

    /// Where chance comes from (pauses, partitions of records without key). From the system unless told
    /// otherwise.
    pub fn seed(mut self, seed: u64) -> Self {
        self.client = self.client.seed(seed);
        self
    }

    /// Sends over the connections of this client, with its settings, as a task of the runtime that calls
    /// [`ProducerBuilder::build`]. The client stays open when the producer ends.
    pub fn over(mut self, client: &Client) -> Self {
        self.settings = client.settings().clone();
        (self.over, self.here) = (Some(client.clone()), true);
        self
    }

    /// Runs the sender as a task of the runtime that calls [`ProducerBuilder::build`], instead of on a
    /// thread of its own. A thread costs less per record; a task is what simulations need.
    pub fn on_this_runtime(mut self) -> Self {
        self.here = true;
        self
    }

    /// Takes the time of records from the runtime's clock, counted from this time (milliseconds since
    /// 1970), instead of from the system: for simulations under paused time.
    pub fn simulated_time(mut self, milliseconds: i64) -> Self {
        self.simulated_from = Some(milliseconds);
        self
    }

    /// Publishes metrics to the recorder that the program installed for the `metrics` crate. It does not.
    pub fn metrics(mut self, publish: bool) -> Self {
        self.metrics = publish;
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// A setting cannot be used, or no broker of the list can be.
    pub async fn build(self) -> Result<Producer> {
        if let Some(error) = self.wrong {
            return Err(error);
        }
        let options = Options::new(&self.settings)?;
        let compressor = options.compressor()?;
        let wall = self.simulated_from.map_or(Wall::System, |from| Wall::From(Instant::now(), from));
        let shared = Arc::new(Shared::new(options, wall));
        let (client, settings, lent, metrics) = (self.client, self.settings, self.over, self.metrics);
        let shuts = lent.is_none();
        let connect = async move {
            match lent {
                Some(client) => Ok(client),
                None => client.settings(settings).connect().await,
            }
        };
        let (over, ended) = oneshot::channel();
        let of_sender = Arc::clone(&shared);
        let sender = move |client: Client| async move {
            client.traffic().add_producer(Arc::downgrade(&of_sender) as _);
            let publishing = metrics.then(|| tokio::spawn(client.clone().publish_metrics()));
            Sender::new(of_sender, client.clone(), compressor).run().await;
            publishing.iter().for_each(tokio::task::JoinHandle::abort);
            if shuts {
                client.close();
            }
            let _ = over.send(());
        };
        if self.here {
            let client = connect.await?;
            tokio::spawn(sender(client));
        } else {
            let (told, outcome) = oneshot::channel();
            let work = async move {
                match connect.await {
                    Err(error) => drop(told.send(Err(error))),
                    Ok(client) => {
                        if told.send(Ok(())).is_ok() {
                            sender(client).await;
                        }
                    }
                }
            };
            let failed = |error: std::io::Error| Error::config("the producer's thread", error.to_string());
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
            std::thread::Builder::new()
                .name("logmill-producer".to_owned())
                .spawn(move || runtime.block_on(work))
                .map_err(failed)?;
            outcome.await.unwrap_or(Err(Error::Closed { what: "the producer's thread" }))?;
        }
        Ok(Producer { inner: Arc::new(Inner { shared, ended: Mutex::new(Some(ended)) }) })
    }
}
