//! The `logmill` command as its users run it: the built program, against `logmill broker`.
#![allow(clippy::unwrap_used)]

mod admin_http;
mod check;
mod control;
mod dead;
mod doctor;
mod errors;
mod examples;
mod group;
mod harness;
mod java;
mod kcat;
mod node;
mod nodes;
mod produce;
mod push;
mod takeover;
mod topic;
mod units;
mod work;
