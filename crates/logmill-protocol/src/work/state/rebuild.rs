//! **rebuild** and **forget**: a partition's state begins, or ends.

use super::{Part, State, Turn};
use crate::ids::PartitionKey;
use crate::work::{Rebuild, Refused, Unit, check_partition};

impl State {
    /// Builds a partition's state anew: see [`Rebuild`].
    pub fn rebuild(&mut self, now_ms: u64, request: &Rebuild) -> Result<(), Refused> {
        let (watermark, done) = request.settled()?;
        let now = self.clock.tick(now_ms);
        let Rebuild { partition, generation, boot, leader_epoch, planned, .. } = request.clone();
        if let Some(old) = self.parts.get(&*partition.to_string())
            && old.generation >= generation
        {
            return Err(Refused::Stale { generation: old.generation, boot: old.boot });
        }
        self.remove(&partition);
        let turn = (!partition.lane.is_whole()).then(Turn::default);
        let mut part = Part {
            key: partition,
            generation,
            boot,
            leader_epoch,
            watermark,
            planned,
            done,
            units: Default::default(),
            turn,
        };
        let name = part.key.to_string().into();
        for &range in &request.units {
            part.put(&name, &mut self.queue, Unit::fresh(range, now));
        }
        part.place(&name, &mut self.queue, now);
        self.parts.insert(name, part);
        Ok(())
    }

    /// Removes all that the store holds of a partition: its topic was deleted, or this process gave
    /// it up. Gaps stay. Returns whether there was anything to remove.
    pub fn forget(&mut self, now_ms: u64, partition: &PartitionKey) -> Result<bool, Refused> {
        check_partition(partition)?;
        self.clock.tick(now_ms);
        Ok(self.remove(partition))
    }

    fn remove(&mut self, partition: &PartitionKey) -> bool {
        let Some((name, mut part)) = self.parts.remove_entry(&*partition.to_string()) else { return false };
        part.unplace(&name, &mut self.queue);
        while let Some((&start, _)) = part.units.first_key_value() {
            part.pull(&name, &mut self.queue, start);
        }
        true
    }
}
