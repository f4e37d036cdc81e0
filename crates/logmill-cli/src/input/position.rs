//! Where to start and stop reading: `-o`, with kcat's forms and a few more.

use std::str::FromStr;

use super::time::parse_time_now;

/// One `-o`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// The first record that the log still has.
    Beginning,
    /// The next record that is produced.
    End,
    /// Where the group left off.
    Stored,
    /// This offset.
    At(i64),
    /// So many records before the end, of each partition.
    Last(i64),
    /// The first record at or after this time, in milliseconds since 1970.
    From(i64),
    /// Stop before the first record at or after this time.
    Until(i64),
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = parse_time_now;
        match text {
            "beginning" | "earliest" => return Ok(Self::Beginning),
            "end" | "latest" => return Ok(Self::End),
            "stored" => return Ok(Self::Stored),
            _ => {}
        }
        if let Some(text) = text.strip_prefix("s@") {
            return time(text).map(Self::From);
        }
        if let Some(text) = text.strip_prefix("e@") {
            return time(text).map(Self::Until);
        }
        match text.parse::<i64>() {
            Ok(offset) if offset >= 0 => Ok(Self::At(offset)),
            Ok(back) => Ok(Self::Last(back.saturating_neg())),
            Err(_) => {
                Err("write beginning, end, stored, an offset, -N for the last N, s@TIME or e@TIME".to_owned())
            }
        }
    }
}

/// All the `-o` of one command: where to start, where to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) start: Option<Position>,
    /// Milliseconds since 1970.
    pub(crate) until: Option<i64>,
}

impl Bounds {
    /// # Errors
    /// Two starts, or two ends.
    pub(crate) fn new(positions: &[Position]) -> Result<Self, String> {
        let mut bounds = Self { start: None, until: None };
        for position in positions {
            let twice = match position {
                Position::Until(ms) => bounds.until.replace(*ms).is_some(),
                start => bounds.start.replace(*start).is_some(),
            };
            if twice {
                return Err("-o is given twice; only one start and one e@TIME can hold".to_owned());
            }
        }
        Ok(bounds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kcats_forms_are_read() {
        for (text, position) in [
            ("beginning", Position::Beginning),
            ("end", Position::End),
            ("stored", Position::Stored),
            ("17", Position::At(17)),
            ("-3", Position::Last(3)),
            ("s@1700000000000", Position::From(1_700_000_000_000)),
            ("e@1700000000000", Position::Until(1_700_000_000_000)),
        ] {
            assert_eq!(text.parse(), Ok(position), "{text}");
        }
        assert!("middle".parse::<Position>().is_err_and(|error| error.contains("beginning")));
    }

    #[test]
    fn one_start_and_one_end() {
        let bounds = Bounds::new(&[Position::Until(9), Position::From(3)]);
        assert_eq!(bounds, Ok(Bounds { start: Some(Position::From(3)), until: Some(9) }));
        assert!(Bounds::new(&[Position::At(1), Position::End]).is_err());
    }
}
