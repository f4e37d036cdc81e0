//! From `-o` to offsets: where each partition starts and ends.

use std::collections::BTreeMap;

use logmill::client::Client;
use logmill::client::admin::OffsetAt;
use logmill::client::fetch::Isolation;
use logmill::{Offset, Partition};

use crate::exit::{Failure, Outcome};
use crate::input::{Bounds, Position};

/// The part of a partition to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Offset,
    /// None: for ever.
    pub(super) end: Option<Offset>,
}

/// Finds the part of each partition that `-o` and `-e` ask for.
pub(super) async fn spans(
    client: &Client,
    partitions: &[Partition],
    bounds: Bounds,
    to_end: bool,
    isolation: Isolation,
) -> Outcome<BTreeMap<Partition, Span>> {
    let listed = async |at: OffsetAt| {
        let asked = partitions.iter().map(|partition| (partition.clone(), at));
        let listed = client.admin().list_offsets(asked, isolation).await;
        listed
            .into_iter()
            .map(|(partition, listed)| Ok((partition, listed?.offset)))
            .collect::<Outcome<BTreeMap<_, _>>>()
    };
    let starts = listed(OffsetAt::Start).await?;
    let ends = listed(OffsetAt::End).await?;
    let from_time = match bounds.start {
        Some(Position::From(ms)) => listed(OffsetAt::Time(ms)).await?,
        _ => BTreeMap::new(),
    };
    let until_time = match bounds.until {
        Some(ms) => listed(OffsetAt::Time(ms)).await?,
        None => BTreeMap::new(),
    };
    let found = |all: &BTreeMap<Partition, Option<Offset>>, partition| all.get(partition).copied().flatten();
    let mut spans = BTreeMap::new();
    for partition in partitions {
        let (start, end) = (found(&starts, partition).unwrap_or(0), found(&ends, partition).unwrap_or(0));
        let from = match bounds.start.unwrap_or(Position::Beginning) {
            Position::Beginning => start,
            Position::End => end,
            Position::At(offset) => {
                if offset != offset.clamp(start, end) {
                    eprintln!(
                        "{partition} has offsets {start}..{end}: starting at its {}",
                        if offset < start { "first" } else { "end" }
                    );
                }
                offset.clamp(start, end)
            }
            Position::Last(count) => (end - count).max(start),
            // No record is as late: what comes next is.
            Position::From(_) => found(&from_time, partition).unwrap_or(end),
            Position::Stored | Position::Until(_) => {
                return Err(Failure::usage("-o stored is where a group left off: name it with -g"));
            }
        };
        let until = found(&until_time, partition);
        let end = if to_end { Some(until.map_or(end, |until| until.min(end))) } else { until };
        spans.insert(partition.clone(), Span { from, end });
    }
    Ok(spans)
}
