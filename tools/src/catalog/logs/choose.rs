//! Which pods and which container are worth reading, told from their status (pure).

use serde_json::Value;

use crate::object::{items, number, text};
use crate::sanitize;

/// A container, and why it was chosen; no reason when there was no choice.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Choice {
    pub container: String,
    pub because: String,
}

/// The pods to read, those in trouble first and then the newest, and how many are left out.
pub(super) fn pods(mut pods: Vec<Value>, most: usize) -> (Vec<Value>, usize) {
    pods.sort_by(|a, b| {
        let born = |p| text(p, "/metadata/creationTimestamp").to_string();
        rank(a).cmp(&rank(b)).then_with(|| born(b).cmp(&born(a)))
    });
    let left_out = pods.len().saturating_sub(most);
    pods.truncate(most);
    (pods, left_out)
}

/// In trouble with something to say, well, and last those that never ran: they have no log.
fn rank(pod: &Value) -> u8 {
    let ran = |s: &Value| {
        ["/state/running", "/state/terminated", "/lastState/terminated"]
            .iter()
            .any(|p| s.pointer(p).is_some())
    };
    if !statuses(pod).any(|(_, s)| ran(s)) {
        return 2;
    }
    u8::from(statuses(pod).all(|(_, s)| trouble(s).is_none()) && text(pod, "/status/phase") != "Failed")
}

/// Container statuses with whether they are of init containers.
fn statuses(pod: &Value) -> impl Iterator<Item = (bool, &Value)> {
    let list = |path, init| items(pod, path).iter().map(move |s| (init, s));
    list("/status/initContainerStatuses", true).chain(list("/status/containerStatuses", false))
}

/// What is wrong with a container, the worse the higher, and in words.
fn trouble(status: &Value) -> Option<(u8, String)> {
    let exit = |at: &str| {
        number(status, &format!("{at}/terminated/exitCode")).filter(|code| *code != 0).map(|code| match text(
            status,
            &format!("{at}/terminated/reason"),
        ) {
            "" | "Error" => format!("exited with {code}"),
            reason => format!("{}, exit code {code}", sanitize::line(reason)),
        })
    };
    let ready = status.get("ready").and_then(Value::as_bool).unwrap_or(false);
    let waiting = text(status, "/state/waiting/reason");
    if let Some(how) = exit("/state") {
        return Some((4, format!("it {how}")));
    }
    if waiting == "CrashLoopBackOff" {
        let how = exit("/lastState").map(|h| format!(", last {h}")).unwrap_or_default();
        return Some((4, format!("it is in CrashLoopBackOff{how}")));
    }
    if !ready && let Some(how) = exit("/lastState") {
        return Some((3, format!("it is not ready and before {how}")));
    }
    if !waiting.is_empty() && !matches!(waiting, "PodInitializing" | "ContainerCreating") {
        return Some((2, format!("it waits: {}", sanitize::line(waiting))));
    }
    if !ready && status.pointer("/state/running").is_some() {
        return Some((1, "it is not ready".into()));
    }
    None
}

/// The container to read: the one named, else the one in the worst trouble, else the pod's own default, the one named
/// like the workload, or the first.
///
/// # Errors
/// When there is none of that name: a sentence with those there are.
pub(super) fn container(pod: &Value, named: Option<&str>, workload: &str) -> Result<Choice, String> {
    let name = |c: &Value| text(c, "/name").to_string();
    let main: Vec<String> = items(pod, "/spec/containers").iter().map(name).collect();
    let init: Vec<String> = items(pod, "/spec/initContainers").iter().map(name).collect();
    if let Some(named) = named.map(str::trim).filter(|n| !n.is_empty()) {
        if main.iter().chain(&init).any(|c| c == named) {
            return Ok(Choice { container: named.into(), because: String::new() });
        }
        let all: Vec<String> = main.iter().chain(&init).map(|c| sanitize::line(c)).collect();
        let (shown, pod) = (sanitize::line(named), sanitize::line(text(pod, "/metadata/name")));
        return Err(format!("pod/{pod} has no container `{shown}`; it has {}", all.join(", ")));
    }
    if main.len() == 1 && init.is_empty() {
        return Ok(Choice { container: main[0].clone(), because: String::new() });
    }
    // An init container that still runs or failed is what the pod waits for; one that is done says nothing.
    let worst = statuses(pod)
        .filter(|(init, s)| !init || s.pointer("/state/terminated/exitCode") != Some(&0.into()))
        .filter_map(|(_, s)| Some((trouble(s)?, name(s))))
        .max_by(|a, b| a.0.0.cmp(&b.0.0).then(std::cmp::Ordering::Greater));
    if let Some(((_, because), container)) = worst {
        return Ok(Choice { container, because });
    }
    let of = main.len() + init.len();
    let usual = text(pod, "/metadata/annotations/kubectl.kubernetes.io~1default-container");
    let (container, because) = if let Some(found) = main.iter().find(|c| *c == usual) {
        (found, "the pod's default".to_string())
    } else if let Some(found) = main.iter().find(|c| workload == *c) {
        (found, "named like the workload".to_string())
    } else if let Some(found) = main.iter().find(|c| workload.split('-').any(|w| w == c.as_str())) {
        (found, "named like the workload".to_string())
    } else {
        (main.first().ok_or("the pod has no containers")?, format!("the first of {of}"))
    };
    Ok(Choice { container: container.clone(), because: if of > 1 { because } else { String::new() } })
}

