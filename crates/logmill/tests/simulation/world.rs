//! The system of one seed, and the storms as they come over it.

use std::sync::Arc;
use std::time::Duration;

use logmill::node::{Background, Node, Received, Retry};
use logmill::{Partition, Pending, Producer, Record};
use logmill_testkit::{Cluster, ClusterOptions, Rule};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::bugs::{Bug, bury_late};
use super::gate::Gate;
use super::operator::Wish;
use super::plan::{ATTEMPTS, LEASE, Plan, SESSION, STORMY, Storm};
use super::store::{Link, Server};
use super::verdict::Journal;

pub(crate) const GROUP: &str = "billing";
pub(crate) const TOPIC: &str = "orders";
pub(crate) const LEDGER: &str = "logmill.ledger.billing";

/// How often commits are looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(20);
/// After the last storm everything must be committed within this time: a session, a lease, the longest back-offs
/// and a request that hangs, each of them twice.
const HEALED_WITHIN: Duration = Duration::from_secs(120);
/// The whole of a run.
const LONGEST: Duration = Duration::from_secs(600);

/// What a run showed.
pub(crate) struct Run {
    pub(crate) verdict: Result<(), String>,
    pub(crate) journal: Vec<String>,
}

/// Runs a seed.
pub(crate) fn simulate(seed: u64, bug: Option<Bug>) -> Run {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed, bug);
        let verdict = match timeout(LONGEST, world.run()).await {
            Ok(verdict) => verdict,
            Err(_) => Err(format!("the run does not end within {LONGEST:?}")),
        };
        let journal = world.journal.clone();
        drop(world);
        Run { verdict, journal: journal.into_lines() }
    })
}

struct Member {
    name: String,
    node: Node,
    gate: Gate,
}

struct World {
    seed: u64,
    plan: Plan,
    cluster: Cluster,
    /// The one store, or none where each node has its own.
    server: Option<Arc<Server>>,
    bug: Option<Bug>,
    members: Vec<Member>,
    started: u64,
    partitions: i32,
    random: StdRng,
    journal: Journal,
    /// What operators are about, and how often one was.
    operating: JoinSet<()>,
    operators: u64,
}

impl World {
    fn new(seed: u64, bug: Option<Bug>) -> Self {
        let plan = Plan::draw(seed);
        let mut options = ClusterOptions::brokers(plan.brokers).seed(seed);
        options.start_time_ms = 1_790_000_000_000;
        let cluster = Cluster::start(options);
        cluster.create_topic(TOPIC, plan.partitions);
        let journal = Journal::new();
        journal.line(format_args!("{plan:?}"));
        Self {
            seed,
            server: plan.shared.then(|| Server::new(seed, &plan, bug)),
            bug,
            cluster,
            members: Vec::new(),
            started: 0,
            partitions: plan.partitions,
            random: StdRng::seed_from_u64(seed ^ 0x0077_6f72_6c64),
            journal,
            plan,
            operating: JoinSet::new(),
            operators: 0,
        }
    }

    async fn run(&mut self) -> Result<(), String> {
        let base = Instant::now();
        for _ in 0..self.plan.nodes {
            self.add_node().await?;
        }
        let producer = self.producer().await?;
        let looking = tokio::spawn(look(self.cluster.clone(), self.journal.clone()));
        let sending = tokio::spawn(send(producer, self.plan.clone()));
        for (at, storm) in self.plan.storms.clone() {
            sleep_until(base + at).await;
            self.journal.line(format_args!("STORM {storm:?}"));
            self.strike(storm).await?;
        }
        sleep_until(base + STORMY).await;
        self.journal.line("calm");
        self.cluster.clear_faults();
        self.all_brokers_up();
        if let Some(server) = &self.server {
            server.calm();
        }
        let (producer, pending) = sending.await.map_err(|error| error.to_string())?;
        let mut told = Vec::with_capacity(pending.len());
        for pending in pending {
            told.push(pending.await);
        }
        producer.close().await.map_err(|error| format!("the producer does not close: {error}"))?;
        if timeout(HEALED_WITHIN, async { while self.operating.join_next().await.is_some() {} })
            .await
            .is_err()
        {
            return Err("an operator is not done when all was healed".to_owned());
        }
        self.all_is_committed().await?;
        while let Some(member) = self.members.pop() {
            self.journal.line(format_args!("{} drains", member.name));
            member.node.drain().await.map_err(|error| format!("{} does not drain: {error}", member.name))?;
        }
        looking.abort();
        self.journal.look_at_commits(&self.cluster);
        self.journal.read_logs(&self.cluster, self.partitions);
        if let Some(broken) = self.server.as_ref().and_then(|server| server.broken()) {
            return Err(format!("the store broke an invariant: {broken}"));
        }
        if !self.plan.overlaps() {
            self.journal.in_order(&self.cluster, self.partitions, self.plan.order)?;
        }
        self.journal.nothing_lost(&self.cluster, self.partitions, self.plan.repeats())?;
        self.journal.producer_told_the_truth(&told)
    }

