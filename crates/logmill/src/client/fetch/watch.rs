//! Waits for new records without reading them: one Fetch at each leader that the broker holds back until
//! there is something.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use logmill_protocol::ids::{Offset, Partition};

use super::Isolation;
use super::fleet::{Event, Fleet};
use super::flight::Terms;
use super::stream::Position;
use crate::client::cluster::{Client, Purpose};
use crate::error::Result;

impl Client {
    /// Watches partitions for growth that a reader of the given isolation can see.
    #[must_use]
    pub fn watch(&self, isolation: Isolation) -> Watch {
        let max_wait = self.settings().duration("fetch.max.wait.ms");
        Watch { fleet: Fleet::new(self.clone()), isolation, max_wait }
    }
}

/// A partition that has grown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grown {
    /// The partition.
    pub partition: Partition,
    /// The first offset that the reader cannot see: the last stable offset, or the high watermark.
    pub end: Offset,
    /// Its high watermark.
    pub high_watermark: Offset,
    /// Its last stable offset: no transaction is open below it.
    pub last_stable: Offset,
    /// The first offset that its log has.
    pub log_start: Offset,
}

/// Tells of partitions that grow. Made by [`Client::watch`].
#[derive(Debug)]
pub struct Watch {
    fleet: Fleet,
    isolation: Isolation,
    max_wait: Duration,
}

impl Watch {
    /// Watches a partition, of which everything below `seen` is known. A partition that has grown is
    /// watched on from its new end without being told.
    pub fn set(&mut self, partition: Partition, seen: Offset) {
        let known = self.fleet.position(&partition);
        if known.is_none_or(|known| known.offset != seen) {
            self.fleet.seek(partition, Position::at(seen));
        }
    }

    /// Watches a partition no more.
    pub fn remove(&mut self, partition: &Partition) {
        self.fleet.remove(partition);
    }

    /// The partitions that are watched.
    pub fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.fleet.partitions()
    }

    /// Waits until a partition has grown. May be dropped while it waits: nothing is lost.
    ///
    /// # Errors
    /// A partition cannot be watched on: what was seen of it was deleted or truncated, or its topic is
    /// gone. It is left out until it is set anew; the others go on.
    pub async fn next(&mut self) -> Result<Grown> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Grown>> {
        loop {
            let terms = Terms {
                isolation: self.isolation,
                max_wait: self.max_wait,
                // One byte satisfies the broker. It sends one whole batch all the same, which is let go.
                min_bytes: 1,
                max_bytes: 1,
                purpose: Purpose::Watch,
            };
            // What landed before is told first: a fetch that took off meanwhile would ask for it again.
            let waiting = self.fleet.has_events();
            let moved = waiting || self.fleet.poll(context, 1, |_| Some(terms.clone()));
            let mut told = None;
            while told.is_none()
                && let Some(event) = self.fleet.next_event()
            {
                told = match event {
                    Event::Stopped(error) => Some(Err(error)),
                    Event::Landed(wanted, data) => {
                        let end = match self.isolation {
                            Isolation::Committed => data.last_stable_offset,
                            Isolation::Uncommitted => data.high_watermark,
                        };
                        // A new leader may know less than the old one at first.
                        (end > wanted.offset).then(|| {
                            self.fleet.go_on(&wanted.partition, Position::at(end));
                            Ok(Grown {
                                partition: wanted.partition,
                                end,
                                high_watermark: data.high_watermark,
                                last_stable: data.last_stable_offset,
                                log_start: data.log_start_offset,
                            })
                        })
                    }
                };
            }
            match told {
                Some(told) => return Poll::Ready(told),
                None if moved => {}
                None => return Poll::Pending,
            }
        }
    }
}
