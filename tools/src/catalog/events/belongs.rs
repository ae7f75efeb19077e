//! Which events are about a workload, told from the names that its controllers generate (pure).
//!
//! Names and not owners: what an event is about may be gone already, and asking for owners would cost two requests.

/// Kinds that make pods, whose events belong to theirs.
pub(super) fn has_pods(kind: &str) -> bool {
    matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" | "CronJob")
}

/// Whether the object `kind/name` is the workload itself or was made for it.
pub(super) fn belongs(kind: &str, name: &str, workload: &str, workload_name: &str) -> bool {
    if kind == workload && name == workload_name {
        return true;
    }
    if kind == "HorizontalPodAutoscaler" {
        return has_pods(workload) && name == workload_name;
    }
    let Some(rest) = name.strip_prefix(workload_name).and_then(|r| r.strip_prefix('-')) else { return false };
    let parts: Vec<&str> = rest.split('-').collect();
    match (workload, kind, parts.as_slice()) {
        ("Deployment", "ReplicaSet", [hash]) => is_generated(hash),
        ("Deployment", "Pod", [hash, suffix]) => is_generated(hash) && is_suffix(suffix),
        ("ReplicaSet" | "DaemonSet" | "Job", "Pod", [suffix]) => is_suffix(suffix),
        // An indexed Job puts the index before the suffix.
        ("Job", "Pod", [index, suffix]) => is_number(index) && is_suffix(suffix),
        ("StatefulSet", "Pod", [ordinal]) => is_number(ordinal),
        ("CronJob", "Job", [at]) => is_number(at),
        ("CronJob", "Pod", [at, suffix]) => is_number(at) && is_suffix(suffix),
        _ => false,
    }
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())
}

/// The five characters that the API server appends to `generateName`.
fn is_suffix(part: &str) -> bool {
    part.len() == 5 && is_generated(part)
}

/// Kubernetes generates from an alphabet without vowels, so no word of a person's name looks like this.
fn is_generated(part: &str) -> bool {
    !part.is_empty() && part.len() <= 10 && part.bytes().all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_belong() {
        for (kind, name, workload, of, yes) in [
            ("Deployment", "web", "Deployment", "web", true),
            ("ReplicaSet", "web-7d9f8c6b54", "Deployment", "web", true),
            ("Pod", "web-7d9f8c6b54-x2x8z", "Deployment", "web", true),
            ("Pod", "web-admin-7d9f8c6b54-x2x8z", "Deployment", "web", false),
            ("Deployment", "web-admin", "Deployment", "web", false),
            ("StatefulSet", "web", "Deployment", "web", false),
            ("Pod", "db-0", "StatefulSet", "db", true),
            ("Pod", "db-backup-0", "StatefulSet", "db", false),
            ("Pod", "agent-x2x8z", "DaemonSet", "agent", true),
            ("Job", "nightly-29384720", "CronJob", "nightly", true),
            ("Pod", "nightly-29384720-x2x8z", "CronJob", "nightly", true),
            ("HorizontalPodAutoscaler", "web", "Deployment", "web", true),
            ("Node", "n1", "Node", "n1", true),
        ] {
            assert_eq!(belongs(kind, name, workload, of), yes, "{kind}/{name} of {workload}/{of}");
        }
    }
}
