//! Takes units: as many as keep the handlers busy for a moment, adjacent ones together.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use logmill_protocol::ids::{Offset, PartitionKey};
use logmill_protocol::work::{LANE_RUN, Lease, MAX_TAKEN, Range, Rest, Settle, Take};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::in_hand::{InHand, MAX_TRACKED};
use super::quarantine::{confine, is_suspect};
use super::read::Reading;
use super::state::NodeState;

/// Work is taken ahead for about this long.
const AHEAD: Duration = Duration::from_millis(100);

/// An idle node looks by itself this often, should a wake-up be lost.
const IDLE: Duration = Duration::from_secs(1);

/// A store that failed is asked again after this long.
const PAUSE: Duration = Duration::from_millis(200);

/// A unit that this node cannot work on now is visible to others again after this long.
pub(super) const ELSEWHERE_MS: u64 = 1_000;

/// A unit of a topic or partition that is paused is looked at again after this long.
const PAUSED_MS: u64 = 5_000;

/// How much work to have at hand: what the handlers did in the last [`AHEAD`], and never less than one
/// record for each.
struct Pace {
    since: Instant,
    handed: u64,
    target: u64,
    /// The usual length of a unit, in offsets.
    unit: u64,
}

impl Pace {
    fn target(&mut self, state: &NodeState) -> u64 {
        let (elapsed, handed) = (self.since.elapsed(), state.queue.handed());
        let least = state.settings.concurrency as u64;
        if elapsed >= AHEAD / 4 {
            let rate = (handed - self.handed) as f64 / elapsed.as_secs_f64();
            self.target = (rate * AHEAD.as_secs_f64()) as u64;
            (self.since, self.handed) = (Instant::now(), handed);
        }
        self.target.clamp(least, (state.settings.max_in_flight as u64).max(least))
    }

    /// How many units to ask for now.
    fn units(&mut self, state: &NodeState) -> u32 {
        let target = self.target(state);
        let ahead = state.unread() + state.queue.len() as u64;
        // Woken again at half the target, so that units are taken several at a time.
        state.queue.set_low((target / 2) as usize);
        let wanted = target.saturating_sub(ahead).div_ceil(self.unit.max(1));
        u32::try_from(wanted).unwrap_or(MAX_TAKEN).min(MAX_TAKEN)
    }

    fn saw(&mut self, leases: &[Lease]) {
        for lease in leases {
            let records = lease.range.len() / u64::from(lease.partition.lane.of.max(1));
            self.unit = (3 * self.unit + records) / 4;
        }
    }
}

