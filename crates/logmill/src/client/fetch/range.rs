//! Reads a range of one partition to its end, with the next fetch under way while one is worked on.

use std::sync::Arc;

use futures_util::FutureExt;
use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::{Offset, Partition, Uuid};
use logmill_protocol::messages::fetch::PartitionData;
use logmill_protocol::records::BatchError;
use tokio::time::Instant;

use super::batches::{Fetched, Read, read};
use super::flight::{Flight, Landed, Terms, Wanted, launch};
use super::trouble::out_of_range;
use super::{FetchOptions, Isolation};
use crate::client::cluster::{Client, Purpose, Retry};
use crate::error::{Error, Result};

impl Client {
    /// Reads the offsets `start..end` of a partition. The range ends by position, so holes, markers and
    /// aborted records at its end are no obstacle. `topic_id` is the id under which the range was
    /// planned, if it is known: a topic made again under the name is another one.
    #[must_use]
    pub fn fetch_range(
        &self,
        partition: Partition,
        topic_id: Option<Uuid>,
        range: std::ops::Range<Offset>,
        options: &FetchOptions,
    ) -> RangeReader {
        RangeReader {
            client: self.clone(),
            partition,
            topic_id: topic_id.filter(|id| !id.is_zero()),
            position: range.start,
            end: range.end,
            options: Arc::new(options.clone()),
            least_bytes: 0,
            last_epoch: -1,
            damaged: false,
            flight: None,
        }
    }
}

/// Reads a range of one partition. Made by [`Client::fetch_range`].
pub struct RangeReader {
    client: Client,
    partition: Partition,
    topic_id: Option<Uuid>,
    position: Offset,
    end: Offset,
    options: Arc<FetchOptions>,
    /// The size of the batch that did not fit, for the fetch that is to bring it.
    least_bytes: usize,
    last_epoch: i32,
    /// The batch at the position was damaged when it came first.
    damaged: bool,
    flight: Option<Flight>,
}

impl std::fmt::Debug for RangeReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RangeReader({} {}..{})", self.partition, self.position, self.end)
    }
}

/// What came of a fetch that brought an answer.
enum Step {
    /// The position moved.
    Moved(Fetched),
    /// Nothing, but the next fetch may: ask again at once.
    Again,
    /// Nothing yet.
    Wait(Error),
}

impl RangeReader {
    /// The offset to be read next.
    #[must_use]
    pub fn position(&self) -> Offset {
        self.position
    }

    /// What comes next: batches, and the position after them. `None` once the position has reached the
    /// end of the range. While it is worked on, the next fetch is under way. May be dropped while it
    /// waits: nothing is lost.
    ///
    /// # Errors
    /// The offsets were deleted or truncated, a batch is damaged or too large, the topic is gone or is
    /// another one, or the position has not moved for [`FetchOptions::patience`]. The reader can be
    /// asked again after each; it goes on where it stood.
    pub async fn next(&mut self) -> Result<Option<Fetched>> {
        let client = self.client.clone();
        let deadline = Instant::now() + self.options.patience;
        let mut retry = Retry::new(&client, "reading a range", deadline);
        while self.position < self.end {
            let error = match self.step(deadline).await {
                Ok(Step::Moved(fetched)) => {
                    self.send_ahead(deadline).await;
                    if fetched.batches.is_empty() && self.position < self.end {
                        // Nothing to see so far, yet the position has moved: that is progress.
                        retry =
                            Retry::new(&client, "reading a range", Instant::now() + self.options.patience);
                        continue;
                    }
                    return Ok(Some(fetched));
                }
                Ok(Step::Again) => continue,
                Ok(Step::Wait(error)) | Err(error) => error,
            };
            self.flight = None;
            retry.again(error).await.map_err(truncated)?;
        }
        Ok(None)
    }

    /// One fetch: the one under way, or a new one.
    async fn step(&mut self, deadline: Instant) -> Result<Step> {
        if self.flight.is_none() {
            self.flight = Some(self.take_off(deadline).await?);
        }
        // Polled in place, so that a caller who stops waiting loses nothing.
        let landed = match &mut self.flight {
            Some(flight) => flight.await,
            None => return Ok(Step::Again),
        };
        self.flight = None;
        let Landed { outcomes, .. } = landed;
        let Some((wanted, outcome)) = outcomes.into_iter().next() else { return Ok(Step::Again) };
        match outcome {
            Ok(data) => self.land(&wanted, data),
            Err(error) => Err(match error.code() {
                Some(ErrorCode::OffsetOutOfRange) => {
                    out_of_range(&self.client, &self.partition, wanted.offset).await
                }
                _ => error,
            }),
        }
    }

