//! The loop: model, tool calls, results, until an answer.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::conversation::{Conversation, Message, ToolCall, ToolResult};
use crate::model::{Model, ModelError, ToolSpec, Usage};

/// What one request may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub turns: usize,
    pub calls_per_turn: usize,
    pub calls: usize,
    pub tokens: u64,
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { turns: 20, calls_per_turn: 16, calls: 60, tokens: 400_000, time: Duration::from_secs(900) }
    }
}

/// How often a model may send arguments that are no JSON before it is given up.
const REPAIRS: usize = 2;
/// How often the same call may have the same result.
const REPEATS: usize = 3;

/// What a request came to.
#[derive(Clone, Debug)]
pub struct Turn {
    pub answer: String,
    pub usage: Usage,
    /// False when the planner did not understand.
    pub understood: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AgentError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("stopped: {0}")]
    Budget(String),
    /// A tool's failure that nobody behind the tools can repair; it has been shown.
    #[error("{0}")]
    Fatal(String),
}

/// Carries out the calls of one turn: a result for each, in order, and whether the turn must end now.
pub trait Execute {
    fn execute(&mut self, calls: &[ToolCall]) -> impl Future<Output = (Vec<ToolResult>, Option<String>)>;
}

/// Answers the last message of the conversation, calling tools as the model asks.
///
/// # Errors
/// When the model fails, a budget is spent, or the cluster is out of reach.
pub async fn run(
    model: &Model,
    system: &str,
    tools: &[ToolSpec],
    conversation: &mut Conversation,
    limits: Limits,
    execute: &mut impl Execute,
    show: &mut (dyn FnMut(&str) + Send),
) -> Result<Turn, AgentError> {
    let started = Instant::now();
    let mut usage = Usage::default();
    let mut seen: Vec<(String, String)> = Vec::new();
    let (mut calls_made, mut repairs) = (0, 0);
    for _ in 0..limits.turns {
        conversation.compact();
        let reply = model.reply(system, conversation, tools, show).await?;
        usage += reply.usage;
        conversation.messages.push(Message::Assistant {
            text: reply.text.clone(),
            calls: reply.calls.clone(),
            extra: reply.extra,
        });
        if reply.calls.is_empty() {
            return Ok(Turn { answer: reply.text, usage, understood: reply.understood });
        }
        calls_made += reply.calls.len();
        let budget = |why: String| Err(AgentError::Budget(why));
        if reply.calls.len() > limits.calls_per_turn {
            answer_all(conversation, &reply.calls, "not done: too many calls at once");
            return budget(format!("the model asked for {} calls at once", reply.calls.len()));
        }
        if calls_made > limits.calls
            || usage.input + usage.output > limits.tokens
            || started.elapsed() > limits.time
        {
            answer_all(conversation, &reply.calls, "not done: the budget of this request is spent");
            return budget(format!(
                "the request's budget is spent ({calls_made} calls, {} tokens, {} s)",
                usage.input + usage.output,
                started.elapsed().as_secs()
            ));
        }
        let (results, fatal) = answer(&reply.calls, tools, execute, &mut repairs).await;
        for (call, result) in reply.calls.iter().zip(&results) {
            seen.push((format!("{} {}", call.name, call.arguments), result.text.clone()));
        }
        conversation.messages.extend(results.into_iter().map(Message::Tool));
        if let Some(why) = fatal {
            return Err(AgentError::Fatal(why));
        }
        if repairs > REPAIRS {
            return budget("the model sends arguments that are not JSON".into());
        }
        if let Some(last) = seen.last()
            && seen.iter().filter(|s| *s == last).count() >= REPEATS
        {
            return budget(format!("the model made the same call {REPEATS} times with the same result"));
        }
    }
    Err(AgentError::Budget(format!("no answer after {} turns", limits.turns)))
}

/// Answers each call exactly once: those that make sense are carried out together, the others told why not. When one
/// of a turn makes no sense, none is carried out: half of what was asked for may be the dangerous half.
async fn answer(
    calls: &[ToolCall],
    tools: &[ToolSpec],
    execute: &mut impl Execute,
    repairs: &mut usize,
) -> (Vec<ToolResult>, Option<String>) {
    let names: Vec<&str> = tools.iter().map(|t| t.name.as_str()).collect();
    let wrong: Vec<Option<String>> = calls
        .iter()
        .map(|call| {
            if !names.contains(&call.name.as_str()) {
                let shown = kai_tools::sanitize::line(&call.name);
                return Some(format!("there is no tool `{shown}`; there are {}", names.join(", ")));
            }
            match serde_json::from_str::<Value>(if call.arguments.trim().is_empty() {
                "{}"
            } else {
                &call.arguments
            }) {
                Ok(Value::Object(_)) => None,
                Ok(_) => Some("the arguments must be a JSON object".into()),
                Err(e) => Some(format!("the arguments are not JSON: {e}")),
            }
        })
        .collect();
    if wrong.iter().all(Option::is_none) {
        return execute.execute(calls).await;
    }
    *repairs += 1;
    let told = wrong.into_iter().zip(calls).map(|(why, call)| {
        refused(
            call,
            &why.unwrap_or_else(|| {
                "not done, because another call of this turn cannot be done; send both again".into()
            }),
        )
    });
    (told.collect(), None)
}

fn answer_all(conversation: &mut Conversation, calls: &[ToolCall], why: &str) {
    conversation.messages.extend(calls.iter().map(|c| Message::Tool(refused(c, why))));
}

fn refused(call: &ToolCall, why: &str) -> ToolResult {
    ToolResult {
        id: call.id.clone(),
        name: call.name.clone(),
        text: why.into(),
        say: vec![why.into()],
        ok: false,
        about: Vec::new(),
    }
}
