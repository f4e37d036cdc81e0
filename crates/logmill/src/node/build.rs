//! From a builder to a node that works.

use std::sync::Arc;

use super::Node;
#[cfg(feature = "admin-http")]
use super::admin::Bound;
use super::builder::{NodeBuilder, StoreChoice, Work};
use super::dead::DeadLetters;
use super::dead_topic::DeadTopic;
use super::metrics::{Metrics, Publisher};
use super::state::NodeState;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::observe::Sinks;
use crate::store::{MemoryStore, RedisOptions, RedisStore, Store, Timed};

impl<W: Work> NodeBuilder<W> {
    /// Connects, and begins to take units.
    ///
    /// # Errors
    /// A setting cannot be used, the address cannot be listened on, no broker answers, a topic does not exist, the group reads it in another
    /// order, or the store cannot be used.
    pub async fn build(mut self) -> Result<Node> {
        self.settings.check()?;
        if self.settings.node.is_empty() {
            self.settings.node = default_name(self.settings.seed);
        }
        let engine = super::engine::Engine::start(self.background)
            .map_err(|error| Error::config("background", format!("the system gives no thread: {error}")))?;
        let ended = |_| Error::Closed { what: "the node" };
        let sinks = Sinks { global: self.settings.metrics != Metrics::Off, own: None };
        #[cfg(feature = "admin-http")]
        let admin = match self.admin_http {
            Some(address) => {
                if !sinks.global {
                    self.settings.metrics = Metrics::ByTopic;
                }
                let bound = engine.spawn(async move { Bound::to(&address).await });
                Some(bound.await.map_err(ended)??)
            }
            None => None,
        };
        let (settings, client, store) = (self.settings, self.client, self.store);
        let private_store = matches!(store, StoreChoice::Memory);
        let (group, topics, order) = (settings.group.clone(), settings.topics.clone(), settings.order);
        let (ledger_topic, dead_topic) = (settings.ledger_topic.clone(), settings.dead_letter_topic.clone());
        let redis =
            RedisOptions { seed: settings.seed, timeout: settings.lease / 3, ..RedisOptions::default() };
        let connect = async move {
            let client = client.connect().await?;
            for topic in topics.iter().chain(&dead_topic) {
                client.topic(topic).await?;
            }
            order.is_that_of(&client, &group, &topics).await?;
            let ledger = match ledger_topic {
                Some(topic) => Ledger::of_topic(&client, topic),
                None => Ledger::open(&client, &group),
            };
            let dead = DeadLetters::new(ledger, dead_topic.map(|topic| DeadTopic::new(&client, &topic)));
            let store: Arc<dyn Store> = match store {
                StoreChoice::Memory => Arc::new(MemoryStore::new()),
                StoreChoice::Redis(url) => Arc::new(RedisStore::connect(&url, &group, redis).await?),
                StoreChoice::Given(store) => store,
            };
            Ok::<_, Error>((client, store, dead))
        };
        let connected = engine.spawn(connect).await;
        let (client, store, dead) = connected.map_err(ended)??;
        let is_timed = settings.metrics != Metrics::Off && !private_store;
        let timed = is_timed.then(|| Arc::new(Timed::new(store.clone())));
        let store = timed.clone().map_or(store, |timed| timed as _);
        let state = Arc::new(NodeState::new(settings, store, timed, dead, engine.handle().clone()));
        let slots = self.work.slots(&state);
        #[cfg_attr(not(feature = "admin-http"), expect(unused_mut))]
        let mut publisher = Publisher {
            state: state.clone(),
            client: client.clone(),
            sinks,
            slots: slots.clone(),
            private_store,
        };
        let mut node = Node::start(engine, client, state, slots, private_store);
        #[cfg(feature = "admin-http")]
        if let Some(bound) = admin {
            publisher.sinks.own = Some(bound.recorder());
            node.serve(bound, publisher.clone());
        }
        if publisher.sinks.is_any() {
            node.publish(publisher);
        }
        Ok(node)
    }
}

fn default_name(seed: u64) -> String {
    let host = std::env::var("HOSTNAME").ok().filter(|host| !host.is_empty() && host.len() < 200);
    format!("{}-{}-{:04x}", host.as_deref().unwrap_or("node"), std::process::id(), seed & 0xffff)
}
