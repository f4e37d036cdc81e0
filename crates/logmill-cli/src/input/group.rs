//! Which group a command is about, and the way to it.

use logmill::client::Client;
use logmill::control::Control;
use logmill::ledger::Ledger;
use logmill::store::{RedisOptions, RedisStore};

use super::Connect;
use crate::exit::Outcome;

/// The group that is meant, as a word or as -g.
#[derive(Debug, clap::Args)]
pub(crate) struct OfGroup {
    /// The group
    #[arg(value_name = "GROUP", required_unless_present = "group")]
    name: Option<String>,
    /// The group, as in other commands
    #[arg(short = 'g', long, conflicts_with = "name")]
    group: Option<String>,
    #[command(flatten)]
    way: Way,
}

/// The group that is meant, where a word of its own stands for something else.
#[derive(Debug, clap::Args)]
pub(crate) struct NamedGroup {
    /// The group
    #[arg(short = 'g', long)]
    group: String,
    #[command(flatten)]
    way: Way,
}

/// Where a group's state is.
#[derive(Debug, clap::Args)]
struct Way {
    #[command(flatten)]
    connect: Connect,
    /// The topic of the group's ledger, where its nodes were given one
    #[arg(long, value_name = "TOPIC")]
    ledger_topic: Option<String>,
    /// Where the group's units are shared. What Kafka has counts, so that most commands need it not
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    redis: Option<String>,
}

impl Way {
    fn ledger(&self, client: &Client, group: &str) -> Ledger {
        match &self.ledger_topic {
            Some(topic) => Ledger::of_topic(client, topic),
            None => Ledger::open(client, group),
        }
    }

    fn control_over(&self, client: &Client, group: &str) -> Control {
        Control::with_ledger(client, group, self.ledger(client, group))
    }

    /// The group's store, if one was named, by --redis or LOGMILL_REDIS.
    async fn store(&self, group: &str) -> Outcome<Option<RedisStore>> {
        let Some(url) = super::redis(self.redis.as_deref()) else { return Ok(None) };
        let store = RedisStore::connect(&url, group, RedisOptions::default()).await;
        Ok(Some(store.map_err(logmill::Error::from)?))
    }
}

impl OfGroup {
    /// Its name.
    pub(crate) fn group(&self) -> &str {
        self.group.as_deref().or(self.name.as_deref()).unwrap_or_default()
    }

    /// The Redis that was named.
    pub(crate) fn redis(&self) -> Option<&str> {
        self.way.redis.as_deref()
    }

    pub(crate) async fn client(&self) -> Outcome<Client> {
        self.way.connect.client().await
    }

    pub(crate) fn ledger(&self, client: &Client) -> Ledger {
        self.way.ledger(client, self.group())
    }

    /// What asks things of it.
    pub(crate) async fn control(&self) -> Outcome<Control> {
        Ok(self.control_over(&self.client().await?))
    }

    pub(crate) fn control_over(&self, client: &Client) -> Control {
        self.way.control_over(client, self.group())
    }

    /// Its store, if one was named.
    pub(crate) async fn store(&self) -> Outcome<Option<RedisStore>> {
        self.way.store(self.group()).await
    }
}

impl NamedGroup {
    /// Its name.
    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    pub(crate) async fn client(&self) -> Outcome<Client> {
        self.way.connect.client().await
    }

    /// What asks things of it.
    pub(crate) async fn control(&self) -> Outcome<Control> {
        Ok(self.control_over(&self.client().await?))
    }

    pub(crate) fn control_over(&self, client: &Client) -> Control {
        self.way.control_over(client, &self.group)
    }

    /// Its store, if one was named.
    pub(crate) async fn store(&self) -> Outcome<Option<RedisStore>> {
        self.way.store(&self.group).await
    }
}

/// Who runs this, to be written down beside what is asked.
pub(crate) fn user() -> String {
    let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
    user.unwrap_or_else(|| "logmill".to_owned())
}
