//! Everything that kai prints, and the questions it asks on a terminal. stdout carries the answer; previews, progress
//! and questions go to stderr.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bars;
pub mod csv;
mod findings;
mod markdown;
mod preview;
mod progress;
mod prompt;
mod style;
mod table;

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use kai_tools::cluster::wait::Stop;
use kai_tools::report::{Block, Report};
use kai_tools::review::{Channel, Event, View};

pub use prompt::Prompt;
pub use style::Style;

use crate::approval::{Front, Said};
use crate::error::Failure;
use crate::settings::Settings;
use progress::Progress;

/// The terminal, or what stands in its place when output is piped.
#[derive(Clone)]
pub struct Terminal {
    pub style: Style,
    pub width: usize,
    pub quiet: bool,
    pub interactive: bool,
    pub stop: Stop,
    progress: Arc<Mutex<Progress>>,
    /// Whether a streamed answer stands on a line that is not ended yet.
    midline: Arc<AtomicBool>,
}

impl Terminal {
    /// The terminal as the settings want it.
    pub fn new(settings: &Settings, stop: Stop) -> Self {
        let style = Style { color: settings.color };
        Self {
            style,
            width: settings.width,
            quiet: settings.quiet,
            interactive: settings.interactive,
            stop,
            progress: Arc::new(Mutex::new(Progress::new(style))),
            midline: Arc::default(),
        }
    }

    /// Prints the answer to stdout. A closed pipe is not an error.
    pub fn answer(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{}", text.trim_end());
        let _ = out.flush();
    }

    /// Prints a piece of a streaming answer to stdout, as it is.
    pub fn stream(&self, piece: &str) {
        let mut out = std::io::stdout().lock();
        let piece = kai_tools::sanitize::clean(piece, true);
        let _ = write!(out, "{piece}");
        let _ = out.flush();
        if !piece.is_empty() {
            self.midline.store(!piece.ends_with('\n'), Ordering::SeqCst);
        }
    }

    /// Ends a streamed answer, or prints it when it was not streamed.
    pub fn end_stream(&self, answer: &str, streamed: bool) {
        if streamed {
            self.end_line();
        } else {
            self.answer(&kai_tools::sanitize::clean(answer, true));
        }
    }

    /// Ends the line of a streamed answer that broke off or goes on elsewhere.
    pub fn end_line(&self) {
        if self.midline.swap(false, Ordering::SeqCst) {
            let mut out = std::io::stdout().lock();
            let _ = writeln!(out);
            let _ = out.flush();
        }
    }

    /// Says who answers and about which cluster.
    pub fn header(&self, model: &str, context: &str, namespace: &str) {
        let line = format!(" {model} · context {context} · namespace {namespace}");
        self.note(&self.style.dim(&kai_tools::sanitize::line(&line)));
    }

    /// Prints a line to stderr, unless quiet.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }

    /// Looks again how wide the terminal is: a chat outlives the size of its window.
    pub fn measure(&mut self) {
        if let Ok(size) = rustix::termios::tcgetwinsize(std::io::stderr())
            && size.ws_col > 0
        {
            self.width = usize::from(size.ws_col).max(20);
        }
    }

    /// Prints an error and what to do about it to stderr.
    pub fn failure(&self, failure: &Failure) {
        self.end_progress();
        let mut err = std::io::stderr().lock();
        let _ = writeln!(
            err,
            "{} {}",
            self.style.bad("error:"),
            kai_tools::sanitize::clean(&failure.message, true)
        );
        if let Some(hint) = &failure.hint {
            let _ = writeln!(err, "       {}", kai_tools::sanitize::clean(hint, true));
        }
    }

    /// A report as Markdown.
    pub fn markdown(&self, report: &Report) -> String {
        markdown::report(report)
    }

    /// A report as people read it.
    pub fn render(&self, report: &Report) -> String {
        let mut parts = Vec::new();
        for block in &report.blocks {
            parts.push(match block {
                Block::Table(t) => table::render(t, self.width, self.style),
                Block::Findings(f) => findings::render(f, self.width, self.style),
                Block::Bars { title, bars, more } => bars::render(title, bars, more, self.width, self.style),
                Block::Text { title, lines } if title.is_empty() => lines.join("\n"),
                Block::Text { title, lines } => format!("{}\n{}", self.style.bold(title), lines.join("\n")),
            });
        }
        if !report.say.is_empty() {
            parts.push(report.say.join("\n"));
        }
        parts.join("\n\n")
    }

    /// Clears the line of a rollout in progress, and ends that of a streamed answer.
    pub fn end_progress(&self) {
        self.end_line();
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Front for Terminal {
    fn show(&mut self, view: &View) {
        self.end_progress();
        let _ = write!(std::io::stderr().lock(), "{}", preview::render(view, self.style, self.width));
    }

    async fn ask(&mut self, view: &View) -> Said {
        if !self.interactive {
            return Said::Nobody;
        }
        Prompt { style: self.style, stop: self.stop.clone() }.approval(view).await
    }

    fn event(&mut self, event: Event) {
        if !self.quiet {
            self.progress.lock().unwrap_or_else(PoisonError::into_inner).show(&event);
        }
    }

    fn came_to(&mut self, said: &[String], good: bool) {
        self.end_progress();
        let mark = if good { self.style.good("✓") } else { self.style.bad("✗") };
        for (at, line) in said.iter().enumerate() {
            let mark = if at == 0 { mark.as_str() } else { " " };
            self.note(&format!(" {mark} {}", kai_tools::sanitize::line(line)));
        }
    }

    fn channel(&self) -> Channel {
        Channel::Terminal
    }
}

impl Terminal {
    /// Prints a value for machines.
    pub fn structured(&self, output: crate::settings::Output, value: &serde_json::Value) {
        let text = match output {
            crate::settings::Output::Yaml => kai_tools::report::yaml(value),
            _ => serde_json::to_string_pretty(value).unwrap_or_default(),
        };
        self.answer(&text);
    }

    /// Prints the settings in force and where each comes from.
    pub fn settings(&self, settings: &Settings) -> crate::error::ExitStatus {
        let mut table = kai_tools::report::Table::new("", &["SETTING", "VALUE", "FROM"]);
        for origin in &settings.origins {
            table.push(origin.iter());
        }
        let text = table::render(&table, self.width, self.style);
        let here = settings.config_file.display();
        self.answer(&format!("{text}\n\nconfig file   {here}\nstate folder  {}", settings.state.display()));
        crate::error::ExitStatus::Done
    }
}

/// A preview as plain text, for those who read it elsewhere.
pub fn plain_preview(view: &View) -> String {
    preview::render(view, Style { color: false }, 100)
}

/// Prints a failure before there are settings.
pub fn print_failure(failure: &Failure) {
    eprintln!("error: {}", kai_tools::sanitize::clean(&failure.message, true));
    if let Some(hint) = &failure.hint {
        eprintln!("       {}", kai_tools::sanitize::clean(hint, true));
    }
}
