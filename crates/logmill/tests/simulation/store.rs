//! A store as nodes reach it through a bad network: a request may be lost on the way there, its answer on the
//! way back; the store may be away, forget everything, or go back to what it was.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use logmill::store::{Answer, Store, StoreError};
use logmill_protocol::ids::PartitionKey;
use logmill_protocol::work::{
    Announce, Announced, Cursor, Overview, Page, PartitionSnapshot, Plan as PlanUnits, Planned, Raise,
    Raised, Rebuild, Refused, Renew, Renewed, Requeue, Requeued, Settle, Settled, State, Take, Taken, Unit,
};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::bugs::Bug;
use super::gate::Gate;
use super::plan::Plan;

/// How long a node waits for an answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long an answer takes, at most.
const SLOWEST: u64 = 5;
/// The store's past is kept in steps of this, for so many steps.
const STEP: Duration = Duration::from_millis(200);
const STEPS: usize = 30;

/// The server.
#[derive(Debug)]
pub(crate) struct Server {
    inner: Mutex<Inner>,
    version: AtomicU64,
    /// New units, perhaps. Wakes in the order of the waiting, which a seed needs and `watch` does not give.
    told: Notify,
    plan: Plan,
    pub(crate) bug: Option<Bug>,
    base: Instant,
}

#[derive(Debug)]
struct Inner {
    state: State,
    past: VecDeque<(Instant, State)>,
    away_until: Instant,
    /// What the clock was set forward by, in milliseconds.
    ahead: i64,
    random: StdRng,
    /// No call is lost any more.
    calm: bool,
    broken: Option<String>,
}

impl Server {
    pub(crate) fn new(seed: u64, plan: &Plan, bug: Option<Bug>) -> Arc<Self> {
        let base = Instant::now();
        let inner = Inner {
            state: State::new(),
            past: VecDeque::new(),
            away_until: base,
            ahead: 10_000_000,
            random: StdRng::seed_from_u64(seed ^ 0x0073_746f_7265),
            calm: false,
            broken: None,
        };
        Arc::new(Self {
            inner: Mutex::new(inner),
            version: AtomicU64::new(0),
            told: Notify::new(),
            plan: plan.clone(),
            bug,
            base,
        })
    }

    pub(crate) fn wipe(&self) {
        self.inner.lock().unwrap().state = State::new();
        self.tell();
    }

    /// What happened in the last `back` never did.
    pub(crate) fn fail_over(&self, back: Duration) {
        let mut inner = self.inner.lock().unwrap();
        let then = Instant::now() - back;
        while inner.past.len() > 1 && inner.past.back().is_some_and(|(at, _)| *at > then) {
            inner.past.pop_back();
        }
        inner.state = inner.past.pop_back().map(|(_, state)| state).unwrap_or_default();
        drop(inner);
        self.tell();
    }

    pub(crate) fn go_away(&self, time: Duration) {
        self.inner.lock().unwrap().away_until = Instant::now() + time;
    }

    pub(crate) fn jump(&self, by_ms: i64) {
        self.inner.lock().unwrap().ahead += by_ms;
    }

    pub(crate) fn calm(&self) {
        self.inner.lock().unwrap().calm = true;
    }

    /// The first invariant that a transition broke.
    pub(crate) fn broken(&self) -> Option<String> {
        self.inner.lock().unwrap().broken.clone()
    }

    pub(crate) fn state(&self) -> State {
        self.inner.lock().unwrap().state.clone()
    }

    fn tell(&self) {
        self.version.fetch_add(1, Ordering::Relaxed);
        self.told.notify_waiters();
    }

    /// Draws whether something that happens with this chance does, and how long the way takes.
    fn draw(&self, chance: f64) -> (bool, Duration) {
        let mut inner = self.inner.lock().unwrap();
        let takes = Duration::from_millis(inner.random.random_range(0..=SLOWEST));
        let struck = inner.random.random_bool(chance) && !inner.calm;
        (struck, takes)
    }

    /// The moment of the transition.
    fn apply<T>(&self, transition: impl FnOnce(&mut State, u64) -> T) -> T {
        let mut inner = self.inner.lock().unwrap();
        let now = Instant::now();
        if inner.past.back().is_none_or(|(at, _)| now.duration_since(*at) >= STEP) {
            let state = inner.state.clone();
            inner.past.push_back((now, state));
            if inner.past.len() > STEPS {
                inner.past.pop_front();
            }
        }
        let time = now.duration_since(self.base).as_millis() as i64 + inner.ahead;
        let outcome = transition(&mut inner.state, time.max(0) as u64);
        if let Err(broken) = inner.state.check_invariants() {
            inner.broken.get_or_insert(broken);
        }
        outcome
    }
}

/// One node's connection to the server.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) server: Arc<Server>,
    pub(crate) gate: Gate,
}

