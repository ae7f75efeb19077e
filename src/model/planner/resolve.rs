//! From the clauses of one reading to calls: lists spread, pronouns bound, contradictions refused.

use serde_json::{Map, Value as Json};

use super::automaton::Clause;
use super::context::{self, Context, Referent};
use super::grammar::{Grammar, Meaning, Phrase};
use super::slots::Value;

/// A tool call without its id.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub name: String,
    pub args: Map<String, Json>,
}

/// One answer to a question, and what it leads to.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    pub label: String,
    pub calls: Vec<Call>,
}

/// What a reading comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Calls(Vec<Call>),
    Question {
        ask: String,
        choices: Vec<Choice>,
    },
    /// Understood, and not possible: why.
    Refused(String),
    /// It needs something that was not said before: what (or empty, when the reading is no reading then).
    Nothing(String),
}

/// Why clauses did not become calls.
enum Stop {
    Outcome(Outcome),
    /// A pronoun that several things fit.
    Which(Vec<Referent>),
}

/// Turns clauses into calls.
pub fn resolve(clauses: &[Clause], grammar: &Grammar, context: &Context) -> Outcome {
    match build(clauses, grammar, context, None) {
        // What the conversation gives was settled when it was said first.
        Ok(calls) if clauses.iter().any(|c| leans(&grammar.phrases[c.phrase])) => Outcome::Calls(calls),
        Ok(calls) => settle(calls, grammar),
        Err(Stop::Outcome(outcome)) => outcome,
        Err(Stop::Which(referents)) => {
            let mut choices = Vec::new();
            for referent in &referents {
                match build(clauses, grammar, context, Some(referent)) {
                    Ok(calls) => choices.push(Choice { label: referent.label(), calls }),
                    Err(Stop::Outcome(outcome)) => return outcome,
                    Err(Stop::Which(_)) => return Outcome::Refused("What “it” means is not clear.".into()),
                }
            }
            Outcome::Question { ask: "Which one is meant?".into(), choices }
        }
    }
}

fn leans(phrase: &Phrase) -> bool {
    phrase.meaning.is_some_and(|m| m != Meaning::Scope)
}

fn build(
    clauses: &[Clause],
    grammar: &Grammar,
    context: &Context,
    it: Option<&Referent>,
) -> Result<Vec<Call>, Stop> {
    let mut calls: Vec<Call> = Vec::new();
    let mut scope = None;
    for (at, clause) in clauses.iter().enumerate() {
        let phrase = &grammar.phrases[clause.phrase];
        let rows = spread(clause).map_err(Stop::Outcome)?;
        if let Some(meaning) = phrase.meaning {
            if meaning == Meaning::Scope && at + 1 < clauses.len() {
                scope = rows[0]
                    .iter()
                    .find_map(|(_, v)| if let Value::Json(v) = v { Some(v.clone()) } else { None });
                continue;
            }
            calls.extend(lean(meaning, rows, scope.as_ref(), grammar, context)?);
            continue;
        }
        let before = calls.clone();
        for row in rows {
            let mut args = Map::new();
            let mut pronouns = Vec::new();
            for (arg, value) in row {
                match value {
                    Value::Json(json) if arg == "target" => {
                        let (kind, name) = json.as_str().and_then(|t| t.split_once('/')).unwrap_or_default();
                        args.insert("kind".into(), kind.into());
                        args.insert("name".into(), name.into());
                    }
                    Value::Json(json) => {
                        args.insert(arg, json);
                    }
                    pronoun => pronouns.push((arg, pronoun)),
                }
            }
            if let Some(namespace) = &scope {
                if args.contains_key("namespace") || args.contains_key("all_namespaces") {
                    return Err(refused("two places are named for the same thing"));
                }
                args.insert("namespace".into(), namespace.clone());
            }
            let name = phrase.tool.clone();
            let Some((arg, pronoun)) = pronouns.pop() else {
                calls.push(Call { name, args });
                continue;
            };
            for referent in bind(&before, context, &pronoun, it)? {
                let mut args = args.clone();
                referent.fill(&arg, &mut args);
                calls.push(Call { name: name.clone(), args });
            }
        }
        calls.extend(phrase.also.iter().map(|(name, args)| Call { name: name.clone(), args: args.clone() }));
    }
    if let (Some(namespace), true) = (&scope, calls.is_empty()) {
        let args = Map::from_iter([("namespace".to_owned(), namespace.clone())]);
        return Err(Stop::Outcome(context.mean(Meaning::Scope, &args, grammar)));
    }
    Ok(calls)
}

