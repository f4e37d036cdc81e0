//! What the commands that are a node of a group share: their flags, and when they are through.

mod flags;
mod goal;

pub(crate) use flags::NodeFlags;
pub(crate) use goal::{Goal, LOOK_EVERY};
