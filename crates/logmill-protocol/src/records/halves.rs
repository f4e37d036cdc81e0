//! A closed batch written anew as two: for a broker that takes none as large.

use super::batch::Batch;
use super::{
    BatchBuilder, BatchError, ClosedBatch, Compression, Compressor, Decompressor, Limits, NewRecord, Records,
};

impl ClosedBatch {
    /// The batch's records in two batches of the same codec, the first half of them in the first; both are
    /// still to be stamped. A batch of one record leaves the first empty.
    ///
    /// # Errors
    /// The codec fails.
    pub fn halves(&self, compressor: &mut Compressor) -> Result<[Self; 2], BatchError> {
        let batch = Batch::read(self.bytes().clone())?;
        let body = match batch.compression() {
            Compression::None => batch.body(),
            // Our own bytes: they come to what they were before.
            compression => Decompressor::new(Limits { max_decompressed: usize::MAX }).decompress(
                compression,
                &batch.body(),
                batch.base_offset(),
            )?,
        };
        let records = Records::new(body, batch.header());
        let mut rest = records.iter();
        let mut part = |count: usize| {
            let mut builder = BatchBuilder::new(Vec::with_capacity(records.size() / 2));
            for record in rest.by_ref().take(count) {
                let record = record?;
                let (timestamp, key, value, headers) =
                    (record.timestamp, record.key, record.value, record.headers);
                let fits = builder.append(&NewRecord { timestamp, key, value, headers }, usize::MAX);
                debug_assert!(fits.is_ok(), "a part is no larger than the whole");
            }
            builder.close(compressor)
        };
        let first = records.len() / 2;
        Ok([part(first)?, part(records.len() - first)?])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{Batches, Header, Stamp};
    use super::*;

    type Plain = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>);

    /// Offsets as they stand, and everything else of each record.
    fn read(batch: &mut ClosedBatch) -> (Vec<i64>, Vec<Plain>) {
        let bytes = batch.stamp(Stamp::default());
        let batch = Batches::new(bytes).next().unwrap().unwrap();
        let records = batch.records(Limits::default()).unwrap();
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        let plain = |record: super::super::Record<'_>| {
            let headers = record.headers.map(|header| (header.key.to_vec(), owned(header.value))).collect();
            (record.offset, (record.timestamp, owned(record.key), owned(record.value), headers))
        };
        records.iter().map(|record| plain(record.unwrap())).unzip()
    }

    #[test]
    fn every_record_is_in_one_of_them_as_it_was() {
        for compression in
            [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
        {
            let mut compressor = Compressor::new(compression, None).unwrap();
            let mut builder = BatchBuilder::new(Vec::new());
            let value = [7; 300];
            for n in 0..5i64 {
                let headers = [Header::new("h", Some(b"1")), Header::new("h", None)].into_iter();
                let headers = headers.take(n as usize % 3);
                let (key, value) = ((n != 1).then_some(&b"k"[..]), (n != 3).then_some(&value[..]));
                // Times that fall, too.
                builder.append(&NewRecord { timestamp: 100 - n * n, key, value, headers }, 9_999).unwrap();
            }
            let mut whole = builder.close(&mut compressor).unwrap();
            let [mut first, mut second] = whole.halves(&mut compressor).unwrap();
            assert_eq!((first.records(), second.records()), (2, 3));
            let (mut records, (offsets, rest)) = (read(&mut first).1, read(&mut second));
            records.extend(rest);
            assert_eq!(offsets, [0, 1, 2], "each begins anew");
            assert_eq!(records, read(&mut whole).1, "{compression}");
        }
    }
}
