//! Pods that the scheduler did not try, and templates that name what is not there.

use serde_json::json;

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, FixCall, Object};
use crate::index::Workload;
use crate::model::{Pod, condition};
use crate::rules::schedule::place::template_of;
use crate::rules::similar::nearest;
use crate::walk::{self, PATIENCE};

pub(super) const NAME_UNKNOWN: Cause =
    Cause::fault("scheduler-name-unknown", 2, "A pod waits for a scheduler that does not run.");
pub(super) const DOWN: Cause =
    Cause::fault("scheduler-down", 1, "The scheduler does not run, so that no new pod gets a node.");
pub(super) const GATED: Cause =
    Cause::fault("scheduling-gated", 3, "A pod has a scheduling gate that nobody takes away.");
pub(super) const BOGUS_NODE: Cause =
    Cause::fault("nodename-bogus", 3, "A pod template names a node that does not exist.");
pub(super) const CLAIM: Cause = Cause::fault(
    "resource-claim-unallocated",
    3,
    "A pod waits for a device that its ResourceClaim cannot get.",
);

const DEFAULT: &str = "default-scheduler";

/// How long a gate may stay before it is one that nobody takes away.
const GATE_PATIENCE: i64 = PATIENCE;

/// A pod that no scheduler has looked at.
pub(super) fn unseen<'a>(engine: &mut Engine<'a>, pod: &'a Pod) -> Roots {
    let snap = engine.snap;
    let created = pod.metadata.creation_timestamp;
    if !created.older_than(PATIENCE, snap.now) || !snap.pods.sees(&pod.metadata.namespace) {
        engine.wait(Object::pod(pod));
        return Roots::new();
    }
    let name = match pod.spec.scheduler_name.as_str() {
        "" => DEFAULT,
        name => name,
    };
    // Once for all pods of a maker: thousands may wait.
    let of_all = Object::new("scheduler of", &pod.metadata.namespace, &engine.index.maker(pod).to_string());
    engine.explain(
        &of_all,
        |engine| {
            if name == DEFAULT { down(engine, pod) } else { unknown(engine, pod, name) }
        },
    )
}

fn down<'a>(engine: &mut Engine<'a>, pod: &'a Pod) -> Roots {
    let snap = engine.snap;
    // The scheduler's own pods may say what is wrong.
    let mut roots = Roots::new();
    let own = |p: &&Pod| p.metadata.name.starts_with("kube-scheduler") && p.metadata.uid != pod.metadata.uid;
    let own: Vec<&'a Pod> = snap.pods.of("kube-system").iter().filter(own).collect();
    for one in &own {
        roots.extend(walk::pod(engine, one));
    }
    let Some(lease) = snap.leases.find("kube-system", "kube-scheduler").found() else { return roots };
    let patience = 4 * lease.spec.lease_duration_seconds.unwrap_or(15).max(5);
    if !lease.spec.renew_time.is_set() || !lease.spec.renew_time.older_than(patience, snap.now) {
        return Roots::new();
    }
    if !roots.is_empty() {
        return roots;
    }
    let age = lease.spec.renew_time.age(snap.now).unwrap_or(0);
    let object = Object::of("lease", &lease.metadata);
    let renewed = lease.spec.renew_time.0.map(|t| t.to_string()).unwrap_or_default();
    let says = format!(
        "kube-scheduler has not renewed its lease for {age} s, so that no pod gets a node; {} was the last to hold it",
        lease.spec.holder_identity
    );
    let advice = match own.first() {
        Some(one) => format!("look at pod {} and at its node", one.metadata.name),
        None => "start kube-scheduler on the control plane".to_owned(),
    };
    let finding = Finding::new(&DOWN, object.clone(), says)
        .seen(object, "spec.renewTime", renewed)
        .seen(Object::pod(pod), "status.conditions[PodScheduled]", "absent")
        .since(lease.spec.renew_time)
        .fix(Fix::advice(advice));
    engine.root(finding)
}

fn unknown<'a>(engine: &mut Engine<'a>, pod: &'a Pod, name: &str) -> Roots {
    let snap = engine.snap;
    let index = engine.index;
    // One that runs here under that name and is down is the cause.
    let own = index
        .workloads
        .iter()
        .find(|w| w.meta.name == name && w.kind != "job" && w.meta.uid != pod.metadata.uid);
    if let Some(own) = own
        && index.maker(pod) != own.object()
    {
        let roots = walk::workload(engine, own);
        if !roots.is_empty() {
            return roots;
        }
    }
    let has_placed =
        snap.pods.items.iter().any(|p| p.spec.scheduler_name == name && !p.spec.node_name.is_empty());
    let maker = index.maker(pod);
    let near = nearest(name, [DEFAULT]).unwrap_or(DEFAULT);
    let seen = if has_placed { "no longer looks at its pods" } else { "has never given a pod a node" };
    let says = format!("waits for scheduler {name}, which {seen}; {near} is the cluster's own");
    let finding = Finding::new(&NAME_UNKNOWN, maker.clone(), says)
        .which(name)
        .seen(Object::pod(pod), "spec.schedulerName", name)
        .seen(Object::pod(pod), "status.conditions[PodScheduled]", "absent")
        .since(pod.metadata.creation_timestamp)
        .observed();
    let finding = match template_of(&maker, &json!({"schedulerName": DEFAULT})) {
        Some(call) if !has_placed => {
            finding.fix(Fix { says: format!("let {DEFAULT} place the pods of {maker}"), calls: vec![call] })
        }
        _ => finding.fix(Fix::advice(format!("start scheduler {name}, or make {maker} with {DEFAULT}"))),
    };
    engine.root(finding)
}

