//! Services that send to a port at which their pods do not answer, or to pods that are not meant.

use serde_json::json;

use super::{apply, is_checked};
use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::{Container, Pod, Port, Probe, Service, ServicePort};

pub(super) const NAMED_PORT_MISSING: Cause = Cause::fault(
    "svc-named-port-missing",
    2,
    "A Service sends to a port by a name that no container of its pods declares.",
);
pub(super) const PORT_NOT_LISTENING: Cause = Cause::fault(
    "svc-port-not-listening",
    2,
    "A Service sends to a port at which its pods do not listen: they declare another, and are probed there.",
);
pub(super) const PROTOCOL_MISMATCH: Cause = Cause::fault(
    "svc-protocol-mismatch",
    3,
    "A Service sends TCP to a port that its pods open for UDP, or the reverse.",
);
pub(super) const MIXED_PODS: Cause = Cause::fault(
    "svc-selects-mixed-pods",
    2,
    "A Service selects the pods of a second workload that serves something else.",
);

/// The protocol, which is TCP where none is said.
fn protocol(said: &str) -> &str {
    if said.is_empty() { "TCP" } else { said }
}

/// Containers that run beside each other: the main ones and the sidecars.
fn serving(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.init_containers.iter().filter(|c| c.is_sidecar()).chain(&pod.spec.containers)
}

/// Ports that the pods declare: name, number, protocol.
fn declared<'p>(pods: &[&'p Pod]) -> Vec<(&'p str, i64, &'p str)> {
    let ports = pods.iter().flat_map(|p| serving(p)).flat_map(|c| &c.ports);
    let mut all: Vec<_> = ports.map(|p| (p.name.as_str(), p.container_port, protocol(&p.protocol))).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// As people read them: `http (8080), 9090/UDP`.
fn listed(ports: &[(&str, i64, &str)]) -> String {
    let one = |(name, port, protocol): &(&str, i64, &str)| {
        let port = if *protocol == "TCP" { port.to_string() } else { format!("{port}/{protocol}") };
        if name.is_empty() { port } else { format!("{name} ({port})") }
    };
    if ports.is_empty() { "none".into() } else { ports.iter().map(one).collect::<Vec<_>>().join(", ") }
}

/// The number at which a port of a Service arrives at a pod; none for a name that the pod does not declare.
pub fn target(service: &Service, port: &ServicePort, pod: &Pod) -> Option<i64> {
    match &port.target_port {
        _ if service.spec.cluster_ip == "None" && port.target_port.is_none() => Some(port.port),
        Some(Port::Number(number)) if *number > 0 => Some(*number),
        Some(Port::Name(name)) => serving(pod)
            .flat_map(|c| &c.ports)
            .find(|p| p.name == *name && protocol(&p.protocol) == protocol(&port.protocol))
            .map(|p| p.container_port),
        _ => Some(port.port),
    }
}

/// The Service with another target of one of its ports.
fn retarget(service: &Service, port: &ServicePort, target: &serde_json::Value, protocol_is: &str) -> Fix {
    let mut entry = json!({"port": port.port, "protocol": protocol_is, "targetPort": target});
    if !port.name.is_empty() {
        entry["name"] = json!(port.name);
    }
    let manifest = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": service.metadata.name, "namespace": service.metadata.namespace},
        "spec": {"ports": [entry]},
    });
    let target = target.as_str().map_or_else(|| target.to_string(), str::to_owned);
    apply(format!("let port {} of service/{} lead to {target}", port.port, service.metadata.name), &manifest)
}

