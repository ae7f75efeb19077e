//! The scheduler's filters that look at one node: all that keep a pod from it, not only the first.

use crate::engine::Engine;
use crate::model::{Labels, Node, NodeTerms, Pod, Requirement, Taint, Toleration};
use crate::rules::schedule::cluster::{Amounts, Room, host_ports, requests};
use crate::rules::schedule::topology::Topology;
use crate::rules::schedule::volumes::Volumes;

/// Why a node does not take a pod. What would have to be given up for the node to take it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fail {
    /// The node's own trouble, as the taint of that key.
    Unwell(String),
    Cordoned,
    Taint {
        key: String,
        value: String,
        effect: String,
    },
    /// The node selector of the pod.
    Selector,
    /// Its required node affinity.
    Affinity,
    /// A port of the node that another pod has.
    Port(i64),
    /// It asks for more than the node has.
    Exceeds(Vec<String>),
    /// It asks for more than the node has left.
    Full(Vec<String>),
    /// The node has as many pods as it takes.
    PodCap,
    /// A volume that cannot be reached from the node.
    Volume(String),
    /// As many volumes of a driver as the node takes.
    Attach(String),
    /// A claim for one pod that another pod has.
    InUse(String),
    /// A topology spread constraint; whether the node lacks the label.
    Spread(usize, bool),
    /// A pod affinity term.
    Near(usize),
    /// A pod anti-affinity term.
    Apart(usize),
    /// The anti-affinity of a pod that is there.
    Shunned(String),
}

impl Fail {
    /// How much is given up with it. What is broken comes first, then what is used up; what the pod asks for in so many
    /// words comes last, and nobody means pods to run on a control plane.
    pub fn weight(&self) -> u32 {
        match self {
            Self::Unwell(_) | Self::Cordoned => 1,
            Self::Full(_) | Self::PodCap | Self::Attach(_) | Self::InUse(_) => 5,
            Self::Port(_) | Self::Spread(..) | Self::Apart(_) | Self::Shunned(_) => 6,
            Self::Taint { key, .. } if is_control_plane(key) => 20,
            Self::Taint { .. } => 8,
            Self::Exceeds(_) => 9,
            Self::Near(_) => 30,
            Self::Volume(_) => 60,
            Self::Selector | Self::Affinity => 100,
        }
    }

    /// A few words for a node that is not the one that matters.
    pub fn short(&self) -> String {
        match self {
            Self::Unwell(key) => format!("has the taint {key}"),
            Self::Cordoned => "is cordoned".into(),
            Self::Taint { key, .. } => format!("has the taint {key}"),
            Self::Selector | Self::Affinity => "has not the labels it asks for".into(),
            Self::Port(port) => format!("has port {port} in use"),
            Self::Exceeds(of) => format!("is too small in {}", of.join(" and ")),
            Self::Full(of) => format!("has not enough {} left", of.join(" and ")),
            Self::PodCap => "has as many pods as it takes".into(),
            Self::Volume(_) => "cannot reach its volume".into(),
            Self::Attach(_) => "has as many volumes as it takes".into(),
            Self::InUse(claim) => format!("cannot have claim {claim}, which is in use"),
            Self::Spread(..) => "would make the spread uneven".into(),
            Self::Near(_) => "has not the pods it wants to be near to".into(),
            Self::Apart(_) | Self::Shunned(_) => "has a pod that it must be apart from".into(),
        }
    }
}

/// Whether a taint keeps pods off a control plane, as all clusters have it.
pub fn is_control_plane(key: &str) -> bool {
    matches!(key, "node-role.kubernetes.io/control-plane" | "node-role.kubernetes.io/master")
}

/// Whether a taint is the cluster's word on a node that is not well.
pub fn is_condition(key: &str) -> bool {
    matches!(
        key.strip_prefix("node.kubernetes.io/"),
        Some(
            "not-ready"
                | "unreachable"
                | "memory-pressure"
                | "disk-pressure"
                | "pid-pressure"
                | "network-unavailable"
        )
    )
}

/// A pod that wants a node, with what the filters need of it.
pub struct Asker<'p> {
    pub pod: &'p Pod,
    pub asks: Amounts<'p>,
    pub volumes: Volumes<'p>,
}

impl<'p> Asker<'p> {
    /// Works out what it needs.
    pub fn new(engine: &Engine<'p>, pod: &'p Pod) -> Self {
        Self { pod, asks: requests(&pod.spec), volumes: Volumes::new(engine, pod) }
    }

