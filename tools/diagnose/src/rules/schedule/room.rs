//! Findings about how much there is: requests, pods per node, ports, volumes.

use std::collections::BTreeMap;

use serde_json::json;

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::{Event, Pod};
use crate::quantity;
use crate::rules::schedule::cluster::{of_container, requests, show};
use crate::rules::schedule::volumes::holder;
use crate::rules::schedule::{Case, list, nodes, surge};
use crate::rules::similar::nearest;

pub(super) const EXCEEDS: Cause =
    Cause::fault("request-exceeds-any-node", 2, "A pod asks for more than any node has.");
pub(super) const FULL: Cause =
    Cause::fault("cluster-full", 2, "No node has enough left of what a pod asks for.");
pub(super) const EXTENDED: Cause = Cause::fault(
    "extended-resource-absent",
    2,
    "A pod asks for a resource, such as a GPU, that no node offers.",
);
pub(super) const POD_CAP: Cause = Cause::fault("node-pod-cap", 2, "Every node has as many pods as it takes.");
pub(super) const PREEMPTED: Cause = Cause::fault(
    "preempted",
    3,
    "Pods were taken off their node for pods of higher priority, and no other node has room.",
);
pub(super) const PORT: Cause = Cause::fault(
    "hostport-conflict",
    3,
    "A pod wants a port of its node that another pod has on every node.",
);
pub(super) const VOLUME: Cause = Cause::fault(
    "pv-node-affinity",
    2,
    "A pod's volume can be reached from no node that would take the pod.",
);
pub(super) const ATTACH: Cause =
    Cause::fault("volume-attach-limit", 3, "The nodes have as many volumes of a driver as they take.");
pub(super) const IN_USE: Cause =
    Cause::fault("rwop-in-use", 3, "A claim that one pod only may have is used by another pod.");

/// Most that takes part in the sentence about who has what.
const MOST_NAMED: usize = 3;

/// There is no node at all.
pub(super) fn no_nodes(engine: &mut Engine<'_>, case: &Case<'_, '_>) -> Roots {
    let finding = case
        .finding(&FULL, case.maker.clone(), "has nowhere to run: the cluster has no node".into())
        .fix(Fix::advice("add a node, or find out why the nodes are not registered"));
    engine.root(finding)
}

/// More than any node that would do has.
pub(super) fn exceeds(engine: &mut Engine<'_>, case: &Case<'_, '_>, of: &[String], at: &[usize]) -> Roots {
    let rooms = || at.iter().filter_map(|at| case.cluster.rooms.get(*at));
    let absent: Vec<&String> = of
        .iter()
        .filter(|r| !case.cluster.rooms.iter().any(|room| room.has.get(r.as_str()).is_some_and(|a| *a > 0)))
        .collect();
    let mut roots = Roots::new();
    for resource in &absent {
        roots.extend(extended(engine, case, resource));
    }
    if !absent.is_empty() {
        return roots;
    }
    let mut parts = Vec::new();
    let mut fix = None;
    for resource in of {
        let asks = case.asker.asks.get(resource.as_str()).copied().unwrap_or(0);
        let best = rooms().max_by_key(|r| {
            (r.has.get(resource.as_str()).copied().unwrap_or(0), std::cmp::Reverse(r.name()))
        });
        let Some(best) = best else { continue };
        let has = best.has.get(resource.as_str()).copied().unwrap_or(0);
        parts.push(format!(
            "{} of {resource}, and the largest node that would do, {}, has {}",
            show(resource, asks),
            best.name(),
            show(resource, has)
        ));
        let free = rooms().map(|r| r.free(resource)).max().unwrap_or(0);
        fix = fix.or_else(|| smaller(case, resource, asks, free));
    }
    let says = format!("asks for {}", parts.join("; and for "));
    let mut finding = case.finding(&EXCEEDS, case.maker.clone(), says);
    for resource in of {
        let asks = case.asker.asks.get(resource.as_str()).copied().unwrap_or(0);
        finding = finding.seen(
            case.maker.clone(),
            format!("spec.template.spec.containers[].resources.requests.{resource}"),
            show(resource, asks),
        );
    }
    let finding = match fix {
        Some(fix) => finding.fix(fix),
        None => finding,
    };
    let finding = finding.fix(Fix::advice(format!("add a node that has that much {}", of.join(" and "))));
    engine.root(finding)
}

