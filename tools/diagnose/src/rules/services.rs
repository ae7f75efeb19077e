//! Services that have nobody to send traffic to, send it to the wrong port, or cannot be reached.

pub mod ports;
pub mod reach;

use serde_json::{Value, json};

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::index::Workload;
use crate::model::{Labels, Service};
use crate::walk;

/// The causes of this family.
pub const CAUSES: &[Cause] = &[
    SELECTOR_MISMATCH,
    ports::NAMED_PORT_MISSING,
    ports::PORT_NOT_LISTENING,
    ports::PROTOCOL_MISMATCH,
    ports::MIXED_PODS,
    reach::EXTERNAL_NAME_DANGLING,
    reach::MANUAL_ENDPOINT_STALE,
    reach::LOAD_BALANCER_PENDING,
    reach::LOCAL_POLICY_HOLE,
];

const SELECTOR_MISMATCH: Cause =
    Cause::fault("svc-selector-mismatch", 2, "A Service selects no pod, because its selector fits none.");
/// Labels that controllers give to pods, which no template has.
const GIVEN_LABELS: &[&str] = &[
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "controller-revision-hash",
    "pod-template-hash",
    "rollouts-pod-template-hash",
    "batch.kubernetes.io/job-name",
    "job-name",
];

/// Looks through all Services.
pub fn scan(engine: &mut Engine<'_>) {
    let addresses = reach::PodAddresses::new(engine);
    for service in &engine.snap.services.items {
        let roots = walk::service(engine, service);
        let is_empty = is_checked(service) && !serves(engine, service);
        let says = if is_empty { "no endpoints" } else { "does not answer as it should" };
        let object = Object::of("service", &service.metadata);
        let through = engine.index.behind(service).first().map(|p| engine.index.maker(p));
        engine.suffers(object.clone(), says, through.filter(|_| is_empty), &roots);
        if roots.is_empty() {
            let roots = reach::explain(engine, service, addresses.as_ref());
            engine.suffers(object, "does not answer as it should", None, &roots);
        }
    }
}

/// What explains that a Service has no endpoint that serves, or none at one of its ports, or leads nowhere; empty when
/// it is well, or when it is meant to have none.
pub fn explain<'a>(engine: &mut Engine<'a>, service: &'a Service) -> Roots {
    let snap = engine.snap;
    let meta = &service.metadata;
    if service.spec.kind == "ExternalName" {
        return reach::external_name(engine, service);
    }
    let is_ours = is_checked(service) && !service.spec.publish_not_ready_addresses;
    if !is_ours || !snap.pods.sees(&meta.namespace) || !snap.endpoint_slices.sees(&meta.namespace) {
        return Roots::new();
    }
    let pods = engine.index.behind(service);
    if serves(engine, service) {
        let roots = ports::named(engine, service, &pods);
        return if roots.is_empty() { ports::doubtful(engine, service) } else { roots };
    }
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
        roots.extend(ports::named(engine, service, &pods));
    }
    roots
}

/// Whether Kubernetes itself finds the endpoints of a Service, and has had the time to.
fn is_checked(service: &Service) -> bool {
    !service.spec.selector.is_empty()
        && service.spec.kind != "ExternalName"
        && !service.metadata.deletion_timestamp.is_set()
}

/// Whether some endpoint is ready and has a port.
pub fn serves(engine: &Engine<'_>, service: &Service) -> bool {
    engine.index.slices(service).iter().any(|slice| {
        let has_port = service.spec.ports.is_empty() || !slice.ports.is_empty();
        has_port && slice.endpoints.iter().any(|e| e.conditions.ready != Some(false))
    })
}

/// The workload behind a Service that has no pod because it is scaled to zero, where no other would answer for it.
pub fn asleep<'a>(engine: &Engine<'a>, service: &Service) -> Option<&'a Workload<'a>> {
    if !is_checked(service) || !engine.index.behind(service).is_empty() || asked(service).next().is_none() {
        return None;
    }
    let here = engine.index.workloads.iter().filter(|w| w.meta.namespace == service.metadata.namespace);
    let mut all = here.filter(|w| w.kind != "job" && fits(service, &w.template.metadata.labels));
    let one = all.next()?;
    (one.desired == 0 && all.all(|w| w.desired == 0)).then_some(one)
}