    async fn all_is_committed(&self) -> Result<(), String> {
        let done = async {
            while !self.journal.is_done(&self.cluster, self.partitions) && !self.journal.is_wrong() {
                sleep(LOOK).await;
            }
        };
        if timeout(HEALED_WITHIN, done).await.is_ok() {
            return Ok(());
        }
        let missing = self.journal.missing(&self.cluster, self.partitions);
        let store = self.server.as_ref().map(|server| server.state());
        Err(format!("stuck {HEALED_WITHIN:?} after all was healed: {missing}; the store: {store:?}"))
    }

    async fn strike(&mut self, storm: Storm) -> Result<(), String> {
        let server = self.server.clone();
        match storm {
            Storm::Kill(then) => {
                let member = self.any_member();
                self.kill(member);
                self.add_later(then, 1).await?;
            }
            Storm::KillAll(then) => {
                let count = self.members.len();
                (0..count).for_each(|_| self.kill(0));
                self.add_later(then, count).await?;
            }
            Storm::Drain => {
                let at = self.any_member();
                let member = self.members.remove(at);
                self.add_node().await?;
                // Kafka or the store may be away just now: what a node could not tell comes again.
                let _ = member.node.drain().await;
            }
            Storm::Freeze(time) => {
                let member = self.any_member();
                self.journal.line(format_args!("{} freezes", self.members[member].name));
                self.members[member].gate.freeze(time);
            }
            Storm::Wipe => server.iter().for_each(|server| server.wipe()),
            Storm::FailOver(back) => server.iter().for_each(|server| server.fail_over(back)),
            Storm::Outage(time) => server.iter().for_each(|server| server.go_away(time)),
            Storm::ClockJump(by) => server.iter().for_each(|server| server.jump(by)),
            Storm::Crash(time) => {
                let broker = self.random.random_range(1..=i32::from(self.plan.brokers));
                self.cluster.crash(broker);
                let cluster = self.cluster.clone();
                tokio::spawn(async move {
                    sleep(time).await;
                    cluster.restart(broker);
                });
            }
            Storm::MoveLeader => {
                let (partition, broker) =
                    (self.any_partition(), self.random.random_range(1..=self.plan.brokers));
                self.all_brokers_up();
                self.cluster.move_leader(TOPIC, partition, broker.into());
            }
            Storm::Refuse(api, fault, times) => self.cluster.inject(Rule::new(api, fault).times(times)),
            Storm::Compact => {
                self.journal.read_logs(&self.cluster, self.partitions);
                (0..self.partitions).for_each(|partition| self.cluster.compact(TOPIC, partition));
            }
            Storm::DeleteRecords => {
                self.journal.read_logs(&self.cluster, self.partitions);
                let partition = self.any_partition();
                let (start, end) =
                    (self.cluster.log_start(TOPIC, partition), self.cluster.high_watermark(TOPIC, partition));
                self.cluster.delete_records(TOPIC, partition, start + (end - start) / 2);
            }
            Storm::Grow => {
                self.all_brokers_up();
                self.partitions += 1;
                self.cluster.add_partitions(TOPIC, self.partitions);
            }
            Storm::Pause(time) => self.operate(Wish::Pause(time)),
            Storm::Rewind(percent) => {
                let place = Partition::new(TOPIC, self.any_partition());
                self.operate(Wish::Rewind(place, percent));
            }
            Storm::Quiet(time) => {
                let member = self.any_member();
                self.operate(Wish::Quiet(self.members[member].name.clone(), time));
            }
            Storm::Requeue(number) => {
                if let Some(server) = server {
                    self.operate(Wish::Requeue(Link { server, gate: Gate::default() }, number));
                }
            }
        }
        Ok(())
    }

    /// An operator wishes something, and tries again when it fails.
    fn operate(&mut self, wish: Wish) {
        self.operators += 1;
        let seed = self.seed.wrapping_mul(1_000) + 500 + self.operators;
        let (cluster, journal) = (self.cluster.clone(), self.journal.clone());
        self.operating.spawn(async move {
            while let Err(problem) = wish.ask(&cluster, seed).await {
                journal.line(format_args!("an operator tries again: {problem}"));
                sleep(Duration::from_secs(1)).await;
            }
        });
    }

    fn all_brokers_up(&self) {
        (1..=i32::from(self.plan.brokers)).for_each(|broker| self.cluster.restart(broker));
    }

    fn any_member(&mut self) -> usize {
        self.random.random_range(0..self.members.len())
    }

    fn any_partition(&mut self) -> i32 {
        self.random.random_range(0..self.partitions)
    }

    fn kill(&mut self, at: usize) {
        let member = self.members.remove(at);
        self.journal.line(format_args!("{} is killed", member.name));
        member.gate.kill();
        member.node.kill();
    }

    async fn add_later(&mut self, then: Duration, nodes: usize) -> Result<(), String> {
        sleep(then).await;
        for _ in 0..nodes {
            self.add_node().await?;
        }
        Ok(())
    }

