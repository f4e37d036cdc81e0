//! Where a group's state lives: the trait, in memory, and in Redis.
//!
//! The transitions are those of [`State`](logmill_protocol::work::State), which says what each does;
//! a store adds where it is kept and what can go wrong on the way there. Nothing that must hold
//! depends on a store being durable: Kafka holds the truth, and a store that lost its memory answers
//! [`NoState`](logmill_protocol::work::Refused::NoState) and is rebuilt.

mod error;
mod memory;
mod redis;
mod timed;

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use logmill_protocol::ids::PartitionKey;
use logmill_protocol::work::{
    Announce, Announced, Cursor, Overview, Page, PartitionSnapshot, Plan, Planned, Raise, Raised, Rebuild,
    Renew, Renewed, Requeue, Requeued, Settle, Settled, Take, Taken, Unit,
};

pub use error::StoreError;
pub use memory::MemoryStore;
pub use redis::{RedisOptions, RedisServer, RedisStore};
pub(crate) use timed::Timed;

/// What a store answers.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// The state of one group, shared by all nodes that reach the same store.
///
/// Each transition is atomic. After an error that [is retriable](StoreError::is_retriable) it may
/// have happened or not, and asking again is safe: a second plan finds the partition
/// [`Moved`](Planned::Moved), a second settle [`Already`](Settled::Already) done, and what a lost
/// take handed out comes back when the lease ends.
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// Builds a partition's state anew, from what Kafka has.
    fn rebuild(&self, request: Rebuild) -> Answer<'_, ()>;

    /// Lifts a partition whose store is found behind Kafka.
    fn raise(&self, request: Raise) -> Answer<'_, Raised>;

    /// Cuts the next offsets of a partition into units.
    fn plan(&self, request: Plan) -> Answer<'_, Planned>;

    /// Hands out units. An empty answer is no error: see [`Store::changed`].
    fn take(&self, request: Take) -> Answer<'_, Taken>;

    /// Keeps leases and writes down how far they have come: one outcome for each, in order.
    fn renew(&self, request: Renew) -> Answer<'_, Vec<Renewed>>;

    /// Ends a unit: settles its range but for the rests, which go back to the queue.
    fn settle(&self, request: Settle) -> Answer<'_, Settled>;

    /// Puts a unit back in the queue, whoever holds it, for tools.
    fn requeue(&self, request: Requeue) -> Answer<'_, Requeued>;

    /// Removes all state of a partition, but for its gaps. Returns whether there was any.
    fn forget(&self, partition: PartitionKey) -> Answer<'_, bool>;

    /// Notes that a node lives, and whether it is to organise.
    fn announce(&self, request: Announce) -> Answer<'_, Announced>;

    /// Removes a node that ends in good order.
    fn depart(&self, node: String) -> Answer<'_, ()>;

    /// One partition's state, or `None` if the store does not hold it.
    fn snapshot(&self, partition: PartitionKey) -> Answer<'_, Option<PartitionSnapshot>>;

    /// The group at a glance, for tools.
    fn overview(&self) -> Answer<'_, Overview>;

    /// The partitions, a page at a time, for tools.
    fn partitions(&self, from: Cursor) -> Answer<'_, Page<PartitionKey>>;

    /// A partition's units, a page at a time, for tools.
    fn units(&self, partition: PartitionKey, from: Cursor) -> Answer<'_, Page<Unit>>;

    /// A number that grows whenever somebody may have added a unit. Read it before a take, and hand
    /// it to [`Store::changed`] if the take found nothing: so no wake-up between the two is lost.
    fn version(&self) -> u64;

    /// Waits until [`Store::version`] is no longer `seen`, at most for `wait`.
    ///
    /// Units that become visible with time and leases that end do not count; the last take said
    /// when that will be, in [`Taken::next_in_ms`]. It may return early: take again, and see.
    fn changed(&self, seen: u64, wait: Duration) -> BoxFuture<'_, ()>;
}
