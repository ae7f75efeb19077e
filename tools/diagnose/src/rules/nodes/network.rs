//! Nodes that cannot give pods a network: the plugin is not there, or has no address left.

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::index::Workload;
use crate::model::{Event, Node, Pod};
use crate::rules::nodes::{is_virtual, object};
use crate::walk;

/// The causes of this part.
pub const CAUSES: &[Cause] = &[CNI_MISSING, NO_ADDRESS];

const CNI_MISSING: Cause =
    Cause::fault("node-cni-missing", 1, "The network plugin of a node is not there or does not work.");
const NO_ADDRESS: Cause =
    Cause::fault("pod-cidr-exhausted", 2, "A node has no address left for another pod.");

/// DaemonSets that bring the network of pods, by a part of their name.
const AGENTS: &[&str] = &[
    "calico-node",
    "canal",
    "cilium",
    "flannel",
    "kindnet",
    "weave-net",
    "aws-node",
    "antrea-agent",
    "kube-router",
    "azure-cni",
    "ovnkube",
    "ovn-kubernetes",
    "multus",
    "kube-ovn-cni",
    "romana",
    "netd",
    "spiderpool-agent",
];

/// Whether a node is not ready for want of a network.
pub(crate) fn is_network_trouble(node: &Node) -> bool {
    let said = node.condition("Ready").filter(|c| c.status == "False");
    said.is_some_and(|c| {
        let low = c.message.to_lowercase();
        ["network not ready", "networkplugin", "networkready", "cni plugin", "cni config", "network plugin"]
            .iter()
            .any(|w| low.contains(w))
    })
}

/// The DaemonSets that bring the network of pods.
fn agents<'a>(engine: &Engine<'a>) -> Vec<&'a Workload<'a>> {
    let index = engine.index;
    let is_agent =
        |w: &&Workload<'_>| w.kind == "daemonset" && AGENTS.iter().any(|a| w.meta.name.contains(a));
    index.workloads.iter().filter(is_agent).collect()
}

/// What explains the agent on a node, and what to say where nothing does.
fn agent<'a>(engine: &mut Engine<'a>, node: &str) -> (Roots, String, Fix) {
    let all = agents(engine);
    for w in &all {
        if let Some(pod) = w.pods.iter().find(|p| p.spec.node_name == node) {
            let roots = walk::pod(engine, pod);
            let says = format!("although {} runs there", w.object());
            let fix = Fix::advice(format!(
                "look at the log of {} on {node}, and restart its pod there",
                w.object()
            ));
            return (roots, says, fix);
        }
    }
    match all.first() {
        Some(w) => {
            let roots = walk::workload(engine, w);
            let says = format!("{} of {} has no pod there", w.object(), w.meta.namespace);
            (
                roots,
                says,
                Fix::advice(format!("let {} run on {node}: its nodeSelector and tolerations", w.object())),
            )
        }
        None => {
            let says = "no network plugin that kai knows is installed".to_owned();
            (
                Roots::new(),
                says,
                Fix::advice(
                    "install the network plugin of the cluster (Calico, Cilium, flannel, the cloud's own)",
                ),
            )
        }
    }
}

/// A node without a range for its pods, because the cluster's range is used up.
pub fn range<'a>(engine: &mut Engine<'a>, node: &'a Node) -> Roots {
    if is_virtual(node) || !node.spec.pod_cidr.is_empty() || !is_network_trouble(node) {
        return Roots::new();
    }
    let events = engine.index.node_events(node);
    let Some(event) = events.into_iter().find(|e| e.reason == "CIDRNotAvailable") else {
        return Roots::new();
    };
    let finding = Finding::new(&NO_ADDRESS, object(node), "has no range of addresses for its pods: the cluster's range is used up")
        .seen(object(node), "event CIDRNotAvailable", event.message.clone())
        .seen(object(node), "spec.podCIDR", "none")
        .since(event.first())
        .fix(Fix::advice("remove nodes that are not needed, or give the cluster another range (--cluster-cidr) or smaller ones per node (--node-cidr-mask-size)"));
    engine.root(finding)
}

/// A node whose kubelet has no network plugin.
pub fn plugin<'a>(engine: &mut Engine<'a>, node: &'a Node) -> Roots {
    let now = engine.snap.now;
    let is_young = !node.metadata.creation_timestamp.older_than(180, now);
    if is_virtual(node) || is_young || !is_network_trouble(node) {
        return Roots::new();
    }
    let Some(ready) = node.condition("Ready").filter(|c| c.last_transition_time.older_than(60, now)) else {
        return Roots::new();
    };
    let (roots, says, fix) = agent(engine, &node.metadata.name);
    if !roots.is_empty() {
        return roots;
    }
    let finding = Finding::new(&CNI_MISSING, object(node), format!("has no network for pods: {says}"))
        .seen(object(node), "status.conditions[Ready]", format!("False {}: {}", ready.reason, ready.message))
        .since(ready.last_transition_time)
        .observed()
        .fix(fix);
    engine.root(finding)
}

/// A pod for which its node cannot make a network, although the node is ready.
pub fn sandbox<'a>(engine: &mut Engine<'a>, pod: &'a Pod) -> Roots {
    if pod.status.phase != "Pending" || pod.spec.node_name.is_empty() || pod.spec.host_network {
        return Roots::new();
    }
    let Some(event) = engine.index.event(&pod.metadata, "FailedCreatePodSandBox") else {
        return Roots::new();
    };
    let low = event.message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| low.contains(w));
    let Some(node) = engine.snap.nodes.find("", &pod.spec.node_name).found() else { return Roots::new() };
    if has(&[
        "no ip addresses available",
        "failed to assign an ip",
        "no available ip",
        "no more ips",
        "ip pool exhausted",
        "out of ip",
        "no free ip",
        "range is full",
    ]) {
        return full(engine, pod, node, event);
    }
    if !has(&["network", "cni", "plugin type="]) {
        return Roots::new();
    }
    // Worked out once for a node, whatever the number of pods that wait there.
    engine.explain(&Object::new("network of a node", "", &node.metadata.name), |engine| {
        let (roots, says, fix) = agent(engine, &node.metadata.name);
        if !roots.is_empty() {
            return roots;
        }
        let finding =
            Finding::new(&CNI_MISSING, object(node), format!("cannot give new pods a network; {says}"))
                .seen(Object::pod(pod), "event FailedCreatePodSandBox", event.message.clone())
                .since(event.first())
                .observed()
                .fix(fix);
        engine.root(finding)
    })
}

/// No address left on the node.
fn full<'a>(engine: &mut Engine<'a>, pod: &'a Pod, node: &'a Node, event: &'a Event) -> Roots {
    let used = engine
        .index
        .on_node(&node.metadata.name)
        .iter()
        .filter(|p| !p.spec.host_network && !p.is_finished())
        .count();
    let range = &node.spec.pod_cidr;
    let whose = if range.is_empty() { String::new() } else { format!(" ({range})") };
    let room = node.status.allocatable.get("pods").map_or("?", |a| a.0.as_str());
    let finding = Finding::new(
        &NO_ADDRESS,
        object(node),
        format!("has no address left for another pod{whose}: {used} pods are on the pod network there, and it may run {room}"),
    )
    .seen(Object::pod(pod), "event FailedCreatePodSandBox", event.message.clone())
    .since(event.first())
    .observed()
    .fix(Fix::advice("let fewer pods run there (maxPods of the kubelet not above its range), free addresses that ended pods left behind, or add nodes or addresses"));
    engine.root(finding)
}
