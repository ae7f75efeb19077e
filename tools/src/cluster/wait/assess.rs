//! How far a rollout is, from the workload and its pods (pure).

use serde_json::Value;

use super::Rollout;
use crate::object::{is_paused, items, number, text};
use crate::sanitize;

/// Where a rollout stands.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    Ready,
    Coming {
        waiting_for: String,
    },
    /// It does not come by itself. `crashed` names the pod whose log says why.
    Stuck {
        cause: String,
        evidence: Vec<String>,
        crashed: Option<String>,
    },
}

/// Says how far a workload is, given its pods. The workload must carry its `kind`.
pub fn assess(live: &Value, pods: &[Value]) -> (State, Rollout) {
    let status = |field: &str| number(live, &format!("/status/{field}")).unwrap_or(0);
    let kind = text(live, "/kind");
    let desired = match kind {
        "DaemonSet" => status("desiredNumberScheduled"),
        _ => number(live, "/spec/replicas").unwrap_or(1),
    };
    let (ready, updated, total) = match kind {
        "DaemonSet" => {
            (status("numberAvailable"), status("updatedNumberScheduled"), status("currentNumberScheduled"))
        }
        "Deployment" => (status("availableReplicas"), status("updatedReplicas"), status("replicas")),
        _ => (status("readyReplicas"), status("updatedReplicas"), status("replicas")),
    };
    let mut rollout = Rollout { ready, desired, ..Rollout::default() };
    for pod in pods.iter().filter(|p| !is_ready(p)) {
        *rollout.pods.entry(doing(pod)).or_default() += 1;
    }
    let observed = status("observedGeneration") >= number(live, "/metadata/generation").unwrap_or(0);
    let all_updated = is_paused(live)
        || !matches!(kind, "Deployment" | "DaemonSet") && is_current(live)
        || updated >= desired;
    let none_left_over = total <= desired || kind == "DaemonSet";
    if observed && ready >= desired && all_updated && none_left_over {
        return (State::Ready, rollout);
    }
    if let Some(stuck) = stuck(live, pods) {
        return (stuck, rollout);
    }
    let waiting_for = if !observed {
        "the controller to notice the change".to_string()
    } else if total > desired {
        format!("{} old pods to stop", total - desired)
    } else {
        match rollout.pods.iter().max_by_key(|(_, n)| **n) {
            Some((what, n)) => format!("{n} pods: {what}"),
            None => format!("{} pods to be made", (desired - ready).max(0)),
        }
    };
    (State::Coming { waiting_for }, rollout)
}

/// A StatefulSet is current when its rollout reached every pod that its partition lets it.
fn is_current(live: &Value) -> bool {
    let update = text(live, "/status/updateRevision");
    let partitioned = number(live, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0) > 0;
    update.is_empty() || update == text(live, "/status/currentRevision") || partitioned
}

fn is_ready(pod: &Value) -> bool {
    items(pod, "/status/conditions")
        .iter()
        .any(|c| text(c, "/type") == "Ready" && text(c, "/status") == "True")
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    items(pod, "/status/initContainerStatuses").iter().chain(items(pod, "/status/containerStatuses"))
}

/// What a pod that is not ready does, in a word or two.
pub(super) fn doing(pod: &Value) -> String {
    if pod.pointer("/metadata/deletionTimestamp").is_some() {
        return "stopping".into();
    }
    if let Some(reason) = containers(pod).map(|c| text(c, "/state/waiting/reason")).find(|r| !r.is_empty()) {
        return match reason {
            "ContainerCreating" | "PodInitializing" => "starting".into(),
            other => sanitize::line(other),
        };
    }
    if unschedulable(pod).is_some() {
        return "Pending, no node has room".into();
    }
    match text(pod, "/status/phase") {
        "Running" => "running, not ready yet".into(),
        "Pending" if text(pod, "/spec/nodeName").is_empty() => "Pending".into(),
        "Pending" => "starting".into(),
        other => sanitize::line(other),
    }
}

