//! Services that lead to a name or an address that is not there, or that get no address themselves.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::json;

use super::{apply, is_checked};
use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Class, Finding, Fix, Object};
use crate::model::{Pod, Service};
use crate::rules::similar::nearest;
use crate::snapshot::{Lookup, Seen};

pub(super) const EXTERNAL_NAME_DANGLING: Cause = Cause::fault(
    "svc-externalname-dangling",
    3,
    "A Service of type ExternalName leads to a Service that does not exist, or to an address instead of a name.",
);
pub(super) const MANUAL_ENDPOINT_STALE: Cause = Cause::fault(
    "svc-manual-endpoint-stale",
    3,
    "A Service without selector leads to the address of a pod that is gone.",
);
pub(super) const LOAD_BALANCER_PENDING: Cause =
    Cause::fault("svc-lb-pending", 3, "A Service of type LoadBalancer gets no address.");
pub(super) const LOCAL_POLICY_HOLE: Cause = Cause::fault(
    "svc-local-policy-hole",
    3,
    "A Service sends traffic only to pods of the same node, and a node that needs it has none.",
);

/// How long a load balancer may take to be made.
const LB_PATIENCE: i64 = 180;

/// The addresses that pods have now, and the ranges out of which pods get them.
pub struct PodAddresses {
    used: BTreeSet<IpAddr>,
    ranges: Vec<Range>,
}

impl PodAddresses {
    /// Looks at all pods and nodes, where all pods can be seen and some Service has no selector.
    pub fn new(engine: &Engine<'_>) -> Option<Self> {
        let snap = engine.snap;
        let is_needed =
            snap.services.items.iter().any(|s| s.spec.selector.is_empty() && s.spec.kind != "ExternalName");
        if !is_needed || snap.pods.seen != Seen::Everywhere {
            return None;
        }
        let alive = snap.pods.items.iter().filter(|p| !p.is_finished());
        Some(Self {
            used: alive.filter_map(|p| p.status.pod_ip.parse().ok()).collect(),
            ranges: snap.nodes.items.iter().filter_map(|n| Range::of(&n.spec.pod_cidr)).collect(),
        })
    }
    /// Whether it is a pod's address and no pod has it. The first two of a range are the node's own.
    fn is_stale(&self, address: IpAddr) -> bool {
        !self.used.contains(&address)
            && self.ranges.iter().any(|r| r.offset(address).is_some_and(|at| at > 1))
    }
}

/// A range of addresses.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    first: u128,
    /// Bits that differ within it.
    free: u32,
    is_v4: bool,
}

impl Range {
    /// Reads `10.0.0.0/8`; none where that cannot be read.
    pub fn of(cidr: &str) -> Option<Self> {
        let (address, bits) = cidr.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let bits: u32 = bits.parse().ok()?;
        let free = if address.is_ipv4() { 32_u32 } else { 128 }.checked_sub(bits)?;
        let mask = u128::MAX.checked_shl(free).unwrap_or(0);
        Some(Self { first: number(address) & mask, free, is_v4: address.is_ipv4() })
    }
    /// How far an address is from the first one; none for one outside.
    fn offset(self, address: IpAddr) -> Option<u128> {
        let at = number(address).checked_sub(self.first)?;
        let is_inside = at.checked_shr(self.free).unwrap_or(0) == 0;
        (address.is_ipv4() == self.is_v4 && is_inside).then_some(at)
    }
    /// Whether an address is in it.
    pub fn contains(self, address: IpAddr) -> bool {
        self.offset(address).is_some()
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u32::from(a).into(),
        IpAddr::V6(a) => a.into(),
    }
}

/// What explains that a Service cannot be reached, or leads nowhere, though its own pods are well.
pub(super) fn explain(engine: &mut Engine<'_>, service: &Service, pods: Option<&PodAddresses>) -> Roots {
    if service.metadata.deletion_timestamp.is_set() {
        return Roots::new();
    }
    if service.spec.kind == "ExternalName" {
        return Roots::new();
    }
    if service.spec.selector.is_empty() {
        return pods.map(|p| stale(engine, service, p)).unwrap_or_default();
    }
    let mut roots = pending(engine, service);
    roots.extend(hole(engine, service));
    roots
}

