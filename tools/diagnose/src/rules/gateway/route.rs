//! Routes of the Gateway API: whether a listener takes them, and where they lead.

use serde_json::{Value, json};

use super::{list, no, of_gateway, said, text};
use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::{Custom, Labels, Service};
use crate::rules::services::serves;
use crate::rules::similar::nearest;
use crate::snapshot::Lookup;
use crate::walk;

pub(super) const NOT_ATTACHED: Cause = Cause::fault(
    "route-not-attached",
    3,
    "A route belongs to no listener of its Gateway, so that nothing reaches it.",
);
pub(super) const BACKEND_BAD: Cause = Cause::fault(
    "route-backend-bad",
    3,
    "A route leads to a Service or a port that does not exist or is not allowed.",
);

fn texts(value: Option<&Value>) -> Vec<&str> {
    list(value).iter().filter_map(Value::as_str).collect()
}

/// What keeps a route from the Gateways that it names. One that is not there, or that has no fitting listener.
pub(super) fn of_parents<'a>(engine: &mut Engine<'a>, route: &'a Custom) -> Roots {
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
pub(super) fn of_backends(engine: &mut Engine<'_>, route: &Custom) {
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
                    let meant = near.filter(|_| *home == meta.namespace).zip(port);
                    let fix = meant.and_then(|(near, port)| rebackend(route, rule, near, port));
                    let advice = || {
                        Fix::advice(match near {
                            Some(near) => format!("let {object} lead to service {near}"),
                            None => {
                                format!("create service {name} in {home}, or let {object} lead to another")
                            }
                        })
                    };
                    let value = format!("{name}:{}", port.unwrap_or(0));
                    roots.push(bad_backend(engine, route, name, says, value, fix.unwrap_or_else(advice)));
                }
                Lookup::Found(service) => {
                    let has = |p: i64| service.spec.ports.iter().any(|s| s.port == p);
                    if let Some(wrong) = port.filter(|p| !has(*p)) {
                        let key = wrong_port(engine, route, rule, service, wrong);
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

/// The route with another backend for a rule: only where the rule is one host, one path and one backend, for then the
/// change is plain.
fn rebackend(route: &Custom, rule: &Value, service: &str, port: i64) -> Option<Fix> {
    let hosts = texts(route.spec.get("hostnames"));
    let (backends, matches) = (list(rule.get("backendRefs")), list(rule.get("matches")));
    if backends.len() != 1 || hosts.len() != 1 || matches.len() > 1 {
        return None;
    }
    let host = hosts.first()?;
    let first = matches.first().unwrap_or(&Value::Null);
    if ["headers", "queryParams", "method"].iter().any(|k| first.get(*k).is_some()) {
        return None;
    }
    let path = first.pointer("/path/value").and_then(Value::as_str).unwrap_or("/");
    let meta = &route.metadata;
    Some(Fix::call(
        format!("let {host}{path} of httproute/{} lead to service/{service} at port {port}", meta.name),
        "route",
        json!({"action": "set", "host": host, "path": path, "service": format!("{service}:{port}"),
               "name": meta.name, "namespace": meta.namespace}),
    ))
}

fn wrong_port(
    engine: &mut Engine<'_>,
    route: &Custom,
    rule: &Value,
    service: &Service,
    wrong: i64,
) -> crate::engine::Key {
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
    let is_here = service.metadata.namespace == route.metadata.namespace;
    let fix =
        right.filter(|_| is_here).and_then(|p| rebackend(route, rule, name, p.port)).unwrap_or_else(|| {
            Fix::advice(match right {
                Some(port) => format!("lead it to port {} of service {name}", port.port),
                None => format!("lead it to a port that service {name} has: {ports}"),
            })
        });
    bad_backend(engine, route, &format!("{name}:{wrong}"), says, format!("{name}:{wrong}"), fix)
}
