//! Network policies that stop a connection which somebody needs. A policy alone is what somebody wants: without a log or
//! a pod that is down nothing is said.

pub mod allow;
pub mod names;

use serde_json::{Value, json};

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::{NetworkPolicy, Pod, Selector, Service, ServicePort};
use crate::rules::services::{apply, ports, reach};
use crate::rules::{Case, dns};
use crate::snapshot::LogOf;
use crate::walk;
use allow::{Connection, Way};

/// The causes of this family.
pub const CAUSES: &[Cause] = &[BLOCKS_INGRESS, BLOCKS_DNS];

const BLOCKS_INGRESS: Cause = Cause::fault(
    "netpol-blocks-ingress",
    2,
    "Network policies stop a connection that a pod needs, at the client's end or at the server's.",
);
const BLOCKS_DNS: Cause = Cause::fault(
    "netpol-blocks-dns",
    2,
    "Network policies keep pods from DNS, so that no name resolves for them.",
);

/// A pod that is not well and names a Service that it cannot reach.
pub fn container<'a>(engine: &mut Engine<'a>, case: &Case<'a>) -> Roots {
    let pod = case.pod;
    if case.status.ready || pod.is_finished() {
        return Roots::new();
    }
    let roots = hindered(engine, pod, &case.container.name, true);
    if !roots.is_empty() {
        return roots;
    }
    let mut roots = Roots::new();
    for (service, _) in names::services(engine, &pod.metadata.namespace, &pod.spec) {
        roots.extend(reach::hole(engine, service));
    }
    roots
}

/// Looks through workloads that seem well: their logs may say that they reach nothing.
pub fn scan(engine: &mut Engine<'_>) {
    let (snap, index) = (engine.snap, engine.index);
    if snap.network_policies.items.is_empty() {
        return;
    }
    for workload in &index.workloads {
        let Some(pod) = workload.pods.iter().find(|p| p.status.phase == "Running" && p.is_ready()) else {
            continue;
        };
        if walk::is_unwell(snap, pod) {
            continue;
        }
        let mut roots = Roots::new();
        for container in &pod.spec.containers {
            roots.extend(hindered(engine, pod, &container.name, false));
        }
        engine.suffers(workload.object(), "cannot connect", None, &roots);
    }
}

/// What stops a pod from DNS or from a Service that it names.
fn hindered<'a>(engine: &mut Engine<'a>, pod: &'a Pod, container: &str, is_down: bool) -> Roots {
    let snap = engine.snap;
    if snap.network_policies.items.is_empty() || pod.spec.host_network {
        return Roots::new();
    }
    if let Some(policies) = no_dns(engine, pod).filter(|_| names::looks_up(&pod.spec)) {
        return match symptom(engine, pod, container, dns::is_no_answer, is_down) {
            Symptom::Said(line) => vec![cut_off(engine, pod, &policies, Some(line))],
            Symptom::Down => vec![cut_off(engine, pod, &policies, None)],
            Symptom::None => Roots::new(),
        };
    }
    let mut roots = Roots::new();
    for (service, port) in names::services(engine, &pod.metadata.namespace, &pod.spec) {
        let Some((server, port, number)) = behind(engine, service, port) else { continue };
        let protocol = if port.protocol.is_empty() { "TCP" } else { &port.protocol };
        let connection = Connection { client: pod, server, port: number, protocol };
        let Some((way, policies)) = allow::blocked(engine, &connection) else { continue };
        let line = match symptom(engine, pod, container, is_timeout, is_down) {
            Symptom::Said(line) => Some(line),
            Symptom::Down => None,
            Symptom::None => continue,
        };
        roots.push(stopped(engine, &connection, service, way, &policies, line));
    }
    roots
}

/// Whether something shows that a connection fails.
enum Symptom {
    /// A line of the log.
    Said(String),
    /// The pod is not well, and its log could not be read.
    Down,
    None,
}

fn symptom(
    engine: &mut Engine<'_>,
    pod: &Pod,
    container: &str,
    is_it: fn(&str) -> bool,
    is_down: bool,
) -> Symptom {
    match log(engine, pod, container) {
        Some(text) => match text.lines().rev().find(|l| is_it(l)) {
            Some(line) => Symptom::Said(line.trim().to_owned()),
            None => Symptom::None,
        },
        None if is_down && has_run(pod, container) => Symptom::Down,
        None => Symptom::None,
    }
}

/// Whether a container ran at all: what never started never connected.
fn has_run(pod: &Pod, container: &str) -> bool {
    pod.containers().filter(|(c, ..)| c.name == container).filter_map(|(_, status, _)| status).any(|s| {
        s.state.running.is_some() || s.state.terminated.is_some() || s.last_state.terminated.is_some()
    })
}

