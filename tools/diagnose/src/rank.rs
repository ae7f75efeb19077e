//! The order of findings: what matters most first, the same order for the same snapshot.

use jiff::Timestamp;

use crate::finding::{Confidence, Finding};

/// How much a finding matters.
pub(crate) fn score(finding: &Finding, now: Timestamp) -> i64 {
    let severity = 10 * (5 - i64::from(finding.severity));
    let impact = i64::try_from(finding.impact.len()).unwrap_or(i64::MAX);
    // Twice as much that is down is one step more.
    let breadth = 6 * i64::from(impact.saturating_add(1).max(1).ilog2());
    let is_entry = |kind: &str| matches!(kind, "ingress" | "gateway" | "httproute");
    let entry = if finding.impact.iter().any(|i| is_entry(&i.object.kind)) || is_entry(&finding.object.kind) {
        8
    } else {
        0
    };
    let is_platform = finding.object.namespace == "kube-system"
        || matches!(
            finding.object.kind.as_str(),
            "node" | "apiservice" | "validatingwebhookconfiguration" | "mutatingwebhookconfiguration"
        );
    let platform = if is_platform { 12 } else { 0 };
    let confidence = 4 * match finding.confidence {
        Confidence::Inferred => 0,
        Confidence::Observed => 1,
        Confidence::Proven => 2,
    };
    let fresh = finding.since.is_some_and(|s| now.as_second() - s.as_second() < 3600);
    severity + breadth + entry + platform + confidence + if fresh { 2 } else { 0 }
}

/// Puts the most important first; equals are in order of their object and cause.
pub(crate) fn order(findings: &mut [Finding], now: Timestamp) {
    findings.sort_by(|a, b| {
        let key = |f: &Finding| {
            (f.class, std::cmp::Reverse(score(f, now)), f.object.clone(), f.cause.clone(), f.which.clone())
        };
        key(a).cmp(&key(b))
    });
}
