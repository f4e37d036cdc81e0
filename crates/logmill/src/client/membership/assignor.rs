//! Who gets which partition: balanced, and as little moved as balance allows. No I/O.
//!
//! The members' own claims are honoured first (sticky, as KIP-54 has it); then partitions move from the
//! fullest members to the emptiest until no move would make it more even. A partition that somebody
//! still holds is not given to another in the same round: it is only taken away, and its holder joins
//! again when it has let go (cooperative, KIP-429).

use std::collections::{BTreeMap, BTreeSet};

use logmill_protocol::ids::Partition;

/// A member as it joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Member {
    /// The topics it reads.
    pub(super) topics: BTreeSet<String>,
    /// The partitions it holds.
    pub(super) owned: Vec<Partition>,
    /// The generation under which it was given them, or −1 where it does not say.
    pub(super) generation: i32,
}

/// Members by their ids.
pub(super) type Members = BTreeMap<String, Member>;

/// Partitions by member id.
pub(super) type Assignment = BTreeMap<String, BTreeSet<Partition>>;

/// Assigns the partitions of all subscribed topics. `partitions` has how many each topic has.
///
/// Members that are to let go of something must join again afterwards; every partition has exactly one
/// holder once they have.
pub(super) fn assign(members: &Members, partitions: &BTreeMap<String, i32>) -> Assignment {
    let owners = owners(members, partitions);
    let mut target = balance(members, partitions, &owners);
    for (member, assigned) in &mut target {
        assigned.retain(|partition| owners.get(partition).is_none_or(|owner| owner == member));
    }
    target
}

/// Who holds what now. Where two claim the same, the one whose claim is of the newer generation.
fn owners(members: &Members, partitions: &BTreeMap<String, i32>) -> BTreeMap<Partition, String> {
    let mut owners: BTreeMap<Partition, (i32, String)> = BTreeMap::new();
    for (id, member) in members {
        for partition in &member.owned {
            let exists = partitions.get(&*partition.topic).is_some_and(|count| partition.index < *count);
            let newer = owners.get(partition).is_none_or(|(generation, _)| *generation < member.generation);
            if exists && newer && member.topics.contains(&*partition.topic) {
                owners.insert(partition.clone(), (member.generation, id.clone()));
            }
        }
    }
    owners.into_iter().map(|(partition, (_, owner))| (partition, owner)).collect()
}

fn balance(
    members: &Members,
    partitions: &BTreeMap<String, i32>,
    owners: &BTreeMap<Partition, String>,
) -> Assignment {
    let mut target: Assignment = members.keys().map(|id| (id.clone(), BTreeSet::new())).collect();
    for (partition, owner) in owners {
        target.entry(owner.clone()).or_default().insert(partition.clone());
    }
    for (topic, count) in partitions {
        let readers = |target: &Assignment| {
            let reads = |id: &&String| members.get(*id).is_some_and(|member| member.topics.contains(topic));
            target.keys().filter(reads).min_by_key(|id| target[*id].len()).cloned()
        };
        for index in 0..*count {
            let partition = Partition::new(topic.as_str(), index);
            if !owners.contains_key(&partition)
                && let Some(emptiest) = readers(&target)
            {
                target.entry(emptiest).or_default().insert(partition);
            }
        }
    }
    while let Some((from, to, partition)) = better(members, &target) {
        target.entry(from).or_default().remove(&partition);
        target.entry(to).or_default().insert(partition);
    }
    target
}

