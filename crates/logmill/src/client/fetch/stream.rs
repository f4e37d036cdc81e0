//! Reads many partitions without end. What has come is handed out before more is asked for than the
//! buffer may hold, and nothing that was fetched is thrown away.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::task::{Context, Poll};

use logmill_protocol::ids::{Offset, Partition};
use logmill_protocol::messages::fetch::PartitionData;

use super::FetchOptions;
use super::batches::{Fetched, Read, read};
use super::fleet::{Event, Fleet};
use super::flight::{Terms, Wanted};
use crate::client::cluster::{BrokerId, Client, Purpose};
use crate::error::Result;

/// Where to begin in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Position {
    /// The offset to be read first.
    pub offset: Offset,
    /// The leader epoch of the record before it, if it is known, or −1. With it, a log that was cut
    /// back and written anew is noticed.
    pub epoch: i32,
}

impl Position {
    /// Begins at an offset of which nothing else is known.
    #[must_use]
    pub fn at(offset: Offset) -> Self {
        Self { offset, epoch: -1 }
    }

    /// Begins at an offset after a record that was written under this leader epoch.
    #[must_use]
    pub fn after_epoch(offset: Offset, epoch: i32) -> Self {
        Self { offset, epoch }
    }
}

impl Client {
    /// Reads these partitions from these positions on, for ever.
    #[must_use]
    pub fn stream(
        &self,
        from: impl IntoIterator<Item = (Partition, Position)>,
        options: &FetchOptions,
    ) -> RecordStream {
        let mut fleet = Fleet::new(self.clone());
        for (partition, position) in from {
            fleet.seek(partition, position);
        }
        RecordStream { fleet, options: options.clone(), ready: VecDeque::new(), buffered: BTreeMap::new() }
    }
}

/// Records of many partitions as they come. Made by [`Client::stream`].
#[derive(Debug)]
pub struct RecordStream {
    fleet: Fleet,
    options: FetchOptions,
    ready: VecDeque<Result<(BrokerId, Fetched)>>,
    /// The bytes in `ready`, by the broker that sent them.
    buffered: BTreeMap<BrokerId, usize>,
}

impl RecordStream {
    /// Reads a partition from this position on, whether it was read before or not. What was fetched of
    /// it and not taken yet is dropped.
    pub fn seek(&mut self, partition: Partition, position: Position) {
        self.drop_buffered(&partition);
        self.fleet.seek(partition, position);
    }

    /// Reads a partition no more. What was fetched of it and not taken yet is dropped.
    pub fn remove(&mut self, partition: &Partition) {
        self.drop_buffered(partition);
        self.fleet.remove(partition);
    }

    /// The offset to be read next in a partition, as far as batches have been fetched.
    #[must_use]
    pub fn position(&self, partition: &Partition) -> Option<Position> {
        self.fleet.position(partition)
    }

    fn drop_buffered(&mut self, partition: &Partition) {
        let buffered = &mut self.buffered;
        self.ready.retain(|item| match item {
            Ok((broker, fetched)) if fetched.partition == *partition => {
                *buffered.entry(*broker).or_default() -= fetched.bytes;
                false
            }
            _ => true,
        });
    }

    /// What comes next, of whichever partition. Waits until there is something. May be dropped while it
    /// waits: nothing is lost.
    ///
    /// # Errors
    /// A partition cannot be read on: deleted, truncated, damaged, or its topic is gone. The error
    /// names it. It is left out until [`RecordStream::seek`]; the others go on. Failures that pass are
    /// not told, but tried again.
    pub async fn next(&mut self) -> Result<Fetched> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Fetched>> {
        loop {
            // Each leader has its share of the buffer, and fills it again once half of it was taken.
            let share = self.options.buffer_bytes / self.fleet.leaders().max(1);
            let (buffered, options) = (&self.buffered, &self.options);
            let terms = |broker| {
                let held = buffered.get(&broker).copied().unwrap_or_default();
                (held <= share / 2).then(|| Terms {
                    isolation: options.isolation,
                    max_wait: options.max_wait,
                    min_bytes: options.min_bytes,
                    max_bytes: options.max_bytes.min(share - held).max(1),
                    purpose: Purpose::Fetch(options.connection),
                })
            };
            let moved = self.fleet.poll(context, options.partition_bytes, terms);
            while let Some(event) = self.fleet.next_event() {
                match event {
                    Event::Landed(wanted, data) => self.land(&wanted, data),
                    Event::Stopped(error) => self.ready.push_back(Err(error)),
                }
            }
            if moved {
                // What can fly next is put on the wire before the caller gets anything to work on.
                continue;
            }
            return match self.ready.pop_front() {
                None => Poll::Pending,
                Some(Err(error)) => Poll::Ready(Err(error)),
                Some(Ok((broker, fetched))) => {
                    *self.buffered.entry(broker).or_default() -= fetched.bytes;
                    Poll::Ready(Ok(fetched))
                }
            };
        }
    }

    fn land(&mut self, wanted: &Wanted, mut data: PartitionData) {
        let Wanted { partition, offset, leader, last_epoch, .. } = wanted;
        match read(&mut data, *offset, Offset::MAX, self.options.isolation) {
            Ok(Read { batches, position, epoch, bytes, .. }) if position > *offset => {
                let next = Position { offset: position, epoch: epoch.unwrap_or(*last_epoch) };
                self.fleet.go_on(partition, next);
                *self.buffered.entry(leader.broker).or_default() += bytes;
                let fetched = Fetched {
                    partition: partition.clone(),
                    batches,
                    position,
                    high_watermark: data.high_watermark,
                    last_stable: data.last_stable_offset,
                    log_start: data.log_start_offset,
                    bytes,
                };
                self.ready.push_back(Ok((leader.broker, fetched)));
            }
            Ok(Read { partial: Some(partial), .. }) => {
                self.fleet.grow(wanted, partial.claimed, self.options.max_bytes);
            }
            Ok(_) => {}
            Err(error) => self.fleet.damaged(partition, *offset, error.to_string()),
        }
    }
}
