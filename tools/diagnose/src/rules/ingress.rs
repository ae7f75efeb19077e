//! Ingresses: who serves them, where they lead, and which of two that claim one path wins.

mod class;
mod tls;

use std::collections::HashMap;

use serde_json::json;

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::{Backend, BackendService, Ingress, Service};
use crate::rules::services::{apply, serves};
use crate::rules::similar::nearest;
use crate::snapshot::Lookup;
use crate::walk;

/// The causes of this family.
pub const CAUSES: &[Cause] = &[
    class::CLASS_MISSING,
    class::NO_CLASS,
    class::CONTROLLER_ABSENT,
    BACKEND_MISSING,
    PORT_MISSING,
    tls::TLS_MISSING,
    tls::TLS_BAD,
    PATH_CONFLICT,
];

const BACKEND_MISSING: Cause =
    Cause::fault("ingress-backend-missing", 2, "An Ingress leads to a Service that does not exist.");
const PORT_MISSING: Cause =
    Cause::fault("ingress-port-missing", 2, "An Ingress leads to a port that its Service does not have.");
const PATH_CONFLICT: Cause = Cause::fault(
    "ingress-path-conflict",
    3,
    "Two Ingresses lead the same host and path to different Services.",
);

/// A way through an Ingress: host and path, none of both for the default backend.
struct Route<'a> {
    host: &'a str,
    path: &'a str,
    kind: &'a str,
    is_default: bool,
    backend: &'a BackendService,
}

impl Route<'_> {
    /// As people read it.
    fn text(&self) -> String {
        match (self.is_default, self.host) {
            (true, _) => "its default backend".into(),
            (_, "") => self.slashed().to_owned(),
            (_, host) => format!("{host}{}", self.slashed()),
        }
    }
    fn slashed(&self) -> &str {
        if self.path.is_empty() { "/" } else { self.path }
    }
    fn field(&self) -> String {
        if self.is_default { "spec.defaultBackend".into() } else { format!("spec.rules[{}]", self.text()) }
    }
}

/// All ways of an Ingress to Services. Names that a controller takes for its own actions are none.
fn routes(ingress: &Ingress) -> Vec<Route<'_>> {
    let service = |backend: &'_ Backend| -> bool {
        backend.service.as_ref().is_some_and(|s| !s.name.is_empty() && s.port.name != "use-annotation")
    };
    let default = ingress.spec.default_backend.iter().map(|b| ("", "", "", true, b));
    let rules = ingress.spec.rules.iter().flat_map(|rule| {
        let paths = rule.http.iter().flat_map(|h| &h.paths);
        paths.map(|p| (rule.host.as_str(), p.path.as_str(), p.path_type.as_str(), false, &p.backend))
    });
    default
        .chain(rules)
        .filter(|r| service(r.4))
        .filter_map(|(host, path, kind, is_default, b)| {
            b.service.as_ref().map(|backend| Route { host, path, kind, is_default, backend })
        })
        .collect()
}

/// Looks through all Ingresses.
pub fn scan(engine: &mut Engine<'_>) {
    let snap = engine.snap;
    let mut certificates = tls::Reads::default();
    for ingress in &snap.ingresses.items {
        let object = Object::of("ingress", &ingress.metadata);
        let mut roots = class::explain(engine, ingress);
        engine.suffers(object.clone(), "no controller serves it", None, &roots);
        let secured = tls::explain(engine, ingress, &mut certificates);
        engine.suffers(object.clone(), "no good certificate", None, &secured);
        for route in routes(ingress) {
            roots.extend(lead(engine, ingress, &route));
        }
    }
    conflicts(engine);
}

/// What is wrong with one way: its Service or port is not there, or nobody is behind it.
fn lead(engine: &mut Engine<'_>, ingress: &Ingress, route: &Route<'_>) -> Roots {
    let snap = engine.snap;
    let namespace = &ingress.metadata.namespace;
    let object = Object::of("ingress", &ingress.metadata);
    let service = match snap.services.find(namespace, &route.backend.name) {
        Lookup::Found(service) => service,
        Lookup::Unknown => return Roots::new(),
        Lookup::Absent => {
            let roots = vec![backend_missing(engine, ingress, route)];
            engine.suffers(object, format!("{} leads nowhere", route.text()), None, &roots);
            return roots;
        }
    };
    let through = Object::of("service", &service.metadata);
    if let Some(key) = port_missing(engine, ingress, route, service) {
        let roots = vec![key];
        engine.suffers(object, format!("{} leads nowhere", route.text()), None, &roots);
        return roots;
    }
    let roots = walk::service(engine, service);
    let says = if serves(engine, service) { "a port of" } else { "nobody behind" };
    engine.suffers(object, format!("{says} {through}"), Some(through), &roots);
    roots
}

