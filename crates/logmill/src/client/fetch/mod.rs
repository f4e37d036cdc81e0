//! Reading records: a range of one partition, a stream of many, or only whether there is anything new.
//!
//! A position is the offset to read next. It goes on at the last offset of the last whole batch + 1,
//! whatever those batches hold: data, markers, aborted records, or nothing any more after compaction.
//! So a reader moves past all of them, and an empty answer moves nothing.

mod batches;
mod first;
mod fleet;
mod flight;
mod options;
mod range;
mod sizing;
mod stream;
mod trouble;
mod watch;

pub use batches::{Fetched, VisibleBatch, VisibleOwnedRecords, VisibleRecords};
pub use options::{FetchOptions, Isolation};
pub use range::RangeReader;
pub(crate) use sizing::Sizing;
pub use stream::{Position, RecordStream};
pub use watch::{Grown, Watch};
