//! How far a Job is, from itself and its pods (pure).

use serde_json::Value;

use super::assess::{crash, doing, pod_trouble, refusal_cause};
use super::{Rollout, State};
use crate::object::{items, number, text};
use crate::sanitize;

/// Says how far a Job is. One that is to be suspended is there when nothing of it runs any more.
pub(super) fn job(live: &Value, pods: &[Value]) -> (State, Rollout) {
    let mut rollout = Rollout::default();
    for pod in pods.iter().filter(|p| text(p, "/status/phase") != "Succeeded") {
        *rollout.pods.entry(doing(pod)).or_default() += 1;
    }
    (state(live, pods), rollout)
}

fn state(live: &Value, pods: &[Value]) -> State {
    let is = |name: &str| {
        items(live, "/status/conditions")
            .iter()
            .find(|c| text(c, "/type") == name && text(c, "/status") == "True")
    };
    if live.is_null() {
        return State::Coming { waiting_for: "it to appear".into() };
    }
    if is("Complete").is_some() {
        return State::Ready;
    }
    if let Some(failed) = is("Failed") {
        return why_failed(failed, pods);
    }
    if live.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true) {
        return match number(live, "/status/active").unwrap_or(0) {
            0 => State::Ready,
            n => State::Coming { waiting_for: format!("{n} pods to stop") },
        };
    }
    if let Some(refused) =
        items(live, "/kai.events").iter().filter_map(Value::as_str).find(|e| e.starts_with("FailedCreate"))
    {
        let evidence = vec![refused.to_string()];
        return State::Stuck { cause: refusal_cause(refused), evidence, crashed: None };
    }
    // A container that crashed is started again, as often as the Job allows: that is no end.
    let again = |stuck: &State| matches!(stuck, State::Stuck { crashed: Some(_), .. });
    let standing = pods.iter().filter(|p| p.pointer("/metadata/deletionTimestamp").is_none());
    match standing.filter_map(pod_trouble).find(|stuck| !again(stuck)) {
        Some(stuck) => stuck,
        None => State::Coming { waiting_for: "its pods to finish".into() },
    }
}

/// What the Job says itself, with what its last failed pod says.
fn why_failed(failed: &Value, pods: &[Value]) -> State {
    let said = sanitize::line(&format!("{}: {}", text(failed, "/reason"), text(failed, "/message")));
    let last = pods
        .iter()
        .filter(|p| text(p, "/status/phase") == "Failed")
        .max_by_key(|p| text(p, "/metadata/creationTimestamp"));
    let ended = last.and_then(crash);
    let crashed = last.map(|p| text(p, "/metadata/name").to_string());
    match ended {
        Some(ended) => State::Stuck { cause: ended, evidence: vec![said], crashed },
        None => State::Stuck { cause: said, evidence: Vec::new(), crashed },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(status: &str) -> Value {
        json!({"status": {"conditions": [{"type": status, "status": "True", "reason": "BackoffLimitExceeded", "message": "no"}]}})
    }

    fn pod(phase: &str, container: Value) -> Value {
        json!({"metadata": {"name": "b-1"}, "status": {"phase": phase, "containerStatuses": [container]}})
    }

    #[test]
    fn jobs_complete_or_fail_with_what_their_pod_says() {
        assert_eq!(job(&of("Complete"), &[]).0, State::Ready);
        let died =
            pod("Failed", json!({"name": "c", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}));
        let State::Stuck { cause, evidence, crashed } = job(&of("Failed"), &[died]).0 else { panic!() };
        assert_eq!(cause, "container c of pod/b-1 exited with 3 (Error)");
        assert!(evidence[0].contains("BackoffLimitExceeded") && crashed.as_deref() == Some("b-1"));
        assert!(
            matches!(job(&of("Failed"), &[]).0, State::Stuck { cause, .. } if cause.contains("BackoffLimitExceeded"))
        );
        assert!(matches!(job(&json!({}), &[]).0, State::Coming { .. }));
    }

    #[test]
    fn a_crash_is_tried_again_and_a_missing_image_is_not() {
        let waiting = |reason: &str| {
            pod(
                "Pending",
                json!({"name": "c", "image": "x:1", "state": {"waiting": {"reason": reason}}, "lastState": {"terminated": {"exitCode": 1}}}),
            )
        };
        assert!(matches!(job(&json!({}), &[waiting("CrashLoopBackOff")]).0, State::Coming { .. }));
        assert!(
            matches!(job(&json!({}), &[waiting("ErrImagePull")]).0, State::Stuck { cause, .. } if cause.contains("x:1"))
        );
    }

    #[test]
    fn what_is_suspended_is_still_when_nothing_runs() {
        let suspended = |active: i64| json!({"spec": {"suspend": true}, "status": {"active": active}});
        assert!(matches!(job(&suspended(2), &[]).0, State::Coming { .. }));
        assert_eq!(job(&suspended(0), &[]).0, State::Ready);
    }
}
