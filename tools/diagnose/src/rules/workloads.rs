//! How a workload is set up and looked after, beside what its pods say: selectors, rollouts, the controllers that tend it.

pub mod control;
pub mod stateful;

use std::collections::BTreeMap;

use serde_json::json;

use crate::engine::Engine;
use crate::finding::{Cause, Class, Finding, Fix, Object};
use crate::index::Workload;
use crate::model::{DaemonSet, Deployment, Port, Selector};
use crate::rules::admission::pod_change;
use crate::rules::similar::nearest;

/// The causes of this family.
pub const CAUSES: &[Cause] = &[
    SELECTOR_OVERLAP,
    ALL_AT_ONCE,
    PAUSED,
    SELECTS_NO_NODE,
    control::CONTROLLER_MANAGER_DOWN,
    stateful::ROLLBACK_TRAP,
    stateful::SERVICE_MISSING,
];

// Controllers go by owners, so nothing fails of this alone; Services, budgets and autoscalers mix the two up.
const SELECTOR_OVERLAP: Cause = Cause::risk(
    "selector-overlap",
    2,
    "Two workloads of a namespace have the same selector, so that what goes by it counts the pods of both.",
);
const ALL_AT_ONCE: Cause = Cause::risk(
    "rollout-all-at-once",
    3,
    "A rollout may take all old pods away before a new one is ready, so that one bad revision is an outage.",
);
const PAUSED: Cause =
    Cause::hygiene("deployment-paused", "A Deployment is paused, and a change of it waits to be rolled out.");
const SELECTS_NO_NODE: Cause = Cause::fault(
    "ds-selects-no-node",
    3,
    "A DaemonSet runs nowhere, because no node has the label that it wants, though some have nearly that one.",
);

/// Looks through what no pod complains of.
pub fn scan(engine: &mut Engine<'_>) {
    overlaps(engine);
    for one in &engine.snap.deployments.items {
        all_at_once(engine, one);
        paused(engine, one);
    }
    for one in &engine.snap.daemon_sets.items {
        nowhere(engine, one);
    }
    stateful::scan(engine);
    control::scan(engine);
}

/// A selector, the same text for the same meaning.
fn canonical(selector: &Selector) -> String {
    let mut parts: Vec<String> = selector.match_labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    parts.extend(selector.match_expressions.iter().map(|r| r.text()));
    parts.sort();
    parts.join(",")
}

/// Workloads of one namespace with one selector.
fn overlaps(engine: &mut Engine<'_>) {
    let mut first: BTreeMap<(&str, String), &Workload<'_>> = BTreeMap::new();
    let index = engine.index;
    for one in index.workloads.iter().filter(|w| w.kind != "job" && !w.selector.is_empty()) {
        let key = (one.meta.namespace.as_str(), canonical(one.selector));
        let Some(other) = first.get(&key).copied() else {
            first.insert(key, one);
            continue;
        };
        let (a, b) = (other.object(), one.object());
        let finding =
            Finding::new(&SELECTOR_OVERLAP, a.clone(), format!("selects {}, and so does {b}", key.1))
                .which(b.to_string())
                .seen(a, "spec.selector", key.1.clone())
                .seen(b.clone(), "spec.selector", key.1)
                .fix(Fix::advice(format!(
                    "make {b} again with a selector of its own; a selector cannot be changed"
                )));
        engine.found(finding);
    }
}

/// A rollout that takes everything away at once.
fn all_at_once(engine: &mut Engine<'_>, one: &Deployment) {
    let replicas = one.spec.replicas.unwrap_or(1);
    let Some(max) = one.spec.strategy.rolling_update.as_ref().and_then(|r| r.max_unavailable.as_ref()) else {
        return;
    };
    let takes_all = match max {
        Port::Number(n) => *n >= replicas,
        Port::Name(percent) => percent == "100%",
    };
    if one.spec.strategy.kind == "Recreate" || replicas < 2 || !takes_all {
        return;
    }
    let object = Object::of("deployment", &one.metadata);
    let manifest = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": one.metadata.name, "namespace": one.metadata.namespace},
        "spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%"}}},
    });
    let says = format!("takes all {replicas} pods away at once when it is rolled out");
    let finding = Finding::new(&ALL_AT_ONCE, object.clone(), says)
        .seen(object, "spec.strategy.rollingUpdate.maxUnavailable", max.to_string())
        .fix(Fix::call(
            "take a quarter of the pods away at a time",
            "apply",
            json!({"manifest": manifest.to_string(), "take_over": true}),
        ));
    engine.found(finding);
}

