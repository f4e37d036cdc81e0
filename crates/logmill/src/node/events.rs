//! Events on their way to whoever listens. A listener that is slow loses some and is told how many; it holds up nobody,
//! and where none listens none is made.

use std::collections::BTreeSet;
use std::sync::Mutex;

use logmill_protocol::ids::Partition;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::event::Event;
use super::state::lock;

/// So many events are kept for a listener that is behind.
const KEPT: usize = 256;

/// A longer text of an error is cut, in bytes.
const LONGEST_TEXT: usize = 1 << 10;

/// A node's own end.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// None until somebody listens, and once the node has ended.
    sender: Option<broadcast::Sender<Event>>,
    ended: bool,
    assigned: BTreeSet<Partition>,
}

impl Teller {
    /// Tells what `event` makes, if anybody listens.
    pub(crate) fn tell(&self, event: impl FnOnce() -> Event) {
        if let Some(sender) = &lock(&self.inner).sender
            && sender.receiver_count() > 0
        {
            // Whoever listened may have gone this moment.
            let _ = sender.send(event());
        }
    }

    /// These partitions came to this node's organiser.
    pub(crate) fn assigned(&self, partitions: &[Partition]) {
        lock(&self.inner).assigned.extend(partitions.iter().cloned());
        self.tell(|| Event::Assigned { partitions: partitions.to_vec() });
    }

    /// How many partitions this node's organiser has.
    pub(crate) fn assigned_count(&self) -> usize {
        lock(&self.inner).assigned.len()
    }

    /// These partitions go from this node's organiser.
    pub(crate) fn unassigned(&self, partitions: &[Partition], event: fn(Vec<Partition>) -> Event) {
        lock(&self.inner).assigned.retain(|partition| !partitions.contains(partition));
        self.tell(|| event(partitions.to_vec()));
    }

    /// Listens from now on; is told first what is assigned.
    pub(crate) fn listen(&self) -> Events {
        let mut inner = lock(&self.inner);
        let receiver = if inner.ended {
            broadcast::Sender::new(1).subscribe()
        } else {
            inner.sender.get_or_insert_with(|| broadcast::Sender::new(KEPT)).subscribe()
        };
        let partitions: Vec<_> = inner.assigned.iter().cloned().collect();
        let first = (!partitions.is_empty()).then_some(Event::Assigned { partitions });
        Events { first, receiver }
    }

    /// Nothing comes any more.
    pub(crate) fn end(&self) {
        let mut inner = lock(&self.inner);
        (inner.sender, inner.ended) = (None, true);
    }
}

/// What a node tells while it runs; made by [`Node::events`](super::Node::events).
#[derive(Debug)]
pub struct Events {
    first: Option<Event>,
    receiver: broadcast::Receiver<Event>,
}

impl Events {
    /// What comes next; `None` once the node has ended. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(missed)) => Some(Event::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}

/// The beginning of a text.
pub(super) fn cut(text: &str) -> String {
    let end = (0..=LONGEST_TEXT.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
    text[..end.unwrap_or_default()].to_owned()
}
