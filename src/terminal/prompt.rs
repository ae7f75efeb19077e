//! The question before a change. What was typed before it was shown does not count; a paste does not count.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use kai_tools::cluster::wait::Stop;
use kai_tools::policy::Decision;
use kai_tools::review::View;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
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

/// How often a question looks whether it is still wanted.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// One line from the terminal; `None` when it was closed. Dropping the future withdraws the question and waits until it
/// is withdrawn (a moment), so that it does not take the line that is typed next.
async fn line_from_terminal(question: String) -> Option<String> {
    struct Withdraw {
        asked: Arc<AtomicBool>,
        gone: Receiver<()>,
    }
    impl Drop for Withdraw {
        fn drop(&mut self) {
            self.asked.store(true, Ordering::SeqCst);
            let _ = self.gone.recv_timeout(QUIET * 4);
        }
    }
    let asked = Arc::new(AtomicBool::new(false));
    let (going, gone) = sync_channel::<()>(0);
    let guard = Withdraw { asked: asked.clone(), gone };
    let line = tokio::task::spawn_blocking(move || {
        let line = read_line(&question, &asked);
        drop(going);
        line
    });
    let line = line.await.ok().flatten();
    drop(guard);
    line
}

/// Prints a question and reads one line, dropping whatever was typed before it could be read. A paste arrives between
/// marks (bracketed paste), so that it can be told from typing and is no answer.
fn read_line(question: &str, withdrawn: &AtomicBool) -> Option<String> {
    let mut err = std::io::stderr();
    let _ = write!(err, "\x1b[?2004h{question}");
    let _ = err.flush();
    std::thread::sleep(QUIET);
    let _ = tcflush(std::io::stdin(), QueueSelector::IFlush);
    let line = typed_line(withdrawn);
    let _ = write!(err, "\x1b[?2004l");
    let _ = err.flush();
    line.map(|line| if line.contains('\x1b') { String::from("(pasted)") } else { line })
}

/// Reads up to the end of a line, past any buffer: whoever reads the terminal next must find all that follows.
fn typed_line(withdrawn: &AtomicBool) -> Option<String> {
    let stdin = std::io::stdin();
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        if withdrawn.load(Ordering::SeqCst) {
            return None;
        }
        match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&LOOK)) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(_) => return None,
        }
        let mut piece = [0; 1024];
        match rustix::io::read(&stdin, &mut piece) {
            Ok(0) if line.is_empty() => return None,
            // The end of input typed behind some text ends the line.
            Ok(0) => break,
            Ok(n) => line.extend_from_slice(&piece[..n]),
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    Some(String::from_utf8_lossy(&line).into_owned())
}
