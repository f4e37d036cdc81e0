//! Reads the records of a run of adjacent units, and hands them to the queue.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use logmill_protocol::ids::{Offset, Partition};
use logmill_protocol::records::{Decompressor, Limits};
use logmill_protocol::work::{Gap, GapCause, Range};
use tracing::{debug, warn};

use super::in_hand::InHand;
use super::record::Received;
use super::slot::StartSlots;
use super::state::NodeState;
use crate::client::Client;
use crate::client::fetch::{FetchOptions, Fetched};
use crate::error::{Error, Result};

/// A unit that could not be read is visible again after this long.
const AGAIN: Duration = Duration::from_secs(1);

/// Records are queued in portions of this many: the next ones are decoded while these are handled.
const PORTION: usize = 256;

/// What reading needs.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) state: Arc<NodeState>,
    pub(crate) client: Client,
    pub(crate) options: FetchOptions,
    pub(crate) slots: Arc<dyn StartSlots>,
}

/// A run in progress.
struct Run {
    units: VecDeque<Arc<InHand>>,
    /// Every offset below it was read.
    position: Offset,
    end: Offset,
}

impl Reading {
    /// Reads a run to its end. Whatever goes wrong, each of its units ends: settled, or back in the queue.
    pub(crate) async fn read(self, units: VecDeque<Arc<InHand>>) {
        let (Some(first), Some(last)) = (units.front(), units.back()) else { return };
        let mut run = Run { position: first.lease.position, end: last.lease.range.end(), units };
        while let Err(problem) = self.read_on(&mut run).await {
            match problem {
                Error::Deleted { log_start, .. } => self.skip(&mut run, log_start, GapCause::Retention),
                problem => {
                    if let Some(unit) = run.units.front() {
                        let partition = &unit.lease.partition.partition;
                        warn!(%partition, offset = run.position, %problem, "cannot read; trying again later");
                    }
                    return self.give_up(&mut run, AGAIN);
                }
            }
        }
    }

    async fn read_on(&self, run: &mut Run) -> Result<()> {
        let Some(unit) = run.units.front() else { return Ok(()) };
        let key = unit.lease.partition.clone();
        let range = run.position..run.end;
        let mut reader =
            self.client.fetch_range(key.partition.clone(), Some(key.topic_id), range, &self.options);
        let mut decompressor = Decompressor::new(Limits::default());
        while let Some(fetched) = reader.next().await? {
            if run.units.iter().all(|unit| !unit.is_live(tokio::time::Instant::now())) {
                debug!(partition = %key.partition, "reading stops: none of the units is in hand any more");
                self.give_up(run, Duration::ZERO);
                return Ok(());
            }
            self.deliver(run, fetched, &mut decompressor).await?;
        }
        self.advance(run, run.end);
        Ok(())
    }

    /// Queues the records of what one fetch brought.
    async fn deliver(&self, run: &mut Run, fetched: Fetched, decompressor: &mut Decompressor) -> Result<()> {
        let mut portion: Vec<Received> = Vec::with_capacity(PORTION);
        for batch in fetched.batches {
            self.state.queue.room().await;
            let records = batch.records(decompressor).map_err(|error| corrupt(run, &error))?;
            for record in records.into_owned() {
                let record = record.map_err(|error| corrupt(run, &error))?;
                if run.units.front().is_some_and(|unit| record.offset >= unit.lease.range.end()) {
                    self.queue(&mut portion);
                    self.advance(run, record.offset);
                }
                let Some(unit) = run.units.front() else { break };
                unit.mark(run.position, record.offset);
                self.state.read(run.position, record.offset + 1);
                run.position = record.offset + 1;
                portion.push(Received { attempt: unit.lease.attempt, unit: unit.clone(), record });
                if portion.len() == PORTION {
                    self.queue(&mut portion);
                }
            }
            self.queue(&mut portion);
        }
        // Control records, aborted ones and holes of compaction count as read.
        self.advance(run, fetched.position.min(run.end));
        Ok(())
    }

    fn queue(&self, portion: &mut Vec<Received>) {
        let mut records = portion.as_slice();
        while let Some(first) = records.first() {
            let alike = records.iter().take_while(|record| Arc::ptr_eq(&record.unit, &first.unit)).count();
            first.unit.opened(alike);
            records = &records[alike..];
        }
        if !portion.is_empty() {
            self.slots.start(self.state.queue.push(portion.drain(..), self.state.settings.concurrency));
        }
    }

    /// Everything below `position` was read. Units that end there are read to their end, and end as
    /// soon as their last record is settled: by position, whether or not it held any record.
    fn advance(&self, run: &mut Run, position: Offset) {
        while let Some(unit) = run.units.front() {
            let end = unit.lease.range.end();
            let to = position.min(end);
            if to > run.position {
                unit.mark(run.position, to);
                self.state.read(run.position, to);
                run.position = to;
            }
            if position < end {
                return;
            }
            if let Some(unit) = run.units.pop_front() {
                self.state.close(&unit, 1);
            }
        }
    }

    /// Offsets below `to` can never be read.
    fn skip(&self, run: &mut Run, to: Offset, cause: GapCause) {
        for unit in &run.units {
            let (start, end) = (unit.lease.range.start(), unit.lease.range.end());
            if let Some(range) = Range::new(run.position.max(start), to.min(end)) {
                warn!(partition = %unit.lease.partition.partition, %range, cause = cause.name(),
                    "records are gone before they were handled: a gap");
                unit.gap(Gap { range, cause });
            }
        }
        self.advance(run, to.min(run.end));
    }

    /// The rest of the run goes back to the queue.
    fn give_up(&self, run: &mut Run, delay: Duration) {
        self.state.read(run.position, run.end);
        run.position = run.end;
        for unit in run.units.drain(..) {
            unit.give_back(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
            self.state.drop_waiting_of(&unit);
            self.state.close(&unit, 1);
        }
    }
}

fn corrupt(run: &Run, error: &dyn std::fmt::Display) -> Error {
    let partition = run.units.front().map(|unit| unit.lease.partition.partition.clone());
    Error::Corrupt {
        partition: partition.unwrap_or_else(|| Partition::new("", -1)),
        offset: run.position,
        reason: error.to_string(),
    }
}
