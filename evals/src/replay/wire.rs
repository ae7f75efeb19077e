//! A turn as bytes: a stream of events or one JSON document, whole or broken.

use bytes::Bytes;
use serde_json::{Value, json};

use super::script::{Call, Fault, Style, Turn, Usage};

/// The body of an answer.
pub(super) struct Wire {
    pub content_type: &'static str,
    pub pieces: Vec<Bytes>,
    pub ending: Ending,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// As it should.
    Close,
    /// The connection breaks.
    Break,
    /// Not at all.
    Stall,
}

/// What an answer depends on besides its turn.
pub(super) struct Asked<'a> {
    pub body: &'a Value,
    /// Position of the request, for ids that differ.
    pub number: usize,
}

const HTML: &str =
    "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n";

/// The body that answers `asked` with `turn`.
pub(super) fn answer(turn: &Turn, asked: &Asked) -> Wire {
    let streaming = asked.body["stream"] == true;
    if turn.fault == Some(Fault::Html) {
        return Wire { content_type: "text/html", pieces: vec![Bytes::from(HTML)], ending: Ending::Close };
    }
    let whole: Vec<Bytes> = match streaming {
        true => {
            events(turn, asked).into_iter().map(|event| Bytes::from(format!("data: {event}\n\n"))).collect()
        }
        false => vec![Bytes::from(document(turn, asked))],
    };
    let (pieces, ending) = match turn.fault {
        Some(Fault::Cut { after }) => (truncated(&whole, after), Ending::Break),
        Some(Fault::Stall { after }) => (truncated(&whole, after), Ending::Stall),
        _ => (whole, Ending::Close),
    };
    // Slow streams keep one event to a piece; others break where no event ends, as networks do.
    let pieces = if turn.delay_ms == 0 { rechunked(&pieces) } else { pieces };
    Wire { content_type: if streaming { "text/event-stream" } else { "application/json" }, pieces, ending }
}

/// The data of each event of a stream.
fn events(turn: &Turn, asked: &Asked) -> Vec<String> {
    let blank = if turn.style == Style::Deepseek { json!("") } else { Value::Null };
    let reports = asked.body["stream_options"]["include_usage"] == true && !turn.no_usage;
    let chunk = |delta: Value, finish: &Value| {
        let mut chunk = head(asked, "chat.completion.chunk");
        chunk["choices"] = json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
        if reports {
            chunk["usage"] = Value::Null;
        }
        chunk.to_string()
    };
    let mut events = vec![chunk(json!({"role": "assistant", "content": ""}), &blank)];
    for piece in split(turn.reasoning.as_deref().unwrap_or_default()) {
        events.push(chunk(json!({"reasoning_content": piece}), &blank));
    }
    for piece in split(turn.text.as_deref().unwrap_or_default()) {
        events.push(chunk(json!({"content": piece}), &blank));
    }
    match &turn.fault {
        Some(Fault::Error { message }) => {
            events.push(
                json!({"error": {"message": message, "type": "server_error", "code": 500}}).to_string(),
            );
            return events;
        }
        Some(Fault::BadJson) => events.push("{\"id\":\"chatcmpl-0\",\"choices\":[{\"delta\":".to_owned()),
        _ => {}
    }
    for (position, call) in turn.calls.iter().enumerate() {
        let deltas = call_deltas(turn.style, call, &id(call, asked, position), position);
        events.extend(deltas.into_iter().map(|delta| chunk(json!({"tool_calls": [delta]}), &blank)));
    }
    if turn.fault == Some(Fault::Unfinished) {
        return events;
    }
    events.push(chunk(json!({}), &json!(finish_reason(turn))));
    if reports {
        let mut last = head(asked, "chat.completion.chunk");
        last["choices"] = json!([]);
        last["usage"] = usage(turn, asked);
        events.push(last.to_string());
    }
    events.push("[DONE]".to_owned());
    events
}

