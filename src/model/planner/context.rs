//! What was said and found before: what "it", "the same", "now 5", "the second one" and "yes" mean.

use serde_json::{Map, Value as Json};

use super::grammar::{Grammar, Meaning};
use super::resolve::{Call, Choice, Outcome};
use crate::conversation::{About, Message, ToolResult};

/// Something that can be spoken of again.
#[derive(Clone, Debug, PartialEq)]
pub struct Referent {
    /// `kind/name` where the kind is known, else the name as it was said.
    pub object: String,
    pub namespace: Option<String>,
}

impl Referent {
    fn of(about: &About) -> Referent {
        let namespace = (!about.namespace.is_empty()).then(|| about.namespace.clone());
        Referent { object: format!("{}/{}", about.kind, about.name), namespace }
    }

    /// For a question: "deployment/backend in namespace todo".
    pub fn label(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} in namespace {namespace}", self.object),
            None => self.object.clone(),
        }
    }

    /// Puts the thing into the arguments of a call; a namespace that was said stays.
    pub fn fill(&self, arg: &str, args: &mut Map<String, Json>) {
        match (arg, self.object.split_once('/')) {
            ("name", Some((kind, name))) => {
                args.insert("kind".into(), kind.into());
                args.insert("name".into(), name.into());
            }
            _ => {
                args.insert(arg.to_owned(), self.object.clone().into());
            }
        }
        if let Some(namespace) = &self.namespace
            && !args.contains_key("all_namespaces")
        {
            args.entry("namespace").or_insert_with(|| namespace.clone().into());
        }
    }
}

/// The last turn with calls, and what is open to be answered.
#[derive(Debug, Default)]
pub struct Context<'a> {
    turn: Vec<(Call, Option<&'a ToolResult>)>,
    /// The numbered question that was asked last, if nothing has been said since.
    pub pending: Vec<Choice>,
    /// The next step that was offered last.
    pub offered: Option<Call>,
}

