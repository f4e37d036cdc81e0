//! The client against the embedded broker, under paused time: connections, metadata, reading,
//! administration, consumer groups.

#![allow(clippy::unwrap_used)]

mod admin;
mod cluster;
mod connection;
mod fetch;
mod log;
mod membership;
mod support;