/// Takes units until the node is quiet.
pub(crate) async fn run(state: Arc<NodeState>, reading: Reading) {
    let mut pace = Pace { since: Instant::now(), handed: 0, target: 0, unit: 100 };
    let allowed = async || {
        state.until_not_held_back().await;
        state.asked.until_work_is_allowed().await;
    };
    while let Some(()) = state.quiet.run_until_cancelled(allowed()).await {
        if !state.is_sure_of_its_own(Instant::now()) {
            let _ = tokio::time::timeout(PAUSE, state.quiet.cancelled()).await;
            continue;
        }
        let drained = state.queue.drained.notified();
        tokio::pin!(drained);
        drained.as_mut().enable();
        let max_units = pace.units(&state);
        if max_units == 0 {
            // The pace may have changed although nothing drained to the mark.
            let _ = tokio::time::timeout(AHEAD, drained).await;
            continue;
        }
        let (asked, seen) = (Instant::now(), state.store.version());
        let extended = state.lanes_to_extend(MAX_TAKEN as usize);
        let request = Take {
            node: state.settings.node.clone(),
            nonce: state.nonce(),
            lease_ms: state.settings.lease_ms(),
            // A whole run of each.
            max_units: max_units.max((extended.len() * LANE_RUN) as u32).min(MAX_TAKEN),
            extend: extended.clone(),
        };
        match state.store.take(request).await {
            Ok(taken) if taken.leases.is_empty() => {
                let wait = taken.next_in_ms.map_or(IDLE, Duration::from_millis).min(IDLE);
                tokio::select! {
                    biased;
                    () = state.quiet.cancelled() => break,
                    // A lane that was held is free, or worth extending.
                    () = drained => {}
                    () = state.store.changed(seen, wait) => {}
                }
            }
            Ok(taken) => {
                debug!(units = taken.leases.len(), "took units");
                pace.saw(&taken.leases);
                let leases = without_left_alone(&state, taken.leases);
                let (leases, suspects) = apart(&state, leases);
                let runs = runs(&state, leases, &extended, asked);
                // A pause that has begun since they were looked at has not seen them.
                state.let_paused_rest();
                state.let_all_rest_if_held_back();
                for runs in together(runs) {
                    state.engine.spawn(reading.clone().read_in_turn(runs));
                }
                // One at a time, for which there may be other nodes.
                let mut suspects = suspects.into_iter();
                let first = suspects.next().filter(|lease| is_suspect(&state, lease));
                for lease in suspects {
                    state.engine.spawn(return_unworked(state.clone(), lease, ELSEWHERE_MS));
                }
                if let Some(lease) = first {
                    confine(&reading, lease, asked).await;
                }
            }
            Err(problem) => {
                warn!(%problem, "no units taken");
                // Perhaps they were extended all the same, by units that this node will never hear of.
                state.no_more_of(&extended);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Puts back what is paused, or another process's from now on.
fn without_left_alone(state: &Arc<NodeState>, mut leases: Vec<Lease>) -> Vec<Lease> {
    let left_alone = leases.extract_if(.., |lease| {
        let partition = &lease.partition.partition;
        state.asked.is_paused(partition) || state.is_letting_go(partition)
    });
    for lease in left_alone {
        let delay_ms = match state.asked.is_paused(&lease.partition.partition) {
            // Nobody takes it before the group goes on.
            true if state.asked.is_group_paused() => 0,
            true => PAUSED_MS,
            false => ELSEWHERE_MS,
        };
        state.engine.spawn(return_unworked(state.clone(), lease, delay_ms));
    }
    leases
}

/// Sets suspects apart, in a lane with all that follows: nothing may be handled before what comes before it.
fn apart(state: &NodeState, leases: Vec<Lease>) -> (Vec<Lease>, Vec<Lease>) {
    let (mut leases_left, mut suspects): (Vec<Lease>, Vec<Lease>) = (Vec::new(), Vec::new());
    for lease in leases {
        let follows = !lease.partition.lane.is_whole()
            && suspects.iter().any(|suspect| suspect.partition == lease.partition);
        if follows || is_suspect(state, &lease) { suspects.push(lease) } else { leases_left.push(lease) }
    }
    (leases_left, suspects)
}

/// Groups runs of several lanes that overlap: they are fetched and decoded once.
fn together(mut runs: Vec<VecDeque<Arc<InHand>>>) -> Vec<Vec<VecDeque<Arc<InHand>>>> {
    runs.sort_by_key(|run| {
        run.front().map(|unit| (unit.lease.partition.partition.clone(), unit.lease.position))
    });
    let mut groups: Vec<(Offset, Vec<VecDeque<Arc<InHand>>>)> = Vec::new();
    for run in runs {
        let (Some(first), Some(last)) = (run.front(), run.back()) else { continue };
        let (begin, end) = (first.lease.position, last.lease.range.end());
        let lane = first.lane.is_some();
        let fits = |(to, group): &(Offset, Vec<VecDeque<Arc<InHand>>>)| {
            let other = group.first().and_then(VecDeque::front);
            lane && begin < *to && other.is_some_and(|other| same_log(&other.lease, &first.lease))
        };
        match groups.last_mut().filter(|group| fits(group)) {
            Some((to, group)) => {
                *to = end.max(*to);
                group.push(run);
            }
            None => groups.push((end, vec![run])),
        }
    }
    groups.into_iter().map(|(_, runs)| runs).collect()
}

fn same_log(one: &Lease, other: &Lease) -> bool {
    (&one.partition.partition, one.partition.topic_id, one.partition.lane.of)
        == (&other.partition.partition, other.partition.topic_id, other.partition.lane.of)
}

/// Groups leases that follow one another in a partition: one fetch serves such a run.
fn runs(
    state: &Arc<NodeState>,
    leases: Vec<Lease>,
    extended: &[PartitionKey],
    asked: Instant,
) -> Vec<VecDeque<Arc<InHand>>> {
    let mut runs: Vec<VecDeque<Arc<InHand>>> = Vec::new();
    for lease in leases {
        // What follows units that were given up meanwhile must not be handled before them.
        let lost = extended.contains(&lease.partition) && !state.holds(&lease.partition);
        if lost || lease.range.len() > MAX_TRACKED {
            state.engine.spawn(return_unworked(state.clone(), lease, ELSEWHERE_MS));
            continue;
        }
        let unit = state.take_in(lease, asked);
        let run = match &unit.lane {
            // All of a lane is one run, whatever is settled between its units.
            Some(_) => runs.iter_mut().find(|run| lane_of_run(run) == Some(&unit.lease.partition)),
            None => {
                runs.last_mut().filter(|run| run.back().is_some_and(|last| follows(&last.lease, &unit.lease)))
            }
        };
        match run {
            Some(run) => run.push_back(unit),
            None => runs.push(VecDeque::from([unit])),
        }
    }
    runs
}

fn lane_of_run(run: &VecDeque<Arc<InHand>>) -> Option<&PartitionKey> {
    run.front().map(|unit| &unit.lease.partition)
}

fn follows(last: &Lease, next: &Lease) -> bool {
    last.partition == next.partition
        && last.range.end() == next.range.start()
        && next.position == next.range.start()
        && last.generation == next.generation
        && last.boot == next.boot
}

/// Puts a unit back without working on it: in pieces if it is too long to keep track of.
async fn return_unworked(state: Arc<NodeState>, lease: Lease, delay_ms: u64) {
    let delay_ms = if lease.range.len() > MAX_TRACKED { 0 } else { delay_ms };
    let mut rest = Vec::new();
    let mut at = lease.position;
    while let Some(left) = Range::new(at, lease.range.end()) {
        // The last of very many pieces stays long, and is split in its turn.
        let length = if rest.len() < 500 { left.len().min(MAX_TRACKED) } else { left.len() };
        at += length as i64;
        let attempt = lease.attempt.saturating_sub(1);
        rest.extend(Range::new(left.start(), at).map(|range| Rest { range, delay_ms, attempt }));
    }
    if let Err(problem) = state.store.settle(Settle { held: lease.held(), rest, gaps: Vec::new() }).await {
        warn!(%problem, "unit not put back: it returns when its lease ends");
    }
}
