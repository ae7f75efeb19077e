//! The documents together with what is known of the cluster: where checks look things up and leave what they find.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::pods::{Backer, Pods};
use super::{Checked, Finding, Level};
use crate::cluster::resolve::nearest;
use crate::manifest::Document;
use crate::manifest::known::{Ask, Known};
use crate::object::{ObjectRef, items, text};
use crate::{redact, sanitize};

/// The documents of one check, before the background of a cluster.
pub(super) struct Set<'a> {
    pub documents: &'a [Document],
    /// Documents of Kubernetes' own kinds, by lower-case kind; custom ones under "".
    of_kind: BTreeMap<String, Vec<&'a Document>>,
    /// The same by namespace and name.
    by_name: BTreeMap<String, BTreeMap<(&'a str, &'a str), &'a Document>>,
    /// What the documents make pods of, by namespace.
    pub(super) workloads: BTreeMap<&'a str, Vec<Backer<'a>>>,
    pub(super) pods: Vec<Pods<'a>>,
    known: &'a Known,
    /// What was asked for and is not known.
    asks: RefCell<BTreeSet<Ask>>,
    findings: RefCell<Vec<(usize, Finding)>>,
}

/// What looking for one object came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Found<'a> {
    Here(&'a Value),
    Absent,
    /// Could not be looked at.
    Unknown,
}

/// Kinds without a namespace.
const CLUSTER_WIDE: [&str; 12] = [
    "namespace",
    "node",
    "persistentvolume",
    "storageclass",
    "ingressclass",
    "priorityclass",
    "runtimeclass",
    "clusterrole",
    "clusterrolebinding",
    "customresourcedefinition",
    "gatewayclass",
    "podsecuritypolicy",
];

/// The lower-case kind of a document of Kubernetes' own; empty for custom kinds, which may share a name with one.
pub(super) fn kind_of(document: &Document) -> String {
    if is_custom(document) { String::new() } else { document.kind().to_lowercase() }
}

fn is_custom(document: &Document) -> bool {
    let group = document.api_version().split_once('/').map_or("", |(group, _)| group);
    group.contains('.') && !group.ends_with(".k8s.io")
}

impl<'a> Set<'a> {
    pub fn new(documents: &'a [Document], known: &'a Known) -> Self {
        let mut set = Self {
            documents,
            of_kind: BTreeMap::new(),
            by_name: BTreeMap::new(),
            workloads: BTreeMap::new(),
            pods: documents.iter().filter_map(Pods::of).collect(),
            known,
            asks: RefCell::default(),
            findings: RefCell::default(),
        };
        for d in documents {
            let kind = kind_of(d);
            let names = set.by_name.entry(kind.clone()).or_default();
            names.insert((namespace_of(d, &known.namespace), d.name()), d);
            set.of_kind.entry(kind).or_default().push(d);
        }
        for pods in &set.pods {
            let backer =
                Backer { kind: pods.doc.kind(), name: pods.doc.name(), spec: pods.spec, labels: pods.labels };
            set.workloads.entry(namespace_of(pods.doc, &known.namespace)).or_default().push(backer);
        }
        set
    }