/// The name it leads to is an address, or a name of this cluster that nothing has.
pub(super) fn external_name<'a>(engine: &mut Engine<'a>, service: &'a Service) -> Roots {
    let meta = &service.metadata;
    if meta.deletion_timestamp.is_set() {
        return Roots::new();
    }
    let object = Object::of("service", meta);
    let name = service.spec.external_name.trim_end_matches('.').to_lowercase();
    let finding = |says: String| {
        Finding::new(&EXTERNAL_NAME_DANGLING, object.clone(), says)
            .seen(object.clone(), "spec.externalName", service.spec.external_name.clone())
            .since(meta.written.at)
    };
    if name.parse::<IpAddr>().is_ok() {
        let says = format!("leads to the address {name} as if it were a name, which DNS cannot resolve");
        let fix = Fix::advice(format!(
            "make it a Service without selector, with an EndpointSlice that has the address {name}, or give the name of the host"
        ));
        return engine.root(finding(says).fix(fix));
    }
    let parts: Vec<&str> = name.split('.').collect();
    let [wanted, namespace, "svc", rest @ ..] = parts.as_slice() else { return Roots::new() };
    // Another domain than this cluster's is another cluster.
    if !(rest.is_empty() || rest == ["cluster", "local"]) {
        return Roots::new();
    }
    let snap = engine.snap;
    match snap.services.find(namespace, wanted) {
        Lookup::Absent => {}
        Lookup::Found(target) => {
            if *target.metadata.name == meta.name && target.metadata.namespace == meta.namespace {
                return engine.root(
                    finding("leads to itself".into()).fix(Fix::advice("give it the name of another host")),
                );
            }
            return crate::walk::service(engine, target);
        }
        Lookup::Unknown => return Roots::new(),
    }
    let near = nearest(wanted, snap.services.of(namespace).iter().map(|s| s.metadata.name.as_str()))
        .map(|n| (n, *namespace))
        .or_else(|| {
            let mut homes = snap
                .services
                .items
                .iter()
                .map(|s| &s.metadata)
                .filter(|m| m.name == *wanted && m.namespace != meta.namespace);
            let first = homes.next().map(|m| (m.name.as_str(), m.namespace.as_str()));
            first.filter(|_| homes.next().is_none())
        });
    let is_home = snap.namespaces.find("", namespace).is_absent();
    let what = if is_home {
        format!("there is no namespace {namespace}")
    } else {
        format!("namespace {namespace} has no service {wanted}")
    };
    let hint = near.map(|(n, ns)| format!("; there is {n} in {ns}")).unwrap_or_default();
    let says = format!("leads to {name}, and {what}{hint}");
    let fix = match near {
        Some((near, home)) => {
            let target = format!("{near}.{home}.svc.cluster.local");
            let manifest = json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"name": meta.name, "namespace": meta.namespace},
                "spec": {"type": "ExternalName", "externalName": target},
            });
            apply(format!("let service/{} lead to {target}", meta.name), &manifest)
        }
        None => {
            Fix::advice(format!("create service {wanted} in {namespace}, or give the name of another host"))
        }
    };
    engine.root(finding(says).fix(fix))
}

/// Addresses that somebody wrote down are those of pods that are gone.
fn stale(engine: &mut Engine<'_>, service: &Service, pods: &PodAddresses) -> Roots {
    let object = Object::of("service", &service.metadata);
    let mut gone = Vec::new();
    let mut alive = 0;
    for slice in engine.index.slices(service) {
        for endpoint in slice.endpoints.iter().filter(|e| e.conditions.ready != Some(false)) {
            for address in &endpoint.addresses {
                match address.parse::<IpAddr>() {
                    Ok(a) if pods.is_stale(a) => gone.push((slice, address)),
                    _ => alive += 1,
                }
            }
        }
    }
    let Some((slice, _)) = gone.first() else { return Roots::new() };
    let addresses: Vec<&str> = gone.iter().map(|(_, a)| a.as_str()).collect();
    let addresses = addresses.join(", ");
    let part = if alive == 0 { "all of its traffic" } else { "part of its traffic" };
    let finding = Finding::new(
        &MANUAL_ENDPOINT_STALE,
        object,
        format!("has no selector and sends {part} to {addresses}, out of the pods' range, and no pod has that address"),
    )
    .seen(Object::of("endpointslice", &slice.metadata), "endpoints.addresses", addresses)
    .since(slice.metadata.written.at)
    .fix(Fix::advice("give it the selector of the pods that are meant, so that Kubernetes follows their addresses"));
    engine.root(finding)
}

