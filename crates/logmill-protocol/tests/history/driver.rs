//! Turns steps into calls, by what earlier calls answered.

use logmill_protocol::ids::{
    Boot, Generation, Lane, MAX_OFFSET, Nonce, Offset, Partition, PartitionKey, Uuid,
};
use logmill_protocol::work::{
    Announce, Gap, GapCause, Held, Lease, MAX_TIME_MS, Plan, Planned, Progress, Raise, Range, Rebuild,
    Refused, Renew, Requeue, Requeued, Rest, Settle, Settled, Take,
};

use super::{Call, Reply, Spoil, Step};

/// What nodes and organisers of a history know.
pub struct Driver {
    /// The server's clock.
    pub now: u64,
    pub partitions: Vec<Known>,
    leases: Vec<Lease>,
    settles: Vec<Settle>,
    /// Units that nobody took, as far as their maker knows, and those that went back by hand.
    waiting: Vec<Held>,
    draws: u64,
}

/// What an organiser believes of a partition.
pub struct Known {
    pub key: PartitionKey,
    /// Where its offsets begin: one partition ends at the largest offset there is.
    base: Offset,
    generation: Generation,
    boot: Boot,
    /// Where the plan stood, newest last.
    planned: Vec<Offset>,
}

impl Known {
    fn planned(&self, behind: u8) -> Offset {
        *self.planned.iter().rev().nth(behind.into()).unwrap_or(&self.base)
    }
}

impl Driver {
    pub fn new() -> Self {
        let partition = |topic: &str, index, id, base| Known {
            key: PartitionKey::new(Partition::new(topic, index), Uuid([id; 16])),
            base,
            generation: Generation(0),
            boot: Boot(0),
            planned: vec![base],
        };
        let lane = |known: Known, index, of| {
            let lane = Lane::new(index, of).expect("a lane");
            Known { key: known.key.in_lane(lane), ..known }
        };
        // In the order of their text, unlike that of their numbers; two topics share a name.
        let partitions = vec![
            partition("a.b", 0, 7, 0),
            partition("a", 10, 7, 0),
            partition("a", 9, 7, MAX_OFFSET - 150),
            partition("a", 9, 8, 40),
            // Lanes, beside the whole partition; the name of one begins like another's.
            lane(partition("a.b", 0, 7, 0), 1, 8),
            lane(partition("a.b", 0, 7, 0), 1, 80),
            lane(partition("a", 9, 7, MAX_OFFSET - 150), 0, 1),
        ];
        Self {
            now: 1_700_000_000_000,
            partitions,
            leases: Vec::new(),
            settles: Vec::new(),
            waiting: Vec::new(),
            draws: 0,
        }
    }

