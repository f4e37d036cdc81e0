//! The Lua scripts, one for each transition, and how one is called.

use std::fmt::Write as _;
use std::sync::LazyLock;

use logmill_protocol::ids::MAX_OFFSET;
use logmill_protocol::work::{
    LANE_RUN, MAX_DELAY_MS, MAX_DONE_SHOWN, MAX_GAPS_KEPT, MAX_NODES, MAX_NODES_DROPPED, MAX_RECLAIMED,
    MAX_TIME_MS, MAX_UNITS, PAGE,
};
use redis::{Cmd, ToRedisArgs};

use super::keys;

/// The layout of the keys. A store of another version is refused, never guessed at.
pub(super) const SCHEMA: &str = "2";

/// What only some scripts need, by the call that shows it: each function costs whoever defines it.
const SHARED: [(&str, &str); 2] =
    [("remove_part(", include_str!("lua/remove.lua")), ("place_lane(", include_str!("lua/lane.lua"))];

/// One script as it is sent: its own text after the common start.
pub(super) struct Script {
    pub(super) text: String,
    hash: String,
}

impl Script {
    fn new(body: &str) -> Self {
        // Redis reads the flags from the first line, so that one stays first.
        let (flags, body) = body.split_once('\n').unwrap_or((body, ""));
        let used = SHARED.iter().filter(|(call, _)| body.contains(call)).map(|(_, text)| *text);
        let start = [include_str!("lua/prelude.lua")].into_iter().chain(used).collect::<String>();
        let names = names(&[&start, body].concat());
        let text = format!("{flags}\n{names}{start}{body}");
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }

    /// A call of this script by its hash.
    pub(super) fn call(&self, prefix: &str, time: Option<u64>) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.hash).arg(1).arg(prefix);
        match time {
            Some(time) => call.arg(time),
            None => call.arg(""),
        };
        call
    }

    /// The same call with the script's text, for a server that does not know the hash.
    pub(super) fn call_with_text(&self, call: &Cmd) -> Cmd {
        let mut with_text = redis::cmd("EVAL");
        with_text.arg(&self.text);
        for argument in call.args_iter().skip(2) {
            match argument {
                redis::Arg::Simple(bytes) => bytes.write_redis_args(&mut with_text),
                _ => continue,
            }
        }
        with_text
    }
}

/// Names of keys and bounds that `text` uses.
fn names(text: &str) -> String {
    let bounds = [
        ("LANE_RUN", LANE_RUN as u64),
        ("MAX_ATTEMPT", u32::MAX.into()),
        ("MAX_DONE_SHOWN", MAX_DONE_SHOWN as u64),
        ("MAX_GAPS_KEPT", MAX_GAPS_KEPT as u64),
        ("MAX_NODES", MAX_NODES.into()),
        ("MAX_NODES_DROPPED", MAX_NODES_DROPPED as u64),
        ("MAX_OFFSET", MAX_OFFSET as u64),
        ("MAX_RECLAIMED", MAX_RECLAIMED as u64),
        ("MAX_STEP_MS", MAX_DELAY_MS),
        ("MAX_TIME_MS", MAX_TIME_MS),
        ("MAX_UNITS", MAX_UNITS.into()),
        ("PAGE", PAGE as u64),
    ];
    let used = |name: &str| text.contains(name);
    let mut lines = format!("local SCHEMA = '{SCHEMA}'\n");
    for (name, key) in keys::KEYS.iter().filter(|(name, _)| used(name)) {
        // Writing to a string does not fail.
        let _ = writeln!(lines, "local {name} = KEYS[1] .. '{key}'");
    }
    for (name, value) in bounds.iter().filter(|(name, _)| used(name)) {
        let _ = writeln!(lines, "local {name} = {value}");
    }
    lines
}

macro_rules! scripts {
    ($($name:ident = $file:literal,)+) => {
        $(pub(super) static $name: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!($file)));)+

        #[cfg(test)]
        const ALL: &[(&str, &LazyLock<Script>)] = &[$(($file, &$name)),+];
    };
}

scripts! {
    REBUILD = "lua/rebuild.lua",
    RAISE = "lua/raise.lua",
    PLAN = "lua/plan.lua",
    TAKE = "lua/take.lua",
    RENEW = "lua/renew.lua",
    SETTLE = "lua/settle.lua",
    REQUEUE = "lua/requeue.lua",
    FORGET = "lua/forget.lua",
    ANNOUNCE = "lua/announce.lua",
    DEPART = "lua/depart.lua",
    SNAPSHOT = "lua/snapshot.lua",
    OVERVIEW = "lua/overview.lua",
    PARTITIONS = "lua/partitions.lua",
    UNITS = "lua/units.lua",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_first_and_every_name_is_defined_before_its_use() {
        for (file, script) in ALL {
            let text = &script.text;
            assert!(text.starts_with("#!lua"), "{file}");
            assert_eq!(text.matches("#!lua").count(), 1, "{file}");
            for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                let is_name = word.starts_with("MAX_") || keys::KEYS.iter().any(|(name, _)| *name == word);
                let defined = text.contains(&format!("local {word} = "));
                assert!(!is_name || defined || word == "MAX_", "{file} does not define {word}");
            }
        }
    }

    #[test]
    fn only_what_adds_units_is_refused_when_memory_is_short() {
        for (file, script) in ALL {
            let flags = script.text.lines().next().unwrap_or_default();
            let refused = matches!(*file, "lua/plan.lua" | "lua/rebuild.lua");
            assert_eq!(flags == "#!lua", refused, "{file}: {flags}");
        }
    }

    #[test]
    fn the_text_is_sent_with_the_same_arguments() {
        let mut call = PLAN.call("prefix:", Some(7));
        call.arg("last");
        let args = |cmd: &Cmd| cmd.args_iter().map(|arg| format!("{arg:?}")).collect::<Vec<_>>();
        let (by_hash, by_text) = (args(&call), args(&PLAN.call_with_text(&call)));
        assert_eq!(by_hash[2..], by_text[2..]);
        assert_eq!(by_text.len(), 6);
    }
}