/// What a Service selects, without what controllers give to pods by themselves.
fn asked(service: &Service) -> impl Iterator<Item = (&str, &String)> {
    let all = service.spec.selector.iter();
    all.filter(|(k, _)| !GIVEN_LABELS.contains(k))
}

/// Whether pods of a template with these labels are what a Service selects.
fn fits(service: &Service, labels: &Labels) -> bool {
    asked(service).all(|(k, v)| labels.get(k) == Some(v))
}

/// No pod has the labels that the Service selects.
fn nobody<'a>(engine: &mut Engine<'a>, service: &'a Service) -> Roots {
    let namespace = &service.metadata.namespace;
    let (index, snap) = (engine.index, engine.snap);
    let young = !service.metadata.creation_timestamp.older_than(walk::PATIENCE, snap.now);
    let seen = [
        snap.deployments.sees(namespace),
        snap.stateful_sets.sees(namespace),
        snap.daemon_sets.sees(namespace),
    ];
    if young || !seen.contains(&true) {
        return Roots::new();
    }
    let here = || index.workloads.iter().filter(|w| w.meta.namespace == *namespace && w.kind != "job");
    let fits = |labels: &Labels| fits(service, labels);
    if let Some(workload) = here().find(|w| fits(&w.template.metadata.labels)) {
        // Scaled to zero is what somebody wants; anything else that keeps the pods away explains this too.
        return if workload.desired == 0 { Roots::new() } else { walk::workload(engine, workload) };
    }
    // Its pods come and go: those of a Job, and those that a controller gives a role to.
    let is_of_job = index
        .workloads
        .iter()
        .any(|w| w.meta.namespace == *namespace && w.kind == "job" && fits(&w.template.metadata.labels));
    let is_of_cron_job =
        snap.cron_jobs.of(namespace).iter().any(|c| fits(&c.spec.job_template.spec.template.metadata.labels));
    let has_role = here().any(|w| {
        let labels = &w.template.metadata.labels;
        let given =
            |k: &str| labels.get(k).is_none() && w.pods.iter().any(|p| p.metadata.labels.get(k).is_some());
        service.spec.selector.iter().all(|(k, v)| labels.get(k) == Some(v) || given(k))
    });
    if asked(service).next().is_none() || is_of_job || is_of_cron_job || has_role {
        return Roots::new();
    }
    let selector: Vec<String> = service.spec.selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let selector = selector.join(",");
    let object = Object::of("service", &service.metadata);
    let nearest = here()
        .filter_map(|w| closeness(service, w).map(|c| (c, w)))
        .max_by(|a, b| a.0.cmp(&b.0).then_with(|| b.1.meta.name.cmp(&a.1.meta.name)))
        .map(|(_, w)| w);
    // An operator made it for pods that it also makes.
    if nearest.is_none() && service.metadata.controller().is_some() {
        return Roots::new();
    }
    // What was not looked at could be scaled to zero and be the one that is meant.
    let is_sure = !seen.contains(&false);
    if nearest.is_none() && !is_sure {
        return Roots::new();
    }
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
    let finding = if is_sure {
        finding
    } else {
        finding.likely("whether a workload that was not looked at has these labels and no pods now")
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
    let selector: serde_json::Map<String, Value> =
        workload.selector.match_labels.iter().map(|(k, v)| (k.to_owned(), json!(v))).collect();
    let manifest = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": service.metadata.namespace},
        "spec": {"selector": selector},
    });
    apply(format!("let service/{name} select the pods of {}", workload.object()), &manifest)
}

/// A change of a few fields of one object, as a part of its manifest.
pub fn apply(says: impl Into<String>, manifest: &Value) -> Fix {
    Fix::call(says, "apply", json!({"manifest": manifest.to_string(), "take_over": true}))
}
