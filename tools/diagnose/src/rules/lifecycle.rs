//! Things that do not go away, and certificates that do not come: namespaces, objects and pods that stay deleted, and
//! what keeps them.

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::{Meta, Moment, Pod};
use crate::snapshot::HasMeta;
use crate::walk;

pub mod certificate;
pub mod namespace;

/// The causes of this family.
pub const CAUSES: &[Cause] = &[OBJECT_STUCK, NODE_LOST, POD_STUCK];

const OBJECT_STUCK: Cause = Cause::fault(
    "object-stuck-finalizer",
    3,
    "An object was deleted long ago and waits for a program that never lets it go.",
);
const NODE_LOST: Cause = Cause::fault(
    "pod-terminating-node-lost",
    2,
    "A pod was deleted, and the node that would end it does not exist any more.",
);
const POD_STUCK: Cause =
    Cause::fault("pod-terminating-stuck", 3, "A pod was deleted, and its node does not manage to end it.");

/// How long a finalizer may take.
const LONG: i64 = 300;

/// Finalizers that Kubernetes itself takes away when what they wait for is done: that is looked at elsewhere.
const OWN: &[&str] =
    &["kubernetes.io/pvc-protection", "kubernetes.io/pv-protection", "foregroundDeletion", "orphan"];

/// A pod that was deleted, past its grace, and is still there.
pub fn pod<'a>(engine: &mut Engine<'a>, pod: &'a Pod) -> Roots {
    let snap = engine.snap;
    let meta = &pod.metadata;
    // The moment of deletion already has the grace in it.
    if !meta.deletion_timestamp.is_set() || !meta.deletion_timestamp.older_than(60, snap.now) {
        return Roots::new();
    }
    if !meta.finalizers.is_empty() {
        return stuck(engine, "pod", meta);
    }
    let node = &pod.spec.node_name;
    let object = Object::pod(pod);
    if snap.nodes.find("", node).is_absent() && !node.is_empty() {
        let finding = Finding::new(&NODE_LOST, object.clone(), format!("was deleted, and node {node}, which would end it, does not exist any more"))
            .seen(object.clone(), "metadata.deletionTimestamp", shown(meta.deletion_timestamp))
            .seen(object, "spec.nodeName", node.clone())
            .since(meta.deletion_timestamp)
            .fix(Fix::advice(format!("delete it by force, which is safe as its node is gone: kubectl delete pod {} -n {} --grace-period=0 --force", meta.name, meta.namespace)));
        return engine.root(finding);
    }
    if !meta.deletion_timestamp.older_than(LONG, snap.now) || node.is_empty() {
        return Roots::new();
    }
    let event = engine
        .index
        .events(meta)
        .iter()
        .find(|e| matches!(e.reason.as_str(), "FailedKillPod" | "FailedPreStopHook"));
    let why = event
        .map(|e| format!(": {}", e.message.lines().next().unwrap_or("").trim_end_matches('.')))
        .unwrap_or_default();
    let minutes = meta.deletion_timestamp.age(snap.now).unwrap_or(0) / 60;
    let mut finding = Finding::new(&POD_STUCK, object.clone(), format!("was to be gone {minutes} min ago, and the kubelet of {node} has not ended it{why}"))
        .seen(object.clone(), "metadata.deletionTimestamp", shown(meta.deletion_timestamp))
        .since(meta.deletion_timestamp)
        .observed()
        .fix(Fix::advice(format!("look at the kubelet's log on {node}: a mount or a process there does not end; only when it is sure that nothing of it runs any more, delete it by force")));
    if let Some(event) = event {
        finding = finding.seen(object, format!("event {}", event.reason), event.message.clone());
    }
    engine.root(finding)
}

fn shown(moment: Moment) -> String {
    moment.0.map(|t| t.to_string()).unwrap_or_default()
}

