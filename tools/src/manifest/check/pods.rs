//! The pods that documents and live workloads make: templates, containers, ports, volumes (pure).

use serde_json::Value;

use super::set::{Set, kind_of};
use crate::manifest::Document;
use crate::object::{items, number, selects, text};

/// The pods that a document makes.
#[derive(Clone, Copy)]
pub(super) struct Pods<'a> {
    pub doc: &'a Document,
    /// Where the template is: `/spec/template`, or nothing for a Pod.
    pub at: &'static str,
    pub spec: &'a Value,
    pub labels: Option<&'a Value>,
}

/// One container of a template.
pub(super) struct Container<'a> {
    pub value: &'a Value,
    pub path: String,
    /// Runs before the others and ends, unless it is a sidecar.
    pub init: bool,
}

impl<'a> Container<'a> {
    pub fn name(&self) -> &'a str {
        match text(self.value, "/name") {
            "" => "without a name",
            name => name,
        }
    }

    pub fn ports(&self) -> Vec<i64> {
        items(self.value, "/ports").iter().filter_map(|p| number(p, "/containerPort")).collect()
    }
}

/// Where a template may be in an object.
const TEMPLATES: [&str; 2] = ["/spec/template", "/spec/jobTemplate/spec/template"];

impl<'a> Pods<'a> {
    /// The pods of a document, when it makes any. Custom kinds with a pod template count: Argo's Rollout has one.
    pub fn of(doc: &'a Document) -> Option<Self> {
        if kind_of(doc) == "pod" {
            let labels = doc.value.pointer("/metadata/labels");
            return Some(Self { doc, at: "", spec: doc.value.get("spec")?, labels });
        }
        TEMPLATES.iter().find_map(|at| {
            let template = doc.value.pointer(at)?;
            let spec = template.get("spec")?;
            spec.get("containers")?.as_array()?;
            Some(Self { doc, at, spec, labels: template.pointer("/metadata/labels") })
        })
    }

    /// A path within the pod's spec, from the document's root.
    pub fn path(&self, within: &str) -> String {
        format!("{}/spec{within}", self.at)
    }

    pub fn containers(&self) -> Vec<Container<'a>> {
        let of = |list: &str, init: bool| {
            items(self.spec, list)
                .iter()
                .enumerate()
                .filter(|(_, value)| value.is_object())
                .map(move |(i, value)| (i, value, init && text(value, "/restartPolicy") != "Always"))
                .map(|(i, value, init)| Container { value, path: self.path(&format!("{list}/{i}")), init })
                .collect::<Vec<_>>()
        };
        let mut all = of("/initContainers", true);
        all.extend(of("/containers", false));
        all
    }
}

/// A workload that a selector chooses: of the set, or running.
#[derive(Clone, Copy)]
pub(super) struct Backer<'a> {
    pub kind: &'a str,
    pub name: &'a str,
    pub spec: &'a Value,
    pub labels: Option<&'a Value>,
}

impl Backer<'_> {
    /// `deployment/api`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.kind.to_lowercase(), self.name)
    }

    /// The ports that its containers declare: number and name.
    pub fn ports(&self) -> Vec<(i64, String)> {
        ["/containers", "/initContainers"]
            .iter()
            .flat_map(|list| items(self.spec, list))
            .flat_map(|c| items(c, "/ports"))
            .filter_map(|p| Some((number(p, "/containerPort")?, text(p, "/name").to_string())))
            .collect()
    }
}

impl<'a> Set<'a> {
    /// The pods of all documents.
    pub fn pods(&self) -> impl Iterator<Item = Pods<'a>> + use<'a, '_> {
        self.pods.iter().copied()
    }

    /// The workloads of the set in a namespace.
    pub fn own_backers(&self, namespace: &str) -> &[Backer<'a>] {
        self.workloads.get(namespace).map_or(&[], Vec::as_slice)
    }

    /// The workloads that a label selector (`matchLabels` ...) chooses in a namespace: those of the set, else those on
    /// the cluster. `None` when there are none in the set and the cluster could not be looked at.
    pub fn backers(&self, namespace: &str, selector: &Value) -> Option<Vec<Backer<'a>>> {
        let chosen = |b: &Backer<'a>| selects(Some(selector), b.labels);
        let own: Vec<Backer<'a>> =
            self.own_backers(namespace).iter().filter(|b| chosen(b)).copied().collect();
        if !own.is_empty() {
            return Some(own);
        }
        self.live_backers(namespace).map(|all| all.into_iter().filter(|b| chosen(b)).collect())
    }

    /// The workloads on the cluster in a namespace, and pods, which may be of kinds that are not known here.
    pub fn live_backers(&self, namespace: &str) -> Option<Vec<Backer<'a>>> {
        let mut found = Vec::new();
        let mut whole = true;
        for kind in ["deployment", "statefulset", "daemonset", "pod"] {
            let Some(list) = self.others(kind, namespace) else {
                whole = false;
                continue;
            };
            for value in list {
                let at = if kind == "pod" { "" } else { "/spec/template" };
                let Some(spec) = value.pointer(&format!("{at}/spec")) else { continue };
                let labels = value.pointer(&format!("{at}/metadata/labels"));
                found.push(Backer { kind, name: text(value, "/metadata/name"), spec, labels });
            }
        }
        whole.then_some(found)
    }
}

/// Labels for people: `app=web, tier=front`.
pub(super) fn shown(labels: Option<&Value>) -> String {
    let pairs: Vec<String> = labels
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", v.as_str().map_or_else(|| v.to_string(), str::to_string)))
        .collect();
    if pairs.is_empty() { "no labels".into() } else { pairs.join(", ") }
}
