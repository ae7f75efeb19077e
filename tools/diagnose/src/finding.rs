//! What a diagnosis says: findings with their evidence, what is down because of them, and what would mend them.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{Meta, Pod};
use crate::snapshot::{Ask, BlindSpot};

/// What kind of trouble a cause is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Something fails now.
    Fault,
    /// Something will fail on a drain, a restart, an expiry.
    Risk,
    /// Nothing fails; good practice is missing.
    Hygiene,
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// From logs, names in settings, or things that happened at the same time: likely.
    Inferred,
    /// A controller or a kubelet says it, and no object contradicts.
    Observed,
    /// The objects leave no other possibility.
    Proven,
}

/// A root cause that kai knows: one line of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Cause {
    pub id: &'static str,
    pub class: Class,
    /// 1 outage of many, 2 a workload is down, 3 something is degraded, 4 good to know.
    pub severity: u8,
    /// What it is, in one sentence for the documentation.
    pub about: &'static str,
}

impl Cause {
    /// A fault.
    pub const fn fault(id: &'static str, severity: u8, about: &'static str) -> Self {
        Self { id, class: Class::Fault, severity, about }
    }
    /// A risk.
    pub const fn risk(id: &'static str, severity: u8, about: &'static str) -> Self {
        Self { id, class: Class::Risk, severity, about }
    }
    /// Missing good practice.
    pub const fn hygiene(id: &'static str, about: &'static str) -> Self {
        Self { id, class: Class::Hygiene, severity: 4, about }
    }
}

/// An object by lower-case kind, namespace ("" for kinds that have none) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Object {
    pub kind: String,
    pub namespace: String,
    pub name: String,
}

impl Object {
    /// An object; `kind` in any case.
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self { kind: kind.to_lowercase(), namespace: namespace.into(), name: name.into() }
    }
    /// The object of that metadata.
    pub fn of(kind: &str, meta: &Meta) -> Self {
        Self::new(kind, &meta.namespace, &meta.name)
    }
    /// A pod.
    pub fn pod(pod: &Pod) -> Self {
        Self::of("pod", &pod.metadata)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// One thing that was seen and that a finding rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub object: Object,
    /// Where: a field path, `event FailedMount`, `log`.
    pub at: String,
    /// What stands there.
    pub value: String,
}

/// Something that is down, or worse off, because of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Impact {
    pub object: Object,
    /// How it is: `0 of 3 ready`, `no endpoints`.
    pub says: String,
    /// What passes the trouble on to it; none when the root object itself does.
    pub through: Option<Object>,
}

/// What would mend it: a call of a tool, which goes through preview and approval as any other, or advice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fix {
    /// What it does, as an imperative: `set the image of deployment/web to nginx:1.28`.
    pub says: String,
    /// The calls; empty when it is advice.
    pub calls: Vec<FixCall>,
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FixCall {
    pub tool: String,
    pub arguments: Value,
}

impl Fix {
    /// A fix that one call of a tool makes.
    pub fn call(says: impl Into<String>, tool: &str, arguments: Value) -> Self {
        Self { says: says.into(), calls: vec![FixCall { tool: tool.into(), arguments }] }
    }
    /// What a person has to do elsewhere, or has to decide.
    pub fn advice(says: impl Into<String>) -> Self {
        Self { says: says.into(), calls: Vec::new() }
    }
}

/// One root cause on one object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    pub cause: String,
    pub class: Class,
    pub severity: u8,
    pub confidence: Confidence,
    pub object: Object,
    /// What is wrong, as one sentence without its full stop.
    pub says: String,
    pub evidence: Vec<Seen>,
    pub impact: Vec<Impact>,
    /// Since when, where something says it.
    pub since: Option<Timestamp>,
    /// What changed shortly before.
    pub changed: Option<String>,
    pub fixes: Vec<Fix>,
    /// For what is only likely: what would settle it.
    pub settle: Option<String>,
    /// Told apart from findings of the same cause on the same object: the missing name, the container.
    #[serde(skip)]
    pub which: String,
}

impl Finding {
    /// A finding with nothing but its sentence. Proven until said otherwise.
    pub fn new(cause: &Cause, object: Object, says: impl Into<String>) -> Self {
        Self {
            cause: cause.id.into(),
            class: cause.class,
            severity: cause.severity,
            confidence: Confidence::Proven,
            object,
            says: says.into(),
            evidence: Vec::new(),
            impact: Vec::new(),
            since: None,
            changed: None,
            fixes: Vec::new(),
            settle: None,
            which: String::new(),
        }
    }
    /// Tells it apart from others of the same cause on the same object.
    pub fn which(mut self, which: impl Into<String>) -> Self {
        self.which = which.into();
        self
    }
    /// With one thing that was seen.
    pub fn seen(mut self, object: Object, at: impl Into<String>, value: impl Into<String>) -> Self {
        self.evidence.push(Seen { object, at: at.into(), value: value.into() });
        self
    }
    /// A controller or a kubelet says it.
    pub fn observed(mut self) -> Self {
        self.confidence = Confidence::Observed;
        self
    }
    /// It is only likely; this would settle it.
    pub fn likely(mut self, settle: impl Into<String>) -> Self {
        self.confidence = Confidence::Inferred;
        self.settle = Some(settle.into());
        self
    }
    /// Since when.
    pub fn since(mut self, moment: crate::model::Moment) -> Self {
        self.since = self.since.or(moment.0);
        self
    }
    /// What changed shortly before.
    pub fn changed(mut self, what: impl Into<String>) -> Self {
        self.changed = Some(what.into());
        self
    }
    /// What would mend it; the best first.
    pub fn fix(mut self, fix: Fix) -> Self {
        self.fixes.push(fix);
        self
    }
    /// Another class than the catalogue's: a fault that only threatens.
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }
}

/// What is asked about: everything, a namespace, or one object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// None for the whole cluster.
    pub namespace: Option<String>,
    pub object: Option<Object>,
}

/// The answer. Findings are in order of how much they matter; the order is the same for the same snapshot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    pub findings: Vec<Finding>,
    /// What could not be looked at, so that nothing is said about it.
    pub blind_spots: Vec<BlindSpot>,
    /// How many objects were looked at.
    pub objects: usize,
    /// What one more read would settle; the most useful first.
    #[serde(skip)]
    pub asks: Vec<Ask>,
}

impl Diagnosis {
    /// The findings of a class.
    pub fn of(&self, class: Class) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |f| f.class == class)
    }
}
