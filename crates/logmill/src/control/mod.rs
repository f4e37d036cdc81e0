//! What operators ask of a running group: to pause and go on, to go back or forward in its partitions, and of its nodes
//! to be quiet or to drain.
//!
//! It is written to the group's ledger, which every node follows. So it works with every store and survives an empty
//! one, and a node that starts knows it before it takes its first unit.
//!
//! | file | has |
//! |---|---|
//! | `scope` | what of a group is meant |
//! | `asked` | what is asked now, as the ledger says |
//! | `nodes` | what is asked of single nodes |
//! | `rewind` | going back or forward: planned, asked for, waited for |

mod asked;
mod nodes;
mod rewind;
mod scope;

pub use self::asked::{Asked, Pause, Rewind};
pub use self::nodes::{NodeAsked, Wish};
pub(crate) use self::rewind::skipped;
pub use self::rewind::{Planned, Target};
pub use self::scope::Scope;
use crate::client::Client;
use crate::error::Result;
use crate::ledger::{Ledger, Logged};

/// Asks things of a group. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    client: Client,
    group: String,
    ledger: Ledger,
}

impl Control {
    /// Of the group, whose ledger is in the topic that it is in unless its nodes were told otherwise.
    #[must_use]
    pub fn open(client: &Client, group: &str) -> Self {
        Self::with_ledger(client, group, Ledger::open(client, group))
    }

    /// Of a group whose ledger is in a topic of its own choice.
    #[must_use]
    pub fn with_ledger(client: &Client, group: &str, ledger: Ledger) -> Self {
        Self { client: client.clone(), group: group.to_owned(), ledger }
    }

    /// Pauses: no handler begins a record of the scope any more, until it is resumed. Handlers at work end, and
    /// their records are settled. False if it was paused already; then reason and name are replaced.
    ///
    /// Nodes hear of it at once where the ledger exists, else within two seconds.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub async fn pause(&self, scope: &Scope, reason: &str, by: &str) -> Result<bool> {
        let was_paused = self.asked().await?.pauses().any(|pause| pause.scope == *scope);
        self.ledger.append(&Pause::entry(scope, reason, by)?).await?;
        Ok(!was_paused)
    }

    /// Resumes what was paused as this scope; a topic that was paused by itself stays so when its group is resumed.
    /// False if it was not paused.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub async fn resume(&self, scope: &Scope) -> Result<bool> {
        if !self.asked().await?.pauses().any(|pause| pause.scope == *scope) {
            return Ok(false);
        }
        self.ledger.remove(&scope.key()).await?;
        Ok(true)
    }

    /// What is asked of the group now.
    ///
    /// # Errors
    /// The ledger cannot be read, or says something that this version does not know.
    pub async fn asked(&self) -> Result<Asked> {
        let mut asked = Asked::default();
        let mut entries = self.ledger.asked().await?;
        while let Some(Logged { key, value, at, written_ms, .. }) = entries.next().await? {
            asked.hear(&Logged::new(key, Some(value), at, written_ms))?;
        }
        Ok(asked)
    }

    /// Whether the group's ledger exists, so that nodes hear at once what is asked.
    ///
    /// # Errors
    /// Kafka cannot be asked.
    pub async fn is_heard_at_once(&self) -> Result<bool> {
        Ok(!self.client.admin().describe_topics(&[self.ledger.topic()]).await?.is_empty())
    }
}
