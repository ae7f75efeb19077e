//! What is said after the tools have answered: their own sentences, and at most one next step.

use serde_json::{Map, Value as Json};

use super::grammar::Grammar;
use super::resolve::Call;
use crate::conversation::ToolResult;

/// The results' `say` lines, joined; nothing is said that no tool computed.
pub fn answer(turn: &[(Call, Option<&ToolResult>)], notes: &[String], grammar: &Grammar) -> String {
    let mut lines: Vec<&str> = notes.iter().map(String::as_str).collect();
    for (at, result) in turn.iter().enumerate().filter_map(|(at, (_, r))| Some((at, (*r)?))) {
        // The calls of one plan may all end with the plan's own sentences.
        if turn[..at].iter().any(|(_, r)| r.is_some_and(|r| r.say == result.say && !r.say.is_empty())) {
            continue;
        }
        let before = lines.len();
        lines.extend(result.say.iter().map(String::as_str).filter(|l| !l.trim().is_empty()));
        if lines.len() == before {
            lines.push(result.text.trim_end());
        }
    }
    let mut text = lines.join("\n");
    if let Some((ask, _)) = offer(turn, grammar) {
        text.push('\n');
        text.push_str(&ask);
    }
    text
}

/// The next step that fits this turn: one query that went well, about one object.
pub fn offer(turn: &[(Call, Option<&ToolResult>)], grammar: &Grammar) -> Option<(String, Call)> {
    let [(call, Some(result))] = turn else { return None };
    let [about] = result.about.as_slice() else { return None };
    if !result.ok || grammar.is_action(&call.name) {
        return None;
    }
    let offer = grammar.offers.iter().find(|o| {
        o.after == call.name
            && o.when.iter().all(|(k, v)| call.args.get(k) == Some(v))
            && !o.unless.iter().any(|k| call.args.contains_key(k))
    })?;
    let object = format!("{}/{}", about.kind, about.name);
    let fill = |text: &str| {
        let text = text.replace("{object}", &object).replace("{name}", &about.name);
        text.replace("{namespace}", &about.namespace)
    };
    let mut args = Map::new();
    for (key, value) in &offer.args {
        let value = value.as_str().map_or(value.clone(), |text| Json::from(fill(text)));
        if value != "" {
            args.insert(key.clone(), value);
        }
    }
    Some((fill(&offer.ask), Call { name: offer.tool.clone(), args }))
}
