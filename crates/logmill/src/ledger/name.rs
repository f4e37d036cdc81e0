//! What a group's ledger is called.

const PREFIX: &str = "logmill.ledger.";

/// The longest name that Kafka allows.
const LONGEST: usize = 249;

/// The topic of a group's ledger. A group's name may hold what a topic's may not: then a hash keeps
/// apart what looks alike.
pub(super) fn of_group(group: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name: String = group.chars().map(|c| if fits(c) { c } else { '_' }).collect();
    if name == group && PREFIX.len() + name.len() <= LONGEST {
        return format!("{PREFIX}{name}");
    }
    let hash = format!("-{:08x}", hash(group));
    let room = LONGEST - PREFIX.len() - hash.len();
    format!("{PREFIX}{}{hash}", name.get(..room).unwrap_or(&name))
}

/// FNV-1a. It names topics, so it can never change.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_kafka_allows_stays_and_others_are_told_apart() {
        assert_eq!(of_group("billing"), "logmill.ledger.billing");
        assert_eq!(of_group("bill/ing"), "logmill.ledger.bill_ing-853ffe97");
        assert_ne!(of_group("bill ing"), of_group("bill/ing"));
        assert_ne!(of_group("rechnungen-ä"), of_group("rechnungen-ö"));
        let long = "g".repeat(300);
        assert_eq!(of_group(&long).len(), LONGEST);
        assert_ne!(of_group(&long), of_group(&"g".repeat(301)));
    }
}
