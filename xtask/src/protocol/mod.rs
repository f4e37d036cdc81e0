//! `cargo xtask protocol`: writes `crates/logmill-protocol/src/messages/`, and the samples its tests draw, from
//! the message definitions inside the kafka-clients jar. `--check` writes nothing and fails if a file would
//! change.

mod render;
mod sample;
mod schema;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use schema::{Definition, Versions};

use crate::Outcome;
use crate::run::root;
use crate::servers::kafka_definitions;

/// The APIs in use, by their names in the definitions. Each has a request and a response.
const APIS: &[&str] = &[
    "AddOffsetsToTxn",
    "AddPartitionsToTxn",
    "AlterUserScramCredentials",
    "ApiVersions",
    "ConsumerGroupDescribe",
    "ConsumerGroupHeartbeat",
    "CreateAcls",
    "CreatePartitions",
    "CreateTopics",
    "DeleteAcls",
    "DeleteGroups",
    "DeleteRecords",
    "DeleteTopics",
    "DescribeAcls",
    "DescribeClientQuotas",
    "DescribeCluster",
    "DescribeConfigs",
    "DescribeGroups",
    "DescribeLogDirs",
    "DescribeProducers",
    "DescribeTopicPartitions",
    "DescribeTransactions",
    "DescribeUserScramCredentials",
    "ElectLeaders",
    "EndTxn",
    "Fetch",
    "FindCoordinator",
    "GetTelemetrySubscriptions",
    "Heartbeat",
    "IncrementalAlterConfigs",
    "InitProducerId",
    "JoinGroup",
    "LeaveGroup",
    "ListGroups",
    "ListOffsets",
    "ListTransactions",
    "Metadata",
    "OffsetCommit",
    "OffsetDelete",
    "OffsetFetch",
    "OffsetForLeaderEpoch",
    "Produce",
    "PushTelemetry",
    "SaslAuthenticate",
    "SaslHandshake",
    "SyncGroup",
    "TxnOffsetCommit",
];

/// What is no API but has a layout of its own: headers, and the blobs inside JoinGroup and SyncGroup.
const BLOCKS: &[(&str, &[&str])] = &[
    ("header", &["RequestHeader", "ResponseHeader"]),
    ("consumer_protocol_assignment", &["ConsumerProtocolAssignment"]),
    ("consumer_protocol_subscription", &["ConsumerProtocolSubscription"]),
];

const MESSAGES: &str = "crates/logmill-protocol/src/messages";
const SAMPLES: &str = "crates/logmill-protocol/tests/messages/sample";

/// The files of one folder, by name.
type Files = BTreeMap<String, String>;

/// The command line's entrance.
///
/// # Errors
/// An unknown flag, no jar, a definition that cannot be read, or (with `--check`) a stale file.
pub(crate) fn run_chore(words: &[String]) -> Outcome {
    let check = match words {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err("usage: cargo xtask protocol [--check]".into()),
    };
    let (messages, samples) = generate()?;
    let mut stale = write_into(MESSAGES, &messages, check)?;
    stale.extend(write_into(SAMPLES, &samples, check)?);
    match (stale.is_empty(), check) {
        (true, _) => println!("{} files are as generated", messages.len() + samples.len()),
        (false, false) => println!("wrote {} of {} files", stale.len(), messages.len() + samples.len()),
        (false, true) => {
            return Err(format!("not as generated: {}; run `cargo xtask protocol`", stale.join(", ")).into());
        }
    }
    Ok(())
}

