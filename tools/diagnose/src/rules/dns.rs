//! The cluster's DNS, and the agents that make Services and pods reachable on each node.

use std::collections::BTreeSet;

use serde_json::json;

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::{Moment, Node, Pod, Service, condition};
use crate::rules::{Case, policy};
use crate::walk;

/// The causes of this family.
pub const CAUSES: &[Cause] = &[PODS_DOWN, COREFILE_BROKEN, AGENT_DOWN];

const PODS_DOWN: Cause =
    Cause::fault("dns-pods-down", 1, "No DNS pod serves, so that no name resolves in the cluster.");
const COREFILE_BROKEN: Cause =
    Cause::fault("corefile-broken", 1, "CoreDNS does not start, because its Corefile is wrong or loops.");
const AGENT_DOWN: Cause = Cause::fault(
    "kube-proxy-or-cni-agent-down",
    1,
    "A node has no kube-proxy or network agent, so that Services or pods cannot be reached from it.",
);

/// The Service of the cluster's DNS.
fn service<'a>(engine: &Engine<'a>) -> Option<&'a Service> {
    let here = engine.snap.services.of("kube-system");
    let is_dns = |s: &&Service| {
        s.metadata.labels.get("k8s-app").is_some_and(|a| a == "kube-dns") && !s.spec.selector.is_empty()
    };
    here.iter().find(|s| s.metadata.name == "kube-dns").or_else(|| here.iter().find(is_dns))
}

/// The pods that answer DNS.
pub fn servers<'a>(engine: &Engine<'a>) -> Vec<&'a Pod> {
    service(engine).map(|s| engine.index.behind(s)).unwrap_or_default()
}

/// The port at which a DNS pod answers.
pub fn port(pod: &Pod) -> i64 {
    let ports = pod.spec.containers.iter().flat_map(|c| &c.ports);
    ports.into_iter().find(|p| p.name == "dns" || p.name == "dns-tcp").map_or(53, |p| p.container_port)
}

fn is_server(pod: &Pod) -> bool {
    pod.metadata.namespace == "kube-system"
        && pod.metadata.labels.get("k8s-app").is_some_and(|a| a == "kube-dns")
}

/// What explains that no DNS pod serves; empty when one does.
fn roots(engine: &mut Engine<'_>) -> Roots {
    let Some(service) = service(engine) else { return Roots::new() };
    if !engine.snap.endpoint_slices.sees("kube-system") || crate::rules::services::serves(engine, service) {
        return Roots::new();
    }
    let roots = walk::service(engine, service);
    if !roots.is_empty() {
        return roots;
    }
    // Somebody scaled it to zero; for anything else that is what they want, here it is an outage.
    let index = engine.index;
    let idle = index.workloads.iter().find(|w| {
        w.meta.namespace == "kube-system"
            && w.desired == 0
            && w.kind == "deployment"
            && service.spec.selector.iter().all(|(k, v)| w.template.metadata.labels.get(k) == Some(v))
    });
    let Some(workload) = idle else { return Roots::new() };
    let finding =
        Finding::new(&PODS_DOWN, workload.object(), "is scaled to 0, so no name resolves in the cluster")
            .seen(workload.object(), "spec.replicas", "0")
            .since(workload.meta.written.at)
            .fix(Fix::call(
                format!("scale {} to 2", workload.object()),
                "scale",
                json!({"workload": workload.object().to_string(), "namespace": "kube-system", "replicas": 2}),
            ));
    engine.root(finding)
}

/// The same, worked out once.
fn down(engine: &mut Engine<'_>) -> Roots {
    engine.explain(&Object::new("dns", "", "cluster"), roots)
}

/// Looks at DNS and at the agents of all nodes.
pub fn scan(engine: &mut Engine<'_>) {
    let roots = down(engine);
    if let Some(service) = service(engine) {
        let through = engine.index.behind(service).first().map(|p| engine.index.maker(p));
        let object = Object::of("service", &service.metadata);
        engine.suffers(object, "no endpoints: no name resolves in the cluster", through, &roots);
    }
    agents(engine);
}

