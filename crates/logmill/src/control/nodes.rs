//! What is asked of single nodes: to be quiet, to work again, to drain.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Control;
use crate::error::Result;
use crate::ledger::{Entry, EntryKey, Logged};

/// What a node is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Wish {
    /// Take no more units; handle what is in hand, and stay a member of the group.
    Quiet,
    /// End in good order.
    Drain,
}

/// Something is asked of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeAsked {
    /// The node.
    pub node: String,
    /// What.
    pub wish: Wish,
    /// Who asked for it.
    pub by: String,
    /// Since when, in milliseconds since 1970, by the broker's or the asking program's clock.
    pub since_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct Body {
    wish: Wish,
    by: String,
}

impl NodeAsked {
    fn entry(node: &str, wish: Wish, by: &str) -> Result<Entry> {
        Entry::new(EntryKey::of_node(node), &Body { wish, by: by.to_owned() })
    }

    /// What the entry says about the node; none where it was taken away.
    pub(super) fn read(node: &str, logged: &Logged<Option<Bytes>>) -> Result<Option<Self>> {
        let Some(value) = &logged.value else { return Ok(None) };
        let Body { wish, by } = Entry::read(&logged.key, value)?;
        Ok(Some(Self { node: node.to_owned(), wish, by, since_ms: logged.written_ms }))
    }
}

impl Control {
    /// Has a node take no more units. What is in its hands is handled, and it stays a member of the group: what it
    /// organises it goes on organising, and with its store in memory nobody else handles its partitions meanwhile. It
    /// is so until it is [resumed](Self::resume_node) or ends. False if it was asked already.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub async fn quiet(&self, node: &str, by: &str) -> Result<bool> {
        self.wish(node, Wish::Quiet, by).await
    }

    /// Has a node end in good order, as a signal to its process would: what no handler has begun goes back, the rest is
    /// settled and committed, and it leaves. The entry goes with the node. False if it was asked already.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub async fn drain(&self, node: &str, by: &str) -> Result<bool> {
        self.wish(node, Wish::Drain, by).await
    }

    /// Has a quiet node take units again. False if it was not asked to be quiet. A node that drains is not held up.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub async fn resume_node(&self, node: &str) -> Result<bool> {
        if self.asked().await?.of_node(node).is_none_or(|asked| asked.wish != Wish::Quiet) {
            return Ok(false);
        }
        self.forget(node).await?;
        Ok(true)
    }

    /// Takes away what is asked of nodes that ended without a word: those that are not `up`. A node that ends in good
    /// order does so itself.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub async fn forget_gone(&self, up: impl Fn(&str) -> bool) -> Result<()> {
        for asked in self.asked().await?.nodes().filter(|asked| !up(&asked.node)) {
            self.forget(&asked.node).await?;
        }
        Ok(())
    }

    async fn forget(&self, node: &str) -> Result<()> {
        self.ledger.remove(&EntryKey::of_node(node)).await
    }

    async fn wish(&self, node: &str, wish: Wish, by: &str) -> Result<bool> {
        if self.asked().await?.of_node(node).is_some_and(|asked| asked.wish == wish) {
            return Ok(false);
        }
        self.ledger.append(&NodeAsked::entry(node, wish, by)?).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Asked;
    use super::*;

    #[test]
    fn a_node_of_any_name_is_asked_and_no_longer() {
        let mut asked = Asked::default();
        for name in ["api-3", "a/b/7", "", "a b\n"] {
            let entry = NodeAsked::entry(name, Wish::Quiet, "ann").unwrap();
            let logged = |value| Logged::new(entry.key.clone(), value, 0, 5);
            assert!(asked.hear(&logged(Some(entry.value().clone()))).unwrap());
            assert!(!asked.hear(&logged(Some(entry.value().clone()))).unwrap(), "it was already");
            let found = asked.of_node(name).unwrap();
            assert_eq!((found.wish, &*found.by, found.since_ms), (Wish::Quiet, "ann", 5));
            assert!(asked.hear(&logged(None)).unwrap() && asked.of_node(name).is_none());
        }
        let unknown = Bytes::from_static(br#"{"v":1,"wish":"dance","by":"ann"}"#);
        assert!(asked.hear(&Logged::new(EntryKey::of_node("a"), Some(unknown), 0, 5)).is_err());
    }
}