/// A smaller request of the container that asks for most, as large as the room that is left allows.
fn smaller(case: &Case<'_, '_>, resource: &str, asks: i128, free: i128) -> Option<Fix> {
    let argument = match resource {
        "cpu" => "cpu_request",
        "memory" => "memory_request",
        _ => return None,
    };
    if !matches!(case.maker.kind.as_str(), "deployment" | "statefulset" | "daemonset") {
        return None;
    }
    let of = |c| of_container(c).get(resource).copied().unwrap_or(0);
    let largest = case.pod.spec.containers.iter().max_by_key(|c| of(c))?;
    let room = of(largest) - (asks - free);
    // Round figures: down to a tenth of a core, or to 16Mi.
    let value = if resource == "cpu" {
        quantity::show_cpu(room / 100 * 100)
    } else {
        quantity::show_bytes(room / 1000 / (16 << 20) * (16 << 20))
    };
    let enough = if resource == "cpu" { room >= 100 } else { room / 1000 >= 16 << 20 };
    enough.then(|| {
        Fix::call(
            format!("let {} ask for at most {value} of {resource}, if that is enough", case.maker),
            "set",
            json!({"workload": case.maker.to_string(), "namespace": case.maker.namespace,
                   "container": largest.name, argument: value}),
        )
    })
}

/// A resource that no node offers.
fn extended(engine: &mut Engine<'_>, case: &Case<'_, '_>, resource: &str) -> Roots {
    let offered: Vec<&str> = case.cluster.rooms.iter().flat_map(|r| r.has.keys().copied()).collect();
    // A resource that a node once had and no longer gives out tells that its plugin is gone.
    let lost: Vec<&str> = case
        .cluster
        .rooms
        .iter()
        .filter(|r| r.node.status.capacity.get(resource).and_then(|a| a.milli()).is_some_and(|a| a > 0))
        .map(|r| r.name())
        .collect();
    let domain = resource.split('/').next().unwrap_or(resource);
    let near =
        nearest(resource, offered.iter().copied().filter(|o| o.contains('/') == resource.contains('/')));
    let plugin = engine.index.workloads.iter().find(|w| {
        let vendor = domain.split('.').next().unwrap_or(domain);
        w.kind == "daemonset" && w.meta.name.contains("device-plugin") && w.meta.name.contains(vendor)
    });
    let plugin = plugin.filter(|w| w.ready < w.desired || w.desired == 0).map(|w| w.object());
    let hint = match (near, lost.as_slice(), &plugin) {
        (Some(near), ..) => format!("; nodes offer {near}"),
        (None, [_, ..], _) => format!("; {} had it and no longer gives it out", nodes(&lost)),
        (None, [], Some(plugin)) => format!("; {plugin}, which makes nodes offer it, runs nowhere"),
        _ => String::new(),
    };
    let advice = match (near, plugin) {
        (Some(near), _) => format!("ask for {near} in {}", case.maker),
        (None, Some(plugin)) => format!("get {plugin} to run on the nodes that have the device"),
        _ => format!(
            "install the device plugin of {domain} on the nodes that have the device, or do not ask for it"
        ),
    };
    let asks = case.asker.asks.get(resource).copied().unwrap_or(0);
    let says = format!("asks for {} of {resource}, which no node offers{hint}", show(resource, asks));
    let finding = case
        .finding(&EXTENDED, case.maker.clone(), says)
        .which(resource)
        .seen(
            case.maker.clone(),
            format!("spec.template.spec.containers[].resources.requests.{resource}"),
            show(resource, asks),
        )
        .fix(Fix::advice(advice));
    engine.root(finding)
}

