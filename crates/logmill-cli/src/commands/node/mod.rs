//! What the commands that are a node of a group share: their flags, when they are through, and how records get to
//! whoever handles them outside this process.

mod feed;
mod flags;
mod goal;

pub(crate) use feed::{FeedArgs, Inbox};
pub(crate) use flags::{NodeFlags, OrderFlag};
pub(crate) use goal::{Goal, LOOK_EVERY};

use std::time::Duration;

/// A delay that somebody outside asks for is no longer than a day.
pub(crate) const LONGEST_DELAY: Duration = Duration::from_secs(24 * 60 * 60);
