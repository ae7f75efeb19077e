//! A person at a terminal: starts kai, reads what is on the screen, and answers its question as the scenario says.

use std::io::ErrorKind;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use expectrl::Expect;
use expectrl::process::NonBlocking;
use expectrl::process::unix::WaitStatus;
use expectrl::session::OsSession;

use super::scenario::Answer;

/// How long a person looks at a question before answering it: what comes at once is not taken for an answer.
const THINKS: Duration = Duration::from_millis(900);
/// What shows that kai asks: for a yes, or for a name.
const ASKS: [&str; 2] = ["Apply? ", "to apply, or anything else to leave it:"];

/// What a turn came to.
#[derive(Clone, Debug)]
pub struct Seen {
    /// All that was on the screen.
    pub screen: String,
    /// How kai ended.
    pub exit: i32,
    /// Whether it asked, and when, in milliseconds since 1970.
    pub asked: Option<u64>,
    /// When the answer was given, in milliseconds since 1970.
    pub answered: Option<u64>,
    /// How long it all took.
    pub took: Duration,
}

/// Runs kai at a terminal until it ends.
///
/// # Errors
/// It cannot be started, or does not end in time.
pub fn sits_before(command: &Command, answer: &Answer, patience: Duration) -> Result<Seen> {
    // A pseudo-terminal is stdin, stdout and stderr at once.
    let mut fresh = Command::new(command.get_program());
    fresh.args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            fresh.env(name, value);
        }
    }
    let since = Instant::now();
    let mut session = OsSession::spawn(fresh).context("cannot start kai")?;
    session.get_stream_mut().set_blocking(false)?;
    let mut seen =
        Seen { screen: String::new(), exit: -1, asked: None, answered: None, took: Duration::ZERO };
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        match std::io::Read::read(session.get_stream_mut(), &mut part) {
            Ok(0) => break,
            Ok(n) => bytes.extend_from_slice(&part[..n]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(20)),
            // The other side of a terminal that was closed.
            Err(_) => break,
        }
        let screen = String::from_utf8_lossy(&bytes);
        if seen.asked.is_none() && ASKS.iter().any(|asks| screen.contains(asks)) {
            seen.asked = Some(now());
            std::thread::sleep(THINKS);
            match answer {
                Answer::Yes => session.send_line("y")?,
                Answer::No => session.send_line("n")?,
                Answer::Types(name) => session.send_line(name)?,
                Answer::Close => session.send([4_u8])?,
            }
            seen.answered = Some(now());
        }
        if since.elapsed() > patience {
            bail!("kai did not end within {} s; on the screen: {screen}", patience.as_secs());
        }
    }
    seen.screen = String::from_utf8_lossy(&bytes).replace('\r', "");
    seen.took = since.elapsed();
    seen.exit = match session.get_process().wait().context("kai cannot be waited for")? {
        WaitStatus::Exited(_, code) => code,
        WaitStatus::Signaled(_, signal, _) => bail!("kai was ended by {signal:?}"),
        other => bail!("kai did not end: {other:?}"),
    };
    Ok(seen)
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}
