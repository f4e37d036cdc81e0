//! Settled ranges in few characters, as distances from what is before them.

use super::LaneProgress;
use crate::ids::{MAX_LANES, MAX_OFFSET, Offset};
use crate::work::{Range, RangeSet};

/// How far above the committed offset a lane's watermark is written at most, so that any number of
/// lanes fits. One farther ahead handles again what it has above that.
const FARTHEST: Offset = 99_999_999_999_999;

/// The word of a whole partition, in so many bytes.
pub(super) fn write_whole(whole: &LaneProgress, room: usize) -> String {
    const WORD: &str = "d=";
    WORD.to_owned() + &fill(&[whole], "", room.saturating_sub(WORD.len())).concat()
}

/// The word of a partition in lanes, for a commit of `offset`, in so many bytes. No lane is left out.
pub(super) fn write_lanes(lanes: &[LaneProgress], offset: Offset, room: usize) -> String {
    let nearest = |lane: &LaneProgress| (lane.watermark - offset).min(FARTHEST);
    let distances: Vec<_> = lanes.iter().map(|lane| nearest(lane).to_string()).collect();
    let word = "l=".len() + distances.iter().map(|distance| distance.len() + ";".len()).sum::<usize>();
    let none = LaneProgress::default();
    let near: Vec<_> =
        lanes.iter().map(|lane| if lane.watermark - offset > FARTHEST { &none } else { lane }).collect();
    let ranges = fill(&near, ":", room.saturating_sub(word));
    let lanes: Vec<_> =
        distances.iter().zip(ranges).map(|(distance, ranges)| distance.clone() + &ranges).collect();
    format!("l={}", lanes.join(";"))
}

/// The ranges of each lane, after `first` if there are any. The lowest range of every lane comes before
/// the second of any, so that none is short of room because another has many.
fn fill(lanes: &[&LaneProgress], first: &str, mut room: usize) -> Vec<String> {
    let mut texts = vec![String::new(); lanes.len()];
    let mut waiting: Vec<_> = lanes.iter().map(|&lane| (lane.watermark, lane.done.iter())).collect();
    loop {
        let mut written = false;
        for (text, (at, ranges)) in texts.iter_mut().zip(&mut waiting) {
            let Some(range) = ranges.find(|range| range.start() >= *at) else { continue };
            let separator = if text.is_empty() { first } else { "," };
            let part = format!("{separator}{}+{}", range.start() - *at, range.len());
            let Some(left) = room.checked_sub(part.len()) else { return texts };
            text.push_str(&part);
            (*at, room, written) = (range.end(), left, true);
        }
        if !written {
            return texts;
        }
    }
}

pub(super) fn read_whole(text: &str, watermark: Offset) -> Option<LaneProgress> {
    Some(LaneProgress { watermark, done: ranges(text, watermark)? })
}

/// What [`write_lanes`] wrote for a commit of `offset`.
pub(super) fn read_lanes(text: &str, offset: Offset) -> Option<Vec<LaneProgress>> {
    let lane = |text: &str| {
        let (distance, done) = match text.split_once(':') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (text, ""),
        };
        let watermark = offset.checked_add(number(distance)?)?;
        let watermark = Some(watermark).filter(|at| (0..=MAX_OFFSET).contains(at))?;
        read_whole(done, watermark)
    };
    let lanes = text.split(';').map(lane).collect::<Option<Vec<_>>>()?;
    // Were all lanes above the committed offset, what is between would be in none.
    let starts_there = lanes.iter().any(|lane| lane.watermark == offset);
    Some(lanes).filter(|lanes| starts_there && lanes.len() <= MAX_LANES.into())
}

fn ranges(text: &str, watermark: Offset) -> Option<RangeSet> {
    let mut done = RangeSet::default();
    let mut at = watermark;
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (distance, length) = part.split_once('+')?;
        let start = at.checked_add(number(distance)?)?;
        let range = Range::new(start, start.checked_add(number(length)?)?)?;
        done.insert(range);
        at = range.end();
    }
    Some(done)
}

fn number(text: &str) -> Option<Offset> {
    text.parse().ok().filter(|number| *number >= 0)
}
