//! Requests as arguments of a script, in the order that its opening comment gives.

use logmill_protocol::ids::{Boot, Generation, Nonce, PartitionKey};
use logmill_protocol::work::{
    Announce, Cursor, Held, Invalid, MAX_UNITS, Plan, Raise, Range, Rebuild, Renew, Requeue, Settle, Take,
    check_node, check_partition,
};
use redis::Cmd;

/// Adds a request's arguments to a call.
pub(super) trait Encode {
    /// Checks the request and adds its arguments. The scripts count on what this checks.
    fn encode(&self, call: &mut Cmd) -> Result<(), Invalid>;
}

impl Encode for Rebuild {
    fn encode(&self, call: &mut Cmd) -> Result<(), Invalid> {
        let (watermark, done) = self.settled()?;
        incarnation(call, &self.partition, self.generation, self.boot);
        call.arg(self.leader_epoch).arg(watermark).arg(self.planned);
        call.arg(done.len());
        done.iter().for_each(|range| bounds(call, range));
        call.arg(self.units.len());
        self.units.iter().for_each(|&range| bounds(call, range));
        Ok(())
    }
}

impl Encode for Raise {
    fn encode(&self, call: &mut Cmd) -> Result<(), Invalid> {
        self.check()?;
        incarnation(call, &self.partition, self.generation, self.boot);
        call.arg(self.watermark);
        Ok(())
    }
}

impl Encode for Plan {
    fn encode(&self, call: &mut Cmd) -> Result<(), Invalid> {
        self.check()?;
        incarnation(call, &self.partition, self.generation, self.boot);
        call.arg(self.from).arg(self.max_units.min(MAX_UNITS)).arg(&self.ends);
        Ok(())
    }
}

impl Encode for Take {
    fn encode(&self, call: &mut Cmd) -> Result<(), Invalid> {
        self.check()?;
        call.arg(&self.node).arg(self.nonce.to_string()).arg(self.lease_ms).arg(self.max_units);
        for lane in &self.extend {
            call.arg(lane.to_string());
        }
        Ok(())
    }
}

impl Encode for Renew {
    fn encode(&self, call: &mut Cmd) -> Result<(), Invalid> {
        self.check()?;
        call.arg(self.lease_ms);
        for progress in &self.held {
            held(call, &progress.held);
            call.arg(progress.position);
        }
        Ok(())
    }
}

impl Encode for Settle {
    fn encode(&self, call: &mut Cmd) -> Result<(), Invalid> {
        self.check()?;
        held(call, &self.held);
        call.arg(self.rest.len());
        for rest in &self.rest {
            bounds(call, rest.range);
            call.arg(rest.delay_ms).arg(rest.attempt);
        }
        call.arg(self.gaps.len());
        for gap in &self.gaps {
            bounds(call, gap.range);
            call.arg(gap.cause.name());
        }
        Ok(())
    }
}

impl Encode for Requeue {
    fn encode(&self, call: &mut Cmd) -> Result<(), Invalid> {
        self.check()?;
        held(call, &self.seen);
        call.arg(self.cut.map_or_else(String::new, |at| at.to_string())).arg(u8::from(self.front));
        Ok(())
    }
}

impl Encode for Announce {
    fn encode(&self, call: &mut Cmd) -> Result<(), Invalid> {
        self.check()?;
        call.arg(&self.node).arg(&self.info).arg(u8::from(self.wants_organise));
        call.arg(self.ttl_ms).arg(self.max_organisers);
        Ok(())
    }
}

impl Encode for PartitionKey {
    fn encode(&self, call: &mut Cmd) -> Result<(), Invalid> {
        check_partition(self)?;
        call.arg(self.to_string());
        Ok(())
    }
}

/// A node's name.
impl Encode for String {
    fn encode(&self, call: &mut Cmd) -> Result<(), Invalid> {
        check_node(self)?;
        call.arg(self);
        Ok(())
    }
}

impl Encode for Cursor {
    fn encode(&self, call: &mut Cmd) -> Result<(), Invalid> {
        call.arg(self.0);
        Ok(())
    }
}

impl Encode for () {
    fn encode(&self, _: &mut Cmd) -> Result<(), Invalid> {
        Ok(())
    }
}

impl<A: Encode, B: Encode> Encode for (A, B) {
    fn encode(&self, call: &mut Cmd) -> Result<(), Invalid> {
        self.0.encode(call)?;
        self.1.encode(call)
    }
}

fn incarnation(call: &mut Cmd, partition: &PartitionKey, generation: Generation, boot: Boot) {
    call.arg(partition.to_string()).arg(generation.0).arg(boot.0);
}

fn held(call: &mut Cmd, held: &Held) {
    incarnation(call, &held.partition, held.generation, held.boot);
    bounds(call, held.range);
    // Where nobody took a unit, stores have it so.
    call.arg(if held.nonce == Nonce::default() { "0".to_owned() } else { held.nonce.to_string() });
}

fn bounds(call: &mut Cmd, range: Range) {
    call.arg(range.start()).arg(range.end());
}