impl Link {
    async fn lost(&self) -> StoreError {
        sleep(PATIENCE).await;
        self.gate.pass().await;
        StoreError::TimedOut { address: "simulated".to_owned(), waited: PATIENCE }
    }

    async fn call<T>(
        &self,
        transition: impl FnOnce(&mut State, u64) -> Result<T, Refused>,
        adds: impl FnOnce(&T) -> bool,
    ) -> Result<T, StoreError> {
        let server = &self.server;
        self.gate.pass().await;
        let (lost, takes) = server.draw(server.plan.lost_requests);
        sleep(takes).await;
        // What was sent before the node froze arrives; what it wanted to send waits until it thaws.
        self.gate.pass().await;
        let away = server.inner.lock().unwrap().away_until > Instant::now();
        if lost || away {
            return Err(self.lost().await);
        }
        let outcome = server.apply(transition);
        if outcome.as_ref().is_ok_and(adds) && !server.draw(server.plan.lost_wakes).0 {
            server.tell();
        }
        let (lost, takes) = server.draw(server.plan.lost_answers);
        if lost {
            return Err(self.lost().await);
        }
        sleep(takes).await;
        self.gate.pass().await;
        Ok(outcome?)
    }

    fn send<'a, T: Send + 'a>(
        &'a self,
        transition: impl FnOnce(&mut State, u64) -> Result<T, Refused> + Send + 'a,
        adds: impl FnOnce(&T) -> bool + Send + 'a,
    ) -> Answer<'a, T> {
        self.call(transition, adds).boxed()
    }

    fn ask<'a, T: Send + 'a>(&'a self, view: impl FnOnce(&State, u64) -> T + Send + 'a) -> Answer<'a, T> {
        self.call(move |state, now| Ok(view(state, now)), |_| false).boxed()
    }
}

impl Store for Link {
    fn rebuild(&self, request: Rebuild) -> Answer<'_, ()> {
        let bug = self.server.bug;
        let rebuild =
            move |state: &mut State, now| state.rebuild(now, &Bug::in_rebuild(bug, state, request.clone()));
        self.send(rebuild, |()| true)
    }

    fn raise(&self, request: Raise) -> Answer<'_, Raised> {
        self.send(move |state, now| state.raise(now, &request), |_| true)
    }

    fn plan(&self, request: PlanUnits) -> Answer<'_, Planned> {
        self.send(
            move |state, now| state.plan(now, &request),
            |planned| matches!(planned, Planned::Ok { .. }),
        )
    }

    fn take(&self, request: Take) -> Answer<'_, Taken> {
        let bug = self.server.bug;
        self.send(move |state, now| Ok(Bug::in_taken(bug, state.take(now, &request)?)), |_| false)
    }

    fn renew(&self, request: Renew) -> Answer<'_, Vec<Renewed>> {
        self.send(move |state, now| state.renew(now, &request), |_| false)
    }

    fn settle(&self, request: Settle) -> Answer<'_, Settled> {
        let bug = self.server.bug;
        let has_rest = !request.rest.is_empty();
        let settle = move |state: &mut State, now| {
            let request = Bug::in_settle(bug, state, request);
            state.settle(now, &request)
        };
        self.send(settle, move |settled| has_rest && matches!(settled, Settled::Done { .. }))
    }

    fn requeue(&self, request: Requeue) -> Answer<'_, Requeued> {
        self.send(move |state, now| state.requeue(now, &request), |_| true)
    }

    fn forget(&self, partition: PartitionKey) -> Answer<'_, bool> {
        self.send(move |state, now| state.forget(now, &partition), |_| false)
    }

    fn announce(&self, request: Announce) -> Answer<'_, Announced> {
        self.send(move |state, now| state.announce(now, &request), |_| false)
    }

    fn depart(&self, node: String) -> Answer<'_, ()> {
        self.send(move |state, now| state.depart(now, &node), |()| false)
    }

    fn snapshot(&self, partition: PartitionKey) -> Answer<'_, Option<PartitionSnapshot>> {
        let bug = self.server.bug;
        self.ask(move |state, _| Bug::in_snapshot(bug, state.snapshot(&partition)))
    }

    fn overview(&self) -> Answer<'_, Overview> {
        self.ask(|state, now| state.overview(now))
    }

    fn partitions(&self, from: Cursor) -> Answer<'_, Page<PartitionKey>> {
        self.ask(move |state, _| state.partitions(from))
    }

    fn units(&self, partition: PartitionKey, from: Cursor) -> Answer<'_, Page<Unit>> {
        self.ask(move |state, _| state.units(&partition, from))
    }

    fn version(&self) -> u64 {
        self.server.version.load(Ordering::Relaxed)
    }

    fn changed(&self, seen: u64, wait: Duration) -> BoxFuture<'_, ()> {
        async move {
            let told = self.server.told.notified();
            if self.version() == seen {
                let _ = tokio::time::timeout(wait, told).await;
            }
        }
        .boxed()
    }
}