/// What is good practice in general and the answer when it is this object that somebody asked about: a change that does
/// not come out is what they miss.
pub(crate) fn answers(finding: &mut Finding) {
    if finding.cause == PAUSED.id {
        finding.class = Class::Fault;
        finding.severity = 3;
    }
}

/// A change waits. While it is paused no ReplicaSet is made for a new template, and so no pod counts as updated.
fn paused(engine: &mut Engine<'_>, one: &Deployment) {
    let (status, replicas) = (&one.status, one.spec.replicas.unwrap_or(1));
    let is_seen = status.observed_generation >= one.metadata.generation;
    if !one.spec.paused
        || !is_seen
        || replicas == 0
        || status.replicas == 0
        || status.updated_replicas >= replicas
    {
        return;
    }
    let object = Object::of("deployment", &one.metadata);
    let arguments =
        json!({"action": "resume", "workload": object.to_string(), "namespace": one.metadata.namespace});
    let says =
        format!("is paused, and {} of {replicas} pods have its latest change", status.updated_replicas);
    let mut finding = Finding::new(&PAUSED, object.clone(), says).seen(object.clone(), "spec.paused", "true");
    for (container, image, runs) in images_that_wait(engine, one) {
        let at = format!("spec.template.spec.containers[{container}].image");
        finding = finding.seen(object.clone(), at, format!("{image}; the pods run {runs}"));
    }
    let finding = finding.fix(Fix::call("resume it, which rolls the change out", "rollout", arguments));
    engine.found(finding);
}

/// Containers whose image is another in the template than in the pods: name, image of the template, image of the pods.
fn images_that_wait<'a>(engine: &Engine<'a>, one: &'a Deployment) -> Vec<(&'a str, &'a str, &'a str)> {
    let workload = engine.index.workload_named(&Object::of("deployment", &one.metadata));
    let pods = workload.map_or(&[][..], |w| w.pods.as_slice());
    let older = |name: &str, image: &str| {
        let mut all = pods.iter().flat_map(|p| &p.spec.containers);
        all.find(|c| c.name == name && c.image != image).map(|c| c.image.as_str())
    };
    let wanted = one.spec.template.spec.containers.iter();
    wanted.filter_map(|c| Some((c.name.as_str(), c.image.as_str(), older(&c.name, &c.image)?))).collect()
}

/// A DaemonSet that runs on no node, by a label that looks mistaken. One that waits for nodes of a kind that the cluster
/// does not have is as it should be.
fn nowhere(engine: &mut Engine<'_>, one: &DaemonSet) {
    let nodes = &engine.snap.nodes;
    let wanted = &one.spec.template.spec.node_selector;
    let is_seen = one.status.observed_generation >= one.metadata.generation;
    if wanted.is_empty() || one.status.desired_number_scheduled > 0 || !is_seen || nodes.items.is_empty() {
        return;
    }
    for (key, value) in wanted.iter().filter(|(k, _)| !k.starts_with("kubernetes.io/")) {
        let all = || nodes.items.iter().flat_map(|n| n.metadata.labels.iter());
        if all().any(|(k, v)| k == key && v == value) {
            continue;
        }
        let other_value = nearest(value, all().filter(|(k, _)| *k == key).map(|(_, v)| v.as_str()));
        let other_key = nearest(key, all().filter(|(k, v)| *v == value && *k != key).map(|(k, _)| k));
        let Some((k, v)) = other_value.map(|v| (key, v)).or(other_key.map(|k| (k, value.as_str()))) else {
            continue;
        };
        let count = all().filter(|(nk, nv)| *nk == k && *nv == v).count();
        let have = if count == 1 { "1 node has".to_owned() } else { format!("{count} nodes have") };
        let object = Object::of("daemonset", &one.metadata);
        let says = format!("runs nowhere: no node has the label {key}={value}; {have} {k}={v}");
        let mut finding = Finding::new(&SELECTS_NO_NODE, object.clone(), says)
            .which(key)
            .likely("what it is meant to run on")
            .since(one.metadata.written.at)
            .seen(object.clone(), "spec.template.spec.nodeSelector", format!("{key}={value}"))
            .seen(object.clone(), "status.desiredNumberScheduled", "0");
        let mut selector: serde_json::Map<String, serde_json::Value> =
            wanted.iter().filter(|(w, _)| *w != key).map(|(w, v)| (w.to_owned(), json!(v))).collect();
        selector.insert(k.to_owned(), json!(v));
        let change = engine.index.workload_named(&object).and_then(|w| {
            pod_change(w, format!("let it run on nodes with {k}={v}"), json!({"nodeSelector": selector}))
        });
        finding = finding.fix(change.unwrap_or_else(|| Fix::advice(format!("select {k}={v}"))));
        engine.found(finding);
        return;
    }
}
