//! Slots: what may stand in a phrase where a value belongs, one recogniser a type.

mod amounts;
mod names;
mod times;

use serde_json::Value as Json;

use super::grammar::Grammar;
use super::tokens::Token;

/// The type of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One workload: `backend`, `deployment/backend`, `deployment backend`, `backend deployment`, or a pronoun.
    Workload,
    /// One or more workloads: `web, api and worker`.
    Workloads,
    /// A workload, or a pod, job or anything else with logs.
    Source,
    /// Any object.
    Object,
    /// The plural after a count: "3 backends" is `backend`.
    Plural,
    /// Exactly `kind/name`, which sets two arguments: the kind and the name.
    Target,
    /// One kind.
    ObjectKind,
    /// One or more kinds: `pods and services`.
    Kinds,
    Name,
    Namespace,
    /// `its`, `their`.
    Its,
    /// Replicas, up to the bound; anything else that looks like an amount is refused with a reason.
    Count,
    /// A count of more, or of fewer (negative).
    More,
    Fewer,
    /// "50 %" more (1.5), fewer (0.5).
    PercentMore,
    PercentFewer,
    /// "3x", "2 times".
    Times,
    /// How many lines or rows.
    Number,
    /// The place in a list: "2", "second".
    Ordinal,
    Revision,
    Duration,
    Selector,
    /// Text that a line must contain, escaped for a regular expression.
    Text,
    /// A regular expression as written.
    Pattern,
    PlanId,
}

impl Kind {
    /// The type that templates write as `{arg:name}`.
    pub fn named(name: &str) -> Option<Kind> {
        Some(match name {
            "workload" => Kind::Workload,
            "workloads" => Kind::Workloads,
            "source" => Kind::Source,
            "object" => Kind::Object,
            "target" => Kind::Target,
            "plural" => Kind::Plural,
            "kind" => Kind::ObjectKind,
            "kinds" => Kind::Kinds,
            "name" => Kind::Name,
            "namespace" => Kind::Namespace,
            "its" => Kind::Its,
            "count" => Kind::Count,
            "more" => Kind::More,
            "fewer" => Kind::Fewer,
            "percent_more" => Kind::PercentMore,
            "percent_fewer" => Kind::PercentFewer,
            "times" => Kind::Times,
            "number" => Kind::Number,
            "ordinal" => Kind::Ordinal,
            "revision" => Kind::Revision,
            "duration" => Kind::Duration,
            "selector" => Kind::Selector,
            "text" => Kind::Text,
            "pattern" => Kind::Pattern,
            "plan" => Kind::PlanId,
            _ => return None,
        })
    }
}

/// What a slot was filled with.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Json(Json),
    /// Several of the same: the clause becomes one call for each.
    Many(Vec<Value>),
    /// "it", "that": one thing spoken of before.
    It,
    /// "them": everything spoken of before.
    Them,
    /// A value that can be read but not used, and why.
    Bad(String),
}

/// A recognised value and the position behind it.
pub type Found = (usize, Value);

/// Every way in which tokens from `at` on can fill a slot of this type.
pub fn recognise(kind: Kind, tokens: &[Token], at: usize, grammar: &Grammar) -> Vec<Found> {
    let r = Reader { tokens, grammar };
    match kind {
        Kind::Workload => r.workload(at, |k| k.workload),
        Kind::Workloads => r.workloads(at),
        Kind::Source => r.workload(at, |k| k.workload || k.logs),
        Kind::Object => r.workload(at, |_| true),
        Kind::Target => r.slashed(at, |_| true).map(|value| (at + 1, value)).into_iter().collect(),
        Kind::Plural => one(at, r.plural(at)),
        Kind::ObjectKind => r.kind(at).map(|(end, kind)| (end, Value::Json(kind.into()))).collect(),
        Kind::Kinds => r.kinds(at),
        Kind::Name => one(at, r.name(at)),
        Kind::Namespace => one(at, r.name(at).filter(|name| !name.contains('.'))),
        Kind::Its => r.its(at),
        Kind::Count => r.count(at, REPLICAS_MAX, "replicas"),
        Kind::More => r.count(at, REPLICAS_MAX, "replicas"),
        Kind::Fewer => r.count(at, REPLICAS_MAX, "replicas").into_iter().map(negative).collect(),
        Kind::PercentMore => r.percent(at, |p| 1.0 + p),
        Kind::PercentFewer => r.percent(at, |p| 1.0 - p),
        Kind::Times => r.times(at),
        Kind::Number => r.count(at, NUMBER_MAX, "lines"),
        Kind::Ordinal => r.ordinal(at),
        Kind::Revision => r.revision(at),
        Kind::Duration => r.duration(at),
        Kind::Selector => r.selector(at),
        Kind::Text => r.text(at, true),
        Kind::Pattern => r.text(at, false),
        Kind::PlanId => r.plan_id(at),
    }
}

/// More replicas than anyone means; a bigger number is a slip.
pub const REPLICAS_MAX: u64 = 10_000;
const NUMBER_MAX: u64 = 100_000;

struct Reader<'a> {
    tokens: &'a [Token],
    grammar: &'a Grammar,
}

impl Reader<'_> {
    /// The word at this place, unless it is quoted.
    fn word(&self, at: usize) -> Option<&str> {
        self.tokens.get(at).filter(|t| !t.quoted).map(|t| t.low.as_str())
    }
}

fn one(at: usize, name: Option<String>) -> Vec<Found> {
    name.map(|name| (at + 1, Value::Json(name.into()))).into_iter().collect()
}

fn negative((end, value): Found) -> Found {
    match value {
        Value::Json(n) => (end, Value::Json(n.as_i64().map_or(n, |n| (-n).into()))),
        other => (end, other),
    }
}
