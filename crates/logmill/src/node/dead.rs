//! Dead letters: a record that is given up on stays open until the ledger has it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tracing::{info, warn};

use super::dead_topic::DeadTopic;
use super::event::Event;
use super::state::{Finished, NodeState};
use crate::error::{Error, Result};
use crate::ledger::{DeadLetter, DeadReason, DeadRecord, Ledger};

/// So many dead letters may wait for the ledger. What fails beyond that is tried again instead.
const MOST_WAITING: usize = 1_000;

/// Of those so many at a time are copied and sent: the others hold on to what their handlers had anyway.
const MOST_SENT: usize = 64;

/// A ledger that cannot be written is tried again after a pause that doubles from the one to the other.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Where a node's dead letters go.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    pub(crate) ledger: Ledger,
    /// The topic that gets the whole record too, if the user named one.
    pub(crate) topic: Option<DeadTopic>,
    waiting: Arc<Semaphore>,
    sending: Semaphore,
}

impl DeadLetters {
    pub(crate) fn new(ledger: Ledger, topic: Option<DeadTopic>) -> Self {
        Self {
            ledger,
            topic,
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
            sending: Semaphore::new(MOST_SENT),
        }
    }

    /// The right to hold one dead letter in memory; none if too many wait.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.waiting.clone().try_acquire_owned().ok()
    }
}

/// A dead letter on its way.
pub(crate) struct GivenUp {
    pub(crate) finished: Finished,
    pub(crate) reason: DeadReason,
    pub(crate) error: String,
    pub(crate) first_failure_ms: i64,
    pub(crate) now_ms: i64,
    pub(crate) place: OwnedSemaphorePermit,
}

impl NodeState {
    /// Brings a record that is given up on to the ledger, however long that takes. Its unit stays in hand
    /// meanwhile, with its lease renewed; if the node drains first, or loses the unit, it comes again.
    pub(crate) async fn bury(self: Arc<Self>, given_up: GivenUp) {
        let unit = given_up.finished.unit.clone();
        let offset = given_up.finished.record.offset;
        let (mut copied, mut pause) = (false, FIRST_PAUSE);
        while !unit.is_lost() {
            match self.write_down(&given_up, &mut copied).await {
                Ok(()) => {
                    // Settled only now that all in-sync replicas have the dead letter: a record that is
                    // neither handled nor in the ledger must come again.
                    unit.buried(offset);
                    self.counts.dead.fetch_add(1, Ordering::Relaxed);
                    let (place, reason) = (&unit.lease.partition.partition, given_up.reason.name());
                    info!(partition = %place, offset, reason, "a dead letter is in the ledger");
                    self.meter.dead(place, reason);
                    self.teller.tell(|| Event::DeadLetter {
                        partition: place.clone(),
                        offset,
                        attempts: given_up.finished.attempt,
                        reason: given_up.reason,
                    });
                    break;
                }
                Err(problem) => {
                    let (place, ledger) = (&unit.lease.partition.partition, self.dead.ledger.topic());
                    warn!(partition = %place, offset, ledger, %problem, again_in = ?pause,
                        "a dead letter cannot be written, so its record is not settled and the watermark waits: \
                         see that the ledger can be written");
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        self.no_longer_first(&unit, given_up.finished.line, given_up.finished.again);
        drop(given_up.place);
        self.close(&unit, 1);
    }

    async fn write_down(&self, given_up: &GivenUp, copied: &mut bool) -> Result<()> {
        // It is never closed.
        let _turn = self.dead.sending.acquire().await;
        let mut letter = self.letter(given_up);
        if let (Some(topic), false) = (&self.dead.topic, *copied) {
            topic.send(&letter, &given_up.finished.record, &self.settings.group).await?;
            *copied = true;
        }
        match self.dead.ledger.append(&letter.clone().entry()?).await {
            // A topic may take less than this node copies.
            Err(problem) if is_too_large(&problem) && letter.record.take().is_some() => {
                self.dead.ledger.append(&letter.entry()?).await
            }
            outcome => outcome,
        }
    }

    fn letter(&self, given_up: &GivenUp) -> DeadLetter {
        let Finished { record, attempt, unit, .. } = &given_up.finished;
        let key = &unit.lease.partition;
        let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let headers: usize = record.headers().map(|header| header.key.len() + length(header.value)).sum();
        let size = length(record.key.as_deref()) + length(record.value.as_deref()) + headers;
        DeadLetter {
            topic: key.partition.topic.to_string(),
            topic_id: key.topic_id.to_string(),
            partition: key.partition.index,
            offset: record.offset,
            reason: given_up.reason,
            error: given_up.error.clone(),
            attempts: *attempt,
            first_failure_ms: given_up.first_failure_ms,
            last_failure_ms: given_up.now_ms,
            node: self.settings.node.clone(),
            record: (size <= self.settings.ledger_payload_bytes).then(|| DeadRecord::copy(record)),
        }
    }
}

fn is_too_large(problem: &Error) -> bool {
    use crate::error::Error::{Produce, RecordTooLarge};
    let itself = matches!(problem, Produce(error) if matches!(error.reason(), RecordTooLarge { .. }));
    itself || problem.code() == Some(logmill_protocol::error::ErrorCode::MessageTooLarge)
}
