//! How a record's sending ends, and the handle that tells. One allocation per batch: a handle is the
//! batch's acknowledgement and the record's place in it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use logmill_protocol::ids::{Offset, Partition};

use crate::error::Error;

/// The record is stored.
///
/// With `acks=0` no broker says so: then it means that the record was handed to the system's socket,
/// and the offset is −1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ack {
    /// The partition's index.
    pub partition: i32,
    /// Where it stands in the partition. −1 where no broker told: with `acks=0`, and for a batch sent
    /// again of which the broker knows only that it has it.
    pub offset: Offset,
    /// Its timestamp in milliseconds since 1970: the record's, or the broker's where the topic has
    /// `message.timestamp.type=LogAppendTime`.
    pub timestamp: i64,
}

/// The record is not known to be stored.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProduceError {
    /// It is not in the log, and will not be: sending it again makes no duplicate.
    #[error("record for {partition} not persisted: {reason}")]
    NotPersisted {
        /// The partition; index −1 where none was chosen yet.
        partition: Partition,
        /// Why.
        reason: Arc<Error>,
    },
    /// It was sent, and no answer told what became of it: it may be in the log. Sending it again may
    /// store it twice.
    #[error("record for {partition} possibly persisted: {reason}")]
    PossiblyPersisted {
        /// The partition.
        partition: Partition,
        /// Why nobody knows.
        reason: Arc<Error>,
    },
}

impl ProduceError {
    pub(super) fn new(partition: Partition, doubtful: bool, reason: Error) -> Self {
        let reason = Arc::new(reason);
        if doubtful {
            Self::PossiblyPersisted { partition, reason }
        } else {
            Self::NotPersisted { partition, reason }
        }
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> &Error {
        match self {
            Self::NotPersisted { reason, .. } | Self::PossiblyPersisted { reason, .. } => reason,
        }
    }

    /// Whether the record may be in the log all the same.
    #[must_use]
    pub fn is_possibly_persisted(&self) -> bool {
        matches!(self, Self::PossiblyPersisted { .. })
    }
}

/// Where a batch was stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    /// Of the first record, or −1.
    pub(super) base_offset: Offset,
    /// The broker's timestamp, or −1.
    pub(super) append_time: i64,
}

pub(super) type BatchOutcome = Result<Stored, ProduceError>;

/// What the handles of a batch are told.
#[derive(Debug)]
pub(super) enum Told {
    Outcome(BatchOutcome),
    /// It went on in two parts; the records from `at` on are in the second.
    Halved {
        at: u32,
        halves: [Arc<BatchAck>; 2],
    },
}

/// A batch's acknowledgement, shared by the sender and the handles of its records.
#[derive(Debug)]
pub(super) struct BatchAck {
    pub(super) partition: Partition,
    told: OnceLock<Told>,
    /// Who waits; each handle has one place at most.
    wakers: Mutex<Vec<Waker>>,
}

impl BatchAck {
    pub(super) fn new(partition: Partition) -> Arc<Self> {
        Arc::new(Self { partition, told: OnceLock::new(), wakers: Mutex::default() })
    }

    pub(super) fn is_done(&self) -> bool {
        self.told.get().is_some()
    }

    /// Tells all handles at once. What was told first stands; returns whether this was it.
    pub(super) fn complete(&self, outcome: BatchOutcome) -> bool {
        self.tell(Told::Outcome(outcome))
    }

    /// Refers the handles to two other acknowledgements, those of the records from `at` on to the second.
    pub(super) fn halve(&self, at: u32) -> [Arc<Self>; 2] {
        let halves = [(); 2].map(|()| Self::new(self.partition.clone()));
        self.tell(Told::Halved { at, halves: halves.clone() });
        halves
    }

    fn tell(&self, told: Told) -> bool {
        let first = self.told.set(told).is_ok();
        if first {
            let wakers = std::mem::take(&mut *self.wakers.lock().unwrap_or_else(PoisonError::into_inner));
            wakers.into_iter().for_each(Waker::wake);
        }
        first
    }

    /// Waits in the place `place`, taken on the first call.
    fn poll(&self, place: &mut Option<u32>, context: &Context<'_>) -> Poll<&Told> {
        if let Some(told) = self.told.get() {
            return Poll::Ready(told);
        }
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        match place.and_then(|place| wakers.get_mut(place as usize)) {
            Some(waker) => waker.clone_from(context.waker()),
            None => {
                *place = Some(wakers.len() as u32);
                wakers.push(context.waker().clone());
            }
        }
        drop(wakers);
        // It may have been told between the first look and the place being taken.
        self.told.get().map_or(Poll::Pending, Poll::Ready)
    }

