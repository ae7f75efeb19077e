//! Colours, or none.

use anstyle::{AnsiColor, Style as Ansi};

/// Whether and how text is coloured. Without colour every mark is also a sign or a word.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    pub color: bool,
}

impl Style {
    fn paint(self, ansi: Ansi, text: &str) -> String {
        if self.color { format!("{ansi}{text}{ansi:#}") } else { text.to_string() }
    }

    pub fn bold(self, text: &str) -> String {
        self.paint(Ansi::new().bold(), text)
    }

    pub fn dim(self, text: &str) -> String {
        self.paint(Ansi::new().dimmed(), text)
    }

    pub fn good(self, text: &str) -> String {
        self.paint(AnsiColor::Green.on_default(), text)
    }

    pub fn warn(self, text: &str) -> String {
        self.paint(AnsiColor::Yellow.on_default(), text)
    }

    pub fn bad(self, text: &str) -> String {
        self.paint(AnsiColor::Red.on_default().bold(), text)
    }

    /// A value before a change.
    pub fn before(self, text: &str) -> String {
        self.paint(AnsiColor::Red.on_default(), text)
    }

    /// A value after a change.
    pub fn after(self, text: &str) -> String {
        self.paint(AnsiColor::Green.on_default(), text)
    }
}
