//! The `logmill` command as its users run it: the built program, against `logmill broker`.
#![allow(clippy::unwrap_used)]

mod dead;
mod errors;
mod harness;
mod java;
mod kcat;
mod produce;
mod topic;