/// Whether a line of a log says that a name could not be looked up, for whatever reason.
pub fn is_failed_lookup(line: &str) -> bool {
    let line = line.to_lowercase();
    is_no_answer(&line)
        || [
            "no such host",
            "enotfound",
            "name or service not known",
            "unknownhostexception",
            "server misbehaving",
        ]
        .iter()
        .any(|w| line.contains(w))
}

/// Whether a line of a log says that DNS gave no answer at all; `no such host` is an answer.
pub fn is_no_answer(line: &str) -> bool {
    let line = line.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|w| line.contains(w));
    says(&[
        "temporary failure in name resolution",
        "eai_again",
        "could not resolve",
        "couldn't resolve",
        "bad address",
        "name does not resolve",
        "no servers could be reached",
        "resolving timed out",
        "try again",
    ]) || line.contains("lookup ")
        && says(&["timeout", "timed out", "deadline exceeded", "refused", "not permitted", "unreachable"])
        || line.contains("resolv") && says(&["timeout", "timed out"])
}

/// A container that cannot look names up while DNS is down.
pub fn client<'a>(engine: &mut Engine<'a>, case: &Case<'a>) -> Roots {
    if case.status.ready || is_server(case.pod) || case.pod.metadata.namespace == "kube-system" {
        return Roots::new();
    }
    let roots = down(engine);
    if roots.is_empty() {
        return roots;
    }
    match policy::log(engine, case.pod, &case.container.name) {
        Some(text) if text.lines().any(is_failed_lookup) => roots,
        _ => Roots::new(),
    }
}

/// CoreDNS that ends because of its configuration. Comes before what explains crashes in general.
pub fn corefile<'a>(engine: &mut Engine<'a>, case: &Case<'a>) -> Roots {
    let pod = case.pod;
    let is_coredns =
        is_server(pod) || pod.metadata.namespace == "kube-system" && case.container.image.contains("coredns");
    if !is_coredns || case.status.ready {
        return Roots::new();
    }
    let volumes = pod.spec.volumes.iter().filter_map(|v| v.config_map.as_ref());
    let name = volumes.map(|c| c.name()).next().unwrap_or("coredns");
    let object = Object::new("configmap", "kube-system", name);
    let config = engine.snap.config_maps.find("kube-system", name).found();
    let written = config.map(|c| c.metadata.written.at).unwrap_or_default();
    let Some(text) = policy::log(engine, pod, &case.container.name) else {
        return unread(engine, case, object, written);
    };
    let parsing = text
        .lines()
        .rev()
        .find(|l| l.contains("Error during parsing:") || l.contains("Could not parse Corefile"));
    let loops = text.lines().rev().find(|l| l.contains("plugin/loop: Loop"));
    let broken =
        text.lines().rev().find(|l| l.contains("Corefile") && (l.contains("rror") || l.contains("plugin/")));
    let Some(line) = parsing.or(loops).or(broken) else { return Roots::new() };
    let line = line.trim();
    let (says, fix) = if parsing.is_none() && loops.is_some() {
        (
            "sends DNS in a circle: CoreDNS forwards to itself and stops".to_owned(),
            "let forward in the Corefile name the address of the network's DNS server instead of /etc/resolv.conf".to_owned(),
        )
    } else {
        let (place, what) = line.split_once(" - ").unwrap_or(("the Corefile", line));
        let number = place.rsplit_once(':').map(|(_, n)| n).filter(|n| n.parse::<u32>().is_ok());
        let place = number.map_or("its Corefile".to_owned(), |n| format!("line {n} of its Corefile"));
        let what = what.trim_end_matches('.').replace("Error during parsing: ", "");
        (
            format!("cannot be read by CoreDNS: {place}: {what}"),
            format!("correct {place} in configmap/{name} of kube-system"),
        )
    };
    let finding = Finding::new(&COREFILE_BROKEN, object, says)
        .seen(Object::pod(pod), "log", line)
        .observed()
        .since(written)
        .fix(Fix::advice(fix));
    engine.root(finding)
}

