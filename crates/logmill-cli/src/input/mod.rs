//! What comes in: from the command line, the environment and stdin.

mod connect;
mod group;
mod position;
mod split;
mod time;

pub(crate) use connect::{Connect, redis};
pub(crate) use group::{NamedGroup, OfGroup, user};
pub(crate) use position::{Bounds, Position};
pub(crate) use split::Records;
pub(crate) use time::{date_of, parse_duration, parse_time_now};
