//! Dead letters by what they died of.

use std::collections::BTreeMap;

use logmill::ledger::DeadLetter;
use serde::Serialize;

use super::list::on_one_line;
use crate::output::{Row, ago};

/// More errors than this are not told apart: a text with a number in it makes each its own.
const MOST: usize = 10_000;

#[derive(Serialize)]
pub(super) struct ErrorRow {
    count: u64,
    first_time: i64,
    last_time: i64,
    error: String,
    /// One of them, as topic/partition@offset.
    sample: String,
    #[serde(skip)]
    now: i64,
}

impl Row for ErrorRow {
    const HEAD: &'static [&'static str] = &["COUNT", "FIRST", "LAST", "ERROR", "SAMPLE"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.count.to_string(),
            ago(self.first_time, self.now),
            ago(self.last_time, self.now),
            on_one_line(&self.error),
            self.sample.clone(),
        ]
    }
}

#[derive(Default)]
pub(super) struct Groups(BTreeMap<String, ErrorRow>);

impl Groups {
    pub(super) fn add(&mut self, letter: &DeadLetter) {
        let known = self.0.contains_key(&letter.error) || self.0.len() < MOST;
        let error = if known { &*letter.error } else { "(other errors)" };
        let row = self.0.entry(error.to_owned()).or_insert_with(|| ErrorRow {
            count: 0,
            first_time: i64::MAX,
            last_time: 0,
            error: error.to_owned(),
            sample: format!("{}/{}@{}", letter.topic, letter.partition, letter.offset),
            now: 0,
        });
        row.count += 1;
        row.first_time = row.first_time.min(letter.first_failure_ms);
        row.last_time = row.last_time.max(letter.last_failure_ms);
    }

    /// The commonest first.
    pub(super) fn rows(self, now: i64) -> Vec<ErrorRow> {
        let mut rows: Vec<_> = self.0.into_values().map(|row| ErrorRow { now, ..row }).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.count));
        rows
    }
}
