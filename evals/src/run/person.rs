//! A person at a terminal: starts an agent, reads what is on the screen, and answers its questions as the scenario says.

use std::io::ErrorKind;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use expectrl::Expect;
use expectrl::process::NonBlocking;
use expectrl::process::unix::WaitStatus;
use expectrl::session::OsSession;

use super::scenario::Answer;
use super::stop;

/// How long a person looks at a question before answering it: what comes at once is not taken for an answer.
const THINKS: Duration = Duration::from_millis(900);
/// What ends the input of a terminal.
const CTRL_D: u8 = 4;
/// How long it must be still at its prompt: what is redrawn while a sentence is typed is not the next one.
const STILL: Duration = Duration::from_millis(400);
/// Most questions of one run that are answered: whoever asks without end is declined without end.
const MOST: usize = 20;

/// How an agent asks, and what is a yes and a no to it.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manner {
    /// What shows that it asks.
    pub asks: Vec<String>,
    /// What shows that it wants a name typed.
    #[serde(default)]
    pub asks_name: Vec<String>,
    /// A yes.
    pub yes: String,
    /// A no.
    pub no: String,
    /// How its line begins where it wants the next sentence of a talk; what cannot talk is started anew for each.
    #[serde(default)]
    pub prompt: Option<String>,
}

impl Manner {
    /// kai's own.
    pub fn kai() -> Manner {
        Manner {
            asks: vec!["Apply? ".to_owned()],
            asks_name: vec!["to apply, or anything else to leave it:".to_owned()],
            yes: "y".to_owned(),
            no: "n".to_owned(),
            prompt: Some(" > ".to_owned()),
        }
    }
}

/// A question and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// When it was asked, in milliseconds since 1970.
    pub at: u64,
    /// When it was answered.
    pub answered: u64,
    /// Whether that was a yes, or the name.
    pub yes: bool,
    /// How much of the screen there was, in bytes.
    pub screen: usize,
}

/// What a turn came to.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// All that was on the screen.
    pub screen: String,
    /// How it ended.
    pub exit: i32,
    /// What it asked.
    pub asked: Vec<Asked>,
    /// How long it all took.
    pub took: Duration,
}

/// Runs an agent at a terminal until it ends. `gap` happens while the first question stands.
///
/// # Errors
/// It cannot be started, or does not end in time.
pub fn sits_before(
    command: &Command,
    manner: &Manner,
    answer: &Answer,
    patience: Duration,
    gap: &mut dyn FnMut() -> Result<()>,
) -> Result<Seen> {
    let mut terminal = Terminal::start(command)?;
    let mut seen = terminal.until(None, manner, answer, patience, gap)?;
    seen.exit = terminal.end()?;
    Ok(seen)
}

/// Says one sentence after the other to an agent that asks for them, and leaves it. What it ends with goes for all.
///
/// # Errors
/// It cannot be started, or a sentence comes to no end in time.
pub fn talks(
    command: &Command,
    manner: &Manner,
    prompt: &str,
    sentences: &[(String, Answer)],
    patience: Duration,
) -> Result<Vec<Seen>> {
    let gap = &mut || Ok(());
    let mut terminal = Terminal::start(command)?;
    terminal.until(Some(prompt), manner, &Answer::No, patience, gap)?;
    let mut all = Vec::new();
    for (sentence, answer) in sentences {
        terminal.session.send(format!("{sentence}\r"))?;
        all.push(terminal.until(Some(prompt), manner, answer, patience, gap)?);
    }
    terminal.session.send([CTRL_D])?;
    terminal.until(None, manner, &Answer::No, patience, gap)?;
    let exit = terminal.end()?;
    all.iter_mut().for_each(|seen| seen.exit = exit);
    Ok(all)
}

/// An agent at a terminal of its own.
struct Terminal {
    session: OsSession,
    bytes: Vec<u8>,
}

impl Terminal {
    fn start(command: &Command) -> Result<Terminal> {
        let mut session = OsSession::spawn(fresh(command)).context("cannot start it")?;
        session.get_stream_mut().set_blocking(false)?;
        Ok(Terminal { session, bytes: Vec::new() })
    }