fn unschedulable(pod: &Value) -> Option<&Value> {
    items(pod, "/status/conditions").iter().find(|c| {
        text(c, "/type") == "PodScheduled"
            && text(c, "/status") == "False"
            && text(c, "/reason") == "Unschedulable"
    })
}

/// Why it will not come: what the workload itself says, then what its pods say.
fn stuck(live: &Value, pods: &[Value]) -> Option<State> {
    let condition = |kind: &str, status: &str| {
        items(live, "/status/conditions")
            .iter()
            .find(|c| text(c, "/type") == kind && text(c, "/status") == status)
    };
    if let Some(failure) = condition("ReplicaFailure", "True") {
        let message = sanitize::line(text(failure, "/message"));
        return Some(State::Stuck {
            cause: refusal_cause(&message),
            evidence: vec![format!(
                "ReplicaFailure, {}: {message}",
                sanitize::line(text(failure, "/reason"))
            )],
            crashed: None,
        });
    }
    if let Some(created) =
        items(live, "/kai.events").iter().filter_map(Value::as_str).find(|e| e.starts_with("FailedCreate"))
    {
        return Some(State::Stuck {
            cause: refusal_cause(created),
            evidence: vec![created.to_string()],
            crashed: None,
        });
    }
    for pod in newest(live, pods) {
        if let Some(found) = pod_trouble(pod) {
            return Some(found);
        }
    }
    let late = items(live, "/status/conditions")
        .iter()
        .find(|c| text(c, "/type") == "Progressing" && text(c, "/reason") == "ProgressDeadlineExceeded")?;
    Some(State::Stuck {
        cause: "the rollout made no progress within its deadline".into(),
        evidence: vec![sanitize::line(text(late, "/message"))],
        crashed: None,
    })
}

/// The pods of the newest revision: what those do that are about to be replaced is no word on the change.
fn newest<'p>(live: &Value, pods: &'p [Value]) -> Vec<&'p Value> {
    let hash = |pod: &'p Value| {
        let of_set = text(pod, "/metadata/labels/controller-revision-hash");
        if of_set.is_empty() { text(pod, "/metadata/labels/pod-template-hash") } else { of_set }
    };
    let latest =
        pods.iter().max_by_key(|p| text(p, "/metadata/creationTimestamp")).map(hash).unwrap_or_default();
    let wanted = match text(live, "/status/updateRevision") {
        "" => latest,
        revision => revision,
    };
    let is_leaving = |p: &Value| p.pointer("/metadata/deletionTimestamp").is_some();
    pods.iter().filter(|p| !is_leaving(p) && (hash(p) == wanted || hash(p).is_empty())).collect()
}

pub(super) fn refusal_cause(message: &str) -> String {
    if message.contains("exceeded quota") {
        "new pods are refused: the namespace's quota is used up".into()
    } else {
        "new pods are refused by the API server".into()
    }
}

pub(super) fn pod_trouble(pod: &Value) -> Option<State> {
    let name = text(pod, "/metadata/name");
    for container in containers(pod) {
        let reason = text(container, "/state/waiting/reason");
        let image = sanitize::line(text(container, "/image"));
        let cause = match reason {
            "ErrImagePull" | "ImagePullBackOff" => format!("the image {image} cannot be pulled"),
            "InvalidImageName" => format!("{image} is not the name of an image"),
            "ErrImageNeverPull" => format!("the image {image} is not on the node and may not be pulled"),
            "CreateContainerConfigError" => {
                "the container's configuration refers to something that is missing".into()
            }
            "CreateContainerError" | "RunContainerError" => "the container cannot be started".into(),
            "CrashLoopBackOff" => {
                format!("container {} crashes again and again", sanitize::line(text(container, "/name")))
            }
            _ => continue,
        };
        let mut evidence = vec![format!(
            "pod/{name}: {}: {}",
            sanitize::line(reason),
            crate::redact::text(&sanitize::line(text(container, "/state/waiting/message")))
        )];
        let ended = container.pointer("/lastState/terminated").filter(|_| reason == "CrashLoopBackOff");
        if let Some(ended) = ended {
            let code = number(ended, "/exitCode").unwrap_or(0);
            evidence.push(format!("last exit: {}, code {code}", sanitize::line(text(ended, "/reason"))));
        }
        let crashed = ended.map(|_| name.to_string());
        return Some(State::Stuck { cause, evidence, crashed });
    }
    let pending = unschedulable(pod)?;
    Some(State::Stuck {
        cause: "no node takes the new pods".into(),
        evidence: vec![format!("pod/{name}: {}", sanitize::line(text(pending, "/message")))],
        crashed: None,
    })
}

