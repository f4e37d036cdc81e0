//! `logmill produce`: a record for each line of stdin or of files, or for each file.

mod line;
mod tally;

use std::path::PathBuf;

use logmill::Producer;
use tokio::io::{AsyncRead, AsyncWriteExt};

use self::line::Shape;
use self::tally::Tally;
use super::stop::Stop;
use crate::exit::{Exit, Failure, Outcome};
use crate::input::{Connect, Records};
use crate::output::{Progress, unescape};

/// Kafka's brokers take 1 MiB a record unless told otherwise; what is longer than this is no record.
const LONGEST: usize = 64 << 20;

/// Ends with 0 only if every record was persisted; with 6 if some were. kcat's flags, with kcat's meanings;
/// but an empty line is an empty record here, and is not passed over.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connect: Connect,
    /// The topic
    #[arg(short = 't', long)]
    topic: String,
    /// Send all to this partition; unless given, the key decides, as in Kafka's own client
    #[arg(short = 'p', long, value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// How batches are compressed: none, gzip, snappy, lz4 or zstd
    #[arg(short = 'z', long, value_name = "CODEC")]
    compression: Option<String>,
    /// What separates records; \n, \t, \xHH are understood
    #[arg(short = 'D', long, default_value = "\\n")]
    delimiter: String,
    /// What separates a record's key from its value; a record without it has no key
    #[arg(short = 'K', long, value_name = "DELIMITER")]
    key_delimiter: Option<String>,
    /// The key of records that bring none
    #[arg(short = 'k', long)]
    key: Option<String>,
    /// A header for every record; may be given often
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// Send empty keys and values as null
    #[arg(short = 'Z', long)]
    null: bool,
    /// Stop after so many records
    #[arg(short = 'c', visible_short_alias = 'n', long)]
    count: Option<u64>,
    /// Also write each record to stdout, as tee does
    #[arg(short = 'T', long)]
    tee: bool,
    /// Read records from the files, as from stdin. Without it each file is one record
    #[arg(short = 'l', long)]
    lines: bool,
    /// Tell no progress on stderr
    #[arg(short, long)]
    quiet: bool,
    /// Files to read in place of stdin
    files: Vec<PathBuf>,
}

pub(crate) async fn run(args: Args) -> Outcome {
    let mut stop = Stop::listen()?;
    let shape = Shape::new(&args).map_err(Failure::usage)?;
    let mut builder = Producer::builder().brokers(args.connect.brokers()).set("client.id", "logmill");
    if let Some(codec) = &args.compression {
        builder = builder.set("compression.type", codec);
    }
    for (name, value) in args.connect.settings()? {
        builder = builder.set(name, value);
    }
    let producer = builder.build().await?;
    let mut sending = Sending {
        shape: &shape,
        producer: &producer,
        tally: Tally::default(),
        progress: Progress::new("sent", args.quiet),
        left: args.count.unwrap_or(u64::MAX),
        tee: args.tee.then(tokio::io::stdout),
    };
    let read = sending.all(&args, &mut stop).await;
    // What was accepted is sent to its end in any case, and what became of it is told.
    let closed = producer.close().await;
    let Sending { mut tally, progress, .. } = sending;
    tally.finish().await;
    progress.finish(tally.persisted);
    if tally.failed() == 0 {
        closed?;
    }
    tally.verdict(read)
}

struct Sending<'a> {
    shape: &'a Shape,
    producer: &'a Producer,
    tally: Tally,
    progress: Progress,
    /// How many more records may be sent.
    left: u64,
    tee: Option<tokio::io::Stdout>,
}

impl Sending<'_> {
    /// Reads and sends until the input ends, the count is reached, somebody asks to stop, or sending on
    /// makes no sense.
    async fn all(&mut self, args: &Args, stop: &mut Stop) -> Outcome {
        let delimiter = unescape(&args.delimiter);
        if args.files.is_empty() {
            return self.lines(tokio::io::stdin(), "stdin", &delimiter, stop).await;
        }
        for file in &args.files {
            let name = file.display().to_string();
            let cannot = |error| Failure::failed(format!("cannot read {name}: {error}"));
            if args.lines {
                let opened = tokio::fs::File::open(file).await.map_err(cannot)?;
                self.lines(opened, &name, &delimiter, stop).await?;
            } else if self.left > 0 {
                let whole = tokio::fs::read(file).await.map_err(cannot)?;
                self.send(&whole).await?;
            }
        }
        Ok(())
    }

    async fn lines(
        &mut self,
        from: impl AsyncRead + Unpin,
        name: &str,
        delimiter: &[u8],
        stop: &mut Stop,
    ) -> Outcome {
        let mut records = Records::new(from, delimiter, LONGEST).map_err(Failure::usage)?;
        while self.left > 0 {
            let line = tokio::select! {
                biased;
                asked = stop.asked() => return asked.and(Err(Failure::new(Exit::Interrupted, ""))),
                line = records.next() => line,
            };
            let line = line.map_err(|error| {
                let endless = error.kind() == std::io::ErrorKind::InvalidData;
                let hint = if endless { "; is it right (-D)?" } else { "" };
                Failure::failed(format!("cannot read {name}: {error}{hint}"))
            })?;
            let Some(line) = line else { return Ok(()) };
            self.send(&line).await?;
            if let Some(tee) = &mut self.tee {
                tee.write_all(&line).await?;
                tee.write_all(delimiter).await?;
                tee.flush().await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self, line: &[u8]) -> Outcome {
        self.left -= 1;
        let pending = self.producer.enqueue(self.shape.record(line)).await;
        self.tally.sent(pending).await?;
        self.progress.tell(self.tally.persisted);
        Ok(())
    }
}
