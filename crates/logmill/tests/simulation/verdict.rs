//! What is seen of a run, and what must hold of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use logmill::ledger::{DEAD, EntryKey};
use logmill::{Ack, ProduceError};
use logmill_protocol::work::CommitMetadata;
use logmill_testkit::Cluster;
use tokio::time::Instant;

use super::world::{GROUP, LEDGER, TOPIC};

/// A record's place.
type Place = (i32, i64);

/// Everything that is seen, by whoever sees it.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    inner: Arc<Mutex<Seen>>,
    base: Instant,
}

#[derive(Debug, Default)]
struct Seen {
    lines: Vec<String>,
    /// How often each record's handler succeeded.
    handled: BTreeMap<Place, u32>,
    /// Records that the ledger has as dead letters.
    dead: BTreeSet<Place>,
    /// Every record that was ever in a log, and its number.
    logged: BTreeMap<Place, usize>,
    /// What Kafka has committed, by partition.
    committed: BTreeMap<i32, (i64, String)>,
    wrong: Option<String>,
}

impl Seen {
    /// Whether a watermark may pass the record: a handler has finished it, or the ledger has it.
    fn is_settled(&self, place: Place) -> bool {
        self.handled.contains_key(&place) || self.dead.contains(&place)
    }
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self { inner: Arc::default(), base: Instant::now() }
    }

    pub(crate) fn line(&self, text: impl std::fmt::Display) {
        let line = format!("{:>8} {text}", self.base.elapsed().as_millis());
        self.inner.lock().unwrap().lines.push(line);
    }

    /// A handler succeeded. Noted before it returns: what is settled later must be here.
    pub(crate) fn handled(&self, node: &str, partition: i32, offset: i64, attempt: u32) {
        self.line(format_args!("{node} handled {partition}@{offset} in try {attempt}"));
        *self.inner.lock().unwrap().handled.entry((partition, offset)).or_default() += 1;
    }

    /// Notes what is in the logs. To be called before anything is removed from them.
    pub(crate) fn read_logs(&self, cluster: &Cluster, partitions: i32) {
        let mut seen = self.inner.lock().unwrap();
        for partition in 0..partitions {
            for record in cluster.log(TOPIC, partition) {
                let number = std::str::from_utf8(&record.value.unwrap()).unwrap().parse().unwrap();
                seen.logged.insert((partition, record.offset), number);
            }
        }
    }

    /// Notes what the ledger has, as it stands in its log.
    pub(crate) fn read_ledger(&self, cluster: &Cluster) {
        if cluster.topic_id(LEDGER).is_none() {
            return;
        }
        let mut seen = self.inner.lock().unwrap();
        for record in cluster.log(LEDGER, 0) {
            let key = EntryKey::from_text(std::str::from_utf8(&record.key.unwrap()).unwrap());
            assert_eq!((key.kind(), key.topic(), record.value.is_some()), (DEAD, Some(TOPIC), true));
            seen.dead.insert((key.partition().unwrap().index, key.offset().unwrap()));
        }
    }

    /// Looks at what is committed: no watermark, and no settled range above it, may hold a record that no
    /// handler has finished and that the ledger does not have (P1).
    pub(crate) fn look_at_commits(&self, cluster: &Cluster) {
        for ((_, partition), commit) in cluster.all_committed(GROUP) {
            let before = self.inner.lock().unwrap().committed.get(&partition).cloned();
            if before
                .as_ref()
                .is_some_and(|(offset, text)| (*offset, text) == (commit.offset, &commit.metadata))
            {
                continue;
            }
            self.line(format_args!("committed {partition}@{} {:?}", commit.offset, commit.metadata));
            if let Some((offset, text)) = before
                && offset > commit.offset
            {
                let now = &commit.metadata;
                self.wrong(format!(
                    "{partition}: the watermark went back, {offset} {text:?} to {} {now:?}",
                    commit.offset
                ));
            }
            self.read_ledger(cluster);
            let done = CommitMetadata::decode(&commit.metadata, commit.offset).unwrap_or_default().done;
            let log = cluster.log(TOPIC, partition);
            let mut seen = self.inner.lock().unwrap();
            let lost = log.iter().map(|record| record.offset).find(|offset| {
                (*offset < commit.offset || done.contains(*offset)) && !seen.is_settled((partition, *offset))
            });
            seen.committed.insert(partition, (commit.offset, commit.metadata));
            drop(seen);
            if let Some(offset) = lost {
                self.wrong(format!("{partition}@{offset} is committed, no handler has finished it, and the ledger does not have it"));
            }
        }
    }

    pub(crate) fn wrong(&self, problem: String) {
        self.inner.lock().unwrap().wrong.get_or_insert(problem);
    }

    pub(crate) fn is_wrong(&self) -> bool {
        self.inner.lock().unwrap().wrong.is_some()
    }

    /// Whether every partition is committed to its end.
    pub(crate) fn is_done(&self, cluster: &Cluster, partitions: i32) -> bool {
        let seen = self.inner.lock().unwrap();
        (0..partitions).all(|partition| {
            let end = cluster.high_watermark(TOPIC, partition);
            seen.committed.get(&partition).map_or(end == 0, |(offset, _)| *offset == end)
        })
    }

    /// What is not committed yet, for a run that is stuck.
    pub(crate) fn missing(&self, cluster: &Cluster, partitions: i32) -> String {
        let seen = self.inner.lock().unwrap();
        let lag = |partition| {
            let committed = seen.committed.get(&partition);
            let log = cluster.log(TOPIC, partition);
            let open = log.iter().filter(|record| !seen.is_settled((partition, record.offset)));
            let open: Vec<i64> = open.map(|record| record.offset).take(10).collect();
            format!(
                "{partition}: {committed:?} of {}, not handled {open:?}",
                cluster.high_watermark(TOPIC, partition)
            )
        };
        (0..partitions).map(lag).collect::<Vec<_>>().join("; ")
    }

    /// The end: nothing lost (P1), nothing repeated unless something allows it (P2).
    pub(crate) fn nothing_lost(
        &self,
        cluster: &Cluster,
        partitions: i32,
        may_repeat: bool,
    ) -> Result<(), String> {
        let mut seen = self.inner.lock().unwrap();
        if let Some(wrong) = seen.wrong.take() {
            return Err(wrong);
        }
        for partition in 0..partitions {
            let log = cluster.log(TOPIC, partition);
            if let Some(lost) = log.iter().find(|record| !seen.is_settled((partition, record.offset))) {
                return Err(format!("{partition}@{} was never handled and is no dead letter", lost.offset));
            }
        }
        if let Some(phantom) = seen.handled.keys().find(|place| !seen.logged.contains_key(place)) {
            return Err(format!("{phantom:?} was handled and never in the log"));
        }
        match seen.handled.iter().find(|(_, times)| **times > 1) {
            Some((place, times)) if !may_repeat => {
                Err(format!("{place:?} was handled {times} times, and nothing in this run allows that"))
            }
            _ => Ok(()),
        }
    }

    /// What the producer said is true (P6): persisted records are in the log where it said, the others are not,
    /// none is there twice, and each partition has them in the order of their numbers.
    pub(crate) fn producer_told_the_truth(&self, told: &[Result<Ack, ProduceError>]) -> Result<(), String> {
        let seen = self.inner.lock().unwrap();
        let numbers: BTreeSet<usize> = seen.logged.values().copied().collect();
        if numbers.len() < seen.logged.len() {
            return Err("a record is in the log twice".to_owned());
        }
        for (number, told) in told.iter().enumerate() {
            match told {
                Ok(ack)
                    if ack.offset >= 0 && seen.logged.get(&(ack.partition, ack.offset)) != Some(&number) =>
                {
                    return Err(format!("record {number} is said to be at {}@{}", ack.partition, ack.offset));
                }
                Ok(_) if !numbers.contains(&number) => {
                    return Err(format!("record {number} is said to be persisted, and is in no log"));
                }
                Err(ProduceError::NotPersisted { .. }) if numbers.contains(&number) => {
                    return Err(format!("record {number} is said not to be persisted, and is in a log"));
                }
                _ => {}
            }
        }
        let mut last = BTreeMap::new();
        for ((partition, offset), number) in &seen.logged {
            if last.insert(*partition, *number).is_some_and(|before| before > *number) {
                return Err(format!("{partition}@{offset}: record {number} overtook an earlier one"));
            }
        }
        Ok(())
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        std::mem::take(&mut self.inner.lock().unwrap().lines)
    }
}
