//! A person at a terminal.

use std::process::Command;
use std::time::Duration;

use expectrl::process::unix::WaitStatus;
use expectrl::session::OsSession;
use expectrl::{Eof, Expect};

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Somebody who reads what kai prints, and types.
pub struct Person {
    session: OsSession,
    seen: String,
}

impl Person {
    pub fn at(mut command: Command) -> Self {
        // A pseudo-terminal is stdin, stdout and stderr at once.
        let mut fresh = Command::new(command.get_program());
        fresh.args(command.get_args()).env_clear();
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                fresh.env(name, value);
            }
        }
        command.stdin(std::process::Stdio::null());
        let mut session = OsSession::spawn(fresh).unwrap();
        session.set_expect_timeout(Some(PATIENCE));
        Self { session, seen: String::new() }
    }

    /// Waits until this is on the screen.
    #[track_caller]
    pub fn sees(&mut self, text: &str) -> &mut Self {
        match self.session.expect(text) {
            Ok(found) => {
                self.seen.push_str(&String::from_utf8_lossy(found.before()));
                self.seen.push_str(text);
            }
            Err(e) => {
                let rest = self
                    .session
                    .check(expectrl::Regex("(?s).+"))
                    .map(|c| String::from_utf8_lossy(c.as_bytes()).into_owned());
                panic!("`{text}` is not seen ({e}) after: {}, then: {}", self.seen, rest.unwrap_or_default())
            }
        }
        self
    }

    /// Types a line, as slowly as a person: what comes at once is not taken for an answer.
    pub fn types(&mut self, line: &str) -> &mut Self {
        std::thread::sleep(Duration::from_millis(900));
        self.session.send_line(line).unwrap();
        self
    }

    /// Sends bytes at once.
    pub fn sends(&mut self, bytes: &str) -> &mut Self {
        self.session.send(bytes).unwrap();
        self
    }

    /// Presses Ctrl-C.
    pub fn interrupts(&mut self) -> &mut Self {
        std::thread::sleep(Duration::from_millis(300));
        self.session.send([3_u8]).unwrap();
        self
    }

    /// Closes stdin (Ctrl-D).
    pub fn closes(&mut self) -> &mut Self {
        std::thread::sleep(Duration::from_millis(900));
        self.session.send([4_u8]).unwrap();
        self
    }

    /// Waits for the end, which must come with this code, and gives all that was on the screen.
    #[track_caller]
    pub fn ends(mut self, code: i32) -> String {
        if let Ok(rest) = self.session.expect(Eof) {
            self.seen.push_str(&String::from_utf8_lossy(rest.as_bytes()));
        }
        match self.session.get_process().wait().unwrap() {
            WaitStatus::Exited(_, got) => assert_eq!(got, code, "{}", self.seen),
            other => panic!("{other:?}: {}", self.seen),
        }
        self.seen
    }
}
