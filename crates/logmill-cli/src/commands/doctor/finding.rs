//! One line of what the doctor found, for people and for programs.

use std::io::{self, Write};

use logmill::store::RedisServer;
use serde::Serialize;
use serde_json::json;

/// Something that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) ok: bool,
    about: &'static str,
    text: String,
    /// What to do, as far as it can be typed.
    next: Vec<String>,
}

impl Finding {
    pub(super) fn right(about: &'static str, text: String) -> Self {
        Self { ok: true, about, text, next: Vec::new() }
    }

    pub(super) fn wrong(about: &'static str, text: String, next: Vec<String>) -> Self {
        Self { ok: false, about, text, next }
    }
}

pub(super) fn of_redis(server: &RedisServer) -> Finding {
    let shown = |value: Option<&str>| value.unwrap_or("not shown").to_owned();
    let ahead = match server.clock_ahead_ms {
        ms @ 0.. => format!("clock {ms} ms ahead of ours"),
        ms => format!("clock {} ms behind ours", ms.unsigned_abs()),
    };
    let text = format!(
        "Redis {}, answers in {:.1} ms, maxmemory-policy {}, {ahead}",
        shown(server.version.as_deref()),
        server.answered_in.as_secs_f64() * 1e3,
        shown(server.eviction.as_deref()),
    );
    if !server.is_full() {
        return Finding::right("redis", text);
    }
    let megabytes = server.max_memory.unwrap_or_default() >> 20;
    let full = format!("{text}; it has no memory left of its {megabytes} MiB: nothing new is planned");
    let next = "redis-cli CONFIG SET maxmemory BYTES, or let nodes settle what is planned".to_owned();
    Finding::wrong("redis", full, vec![next])
}

pub(super) fn print(findings: &[Finding], as_json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
        writeln!(out, "{}", json!({ "version": 1, "findings": findings }))?;
        return out.flush();
    }
    for Finding { ok, about, text, next } in findings {
        writeln!(out, "{} {about:<10} {text}", if *ok { '✓' } else { '✗' })?;
        for next in next {
            writeln!(out, "  {:<10} next: {next}", "")?;
        }
    }
    out.flush()
}
