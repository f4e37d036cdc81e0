//! A unit in this node's hands: which of its offsets are settled, and what is left of it when it ends.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use logmill_protocol::ids::Offset;
use logmill_protocol::records::OwnedRecord;
use logmill_protocol::work::{Gap, Lease, MAX_RESTS, Progress, Range, Rest, Settle};
use tokio::time::Instant;

use super::lane::LaneInHand;
use super::order::Line;

/// The longest unit a node keeps track of, in offsets (one bit each: 128 KiB). A longer one is split
/// before it is worked.
pub(crate) const MAX_TRACKED: u64 = 1 << 20;

/// A record that failed and waits for its next try, here as long as the unit is open, else in the store.
#[derive(Debug)]
struct Failed {
    record: OwnedRecord,
    due: Instant,
    /// Tries it has had.
    attempt: u32,
    line: Option<Line>,
    /// It is given up on, and still open: the ledger has yet to get it.
    given_up: bool,
}

/// The records that failed.
#[derive(Debug, Default)]
struct Failures {
    list: Vec<Failed>,
    /// The unit is given back or lost: what fails from now on comes again elsewhere.
    over: bool,
}

/// Records of a lane that were to be tried again, and are not any more.
#[derive(Debug, Default)]
pub(crate) struct LetGo {
    /// How many are to be closed.
    pub(crate) open: usize,
    /// The lines that they were the first of.
    pub(crate) lines: Vec<Line>,
}

/// A record that is due again.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) record: OwnedRecord,
    /// Tries it has had.
    pub(crate) attempt: u32,
    pub(crate) line: Option<Line>,
}

/// One leased unit. Its records are settled from many handlers at once, so everything here is atomic;
/// the mutexes are touched only by records that fail.
#[derive(Debug)]
pub(crate) struct InHand {
    pub(crate) lease: Lease,
    /// One bit an offset: settled, or there is nothing to settle at it.
    settled: Box<[AtomicU64]>,
    /// Records queued or in a handler, and one more while the unit is still being read. In a lane also those that
    /// failed: its units end in order, with all their records handled.
    open: AtomicUsize,
    failed: Mutex<Failures>,
    /// The lane that it is of, if its partition is handled in order.
    pub(crate) lane: Option<Arc<LaneInHand>>,
    /// How long what is not settled waits before it comes again, in milliseconds.
    delay_ms: AtomicU64,
    gaps: Mutex<Vec<Gap>>,
    /// No further record is handed out, and what is not settled goes back to the queue.
    given_back: AtomicBool,
    /// Another node may have it: nothing more is handed out, and nothing settled.
    lost: AtomicBool,
    /// A record of it is in the ledger.
    has_dead: AtomicBool,
    /// When it was asked for.
    pub(crate) taken: Instant,
    /// When the lease ends, as far as this node knows: microseconds of its own monotonic clock.
    deadline: AtomicU64,
    base: Instant,
}