impl<'a> Context<'a> {
    /// Reads what stands before the sentence in work.
    pub fn of(before: &'a [Message], grammar: &Grammar) -> Context<'a> {
        let mut context = Context::default();
        let asked = |m: &Message| matches!(m, Message::Assistant { calls, .. } if !calls.is_empty());
        let Some(at) = before.iter().rposition(asked) else { return context };
        let Message::Assistant { calls, .. } = &before[at] else { return context };
        let results: Vec<&ToolResult> = before[at..]
            .iter()
            .filter_map(|m| if let Message::Tool(r) = m { Some(r) } else { None })
            .collect();
        for call in calls {
            let args = serde_json::from_str(&call.arguments).unwrap_or_default();
            let result = results.iter().find(|r| r.id == call.id).copied();
            context.turn.push((Call { name: call.name.clone(), args }, result));
        }
        if !before[at..].iter().any(|m| matches!(m, Message::User { .. })) {
            context.pending = context.ambiguous();
            if let Some(Message::Assistant { text, .. }) = before.last() {
                context.offered = super::answer::offer(&context.turn, grammar)
                    .and_then(|(ask, call)| text.ends_with(&ask).then_some(call));
            }
        }
        context
    }

    /// A result that failed because a name fits several objects asks a numbered question: its `say` lines hold the list ("1. …"),
    /// its `about` the candidates in the same order. The answer repeats what failed, with that object named.
    fn ambiguous(&self) -> Vec<Choice> {
        let failed = |r: &Option<&ToolResult>| r.is_some_and(|r| !r.ok);
        let asks = |r: &ToolResult| {
            !r.ok
                && r.about.len() > 1
                && r.say.iter().flat_map(|s| s.lines()).any(|l| l.trim_start().starts_with("1."))
        };
        let Some(which) = self.turn.iter().position(|(_, r)| r.is_some_and(asks)) else { return Vec::new() };
        let candidates = self.turn[which].1.map(|r| r.about.as_slice()).unwrap_or_default();
        candidates
            .iter()
            .map(Referent::of)
            .map(|referent| {
                let again = self.turn.iter().enumerate().filter(|(_, (_, r))| failed(r));
                let calls = again.map(|(at, (call, _))| {
                    let mut call = call.clone();
                    if at == which {
                        let arg = ["workload", "object"]
                            .into_iter()
                            .find(|a| call.args.contains_key(*a))
                            .unwrap_or("name");
                        call.args.shift_remove("namespace");
                        call.args.shift_remove("all_namespaces");
                        referent.fill(arg, &mut call.args);
                    }
                    call
                });
                Choice { label: referent.label(), calls: calls.collect() }
            })
            .collect()
    }

    /// What the last turn was about: the objects that were found, else what the calls named.
    pub fn referents(&self) -> Vec<Referent> {
        let mut all: Vec<Referent> = Vec::new();
        for (call, result) in &self.turn {
            let found: Vec<Referent> = match result {
                Some(r) if !r.about.is_empty() => r.about.iter().map(Referent::of).collect(),
                _ => spoken(call).into_iter().collect(),
            };
            for referent in found {
                if !all.contains(&referent) {
                    all.push(referent);
                }
            }
        }
        all
    }

    /// What a sentence that leans on the conversation comes to.
    pub fn mean(&self, meaning: Meaning, args: &Map<String, Json>, grammar: &Grammar) -> Outcome {
        match meaning {
            Meaning::Same => self.same(args),
            Meaning::Amend => self.amend(args),
            Meaning::Back => self.back(args, grammar),
            Meaning::Why => self.about(|r| {
                let mut args = Map::new();
                r.fill("object", &mut args);
                vec![Call { name: "events".into(), args }]
            }),
            Meaning::Yes => match (&self.offered, self.pending.as_slice()) {
                (_, [only]) => Outcome::Calls(only.calls.clone()),
                (Some(call), []) => Outcome::Calls(vec![call.clone()]),
                (None, []) => Outcome::Nothing("I offered nothing that a yes would answer.".into()),
                _ => Outcome::Nothing("Which one? Answer with its number.".into()),
            },
            Meaning::Pick | Meaning::Scope => self.pick(args),
        }
    }

    fn same(&self, said: &Map<String, Json>) -> Outcome {
        let [(call, _)] = self.turn.as_slice() else {
            return Outcome::Nothing("What “the same” is, is not clear: say the whole request.".into());
        };
        let mut call = call.clone();
        let takes = |arg: &str| call.args.contains_key(arg);
        if (said.contains_key("workload") && !takes("workload")) || (!takes("workload") && !takes("kind")) {
            return Outcome::Nothing(format!(
                "“The same” does not fit {}: say the whole request.",
                call.name
            ));
        }
        if said.contains_key("namespace") {
            call.args.shift_remove("all_namespaces");
        }
        for (arg, value) in said {
            call.args.insert(arg.clone(), value.clone());
        }
        Outcome::Calls(vec![call])
    }

    fn amend(&self, said: &Map<String, Json>) -> Outcome {
        match self.turn.as_slice() {
            [(call, _)] if call.name == "scale" => self.about(|referent| {
                let mut args = said.clone();
                if call.args.get("workload") == Some(&"*".into()) {
                    args = call.args.clone();
                    args.extend(said.clone());
                } else {
                    referent.fill("workload", &mut args);
                }
                vec![Call { name: "scale".into(), args }]
            }),
            _ => {
                Outcome::Nothing("There is no scaling just before this that the number could change.".into())
            }
        }
    }

    fn back(&self, said: &Map<String, Json>, grammar: &Grammar) -> Outcome {
        let undo = Call { name: "undo".into(), args: Map::new() };
        let changed: Vec<bool> = (self.turn.iter())
            .filter(|(call, _)| grammar.is_action(&call.name))
            .map(|(_, r)| r.is_some_and(|r| r.ok))
            .collect();
        if changed.contains(&false) {
            let show = Call { name: "changes".into(), args: Map::new() };
            return Outcome::Question {
                ask:
                    "The last request did not end well and may have changed nothing. What shall I take back?"
                        .into(),
                choices: vec![
                    Choice {
                        label: "the last change in the journal, whatever it was".into(),
                        calls: vec![undo],
                    },
                    Choice { label: "nothing yet: show the journal".into(), calls: vec![show] },
                ],
            };
        }
        let journal = self.turn.iter().any(|(call, _)| call.name == "changes");
        let rollback = said.get("way").is_some_and(|w| w == "rollback");
        if !changed.is_empty() || self.turn.is_empty() || journal || !rollback {
            return Outcome::Calls(vec![undo]);
        }
        self.about(|referent| {
            let mut args = Map::from_iter([("action".to_owned(), "undo".into())]);
            referent.fill("workload", &mut args);
            vec![Call { name: "rollout".into(), args }]
        })
    }

    /// One thing spoken of: its calls. Several: a question. None: nothing.
    fn about(&self, calls: impl Fn(&Referent) -> Vec<Call>) -> Outcome {
        match self.referents().as_slice() {
            [] => Outcome::Nothing("Nothing was spoken of before that this could be about.".into()),
            [one] => Outcome::Calls(calls(one)),
            many => Outcome::Question {
                ask: "Which one is meant?".into(),
                choices: many.iter().map(|r| Choice { label: r.label(), calls: calls(r) }).collect(),
            },
        }
    }

    fn pick(&self, said: &Map<String, Json>) -> Outcome {
        if self.pending.is_empty() {
            return Outcome::Nothing(String::new());
        }
        let text = |key: &str| said.get(key).and_then(Json::as_str);
        let fits = |choice: &&Choice| {
            let (object, namespace) =
                choice.label.split_once(" in namespace ").unwrap_or((&choice.label, ""));
            let (kind, name) = object.split_once('/').unwrap_or(("", object));
            text("namespace").is_none_or(|n| n == namespace)
                && text("kind").is_none_or(|k| k == kind)
                && text("name").is_none_or(|n| n == name || n == object)
        };
        let chosen: Vec<&Choice> = match said.get("n").and_then(Json::as_u64) {
            Some(n) => self.pending.get(n as usize - 1).into_iter().collect(),
            None => self.pending.iter().filter(fits).collect(),
        };
        match chosen.as_slice() {
            [one] => Outcome::Calls(one.calls.clone()),
            _ => Outcome::Nothing("That does not say which one: answer with its number.".into()),
        }
    }
}

/// What a call named, as it was said.
pub fn spoken(call: &Call) -> Option<Referent> {
    let text = |key: &str| call.args.get(key).and_then(Json::as_str).map(str::to_owned);
    let named = text("workload").or_else(|| text("object"));
    let object = named.or_else(|| Some(format!("{}/{}", text("kind")?, text("name")?)))?;
    (object != "*").then(|| Referent { object, namespace: text("namespace") })
}
