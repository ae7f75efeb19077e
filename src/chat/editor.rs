//! The line editor: one thread owns it and reads a line whenever it is asked to. Between two lines the terminal belongs
//! to whoever prints or asks.

use std::borrow::Cow;
use std::io::IsTerminal;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::history::{FileHistory, History};
use rustyline::{Behavior, ColorMode, CompletionType, Config, Context, Editor, Helper, Hinter, Validator};
use tokio::sync::mpsc;

use super::names::{Names, candidates};

/// Lines that the history keeps.
const HISTORY: usize = 1000;

/// What came from the keyboard.
pub enum Typed {
    Line(String),
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-D, or the terminal is gone.
    End,
}

/// The prompt as plain text and as it is shown.
pub type Words = (String, String);

/// The keyboard, behind its thread.
pub struct Keyboard {
    ask: std::sync::mpsc::Sender<Words>,
    typed: mpsc::Receiver<Typed>,
}

impl Keyboard {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread. Without a history file, or a terminal that can edit, it works all the same.
    pub fn start(history: PathBuf, color: bool, names: Arc<RwLock<Names>>) -> std::io::Result<Self> {
        let (ask, asked) = std::sync::mpsc::channel();
        let (answer, typed) = mpsc::channel(1);
        std::thread::Builder::new()
            .name("keyboard".into())
            .spawn(move || read(&history, color, names, &asked, &answer))?;
        Ok(Self { ask, typed })
    }

    /// Shows the prompt and waits for a line.
    pub async fn line(&mut self, prompt: Words) -> Typed {
        if self.ask.send(prompt).is_err() {
            return Typed::End;
        }
        self.typed.recv().await.unwrap_or(Typed::End)
    }
}

fn read(
    history: &Path,
    color: bool,
    names: Arc<RwLock<Names>>,
    asked: &std::sync::mpsc::Receiver<Words>,
    answer: &mpsc::Sender<Typed>,
) {
    // Where stdout goes to a file, the prompt stays on the terminal.
    let behavior = if std::io::stdout().is_terminal() { Behavior::Stdio } else { Behavior::PreferTerm };
    let config = Config::builder()
        .auto_add_history(false)
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .color_mode(if color { ColorMode::Enabled } else { ColorMode::Disabled })
        .bracketed_paste(true)
        .behavior(behavior)
        .max_history_size(HISTORY)
        .map(|b| b.build());
    let Ok(config) = config else { return };
    let Ok(mut editor) = Editor::<Typing, FileHistory>::with_config(config) else { return };
    editor.set_helper(Some(Typing { names }));
    let kept = private_file(history).is_ok();
    if kept {
        let _ = editor.load_history(history);
    }
    while let Ok((plain, shown)) = asked.recv() {
        let typed = match editor.readline(&(plain, shown)) {
            Ok(line) => {
                remember(&mut editor, &line, kept.then_some(history));
                Typed::Line(line)
            }
            Err(ReadlineError::Interrupted) => Typed::Interrupt,
            Err(_) => Typed::End,
        };
        if answer.blocking_send(typed).is_err() {
            return;
        }
    }
}

/// Keeps a line, unless it looks as if it held a secret.
fn remember(editor: &mut Editor<Typing, FileHistory>, line: &str, file: Option<&Path>) {
    if line.trim().is_empty() || kai_tools::redact::text(line) != line {
        return;
    }
    let before = editor.history().len();
    if editor.add_history_entry(line).is_ok_and(|added| added)
        && let Some(file) = file
        && (editor.history().len() > before || before == HISTORY)
    {
        let _ = editor.append_history(file);
    }
}

/// What was asked is nobody else's business.
fn private_file(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}

/// What the editor asks while a line is typed. It never waits: the names come from elsewhere.
#[derive(Helper, Hinter, Validator)]
struct Typing {
    names: Arc<RwLock<Names>>,
}

impl Completer for Typing {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        Ok(candidates(&names, &line[..at]))
    }
}

impl Highlighter for Typing {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        Cow::Borrowed(line)
    }
}
