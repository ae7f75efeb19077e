//! Good practice that is missing: nothing fails for want of it, and none of it is ever called a fault.

use std::collections::HashMap;

use serde_json::json;

use crate::engine::Engine;
use crate::finding::{Cause, Finding, Fix};
use crate::index::Workload;
use crate::model::Container;

/// The causes of this family.
pub const CAUSES: &[Cause] = &[NO_LIMITS, NO_PROBES, LATEST_TAG, NO_BUDGET];

const NO_LIMITS: Cause = Cause::hygiene("no-limits", "A container may take all the memory of its node.");
const NO_PROBES: Cause =
    Cause::hygiene("no-probes", "A container behind a Service gets traffic before it says that it is ready.");
const LATEST_TAG: Cause = Cause::hygiene(
    "latest-tag",
    "An image has no tag, or one that everybody moves: its version is not known.",
);
const NO_BUDGET: Cause = Cause::hygiene(
    "no-pdb",
    "A workload of several replicas has no PodDisruptionBudget, so that drains may end all of them at once.",
);

/// Looks through all workloads but those of the system.
pub fn scan(engine: &mut Engine<'_>) {
    let index = engine.index;
    let reached = reached(engine);
    for workload in index.workloads.iter().filter(|w| !is_system(&w.meta.namespace)) {
        limits(engine, workload);
        tags(engine, workload);
        if workload.kind != "job" {
            probes(engine, workload, &reached);
            budget(engine, workload);
        }
    }
}

/// Namespaces of which the cluster's maker takes care.
pub(crate) fn is_system(namespace: &str) -> bool {
    matches!(namespace, "kube-system" | "kube-node-lease" | "kube-public" | "local-path-storage")
        || namespace.starts_with("gke-")
        || namespace.starts_with("openshift-")
}

fn names<'a>(all: impl Iterator<Item = &'a Container>) -> Vec<&'a str> {
    all.map(|c| c.name.as_str()).collect()
}

fn limits(engine: &mut Engine<'_>, workload: &Workload<'_>) {
    let spec = &workload.template.spec;
    let open = names(spec.containers.iter().filter(|c| c.resources.limits.get("memory").is_none()));
    let silent = names(
        spec.containers.iter().filter(|c| c.resources.requests.is_empty() && c.resources.limits.is_empty()),
    );
    if open.is_empty() {
        return;
    }
    let what =
        if silent.len() == open.len() { "neither requests nor a memory limit" } else { "no memory limit" };
    let finding = Finding::new(&NO_LIMITS, workload.object(), format!("has {what} for {}", open.join(", ")))
        .seen(workload.object(), "spec.template.spec.containers[].resources", open.join(", "))
        .fix(Fix::advice(format!(
            "set requests to what {} usually takes (kai \"usage\") and a memory limit above its peak",
            open.join(", ")
        )));
    engine.found(finding);
}

/// Workloads that a Service sends traffic to, by uid, and the Service.
fn reached<'a>(engine: &Engine<'a>) -> HashMap<&'a str, &'a str> {
    let mut all = HashMap::new();
    for service in &engine.snap.services.items {
        for pod in engine.index.behind(service) {
            if let Some(workload) = engine.index.workload(pod) {
                all.entry(&*workload.meta.uid).or_insert(service.metadata.name.as_str());
            }
        }
    }
    all
}

fn probes(engine: &mut Engine<'_>, workload: &Workload<'_>, reached: &HashMap<&str, &str>) {
    let spec = &workload.template.spec;
    let is_bare = |c: &&Container| !c.ports.is_empty() && c.readiness_probe.is_none();
    let bare: Vec<&Container> = spec.containers.iter().filter(is_bare).collect();
    let Some(first) = bare.first() else { return };
    let Some(service) = reached.get(&*workload.meta.uid) else { return };
    let list = names(bare.iter().copied());
    let finding = Finding::new(
        &NO_PROBES,
        workload.object(),
        format!("has no readiness probe for {}, to which service/{service} sends traffic", list.join(", ")),
    )
    .seen(workload.object(), "spec.template.spec.containers[].readinessProbe", "none");
    let port = first.ports.iter().find(|p| p.protocol != "UDP").map(|p| p.container_port);
    let finding = match port {
        Some(port) => finding.fix(Fix::call(
            format!("ask {} at TCP port {port} whether it is ready", first.name),
            "set",
            json!({"workload": workload.object().to_string(), "namespace": workload.meta.namespace,
                   "container": first.name, "readiness": format!("tcp:{port}")}),
        )),
        None => finding.fix(Fix::advice(format!("give {} a readiness probe", first.name))),
    };
    engine.found(finding);
}

/// Whether an image's version is open: no tag, or `latest`, and no digest.
pub(crate) fn is_open(image: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or(image);
    !image.is_empty() && !image.contains('@') && last.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn tags(engine: &mut Engine<'_>, workload: &Workload<'_>) {
    let spec = &workload.template.spec;
    for container in spec.init_containers.iter().chain(&spec.containers).filter(|c| is_open(&c.image)) {
        let finding = Finding::new(
            &LATEST_TAG,
            workload.object(),
            format!("runs {} as {}, which may be another version tomorrow", container.image, container.name),
        )
        .which(container.name.clone())
        .seen(
            workload.object(),
            format!("containers[{}].image", container.name),
            container.image.clone(),
        );
        // What runs everywhere now is what may be written down.
        let mut digests: Vec<&str> = workload
            .pods
            .iter()
            .flat_map(|p| p.status.container_statuses.iter().chain(&p.status.init_container_statuses))
            .filter(|s| s.name == container.name)
            .filter_map(|s| s.image_id.split_once("@sha256:").map(|(_, d)| d))
            .collect();
        digests.sort_unstable();
        digests.dedup();
        let finding = match digests.as_slice() {
            [only] => {
                let image = format!("{}@sha256:{only}", container.image.trim_end_matches(":latest"));
                finding.fix(Fix::call(
                    format!("keep {} at what runs now", container.name),
                    "set",
                    json!({"workload": workload.object().to_string(), "namespace": workload.meta.namespace,
                           "container": container.name, "image": image}),
                ))
            }
            _ => finding.fix(Fix::advice(format!("name the version of {} that is meant", container.image))),
        };
        engine.found(finding);
    }
}

fn budget(engine: &mut Engine<'_>, workload: &Workload<'_>) {
    let snap = engine.snap;
    let namespace = &workload.meta.namespace;
    if workload.desired < 2 || workload.kind == "daemonset" || !snap.budgets.sees(namespace) {
        return;
    }
    let labels = &workload.template.metadata.labels;
    if snap.budgets.of(namespace).iter().any(|b| b.spec.selector.as_ref().is_some_and(|s| s.selects(labels)))
    {
        return;
    }
    let name = &workload.meta.name;
    let selector: serde_json::Map<String, serde_json::Value> =
        workload.selector.match_labels.iter().map(|(k, v)| (k.to_owned(), json!(v))).collect();
    let manifest = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector}},
    });
    let finding = Finding::new(
        &NO_BUDGET,
        workload.object(),
        format!("has {} replicas and no PodDisruptionBudget", workload.desired),
    )
    .seen(workload.object(), "spec.replicas", workload.desired.to_string())
    .fix(Fix::call(
        format!("let drains take one pod of {} at a time", workload.object()),
        "apply",
        json!({"manifest": manifest.to_string()}),
    ));
    engine.found(finding);
}