/// Why a container has not said anything: what it waits for, in the words of its pod.
pub(super) fn waiting(pod: &Value, container: &str) -> Option<String> {
    let status = statuses(pod).map(|(_, s)| s).find(|s| text(s, "/name") == container);
    let reason = status.map_or("", |s| text(s, "/state/waiting/reason"));
    if !reason.is_empty() {
        let message = status.map_or("", |s| text(s, "/state/waiting/message"));
        let message = if message.is_empty() { String::new() } else { format!(", {message}") };
        return Some(format!("container {container} is waiting: {reason}{message}"));
    }
    let condition = items(pod, "/status/conditions")
        .iter()
        .find(|c| text(c, "/type") == "PodScheduled" && text(c, "/status") == "False");
    if let Some(condition) = condition {
        return Some(format!("the pod is not scheduled: {}", text(condition, "/message")));
    }
    (status.is_none() && text(pod, "/status/phase") == "Pending").then(|| "the pod is still Pending".into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(statuses: Value) -> Value {
        json!({"metadata": {"name": "web-1"}, "spec": {"containers": [{"name": "proxy"}, {"name": "web"}]},
            "status": {"phase": "Running", "containerStatuses": statuses}})
    }

    #[test]
    fn the_container_in_trouble_is_chosen() {
        let crashed = pod(json!([
            {"name": "proxy", "ready": false, "state": {"running": {}}},
            {"name": "web", "ready": false, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}},
        ]));
        let choice = container(&crashed, None, "other").unwrap();
        assert_eq!(choice.container, "web");
        assert_eq!(choice.because, "it is in CrashLoopBackOff, last exited with 1");
        let unready = pod(
            json!([{"name": "proxy", "ready": true, "state": {"running": {}}}, {"name": "web", "ready": false, "state": {"running": {}}}]),
        );
        assert_eq!(container(&unready, None, "x").unwrap().because, "it is not ready");
        let equal = pod(
            json!([{"name": "proxy", "ready": false, "state": {"running": {}}}, {"name": "web", "ready": false, "state": {"running": {}}}]),
        );
        assert_eq!(container(&equal, None, "x").unwrap().container, "proxy", "the first of equals");
    }

    #[test]
    fn without_trouble_the_likely_one() {
        let well = pod(json!([]));
        assert_eq!(container(&well, None, "web").unwrap().because, "named like the workload");
        assert_eq!(container(&well, None, "shop").unwrap().because, "the first of 2");
        assert_eq!(container(&well, Some("proxy"), "web").unwrap().container, "proxy");
        let error = container(&well, Some("db"), "web").unwrap_err();
        assert_eq!(error, "pod/web-1 has no container `db`; it has proxy, web");
        let mut usual = well.clone();
        usual["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/default-container": "proxy"});
        assert_eq!(container(&usual, None, "web").unwrap().container, "proxy");
    }

    #[test]
    fn a_failing_init_container_comes_first() {
        let mut pod = pod(
            json!([{"name": "web", "ready": false, "state": {"waiting": {"reason": "PodInitializing"}}}]),
        );
        pod["spec"]["initContainers"] = json!([{"name": "migrate"}]);
        pod["status"]["initContainerStatuses"] =
            json!([{"name": "migrate", "ready": false, "state": {"terminated": {"exitCode": 2}}}]);
        assert_eq!(
            container(&pod, None, "web").unwrap(),
            Choice { container: "migrate".into(), because: "it exited with 2".into() }
        );
        assert_eq!(waiting(&pod, "web").unwrap(), "container web is waiting: PodInitializing");
    }

    #[test]
    fn pods_in_trouble_come_first_then_the_newest() {
        let at = |name: &str, time: &str, ready: bool| {
            json!({"metadata": {"name": name, "creationTimestamp": time},
            "status": {"containerStatuses": [{"name": "a", "ready": ready, "state": {"running": {}}}]}})
        };
        let (chosen, left_out) = pods(
            vec![
                at("old", "2026-01-01T00:00:00Z", true),
                at("new", "2026-01-02T00:00:00Z", true),
                json!({"metadata": {"name": "pending", "creationTimestamp": "2026-01-03T00:00:00Z"}}),
                at("bad", "2025-01-01T00:00:00Z", false),
            ],
            2,
        );
        let names: Vec<&str> = chosen.iter().map(|p| text(p, "/metadata/name")).collect();
        assert_eq!((names, left_out), (vec!["bad", "new"], 2));
    }
}