    /// Documents of a kind of Kubernetes' own, by its lower-case name.
    pub fn of(&self, kind: &str) -> impl Iterator<Item = &'a Document> + use<'a, '_> {
        self.of_kind.get(kind).into_iter().flatten().copied()
    }

    /// The namespace of documents that name none.
    pub fn default_namespace(&self) -> &'a str {
        &self.known.namespace
    }

    /// Whether the set has custom resources: their controllers may make anything.
    pub fn has_custom(&self) -> bool {
        self.of_kind.contains_key("")
    }

    /// The namespace that the document will be in; empty for what has none.
    pub fn namespace(&self, document: &'a Document) -> &'a str {
        namespace_of(document, &self.known.namespace)
    }

    /// What the cluster has of a document, by its place in the set.
    pub fn live(&self, at: usize) -> Option<&'a Value> {
        self.known.lives.get(at).filter(|live| !live.is_null())
    }

    /// One object, of the set or else of the cluster.
    pub fn find(&self, kind: &'static str, namespace: &str, name: &str) -> Found<'a> {
        match self.own(kind, namespace, name) {
            Some(document) => Found::Here(&document.value),
            None => self.on_cluster(kind, namespace, name),
        }
    }

    /// One document of the set.
    pub fn own(&self, kind: &'static str, namespace: &str, name: &str) -> Option<&'a Document> {
        self.by_name.get(kind)?.get(&(namespace, name)).copied()
    }

    /// One object as the cluster has it.
    pub fn on_cluster(&self, kind: &str, namespace: &str, name: &str) -> Found<'a> {
        if let Some(Some(list)) = self.known.lists.get(&(kind.to_string(), namespace.to_string())) {
            let found = list.iter().find(|v| text(v, "/metadata/name") == name);
            return found.map_or(Found::Absent, Found::Here);
        }
        let object = ObjectRef { kind: kind.into(), namespace: namespace.into(), name: name.into() };
        match self.known.objects.get(&object) {
            Some(Some(Value::Null)) => Found::Absent,
            Some(Some(found)) => Found::Here(found),
            Some(None) | None => {
                self.asks.borrow_mut().insert(Ask::Object(object));
                Found::Unknown
            }
        }
    }

    /// All objects of a kind on the cluster, in a namespace or (empty) in all, without those that the set replaces.
    pub fn others(&self, kind: &'static str, namespace: &str) -> Option<Vec<&'a Value>> {
        let key = (kind.to_string(), namespace.to_string());
        match self.known.lists.get(&key) {
            Some(Some(list)) => {
                let replaced = |v: &Value| {
                    let own = match text(v, "/metadata/namespace") {
                        "" => namespace,
                        own => own,
                    };
                    self.own(kind, own, text(v, "/metadata/name")).is_some()
                };
                Some(list.iter().filter(|v| !replaced(v)).collect())
            }
            Some(None) | None => {
                self.asks.borrow_mut().insert(Ask::List(key.0, key.1));
                None
            }
        }
    }

    /// All objects of a kind in a namespace, of the set and of the cluster.
    pub fn all(&self, kind: &'static str, namespace: &str) -> Option<Vec<&'a Value>> {
        let mut all: Vec<&Value> = self
            .of(kind)
            .filter(|d| namespace.is_empty() || self.namespace(d) == namespace)
            .map(|d| &d.value)
            .collect();
        all.extend(self.others(kind, namespace)?);
        Some(all)
    }

    /// Whether a definition of the set brings a kind.
    pub fn defines(&self, api_version: &str, kind: &str) -> bool {
        self.definition(api_version, kind).is_some()
    }

    /// The version of a definition of the set that brings a kind.
    pub fn definition(&self, api_version: &str, kind: &str) -> Option<&'a Value> {
        let (group, version) = api_version.split_once('/')?;
        self.of("customresourcedefinition")
            .filter(|d| text(&d.value, "/spec/group") == group && text(&d.value, "/spec/names/kind") == kind)
            .flat_map(|d| items(&d.value, "/spec/versions"))
            .find(|v| text(v, "/name") == version)
    }

    /// Whether the cluster serves a kind; `None` when that is not known.
    pub fn serves(&self, api_version: &str, kind: &str) -> Option<bool> {
        match self.known.kinds.get(api_version) {
            Some(Some(kinds)) => Some(kinds.contains(kind)),
            Some(None) | None => {
                self.asks.borrow_mut().insert(Ask::Kinds(api_version.into()));
                None
            }
        }
    }

    /// The definitions of an API version.
    pub fn schemas(&self, api_version: &str) -> Option<&'a Value> {
        match self.known.schemas.get(api_version) {
            Some(Some(schemas)) => Some(schemas),
            Some(None) | None => {
                self.asks.borrow_mut().insert(Ask::Schemas(api_version.into()));
                None
            }
        }
    }

    /// What to try for an object that is not there: a like name here, or the same one elsewhere; else `otherwise`.
    pub fn instead(&self, kind: &'static str, namespace: &str, name: &str, otherwise: String) -> String {
        let mut names: Vec<(String, String)> =
            self.of(kind).map(|d| (self.namespace(d).to_string(), d.name().to_string())).collect();
        match self.known.names.get(kind) {
            Some(listed) => names.extend(listed.iter().flatten().cloned()),
            None => {
                self.asks.borrow_mut().insert(Ask::Names(kind.into(), namespace.into()));
            }
        }
        if let Some((other, _)) = names.iter().find(|(ns, n)| n == name && ns != namespace) {
            return format!(
                "There is one in namespace {other}, which cannot be used from here: make it in {namespace} too"
            );
        }
        let here = names.iter().filter(|(ns, _)| ns == namespace).map(|(_, n)| n.as_str());
        match nearest(name, here).first() {
            Some(near) => format!("Did you mean {near}? {otherwise}"),
            None => otherwise,
        }
    }

    /// Something that does not work.
    pub fn problem(
        &self,
        check: &'static str,
        d: &Document,
        path: &str,
        says: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.report(check, Level::Problem, d, path, says.into(), fix.into());
    }

    /// Something that works and may harm.
    pub fn warn(
        &self,
        check: &'static str,
        d: &Document,
        path: &str,
        says: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.report(check, Level::Warning, d, path, says.into(), fix.into());
    }

    /// A finding; once for each place.
    pub fn report(
        &self,
        check: &'static str,
        level: Level,
        d: &Document,
        path: &str,
        says: String,
        fix: String,
    ) {
        let clean = |s: &str| redact::text(&sanitize::line(s.trim_end_matches('.')));
        let Some((at, own)) = self.documents.iter().enumerate().find(|(_, o)| std::ptr::eq(*o, d)) else {
            return;
        };
        let namespace = self.namespace(own).to_string();
        let object = ObjectRef {
            kind: sanitize::line(&d.kind().to_lowercase()),
            namespace: sanitize::line(&namespace),
            name: sanitize::line(d.name()),
        };
        let finding = Finding {
            check,
            level,
            object,
            place: d.place(path),
            path: clean(&dotted(path)),
            says: clean(&says),
            fix: clean(&fix),
        };
        let mut findings = self.findings.borrow_mut();
        if !findings.iter().any(|(i, f)| *i == at && f.check == check && f.path == finding.path) {
            findings.push((at, finding));
        }
    }

    /// All that was found, and what could not be looked at.
    pub fn checked(self) -> Checked {
        let mut findings = self.findings.into_inner();
        findings.sort_by(|(i, a), (j, b)| i.cmp(j).then(b.level.cmp(&a.level)));
        let asks = self.asks.into_inner();
        let blind = blind(&asks);
        Checked { findings: findings.into_iter().map(|(_, f)| f).collect(), blind, asks }
    }
}

