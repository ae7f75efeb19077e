//! The protocol's JSON: our messages out, answers in, whole or in pieces (pure).

use serde_json::{Map, Value, json};

use crate::conversation::{Conversation, Message, ToolCall};
use crate::model::{ModelError, Reply, ToolSpec, Usage};

use super::thoughts::{self, Thoughts};

/// The conversation as the protocol writes it. Tool output stands between fences whose name the text cannot know.
pub fn messages(system: &str, conversation: &Conversation, fence: &str) -> Value {
    let mut out = vec![json!({"role": "system", "content": system})];
    for message in &conversation.messages {
        out.push(match message {
            Message::User { text } => json!({"role": "user", "content": text}),
            Message::Assistant { text, calls, extra } => {
                // Reasoning comes back only with the calls it led to; elsewhere it is refused as often as wanted.
                let mut said = if calls.is_empty() {
                    Map::new()
                } else {
                    extra.as_object().cloned().unwrap_or_default()
                };
                said.insert("role".into(), json!("assistant"));
                said.insert(
                    "content".into(),
                    if text.is_empty() && !calls.is_empty() { Value::Null } else { json!(text) },
                );
                if !calls.is_empty() {
                    said.insert("tool_calls".into(), Value::Array(calls.iter().map(call).collect()));
                }
                Value::Object(said)
            }
            Message::Tool(result) => {
                let status = if result.ok { "ok" } else { "not done" };
                let content = format!("{status}\n<data-{fence}>\n{}\n</data-{fence}>", result.text);
                json!({"role": "tool", "tool_call_id": result.id, "content": content})
            }
        });
    }
    Value::Array(out)
}

fn call(call: &ToolCall) -> Value {
    let mut out = call.extra.as_object().cloned().unwrap_or_default();
    out.insert("id".into(), json!(call.id));
    out.insert("type".into(), json!("function"));
    // Servers parse the arguments again; what was no JSON goes back as an empty object, and the result says why.
    let arguments = if serde_json::from_str::<Value>(&call.arguments).is_ok_and(|v| v.is_object()) {
        call.arguments.as_str()
    } else {
        "{}"
    };
    out.insert("function".into(), json!({"name": call.name, "arguments": arguments}));
    Value::Object(out)
}

/// The tools as the protocol writes them, with the simplest schemas where an endpoint takes no others.
pub fn tools(tools: &[ToolSpec], plain: bool) -> Value {
    let function = |t: &ToolSpec| {
        let schema = if plain { plain_schema(&t.schema) } else { t.schema.clone() };
        json!({"name": t.name, "description": t.description, "parameters": schema})
    };
    tools.iter().map(|t| json!({"type": "function", "function": function(t)})).collect()
}

/// Keywords that every dialect of JSON schema knows. Gemini's refuses a request for any other.
const PLAIN: [&str; 10] = [
    "type",
    "description",
    "properties",
    "required",
    "items",
    "enum",
    "anyOf",
    "minimum",
    "maximum",
    "nullable",
];

fn plain_schema(schema: &Value) -> Value {
    let Some(map) = schema.as_object() else { return json!({}) };
    let mut out = Map::new();
    for (key, value) in map.iter().filter(|(key, _)| PLAIN.contains(&key.as_str())) {
        let value = match (key.as_str(), value) {
            ("properties", Value::Object(all)) => {
                Value::Object(all.iter().map(|(name, s)| (name.clone(), plain_schema(s))).collect())
            }
            ("items", item) => plain_schema(item),
            ("anyOf", Value::Array(all)) => all.iter().map(plain_schema).collect(),
            (_, other) => other.clone(),
        };
        out.insert(key.clone(), value);
    }
    Value::Object(out)
}

/// Gives each call an id of its own in the whole conversation, since each is answered by its id: endpoints leave ids
/// out, repeat them within an answer, or begin anew with each. `at` is the answer's place in the conversation.
pub fn name_calls(calls: &mut [ToolCall], at: usize) {
    for i in 0..calls.len() {
        let id = calls[i].id.clone();
        if id.is_empty() || calls[..i].iter().any(|c| c.id == id) {
            let free = |id: &String| calls.iter().all(|c| c.id != *id);
            calls[i].id = (i..).map(|n| format!("kai_{at}_{n}")).find(free).unwrap_or_default();
        }
    }
}

/// An answer that comes in pieces.
#[derive(Default)]
pub struct Assembly {
    text: String,
    thoughts: Thoughts,
    calls: Vec<Piece>,
    extra: Map<String, Value>,
    usage: Usage,
    finish: Option<String>,
    refusal: String,
}

/// One tool call that comes in pieces.
#[derive(Default)]
struct Piece {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    extra: Map<String, Value>,
}

