//! Nodes that run out of memory, disk or processes, and nodes that take no new pods.

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::{Node, Pod};
use crate::quantity::{show_bytes, whole};
use crate::rules::nodes::{is_virtual, object};
use crate::walk;

/// The causes of this part.
pub const CAUSES: &[Cause] = &[PRESSURE, CORDONED, DRAIN_BLOCKED];

const PRESSURE: Cause = Cause::fault(
    "node-pressure",
    2,
    "A node is short of memory, disk or processes, and puts pods out or takes none.",
);
const CORDONED: Cause = Cause::risk(
    "node-cordoned-stale",
    3,
    "A node has been closed to new pods for more than an hour, and nobody empties it.",
);
const DRAIN_BLOCKED: Cause = Cause::fault(
    "drain-blocked",
    3,
    "A node is being emptied, and pods on it that nothing would make again keep it from that.",
);

const KINDS: &[(&str, &str, &str)] = &[
    ("MemoryPressure", "memory", "memory"),
    ("DiskPressure", "ephemeral-storage", "disk space"),
    ("PIDPressure", "pids", "process ids"),
];

/// A node that says that it is short of something. Of a silent node that is old news, and its silence comes first.
pub fn pressure<'a>(engine: &mut Engine<'a>, node: &'a Node) -> Roots {
    let short: Vec<_> = KINDS
        .iter()
        .filter_map(|kind| node.condition(kind.0).filter(|c| c.status == "True").map(|c| (kind, c)))
        .collect();
    let Some(((_, resource, _), first)) = short.first().copied() else { return Roots::new() };
    if is_virtual(node) || node.condition("Ready").is_none_or(|c| c.status == "Unknown") {
        return Roots::new();
    }
    let words: Vec<&str> = short.iter().map(|((_, _, word), _)| *word).collect();
    let pods = engine.index.on_node(&node.metadata.name);
    let evicted: Vec<&&Pod> = pods.iter().filter(|p| p.status.reason == "Evicted").collect();
    let out = match evicted.len() {
        0 => String::new(),
        1 => ", and has put out 1 pod".to_owned(),
        n => format!(", and has put out {n} pods"),
    };
    let mut finding =
        Finding::new(&PRESSURE, object(node), format!("is short of {}{out}", words.join(" and ")))
            .since(first.last_transition_time)
            .observed();
    for ((kind, _, _), c) in &short {
        finding = finding.seen(
            object(node),
            format!("status.conditions[{kind}]"),
            format!("True {}: {}", c.reason, c.message),
        );
    }
    if let Some(pod) = evicted.first() {
        finding = finding.seen(Object::pod(pod), "status.message", pod.status.message.clone());
    }
    let fix = match *resource {
        "memory" => {
            let heavy = heaviest(engine, pods);
            format!("give the pods there memory requests as large as what they use, or add a node{heavy}")
        }
        "pids" => "find the pod that starts so many processes, and set podPidsLimit of the kubelet".to_owned(),
        _ => "free disk on the node: images that nobody uses, logs, emptyDir volumes; set ephemeral-storage limits".to_owned(),
    };
    engine.root(finding.fix(Fix::advice(fix)))
}

/// The workloads on a node that promise themselves the least for what they may take: without a memory limit.
fn heaviest(engine: &Engine<'_>, pods: &[&Pod]) -> String {
    let mut open: Vec<(i128, String)> = pods
        .iter()
        .filter(|p| {
            !p.is_finished() && p.spec.containers.iter().any(|c| c.resources.limits.get("memory").is_none())
        })
        .map(|p| {
            let asks = p
                .spec
                .containers
                .iter()
                .filter_map(|c| c.resources.requests.get("memory").and_then(|a| whole(&a.0)));
            (asks.sum(), engine.index.maker(p).to_string())
        })
        .collect();
    open.sort();
    open.dedup();
    let named: Vec<String> =
        open.iter().take(3).map(|(asks, who)| format!("{who} (requests {})", show_bytes(*asks))).collect();
    if named.is_empty() {
        String::new()
    } else {
        format!("; without a memory limit there: {}", named.join(", "))
    }
}

