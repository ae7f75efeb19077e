//! Names, kinds, workloads, selectors and quoted text.

use serde_json::Value as Json;

use super::{Found, Reader, Value};
use crate::model::planner::grammar::KindWords;

impl Reader<'_> {
    /// A Kubernetes name, lower-cased. Words of the grammar are names only when quoted.
    pub fn name(&self, at: usize) -> Option<String> {
        let token = self.tokens.get(at)?;
        let free = token.quoted || !self.grammar.index.reserved.contains(&token.low);
        (free && is_name(&token.low)).then(|| token.low.clone())
    }

    /// A kind said in up to three words, the longest reading first.
    pub fn kind(&self, at: usize) -> impl Iterator<Item = (usize, &str)> {
        self.kind_entry(at).map(|(end, kind)| (end, kind.name.as_str()))
    }

    fn kind_entry(&self, at: usize) -> impl Iterator<Item = (usize, &KindWords)> {
        (1..=3).rev().filter_map(move |len| {
            let words: Option<Vec<&str>> = (at..at + len).map(|i| self.word(i)).collect();
            let place = *self.grammar.index.kind_words.get(&words?.join(" "))?;
            Some((at + len, &self.grammar.kinds[place]))
        })
    }

    pub fn kinds(&self, at: usize) -> Vec<Found> {
        let first = self.kind(at).map(|(end, kind)| (end, Value::Json(kind.into()))).collect::<Vec<_>>();
        let first = if first.is_empty() { self.dotted_kind(at) } else { first };
        self.list(first, |next| self.kind(next).map(|(end, kind)| (end, Value::Json(kind.into()))).collect())
    }

    /// A custom kind, which only its full name tells from an ordinary word: `certificates.cert-manager.io`.
    fn dotted_kind(&self, at: usize) -> Vec<Found> {
        let name = self.name(at).filter(|n| n.contains('.') && n.ends_with(|c: char| c.is_ascii_lowercase()));
        super::one(at, name)
    }

    pub fn workload(&self, at: usize, allowed: impl Fn(&KindWords) -> bool) -> Vec<Found> {
        let mut found = Vec::new();
        match self.word(at) {
            Some("it" | "this" | "that") => found.push((at + 1, Value::It)),
            Some("them" | "these" | "those" | "both") => found.push((at + 1, Value::Them)),
            _ => {}
        }
        if matches!((self.word(at), self.word(at + 1)), (Some("that" | "this"), Some("one"))) {
            found.push((at + 2, Value::It));
        }
        if let Some(text) = self.slashed(at, &allowed) {
            found.push((at + 1, text));
        }
        for (end, kind) in self.kind_entry(at).filter(|(_, kind)| allowed(kind)) {
            if let Some(name) = self.name(end) {
                found.push((end + 1, plain(&kind.name, &name)));
            }
        }
        if let Some(name) = self.name(at) {
            found.push((at + 1, Value::Json(name.clone().into())));
            if self.word(at + 1).is_some_and(|w| self.grammar.suffixes.iter().any(|s| s == w)) {
                found.push((at + 2, Value::Json(name.clone().into())));
            }
            for (end, kind) in self.kind_entry(at + 1).filter(|(_, kind)| allowed(kind)) {
                if !found.iter().any(|(e, _)| *e == end) {
                    found.push((end, plain(&kind.name, &name)));
                }
            }
        }
        found
    }

    /// `deployment/backend`.
    pub fn slashed(&self, at: usize, allowed: impl Fn(&KindWords) -> bool) -> Option<Value> {
        let (kind, name) = self.word(at)?.split_once('/')?;
        let kind = &self.grammar.kinds[*self.grammar.index.kind_words.get(kind)?];
        (allowed(kind) && is_name(name)).then(|| plain(&kind.name, name))
    }

    pub fn workloads(&self, at: usize) -> Vec<Found> {
        let mut found =
            self.list(self.workload(at, |k| k.workload), |next| self.workload(next, |k| k.workload));
        // "deployments web and api": the kind said once goes for all.
        for (end, kind) in self.kind_entry(at).filter(|(_, kind)| kind.workload) {
            let first = super::one(end, self.name(end));
            for (end, value) in self.list(first, |next| super::one(next, self.name(next))) {
                if let Value::Many(names) = value {
                    let full = names.iter().filter_map(|v| match v {
                        Value::Json(Json::String(name)) => Some(plain(&kind.name, name)),
                        _ => None,
                    });
                    found.retain(|(e, _)| *e != end);
                    found.push((end, Value::Many(full.collect())));
                }
            }
        }
        found
    }

    /// Extends what was found by ", x", "and x" as often as it goes.
    fn list(&self, first: Vec<Found>, item: impl Fn(usize) -> Vec<Found>) -> Vec<Found> {
        let mut found = first.clone();
        let mut open = first;
        while let Some((end, value)) = open.pop() {
            let Some(mut next) = self.joined(end) else { continue };
            while self.word(next).is_some_and(|w| self.grammar.anywhere.iter().any(|a| a == w)) {
                next += 1;
            }
            for (end, more) in item(next) {
                let mut all = match &value {
                    Value::Many(all) => all.clone(),
                    Value::Json(_) => vec![value.clone()],
                    _ => continue,
                };
                if matches!(more, Value::Json(_)) && all.len() < 20 {
                    all.push(more);
                    found.push((end, Value::Many(all.clone())));
                    open.push((end, Value::Many(all)));
                }
            }
        }
        found
    }

    /// The place behind a comma, an "and", or both.
    pub fn joined(&self, at: usize) -> Option<usize> {
        match (self.word(at)?, self.word(at + 1)) {
            (",", Some("and" | "&")) => Some(at + 2),
            ("," | "and" | "&", _) => Some(at + 1),
            _ => None,
        }
    }

    /// The plural after a count, made singular.
    pub fn plural(&self, at: usize) -> Option<String> {
        let name = self.name(at)?;
        if self.tokens[at].quoted {
            return Some(name);
        }
        let keep = ["ss", "us", "is"].iter().any(|end| name.ends_with(end)) || name.len() < 4;
        Some(match name.strip_suffix("ies") {
            Some(stem) if !keep && stem.len() > 2 => format!("{stem}y"),
            _ if keep => name,
            _ => name.strip_suffix('s').unwrap_or(&name).to_owned(),
        })
    }

    pub fn its(&self, at: usize) -> Vec<Found> {
        match self.word(at) {
            Some("its") => vec![(at + 1, Value::It)],
            Some("their") => vec![(at + 1, Value::Them)],
            _ => Vec::new(),
        }
    }

    /// A label selector: `app=web,tier!=db`, or any selector in quotes.
    pub fn selector(&self, at: usize) -> Vec<Found> {
        let Some(token) = self.tokens.get(at) else { return Vec::new() };
        let term = |term: &str| {
            let (key, value) =
                term.split_once("!=").or_else(|| term.split_once("==")).or_else(|| term.split_once('='))?;
            let fits = |s: &str| s.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
            (!key.is_empty() && fits(key) && fits(value)).then_some(())
        };
        let good = token.raw.split(',').all(|t| term(t).is_some())
            || (token.quoted && !token.raw.trim().is_empty() && token.raw.len() < 200);
        if good { vec![(at + 1, Value::Json(token.raw.clone().into()))] } else { Vec::new() }
    }

    /// Text to look for: quoted, or one word that carries a meaning of its own.
    pub fn text(&self, at: usize, pattern: bool) -> Vec<Found> {
        let Some(token) = self.tokens.get(at) else { return Vec::new() };
        let special = |c: char| ".,;!?:".contains(c);
        let lists = [&self.grammar.guards, &self.grammar.anywhere, &self.grammar.not_names];
        let named = lists.iter().any(|list| list.contains(&token.low));
        if token.raw.is_empty() || (!token.quoted && (named || token.raw.chars().all(special))) {
            return Vec::new();
        }
        // A pattern says so to the tool by its slashes; everything else is plain text there.
        let special =
            pattern && token.raw.contains(['\\', '.', '+', '*', '?', '(', ')', '[', ']', '{', '}', '^', '$']);
        let text = if special { format!("/{}/", token.raw) } else { token.raw.clone() };
        vec![(at + 1, Value::Json(text.into()))]
    }

    /// The id of a plan: four to sixteen hexadecimal digits.
    pub fn plan_id(&self, at: usize) -> Vec<Found> {
        let hex = |w: &&str| (4..=16).contains(&w.len()) && w.bytes().all(|b| b.is_ascii_hexdigit());
        self.word(at).filter(hex).map(|w| (at + 1, Value::Json(w.into()))).into_iter().collect()
    }
}

fn plain(kind: &str, name: &str) -> Value {
    Value::Json(format!("{kind}/{name}").into())
}

/// A DNS subdomain (RFC 1123) with a letter in it, which every name that people give has, and numbers have not.
fn is_name(text: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    text.len() <= 253
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
        && text.bytes().any(|b| b.is_ascii_lowercase())
        && edge(text.bytes().next())
        && edge(text.bytes().last())
        && !looks_like_amount(text)
}

/// "10k", "3x", "500m", "1e3": more likely a slip than a name, so a name only when a kind stands before it.
fn looks_like_amount(text: &str) -> bool {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    digits.len() < text.len() && digits.len() <= 2 && digits.chars().all(|c| c.is_ascii_alphabetic())
        || digits.len() < text.len()
            && digits.starts_with('e')
            && digits[1..].bytes().all(|b| b.is_ascii_digit())
}
