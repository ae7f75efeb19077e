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
}

impl Manner {
    /// kai's own.
    pub fn kai() -> Manner {
        Manner {
            asks: vec!["Apply? ".to_owned()],
            asks_name: vec!["to apply, or anything else to leave it:".to_owned()],
            yes: "y".to_owned(),
            no: "n".to_owned(),
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
    let since = Instant::now();
    let mut session = OsSession::spawn(fresh(command)).context("cannot start it")?;
    session.get_stream_mut().set_blocking(false)?;
    let mut seen = Seen { exit: -1, ..Seen::default() };
    let mut bytes = Vec::new();
    let mut read = 0;
    loop {
        let mut part = [0; 4096];
        match std::io::Read::read(session.get_stream_mut(), &mut part) {
            Ok(0) => break,
            Ok(n) => bytes.extend_from_slice(&part[..n]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(20)),
            // The other side of a terminal that was closed.
            Err(_) => break,
        }
        let fresh = String::from_utf8_lossy(&bytes[read..]).into_owned();
        let has = |all: &[String]| all.iter().any(|text| fresh.contains(text.as_str()));
        let named = has(&manner.asks_name);
        if named || has(&manner.asks) {
            read = bytes.len();
            let at = now();
            std::thread::sleep(THINKS);
            if seen.asked.is_empty() {
                gap()?;
            }
            let yes = seen.asked.len() < MOST
                && match answer {
                    Answer::Yes => !named,
                    Answer::Types(_) | Answer::Anything => true,
                    Answer::Once => !named && seen.asked.is_empty(),
                    Answer::No | Answer::Close => false,
                };
            match answer {
                Answer::Types(name) if named => session.send_line(name)?,
                Answer::Anything if named => {
                    let name = fresh.rsplit("Type ").next().and_then(|rest| rest.split_whitespace().next());
                    session.send_line(name.unwrap_or_default())?;
                }
                Answer::Close => session.send([4_u8])?,
                _ if yes => session.send_line(&manner.yes)?,
                _ => session.send_line(&manner.no)?,
            }
            seen.asked.push(Asked { at, answered: now(), yes, screen: read });
        }
        stop::check()?;
        if since.elapsed() > patience {
            let screen = String::from_utf8_lossy(&bytes);
            bail!("it did not end within {} s; on the screen: {screen}", patience.as_secs());
        }
    }
    seen.screen = String::from_utf8_lossy(&bytes).into_owned();
    seen.took = since.elapsed();
    seen.exit = match session.get_process().wait().context("it cannot be waited for")? {
        WaitStatus::Exited(_, code) => code,
        WaitStatus::Signaled(_, signal, _) => bail!("it was ended by {signal:?}"),
        other => bail!("it did not end: {other:?}"),
    };
    Ok(seen)
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
