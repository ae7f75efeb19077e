//! The Gateway API: classes, listeners, routes and where they lead. What a controller writes into conditions is believed;
//! what the objects themselves show is proven.

use serde_json::{Value, json};

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::{Custom, Labels, Moment, Service};
use crate::rules::services::{apply, serves};
use crate::rules::similar::nearest;
use crate::snapshot::Lookup;
use crate::walk;

/// The causes of this family.
pub const CAUSES: &[Cause] = &[CLASS_BAD, LISTENER_BAD, NOT_ATTACHED, BACKEND_BAD];

const CLASS_BAD: Cause = Cause::fault(
    "gateway-class-bad",
    3,
    "A Gateway asks for a GatewayClass that does not exist or that its controller does not accept.",
);
const LISTENER_BAD: Cause = Cause::fault(
    "gateway-listener-bad",
    3,
    "A listener of a Gateway does not work: its certificate is missing, or it clashes with another.",
);
const NOT_ATTACHED: Cause = Cause::fault(
    "route-not-attached",
    3,
    "A route belongs to no listener of its Gateway, so that nothing reaches it.",
);
const BACKEND_BAD: Cause = Cause::fault(
    "route-backend-bad",
    3,
    "A route leads to a Service or a port that does not exist or is not allowed.",
);

/// How long a controller may take to write a condition.
const PATIENCE: i64 = 60;

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

fn list<'v>(value: Option<&'v Value>) -> &'v [Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn texts<'v>(value: Option<&'v Value>) -> Vec<&'v str> {
    list(value).iter().filter_map(Value::as_str).collect()
}

/// A condition that says no: its reason, its message, since when.
struct No<'v> {
    reason: &'v str,
    message: String,
    since: Moment,
}

/// A condition that is False and was written about what the object is now.
fn no<'v>(engine: &Engine<'_>, conditions: Option<&'v Value>, kind: &str, generation: i64) -> Option<No<'v>> {
    let condition =
        list(conditions).iter().find(|c| text(c, "type") == kind && text(c, "status") == "False")?;
    let observed = condition.get("observedGeneration").and_then(Value::as_i64);
    let since = Moment(text(condition, "lastTransitionTime").parse().ok());
    if observed.is_some_and(|o| o < generation) || !since.older_than(PATIENCE, engine.snap.now) {
        return None;
    }
    let message =
        text(condition, "message").lines().next().unwrap_or("").trim().trim_end_matches('.').to_owned();
    Some(No { reason: text(condition, "reason"), message, since })
}

/// What a controller says, in one phrase.
fn said(no: &No<'_>) -> String {
    if no.message.is_empty() { no.reason.to_owned() } else { format!("{}: {}", no.reason, no.message) }
}

/// Looks through all Gateways, then all routes.
pub fn scan(engine: &mut Engine<'_>) {
    let snap = engine.snap;
    for gateway in &snap.gateways.items {
        let roots = of_gateway(engine, gateway);
        engine.suffers(Object::of("gateway", &gateway.metadata), "does not work", None, &roots);
    }
    for route in &snap.http_routes.items {
        if route.metadata.deletion_timestamp.is_set() {
            continue;
        }
        let object = Object::of("httproute", &route.metadata);
        let attached = of_parents(engine, route);
        engine.suffers(object.clone(), "nothing reaches it", None, &attached);
        of_backends(engine, route);
    }
}

/// What is wrong with a Gateway: its class, then its listeners.
fn of_gateway<'a>(engine: &mut Engine<'a>, gateway: &'a Custom) -> Roots {
    engine.explain(&Object::of("gateway", &gateway.metadata), |engine| {
        let roots = of_class(engine, gateway);
        if roots.is_empty() && !gateway.metadata.deletion_timestamp.is_set() {
            of_listeners(engine, gateway)
        } else {
            roots
        }
    })
}

