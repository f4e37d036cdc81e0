//! One CMD from its start to its end: it is given records, and says what becomes of them.
//!
//! A record is taken only when CMD has room for it and has read the one before, so a CMD that is slow holds up nobody
//! but itself.

use std::future::pending;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use bytes::BytesMut;
use logmill::Outcome;
use logmill::node::Delivery;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::{Instant, sleep_until, timeout};

use super::super::node::Inbox;
use super::answer::{Answer, EXPECTED};
use super::line::write_line;
use super::running::Running;
use crate::input::Records;

/// So much of a line that is no answer is shown.
const SHOWN: usize = 200;
/// A line longer than this is no answer.
const LONGEST_ANSWER: usize = 1 << 20;
/// How long a CMD that has closed one of its pipes has to end, and what it wrote before it ended to arrive.
const GRACE: Duration = Duration::from_secs(1);

/// How much CMD may hold, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) places: usize,
    pub(super) timeout: Option<Duration>,
}

/// How it ended.
pub(super) struct Ended {
    /// Answers that were of use.
    pub(super) answers: u64,
    /// Unless it ended in good order: what to tell.
    pub(super) in_vain: Option<String>,
}

struct Talk {
    /// None once nothing more is to be given.
    stdin: Option<ChildStdin>,
    /// Of the record held last: what CMD has not read yet.
    unread: BytesMut,
    /// What CMD holds, the oldest first.
    held: Vec<Held>,
    answers: u64,
}

struct Held {
    delivery: Delivery,
    /// CMD has read all of its line.
    read: bool,
    /// When an answer is due.
    until: Option<Instant>,
}

/// Talks with a CMD that was just started, until it ends.
pub(super) async fn talk(
    (running, stdin, stdout): (Running, ChildStdin, ChildStdout),
    inbox: &Inbox,
    limits: Limits,
) -> Ended {
    let mut talk = Talk { stdin: Some(stdin), unread: BytesMut::new(), held: Vec::new(), answers: 0 };
    let why = talk.converse(running, stdout, inbox, limits).await;
    talk.end(why)
}

impl Talk {
    /// Tells how it ended; `Err` is why it had to be killed.
    async fn converse(
        &mut self,
        mut running: Running,
        stdout: ChildStdout,
        inbox: &Inbox,
        limits: Limits,
    ) -> Result<ExitStatus, String> {
        let mut answers = Records::lines(stdout, LONGEST_ANSWER);
        // Since when it should have ended.
        let mut leaving = None;
        let mut more = true;
        loop {
            if !more && self.held.is_empty() {
                self.stdin = None;
            }
            let has_room = more && self.unread.is_empty() && self.held.len() < limits.places;
            let late = self.held.first().and_then(|held| held.until);
            tokio::select! {
                answer = answers.next() => match answer {
                    Ok(Some(line)) => self.hear(&line),
                    Ok(None) => break,
                    Err(error) => return Err(format!("was killed: its answer cannot be read: {error}")),
                },
                written = write(&mut self.stdin, &mut self.unread) => match written {
                    Ok(()) => self.wrote(),
                    Err(_) => (self.stdin, more, leaving) = (None, false, Some(Instant::now() + GRACE)),
                },
                delivery = inbox.next(), if has_room => match delivery {
                    Some(delivery) => self.give(delivery, limits.timeout),
                    None => more = false,
                },
                ended = running.ended(), if leaving.is_none() => {
                    // Its last answers may still be in the pipe, and one that it has started may keep that open.
                    (more, leaving) = (false, Some(Instant::now() + GRACE));
                    if let Err(error) = ended {
                        return Err(format!("cannot be waited for: {error}"));
                    }
                }
                () = at(late) => {
                    return Err(format!("was killed: it did not answer within {:?}", limits.timeout.unwrap_or_default()));
                }
                () = at(leaving) => break,
            }
        }
        // A node that drains has patience of its own.
        let patience = if inbox.has_ended() { Duration::MAX } else { GRACE };
        match timeout(patience, running.ended()).await {
            Ok(status) => status.map_err(|error| format!("cannot be waited for: {error}")),
            Err(_) => Err("was killed: it closed its stdin or stdout, and did not end".to_owned()),
        }
    }

    fn give(&mut self, delivery: Delivery, timeout: Option<Duration>) {
        match write_line(&mut self.unread, &delivery) {
            Ok(()) => {
                let until = timeout.map(|timeout| Instant::now() + timeout);
                self.held.push(Held { delivery, read: false, until });
            }
            Err(error) => {
                self.unread.clear();
                delivery.end(Outcome::Retry { reason: format!("cannot be written as JSON: {error}") });
            }
        }
    }

    fn wrote(&mut self) {
        if let Some(last) = self.held.last_mut().filter(|_| self.unread.is_empty()) {
            last.read = true;
        }
    }

    fn hear(&mut self, line: &[u8]) {
        let answer = match Answer::parse(line) {
            Ok(answer) => answer,
            Err(error) => {
                let shown = String::from_utf8_lossy(&line[..line.len().min(SHOWN)]);
                return complain(&format!("CMD wrote {shown:?}, which is no answer ({error})"));
            }
        };
        let place = format!("{}/{}@{}", answer.topic, answer.partition, answer.offset);
        let Some(at) = self.held.iter().position(|held| answer.is_for(&held.delivery)) else {
            return complain(&format!("CMD answered for {place}, which it does not hold"));
        };
        let outcome = answer.outcome();
        self.answers += u64::from(outcome.is_ok());
        self.held.remove(at).delivery.end(outcome.unwrap_or_else(|reason| {
            complain(&format!("{reason} for {place}, which is retried"));
            Outcome::Retry { reason }
        }));
    }

    fn end(mut self, why: Result<ExitStatus, String>) -> Ended {
        // A record that CMD has not read was not tried: it is dropped, and comes again as it was.
        self.held.retain(|held| held.read);
        let idle = self.held.is_empty() && self.answers > 0;
        let in_good_order = idle && why.as_ref().is_ok_and(ExitStatus::success);
        let why = why.map_or_else(|why| why, |status| format!("ended ({status})"));
        for held in self.held.drain(..) {
            held.delivery.end(Outcome::Retry { reason: format!("CMD {why} before it answered") });
        }
        Ended { answers: self.answers, in_vain: (!in_good_order).then_some(why) }
    }
}

/// Writes some of it; never ready if there is nothing to write. Dropping the future loses nothing.
async fn write(stdin: &mut Option<ChildStdin>, unread: &mut BytesMut) -> io::Result<()> {
    match stdin {
        Some(stdin) if !unread.is_empty() => stdin.write_buf(unread).await.map(drop),
        _ => pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

fn complain(problem: &str) {
    eprintln!("logmill: {problem}; {EXPECTED}");
}
