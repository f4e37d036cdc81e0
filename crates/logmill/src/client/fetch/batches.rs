//! What a fetch brought of one partition: its batches, cut from the response without copying, and
//! which of their records the reader may see.

use logmill_protocol::error::DecodeError;
use logmill_protocol::ids::{Offset, Partition};
use logmill_protocol::messages::fetch::PartitionData;
use logmill_protocol::records::{
    AbortedTransactions, Batch, BatchError, Batches, Decompressor, OwnedRecord, OwnedRecords, PartialBatch,
    Record, Records,
};

use super::Isolation;

/// What one fetch brought of one partition.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fetched {
    /// The partition.
    pub partition: Partition,
    /// The batches with records to see, in order. May be empty: the position has moved all the same.
    pub batches: Vec<VisibleBatch>,
    /// Everything below this offset and from where the reader stood is in `batches`, or is nothing
    /// that this reader may see.
    pub position: Offset,
    /// The partition's high watermark when it was fetched.
    pub high_watermark: Offset,
    /// Its last stable offset when it was fetched: no transaction is open below it.
    pub last_stable: Offset,
    /// The first offset that its log has.
    pub log_start: Offset,
    /// How many bytes of the response it holds in memory.
    pub bytes: usize,
}

/// A batch, and which part of it the reader asked for.
#[derive(Clone, Debug)]
pub struct VisibleBatch {
    batch: Batch,
    from: Offset,
    end: Offset,
}

impl VisibleBatch {
    /// The batch. It may hold records outside of what was asked for.
    #[must_use]
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Decompresses and makes readable the records that were asked for.
    ///
    /// # Errors
    /// The codec is not in this build or fails, or the records are larger than the decompressor allows.
    pub fn records(&self, decompressor: &mut Decompressor) -> Result<VisibleRecords, BatchError> {
        let records = self.batch.records_with(decompressor)?;
        Ok(VisibleRecords { records, from: self.from, end: self.end })
    }
}

/// The records of a batch that were asked for, decoded as they are iterated.
#[derive(Clone, Debug)]
pub struct VisibleRecords {
    records: Records,
    from: Offset,
    end: Offset,
}

impl VisibleRecords {
    /// The records, in order. A malformed one is an error, after which the iterator ends.
    pub fn iter(&self) -> impl Iterator<Item = Result<Record<'_>, BatchError>> {
        let (from, end) = (self.from, self.end);
        let records =
            self.records.iter().skip_while(move |record| matches!(record, Ok(it) if it.offset < from));
        records.take_while(move |record| !matches!(record, Ok(it) if it.offset >= end))
    }

    /// The records, in order, each holding on to the batch's buffer: for those that outlive it.
    #[must_use]
    pub fn into_owned(self) -> VisibleOwnedRecords {
        VisibleOwnedRecords { records: self.records.into_owned(), from: self.from, end: self.end }
    }

    /// All records of the batch, those that were not asked for included.
    #[must_use]
    pub fn whole_batch(&self) -> &Records {
        &self.records
    }
}

/// The records of a batch that were asked for, each holding on to the batch's buffer. A malformed one is an error,
/// after which the iteration ends.
#[derive(Clone, Debug)]
pub struct VisibleOwnedRecords {
    records: OwnedRecords,
    from: Offset,
    end: Offset,
}

impl VisibleOwnedRecords {
    /// The next record for which `choose`, given its offset and key, answers something, with the answer. Those that
    /// are passed over cost little.
    pub fn next_chosen<T>(
        &mut self,
        mut choose: impl FnMut(Offset, Option<&[u8]>) -> Option<T>,
    ) -> Option<Result<(T, OwnedRecord), BatchError>> {
        let (from, end) = (self.from, self.end);
        let next = self.records.next_chosen(|offset, key| match offset {
            _ if offset >= end => Some(None),
            _ if offset < from => None,
            _ => choose(offset, key).map(Some),
        })?;
        match next {
            Ok((chosen, record)) => Some(Ok((chosen?, record))),
            Err(problem) => Some(Err(problem)),
        }
    }
}

impl Iterator for VisibleOwnedRecords {
    type Item = Result<OwnedRecord, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.next_chosen(|_, _| Some(()))?.map(|((), record)| record))
    }
}

/// How far a response takes a reader.
pub(super) struct Read {
    pub(super) batches: Vec<VisibleBatch>,
    pub(super) position: Offset,
    /// The leader epoch under which the last batch was written, if one was read.
    pub(super) epoch: Option<i32>,
    /// The batch at the end that did not fit.
    pub(super) partial: Option<PartialBatch>,
    /// The bytes of whole batches, and the offsets they cover: how dense the log is here.
    pub(super) bytes: usize,
    pub(super) offsets: i64,
}

/// Reads a response from `position` on, showing records below `end`.
///
/// # Errors
/// The first batch is damaged or of a format that is not supported; a later one only ends the reading,
/// and the next fetch begins with it. Or the batches do not follow one another, and none is believed.
pub(super) fn read(
    data: &mut PartitionData,
    position: Offset,
    end: Offset,
    isolation: Isolation,
) -> Result<Read, BatchError> {
    let mut aborted = match isolation {
        Isolation::Committed => {
            let listed = data.aborted_transactions.take().unwrap_or_default();
            AbortedTransactions::new(listed.into_iter().map(|it| (it.producer_id, it.first_offset)))
        }
        Isolation::Uncommitted => AbortedTransactions::default(),
    };
    let mut read = Read { batches: Vec::new(), position, epoch: None, partial: None, bytes: 0, offsets: 0 };
    let mut batches = Batches::new(data.records.take().unwrap_or_default());
    for batch in batches.by_ref() {
        let checked = batch.and_then(|mut batch| batch.verify().map(|()| batch));
        let batch = match checked {
            Ok(batch) => batch,
            Err(error) if read.position == position => return Err(error),
            Err(_) => break,
        };
        check_place(&batch, &read, position, data.high_watermark)?;
        let (visible, next) = (aborted.is_visible(&batch), batch.last_offset() + 1);
        read.bytes += batch.bytes().len();
        read.offsets += next - batch.base_offset();
        read.epoch = Some(batch.header().partition_leader_epoch);
        if visible && batch.record_count() > 0 && batch.base_offset() < end {
            read.batches.push(VisibleBatch { batch, from: position, end });
        }
        read.position = next;
    }
    read.partial = batches.partial();
    Ok(read)
}

/// A batch's base offset is the one field that its CRC leaves out, and a wrong one would make the reader
/// skip what is really there. So it has to fit its place: the first batch holds the position or comes
/// after it, each other begins after the one before, and none that leaves a hole ends beyond the log.
fn check_place(
    batch: &Batch,
    read: &Read,
    position: Offset,
    high_watermark: Offset,
) -> Result<(), BatchError> {
    let (base_offset, last) = (batch.base_offset(), batch.last_offset());
    let follows = if read.position == position { last >= position } else { base_offset >= read.position };
    // The high watermark may have risen after the answer noted it, but then there is no hole.
    let in_log = base_offset <= read.position || last < high_watermark;
    if follows && in_log {
        return Ok(());
    }
    let source = DecodeError::BadLength { what: "base offset", claimed: base_offset, available: 0 };
    Err(BatchError::Malformed { base_offset, source })
}