    /// All that keep it from a node, in order; empty when it fits.
    pub fn fails(&self, engine: &Engine<'p>, topology: &Topology, room: &Room<'p>) -> Vec<Fail> {
        let mut all = Vec::new();
        let spec = &self.pod.spec;
        let node = room.node;
        if node.spec.unschedulable && !tolerates(&spec.tolerations, &cordon()) {
            all.push(Fail::Cordoned);
        }
        for taint in &node.spec.taints {
            let keeps = matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
            if !keeps || taint.key == CORDON || tolerates(&spec.tolerations, taint) {
                continue;
            }
            // A node that is lost has such taints twice, and often several.
            if is_condition(&taint.key) && all.iter().any(|f| matches!(f, Fail::Unwell(_))) {
                continue;
            }
            all.push(if is_condition(&taint.key) {
                Fail::Unwell(taint.key.clone())
            } else {
                Fail::Taint {
                    key: taint.key.clone(),
                    value: taint.value.clone(),
                    effect: taint.effect.clone(),
                }
            });
        }
        if !has_labels(&node.metadata.labels, &spec.node_selector) {
            all.push(Fail::Selector);
        }
        if node_terms(self.pod).is_some_and(|terms| !fits(terms, node)) {
            all.push(Fail::Affinity);
        }
        for port in host_ports(spec) {
            let ip = |ip: &str| if ip.is_empty() { "0.0.0.0".to_owned() } else { ip.to_owned() };
            let protocol = |p: &str| if p.is_empty() { "TCP".to_owned() } else { p.to_owned() };
            let is_taken = room.ports.iter().any(|(_, other)| {
                let (a, b) = (ip(&port.host_ip), ip(&other.host_ip));
                other.host_port == port.host_port
                    && protocol(&other.protocol) == protocol(&port.protocol)
                    && (a == b || a == "0.0.0.0" || b == "0.0.0.0")
            });
            if is_taken && !all.contains(&Fail::Port(port.host_port)) {
                all.push(Fail::Port(port.host_port));
            }
        }
        let short = |enough: &dyn Fn(&str) -> i128| -> Vec<String> {
            self.asks
                .iter()
                .filter(|(name, amount)| **amount > enough(name))
                .map(|(name, _)| (*name).to_owned())
                .collect()
        };
        let exceeds = short(&|name| room.has.get(name).copied().unwrap_or(0));
        let full = short(&|name| room.free(name));
        if !exceeds.is_empty() {
            all.push(Fail::Exceeds(exceeds));
        } else if !full.is_empty() {
            all.push(Fail::Full(full));
        }
        let cap = room.has.get("pods").copied();
        if cap.is_some_and(|cap| (room.pods.len() as i128 + 1) * 1000 > cap) {
            all.push(Fail::PodCap);
        }
        self.volumes.fails(engine, room, &mut all);
        topology.fails(node, &mut all);
        all.sort();
        all
    }
}

const CORDON: &str = "node.kubernetes.io/unschedulable";

fn cordon() -> Taint {
    Taint { key: CORDON.into(), effect: "NoSchedule".into(), ..Taint::default() }
}

/// Whether a toleration answers a taint.
pub fn tolerates(all: &[Toleration], taint: &Taint) -> bool {
    all.iter().any(|t| {
        let effect = t.effect.is_empty() || t.effect == taint.effect;
        let exists = t.operator == "Exists";
        // An empty key with Exists answers every taint.
        let key = if t.key.is_empty() { exists } else { t.key == taint.key };
        effect && key && (exists || t.value == taint.value)
    })
}

fn has_labels(labels: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(k, v)| labels.get(k) == Some(v))
}

/// The required node affinity of a pod.
pub fn node_terms(pod: &Pod) -> Option<&NodeTerms> {
    let affinity = pod.spec.affinity.as_ref()?.node_affinity.as_ref()?;
    affinity.required_during_scheduling_ignored_during_execution.as_ref()
}

/// Whether a node has the labels that a pod asks for.
pub fn is_asked_for(pod: &Pod, node: &Node) -> bool {
    has_labels(&node.metadata.labels, &pod.spec.node_selector)
        && node_terms(pod).is_none_or(|terms| fits(terms, node))
}

/// Whether a node fits one of the terms. A term without requirements fits none.
pub fn fits(terms: &NodeTerms, node: &Node) -> bool {
    terms.node_selector_terms.iter().any(|term| {
        let some = !(term.match_expressions.is_empty() && term.match_fields.is_empty());
        some && term.match_expressions.iter().all(|r| holds(r, node))
            && term
                .match_fields
                .iter()
                .all(|r| r.key == "metadata.name" && r.holds(Some(node.metadata.name.as_str())))
    })
}

/// Whether a node's labels satisfy a requirement.
pub fn holds(requirement: &Requirement, node: &Node) -> bool {
    requirement.holds(node.label(&requirement.key))
}

/// The nodes that a pod names: a DaemonSet's pods name one each.
pub fn named_nodes(pod: &Pod) -> Option<Vec<&str>> {
    let terms = node_terms(pod)?;
    let mut all = Vec::new();
    for term in &terms.node_selector_terms {
        let field = term.match_fields.iter().find(|r| r.key == "metadata.name" && r.operator == "In")?;
        all.extend(field.values.iter().map(String::as_str));
    }
    Some(all)
}
