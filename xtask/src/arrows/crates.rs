//! Which crate may depend on which.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Outcome;
use crate::run::{cargo, output};

/// A crate, what of ours it may use, and what more its tests may.
const ARROWS: [(&str, &[&str], &[&str]); 5] = [
    ("logmill-protocol", &[], &[]),
    ("logmill", &["logmill-protocol"], &["logmill-testkit"]),
    ("logmill-testkit", &["logmill-protocol"], &[]),
    ("logmill-cli", &["logmill", "logmill-testkit"], &[]),
    ("xtask", &[], &[]),
];

/// Crates that bring a runtime, a clock, a socket, a thread or randomness: the protocol has none of them,
/// not even through others.
const IMPURE: [&str; 15] = [
    "async-std",
    "chrono",
    "crossbeam-channel",
    "fastrand",
    "futures-executor",
    "futures-util",
    "getrandom",
    "mio",
    "rand",
    "rand_core",
    "rayon",
    "smol",
    "socket2",
    "time",
    "tokio",
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `dev`, `build`, or nothing for one that users get too.
    kind: Option<String>,
}

/// What is wrong, a line each.
pub(super) fn check() -> Outcome<Vec<String>> {
    let words = ["metadata", "--format-version", "1", "--no-deps"];
    let metadata: Metadata = serde_json::from_slice(&output(cargo().args(words))?)?;
    let words =
        ["tree", "--package", "logmill-protocol", "--edges", "normal", "--all-features", "--prefix", "none"];
    let tree = String::from_utf8(output(cargo().args(words))?)?;
    let mut wrong = arrows(&metadata.packages);
    wrong.extend(purity(&tree));
    Ok(wrong)
}

fn arrows(packages: &[Package]) -> Vec<String> {
    let rules: BTreeMap<&str, (&[&str], &[&str])> =
        ARROWS.iter().map(|(name, uses, tests_use)| (*name, (*uses, *tests_use))).collect();
    let mut wrong = Vec::new();
    for package in packages {
        let Some((uses, tests_use)) = rules.get(package.name.as_str()) else {
            wrong.push(format!("crate {} has no place in the layout", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            let in_tests = dependency.kind.as_deref() == Some("dev");
            let allowed = uses.contains(&name) || (in_tests && tests_use.contains(&name));
            if rules.contains_key(name) && !allowed {
                wrong.push(format!("crate {} may not depend on {name}", package.name));
            }
        }
    }
    wrong
}

/// `tree` has a dependency a line, the name first.
fn purity(tree: &str) -> Vec<String> {
    let mut names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| IMPURE.contains(name));
    names
        .iter()
        .map(|name| format!("logmill-protocol depends on {name}, which does more than decide"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, uses: &str, kind: Option<&str>) -> Package {
        let dependency = Dependency { name: uses.to_owned(), kind: kind.map(str::to_owned) };
        Package { name: name.to_owned(), dependencies: vec![dependency] }
    }

    #[test]
    fn an_arrow_the_wrong_way_is_found() {
        assert!(arrows(&[package("logmill-cli", "logmill", None)]).is_empty());
        assert!(arrows(&[package("logmill", "logmill-testkit", Some("dev"))]).is_empty());
        assert!(arrows(&[package("logmill", "bytes", None)]).is_empty());
        for (name, uses, kind) in [
            ("logmill", "logmill-testkit", None),
            ("logmill-testkit", "logmill", Some("dev")),
            ("logmill-protocol", "logmill", Some("dev")),
            ("logmill-new", "bytes", None),
        ] {
            assert_eq!(arrows(&[package(name, uses, kind)]).len(), 1, "{name} → {uses}");
        }
    }

    #[test]
    fn a_runtime_behind_the_protocol_is_found() {
        assert!(purity("logmill-protocol v0.1.0\nbytes v1.0.0\nrandom-name v1\n").is_empty());
        assert_eq!(purity("bytes v1.0.0\ntokio v1.0.0\ntokio v1.0.0 (*)\n").len(), 1);
    }
}
