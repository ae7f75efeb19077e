//! Nodes and namespaces.

use super::{Condition, Meta, Moment, Resources, skinny};

skinny! {
    /// A node.
    pub struct Node {
        metadata: Meta,
        spec: NodeSpec,
        status: NodeStatus,
    }
    /// How it is to be used.
    pub struct NodeSpec {
        unschedulable: bool,
        taints: Vec<Taint>,
        #[serde(rename = "podCIDR")]
        pod_cidr: String,
        #[serde(rename = "providerID")]
        provider_id: String,
    }
    /// What keeps pods away.
    pub struct Taint {
        key: String,
        value: String,
        effect: String,
        time_added: Moment,
    }
    /// What it has and how it is. Its list of images is skipped: it is most of a node's bytes.
    pub struct NodeStatus {
        capacity: Resources,
        allocatable: Resources,
        conditions: Vec<NodeCondition>,
        node_info: NodeInfo,
    }
    /// A condition of a node, with the kubelet's last word.
    pub struct NodeCondition {
        #[serde(rename = "type")]
        kind: String,
        status: String,
        reason: String,
        message: String,
        last_transition_time: Moment,
        last_heartbeat_time: Moment,
    }
    /// What it runs.
    pub struct NodeInfo {
        architecture: String,
        operating_system: String,
        kubelet_version: String,
        #[serde(rename = "bootID")]
        boot_id: String,
    }
    /// A namespace.
    pub struct Namespace {
        metadata: Meta,
        spec: NamespaceSpec,
        status: NamespaceStatus,
    }
    /// What keeps it.
    pub struct NamespaceSpec {
        finalizers: Vec<String>,
    }
    /// How it is.
    pub struct NamespaceStatus {
        phase: String,
        conditions: Vec<Condition>,
    }
}

impl Node {
    /// The condition of that type.
    pub fn condition(&self, kind: &str) -> Option<&NodeCondition> {
        self.status.conditions.iter().find(|c| c.kind == kind)
    }
    /// Whether the kubelet says that it is ready.
    pub fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(|c| c.status == "True")
    }
    /// The value of a label, or none.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata.labels.get(key).map(String::as_str)
    }
}
