//! Replies of the scripts that only read.

use logmill_protocol::ids::{Boot, Generation, Nonce, PartitionKey};
use logmill_protocol::work::{
    Cursor, Gap, GapCause, LostRange, MAX_GAPS_KEPT, NodeView, Overview, Page, PartitionSnapshot, Unit,
    UnitState,
};

use super::{Nonsense, Parsed, Reply, flag, nonsense, number, partition, range, unknown};

pub(in crate::store::redis) fn snapshot(
    partition: &PartitionKey,
    tag: &str,
    reply: &mut Reply,
) -> Parsed<PartitionSnapshot> {
    if tag != "OK" {
        return unknown(tag);
    }
    let mut snapshot = PartitionSnapshot {
        partition: partition.clone(),
        generation: Generation(reply.number()?),
        boot: Boot(reply.number()?),
        leader_epoch: reply.number()?,
        watermark: reply.number()?,
        planned: reply.number()?,
        units: reply.number()?,
        done_ranges: reply.number()?,
        done: Vec::with_capacity(reply.len()),
    };
    let mut above = snapshot.watermark;
    while reply.len() > 0 {
        let text = reply.text()?;
        let Some((start, end)) = text.split_once(':') else {
            return nonsense(format!("a range {text:.40?}"));
        };
        let range = range(number(start)?, number(end)?)?;
        // An organiser commits this to Kafka: it must not claim more than a settle could have.
        if range.start() <= above || range.end() > snapshot.planned {
            return nonsense(format!("settled {range} above {above}, planned {}", snapshot.planned));
        }
        above = range.end();
        snapshot.done.push(range);
    }
    if snapshot.watermark < 0 || snapshot.watermark > snapshot.planned {
        return nonsense(format!("watermark {}, planned {}", snapshot.watermark, snapshot.planned));
    }
    Ok(snapshot)
}

pub(in crate::store::redis) fn overview(tag: &str, reply: &mut Reply) -> Parsed<Overview> {
    if tag != "OK" {
        return unknown(tag);
    }
    let mut overview = Overview {
        now_ms: reply.number()?,
        partitions: reply.number()?,
        ready: reply.number()?,
        delayed: reply.number()?,
        leased: reply.number()?,
        next_visible_ms: reply.optional()?,
        next_deadline_ms: reply.optional()?,
        lost_offsets: reply.number()?,
        ..Overview::default()
    };
    for _ in 0..reply.number::<usize>()? {
        let (node, seen_ms) = (reply.text()?, reply.number()?);
        let organises = flag("OK", reply)?;
        overview.nodes.push(NodeView { node, info: reply.text()?, seen_ms, organises });
    }
    if reply.len() > MAX_GAPS_KEPT {
        return nonsense("more gaps than are kept");
    }
    while reply.len() > 0 {
        overview.gaps.push(lost_range(&reply.text()?)?);
    }
    Ok(overview)
}

fn lost_range(line: &str) -> Parsed<LostRange> {
    let fields: Vec<_> = line.split(' ').collect();
    let &[key, generation, start, end, cause] = fields.as_slice() else {
        return nonsense(format!("a gap {line:.80?}"));
    };
    let Some(cause) = GapCause::from_name(cause) else { return unknown(cause) };
    Ok(LostRange {
        partition: partition(key)?,
        generation: Generation(number(generation)?),
        gap: Gap { range: range(number(start)?, number(end)?)?, cause },
    })
}

fn page<T>(tag: &str, reply: &mut Reply, item: impl Fn(&mut Reply) -> Parsed<T>) -> Parsed<Page<T>> {
    if tag != "OK" {
        return unknown(tag);
    }
    let next = Some(Cursor(reply.number()?)).filter(|next| *next != Cursor::START);
    let mut items = Vec::new();
    while reply.len() > 0 {
        items.push(item(reply)?);
    }
    Ok(Page { items, next })
}

pub(in crate::store::redis) fn partitions(tag: &str, reply: &mut Reply) -> Parsed<Page<PartitionKey>> {
    page(tag, reply, Reply::partition)
}

pub(in crate::store::redis) fn units(tag: &str, reply: &mut Reply) -> Parsed<Page<Unit>> {
    page(tag, reply, unit)
}

fn unit(reply: &mut Reply) -> Parsed<Unit> {
    let (start, line, state) = (reply.number()?, reply.text()?, reply.text()?);
    let state = match state.as_str() {
        "R" => UnitState::Ready { visible_at_ms: reply.number()? },
        "L" => UnitState::Leased { deadline_ms: reply.number()? },
        other => return unknown(other),
    };
    // The node's name comes last: it may hold anything, spaces too.
    let mut fields = line.splitn(7, ' ');
    let mut field = || fields.next().ok_or_else(|| Nonsense(format!("a unit {line:.80?}")));
    let (end, position, attempt) = (number(field()?)?, number(field()?)?, number(field()?)?);
    let Ok(nonce) = field()?.parse::<Nonce>() else { return nonsense(format!("a unit {line:.80?}")) };
    let (taken_at_ms, _visible, node) = (number(field()?)?, number::<u64>(field()?)?, field()?.to_owned());
    Ok(Unit { range: range(start, end)?, position, attempt, nonce, node, taken_at_ms, state })
}
