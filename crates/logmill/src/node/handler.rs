//! What users write: a handler, what it is given, and what it answers.

use std::fmt::Display;
use std::future::Future;
use std::marker::PhantomData;
use std::time::Duration;

use bytes::Bytes;

use super::record::Received;

/// What becomes of a record after its handler returned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is handled, and does not come again.
    Ack,
    /// It comes again after a back-off that grows with its attempts; see [`Retry`](super::Retry).
    Retry {
        /// Why, for the log.
        reason: String,
    },
    /// It comes again after this delay.
    RetryAfter {
        /// How long it waits.
        delay: Duration,
        /// Why, for the log.
        reason: String,
    },
    /// It is given up on: it goes to the ledger as a dead letter, and does not come again by itself.
    ///
    /// Why is for whoever looks at it later.
    DeadLetter(String),
    /// It is not what the handler takes. Trying again is in vain, so it is a dead letter at once unless
    /// [`dead_letter_undecodable`](super::NodeBuilder::dead_letter_undecodable) says otherwise.
    Undecodable(String),
}

/// What a handler may return: `()`, an [`Outcome`], or a `Result` of one of them. An error is a
/// [`Outcome::Retry`] with the error's text as its reason.
pub trait IntoOutcome {
    /// The outcome it means.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Outcome::Ack
    }
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

impl<T: IntoOutcome, E: Display> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Outcome {
        match self {
            Ok(value) => value.into_outcome(),
            Err(error) => Outcome::Retry { reason: error.to_string() },
        }
    }
}

/// Something a handler can ask for as an argument, made from the record.
pub trait FromRecord: Sized {
    /// Makes it.
    ///
    /// # Errors
    /// The record does not hold it. The text becomes the dead letter's error, after `decode: `.
    fn from_record(record: &Received) -> Result<Self, String>;
}

impl FromRecord for Received {
    fn from_record(record: &Received) -> Result<Self, String> {
        Ok(record.clone())
    }
}

/// Where a record stands and how often it was tried; a handler can ask for it as an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Meta {
    /// Its topic.
    pub topic: std::sync::Arc<str>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, in milliseconds since 1970.
    pub timestamp: i64,
    /// The number of this try, from 1.
    pub attempt: u32,
}

impl FromRecord for Meta {
    fn from_record(record: &Received) -> Result<Self, String> {
        Ok(Self {
            topic: record.topic().clone(),
            partition: record.partition(),
            offset: record.offset(),
            timestamp: record.timestamp(),
            attempt: record.attempt(),
        })
    }
}

/// A record's value as bytes, empty where it is null; a handler can ask for it as an argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value(pub Bytes);

impl FromRecord for Value {
    fn from_record(record: &Received) -> Result<Self, String> {
        Ok(Self(record.value().cloned().unwrap_or_default()))
    }
}

/// A record's key, if it has one; a handler can ask for it as an argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key(pub Option<Bytes>);

impl FromRecord for Key {
    fn from_record(record: &Received) -> Result<Self, String> {
        Ok(Self(record.key().cloned()))
    }
}

/// A record's value, read as JSON; a handler can ask for it as an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: serde::de::DeserializeOwned> FromRecord for Json<T> {
    fn from_record(record: &Received) -> Result<Self, String> {
        let value = record.value().map_or(&b"null"[..], |value| &value[..]);
        serde_json::from_slice(value).map(Self).map_err(|error| error.to_string())
    }
}

/// Handles one record at a time; many at once. Every async function whose arguments are
/// [`FromRecord`] and whose result is [`IntoOutcome`] is one.
///
/// `Arguments` only tells one such function type from another.
pub trait Handler<Arguments>: Send + Sync + 'static {
    /// Handles one record.
    fn handle(&self, record: Received) -> impl Future<Output = Outcome> + Send;
}

macro_rules! functions {
    ($($argument:ident),*) => {
        impl<F, Answer, $($argument,)*> Handler<PhantomData<($($argument,)*)>> for F
        where
            F: Fn($($argument),*) -> Answer + Send + Sync + 'static,
            Answer: Future<Output: IntoOutcome> + Send,
            $($argument: FromRecord + Send,)*
        {
            #[allow(non_snake_case, unused_variables)]
            async fn handle(&self, record: Received) -> Outcome {
                $(let $argument = match $argument::from_record(&record) {
                    Ok(argument) => argument,
                    Err(reason) => return Outcome::Undecodable(reason),
                };)*
                drop(record);
                self($($argument),*).await.into_outcome()
            }
        }
    };
}

functions!();
functions!(A);
functions!(A, B);
functions!(A, B, C);
functions!(A, B, C, D);
