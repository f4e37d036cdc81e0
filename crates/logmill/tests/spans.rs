//! The spans of a record's way, for those who ask for them.

#![allow(clippy::unwrap_used)]

mod rig;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use logmill::node::{Background, Outcome, Received, Retry};
use logmill::{Producer, Record};
use rig::{Rig, Tally};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record as Recorded};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer};

type Fields = BTreeMap<&'static str, String>;

/// The spans of ours that were made, with their fields.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(Id, Fields)>>>);

struct Into<'a>(&'a mut Fields);

impl Visit for Into<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Seen {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        if attributes.metadata().target() == "logmill::span" {
            let mut fields = Fields::new();
            attributes.record(&mut Into(&mut fields));
            self.0.lock().unwrap().push((id.clone(), fields));
        }
    }

    fn on_record(&self, id: &Id, recorded: &Recorded<'_>, _: Context<'_, S>) {
        // Ids of spans that have ended are given out again: the newest is meant.
        let mut seen = self.0.lock().unwrap();
        if let Some((_, fields)) = seen.iter_mut().rev().find(|(known, _)| known == id) {
            recorded.record(&mut Into(fields));
        }
    }
}

impl Seen {
    /// Sees what passes the filter, on this thread.
    fn with(filter: &str) -> (Self, DefaultGuard) {
        let seen = Self::default();
        let layered = tracing_subscriber::registry().with(EnvFilter::new(filter)).with(seen.clone());
        (seen, tracing::subscriber::set_default(layered))
    }

    fn named(&self, name: &str) -> Vec<Fields> {
        let all = self.0.lock().unwrap();
        all.iter().map(|(_, fields)| fields).filter(|fields| fields["otel.name"] == name).cloned().collect()
    }
}

const CONTEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Three records are sent and handled, the second at its second try.
async fn work() {
    let rig = Rig::new(1, 1);
    rig.cluster.create_topic("orders", 1);
    let builder = Producer::builder().brokers(rig.cluster.bootstrap()).transport(rig.transport.clone());
    let producer = builder.on_this_runtime().build().await.unwrap();
    for number in 0..3 {
        let record = Record::to("orders").value("secret");
        let record = if number == 0 { record.header("traceparent", CONTEXT) } else { record };
        producer.send(record).await.unwrap();
    }
    let tally = Tally::default();
    let counted = tally.clone();
    let handler = move |record: Received| {
        let fails = (record.offset(), record.attempt()) == (1, 1);
        if !fails {
            counted.count(&record);
        }
        std::future::ready(if fails { Outcome::Retry { reason: "not yet".into() } } else { Outcome::Ack })
    };
    let retry = Retry::exponential(Duration::from_millis(50), Duration::from_secs(1));
    let builder = rig.node("billing").topics(["orders"]).retry(retry).background(Background::Here).seed(7);
    let node = builder.handler(handler).build().await.unwrap();
    tally.reaches(3).await;
    node.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_step_of_a_record_has_a_span_and_none_has_its_value() {
    let (seen, _guard) = Seen::with("info,logmill::span=debug");
    work().await;
    let of = |fields: &Fields, names: &[&'static str]| -> Vec<String> {
        names.iter().map(|name| fields.get(name).cloned().unwrap_or_default()).collect()
    };
    let sent = seen.named("send orders");
    assert_eq!(sent.len(), 3);
    assert_eq!(
        of(&sent[0], &["otel.kind", "messaging.operation.type", "error.type"]),
        ["producer", "send", ""]
    );
    let mut handled = seen.named("process orders");
    let names = ["messaging.kafka.offset", "logmill.attempt", "error.type", "traceparent", "otel.kind"];
    handled.sort_by_key(|fields| of(fields, &names));
    let handled: Vec<_> = handled.iter().map(|fields| of(fields, &names)).collect();
    let expected = [
        ["0", "1", "", CONTEXT, "consumer"],
        ["1", "1", "handler", "", "consumer"],
        ["1", "2", "", "", "consumer"],
        ["2", "1", "", "", "consumer"],
    ];
    assert_eq!(handled, expected);
    let settled = seen.named("ack orders");
    assert!(!settled.is_empty());
    assert_eq!(
        of(&settled[0], &["messaging.consumer.group.name", "logmill.unit.start", "messaging.operation.type"]),
        ["billing", "0", "settle"]
    );
    let committed = seen.named("commit billing");
    assert_eq!(of(&committed[0], &["logmill.partitions", "otel.kind"]), ["1", "client"]);
    assert!(!format!("{:?}", seen.0.lock().unwrap()).contains("secret"));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_ask_for_spans_gets_none() {
    let (seen, _guard) = Seen::with("info");
    work().await;
    assert!(seen.0.lock().unwrap().is_empty());
}
