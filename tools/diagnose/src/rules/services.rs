//! Services that have nobody to send traffic to.

use serde_json::json;

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::index::Workload;
use crate::model::{Labels, Port, Service};
use crate::walk;

/// The causes of this family.
pub const CAUSES: &[Cause] = &[SELECTOR_MISMATCH, NAMED_PORT_MISSING];

const SELECTOR_MISMATCH: Cause =
    Cause::fault("svc-selector-mismatch", 2, "A Service selects no pod, because its selector fits none.");
const NAMED_PORT_MISSING: Cause = Cause::fault(
    "svc-named-port-missing",
    2,
    "A Service sends to a port by a name that no container of its pods declares.",
);

/// Looks through all Services.
pub fn scan(engine: &mut Engine<'_>) {
    for service in &engine.snap.services.items {
        let roots = walk::service(engine, service);
        let object = Object::of("service", &service.metadata);
        let through = engine.index.behind(service).first().map(|p| engine.index.maker(p));
        engine.suffers(object, "no endpoints", through, &roots);
    }
}

/// What explains that a Service has no endpoint that serves; empty when it has one, or when it is meant to have none.
pub fn explain<'a>(engine: &mut Engine<'a>, service: &'a Service) -> Roots {
    let snap = engine.snap;
    let namespace = &service.metadata.namespace;
    let is_ours = !service.spec.selector.is_empty()
        && service.spec.kind != "ExternalName"
        && !service.spec.publish_not_ready_addresses;
    if !is_ours
        || !snap.pods.sees(namespace)
        || !snap.endpoint_slices.sees(namespace)
        || serves(engine, service)
    {
        return Roots::new();
    }
    let pods = engine.index.behind(service);
    if pods.is_empty() {
        return nobody(engine, service);
    }
    let mut roots = Roots::new();
    for pod in &pods {
        roots.extend(walk::pod(engine, pod));
        if let Some(workload) = engine.index.workload(pod) {
            roots.extend(walk::workload(engine, workload));
        }
    }
    if roots.is_empty() && pods.iter().any(|p| p.is_ready()) {
        roots.extend(named_ports(engine, service, &pods));
    }
    roots
}

/// Whether some endpoint is ready and has a port.
fn serves(engine: &Engine<'_>, service: &Service) -> bool {
    engine.index.slices(service).iter().any(|slice| {
        let has_port = service.spec.ports.is_empty() || !slice.ports.is_empty();
        has_port && slice.endpoints.iter().any(|e| e.conditions.ready != Some(false))
    })
}

/// No pod has the labels that the Service selects.
fn nobody<'a>(engine: &mut Engine<'a>, service: &'a Service) -> Roots {
    let namespace = &service.metadata.namespace;
    let index = engine.index;
    let here = || index.workloads.iter().filter(|w| w.meta.namespace == *namespace && w.kind != "job");
    let fits = |labels: &Labels| service.spec.selector.iter().all(|(k, v)| labels.get(k) == Some(v));
    if let Some(workload) = here().find(|w| fits(&w.template.metadata.labels)) {
        // Scaled to zero is what somebody wants; anything else that keeps the pods away explains this too.
        return if workload.desired == 0 { Roots::new() } else { walk::workload(engine, workload) };
    }
    let selector: Vec<String> = service.spec.selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let selector = selector.join(",");
    let object = Object::of("service", &service.metadata);
    let nearest = here()
        .filter_map(|w| closeness(service, w).map(|c| (c, w)))
        .max_by(|a, b| a.0.cmp(&b.0).then_with(|| b.1.meta.name.cmp(&a.1.meta.name)))
        .map(|(_, w)| w);
    let finding = Finding::new(
        &SELECTOR_MISMATCH,
        object.clone(),
        match nearest {
            Some(w) => {
                let labels: Vec<String> = service
                    .spec
                    .selector
                    .iter()
                    .filter(|(k, v)| w.template.metadata.labels.get(k) != Some(v))
                    .map(|(k, _)| match w.template.metadata.labels.get(k) {
                        Some(have) => format!("{k}={have}"),
                        None => format!("no label {k}"),
                    })
                    .collect();
                format!(
                    "selects {selector}, and no pod has that; the pods of {} have {}",
                    w.object(),
                    labels.join(", ")
                )
            }
            None => format!("selects {selector}, and no pod has that"),
        },
    )
    .seen(object, "spec.selector", selector)
    .since(service.metadata.written.at);
    let finding = match nearest {
        Some(workload) => finding.fix(reselect(service, workload)),
        None => finding.fix(Fix::advice("deploy what it is meant for, or correct its selector")),
    };
    engine.root(finding)
}

/// How much a workload looks like the one that is meant: labels in common, the same name, a port that fits.
fn closeness(service: &Service, workload: &Workload<'_>) -> Option<usize> {
    let labels = &workload.template.metadata.labels;
    let common = service.spec.selector.iter().filter(|(k, v)| labels.get(k) == Some(v)).count();
    let close_value = service
        .spec
        .selector
        .iter()
        .any(|(k, v)| labels.get(k).is_some_and(|have| strsim::jaro_winkler(have, v) > 0.85));
    let same_name = workload.meta.name == service.metadata.name;
    let score = 3 * common + 2 * usize::from(close_value) + 4 * usize::from(same_name);
    (score > 0).then_some(score)
}

/// The selector of the workload's own pods, as a change of the Service.
fn reselect(service: &Service, workload: &Workload<'_>) -> Fix {
    let name = &service.metadata.name;
    let selector: serde_json::Map<String, serde_json::Value> =
        workload.selector.match_labels.iter().map(|(k, v)| (k.to_owned(), json!(v))).collect();
    let manifest = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": service.metadata.namespace},
        "spec": {"selector": selector},
    });
    Fix::call(
        format!("let service/{name} select the pods of {}", workload.object()),
        "apply",
        json!({"manifest": manifest.to_string(), "take_over": true}),
    )
}

/// The pods are ready, but a named target port is none of theirs.
fn named_ports<'a>(engine: &mut Engine<'a>, service: &'a Service, pods: &[&'a crate::model::Pod]) -> Roots {
    let mut roots = Roots::new();
    for port in &service.spec.ports {
        let Some(Port::Name(wanted)) = &port.target_port else { continue };
        let declared: Vec<(&str, i64)> = pods
            .iter()
            .flat_map(|p| &p.spec.containers)
            .flat_map(|c| &c.ports)
            .map(|p| (p.name.as_str(), p.container_port))
            .collect();
        if declared.iter().any(|(name, _)| name == wanted) {
            continue;
        }
        let mut names: Vec<String> = declared
            .iter()
            .map(|(n, p)| if n.is_empty() { p.to_string() } else { format!("{n} ({p})") })
            .collect();
        names.sort();
        names.dedup();
        let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let object = Object::of("service", &service.metadata);
        let says = format!(
            "sends to the port named {wanted}, which no container of its pods declares; they declare {has}"
        );
        let finding = Finding::new(&NAMED_PORT_MISSING, object.clone(), says)
            .which(wanted.clone())
            .seen(object, format!("spec.ports[{}].targetPort", port.port), wanted.clone())
            .fix(Fix::advice(format!(
                "name a port of its pods {wanted}, or send to one that they declare: {has}"
            )));
        roots.push(engine.found(finding));
    }
    roots
}