/// A pod that is kept from the scheduler. Queues do that on purpose.
pub(super) fn gated<'a>(engine: &mut Engine<'a>, pod: &'a Pod) -> Roots {
    let now = engine.snap.now;
    let gates: Vec<&str> = pod.spec.scheduling_gates.iter().map(|g| g.name.as_str()).collect();
    let is_queue = |g: &&str| g.starts_with("kueue.x-k8s.io/") || g.starts_with("scheduling.x-k8s.io/");
    if gates.iter().all(is_queue) || !pod.metadata.creation_timestamp.older_than(GATE_PATIENCE, now) {
        engine.wait(Object::pod(pod));
        return Roots::new();
    }
    let maker = engine.index.maker(pod);
    let gates = gates.join(" and ");
    let says =
        format!("has scheduling gate {gates}, which keeps the scheduler away until somebody takes it off");
    let finding = Finding::new(&GATED, maker.clone(), says)
        .which(gates.clone())
        .seen(Object::pod(pod), "spec.schedulingGates", gates.clone())
        .since(pod.metadata.creation_timestamp)
        .fix(Fix::advice(format!(
            "run the controller that takes gate {gates} off, or remove spec.schedulingGates from {maker}"
        )));
    engine.root(finding)
}

/// A template that names a node that is not there: its pods go to no kubelet.
pub fn bogus_node<'a>(engine: &mut Engine<'a>, workload: &'a Workload<'a>) -> Roots {
    let name = &workload.template.spec.node_name;
    if name.is_empty() || workload.ready >= workload.desired || !engine.snap.nodes.find("", name).is_absent()
    {
        return Roots::new();
    }
    let nodes = engine.snap.nodes.items.iter().map(|n| n.metadata.name.as_str());
    let near = nearest(name, nodes);
    let hint = near.map(|n| format!("; there is {n}")).unwrap_or_default();
    let object = workload.object();
    let says = format!("puts its pods on node {name} by name, and there is no such node{hint}");
    let finding = Finding::new(&BOGUS_NODE, object.clone(), says)
        .which(name.clone())
        .seen(object.clone(), "spec.template.spec.nodeName", name.clone())
        .since(workload.meta.written.at);
    let finding = fix_name(finding, &object, "nodeName", near, "let the scheduler choose the node");
    engine.root(finding)
}

/// Puts the right name in the place of the wrong one, where there is one.
fn fix_name(finding: Finding, object: &Object, field: &str, near: Option<&str>, else_: &str) -> Finding {
    let call: Option<FixCall> = near.and_then(|n| template_of(object, &json!({field: n})));
    match (call, near) {
        (Some(call), Some(near)) => {
            finding.fix(Fix { says: format!("set {field} of {object} to {near}"), calls: vec![call] })
        }
        _ => finding.fix(Fix::advice(format!("{else_}, or take {field} out of {object}"))),
    }
}

/// A device that is asked for through a claim; all else about the pod fits some node.
pub(super) fn claim<'a>(engine: &mut Engine<'a>, pod: &'a Pod) -> Roots {
    let Some(scheduled) = condition(&pod.status.conditions, "PodScheduled") else { return Roots::new() };
    if pod.spec.resource_claims.is_empty()
        || !scheduled.last_transition_time.older_than(PATIENCE, engine.snap.now)
    {
        return Roots::new();
    }
    let maker = engine.index.maker(pod);
    let names: Vec<&str> = pod.spec.resource_claims.iter().map(|c| c.name.as_str()).collect();
    let names = names.join(" and ");
    let says = format!("waits for the device of resource claim {names}; all else would fit");
    let finding = Finding::new(&CLAIM, maker, says)
        .which(names.clone())
        .seen(Object::pod(pod), "status.conditions[PodScheduled]", &*scheduled.message)
        .since(scheduled.last_transition_time)
        .observed()
        .fix(Fix::advice(format!(
            "look whether the DeviceClass of {names} exists and whether its driver offers devices (kubectl get resourceslices)"
        )));
    engine.root(finding)
}

/// Whether the scheduler gives a reason that the filters here know. Where it gives another, that a pod seems to fit
/// means nothing.
pub(super) fn is_known(pod: &Pod) -> bool {
    const KNOWN: &[&str] = &[
        "Insufficient",
        "taint",
        "were unschedulable",
        "node affinity",
        "pod affinity",
        "anti-affinity",
        "topology spread",
        "free ports",
        "Too many pods",
        "max volume count",
        "ReadWriteOncePod",
    ];
    let said = condition(&pod.status.conditions, "PodScheduled").map_or("", |c| c.message.as_str());
    said.is_empty() || KNOWN.iter().any(|k| said.contains(k))
}