/// A move that makes the assignment more even: from the fullest member that has one to the emptiest
/// that may take it. Each lowers the sum of the squares of the loads, so this ends.
fn better(members: &Members, target: &Assignment) -> Option<(String, String, Partition)> {
    let mut by_load: Vec<_> = target.iter().collect();
    by_load.sort_by_key(|(id, assigned)| (assigned.len(), *id));
    for (from, assigned) in by_load.iter().rev() {
        for (to, fewer) in &by_load {
            if fewer.len() + 1 >= assigned.len() {
                break;
            }
            let topics = members.get(*to).map(|member| &member.topics)?;
            // The last one, so that the partitions a member keeps are the first of a topic.
            if let Some(partition) =
                assigned.iter().rev().find(|partition| topics.contains(&*partition.topic))
            {
                return Some(((*from).clone(), (*to).clone(), partition.clone()));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn member(topics: &[&str], owned: impl IntoIterator<Item = Partition>) -> Member {
        Member {
            topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
            owned: owned.into_iter().collect(),
            generation: 1,
        }
    }

    /// Rounds until nobody has to let go of anything, as the members would do them.
    fn settle(mut members: Members, partitions: &BTreeMap<String, i32>) -> (Members, usize) {
        for round in 1.. {
            let assignment = assign(&members, partitions);
            let mut revoked = false;
            for (id, member) in &mut members {
                let assigned = &assignment[id];
                revoked |= member.owned.iter().any(|partition| !assigned.contains(partition));
                member.owned = assigned.iter().cloned().collect();
            }
            if !revoked {
                return (members, round);
            }
            assert!(round < 10, "the rounds do not end");
        }
        unreachable!("the loop above returns")
    }

    #[test]
    fn a_new_member_gets_its_share_in_two_rounds_and_the_rest_stays() {
        let partitions = BTreeMap::from([("orders".to_owned(), 6)]);
        let six = (0..6).map(|index| Partition::new("orders", index));
        let members = Members::from([
            ("a".to_owned(), member(&["orders"], six)),
            ("b".to_owned(), member(&["orders"], [])),
        ]);
        let first = assign(&members, &partitions);
        assert_eq!((first["a"].len(), first["b"].len()), (3, 0), "nothing has two holders");
        let (members, rounds) = settle(members, &partitions);
        assert_eq!((members["a"].owned.len(), members["b"].owned.len(), rounds), (3, 3, 2));
    }

    #[test]
    fn of_two_claims_the_newer_generation_holds() {
        let partitions = BTreeMap::from([("orders".to_owned(), 1)]);
        let claim = Partition::new("orders", 0);
        let old = Member { generation: 3, ..member(&["orders"], [claim.clone()]) };
        let new = Member { generation: 4, ..member(&["orders"], [claim.clone()]) };
        let assignment = assign(&Members::from([("a".to_owned(), old), ("b".to_owned(), new)]), &partitions);
        assert!(assignment["b"].contains(&claim) && assignment["a"].is_empty());
    }

    proptest! {
        #[test]
        fn every_partition_has_one_holder_loads_are_even_and_nothing_moves_twice(
            counts in prop::collection::vec(0..9i32, 1..4),
            subscriptions in prop::collection::vec(prop::collection::vec(any::<bool>(), 3), 1..6),
            claims in prop::collection::vec((0..6usize, 0..4usize, 0..9i32), 0..30),
        ) {
            let partitions: BTreeMap<_, _> =
                counts.iter().enumerate().map(|(topic, count)| (format!("t{topic}"), *count)).collect();
            let mut members = Members::new();
            for (id, reads) in subscriptions.iter().enumerate() {
                let topics = (0..counts.len()).filter(|topic| reads[*topic]).map(|topic| format!("t{topic}"));
                members.insert(format!("m{id}"), Member { topics: topics.collect(), owned: vec![], generation: 1 });
            }
            for (id, topic, index) in claims {
                if let Some(member) = members.get_mut(&format!("m{id}")) {
                    member.owned.push(Partition::new(format!("t{topic}"), index));
                }
            }
            let before = assign(&members, &partitions);
            let mut given = BTreeSet::new();
            for partition in before.values().flatten() {
                prop_assert!(given.insert(partition.clone()), "{partition} was given twice");
            }
            let (settled, _) = settle(members.clone(), &partitions);
            for (topic, count) in &partitions {
                let readers = settled.values().filter(|member| member.topics.contains(topic)).count();
                let held = settled.values().flat_map(|member| &member.owned);
                let held = held.filter(|partition| *partition.topic == **topic).count();
                prop_assert_eq!(held, if readers == 0 { 0 } else { *count as usize });
            }
            if members.values().all(|member| member.topics.len() == counts.len()) {
                let loads = settled.values().map(|member| member.owned.len());
                prop_assert!(loads.clone().max().unwrap_or(0) - loads.min().unwrap_or(0) <= 1);
            }
            let (again, rounds) = settle(settled.clone(), &partitions);
            prop_assert_eq!(rounds, 1);
            prop_assert!(again == settled, "a settled assignment moved");
        }
    }
}
