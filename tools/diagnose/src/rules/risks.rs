//! What works now and will not after a drain, a crash or a restart.

use std::collections::BTreeMap;

use serde_json::json;

use crate::engine::Engine;
use crate::finding::{Cause, Finding, Fix, Object};
use crate::index::Workload;
use crate::model::Pod;
use crate::rules::hygiene::is_system;

/// The causes of this family.
pub const CAUSES: &[Cause] = &[SINGLE_REPLICA, PULL_SECRET, ONE_NODE, UNMANAGED];

const SINGLE_REPLICA: Cause = Cause::risk(
    "single-replica-behind-ingress",
    3,
    "What an Ingress leads to has one pod: it is away while that pod moves.",
);
const PULL_SECRET: Cause = Cause::risk(
    "pull-secret-absent",
    3,
    "A pull secret does not exist; its pods run because their image needs none, or was there already.",
);
const ONE_NODE: Cause = Cause::risk(
    "replicas-on-one-node",
    3,
    "All replicas of a workload are on one node, though others are free.",
);
const UNMANAGED: Cause =
    Cause::risk("unmanaged-pod", 4, "A pod has no controller: when its node goes, nothing makes it again.");

/// Looks through workloads and pods.
pub fn scan(engine: &mut Engine<'_>) {
    let index = engine.index;
    let entries = entries(engine);
    for workload in &index.workloads {
        // What is unwell now has a cause; what might come is for the others.
        if workload.ready < workload.desired || workload.desired == 0 || is_system(&workload.meta.namespace) {
            continue;
        }
        if let Some((service, ingress)) = entries.get(&*workload.meta.uid) {
            single(engine, workload, service, ingress);
        }
        pull_secrets(engine, workload);
        one_node(engine, workload);
    }
    unmanaged(engine);
}

/// Workloads that an Ingress leads to, by uid: through which Service, and which Ingress.
fn entries<'a>(engine: &Engine<'a>) -> BTreeMap<&'a str, (&'a str, &'a str)> {
    let snap = engine.snap;
    let mut all = BTreeMap::new();
    for ingress in &snap.ingresses.items {
        let meta = &ingress.metadata;
        let paths = ingress
            .spec
            .rules
            .iter()
            .filter_map(|r| r.http.as_ref())
            .flat_map(|h| &h.paths)
            .map(|p| &p.backend);
        for backend in paths.chain(&ingress.spec.default_backend).filter_map(|b| b.service.as_ref()) {
            let Some(service) = snap.services.find(&meta.namespace, &backend.name).found() else { continue };
            for pod in engine.index.behind(service) {
                if let Some(workload) = engine.index.workload(pod) {
                    all.entry(&*workload.meta.uid).or_insert((backend.name.as_str(), meta.name.as_str()));
                }
            }
        }
    }
    all
}

fn single(engine: &mut Engine<'_>, workload: &Workload<'_>, service: &str, ingress: &str) {
    let has_disk = workload.template.spec.volumes.iter().any(|v| v.persistent_volume_claim.is_some());
    // A disk for one node keeps a Deployment at one pod: that is meant.
    if workload.desired != 1 || workload.kind != "deployment" || has_disk {
        return;
    }
    let object = workload.object();
    let is_scaled = |a: &crate::model::Autoscaler| {
        a.spec.scale_target_ref.kind == "Deployment" && a.spec.scale_target_ref.name == workload.meta.name
    };
    let scaler = engine.snap.autoscalers.of(&workload.meta.namespace).iter().find(|a| is_scaled(a));
    let fix = match scaler {
        Some(a) => Fix::call(
            format!("let {object} have two pods at least"),
            "autoscale",
            json!({"workload": object.to_string(), "namespace": object.namespace, "min": 2, "max": a.spec.max_replicas.max(2)}),
        ),
        None => Fix::call(
            format!("scale {object} to 2"),
            "scale",
            json!({"workload": object.to_string(), "namespace": object.namespace, "replicas": 2}),
        ),
    };
    let finding = Finding::new(
        &SINGLE_REPLICA,
        object.clone(),
        format!("has one pod, and ingress/{ingress} leads to it through service/{service}"),
    )
    .seen(object, "spec.replicas", "1")
    .seen(Object::new("ingress", &workload.meta.namespace, ingress), "spec.rules", service)
    .fix(fix);
    engine.found(finding);
}

/// Secrets that the template names for its pulls. The pods are well, so nothing fails yet.
fn pull_secrets(engine: &mut Engine<'_>, workload: &Workload<'_>) {
    let snap = engine.snap;
    let namespace = &workload.meta.namespace;
    for secret in &workload.template.spec.image_pull_secrets {
        if secret.name.is_empty() || !snap.secrets.find(namespace, &secret.name).is_absent() {
            continue;
        }
        let says = format!("names pull secret {}, which does not exist; its next pull may fail", secret.name);
        let finding = Finding::new(&PULL_SECRET, workload.object(), says)
            .which(secret.name.clone())
            .seen(workload.object(), "spec.template.spec.imagePullSecrets", secret.name.clone())
            .fix(Fix::advice(format!(
                "create secret {} in {namespace}, or take its name out where the image needs none",
                secret.name
            )));
        engine.found(finding);
    }
}

fn one_node(engine: &mut Engine<'_>, workload: &Workload<'_>) {
    if workload.desired < 2 || !matches!(workload.kind, "deployment" | "statefulset") {
        return;
    }
    let live: Vec<&&Pod> =
        workload.pods.iter().filter(|p| p.is_ready() && !p.metadata.deletion_timestamp.is_set()).collect();
    let Some(node) = live.first().map(|p| p.spec.node_name.as_str()).filter(|n| !n.is_empty()) else {
        return;
    };
    let spec = &workload.template.spec;
    let is_bound = !spec.node_selector.is_empty() || spec.affinity.is_some();
    if live.len() < 2 || is_bound || live.iter().any(|p| p.spec.node_name != node) {
        return;
    }
    let is_free = |n: &&crate::model::Node| {
        n.metadata.name != node
            && n.is_ready()
            && !n.spec.unschedulable
            && !n.spec.taints.iter().any(|t| t.effect != "PreferNoSchedule")
    };
    let Some(other) = engine.snap.nodes.items.iter().find(is_free) else { return };
    let finding = Finding::new(
        &ONE_NODE,
        workload.object(),
        format!("has all its {} pods on node {node}; {} is free for some", live.len(), other.metadata.name),
    )
    .seen(workload.object(), "pods' spec.nodeName", node)
    .fix(Fix::advice("give it a topologySpreadConstraint over kubernetes.io/hostname, and restart it"));
    engine.found(finding);
}

fn unmanaged(engine: &mut Engine<'_>) {
    let snap = engine.snap;
    for pod in &snap.pods.items {
        let meta = &pod.metadata;
        let is_alone =
            meta.owner_references.is_empty() && !pod.is_static() && pod.spec.restart_policy == "Always";
        if !is_alone || pod.is_finished() || is_system(&meta.namespace) || !pod.is_ready() {
            continue;
        }
        let finding = Finding::new(
            &UNMANAGED,
            Object::pod(pod),
            format!("has no controller; when node {} goes, nothing makes it again", pod.spec.node_name),
        )
        .seen(Object::pod(pod), "metadata.ownerReferences", "none")
        .fix(Fix::advice("make a Deployment of it"));
        engine.found(finding);
    }
}