/// Writes what differs, or with `check` only tells.
fn write_into(folder: &str, files: &Files, check: bool) -> Outcome<Vec<String>> {
    let target = root().join(folder);
    let mut stale = Vec::new();
    if !check {
        std::fs::create_dir_all(&target)?;
    }
    for (name, text) in files {
        let path = target.join(name);
        if std::fs::read_to_string(&path).ok().as_ref() != Some(text) {
            stale.push(format!("{folder}/{name}"));
            if !check {
                std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
            }
        }
    }
    for entry in std::fs::read_dir(&target).map_err(|e| format!("{}: {e}", target.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !files.contains_key(&name) {
            stale.push(format!("{folder}/{name} (no longer generated)"));
            if !check {
                std::fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(stale)
}

/// The messages and their samples.
fn generate() -> Outcome<(Files, Files)> {
    let definitions = definitions(&kafka_definitions()?.join("common/message"))?;
    let find =
        |name: &str| definitions.get(name).ok_or_else(|| format!("the jar has no definition of {name}"));

    let (mut messages, mut samples) = (Files::new(), Files::new());
    let mut modules = Vec::new();
    let mut keys = Vec::new();
    let mut groups: Vec<(String, Vec<Definition>, String)> = Vec::new();
    for api in APIS {
        let pair = vec![find(&format!("{api}Request"))?.clone(), find(&format!("{api}Response"))?.clone()];
        keys.push((pair[0].api_key.ok_or_else(|| format!("{api} has no key"))?, *api, pair[0].clone()));
        groups.push((render::snake(api), pair, format!("{api}: request and response.")));
    }
    for (module, names) in BLOCKS {
        let blocks = names.iter().map(|name| find(name).cloned()).collect::<Result<Vec<_>, _>>()?;
        groups.push(((*module).to_owned(), blocks, format!("{}.", names.join(", "))));
    }
    groups.sort_by(|a, b| a.0.cmp(&b.0));
    let mut lists = Vec::new();
    for (module, definitions, text) in groups {
        messages.insert(format!("{module}.rs"), format_rust(&render::file(&definitions)?)?);
        samples.insert(format!("{module}.rs"), format_rust(&sample::file(&module, &definitions)?)?);
        lists.push((module.clone(), definitions.iter().map(|definition| definition.name.clone()).collect()));
        modules.push((module, text));
    }
    keys.sort_by_key(|key| key.0);
    messages.insert("mod.rs".to_owned(), format_rust(&index(&modules, &keys)?)?);
    samples.insert("mod.rs".to_owned(), format_rust(&sample::index(&lists))?);
    Ok((messages, samples))
}

fn is_wanted(name: &str) -> bool {
    let api = name.strip_suffix("Request").or_else(|| name.strip_suffix("Response"));
    api.is_some_and(|api| APIS.contains(&api)) || BLOCKS.iter().any(|(_, names)| names.contains(&name))
}

/// Reads the wanted definitions from the folder that holds them all.
fn definitions(folder: &Path) -> Result<BTreeMap<String, Definition>, String> {
    let mut definitions = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))? {
        let path = entry.map_err(|e| e.to_string())?.path();
        if path.file_stem().is_some_and(|stem| is_wanted(&stem.to_string_lossy())) {
            let text = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
            let definition = schema::parse(&text).map_err(|e| format!("{}: {e}", path.display()))?;
            definitions.insert(definition.name.clone(), definition);
        }
    }
    Ok(definitions)
}

/// An API's number, name and request.
type Api<'a> = (i16, &'a str, Definition);

fn index(modules: &[(String, String)], keys: &[Api<'_>]) -> Result<String, String> {
    let mut out = String::from(
        "//! Kafka's requests and responses, one file an API, both directions.\n//!\n\
         //! Generated by `cargo xtask protocol` from Kafka's message definitions; do not edit.\n\n\
         #![allow(unused_imports, clippy::field_reassign_with_default, clippy::match_same_arms)]\n\n",
    );
    for (module, text) in modules {
        let _ = writeln!(out, "#[doc = \"{text}\"]\npub mod {module};");
    }
    let mut write = |head: &str, arm: &dyn Fn(&Api<'_>) -> Result<String, String>, tail: &str| {
        out.push_str(head);
        for key in keys {
            out.push_str(&arm(key)?);
        }
        out.push_str(tail);
        Ok::<(), String>(())
    };
    write(
        "\n/// Which API a request belongs to: the number that stands first in its header.\n\
         #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]\n#[repr(i16)]\n#[non_exhaustive]\n\
         pub enum ApiKey {\n",
        &|(key, api, _)| Ok(format!("/// Kafka's `{api}`.\n{api} = {key},\n")),
        "}\n",
    )?;
    write(
        "impl ApiKey {\n/// Every API that logmill speaks, in the order of their numbers.\npub const ALL: &'static [Self] = &[",
        &|(_, api, _)| Ok(format!("Self::{api},")),
        "];\n",
    )?;
    write(
        "/// Kafka's name for it.\n#[must_use]\npub const fn name(self) -> &'static str {\nmatch self {\n",
        &|(_, api, _)| Ok(format!("Self::{api} => \"{api}\",\n")),
        "}\n}\n",
    )?;
    write(
        "/// The oldest and the newest version that logmill speaks.\n#[must_use]\npub const fn versions(self) -> (i16, i16) {\nmatch self {\n",
        &|(_, api, definition)| {
            let valid = Versions::parse(&definition.valid_versions)?;
            Ok(format!("Self::{api} => ({}, {}),\n", valid.from, valid.to))
        },
        "}\n}\n",
    )?;
    write(
        "/// Whether a request of this version is flexible (KIP-482).\n#[must_use]\npub const fn is_flexible(self, version: i16) -> bool {\nmatch self {\n",
        &|(_, api, definition)| {
            let flexible = Versions::parse(definition.flexible_versions.as_deref().unwrap_or("none"))?;
            Ok(if flexible.is_empty() {
                format!("Self::{api} => false,\n")
            } else {
                format!("Self::{api} => version >= {},\n", flexible.from)
            })
        },
        "}\n}\n}\n",
    )?;
    write(
        "\n/// An API that logmill does not speak.\n#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]\n\
         #[error(\"unknown API key {0}\")]\npub struct UnknownApi(pub i16);\n\n\
         impl TryFrom<i16> for ApiKey {\ntype Error = UnknownApi;\n\nfn try_from(key: i16) -> Result<Self, UnknownApi> {\nOk(match key {\n",
        &|(key, api, _)| Ok(format!("{key} => Self::{api},\n")),
        "other => return Err(UnknownApi(other)),\n})\n}\n}\n",
    )?;
    Ok(out)
}

fn format_rust(text: &str) -> Result<String, String> {
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024", "--config", "max_width=110,use_small_heuristics=Max"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("rustfmt cannot be run: {e}; run `rustup component add rustfmt`"))?;
    let mut stdin = rustfmt.stdin.take().ok_or("rustfmt has no standard input")?;
    let source = text.to_owned();
    let feeder = std::thread::spawn(move || stdin.write_all(source.as_bytes()));
    let output = rustfmt.wait_with_output().map_err(|e| e.to_string())?;
    feeder.join().map_err(|_| "feeding rustfmt failed")?.map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(format!("rustfmt refused generated code: {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|e| e.to_string())
}