fn of_class(engine: &mut Engine<'_>, gateway: &Custom) -> Roots {
    let snap = engine.snap;
    let meta = &gateway.metadata;
    let Some(wanted) = gateway.spec.get("gatewayClassName").and_then(Value::as_str) else {
        return Roots::new();
    };
    let object = Object::of("gateway", meta);
    let classes = &snap.gateway_classes.items;
    match snap.gateway_classes.find("", wanted) {
        Lookup::Unknown => Roots::new(),
        Lookup::Found(class) => {
            let Some(no) = no(engine, class.status.get("conditions"), "Accepted", class.metadata.generation)
            else {
                return Roots::new();
            };
            let at = Object::of("gatewayclass", &class.metadata);
            let says = format!("is not accepted by its controller: {}", said(&no));
            let finding = Finding::new(&CLASS_BAD, at.clone(), says)
                .seen(at, "status.conditions[Accepted]", said(&no))
                .observed()
                .since(no.since)
                .fix(Fix::advice(format!("mend what its controller says about gatewayclass/{wanted}")));
            engine.root(finding)
        }
        Lookup::Absent => {
            let near = nearest(wanted, classes.iter().map(|c| c.metadata.name.as_str()));
            let only = classes.first().filter(|_| classes.len() == 1).map(|c| c.metadata.name.as_str());
            let names: Vec<&str> = classes.iter().map(|c| c.metadata.name.as_str()).collect();
            let there = if names.is_empty() {
                "there is none at all".into()
            } else {
                format!("there is {}", names.join(", "))
            };
            let fix = match near.or(only) {
                Some(right) => {
                    let manifest = json!({
                        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
                        "metadata": {"name": meta.name, "namespace": meta.namespace},
                        "spec": {"gatewayClassName": right},
                    });
                    apply(format!("give gateway/{} the class {right}", meta.name), &manifest)
                }
                None => Fix::advice(format!("install a controller with the class {wanted}")),
            };
            let says = format!("asks for the class {wanted}, which does not exist; {there}");
            let finding = Finding::new(&CLASS_BAD, object.clone(), says)
                .seen(object, "spec.gatewayClassName", wanted)
                .since(meta.written.at)
                .fix(fix);
            engine.root(finding)
        }
    }
}

fn of_listeners(engine: &mut Engine<'_>, gateway: &Custom) -> Roots {
    let snap = engine.snap;
    let meta = &gateway.metadata;
    let object = Object::of("gateway", meta);
    let mut roots = Roots::new();
    for listener in list(gateway.spec.get("listeners")) {
        let name = text(listener, "name");
        for reference in list(listener.pointer("/tls/certificateRefs")) {
            if !matches!(text(reference, "kind"), "" | "Secret") {
                continue;
            }
            let secret = text(reference, "name");
            let home =
                Some(text(reference, "namespace")).filter(|n| !n.is_empty()).unwrap_or(&meta.namespace);
            if !snap.secrets.find(home, secret).is_absent() {
                continue;
            }
            let near = nearest(secret, snap.secrets.of(home).iter().map(|s| s.metadata.name.as_str()));
            let hint = near.map(|n| format!("; there is {n}")).unwrap_or_default();
            let says = format!(
                "listener {name} takes its certificate from secret {secret}, which does not exist in {home}{hint}"
            );
            let fix = match near {
                Some(near) => {
                    Fix::advice(format!("let listener {name} take its certificate from secret {near}"))
                }
                None => Fix::advice(format!("create secret {secret} of type kubernetes.io/tls in {home}")),
            };
            let finding = Finding::new(&LISTENER_BAD, object.clone(), says)
                .which(name)
                .seen(object.clone(), format!("spec.listeners[{name}].tls.certificateRefs"), secret)
                .since(meta.written.at)
                .fix(fix);
            roots.push(engine.found(finding));
        }
    }
    if !roots.is_empty() {
        return roots;
    }
    for status in list(gateway.status.get("listeners")) {
        let name = text(status, "name");
        let conditions = status.get("conditions");
        let is_clash =
            list(conditions).iter().find(|c| text(c, "type") == "Conflicted" && text(c, "status") == "True");
        let bad = ["ResolvedRefs", "Accepted", "Programmed"]
            .iter()
            .find_map(|kind| no(engine, conditions, kind, meta.generation).map(|no| (*kind, no)))
            // It is still being made.
            .filter(|(_, no)| no.reason != "Pending");
        let Some((kind, no)) = bad else { continue };
        let why = match is_clash {
            Some(c) => format!("it clashes with another listener ({})", text(c, "reason")),
            None => said(&no),
        };
        let finding =
            Finding::new(&LISTENER_BAD, object.clone(), format!("listener {name} does not work: {why}"))
                .which(name)
                .seen(object.clone(), format!("status.listeners[{name}].conditions[{kind}]"), said(&no))
                .observed()
                .since(no.since)
                .fix(Fix::advice(format!("correct listener {name} of gateway/{}: {why}", meta.name)));
        roots.push(engine.found(finding));
    }
    if !roots.is_empty() {
        return roots;
    }
    // The Gateway as a whole, where no listener says more.
    let bad = ["Accepted", "Programmed"]
        .iter()
        .find_map(|kind| {
            no(engine, gateway.status.get("conditions"), kind, meta.generation).map(|no| (*kind, no))
        })
        .filter(|(_, no)| no.reason != "Pending");
    let Some((kind, no)) = bad else { return Roots::new() };
    let finding = Finding::new(&LISTENER_BAD, object.clone(), format!("does not work: {}", said(&no)))
        .seen(object, format!("status.conditions[{kind}]"), said(&no))
        .observed()
        .since(no.since)
        .fix(Fix::advice(format!("correct gateway/{}: {}", meta.name, said(&no))));
    engine.root(finding)
}

