//! "What would scaling backend to 5 cost?": the change in the middle is read as a sentence of its own, and priced instead of
//! made.

use serde_json::{Map, json};

use super::Core;
use super::parse::Parsed;
use super::resolve::{Call, Choice};
use crate::conversation::Message;

/// What stands before the change, and what may stand behind it. The longest first.
const FRAMES: [(&str, &str); 13] = [
    ("how much more would it cost to ", ""),
    ("how much more would it cost if i ", ""),
    ("how much would it cost to ", ""),
    ("how much would it cost if i ", ""),
    ("how much would it cost if we ", ""),
    ("what would it cost to ", ""),
    ("what would it cost if i ", ""),
    ("what would it cost if we ", ""),
    ("what does it cost to ", ""),
    ("what would ", " cost"),
    ("what will ", " cost"),
    ("how much would ", " cost"),
    ("how much will ", " cost"),
];
/// The same with nothing behind, and a noun before.
const NOUNS: [&str; 6] = [
    "estimate the cost of ",
    "estimate cost of ",
    "show the cost of ",
    "preview the cost of ",
    "the cost of ",
    "cost of ",
];
/// What may end such a question and says nothing.
const ENDS: [&str; 6] = [" a month", " per month", " monthly", " us", " me", " more"];

impl Core {
    /// The sentence as the price of a change; `None` when it asks for none.
    pub(super) fn priced(&self, sentence: &str, before: &[Message], depth: u8) -> Option<Parsed> {
        let inner = framed(sentence)?;
        for said in imperatives(&inner) {
            match self.parse(&said, before, depth) {
                Parsed::Calls { calls, notes } if self.all_change(&calls) => {
                    return Some(Parsed::Calls { calls: calls.into_iter().map(cost).collect(), notes });
                }
                Parsed::Question { ask, choices } if choices.iter().all(|c| self.all_change(&c.calls)) => {
                    let priced = |c: Choice| Choice { calls: c.calls.into_iter().map(cost).collect(), ..c };
                    return Some(Parsed::Question {
                        ask,
                        choices: choices.into_iter().map(priced).collect(),
                    });
                }
                _ => {}
            }
        }
        None
    }

    fn all_change(&self, calls: &[Call]) -> bool {
        !calls.is_empty() && calls.iter().all(|c| self.grammar.is_action(&c.name))
    }
}

fn cost(call: Call) -> Call {
    let change = json!({"tool": call.name, "arguments": call.args});
    Call { name: "cost".into(), args: Map::from_iter([("change".to_owned(), change)]) }
}

/// What stands inside the frame.
fn framed(sentence: &str) -> Option<String> {
    let trimmed = sentence.trim().trim_end_matches(['?', '.', '!']).trim_end();
    let mut low = trimmed.to_lowercase();
    if low.len() != trimmed.len() {
        return None;
    }
    while let Some(rest) = ENDS.iter().find_map(|end| low.strip_suffix(end)) {
        low.truncate(rest.len());
    }
    let cut = |head: usize, tail: usize| trimmed.get(head..low.len() - tail).map(str::trim);
    let frame = FRAMES.iter().find(|(head, tail)| {
        low.starts_with(head) && low.ends_with(tail) && low.len() > head.len() + tail.len()
    });
    let inner = match frame {
        Some((head, tail)) => cut(head.len(), tail.len()),
        None => NOUNS.iter().find(|head| low.starts_with(**head)).and_then(|head| cut(head.len(), 0)),
    };
    inner.filter(|i| !i.is_empty()).map(str::to_owned)
}

/// The sentence with its first word as a command: "scaling" is "scale", "setting" is "set".
fn imperatives(inner: &str) -> Vec<String> {
    let mut all = vec![inner.to_owned()];
    let (first, rest) = inner.split_once(' ').unwrap_or((inner, ""));
    if let Some(stem) = first.to_lowercase().strip_suffix("ing") {
        let bytes = stem.as_bytes();
        let doubled = bytes.len() > 2 && bytes[bytes.len() - 1] == bytes[bytes.len() - 2];
        let shorter = if doubled { stem.get(..stem.len() - 1) } else { None };
        let words = [Some(format!("{stem}e")), Some(stem.to_owned()), shorter.map(str::to_owned)];
        all.extend(words.into_iter().flatten().map(|word| format!("{word} {rest}")));
    }
    all
}
