//! `logmill group delete`: told first, done with `--execute`.

use logmill::ledger::Ledger;
use logmill::store::RedisStore;

use crate::exit::{Exit, Failure, Outcome};
use crate::input::{OfGroup, redis};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    of: OfGroup,
    /// Do it. Without this, only what would be done is told
    #[arg(long)]
    execute: bool,
}

pub(super) async fn run(args: Args) -> Outcome {
    let (group, client) = (args.of.group(), args.of.client().await?);
    let admin = client.admin();
    let described = admin.describe_group(group).await?;
    if let Some(group) = described.as_ref().filter(|group| !group.members.is_empty()) {
        let text =
            format!("group {} has {} member(s): stop its nodes first", group.name, group.members.len());
        return Err(Failure::failed(text));
    }
    let ledger: Ledger = args.of.ledger(&client);
    let has_ledger = !admin.describe_topics(&[ledger.topic()]).await?.is_empty();
    if described.is_none() && !has_ledger {
        return Err(Failure::new(Exit::NotFound, format!("there is no group {group:?}")));
    }
    let store = redis(args.of.redis());
    let done = |text: &str| println!("{} {text}", if args.execute { "deleted" } else { "would delete" });
    if let Some(described) = described {
        if args.execute {
            admin.delete_group(&described.name).await?;
        }
        done(&format!("what group {group} has committed to Kafka"));
    }
    if has_ledger {
        if args.execute {
            admin.delete_topic(ledger.topic()).await?;
        }
        done(&format!("its ledger, topic {}, with its dead letters", ledger.topic()));
    }
    if let Some(url) = store {
        let keys = RedisStore::delete_group(&url, group, args.execute).await.map_err(logmill::Error::from)?;
        done(&format!("{keys} key(s) in Redis"));
    }
    if !args.execute {
        eprintln!("nothing done: add --execute");
    }
    Ok(())
}
