//! Reads the records of runs of adjacent units, and hands them to the queue. Several lanes of a partition are read at
//! once: what one fetch brings is decoded once, and each lane takes its part.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use logmill_protocol::ids::{Lane, Offset, Partition};
use logmill_protocol::records::{Decompressor, Limits, OwnedRecord};
use logmill_protocol::work::{Gap, GapCause, Range, lane_of};
use tracing::{debug, warn};

use super::event::Event;
use super::in_hand::InHand;
use super::order::{Line, Order};
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
    /// The lane, whole where there is none.
    lane: Lane,
    /// Every offset below it was read.
    position: Offset,
    end: Offset,
}

/// Runs that are read together: one, or several lanes of one partition.
struct Runs {
    list: Vec<Run>,
    /// Of each lane of the partition, the place in the list; none if it is not read. Empty where there are no lanes.
    lanes: Vec<Option<usize>>,
}

impl Reading {
    /// Reads runs to their end, those of lanes after what was taken of them before: their records come to the queue in
    /// order. To be called in the order of the taking; the waiting begins when it is awaited.
    pub(crate) fn read_in_turn(self, runs: Vec<VecDeque<Arc<InHand>>>) -> impl Future<Output = ()> {
        let lanes = runs.iter().filter_map(|run| run.front()?.lane.as_ref());
        let (ends, before): (Vec<_>, Vec<_>) = lanes.map(|lane| lane.begin_to_read()).unzip();
        async move {
            for before in before.into_iter().flatten() {
                // It ends by being dropped.
                let _ = before.await;
            }
            self.read(runs).await;
            drop(ends);
        }
    }

    /// Reads runs to their end. Whatever goes wrong, each of their units ends: settled, or back in the queue.
    async fn read(self, runs: Vec<VecDeque<Arc<InHand>>>) {
        let mut runs = Runs::new(runs.into_iter().filter_map(Run::new).collect());
        while let Err(problem) = self.read_on(&mut runs).await {
            match problem {
                Error::Deleted { log_start, .. } => {
                    runs.list.iter_mut().for_each(|run| self.skip(run, log_start, GapCause::Retention));
                }
                problem => {
                    if let Some(unit) = runs.list.iter().find_map(|run| run.units.front()) {
                        let partition = &unit.lease.partition.partition;
                        warn!(%partition, offset = runs.position(), %problem, "cannot read; trying again later");
                    }
                    return runs.list.iter_mut().for_each(|run| self.give_up(run, AGAIN));
                }
            }
        }
    }

    async fn read_on(&self, runs: &mut Runs) -> Result<()> {
        let Some(unit) = runs.list.iter().find_map(|run| run.units.front()) else { return Ok(()) };
        let key = unit.lease.partition.clone();
        let range = runs.position()..runs.end();
        let mut reader = self.client.fetch_range(key.partition, Some(key.topic_id), range, &self.options);
        let mut decompressor = Decompressor::new(Limits::default());
        while let Some(fetched) = reader.next().await? {
            let now = tokio::time::Instant::now();
            if !runs.list.iter().flat_map(|run| &run.units).any(|unit| unit.is_live(now)) {
                debug!(partition = %key.lane, "reading stops: none of the units is in hand any more");
                runs.list.iter_mut().for_each(|run| self.give_up(run, Duration::ZERO));
                return Ok(());
            }
            self.deliver(runs, fetched, &mut decompressor).await?;
        }
        runs.list.iter_mut().for_each(|run| self.advance(run, run.end));
        Ok(())
    }

    /// Queues the records of what one fetch brought.
    async fn deliver(
        &self,
        runs: &mut Runs,
        fetched: Fetched,
        decompressor: &mut Decompressor,
    ) -> Result<()> {
        let mut portion: Vec<Received> = Vec::with_capacity(PORTION);
        for batch in fetched.batches {
            self.state.queue.room().await;
            let records = batch.records(decompressor).map_err(|error| corrupt(runs, &error))?;
            let mut records = records.into_owned();
            while let Some(chosen) = records.next_chosen(|offset, key| runs.index_of(offset, key)) {
                let (index, record) = chosen.map_err(|error| corrupt(runs, &error))?;
                let run = &mut runs.list[index];
                if run.units.front().is_some_and(|unit| record.offset >= unit.lease.range.end()) {
                    self.queue(&mut portion);
                    self.advance(run, record.offset);
                }
                let Some(unit) = run.units.front().filter(|unit| record.offset >= unit.lease.position) else {
                    continue;
                };
                let from = run.position.max(unit.lease.position);
                unit.mark(from, record.offset);
                self.state.read(unit, from, record.offset + 1);
                run.position = record.offset + 1;
                let line = self.line(unit, &record);
                let (attempt, unit) = (unit.lease.attempt, unit.clone());
                portion.push(Received { record, attempt, unit, line, again: false });
                if portion.len() == PORTION {
                    self.queue(&mut portion);
                }
            }
            self.queue(&mut portion);
        }
        // Control records, aborted ones, holes of compaction and other lanes' records count as read.
        for run in &mut runs.list {
            self.advance(run, fetched.position.min(run.end));
        }
        Ok(())
    }

