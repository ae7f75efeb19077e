//! The built-in planner: plain operational sentences to tool calls, with no network and no guess.
//!
//! The grammar is data (`prompts/phrases.toml`). Every word of a sentence must be accounted for by a phrase, a slot or a closed list
//! of words that carry nothing; one word left over and nothing is done. What it answers is what the tools said.

mod answer;
mod automaton;
mod context;
mod grammar;
mod parse;
mod price;
mod resolve;
mod slots;
mod template;
#[cfg(test)]
mod tests;
mod tokens;

use std::sync::OnceLock;

use serde_json::{Value as Json, json};

pub use parse::Parsed;
pub use resolve::{Call, Choice};

use crate::conversation::{Conversation, Message, ToolCall, ToolResult};

/// The built-in planner. It has no state: everything it knows stands in the conversation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Planner;

/// What the planner answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Calls(Vec<ToolCall>),
    /// An answer, a question, or what could not be placed. `understood` is false when the sentence was not.
    Say {
        text: String,
        understood: bool,
    },
}

/// The grammar, compiled.
struct Core {
    grammar: grammar::Grammar,
    automaton: automaton::Automaton,
}

/// How many of its own questions in a row the planner looks back through.
const QUESTIONS_DEEP: u8 = 8;

impl Core {
    fn read(text: &str) -> Result<Core, String> {
        let mut grammar = grammar::Grammar::read(text)?;
        let automaton = automaton::Automaton::compile(&grammar)?;
        grammar.learn(automaton.words());
        Ok(Core { grammar, automaton })
    }

    /// The built-in grammar, compiled at the first use.
    fn get() -> Result<&'static Core, &'static str> {
        static CORE: OnceLock<Result<Core, String>> = OnceLock::new();
        let core = CORE.get_or_init(|| Core::read(include_str!("../../prompts/phrases.toml")));
        core.as_ref().map_err(String::as_str)
    }
}

impl Planner {
    /// Answers the last message: a person's sentence becomes calls or a question, tool results become the answer.
    pub fn reply(&self, conversation: &Conversation) -> Reply {
        let messages = conversation.messages.as_slice();
        match messages.last() {
            Some(Message::User { text }) => self.place(text, &messages[..messages.len() - 1]),
            Some(Message::Tool(_)) => self.report(messages),
            _ => Reply::Say { text: "Nothing was asked.".into(), understood: false },
        }
    }

    fn place(&self, sentence: &str, before: &[Message]) -> Reply {
        match read(sentence, before) {
            Parsed::Calls { calls, .. } => {
                let earlier = before
                    .iter()
                    .map(|m| if let Message::Assistant { calls, .. } = m { calls.len() } else { 0 });
                let first = earlier.sum::<usize>() + 1;
                let call = |(at, call): (usize, Call)| ToolCall {
                    id: format!("planner-{}", first + at),
                    name: call.name,
                    arguments: Json::Object(call.args).to_string(),
                    extra: Json::Null,
                };
                Reply::Calls(calls.into_iter().enumerate().map(call).collect())
            }
            Parsed::Question { ask, choices } => {
                Reply::Say { text: question(&ask, &choices), understood: true }
            }
            Parsed::Unplaced { words, understood, nearest, reason } => Reply::Say {
                text: explain(&words, understood.as_deref(), &nearest, reason.as_deref()),
                understood: false,
            },
        }
    }

