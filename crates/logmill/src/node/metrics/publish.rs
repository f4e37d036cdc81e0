//! Under which names and labels a node's metrics are published. Labels are the group, the topic and words of a short list;
//! never a unit, a key or the text of an error.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use logmill_protocol::ids::Partition;
use logmill_protocol::work::Overview;
use metrics::{counter, gauge, histogram};
use tokio::time::Instant;

use super::meter::{Ended, OfTopic, Place};
use super::{Metrics, Publisher};
use crate::control::Scope;
use crate::node::failures::wall_ms;
use crate::node::state::lock;

impl Publisher {
    /// Publishes what is counted.
    pub(crate) fn publish(&self) {
        let places = lock(&self.state.meter.places).clone();
        for (topic, of) in &self.state.meter.topics {
            self.work(topic, of);
            self.progress(topic, &places);
        }
        if self.state.meter.metrics == Metrics::ByPartition {
            self.offsets(&places);
        }
        self.queue();
        self.paused();
        self.node(places.len());
        self.organiser();
        self.client.publish_to(&self.sinks);
        if let Some(store) = &self.state.timed {
            store.publish(&self.sinks);
        }
    }

    fn group(&self) -> String {
        self.state.settings.group.clone()
    }

    /// What was done of a topic.
    fn work(&self, topic: &Arc<str>, of: &OfTopic) {
        let labels = || [("group", self.group()), ("topic", topic.to_string())];
        let messaging = |operation, kind| {
            [
                ("messaging_system", "kafka".to_owned()),
                ("messaging_operation_name", operation),
                ("messaging_operation_type", kind),
                ("messaging_destination_name", topic.to_string()),
                ("messaging_consumer_group_name", self.group()),
            ]
        };
        let (units, handlers) = (of.units.each_ref().map(|unit| unit.drain()), of.handlers.drain());
        let by_label = |name: &'static str, label: &'static str, counts: &super::meter::Tally| {
            let counts = counts.drain();
            self.sinks.each(|| {
                for (word, count) in &counts {
                    let [group, topic] = labels();
                    counter!(name, &[group, topic, (label, (*word).to_owned())]).increment(*count);
                }
            });
        };
        let (read, planned, lost) = (of.read.drain(), of.planned.drain(), of.lost.drain());
        self.sinks.each(|| {
            let poll = messaging("poll".to_owned(), "receive".to_owned());
            counter!("messaging_client_consumed_messages_total", &poll).increment(read);
            let process = messaging("process".to_owned(), "process".to_owned());
            let process = histogram!("messaging_process_duration_seconds", &process);
            handlers.iter().for_each(|(value, times)| process.record_many(*value, *times));
            counter!("logmill_unit_planned_total", &labels()).increment(planned);
            counter!("logmill_lease_expirations_total", &labels()).increment(lost);
            for (ended, drained) in Ended::ALL.into_iter().zip(&units) {
                let [group, topic] = labels();
                let outcome = ("outcome", ended.name().to_owned());
                let units = histogram!("logmill_unit_duration_seconds", &[group, topic, outcome]);
                drained.iter().for_each(|(value, times)| units.record_many(*value, *times));
            }
        });
        by_label("logmill_retries_total", "error_type", &of.retried);
        by_label("logmill_dead_letters_total", "reason", &of.dead);
        by_label("logmill_skipped_total", "reason", &of.skipped);
    }

    /// How far the group is in a topic, as far as this node organises it.
    fn progress(&self, topic: &Arc<str>, places: &BTreeMap<Partition, Place>) {
        let ours =
            || places.iter().filter(|(partition, _)| partition.topic == *topic).map(|(_, place)| place);
        let sum = |of: fn(&Place) -> i64| ours().map(of).sum::<i64>() as f64;
        let oldest = lock(&self.state.meter.looked).oldest_ms.get(topic).copied();
        let age = oldest.map_or(0.0, |oldest| (wall_ms() - oldest).max(0) as f64 / 1e3);
        let labels = || [("group", self.group()), ("topic", topic.to_string())];
        self.sinks.each(|| {
            let backlog = |state: &str, records| {
                let [group, topic] = labels();
                gauge!("logmill_queue_backlog", &[group, topic, ("state", state.to_owned())]).set(records);
            };
            backlog("planned", sum(|place| place.in_units));
            backlog("unplanned", sum(|place| place.end - place.planned));
            gauge!("logmill_consumer_lag", &labels()).set(sum(Place::lag));
            let age = if ours().any(|place| place.lag() > 0) { age } else { 0.0 };
            gauge!("logmill_consumer_lag_time_seconds", &labels()).set(age);
        });
    }

    /// Of a partition that this node no longer organises it says 0: another tells of it.
    fn offsets(&self, places: &BTreeMap<Partition, Place>) {
        let mut told = lock(&self.state.meter.told);
        let gone = told.iter().filter(|partition| !places.contains_key(partition));
        gone.for_each(|partition| self.offsets_of(partition, &Place::default()));
        places.iter().for_each(|(partition, place)| self.offsets_of(partition, place));
        *told = places.keys().cloned().collect();
    }

