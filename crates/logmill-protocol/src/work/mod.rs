//! Work units, and the store of one group as one plain value: [`State`], the executable
//! specification that every store must equal.
//!
//! A unit is an offset range of one partition. Its life:
//!
//! ```text
//!            plan                take               settle
//! (offsets) ─────► ready ───────────────► leased ─────────────► settled
//!                   ▲ ▲  deadline passed    │ ▲  └─ rest ─┐
//!                   │ └─────────────────────┘ │ renew     │
//!                   └─────────────────────────────────────┘ visible after its delay
//! ```
//!
//! Per partition, `watermark ≤ planned`, and between them the settled ranges and the units lie side
//! by side: no hole, no overlap. That tiling is what makes "every offset below the watermark is
//! settled" checkable after every step; [`State::check_invariants`] does it.
//!
//! A module uses only those before it:
//!
//! | module | holds |
//! |---|---|
//! | `range`, `range_set` | offset ranges |
//! | `unit` | units, leases, what a settle leaves over, gaps |
//! | `request` | what a transition is asked, and the checks that need no state |
//! | `outcome` | what it answers |
//! | `lane` | which lane a record belongs to |
//! | `commit` | what goes to Kafka beside a watermark |
//! | `view` | read-only snapshots |
//! | `state` | the transitions, one file each |

mod commit;
mod lane;
mod limits;
mod outcome;
mod range;
mod range_set;
mod request;
mod state;
mod unit;
mod view;

pub use commit::{CommitMetadata, LaneProgress, MAX_METADATA};
pub use lane::lane_of;
pub use limits::*;
pub use outcome::{
    Announced, Invalid, Planned, Raised, Refused, Renewed, Requeued, Settled, StaleReason, Taken,
};
pub use range::Range;
pub use range_set::RangeSet;
pub use request::{
    Announce, Held, Plan, Progress, Raise, Rebuild, Renew, Requeue, Settle, Take, check_node, check_partition,
};
pub use state::State;
pub use unit::{Gap, GapCause, Lease, Rest, Unit, UnitState};
pub use view::{Cursor, LostRange, NodeView, Overview, Page, PartitionSnapshot};
