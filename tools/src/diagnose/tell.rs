//! A diagnosis as a report: cleaned, redacted, and with the same findings for people, models and machines.

use kai_diagnose::index::Workload;
use kai_diagnose::snapshot::BlindSpot;
use kai_diagnose::{Class, Diagnosis, Finding, Scope, Snapshot};
use serde_json::{Value, json};

use super::collect::Cost;
use crate::object::ObjectRef;
use crate::report::{Block, Report, age};
use crate::{redact, sanitize};

/// Which findings are shown besides faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Show {
    pub risks: bool,
    pub lint: bool,
}

impl Show {
    /// Whether findings of that class are shown.
    pub fn shows(self, class: Class) -> bool {
        match class {
            Class::Fault => true,
            Class::Risk => self.risks,
            Class::Hygiene => self.lint,
        }
    }
}

/// The report. All text from the cluster is cleaned here.
pub fn report(
    diagnosis: &Diagnosis,
    snap: &Snapshot,
    scope: &Scope,
    show: Show,
    cost: Option<&Cost>,
) -> Report {
    let findings: Vec<Finding> =
        diagnosis.findings.iter().filter(|f| show.shows(f.class)).map(cleaned).collect();
    let count = |class: Class| diagnosis.findings.iter().filter(|f| f.class == class).count();
    let mut say = vec![summary(&findings, diagnosis, snap, scope)];
    let hidden: Vec<String> =
        [(Class::Risk, "risk", "--risks"), (Class::Hygiene, "matter of good practice", "--lint")]
            .into_iter()
            .filter(|(class, ..)| !show.shows(*class) && count(*class) > 0)
            .map(|(class, word, flag)| format!("{} with {flag}", counted(count(class), word)))
            .collect();
    if !hidden.is_empty() {
        say.push(format!("Not shown: {}.", hidden.join(", ")));
    }
    let blind = blind_spots(&diagnosis.blind_spots);
    say.extend(blind.iter().map(|line| format!("Not looked at: {line}.")));
    let data = json!({
        "schema": "kai.diagnosis/v1",
        "scope": scope,
        "at": snap.now.to_string(),
        "findings": findings,
        "faults": count(Class::Fault), "risks": count(Class::Risk), "hygiene": count(Class::Hygiene),
        "blind_spots": diagnosis.blind_spots.iter().map(|b| json!({"what": line(&b.what), "why": line(&b.why)})).collect::<Vec<_>>(),
        "objects": diagnosis.objects,
        "cost": cost,
    });
    let about = findings
        .iter()
        .map(|f| ObjectRef {
            kind: f.object.kind.clone(),
            namespace: f.object.namespace.clone(),
            name: f.object.name.clone(),
        })
        .collect();
    let blocks = if findings.is_empty() { Vec::new() } else { vec![Block::Findings(findings)] };
    Report { say, blocks, data, about }
}

fn line(text: &str) -> String {
    sanitize::line(&redact::text(text))
}

/// Every text of a finding, cleaned: all of them come from the cluster in part.
pub(super) fn cleaned(finding: &Finding) -> Finding {
    fn all(value: &mut Value) {
        match value {
            Value::String(text) => *text = line(text),
            Value::Array(items) => items.iter_mut().for_each(all),
            Value::Object(map) => map.values_mut().for_each(all),
            _ => {}
        }
    }
    let mut value = json!(finding);
    all(&mut value);
    serde_json::from_value(value).unwrap_or_else(|_| finding.clone())
}

fn counted(n: usize, word: &str) -> String {
    match n {
        1 => format!("1 {word}"),
        n if word.ends_with("practice") => format!("{n} matters of good practice"),
        n => format!("{n} {word}s"),
    }
}

/// One sentence: how many faults where, and how much was looked at.
fn summary(findings: &[Finding], diagnosis: &Diagnosis, snap: &Snapshot, scope: &Scope) -> String {
    let place = match (&scope.object, &scope.namespace) {
        (Some(object), _) if object.namespace.is_empty() => object.to_string(),
        (Some(object), _) => format!("{object} in {}", object.namespace),
        (None, Some(namespace)) => format!("namespace {namespace}"),
        (None, None) => "the cluster".to_owned(),
    };
    let faults = diagnosis.of(Class::Fault).count();
    let objects = diagnosis.objects;
    if faults == 0 {
        let well = well(snap, scope).map(|w| format!(" {w}")).unwrap_or_default();
        let unsure = if diagnosis.blind_spots.is_empty() { "" } else { " that kai can see" };
        return line(&format!("No fault in {place}{unsure}.{well} {objects} objects looked at."));
    }
    let likely = findings
        .iter()
        .filter(|f| f.class == Class::Fault && f.confidence == kai_diagnose::Confidence::Inferred)
        .count();
    let likely = if likely > 0 { format!(", {likely} of them only likely") } else { String::new() };
    line(&format!("{} in {place}{likely}. {objects} objects looked at.", counted(faults, "fault")))
}

