//! The Gateway API: classes, listeners, routes and where they lead. What a controller writes into conditions is believed;
//! what the objects themselves show is proven.

mod route;

use serde_json::{Value, json};

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::{Custom, Moment};
use crate::rules::services::apply;
use crate::rules::similar::nearest;
use crate::snapshot::Lookup;

/// The causes of this family.
pub const CAUSES: &[Cause] = &[CLASS_BAD, LISTENER_BAD, route::NOT_ATTACHED, route::BACKEND_BAD];

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
/// How long a controller may take to write a condition.
const PATIENCE: i64 = 60;

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
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
        let attached = route::of_parents(engine, route);
        engine.suffers(object.clone(), "nothing reaches it", None, &attached);
        route::of_backends(engine, route);
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
