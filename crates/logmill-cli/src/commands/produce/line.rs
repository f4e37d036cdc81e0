//! From a line of input to a record.

use logmill::Record;
use memchr::memmem::Finder;

use super::Args;
use crate::output::unescape;

/// What every record of one command has in common.
#[derive(Debug)]
pub(super) struct Shape {
    topic: String,
    partition: Option<i32>,
    key_delimiter: Option<Finder<'static>>,
    key: Option<String>,
    headers: Vec<(String, Option<String>)>,
    null: bool,
}

impl Shape {
    /// # Errors
    /// The delimiter of keys is empty.
    pub(super) fn new(args: &Args) -> Result<Self, String> {
        let key_delimiter = args.key_delimiter.as_deref().map(unescape);
        if key_delimiter.as_ref().is_some_and(Vec::is_empty) {
            return Err("the key delimiter (-K) is empty".to_owned());
        }
        let headers = args.headers.iter().map(|header| match header.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            // As in kcat: a name alone is a header whose value is null.
            None => (header.clone(), None),
        });
        Ok(Self {
            topic: args.topic.clone(),
            partition: args.partition,
            key_delimiter: key_delimiter.map(|bytes| Finder::new(&bytes).into_owned()),
            key: args.key.clone(),
            headers: headers.collect(),
            null: args.null,
        })
    }

    /// The record that a line stands for.
    pub(super) fn record<'a>(&'a self, line: &'a [u8]) -> Record<'a> {
        let (key, value) = self.split(line);
        let present = |bytes: &&[u8]| !(self.null && bytes.is_empty());
        let mut record = Record::to(&self.topic);
        if let Some(partition) = self.partition {
            record = record.partition(partition);
        }
        if let Some(key) = key.or(self.key.as_deref().map(str::as_bytes)).filter(present) {
            record = record.key(key);
        }
        if let Some(value) = Some(value).filter(present) {
            record = record.value(value);
        }
        for (name, value) in &self.headers {
            record = match value {
                Some(value) => record.header(name, value),
                None => record.null_header(name),
            };
        }
        record
    }

    fn split<'a>(&self, line: &'a [u8]) -> (Option<&'a [u8]>, &'a [u8]) {
        let found = self.key_delimiter.as_ref().and_then(|delimiter| {
            let at = delimiter.find(line)?;
            Some((&line[..at], &line[at + delimiter.needle().len()..]))
        });
        match found {
            Some((key, value)) => (Some(key), value),
            None => (None, line),
        }
    }
}
