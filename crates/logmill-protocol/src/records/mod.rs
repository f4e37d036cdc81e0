//! Record batches, format v2: what a Produce request carries and a Fetch response brings.
//!
//! Writing: a [`BatchBuilder`] encodes each record once, when it is appended; closing it compresses
//! the records and gives a [`ClosedBatch`], which is stamped with producer id and sequence as often as
//! it is sent. Reading: [`Batches`] cuts the bytes of a response into [`Batch`]es without copying,
//! [`Batch::records`] decompresses one, and [`Records`] decodes while it is iterated.
//!
//! Older formats (magic 0 and 1) are refused: Kafka 0.11 brought v2, Kafka 4.0 dropped the others.

mod aborted;
mod batch;
mod builder;
mod closed;
mod compression;
mod control;
mod error;
mod header;
mod key;
mod layout;
mod record;
mod rewrite;
mod varint;

pub use aborted::AbortedTransactions;
pub use batch::{Batch, Batches, PartialBatch};
pub use builder::{BatchBuilder, NewRecord, RecordTooLarge};
pub use closed::{ClosedBatch, Stamp};
pub use compression::{Compression, Compressor, Decompressor, Limits, UnknownCompression};
pub use control::{ControlBatch, Marker, MarkerKind};
pub use error::BatchError;
pub use header::{Attributes, BatchHeader, TimestampType};
pub use key::key_hash;
pub use record::{Header, Headers, OwnedRecord, OwnedRecords, Record, Records, RecordsIter};
pub use rewrite::{assign_offsets, set_log_append_time};

/// The size in bytes of a batch without records: its header.
pub const BATCH_OVERHEAD: usize = layout::HEADER;

/// The producer id, epoch and sequence of a batch that has none.
pub const NO_PRODUCER: i64 = -1;
