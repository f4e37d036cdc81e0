//! `logmill unit show`.

use std::io::{self, Write};

use logmill::client::Client;
use logmill::client::fetch::FetchOptions;
use logmill::records::{Decompressor, TimestampType};
use logmill::units::{Standing, UnitSeen};

use super::find::Shared;
use super::list::{State, UnitRow, time};
use super::name::UnitName;
use crate::exit::{Failure, Outcome};
use crate::input::NamedGroup;
use crate::output::{RecordView, Shape};

/// How a record is shown.
const RECORD: &str = "%o %T %k: %s\\n";

/// What reading them may hold in memory, in bytes.
const BUFFER: usize = 4 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    of: NamedGroup,
    /// The unit: topic/partition/offset, by any offset in it
    unit: UnitName,
    /// Show its records too: offset, timestamp, key and value
    #[arg(long)]
    records: bool,
    /// At most so many of them
    #[arg(short = 'c', visible_short_alias = 'n', long, value_name = "N", default_value_t = 100)]
    count: u64,
    /// Print JSON; with --records a line for each record after it
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args) -> Outcome {
    let unit = Shared::of_named(&args.of).await?.unit(&args.unit).await?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    if args.json {
        serde_json::to_writer(&mut out, &UnitRow::of(&unit)).map_err(io::Error::from)?;
        out.write_all(b"\n")?;
    } else {
        write(&mut out, &unit)?;
    }
    if args.records {
        let shape = Shape::from_flags(args.json, Some(RECORD), None, None, true)?;
        write_records(&mut out, &args.of.client().await?, &unit, &shape, args.count).await?;
    }
    Ok(out.flush()?)
}

fn write(out: &mut impl Write, unit: &UnitSeen) -> io::Result<()> {
    let UnitSeen { range, settled_to, .. } = unit;
    let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    writeln!(out, "unit      {}", UnitName::of(unit))?;
    writeln!(out, "offsets   {}..{}, {} of them", range.start, range.end, range.end - range.start)?;
    if !unit.lane.is_whole() {
        writeln!(out, "lane      {} of {}", unit.lane.index, unit.lane.of)?;
    }
    writeln!(out, "settled   {}..{settled_to}", range.start)?;
    let node = unit.node.as_deref();
    match (unit.standing, node) {
        (Standing::Leased { since, left }, node) => {
            let (since, left) = (time(ms(since)), ms(left));
            let left = if left == 0 { "is over".to_owned() } else { format!("has {} left", time(left)) };
            writeln!(out, "state     leased by {}, {since} ago; its lease {left}", node.unwrap_or("?"))?;
        }
        (Standing::Delayed(left), _) => writeln!(out, "state     delayed for {}", time(ms(left)))?,
        (_, Some(node)) => writeln!(out, "state     waiting; {node} had it and let its lease end")?,
        _ => writeln!(out, "state     {}", State::of(unit).name())?,
    }
    writeln!(out, "attempt   {}", unit.attempt)
}

async fn write_records(
    out: &mut impl Write,
    client: &Client,
    unit: &UnitSeen,
    shape: &Shape,
    mut left: u64,
) -> Outcome {
    let mut options = FetchOptions::from_settings(client.settings());
    options.buffer_bytes = BUFFER;
    let mut reader = client.fetch_range(unit.partition.clone(), None, unit.range.clone(), &options);
    let mut decompressor = Decompressor::default();
    while let Some(fetched) = reader.next().await? {
        for batch in &fetched.batches {
            let damaged = |error| {
                Failure::failed(format!("{}: a record batch cannot be read: {error}", unit.partition))
            };
            let records = batch.records(&mut decompressor).map_err(damaged)?;
            let log_append_time = records.whole_batch().timestamp_type() == TimestampType::LogAppendTime;
            for record in records.iter() {
                let record = record.map_err(damaged)?;
                if !unit.has(record.key, record.offset) {
                    continue;
                }
                if left == 0 {
                    eprintln!("there are more: -c shows them");
                    return Ok(());
                }
                left -= 1;
                let headers: Vec<_> =
                    record.headers.clone().map(|header| (header.key, header.value)).collect();
                let view = RecordView {
                    topic: &unit.partition.topic,
                    partition: unit.partition.index,
                    offset: record.offset,
                    timestamp: record.timestamp,
                    log_append_time,
                    key: record.key,
                    value: record.value,
                    headers: &headers,
                };
                shape.write(out, &view)?;
            }
        }
    }
    Ok(())
}