    fn offsets_of(&self, partition: &Partition, place: &Place) {
        let labels = || {
            let index = partition.index.to_string();
            [("group", self.group()), ("topic", partition.topic.to_string()), ("partition", index)]
        };
        self.sinks.each(|| {
            for (kind, offset) in [
                ("start", place.start),
                ("complete", place.watermark),
                ("planned", place.planned),
                ("end", place.end),
            ] {
                let [group, topic, partition] = labels();
                let labels = [group, topic, partition, ("kind", kind.to_owned())];
                gauge!("logmill_partition_offset", &labels).set(offset as f64);
            }
            gauge!("logmill_partition_gaps", &labels()).set(place.ranges as f64);
        });
    }

    /// The units of the whole group. The nodes that do not speak for it say zero.
    fn queue(&self) {
        let looked = lock(&self.state.meter.looked);
        let none = Overview::default();
        let seen = looked.overview.as_ref().unwrap_or(&none);
        let waits = seen.next_visible_ms.map_or(0, |visible| seen.now_ms.saturating_sub(visible));
        self.sinks.each(|| {
            for (state, units) in [("queued", seen.ready), ("delayed", seen.delayed), ("leased", seen.leased)]
            {
                let labels = [("group", self.group()), ("state", state.to_owned())];
                gauge!("logmill_queue_size", &labels).set(units as f64);
            }
            gauge!("logmill_queue_latency_seconds", "group" => self.group()).set(waits as f64 / 1e3);
        });
    }

    fn paused(&self) {
        let name = |scope: &Scope| match scope {
            Scope::Group => "group".to_owned(),
            Scope::Topic(topic) => topic.clone(),
            Scope::Partition(partition) => partition.to_string(),
        };
        let now: Vec<_> = self.state.asked.paused().iter().map(name).collect();
        let mut known = lock(&self.state.meter.paused);
        known.insert("group".to_owned());
        known.extend(now.iter().cloned());
        self.sinks.each(|| {
            for scope in &*known {
                let labels = [("group", self.group()), ("scope", scope.clone())];
                gauge!("logmill_paused", &labels).set(f64::from(u8::from(now.contains(scope))));
            }
        });
        known.retain(|scope| now.contains(scope));
    }

    fn node(&self, organises: usize) {
        let (state, now) = (&self.state, Instant::now());
        let node = || state.settings.node.clone();
        // In the pull form, the records in the caller's hands.
        let busy = match self.slots.are_any() {
            true => state.queue.busy(),
            false => state.delivered.load(Ordering::Relaxed),
        };
        let idle = state.settings.concurrency.saturating_sub(busy);
        let oldest = state.units().iter().map(|unit| now.saturating_duration_since(unit.taken)).max();
        let announced = state.meter.announced_ms.load(Ordering::Relaxed);
        let role = if organises > 0 { "organiser" } else { "node" };
        self.sinks.each(|| {
            gauge!("logmill_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
            for each in ["organiser", "node"] {
                let labels = [
                    ("node", node()),
                    ("version", env!("CARGO_PKG_VERSION").to_owned()),
                    ("role", each.to_owned()),
                ];
                gauge!("logmill_node_info", &labels).set(f64::from(u8::from(each == role)));
            }
            for (name, slots) in [("busy", busy), ("idle", idle)] {
                gauge!("logmill_node_slots", "node" => node(), "state" => name).set(slots as f64);
            }
            if announced > 0 {
                let seconds = announced as f64 / 1e3;
                gauge!("logmill_node_last_heartbeat_timestamp_seconds", "node" => node()).set(seconds);
            }
            let age = oldest.unwrap_or_default().as_secs_f64();
            gauge!("logmill_lease_active_age_seconds", "group" => self.group()).set(age);
        });
    }

    fn organiser(&self) {
        let meter = &self.state.meter;
        let node = || self.state.settings.node.clone();
        let (assigned, passes) = (self.state.teller.assigned_count(), meter.passes.drain());
        let (rebalances, failed) = (meter.rebalances.drain(), meter.not_committed.drain());
        let passed = meter.passed_ms.load(Ordering::Relaxed);
        self.sinks.each(|| {
            gauge!("logmill_organiser_partitions", "node" => node()).set(assigned as f64);
            counter!("logmill_organiser_rebalances_total", "node" => node()).increment(rebalances);
            let durations = histogram!("logmill_organiser_pass_duration_seconds");
            passes.iter().for_each(|(value, times)| durations.record_many(*value, *times));
            if passed > 0 {
                gauge!("logmill_organiser_last_success_timestamp_seconds").set(passed as f64 / 1e3);
            }
            for (why, count) in &failed {
                counter!("logmill_offset_mirror_errors_total", "error_type" => *why).increment(*count);
            }
        });
    }
}
