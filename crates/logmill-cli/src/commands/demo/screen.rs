//! What the demo shows: a table that is drawn over itself on a terminal, plain lines elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::stage::View;
use super::tally::Summary;

/// Partitions shown one by one; more are shown as one line.
const ROWS: usize = 24;

/// Standard output, and what is on it.
pub(super) struct Screen {
    terminal: bool,
    drawn: Mutex<Drawn>,
}

struct Drawn {
    /// Lines of the table, to be drawn over.
    lines: usize,
    at: Instant,
    handled: u64,
}

impl Screen {
    pub(super) fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { terminal, drawn: Mutex::new(Drawn { lines: 0, at: Instant::now(), handled: 0 }) }
    }

    /// How long between two looks.
    pub(super) fn pause(&self) -> Duration {
        Duration::from_millis(if self.terminal { 250 } else { 1_000 })
    }

    /// A line that stays.
    pub(super) fn line(&self, text: &str) {
        let mut drawn = self.drawn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.erase(&mut drawn);
        self.write(&format!("{text}\n"));
    }

    pub(super) fn show(&self, view: &View) {
        let mut drawn = self.drawn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let elapsed = drawn.at.elapsed().as_secs_f64().max(0.001);
        let rate = (view.handled.saturating_sub(drawn.handled)) as f64 / elapsed;
        (drawn.at, drawn.handled) = (Instant::now(), view.handled);
        let lag = view.produced.saturating_sub(view.handled);
        let head = format!(
            "produced {:>10}   handled {:>10}   lag {:>8}   {:>8.0}/s   {} nodes",
            view.produced, view.handled, lag, rate, view.nodes
        );
        if !self.terminal {
            let watermarks: Vec<_> =
                view.partitions.iter().map(|(watermark, _)| watermark.to_string()).collect();
            self.write(&format!("{head}   watermarks {}\n", watermarks.join(" ")));
            return;
        }
        let mut text = format!("{head}\n\nPARTITION   WATERMARK         END         LAG\n");
        for (index, (watermark, end)) in view.partitions.iter().take(ROWS).enumerate() {
            text.push_str(&format!(
                "{index:>9} {watermark:>11} {end:>11} {:>11}\n",
                (end - watermark).max(0)
            ));
        }
        if view.partitions.len() > ROWS {
            text.push_str(&format!("… and {} more\n", view.partitions.len() - ROWS));
        }
        self.erase(&mut drawn);
        drawn.lines = text.lines().count();
        self.write(&text);
    }

    /// What came of it.
    pub(super) fn end(&self, summary: &Summary) {
        let Summary { produced, handled, lost, duplicated, committed, disturbed } = summary;
        let why = match (duplicated, disturbed) {
            (0, _) => "",
            (_, true) => " (in the killed node's hands, or the broker's)",
            (_, false) => " (nothing failed: this should not be)",
        };
        self.write(&format!(
            "\nproduced   {produced}\nhandled    {handled}\nlost       {lost}\nduplicated {duplicated}{why}\ncommitted  {committed}\n"
        ));
    }

    fn erase(&self, drawn: &mut Drawn) {
        if self.terminal && drawn.lines > 0 {
            // Up to the table's first line, and clear from there.
            self.write(&format!("\x1b[{}A\x1b[J", drawn.lines));
        }
        drawn.lines = 0;
    }

    fn write(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        // A reader that went away is no reason to stop the demo.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