/// The Ingress with another backend for a way.
fn reroute(ingress: &Ingress, route: &Route<'_>, service: &str, port: &str) -> Fix {
    let (name, namespace) = (&ingress.metadata.name, &ingress.metadata.namespace);
    let says = format!("let {} of ingress/{name} lead to service/{service} at port {port}", route.text());
    if route.is_default {
        let number = port.parse::<i64>().ok();
        let port = number.map_or_else(|| json!({"name": port}), |n| json!({"number": n}));
        let manifest = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"defaultBackend": {"service": {"name": service, "port": port}}},
        });
        return apply(says, &manifest);
    }
    let mut arguments = json!({
        "action": "set", "path": route.slashed(), "service": format!("{service}:{port}"),
        "name": name, "namespace": namespace,
    });
    if !route.host.is_empty() {
        arguments["host"] = json!(route.host);
    }
    Fix::call(says, "route", arguments)
}

/// How a port of a backend is written.
fn port_text(backend: &BackendService) -> String {
    if backend.port.name.is_empty() { backend.port.number.to_string() } else { backend.port.name.clone() }
}

/// The port that a Service surely means: the asked one, or its only one.
fn port_of(service: &Service, backend: &BackendService) -> Option<String> {
    let has = |p: &&crate::model::ServicePort| {
        if backend.port.name.is_empty() { p.port == backend.port.number } else { p.name == backend.port.name }
    };
    let ports = &service.spec.ports;
    let only = || ports.first().filter(|_| ports.len() == 1);
    ports.iter().find(has).or_else(only).map(|p| p.port.to_string())
}

fn backend_missing(engine: &mut Engine<'_>, ingress: &Ingress, route: &Route<'_>) -> crate::engine::Key {
    let snap = engine.snap;
    let namespace = &ingress.metadata.namespace;
    let wanted = &route.backend.name;
    let object = Object::of("ingress", &ingress.metadata);
    let here = snap.services.of(namespace);
    let near = nearest(wanted, here.iter().map(|s| s.metadata.name.as_str()));
    let elsewhere: Vec<&str> = snap
        .services
        .items
        .iter()
        .filter(|s| s.metadata.name == *wanted)
        .map(|s| s.metadata.namespace.as_str())
        .take(2)
        .collect();
    let hint = match (near, elsewhere.as_slice()) {
        (Some(near), _) => format!("; there is {near}"),
        (None, [only]) => {
            format!("; it is in {only}, and an Ingress reaches Services of its own namespace only")
        }
        _ => String::new(),
    };
    let says =
        format!("leads {} to service {wanted}, which does not exist in {namespace}{hint}", route.text());
    let meant = near.and_then(|n| here.iter().find(|s| s.metadata.name == n));
    let fix = match meant.and_then(|s| port_of(s, route.backend).map(|p| (s, p))) {
        Some((service, port)) => reroute(ingress, route, &service.metadata.name, &port),
        None => Fix::advice(format!(
            "create service {wanted} in {namespace}, or lead {} to another",
            route.text()
        )),
    };
    let finding = Finding::new(&BACKEND_MISSING, object.clone(), says)
        .which(wanted.clone())
        .seen(
            object,
            format!("{}.backend.service", route.field()),
            format!("{wanted}:{}", port_text(route.backend)),
        )
        .since(ingress.metadata.written.at)
        .fix(fix);
    engine.found(finding)
}

fn port_missing(
    engine: &mut Engine<'_>,
    ingress: &Ingress,
    route: &Route<'_>,
    service: &Service,
) -> Option<crate::engine::Key> {
    let wanted = &route.backend.port;
    let ports = &service.spec.ports;
    // Controllers send to an outside name at any port.
    let is_outside = service.spec.kind == "ExternalName";
    let has = ports
        .iter()
        .any(|p| if wanted.name.is_empty() { p.port == wanted.number } else { p.name == wanted.name });
    if is_outside || has || (wanted.name.is_empty() && wanted.number == 0) {
        return None;
    }
    let name = &service.metadata.name;
    let list: Vec<String> = ports
        .iter()
        .map(|p| if p.name.is_empty() { p.port.to_string() } else { format!("{} ({})", p.port, p.name) })
        .collect();
    let list = if list.is_empty() { "none".to_owned() } else { list.join(", ") };
    let asked = port_text(route.backend);
    let behind = ports.iter().find(|p| {
        p.target_port.as_ref().is_some_and(|t| t.to_string() == asked && p.port.to_string() != asked)
    });
    let is_unnamed = !wanted.name.is_empty() && ports.iter().all(|p| p.name.is_empty());
    let why = match behind {
        Some(port) => format!("; {asked} is where its port {} leads", port.port),
        None if is_unnamed => "; its ports have no names".into(),
        None => String::new(),
    };
    let object = Object::of("ingress", &ingress.metadata);
    let says = format!("leads {} to port {asked} of service {name}, which has {list}{why}", route.text());
    let meant = behind.or_else(|| {
        let close = nearest(&asked, ports.iter().map(|p| p.name.as_str()).filter(|n| !n.is_empty()));
        ports.iter().find(|p| Some(p.name.as_str()) == close)
    });
    let meant = meant.or_else(|| ports.first().filter(|_| ports.len() == 1));
    let fix = match meant {
        // A number in place of a name would leave both in an Ingress' default backend.
        Some(_) if route.is_default && !wanted.name.is_empty() => None,
        Some(port) => Some(reroute(ingress, route, name, &port.port.to_string())),
        None => None,
    };
    let advice = || Fix::advice(format!("lead {} to a port that service {name} has: {list}", route.text()));
    let finding = Finding::new(&PORT_MISSING, object.clone(), says)
        .which(format!("{name}:{asked}"))
        .seen(object, format!("{}.backend.service.port", route.field()), asked)
        .seen(Object::of("service", &service.metadata), "spec.ports", list.clone())
        .since(ingress.metadata.written.at.max(service.metadata.written.at))
        .fix(fix.unwrap_or_else(advice));
    Some(engine.found(finding))
}