/// It would fit an empty node.
pub(super) fn full<'a>(engine: &mut Engine<'a>, case: &Case<'a, '_>, of: &[String], at: &[usize]) -> Roots {
    let preempted = preempted(engine, case);
    if !preempted.is_empty() {
        return preempted;
    }
    let deadlock = surge::deadlock(engine, case, &FULL, of, at);
    if !deadlock.is_empty() {
        return deadlock;
    }
    // What lacks the same room waits for the same thing: one cause, told with the first that waits.
    if let Some(key) = case.cluster.full.borrow().get(of) {
        return vec![*key];
    }
    let rooms = || at.iter().filter_map(|at| case.cluster.rooms.get(*at));
    let mut parts = Vec::new();
    let mut takers: Vec<String> = Vec::new();
    for resource in of {
        let asks = case.asker.asks.get(resource.as_str()).copied().unwrap_or(0);
        let mut by_room: Vec<_> = rooms().map(|r| (std::cmp::Reverse(r.free(resource)), r)).collect();
        by_room.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.name().cmp(b.1.name())));
        let left: Vec<String> = by_room
            .iter()
            .take(MOST_NAMED)
            .map(|(free, r)| {
                let has = r.has.get(resource.as_str()).copied().unwrap_or(0);
                format!("{} has {} of {}", r.name(), show(resource, free.0.max(0)), show(resource, has))
            })
            .collect();
        parts.push(format!(
            "{} of {resource}, and at most this is left: {}",
            show(resource, asks),
            left.join(", ")
        ));
        let mut taken: BTreeMap<Object, (i128, usize)> = BTreeMap::new();
        for pod in rooms().flat_map(|r| &r.pods) {
            let amount = requests(&pod.spec).get(resource.as_str()).copied().unwrap_or(0);
            let sum = taken.entry(engine.index.maker(pod)).or_default();
            *sum = (sum.0 + amount, sum.1 + 1);
        }
        let mut taken: Vec<(Object, (i128, usize))> = taken.into_iter().filter(|(_, t)| t.0 > 0).collect();
        taken.sort_by(|a, b| b.1.0.cmp(&a.1.0).then_with(|| a.0.cmp(&b.0)));
        takers.extend(taken.iter().take(MOST_NAMED).map(|(maker, (sum, pods))| {
            let each = if *pods == 1 { "1 pod".to_owned() } else { format!("{pods} pods") };
            format!("{maker} in {}: {} of {resource} in {each}", maker.namespace, show(resource, *sum))
        }));
    }
    let says = format!("asks per pod for {}", parts.join("; and for "));
    let mut finding = case.finding(&FULL, case.maker.clone(), says);
    if !takers.is_empty() {
        finding = finding.seen(case.maker.clone(), "who asks for most", takers.join(", "));
    }
    let advice = match takers.first() {
        Some(first) => format!("add a node, or make room: most is asked for by {first}"),
        None => "add a node".to_owned(),
    };
    let finding = scale_to_what_runs(engine, case, finding.fix(Fix::advice(advice)));
    let key = engine.found(finding);
    case.cluster.full.borrow_mut().insert(of.to_vec(), key);
    vec![key]
}

/// Offers to be content with the pods that have a node.
fn scale_to_what_runs(engine: &Engine<'_>, case: &Case<'_, '_>, finding: Finding) -> Finding {
    let workload = engine.index.workload_named(&case.maker);
    let running = workload.map_or(0, |w| w.pods.iter().filter(|p| !p.spec.node_name.is_empty()).count());
    if running == 0 || !matches!(case.maker.kind.as_str(), "deployment" | "statefulset") {
        return finding;
    }
    finding.fix(Fix::call(
        format!("scale {} to the {running} that have room", case.maker),
        "scale",
        json!({"workload": case.maker.to_string(), "namespace": case.maker.namespace, "replicas": running}),
    ))
}

