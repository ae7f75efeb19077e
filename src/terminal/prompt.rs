//! The question before a change. What was typed before it was shown does not count; a paste does not count.

use std::io::{BufRead, Write};
use std::time::Duration;

use kai_tools::cluster::wait::Stop;
use kai_tools::policy::Decision;
use kai_tools::review::View;
use rustix::termios::{QueueSelector, tcflush};

use super::Style;
use crate::approval::Said;

/// Keys that arrive this soon after the question were meant for something else.
const QUIET: Duration = Duration::from_millis(300);

/// Asks on the terminal.
pub struct Prompt {
    pub style: Style,
    pub stop: Stop,
}

impl Prompt {
    /// Asks for a yes to the preview that stands above.
    pub async fn approval(mut self, view: &View) -> Said {
        let typed = match &view.decision {
            Decision::Ask { typed, .. } => typed.clone(),
            _ => None,
        };
        loop {
            let question = match &typed {
                Some(name) => {
                    format!(" Type {} to apply, or anything else to leave it: ", self.style.bold(name))
                }
                None => format!(" Apply? {}  {}  {} ", self.style.bold("[y]es"), "[n]o", "[?]"),
            };
            let answer = tokio::select! {
                answer = line_from_terminal(question) => answer,
                () = self.stop.asked() => {
                    let _ = writeln!(std::io::stderr());
                    return Said::Interrupted;
                }
            };
            let Some(answer) = answer else { return Said::No };
            let answer = answer.trim();
            match &typed {
                Some(name) if answer == name => return Said::Yes { typed: Some(name.clone()) },
                Some(_) => return Said::No,
                None => match answer.to_lowercase().as_str() {
                    "y" | "yes" => return Said::Yes { typed: None },
                    "n" | "no" | "q" | "" => return Said::No,
                    "?" | "h" | "help" => {
                        let _ = writeln!(
                            std::io::stderr(),
                            " y applies exactly what is shown above, and nothing else; n changes nothing."
                        );
                    }
                    _ => {
                        let _ = writeln!(std::io::stderr(), " Please answer y or n.");
                    }
                },
            }
        }
    }
}

/// One line from the terminal; `None` when it was closed.
async fn line_from_terminal(question: String) -> Option<String> {
    tokio::task::spawn_blocking(move || read_line(&question)).await.ok().flatten()
}

/// Prints a question and reads one line, dropping whatever was typed before it could be read. A paste arrives between
/// marks (bracketed paste), so that it can be told from typing and is no answer.
pub fn read_line(question: &str) -> Option<String> {
    let mut err = std::io::stderr();
    let _ = write!(err, "\x1b[?2004h{question}");
    let _ = err.flush();
    std::thread::sleep(QUIET);
    let _ = tcflush(std::io::stdin(), QueueSelector::IFlush);
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    let _ = write!(err, "\x1b[?2004l");
    let _ = err.flush();
    match read {
        Ok(0) | Err(_) => None,
        Ok(_) if line.contains('\x1b') => Some(String::from("(pasted)")),
        Ok(_) => Some(line),
    }
}