/// Controllers that give each Ingress an address of its own, so that two never meet.
fn is_alone(engine: &Engine<'_>, ingress: &Ingress) -> bool {
    let controller = class::controller(engine, ingress).unwrap_or_default();
    ["ingress.k8s.aws/alb", "ingress-gce", "azure/application-gateway"].iter().any(|c| controller.contains(c))
        || class::name(ingress).is_some_and(|c| matches!(c, "gce" | "gce-internal" | "alb"))
}

/// Two Ingresses of one controller that want the same host and path.
fn conflicts(engine: &mut Engine<'_>) {
    let snap = engine.snap;
    let mut taken: HashMap<(&str, &str, &str, &str), (&Ingress, &BackendService)> = HashMap::new();
    let mut all: Vec<&Ingress> = snap.ingresses.items.iter().filter(|i| !is_alone(engine, i)).collect();
    // The oldest wins, as controllers have it.
    all.sort_by(|a, b| {
        let key = |i: &Ingress| {
            (i.metadata.creation_timestamp, i.metadata.namespace.clone(), i.metadata.name.clone())
        };
        key(a).cmp(&key(b))
    });
    for ingress in all {
        let meta = &ingress.metadata;
        let is_canary = meta.annotations.get("nginx.ingress.kubernetes.io/canary") == "true";
        if is_canary || meta.deletion_timestamp.is_set() {
            continue;
        }
        // Conditions in annotations tell apart what looks alike.
        if meta.annotations.iter().any(|(k, _)| k.contains("conditions") || k.contains("router.middlewares"))
        {
            continue;
        }
        let class = class::effective(engine, ingress).unwrap_or("");
        for route in routes(ingress).into_iter().filter(|r| !r.is_default) {
            // Below one name, no host is what many test things have.
            let backend = route.backend;
            let key = (class, route.host, route.path, route.kind);
            let Some((first, theirs)) = taken.get(&key).copied() else {
                taken.insert(key, (ingress, backend));
                continue;
            };
            let same_home = first.metadata.namespace == meta.namespace;
            let same = same_home && theirs.name == backend.name && port_text(theirs) == port_text(backend);
            if same || have_different_addresses(first, ingress) {
                continue;
            }
            let (winner, loser) = (Object::of("ingress", &first.metadata), Object::of("ingress", meta));
            let is_own = winner == loser;
            let home =
                |i: &Ingress| if same_home { String::new() } else { format!(" of {}", i.metadata.namespace) };
            let other =
                if is_own { "it also leads".to_owned() } else { format!("{winner}{} leads", home(first)) };
            let says = format!(
                "leads {} to service {}, and {other} the same to service {}; only one of them is used",
                route.text(),
                backend.name,
                theirs.name
            );
            let finding = Finding::new(&PATH_CONFLICT, loser.clone(), says)
                .which(route.text())
                .seen(loser.clone(), route.field(), backend.name.clone())
                .seen(winner, route.field(), theirs.name.clone())
                .since(meta.creation_timestamp)
                .fix(Fix::advice(format!(
                    "take {} out of one of the two, or give one of them another path",
                    route.text()
                )));
            let roots = engine.root(finding);
            engine.suffers(loser, format!("{} is taken", route.text()), None, &roots);
        }
    }
}

fn have_different_addresses(a: &Ingress, b: &Ingress) -> bool {
    let of = |i: &Ingress| -> Vec<String> {
        i.status.load_balancer.ingress.iter().map(|a| format!("{}{}", a.ip, a.hostname)).collect()
    };
    let (a, b) = (of(a), of(b));
    !a.is_empty() && !b.is_empty() && !a.iter().any(|x| b.contains(x))
}