/// CoreDNS fails since shortly after its configuration was written, and its log cannot be read.
fn unread(engine: &mut Engine<'_>, case: &Case<'_>, object: Object, written: Moment) -> Roots {
    let failed = case.status.last_state.terminated.as_ref().filter(|t| t.exit_code == 1);
    let Some(failed) = failed.filter(|_| case.status.state.running.is_none()) else { return Roots::new() };
    let ready =
        condition(&case.pod.status.conditions, "Ready").map(|c| c.last_transition_time).unwrap_or_default();
    let is_after = match (written.0, ready.0) {
        (Some(w), Some(r)) => w <= r && r.as_second() - w.as_second() < 24 * 3600,
        _ => false,
    };
    if !is_after {
        return Roots::new();
    }
    let says = "was changed shortly before CoreDNS began to end at its start";
    let finding = Finding::new(&COREFILE_BROKEN, object.clone(), says)
        .seen(Object::pod(case.pod), "lastState.terminated.exitCode", failed.exit_code.to_string())
        .likely("the log of CoreDNS, which names the line")
        .since(written)
        .fix(Fix::advice(format!(
            "read the log of CoreDNS, and correct the Corefile in {object} of kube-system"
        )));
    engine.root(finding)
}

/// A network agent's pod that nothing else explains; comes last.
pub fn agent<'a>(engine: &mut Engine<'a>, case: &Case<'a>) -> Roots {
    let Some(workload) = engine.index.workload(case.pod).filter(|w| w.kind == "daemonset") else {
        return Roots::new();
    };
    let Some((_, what)) = agent_of(&workload.meta.name).filter(|_| !case.status.ready) else {
        return Roots::new();
    };
    // One finding for all nodes: they are down for one reason as a rule.
    let down = workload.pods.iter().filter(|p| !p.is_ready() && !p.is_finished()).count();
    let (node, all) = (&case.pod.spec.node_name, workload.desired);
    let state = &case.status.state;
    let why = state.waiting.as_ref().map_or("not ready", |w| w.reason.as_str());
    let at = workload.object();
    let says = format!("is down on {down} of {all} nodes ({node}): from there {what} cannot be reached");
    let finding = Finding::new(&AGENT_DOWN, at.clone(), says)
        .seen(Object::pod(case.pod), format!("containers[{}]", case.container.name), why)
        .likely("the log of its pod there")
        .fix(Fix::advice(format!("look at the log of {} in {}", Object::pod(case.pod), at.namespace)));
    engine.root(finding)
}

/// A DNS pod that nothing else explains; comes last.
pub fn server<'a>(engine: &mut Engine<'a>, case: &Case<'a>) -> Roots {
    if !is_server(case.pod) || case.status.ready || down_elsewhere(engine, case.pod) {
        return Roots::new();
    }
    let state = &case.status.state;
    let why = match (&state.waiting, &state.terminated, &case.status.last_state.terminated) {
        (Some(waiting), _, Some(last)) => format!("{}, after exit code {}", waiting.reason, last.exit_code),
        (Some(waiting), ..) => waiting.reason.clone(),
        (_, Some(ended), _) => format!("ended with exit code {}", ended.exit_code),
        _ => "runs and is not ready".into(),
    };
    let maker = engine.index.maker(case.pod);
    let finding = Finding::new(
        &PODS_DOWN,
        maker.clone(),
        format!("has no pod that answers DNS: container {} {why}", case.container.name),
    )
    .seen(Object::pod(case.pod), format!("containers[{}]", case.container.name), why)
    .likely("the log of its pods")
    .fix(Fix::advice(format!("look at the log of {maker} in kube-system, and undo what was changed last")));
    engine.root(finding)
}

/// Whether another DNS pod serves.
fn down_elsewhere(engine: &Engine<'_>, pod: &Pod) -> bool {
    servers(engine).iter().any(|p| p.metadata.name != pod.metadata.name && p.is_ready())
}

/// The agents of nodes: what they are for, by the names of their DaemonSets.
const AGENTS: &[(&str, &str)] = &[
    ("kube-proxy", "Services"),
    ("kindnet", "pods of other nodes"),
    ("kube-flannel", "pods of other nodes"),
    ("calico-node", "pods of other nodes"),
    ("canal", "pods of other nodes"),
    ("cilium", "pods of other nodes"),
    ("weave-net", "pods of other nodes"),
    ("kube-router", "pods of other nodes"),
    ("aws-node", "pods of other nodes"),
    ("antrea-agent", "pods of other nodes"),
];

