//! What a client's requests and producers came to, counted for metrics once somebody asks for them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use logmill_protocol::messages::ApiKey;
use metrics::{counter, gauge, histogram};
use tokio::time::Instant;

use super::Client;
use super::transport::Address;
use crate::observe::{Histogram, PUBLISH_EVERY, RECORDS, Sinks};

/// Something that holds bytes that are not sent yet.
pub(crate) trait Buffers: Send + Sync {
    /// How many.
    fn buffered(&self) -> usize;
}

/// See the module.
#[derive(Default)]
pub(crate) struct Traffic {
    on: AtomicBool,
    counted: Mutex<Counted>,
    producers: Mutex<Vec<Weak<dyn Buffers>>>,
    levels: Mutex<Levels>,
}

/// What rises and falls, as it was published last. Of several clients in one process the sum is.
#[derive(Default)]
struct Levels {
    connections: BTreeMap<String, usize>,
    buffered: usize,
}

#[derive(Default)]
struct Counted {
    requests: BTreeMap<(Address, ApiKey), Histogram>,
    throttled: BTreeMap<Address, Duration>,
    sent: BTreeMap<Arc<str>, Sent>,
}

/// What producers sent to a topic.
struct Sent {
    records: u64,
    batches: Histogram,
}

impl fmt::Debug for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traffic").field("on", &self.is_on()).finish_non_exhaustive()
    }
}

impl Traffic {
    /// Counts from now on.
    pub(crate) fn turn_on(&self) {
        self.on.store(true, Ordering::Relaxed);
    }

    fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// A broker answered.
    pub(crate) fn answered(&self, broker: &Address, api: ApiKey, asked: Instant) {
        if self.is_on() {
            let mut counted = lock(&self.counted);
            let requests = counted.requests.entry((broker.clone(), api));
            requests.or_insert_with(Histogram::of_durations).took(asked.elapsed());
        }
    }

    /// A broker asked for a pause.
    pub(crate) fn throttled(&self, broker: &Address, pause: Duration) {
        if self.is_on() {
            *lock(&self.counted).throttled.entry(broker.clone()).or_default() += pause;
        }
    }

    /// A broker has a batch of so many records.
    pub(crate) fn sent(&self, topic: &Arc<str>, records: u32) {
        if self.is_on() {
            let mut counted = lock(&self.counted);
            let new = || Sent { records: 0, batches: Histogram::new(RECORDS) };
            let sent = counted.sent.entry(topic.clone()).or_insert_with(new);
            sent.records += u64::from(records);
            sent.batches.record(f64::from(records));
        }
    }

    /// A producer works over this client.
    pub(crate) fn add_producer(&self, producer: Weak<dyn Buffers>) {
        let mut producers = lock(&self.producers);
        producers.retain(|producer| producer.strong_count() > 0);
        producers.push(producer);
    }

    /// Publishes what was counted since the last time. `name` gives a broker's name.
    fn publish(&self, sinks: &Sinks, name: impl Fn(&Address) -> String) {
        // Recorders are the program's: no answer of a broker waits for them.
        let counted = std::mem::take(&mut *lock(&self.counted));
        for ((address, api), durations) in &counted.requests {
            let (drained, broker) = (durations.drain(), name(address));
            sinks.each(|| {
                let requests =
                    histogram!("logmill_kafka_request_duration_seconds", "api" => api.name(), "broker" => broker.clone());
                drained.iter().for_each(|(value, times)| requests.record_many(*value, *times));
                let Some((operation, kind)) = operation(*api) else { return };
                let operations = histogram!("messaging_client_operation_duration_seconds",
                    "messaging_system" => "kafka", "messaging_operation_name" => operation,
                    "messaging_operation_type" => kind);
                drained.iter().for_each(|(value, times)| operations.record_many(*value, *times));
            });
        }
        for (address, paused) in &counted.throttled {
            // Counters are whole numbers. The rest is for the next time.
            let (seconds, rest) = (paused.as_secs(), Duration::from_nanos(paused.subsec_nanos().into()));
            *lock(&self.counted).throttled.entry(address.clone()).or_default() += rest;
            sinks.each(|| {
                counter!("logmill_kafka_throttle_seconds_total", "broker" => name(address))
                    .increment(seconds);
            });
        }
        for (topic, sent) in &counted.sent {
            let drained = sent.batches.drain();
            sinks.each(|| {
                counter!("messaging_client_sent_messages_total", "messaging_system" => "kafka",
                    "messaging_operation_name" => "send", "messaging_destination_name" => topic.to_string())
                .increment(sent.records);
                let batches = histogram!("logmill_producer_batch_records", "topic" => topic.to_string());
                drained.iter().for_each(|(value, times)| batches.record_many(*value, *times));
            });
        }
    }

