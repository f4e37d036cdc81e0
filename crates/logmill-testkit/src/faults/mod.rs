//! What a test asks the brokers to do wrong, and how often each API was called.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::ApiKey;

/// One thing that goes wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The request is not applied and answered with this error. With a partition named, only that
    /// partition is refused and the rest of the request is served.
    Error(ErrorCode),
    /// The request is applied and answered with this error all the same, as by a broker that lost
    /// its replicas after the append.
    ApplyThenError(ErrorCode),
    /// The connection is closed, and the request is not applied.
    Disconnect,
    /// The request is applied, and the connection is closed instead of answering.
    ApplyThenDisconnect,
    /// The request is applied, and the connection is closed in the middle of the answer.
    CutShort,
    /// The request is applied and answered only after this time. The requests behind it on the same
    /// connection wait too.
    Delay(Duration),
    /// The request is applied at once and answered after this time.
    ApplyThenDelay(Duration),
    /// The request is not applied and not answered; the connection stays open, deaf.
    Hang,
    /// The request is applied and not answered; the connection stays open, deaf.
    ApplyThenHang,
    /// The request is applied, and one bit of the answer, drawn from the cluster's seed, is wrong.
    FlipBit,
    /// The request is not applied; these bytes are sent as they are, in place of a frame.
    Garbage(Bytes),
}

/// A fault and where it strikes. Built with [`Rule::new`] and narrowed by the methods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    api: ApiKey,
    fault: Fault,
    times: Option<u64>,
    after: u64,
    broker: Option<i32>,
    partition: Option<(String, i32)>,
}

impl Rule {
    /// Every request of this API, at every broker, until [cleared](crate::Cluster::clear_faults).
    #[must_use]
    pub fn new(api: ApiKey, fault: Fault) -> Self {
        Self { api, fault, times: None, after: 0, broker: None, partition: None }
    }

    /// Only so many times; then the rule is gone.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Only after so many requests that would have been struck were let through.
    #[must_use]
    pub fn after(mut self, requests: u64) -> Self {
        self.after = requests;
        self
    }

    /// Only at this broker.
    #[must_use]
    pub fn broker(mut self, id: i32) -> Self {
        self.broker = Some(id);
        self
    }

    /// Only this partition inside a request, answered with the rule's [`Fault::Error`]; other faults
    /// strike whole requests, and a rule with one of them and a partition never strikes. The APIs
    /// that heed it: Produce, Fetch, ListOffsets, OffsetForLeaderEpoch, OffsetCommit, DeleteRecords.
    #[must_use]
    pub fn partition(mut self, topic: impl Into<String>, index: i32) -> Self {
        self.partition = Some((topic.into(), index));
        self
    }

    fn is_about(&self, api: ApiKey, broker: i32, topic: &str, index: i32) -> bool {
        self.api == api
            && self.broker.is_none_or(|id| id == broker)
            && matches!(self.fault, Fault::Error(_))
            && self.partition.as_ref().is_some_and(|(t, i)| t == topic && *i == index)
    }

    /// Counts one request that the rule fits; tells whether it is struck.
    fn strikes(&mut self) -> bool {
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        match &mut self.times {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }
}

/// The rules in force and the calls counted.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<Rule>,
    calls: BTreeMap<(ApiKey, i32), u64>,
}

/// More rules than this are a mistake of the test: the oldest is dropped and a warning logged.
const MOST_RULES: usize = 10_000;

impl Faults {
    pub(crate) fn add(&mut self, rule: Rule) {
        if self.rules.len() == MOST_RULES {
            let dropped = self.rules.remove(0);
            tracing::warn!(?dropped, "more than {MOST_RULES} fault rules: the oldest is dropped");
        }
        self.rules.push(rule);
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// Counts a request, and gives the fault that strikes it. The oldest fitting rule wins.
    pub(crate) fn request(&mut self, api: ApiKey, broker: i32) -> Option<Fault> {
        *self.calls.entry((api, broker)).or_default() += 1;
        self.first(|rule| {
            rule.api == api && rule.partition.is_none() && rule.broker.is_none_or(|id| id == broker)
        })
    }

    /// The error that strikes one partition inside a request.
    pub(crate) fn partition(
        &mut self,
        api: ApiKey,
        broker: i32,
        topic: &str,
        index: i32,
    ) -> Result<(), ErrorCode> {
        if self.rules.is_empty() {
            return Ok(());
        }
        match self.first(|rule| rule.is_about(api, broker, topic, index)) {
            Some(Fault::Error(code)) => Err(code),
            _ => Ok(()),
        }
    }

    /// Whether a rule is about this partition inside requests of this API, even if its turn is yet to come.
    pub(crate) fn concern(&self, api: ApiKey, broker: i32, topic: &str, index: i32) -> bool {
        self.rules.iter().any(|rule| rule.is_about(api, broker, topic, index))
    }

    fn first(&mut self, fits: impl Fn(&Rule) -> bool) -> Option<Fault> {
        let struck = self
            .rules
            .iter_mut()
            .filter(|rule| fits(rule))
            .find_map(|rule| rule.strikes().then(|| rule.fault.clone()));
        self.rules.retain(|rule| rule.times != Some(0));
        struck
    }

    /// Requests of an API received, by one broker or by all.
    pub(crate) fn calls(&self, api: ApiKey, broker: Option<i32>) -> u64 {
        let fits = |&(&(a, b), _): &(&(ApiKey, i32), &u64)| a == api && broker.is_none_or(|id| id == b);
        self.calls.iter().filter(fits).map(|(_, count)| count).sum()
    }
}