/// Looks through everything that was deleted and is still there.
pub fn scan(engine: &mut Engine<'_>) {
    namespace::scan(engine);
    let snap = engine.snap;
    objects(engine, "deployment", &snap.deployments.items);
    objects(engine, "statefulset", &snap.stateful_sets.items);
    objects(engine, "daemonset", &snap.daemon_sets.items);
    objects(engine, "job", &snap.jobs.items);
    objects(engine, "service", &snap.services.items);
    objects(engine, "ingress", &snap.ingresses.items);
    objects(engine, "configmap", &snap.config_maps.items);
    objects(engine, "secret", &snap.secrets.items);
    objects(engine, "persistentvolumeclaim", &snap.claims.items);
    objects(engine, "persistentvolume", &snap.volumes.items);
    objects(engine, "customresourcedefinition", &snap.crds.items);
    objects(engine, "certificate", &snap.certificates.items);
    objects(engine, "gateway", &snap.gateways.items);
    objects(engine, "httproute", &snap.http_routes.items);
    objects(engine, "node", &snap.nodes.items);
    for pod in snap.pods.items.iter().filter(|p| p.metadata.deletion_timestamp.is_set()) {
        let roots = walk::pod(engine, pod);
        engine.suffers(Object::pod(pod), "does not end", None, &roots);
    }
    certificate::scan(engine);
}

fn objects<'a, T: HasMeta>(engine: &mut Engine<'a>, kind: &str, all: &'a [T]) {
    for meta in all.iter().map(HasMeta::meta) {
        if !meta.deletion_timestamp.is_set() || !meta.deletion_timestamp.older_than(LONG, engine.snap.now) {
            continue;
        }
        let roots = stuck(engine, kind, meta);
        engine.suffers(Object::of(kind, meta), "is not gone", None, &roots);
    }
}

/// What explains that a deleted object stays.
fn stuck<'a>(engine: &mut Engine<'a>, kind: &str, meta: &'a Meta) -> Roots {
    let snap = engine.snap;
    let foreign: Vec<&str> =
        meta.finalizers.iter().map(String::as_str).filter(|f| !OWN.contains(f)).collect();
    let object = Object::of(kind, meta);
    if foreign.is_empty() || !meta.deletion_timestamp.older_than(LONG, snap.now) {
        return Roots::new();
    }
    // A namespace that goes takes all with it: that one is told once.
    if let Some(space) =
        snap.namespaces.find("", &meta.namespace).found().filter(|n| n.metadata.deletion_timestamp.is_set())
    {
        let roots = namespace::explain(engine, space);
        if !roots.is_empty() {
            return roots;
        }
    }
    let list = foreign.join(", ");
    let (roots, who) = keeper(engine, &foreign);
    if !roots.is_empty() {
        return roots;
    }
    let minutes = meta.deletion_timestamp.age(snap.now).unwrap_or(0) / 60;
    let finding = Finding::new(&OBJECT_STUCK, object.clone(), format!("was deleted {minutes} min ago and waits for finalizer {list}{who}"))
        .seen(object.clone(), "metadata.finalizers", list.clone())
        .seen(object.clone(), "metadata.deletionTimestamp", shown(meta.deletion_timestamp))
        .since(meta.deletion_timestamp)
        .fix(Fix::advice(format!("start the program that handles {list} again, so that it cleans up; only when it is gone for good, remove the finalizer from {object} by hand")));
    engine.root(finding)
}

/// Who takes a finalizer away: what explains that it does not, or a word on whether it is there at all.
fn keeper<'a>(engine: &mut Engine<'a>, finalizers: &[&str]) -> (Roots, String) {
    let index = engine.index;
    let common = [
        "com",
        "org",
        "net",
        "dev",
        "k8s",
        "kubernetes",
        "finalizer",
        "finalizers",
        "controller",
        "operator",
        "resources",
    ];
    for finalizer in finalizers {
        let domain = finalizer.split('/').next().unwrap_or(finalizer);
        for word in domain.split('.').filter(|w| w.len() > 3 && !common.contains(w)) {
            let Some(w) = index.workloads.iter().find(|w| w.kind != "job" && w.meta.name.contains(word))
            else {
                continue;
            };
            let roots = walk::workload(engine, w);
            if !roots.is_empty() {
                return (roots, String::new());
            }
            let state = if w.desired == 0 { "is scaled to zero" } else { "runs" };
            return (
                Roots::new(),
                format!("; {} of {}, which may be what handles it, {state}", w.object(), w.meta.namespace),
            );
        }
    }
    (Roots::new(), "; no workload of that name runs here".to_owned())
}
