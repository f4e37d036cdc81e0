//! A node that holds back while too many records fail: then it is rather what handlers need that is at fault, or the
//! handler, than so many records.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{info, warn};

use super::event::Event;
use super::events::cut;
use super::state::{NodeState, lock};

/// When a node holds back, and how long: a circuit breaker.
///
/// When of the records tried within a window too large a share failed, the node begins no more of them, gives back what
/// it has not begun, and goes on after a pause, which doubles as long as that does not help. A record counts by its first
/// try, so a few that always fail trip nothing, however often they are retried.
///
/// From then on until a try succeeds, failures are not put down to records: no attempt counts, and none is given up on
/// because of its attempts, its age or its bytes. What a handler itself calls a dead letter is one.
///
/// Each node judges by its own handlers. The window is 30 s, at least 20 records are needed, and pauses last from 10 s
/// to 5 minutes, unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breaker {
    share: f64,
    records: u32,
    window: Duration,
    first: Duration,
    longest: Duration,
}

impl Breaker {
    /// Holds back when this share of records fails: 0.5 is one in two.
    #[must_use]
    pub const fn at(share: f64) -> Self {
        Self {
            share,
            records: 20,
            window: Duration::from_secs(30),
            first: Duration::from_secs(10),
            longest: Duration::from_secs(300),
        }
    }

    /// Fewer records than this say nothing.
    #[must_use]
    pub const fn records(self, records: u32) -> Self {
        Self { records, ..self }
    }

    /// What was longer ago than this does not count.
    #[must_use]
    pub const fn window(self, window: Duration) -> Self {
        Self { window, ..self }
    }

    /// How long it holds back at first, and at most.
    #[must_use]
    pub const fn pause(self, first: Duration, longest: Duration) -> Self {
        Self { first, longest, ..self }
    }

    pub(crate) fn problem(&self) -> Option<&'static str> {
        match self {
            _ if !(self.share > 0.0 && self.share <= 1.0) => {
                Some("the share of records that fail is more than 0 and at most 1")
            }
            _ if self.window.is_zero() || self.first.is_zero() => {
                Some("its window and its pause must be longer than zero")
            }
            _ => None,
        }
    }
}

/// What became of a node's records lately, and whether it holds back.
#[derive(Debug)]
pub(crate) struct Circuit {
    breaker: Breaker,
    /// Records tried in this half of the window.
    tried: AtomicU64,
    counted: Mutex<Counted>,
    open: AtomicBool,
    /// It has opened, and no try has succeeded since it closed.
    doubt: AtomicBool,
    closed: Notify,
}

#[derive(Debug)]
struct Counted {
    /// When this half of the window began.
    since: Instant,
    failed: u64,
    /// Records and failures of the half before.
    before: (u64, u64),
    /// How often it has opened without a good window after.
    times: u32,
    /// When it closed last.
    closed: Option<Instant>,
}

/// Too many failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Opened {
    failed: u64,
    tried: u64,
    pause: Duration,
}

impl Circuit {
    pub(crate) fn new(breaker: Breaker, now: Instant) -> Self {
        let counted = Counted { since: now, failed: 0, before: (0, 0), times: 0, closed: None };
        Self {
            breaker,
            tried: AtomicU64::new(0),
            counted: Mutex::new(counted),
            open: AtomicBool::new(false),
            doubt: AtomicBool::new(false),
            closed: Notify::new(),
        }
    }

    /// Whether a try tells something new.
    fn counts(&self, attempt: u32) -> bool {
        attempt == 1 || self.is_in_doubt()
    }

    fn succeeded(&self, attempt: u32) {
        if self.counts(attempt) {
            self.tried.fetch_add(1, Ordering::Relaxed);
        }
        if self.is_in_doubt() && !self.is_open() {
            self.doubt.store(false, Ordering::Release);
        }
    }

    /// Counts a failure; tells when it is one too many.
    fn failed(&self, attempt: u32, now: Instant) -> Option<Opened> {
        let mut counted = lock(&self.counted);
        if self.is_open() || !self.counts(attempt) {
            return None;
        }
        let elapsed = now.saturating_duration_since(counted.since);
        if elapsed >= self.breaker.window / 2 {
            let last = (self.tried.swap(0, Ordering::Relaxed), std::mem::take(&mut counted.failed));
            counted.before = if elapsed < self.breaker.window { last } else { (0, 0) };
            counted.since = now;
        }
        counted.failed += 1;
        let tried = self.tried.fetch_add(1, Ordering::Relaxed) + 1 + counted.before.0;
        let failed = counted.failed + counted.before.1;
        if tried < u64::from(self.breaker.records) || (failed as f64) < self.breaker.share * tried as f64 {
            return None;
        }
        if counted.closed.is_none_or(|closed| now.saturating_duration_since(closed) >= self.breaker.window) {
            counted.times = 0;
        }
        let doubled = self.breaker.first.saturating_mul(1 << counted.times.min(20));
        counted.times += 1;
        self.open.store(true, Ordering::Release);
        self.doubt.store(true, Ordering::Release);
        Some(Opened { failed, tried, pause: doubled.min(self.breaker.longest) })
    }