/// The agent that a DaemonSet of that name runs.
fn agent_of(name: &str) -> Option<&'static (&'static str, &'static str)> {
    AGENTS.iter().find(|(a, _)| name == *a || name.strip_prefix(a).is_some_and(|r| r.starts_with("-ds")))
}

/// Nodes on which an agent is down, or which it leaves out though pods run there.
fn agents(engine: &mut Engine<'_>) {
    let (snap, index) = (engine.snap, engine.index);
    for workload in index.workloads.iter().filter(|w| w.kind == "daemonset") {
        let name = workload.meta.name.as_str();
        let agent = agent_of(name);
        let Some((_, what)) = agent else { continue };
        let mut covered = BTreeSet::new();
        for pod in workload.pods.iter().filter(|p| !p.is_finished()) {
            covered.insert(pod.spec.node_name.as_str());
            let roots = walk::pod(engine, pod);
            if !pod.spec.node_name.is_empty() && !pod.is_ready() {
                let says = format!("{what} cannot be reached from it reliably: {name} is down there");
                engine.suffers(
                    Object::new("node", "", &pod.spec.node_name),
                    says,
                    Some(workload.object()),
                    &roots,
                );
            }
        }
        // Another DaemonSet of the same agent may have the other nodes: one for each architecture or system.
        let siblings = index
            .workloads
            .iter()
            .filter(|w| w.kind == "daemonset" && w.meta.name.starts_with(agent.map_or("", |a| a.0)));
        // One that is nowhere was switched off for another program that does its work, as Calico and Cilium can.
        if siblings.count() > 1 || !snap.pods.sees(&workload.meta.namespace) || covered.is_empty() {
            continue;
        }
        // Two networks share the nodes between them.
        if name != "kube-proxy" {
            let others =
                index.workloads.iter().filter(|w| w.kind == "daemonset" && w.meta.name != "kube-proxy");
            let others = others.filter(|w| agent_of(&w.meta.name).is_some());
            covered.extend(others.flat_map(|w| &w.pods).map(|p| p.spec.node_name.as_str()));
        }
        let bare: Vec<&Node> = snap.nodes.items.iter().filter(|n| is_left_out(engine, n, &covered)).collect();
        let Some(node) = bare.first() else { continue };
        // What keeps its pods away anywhere can keep them away here.
        if !walk::workload(engine, workload).is_empty() {
            continue;
        }
        let names: Vec<&str> = bare.iter().take(3).map(|n| n.metadata.name.as_str()).collect();
        let more = if bare.len() > 3 { format!(" and {} more", bare.len() - 3) } else { String::new() };
        let listed = format!("{}{more}", names.join(", "));
        let finding = Finding::new(
            &AGENT_DOWN,
            workload.object(),
            format!("has no pod on {listed}, where pods run: from there {what} cannot be reached"),
        )
        .seen(workload.object(), "status.desiredNumberScheduled", workload.desired.to_string())
        .seen(Object::of("node", &node.metadata), "pods", format!("none of {name}"))
        .since(workload.meta.written.at)
        .fix(Fix::advice(format!(
            "take out of {} what keeps its pods from {listed}: its node selector, its affinity or a toleration that it lacks",
            workload.object()
        )));
        let roots = engine.root(finding);
        for node in bare {
            engine.suffers(
                Object::of("node", &node.metadata),
                format!("{what} cannot be reached from it"),
                Some(workload.object()),
                &roots,
            );
        }
    }
}

/// Whether a real, ready node runs pods of the pod network and has no agent.
fn is_left_out(engine: &Engine<'_>, node: &Node, covered: &BTreeSet<&str>) -> bool {
    let name = node.metadata.name.as_str();
    let is_virtual = node.label("type") == Some("virtual-kubelet")
        || node.label("type") == Some("kwok")
        || node.label("eks.amazonaws.com/compute-type").is_some()
        || node.metadata.annotations.get("kwok.x-k8s.io/node") == "fake";
    let is_linux = node.label("kubernetes.io/os").is_none_or(|os| os == "linux");
    let is_old = node.metadata.creation_timestamp.older_than(300, engine.snap.now);
    !covered.contains(name)
        && !is_virtual
        && is_linux
        && is_old
        && node.is_ready()
        && engine.index.on_node(name).iter().any(|p| p.status.phase == "Running" && !p.spec.host_network)
}
