//! Trouble on the way: a node killed, a broker restarted.

use std::time::Duration;

use tokio::time::Instant;

use super::screen::Screen;
use super::stage::Stage;
use super::tally::Tally;
use crate::exit::Outcome;

/// How long the broker stays down.
const DOWN: Duration = Duration::from_secs(2);

/// Which of the embedded brokers is restarted.
const BROKER: i32 = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Kill,
    Crash,
    Restart(Instant),
    Done,
}

/// What is still to happen.
pub(super) struct Chaos {
    next: Next,
    /// How many records are handled when the next thing happens.
    after: u64,
    step: u64,
}

impl Chaos {
    pub(super) fn new(records: Option<u64>) -> Self {
        let step = records.map_or(2_000, |records| records / 4);
        Self { next: Next::Kill, after: step, step }
    }

    pub(super) fn happened(&self) -> bool {
        self.next != Next::Kill
    }

    pub(super) async fn act(&mut self, stage: &mut Stage, tally: &Tally, screen: &Screen) -> Outcome {
        let due = tally.handled() >= self.after;
        match self.next {
            Next::Kill if due => {
                if let Some(name) = stage.kill_node() {
                    screen.line(&format!("chaos      {name} was killed; another node takes its place"));
                    stage.add_node(&format!("{name}b")).await?;
                }
                self.after += self.step;
                self.next = Next::Crash;
            }
            Next::Crash if due => match stage.cluster() {
                Some(cluster) => {
                    cluster.crash(BROKER);
                    screen.line(&format!("chaos      broker {BROKER} crashed"));
                    self.next = Next::Restart(Instant::now() + DOWN);
                }
                None => {
                    screen.line("chaos      these brokers are not the demo's to restart");
                    self.next = Next::Done;
                }
            },
            Next::Restart(at) if at <= Instant::now() => {
                if let Some(cluster) = stage.cluster() {
                    cluster.restart(BROKER);
                    screen.line(&format!("chaos      broker {BROKER} is back"));
                }
                self.next = Next::Done;
            }
            _ => {}
        }
        Ok(())
    }
}