/// A pod that its node has put out.
pub fn evicted<'a>(engine: &mut Engine<'a>, pod: &'a Pod, node: &'a Node) -> Roots {
    let Some((_, after)) = pod.status.message.split_once("The node was low on resource: ") else {
        return Roots::new();
    };
    let roots = walk::node(engine, node);
    if !roots.is_empty() {
        return roots;
    }
    let what = after.split(['.', ' ', ',']).next().unwrap_or("something");
    let word = KINDS.iter().find(|k| k.1 == what).map_or(what, |k| k.2);
    let finding = Finding::new(&PRESSURE, object(node), format!("was short of {word} and has put pods out"))
        .seen(Object::pod(pod), "status.message", pod.status.message.clone())
        .observed()
        .fix(Fix::advice(format!("let the pods request what they use of {word}, or give the node more")));
    engine.root(finding)
}

/// When a node was closed to new pods, where something says it.
fn cordoned_at(engine: &Engine<'_>, node: &Node) -> Option<crate::model::Moment> {
    if !node.spec.unschedulable {
        return None;
    }
    let taint =
        node.spec.taints.iter().find(|t| t.key == "node.kubernetes.io/unschedulable").map(|t| t.time_added);
    let event = || {
        engine
            .index
            .node_events(node)
            .into_iter()
            .find(|e| e.reason == "NodeNotSchedulable")
            .map(|e| e.first())
    };
    taint.filter(|t| t.is_set()).or_else(event).filter(|t| t.is_set())
}

/// A node that has been closed for long, with pods that nobody moves.
pub fn cordoned(engine: &mut Engine<'_>, node: &Node) {
    let snap = engine.snap;
    let Some(since) = cordoned_at(engine, node).filter(|t| t.older_than(3600, snap.now)) else { return };
    let name = &node.metadata.name;
    let hours = since.age(snap.now).unwrap_or(0) / 3600;
    let waiting =
        snap.pods.items.iter().filter(|p| p.spec.node_name.is_empty() && p.status.phase == "Pending").count();
    let wait = match waiting {
        0 => String::new(),
        1 => ", while 1 pod waits for a node".to_owned(),
        n => format!(", while {n} pods wait for a node"),
    };
    let finding =
        Finding::new(&CORDONED, object(node), format!("has been closed to new pods for {hours} h{wait}"))
            .seen(object(node), "spec.unschedulable", "true")
            .since(since)
            .fix(Fix::call(
                format!("let node {name} take pods again"),
                "node",
                serde_json::json!({"name": name, "action": "uncordon"}),
            ));
    engine.found(finding);
}

/// A node from which everything went that would come back elsewhere, and on which pods of nobody are left.
pub fn drained(engine: &mut Engine<'_>, node: &Node) {
    let snap = engine.snap;
    let Some(since) = cordoned_at(engine, node).filter(|t| t.older_than(300, snap.now)) else { return };
    let pods = engine.index.on_node(&node.metadata.name);
    let stays = |p: &&&Pod| {
        let owner = p.metadata.controller().map_or("", |o| o.kind.as_str());
        !p.is_finished() && !p.is_static() && owner != "DaemonSet"
    };
    let left: Vec<&&Pod> = pods.iter().filter(stays).collect();
    if left.is_empty() || left.iter().any(|p| p.metadata.controller().is_some()) {
        return;
    }
    let names: Vec<String> =
        left.iter().take(3).map(|p| format!("{}/{}", p.metadata.namespace, p.metadata.name)).collect();
    let finding = Finding::new(
        &DRAIN_BLOCKED,
        object(node),
        format!("is closed and emptied but for {}, which no controller would make again", names.join(", ")),
    )
    .seen(object(node), "spec.unschedulable", "true")
    .since(since)
    .likely("what the drain said")
    .fix(Fix::call(
        format!(
            "drain {} with what no controller would make again: those pods end for good",
            node.metadata.name
        ),
        "node",
        serde_json::json!({"name": node.metadata.name, "action": "drain", "force": true}),
    ));
    let finding = finding.fix(Fix::advice("make a Deployment of each of them first"));
    engine.found(finding);
}
