//! Which file may name what, and how long it may be.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::run::root;

/// Words that may stand in code only where the rule says, and why.
struct Rule {
    /// Files whose path begins so are bound by it.
    within: &'static str,
    /// Of those, files whose path begins so are free of it.
    except: &'static str,
    words: &'static [&'static str],
    why: &'static str,
}

const RULES: [Rule; 7] = [
    Rule {
        within: "crates/logmill-protocol/src/",
        except: " ",
        words: &[
            "std::net",
            "std::thread",
            "std::fs",
            "std::process",
            "std::env",
            "std::time::Instant",
            "Instant::now",
            "SystemTime",
            "tokio",
            "rand::",
            "async fn",
            "async move",
            ".await",
        ],
        why: "logmill-protocol decides; sockets, clocks, threads, randomness and async are elsewhere",
    },
    Rule {
        within: "crates/logmill/src/",
        except: "crates/logmill/src/client/transport",
        words: &["TcpStream", "TcpListener", "TcpSocket", "UdpSocket", "UnixStream"],
        why: "sockets are opened in client/transport only",
    },
    Rule {
        within: "crates/",
        except: "crates/logmill/src/store/redis/keys.rs",
        words: &["logmill:{", "'logmill:"],
        why: "Redis keys are named in store/redis/keys.rs only",
    },
    Rule {
        within: "crates/logmill/src/",
        except: " ",
        words: &["unbounded_channel", "mpsc::unbounded"],
        why: "no queue grows without a bound",
    },
    Rule {
        within: "crates/logmill/src/client/",
        except: " ",
        words: &["crate::ledger", "crate::store", "crate::organiser", "crate::node", "crate::inspect"],
        why: "the client is below ledger, store, organiser, node and inspect",
    },
    Rule {
        within: "crates/logmill/src/ledger/",
        except: " ",
        words: &["crate::store", "crate::control", "crate::organiser", "crate::node", "crate::inspect"],
        why: "the ledger stands on the client, beside the store, below control, organiser, node and inspect",
    },
    Rule {
        within: "crates/logmill/src/control/",
        except: " ",
        words: &["crate::store", "crate::organiser", "crate::node", "crate::inspect"],
        why: "control stands on client and ledger, below organiser, node and inspect",
    },
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "common", "helpers", "misc", "types"];

/// Lines from which on a file is listed, and from which on it is refused.
const LONG: usize = 400;
const TOO_LONG: usize = 600;

/// What is wrong, a line each.
pub(super) fn check(files: &[PathBuf]) -> Outcome<Vec<String>> {
    let mut wrong = Vec::new();
    for path in files {
        let shown = path.to_string_lossy().replace('\\', "/");
        // Binary files, such as golden record batches, have nothing to read.
        let Ok(text) = String::from_utf8(fs::read(root().join(path))?) else { continue };
        if !shown.starts_with("xtask/src/arrows/") {
            wrong.extend(places(&shown, &text));
        }
        if path.extension().is_some_and(|ending| ending == "rs") {
            wrong.extend(rust(&shown, path, &text));
        }
        if shown.ends_with(".lua") && !shown.starts_with("crates/logmill/src/store/redis/lua/") {
            wrong.push(format!("{shown}: Lua is in crates/logmill/src/store/redis/lua/ only"));
        }
    }
    Ok(wrong)
}

fn rust(shown: &str, path: &Path, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let generated = shown.starts_with("crates/logmill-protocol/src/messages/");
    if !generated {
        if !text.starts_with("//! ") {
            wrong.push(format!("{shown}: opens without a `//!` line that says what it is for"));
        }
        match text.lines().count() {
            lines if lines > TOO_LONG => wrong.push(format!("{shown}: {lines} lines, more than {TOO_LONG}")),
            lines if lines > LONG => eprintln!("    long: {shown}, {lines} lines"),
            _ => {}
        }
    }
    for part in path.with_extension("").iter().filter_map(|part| part.to_str()) {
        if EMPTY_NAMES.contains(&part) || part == "manager" {
            wrong.push(format!("{shown}: `{part}` says nothing about what is inside"));
        }
    }
    let bound: Vec<&Rule> = RULES
        .iter()
        .filter(|rule| shown.starts_with(rule.within) && !shown.starts_with(rule.except))
        .collect();
    for (number, line) in text.lines().enumerate() {
        let code = code_of(line);
        for rule in &bound {
            if let Some(word) = rule.words.iter().find(|word| code.contains(**word)) {
                wrong.push(format!("{shown}:{}: `{word}`: {}", number + 1, rule.why));
            }
        }
    }
    wrong
}

/// A line without its comment. A `//` inside a string ends the line too early, which no rule minds.
fn code_of(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

/// Hosts of package registries and paths of one machine have no place in any file.
fn places(shown: &str, text: &str) -> Vec<String> {
    const PLACES: [&str; 11] = [
        "repo.maven.apache.org",
        "repo1.maven.org",
        "index.crates.io",
        "static.crates.io",
        "proxy.golang.org",
        "registry.npmjs.org",
        "deb.debian.org",
        "files.pythonhosted.org",
        "/root/",
        "/work/",
        "/home/",
    ];
    let lines = text.lines().enumerate();
    lines
        .filter_map(|(number, line)| {
            let place = PLACES.iter().find(|place| line.contains(**place))?;
            Some(format!("{shown}:{}: `{place}` is of one machine or one network", number + 1))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        rust(path, Path::new(path), text).len()
    }

    #[test]
    fn a_socket_outside_the_transport_is_found() {
        let text = "//! A file.\nuse tokio::net::TcpStream;\n";
        assert_eq!(found("crates/logmill/src/client/connection.rs", text), 1);
        assert_eq!(found("crates/logmill/src/client/transport/tcp.rs", text), 0);
        assert_eq!(found("crates/logmill-testkit/src/proxy/carry.rs", text), 0);
    }

    #[test]
    fn a_clock_in_the_protocol_is_found_and_a_comment_is_not() {
        let path = "crates/logmill-protocol/src/work/lease.rs";
        assert_eq!(found(path, "//! A file.\nlet now = Instant::now();\n"), 1);
        assert_eq!(found(path, "//! A file.\n// no tokio here\n"), 0);
    }

    #[test]
    fn an_empty_name_a_missing_head_and_a_long_file_are_found() {
        assert_eq!(found("crates/logmill/src/util/mod.rs", "//! A file.\n"), 1);
        assert_eq!(found("crates/logmill/src/lib.rs", "fn main() {}\n"), 1);
        assert_eq!(found("crates/logmill/src/lib.rs", &"//! A file.\n".repeat(TOO_LONG + 1)), 1);
    }

    #[test]
    fn a_key_outside_its_file_is_found() {
        let text = "//! A file.\nlet key = format!(\"logmill:{{{group}}}:meta\");\n";
        assert_eq!(found("crates/logmill/src/store/redis/mod.rs", text), 1);
        assert_eq!(found("crates/logmill/src/store/redis/keys.rs", text), 0);
    }

    #[test]
    fn a_ledger_that_looks_up_is_found() {
        let text = "//! A file.\nuse crate::node::Settings;\n";
        assert_eq!(found("crates/logmill/src/ledger/mod.rs", text), 1);
        assert_eq!(found("crates/logmill/src/organiser/mod.rs", text), 0);
        assert_eq!(found("crates/logmill/src/client/mod.rs", "//! A file.\nuse crate::ledger::Ledger;\n"), 1);
    }

    #[test]
    fn a_registry_host_is_found_in_any_file() {
        assert_eq!(places("pom.xml", "<url>https://repo1.maven.org/maven2</url>\n").len(), 1);
    }
}