fn call_deltas(style: Style, call: &Call, id: &str, position: usize) -> Vec<Value> {
    let arguments = call.arguments_text();
    let start = |arguments: &str| {
        let function = json!({"name": call.name, "arguments": arguments});
        let mut delta = json!({"index": position, "id": id, "type": "function", "function": function});
        extend(&mut delta, call);
        delta
    };
    match style {
        Style::Gemini => {
            let mut delta =
                json!({"type": "function", "function": {"name": call.name, "arguments": arguments}});
            extend(&mut delta, call);
            vec![delta]
        }
        Style::RepeatedNames => split(&arguments).iter().map(|piece| start(piece)).collect(),
        Style::Openai | Style::Deepseek => {
            let rest = split(&arguments);
            let rest = rest.iter().map(|piece| json!({"index": position, "function": {"arguments": piece}}));
            std::iter::once(start("")).chain(rest).collect()
        }
    }
}

/// The answer as one JSON document.
fn document(turn: &Turn, asked: &Asked) -> String {
    if let Some(Fault::Error { message }) = &turn.fault {
        return json!({"error": {"message": message, "type": "server_error", "code": 500}}).to_string();
    }
    let calls = turn.calls.iter().enumerate().map(|(position, call)| {
        let function = json!({"name": call.name, "arguments": call.arguments_text()});
        let mut whole = json!({"id": id(call, asked, position), "type": "function", "function": function});
        if turn.style == Style::Gemini {
            whole["id"] = json!("");
        }
        extend(&mut whole, call);
        whole
    });
    let mut message = json!({"role": "assistant", "content": turn.text});
    if let Some(reasoning) = &turn.reasoning {
        message["reasoning_content"] = json!(reasoning);
    }
    if !turn.calls.is_empty() {
        message["tool_calls"] = Value::Array(calls.collect());
    }
    let mut document = head(asked, "chat.completion");
    document["choices"] = json!([{"index": 0, "message": message, "finish_reason": finish_reason(turn)}]);
    if !turn.no_usage {
        document["usage"] = usage(turn, asked);
    }
    let mut text = document.to_string();
    match turn.fault {
        Some(Fault::Unfinished) => text.truncate(text.len() - 1),
        Some(Fault::BadJson) => text.insert_str(1, "\"id\":,"),
        _ => {}
    }
    text
}

fn head(asked: &Asked, object: &str) -> Value {
    let model = asked.body["model"].as_str().unwrap_or("scripted");
    json!({"id": format!("chatcmpl-{}", asked.number), "object": object, "created": 1_750_000_000, "model": model})
}

fn id(call: &Call, asked: &Asked, position: usize) -> String {
    call.id.clone().unwrap_or_else(|| format!("call_{}_{position}", asked.number))
}

fn extend(call: &mut Value, with: &Call) {
    if let (Some(call), Some(Value::Object(extra))) = (call.as_object_mut(), &with.extra) {
        call.extend(extra.clone());
    }
}

fn finish_reason(turn: &Turn) -> &str {
    match &turn.finish_reason {
        Some(reason) => reason,
        None if turn.calls.is_empty() || turn.style == Style::Gemini => "stop",
        None => "tool_calls",
    }
}

fn usage(turn: &Turn, asked: &Asked) -> Value {
    let said = turn.text.as_ref().map_or(0, String::len)
        + turn.calls.iter().map(|call| call.name.len() + call.arguments_text().len()).sum::<usize>();
    let estimate = Usage {
        prompt_tokens: asked.body.to_string().len() as u64 / 4,
        completion_tokens: said as u64 / 4 + 1,
    };
    let usage = turn.usage.unwrap_or(estimate);
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    })
}

/// Text in pieces of changing length, which break words, numbers and escape sequences.
fn split(text: &str) -> Vec<String> {
    let mut rest: Vec<char> = text.chars().collect();
    let mut pieces = Vec::new();
    for length in [1, 4, 2, 7, 3, 11, 5].into_iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let after = rest.split_off(length.min(rest.len()));
        pieces.push(rest.into_iter().collect());
        rest = after;
    }
    pieces
}

/// The same bytes in pieces that end within events, and within characters of more than one byte.
fn rechunked(pieces: &[Bytes]) -> Vec<Bytes> {
    let whole = Bytes::from(pieces.concat());
    (0..whole.len()).step_by(97).map(|at| whole.slice(at..whole.len().min(at + 97))).collect()
}

/// The first `length` bytes.
fn truncated(pieces: &[Bytes], length: usize) -> Vec<Bytes> {
    let mut left = length;
    let mut kept = Vec::new();
    for piece in pieces {
        let piece = piece.slice(..piece.len().min(left));
        left -= piece.len();
        kept.push(piece);
    }
    kept.retain(|piece| !piece.is_empty());
    kept
}