    fn buffered(&self) -> usize {
        lock(&self.producers).iter().filter_map(Weak::upgrade).map(|producer| producer.buffered()).sum()
    }

    fn publish_levels(&self, sinks: &Sinks, now: Levels) {
        let mut was = lock(&self.levels);
        let brokers: BTreeSet<_> = was.connections.keys().chain(now.connections.keys()).collect();
        for broker in brokers {
            let open = |levels: &Levels| levels.connections.get(broker).map_or(0.0, |open| *open as f64);
            let more = open(&now) - open(&was);
            sinks.each(|| gauge!("logmill_kafka_connections", "broker" => broker.clone()).increment(more));
        }
        let more = now.buffered as f64 - was.buffered as f64;
        sinks.each(|| gauge!("logmill_producer_buffered_bytes").increment(more));
        *was = now;
    }
}

impl Client {
    /// Publishes what is counted to the recorder that the program installed, until nobody waits for it any more.
    pub(crate) async fn publish_metrics(self) {
        self.traffic().turn_on();
        let sinks = Sinks { global: true, own: None };
        let _last_words = LastWords(&self, &sinks);
        let mut tick = tokio::time::interval(PUBLISH_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.publish_to(&sinks);
        }
    }

    /// Publishes what is counted.
    pub(crate) fn publish_to(&self, sinks: &Sinks) {
        let brokers: BTreeMap<_, _> =
            self.brokers().into_iter().map(|(broker, address)| (address, broker.0)).collect();
        let name = |address: &Address| match brokers.get(address) {
            Some(id) => id.to_string(),
            None => address.to_string(),
        };
        self.traffic().publish(sinks, name);
        let mut now = Levels { buffered: self.traffic().buffered(), ..Levels::default() };
        for (address, open) in self.connections() {
            // A broker may have several addresses.
            *now.connections.entry(name(&address)).or_default() += open;
        }
        self.traffic().publish_levels(sinks, now);
    }

    /// Takes back this client's part of what several may have.
    pub(crate) fn withdraw_from(&self, sinks: &Sinks) {
        self.traffic().publish_levels(sinks, Levels::default());
    }
}

/// What was counted since is published too.
struct LastWords<'a>(&'a Client, &'a Sinks);

impl Drop for LastWords<'_> {
    fn drop(&mut self) {
        self.0.publish_to(self.1);
        self.0.withdraw_from(self.1);
    }
}

/// What OpenTelemetry calls a request, by name and by type.
fn operation(api: ApiKey) -> Option<(&'static str, &'static str)> {
    match api {
        ApiKey::Produce => Some(("send", "send")),
        ApiKey::Fetch => Some(("poll", "receive")),
        ApiKey::OffsetCommit => Some(("commit", "settle")),
        _ => None,
    }
}

/// A panic while one of these locks was held cannot leave what it guards half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn what_several_clients_have_open_adds_up_and_is_taken_back() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let sinks = Sinks { global: false, own: Some(Arc::new(recorder)) };
        let is = |connections: usize, buffered: usize| {
            let text = handle.render();
            assert!(text.contains(&format!("connections{{broker=\"1\"}} {connections}\n")), "{text}");
            assert!(text.contains(&format!("buffered_bytes {buffered}\n")), "{text}");
        };
        let levels =
            |open, buffered| Levels { connections: BTreeMap::from([("1".to_owned(), open)]), buffered };
        let (one, two) = (Traffic::default(), Traffic::default());
        one.publish_levels(&sinks, levels(2, 10));
        two.publish_levels(&sinks, levels(3, 0));
        is(5, 10);
        one.publish_levels(&sinks, levels(1, 4));
        is(4, 4);
        one.publish_levels(&sinks, Levels::default());
        is(3, 0);
    }
}
