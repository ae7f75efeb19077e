//! Nodes: silent ones, ones that cannot run pods, full ones, and what keeps them from being used or emptied.

use crate::engine::{Engine, Roots};
use crate::finding::Object;
use crate::model::{Node, Pod};
use crate::walk;

pub mod health;
pub mod network;
pub mod room;
pub mod version;

/// Looks through all nodes. They come first: what runs on a node that is down suffers from that.
pub fn scan(engine: &mut Engine<'_>) {
    let snap = engine.snap;
    for node in &snap.nodes.items {
        let roots = walk::node(engine, node);
        let says = match node.condition("Ready").map(|c| c.status.as_str()) {
            Some("True") => "under pressure",
            Some("False") => "not ready",
            _ => "silent",
        };
        engine.suffers(object(node), says, None, &roots);
        room::cordoned(engine, node);
        room::drained(engine, node);
        version::devices(engine, node);
    }
    version::skew(engine);
    health::serving_certificates(engine);
}

/// A pod whose node is the reason: the node does not run pods, or has put it out.
pub fn pod<'a>(engine: &mut Engine<'a>, pod: &'a Pod) -> Roots {
    if pod.spec.node_name.is_empty() {
        return Roots::new();
    }
    let Some(node) = engine.snap.nodes.find("", &pod.spec.node_name).found() else { return Roots::new() };
    if pod.status.reason == "Evicted" {
        return room::evicted(engine, pod, node);
    }
    // A node under pressure still runs what it has.
    if node.is_ready() || pod.is_finished() {
        return Roots::new();
    }
    // What is on the node's own network starts without the network of the pods, and may be what brings it.
    if pod.spec.host_network && network::is_network_trouble(node) {
        return Roots::new();
    }
    walk::node(engine, node)
}

/// A node as the object of a finding.
pub(crate) fn object(node: &Node) -> Object {
    Object::of("node", &node.metadata)
}

/// Whether there is no kubelet behind a node: kwok, virtual kubelets, Fargate.
pub(crate) fn is_virtual(node: &Node) -> bool {
    node.label("type") == Some("virtual-kubelet")
        || node.label("type") == Some("kwok")
        || node.label("eks.amazonaws.com/compute-type") == Some("fargate")
        || !node.metadata.annotations.get("kwok.x-k8s.io/node").is_empty()
        || node
            .spec
            .taints
            .iter()
            .any(|t| t.key == "kwok.x-k8s.io/node" || t.key.starts_with("virtual-kubelet.io/"))
}
