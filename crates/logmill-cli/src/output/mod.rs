//! What goes to stdout: records as text or JSON, and tables.

mod age;
mod escape;
mod json;
mod progress;
mod record;
mod table;
mod template;

pub(crate) use age::{ago, now_ms};
pub(crate) use escape::unescape;
pub(crate) use progress::Progress;
pub(crate) use record::{RecordView, Shape};
pub(crate) use table::{Output, Row, print};
