//! The record as its producer sees it.

use bytes::Bytes;
use logmill_protocol::records::{Header, NewRecord};

/// Bytes of a key, value or header: borrowed or owned, text or not. Made from what you have:
/// `&str`, `String`, `&[u8]`, `Vec<u8>`, [`Bytes`].
#[derive(Clone, Debug)]
pub struct Data<'a>(Repr<'a>);

#[derive(Clone, Debug)]
enum Repr<'a> {
    Borrowed(&'a [u8]),
    Owned(Vec<u8>),
    Shared(Bytes),
}

impl Data<'_> {
    fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Repr::Borrowed(bytes) => bytes,
            Repr::Owned(bytes) => bytes,
            Repr::Shared(bytes) => bytes,
        }
    }
}

macro_rules! data_from {
    ($($type:ty: $value:ident => $repr:expr;)*) => {
        $(impl<'a> From<$type> for Data<'a> {
            fn from($value: $type) -> Self {
                Self($repr)
            }
        })*
    };
}

data_from! {
    &'a str: text => Repr::Borrowed(text.as_bytes());
    &'a String: text => Repr::Borrowed(text.as_bytes());
    String: text => Repr::Owned(text.into_bytes());
    &'a [u8]: bytes => Repr::Borrowed(bytes);
    &'a Vec<u8>: bytes => Repr::Borrowed(bytes);
    Vec<u8>: bytes => Repr::Owned(bytes);
    &'a Bytes: bytes => Repr::Borrowed(bytes);
    Bytes: bytes => Repr::Shared(bytes);
}

impl<'a, const N: usize> From<&'a [u8; N]> for Data<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self(Repr::Borrowed(bytes))
    }
}

/// A record to be produced. It may borrow its parts: they are copied once, into the batch.
///
/// ```
/// use logmill::Record;
/// let record = Record::to("orders").key("1042").value(r#"{"cents":1299}"#).header("source", "web");
/// ```
#[derive(Clone, Debug)]
#[must_use = "a record does nothing until it is sent"]
pub struct Record<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: Option<i32>,
    pub(super) timestamp: Option<i64>,
    key: Option<Data<'a>>,
    value: Option<Data<'a>>,
    headers: Vec<(&'a str, Option<Data<'a>>)>,
}

impl<'a> Record<'a> {
    /// A record for that topic, with null key and null value.
    pub fn to(topic: &'a str) -> Self {
        Self { topic, partition: None, timestamp: None, key: None, value: None, headers: Vec::new() }
    }

    /// A record for that topic whose value is `value` as JSON.
    ///
    /// # Errors
    /// The value cannot be written as JSON.
    pub fn json<T: serde::Serialize + ?Sized>(topic: &'a str, value: &T) -> crate::Result<Self> {
        let json =
            serde_json::to_vec(value).map_err(|source| crate::Error::Json { reason: source.to_string() })?;
        Ok(Self::to(topic).value(json))
    }

    /// Sets the key. Records of one key go to one partition, in order.
    pub fn key(mut self, key: impl Into<Data<'a>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the value. Without one it is null: a tombstone in a compacted topic.
    pub fn value(mut self, value: impl Into<Data<'a>>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// Adds a header. Names may repeat; the order is kept.
    pub fn header(mut self, name: &'a str, value: impl Into<Data<'a>>) -> Self {
        self.headers.push((name, Some(value.into())));
        self
    }

    /// Adds a header whose value is null.
    pub fn null_header(mut self, name: &'a str) -> Self {
        self.headers.push((name, None));
        self
    }

    /// Sends it to this partition, whatever its key.
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets the timestamp, in milliseconds since 1970. Without one it is the time of sending, within
    /// ten milliseconds.
    pub fn timestamp(mut self, milliseconds: i64) -> Self {
        self.timestamp = Some(milliseconds);
        self
    }

    pub(super) fn key_bytes(&self) -> Option<&[u8]> {
        self.key.as_ref().map(Data::as_slice)
    }

    /// The record as the batch writes it.
    pub(super) fn encode(
        &self,
        timestamp: i64,
    ) -> NewRecord<'_, impl Iterator<Item = Header<'_>> + Clone + use<'_, 'a>> {
        NewRecord {
            timestamp,
            key: self.key_bytes(),
            value: self.value.as_ref().map(Data::as_slice),
            headers: self
                .headers
                .iter()
                .map(|(name, value)| Header::new(name, value.as_ref().map(Data::as_slice))),
        }
    }
}
