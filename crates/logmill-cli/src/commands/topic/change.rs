//! `logmill topic create` and `logmill topic delete`.

use logmill::client::admin::NewTopic;

use crate::exit::{Failure, Outcome};
use crate::input::Connect;

#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    connect: Connect,
    /// The topic's name
    #[arg(short = 't', long)]
    topic: String,
    /// How many partitions
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    partitions: u32,
    /// How many copies of each partition; the brokers' default unless given
    #[arg(long, value_name = "COPIES", value_parser = clap::value_parser!(u16).range(1..))]
    replication: Option<u16>,
    /// A setting of the topic, such as --config retention.ms=86400000; may be given often
    #[arg(long = "config", value_name = "NAME=VALUE")]
    configs: Vec<String>,
    /// Succeed if a topic of that name exists, whatever its partitions
    #[arg(long)]
    if_not_exists: bool,
}

pub(crate) async fn create(args: CreateArgs) -> Outcome {
    let mut topic = NewTopic::new(&args.topic, args.partitions);
    if let Some(copies) = args.replication {
        topic = topic.replication(copies);
    }
    for config in &args.configs {
        let named = config.split_once('=');
        let (name, value) =
            named.ok_or_else(|| Failure::usage(format!("--config {config}: write NAME=VALUE")))?;
        topic = topic.set(name, value);
    }
    let admin = args.connect.client().await?.admin();
    if args.if_not_exists && !admin.ensure_topic(topic.clone()).await? {
        eprintln!("topic {} exists already", args.topic);
    } else if !args.if_not_exists {
        admin.create_topic(topic).await?;
        eprintln!("topic {} made, {} partition(s)", args.topic, args.partitions);
    }
    Ok(())
}

#[derive(Debug, clap::Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    connect: Connect,
    /// The topic's name
    #[arg(short = 't', long)]
    topic: String,
    /// Do it. Without this, only what would be deleted is told
    #[arg(long, visible_alias = "execute")]
    yes: bool,
}

pub(crate) async fn delete(args: DeleteArgs) -> Outcome {
    let client = args.connect.client().await?;
    let topic = client.topic(&args.topic).await?;
    let what = format!("topic {}, {} partition(s), with all records", args.topic, topic.partitions.len());
    if !args.yes {
        println!("would delete {what}");
        eprintln!("nothing done: add --yes");
        return Ok(());
    }
    client.admin().delete_topic(&args.topic).await?;
    eprintln!("deleted {what}");
    Ok(())
}
