//! Who printed which record, and when.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// So long without one new record means that the rest will not come.
pub(crate) const STALLED: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    /// The node's number in its fleet.
    pub(crate) node: usize,
    /// The record's number.
    pub(crate) record: usize,
    pub(crate) at: Instant,
}

/// All lines of a fleet's nodes, in the order in which they were read.
#[derive(Debug)]
pub(crate) struct Tally {
    lines: Mutex<(Vec<Line>, Vec<u32>)>,
    distinct: watch::Sender<usize>,
}

impl Tally {
    pub(crate) fn new(records: usize) -> Self {
        Self {
            lines: Mutex::new((Vec::with_capacity(records), vec![0; records])),
            distinct: watch::Sender::new(0),
        }
    }

    pub(crate) fn count(&self, node: usize, record: usize) {
        let mut guard = self.lines.lock().unwrap();
        let (lines, times) = &mut *guard;
        lines.push(Line { node, record, at: Instant::now() });
        times[record] += 1;
        if times[record] == 1 {
            self.distinct.send_modify(|distinct| *distinct += 1);
        }
    }

    /// How many different records were printed.
    pub(crate) fn distinct(&self) -> usize {
        *self.distinct.borrow()
    }

    /// Waits until so many different records were printed.
    ///
    /// # Errors
    /// None came for a minute; the text tells the numbers of some that are missing.
    pub(crate) async fn reaches(&self, wanted: usize) -> Result<(), String> {
        let mut distinct = self.distinct.subscribe();
        while *distinct.borrow_and_update() < wanted {
            if tokio::time::timeout(STALLED, distinct.changed()).await.is_err() {
                return Err(self.missing());
            }
        }
        Ok(())
    }

    /// Waits until each of the nodes has printed something.
    ///
    /// # Errors
    /// One has not, and no new record came for a minute.
    pub(crate) async fn has_all(&self, nodes: usize) -> Result<(), String> {
        let mut distinct = self.distinct.subscribe();
        while let Some(idle) = self.shares(nodes).iter().position(|share| *share == 0) {
            if tokio::time::timeout(STALLED, distinct.changed()).await.is_err() {
                return Err(format!("node {idle} printed nothing, so the fault would not find it at work"));
            }
        }
        Ok(())
    }

    fn missing(&self) -> String {
        let guard = self.lines.lock().unwrap();
        let missing: Vec<usize> = guard
            .1
            .iter()
            .enumerate()
            .filter_map(|(record, times)| (*times == 0).then_some(record))
            .collect();
        let some = &missing[..missing.len().min(20)];
        format!("{} records were not printed, nor any other for {STALLED:?}; such as {some:?}", missing.len())
    }

    /// Every line that another one repeated later.
    pub(crate) fn repeated(&self) -> Vec<Line> {
        let guard = self.lines.lock().unwrap();
        let (lines, mut left) = (&guard.0, guard.1.clone());
        let mut repeated = Vec::new();
        for line in lines {
            left[line.record] -= 1;
            if left[line.record] > 0 {
                repeated.push(*line);
            }
        }
        repeated
    }

    /// How many lines each of the nodes printed.
    pub(crate) fn shares(&self, nodes: usize) -> Vec<usize> {
        let guard = self.lines.lock().unwrap();
        (0..nodes).map(|node| guard.0.iter().filter(|line| line.node == node).count()).collect()
    }
}
