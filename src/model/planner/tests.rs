//! The grammar and the corpus, held to what they promise.

mod corpus;
mod grammar;
mod safety;
mod talk;
mod wordings;

use serde_json::{Map, Value as Json};

use super::{Call, Parsed, parse};
use crate::conversation::{Conversation, Message};

fn alone(sentence: &str) -> Parsed {
    parse(sentence, &Conversation::default())
}

/// `["scale", {…}]` pairs as calls.
fn calls(expected: &[(String, Json)]) -> Vec<Call> {
    let args = |v: &Json| v.as_object().cloned().unwrap_or_else(Map::new);
    expected.iter().map(|(name, v)| Call { name: name.clone(), args: args(v) }).collect()
}

/// A conversation that a person has just begun with this sentence.
fn ask(sentence: &str) -> Conversation {
    Conversation { messages: vec![Message::User { text: sentence.to_owned() }] }
}
