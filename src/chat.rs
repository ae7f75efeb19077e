//! The chat: one conversation over the same turns, previews and approvals as a single request.

mod command;
mod editor;
mod names;

use std::sync::{Arc, PoisonError, RwLock};

use kai_tools::cluster::contexts;
use kai_tools::cluster::resolve::nearest;
use kai_tools::policy::Mode;
use kai_tools::sanitize;
use serde_json::json;
use tokio::sync::watch;

use crate::ask;
use crate::call;
use crate::connect;
use crate::conversation::{Conversation, Message};
use crate::error::{ExitStatus, Failure};
use crate::execute::{Call, Workbench};
use crate::model::providers::{choose, providers};
use crate::model::{Model, Usage};
use crate::settings::{Output, Settings};
use crate::terminal::Terminal;
use command::{COMMANDS, Line};
use editor::{Keyboard, Typed, Words};
use names::{Fetching, Names};

/// Widest that a context or a namespace stands in the prompt.
const PROMPT_NAME: usize = 28;

/// Everything that lives from one line to the next.
struct Chat<'a> {
    settings: Settings,
    terminal: &'a mut Terminal,
    bench: Workbench,
    model: Model,
    conversation: Conversation,
    used: Usage,
    names: Arc<RwLock<Names>>,
    fetching: Fetching,
}

/// `kai` with no words, on a terminal.
///
/// # Errors
/// When settings, cluster or model cannot be used at the start. Later failures are told, and the chat goes on.
pub async fn open(
    settings: &Settings,
    terminal: &mut Terminal,
    switch: &watch::Sender<bool>,
) -> Result<ExitStatus, Failure> {
    if matches!(settings.output, Output::Json | Output::Yaml) {
        return Err(Failure::usage("the chat speaks plain text")
            .hint("Give the request on the command line: kai -o json \"list pods\"."));
    }
    let model = choose(settings).map_err(ask::failure)?;
    let stop = terminal.stop.clone();
    let bench = ask::until_stopped(&stop, connect::workbench(settings, stop.clone()))
        .await
        .ok_or_else(Failure::interrupted)??;
    let names = Arc::new(RwLock::new(Names {
        contexts: known_contexts(settings),
        models: std::iter::once("planner".to_string())
            .chain(providers().into_iter().map(|p| format!("{}:", p.name)))
            .collect(),
        ..Names::default()
    }));
    let mut keyboard = Keyboard::start(settings.state.join("chat_history"), settings.color, names.clone())?;
    let fetching = names::fetch(bench.cluster.clone(), &names);
    terminal.header(&model.name(), bench.cluster.context(), bench.cluster.namespace());
    terminal.note(" Say what you want; /help lists commands, Ctrl-D leaves.");
    let mut chat = Chat {
        settings: settings.clone(),
        terminal,
        bench,
        model,
        conversation: Conversation::default(),
        used: Usage::default(),
        names,
        fetching,
    };
    loop {
        let typed = keyboard.line(chat.prompt()).await;
        // What was stopped before is over.
        switch.send_replace(false);
        chat.terminal.measure();
        let line = match typed {
            Typed::Line(line) => line,
            Typed::Interrupt => {
                chat.terminal.note(" /quit or Ctrl-D leaves.");
                continue;
            }
            Typed::End => return Ok(ExitStatus::Done),
        };
        match command::read(&line) {
            Line::Empty => {}
            Line::Words(words) => chat.words(words).await,
            Line::Command { name: "quit", .. } => return Ok(ExitStatus::Done),
            Line::Command { name, rest } => {
                if let Err(failure) = chat.command(name, rest).await {
                    chat.terminal.failure(&failure);
                }
            }
            Line::Wrong(why) => chat.terminal.failure(&Failure::usage(why)),
        }
    }
}

