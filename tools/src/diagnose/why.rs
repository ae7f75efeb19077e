//! Why a workload does not come up after a change: the diagnosis of that workload, as lines of evidence.

use std::time::Duration;

use kai_diagnose::{Class, Finding, Scope};

use super::scope::Asked;
use super::tell::cleaned;
use super::{Object, collect};
use crate::cluster::Cluster;
use crate::cluster::wait::Verdict;
use crate::object::ObjectRef;

/// How long the answer to "why" may take after a change: the change itself is told in any case.
const PATIENCE: Duration = Duration::from_secs(20);

/// The fault that explains best why an object is not well; none when nothing is found, or not in time.
pub async fn why(cluster: &Cluster, object: &ObjectRef) -> Option<Finding> {
    let about = Some(format!("{}/{}", object.kind, object.name));
    let asked = Asked { about, namespace: Some(object.namespace.clone()).filter(|n| !n.is_empty()) };
    let collected = tokio::time::timeout(PATIENCE, collect(cluster, &asked, false)).await.ok()?.ok()?;
    let meant =
        Scope { namespace: None, object: Some(Object::new(&object.kind, &object.namespace, &object.name)) };
    debug_assert_eq!(collected.scope, meant);
    let faults = collected.diagnosis.findings.iter().filter(|f| f.class == Class::Fault);
    faults.filter(|f| f.cause != "unexplained").map(cleaned).next()
}

/// A verdict with the reason: what failed is told with its root cause, what only is not there yet and will not come by
/// itself has failed.
pub async fn explained(cluster: &Cluster, object: &ObjectRef, verdict: Verdict, stopped: bool) -> Verdict {
    let is_workload = matches!(object.kind.as_str(), "deployment" | "statefulset" | "daemonset");
    if stopped || !is_workload || !matches!(verdict, Verdict::Failed { .. } | Verdict::NotYet { .. }) {
        return verdict;
    }
    let Some(finding) = why(cluster, object).await else { return verdict };
    let said = format!("{} ({})", finding.says, finding.cause);
    let fix = finding.fixes.first().map(|f| format!("what would mend it: {}", f.says));
    match verdict {
        Verdict::Failed { ready, desired, cause, mut evidence } => {
            if !cause.contains(&finding.says) {
                evidence.push(format!("why: {}: {said}", finding.object));
            }
            evidence.extend(fix);
            Verdict::Failed { ready, desired, cause, evidence }
        }
        // Nothing is broken: it waits until somebody resumes it, and says so.
        waits @ Verdict::NotYet { .. } if finding.cause == "deployment-paused" => waits,
        Verdict::NotYet { ready, desired, .. } => {
            let seen = finding.evidence.first().map(|e| format!("{} {}: {}", e.object, e.at, e.value));
            let cause = format!("{}: {said}", finding.object);
            Verdict::Failed { ready, desired, cause, evidence: seen.into_iter().chain(fix).collect() }
        }
        other => other,
    }
}
