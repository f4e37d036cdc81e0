//! What is asked of a group now: the ledger's entries, added up.

use std::collections::BTreeMap;

use bytes::Bytes;
use logmill_protocol::ids::{Offset, Partition};
use serde::{Deserialize, Serialize};

use super::nodes::NodeAsked;
use super::scope::Scope;
use crate::error::Result;
use crate::ledger::{Entry, EntryKey, Logged, REWIND};

/// What is asked of a group.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pauses: BTreeMap<Scope, Pause>,
    /// By partition and id, with where the ledger has them: the last one counts.
    rewinds: BTreeMap<Partition, BTreeMap<u64, (Offset, Rewind)>>,
    nodes: BTreeMap<String, NodeAsked>,
}

/// Something is paused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pause {
    /// What is.
    pub scope: Scope,
    /// Why.
    pub reason: String,
    /// Who asked for it.
    pub by: String,
    /// Since when, in milliseconds since 1970, by the broker's or the asking program's clock.
    pub since_ms: i64,
}

/// A partition is to go on at another offset.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rewind {
    /// The partition.
    pub partition: Partition,
    /// The offset.
    pub to: Offset,
    /// Drawn by who asked: a commit carries the id of the last one that was done. Never 0.
    pub id: u64,
    /// Who asked for it.
    pub by: String,
}

#[derive(Serialize, Deserialize)]
struct PauseBody {
    reason: String,
    by: String,
}

#[derive(Serialize, Deserialize)]
struct RewindBody {
    to: Offset,
    by: String,
}

impl Pause {
    pub(super) fn entry(scope: &Scope, reason: &str, by: &str) -> Result<Entry> {
        Entry::new(scope.key(), &PauseBody { reason: reason.to_owned(), by: by.to_owned() })
    }
}

impl Rewind {
    /// Each has a key of its own: taking one away never takes away what was asked after it.
    pub(crate) fn key(&self) -> EntryKey {
        let Partition { topic, index } = &self.partition;
        EntryKey::from_text(format!("{REWIND}/{topic}/{index}/{}", self.id))
    }

    pub(super) fn entry(&self) -> Result<Entry> {
        Entry::new(self.key(), &RewindBody { to: self.to, by: self.by.clone() })
    }
}

impl Asked {
    /// Takes in an entry. True if something is asked now that was not before, or no longer.
    ///
    /// # Errors
    /// It cannot be read: nothing has changed.
    pub(crate) fn hear(&mut self, logged: &Logged<Option<Bytes>>) -> Result<bool> {
        let Logged { key, value, at, written_ms, .. } = logged;
        if let Some(scope) = Scope::of_pause(key) {
            let Some(value) = value else { return Ok(self.pauses.remove(&scope).is_some()) };
            let PauseBody { reason, by } = Entry::read(key, value)?;
            let pause = Pause { scope: scope.clone(), reason, by, since_ms: *written_ms };
            return Ok(self.pauses.insert(scope, pause).is_none());
        }
        if let Some(node) = key.node() {
            let heard = NodeAsked::read(node, logged)?;
            let before = match heard.clone() {
                Some(asked) => self.nodes.insert(node.to_owned(), asked),
                None => self.nodes.remove(node),
            };
            return Ok(before.map(|asked| asked.wish) != heard.map(|asked| asked.wish));
        }
        let (REWIND, Some(partition), Some(id)) = (key.kind(), key.partition(), key.offset()) else {
            return Ok(false);
        };
        let id = id.unsigned_abs();
        let Some(value) = value else {
            let Some(asked) = self.rewinds.get_mut(&partition) else { return Ok(false) };
            asked.remove(&id);
            if asked.is_empty() {
                self.rewinds.remove(&partition);
            }
            return Ok(false);
        };
        let RewindBody { to, by } = Entry::read(key, value)?;
        let rewind = Rewind { partition: partition.clone(), to, id, by };
        self.rewinds.entry(partition).or_default().insert(id, (*at, rewind));
        Ok(true)
    }

    /// What is paused.
    pub fn pauses(&self) -> impl Iterator<Item = &Pause> {
        self.pauses.values()
    }

    /// Whether all of the group is paused.
    #[must_use]
    pub fn is_group_paused(&self) -> bool {
        self.pauses.contains_key(&Scope::Group)
    }