    /// The call that a step stands for, or `None` if it is none after this history.
    pub fn call(&mut self, step: &Step) -> Option<Call> {
        self.draws += 1;
        let draw = self.draws;
        Some(match *step {
            Step::Time(by) => {
                self.now = self.now.saturating_add_signed(by).min(MAX_TIME_MS / 2);
                return None;
            }
            Step::Rebuild { partition, generation, lower, cut } => {
                let known = self.known(partition);
                let generation = Generation(known.generation.0 + u64::from(generation));
                // A rewind may also lower the plan, so that organisers of before are ahead of it.
                let planned = known.planned(u8::from(cut % 4 == 0));
                let watermark = (planned - Offset::from(lower)).max(known.base.min(planned));
                let (done, units) = tiles(watermark, planned, cut);
                Call::Rebuild(Rebuild {
                    partition: known.key.clone(),
                    generation,
                    boot: Boot(draw),
                    leader_epoch: i32::from(lower) - 1,
                    watermark,
                    planned,
                    done,
                    units,
                })
            }
            Step::Raise { partition, by, stale } => {
                let known = self.known(partition);
                Call::Raise(Raise {
                    partition: known.key.clone(),
                    generation: known.generation,
                    boot: Boot(known.boot.0 + u64::from(stale)),
                    watermark: (known.planned(0) - 20 + Offset::from(by)).clamp(0, MAX_OFFSET),
                })
            }
            Step::Plan { partition, ref sizes, behind, max_units, stale } => {
                let known = self.known(partition);
                let ahead = if behind == super::AHEAD { 5 } else { 0 };
                let from = known.planned(behind % super::AHEAD) + ahead;
                let ends = sizes.iter().scan(from, |at, &size| {
                    *at += Offset::from(size);
                    Some(*at)
                });
                Call::Plan(Plan {
                    partition: known.key.clone(),
                    generation: Generation(known.generation.0 + u64::from(stale)),
                    boot: known.boot,
                    from,
                    ends: ends.collect(),
                    max_units: max_units.into(),
                })
            }
            Step::Take { node, max_units, lease_ms, extend } => Call::Take(Take {
                node: node_name(node),
                nonce: nonce(draw),
                lease_ms: lease_ms.into(),
                max_units: max_units.into(),
                extend: self.chosen(extend),
            }),
            Step::Renew { ref leases, lease_ms, spoil } => {
                let progress = |&(lease, along): &(u8, u8)| {
                    let lease = self.lease(lease)?;
                    let position = (lease.range.start() + Offset::from(along)).min(lease.range.end());
                    let held = self.spoilt(lease.held(), spoil);
                    Some(Progress { position: position.min(held.range.end()), held })
                };
                let held: Vec<_> = leases.iter().filter_map(progress).collect();
                Call::Renew(Renew { lease_ms: lease_ms.into(), held })
            }
            Step::Settle { lease, rest, gaps, delay_ms, spoil } => {
                let lease = self.lease(lease)?;
                let held = self.spoilt(lease.held(), spoil);
                let stretches = stretches(held.range);
                let chosen = |bits: u8| {
                    let chosen = move |&(bit, _): &(usize, Range)| bits >> bit & 1 == 1;
                    stretches.iter().copied().enumerate().filter(chosen).map(|(_, range)| range)
                };
                let rests = chosen(rest).map(|range| Rest {
                    range,
                    delay_ms: delay_ms.into(),
                    attempt: lease.attempt,
                });
                let cause = GapCause::ALL[usize::from(gaps) % 3];
                let lost = chosen(gaps & !rest).map(|range| Gap { range, cause });
                let settle = Settle { held, rest: rests.collect(), gaps: lost.collect() };
                self.settles.push(settle.clone());
                Call::Settle(settle)
            }
            Step::Requeue { unit, fresh, cut, front, spoil } => {
                let given = self.lease(unit).map(Lease::held);
                let waiting = pick(&self.waiting[self.waiting.len().saturating_sub(8)..], unit).cloned();
                let seen = if fresh { waiting.or(given) } else { given }?;
                let cut = (cut > 0).then(|| seen.range.start() + Offset::from(cut));
                Call::Requeue(Requeue { seen: self.spoilt(seen, spoil), cut, front })
            }
            Step::Again { settle } => Call::Settle(pick(&self.settles, settle)?.clone()),
            Step::Forget { partition } => Call::Forget(self.known(partition).key.clone()),
            Step::Announce { node, wants, ttl_ms, most } => Call::Announce(Announce {
                node: node_name(node),
                info: format!("lives, draw {draw} \u{1f6a2}\n"),
                wants_organise: wants,
                ttl_ms: ttl_ms.into(),
                max_organisers: most.into(),
            }),
            Step::Depart { node } => Call::Depart(node_name(node)),
            Step::Hostile(what, value) => self.hostile(what, value),
        })
    }

    /// Takes in what a call answered.
    pub fn learn(&mut self, call: &Call, reply: &Result<Reply, Refused>) {
        self.learn_what_waits(call, reply);
        match (call, reply) {
            (Call::Rebuild(request), Ok(Reply::Rebuilt)) => {
                let known = self.known_by(&request.partition);
                known.generation = request.generation;
                known.boot = request.boot;
                known.planned.push(request.planned);
            }
            (Call::Raise(request), Ok(Reply::Raised(raised))) => {
                let known = self.known_by(&request.partition);
                known.planned.push(known.planned(0).max(raised.watermark));
            }
            (
                Call::Plan(request),
                Ok(Reply::Planned(Planned::Ok { planned, .. } | Planned::Moved { planned })),
            ) => self.known_by(&request.partition).planned.push(*planned),
            (Call::Take(_), Ok(Reply::Taken(taken))) => self.leases.extend(taken.leases.iter().cloned()),
            _ => {}
        }
    }

    fn learn_what_waits(&mut self, call: &Call, reply: &Result<Reply, Refused>) {
        match (call, reply) {
            (Call::Plan(request), Ok(Reply::Planned(Planned::Ok { .. }))) => {
                let Plan { partition, generation, boot, .. } = request.clone();
                let starts = std::iter::once(&request.from).chain(&request.ends);
                let ranges = starts.zip(&request.ends).filter_map(|(from, end)| Range::new(*from, *end));
                let nonce = Nonce::default();
                self.waiting.extend(ranges.map(|range| Held {
                    partition: partition.clone(),
                    range,
                    nonce,
                    generation,
                    boot,
                }));
            }
            (Call::Settle(request), Ok(Reply::Settled(Settled::Done { .. }))) => {
                let nonce = Nonce::default();
                let fresh = |rest: &Rest| Held { range: rest.range, nonce, ..request.held.clone() };
                self.waiting.extend(request.rest.iter().map(fresh));
            }
            (Call::Requeue(request), Ok(Reply::Requeued(Requeued::Done { .. }))) => {
                let (range, nonce) = (request.seen.range, Nonce::default());
                let at = request.cut.unwrap_or(range.end());
                let halves = [Range::new(range.start(), at), Range::new(at, range.end())];
                let halves = halves.into_iter().flatten();
                self.waiting.extend(halves.map(|range| Held { range, nonce, ..request.seen.clone() }));
            }
            _ => {}
        }
    }

