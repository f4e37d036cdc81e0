//! `logmill check …`: one finding in one line, and an exit code, for monitors.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use logmill::client::Client;
use logmill::inspect;
use logmill::ledger::DEAD;
use logmill::store::{RedisOptions, RedisStore, Store as _};
use serde_json::json;

use crate::exit::{Exit, Failure, Health, Outcome};
use crate::input::{Connect, OfGroup, parse_duration, redis};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// How many records the group has not settled
    Lag(GroupArgs),
    /// How old its oldest record is that is not settled, in seconds; limits such as 30s or 2m
    Age(GroupArgs),
    /// How many dead letters it has
    Dead(GroupArgs),
    /// How many nodes it has: fewer than the limit is wrong. With --redis all of them, else those that organise
    Nodes(GroupArgs),
    /// Whether Redis can hold units
    Redis(RedisArgs),
    /// How many brokers answer for the cluster: fewer than the limit is wrong
    Kafka(KafkaArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct GroupArgs {
    #[command(flatten)]
    of: OfGroup,
    /// Only of this topic
    #[arg(short = 't', long)]
    topic: Option<String>,
    #[command(flatten)]
    limits: Limits,
}

#[derive(Debug, clap::Args)]
pub(crate) struct KafkaArgs {
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    limits: Limits,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RedisArgs {
    /// Which Redis; else LOGMILL_REDIS, REDIS_URL, or redis://127.0.0.1:6379
    #[arg(long, value_name = "URL", default_value = "")]
    redis: String,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct Limits {
    /// Beyond this it is a WARNING
    #[arg(short = 'w', long, value_name = "LIMIT", value_parser = limit)]
    warning: Option<f64>,
    /// Beyond this it is CRITICAL
    #[arg(short = 'c', long, value_name = "LIMIT", value_parser = limit)]
    critical: Option<f64>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// A line with performance data
    #[default]
    Nagios,
    /// Metrics in Prometheus' text format
    Prometheus,
    /// One JSON document
    Json,
    /// A line
    Text,
}

/// A number, or a length of time in seconds.
fn limit(text: &str) -> Result<f64, String> {
    if let Ok(number) = text.parse::<f64>()
        && number >= 0.0
    {
        return Ok(number);
    }
    let wrong = |_| format!("no limit: {text:?}; write a number, or a length of time such as 30s or 2m");
    parse_duration(text).map(|time| time.as_secs_f64()).map_err(wrong)
}

/// What a check found.
struct Finding {
    /// What was measured, as in `age`.
    what: &'static str,
    /// Of which group or server.
    subject: String,
    /// None if it could not be.
    value: Option<f64>,
    /// In which unit, as Nagios writes it.
    unit: &'static str,
    /// Few is wrong, instead of many.
    few_is_wrong: bool,
    text: String,
}

impl Finding {
    fn health(&self, limits: &Limits) -> Health {
        let Some(value) = self.value else { return Health::Unknown };
        let is_beyond = |limit: Option<f64>| {
            limit.is_some_and(|limit| if self.few_is_wrong { value < limit } else { value > limit })
        };
        match (is_beyond(limits.critical), is_beyond(limits.warning)) {
            (true, _) => Health::Critical,
            (_, true) => Health::Warning,
            _ => Health::Ok,
        }
    }

    fn tell(&self, health: Health, limits: &Limits) -> Outcome {
        let Self { what, subject, value, unit, text, .. } = self;
        let word = match health {
            Health::Ok => "OK",
            Health::Warning => "WARNING",
            Health::Critical => "CRITICAL",
            Health::Unknown => "UNKNOWN",
        };
        match limits.format {
            Format::Text => println!("{word} - {subject} {text}"),
            Format::Nagios => {
                let limit = |limit: Option<f64>| limit.map(|limit| limit.to_string()).unwrap_or_default();
                let (warning, critical) = (limit(limits.warning), limit(limits.critical));
                let data = value.map(|value| format!(" | {what}={value}{unit};{warning};{critical}"));
                println!("{word} - {subject} {text}{}", data.unwrap_or_default());
            }
            Format::Prometheus => {
                let subject = subject.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
                let labels = format!(r#"{{check="{what}",subject="{subject}"}}"#);
                println!("logmill_check_health{labels} {}", health as u8);
                if let Some(value) = value {
                    println!("logmill_check_value{labels} {value}");
                }
            }
            Format::Json => println!(
                "{}",
                json!({ "version": 1, "check": what, "subject": subject, "health": word, "value": value,
                        "warning": limits.warning, "critical": limits.critical, "text": text })
            ),
        }
        match health {
            Health::Ok => Ok(()),
            other => Err(Failure::new(Exit::Found(other), "")),
        }
    }
}

pub(crate) async fn run(command: Command) -> Outcome {
    let (finding, limits) = match command {
        Command::Lag(args) => (known("lag", args.of.group(), lag(&args).await), args.limits),
        Command::Age(args) => (known("age", args.of.group(), age(&args).await), args.limits),
        Command::Dead(args) => (known("dead", args.of.group(), dead(&args).await), args.limits),
        Command::Nodes(args) => (known("nodes", args.of.group(), nodes(&args).await), args.limits),
        Command::Kafka(args) => return kafka(args).await,
        Command::Redis(args) => return look_at_redis(args).await,
    };
    finding.tell(finding.health(&limits), &limits)
}

/// What could not be measured is a finding too.
fn known(what: &'static str, group: &str, found: Outcome<Finding>) -> Finding {
    found.unwrap_or_else(|failure| Finding {
        what,
        subject: group.to_owned(),
        value: None,
        unit: "",
        few_is_wrong: false,
        text: format!("cannot be looked at: {}", failure.text),
    })
}

/// The partitions that the group has committed.
async fn progress(client: &Client, args: &GroupArgs) -> Outcome<Vec<inspect::PartitionProgress>> {
    let mut progress = inspect::progress(client, args.of.group()).await?;
    progress.retain(|it| args.topic.as_deref().is_none_or(|topic| *it.partition.topic == *topic));
    if progress.is_empty() {
        return Err(Failure::failed("it has committed nothing"));
    }
    Ok(progress)
}

impl GroupArgs {
    fn found(&self, what: &'static str, value: f64, unit: &'static str, text: String) -> Finding {
        let subject = match &self.topic {
            Some(topic) => format!("{}/{topic}", self.of.group()),
            None => self.of.group().to_owned(),
        };
        Finding { what, subject, value: Some(value), unit, few_is_wrong: false, text }
    }
}

async fn lag(args: &GroupArgs) -> Outcome<Finding> {
    let progress = progress(&args.of.client().await?, args).await?;
    let lag: u64 = progress.iter().map(inspect::PartitionProgress::lag).sum();
    Ok(args.found("lag", lag as f64, "", format!("has {lag} records that are not settled")))
}

async fn age(args: &GroupArgs) -> Outcome<Finding> {
    let client = args.of.client().await?;
    let mut oldest = None;
    for progress in progress(&client, args).await? {
        let Some(time) = inspect::oldest_unsettled(&client, &progress).await? else { continue };
        if oldest.as_ref().is_none_or(|(oldest, _)| time < *oldest) {
            oldest = Some((time, progress));
        }
    }
    let Some((time, progress)) = oldest else {
        return Ok(args.found("age", 0.0, "s", "has settled everything".to_owned()));
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let seconds = i64::try_from(now).unwrap_or(i64::MAX).saturating_sub(time).max(0) / 1_000;
    let place = format!("{}@{}", progress.partition, progress.watermark);
    Ok(args.found("age", seconds as f64, "s", format!("has not settled {place}, which is {seconds} s old")))
}

async fn dead(args: &GroupArgs) -> Outcome<Finding> {
    let client = args.of.client().await?;
    let mut entries = args.of.ledger(&client).entries().await?;
    let mut dead = 0u64;
    while let Some(logged) = entries.next().await? {
        let of_topic = args.topic.as_deref().is_none_or(|topic| logged.key.topic() == Some(topic));
        dead += u64::from(logged.key.kind() == DEAD && of_topic);
    }
    Ok(args.found("dead", dead as f64, "", format!("has {dead} dead letters")))
}

async fn nodes(args: &GroupArgs) -> Outcome<Finding> {
    let (nodes, which) = match redis(args.of.redis()) {
        Some(url) => {
            let store = RedisStore::connect(&url, args.of.group(), RedisOptions::default()).await;
            let overview =
                store.map_err(logmill::Error::from)?.overview().await.map_err(logmill::Error::from)?;
            (overview.nodes.len(), "nodes")
        }
        None => {
            let described = args.of.client().await?.admin().describe_group(args.of.group()).await?;
            (described.map_or(0, |group| group.members.len()), "nodes that organise")
        }
    };
    let found = args.found("nodes", nodes as f64, "", format!("has {nodes} {which}"));
    Ok(Finding { few_is_wrong: true, ..found })
}

async fn kafka(KafkaArgs { connect, limits }: KafkaArgs) -> Outcome {
    let finding = |value, text| Finding {
        what: "kafka",
        subject: connect.brokers(),
        value: Some(value),
        unit: "",
        few_is_wrong: true,
        text,
    };
    match connect.client().await {
        Ok(client) => {
            let brokers = client.brokers().len();
            let finding = finding(brokers as f64, format!("has {brokers} brokers"));
            finding.tell(finding.health(&limits), &limits)
        }
        Err(failure) => finding(0.0, failure.text).tell(Health::Critical, &limits),
    }
}

async fn look_at_redis(args: RedisArgs) -> Outcome {
    let limits = Limits { warning: None, critical: None, format: args.format };
    let url = redis(Some(&args.redis)).unwrap_or_default();
    // A group that nobody has: its keys do not matter here. The URL may hold a password, and is not shown.
    let (health, text) = match RedisStore::connect(&url, "logmill-check", RedisOptions::default()).await {
        Ok(_) => (Health::Ok, "can hold units".to_owned()),
        Err(problem) => (Health::Critical, problem.to_string()),
    };
    let value = Some(f64::from(u8::from(health == Health::Ok)));
    let subject = "redis".to_owned();
    Finding { what: "redis", subject, value, unit: "", few_is_wrong: true, text }.tell(health, &limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_or_a_time() {
        assert_eq!((limit("3"), limit("2m"), limit("0.5")), (Ok(3.0), Ok(120.0), Ok(0.5)));
        assert!(limit("-1").is_err_and(|error| error.contains("30s")));
    }

    #[test]
    fn what_is_beyond_a_limit_is_wrong_and_what_is_few_where_that_counts() {
        let finding = |value, few_is_wrong| Finding {
            what: "lag",
            subject: String::new(),
            value,
            unit: "",
            few_is_wrong,
            text: String::new(),
        };
        let limits = |warning, critical| Limits {
            warning: Some(warning),
            critical: Some(critical),
            format: Format::default(),
        };
        let health = |value| finding(Some(value), false).health(&limits(10.0, 20.0));
        assert_eq!(
            (health(10.0), health(11.0), health(21.0)),
            (Health::Ok, Health::Warning, Health::Critical)
        );
        let health = |value| finding(Some(value), true).health(&limits(3.0, 1.0));
        assert_eq!((health(3.0), health(2.0), health(0.0)), (Health::Ok, Health::Warning, Health::Critical));
        assert_eq!(finding(None, false).health(&limits(1.0, 2.0)), Health::Unknown);
    }
}