/// What keeps a route from the Gateways that it names. One that is not there, or that has no fitting listener.
fn of_parents<'a>(engine: &mut Engine<'a>, route: &'a Custom) -> Roots {
    let snap = engine.snap;
    let meta = &route.metadata;
    let mut roots = Roots::new();
    for parent in list(route.spec.get("parentRefs")) {
        if !matches!(text(parent, "kind"), "" | "Gateway") {
            continue;
        }
        let name = text(parent, "name");
        let home = Some(text(parent, "namespace")).filter(|n| !n.is_empty()).unwrap_or(&meta.namespace);
        match snap.gateways.find(home, name) {
            Lookup::Found(gateway) => {
                let above = of_gateway(engine, gateway);
                if above.is_empty() {
                    roots.extend(unfit(engine, route, parent, gateway));
                } else {
                    let through = Object::of("gateway", &gateway.metadata);
                    engine.suffers(
                        Object::of("httproute", meta),
                        format!("{through} does not work"),
                        Some(through),
                        &above,
                    );
                }
            }
            Lookup::Absent => roots.push(no_gateway(engine, route, name, home)),
            Lookup::Unknown => {}
        }
    }
    roots
}

fn no_gateway(engine: &mut Engine<'_>, route: &Custom, name: &str, home: &str) -> crate::engine::Key {
    let snap = engine.snap;
    let object = Object::of("httproute", &route.metadata);
    let near = nearest(name, snap.gateways.of(home).iter().map(|g| g.metadata.name.as_str()));
    let mut homes =
        snap.gateways.items.iter().filter(|g| g.metadata.name == name).map(|g| g.metadata.namespace.as_str());
    let elsewhere = homes.next().filter(|_| homes.next().is_none());
    let hint = match (near, elsewhere) {
        (Some(near), _) => format!("; there is {near}"),
        (None, Some(other)) => format!("; it is in {other}"),
        _ => String::new(),
    };
    let fix = match (near, elsewhere) {
        (Some(near), _) => Fix::advice(format!("let {object} name the gateway {near}")),
        (None, Some(other)) => Fix::advice(format!("give the parent of {object} the namespace {other}")),
        _ => Fix::advice(format!("create gateway {name} in {home}, or let {object} name another")),
    };
    let says = format!("belongs to gateway {name}, which does not exist in {home}{hint}");
    let finding = Finding::new(&NOT_ATTACHED, object.clone(), says)
        .which(name)
        .seen(object, "spec.parentRefs", format!("{home}/{name}"))
        .since(route.metadata.written.at)
        .fix(fix);
    engine.found(finding)
}

/// Whether two host names meet; `*` stands for one part or more. None is every host.
fn meet(listener: &str, route: &str) -> bool {
    let suffix =
        |pattern: &str, host: &str| pattern.strip_prefix('*').is_some_and(|rest| host.ends_with(rest));
    listener.is_empty()
        || listener.eq_ignore_ascii_case(route)
        || suffix(listener, route)
        || suffix(route, listener)
}

/// Whether a listener lets routes of that namespace in; none where it cannot be told.
fn lets_in(engine: &Engine<'_>, listener: &Value, gateway_home: &str, route_home: &str) -> Option<bool> {
    let namespaces = listener.pointer("/allowedRoutes/namespaces");
    match namespaces.map_or("Same", |n| text(n, "from")) {
        "" | "Same" => Some(gateway_home == route_home),
        "All" => Some(true),
        "Selector" => {
            let selector = namespaces.and_then(|n| n.get("selector"))?.clone();
            let selector: crate::model::Selector = serde_json::from_value(selector).ok()?;
            let labels: &Labels = &engine.snap.namespaces.find("", route_home).found()?.metadata.labels;
            Some(selector.selects(labels))
        }
        _ => None,
    }
}

