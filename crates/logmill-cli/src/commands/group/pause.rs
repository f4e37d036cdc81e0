//! `logmill group pause` and `logmill group resume`.

use std::time::Duration;

use logmill::Partition;
use logmill::control::{Control, Scope};
use tokio::time::sleep;

use crate::exit::Outcome;
use crate::input::OfGroup;

/// So long after the ledger was made every node has looked for it.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    of: OfGroup,
    #[command(flatten)]
    what: What,
    /// Why, for whoever looks at the group
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    of: OfGroup,
    #[command(flatten)]
    what: What,
}

#[derive(Debug, clap::Args)]
struct What {
    /// Only this topic
    #[arg(short = 't', long)]
    topic: Option<String>,
    /// Only this partition of the topic
    #[arg(short = 'p', long, requires = "topic")]
    partition: Option<i32>,
    /// Only tell what would be done
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
    /// Do it, which is done without this too
    #[arg(long, hide = true)]
    execute: bool,
}

impl What {
    fn scope(&self) -> Scope {
        match (&self.topic, self.partition) {
            (None, _) => Scope::Group,
            (Some(topic), None) => Scope::Topic(topic.clone()),
            (Some(topic), Some(index)) => Scope::Partition(Partition::new(topic.as_str(), index)),
        }
    }
}

/// As in `group billing` or `orders/3 of group billing`.
fn named(scope: &Scope, group: &str) -> String {
    match scope {
        Scope::Group => format!("group {group}"),
        part => format!("{part} of group {group}"),
    }
}

pub(super) async fn pause(args: PauseArgs) -> Outcome {
    let (scope, control) = (args.what.scope(), args.of.control().await?);
    let named = named(&scope, args.of.group());
    if args.what.dry_run {
        println!("would pause {named}");
        return Ok(());
    }
    let heard_at_once = control.is_heard_at_once().await?;
    if control.pause(&scope, &args.reason, &crate::input::user()).await? {
        if !heard_at_once {
            eprintln!("the group had no ledger yet: its nodes look for one each second");
            sleep(HEARD_WITHIN).await;
        }
        println!("paused {named}");
    } else {
        println!("{named} was paused already");
    }
    Ok(())
}

pub(super) async fn resume(args: ResumeArgs) -> Outcome {
    let (scope, control) = (args.what.scope(), args.of.control().await?);
    let named = named(&scope, args.of.group());
    if args.what.dry_run {
        println!("would resume {named}");
        return Ok(());
    }
    match control.resume(&scope).await? {
        true => println!("resumed {named}"),
        false => println!("{named} was not paused"),
    }
    still_paused(&control, &scope).await
}

/// What goes on resting, since it was paused as something else.
async fn still_paused(control: &Control, scope: &Scope) -> Outcome {
    for pause in control.asked().await?.pauses() {
        let touches = match scope {
            Scope::Group => true,
            Scope::Topic(topic) => match &pause.scope {
                Scope::Partition(partition) => *partition.topic == **topic,
                _ => pause.scope == Scope::Group,
            },
            Scope::Partition(partition) => pause.scope.covers(partition),
        };
        if touches {
            let flags = match &pause.scope {
                Scope::Group => String::new(),
                Scope::Topic(topic) => format!(" -t {topic}"),
                Scope::Partition(partition) => format!(" -t {} -p {}", partition.topic, partition.index),
            };
            eprintln!("{} is still paused: logmill group resume{flags}", pause.scope);
        }
    }
    Ok(())
}