/// How the container that ended a pod ended.
pub(super) fn crash(pod: &Value) -> Option<String> {
    containers(pod).find_map(|container| {
        let ended = container.pointer("/state/terminated")?;
        let code = number(ended, "/exitCode").filter(|code| *code != 0)?;
        Some(sanitize::line(&format!(
            "container {} of pod/{} exited with {code} ({})",
            text(container, "/name"),
            text(pod, "/metadata/name"),
            text(ended, "/reason")
        )))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(replicas: i64, updated: i64, available: i64, total: i64) -> Value {
        json!({"kind": "Deployment", "metadata": {"generation": 2}, "spec": {"replicas": replicas},
            "status": {"observedGeneration": 2, "replicas": total, "updatedReplicas": updated, "availableReplicas": available}})
    }

    #[test]
    fn deployments() {
        assert_eq!(assess(&deployment(3, 3, 3, 3), &[]).0, State::Ready);
        assert_eq!(assess(&deployment(0, 0, 0, 0), &[]).0, State::Ready);
        assert!(
            matches!(assess(&deployment(3, 3, 3, 4), &[]).0, State::Coming { waiting_for } if waiting_for == "1 old pods to stop")
        );
        assert!(matches!(assess(&deployment(3, 1, 3, 3), &[]).0, State::Coming { .. }), "not all updated");
        let mut unseen = deployment(3, 3, 3, 3);
        unseen["metadata"]["generation"] = json!(3);
        assert!(matches!(assess(&unseen, &[]).0, State::Coming { .. }));
        let mut paused = deployment(3, 0, 3, 3);
        paused["spec"]["paused"] = json!(true);
        assert_eq!(assess(&paused, &[]).0, State::Ready, "a paused rollout is not waited for");
    }

    #[test]
    fn a_bad_image_is_the_cause() {
        let pod = json!({"metadata": {"name": "b-1"}, "status": {"phase": "Pending", "containerStatuses": [{"name": "b", "image": "b:9", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"b:9\": not found"}}}]}});
        let (state, rollout) = assess(&deployment(2, 1, 1, 2), &[pod]);
        let State::Stuck { cause, evidence, .. } = state else { panic!("{state:?}") };
        assert_eq!(cause, "the image b:9 cannot be pulled");
        assert!(evidence[0].contains("not found"));
        assert_eq!(rollout.pods["ImagePullBackOff"], 1);
    }

    #[test]
    fn quota_and_scheduling() {
        let mut short = deployment(5, 2, 2, 2);
        short["status"]["conditions"] = json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "pods \"b\" is forbidden: exceeded quota: q"}]);
        assert!(matches!(assess(&short, &[]).0, State::Stuck { cause, .. } if cause.contains("quota")));
        let pending = json!({"metadata": {"name": "b-2"}, "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient cpu."}]}});
        assert!(
            matches!(assess(&deployment(2, 2, 1, 2), &[pending]).0, State::Stuck { cause, .. } if cause.contains("no node"))
        );
    }

    #[test]
    fn statefulsets_wait_for_their_revision() {
        let set = |current: &str| {
            json!({"kind": "StatefulSet", "metadata": {"generation": 1}, "spec": {"replicas": 2},
            "status": {"observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 1, "currentRevision": current, "updateRevision": "b"}})
        };
        assert!(matches!(assess(&set("a"), &[]).0, State::Coming { .. }));
        assert_eq!(assess(&set("b"), &[]).0, State::Ready);
    }
}
