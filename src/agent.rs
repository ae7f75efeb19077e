//! The loop: model, tool calls, results, until an answer.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::conversation::{Conversation, Message, ToolCall, ToolResult};
use crate::model::{Model, ModelError, Reply, ToolSpec, Usage};

/// What one request may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub turns: usize,
    pub calls_per_turn: usize,
    pub calls: usize,
    pub tokens: u64,
    /// How long the model may take, all its turns together. Tools, and people who think, are not counted.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { turns: 20, calls_per_turn: 16, calls: 60, tokens: 400_000, time: Duration::from_secs(900) }
    }
}

/// How often a model may call what is no tool, or with arguments that are no JSON, before it is given up.
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
/// Dropping the future is safe at any moment: calls that it left unanswered are answered when the conversation goes on.
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
    let mut thought = Duration::ZERO;
    let mut usage = Usage::default();
    let mut seen: Vec<(String, String)> = Vec::new();
    let (mut calls_made, mut repairs) = (0, 0);
    conversation.settle();
    for _ in 0..limits.turns {
        conversation.compact();
        let started = Instant::now();
        let left = limits.time.saturating_sub(thought);
        let reply = tokio::time::timeout(left, reply(model, system, conversation, tools, show)).await;
        let Ok(reply) = reply else {
            return Err(AgentError::Budget(format!("no answer within {} s", limits.time.as_secs())));
        };
        thought += started.elapsed();
        let reply = reply?;
        usage += reply.usage;
        conversation.messages.push(Message::Assistant {
            text: reply.text.clone(),
            calls: reply.calls.clone(),
            extra: reply.extra,
        });
        if reply.calls.is_empty() {
            return Ok(Turn { answer: reply.text, usage, understood: reply.understood });
        }
        if !reply.text.is_empty() {
            show("\n");
        }
        calls_made += reply.calls.len();
        let budget = |why: String| Err(AgentError::Budget(why));
        if reply.calls.len() > limits.calls_per_turn {
            answer_all(conversation, &reply.calls, "not done: too many calls at once");
            return budget(format!("the model asked for {} calls at once", reply.calls.len()));
        }
        if calls_made > limits.calls || usage.input + usage.output > limits.tokens {
            answer_all(conversation, &reply.calls, "not done: the budget of this request is spent");
            return budget(format!(
                "the request's budget is spent ({calls_made} calls, {} tokens)",
                usage.input + usage.output
            ));
        }
        let (results, fatal) = answer(&reply.calls, tools, execute, &mut repairs).await;
        let mut now: Vec<(String, String)> =
            reply.calls.iter().zip(&results).map(|(c, r)| (said(c), r.text.clone())).collect();
        // The same twice in one turn is clumsy, and no loop.
        now.sort();
        now.dedup();
        let looped = now.iter().any(|n| seen.iter().filter(|s| *s == n).count() + 1 >= REPEATS);
        seen.extend(now);
        conversation.messages.extend(results.into_iter().map(Message::Tool));
        if let Some(why) = fatal {
            return Err(AgentError::Fatal(why));
        }
        if repairs > REPAIRS {
            return budget("the model keeps making calls that make no sense".into());
        }
        if looped {
            return budget(format!("the model made the same call {REPEATS} times with the same result"));
        }
    }
    Err(AgentError::Budget(format!("no answer after {} turns", limits.turns)))
}

/// One answer. When the conversation has grown too long for the model, its tool results are shortened once.
async fn reply(
    model: &Model,
    system: &str,
    conversation: &mut Conversation,
    tools: &[ToolSpec],
    show: &mut (dyn FnMut(&str) + Send),
) -> Result<Reply, ModelError> {
    let mut shown = false;
    let mut say = |text: &str| {
        shown = true;
        show(text);
    };
    let mut reply = model.reply(system, conversation, tools, &mut say).await;
    if matches!(reply, Err(ModelError::ContextTooLong(_))) && conversation.shorten() {
        reply = model.reply(system, conversation, tools, &mut say).await;
    }
    if reply.is_err() && shown {
        // What was said so far stays readable above the reason.
        show("\n");
    }
    reply
}

/// A call as text, alike for arguments that differ in spacing alone.
fn said(call: &ToolCall) -> String {
    let arguments = serde_json::from_str::<Value>(&call.arguments).map(|v| v.to_string());
    format!("{} {}", call.name, arguments.unwrap_or_else(|_| call.arguments.clone()))
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
                if let Some(need) = kai_tools::catalog::find(&call.name).and_then(|tool| tool.needs) {
                    let (what, _, flag) = need.told();
                    return Some(format!(
                        "`{shown}` is off: {what}. Tell the person that `kai --allow {flag}` allows it, each time with the name typed."
                    ));
                }
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