impl InHand {
    /// A unit asked for at `taken`, with a lease of this length. The caller holds it open until it is read.
    pub(crate) fn new(
        lease: Lease,
        lane: Option<Arc<LaneInHand>>,
        base: Instant,
        taken: Instant,
        length: Duration,
    ) -> Self {
        let offsets = lease.range.len().min(MAX_TRACKED) as usize;
        let unit = Self {
            settled: (0..offsets.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            open: AtomicUsize::new(1),
            failed: Mutex::default(),
            lane,
            delay_ms: AtomicU64::new(0),
            gaps: Mutex::default(),
            given_back: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            has_dead: AtomicBool::new(false),
            taken,
            deadline: AtomicU64::new(0),
            base,
            lease,
        };
        unit.extend(taken + length);
        unit.mark(unit.lease.range.start(), unit.lease.position);
        unit
    }

    /// Moves the end of the lease: a renewal succeeded that was asked for early enough.
    pub(crate) fn extend(&self, deadline: Instant) {
        let micros = deadline.saturating_duration_since(self.base).as_micros();
        self.deadline.fetch_max(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::AcqRel);
    }

    /// Whether a record of it may still be handed out now. Past its own deadline a node stops by
    /// itself, whatever the store thinks: another node may be at work on the unit.
    pub(crate) fn is_live(&self, now: Instant) -> bool {
        !self.given_back.load(Ordering::Acquire) && !self.is_lost() && self.is_within_lease(now)
    }

    /// Whether the lease has not ended yet, as far as this node knows.
    pub(crate) fn is_within_lease(&self, now: Instant) -> bool {
        let micros = now.saturating_duration_since(self.base).as_micros();
        micros < u128::from(self.deadline.load(Ordering::Acquire))
    }

    /// Whether the right to it is gone.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Notes that the right to it is gone. True for the first who does.
    pub(crate) fn note_lost(&self) -> bool {
        !self.lost.swap(true, Ordering::AcqRel)
    }

    /// The right to it is gone. Answers what was to be tried again.
    #[must_use]
    pub(crate) fn lose(&self) -> LetGo {
        self.lost.store(true, Ordering::Release);
        let let_go = self.let_failed_go();
        lock(&self.failed).list.clear();
        let_go
    }

    /// What failed here does not come again here. Answers what was to be tried again.
    #[must_use]
    pub(crate) fn let_failed_go(&self) -> LetGo {
        let mut failed = lock(&self.failed);
        if failed.over || self.lane.is_none() {
            failed.over = true;
            return LetGo::default();
        }
        failed.over = true;
        let comes_again = failed.list.iter().filter(|failure| !failure.given_up);
        let mut let_go = LetGo::default();
        for failure in comes_again {
            let_go.open += 1;
            let_go.lines.extend(failure.line);
        }
        let_go
    }

    /// The lane as a line.
    pub(crate) fn lane_line(&self) -> Option<Line> {
        self.lane.as_ref().map(|lane| lane.line)
    }

    /// Whether nothing of it is open any more.
    pub(crate) fn is_over(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }

    /// Records queued, in handlers or to be tried again.
    pub(crate) fn records(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Hands no further record out; what is open is finished, the rest goes back and is visible after
    /// `delay_ms`.
    pub(crate) fn give_back(&self, delay_ms: u64) {
        self.delay_ms.fetch_max(delay_ms, Ordering::AcqRel);
        self.given_back.store(true, Ordering::Release);
    }

    /// Whether it goes back to the queue as far as no handler has begun it.
    pub(crate) fn is_given_back(&self) -> bool {
        self.given_back.load(Ordering::Acquire)
    }

    /// Whether a record of it was given up on.
    pub(crate) fn has_dead(&self) -> bool {
        self.has_dead.load(Ordering::Relaxed)
    }

    /// `records` more are about to be queued.
    pub(crate) fn opened(&self, records: usize) {
        self.open.fetch_add(records, Ordering::AcqRel);
    }

    /// `records` that were opened are no longer: settled, failed or dropped. True when nothing is
    /// open any more and the unit ends: exactly one caller sees it.
    #[must_use]
    pub(crate) fn closed(&self, records: usize) -> bool {
        self.open.fetch_sub(records, Ordering::AcqRel) == records
    }

    /// The record at `offset` needs nothing more.
    pub(crate) fn settle(&self, offset: Offset) {
        let index = (offset - self.lease.range.start()) as usize;
        if let Some(word) = self.settled.get(index / 64) {
            word.fetch_or(1 << (index % 64), Ordering::AcqRel);
        }
    }

    /// There is nothing to settle from `from` up to `to`: holes of compaction, control records, records of other
    /// lanes, or what an earlier try settled.
    pub(crate) fn mark(&self, from: Offset, to: Offset) {
        let (start, end) = (self.lease.range.start(), self.lease.range.end());
        let (mut at, to) = ((from.max(start) - start).max(0) as usize, (to.min(end) - start).max(0) as usize);
        while at < to {
            let Some(word) = self.settled.get(at / 64) else { return };
            let (first, bits) = (at % 64, (to - at).min(64 - at % 64));
            word.fetch_or((u64::MAX >> (64 - bits)) << first, Ordering::AcqRel);
            at += bits;
        }
    }

    /// The record failed in its try number `attempt` and comes again at `due`. True if it is to be closed; in a lane
    /// it stays open.
    #[must_use]
    pub(crate) fn fail(&self, record: OwnedRecord, attempt: u32, line: Option<Line>, due: Instant) -> bool {
        let mut failed = lock(&self.failed);
        failed.list.push(Failed { record, due, attempt, line, given_up: false });
        failed.over || self.lane.is_none()
    }

    /// The record was given up on in its try number `attempt`. It stays open until it is [buried]; if the unit
    /// ends without that, it comes again.
    ///
    /// [buried]: Self::buried
    pub(crate) fn give_up(&self, record: OwnedRecord, attempt: u32, now: Instant) {
        lock(&self.failed).list.push(Failed { record, due: now, attempt, line: None, given_up: true });
    }

    /// The ledger has the record: it needs nothing more.
    pub(crate) fn buried(&self, offset: Offset) {
        self.settle(offset);
        self.has_dead.store(true, Ordering::Relaxed);
        lock(&self.failed).list.retain(|failure| failure.record.offset != offset);
    }

    /// Takes out the failed records that are due. Outside a lane it opens them again, while the unit has others
    /// open: once nothing is, they belong to the store.
    pub(crate) fn due(&self, now: Instant) -> Vec<Due> {
        let mut failed = lock(&self.failed);
        let is_due = |failure: &Failed| failure.due <= now && !failure.given_up;
        let due = failed.list.iter().filter(|failure| is_due(failure)).count();
        if due == 0 || failed.over {
            return Vec::new();
        }
        let reopen = |open: usize| (open > 0).then_some(open + due);
        if self.lane.is_none() && self.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, reopen).is_err()
        {
            return Vec::new();
        }
        let due = failed.list.extract_if(.., |failure| is_due(failure));
        due.map(|Failed { record, attempt, line, .. }| Due { record, attempt, line }).collect()
    }

    /// Offsets that can never be read.
    pub(crate) fn gap(&self, gap: Gap) {
        self.mark(gap.range.start(), gap.range.end());
        lock(&self.gaps).push(gap);
    }

    fn is_settled(&self, offset: Offset) -> bool {
        let index = (offset - self.lease.range.start()) as usize;
        self.settled.get(index / 64).is_some_and(|word| word.load(Ordering::Acquire) >> (index % 64) & 1 == 1)
    }

    /// The first offset that is not settled: a crash repeats nothing below it.
    pub(crate) fn checkpoint(&self) -> Offset {
        let start = self.lease.range.start();
        let full = self.settled.iter().take_while(|word| word.load(Ordering::Acquire) == u64::MAX).count();
        let from = start + 64 * full as i64;
        (from..self.lease.range.end())
            .find(|&offset| !self.is_settled(offset))
            .unwrap_or(self.lease.range.end())
    }

    /// The lease and how far it has come, for a renewal. In a lane only the first unit in hand has come anywhere: a
    /// crash must repeat all that follows what it repeats.
    pub(crate) fn progress(&self) -> Progress {
        let behind = self.lane.as_ref().is_some_and(|lane| !lane.is_first(self));
        let position = if behind { self.lease.position } else { self.checkpoint() };
        Progress { held: self.lease.held(), position }
    }

    /// How it ends: failed records come back after their delay; those that no handler has finished at
    /// once, and as if they had never been taken; the others are settled. To be asked once.
    pub(crate) fn settlement(&self, now: Instant) -> Settle {
        let mut failed = std::mem::take(&mut lock(&self.failed).list);
        failed.sort_by_key(|failure| failure.record.offset);
        let mut gaps = std::mem::take(&mut *lock(&self.gaps));
        gaps.sort_by_key(|gap| gap.range.start());
        let mut rest = self.rest(failed, now);
        if rest.len() > MAX_RESTS {
            rest = in_one_piece(&rest).into_iter().collect();
            self.lane.iter().for_each(|lane| lane.repeats());
        }
        if self.lane.as_ref().is_some_and(|lane| lane.is_repeated(self)) {
            rest = Range::new(self.lease.position, self.lease.range.end())
                .map(|range| self.untried(range))
                .into_iter()
                .collect();
            gaps.clear();
        }
        Settle { held: self.lease.held(), rest, gaps }
    }

    /// A part that comes again as if it had never been taken.
    fn untried(&self, range: Range) -> Rest {
        Rest {
            range,
            delay_ms: self.delay_ms.load(Ordering::Acquire),
            attempt: self.lease.attempt.saturating_sub(1),
        }
    }

    fn rest(&self, failed: Vec<Failed>, now: Instant) -> Vec<Rest> {
        let Rest { delay_ms, attempt, .. } = self.untried(self.lease.range);
        let untried = (delay_ms, attempt);
        let mut failed = failed.into_iter().peekable();
        let mut rest: Vec<Rest> = Vec::new();
        for offset in self.checkpoint()..self.lease.range.end() {
            let (delay_ms, attempt) = match failed.next_if(|failure| failure.record.offset == offset) {
                Some(failure) => {
                    let delay = failure.due.saturating_duration_since(now).as_millis();
                    (u64::try_from(delay).unwrap_or(u64::MAX), failure.attempt)
                }
                None if self.is_settled(offset) => continue,
                None => untried,
            };
            let alone = Range::new(offset, offset + 1).map(|range| Rest { range, delay_ms, attempt });
            match (rest.last_mut(), alone) {
                // Neighbours travel together; the longer delay holds for both.
                (Some(last), Some(next))
                    if last.range.end() == offset
                        && last.attempt == attempt
                        && (last.delay_ms == 0) == (delay_ms == 0) =>
                {
                    last.range = joined(last.range, next.range);
                    last.delay_ms = last.delay_ms.max(delay_ms);
                }
                (_, next) => rest.extend(next),
            }
        }
        rest
    }
}

/// Several rests as one that spans them: settled records between them come again, which is worse than
/// many pieces but better than a store that must refuse them.
pub(crate) fn in_one_piece(rest: &[Rest]) -> Option<Rest> {
    let (first, last) = (rest.first()?, rest.last()?);
    Some(Rest {
        range: joined(first.range, last.range),
        delay_ms: rest.iter().map(|rest| rest.delay_ms).max().unwrap_or_default(),
        attempt: rest.iter().map(|rest| rest.attempt).max().unwrap_or_default(),
    })
}

fn joined(first: Range, last: Range) -> Range {
    Range::new(first.start(), last.end()).unwrap_or(first)
}

/// A panic while one of these locks was held cannot leave a list half-changed.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
