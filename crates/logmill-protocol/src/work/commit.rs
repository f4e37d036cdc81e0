//! What a commit to Kafka carries beside the watermark: enough to rebuild an empty store.
//!
//! It is the metadata string of an offset commit, which brokers keep up to 4,096 bytes of
//! (`offset.metadata.max.bytes`): a version, `key=value` words, and the settled ranges above the
//! watermark as distances, so that tools which print it stay readable:
//!
//! ```text
//! logmill1 g=7 t=AAECAwQFBgcICQoLDA0ODw n=6 d=3+10,1+4
//! ```
//!
//! generation 7, of the topic with that id, which had 6 partitions when the group first read it;
//! settled above the watermark: after 3 offsets 10, and after 1 more 4.

use std::fmt::Write as _;

use super::{Range, RangeSet};
use crate::ids::{Generation, Offset, Uuid};

/// The longest metadata written, in bytes. Kafka's default allows 4,096.
pub const MAX_METADATA: usize = 4_000;

/// The first word of every metadata string that logmill writes.
const VERSION: &str = "logmill1";

/// A commit's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitMetadata {
    /// The generation of the partition's state.
    pub generation: Generation,
    /// The topic's id, or zero where the broker has none. A commit of another topic with the same
    /// name says nothing about this one.
    pub topic_id: Uuid,
    /// How many partitions the topic had when the group first read it; one added later begins at its
    /// first record, whatever the group's start policy.
    pub first_partitions: i32,
    /// The settled ranges above the watermark.
    pub done: RangeSet,
}

impl CommitMetadata {
    /// Writes it for a commit of `watermark`. Settled ranges that do not fit are left out, the highest
    /// first: after a rebuild their records are handled again.
    #[must_use]
    pub fn encode(&self, watermark: Offset) -> String {
        let mut text =
            format!("{VERSION} g={} t={} n={} d=", self.generation, self.topic_id, self.first_partitions);
        let mut at = watermark;
        let mut separator = "";
        for range in self.done.iter().filter(|range| range.start() >= watermark) {
            let before = text.len();
            let _ = write!(text, "{separator}{}+{}", range.start() - at, range.len());
            if text.len() > MAX_METADATA {
                text.truncate(before);
                break;
            }
            (at, separator) = (range.end(), ",");
        }
        text
    }

    /// Reads what [`CommitMetadata::encode`] wrote for a commit of `watermark`. `None` for anything
    /// else: a commit of another client, which is generation 0 with nothing settled above it.
    #[must_use]
    pub fn decode(text: &str, watermark: Offset) -> Option<Self> {
        let mut words = text.split(' ');
        if words.next() != Some(VERSION) || text.len() > 2 * MAX_METADATA {
            return None;
        }
        let mut metadata = Self::default();
        for word in words {
            let (key, value) = word.split_once('=')?;
            match key {
                "g" => metadata.generation = Generation(value.parse().ok().filter(|g| *g <= 1 << 53)?),
                "t" => metadata.topic_id = value.parse().ok()?,
                "n" => metadata.first_partitions = value.parse().ok()?,
                "d" => metadata.done = ranges(value, watermark)?,
                // A later version may add words; what is known still holds.
                _ => {}
            }
        }
        Some(metadata)
    }
}

fn ranges(text: &str, watermark: Offset) -> Option<RangeSet> {
    let mut done = RangeSet::default();
    let mut at = watermark;
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (distance, length) = part.split_once('+')?;
        let distance: Offset = distance.parse().ok().filter(|distance| *distance >= 0)?;
        let start = at.checked_add(distance)?;
        let range = Range::new(start, start.checked_add(length.parse().ok()?)?)?;
        done.insert(range);
        at = range.end();
    }
    Some(done)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn metadata(ranges: &[(i64, i64)]) -> CommitMetadata {
        let mut done = RangeSet::default();
        for &(start, end) in ranges {
            done.insert(Range::new(start, end).unwrap());
        }
        CommitMetadata { generation: Generation(7), topic_id: Uuid([7; 16]), first_partitions: 6, done }
    }

    #[test]
    fn it_reads_back_as_written() {
        let written = metadata(&[(103, 113), (114, 118)]);
        let text = written.encode(100);
        assert_eq!(text, "logmill1 g=7 t=BwcHBwcHBwcHBwcHBwcHBw n=6 d=3+10,1+4");
        assert_eq!(CommitMetadata::decode(&text, 100), Some(written));
    }

    #[test]
    fn what_does_not_fit_is_dropped_from_the_top() {
        let many: Vec<_> = (0..2_000).map(|i| (1_000 + 10 * i, 1_005 + 10 * i)).collect();
        let written = metadata(&many);
        let text = written.encode(1_000);
        assert!(text.len() <= MAX_METADATA);
        let read = CommitMetadata::decode(&text, 1_000).unwrap();
        assert!(read.done.len() > 500);
        assert!(written.done.iter().zip(read.done.iter()).all(|(written, read)| written == read));
    }

    #[test]
    fn other_clients_metadata_is_not_ours() {
        for text in
            ["", "logmill", "logmill2 g=1", "logmill1 g=x", "logmill1 g=1 d=1-2", "logmill1 g=1 d=9+0"]
        {
            assert_eq!(CommitMetadata::decode(text, 5), None, "{text:?}");
        }
        assert!(CommitMetadata::decode("logmill1 g=3 later=1", 5).is_some());
    }

    proptest! {
        #[test]
        fn any_text_reads_or_is_refused(text in "\\PC*", watermark in any::<i64>()) {
            let _ = CommitMetadata::decode(&text, watermark);
            let _ = CommitMetadata::decode(&format!("logmill1 {text}"), watermark);
        }
    }
}
