//! The embedded cluster, asked over raw wire frames under paused time.
#![allow(clippy::unwrap_used, missing_docs)]

mod admin;
mod faults;
mod fetch;
mod groups;
mod hostile;
mod logs;
mod produce;
mod repeatable;
mod transactions;
mod versions;
mod wire;
