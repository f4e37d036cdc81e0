//! `logmill work`: handlers that are programs, here a line of sed each.

use super::harness::{Broker, Running, logmill, logmill_with};

/// Answers each record: 7 is a dead letter, 8 never succeeds, 9 kills the program that has it first.
const HANDLER: &str = r#"
    /"payload":"9".*"attempt":1[,}]/Q3
    s/^\({"topic":"[^"]*","partition":[0-9]*,"offset":[0-9]*\),.*"payload":"7".*/\1,"status":"dead","error":"seven"}/;t
    s/^\({"topic":"[^"]*","partition":[0-9]*,"offset":[0-9]*\),.*"payload":"8".*/\1,"status":"retry","error":"eight"}/;t
    s/^\({"topic":"[^"]*","partition":[0-9]*,"offset":[0-9]*\),.*/\1,"status":"ack"}/
"#;

fn work<'a>(b: &'a str, more: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    let words = ["work", "-b", b, "-g", "foresters", "-t", "trees", "-o", "beginning"];
    [&words[..], more, &["--"], command].concat()
}

fn keyed(numbers: std::ops::RangeInclusive<u32>) -> String {
    numbers.map(|number| format!("{}:{number}\n", number % 5)).collect()
}

fn dead(b: &str) -> Vec<(u64, String, String)> {
    let listed = logmill(&["dead", "list", "-b", b, "-g", "foresters", "--json"]).ok();
    let listed: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let mut all: Vec<_> = listed
        .iter()
        .map(|letter| (letter["attempts"].as_u64().unwrap(), text(&letter["reason"]), text(&letter["error"])))
        .collect();
    all.sort();
    all
}

#[test]
fn each_answer_counts_and_a_program_that_dies_is_started_again() {
    for order in ["unordered", "key", "partition"] {
        let broker = Broker::start(&["-t", "trees:2"]);
        let b = &*broker.servers;
        logmill_with(&["produce", "-b", b, "-t", "trees", "-K:"], keyed(1..=40).as_bytes()).ok();
        let flags = ["--order", order, "-j", "3", "--max-attempts", "3", "--backoff", "20ms", "-e"];
        logmill(&work(b, &flags, &["sed", "-u", HANDLER])).ok();
        let expected =
            [(1, "handler".to_owned(), "seven".to_owned()), (3, "attempts".to_owned(), "eight".to_owned())];
        assert_eq!(dead(b), expected, "{order}");
        // All others are handled: nothing is left for the group.
        assert_eq!(
            logmill(&["consume", "-b", b, "-g", "foresters", "-t", "trees", "--order", order, "-e"]).ok(),
            ""
        );
    }
}

#[test]
fn where_all_records_fail_a_breaker_keeps_them_from_being_given_up_on() {
    let broker = Broker::start(&["-t", "trees:1"]);
    let b = &*broker.servers;
    logmill_with(&["produce", "-b", b, "-t", "trees", "-K:"], keyed(1..=200).as_bytes()).ok();
    let fails = r#"s/^\({"topic":"[^"]*","partition":[0-9]*,"offset":[0-9]*\),.*/\1,"status":"retry"}/"#;
    let node = Running::start(&work(b, &["--max-attempts", "1", "--breaker", "50"], &["sed", "-u", fails]));
    // With the twentieth record it holds back, for ten seconds.
    while dead(b).len() < 19 {}
    assert_eq!(node.signal("TERM").1, Some(0));
    assert_eq!(dead(b).len(), 19);
}

#[test]
fn dead_letters_come_again_when_they_are_asked_for() {
    let broker = Broker::start(&["-t", "trees:1"]);
    let b = &*broker.servers;
    logmill_with(&["produce", "-b", b, "-t", "trees"], b"6\n7\n").ok();
    logmill(&work(b, &["-e"], &["sed", "-u", HANDLER])).ok();
    assert_eq!(dead(b).len(), 1);
    let requeue = ["dead", "requeue", "-b", b, "-g", "foresters", "--all"];
    let planned = logmill(&requeue);
    assert!(planned.stdout.contains('1') && planned.stderr.contains("--execute"), "{planned:?}");
    assert_eq!(dead(b).len(), 1, "a plan changes nothing");
    logmill(&[&requeue[..], &["--execute"]].concat()).ok();
    assert_eq!(dead(b), []);
    let again = logmill(&["consume", "-b", b, "-g", "foresters", "-t", "trees", "-e", "-f", "%s %h\\n"]).ok();
    assert!(again.starts_with("7 ") && again.contains("logmill-requeued-from=trees/0@1"), "{again}");
}

/// Writes down each record when it begins with it, and takes its time.
const SLOW: &str =
    r#"sed -u "$0" | while IFS= read -r answer; do echo "$answer" >> "$1"; sleep 0.02; echo "$answer"; done"#;

#[test]
fn asked_to_stop_it_waits_for_answers_and_nothing_is_handled_twice() {
    let broker = Broker::start(&["-t", "trees:2"]);
    let b = &*broker.servers;
    logmill_with(&["produce", "-b", b, "-t", "trees", "-K:"], keyed(100..=299).as_bytes()).ok();
    let seen = std::env::temp_dir().join(format!("logmill-work-{}", std::process::id()));
    let handler = ["sh", "-c", SLOW, HANDLER, seen.to_str().unwrap()];
    let begun = || std::fs::read_to_string(&seen).unwrap_or_default().lines().count();
    let first = Running::start(&work(b, &["-j", "1", "--in-flight", "8"], &handler));
    while begun() < 20 {
        // A file tells nobody that it has grown.
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let (_, code) = first.signal("TERM");
    assert_eq!(code, Some(0));
    assert!(begun() < 200, "it was to be stopped in the middle");
    logmill(&work(b, &["-j", "1", "-e"], &handler)).ok();
    let text = std::fs::read_to_string(&seen).unwrap();
    let mut places: Vec<&str> = text.lines().collect();
    assert_eq!(places.len(), 200, "each record is begun once");
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), 200);
    std::fs::remove_file(seen).unwrap();
}

/// Writes down each record before it answers; the first it holds until it is allowed to answer.
const HOLDS: &str = r#"
while IFS= read -r line; do
    place=${line%%,\"key\"*}
    echo "$place" >> "$0.$1"
    while [ ! -e "$0.go" ]; do sleep 0.02; done
    echo "$place,\"status\":\"ack\"}"
done
"#;

#[test]
fn a_record_that_waited_for_a_hand_past_its_lease_is_not_handed_out() {
    let broker = Broker::start(&["-t", "trees:1"]);
    let b = &*broker.servers;
    logmill_with(&["produce", "-b", b, "-t", "trees"], b"0\n1\n2\n").ok();
    let files = std::env::temp_dir().join(format!("logmill-past-{}", std::process::id()));
    let files = files.to_str().unwrap();
    let node = |name| {
        let flags = ["-j", "1", "--lease", "1s", "--session-timeout", "6s", "--commit-interval", "100ms"];
        Running::start(&work(b, &flags, &["sh", "-c", HOLDS, files, name]))
    };
    let handled = |name: &str| std::fs::read_to_string(format!("{files}.{name}")).unwrap_or_default();
    let until = |name: &str, records: usize| {
        let from = std::time::Instant::now();
        while handled(name).lines().count() < records {
            assert!(from.elapsed().as_secs() < 60, "{name} has handled {}", handled(name));
            // A file tells nobody that it has grown.
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    let sleeper = node("sleeper");
    until("sleeper", 1);
    sleeper.tell("STOP");
    let other = node("other");
    until("other", 1);
    std::fs::write(format!("{files}.go"), "").unwrap();
    until("other", 3);
    let settled = || {
        let groups = logmill(&["group", "describe", "-b", b, "foresters", "--output", "json"]).ok();
        serde_json::from_str::<serde_json::Value>(&groups).unwrap()["items"][0]["watermark"] == 3
    };
    while !settled() {}
    sleeper.tell("CONT");
    other.signal("TERM");
    logmill_with(&["produce", "-b", b, "-t", "trees"], b"3\n").ok();
    until("sleeper", 2);
    let offsets: Vec<String> =
        handled("sleeper").lines().map(|line| line.rsplit(':').next().unwrap().to_owned()).collect();
    assert_eq!(offsets, ["0", "3"], "records 1 and 2 were another node's by then");
    for name in ["sleeper", "other", "go"] {
        std::fs::remove_file(format!("{files}.{name}")).unwrap();
    }
}
