//! What a ResourceQuota that a plan makes or changes is below already (pure).

use kai_cost::read;
use serde_json::{Map, Value, json};

use super::look::Seen;
use super::{Level, Line};
use crate::object::{items, text};
use crate::plan::Change;
use crate::quantity::{milli, whole};

pub(super) fn is_quota(change: &Change) -> bool {
    change.kind.kind == "ResourceQuota" && change.kind.group.is_empty() && !change.removes()
}

/// Amounts of which more is used than the quota allows: what runs stays, and nothing new is let in. For a quota that is
/// not there yet, what is used is counted from the `pods` of its namespace.
pub(super) fn lines(change: &Change, pods: Option<&Seen>) -> Vec<Line> {
    if !is_quota(change) {
        return Vec::new();
    }
    let none = Map::new();
    let hard = |object: &'_ Value| object.pointer("/spec/hard").and_then(Value::as_object).cloned();
    let (before, after) = (hard(&change.live).unwrap_or_default(), hard(&change.after).unwrap_or_default());
    let counted = match pods {
        Some(Ok(pods)) if change.creates() && is_plain(&change.after) => used_by(pods),
        Some(Err(e)) if change.creates() => {
            return vec![Line::new(
                Level::Unknown,
                "quota",
                format!("what is used cannot be looked at: {e}"),
            )];
        }
        _ => Value::Null,
    };
    let status = change.live.pointer("/status/used").and_then(Value::as_object);
    let used = counted.as_object().or(status).unwrap_or(&none);
    let over = |(resource, most): (&String, &Value)| {
        let (used, most) = (used.get(resource)?.as_str()?, amount_of(most)?);
        let read = if resource.ends_with("cpu") { milli } else { whole };
        if before.get(resource).and_then(amount_of).as_ref() == Some(&most) || read(used)? <= read(&most)? {
            return None;
        }
        let pods = matches!(resource.as_str(), "pods" | "count/pods" | "cpu" | "memory")
            || resource.starts_with("requests.") && !resource.ends_with("storage")
            || resource.starts_with("limits.");
        let then = if pods {
            "running pods stay, no new one starts"
        } else {
            "what is there stays, nothing new is let in"
        };
        let said = format!("{resource}: {used} of {most} are used already: {then}");
        Some(Line::new(Level::Warning, "quota", said))
    };
    after.iter().filter_map(over).collect()
}

/// An amount as it was written: text, or a number.
fn amount_of(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s.clone()),
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    }
}

/// Whether the quota is about all pods of its namespace.
fn is_plain(quota: &Value) -> bool {
    items(quota, "/spec/scopes").is_empty() && quota.pointer("/spec/scopeSelector").is_none()
}

/// What the pods of a namespace use of what quotas are mostly about.
fn used_by(pods: &[Value]) -> Value {
    let runs = |pod: &&Value| !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
    let (mut count, mut cpu, mut memory, mut most_cpu, mut most_memory) = (0, 0, 0, 0, 0);
    for spec in pods.iter().filter(runs).map(|pod| pod.get("spec").unwrap_or(&Value::Null)) {
        let size = read::shape(spec).size;
        let (limit_cpu, limit_memory) = super::capacity::limited(spec);
        count += 1;
        cpu += i128::from(size.cpu.0);
        memory += i128::from(size.memory.0);
        most_cpu += limit_cpu;
        most_memory += limit_memory;
    }
    let (count, cpu, most_cpu) = (count.to_string(), format!("{cpu}m"), format!("{most_cpu}m"));
    let (memory, most_memory) = (bytes(memory), bytes(most_memory));
    json!({
        "pods": count, "count/pods": count, "cpu": cpu, "requests.cpu": cpu, "limits.cpu": most_cpu,
        "memory": memory, "requests.memory": memory, "limits.memory": most_memory,
    })
}

/// Whole mebibytes as such, anything else to the byte.
fn bytes(n: i128) -> String {
    if n % (1 << 20) == 0 { format!("{}Mi", n >> 20) } else { n.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::builtin;

    fn said(live: Option<Value>, hard: &Value, pods: Option<&Seen>) -> Vec<String> {
        let manifest = json!({"metadata": {"name": "q"}, "spec": {"hard": hard}});
        let change = Change::apply(builtin("resourcequota"), "t", live, manifest, false);
        lines(&change, pods).into_iter().map(|l| l.text).collect()
    }

    #[test]
    fn more_is_used_than_is_allowed_then() {
        let live = json!({"metadata": {"name": "q"}, "spec": {"hard": {"requests.cpu": "1", "pods": "2"}},
            "status": {"used": {"requests.cpu": "60m", "pods": "3", "requests.storage": "2Gi"}}});
        let of = |hard: Value| said(Some(live.clone()), &hard, None);
        assert_eq!(
            of(json!({"requests.cpu": "30m"})),
            ["requests.cpu: 60m of 30m are used already: running pods stay, no new one starts"]
        );
        assert_eq!(
            of(json!({"requests.storage": "1Gi"})),
            ["requests.storage: 2Gi of 1Gi are used already: what is there stays, nothing new is let in"]
        );
        assert_eq!(
            of(json!({"pods": 1})),
            ["pods: 3 of 1 are used already: running pods stay, no new one starts"]
        );
        assert_eq!(of(json!({"requests.cpu": "60m", "memory": "1Gi"})), [""; 0]);
        assert_eq!(of(json!({"pods": "2"})), [""; 0], "that was so before");
    }

    #[test]
    fn for_a_new_quota_the_pods_are_counted() {
        let container = json!({"resources": {"requests": {"cpu": "30m"}, "limits": {"memory": "64Mi"}}});
        let pod = |phase: &str| json!({"spec": {"containers": [container]}, "status": {"phase": phase}});
        let pods = Some(Ok(vec![pod("Running"), pod("Pending"), pod("Succeeded")]));
        let of = |hard: Value| said(None, &hard, pods.as_ref());
        assert_eq!(
            of(json!({"requests.cpu": "30m", "limits.memory": "100Mi", "pods": "2"})),
            [
                "requests.cpu: 60m of 30m are used already: running pods stay, no new one starts",
                "limits.memory: 128Mi of 100Mi are used already: running pods stay, no new one starts"
            ]
        );
        assert_eq!(said(None, &json!({"pods": "1"}), None), [""; 0]);
    }
}
