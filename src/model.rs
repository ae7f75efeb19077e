//! What answers a conversation: the built-in planner, or a language model behind an OpenAI-compatible endpoint.

pub mod openai;
pub mod planner;
pub mod providers;

use serde_json::Value;

use crate::conversation::{Conversation, ToolCall};
use openai::OpenAi;
use planner::Planner;

/// Whatever answers.
pub enum Model {
    /// Boxed: it carries a client.
    OpenAi(Box<OpenAi>),
    Planner(Planner),
}

/// One answer: text, tool calls, or both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    pub text: String,
    pub calls: Vec<ToolCall>,
    /// Provider fields that must be echoed back.
    pub extra: Value,
    pub usage: Usage,
    /// False when the planner did not understand: then nothing was done and nothing will be.
    pub understood: bool,
}

/// Tokens that a model used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub input: u64,
    pub output: u64,
    /// Whether the server did not say, and kai counted bytes instead.
    pub estimated: bool,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input += other.input;
        self.output += other.output;
        self.estimated |= other.estimated;
    }
}

/// A tool as a model is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolSpec {
    pub name: String,
    pub description: String,
    pub schema: Value,
}

/// Why a model gave no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    #[error("the model's endpoint cannot be reached: {0}")]
    Unreachable(String),
    #[error("the model's endpoint answered {status}: {message}")]
    Refused { status: u16, message: String },
    #[error("the model's endpoint is busy ({status}) and asks to wait {seconds} s")]
    Busy { status: u16, seconds: u64 },
    #[error("the model's answer broke off: {0}")]
    Truncated(String),
    #[error("the model's endpoint has been silent for too long")]
    Stalled,
    #[error("the model's answer is longer than it may be")]
    TooLong,
    #[error("the conversation is longer than the model can read: {0}")]
    ContextTooLong(String),
    #[error("the model's answer cannot be read: {0}")]
    Malformed(String),
    #[error("the model gave no answer: {0}")]
    Empty(String),
    #[error("{0}")]
    Settings(String),
}

impl ModelError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unreachable(_) => "Check --base-url and the network, or use --model planner.",
            Self::Refused { status: 401 | 403, .. } => {
                "Check the API key (KAI_API_KEY or the provider's own variable)."
            }
            Self::Refused { status: 402, .. } => "The account has no credit left.",
            Self::Refused { status: 404, .. } => "Check the model's name (--model) and --base-url.",
            Self::Busy { .. } => "Try again later, or use --model planner.",
            Self::Stalled => {
                "Nothing that it asked for in that answer was done. KAI_MODEL_TIMEOUT sets how long kai waits, in seconds."
            }
            Self::TooLong => "Nothing that it asked for in that answer was done. Ask for less at once.",
            Self::ContextTooLong(_) => {
                "Ask for less at once (one namespace, fewer log lines), or use a model that reads more."
            }
            Self::Truncated(_) => "Nothing that it asked for in that answer was done. Ask again.",
            _ => return None,
        };
        Some(hint.into())
    }
}

impl Model {
    /// The name to show.
    pub fn name(&self) -> String {
        match self {
            Self::OpenAi(model) => model.name(),
            Self::Planner(_) => "built-in planner".into(),
        }
    }

    /// Answers the conversation. Text is also handed to `show` as it comes, when the model streams.
    ///
    /// Dropping the future ends the request: nothing is left behind.
    ///
    /// # Errors
    /// When no usable answer came. The tool calls of an answer that broke off are never given.
    pub async fn reply(
        &self,
        system: &str,
        conversation: &Conversation,
        tools: &[ToolSpec],
        show: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Reply, ModelError> {
        match self {
            Self::OpenAi(model) => model.reply(system, conversation, tools, show).await,
            Self::Planner(planner) => Ok(match planner.reply(conversation) {
                planner::Reply::Calls(calls) => Reply { calls, understood: true, ..Reply::default() },
                planner::Reply::Say { text, understood } => Reply { text, understood, ..Reply::default() },
            }),
        }
    }
}
