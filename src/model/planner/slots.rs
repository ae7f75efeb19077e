//! Slots: what may stand in a phrase where a value belongs, one recogniser a type.

mod amounts;
mod names;
mod times;
mod values;

use serde_json::Value as Json;

use super::grammar::Grammar;
use super::tokens::Token;

/// The type of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
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
    Kind,
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
    /// The name of a node, as the field selector of its pods.
    OnNode,
    /// Text that a line must contain.
    Text,
    /// A regular expression, between slashes when it is more than text.
    Pattern,
    PlanId,
    /// `todo-frontend:latest`; with `MarkedImage` only what shows by a tag or digest that it is one.
    Image,
    MarkedImage,
    /// An image and its tag, apart: "nginx 1.27".
    VersionedImage,
    /// A tag without its image.
    Tag,
    Port,
    Ports,
    Quantity,
    /// "70%" as 70.
    Percentage,
    /// `A=1 and B=2`, as a map.
    Pairs,
    /// The name of a Secret or ConfigMap, as a list of one reference.
    SecretRef,
    ConfigRef,
    Probe,
    Storage,
    UrlPath,
    Host,
    File,
    /// Names as a list: `A, B and C`, as written.
    Names,
    /// Namespaces as a list.
    NamespaceList,
    /// Exactly `kind/name` of a workload.
    TargetWorkload,
    /// `web` or `web:8000`.
    ServicePort,
    /// A word as written: the name of a cookie, of a header.
    Label,
    /// A kind, or a field of it: `deployment.spec.strategy`.
    Field,
    /// A verb of the API: `delete`.
    Verb,
    /// A service account, as `serviceaccount/name`.
    Account,
}

impl Slot {
    /// The type that templates write as `{arg:name}`.
    pub fn named(name: &str) -> Option<Slot> {
        Some(match name {
            "workload" => Slot::Workload,
            "workloads" => Slot::Workloads,
            "source" => Slot::Source,
            "object" => Slot::Object,
            "target" => Slot::Target,
            "plural" => Slot::Plural,
            "kind" => Slot::Kind,
            "kinds" => Slot::Kinds,
            "name" => Slot::Name,
            "namespace" => Slot::Namespace,
            "its" => Slot::Its,
            "count" => Slot::Count,
            "more" => Slot::More,
            "fewer" => Slot::Fewer,
            "percent_more" => Slot::PercentMore,
            "percent_fewer" => Slot::PercentFewer,
            "times" => Slot::Times,
            "number" => Slot::Number,
            "ordinal" => Slot::Ordinal,
            "revision" => Slot::Revision,
            "duration" => Slot::Duration,
            "selector" => Slot::Selector,
            "on_node" => Slot::OnNode,
            "text" => Slot::Text,
            "pattern" => Slot::Pattern,
            "plan" => Slot::PlanId,
            "image" => Slot::Image,
            "marked_image" => Slot::MarkedImage,
            "versioned_image" => Slot::VersionedImage,
            "tag" => Slot::Tag,
            "port" => Slot::Port,
            "ports" => Slot::Ports,
            "quantity" => Slot::Quantity,
            "percentage" => Slot::Percentage,
            "pairs" => Slot::Pairs,
            "secret_ref" => Slot::SecretRef,
            "config_ref" => Slot::ConfigRef,
            "probe" => Slot::Probe,
            "storage" => Slot::Storage,
            "url_path" => Slot::UrlPath,
            "host" => Slot::Host,
            "file" => Slot::File,
            "names" => Slot::Names,
            "namespace_list" => Slot::NamespaceList,
            "target_workload" => Slot::TargetWorkload,
            "service_port" => Slot::ServicePort,
            "label" => Slot::Label,
            "field" => Slot::Field,
            "verb" => Slot::Verb,
            "account" => Slot::Account,
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
pub fn recognise(slot: Slot, tokens: &[Token], at: usize, grammar: &Grammar) -> Vec<Found> {
    let r = Reader { tokens, grammar };
    match slot {
        Slot::Workload => r.workload(at, |k| k.workload),
        Slot::Workloads => r.workloads(at),
        Slot::Source => r.workload(at, |k| k.workload || k.logs),
        Slot::Object => r.workload(at, |_| true),
        Slot::Target => r.slashed(at, |_| true).map(|value| (at + 1, value)).into_iter().collect(),
        Slot::Plural => one(at, r.plural(at)),
        Slot::Kind => r.kind(at).map(|(end, kind)| (end, Value::Json(kind.into()))).collect(),
        Slot::Kinds => r.kinds(at),
        Slot::Name => one(at, r.name(at)),
        Slot::Namespace => one(at, r.name(at).filter(|name| !name.contains('.'))),
        Slot::Its => r.its(at),
        Slot::Count => r.count(at, REPLICAS_MAX, "replicas"),
        Slot::More => r.count(at, REPLICAS_MAX, "replicas"),
        Slot::Fewer => r.count(at, REPLICAS_MAX, "replicas").into_iter().map(negative).collect(),
        Slot::PercentMore => r.percent(at, |p| 1.0 + p),
        Slot::PercentFewer => r.percent(at, |p| 1.0 - p),
        Slot::Times => r.times(at),
        Slot::Number => r.count(at, NUMBER_MAX, "lines"),
        Slot::Ordinal => r.ordinal(at),
        Slot::Revision => r.revision(at),
        Slot::Duration => r.duration(at),
        Slot::Selector => r.selector(at),
        Slot::OnNode => one(at, r.name(at).map(|name| format!("spec.nodeName={name}"))),
        Slot::Text => r.text(at, false),
        Slot::Pattern => r.text(at, true),
        Slot::PlanId => r.plan_id(at),
        Slot::Image => r.image(at),
        Slot::MarkedImage => r.marked_image(at),
        Slot::VersionedImage => r.versioned_image(at),
        Slot::Tag => r.tag(at),
        Slot::Port => r.port(at),
        Slot::Ports => r.ports(at),
        Slot::Quantity => r.quantity(at),
        Slot::Percentage => r.percentage(at),
        Slot::Pairs => r.pairs(at),
        Slot::SecretRef => r.reference(at, "secret"),
        Slot::ConfigRef => r.reference(at, "configmap"),
        Slot::Probe => r.probe(at),
        Slot::Storage => r.storage(at),
        Slot::UrlPath => r.url_path(at),
        Slot::Host => r.host(at),
        Slot::File => r.file(at),
        Slot::Names => r.names(at),
        Slot::NamespaceList => r.namespaces(at),
        Slot::TargetWorkload => {
            r.slashed(at, |k| k.workload).map(|value| (at + 1, value)).into_iter().collect()
        }
        Slot::ServicePort => r.service_port(at),
        Slot::Label => r.label(at),
        Slot::Field => r.field(at),
        Slot::Verb => r.verb(at),
        Slot::Account => r.account(at),
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
