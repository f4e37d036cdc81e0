//! What is seen of a run, and what must hold of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use logmill::ledger::{DEAD, EntryKey};
use logmill::node::{Order, Received};
use logmill::{Ack, ProduceError};
use logmill_protocol::work::{CommitMetadata, lane_of};
use logmill_testkit::{Cluster, LoggedRecord};
use tokio::time::Instant;

use super::world::{GROUP, LEDGER, LOOK, TOPIC};

/// What a handler does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Begun,
    Done,
}

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
    /// When it did last; taken away where an operator wants the record again.
    handled_at: BTreeMap<Place, Instant>,
    /// Which handlers began and succeeded, in the order in which they did.
    sequence: Vec<(Step, Place, Option<Bytes>)>,
    /// Records that the ledger has as dead letters.
    dead: BTreeSet<Place>,
    /// Records that an operator had the group pass over: one whose rewind was planned before another's, further back,
    /// was done. Taken away where a later one wants them again.
    skipped: BTreeSet<Place>,
    /// How much of the ledger's log was looked at.
    ledger: i64,
    /// Every record that was ever in a log, and its number.
    logged: BTreeMap<Place, usize>,
    /// What Kafka has committed, by partition.
    committed: BTreeMap<i32, (i64, String)>,
    wrong: Option<String>,
}

impl Seen {
    /// Whether a watermark may pass the record: a handler has finished it, or the ledger has it.
    fn is_settled(&self, place: Place) -> bool {
        self.handled_at.contains_key(&place) || self.dead.contains(&place) || self.skipped.contains(&place)
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
    pub(crate) fn handled(&self, node: &str, record: &Received) {
        let (place, attempt) = ((record.partition(), record.offset()), record.attempt());
        self.line(format_args!("{node} handled {}@{} in try {attempt}", place.0, place.1));
        let mut seen = self.inner.lock().unwrap();
        *seen.handled.entry(place).or_default() += 1;
        seen.handled_at.insert(place, Instant::now());
        seen.sequence.push((Step::Done, place, record.key().cloned()));
    }

    /// A handler begins.
    pub(crate) fn begun(&self, record: &Received) {
        let place = (record.partition(), record.offset());
        self.inner.lock().unwrap().sequence.push((Step::Begun, place, record.key().cloned()));
    }

    /// The order that was asked for (P4). A handler begins only when all earlier records of its key, or of its
    /// partition, are done; and what begins again after a fault is followed by all that comes after it.
    pub(crate) fn in_order(&self, cluster: &Cluster, partitions: i32, order: Order) -> Result<(), String> {
        if order == Order::Unordered {
            return Ok(());
        }
        let line = |partition: i32, key: Option<&Bytes>| {
            (partition, key.filter(|_| order != Order::ByPartition).cloned())
        };
        let mut logs: BTreeMap<_, Vec<i64>> = BTreeMap::new();
        for partition in 0..partitions {
            for record in cluster.log(TOPIC, partition) {
                logs.entry(line(partition, record.key.as_ref())).or_default().push(record.offset);
            }
        }
        // Of each line: the last record that began, and how many from the start of the log are done.
        let mut at: BTreeMap<_, (i64, BTreeSet<i64>)> = BTreeMap::new();
        let seen = self.inner.lock().unwrap();
        for (step, (partition, offset), key) in &seen.sequence {
            let line = line(*partition, key.as_ref());
            let log = logs.get(&line).map_or(&[][..], Vec::as_slice);
            let (last, done) = at.entry(line).or_insert((-1, BTreeSet::new()));
            if *step == Step::Done {
                done.insert(*offset);
                continue;
            }
            let open = |known: &&i64| {
                *known < offset && !done.contains(known) && !seen.dead.contains(&(*partition, **known))
            };
            if let Some(missing) = log.iter().find(open) {
                return Err(format!("{partition}@{offset} began before {missing} was done"));
            }
            if let Some(between) = log.iter().find(|known| *known > last && *known < offset) {
                return Err(format!("{partition}@{offset} began after {last}, and {between} comes between"));
            }
            *last = *offset;
        }
        Ok(())
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
            if record.offset < seen.ledger {
                continue;
            }
            seen.ledger = record.offset + 1;
            let key = EntryKey::from_text(std::str::from_utf8(&record.key.unwrap()).unwrap());
            let (partition, offset) = (key.partition().unwrap().index, key.offset().unwrap());
            assert_eq!((key.topic(), record.value.is_some()), (Some(TOPIC), true));
            if key.kind() == "skipped" {
                let value: serde_json::Value = serde_json::from_slice(&record.value.unwrap()).unwrap();
                let to = value["to"].as_i64().unwrap();
                seen.skipped.extend((offset..to).map(|offset| (partition, offset)));
                continue;
            }
            assert_eq!(key.kind(), DEAD);
            seen.dead.insert((partition, offset));
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
            let rewind = |text: &str, offset| CommitMetadata::decode(text, offset).map_or(0, |it| it.rewind);
            let rewound = rewind(&commit.metadata, commit.offset);
            if rewound != before.as_ref().map_or(0, |(offset, text)| rewind(text, *offset)) {
                // All from there on must be handled again. What was handled since the last look may be that already.
                let mut seen = self.inner.lock().unwrap();
                let since = Instant::now() - LOOK;
                let again = (partition, commit.offset)..(partition + 1, 0);
                let stale: Vec<Place> = seen
                    .handled_at
                    .range(again)
                    .filter(|(_, at)| **at < since)
                    .map(|(place, _)| *place)
                    .collect();
                seen.handled_at.retain(|place, _| !stale.contains(place));
                seen.skipped.retain(|(index, offset)| *index != partition || *offset < commit.offset);
            } else if let Some((offset, text)) = before
                && offset > commit.offset
            {
                let now = &commit.metadata;
                self.wrong(format!(
                    "{partition}: the watermark went back, {offset} {text:?} to {} {now:?}",
                    commit.offset
                ));
            }
            self.read_ledger(cluster);
            let metadata = CommitMetadata::decode(&commit.metadata, commit.offset);
            let metadata = metadata.unwrap_or_else(|| CommitMetadata::foreign(commit.offset));
            // Each lane speaks for its own records only.
            let settled = |record: &LoggedRecord| {
                let lane = lane_of(record.key.as_deref(), record.offset, metadata.of);
                let lane = &metadata.lanes[usize::from(lane)];
                record.offset < lane.watermark || lane.done.contains(record.offset)
            };
            let log = cluster.log(TOPIC, partition);
            let mut seen = self.inner.lock().unwrap();
            let lost = log
                .iter()
                .find(|record| settled(record) && !seen.is_settled((partition, record.offset)))
                .map(|record| record.offset);
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
