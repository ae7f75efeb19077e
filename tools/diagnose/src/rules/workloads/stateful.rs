//! StatefulSets: a pod of a revision that is given up blocks the way, or the Service that names the pods is not there.

use serde_json::json;

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Class, Finding, Fix, Object};
use crate::index::Workload;
use crate::model::{Pod, StatefulSet};
use crate::walk;

pub(super) const ROLLBACK_TRAP: Cause = Cause::fault(
    "sts-rollback-trap",
    2,
    "A StatefulSet waits for a pod of a revision that is given up, and will not replace it before it is ready.",
);
pub(super) const SERVICE_MISSING: Cause = Cause::fault(
    "sts-service-missing",
    3,
    "The Service that gives the pods of a StatefulSet their names does not exist.",
);

/// A pod of neither the revision that was good nor the one that is wanted now.
pub fn trapped<'a>(engine: &mut Engine<'a>, pod: &'a Pod) -> Roots {
    let Some(owner) = pod.metadata.controller().filter(|o| o.kind == "StatefulSet") else {
        return Roots::new();
    };
    let Some(set) = engine.snap.stateful_sets.find(&pod.metadata.namespace, &owner.name).found() else {
        return Roots::new();
    };
    let Some(revision) = pod.metadata.labels.get("controller-revision-hash") else { return Roots::new() };
    let status = &set.status;
    let is_trap = set.spec.pod_management_policy != "Parallel"
        && set.spec.update_strategy.kind != "OnDelete"
        && status.observed_generation >= set.metadata.generation
        && !status.update_revision.is_empty()
        && *revision != status.update_revision
        && *revision != status.current_revision
        && !pod.is_ready()
        && !pod.metadata.deletion_timestamp.is_set();
    if !is_trap {
        return Roots::new();
    }
    let object = Object::of("statefulset", &set.metadata);
    let says = format!(
        "is of revision {revision}, which is given up, and is not ready; {object} waits for it and does not replace it by {}",
        status.update_revision
    );
    let arguments = json!({"kind": "pod", "name": pod.metadata.name, "namespace": pod.metadata.namespace});
    let finding = Finding::new(&ROLLBACK_TRAP, Object::pod(pod), says)
        .since(pod.metadata.creation_timestamp)
        .seen(Object::pod(pod), "metadata.labels[controller-revision-hash]", revision.clone())
        .seen(object.clone(), "status.updateRevision", status.update_revision.clone())
        .seen(object.clone(), "status.currentRevision", status.current_revision.clone())
        .fix(Fix::call(
            format!("delete it, so that {object} makes it anew; its claims stay"),
            "delete",
            arguments,
        ));
    engine.root(finding)
}

/// The Service is not there, the pods look for each other by its names, and nothing else is wrong with them.
pub fn nameless<'a>(engine: &mut Engine<'a>, workload: &'a Workload<'a>) -> Roots {
    if workload.kind != "statefulset" || workload.ready >= workload.desired {
        return Roots::new();
    }
    let set = engine.snap.stateful_sets.find(&workload.meta.namespace, &workload.meta.name).found();
    let Some(set) = set.filter(|s| is_absent(engine, s)) else { return Roots::new() };
    let Some(user) = user(set) else { return Roots::new() };
    let unwell: Vec<&&Pod> = workload.pods.iter().filter(|p| walk::is_unwell(engine.snap, p)).collect();
    let is_explained = unwell.iter().any(|p| !walk::pod(engine, p).is_empty());
    if unwell.is_empty() || is_explained {
        return Roots::new();
    }
    let finding = finding(set, &format!(", and {user} looks for its pods by that name"));
    let settled =
        format!("a lookup of {}.{} in one of its pods", set.spec.service_name, set.metadata.namespace);
    engine.root(finding.likely(settled))
}

/// Says where it is not there though nobody minds yet.
pub fn scan(engine: &mut Engine<'_>) {
    for set in &engine.snap.stateful_sets.items {
        if set.spec.replicas == Some(0) || !is_absent(engine, set) {
            continue;
        }
        let object = Object::of("statefulset", &set.metadata);
        let service = Object::new("service", &set.metadata.namespace, &set.spec.service_name);
        let is_said = engine.found.iter().any(|f| f.cause == SERVICE_MISSING.id && f.object == service);
        if !is_said {
            let says = format!(", and the pods of {object} have no names of their own without it");
            engine.found(finding(set, &says).class(Class::Risk));
        }
    }
}

fn is_absent(engine: &Engine<'_>, set: &StatefulSet) -> bool {
    let name = &set.spec.service_name;
    !name.is_empty() && engine.snap.services.find(&set.metadata.namespace, name).is_absent()
}

/// Where the pods of a StatefulSet name each other by the Service: `db-0.db`.
fn user(set: &StatefulSet) -> Option<String> {
    let name = format!(".{}", set.spec.service_name);
    let says = |text: &String| {
        text.match_indices(&name).any(|(at, found)| {
            let next = text.get(at + found.len()..).and_then(|rest| rest.chars().next());
            next.is_none_or(|c| !c.is_alphanumeric() && c != '-')
        })
    };
    set.spec.template.spec.containers.iter().find_map(|c| {
        if let Some(env) = c.env.iter().find(|e| says(&e.value)) {
            return Some(format!("variable {} of container {}", env.name, c.name));
        }
        c.command.iter().chain(&c.args).any(says).then(|| format!("the command of container {}", c.name))
    })
}

fn finding(set: &StatefulSet, more: &str) -> Finding {
    let namespace = &set.metadata.namespace;
    let name = &set.spec.service_name;
    let object = Object::of("statefulset", &set.metadata);
    let labels: serde_json::Map<String, serde_json::Value> =
        set.spec.selector.match_labels.iter().map(|(k, v)| (k.to_owned(), json!(v))).collect();
    let ports: Vec<serde_json::Value> = set
        .spec
        .template
        .spec
        .containers
        .iter()
        .flat_map(|c| &c.ports)
        .map(|p| {
            let name = if p.name.is_empty() { format!("port-{}", p.container_port) } else { p.name.clone() };
            json!({"name": name, "port": p.container_port})
        })
        .collect();
    let mut spec = json!({"clusterIP": "None", "selector": labels});
    if let (false, Some(map)) = (ports.is_empty(), spec.as_object_mut()) {
        map.insert("ports".into(), ports.into());
    }
    let manifest = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    });
    Finding::new(
        &SERVICE_MISSING,
        Object::new("service", namespace, name),
        format!("service {name} does not exist in {namespace}{more}"),
    )
    .since(set.metadata.creation_timestamp)
    .seen(object, "spec.serviceName", name.clone())
    .fix(Fix::call(
        format!("make service/{name}, without an address of its own"),
        "apply",
        json!({"manifest": manifest.to_string()}),
    ))
}
