//! APIs that other programs serve for the API server: who depends on them finds their roots here.

use serde_json::json;

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::{ApiService, Condition, Service, ServiceRef, condition};
use crate::rules::similar::nearest;
use crate::snapshot::Lookup;
use crate::walk::{self, PATIENCE};

/// The causes of this family.
pub const CAUSES: &[Cause] = &[DOWN];

const DOWN: Cause = Cause::fault(
    "apiservice-down",
    2,
    "An API that another program serves is not available, and nothing behind it says why.",
);

/// Looks through all of them.
pub fn scan(engine: &mut Engine<'_>) {
    for service in &engine.snap.api_services.items {
        walk::api_service(engine, service);
    }
}

/// What explains that one is not available; empty when it is, or when it only just went away.
pub fn explain<'a>(engine: &mut Engine<'a>, api: &'a ApiService) -> Roots {
    let Some(available) = condition(&api.status.conditions, "Available") else { return Roots::new() };
    let Some(target) = &api.spec.service else { return Roots::new() };
    // Something that restarts is away for a moment.
    if available.status != "False" || !available.last_transition_time.older_than(PATIENCE, engine.snap.now) {
        return Roots::new();
    }
    let object = Object::of("apiservice", &api.metadata);
    let place = format!("service/{} in {}", target.name, target.namespace);
    let service = match engine.snap.services.find(&target.namespace, &target.name) {
        Lookup::Found(service) => service,
        Lookup::Absent => {
            let here = engine.snap.services.of(&target.namespace).iter().map(|s| s.metadata.name.as_str());
            let near = nearest(&target.name, here).map(|n| format!("; there is {n}")).unwrap_or_default();
            let says = format!("is served by {place}, which does not exist{near}");
            let fix = format!(
                "install again what {place} belongs to, or delete {object} when that was removed for good"
            );
            let finding = finding(api, available, target, says).fix(Fix::advice(fix));
            return engine.root(finding);
        }
        Lookup::Unknown => return silent(engine, api, available, target),
    };
    let port = target.port.unwrap_or(443);
    if !service.spec.ports.iter().any(|p| p.port == port) {
        return wrong_port(engine, api, available, target, service);
    }
    let roots = walk::service(engine, service);
    if !roots.is_empty() {
        let through = Some(Object::of("service", &service.metadata));
        engine.suffers(object, "not available", through, &roots);
        return roots;
    }
    if let Some(off) = engine.index.makers(service).into_iter().find(|w| w.desired == 0) {
        let says = format!("is served by {place}, and {} behind it is scaled to 0", off.object());
        let arguments =
            json!({"workload": off.object().to_string(), "namespace": off.meta.namespace, "replicas": 1});
        let finding = finding(api, available, target, says)
            .seen(off.object(), "spec.replicas", "0")
            .fix(Fix::call(format!("scale {} to 1", off.object()), "scale", arguments));
        return engine.root(finding);
    }
    silent(engine, api, available, target)
}

fn finding(api: &ApiService, available: &Condition, target: &ServiceRef, says: String) -> Finding {
    let object = Object::of("apiservice", &api.metadata);
    let said = format!("{}: {}", available.reason, available.message);
    Finding::new(&DOWN, object.clone(), says)
        .since(available.last_transition_time)
        .seen(object.clone(), "spec.service", format!("{}/{}", target.namespace, target.name))
        .seen(object, "status.conditions[Available]", said)
}

/// Its Service does not listen where it is asked.
fn wrong_port<'a>(
    engine: &mut Engine<'a>,
    api: &'a ApiService,
    available: &Condition,
    target: &ServiceRef,
    service: &Service,
) -> Roots {
    let port = target.port.unwrap_or(443);
    let has: Vec<i64> = service.spec.ports.iter().map(|p| p.port).collect();
    let list = has.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    let says = format!(
        "is served by port {port} of service/{} in {}, which has only {list}",
        target.name, target.namespace
    );
    let mut found = finding(api, available, target, says);
    found = match has.as_slice() {
        [only] => {
            let manifest = json!({
                "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                "metadata": {"name": api.metadata.name},
                "spec": {"service": {"name": target.name, "namespace": target.namespace, "port": only}},
            });
            let arguments = json!({"manifest": manifest.to_string(), "take_over": true});
            found.fix(Fix::call(
                format!("let apiservice/{} ask port {only}", api.metadata.name),
                "apply",
                arguments,
            ))
        }
        _ => found.fix(Fix::advice(format!("let it ask one of the ports {list}"))),
    };
    engine.root(found)
}

/// The API server gets no answer, and no object says why.
fn silent(engine: &mut Engine<'_>, api: &ApiService, available: &Condition, target: &ServiceRef) -> Roots {
    let why = available.message.split_whitespace().collect::<Vec<_>>().join(" ");
    let place = format!("service/{} in {}", target.name, target.namespace);
    let says = format!("gets no answer from {place}: {}", why.trim_end_matches('.'));
    let fix = format!(
        "see that the pods behind {place} answer, and that the API server reaches their port and trusts their certificate"
    );
    let finding = finding(api, available, target, says).observed().fix(Fix::advice(fix));
    engine.root(finding)
}