/// Its earlier pods were taken off for others.
fn preempted<'a>(engine: &mut Engine<'a>, case: &Case<'a, '_>) -> Roots {
    let snap = engine.snap;
    let Some(owner) = case.pod.metadata.controller() else { return Roots::new() };
    let prefix = format!("{}-", owner.name);
    let created = case.pod.metadata.creation_timestamp;
    // The replacement is made right after its victim was asked to go.
    let event: Option<&'a Event> = snap.events.of(&case.pod.metadata.namespace).iter().find(|e| {
        e.reason == "Preempted"
            && e.involved_object.name.starts_with(&prefix)
            && matches!((e.last().0, created.0), (Some(e), Some(c)) if (c.as_second() - e.as_second()).abs() <= 300)
    });
    let Some(event) = event else { return Roots::new() };
    let uid = event.message.strip_prefix("Preempted by pod ").and_then(|m| m.split(' ').next()).unwrap_or("");
    let by: Option<&'a Pod> = snap.pods.items.iter().find(|p| !uid.is_empty() && &*p.metadata.uid == uid);
    let priority = |p: &Pod| p.spec.priority.unwrap_or(0);
    let whom = match by {
        Some(by) => format!(
            "{} in {} (priority {} over {})",
            engine.index.maker(by),
            by.metadata.namespace,
            priority(by),
            priority(case.pod)
        ),
        None => "a pod of higher priority".to_owned(),
    };
    let says = format!("lost pods to {whom}, and no node has room for their replacements");
    let finding = case
        .finding(&PREEMPTED, case.maker.clone(), says)
        .seen(
            Object::new("pod", &case.pod.metadata.namespace, &event.involved_object.name),
            "event Preempted",
            &*event.message,
        )
        .since(event.last())
        .fix(Fix::advice(format!("add a node, or give {} a priority class that is not lower", case.maker)));
    engine.root(finding)
}

/// As many pods as the nodes take.
pub(super) fn pod_cap(engine: &mut Engine<'_>, case: &Case<'_, '_>, at: &[usize]) -> Roots {
    let names = case.names(at);
    let Some(first) = at.first().and_then(|at| case.cluster.rooms.get(*at)) else { return Roots::new() };
    let cap = show("pods", first.has.get("pods").copied().unwrap_or(0));
    let each = if names.len() == 1 { "has" } else { "have" };
    let says =
        format!("{} {each} as many pods as the kubelet takes ({cap} on {})", nodes(&names), first.name());
    let node = Object::new("node", "", first.name());
    let finding = case
        .finding(&POD_CAP, node.clone(), says)
        .seen(node, "status.allocatable.pods", format!("{cap}, {} are there", first.pods.len()))
        .fix(Fix::advice("add a node, remove pods that are not needed, or raise maxPods of the kubelets"));
    engine.root(finding)
}

/// A port of the node that others have.
pub(super) fn port(engine: &mut Engine<'_>, case: &Case<'_, '_>, port: i64, at: &[usize]) -> Roots {
    let rooms = || at.iter().filter_map(|at| case.cluster.rooms.get(*at));
    let holders: Vec<&Pod> =
        rooms().filter_map(|r| r.ports.iter().find(|(_, p)| p.host_port == port)).map(|(p, _)| *p).collect();
    let mut makers: Vec<Object> = holders.iter().map(|p| engine.index.maker(p)).collect();
    makers.sort();
    makers.dedup();
    let of_own = makers.as_slice() == [case.maker.clone()];
    let count = holders.len();
    let says = if of_own {
        format!(
            "takes port {port} of its node, so that each node takes one of its pods, and {count} have one"
        )
    } else {
        let names: Vec<String> = makers.iter().map(Object::to_string).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        format!("wants port {port} of its node, which {} has on {}", list(&names), nodes(&case.names(at)))
    };
    let mut finding = case.finding(&PORT, case.maker.clone(), says).which(port.to_string());
    if let Some(holder) = holders.first() {
        finding = finding.seen(Object::pod(holder), "spec.containers[].ports[].hostPort", port.to_string());
    }
    if of_own {
        finding = scale_to_what_runs(engine, case, finding);
    }
    let finding = finding.fix(Fix::advice(format!(
        "reach {} through a Service instead of hostPort {port}, or give it another port",
        case.maker
    )));
    engine.root(finding)
}