    /// Resolves when the fate of all the batch's records is known.
    pub(super) async fn settled(self: Arc<Self>) {
        let mut open = vec![self];
        while let Some(ack) = open.pop() {
            let mut place = None;
            let told = std::future::poll_fn(|context| ack.poll(&mut place, context)).await;
            if let Told::Halved { halves, .. } = told {
                open.extend(halves.iter().cloned());
            }
        }
    }
}

/// The fate of one record, to be awaited; see [`Producer::enqueue`](super::Producer::enqueue).
/// Dropping it loses the answer, not the record.
#[derive(Debug)]
#[must_use = "a record's fate is known when this is awaited"]
pub struct Pending {
    pub(super) ack: Arc<BatchAck>,
    pub(super) index: u32,
    pub(super) timestamp: i64,
    pub(super) place: Option<u32>,
}

impl Future for Pending {
    type Output = Result<Ack, ProduceError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { ack, index, timestamp, place } = self.get_mut();
        let outcome = loop {
            let half = match ack.poll(place, context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Told::Outcome(outcome)) => break outcome,
                Poll::Ready(Told::Halved { at, halves: [first, _] }) if *index < *at => Arc::clone(first),
                Poll::Ready(Told::Halved { at, halves: [_, second] }) => {
                    *index -= at;
                    Arc::clone(second)
                }
            };
            (*ack, *place) = (half, None);
        };
        Poll::Ready(match outcome {
            Ok(stored) => Ok(Ack {
                partition: ack.partition.index,
                offset: if stored.base_offset < 0 { -1 } else { stored.base_offset + Offset::from(*index) },
                timestamp: if stored.append_time < 0 { *timestamp } else { stored.append_time },
            }),
            Err(error) => Err(error.clone()),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn handle(ack: &Arc<BatchAck>, index: u32) -> Pending {
        Pending { ack: Arc::clone(ack), index, timestamp: 5, place: None }
    }

    #[tokio::test]
    async fn all_handles_of_a_batch_are_told_their_own_offset() {
        let ack = BatchAck::new(Partition::new("t", 3));
        let waiting: Vec<_> = (0..4).map(|index| tokio::spawn(handle(&ack, index))).collect();
        tokio::task::yield_now().await;
        ack.complete(Ok(Stored { base_offset: 100, append_time: -1 }));
        ack.complete(Ok(Stored { base_offset: 900, append_time: -1 }));
        for (index, waiting) in waiting.into_iter().enumerate() {
            let ack = waiting.await.unwrap().unwrap();
            assert_eq!(ack, Ack { partition: 3, offset: 100 + index as i64, timestamp: 5 });
        }
        assert_eq!(handle(&ack, 9).await.unwrap().offset, 109, "late handles too");
    }

    #[tokio::test]
    async fn handles_of_a_halved_batch_are_told_by_their_half() {
        let ack = BatchAck::new(Partition::new("t", 0));
        let waiting: Vec<_> = (0..5).map(|index| tokio::spawn(handle(&ack, index))).collect();
        let settled = tokio::spawn(Arc::clone(&ack).settled());
        tokio::task::yield_now().await;
        let [first, second] = ack.halve(2);
        let [second, third] = second.halve(1);
        first.complete(Ok(Stored { base_offset: 10, append_time: -1 }));
        let reason = Error::Closed { what: "a test" };
        second.complete(Err(ProduceError::new(ack.partition.clone(), false, reason)));
        tokio::task::yield_now().await;
        assert!(!settled.is_finished(), "a third is open");
        third.complete(Ok(Stored { base_offset: 20, append_time: -1 }));
        settled.await.unwrap();
        let mut offsets = Vec::new();
        for waiting in waiting {
            offsets.push(waiting.await.unwrap().ok().map(|ack| ack.offset));
        }
        assert_eq!(offsets, [Some(10), Some(11), None, Some(20), Some(21)]);
        assert_eq!(handle(&ack, 4).await.unwrap().offset, 21, "late handles too");
    }

    #[tokio::test]
    async fn a_handle_that_is_polled_again_takes_no_second_place() {
        let ack = BatchAck::new(Partition::new("t", 0));
        let mut handle = handle(&ack, 0);
        for _ in 0..10 {
            assert!(futures_util::poll!(&mut handle).is_pending());
        }
        assert_eq!(ack.wakers.lock().unwrap().len(), 1);
    }
}