impl Chat<'_> {
    /// One turn of the conversation.
    async fn words(&mut self, words: &str) {
        self.conversation.messages.push(Message::User { text: words.into() });
        let (turn, done) =
            ask::turn(&self.bench, self.terminal, &self.model, &mut self.conversation, words, true).await;
        match &turn {
            Ok(turn) => self.used += turn.usage,
            Err(_) => self.conversation.end_broken_turn(),
        }
        if let Err(failure) = ask::finish(&self.settings, self.terminal, &self.model, turn, &done) {
            self.terminal.failure(&failure);
        }
    }

    async fn command(&mut self, name: &str, rest: Option<&str>) -> Result<(), Failure> {
        match (name, rest) {
            ("help", _) => self.help(),
            ("context", Some(name)) => self.go_to_context(name).await?,
            ("context", None) => self.list_contexts(),
            ("namespace", Some(name)) => self.go_to_namespace(name)?,
            ("namespace", None) => {
                let here = sanitize::line(self.bench.cluster.namespace());
                self.terminal.answer(&format!("Namespace {here}. Go to another with /namespace NAME."));
            }
            ("diagnose" | "cost", about) => {
                let stop = self.bench.stop.clone();
                let arguments = about.map_or_else(|| json!({}), |a| json!({"about": a}));
                let calls = [Call { tool: name.into(), arguments }];
                let run = call::run(&self.bench, &self.settings, self.terminal, &calls, "");
                ask::until_stopped(&stop, run).await.ok_or_else(Failure::interrupted)?;
            }
            ("undo", id) => {
                let stop = self.bench.stop.clone();
                let undo = call::undo_on(&self.bench, &self.settings, self.terminal, id);
                ask::until_stopped(&stop, undo).await.ok_or_else(Failure::interrupted)?;
            }
            ("log", _) => drop(call::log(&self.settings, self.terminal, None, None)?),
            ("tools", _) => drop(call::list(&self.settings, self.terminal)),
            ("model", Some(name)) => self.choose_model(name)?,
            ("model", None) => self.terminal.answer(&format!("{} answers.", self.model.name())),
            ("tokens", _) => self.terminal.answer(&ask::usage_line(self.used)),
            ("clear", _) => {
                self.conversation = Conversation::default();
                self.terminal.answer("Forgotten. The cluster and the log stay as they are.");
            }
            _ => return Err(Failure::usage(format!("there is no command /{name}"))),
        }
        Ok(())
    }

    fn help(&self) {
        let line = |c: &command::Command| format!("  {:<20} {}", format!("/{} {}", c.name, c.takes), c.help);
        let lines: Vec<String> = COMMANDS.iter().map(line).collect();
        self.terminal.answer(&format!(
            "Say what you want in plain words: scale backend to 3, why is it not ready, undo that.\n{}\nCtrl-C stops what is going on; Tab completes commands and names.",
            lines.join("\n")
        ));
    }

    fn list_contexts(&self) {
        let here = self.bench.cluster.context();
        let line =
            |name: &String| format!("{} {}", if name == here { "*" } else { " " }, sanitize::line(name));
        let lines: Vec<String> = known_contexts(&self.settings).iter().map(line).collect();
        self.terminal.answer(&lines.join("\n"));
    }

    /// Goes to another cluster. What was talked about stays behind: "it" there is something else here.
    async fn go_to_context(&mut self, name: &str) -> Result<(), Failure> {
        let known = known_contexts(&self.settings);
        if !known.iter().any(|k| k == name) {
            let shown = sanitize::line(name);
            return Err(Failure::usage(format!("there is no context {shown}{}", similar(name, &known)))
                .hint("/context lists them."));
        }
        let mut settings = self.settings.clone();
        settings.connect.context = Some(name.into());
        settings.connect.namespace = None;
        let stop = self.bench.stop.clone();
        let bench = ask::until_stopped(&stop, connect::workbench(&settings, stop.clone()))
            .await
            .ok_or_else(Failure::interrupted)??;
        (self.settings, self.bench) = (settings, bench);
        let cluster = &self.bench.cluster;
        self.terminal.header(&self.model.name(), cluster.context(), cluster.namespace());
        if !self.conversation.messages.is_empty() {
            self.terminal.note(" A new conversation begins here.");
        }
        self.conversation = Conversation::default();
        self.fetch();
        Ok(())
    }

    fn go_to_namespace(&mut self, name: &str) -> Result<(), Failure> {
        let shown = sanitize::line(name);
        if !kai_tools::object::is_object_name(name) {
            return Err(Failure::usage(format!("{shown} cannot be the name of a namespace")));
        }
        let known = self.names.read().unwrap_or_else(PoisonError::into_inner).namespaces.clone();
        // Who may not list namespaces may still work in one.
        if !known.is_empty() && !known.iter().any(|k| k == name) {
            self.terminal
                .note(&format!(" There was no namespace {shown} a moment ago{}.", similar(name, &known)));
        }
        self.bench.cluster = self.bench.cluster.with_namespace(name);
        self.settings.connect.namespace = Some(name.into());
        self.fetch();
        Ok(())
    }

    fn fetch(&mut self) {
        // On one thread, nothing of the older fetch runs between this and its end.
        self.fetching = names::fetch(self.bench.cluster.clone(), &self.names);
    }

    fn choose_model(&mut self, name: &str) -> Result<(), Failure> {
        let mut settings = self.settings.clone();
        settings.model.name = Some(name.into());
        self.model = choose(&settings).map_err(ask::failure)?;
        self.settings = settings;
        self.terminal.answer(&format!("{} answers from here on.", self.model.name()));
        Ok(())
    }

    /// Context and namespace; in words and in red where a change is refused or weighs more.
    fn prompt(&self) -> Words {
        let (cluster, policy) = (&self.bench.cluster, &self.bench.policy);
        let place = format!("{} {}", short(cluster.context()), short(cluster.namespace()));
        let guarded = policy.mode == Mode::ReadOnly || policy.production;
        let word = match policy.mode {
            Mode::ReadOnly => " (read-only)",
            _ if policy.production => " (production)",
            _ => "",
        };
        let style = self.terminal.style;
        let text = format!("{place}{word}");
        let shown = if guarded { style.bad(&text) } else { style.bold(&text) };
        (format!("{text} > "), format!("{shown} > "))
    }
}

/// The end of a long name: cloud providers put the account first and the cluster last.
fn short(name: &str) -> String {
    let name = sanitize::line(name);
    let skip = name.chars().count().saturating_sub(PROMPT_NAME);
    if skip == 0 { name } else { format!("…{}", name.chars().skip(skip + 1).collect::<String>()) }
}

fn known_contexts(settings: &Settings) -> Vec<String> {
    contexts(&settings.connect.kubeconfig).map(|(names, _)| names).unwrap_or_default()
}

fn similar(name: &str, known: &[String]) -> String {
    let near = nearest(name, known.iter().map(String::as_str));
    near.first().map_or_else(String::new, |near| format!("; is {near} meant?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_their_end() {
        assert_eq!(short("kind-kai"), "kind-kai");
        let long = short("arn:aws:eks:eu-central-1:123456789012:cluster/todo-staging");
        assert!(long.starts_with('…') && long.ends_with("cluster/todo-staging"), "{long}");
        assert_eq!(long.chars().count(), PROMPT_NAME);
    }
}
