//! The protocol's JSON: our messages out, answers in, whole or in pieces (pure).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::conversation::{Conversation, Message, ToolCall};
use crate::model::{ModelError, Reply, ToolSpec, Usage};

/// The conversation as the protocol writes it. Tool output stands between fences whose name the text cannot know.
pub fn messages(system: &str, conversation: &Conversation, fence: &str) -> Value {
    let mut out = vec![json!({"role": "system", "content": system})];
    for message in &conversation.messages {
        out.push(match message {
            Message::User { text } => json!({"role": "user", "content": text}),
            Message::Assistant { text, calls, extra } => {
                let mut said = extra.as_object().cloned().unwrap_or_default();
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

/// The tools as the protocol writes them.
pub fn tools(tools: &[ToolSpec]) -> Value {
    let function =
        |t: &ToolSpec| json!({"name": t.name, "description": t.description, "parameters": t.schema});
    tools.iter().map(|t| json!({"type": "function", "function": function(t)})).collect()
}

/// An answer that comes in pieces.
#[derive(Default)]
pub struct Assembly {
    text: String,
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
    /// Takes a chunk and gives the text in it.
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
                ("role" | "content" | "tool_calls" | "refusal" | "function_call" | "audio", _)
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
        text
    }

    fn push_call(&mut self, delta: &Value) {
        let index = delta.get("index").and_then(Value::as_u64);
        let id = delta.get("id").and_then(Value::as_str).unwrap_or("");
        let known = match index {
            // The same index with another id is another call (some servers never count up).
            Some(_) => self
                .calls
                .iter()
                .rposition(|c| c.index == index && (id.is_empty() || c.id.is_empty() || c.id == id)),
            None if !id.is_empty() => self.calls.iter().rposition(|c| c.id == id),
            None => self
                .calls
                .len()
                .checked_sub(1)
                .filter(|_| delta.pointer("/function/name").is_none_or(|n| n == "" || n.is_null())),
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
            Some("length" | "max_tokens") => {
                return Err(ModelError::Truncated("it is longer than the model may answer".into()));
            }
            Some("content_filter") => {
                return Err(ModelError::Empty("the endpoint's filter withheld it".into()));
            }
            Some(_) => {}
        }
        if !self.refusal.is_empty() && self.text.is_empty() {
            return Err(ModelError::Empty(kai_tools::sanitize::line(&self.refusal)));
        }
        let mut used: BTreeMap<String, usize> = BTreeMap::new();
        let calls = self
            .calls
            .into_iter()
            .filter(|c| !c.name.is_empty())
            .enumerate()
            .map(|(i, c)| {
                let count = used.entry(c.id.clone()).or_default();
                *count += 1;
                // Each call is answered by its id, so each needs one of its own.
                let id = if c.id.is_empty() || *count > 1 { format!("call_{i}") } else { c.id };
                ToolCall { id, name: c.name, arguments: c.arguments, extra: object_or_null(c.extra) }
            })
            .collect();
        Ok(Reply {
            text: without_thoughts(&self.text),
            calls,
            extra: object_or_null(self.extra),
            usage: self.usage,
            understood: true,
        })
    }
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

/// Text without the reasoning that some models write into it.
fn without_thoughts(text: &str) -> String {
    match (text.find("<think>"), text.find("</think>")) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &text[..from], text[to + 8..].trim_start()),
        (None, Some(to)) => text[to + 8..].trim_start().to_string(),
        _ => text.to_string(),
    }
}

#[cfg(test)]
mod tests;