    /// Puts the next fetch on the wire, if there is more to read. What fails shows when it is its turn.
    async fn send_ahead(&mut self, deadline: Instant) {
        if self.position >= self.end {
            return;
        }
        let Some(Ok(mut flight)) = self.take_off(deadline).now_or_never() else { return };
        // Polling once writes the request if the connection is there; the answer comes by itself.
        if futures_util::poll!(&mut flight).is_pending() {
            self.flight = Some(flight);
        }
    }

    async fn take_off(&mut self, deadline: Instant) -> Result<Flight> {
        let leader = self.client.leader_until(&self.partition, deadline).await?;
        if self.topic_id.is_some_and(|id| id != leader.topic_id) {
            return Err(Error::Recreated { topic: self.partition.topic.to_string() });
        }
        let options = &self.options;
        let sized = self.client.sizing().for_offsets(
            &self.partition,
            self.end - self.position,
            options.partition_bytes.min(options.max_bytes),
        );
        let max_bytes = sized.max(self.least_bytes);
        let wanted = Wanted {
            partition: self.partition.clone(),
            leader,
            offset: self.position,
            max_bytes,
            last_epoch: self.last_epoch,
        };
        let terms = Terms {
            isolation: options.isolation,
            max_wait: options.max_wait,
            min_bytes: options.min_bytes,
            max_bytes,
            purpose: Purpose::Fetch(options.connection),
        };
        Ok(launch(&self.client, leader.broker, vec![wanted], terms))
    }

    fn land(&mut self, wanted: &Wanted, mut data: PartitionData) -> Result<Step> {
        if wanted.offset != self.position {
            return Ok(Step::Again);
        }
        let diverged = data.diverging_epoch.end_offset;
        if diverged >= 0 {
            return Err(Error::Truncated {
                partition: self.partition.clone(),
                position: self.position,
                end: diverged,
            });
        }
        let Read { batches, position, epoch, partial, bytes, offsets } =
            match read(&mut data, self.position, self.end, self.options.isolation) {
                Ok(read) => read,
                Err(error) => return self.is_damaged(&error),
            };
        if position > self.position {
            self.damaged = false;
            self.least_bytes = 0;
            self.last_epoch = epoch.unwrap_or(self.last_epoch);
            self.client.sizing().learn(&self.partition, bytes, offsets);
            self.position = position;
            return Ok(Step::Moved(Fetched {
                partition: self.partition.clone(),
                batches,
                position: position.min(self.end),
                high_watermark: data.high_watermark,
                last_stable: data.last_stable_offset,
                log_start: data.log_start_offset,
                bytes,
            }));
        }
        if let Some(partial) = partial {
            return self.grow(partial.claimed.unwrap_or(wanted.max_bytes * 2), wanted.max_bytes);
        }
        let end = match self.options.isolation {
            Isolation::Committed => data.last_stable_offset,
            Isolation::Uncommitted => data.high_watermark,
        };
        Ok(Step::Wait(Error::NothingYet { partition: self.partition.clone(), position: self.position, end }))
    }

    /// Brokers send the first batch whole whatever its size (KIP-74); some others do not.
    fn grow(&mut self, needed: usize, asked: usize) -> Result<Step> {
        if needed <= asked || needed > self.options.max_bytes {
            return Err(Error::TooLarge {
                partition: self.partition.clone(),
                offset: self.position,
                limit: self.options.max_bytes,
            });
        }
        self.least_bytes = needed;
        Ok(Step::Again)
    }

    /// A damaged batch is fetched once more: what changed on the way comes whole the second time.
    fn is_damaged(&mut self, error: &BatchError) -> Result<Step> {
        if !self.damaged {
            self.damaged = true;
            tracing::warn!(partition = %self.partition, %error, "fetching again");
            return Ok(Step::Again);
        }
        Err(Error::Corrupt {
            partition: self.partition.clone(),
            offset: self.position,
            reason: error.to_string(),
        })
    }
}

/// A position that stays beyond the log's end although everybody was asked again: the log was cut back.
fn truncated(error: Error) -> Error {
    match error {
        Error::GaveUp { last, .. } if matches!(*last, Error::BeyondEnd { .. }) => match *last {
            Error::BeyondEnd { partition, position, end } => Error::Truncated { partition, position, end },
            other => other,
        },
        other => other,
    }
}
