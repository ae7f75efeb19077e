//! What has been said: messages between a person, a model and the tools, as data.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One message of a conversation, in the order in which it was said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// What a person typed.
    User { text: String },
    /// What the model answered: text, tool calls, or both.
    Assistant {
        text: String,
        calls: Vec<ToolCall>,
        /// Provider fields that must be echoed back verbatim (reasoning, signatures); `null` when there are none.
        #[serde(default)]
        extra: Value,
    },
    /// What one tool call came to. Every call id is answered exactly once.
    Tool(ToolResult),
}

/// A tool call as the model made it: not yet checked, never trusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    /// The arguments as JSON text, exactly as received.
    pub arguments: String,
    /// Provider fields of this call that must be echoed back verbatim; `null` when there are none.
    #[serde(default)]
    pub extra: Value,
}

/// The answer to one tool call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolResult {
    pub id: String,
    pub name: String,
    /// Bounded, cleaned, redacted text for the model.
    pub text: String,
    /// The same in a few sentences for a person, computed from the result: what the built-in planner says.
    pub say: Vec<String>,
    /// False when the call failed or was refused, declined, or left unverified.
    pub ok: bool,
    /// The objects that the call was about, as resolved on the cluster: what "it" means next.
    pub about: Vec<About>,
}

/// An object on the cluster that a call was about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Lower-case singular kind, such as `deployment`.
    pub kind: String,
    /// Empty for a cluster-scoped object.
    pub namespace: String,
    pub name: String,
}

/// Everything said so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    pub messages: Vec<Message>,
}

/// Bytes of a conversation that are sent whole; beyond that, old tool results are shortened (about 60,000 tokens).
const FULL_BYTES: usize = 240_000;
/// What an old tool result is shortened to.
const OLD_RESULT_BYTES: usize = 400;

impl Conversation {
    /// Shortens the oldest tool results when the conversation has grown too long. What people said stays whole.
    pub fn compact(&mut self) {
        let mut size: usize = self.messages.iter().map(Message::size).sum();
        let keep = self.messages.len().saturating_sub(4);
        for message in &mut self.messages[..keep] {
            if size <= FULL_BYTES {
                return;
            }
            if let Message::Tool(result) = message {
                let before = result.text.len();
                result.text = kai_tools::report::bounded(&result.text, OLD_RESULT_BYTES);
                size -= before.saturating_sub(result.text.len());
            }
        }
    }
}

impl Message {
    fn size(&self) -> usize {
        match self {
            Self::User { text } => text.len(),
            Self::Assistant { text, calls, .. } => {
                text.len() + calls.iter().map(|c| c.name.len() + c.arguments.len()).sum::<usize>()
            }
            Self::Tool(result) => result.text.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_results_are_shortened_and_words_stay() {
        let result = |text: String| {
            Message::Tool(ToolResult {
                id: "1".into(),
                name: "logs".into(),
                text,
                say: Vec::new(),
                ok: true,
                about: Vec::new(),
            })
        };
        let mut conversation = Conversation { messages: vec![Message::User { text: "why".into() }] };
        for _ in 0..40 {
            conversation.messages.push(result("x".repeat(8000)));
        }
        conversation.compact();
        assert!(conversation.messages.iter().map(Message::size).sum::<usize>() <= FULL_BYTES);
        assert_eq!(conversation.messages[0], Message::User { text: "why".into() });
        assert_eq!(conversation.messages[40].size(), 8000, "the newest stay whole");
    }
}
