//! What a client's requests and producers came to, counted for metrics once somebody asks for them.

use std::collections::BTreeMap;
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
}

#[derive(Default)]
struct Counted {
    requests: BTreeMap<(Address, ApiKey), Histogram>,
    throttled: BTreeMap<Address, Duration>,
    sent: BTreeMap<Arc<str>, Sent>,
    producers: Vec<Weak<dyn Buffers>>,
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

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A broker answered.
    pub(crate) fn answered(&self, broker: &Address, api: ApiKey, asked: Instant) {
        if self.is_on() {
            let mut counted = self.lock();
            let requests = counted.requests.entry((broker.clone(), api));
            requests.or_insert_with(Histogram::of_durations).took(asked.elapsed());
        }
    }

    /// A broker asked for a pause.
    pub(crate) fn throttled(&self, broker: &Address, pause: Duration) {
        if self.is_on() {
            *self.lock().throttled.entry(broker.clone()).or_default() += pause;
        }
    }

    /// A broker has a batch of so many records.
    pub(crate) fn sent(&self, topic: &Arc<str>, records: u32) {
        if self.is_on() {
            let mut counted = self.lock();
            let new = || Sent { records: 0, batches: Histogram::new(RECORDS) };
            let sent = counted.sent.entry(topic.clone()).or_insert_with(new);
            sent.records += u64::from(records);
            sent.batches.record(f64::from(records));
        }
    }

    /// A producer works over this client.
    pub(crate) fn add_producer(&self, producer: Weak<dyn Buffers>) {
        let mut counted = self.lock();
        counted.producers.retain(|producer| producer.strong_count() > 0);
        counted.producers.push(producer);
    }

    /// Publishes it. `brokers` tells the number of the broker at an address, `open` how many connections there are.
    fn publish(&self, sinks: &Sinks, brokers: &BTreeMap<Address, i32>, open: &BTreeMap<Address, usize>) {
        let counted = self.lock();
        let name = |address: &Address| match brokers.get(address) {
            Some(id) => id.to_string(),
            None => address.to_string(),
        };
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
        for (address, open) in open {
            sinks.each(|| gauge!("logmill_kafka_connections", "broker" => name(address)).set(*open as f64));
        }
        for (address, paused) in &counted.throttled {
            // Whole seconds: counters are whole numbers.
            let seconds = paused.as_secs();
            sinks.each(|| {
                counter!("logmill_kafka_throttle_seconds_total", "broker" => name(address)).absolute(seconds);
            });
        }
        for (topic, sent) in &counted.sent {
            let drained = sent.batches.drain();
            sinks.each(|| {
                counter!("messaging_client_sent_messages_total", "messaging_system" => "kafka",
                    "messaging_operation_name" => "send", "messaging_destination_name" => topic.to_string())
                .absolute(sent.records);
                let batches = histogram!("logmill_producer_batch_records", "topic" => topic.to_string());
                drained.iter().for_each(|(value, times)| batches.record_many(*value, *times));
            });
        }
        let buffered: usize =
            counted.producers.iter().filter_map(Weak::upgrade).map(|producer| producer.buffered()).sum();
        sinks.each(|| gauge!("logmill_producer_buffered_bytes").set(buffered as f64));
    }
}

impl Client {
    /// Publishes what is counted to the recorder that the program installed, for ever.
    pub(crate) async fn publish_metrics(self) {
        self.traffic().turn_on();
        let sinks = Sinks { global: true, own: None };
        let mut tick = tokio::time::interval(PUBLISH_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.publish_to(&sinks);
        }
    }

    /// Publishes what is counted.
    pub(crate) fn publish_to(&self, sinks: &Sinks) {
        let brokers = self.brokers().into_iter().map(|(broker, address)| (address, broker.0)).collect();
        self.traffic().publish(sinks, &brokers, &self.connections());
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