    /// The line that a record stands in.
    fn line(&self, unit: &InHand, record: &OwnedRecord) -> Option<Line> {
        let lane = unit.lane.as_ref()?;
        match self.state.settings.order {
            Order::ByPartition => Some(lane.line),
            _ => record.key.as_ref().map(|key| Line::of_key(&lane.key, key)),
        }
    }

    fn queue(&self, portion: &mut Vec<Received>) {
        let mut records = portion.as_slice();
        while let Some(first) = records.first() {
            let alike = records.iter().take_while(|record| Arc::ptr_eq(&record.unit, &first.unit)).count();
            first.unit.opened(alike);
            self.state.meter.read(&first.unit.lease.partition.partition, alike);
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
            let from = run.position.max(unit.lease.position);
            if to > from {
                unit.mark(from, to);
                self.state.read(unit, from, to);
                run.position = to;
            }
            if position < end {
                // It may lie before the unit, where all of the lane is settled: a reading that begins anew begins there.
                run.position = run.position.max(position);
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
                let place = &unit.lease.partition.partition;
                self.state.meter.skipped(place, cause.name(), range.len());
                let partition = || unit.lease.partition.partition.clone();
                self.state.teller.tell(|| Event::Gap {
                    partition: partition(),
                    range: range.start()..range.end(),
                    cause,
                });
            }
        }
        self.advance(run, to.min(run.end));
    }

    /// The rest of the run goes back to the queue.
    fn give_up(&self, run: &mut Run, delay: Duration) {
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        for unit in run.units.drain(..) {
            self.state.read(&unit, run.position.max(unit.lease.position), unit.lease.range.end());
            self.state.give_back_from(&unit, delay_ms);
            self.state.close(&unit, 1);
        }
        run.position = run.end;
    }
}

impl Run {
    fn new(units: VecDeque<Arc<InHand>>) -> Option<Self> {
        let (first, last) = (units.front()?, units.back()?);
        let (position, end) = (first.lease.position, last.lease.range.end());
        Some(Self { lane: first.lease.partition.lane, position, end, units })
    }
}

impl Runs {
    fn new(list: Vec<Run>) -> Self {
        let of = list.first().map_or(0, |run| run.lane.of);
        let place = |lane| list.iter().position(|run| run.lane.index == lane);
        Self { lanes: (0..of).map(place).collect(), list }
    }

    /// Every offset below it was read by all.
    fn position(&self) -> Offset {
        let open = self.list.iter().filter(|run| !run.units.is_empty());
        open.map(|run| run.position).min().unwrap_or(0)
    }

    fn end(&self) -> Offset {
        self.list.iter().map(|run| run.end).max().unwrap_or(0)
    }

    /// The place of the run that a record belongs to, unless it is of another lane or was read before.
    fn index_of(&self, offset: Offset, key: Option<&[u8]>) -> Option<usize> {
        let index = match self.lanes.len() {
            0 => 0,
            of => self.lanes.get(usize::from(lane_of(key, offset, of as u16))).copied()??,
        };
        self.list.get(index).filter(|run| (run.position..run.end).contains(&offset)).map(|_| index)
    }
}

fn corrupt(runs: &Runs, error: &dyn std::fmt::Display) -> Error {
    let unit = runs.list.iter().find_map(|run| run.units.front());
    let partition = unit.map(|unit| unit.lease.partition.partition.clone());
    Error::Corrupt {
        partition: partition.unwrap_or_else(|| Partition::new("", -1)),
        offset: runs.position(),
        reason: error.to_string(),
    }
}
