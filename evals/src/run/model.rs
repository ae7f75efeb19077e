//! Who answers: a script, nobody, the planner, a live model behind a recorder, or its recording.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::jobs::Run;
use super::names::Names;
use super::recording::{Recorder, Recording, Replayed};
use super::scenario::Scenario;
use super::variant::{Variant, hostile};
use crate::replay::{Replay, Script, Then, Turn};

/// Who answers the agent.
#[derive(Clone, Debug)]
pub enum Model {
    /// A model that does nothing and says that it did.
    Null,
    /// The scenario's own good script.
    Golden,
    /// One of its bad ones.
    Saboteur(usize),
    /// The planner that is built into kai.
    Planner,
    /// A model behind an OpenAI-compatible endpoint.
    Live {
        /// As kai names it, such as `openai:gpt-5`.
        name: String,
        /// Its base URL.
        base_url: String,
        /// The folder that what it says is kept in, to be replayed.
        keep: Option<PathBuf>,
    },
    /// What a live model said, from a folder.
    Recorded(PathBuf),
}

/// What was heard of the talk between an agent and its model.
#[derive(Debug, Default)]
pub struct Heard {
    /// Every request.
    pub asked: Vec<Value>,
    /// Tool calls of the model.
    pub calls: usize,
    /// Tokens in and out, where the endpoint counted them.
    pub tokens: Option<(u64, u64)>,
    /// Why a script or a recording was asked something that it has no answer to.
    pub objection: Option<String>,
}

/// What answers in one run.
pub enum Source {
    /// A script.
    Script(Replay),
    /// A live model, listened to.
    Live(Recorder),
    /// A recording.
    Recorded(Replayed),
    /// Nothing: the planner needs nobody.
    Nobody,
}

impl Model {
    /// Its name in reports.
    pub fn name(&self, scenario: &Scenario) -> String {
        match self {
            Model::Null => "null".to_owned(),
            Model::Golden => "golden".to_owned(),
            Model::Saboteur(at) => {
                format!("saboteur: {}", scenario.saboteurs.get(*at).map_or("?", |s| s.name.as_str()))
            }
            Model::Planner => "planner".to_owned(),
            Model::Live { name, .. } => name.clone(),
            Model::Recorded(_) => "recorded".to_owned(),
        }
    }

    /// Its name at the endpoint, for agents that want that alone.
    pub fn id(&self) -> String {
        match self {
            Model::Live { name, .. } => name.split_once(':').map_or(name.as_str(), |(_, id)| id).to_owned(),
            _ => "scripted".to_owned(),
        }
    }

    /// Tells kai who answers.
    pub fn choose(&self, command: &mut Command, url: Option<&str>) {
        match (self, url) {
            (Model::Planner, _) | (_, None) => {
                command.args(["--model", "planner"]);
            }
            (Model::Live { name, .. }, Some(url)) => {
                command.args(["--model", name, "--base-url", url]);
                // The key is the person's own.
                command.envs(std::env::vars().filter(|(name, _)| name.ends_with("_API_KEY")));
            }
            (_, Some(url)) => {
                command.args(["--model", "openai:scripted", "--base-url", url]);
                command.env("KAI_API_KEY", "eval");
            }
        }
    }
}

impl Source {
    /// Starts what answers in a run.
    ///
    /// # Errors
    /// It cannot be started; there is no recording.
    pub fn start(scenario: &Scenario, run: &Run, names: &Names) -> Result<Source> {
        if run.variant == Variant::Hostile {
            return Replay::start(hostile(&names.namespace)).map(Source::Script);
        }
        let script = match &run.model {
            Model::Null => Script::new([Turn::text("Done!")]).then(Then::Repeat),
            Model::Golden => scenario.golden.clone(),
            Model::Saboteur(at) => {
                let bad = scenario.saboteurs.get(*at).context("there is no such saboteur")?;
                bad.script.clone()
            }
            Model::Planner => return Ok(Source::Nobody),
            Model::Live { base_url, keep, .. } => {
                let keep = keep.as_ref().map(|folder| Recording::file(folder, &scenario.id, run.run));
                return Recorder::start(base_url, keep, names).map(Source::Live);
            }
            Model::Recorded(folder) => {
                let recording = Recording::read(&Recording::file(folder, &scenario.id, run.run))?;
                return Replayed::start(recording, names).map(Source::Recorded);
            }
        };
        Replay::start(filled(&script, names)?).map(Source::Script)
    }

    /// Where it answers; none where nobody does.
    pub fn url(&self) -> Option<String> {
        match self {
            Source::Script(replay) => Some(replay.url()),
            Source::Live(recorder) => Some(recorder.url()),
            Source::Recorded(replayed) => Some(replayed.url()),
            Source::Nobody => None,
        }
    }

    /// Ends it, and says what was heard.
    pub fn end(self) -> Heard {
        match self {
            Source::Nobody => Heard::default(),
            Source::Live(recorder) => recorder.end(),
            Source::Recorded(replayed) => replayed.end(),
            Source::Script(replay) => {
                let asked = replay.bodies();
                let calls = calls(&asked);
                // A script that is not used up is no fault by itself: kai may stop earlier than it.
                let objection = replay.finish().err().filter(|why| !why.contains("turns were asked for"));
                Heard { asked, calls, tokens: None, objection }
            }
        }
    }
}

/// A script with the names of a run.
///
/// # Errors
/// They do not fit into it.
pub fn filled(script: &Script, names: &Names) -> Result<Script> {
    let text = names.fill(&serde_json::to_string(script)?);
    serde_json::from_str(&text).context("the names of the run do not fit into the script")
}

/// How many tool calls were answered in these requests: each carries the whole conversation so far, and a shorter one begins
/// another conversation.
pub fn calls(asked: &[Value]) -> usize {
    let of = |body: &Value| {
        body["messages"].as_array().into_iter().flatten().filter(|m| m["role"] == "tool").count()
    };
    let length = |body: &Value| body["messages"].as_array().map_or(0, Vec::len);
    let lasts = asked
        .iter()
        .enumerate()
        .filter(|(at, body)| asked.get(at + 1).is_none_or(|next| length(next) <= length(body)));
    lasts.map(|(_, body)| of(body)).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn calls_are_counted_once_a_conversation() {
        let body = |roles: &[&str]| {
            let all: Vec<Value> = roles.iter().map(|role| json!({"role": role})).collect();
            json!({"messages": all})
        };
        let asked = [
            body(&["user"]),
            body(&["user", "assistant", "tool"]),
            body(&["user", "assistant", "tool", "assistant", "tool"]),
            body(&["user"]),
            body(&["user", "assistant", "tool"]),
        ];
        assert_eq!(calls(&asked), 3);
    }
}