/// A Gateway that is there, none of whose listeners takes the route.
fn unfit(engine: &mut Engine<'_>, route: &Custom, parent: &Value, gateway: &Custom) -> Roots {
    let meta = &route.metadata;
    let object = Object::of("httproute", meta);
    let name = &gateway.metadata.name;
    let gateway_home = &gateway.metadata.namespace;
    let section = text(parent, "sectionName");
    let port = parent.get("port").and_then(Value::as_i64);
    let all = list(gateway.spec.get("listeners"));
    if all.is_empty() {
        return Roots::new();
    }
    let names: Vec<&str> = all.iter().map(|l| text(l, "name")).collect();
    let asked: Vec<&Value> = all
        .iter()
        .filter(|l| section.is_empty() || text(l, "name") == section)
        .filter(|l| port.is_none_or(|p| l.get("port").and_then(Value::as_i64) == Some(p)))
        .collect();
    let root = |engine: &mut Engine<'_>, says: String, at: &str, value: String, fix: Fix| {
        let finding = Finding::new(&NOT_ATTACHED, object.clone(), says)
            .which(name.clone())
            .seen(object.clone(), at, value)
            .since(meta.written.at)
            .fix(fix);
        engine.root(finding)
    };
    if asked.is_empty() {
        let wanted =
            if section.is_empty() { format!("at port {}", port.unwrap_or(0)) } else { section.to_owned() };
        let says =
            format!("asks for the listener {wanted} of gateway {name}, which has {}", names.join(", "));
        let near =
            nearest(section, names.iter().copied()).or(names.first().copied().filter(|_| names.len() == 1));
        let fix = Fix::advice(match near {
            Some(near) => format!("let {object} name the listener {near}, or none"),
            None => format!("let {object} name a listener that gateway {name} has"),
        });
        return root(engine, says, "spec.parentRefs.sectionName", wanted, fix);
    }
    let allowed: Vec<&&Value> =
        asked.iter().filter(|l| lets_in(engine, l, gateway_home, &meta.namespace) != Some(false)).collect();
    if allowed.is_empty() {
        let from = asked.first().and_then(|l| l.pointer("/allowedRoutes/namespaces"));
        let how = match from.map_or("Same", |n| text(n, "from")) {
            "Selector" => {
                let labels =
                    from.and_then(|n| n.pointer("/selector/matchLabels")).cloned().unwrap_or_default();
                let labels: Vec<String> = labels
                    .as_object()
                    .map(|m| m.iter().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or(""))).collect())
                    .unwrap_or_default();
                format!("of namespaces with {}, which {} does not have", labels.join(","), meta.namespace)
            }
            _ => format!("of its own namespace {gateway_home}"),
        };
        let says = format!("is not let in by gateway {name}: its listeners take routes {how} only");
        let fix = Fix::advice(format!(
            "let gateway {name} of {gateway_home} take routes of namespace {}",
            meta.namespace
        ));
        return root(engine, says, "metadata.namespace", meta.namespace.clone(), fix);
    }
    let hosts = texts(route.spec.get("hostnames"));
    let is_met =
        hosts.is_empty() || allowed.iter().any(|l| hosts.iter().any(|h| meet(text(l, "hostname"), h)));
    if !is_met {
        let theirs: Vec<&str> = allowed.iter().map(|l| text(l, "hostname")).collect();
        let says = format!(
            "is for {}, and the listeners of gateway {name} are for {}",
            hosts.join(", "),
            theirs.join(", ")
        );
        let fix = Fix::advice(format!(
            "give {object} a host name that gateway {name} has, or add a listener for {}",
            hosts.join(", ")
        ));
        return root(engine, says, "spec.hostnames", hosts.join(", "), fix);
    }
    // Nothing shows in the objects; the controller may know more.
    let status = list(route.status.get("parents")).iter().find(|p| {
        let r = p.get("parentRef").unwrap_or(&Value::Null);
        text(r, "name") == name && matches!(text(r, "namespace"), n if n.is_empty() || n == gateway_home)
    });
    let Some(no) = status.and_then(|s| no(engine, s.get("conditions"), "Accepted", meta.generation)) else {
        return Roots::new();
    };
    if no.reason == "Pending" {
        return Roots::new();
    }
    let finding =
        Finding::new(&NOT_ATTACHED, object.clone(), format!("is not taken by gateway {name}: {}", said(&no)))
            .which(name.clone())
            .seen(object.clone(), "status.parents.conditions[Accepted]", said(&no))
            .observed()
            .since(no.since)
            .fix(Fix::advice(format!("correct {object}: {}", said(&no))));
    engine.root(finding)
}