/// `/spec/containers/0/image` as people write it: `spec.containers[0].image`.
fn dotted(path: &str) -> String {
    let mut out = String::new();
    for part in path.split('/').filter(|p| !p.is_empty()) {
        if part.bytes().all(|b| b.is_ascii_digit()) {
            out.push_str(&format!("[{part}]"));
            continue;
        }
        let part = part.replace("~1", "/").replace("~0", "~");
        if part.contains(['.', '/']) {
            out.push_str(&format!("[{part}]"));
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(&part);
        }
    }
    out
}

fn namespace_of<'a>(document: &'a Document, default: &'a str) -> &'a str {
    if !is_custom(document) && CLUSTER_WIDE.iter().any(|k| k.eq_ignore_ascii_case(document.kind())) {
        return "";
    }
    match document.namespace() {
        "" => default,
        named => named,
    }
}

fn plural(kind: &str) -> String {
    match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if kind.ends_with('s') => format!("{kind}es"),
        None => format!("{kind}s"),
    }
}

/// What could not be looked at, in a line for each kind. Names that would only help with a hint are no loss.
fn blind(asks: &BTreeSet<Ask>) -> Vec<String> {
    let mut of: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for ask in asks {
        let (what, which) = match ask {
            Ask::Object(o) => (plural(&o.kind), o.name.clone()),
            Ask::List(kind, ns) if ns.is_empty() => (plural(kind), "all".into()),
            Ask::List(kind, ns) => (plural(kind), format!("those in {ns}")),
            Ask::Kinds(version) => ("served kinds".into(), version.clone()),
            Ask::Schemas(version) => ("schemas".into(), version.clone()),
            Ask::Names(..) => continue,
        };
        of.entry(what).or_default().insert(which);
    }
    of.into_iter()
        .map(|(what, which)| {
            let mut which: Vec<String> = which.into_iter().map(|w| sanitize::line(&w)).collect();
            if which.len() > 5 {
                let more = which.len() - 5;
                which.truncate(5);
                which.push(format!("{more} more"));
            }
            format!("not looked at, so not checked: {what} ({})", which.join(", "))
        })
        .collect()
}