/// A clause that only the conversation gives a meaning.
fn lean(
    meaning: Meaning,
    rows: Vec<Vec<(String, Value)>>,
    scope: Option<&Json>,
    grammar: &Grammar,
    context: &Context,
) -> Result<Vec<Call>, Stop> {
    let mut calls = Vec::new();
    for row in rows {
        let mut args = Map::new();
        for (arg, value) in row {
            match value {
                Value::Json(json) => args.insert(arg, json),
                _ => return Err(refused("it is not clear which one is meant")),
            };
        }
        if let Some(scope) = scope {
            args.insert("namespace".into(), scope.clone());
        }
        match context.mean(meaning, &args, grammar) {
            Outcome::Calls(more) => calls.extend(more),
            other => return Err(Stop::Outcome(other)),
        }
    }
    Ok(calls)
}

/// What a pronoun stands for: something in this sentence, else in the last turn.
fn bind(
    before: &[Call],
    context: &Context,
    pronoun: &Value,
    it: Option<&Referent>,
) -> Result<Vec<Referent>, Stop> {
    if let Some(it) = it {
        return Ok(vec![it.clone()]);
    }
    let mut referents: Vec<Referent> = Vec::new();
    for referent in before.iter().filter_map(context::spoken) {
        if !referents.contains(&referent) {
            referents.push(referent);
        }
    }
    if referents.is_empty() {
        referents = context.referents();
    }
    match (referents.len(), pronoun) {
        (0, _) => Err(Stop::Outcome(Outcome::Refused(
            "I don't know what “it” is: nothing was spoken of before. Say its name.".into(),
        ))),
        (1, _) | (_, Value::Them) => Ok(referents),
        _ => Err(Stop::Which(referents)),
    }
}

/// One row of arguments for each item of a list; a value that cannot be used stops everything.
fn spread(clause: &Clause) -> Result<Vec<Vec<(String, Value)>>, Outcome> {
    let mut rows: Vec<Vec<(String, Value)>> = vec![Vec::new()];
    for (arg, value) in &clause.args {
        match value {
            Value::Bad(reason) => {
                return Err(Outcome::Refused(capital(&format!("{reason}. Nothing was done."))));
            }
            Value::Many(items) => {
                let each = |row: &Vec<(String, Value)>| {
                    let with = |item: &Value| [row.as_slice(), &[(arg.clone(), item.clone())]].concat();
                    items.iter().map(with).collect::<Vec<_>>()
                };
                rows = rows.iter().flat_map(each).collect();
            }
            value => rows.iter_mut().for_each(|row| row.push((arg.clone(), value.clone()))),
        }
    }
    Ok(rows)
}

/// What no sentence should mean silently: the same change twice, two sizes for one workload, a namespace said with only a part of what is to change.
fn settle(calls: Vec<Call>, grammar: &Grammar) -> Outcome {
    let mut kept: Vec<Call> = Vec::new();
    for call in calls {
        let scales = |c: &Call| c.name == "scale" && call.name == "scale" && same_target(c, &call);
        if kept.iter().any(|c| scales(c) && (*c != call || !call.args.contains_key("replicas"))) {
            return Outcome::Refused("That names two sizes for the same workload. Nothing was done.".into());
        }
        if !kept.contains(&call) {
            kept.push(call);
        }
    }
    let placed = |c: &Call| ["namespace", "all_namespaces", "id"].iter().any(|a| c.args.contains_key(*a));
    let open = |c: &Call| !placed(c) && c.name != "undo" && c.name != "changes";
    let mut named: Vec<&Json> = kept.iter().filter_map(|c| c.args.get("namespace")).collect();
    named.dedup();
    if let (&[namespace], true) =
        (named.as_slice(), kept.iter().any(|c| grammar.is_action(&c.name) && open(c)))
    {
        let place = namespace.as_str().unwrap_or_default();
        let all = kept.iter().cloned().map(|mut call| {
            if open(&call) {
                call.args.insert("namespace".into(), namespace.clone());
            }
            call
        });
        let choices = vec![
            Choice { label: format!("all of it in {place}"), calls: all.collect() },
            Choice { label: format!("only what was said with it in {place}"), calls: kept.clone() },
        ];
        return Outcome::Question { ask: format!("Does “in {place}” go for all of it?"), choices };
    }
    Outcome::Calls(kept)
}

fn same_target(a: &Call, b: &Call) -> bool {
    a.args.get("workload") == b.args.get("workload") && a.args.get("namespace") == b.args.get("namespace")
}

fn refused(why: &str) -> Stop {
    Stop::Outcome(Outcome::Refused(capital(&format!("{why}. Nothing was done."))))
}

/// The text with a capital at its start.
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |c| c.to_uppercase().chain(chars).collect())
}