    /// Starts a node; tries again while Kafka or the store does not let it, as whoever runs it would.
    async fn add_node(&mut self) -> Result<(), String> {
        let mut last = String::new();
        for _ in 0..20 {
            self.started += 1;
            let name = format!("node-{}", self.started);
            let gate = Gate::default();
            match self.start_node(&name, &gate).await {
                Ok(node) => {
                    self.journal.line(format_args!("{name} works"));
                    self.members.push(Member { name, node, gate });
                    return Ok(());
                }
                Err(problem) => last = problem.to_string(),
            }
            self.journal.line(format_args!("{name} does not start: {last}"));
            sleep(Duration::from_secs(1)).await;
        }
        Err(format!("no node starts: {last}"))
    }

    /// A node with poison about gives records up.
    fn retry(&self) -> Retry {
        let retry = Retry::exponential(Duration::from_millis(100), Duration::from_secs(2));
        if self.plan.poison { retry.max_attempts(ATTEMPTS) } else { retry }
    }

    async fn start_node(&self, name: &str, gate: &Gate) -> logmill::Result<Node> {
        let mut builder = Node::builder()
            .brokers(self.cluster.bootstrap())
            .transport(gate.transport(&self.cluster))
            .group(GROUP)
            .topics([TOPIC])
            .name(name)
            .seed(self.seed.wrapping_mul(1_000) + self.started)
            .background(Background::Here)
            .concurrency(self.plan.handlers)
            .unit_records(self.plan.unit_records)
            .order(self.plan.order)
            .failed_record_blocks(self.plan.blocks)
            .lease(LEASE)
            .session_timeout(SESSION)
            .commit_interval(Duration::from_millis(500))
            .drain_timeout(LEASE * 4)
            .set("request.timeout.ms", "5000")
            .retry(self.retry())
            .max_unit_attempts(2);
        if let Some(server) = &self.server {
            builder = builder.store(Arc::new(Link { server: server.clone(), gate: gate.clone() }));
        }
        builder.handler(self.handler(name.to_owned(), gate.clone())).build().await
    }

    fn handler(
        &self,
        node: String,
        gate: Gate,
    ) -> impl Fn(Received) -> futures_util::future::BoxFuture<'static, Result<(), &'static str>>
    + Send
    + Sync
    + 'static {
        let (journal, plan, bug) = (self.journal.clone(), self.plan.clone(), self.bug);
        let cluster = self.cluster.clone();
        let random = std::sync::Mutex::new(StdRng::seed_from_u64(self.seed ^ self.started << 32));
        move |record: Received| {
            let (fails, slow, takes) = {
                let mut random = random.lock().unwrap();
                let fails = random.random_bool(plan.failing);
                (fails, random.random_bool(plan.slow), random.random_range(1..=plan.handling))
            };
            let number = std::str::from_utf8(record.value().unwrap()).unwrap().parse().unwrap();
            let fails = fails || plan.is_poison(number);
            let last = bug == Some(Bug::SettledBeforeBuried)
                && plan.is_poison(number)
                && record.attempt() >= ATTEMPTS;
            if last {
                tokio::spawn(bury_late(gate.clone(), cluster.clone(), record));
                return Box::pin(std::future::ready(Ok(())));
            }
            journal.begun(&record);
            let takes = if slow { LEASE * 3 } else { Duration::from_millis(takes) };
            let (node, gate, journal) = (node.clone(), gate.clone(), journal.clone());
            let work = async move {
                sleep(takes).await;
                gate.pass().await;
                match fails {
                    // A panic that prints nothing.
                    true if record.offset() % 2 == 0 => std::panic::resume_unwind(Box::new("on purpose")),
                    true => return Err("on purpose"),
                    false => journal.handled(&node, &record),
                }
                Ok(())
            };
            if bug == Some(Bug::SettledBeforeHandled) {
                tokio::spawn(work);
                return Box::pin(std::future::ready(Ok(())));
            }
            Box::pin(work)
        }
    }

    async fn producer(&self) -> Result<Producer, String> {
        let builder = Producer::builder()
            .brokers(self.cluster.bootstrap())
            .transport(Gate::default().transport(&self.cluster))
            .seed(self.seed)
            .on_this_runtime()
            .simulated_time(1_790_000_000_000);
        builder.build().await.map_err(|error| format!("the producer does not start: {error}"))
    }
}

/// Sends the plan's records, a few at a time, to the partitions that there are at the start.
async fn send(producer: Producer, plan: Plan) -> (Producer, Vec<Pending>) {
    let pause = plan.sending * 10 / plan.records as u32;
    let mut pending = Vec::with_capacity(plan.records);
    for number in 0..plan.records {
        if number % 10 == 0 {
            sleep(pause).await;
        }
        let record = Record::to(TOPIC).partition((number / 3) as i32 % plan.partitions);
        let record = record.key(format!("{}", number % 40)).value(number.to_string());
        match producer.enqueue(record).await {
            Ok(handle) => pending.push(handle),
            Err(problem) => panic!("record {number} is not accepted: {problem}"),
        }
    }
    (producer, pending)
}

async fn look(cluster: Cluster, journal: Journal) {
    loop {
        sleep(LOOK).await;
        journal.look_at_commits(&cluster);
    }
}