impl Assembly {
    /// Takes a chunk and gives the text that can be shown.
    pub fn push(&mut self, chunk: &Value) -> String {
        if let Some(usage) = chunk.get("usage").filter(|u| u.is_object()) {
            self.usage = read_usage(usage);
        }
        let Some(choice) = chunk.pointer("/choices/0") else { return String::new() };
        // Some servers send "" before the end is known.
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str).filter(|r| !r.is_empty()) {
            self.finish = Some(reason.to_string());
        }
        let Some(delta) = choice.get("delta").or(choice.get("message")).and_then(Value::as_object) else {
            return String::new();
        };
        let mut text = String::new();
        for (key, value) in delta {
            match (key.as_str(), value) {
                ("content", Value::String(piece)) => text.push_str(piece),
                ("refusal", Value::String(piece)) => self.refusal.push_str(piece),
                ("tool_calls", Value::Array(list)) => list.iter().for_each(|c| self.push_call(c)),
                // The last three are told to the reader or to nobody; endpoints refuse to be told them again.
                (
                    "role" | "content" | "tool_calls" | "refusal" | "function_call" | "audio" | "annotations"
                    | "reasoning",
                    _,
                )
                | (_, Value::Null) => {}
                (_, Value::String(piece)) => match self.extra.get_mut(key) {
                    Some(Value::String(known)) => known.push_str(piece),
                    _ => {
                        self.extra.insert(key.clone(), json!(piece));
                    }
                },
                (_, Value::Array(more)) => match self.extra.get_mut(key) {
                    Some(Value::Array(known)) => known.extend(more.iter().cloned()),
                    _ => {
                        self.extra.insert(key.clone(), value.clone());
                    }
                },
                _ => {
                    self.extra.insert(key.clone(), value.clone());
                }
            }
        }
        self.text.push_str(&text);
        self.thoughts.push(&text)
    }

    /// Text that was held back and can be shown now that nothing follows.
    pub fn rest(&mut self) -> String {
        self.thoughts.rest()
    }

    fn push_call(&mut self, delta: &Value) {
        let index = delta.get("index").and_then(Value::as_u64);
        let id = delta.get("id").and_then(Value::as_str).unwrap_or("");
        let known = match index {
            // The same index with another id, or with a name once the arguments are whole, is another call: some
            // servers never count up.
            Some(_) => self
                .calls
                .iter()
                .rposition(|c| c.index == index && (id.is_empty() || c.id.is_empty() || c.id == id))
                .filter(|at| !(id.is_empty() && is_named(delta) && self.calls[*at].is_whole())),
            None if !id.is_empty() => self.calls.iter().rposition(|c| c.id == id),
            None => self.calls.len().checked_sub(1).filter(|_| !is_named(delta)),
        };
        let at = known.unwrap_or_else(|| {
            self.calls.push(Piece { index, ..Piece::default() });
            self.calls.len() - 1
        });
        let piece = &mut self.calls[at];
        if !id.is_empty() {
            piece.id = id.into();
        }
        if let Some(name) = delta.pointer("/function/name").and_then(Value::as_str).filter(|n| !n.is_empty())
        {
            piece.name = name.into();
        }
        match delta.pointer("/function/arguments") {
            Some(Value::String(more)) => piece.arguments.push_str(more),
            Some(whole @ Value::Object(_)) => piece.arguments = whole.to_string(),
            _ => {}
        }
        for (key, value) in delta.as_object().into_iter().flatten() {
            if !matches!(key.as_str(), "index" | "id" | "type" | "function") && !value.is_null() {
                piece.extra.insert(key.clone(), value.clone());
            }
        }
    }

    /// The whole answer.
    ///
    /// # Errors
    /// When it broke off: no reason for its end was given, or the reason is that it did not fit.
    pub fn finish(self) -> Result<Reply, ModelError> {
        let said = || {
            kai_tools::sanitize::line(
                &self.text.chars().rev().take(80).collect::<Vec<_>>().into_iter().rev().collect::<String>(),
            )
        };
        match self.finish.as_deref() {
            None => {
                return Err(ModelError::Truncated(format!(
                    "the endpoint closed before its end, after: {}",
                    said()
                )));
            }
            Some("length" | "max_tokens") => return Err(ModelError::TooLong),
            Some("content_filter" | "refusal") => {
                return Err(ModelError::Empty("the endpoint's filter withheld it".into()));
            }
            Some(_) => {}
        }
        if !self.refusal.is_empty() && self.text.is_empty() {
            return Err(ModelError::Empty(kai_tools::sanitize::line(&self.refusal)));
        }
        let calls = self.calls.into_iter().filter(|c| !c.name.is_empty()).map(|c| ToolCall {
            id: c.id,
            name: c.name,
            arguments: c.arguments,
            extra: object_or_null(c.extra),
        });
        Ok(Reply {
            text: thoughts::without(&self.text),
            calls: calls.collect(),
            extra: object_or_null(self.extra),
            usage: self.usage,
            understood: true,
        })
    }
}

impl Piece {
    /// Whether the arguments are complete: an object that nothing can be added to.
    fn is_whole(&self) -> bool {
        serde_json::from_str::<Map<String, Value>>(&self.arguments).is_ok()
    }
}

fn is_named(delta: &Value) -> bool {
    delta.pointer("/function/name").and_then(Value::as_str).is_some_and(|name| !name.is_empty())
}

/// An answer that came whole.
///
/// # Errors
/// As [`Assembly::finish`].
pub fn whole(answer: &Value) -> Result<Reply, ModelError> {
    if answer.pointer("/choices/0").is_none() {
        return Err(ModelError::Malformed(format!(
            "no choices in {}",
            kai_tools::report::bounded(&kai_tools::sanitize::line(&answer.to_string()), 200)
        )));
    }
    let mut assembly = Assembly::default();
    assembly.push(answer);
    // Whole answers of lenient servers may leave the reason out; the answer is complete nonetheless.
    assembly.finish.get_or_insert_with(|| "stop".into());
    assembly.finish()
}

fn object_or_null(map: Map<String, Value>) -> Value {
    if map.is_empty() { Value::Null } else { Value::Object(map) }
}

fn read_usage(usage: &Value) -> Usage {
    let count = |name: &str| usage.get(name).and_then(Value::as_u64).unwrap_or(0);
    Usage { input: count("prompt_tokens"), output: count("completion_tokens"), estimated: false }
}

#[cfg(test)]
mod tests;
