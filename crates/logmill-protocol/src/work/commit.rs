//! What a commit to Kafka carries beside the offset: enough to rebuild an empty store.
//!
//! It is the metadata string of an offset commit, which brokers keep up to 4,096 bytes of
//! (`offset.metadata.max.bytes`): a version, `key=value` words, and the settled ranges above the
//! watermark as distances, so that tools which print it stay readable:
//!
//! ```text
//! logmill1 g=7 t=AAECAwQFBgcICQoLDA0ODw n=6 d=3+10,1+4
//! logmill1 g=7 t=AAECAwQFBgcICQoLDA0ODw n=6 r=99 l=0:3+10,1+4;20;5
//! ```
//!
//! generation 7, of the topic with that id, which had 6 partitions when the group first read it;
//! settled above the watermark: after 3 offsets 10, and after 1 more 4. The second is of a partition in
//! three lanes: how far each one's watermark is above the committed offset, which is the least of
//! them, and the ranges that are settled above it. The last thing an operator asked for there and got is
//! the rewind 99.

mod text;

use super::RangeSet;
use crate::ids::{Generation, Offset, Uuid};

/// The longest metadata written, in bytes. Kafka's default allows 4,096.
pub const MAX_METADATA: usize = 4_000;

/// The first word of every metadata string that logmill writes.
const VERSION: &str = "logmill1";

/// A commit's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitMetadata {
    /// The generation of the partition's state.
    pub generation: Generation,
    /// The topic's id, or zero where the broker has none. A commit of another topic with the same
    /// name says nothing about this one.
    pub topic_id: Uuid,
    /// How many partitions the topic had when the group first read it; one added later begins at its
    /// first record, whatever the group's start policy.
    pub first_partitions: i32,
    /// The id of the last rewind that was done; 0 for none.
    pub rewind: u64,
    /// How many lanes the partition is split into; 0 if it is whole.
    pub of: u16,
    /// What is settled in each lane. A whole partition is the only one.
    pub lanes: Vec<LaneProgress>,
}

/// What is settled in a lane, or in a whole partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneProgress {
    /// Every offset below it is settled.
    pub watermark: Offset,
    /// The settled ranges above it.
    pub done: RangeSet,
}

impl CommitMetadata {
    /// What a commit of `watermark` means that another client made: generation 0 of a whole partition,
    /// with nothing settled above it.
    #[must_use]
    pub fn foreign(watermark: Offset) -> Self {
        Self {
            generation: Generation(0),
            topic_id: Uuid::ZERO,
            first_partitions: 0,
            rewind: 0,
            of: 0,
            lanes: vec![LaneProgress { watermark, done: RangeSet::new() }],
        }
    }

    /// The offset to commit: the least watermark.
    #[must_use]
    pub fn watermark(&self) -> Offset {
        self.lanes.iter().map(|lane| lane.watermark).min().unwrap_or(0)
    }

    /// The same, with everything from `to` on still to do and everything below it settled, in all lanes, as the rewind
    /// with this id asks.
    #[must_use]
    pub fn rewound(mut self, to: Offset, rewind: u64) -> Self {
        self.lanes.fill(LaneProgress { watermark: to, done: RangeSet::new() });
        self.rewind = rewind;
        self
    }