/// The pods are ready, but a named target port is none of theirs: the control plane leaves it out of the endpoints.
pub(super) fn named<'a>(engine: &mut Engine<'a>, service: &'a Service, pods: &[&'a Pod]) -> Roots {
    let mut roots = Roots::new();
    if !pods.iter().any(|p| p.is_ready()) {
        return roots;
    }
    let declared = declared(pods);
    for port in &service.spec.ports {
        let Some(Port::Name(wanted)) = &port.target_port else { continue };
        if pods.iter().any(|p| target(service, port, p).is_some()) {
            continue;
        }
        let served = engine.index.slices(service).iter().any(|s| s.ports.iter().any(|p| p.name == port.name));
        if served {
            continue;
        }
        let has = listed(&declared);
        let object = Object::of("service", &service.metadata);
        let other = declared.iter().find(|(name, ..)| name == wanted);
        let says = match other {
            Some((_, number, is)) => format!(
                "sends {} to the port named {wanted}, which its pods declare as {is} ({number})",
                protocol(&port.protocol)
            ),
            None => {
                format!(
                    "sends to the port named {wanted}, which no container of its pods declares; they declare {has}"
                )
            }
        };
        let same: Vec<_> = declared.iter().filter(|(.., is)| *is == protocol(&port.protocol)).collect();
        // One port is what is meant; among several the one that is called as the Service's own.
        let meant = match same.as_slice() {
            [only] => Some(**only),
            many => many.iter().find(|(n, ..)| !n.is_empty() && *n == port.name).map(|m| **m),
        };
        let fix = match meant {
            Some(("", number, _)) => retarget(service, port, &json!(number), protocol(&port.protocol)),
            Some((name, ..)) => retarget(service, port, &json!(name), protocol(&port.protocol)),
            None => Fix::advice(format!(
                "name a port of its pods {wanted}, or send to one that they declare: {has}"
            )),
        };
        let finding = Finding::new(&NAMED_PORT_MISSING, object.clone(), says)
            .which(wanted.clone())
            .since(service.metadata.written.at)
            .seen(object, format!("spec.ports[{}].targetPort", port.port), wanted.clone())
            .fix(fix);
        roots.push(engine.found(finding));
    }
    roots
}

/// The Service has endpoints, but what the pods say of themselves speaks against what it sends them.
pub(super) fn doubtful<'a>(engine: &mut Engine<'a>, service: &'a Service) -> Roots {
    if !is_checked(service) || !super::serves(engine, service) {
        return Roots::new();
    }
    let pods: Vec<&Pod> = engine.index.behind(service).into_iter().filter(|p| p.is_ready()).collect();
    let mut roots = mixed(engine, service, &pods);
    if roots.is_empty() && service.spec.cluster_ip != "None" {
        roots.extend(wrong_protocol(engine, service, &pods));
    }
    if roots.is_empty() && service.spec.cluster_ip != "None" {
        roots.extend(silent(engine, service, &pods));
    }
    roots
}

/// A port that is declared, but for the other protocol only.
fn wrong_protocol<'a>(engine: &mut Engine<'a>, service: &'a Service, pods: &[&'a Pod]) -> Roots {
    let mut roots = Roots::new();
    let declared = declared(pods);
    for port in &service.spec.ports {
        let Some(number) = pods.first().and_then(|p| target(service, port, p)) else { continue };
        let ours = protocol(&port.protocol);
        let of_number: Vec<_> = declared.iter().filter(|(_, n, _)| *n == number).collect();
        let [(name, _, theirs)] = of_number.as_slice() else { continue };
        // HTTP/3 is UDP beside TCP, and DNS is both: one of the two is often not declared.
        let has_both = service.spec.ports.iter().any(|p| {
            protocol(&p.protocol) == *theirs
                && pods.first().and_then(|pod| target(service, p, pod)) == Some(number)
        });
        let connects = ours == "TCP" && probed(pods).contains(&number);
        if ours == *theirs || has_both || connects {
            continue;
        }
        let object = Object::of("service", &service.metadata);
        let target = if name.is_empty() { json!(number) } else { json!(name) };
        let finding = Finding::new(
            &PROTOCOL_MISMATCH,
            object.clone(),
            format!("sends {ours} to port {number}, which its pods open for {theirs} only"),
        )
        .which(number.to_string())
        .seen(object, format!("spec.ports[{}].protocol", port.port), ours)
        .seen(object_of(pods), "spec.containers.ports", listed(&declared))
        .since(service.metadata.written.at)
        .likely(format!("a connection to port {number} of one of its pods by {ours}"))
        .fix(retarget(service, port, &target, theirs));
        roots.push(engine.found(finding));
    }
    roots
}

