//! `logmill unit release`, `requeue` and `split`: told first, done with `--execute`.

use logmill::store::StoreError;
use logmill::units::{Requeued, UnitSeen};

use super::find::{Shared, failed};
use super::list::State;
use super::name::UnitName;
use crate::exit::{Failure, Outcome};
use crate::input::NamedGroup;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    of: NamedGroup,
    /// The unit: topic/partition/offset, by any offset in it
    unit: UnitName,
    /// Do it. Without this, only what would be done is told
    #[arg(long)]
    execute: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SplitArgs {
    #[command(flatten)]
    args: Args,
    /// Where the second part begins
    #[arg(long, value_name = "OFFSET")]
    at: i64,
}

pub(super) async fn release(args: Args) -> Outcome {
    let shared = Shared::of_named(&args.of).await?;
    let unit = shared.unit(&args.unit).await?;
    if !unit.is_leased() {
        println!("no node has {}: it is {}", UnitName::of(&unit), State::of(&unit).name());
        return Ok(());
    }
    tell_release(&unit);
    if !may_act(args.execute) {
        return Ok(());
    }
    done(&unit, "released", unit.release(shared.store()).await)
}

pub(super) async fn requeue(args: Args) -> Outcome {
    let shared = Shared::of_named(&args.of).await?;
    let unit = shared.unit(&args.unit).await?;
    if unit.is_leased() {
        tell_release(&unit);
    }
    let place = if unit.lane.is_whole() { "before all that waits" } else { "without its delay, in its turn" };
    println!("would put {} back in the queue {place}", described(&unit));
    if !may_act(args.execute) {
        return Ok(());
    }
    done(&unit, "requeued", unit.requeue(shared.store()).await)
}

pub(super) async fn split(SplitArgs { args, at }: SplitArgs) -> Outcome {
    let shared = Shared::of_named(&args.of).await?;
    let unit = shared.unit(&args.unit).await?;
    let name = UnitName::of(&unit);
    if unit.is_leased() {
        let node = unit.node.as_deref().unwrap_or("a node");
        return Err(Failure::failed(format!("{node} has {name}: release it first (logmill unit release)")));
    }
    if at <= unit.range.start || at >= unit.range.end {
        let text = format!("--at {at} does not cut {name}: it has {}..{}", unit.range.start, unit.range.end);
        return Err(Failure::usage(text));
    }
    println!("would split {name} into {}..{at} and {at}..{}", unit.range.start, unit.range.end);
    if !may_act(args.execute) {
        return Ok(());
    }
    done(&unit, "split", unit.split(shared.store(), at).await)
}

fn tell_release(unit: &UnitSeen) {
    let node = unit.node.as_deref().unwrap_or("its node");
    println!("would take {} from {node}", described(unit));
    if !unit.lane.is_whole() {
        eprintln!("with all that {node} has of lane {} of {}", unit.lane.index, unit.partition);
    }
    eprintln!("{node} notices when it renews its leases: what it handles until then is handled again");
}

/// As in `orders/1/974000 (974000..975000, attempt 3, 120 settled)`.
fn described(unit: &UnitSeen) -> String {
    let UnitSeen { range, attempt, settled_to, .. } = unit;
    let (start, end) = (range.start, range.end);
    format!("{} ({start}..{end}, attempt {attempt}, {} settled)", UnitName::of(unit), settled_to - start)
}

fn may_act(execute: bool) -> bool {
    if !execute {
        eprintln!("nothing done: add --execute");
    }
    execute
}

fn done(unit: &UnitSeen, what: &str, answer: Result<Requeued, StoreError>) -> Outcome {
    let name = UnitName::of(unit);
    match answer.map_err(failed)? {
        Requeued::Done { released: 0 } => println!("{what} {name}"),
        Requeued::Done { released } => println!("{what} {name}: {released} lease(s) are over"),
        Requeued::Stale(_) => {
            let text = format!("{name} has changed since it was looked at: nothing done, look at it again");
            return Err(Failure::failed(text));
        }
        Requeued::Full { units } => {
            let text = format!("{} has {units} units, which is as many as it may", unit.partition);
            return Err(Failure::failed(text));
        }
    }
    Ok(())
}