/// A volume that lives elsewhere.
pub(super) fn volume(engine: &mut Engine<'_>, case: &Case<'_, '_>, name: &str) -> Roots {
    let volume = engine.snap.volumes.find("", name).found();
    let terms = volume.and_then(|v| v.spec.node_affinity.as_ref()).and_then(|a| a.required.as_ref());
    let text: Vec<String> = terms
        .iter()
        .flat_map(|t| &t.node_selector_terms)
        .flat_map(|t| t.match_expressions.iter().chain(&t.match_fields))
        .map(|r| r.text())
        .collect();
    let text = text.join(" or ");
    let claim = volume.and_then(|v| v.spec.claim_ref.as_ref()).map(|c| c.name.clone()).unwrap_or_default();
    // A volume of one node that is gone.
    let host = terms
        .iter()
        .flat_map(|t| &t.node_selector_terms)
        .flat_map(|t| &t.match_expressions)
        .find(|r| r.key == "kubernetes.io/hostname" && r.operator == "In");
    let gone = host.and_then(|r| r.values.first()).filter(|h| {
        !case.cluster.rooms.iter().any(|r| r.node.label("kubernetes.io/hostname") == Some(h.as_str()))
    });
    let says = match gone {
        Some(host) => format!("has the data of claim {claim} on node {host}, which is gone"),
        None => format!(
            "has the data of claim {claim}, and can be reached only from nodes with {text}; none of them would take {}",
            case.maker
        ),
    };
    let object = Object::new("persistentvolume", "", name);
    let advice = match gone {
        Some(host) => format!("bring node {host} back, or restore the data of claim {claim} to a new claim"),
        None => format!("add a node with {text}, or let {} run on such nodes", case.maker),
    };
    let finding = case
        .finding(&VOLUME, object.clone(), says)
        .seen(object, "spec.nodeAffinity.required", text)
        .fix(Fix::advice(advice));
    engine.root(finding)
}

/// As many volumes as the nodes take.
pub(super) fn attach(engine: &mut Engine<'_>, case: &Case<'_, '_>, driver: &str, at: &[usize]) -> Roots {
    let names = case.names(at);
    let Some(first) = names.first() else { return Roots::new() };
    let csi = engine.snap.csi_nodes.find("", first).found();
    let most = csi
        .and_then(|c| c.spec.drivers.iter().find(|d| d.name == driver))
        .and_then(|d| d.allocatable.as_ref()?.count)
        .unwrap_or(0);
    let each = if names.len() == 1 { "has" } else { "have" };
    let says = format!(
        "{} {each} as many volumes of {driver} as can be attached ({most} on {first})",
        nodes(&names)
    );
    let finding = case
        .finding(&ATTACH, Object::new("node", "", first), says)
        .which(driver)
        .seen(Object::new("csinode", "", first), "spec.drivers[].allocatable.count", most.to_string())
        .fix(Fix::advice("add a node, or remove pods whose volumes are not needed"));
    engine.root(finding)
}

/// A claim for one pod that another has.
pub(super) fn in_use(engine: &mut Engine<'_>, case: &Case<'_, '_>, claim: &str) -> Roots {
    let Some(other) = holder(engine, case.pod, claim) else { return Roots::new() };
    let maker = engine.index.maker(other);
    let object = Object::new("persistentvolumeclaim", &case.pod.metadata.namespace, claim);
    let says = format!(
        "may be used by one pod only (ReadWriteOncePod), and pod {} on {} has it; {} waits for it",
        other.metadata.name, other.spec.node_name, case.maker
    );
    let advice = if maker == case.maker {
        format!("run one pod of {maker}, with strategy Recreate, or give each pod a claim of its own")
    } else {
        format!("give {} a claim of its own, or stop {maker}", case.maker)
    };
    let finding = case
        .finding(&IN_USE, object, says)
        .seen(Object::pod(other), "spec.volumes[].persistentVolumeClaim", claim)
        .fix(Fix::advice(advice));
    engine.root(finding)
}