/// The ports at which ready pods answer a probe.
fn probed(pods: &[&Pod]) -> Vec<i64> {
    let mut all = Vec::new();
    for pod in pods {
        for container in serving(pod) {
            for probe in [&container.readiness_probe, &container.liveness_probe, &container.startup_probe] {
                all.extend(probe.as_deref().and_then(|p| probe_port(p, container)));
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// The port that a probe connects to.
fn probe_port(probe: &Probe, container: &Container) -> Option<i64> {
    let port = match (&probe.http_get, &probe.tcp_socket, &probe.grpc) {
        (Some(http), ..) => &http.port,
        (_, Some(tcp), _) => &tcp.port,
        (.., Some(grpc)) => return Some(grpc.port),
        _ => return None,
    };
    match port {
        Port::Number(number) => Some(*number),
        Port::Name(name) => container.ports.iter().find(|p| p.name == *name).map(|p| p.container_port),
    }
}

/// All its ports lead where the pods declare nothing, and something else says that they listen elsewhere: a probe that
/// passes at a declared port, a port that is called the same, or a client that is refused. One fact alone is legal.
fn silent<'a>(engine: &mut Engine<'a>, service: &'a Service, pods: &[&'a Pod]) -> Roots {
    let declared = declared(pods);
    let Some(first) = pods.first() else { return Roots::new() };
    if declared.is_empty() {
        return Roots::new();
    }
    let passing = probed(pods);
    let is_known = |number: i64| declared.iter().any(|(_, n, _)| *n == number) || passing.contains(&number);
    let reached: Vec<(&ServicePort, i64)> =
        service.spec.ports.iter().filter_map(|p| target(service, p, first).map(|n| (p, n))).collect();
    if reached.is_empty()
        || reached.iter().any(|(_, n)| is_known(*n))
        || has_good_twin(engine, service, first)
    {
        return Roots::new();
    }
    let mut roots = Roots::new();
    for (port, number) in reached {
        let called = declared.iter().find(|(name, ..)| !name.is_empty() && *name == port.name);
        let answers = declared.iter().find(|(_, n, _)| passing.contains(n));
        let refused = refusal(engine, service);
        let object = Object::of("service", &service.metadata);
        let has = listed(&declared);
        let finding = Finding::new(
            &PORT_NOT_LISTENING,
            object.clone(),
            format!("sends to port {number}; its pods declare {has}"),
        )
        .which(number.to_string())
        .seen(object, format!("spec.ports[{}].targetPort", port.port), number.to_string())
        .since(service.metadata.written.at);
        let finding = match (&refused, answers, called) {
            (Some((pod, line)), ..) => finding.seen(pod.clone(), "log", line.clone()).observed(),
            (_, Some((_, n, _)), _) => finding
                .seen(Object::pod(first), "probe that passes", format!("port {n}"))
                .likely(format!("a connection to port {number} of {}", Object::pod(first))),
            (.., Some((name, n, _))) => finding
                .seen(Object::pod(first), format!("port named {name}"), n.to_string())
                .likely(format!("a connection to port {number} of {}", Object::pod(first))),
            _ => continue,
        };
        let only = if let [one] = declared.as_slice() { Some(one) } else { None };
        let finding = match called.or(answers).or(only) {
            Some((_, n, is)) => finding.fix(retarget(service, port, &json!(n), is)),
            None => finding.fix(Fix::advice(format!("send to a port that its pods declare: {has}"))),
        };
        roots.push(engine.found(finding));
    }
    roots
}

/// Whether another Service reaches the same pod at a port that it declares: this one is for something else then.
fn has_good_twin(engine: &Engine<'_>, service: &Service, pod: &Pod) -> bool {
    let numbers: Vec<i64> = serving(pod).flat_map(|c| &c.ports).map(|p| p.container_port).collect();
    engine.snap.services.of(&service.metadata.namespace).iter().any(|other| {
        let selects = !other.spec.selector.is_empty()
            && other.spec.selector.iter().all(|(k, v)| pod.metadata.labels.get(k) == Some(v));
        let reaches =
            || other.spec.ports.iter().any(|p| target(other, p, pod).is_some_and(|n| numbers.contains(&n)));
        other.metadata.name != service.metadata.name && selects && reaches()
    })
}

/// A line of a log that was read anyway, in which a client says that the Service refuses it.
fn refusal(engine: &Engine<'_>, service: &Service) -> Option<(Object, String)> {
    let (name, address) = (service.metadata.name.as_str(), service.spec.cluster_ip.as_str());
    for (of, text) in &engine.snap.evidence.logs {
        let names =
            [format!("{name}.{}", service.metadata.namespace), format!("{name}:"), format!("{address}:")];
        let ours = |line: &str| {
            let names_it = names.iter().any(|n| n.len() > 1 && line.contains(n.as_str()));
            names_it && (of.namespace == service.metadata.namespace || line.contains(&names[0]))
        };
        let refused =
            |line: &&str| line.to_lowercase().contains("connection refused") || line.contains("ECONNREFUSED");
        if let Some(line) = text.lines().filter(refused).find(|l| ours(l)) {
            return Some((Object::new("pod", &of.namespace, &of.pod), line.trim().to_owned()));
        }
    }
    None
}

/// Pods of two workloads that have nothing in common behind one Service, one of which cannot be meant.
fn mixed<'a>(engine: &mut Engine<'a>, service: &'a Service, pods: &[&'a Pod]) -> Roots {
    let mut makers: Vec<(Object, &Pod)> = pods.iter().map(|p| (engine.index.maker(p), *p)).collect();
    makers.sort_by(|a, b| a.0.cmp(&b.0));
    makers.dedup_by(|a, b| a.0 == b.0);
    if makers.len() < 2 {
        return Roots::new();
    }
    let opens = |pod: &Pod, port: &ServicePort| {
        let number = target(service, port, pod);
        number.is_some_and(|n| serving(pod).flat_map(|c| &c.ports).any(|p| p.container_port == n))
    };
    let declares = |pod: &Pod| serving(pod).any(|c| !c.ports.is_empty());
    let (meant, strange): (Vec<_>, Vec<_>) = makers
        .iter()
        .filter(|(_, pod)| declares(pod))
        .partition(|(_, pod)| service.spec.ports.iter().any(|port| opens(pod, port)));
    let numbers: Vec<&ServicePort> =
        service.spec.ports.iter().filter(|p| !matches!(p.target_port, Some(Port::Name(_)))).collect();
    let (Some(right), Some(wrong), Some(port)) = (meant.first(), strange.first(), numbers.first()) else {
        return Roots::new();
    };
    let repositories =
        |pod: &Pod| pod.spec.containers.iter().map(|c| repository(&c.image).to_owned()).collect::<Vec<_>>();
    let shared = repositories(right.1).iter().any(|r| repositories(wrong.1).contains(r));
    if shared {
        return Roots::new();
    }
    let number = target(service, port, right.1).unwrap_or(port.port);
    let object = Object::of("service", &service.metadata);
    let own: Vec<String> = right
        .1
        .metadata
        .labels
        .iter()
        .filter(|(k, v)| !super::GIVEN_LABELS.contains(k) && wrong.1.metadata.labels.get(k) != Some(v))
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    let finding = Finding::new(
        &MIXED_PODS,
        object.clone(),
        format!(
            "selects the pods of {} and of {}; only those of {} open port {number}, so part of its traffic fails",
            right.0, wrong.0, right.0
        ),
    )
    .which(wrong.0.to_string())
    .seen(object, "spec.selector", service.spec.selector.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(","))
    .seen(wrong.0.clone(), "spec.template.spec.containers.ports", listed(&declared(&[wrong.1])))
    .since(service.metadata.written.at)
    .likely(format!("whether {} is to serve port {number} too", wrong.0));
    let workload = engine.index.workload_named(&right.0);
    let finding = match workload
        .filter(|w| !w.selector.match_labels.is_empty() && !w.selector.selects(&wrong.1.metadata.labels))
    {
        Some(workload) => finding.fix(super::reselect(service, workload)),
        None if own.is_empty() => finding
            .fix(Fix::advice(format!("give the pods of {} a label of their own and select it", right.0))),
        None => finding.fix(Fix::advice(format!("let it also select {}", own.join(" or ")))),
    };
    engine.root(finding)
}

/// An image without its tag and digest.
fn repository(image: &str) -> &str {
    let image = image.split_once('@').map_or(image, |(name, _)| name);
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

/// The first of some pods, as what shows something.
fn object_of(pods: &[&Pod]) -> Object {
    pods.first().map_or_else(|| Object::new("pod", "", ""), |p| Object::pod(p))
}
