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
