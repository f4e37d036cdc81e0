//! librdkafka: produce with delivery reports counted; consume one record a poll, or (`batch=1`) many, which the
//! safe crate does not offer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use measure::{Run, Settings, payloads};
use rdkafka::bindings as c;
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};

fn main() {
    let settings = Settings::from_command_line();
    match settings.mode.as_str() {
        "produce" => produce(&settings),
        "consume" if settings.others.contains_key("batch") => consume_batches(&settings),
        "consume" => consume(&settings),
        other => panic!("no mode {other:?}"),
    }
}

#[derive(Default)]
struct Count {
    delivered: AtomicUsize,
    failed: AtomicUsize,
}

impl ClientContext for Count {}

impl ProducerContext for Count {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let counter = if result.is_ok() { &self.delivered } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn produce(settings: &Settings) {
    let producer: BaseProducer<Count> = ClientConfig::new()
        .set("bootstrap.servers", &settings.brokers)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", settings.linger_ms.to_string())
        .set("batch.size", settings.batch_bytes.to_string())
        .set("batch.num.messages", "1000000")
        .create_with_context(Count::default())
        .expect("a producer");
    let payloads = payloads(settings.size);
    let keys: usize = settings.others.get("keys").map_or(0, |keys| keys.parse().expect("a number of keys"));
    let send_all = |records: usize| {
        for number in 0..records {
            let mut record =
                BaseRecord::<str, [u8]>::to(&settings.topic).payload(&payloads[number % payloads.len()]);
            let key = (number % keys.max(1)).to_string();
            if keys > 0 {
                record = record.key(&key);
            }
            while let Err((error, back)) = producer.send(record) {
                match error {
                    KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => {
                        producer.poll(Duration::from_millis(100))
                    }
                    other => panic!("cannot send: {other}"),
                };
                record = back;
            }
            if number % 1000 == 0 {
                producer.poll(Duration::ZERO);
            }
        }
        producer.flush(Duration::from_secs(60)).expect("all delivered within a minute");
    };
    send_all(settings.warmup);
    let run = Run::start();
    send_all(settings.records);
    run.report("rdkafka", "produce", settings.records);
    let count = producer.context();
    assert_eq!(count.failed.load(Ordering::Relaxed), 0);
    assert_eq!(count.delivered.load(Ordering::Relaxed), settings.warmup + settings.records);
}

fn consumer(settings: &Settings) -> BaseConsumer {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &settings.brokers)
        .set("group.id", "none")
        .set("enable.auto.commit", "false")
        .set("check.crcs", "true")
        .create()
        .expect("a consumer");
    let mut partitions = TopicPartitionList::new();
    for partition in 0..settings.partitions {
        partitions.add_partition_offset(&settings.topic, partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&partitions).expect("an assignment");
    consumer
}

fn consume(settings: &Settings) {
    let consumer = consumer(settings);
    let mut bytes = 0;
    let mut read = |records: usize| {
        let mut left = records;
        while left > 0 {
            if let Some(record) = consumer.poll(Duration::from_secs(10)) {
                bytes += record.expect("a record").payload().map_or(0, <[u8]>::len);
                left -= 1;
            }
        }
    };
    read(settings.warmup);
    let run = Run::start();
    read(settings.records);
    run.report("rdkafka", "consume", settings.records);
    assert_eq!(bytes, (settings.warmup + settings.records) * settings.size);
}

/// Reads with `rd_kafka_consume_batch_queue`.
fn consume_batches(settings: &Settings) {
    const MOST: usize = 10_000;
    let consumer = consumer(settings);
    // SAFETY: the consumer outlives the queue, which is released below.
    let queue = unsafe { c::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
    let mut messages = vec![std::ptr::null_mut::<c::rd_kafka_message_t>(); MOST];
    let (mut bytes, mut total) = (0, 0);
    let mut read = |records: usize| {
        let from = total;
        while total < from + records {
            // SAFETY: the buffer has room for `MOST` pointers, of which the call fills the first `count`.
            let count =
                unsafe { c::rd_kafka_consume_batch_queue(queue, 10_000, messages.as_mut_ptr(), MOST) };
            for &message in &messages[..usize::try_from(count).expect("no error")] {
                // SAFETY: a message of this batch, not yet destroyed.
                unsafe {
                    assert_eq!((*message).err, c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
                    bytes += (*message).len;
                    c::rd_kafka_message_destroy(message);
                }
                total += 1;
            }
        }
        total - from
    };
    read(settings.warmup);
    let run = Run::start();
    let records = read(settings.records);
    run.report("rdkafka-batch", "consume", records);
    assert_eq!(bytes, total * settings.size);
    // SAFETY: taken above, used no more.
    unsafe { c::rd_kafka_queue_destroy(queue) };
}
