//! A node's metrics: counted where things happen, published once a second and at each scrape.
//!
//! | file | has |
//! |---|---|
//! | `meter` | what is counted, at the price of an atomic |
//! | `look` | what has to be asked for: the group at a glance, the age of the oldest record |
//! | `publish` | names and labels |
//! | `describe` | what each means |

mod describe;
mod look;
mod meter;
mod publish;

use std::sync::Arc;

pub(crate) use self::meter::{Ended, Meter, Place};
use super::slot::StartSlots;
use super::state::{NodeState, lock};
use crate::client::Client;
use crate::observe::{PUBLISH_EVERY, Sinks};

/// How finely a node publishes metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Metrics {
    /// Not at all: nothing is counted for them either.
    #[default]
    Off,
    /// By group and topic.
    ByTopic,
    /// Offsets and gaps by partition too.
    ByPartition,
}

/// What publishing needs.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    pub(crate) state: Arc<NodeState>,
    pub(crate) client: Client,
    pub(crate) sinks: Sinks,
    pub(crate) slots: Arc<dyn StartSlots>,
    /// The store is this process's own.
    pub(crate) private_store: bool,
}

impl Publisher {
    /// Publishes until the node ends.
    pub(crate) async fn run(self) {
        self.client.traffic().turn_on();
        describe::describe(&self.sinks);
        let _last_words = LastWords(&self);
        let mut tick = tokio::time::interval(PUBLISH_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let publishing = async {
            loop {
                tick.tick().await;
                self.publish();
            }
        };
        tokio::join!(publishing, self.look());
    }
}

/// What was counted since is published too, and of what a node is in the midst of, that it no longer is.
struct LastWords<'a>(&'a Publisher);

impl Drop for LastWords<'_> {
    fn drop(&mut self) {
        lock(&self.0.state.meter.places).clear();
        self.0.publish();
        self.0.client.withdraw_from(&self.0.sinks);
    }
}
