//! A diagnosis as a report: cleaned, redacted, and with the same findings for people, models and machines.

use kai_diagnose::snapshot::BlindSpot;
use kai_diagnose::{Class, Diagnosis, Finding, Scope, Snapshot};
use serde_json::{Value, json};

use super::collect::Cost;
use crate::object::ObjectRef;
use crate::report::{Block, Report};
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
    Some(format!("{object} has {} of {} pods ready.", workload.ready, workload.desired))
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
