//! Replies of the scripts as outcomes. What no script of ours answers is an error, never a guess:
//! anyone can write to a Redis.

mod views;

use std::str::FromStr;
use std::vec;

use logmill_protocol::ids::{Boot, Generation, Offset, PartitionKey};
use logmill_protocol::work::{
    Announced, Lease, MAX_TAKEN, Planned, Raised, Range, Renewed, Requeued, Settled, StaleReason, Take, Taken,
};
use redis::Value;

pub(super) use views::{overview, partitions, snapshot, units};

/// Why a reply makes no sense.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Nonsense(pub(super) String);

/// A value read from a reply.
pub(super) type Parsed<T> = Result<T, Nonsense>;

fn nonsense<T>(what: impl Into<String>) -> Parsed<T> {
    Err(Nonsense(what.into()))
}

/// A reply that is read from its start.
#[derive(Debug)]
pub(super) struct Reply(vec::IntoIter<Value>);

impl Reply {
    /// A script's answer: always a list.
    pub(super) fn new(value: Value) -> Parsed<Self> {
        match value {
            Value::Array(items) => Ok(Self(items.into_iter())),
            other => nonsense(format!("a list was expected, not {}", shown(&other))),
        }
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    /// The next item as text.
    pub(super) fn text(&mut self) -> Parsed<String> {
        match self.0.next() {
            Some(Value::BulkString(bytes)) => {
                String::from_utf8(bytes).map_err(|_| Nonsense("text that is not UTF-8".into()))
            }
            Some(Value::Int(number)) => Ok(number.to_string()),
            Some(other) => nonsense(format!("text was expected, not {}", shown(&other))),
            None => nonsense("the list ends early"),
        }
    }

    /// The next item as a number in its plainest form.
    pub(super) fn number<T: FromStr + ToString>(&mut self) -> Parsed<T> {
        number(&self.text()?)
    }

    fn optional<T: FromStr + ToString>(&mut self) -> Parsed<Option<T>> {
        let text = self.text()?;
        if text.is_empty() { Ok(None) } else { number(&text).map(Some) }
    }

    fn partition(&mut self) -> Parsed<PartitionKey> {
        partition(&self.text()?)
    }

    fn range(&mut self) -> Parsed<Range> {
        range(self.number()?, self.number()?)
    }

    /// Makes sure that nothing is left.
    pub(super) fn end(self) -> Parsed<()> {
        match self.0.len() {
            0 => Ok(()),
            left => nonsense(format!("{left} items are left over")),
        }
    }
}

fn shown(value: &Value) -> String {
    // What an unknown server says may be long.
    format!("{value:?}").chars().take(80).collect()
}

fn number<T: FromStr + ToString>(text: &str) -> Parsed<T> {
    let number = text.parse::<T>().ok().filter(|number| number.to_string() == text);
    number.ok_or_else(|| Nonsense(format!("a number was expected, not {text:.40?}")))
}

fn partition(text: &str) -> Parsed<PartitionKey> {
    let key = text.parse::<PartitionKey>().ok().filter(|key| key.to_string() == text);
    key.ok_or_else(|| Nonsense(format!("a partition was expected, not {text:.40?}")))
}

fn range(start: Offset, end: Offset) -> Parsed<Range> {
    Range::new(start, end).ok_or_else(|| Nonsense(format!("{start}..{end} is no range")))
}

fn unknown<T>(tag: &str) -> Parsed<T> {
    nonsense(format!("the word {tag:.40?}"))
}

pub(super) fn nothing(tag: &str, _: &mut Reply) -> Parsed<()> {
    if tag == "OK" { Ok(()) } else { unknown(tag) }
}

pub(super) fn raised(tag: &str, reply: &mut Reply) -> Parsed<Raised> {
    if tag == "OK" { Ok(Raised { watermark: reply.number()? }) } else { unknown(tag) }
}

pub(super) fn planned(tag: &str, reply: &mut Reply) -> Parsed<Planned> {
    match tag {
        "OK" => Ok(Planned::Ok { planned: reply.number()?, units_added: reply.number()? }),
        "MOVED" => Ok(Planned::Moved { planned: reply.number()? }),
        "FULL" => Ok(Planned::Full { units: reply.number()? }),
        _ => unknown(tag),
    }
}

pub(super) fn taken(request: &Take, tag: &str, reply: &mut Reply) -> Parsed<Taken> {
    if tag != "OK" {
        return unknown(tag);
    }
    let next_in_ms = reply.optional()?;
    if reply.len() > 7 * request.max_units.min(MAX_TAKEN) as usize {
        return nonsense("more units than were asked for");
    }
    let mut leases = Vec::with_capacity(reply.len() / 7);
    while reply.len() > 0 {
        let (partition, generation, boot) = (reply.partition()?, reply.number()?, reply.number()?);
        let (range, position, attempt) = (reply.range()?, reply.number()?, reply.number()?);
        if position < range.start() || position > range.end() {
            return nonsense(format!("position {position} in {range}"));
        }
        leases.push(Lease {
            partition,
            range,
            position,
            attempt,
            nonce: request.nonce,
            generation: Generation(generation),
            boot: Boot(boot),
        });
    }
    Ok(Taken { leases, next_in_ms })
}

pub(super) fn renewed(asked: usize, tag: &str, reply: &mut Reply) -> Parsed<Vec<Renewed>> {
    if tag != "OK" {
        return unknown(tag);
    }
    let one = |_| match reply.text()?.as_str() {
        "1" => Ok(Renewed::Kept),
        "0" => Ok(Renewed::Lost),
        other => unknown(other),
    };
    (0..asked).map(one).collect()
}

pub(super) fn settled(tag: &str, reply: &mut Reply) -> Parsed<Settled> {
    match tag {
        "DONE" => Ok(Settled::Done { watermark: reply.number()? }),
        "ALREADY" => Ok(Settled::Already),
        "FULL" => Ok(Settled::Full { units: reply.number()? }),
        "NOT" => match reply.text()?.as_str() {
            "generation" => Ok(Settled::Stale(StaleReason::Generation)),
            "boot" => Ok(Settled::Stale(StaleReason::Boot)),
            "range" => Ok(Settled::Stale(StaleReason::Range)),
            "nonce" => Ok(Settled::Stale(StaleReason::Nonce)),
            other => unknown(other),
        },
        _ => unknown(tag),
    }
}

pub(super) fn requeued(tag: &str, reply: &mut Reply) -> Parsed<Requeued> {
    match tag {
        "DONE" => Ok(Requeued::Done { released: reply.number()? }),
        "FULL" => Ok(Requeued::Full { units: reply.number()? }),
        "NOT" => match reply.text()?.as_str() {
            "range" => Ok(Requeued::Stale(StaleReason::Range)),
            "nonce" => Ok(Requeued::Stale(StaleReason::Nonce)),
            other => unknown(other),
        },
        _ => unknown(tag),
    }
}

pub(super) fn flag(tag: &str, reply: &mut Reply) -> Parsed<bool> {
    match (tag, reply.text()?.as_str()) {
        ("OK", "1") => Ok(true),
        ("OK", "0") => Ok(false),
        (_, other) => unknown(other),
    }
}

pub(super) fn announced(tag: &str, reply: &mut Reply) -> Parsed<Announced> {
    Ok(Announced { organise: flag(tag, reply)?, live_nodes: reply.number()? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use logmill_protocol::ids::Nonce;
    use proptest::prelude::*;

    use super::*;

    fn reply(items: &[&str]) -> Reply {
        let items = items.iter().map(|item| Value::BulkString(item.as_bytes().to_vec()));
        Reply::new(Value::Array(items.collect())).unwrap()
    }

    #[test]
    fn numbers_are_plain_or_refused() {
        for text in ["+1", "01", "1.0", "1e3", " 1", "", "9223372036854775808"] {
            assert!(number::<i64>(text).is_err(), "{text}");
        }
        assert_eq!(number::<i64>("9007199254740991"), Ok(9_007_199_254_740_991));
    }

    #[test]
    fn a_snapshot_that_claims_too_much_is_refused() {
        let key = "t/0@AAAAAAAAAAAAAAAAAAAAAA".parse().unwrap();
        let read = |rest: &[&str]| {
            let items = [&["1", "2", "-1", "10", "30", "1", "1"], rest].concat();
            snapshot(&key, "OK", &mut reply(&items))
        };
        assert_eq!(read(&["12:20"]).unwrap().done, [Range::new(12, 20).unwrap()]);
        for claim in ["10:20", "20:31", "5:8", "20:12", "12:20:22", "12"] {
            assert!(read(&[claim]).is_err(), "{claim}");
        }
        assert!(read(&["12:20", "20:22"]).is_err(), "ranges that touch are not merged");
    }

    fn item() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            any::<i64>().prop_map(|number| number.to_string()),
            (0..50u8).prop_map(|number| number.to_string()),
            Just("t/0@AAAAAAAAAAAAAAAAAAAAAA".to_owned()),
            Just("R".to_owned()),
            Just("12 3 4 ff 5 6 a b".to_owned()),
            Just("3:9".to_owned()),
            any::<String>(),
        ];
        prop_oneof![
            8 => text.prop_map(|text| Value::BulkString(text.into_bytes())),
            1 => any::<Vec<u8>>().prop_map(Value::BulkString),
            1 => any::<i64>().prop_map(Value::Int),
            1 => Just(Value::Nil),
            1 => Just(Value::Array(vec![])),
        ]
    }

    proptest! {
        #[test]
        fn no_reply_makes_it_panic(items in prop::collection::vec(item(), 0..24), tag in "OK|DONE|NOT|MOVED") {
            let reply = || Reply::new(Value::Array(items.clone())).unwrap();
            let key = "t/0@AAAAAAAAAAAAAAAAAAAAAA".parse().unwrap();
            let take = Take { node: "n".into(), nonce: Nonce(1), lease_ms: 1, max_units: 64, extend: vec![] };
            let _ = raised(&tag, &mut reply());
            let _ = planned(&tag, &mut reply());
            let _ = taken(&take, &tag, &mut reply());
            let _ = renewed(9, &tag, &mut reply());
            let _ = settled(&tag, &mut reply());
            let _ = requeued(&tag, &mut reply());
            let _ = announced(&tag, &mut reply());
            let _ = snapshot(&key, &tag, &mut reply());
            let _ = overview(&tag, &mut reply());
            let _ = partitions(&tag, &mut reply());
            let _ = units(&tag, &mut reply());
        }
    }
}