    /// Writes it for a commit of [`CommitMetadata::watermark`]. Settled ranges that do not fit are left
    /// out, the highest of each lane first: after a rebuild their records are handled again.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text =
            format!("{VERSION} g={} t={} n={} ", self.generation, self.topic_id, self.first_partitions);
        if self.rewind != 0 {
            text += &format!("r={} ", self.rewind);
        }
        let room = MAX_METADATA.saturating_sub(text.len());
        text + &match self.lanes.as_slice() {
            [whole] if self.of == 0 => text::write_whole(whole, room),
            lanes => text::write_lanes(lanes, self.watermark(), room),
        }
    }

    /// Reads what [`CommitMetadata::encode`] wrote for a commit of `watermark`. `None` for anything
    /// else: a commit of another client, which is [`CommitMetadata::foreign`].
    #[must_use]
    pub fn decode(text: &str, watermark: Offset) -> Option<Self> {
        let mut words = text.split(' ');
        if words.next() != Some(VERSION) || text.len() > 2 * MAX_METADATA {
            return None;
        }
        let mut metadata = Self::foreign(watermark);
        let (mut whole, mut lanes) = (None, None);
        for word in words {
            let (key, value) = word.split_once('=')?;
            match key {
                "g" => metadata.generation = Generation(value.parse().ok().filter(|g| *g <= 1 << 53)?),
                "t" => metadata.topic_id = value.parse().ok()?,
                "n" => metadata.first_partitions = value.parse().ok()?,
                "r" => metadata.rewind = value.parse().ok()?,
                "d" => whole = Some(text::read_whole(value, watermark)?),
                "l" => lanes = Some(text::read_lanes(value, watermark)?),
                // A later version may add words; what is known still holds.
                _ => {}
            }
        }
        match (whole, lanes) {
            (None, None) => {}
            (Some(whole), None) => metadata.lanes = vec![whole],
            (None, Some(lanes)) => (metadata.of, metadata.lanes) = (lanes.len() as u16, lanes),
            (Some(_), Some(_)) => return None,
        }
        Some(metadata)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{MAX_LANES, MAX_OFFSET};
    use crate::work::Range;

    fn progress(watermark: Offset, ranges: &[(i64, i64)]) -> LaneProgress {
        let done = ranges.iter().map(|&(start, end)| Range::new(start, end).unwrap()).collect();
        LaneProgress { watermark, done }
    }

    fn metadata(of: u16, lanes: Vec<LaneProgress>) -> CommitMetadata {
        let (generation, topic_id) = (Generation(7), Uuid([7; 16]));
        CommitMetadata { generation, topic_id, first_partitions: 6, rewind: 0, of, lanes }
    }

    #[test]
    fn it_reads_back_as_written() {
        let whole = metadata(0, vec![progress(100, &[(103, 113), (114, 118)])]);
        let lanes = vec![progress(100, &[(103, 113), (114, 118)]), progress(120, &[]), progress(105, &[])];
        for (written, expected) in [
            (whole, "d=3+10,1+4"),
            (metadata(0, vec![progress(100, &[])]), "d="),
            (metadata(1, vec![progress(100, &[(101, 102)])]), "l=0:1+1"),
            (metadata(3, lanes), "l=0:3+10,1+4;20;5"),
        ] {
            let text = written.encode();
            assert_eq!(text, format!("logmill1 g=7 t=BwcHBwcHBwcHBwcHBwcHBw n=6 {expected}"));
            assert_eq!(CommitMetadata::decode(&text, 100), Some(written));
        }
    }

    #[test]
    fn a_rewind_sets_all_lanes_and_is_known_afterwards() {
        let before = metadata(2, vec![progress(100, &[(103, 113)]), progress(120, &[])]);
        let text = before.rewound(40, 99).encode();
        assert_eq!(text, "logmill1 g=7 t=BwcHBwcHBwcHBwcHBwcHBw n=6 r=99 l=0;0");
        let after = CommitMetadata::decode(&text, 40).unwrap();
        assert_eq!((after.rewind, after.lanes), (99, vec![progress(40, &[]); 2]));
    }

    fn is_prefix(read: &LaneProgress, written: &LaneProgress) -> bool {
        read.watermark == written.watermark && read.done.iter().eq(written.done.iter().take(read.done.len()))
    }

    #[test]
    fn what_does_not_fit_is_dropped_from_the_top() {
        let many: Vec<_> = (0..2_000).map(|i| (1_001 + 10 * i, 1_005 + 10 * i)).collect();
        let written = metadata(0, vec![progress(1_000, &many)]);
        let text = written.encode();
        assert!(text.len() <= MAX_METADATA);
        let read = CommitMetadata::decode(&text, 1_000).unwrap();
        assert!(read.lanes[0].done.len() > 500);
        assert!(is_prefix(&read.lanes[0], &written.lanes[0]));
    }

    #[test]
    fn lanes_share_the_room_and_none_is_dropped() {
        let many: Vec<_> = (0..500).map(|i| (3_001 + 10 * i, 3_005 + 10 * i)).collect();
        let few = &many[..3];
        let lanes = (0..MAX_LANES)
            .map(|lane| progress(1_000 + 4 * i64::from(lane), if lane % 8 == 0 { &many } else { few }));
        let written = metadata(MAX_LANES, lanes.collect());
        let text = written.encode();
        assert!(text.len() <= MAX_METADATA && text.len() > MAX_METADATA - 10, "{}", text.len());
        let read = CommitMetadata::decode(&text, 1_000).unwrap();
        assert!(read.lanes.iter().zip(&written.lanes).all(|(read, written)| is_prefix(read, written)));
        let kept: Vec<_> = read.lanes.iter().map(|lane| lane.done.len()).collect();
        let most = *kept.iter().max().unwrap();
        let fair = |(read, written): (&LaneProgress, &LaneProgress)| {
            read.done.len() + 1 >= most || read.done == written.done
        };
        assert!(most > 0 && read.lanes.iter().zip(&written.lanes).all(fair), "{kept:?}");
    }

    #[test]
    fn so_many_lanes_fit_however_far_they_are_apart() {
        let far = |lane| progress(if lane == 9 { 0 } else { MAX_OFFSET - i64::from(lane) }, &[]);
        let mut written = metadata(MAX_LANES, (0..MAX_LANES).map(far).collect());
        (written.generation, written.first_partitions) = (Generation(1 << 53), i32::MAX);
        written.rewind = 1 << 53;
        let text = written.encode();
        assert!(text.len() <= MAX_METADATA, "{}", text.len());
        let read = CommitMetadata::decode(&text, 0).unwrap();
        let claims = |(read, written): (&LaneProgress, &LaneProgress)| read.watermark <= written.watermark;
        assert!(read.lanes.len() == 256 && read.lanes.iter().zip(&written.lanes).all(claims));
    }

    #[test]
    fn other_clients_metadata_is_not_ours() {
        let lanes = |count: usize| format!("logmill1 l=0{}", ";0".repeat(count - 1));
        assert!(CommitMetadata::decode(&lanes(256), 5).is_some());
        let too_many = lanes(257);
        for text in [
            "",
            "logmill",
            "logmill2 g=1",
            "logmill1 g=x",
            "logmill1 g=1 d=1-2",
            "logmill1 g=1 d=9+0",
            "logmill1 l=",
            "logmill1 l=0;",
            "logmill1 l=0;-1",
            "logmill1 l=1;2",
            "logmill1 l=0:",
            "logmill1 l=0:1",
            "logmill1 l=0;9007199254740991",
            "logmill1 l=0 d=",
            &too_many,
        ] {
            assert_eq!(CommitMetadata::decode(text, 5), None, "{text:?}");
        }
        assert_eq!(CommitMetadata::decode("logmill1 later=1", 5), Some(CommitMetadata::foreign(5)));
    }

    /// Settled ranges as pairs of distance and length, above a watermark.
    fn lane() -> impl Strategy<Value = LaneProgress> {
        let ranges = prop::collection::vec((1..1_000i64, 1..1_000i64), 0..6);
        (0..1_000_000i64, ranges).prop_map(|(watermark, ranges)| {
            let ranges = ranges.into_iter().scan(watermark, |at, (distance, length)| {
                let start = *at + distance;
                *at = start + length;
                Range::new(start, *at)
            });
            LaneProgress { watermark, done: ranges.collect() }
        })
    }

    proptest! {
        #[test]
        fn any_progress_reads_back(
            lanes in prop::collection::vec(lane(), 1..40),
            whole: bool, generation in 0..1u64 << 53, id: [u8; 16], first_partitions: i32, rewind: u64,
        ) {
            let lanes = if whole { lanes[..1].to_vec() } else { lanes };
            let of = if whole { 0 } else { lanes.len() as u16 };
            let (generation, topic_id) = (Generation(generation), Uuid(id));
            let written = CommitMetadata { generation, topic_id, first_partitions, rewind, of, lanes };
            let text = written.encode();
            prop_assert_eq!(CommitMetadata::decode(&text, written.watermark()), Some(written));
        }

        #[test]
        fn any_text_reads_or_is_refused(
            text in prop_oneof!["\\PC*", "l=[0-9;:,+]{0,40}", "d=[0-9,+-]{0,40}"],
            watermark in prop_oneof![any::<i64>(), 0..1_000i64],
        ) {
            let _ = CommitMetadata::decode(&text, watermark);
            if let Some(read) = CommitMetadata::decode(&format!("logmill1 {text}"), watermark) {
                prop_assert_eq!(read.watermark(), watermark);
                prop_assert!(read.lanes.len() == usize::from(read.of.max(1)));
                prop_assert!(read.lanes.iter().all(|lane| lane.done.first().is_none_or(|done| done.start() >= lane.watermark)));
            }
        }
    }
}
