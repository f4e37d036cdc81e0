//! The name of every key of a group in Redis. No other file spells one.
//!
//! All begin with `logmill:{group:shard}:`; the braces put a shard's keys into one slot of a cluster.
//! None expires: what would expire can be rebuilt, but not noticed.

/// The shard of everything, until a group is spread over several.
const SHARD: u32 = 0;

/// A name in the scripts, and what follows the prefix.
pub(super) const KEYS: [(&str, &str); 12] = [
    // Hash: `schema`, the clock (`now`, `seen`), `lost` offsets.
    ("META", "meta"),
    // Hash: partition → `generation boot epoch watermark planned`, and of a lane its turn:
    // ` leased back since holder`.
    ("PARTS", "parts"),
    // Sorted set: `partition start` of each waiting unit, by the time from which it is visible; of a
    // lane that is free `partition 0`, for all of its units.
    ("READY", "ready"),
    // Sorted set: `partition start` of each leased unit, by deadline.
    ("LEASED", "lease"),
    // And a partition: hash: start → `end position attempt nonce taken-at visible node` of each unit.
    ("UNITS", "units:"),
    // And a lane: sorted set: start of each waiting unit, by itself.
    ("WAIT", "wait:"),
    // And a partition: sorted set: `start:end` of each settled range above the watermark, by start.
    ("DONE", "done:"),
    // List: `partition generation start end cause` of the newest gaps.
    ("GAPS", "gaps"),
    // Hash: node → what it says of itself.
    ("NODES", "nodes"),
    // Sorted set: nodes, by the time they were seen last.
    ("SEEN", "seen"),
    // Set: nodes that organise.
    ("ORGANISERS", "organisers"),
    // Channel: a word on it says that units may have been added.
    ("WAKE", "wake"),
];

/// What every key of a group begins with.
///
/// A group's name may hold any character; what could end the hash tag early is written as `%XX`.
pub(super) fn prefix(group: &str) -> String {
    let mut name = String::new();
    for byte in group.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => name.push(char::from(byte)),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    format!("logmill:{{{name}:{SHARD}}}:")
}

/// The key in which a group's schema version is.
pub(super) fn meta(prefix: &str) -> String {
    format!("{prefix}meta")
}

/// The channel that says that units may have been added.
pub(super) fn wake(prefix: &str) -> String {
    format!("{prefix}wake")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_any_name_has_one_hash_tag() {
        assert_eq!(prefix("billing"), "logmill:{billing:0}:");
        assert_eq!(prefix("a}b{ü"), "logmill:{a%7Db%7B%C3%BC:0}:");
        assert_eq!(prefix(""), "logmill:{:0}:");
    }

    #[test]
    fn the_keys_named_twice_agree() {
        assert!(KEYS.contains(&("META", meta("").as_str())));
        assert!(KEYS.contains(&("WAKE", wake("").as_str())));
    }
}
