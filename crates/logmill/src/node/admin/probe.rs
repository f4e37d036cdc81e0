//! Whether Kafka and the store answer. Asked by one task, however often somebody wants to know.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::node::metrics::Publisher;
use crate::node::state::lock;

/// How often they are asked.
const EVERY: Duration = Duration::from_secs(2);

/// After so long without an answer it is said that there is none. A broker that changes its leader is not long.
const SILENT: Duration = Duration::from_secs(10);

/// What the last questions came to.
#[derive(Debug, Default)]
pub(super) struct Probe {
    kafka: Mutex<Seen>,
    store: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    answered: Option<Instant>,
    problem: Option<String>,
}

impl Seen {
    /// What is wrong now, if anything is.
    fn wrong(&self) -> Option<String> {
        if self.problem.is_some() {
            return self.problem.clone();
        }
        match self.answered {
            None => Some("it has not answered yet".to_owned()),
            Some(at) if at.elapsed() > SILENT => Some(format!("no answer for {} s", at.elapsed().as_secs())),
            Some(_) => None,
        }
    }

    fn note<T, E: std::fmt::Display>(&mut self, answer: Result<T, E>) {
        self.problem = answer.map_err(|problem| problem.to_string()).err();
        if self.problem.is_none() {
            self.answered = Some(Instant::now());
        }
    }
}

impl Probe {
    /// Asks for ever.
    pub(super) async fn run(&self, publisher: &Publisher) {
        let kafka = async {
            loop {
                // Of no topic: only whether anybody answers. A question that is given up would end the connection that
                // commits take too, so it has as long as any.
                let deadline = publisher.client.api_deadline();
                let answer = publisher.client.describe_cluster(Some(&[]), deadline).await;
                lock(&self.kafka).note(answer);
                sleep(EVERY).await;
            }
        };
        let store = async {
            if publisher.private_store {
                return;
            }
            loop {
                let answer = publisher.state.store.overview().await;
                lock(&self.store).note(answer);
                sleep(EVERY).await;
            }
        };
        tokio::join!(kafka, store);
    }

    pub(super) fn kafka(&self) -> Option<String> {
        lock(&self.kafka).wrong()
    }

    /// One of the node's own always answers.
    pub(super) fn store(&self, private: bool) -> Option<String> {
        if private { None } else { lock(&self.store).wrong() }
    }
}