/// How the object is that was asked about and that nothing is wrong with.
fn well(snap: &Snapshot, scope: &Scope) -> Option<String> {
    let object = scope.object.as_ref()?;
    let index = kai_diagnose::index::Index::new(snap);
    let workload = index.workload_named(object)?;
    let ended = ended_lately(snap, workload).unwrap_or_default();
    Some(format!("{object} has {} of {} pods ready.{ended}", workload.ready, workload.desired))
}

/// That a container was started again, which is no fault yet, and may be what somebody asks about.
fn ended_lately(snap: &Snapshot, workload: &Workload<'_>) -> Option<String> {
    let ends = workload.pods.iter().flat_map(|pod| {
        pod.containers().filter_map(|(container, status, _)| {
            let status = status.filter(|s| s.state.running.is_some())?;
            let end = status.last_state.terminated.as_deref()?;
            let lately = end.exit_code != 0 && !end.finished_at.older_than(3600, snap.now);
            lately.then_some((end.finished_at.0?, end.exit_code, &container.name, &pod.metadata.name))
        })
    });
    let (at, code, container, pod) = ends.max()?;
    let ago = age(&at.to_string(), snap.now);
    Some(format!(" Container {container} of pod/{pod} ended {ago} ago with exit code {code} and runs again."))
}

/// What could not be looked at, one line a reason.
fn blind_spots(all: &[BlindSpot]) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for spot in all {
        match reasons.iter_mut().find(|(why, _)| *why == spot.why) {
            Some((_, what)) => what.push(&spot.what),
            None => reasons.push((&spot.why, vec![&spot.what])),
        }
    }
    // All of them are in the JSON; a person needs to know that and why.
    const MOST: usize = 6;
    let told = |what: Vec<&str>| match what.len().checked_sub(MOST) {
        None | Some(0 | 1) => what.join(", "),
        Some(more) => format!("{} and {more} more", what[..MOST].join(", ")),
    };
    reasons.into_iter().map(|(why, what)| line(&format!("{} ({why})", told(what)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snap(state: &Value) -> Snapshot {
        let mut snap = Snapshot { now: "2026-11-21T10:00:00Z".parse().unwrap(), ..Snapshot::default() };
        let labels = json!({"app": "web"});
        let owner = json!([{"kind": "StatefulSet", "name": "web", "uid": "s", "controller": true}]);
        let last = json!({"terminated": {"exitCode": 3, "finishedAt": "2026-11-21T09:59:50Z"}});
        let set = json!({"metadata": {"namespace": "n", "name": "web", "uid": "s"},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}}, "status": {"readyReplicas": 1}});
        let pod = json!({"metadata": {"namespace": "n", "name": "web-0", "uid": "p", "labels": labels, "ownerReferences": owner},
            "spec": {"containers": [{"name": "main"}]},
            "status": {"phase": "Running", "containerStatuses": [{"name": "main", "ready": true, "restartCount": 1, "state": state, "lastState": last}]}});
        for (name, object) in [("StatefulSet", set), ("Pod", pod)] {
            snap.add_object(kai_diagnose::snapshot::kind(name).unwrap(), object).unwrap();
        }
        snap.finish();
        snap
    }

    #[test]
    fn a_workload_that_is_well_tells_that_it_was_started_again() {
        let scope =
            Scope { object: Some(kai_diagnose::Object::new("statefulset", "n", "web")), namespace: None };
        let runs = well(&snap(&json!({"running": {"startedAt": "2026-11-21T09:59:52Z"}})), &scope).unwrap();
        assert_eq!(
            runs,
            "statefulset/web has 1 of 1 pods ready. Container main of pod/web-0 ended 10s ago with exit code 3 and runs again."
        );
        let waits = well(&snap(&json!({"waiting": {"reason": "CrashLoopBackOff"}})), &scope).unwrap();
        assert_eq!(waits, "statefulset/web has 1 of 1 pods ready.");
    }
}
