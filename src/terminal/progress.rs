//! A rollout while it goes on: one line that moves on a terminal, one line per change when piped.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use kai_tools::cluster::wait::{Rollout, Verdict};
use kai_tools::object::ObjectRef;
use kai_tools::review::Event;
use kai_tools::sanitize::line;

use super::Style;

const FRAMES: [&str; 8] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧"];

/// State of the line.
pub struct Progress {
    style: Style,
    live: bool,
    started: Instant,
    frame: usize,
    drawn: bool,
    last: String,
}

impl Progress {
    pub fn new(style: Style) -> Self {
        let live = std::io::stderr().is_terminal();
        Self { style, live, started: Instant::now(), frame: 0, drawn: false, last: String::new() }
    }

    /// Shows an event.
    pub fn show(&mut self, event: &Event) {
        match event {
            Event::Writing(_) => self.started = Instant::now(),
            Event::Written(_) => {}
            Event::Open(object, what) => self.open(object, what),
            Event::Held(object, why) => self.held(object, why),
            Event::Leaving { gone, of, held } => self.leaving(*gone, *of, *held),
            Event::Rolling(object, rollout) => self.rolling(object, rollout),
            Event::Settled(object, verdict) => self.settled(object, verdict),
        }
    }

    fn rolling(&mut self, object: &ObjectRef, rollout: &Rollout) {
        let doing: Vec<String> = rollout.pods.iter().map(|(what, n)| format!("{n} {what}")).collect();
        self.moving(&match rollout.desired {
            0 if doing.is_empty() => format!("{object}  waits"),
            0 => format!("{object}  {}", doing.join(", ")),
            desired => format!("{object}  {}/{desired} ready  {}", rollout.ready, doing.join(", ")),
        });
    }

    fn leaving(&mut self, gone: usize, of: usize, held: usize) {
        let held = if held == 0 { String::new() } else { format!("  {held} held by disruption budgets") };
        self.moving(&format!("{gone} of {of} pods gone{held}"));
    }

    /// The line that moves; when piped, a line for each change.
    fn moving(&mut self, text: &str) {
        let text = text.trim_end();
        let changed = self.last != text;
        self.last = text.to_string();
        if !self.live && !changed {
            return;
        }
        let seconds = self.started.elapsed().as_secs();
        let mut err = std::io::stderr().lock();
        if self.live {
            self.frame = (self.frame + 1) % FRAMES.len();
            let frame = FRAMES[self.frame];
            let _ = write!(err, "\r\x1b[2K {frame} {text}  {}:{:02}", seconds / 60, seconds % 60);
            self.drawn = true;
        } else {
            let _ = writeln!(err, "   {text}");
        }
        let _ = err.flush();
    }

    fn held(&mut self, object: &ObjectRef, why: &str) {
        self.clear();
        let _ =
            writeln!(std::io::stderr().lock(), " {} {object}  waits: {}", self.style.warn("…"), line(why));
    }

    fn open(&mut self, object: &ObjectRef, what: &str) {
        self.clear();
        let _ = writeln!(std::io::stderr().lock(), " {} {object}  {}", self.style.good("↔"), line(what));
    }

    fn settled(&mut self, object: &ObjectRef, verdict: &Verdict) {
        self.clear();
        let sign = match verdict {
            good if good.is_good() => self.style.good("✓"),
            Verdict::NotYet { .. } | Verdict::Unseen { .. } | Verdict::Ran { .. } => self.style.warn("…"),
            _ => self.style.bad("✗"),
        };
        let _ = writeln!(std::io::stderr().lock(), " {sign} {object}  {verdict}");
    }

    /// Clears the moving line.
    pub fn clear(&mut self) {
        if self.drawn {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[2K");
            self.drawn = false;
        }
    }
}