    /// Whether the partition is paused, by itself, with its topic or with the group.
    #[must_use]
    pub fn is_paused(&self, partition: &Partition) -> bool {
        self.pauses.keys().any(|scope| scope.covers(partition))
    }

    /// What is asked of single nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeAsked> {
        self.nodes.values()
    }

    /// What is asked of this node.
    #[must_use]
    pub fn of_node(&self, node: &str) -> Option<&NodeAsked> {
        self.nodes.get(node)
    }

    /// What was asked of a node of this name is not any more. True if anything was.
    pub(crate) fn forget_node(&mut self, node: &str) -> bool {
        self.nodes.remove(node).is_some()
    }

    /// What was asked last of a partition, if it was not taken away since.
    #[must_use]
    pub fn rewind_of(&self, partition: &Partition) -> Option<&Rewind> {
        let asked = self.rewinds.get(partition)?.values();
        asked.max_by_key(|(at, _)| at).map(|(_, rewind)| rewind)
    }

    /// All that was asked of a partition, the oldest first.
    pub(crate) fn rewinds_of(&self, partition: &Partition) -> Vec<Rewind> {
        let mut asked: Vec<_> = self.rewinds.get(partition).into_iter().flat_map(BTreeMap::values).collect();
        asked.sort_by_key(|(at, _)| *at);
        asked.into_iter().map(|(_, rewind)| rewind.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn logged(entry: &Entry, at: Offset) -> Logged<Option<Bytes>> {
        Logged::new(entry.key.clone(), Some(entry.value().clone()), at, 5)
    }

    #[test]
    fn a_topic_paused_by_itself_stays_so_when_the_group_goes_on() {
        let (orders, trees) = (Partition::new("orders", 1), Partition::new("trees", 1));
        let mut asked = Asked::default();
        let topic = Pause::entry(&Scope::Topic("orders".to_owned()), "slow", "ann").unwrap();
        assert!(asked.hear(&logged(&topic, 0)).unwrap());
        assert!(!asked.hear(&logged(&topic, 1)).unwrap(), "it was already");
        assert!(asked.is_paused(&orders) && !asked.is_paused(&trees) && !asked.is_group_paused());
        let group = Pause::entry(&Scope::Group, "", "ann").unwrap();
        assert!(asked.hear(&logged(&group, 2)).unwrap());
        assert!(asked.is_paused(&trees) && asked.is_group_paused());
        assert!(asked.hear(&Logged::new(group.key, None, 3, 5)).unwrap());
        assert!(asked.is_paused(&orders) && !asked.is_paused(&trees));
        let left: Vec<_> = asked.pauses().collect();
        assert_eq!((left.len(), &*left[0].reason, &*left[0].by, left[0].since_ms), (1, "slow", "ann", 5));
    }

    #[test]
    fn the_rewind_asked_last_counts_and_taking_an_older_one_away_leaves_it() {
        let orders = Partition::new("orders", 1);
        let rewind = |id, to| Rewind { partition: orders.clone(), to, id, by: "ann".to_owned() };
        let (first, last) = (rewind(9, 100), rewind(3, 200));
        let mut asked = Asked::default();
        assert!(asked.hear(&logged(&first.entry().unwrap(), 0)).unwrap());
        assert!(asked.hear(&logged(&last.entry().unwrap(), 1)).unwrap());
        assert_eq!(asked.rewind_of(&orders), Some(&last));
        assert_eq!(asked.rewinds_of(&orders), [first.clone(), last.clone()]);
        asked.hear(&Logged::new(first.key(), None, 2, 5)).unwrap();
        assert_eq!(asked.rewind_of(&orders), Some(&last));
        asked.hear(&Logged::new(last.key(), None, 3, 5)).unwrap();
        assert_eq!((asked.rewind_of(&orders), asked.rewinds.len()), (None, 0));
    }

    #[test]
    fn what_cannot_be_read_changes_nothing() {
        let mut asked = Asked::default();
        let key = Scope::Group.key();
        assert!(asked.hear(&Logged::new(key, Some(Bytes::from_static(b"{")), 0, 0)).is_err());
        assert!(!asked.is_group_paused());
    }
}
