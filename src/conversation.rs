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
/// What a result of the last turn is shortened to when the model cannot read it whole.
const NEW_RESULT_BYTES: usize = 2000;

impl Conversation {
    /// Shortens the oldest tool results when the conversation has grown too long. What people said stays whole.
    pub fn compact(&mut self) {
        let mut size: usize = self.messages.iter().map(Message::size).sum();
        let keep = self.messages.len().saturating_sub(4);
        for message in &mut self.messages[..keep] {
            if size <= FULL_BYTES {
                return;
            }
            size -= message.shorten(OLD_RESULT_BYTES);
        }
    }

    /// Shortens every tool result, those of the last turn less; for a model that cannot read all of it. Says whether
    /// that made the conversation shorter.
    pub fn shorten(&mut self) -> bool {
        let last = self.messages.iter().rposition(|m| matches!(m, Message::Assistant { .. })).unwrap_or(0);
        let to = |at| if at > last { NEW_RESULT_BYTES } else { OLD_RESULT_BYTES };
        let saved: usize = self.messages.iter_mut().enumerate().map(|(at, m)| m.shorten(to(at))).sum();
        saved > 0
    }

    /// Answers the calls that were left without a result when a request was interrupted: endpoints refuse a
    /// conversation that has any.
    pub fn settle(&mut self) {
        let mut messages = Vec::with_capacity(self.messages.len());
        let mut open: Vec<ToolCall> = Vec::new();
        for message in self.messages.drain(..) {
            match &message {
                Message::Tool(result) => open.retain(|call| call.id != result.id),
                _ => messages.extend(open.drain(..).map(left)),
            }
            if let Message::Assistant { calls, .. } = &message {
                open.clone_from(calls);
            }
            messages.push(message);
        }
        messages.extend(open.into_iter().map(left));
        self.messages = messages;
    }
}

/// The result of a call that nobody waited for.
fn left(call: ToolCall) -> Message {
    let text = "interrupted; whether it was done is not known here".to_string();
    Message::Tool(ToolResult {
        id: call.id,
        name: call.name,
        say: vec![text.clone()],
        text,
        ok: false,
        about: Vec::new(),
    })
}

impl Conversation {
    /// Leaves a whole conversation behind a turn that did not come to its end: a sentence that nothing came of is taken
    /// back, and every call has a result.
    pub fn end_broken_turn(&mut self) {
        if let Some(Message::User { .. }) = self.messages.last() {
            self.messages.pop();
        }
        self.settle();
    }
}

impl Message {
    /// Shortens a tool result and gives the number of bytes that this saved.
    fn shorten(&mut self, to: usize) -> usize {
        let Self::Tool(result) = self else { return 0 };
        let short = kai_tools::report::bounded(&result.text, to);
        let saved = result.text.len().saturating_sub(short.len());
        if saved > 0 {
            result.text = short;
        }
        saved
    }

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

    fn result_of(id: &str, text: String) -> Message {
        Message::Tool(ToolResult {
            id: id.into(),
            name: "logs".into(),
            text,
            say: Vec::new(),
            ok: true,
            about: Vec::new(),
        })
    }

    fn asks(ids: &[&str]) -> Message {
        let call = |id: &&str| ToolCall {
            id: id.to_string(),
            name: "logs".into(),
            arguments: "{}".into(),
            extra: Value::Null,
        };
        Message::Assistant { text: String::new(), calls: ids.iter().map(call).collect(), extra: Value::Null }
    }

    #[test]
    fn every_call_is_answered_once_however_a_request_ended() {
        let user = || Message::User { text: "x".into() };
        let ids = |conversation: &Conversation| -> Vec<String> {
            let id = |m: &Message| match m {
                Message::User { .. } => "user".to_string(),
                Message::Assistant { .. } => "calls".to_string(),
                Message::Tool(r) => r.id.clone(),
            };
            conversation.messages.iter().map(id).collect()
        };
        let mut conversation = Conversation {
            messages: vec![
                user(),
                asks(&["a", "b"]),
                result_of("b", "done".into()),
                user(),
                asks(&["c"]),
                result_of("c", "done".into()),
                asks(&["d"]),
            ],
        };
        conversation.settle();
        let settled = ["user", "calls", "b", "a", "user", "calls", "c", "calls", "d"];
        assert_eq!(ids(&conversation), settled);
        conversation.settle();
        assert_eq!(ids(&conversation), settled, "twice is once");
    }

    #[test]
    fn what_is_too_long_is_shortened_once() {
        let mut conversation = Conversation {
            messages: vec![
                Message::User { text: "w".repeat(9000) },
                asks(&["a"]),
                result_of("a", "x".repeat(9000)),
                asks(&["b"]),
                result_of("b", "x".repeat(9000)),
            ],
        };
        assert!(conversation.shorten());
        let sizes: Vec<usize> = conversation.messages.iter().map(Message::size).collect();
        assert_eq!(sizes[0], 9000, "what was said stays");
        assert!(sizes[2] < 500 && (1000..2200).contains(&sizes[4]), "{sizes:?}");
        assert!(!conversation.shorten(), "nothing is left to shorten");
    }

    #[test]
    fn old_results_are_shortened_and_words_stay() {
        let result = |text: String| result_of("1", text);
        let mut conversation = Conversation { messages: vec![Message::User { text: "why".into() }] };
        for _ in 0..40 {
            conversation.messages.push(result("x".repeat(8000)));
        }
        conversation.compact();
        assert!(conversation.messages.iter().map(Message::size).sum::<usize>() <= FULL_BYTES);
        assert_eq!(conversation.messages[0], Message::User { text: "why".into() });
        assert_eq!(conversation.messages[40].size(), 8000, "the newest stay whole");
    }

    #[test]
    fn a_sentence_that_nothing_came_of_is_taken_back() {
        let said = Message::User { text: "look".into() };
        let answered = Message::Assistant { text: "fine".into(), calls: Vec::new(), extra: Value::Null };
        let whole = Conversation { messages: vec![said.clone(), answered] };
        let mut broken = whole.clone();
        broken.end_broken_turn();
        assert_eq!(broken, whole, "what is whole stays as it is");
        broken.messages.push(said);
        broken.end_broken_turn();
        assert_eq!(broken, whole);
    }
}
