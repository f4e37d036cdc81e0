//! How a unit is named: `orders/1/974000`, by any offset in it; in a lane `orders/1#3/974000`.

use std::fmt;
use std::str::FromStr;

use logmill::Partition;
use logmill::units::UnitSeen;

/// A unit's name, as it is typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnitName {
    pub(super) partition: Partition,
    /// Which lane, where the name says it.
    pub(super) lane: Option<u16>,
    pub(super) offset: i64,
}

impl UnitName {
    pub(super) fn of(unit: &UnitSeen) -> Self {
        Self {
            partition: unit.partition.clone(),
            lane: (!unit.lane.is_whole()).then_some(unit.lane.index),
            offset: unit.range.start,
        }
    }

    /// Whether the unit is one that the name can mean.
    pub(super) fn means(&self, unit: &UnitSeen) -> bool {
        let lane = self.lane.is_none_or(|lane| !unit.lane.is_whole() && unit.lane.index == lane);
        lane && unit.partition == self.partition && unit.range.contains(&self.offset)
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.partition)?;
        if let Some(lane) = self.lane {
            write!(f, "#{lane}")?;
        }
        write!(f, "/{}", self.offset)
    }
}

impl FromStr for UnitName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (partition, offset) = text.rsplit_once('/')?;
            let (topic, index) = partition.rsplit_once('/')?;
            let (index, lane) = match index.split_once('#') {
                Some((index, lane)) => (index, Some(lane.parse().ok()?)),
                None => (index, None),
            };
            let partition = Partition::new(topic, index.parse().ok().filter(|index| *index >= 0)?);
            let offset = offset.parse().ok().filter(|offset| *offset >= 0)?;
            (!topic.is_empty()).then_some(Self { partition, lane, offset })
        };
        read().ok_or_else(|| "name a unit as topic/partition/offset, such as orders/1/974000".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back() {
        for text in ["orders/1/974000", "a.b/0#15/0"] {
            assert_eq!(text.parse::<UnitName>().map(|name| name.to_string()), Ok(text.to_owned()));
        }
        for text in ["orders", "orders/1", "/1/2", "orders/x/2", "orders/1/-2", "orders/1#/2", "orders/-1/2"]
        {
            assert!(text.parse::<UnitName>().is_err(), "{text}");
        }
    }
}