/// Where a route leads: Services and ports that are not there, or nobody behind them.
fn of_backends(engine: &mut Engine<'_>, route: &Custom) {
    let snap = engine.snap;
    let meta = &route.metadata;
    let object = Object::of("httproute", meta);
    let mut roots = Roots::new();
    for rule in list(route.spec.get("rules")) {
        for backend in list(rule.get("backendRefs")) {
            let is_service =
                matches!(text(backend, "kind"), "" | "Service") && text(backend, "group").is_empty();
            if !is_service || backend.get("weight").and_then(Value::as_i64) == Some(0) {
                continue;
            }
            let name = text(backend, "name");
            let home = Some(text(backend, "namespace")).filter(|n| !n.is_empty()).unwrap_or(&meta.namespace);
            let port = backend.get("port").and_then(Value::as_i64);
            match snap.services.find(home, name) {
                Lookup::Unknown => {}
                Lookup::Absent => {
                    let near = nearest(name, snap.services.of(home).iter().map(|s| s.metadata.name.as_str()));
                    let hint = near.map(|n| format!("; there is {n}")).unwrap_or_default();
                    let says = format!("leads to service {name}, which does not exist in {home}{hint}");
                    let advice = match near {
                        Some(near) => format!("let {object} lead to service {near}"),
                        None => format!("create service {name} in {home}, or let {object} lead to another"),
                    };
                    let value = format!("{name}:{}", port.unwrap_or(0));
                    roots.push(bad_backend(engine, route, name, says, value, Fix::advice(advice)));
                }
                Lookup::Found(service) => {
                    let has = |p: i64| service.spec.ports.iter().any(|s| s.port == p);
                    if let Some(wrong) = port.filter(|p| !has(*p)) {
                        let key = wrong_port(engine, route, service, wrong);
                        roots.push(key);
                        continue;
                    }
                    let below = walk::service(engine, service);
                    let through = Object::of("service", &service.metadata);
                    let says = if serves(engine, service) { "a port of" } else { "nobody behind" };
                    engine.suffers(object.clone(), format!("{says} {through}"), Some(through), &below);
                }
            }
        }
    }
    // A grant that another namespace did not give shows in the condition only.
    if roots.is_empty() {
        for parent in list(route.status.get("parents")) {
            let Some(no) = no(engine, parent.get("conditions"), "ResolvedRefs", meta.generation) else {
                continue;
            };
            // What was created later the controller has seen by now; the objects speak for themselves.
            if no.reason == "BackendNotFound" {
                continue;
            }
            let fix = if no.reason == "RefNotPermitted" {
                Fix::advice(format!(
                    "create a ReferenceGrant in the namespace of the Service for routes of {}",
                    meta.namespace
                ))
            } else {
                Fix::advice(format!("correct the backends of {object}: {}", said(&no)))
            };
            let finding = Finding::new(
                &BACKEND_BAD,
                object.clone(),
                format!("has a backend that does not work: {}", said(&no)),
            )
            .which(no.reason)
            .seen(object.clone(), "status.parents.conditions[ResolvedRefs]", said(&no))
            .observed()
            .since(no.since)
            .fix(fix);
            roots.push(engine.found(finding));
        }
    }
    engine.suffers(object, "leads nowhere", None, &roots);
}

fn bad_backend(
    engine: &mut Engine<'_>,
    route: &Custom,
    which: &str,
    says: String,
    value: String,
    fix: Fix,
) -> crate::engine::Key {
    let object = Object::of("httproute", &route.metadata);
    let finding = Finding::new(&BACKEND_BAD, object.clone(), says)
        .which(which)
        .seen(object, "spec.rules.backendRefs", value)
        .since(route.metadata.written.at)
        .fix(fix);
    engine.found(finding)
}

fn wrong_port(engine: &mut Engine<'_>, route: &Custom, service: &Service, wrong: i64) -> crate::engine::Key {
    let name = &service.metadata.name;
    let ports: Vec<String> = service.spec.ports.iter().map(|p| p.port.to_string()).collect();
    let ports = if ports.is_empty() { "none".to_owned() } else { ports.join(", ") };
    let behind = service
        .spec
        .ports
        .iter()
        .find(|p| p.target_port.as_ref().is_some_and(|t| t.to_string() == wrong.to_string()));
    let why = behind.map(|p| format!("; {wrong} is where its port {} leads", p.port)).unwrap_or_default();
    let says = format!("leads to port {wrong} of service {name}, which has {ports}{why}");
    let right = behind.or(service.spec.ports.first().filter(|_| service.spec.ports.len() == 1));
    let fix = Fix::advice(match right {
        Some(port) => format!("lead it to port {} of service {name}", port.port),
        None => format!("lead it to a port that service {name} has: {ports}"),
    });
    bad_backend(engine, route, &format!("{name}:{wrong}"), says, format!("{name}:{wrong}"), fix)
}