    fn report(&self, messages: &[Message]) -> Reply {
        let grammar = match Core::get() {
            Ok(core) => &core.grammar,
            Err(e) => return Reply::Say { text: e.to_owned(), understood: false },
        };
        let asked = messages.iter().rposition(|m| matches!(m, Message::Assistant { .. })).unwrap_or(0);
        let results =
            messages[asked..].iter().filter_map(|m| if let Message::Tool(r) = m { Some(r) } else { None });
        let turn: Vec<(Call, Option<&ToolResult>)> = results
            .map(|result| {
                let calls = if let Message::Assistant { calls, .. } = &messages[asked] {
                    calls.as_slice()
                } else {
                    &[]
                };
                let call = calls.iter().find(|c| c.id == result.id);
                let args = call.and_then(|c| serde_json::from_str(&c.arguments).ok()).unwrap_or_default();
                (Call { name: result.name.clone(), args }, Some(result))
            })
            .collect();
        let notes = match messages[..asked].last() {
            Some(Message::User { text }) => match read(text, &messages[..asked - 1]) {
                Parsed::Calls { notes, .. } => notes,
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        Reply::Say { text: answer::answer(&turn, &notes, grammar), understood: true }
    }
}

/// Parses the sentence as the next thing said in the conversation.
pub fn parse(sentence: &str, conversation: &Conversation) -> Parsed {
    read(sentence, &conversation.messages)
}

fn read(sentence: &str, before: &[Message]) -> Parsed {
    match Core::get() {
        Ok(core) => core.parse(sentence, before, QUESTIONS_DEEP),
        Err(e) => Parsed::Unplaced {
            words: Vec::new(),
            understood: None,
            nearest: Vec::new(),
            reason: Some(e.to_owned()),
        },
    }
}

/// What `kai parse` prints, and its exit code: 0 when the sentence becomes calls, else 2.
pub fn parse_report(sentence: &str, conversation: &Conversation) -> (Json, u8) {
    let list = |calls: &[Call]| -> Json {
        calls.iter().map(|c| json!({ "name": c.name, "arguments": c.args })).collect::<Vec<_>>().into()
    };
    match parse(sentence, conversation) {
        Parsed::Calls { calls, notes } if notes.is_empty() => (json!({ "calls": list(&calls) }), 0),
        Parsed::Calls { calls, notes } => (json!({ "calls": list(&calls), "notes": notes }), 0),
        Parsed::Question { ask, choices } => {
            let choices: Vec<Json> =
                choices.iter().map(|c| json!({ "say": c.label, "calls": list(&c.calls) })).collect();
            (json!({ "question": ask, "choices": choices }), 2)
        }
        Parsed::Unplaced { words, understood, nearest, reason } => {
            (json!({ "unplaced": words, "understood": understood, "nearest": nearest, "reason": reason }), 2)
        }
    }
}

/// A question with its numbered answers.
fn question(ask: &str, choices: &[Choice]) -> String {
    let mut text = ask.to_owned();
    for (at, choice) in choices.iter().enumerate() {
        text.push_str(&format!("\n  {}. {}", at + 1, choice.label));
    }
    let how = if choices.len() == 1 { "yes, or say it another way" } else { "a number" };
    text.push_str(&format!("\nAnswer with {how}. Nothing was done yet."));
    text
}

/// Why nothing was done, and what would have been understood.
fn explain(words: &[String], understood: Option<&str>, nearest: &[String], reason: Option<&str>) -> String {
    let mut text = String::new();
    if let Some(reason) = reason {
        text.push_str(reason);
    }
    if !words.is_empty() {
        let quoted: Vec<String> = words.iter().map(|w| format!("“{}”", visible(w))).collect();
        text.push_str(&format!("I can't place {}.", quoted.join(", ")));
        match understood {
            Some(rest) => {
                let rest = visible(rest.trim_end_matches(['?', '!', '.']));
                text.push_str(&format!(" I understood: {rest}. Nothing was done."));
            }
            None => text.push_str(" Nothing was done."),
        }
        if !nearest.is_empty() {
            text.push_str("\nSentences that I know and that are near:");
            nearest.iter().for_each(|say| text.push_str(&format!("\n  {say}")));
        }
        text.push_str("\nA language model takes any wording: `kai models` shows how to configure one.");
    }
    text
}

/// The text with what cannot be seen, or turns the line around, written out; cut after 300 characters.
fn visible(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut out = String::new();
    for c in text.chars().take(300) {
        if hidden(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    if text.chars().nth(300).is_some() {
        out.push('…');
    }
    out
}
