//! Reading a topic as kcat does: no group, nothing committed.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};

use logmill::client::fetch::{FetchOptions, Fetched, Position};
use logmill::records::{Decompressor, TimestampType};
use logmill::{Error, Partition};

use super::super::stop::Stop;
use super::Args;
use super::place::{Span, spans};
use crate::exit::{Failure, Outcome};
use crate::input::Bounds;
use crate::output::{RecordView, Shape};

pub(super) async fn run(args: &Args, bounds: Bounds) -> Outcome {
    let [name] = &args.topics[..] else {
        return Err(Failure::usage("-t may be given once only, unless -g is"));
    };
    let shape = args.shape()?;
    let mut stop = Stop::listen()?;
    let client = args.connect.client().await?;
    let topic = client.topic(name).await?;
    let mut partitions: Vec<Partition> = topic
        .partitions
        .iter()
        .map(|partition| Partition::new(topic.name.clone(), partition.index))
        .collect();
    if let Some(index) = args.partition {
        let count = partitions.len();
        partitions.retain(|partition| partition.index == index);
        if partitions.is_empty() {
            let partition = Partition::new(topic.name.clone(), index);
            return Err(Error::UnknownPartition { partition, partitions: count }.into());
        }
    }
    let options = FetchOptions::from_settings(client.settings());
    let mut open = spans(&client, &partitions, bounds, args.exit, options.isolation).await?;
    open.retain(|_, span| span.end.is_none_or(|end| span.from < end));
    let from = open.iter().map(|(partition, span)| (partition.clone(), Position::at(span.from)));
    let mut stream = client.stream(from, &options);
    let mut printer =
        Printer { shape, left: args.count.unwrap_or(u64::MAX), decompressor: Decompressor::default() };
    let mut out = BufWriter::new(std::io::stdout().lock());
    while !open.is_empty() && printer.left > 0 {
        let fetched = tokio::select! {
            biased;
            asked = stop.asked() => return asked,
            fetched = stream.next() => fetched?,
        };
        printer.print(&mut out, &fetched, &open)?;
        out.flush()?;
        if open
            .get(&fetched.partition)
            .is_some_and(|span| span.end.is_some_and(|end| fetched.position >= end))
        {
            open.remove(&fetched.partition);
            stream.remove(&fetched.partition);
        }
    }
    Ok(())
}

struct Printer {
    shape: Shape,
    /// How many more records may be printed.
    left: u64,
    decompressor: Decompressor,
}

impl Printer {
    fn print(
        &mut self,
        out: &mut impl Write,
        fetched: &Fetched,
        open: &BTreeMap<Partition, Span>,
    ) -> Outcome {
        let Partition { topic, index } = &fetched.partition;
        let end = open.get(&fetched.partition).and_then(|span| span.end).unwrap_or(i64::MAX);
        for batch in &fetched.batches {
            let damaged =
                |error| Failure::failed(format!("{topic}/{index}: a record batch cannot be read: {error}"));
            let records = batch.records(&mut self.decompressor).map_err(damaged)?;
            let log_append_time = records.whole_batch().timestamp_type() == TimestampType::LogAppendTime;
            for record in records.iter() {
                let record = record.map_err(damaged)?;
                if self.left == 0 || record.offset >= end {
                    return Ok(());
                }
                self.left -= 1;
                // Without headers, the rule, this allocates nothing.
                let headers: Vec<_> =
                    record.headers.clone().map(|header| (header.key, header.value)).collect();
                let view = RecordView {
                    topic,
                    partition: *index,
                    offset: record.offset,
                    timestamp: record.timestamp,
                    log_append_time,
                    key: record.key,
                    value: record.value,
                    headers: &headers,
                };
                self.shape.write(out, &view)?;
            }
        }
        Ok(())
    }
}