/// It waits for an address that nobody gives.
fn pending(engine: &mut Engine<'_>, service: &Service) -> Roots {
    let meta = &service.metadata;
    let spec = &service.spec;
    let now = engine.snap.now;
    let waits = spec.kind == "LoadBalancer"
        && service.status.load_balancer.ingress.is_empty()
        && spec.external_ips.is_empty()
        && meta.creation_timestamp.older_than(LB_PATIENCE, now)
        && meta.written.at.older_than(LB_PATIENCE, now);
    if !waits {
        return Roots::new();
    }
    let object = Object::of("service", meta);
    let fall_back = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": meta.name, "namespace": meta.namespace},
        "spec": {"type": "NodePort"},
    });
    let node_port =
        apply(format!("make service/{} a NodePort, reachable at every node", meta.name), &fall_back);
    let failed = engine.index.events(meta).iter().find(|e| e.kind == "Warning" && e.last().is_set()).copied();
    let class = if spec.load_balancer_class.is_empty() {
        String::new()
    } else {
        format!(" of class {}", spec.load_balancer_class)
    };
    let finding = match failed {
        Some(event) => {
            let message: String =
                event.message.lines().next().unwrap_or_default().trim_end_matches('.').to_owned();
            Finding::new(&LOAD_BALANCER_PENDING, object.clone(), format!("gets no address: {message}"))
                .seen(object, format!("event {}", event.reason), message)
                .fix(Fix::advice("mend what its provider says, or give up the load balancer"))
                .fix(node_port)
        }
        None => Finding::new(
            &LOAD_BALANCER_PENDING,
            object.clone(),
            format!("gets no address: no load balancer{class} answers in this cluster"),
        )
        .seen(object, "status.loadBalancer", "no address")
        .fix(Fix::advice(format!(
            "install a provider of load balancers{class}, for instance MetalLB, or use another type"
        )))
        .fix(node_port),
    };
    let key = engine.found(finding.observed().since(meta.creation_timestamp));
    vec![key]
}

/// Traffic that stays on its node, where that node has no pod of the Service.
pub fn hole(engine: &mut Engine<'_>, service: &Service) -> Roots {
    let spec = &service.spec;
    if spec.internal_traffic_policy != "Local" || spec.cluster_ip == "None" || !is_checked(service) {
        return Roots::new();
    }
    let index = engine.index;
    let serving: BTreeSet<&str> = index
        .slices(service)
        .iter()
        .flat_map(|s| &s.endpoints)
        .filter(|e| e.conditions.ready != Some(false))
        .map(|e| e.node_name.as_str())
        .collect();
    if serving.is_empty() || serving.contains("") {
        return Roots::new();
    }
    let asks = |pod: &Pod| {
        !serving.contains(pod.spec.node_name.as_str()) && crate::rules::policy::names::mentions(pod, service)
    };
    let here = engine.snap.pods.of(&service.metadata.namespace);
    let clients: Vec<&Pod> =
        here.iter().filter(|p| !p.spec.node_name.is_empty() && !p.is_finished() && asks(p)).collect();
    let unwell = clients.iter().copied().find(|p| crate::walk::is_unwell(engine.snap, p));
    let Some(client) = unwell.or(clients.first().copied()) else { return Roots::new() };
    let meta = &service.metadata;
    let object = Object::of("service", meta);
    let node = &client.spec.node_name;
    let manifest = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": meta.name, "namespace": meta.namespace},
        "spec": {"internalTrafficPolicy": "Cluster"},
    });
    let maker = index.maker(client);
    let finding = Finding::new(
        &LOCAL_POLICY_HOLE,
        object.clone(),
        format!("keeps traffic on the node of the client, and {node} has none of its pods; {maker} asks for it there"),
    )
    .seen(object, "spec.internalTrafficPolicy", "Local")
    .seen(Object::pod(client), "spec.nodeName", node.clone())
    .since(meta.written.at)
    .likely(format!("a connection to it from a pod on {node}"))
    .fix(apply(format!("let service/{} send to pods of all nodes", meta.name), &manifest));
    // Without a client that is down it only may fail.
    let finding = if unwell.is_some() { finding } else { finding.class(Class::Risk) };
    let key = engine.found(finding);
    let roots = vec![key];
    if unwell.is_some() {
        engine.suffers(maker, "has no way to it from its node", None, &roots);
    }
    roots
}