    fn close(&self, now: Instant) {
        let mut counted = lock(&self.counted);
        (counted.since, counted.failed, counted.before) = (now, 0, (0, 0));
        counted.closed = Some(now);
        self.tried.store(0, Ordering::Relaxed);
        self.open.store(false, Ordering::Release);
        self.closed.notify_waiters();
    }

    fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    fn is_in_doubt(&self) -> bool {
        self.doubt.load(Ordering::Acquire)
    }
}

impl NodeState {
    /// A try that succeeded.
    pub(crate) fn count_success(&self, attempt: u32) {
        if let Some(circuit) = &self.circuit {
            circuit.succeeded(attempt);
        }
    }

    /// A try that failed, and why.
    pub(crate) fn count_failure(self: &Arc<Self>, attempt: u32, error: &str) {
        let Some(circuit) = &self.circuit else { return };
        let Some(Opened { failed, tried, pause }) = circuit.failed(attempt, Instant::now()) else { return };
        warn!(failed, tried, ?pause, error, "too many records fail: this node begins nothing for a while");
        self.teller.tell(|| Event::HeldBack { failed, tried, pause, reason: cut(error) });
        self.let_all_rest_if_held_back();
        self.engine.spawn(self.clone().go_on_after(pause));
    }

    /// Whether records are not to be blamed for failing.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.circuit.as_ref().is_some_and(Circuit::is_in_doubt)
    }

    async fn go_on_after(self: Arc<Self>, pause: Duration) {
        let Some(circuit) = &self.circuit else { return };
        if self.quiet.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            info!("this node goes on, and looks whether records still fail");
            self.teller.tell(|| Event::WentOn);
        }
        circuit.close(Instant::now());
    }

    /// Gives back what no handler has begun, if the node holds back.
    pub(crate) fn let_all_rest_if_held_back(self: &Arc<Self>) {
        if self.circuit.as_ref().is_some_and(Circuit::is_open) {
            self.let_rest(|_| true);
        }
    }

    /// Returns when this node does not hold back.
    pub(crate) async fn until_not_held_back(&self) {
        let Some(circuit) = &self.circuit else { return };
        loop {
            let closed = circuit.closed.notified();
            tokio::pin!(closed);
            closed.as_mut().enable();
            if !circuit.is_open() {
                return;
            }
            closed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn fails(circuit: &Circuit, times: u32, now: Instant) -> Option<Opened> {
        (0..times).find_map(|_| circuit.failed(1, now))
    }

    fn succeeds(circuit: &Circuit, times: u32) {
        (0..times).for_each(|_| circuit.succeeded(1));
    }

    #[test]
    fn it_opens_at_the_share_and_not_before_there_are_enough_records() {
        let now = Instant::now();
        let circuit = Circuit::new(Breaker::at(0.5).records(10), now);
        assert_eq!(fails(&circuit, 9, now), None);
        assert_eq!(circuit.failed(1, now), Some(Opened { failed: 10, tried: 10, pause: 10 * SECOND }));
        assert_eq!(fails(&circuit, 100, now), None, "it is open");

        let circuit = Circuit::new(Breaker::at(0.5).records(10), now);
        succeeds(&circuit, 20);
        assert_eq!(fails(&circuit, 19, now), None);
        assert_eq!(circuit.failed(1, now).map(|opened| opened.tried), Some(40));
    }

    #[test]
    fn only_first_tries_count_until_it_has_opened() {
        let now = Instant::now();
        let circuit = Circuit::new(Breaker::at(0.5).records(10), now);
        assert!((0..100).all(|_| circuit.failed(2, now).is_none()));
        assert!(fails(&circuit, 10, now).is_some());
        circuit.succeeded(1);
        assert!(circuit.is_in_doubt(), "it was begun before");
        circuit.close(now);
        assert!((0..10).any(|_| circuit.failed(7, now).is_some()));
        circuit.close(now);
        circuit.succeeded(7);
        assert!(!circuit.is_in_doubt());
        assert!((0..100).all(|_| circuit.failed(2, now).is_none()));
    }

    #[test]
    fn what_was_long_ago_does_not_count() {
        let now = Instant::now();
        let circuit = Circuit::new(Breaker::at(0.5).records(10), now);
        assert_eq!(fails(&circuit, 9, now), None);
        assert_eq!(fails(&circuit, 9, now + 30 * SECOND), None);
        assert!(fails(&circuit, 1, now + 46 * SECOND).is_some(), "the half before counts");
    }

    #[test]
    fn pauses_double_until_a_window_was_good() {
        let mut now = Instant::now();
        let circuit = Circuit::new(Breaker::at(1.0).records(1).pause(SECOND, 3 * SECOND), now);
        for pause in [1, 2, 3, 3] {
            assert_eq!(circuit.failed(1, now).map(|opened| opened.pause), Some(pause * SECOND));
            now += pause * SECOND;
            circuit.close(now);
        }
        now += 30 * SECOND;
        assert_eq!(circuit.failed(1, now).map(|opened| opened.pause), Some(SECOND));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for share in [0.0, -1.0, 1.1, f64::NAN] {
            assert!(Breaker::at(share).problem().is_some(), "{share}");
        }
        assert!(Breaker::at(1.0).window(Duration::ZERO).problem().is_some());
        assert_eq!(Breaker::at(0.5).problem(), None);
    }
}
