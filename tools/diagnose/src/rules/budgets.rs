//! PodDisruptionBudgets that let no pod go.

use std::collections::BTreeMap;

use serde_json::json;

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Class, Finding, Fix, Object};
use crate::model::{Budget, Pod, Port};
use crate::snapshot::Lookup;
use crate::walk;

/// The causes of this family.
pub const CAUSES: &[Cause] = &[NO_ROOM, OVERLAP];

const NO_ROOM: Cause = Cause::fault(
    "pdb-no-room",
    3,
    "A PodDisruptionBudget lets no pod go although all are well, so that a node cannot be drained.",
);
const OVERLAP: Cause = Cause::fault(
    "pdb-overlap",
    3,
    "A pod is under two PodDisruptionBudgets, which an eviction does not support, so that its node cannot be drained.",
);

/// Looks through all of them.
pub fn scan(engine: &mut Engine<'_>) {
    let snap = engine.snap;
    let mut first: BTreeMap<(&str, &str), &Budget> = BTreeMap::new();
    for budget in &snap.budgets.items {
        let namespace = &budget.metadata.namespace;
        let Some(selector) = &budget.spec.selector else { continue };
        if budget.metadata.deletion_timestamp.is_set() || !snap.pods.sees(namespace) {
            continue;
        }
        let pods: Vec<&Pod> =
            engine.index.selected(namespace, selector).into_iter().filter(|p| !p.is_finished()).collect();
        for pod in &pods {
            let key = (pod.metadata.namespace.as_str(), pod.metadata.name.as_str());
            match first.get(&key) {
                Some(other) => overlap(engine, other, budget, pod),
                None => drop(first.insert(key, budget)),
            }
        }
        tight(engine, budget, &pods);
    }
}

fn object(budget: &Budget) -> Object {
    Object::of("poddisruptionbudget", &budget.metadata)
}

/// A cordoned node that holds one of the pods: somebody wants them away.
fn drained<'a>(engine: &Engine<'a>, pods: &[&'a Pod]) -> Option<&'a str> {
    let is_cordoned = |node: &str| match engine.snap.nodes.find("", node) {
        Lookup::Found(node) => node.spec.unschedulable,
        _ => false,
    };
    pods.iter().map(|p| p.spec.node_name.as_str()).find(|n| !n.is_empty() && is_cordoned(n))
}

/// It lets nobody go.
fn tight<'a>(engine: &mut Engine<'a>, budget: &'a Budget, pods: &[&'a Pod]) {
    let status = &budget.status;
    let is_seen = status.observed_generation >= budget.metadata.generation;
    if !is_seen || status.disruptions_allowed > 0 || status.expected_pods < 1 || pods.is_empty() {
        return;
    }
    if status.current_healthy < status.expected_pods {
        // Pods that are rolling come back; those that do not have roots.
        let mut roots = Roots::new();
        for pod in pods {
            roots.extend(walk::pod(engine, pod));
            if let Some(workload) = engine.index.workload(pod) {
                roots.extend(walk::workload(engine, workload));
            }
        }
        roots.sort();
        roots.dedup();
        let through = pods.first().map(|p| engine.index.maker(p));
        let says = format!("lets no pod go: {} of {} healthy", status.current_healthy, status.expected_pods);
        engine.suffers(object(budget), says, through, &roots);
        return;
    }
    let expected = status.expected_pods;
    let Some(maker) = pods.first().map(|p| engine.index.maker(p)) else { return };
    let (at, value) = match (&budget.spec.max_unavailable, &budget.spec.min_available) {
        (Some(max), _) => ("spec.maxUnavailable", max),
        (_, Some(min)) => ("spec.minAvailable", min),
        _ => return,
    };
    let node = drained(engine, pods);
    let waits = match node {
        Some(node) => format!("node {node}, which is cordoned, cannot be drained"),
        None => "its node cannot be drained".to_owned(),
    };
    let field = at.trim_start_matches("spec.");
    let whom = if expected == 1 { "the only pod".to_owned() } else { format!("any of the {expected} pods") };
    let says = format!("does not let {whom} of {maker} go, with {field} {value}: {waits}");
    let mut finding = Finding::new(&NO_ROOM, object(budget), says)
        .since(budget.metadata.written.at)
        .seen(object(budget), at, value.to_string())
        .seen(
            object(budget),
            "status.disruptionsAllowed",
            format!("0 with {} of {expected} healthy", status.current_healthy),
        );
    for fix in fixes(budget, &maker, expected) {
        finding = finding.fix(fix);
    }
    if let Some(node) = node {
        finding = finding.seen(Object::new("node", "", node), "spec.unschedulable", "true");
    } else {
        finding = finding.class(Class::Risk);
    }
    let roots = engine.root(finding);
    if let Some(node) = node {
        engine.suffers(Object::new("node", "", node), "cannot be drained", Some(object(budget)), &roots);
    }
}

/// One more pod, or one less that must stay.
fn fixes(budget: &Budget, maker: &Object, expected: i64) -> Vec<Fix> {
    let mut all = Vec::new();
    let scales = matches!(maker.kind.as_str(), "deployment" | "statefulset");
    let by_number =
        budget.spec.max_unavailable.is_none() && matches!(budget.spec.min_available, Some(Port::Number(_)));
    if scales && by_number {
        let arguments = json!({"workload": maker.to_string(), "namespace": maker.namespace, "replicas": expected.saturating_add(1)});
        all.push(Fix::call(format!("scale {maker} to {}", expected.saturating_add(1)), "scale", arguments));
    }
    let (says, spec) = match budget.spec.max_unavailable {
        Some(_) => ("let one pod be away".to_owned(), json!({"maxUnavailable": 1})),
        None => (
            format!("want {} of {expected} pods at least", expected - 1),
            json!({"minAvailable": expected - 1}),
        ),
    };
    let manifest = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": budget.metadata.name, "namespace": budget.metadata.namespace},
        "spec": spec,
    });
    all.push(Fix::call(says, "apply", json!({"manifest": manifest.to_string(), "take_over": true})));
    all
}

/// Two have the same pod.
fn overlap<'a>(engine: &mut Engine<'a>, first: &'a Budget, second: &'a Budget, pod: &'a Pod) {
    let node = drained(engine, &[pod]);
    let (a, b) = (object(first), object(second));
    let says = format!(
        "covers pods of {} that {b} covers too; such pods cannot be evicted",
        engine.index.maker(pod)
    );
    let mut finding = Finding::new(&OVERLAP, a.clone(), says).which(b.name.clone());
    for budget in [first, second] {
        let selector = budget.spec.selector.as_ref().map(|s| s.text()).unwrap_or_default();
        finding = finding.seen(object(budget), "spec.selector", selector);
    }
    finding = finding.seen(Object::pod(pod), "metadata.labels", "both select it").fix(Fix::advice(format!(
        "delete one of {} and {}, or let them select different pods",
        a.name, b.name
    )));
    if let Some(node) = node {
        finding = finding.seen(Object::new("node", "", node), "spec.unschedulable", "true");
    } else {
        finding = finding.class(Class::Risk);
    }
    let key = engine.found(finding);
    if let Some(node) = node {
        // Another of its pods may have been found first, on a node that is in use.
        engine.finding(key).class = Class::Fault;
        engine.suffers(Object::new("node", "", node), "cannot be drained", Some(a), &vec![key]);
    }
}
