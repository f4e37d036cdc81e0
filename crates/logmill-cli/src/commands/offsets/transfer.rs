//! `logmill offsets export` and `logmill offsets import`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use logmill::Partition;
use logmill::client::admin::Committed;
use logmill::control::Target;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;

use super::reset::{How, move_to};
use crate::exit::{Exit, Failure, Outcome};
use crate::input::{NamedGroup, OfGroup};

/// More than this is no export.
const LONGEST: u64 = 64 << 20;

/// The version of the file.
const VERSION: u32 = 1;

#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    of: OfGroup,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    of: NamedGroup,
    /// The export; - for stdin
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    #[command(flatten)]
    how: How,
}

#[derive(Serialize, Deserialize)]
struct Export {
    version: u32,
    group: String,
    offsets: Vec<At>,
}

#[derive(Serialize, Deserialize)]
struct At {
    topic: String,
    partition: i32,
    /// Every offset below it is settled.
    offset: i64,
    /// What is settled above it, in each lane. To be looked at: what is imported begins at the offset.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lanes: Vec<Lane>,
}

#[derive(Serialize, Deserialize)]
struct Lane {
    watermark: i64,
    /// Ranges from the first offset to before the last one.
    done: Vec<(i64, i64)>,
}

impl At {
    fn new(partition: &Partition, commit: &Committed) -> Self {
        let lanes = commit.lanes().into_iter().flatten().map(|lane| Lane {
            watermark: lane.watermark,
            done: lane.done.iter().map(|range| (range.start(), range.end())).collect(),
        });
        Self {
            topic: partition.topic.to_string(),
            partition: partition.index,
            offset: commit.offset,
            lanes: lanes.collect(),
        }
    }
}

pub(super) async fn export(args: ExportArgs) -> Outcome {
    let (client, group) = (args.of.client().await?, args.of.group());
    let committed = client.admin().committed(group, None).await?;
    if committed.is_empty() {
        return Err(Failure::new(Exit::NotFound, format!("group {group:?} has committed nothing")));
    }
    let offsets = committed.iter().map(|(partition, commit)| At::new(partition, commit)).collect();
    let export = Export { version: VERSION, group: group.to_owned(), offsets };
    println!("{}", serde_json::to_string_pretty(&export).map_err(Failure::failed)?);
    Ok(())
}

pub(super) async fn import(args: ImportArgs) -> Outcome {
    let export = read(&args).await?;
    let mut targets = BTreeMap::new();
    for At { topic, partition, offset, .. } in export.offsets {
        let place = Partition::new(topic.as_str(), partition);
        if offset < 0 || partition < 0 {
            return Err(Failure::usage(format!("{place}: {offset} is no offset; nothing done")));
        }
        if targets.insert(place.clone(), Target::Offset(offset)).is_some() {
            return Err(Failure::usage(format!("{place} is there twice; nothing done")));
        }
    }
    if targets.is_empty() {
        return Err(Failure::usage("the export has no offsets; nothing done"));
    }
    move_to(&args.of.control().await?, &targets, &args.how).await
}

async fn read(args: &ImportArgs) -> Outcome<Export> {
    let stdin = args.file.as_os_str() == "-";
    let name = if stdin { "stdin".to_owned() } else { args.file.display().to_string() };
    let cannot = |error: std::io::Error| Failure::failed(format!("cannot read {name}: {error}"));
    let mut text = String::new();
    if stdin {
        tokio::io::stdin().take(LONGEST).read_to_string(&mut text).await.map_err(cannot)?;
    } else {
        let file = tokio::fs::File::open(&args.file).await.map_err(cannot)?;
        file.take(LONGEST).read_to_string(&mut text).await.map_err(cannot)?;
    }
    let export: Export = serde_json::from_str(&text)
        .map_err(|error| Failure::usage(format!("{name} is no `logmill offsets export`: {error}")))?;
    if export.version > VERSION {
        let version = export.version;
        return Err(Failure::usage(format!(
            "{name} has version {version}, this logmill knows {VERSION}: upgrade"
        )));
    }
    Ok(export)
}
