//! The store in which a group's units are, and the unit that is meant.

use logmill::Partition;
use logmill::store::{RedisStore, StoreError};
use logmill::units::{self, UnitSeen};

use super::name::UnitName;
use crate::exit::{Exit, Failure, Outcome};
use crate::input::{NamedGroup, OfGroup};

/// The store of a group, whose units it has.
pub(super) struct Shared {
    store: RedisStore,
    group: String,
}

pub(super) fn failed(problem: StoreError) -> Failure {
    logmill::Error::from(problem).into()
}

impl Shared {
    pub(super) async fn of(group: &OfGroup) -> Outcome<Self> {
        Self::new(group.store().await?, group.group())
    }

    pub(super) async fn of_named(group: &NamedGroup) -> Outcome<Self> {
        Self::new(group.store().await?, group.group())
    }

    fn new(store: Option<RedisStore>, group: &str) -> Outcome<Self> {
        let Some(store) = store else {
            return Err(Failure::usage(
                "--redis is missing: without it each node has its units in its own memory, where nobody else sees \
                 them; `logmill group describe` shows how far the group is",
            ));
        };
        Ok(Self { store, group: group.to_owned() })
    }

    pub(super) fn store(&self) -> &RedisStore {
        &self.store
    }

    /// All units of the partitions for which `wanted` holds, in order.
    pub(super) async fn units(&self, wanted: impl Fn(&Partition) -> bool) -> Outcome<Vec<UnitSeen>> {
        let partitions = units::partitions(&self.store).await.map_err(failed)?;
        if partitions.is_empty() {
            let text = format!(
                "this Redis knows nothing of group {:?}: its nodes have another, or their own memory",
                self.group
            );
            return Err(Failure::new(Exit::NotFound, text));
        }
        let mut found = Vec::new();
        for key in partitions.iter().filter(|key| wanted(&key.partition)) {
            found.extend(units::of_partition(&self.store, key).await.map_err(failed)?);
        }
        Ok(found)
    }

    pub(super) async fn unit(&self, name: &UnitName) -> Outcome<UnitSeen> {
        let mut found = self.units(|partition| *partition == name.partition).await?;
        found.retain(|unit| name.means(unit));
        match (found.pop(), found.pop()) {
            (Some(unit), None) => Ok(unit),
            (None, _) => {
                let text = format!(
                    "no unit has {name}: it is settled, or not planned yet; `logmill unit list` shows those there are"
                );
                Err(Failure::new(Exit::NotFound, text))
            }
            (Some(unit), Some(_)) => {
                let example = UnitName { offset: name.offset, ..UnitName::of(&unit) };
                Err(Failure::usage(format!(
                    "{name} is in a unit of several lanes: name the lane too, as in {example}"
                )))
            }
        }
    }
}
