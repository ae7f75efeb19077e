//! Everything that is printed: answers to stdout, notes, failures and progress to stderr.
//!
//! On a terminal, progress is one line that is redrawn; in a pipe it is plain lines, one when a step
//! starts, one every half minute while it lasts, and one when it ends.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

/// How often the live line is redrawn.
const REDRAW: Duration = Duration::from_millis(200);
/// How often a pipe is told that a step still runs.
const REMIND: Duration = Duration::from_secs(30);

/// Prints an answer to stdout, ending it with one newline.
pub fn answer(text: &str) {
    // A closed pipe is the reader's choice, and no reason to fail.
    let _ = writeln!(anstream::stdout(), "{}", text.trim_end_matches('\n'));
}

/// Prints a line for people to stderr.
pub fn note(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Prints an error and what caused it to stderr.
pub fn fail(error: &anyhow::Error) {
    let _ = writeln!(anstream::stderr(), "error: {error:#}");
}

/// Waits for the first signal that asks this process to stop, and names it.
pub async fn stopped() -> &'static str {
    let wait = async |kind| match signal(kind) {
        Ok(mut signals) => signals.recv().await,
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        _ = wait(SignalKind::interrupt()) => "Ctrl-C",
        _ = wait(SignalKind::terminate()) => "SIGTERM",
        _ = wait(SignalKind::hangup()) => "SIGHUP",
    }
}

/// Says what is being done and how long it has taken so far.
///
/// Cloning shares the same line.
#[derive(Clone)]
pub struct Progress {
    shared: Arc<Shared>,
}

struct Shared {
    live: bool,
    mute: bool,
    steps: Mutex<Vec<Running>>,
}

struct Running {
    id: u64,
    what: String,
    detail: String,
    since: Instant,
    reminded: Instant,
}

/// One thing being done; ended by [`Step::done`], or given up by being dropped.
pub struct Step {
    progress: Progress,
    id: u64,
}

impl Progress {
    /// Progress on stderr: live on a terminal, plain lines otherwise.
    pub fn stderr() -> Progress {
        let live = std::io::stderr().is_terminal();
        let shared = Arc::new(Shared { live, mute: false, steps: Mutex::new(Vec::new()) });
        let watched = Arc::downgrade(&shared);
        std::thread::spawn(move || {
            while let Some(shared) = watched.upgrade() {
                shared.tick();
                drop(shared);
                std::thread::sleep(REDRAW);
            }
        });
        Progress { shared }
    }

    /// Progress of something that is told in another way: nothing is printed.
    pub fn silent() -> Progress {
        Progress { shared: Arc::new(Shared { live: false, mute: true, steps: Mutex::new(Vec::new()) }) }
    }

    /// Starts a step; `what` reads as in "building kube v1.34.4".
    pub fn step(&self, what: impl Into<String>) -> Step {
        let what = what.into();
        let now = Instant::now();
        let mut steps = self.shared.steps();
        let id = steps.last().map_or(0, |last| last.id + 1);
        if !self.shared.live && !self.shared.mute {
            note(&format!("{what} ..."));
        }
        steps.push(Running { id, what, detail: String::new(), since: now, reminded: now });
        drop(steps);
        self.shared.tick();
        Step { progress: self.clone(), id }
    }

    /// Prints a line that stays, above the live one.
    pub fn say(&self, text: &str) {
        let _steps = self.shared.steps();
        if !self.shared.mute {
            self.shared.erase();
            note(text);
        }
    }
}

impl Step {
    /// Replaces what is shown beside the step, such as "412 packages".
    pub fn detail(&self, text: impl Into<String>) {
        let mut steps = self.progress.shared.steps();
        if let Some(step) = steps.iter_mut().find(|step| step.id == self.id) {
            step.detail = text.into();
        }
    }

    /// Ends the step and says how long it took.
    pub fn done(self) {
        self.end("");
    }

    fn end(&self, outcome: &str) {
        let shared = &self.progress.shared;
        let mut steps = shared.steps();
        if let Some(at) = steps.iter().position(|step| step.id == self.id) {
            let step = steps.remove(at);
            if !shared.mute {
                shared.erase();
                note(&format!("{}: {outcome}{}", step.what, elapsed(step.since.elapsed())));
            }
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.end("given up after ");
    }
}

impl Shared {
    fn steps(&self) -> MutexGuard<'_, Vec<Running>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self) {
        let mut steps = self.steps();
        let Some(step) = steps.last_mut().filter(|_| !self.mute) else { return };
        if self.live {
            let line = cut(&line(step), width());
            let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
            let _ = std::io::stderr().flush();
        } else if step.reminded.elapsed() >= REMIND {
            step.reminded = Instant::now();
            note(&line(step));
        }
    }

    fn erase(&self) {
        if self.live {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(step: &Running) -> String {
    let detail = if step.detail.is_empty() { String::new() } else { format!(" ({})", step.detail) };
    format!("{} ... {}{detail}", step.what, elapsed(step.since.elapsed()))
}

fn width() -> usize {
    match rustix::termios::tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_col > 0 => size.ws_col.into(),
        _ => 80,
    }
}

/// Cuts a line so that it does not wrap, which would break redrawing it.
fn cut(line: &str, width: usize) -> String {
    line.chars().take(width.saturating_sub(1)).collect()
}

/// A duration as people say it: "850 ms", "4.2 s", "9 min 12 s".
pub fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..60 => format!("{:.1} s", time.as_secs_f64()),
        _ => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        assert_eq!(elapsed(Duration::from_millis(850)), "850 ms");
        assert_eq!(elapsed(Duration::from_millis(4_230)), "4.2 s");
        assert_eq!(elapsed(Duration::from_secs(9 * 60 + 12)), "9 min 12 s");
    }

    #[test]
    fn a_live_line_never_wraps() {
        assert_eq!(cut("building kube", 9), "building");
        assert_eq!(cut("short", 80), "short");
    }

    #[test]
    fn an_ended_step_is_forgotten_and_its_parent_shown_again() {
        let progress = Progress::stderr();
        let outer = progress.step("outer");
        progress.step("inner").done();
        let left: Vec<String> = progress.shared.steps().iter().map(|step| step.what.clone()).collect();
        assert_eq!(left, ["outer"]);
        outer.done();
        assert!(progress.shared.steps().is_empty());
    }
}
