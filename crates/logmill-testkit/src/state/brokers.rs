//! The brokers of a cluster: their ids, where clients reach them, whether they are up.

use std::collections::BTreeMap;

use logmill_protocol::wire::Str;

/// Where a client reaches a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: Str,
    pub(crate) port: u16,
}

/// The way a client came in. A broker tells it addresses it can reach the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Entry {
    InProcess,
    Tcp,
}

#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) up: bool,
    pub(crate) addresses: BTreeMap<Entry, Address>,
}

#[derive(Debug)]
pub(crate) struct Brokers(BTreeMap<i32, Broker>);

/// The port of every in-process address.
pub(crate) const IN_PROCESS_PORT: u16 = 9092;

impl Brokers {
    /// Brokers 1 to `count`, all up. They start at 1 so that nobody takes an id for an index.
    pub(crate) fn new(count: u16) -> Self {
        let broker = |id: i32| {
            let address = Address { host: format!("broker-{id}.embedded").into(), port: IN_PROCESS_PORT };
            (id, Broker { up: true, addresses: BTreeMap::from([(Entry::InProcess, address)]) })
        };
        Self((1..=i32::from(count)).map(broker).collect())
    }

    pub(crate) fn get_mut(&mut self, id: i32) -> Option<&mut Broker> {
        self.0.get_mut(&id)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = i32> + '_ {
        self.0.keys().copied()
    }

    pub(crate) fn is_up(&self, id: i32) -> bool {
        self.0.get(&id).is_some_and(|broker| broker.up)
    }

    /// The brokers that are up, in the order of their ids.
    pub(crate) fn live(&self) -> Vec<i32> {
        self.0.iter().filter(|(_, broker)| broker.up).map(|(&id, _)| id).collect()
    }

    /// Where a client that came in by `entry` reaches the broker.
    pub(crate) fn address(&self, id: i32, entry: Entry) -> Option<&Address> {
        self.0.get(&id)?.addresses.get(&entry)
    }

    /// The broker that answers at an in-process address.
    pub(crate) fn at(&self, host: &str, port: u16) -> Option<i32> {
        let here = |broker: &Broker| {
            broker.addresses.get(&Entry::InProcess).is_some_and(|a| a.host == *host && a.port == port)
        };
        self.0.iter().find(|(_, broker)| here(broker)).map(|(&id, _)| id)
    }

    /// The controller: the first broker that is up.
    pub(crate) fn controller(&self) -> i32 {
        self.live().first().copied().unwrap_or(-1)
    }

    /// The broker that coordinates `key` (a consumer group or a transactional id): one chosen by the
    /// key's hash, or the next one up. It moves back when the chosen one returns.
    pub(crate) fn coordinator(&self, key: &str) -> Option<i32> {
        let ids: Vec<i32> = self.ids().collect();
        let first = key.bytes().fold(0usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        (0..ids.len()).map(|step| ids[(first.wrapping_add(step)) % ids.len()]).find(|&id| self.is_up(id))
    }
}
