//! Pods that the Pod Security level of their namespace does not allow.

use serde_json::{Value, json};

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::index::Workload;
use crate::snapshot::Lookup;

use super::rejected::{Rejection, between};
use super::{over, pod_change};

/// The causes of this part.
pub const CAUSES: &[Cause] = &[VIOLATION];

const VIOLATION: Cause = Cause::fault(
    "psa-violation",
    2,
    "Pods are not made, because the Pod Security level of their namespace forbids something that they have.",
);

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

/// `violates PodSecurity "restricted:latest": runAsNonRoot != true (…), seccompProfile (…)`.
pub fn violated(engine: &mut Engine<'_>, rejection: &Rejection<'_>) -> Roots {
    let workload = rejection.workload;
    let namespace = &workload.meta.namespace;
    let Some(said) = between(&rejection.text, "violates PodSecurity \"", "\"") else { return Roots::new() };
    let level = said.split(':').next().unwrap_or(said);
    let detail = rejection.text.split_once("\": ").map_or("", |(_, d)| d);
    // Without a label the level is the API server's own default, which only the API server knows.
    let label = match engine.snap.namespaces.find("", namespace) {
        Lookup::Found(object) => object.metadata.labels.get(ENFORCE).map(String::as_str),
        _ => None,
    };
    if let Some(now) = label.filter(|l| rank(l) < rank(level)) {
        return over(
            engine,
            &VIOLATION,
            rejection,
            &format!("namespace {namespace} enforces only {now} now"),
        );
    }
    let checks: Vec<&str> = split(detail);
    let names: Vec<&str> = checks.iter().map(|c| c.split(" (").next().unwrap_or(c)).collect();
    let says = format!(
        "gets no new pods: namespace {namespace} enforces the Pod Security level {level}, which forbids {}",
        names.join(", ")
    );
    let mut finding = Finding::new(&VIOLATION, workload.object(), says).since(rejection.first);
    match label {
        Some(label) => {
            let at = format!("metadata.labels[{ENFORCE}]");
            finding = finding.seen(Object::new("namespace", "", namespace), at, label);
        }
        None => finding = finding.observed(),
    }
    for check in checks.iter().take(2) {
        finding = finding.seen(workload.object(), "spec.template.spec", *check);
    }
    finding = finding.seen(rejection.by.clone(), rejection.at, rejection.text.clone());
    if let Some(fix) = confine(workload, &names, level) {
        finding = finding.fix(fix);
    }
    let what = checks.join(", ");
    let advice = format!(
        "change {what} in the pods of {}, or run it in a namespace that allows it",
        workload.object()
    );
    engine.root(finding.fix(Fix::advice(advice)))
}

/// How much a level forbids.
fn rank(level: &str) -> u8 {
    match level {
        "restricted" => 2,
        "baseline" => 1,
        _ => 0,
    }
}

/// The checks, which are parted by commas that are not in parentheses.
fn split(detail: &str) -> Vec<&str> {
    let (mut depth, mut from, mut all) = (0_i32, 0, Vec::new());
    for (at, c) in detail.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                all.extend(detail.get(from..at));
                from = at + 1;
            }
            _ => {}
        }
    }
    all.extend(detail.get(from..));
    all.into_iter().map(str::trim).filter(|c| !c.is_empty()).collect()
}

/// The settings that the restricted level wants, where nothing else is in its way.
fn confine(workload: &Workload<'_>, names: &[&str], level: &str) -> Option<Fix> {
    const SETTABLE: [&str; 4] = [
        "allowPrivilegeEscalation != false",
        "unrestricted capabilities",
        "runAsNonRoot != true",
        "seccompProfile",
    ];
    if names.is_empty() || names.iter().any(|n| !SETTABLE.contains(n)) {
        return None;
    }
    let spec = &workload.template.spec;
    let confined = |containers: &[crate::model::Container]| -> Vec<Value> {
        let each = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
        containers.iter().map(|c| json!({"name": c.name, "securityContext": each})).collect()
    };
    let mut pod = json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": confined(&spec.containers),
    });
    if let (false, Some(map)) = (spec.init_containers.is_empty(), pod.as_object_mut()) {
        map.insert("initContainers".into(), confined(&spec.init_containers).into());
    }
    let says = format!(
        "confine the pods of {} as {level} wants it; its image must run as another user than root",
        workload.object()
    );
    pod_change(workload, says, pod)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn checks_are_parted_outside_of_parentheses() {
        let text = "host namespaces (hostNetwork=true, hostPID=true), privileged (container \"a\" must not set x=true)";
        assert_eq!(split(text).len(), 2);
        assert_eq!(split(text)[0], "host namespaces (hostNetwork=true, hostPID=true)");
        assert!(split("").is_empty());
        assert_eq!(split("a)),b"), ["a)),b"]);
    }
}
