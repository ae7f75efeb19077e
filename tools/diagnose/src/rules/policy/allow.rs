//! What network policies let through, computed from the policies alone.

use std::net::IpAddr;

use crate::engine::Engine;
use crate::model::{NetworkPolicy, Peer, Pod, PolicyPort, PolicyRule, Port};
use crate::rules::services::reach::Range;
use crate::snapshot::Lookup;

/// Into a pod, or out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Ingress,
    Egress,
}

/// Who connects to whom, at which port.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    pub client: &'a Pod,
    pub server: &'a Pod,
    pub port: i64,
    pub protocol: &'a str,
}

/// The policies that restrict a pod that way. A pod of its node's network is not restricted.
pub fn isolating<'a>(engine: &Engine<'a>, pod: &Pod, way: Way) -> Vec<&'a NetworkPolicy> {
    if pod.spec.host_network {
        return Vec::new();
    }
    let here = engine.snap.network_policies.of(&pod.metadata.namespace);
    here.iter().filter(|p| restricts(p, way) && p.spec.pod_selector.selects(&pod.metadata.labels)).collect()
}

fn restricts(policy: &NetworkPolicy, way: Way) -> bool {
    let types = &policy.spec.policy_types;
    match way {
        Way::Ingress => types.is_empty() || types.iter().any(|t| t == "Ingress"),
        Way::Egress if types.is_empty() => !policy.spec.egress.is_empty(),
        Way::Egress => types.iter().any(|t| t == "Egress"),
    }
}

/// The policies that stop a connection, and on which way; none where it is let through or where that cannot be told.
pub fn blocked<'a>(
    engine: &Engine<'a>,
    connection: &Connection<'_>,
) -> Option<(Way, Vec<&'a NetworkPolicy>)> {
    for (way, pod) in [(Way::Egress, connection.client), (Way::Ingress, connection.server)] {
        let policies = isolating(engine, pod, way);
        if !policies.is_empty() && !policies.iter().any(|p| permits(engine, p, way, connection)) {
            return Some((way, policies));
        }
    }
    None
}

fn permits(engine: &Engine<'_>, policy: &NetworkPolicy, way: Way, connection: &Connection<'_>) -> bool {
    let (rules, other) = match way {
        Way::Ingress => (&policy.spec.ingress, connection.client),
        Way::Egress => (&policy.spec.egress, connection.server),
    };
    rules.iter().any(|rule| {
        let peers = peers(rule, way);
        let port_fits = rule.ports.is_empty() || rule.ports.iter().any(|p| fits(p, connection));
        port_fits && (peers.is_empty() || peers.iter().any(|p| is_peer(engine, policy, p, other)))
    })
}

/// The other ends that a rule names.
pub fn peers(rule: &PolicyRule, way: Way) -> &[Peer] {
    match way {
        Way::Ingress => &rule.from,
        Way::Egress => &rule.to,
    }
}

fn fits(port: &PolicyPort, connection: &Connection<'_>) -> bool {
    let protocol = if port.protocol.is_empty() { "TCP" } else { &port.protocol };
    if protocol != connection.protocol {
        return false;
    }
    match (&port.port, port.end_port) {
        (None, _) => true,
        (Some(Port::Number(from)), Some(to)) => (*from..=to).contains(&connection.port),
        (Some(Port::Number(number)), None) => *number == connection.port,
        (Some(Port::Name(name)), _) => connection
            .server
            .spec
            .containers
            .iter()
            .flat_map(|c| &c.ports)
            .any(|p| p.name == *name && p.container_port == connection.port),
    }
}

fn is_peer(engine: &Engine<'_>, policy: &NetworkPolicy, peer: &Peer, pod: &Pod) -> bool {
    if let Some(block) = &peer.ip_block {
        // Without an address nothing can be told, so it counts as let through.
        let Ok(address) = pod.status.pod_ip.parse::<IpAddr>() else { return true };
        let holds = |cidr: &String| Range::of(cidr).is_none_or(|r| r.contains(address));
        return holds(&block.cidr) && !block.except.iter().any(holds);
    }
    let namespace = match &peer.namespace_selector {
        None => policy.metadata.namespace == pod.metadata.namespace,
        Some(selector) => match engine.snap.namespaces.find("", &pod.metadata.namespace) {
            Lookup::Found(home) => selector.selects(&home.metadata.labels),
            _ => true,
        },
    };
    namespace && peer.pod_selector.as_ref().is_none_or(|s| s.selects(&pod.metadata.labels))
}

/// Whom a policy lets through that way, as people read it.
pub fn told(policy: &NetworkPolicy, way: Way) -> String {
    let rules = match way {
        Way::Ingress => &policy.spec.ingress,
        Way::Egress => &policy.spec.egress,
    };
    if rules.is_empty() {
        return "nothing".into();
    }
    let all: Vec<String> = rules
        .iter()
        .map(|rule| {
            let who: Vec<String> = peers(rule, way).iter().map(peer_text).collect();
            let who = if who.is_empty() { "all".to_owned() } else { who.join(" or ") };
            let ports: Vec<String> = rule
                .ports
                .iter()
                .filter_map(|p| {
                    p.port.as_ref().map(|n| match p.end_port {
                        Some(end) => format!("{n}-{end}"),
                        None => n.to_string(),
                    })
                })
                .collect();
            if ports.is_empty() { who } else { format!("{who} at port {}", ports.join(" and ")) }
        })
        .collect();
    all.join("; ")
}

fn peer_text(peer: &Peer) -> String {
    if let Some(block) = &peer.ip_block {
        return block.cidr.clone();
    }
    let text = |s: &crate::model::Selector| if s.is_empty() { "all".to_owned() } else { s.text() };
    match (&peer.pod_selector, &peer.namespace_selector) {
        (Some(pods), None) => format!("pods {}", text(pods)),
        (None, Some(spaces)) => format!("namespaces {}", text(spaces)),
        (Some(pods), Some(spaces)) => format!("pods {} of namespaces {}", text(pods), text(spaces)),
        (None, None) => "nobody".into(),
    }
}