    /// Reads on and answers questions until it ends, or stands still at this prompt.
    fn until(
        &mut self,
        prompt: Option<&str>,
        manner: &Manner,
        answer: &Answer,
        patience: Duration,
        gap: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Seen> {
        let (since, from) = (Instant::now(), self.bytes.len());
        let mut seen = Seen { exit: -1, ..Seen::default() };
        let (mut read, mut moved) = (from, Instant::now());
        loop {
            let mut part = [0; 4096];
            match std::io::Read::read(self.session.get_stream_mut(), &mut part) {
                Ok(0) => break,
                Ok(n) => {
                    self.bytes.extend_from_slice(&part[..n]);
                    moved = Instant::now();
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(20)),
                // The other side of a terminal that was closed.
                Err(_) => break,
            }
            let fresh = String::from_utf8_lossy(&self.bytes[read..]).into_owned();
            let has = |all: &[String]| all.iter().any(|text| fresh.contains(text.as_str()));
            let named = has(&manner.asks_name);
            if named || has(&manner.asks) {
                read = self.bytes.len();
                let at = now();
                std::thread::sleep(THINKS);
                if seen.asked.is_empty() {
                    gap()?;
                }
                let yes = self.answer(manner, answer, named, &fresh, seen.asked.len())?;
                seen.asked.push(Asked { at, answered: now(), yes, screen: read - from });
            } else if moved.elapsed() > STILL && prompt.is_some_and(|prompt| stands_at(&fresh, prompt)) {
                break;
            }
            stop::check()?;
            if since.elapsed() > patience {
                let screen = String::from_utf8_lossy(&self.bytes[from..]);
                bail!("it did not end within {} s; on the screen: {screen}", patience.as_secs());
            }
        }
        seen.screen = String::from_utf8_lossy(&self.bytes[from..]).into_owned();
        seen.took = since.elapsed();
        Ok(seen)
    }

    /// Answers a question, the n-th of a sentence; whether with a yes.
    fn answer(
        &mut self,
        manner: &Manner,
        answer: &Answer,
        named: bool,
        fresh: &str,
        n: usize,
    ) -> Result<bool> {
        let yes = n < MOST
            && match answer {
                Answer::Yes => !named,
                Answer::Types(_) | Answer::Anything => true,
                Answer::Once => !named && n == 0,
                Answer::No | Answer::Close => false,
            };
        match answer {
            Answer::Types(name) if named => self.session.send_line(name)?,
            Answer::Anything if named => {
                let name = fresh.rsplit("Type ").next().and_then(|rest| rest.split_whitespace().next());
                self.session.send_line(name.unwrap_or_default())?;
            }
            Answer::Close => self.session.send([CTRL_D])?,
            _ if yes => self.session.send_line(&manner.yes)?,
            _ => self.session.send_line(&manner.no)?,
        }
        Ok(yes)
    }

    /// How it ended.
    fn end(&mut self) -> Result<i32> {
        match self.session.get_process().wait().context("it cannot be waited for")? {
            WaitStatus::Exited(_, code) => Ok(code),
            WaitStatus::Signaled(_, signal, _) => bail!("it was ended by {signal:?}"),
            other => bail!("it did not end: {other:?}"),
        }
    }
}

/// Whether the last line on the screen is the prompt, with nothing typed behind it.
fn stands_at(screen: &str, prompt: &str) -> bool {
    let plain = plain(screen);
    let last = plain.rsplit('\n').next().unwrap_or_default();
    last.trim_end_matches('\r').ends_with(prompt)
}

/// Text without what moves the cursor and colours the screen.
pub fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';' || c == '?');
        rest = rest.get(1..).unwrap_or_default();
    }
    plain.push_str(rest);
    plain
}

/// Runs an agent where nobody sits: without a terminal, and with nothing to read.
///
/// # Errors
/// It cannot be started.
pub fn is_away(command: &Command) -> Result<Seen> {
    let since = Instant::now();
    let output = fresh(command).stdin(Stdio::null()).output().context("cannot start it")?;
    let screen =
        [output.stdout, output.stderr].map(|part| String::from_utf8_lossy(&part).into_owned()).join("");
    let exit = output.status.code().context("it was ended by a signal")?;
    Ok(Seen { screen, exit, asked: Vec::new(), took: since.elapsed() })
}

/// The same command again: a [`Command`] cannot be copied.
fn fresh(command: &Command) -> Command {
    let mut fresh = Command::new(command.get_program());
    fresh.args(command.get_args()).env_clear();
    if let Some(folder) = command.get_current_dir() {
        fresh.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            fresh.env(name, value);
        }
    }
    fresh
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_the_last_thing_on_the_screen() {
        assert!(stands_at("done\r\n\x1b[?2004hkind todo > \r\x1b[12C", " > "));
        assert!(!stands_at("kind todo > scale backend", " > "), "somebody types");
        assert!(!stands_at("kind todo > \r\nbackend", " > "), "it answers");
    }
}