    fn known(&self, partition: u8) -> &Known {
        &self.partitions[usize::from(partition) % self.partitions.len()]
    }

    /// The partitions whose bits are set, the last first.
    fn chosen(&self, bits: u8) -> Vec<PartitionKey> {
        let chosen = self.partitions.iter().enumerate().rev().filter(|(bit, _)| bits >> bit & 1 == 1);
        chosen.map(|(_, known)| known.key.clone()).collect()
    }

    fn known_by(&mut self, key: &PartitionKey) -> &mut Known {
        self.partitions.iter_mut().find(|known| known.key == *key).expect("a partition of the history")
    }

    /// A lease given in this history, a recent one more often than not.
    fn lease(&self, index: u8) -> Option<&Lease> {
        let recent = self.leases.len().saturating_sub(8);
        if index < 180 { pick(&self.leases[recent..], index) } else { pick(&self.leases, index) }
    }

    fn spoilt(&self, mut held: Held, spoil: Spoil) -> Held {
        match spoil {
            Spoil::Nothing => {}
            Spoil::Nonce => held.nonce.0 += 1,
            Spoil::End => {
                held.range = Range::new(held.range.start(), held.range.end() + 1).unwrap_or(held.range)
            }
            Spoil::Generation => held.generation.0 += 1,
            Spoil::Boot => held.boot.0 += 1,
            Spoil::Partition => held.partition.partition.index += 77,
        }
        held
    }

    fn hostile(&self, what: u8, value: i64) -> Call {
        let known = self.known(what);
        let (partition, generation, boot) = (known.key.clone(), known.generation, known.boot);
        match what / 8 % 7 {
            0 => {
                let ends = vec![value, value];
                Call::Plan(Plan { partition, generation, boot, from: value, ends, max_units: u32::MAX })
            }
            1 => Call::Plan(Plan { partition, generation, boot, from: 0, ends: vec![], max_units: 1 }),
            2 => Call::Raise(Raise { partition, generation, boot, watermark: value }),
            3 => Call::Take(Take {
                node: "x".repeat(what.into()),
                nonce: Nonce(0),
                lease_ms: value.unsigned_abs(),
                max_units: 65,
                extend: vec![],
            }),
            4 => Call::Rebuild(Rebuild {
                partition,
                generation: Generation(value.unsigned_abs()),
                boot,
                leader_epoch: -1,
                watermark: value,
                planned: value.saturating_add(1),
                done: vec![],
                units: vec![],
            }),
            5 => {
                // One that no constructor gives.
                let lane = Lane { index: value as u16, of: (value >> 16) as u16 };
                let (node, nonce) = ("n".to_owned(), Nonce(1));
                let extend = vec![partition.in_lane(lane)];
                Call::Take(Take { node, nonce, lease_ms: 1, max_units: 1, extend })
            }
            _ => Call::Forget(PartitionKey { partition: Partition::new("a/b@c", 0), ..partition }),
        }
    }
}

fn pick<T>(from: &[T], index: u8) -> Option<&T> {
    from.get(usize::from(index).checked_rem(from.len())?)
}

fn nonce(draw: u64) -> Nonce {
    // Small and large ones, for they are written in hexadecimal.
    Nonce(if draw.is_multiple_of(2) { draw.into() } else { u128::MAX - u128::from(draw) })
}

fn node_name(node: u8) -> String {
    // Whatever a name may hold must come back as it was.
    ["plain", "two words", "l\nf\0 7 8", "h\u{e4}fen", "0"][usize::from(node) % 5].to_owned()
}

/// The range in up to eight stretches, one for each bit.
fn stretches(range: Range) -> Vec<Range> {
    let step = (range.len() as Offset + 7) / 8;
    let cut = |bit: Offset| {
        let start = range.start() + bit * step;
        Range::new(start, (start + step).min(range.end()))
    };
    (0..8).map_while(cut).collect()
}

/// `from..to` in tiles, each settled or a unit by a bit of `cut`.
fn tiles(from: Offset, to: Offset, cut: u16) -> (Vec<Range>, Vec<Range>) {
    let step = (to - from).max(0) / 16 + 1;
    let tile = |bit: Offset| Range::new(from + bit * step, (from + (bit + 1) * step).min(to));
    let tiles = (0..16).map_while(tile).enumerate();
    let (done, units): (Vec<_>, Vec<_>) = tiles.partition(|(bit, _)| cut >> bit & 1 == 1);
    let ranges = |tiles: Vec<(usize, Range)>| tiles.into_iter().map(|(_, range)| range).rev().collect();
    (ranges(done), ranges(units))
}
