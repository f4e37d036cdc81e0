//! Where a benchmark's records go or come from: the topic that was named, or one that is made for it and deleted
//! afterwards.

use std::collections::VecDeque;

use logmill::client::Client;
use logmill::client::admin::{NewTopic, OffsetAt};
use logmill::client::fetch::Isolation;
use logmill::{Offset, Partition, Pending, Producer, Record};

use super::payload::values;
use crate::exit::{Failure, Outcome};
use crate::input::Connect;

/// How many records may be unacknowledged before their handles are awaited.
const AHEAD: usize = 100_000;

/// Which topic; part of every benchmark.
#[derive(clap::Args, Debug)]
pub(super) struct TopicArgs {
    /// The topic. Without it, one is made, and deleted afterwards.
    #[arg(short = 't', long)]
    topic: Option<String>,
    /// Bytes of a record's value
    #[arg(long, default_value_t = 100)]
    pub(super) size: usize,
}

pub(super) struct Place {
    pub(super) client: Client,
    pub(super) topic: String,
    made: bool,
}

impl Place {
    /// Finds or makes the topic; one that is made has so many partitions and is named after this process.
    pub(super) async fn find(connect: &Connect, args: &TopicArgs, partitions: u32) -> Outcome<Self> {
        let client = connect.client().await?;
        if let Some(topic) = &args.topic {
            client.topic(topic).await?;
            return Ok(Self { client, topic: topic.clone(), made: false });
        }
        let topic = format!("logmill-bench-{}", std::process::id());
        client.admin().create_topic(NewTopic::new(&topic, partitions)).await?;
        Ok(Self { client, topic, made: true })
    }

    /// The partitions, from the first.
    pub(super) async fn partitions(&self) -> Outcome<Vec<Partition>> {
        let known = self.client.topic(&self.topic).await?;
        Ok((0..known.partitions.len() as i32).map(|index| Partition::new(&*self.topic, index)).collect())
    }

    /// Sees to it that there are so many records: writes them if the topic was made for this, else counts. Gives
    /// back where the partitions begin.
    pub(super) async fn stock(
        &self,
        connect: &Connect,
        records: u64,
        size: usize,
        keys: u64,
    ) -> Outcome<Vec<(Partition, Offset)>> {
        if self.made {
            eprintln!("writing {records} records to read");
            let producer = producer(connect).await?;
            send(&producer, &self.topic, &values(size), keys, records).await?;
            producer.close().await?;
        }
        let (mut begins, mut there) = (Vec::new(), 0);
        for partition in self.partitions().await? {
            let at = async |at| {
                let listed = self.client.admin().offset_at(&partition, at, Isolation::Committed).await;
                Ok::<_, Failure>(listed?.offset.unwrap_or(0))
            };
            let (begin, end) = (at(OffsetAt::Start).await?, at(OffsetAt::End).await?);
            there += (end - begin).unsigned_abs();
            begins.push((partition, begin));
        }
        if there < records {
            return Err(Failure::failed(format!(
                "topic {} has {there} records, and {records} are needed; give fewer with --records, \
                 write more with `logmill bench produce -t {}`, or leave -t out",
                self.topic, self.topic
            )));
        }
        Ok(begins)
    }

    /// Deletes the topic if it was made for this.
    pub(super) async fn leave(&self) -> Outcome {
        if self.made {
            self.client.admin().delete_topic(&self.topic).await?;
        }
        Ok(())
    }

    /// Does the work, and leaves whether it failed or not.
    pub(super) async fn then_leave(&self, work: impl Future<Output = Outcome>) -> Outcome {
        let outcome = work.await;
        let left = self.leave().await;
        outcome.and(left)
    }
}

/// A producer with the settings of the command line.
pub(super) async fn producer(connect: &Connect) -> Outcome<Producer> {
    let mut builder = Producer::builder().brokers(connect.brokers()).set("client.id", "logmill-bench");
    for (name, value) in connect.settings()? {
        builder = builder.set(name, value);
    }
    Ok(builder.build().await?)
}

/// Sends so many records, with so many keys in turn unless that is none, and waits until each is acknowledged.
pub(super) async fn send(
    producer: &Producer,
    topic: &str,
    values: &[Vec<u8>],
    keys: u64,
    records: u64,
) -> Outcome {
    let mut waiting: VecDeque<Pending> = VecDeque::with_capacity(AHEAD);
    for (number, value) in (0..records).zip(values.iter().cycle()) {
        if waiting.len() == AHEAD {
            for pending in waiting.drain(..AHEAD / 2) {
                pending.await.map_err(logmill::Error::from)?;
            }
        }
        let mut record = Record::to(topic).value(&value[..]);
        if keys > 0 {
            record = record.key((number % keys).to_string());
        }
        waiting.push_back(producer.enqueue(record).await.map_err(logmill::Error::from)?);
    }
    producer.flush().await?;
    for pending in waiting {
        pending.await.map_err(logmill::Error::from)?;
    }
    Ok(())
}