/// The log of a container: of the run before where it does not run now. Of many pods of a workload the first one's is
/// read, for they say the same.
pub fn log<'a>(engine: &mut Engine<'a>, pod: &Pod, container: &str) -> Option<&'a str> {
    let snap = engine.snap;
    let first = engine
        .index
        .workload(pod)
        .and_then(|w| w.pods.iter().find(|p| p.is_ready() == pod.is_ready()).copied());
    let pod = first.unwrap_or(pod);
    let (_, status, _) = pod.containers().find(|(c, ..)| c.name == container)?;
    let status = status?;
    let of = |previous| LogOf {
        namespace: pod.metadata.namespace.clone(),
        pod: pod.metadata.name.clone(),
        container: container.to_owned(),
        previous,
    };
    if let Some(text) = [false, true].into_iter().find_map(|previous| snap.evidence.logs.get(&of(previous))) {
        return Some(text);
    }
    if status.state.running.is_none()
        && status.last_state.terminated.is_none()
        && status.state.terminated.is_none()
    {
        return None;
    }
    engine.log(of(status.state.running.is_none() && status.last_state.terminated.is_some()))
}

/// Whether a line of a log says that a connection came to nothing.
fn is_timeout(line: &str) -> bool {
    let line = line.to_lowercase();
    [
        "timed out",
        "timeout",
        "deadline exceeded",
        "etimedout",
        "ehostunreach",
        "no route to host",
        "unreachable",
    ]
    .iter()
    .any(|w| line.contains(w))
}

/// A ready pod behind a Service, with the port of the Service and where it arrives.
fn behind<'a>(
    engine: &Engine<'a>,
    service: &'a Service,
    port: Option<i64>,
) -> Option<(&'a Pod, &'a ServicePort, i64)> {
    let server = engine.index.behind(service).into_iter().find(|p| p.is_ready())?;
    let ports = &service.spec.ports;
    let port =
        ports.iter().find(|p| Some(p.port) == port).or_else(|| ports.first().filter(|_| ports.len() == 1))?;
    ports::target(service, port, server).map(|number| (server, port, number))
}

/// The policies that keep a pod from all DNS pods; none where one of them can be reached, or where there is none.
fn no_dns<'a>(engine: &Engine<'a>, pod: &Pod) -> Option<Vec<&'a NetworkPolicy>> {
    if allow::isolating(engine, pod, Way::Egress).is_empty()
        || !matches!(pod.spec.dns_policy.as_str(), "" | "ClusterFirst")
    {
        return None;
    }
    // A cache on each node answers at an address that no pod has.
    let has_cache =
        engine.snap.daemon_sets.of("kube-system").iter().any(|d| d.metadata.name.contains("local-dns"));
    let servers = if has_cache { Vec::new() } else { dns::servers(engine) };
    let mut policies = None;
    for server in servers {
        let port = dns::port(server);
        for protocol in ["UDP", "TCP"] {
            let (_, found) = allow::blocked(engine, &Connection { client: pod, server, port, protocol })?;
            policies = policies.or(Some(found));
        }
    }
    policies
}

/// The policy that a person would look at first: one that lets something through, but not this.
fn chosen<'a>(policies: &[&'a NetworkPolicy], way: Way) -> Option<&'a NetworkPolicy> {
    let says = |p: &&&NetworkPolicy| match way {
        Way::Ingress => !p.spec.ingress.is_empty(),
        Way::Egress => !p.spec.egress.is_empty(),
    };
    policies.iter().find(says).or(policies.first()).copied()
}

/// A pod that cannot ask DNS.
fn cut_off(
    engine: &mut Engine<'_>,
    pod: &Pod,
    policies: &[&NetworkPolicy],
    line: Option<String>,
) -> crate::engine::Key {
    let maker = engine.index.maker(pod);
    let way = if policies.first().is_some_and(|p| p.metadata.namespace == pod.metadata.namespace) {
        Way::Egress
    } else {
        Way::Ingress
    };
    let policy = chosen(policies, way);
    let (object, told, selector) = match policy {
        Some(p) => {
            (Object::of("networkpolicy", &p.metadata), allow::told(p, way), selector(&p.spec.pod_selector))
        }
        None => (Object::pod(pod), String::new(), json!({})),
    };
    let namespace = &pod.metadata.namespace;
    let manifest = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": format!("{}-dns", object.name), "namespace": namespace},
        "spec": {"podSelector": selector, "policyTypes": ["Egress"], "egress": [{
            "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
            "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}]},
    });
    let says = match way {
        Way::Egress => {
            format!("lets out {told}, and not port 53 of the DNS pods: no name resolves for {maker}")
        }
        Way::Ingress => format!(
            "lets {told} to the DNS pods, and not the pods of {namespace}: no name resolves for {maker}"
        ),
    };
    let finding = Finding::new(&BLOCKS_DNS, object.clone(), says)
        .seen(object.clone(), if way == Way::Egress { "spec.egress" } else { "spec.ingress" }, told)
        .since(policy.map(|p| p.metadata.written.at).unwrap_or_default());
    let finding = match way {
        Way::Egress => finding
            .fix(apply(format!("let the pods of {object} ask DNS, by one more network policy"), &manifest)),
        Way::Ingress => {
            finding.fix(Fix::advice(format!("let {object} also let in port 53 from namespace {namespace}")))
        }
    };
    let finding = settled(finding, pod, line, "a lookup from one of its pods");
    engine.found(finding)
}

/// With the line of the log, or with what would settle it.
fn settled(finding: Finding, pod: &Pod, line: Option<String>, settle: &str) -> Finding {
    match line {
        Some(line) => finding.seen(Object::pod(pod), "log", line).observed(),
        None => finding.seen(Object::pod(pod), "status", "not ready").likely(settle),
    }
}

/// A connection to a Service that policies stop.
fn stopped(
    engine: &mut Engine<'_>,
    connection: &Connection<'_>,
    service: &Service,
    way: Way,
    policies: &[&NetworkPolicy],
    line: Option<String>,
) -> crate::engine::Key {
    let Connection { client, server, port, protocol } = connection;
    let (from, to) = (engine.index.maker(client), Object::of("service", &service.metadata));
    let policy = chosen(policies, way);
    let (object, told) = match policy {
        Some(p) => (Object::of("networkpolicy", &p.metadata), allow::told(p, way)),
        None => (to.clone(), String::new()),
    };
    let others = policies.len().saturating_sub(1);
    let others = if others == 0 {
        String::new()
    } else {
        format!(" (and {others} more that select these pods do not either)")
    };
    let (says, at) = match way {
        Way::Ingress => (
            format!("lets in {told}{others}, and not {from}, which needs {to} at port {port}"),
            "spec.ingress",
        ),
        Way::Egress => (
            format!("lets {from} out to {told}{others}, and not to {to} at port {port}, which it needs"),
            "spec.egress",
        ),
    };
    let this = match way {
        Way::Ingress => server,
        Way::Egress => client,
    };
    let other = if way == Way::Ingress { client } else { server };
    let peer = if client.metadata.namespace == server.metadata.namespace {
        json!({"podSelector": own(engine, other)})
    } else {
        json!({"podSelector": own(engine, other), "namespaceSelector":
            {"matchLabels": {"kubernetes.io/metadata.name": other.metadata.namespace}}})
    };
    let (kind, rule, end) = match way {
        Way::Ingress => ("Ingress", "ingress", "from"),
        Way::Egress => ("Egress", "egress", "to"),
    };
    let manifest = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": format!("{}-to-{}", from.name, to.name), "namespace": this.metadata.namespace},
        "spec": {"podSelector": own(engine, this), "policyTypes": [kind],
                 rule: [{end: [peer], "ports": [{"protocol": protocol, "port": port}]}]},
    });
    let finding = Finding::new(&BLOCKS_INGRESS, object.clone(), says)
        .which(format!("{from} {to}"))
        .seen(object, at, told)
        .since(policy.map(|p| p.metadata.written.at).unwrap_or_default())
        .fix(apply(format!("let {from} reach {to} at port {port}, by one more network policy"), &manifest));
    let finding = settled(finding, client, line, &format!("a connection to {to} from one of its pods"));
    engine.found(finding)
}

/// A selector for the pods of a pod's workload.
fn own(engine: &Engine<'_>, pod: &Pod) -> Value {
    match engine.index.workload(pod) {
        Some(workload) => selector(workload.selector),
        None => {
            json!({"matchLabels": pod.metadata.labels.iter().collect::<std::collections::BTreeMap<_, _>>()})
        }
    }
}

/// A selector as a manifest has it.
fn selector(of: &Selector) -> Value {
    let labels: serde_json::Map<String, Value> =
        of.match_labels.iter().map(|(k, v)| (k.to_owned(), json!(v))).collect();
    let mut all = json!({"matchLabels": labels});
    if !of.match_expressions.is_empty() {
        let requirements: Vec<Value> = of
            .match_expressions
            .iter()
            .map(|r| json!({"key": r.key, "operator": r.operator, "values": r.values}))
            .collect();
        all["matchExpressions"] = json!(requirements);
    }
    all
}
