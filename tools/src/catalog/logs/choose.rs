//! Which pods and which container are worth reading, told from their status (pure).

use serde_json::{Value, json};

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

/// That a container died and is well again: how often, and how the last time.
fn restarted(status: &Value) -> Option<(i64, String)> {
    let times = number(status, "/restartCount").filter(|n| *n > 0)?;
    let code = number(status, "/lastState/terminated/exitCode")?;
    let how = match text(status, "/lastState/terminated/reason") {
        "" | "Error" | "Completed" => format!("exited with {code}"),
        reason => format!("{}, exit code {code}", sanitize::line(reason)),
    };
    let times_said = if times == 1 { "once".into() } else { format!("{times} times") };
    Some((times, format!("it restarted {times_said}, last {how}")))
}

/// Containers that serve another one in their pod, as their injectors and charts name them.
const SIDECARS: [&str; 30] = [
    "aws-xray-daemon",
    "cloud-sql-proxy",
    "cloudsql-proxy",
    "config-reloader",
    "consul-dataplane",
    "daprd",
    "datadog-agent",
    "envoy",
    "filebeat",
    "fluent-bit",
    "fluentbit",
    "fluentd",
    "gce-proxy",
    "istio-proxy",
    "jaeger-agent",
    "kube-rbac-proxy",
    "kuma-sidecar",
    "linkerd-proxy",
    "logrotate",
    "nginx-exporter",
    "oauth2-proxy",
    "opentelemetry-collector",
    "otc-container",
    "otel-collector",
    "promtail",
    "queue-proxy",
    "tailscale",
    "vault-agent",
    "vector",
    "xray-daemon",
];

fn is_sidecar(container: &str) -> bool {
    SIDECARS.contains(&container)
        || ["-exporter", "-sidecar", "-reloader"].iter().any(|end| container.ends_with(end))
}

/// The container to read: the one named; else by evidence, the one in the worst trouble, or the one that restarted; else
/// the one that the pod is there for. For the run before a restart, one that had such a run.
///
/// # Errors
/// When there is none of that name: a sentence with those there are.
pub(super) fn container(
    pod: &Value,
    named: Option<&str>,
    workload: &str,
    previous: bool,
) -> Result<Choice, String> {
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
    if let Some((container, because)) = evidence(pod, previous) {
        return Ok(Choice { container, because });
    }
    let of = main.len() + init.len();
    let usual = text(pod, "/metadata/annotations/kubectl.kubernetes.io~1default-container");
    let own: Vec<&String> = main.iter().filter(|c| !is_sidecar(c)).collect();
    let like = |c: &String| workload.split('-').any(|w| w == c);
    let (container, because) = if let Some(found) = main.iter().find(|c| *c == usual) {
        (found, "the pod's default".to_string())
    } else if let Some(found) = main.iter().find(|c| workload == *c) {
        (found, "named like the workload".to_string())
    } else if let ([only], true) = (own.as_slice(), main.len() > 1) {
        let beside: Vec<String> = main.iter().filter(|c| c != only).map(|c| sanitize::line(c)).collect();
        let beside = match beside.as_slice() {
            [one] => format!("{one} is a sidecar"),
            several => format!("{} are sidecars", several.join(", ")),
        };
        (*only, beside)
    } else if let Some(found) = main.iter().find(|c| like(c)) {
        (found, "named like the workload".to_string())
    } else if let Some(found) = own.first().filter(|c| main.first() != Some(**c)) {
        (*found, "the first that is no sidecar".to_string())
    } else {
        (main.first().ok_or("the pod has no containers")?, format!("the first of {of}"))
    };
    Ok(Choice { container: container.clone(), because: if of > 1 { because } else { String::new() } })
}

/// The container that went wrong, and how: the worse the sooner, and of equals one that is no sidecar, then the first.
fn evidence(pod: &Value, previous: bool) -> Option<(String, String)> {
    let rank = |init: bool, status: &Value| -> Option<(u8, i64, String)> {
        if previous && status.pointer("/lastState/terminated").is_none() {
            return None;
        }
        // An init container that still runs or failed is what the pod waits for; one that is done says nothing.
        let is_done = init && status.pointer("/state/terminated/exitCode") == Some(&0.into());
        match (trouble(status).filter(|_| !is_done), restarted(status)) {
            (Some((level, how)), _) if level > 1 => Some((level, 0, how)),
            // That it died before says more than that it is not ready yet.
            (_, Some((times, how))) => Some((1, times, how)),
            (Some((_, how)), None) => Some((0, 0, how)),
            (None, None) => None,
        }
    };
    let mut best: Option<((u8, bool, i64), String, String)> = None;
    for (init, status) in statuses(pod) {
        let name = text(status, "/name");
        if let Some((level, times, how)) = rank(init, status) {
            let key = (level, !is_sidecar(name), times);
            if best.as_ref().is_none_or(|(other, ..)| key > *other) {
                best = Some((key, name.to_string(), how));
            }
        }
    }
    best.map(|(_, name, how)| (name, how))
}

/// The part of a pod that is looked at here and by `logs`: there may be thousands.
pub(super) fn what_it_takes(pod: &Value) -> Value {
    let names = |at: &str| -> Vec<Value> {
        items(pod, at).iter().map(|c| json!({"name": text(c, "/name")})).collect()
    };
    let usual = "kubectl.kubernetes.io/default-container";
    json!({
        "metadata": {
            "name": text(pod, "/metadata/name"),
            "generateName": text(pod, "/metadata/generateName"),
            "creationTimestamp": text(pod, "/metadata/creationTimestamp"),
            "annotations": {usual: pod.pointer("/metadata/annotations").and_then(|a| a.get(usual))},
        },
        "spec": {"containers": names("/spec/containers"), "initContainers": names("/spec/initContainers")},
        "status": pod.get("status"),
    })
}

/// What a pod is called in front of its lines: the part that its controller added, when that says enough.
pub(super) fn short_name(pod: &Value) -> String {
    let name = text(pod, "/metadata/name");
    let short = name.strip_prefix(text(pod, "/metadata/generateName")).unwrap_or(name);
    let says_enough = short.len() >= 4 && !short.bytes().all(|b| b.is_ascii_digit());
    if says_enough { short } else { name }.to_string()
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
        let choice = container(&crashed, None, "other", false).unwrap();
        assert_eq!(choice.container, "web");
        assert_eq!(choice.because, "it is in CrashLoopBackOff, last exited with 1");
        let unready = pod(
            json!([{"name": "proxy", "ready": true, "state": {"running": {}}}, {"name": "web", "ready": false, "state": {"running": {}}}]),
        );
        assert_eq!(container(&unready, None, "x", false).unwrap().because, "it is not ready");
        let equal = pod(
            json!([{"name": "proxy", "ready": false, "state": {"running": {}}}, {"name": "web", "ready": false, "state": {"running": {}}}]),
        );
        assert_eq!(container(&equal, None, "x", false).unwrap().container, "proxy", "the first of equals");
    }

    #[test]
    fn without_trouble_the_likely_one() {
        let well = pod(json!([]));
        assert_eq!(container(&well, None, "web", false).unwrap().because, "named like the workload");
        assert_eq!(container(&well, None, "shop", false).unwrap().because, "the first of 2");
        assert_eq!(container(&well, Some("proxy"), "web", false).unwrap().container, "proxy");
        let error = container(&well, Some("db"), "web", false).unwrap_err();
        assert_eq!(error, "pod/web-1 has no container `db`; it has proxy, web");
        let mut usual = well.clone();
        usual["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/default-container": "proxy"});
        assert_eq!(container(&usual, None, "web", false).unwrap().container, "proxy");
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
            container(&pod, None, "web", false).unwrap(),
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

    #[test]
    fn a_restart_is_evidence_and_a_sidecar_is_not_meant() {
        let pod = |names: [&str; 2], statuses: Value| json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": names[0]}, {"name": names[1]}]}, "status": {"containerStatuses": statuses}});
        let chosen = |pod: &Value, previous| container(pod, None, "shop", previous).unwrap();
        let well =
            |name: &str| json!({"name": name, "ready": true, "restartCount": 0, "state": {"running": {}}});
        let died = |name: &str, times: i64| {
            json!({"name": name, "ready": true, "restartCount": times, "state": {"running": {}},
            "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}})
        };
        let choice = chosen(&pod(["web", "cron"], json!([well("web"), died("cron", 3)])), false);
        assert_eq!(choice.container, "cron");
        assert_eq!(choice.because, "it restarted 3 times, last OOMKilled, exit code 137");
        let both = pod(["istio-proxy", "web"], json!([died("istio-proxy", 9), died("web", 1)]));
        assert_eq!(chosen(&both, false).container, "web", "of equals the one that is no sidecar");
        let starting = json!({"name": "web", "ready": false, "state": {"running": {}}});
        let one = pod(["web", "cron"], json!([starting, died("cron", 1)]));
        assert_eq!(chosen(&one, true).container, "cron", "only it has an earlier run");

        let calm = chosen(&pod(["istio-proxy", "web"], json!([well("istio-proxy"), well("web")])), false);
        assert_eq!((calm.container.as_str(), calm.because.as_str()), ("web", "istio-proxy is a sidecar"));
        let none = pod(["envoy", "fluentd"], json!([]));
        assert_eq!(chosen(&none, false).container, "envoy", "where all are sidecars, the first");
    }

    #[test]
    fn pods_have_short_names_that_can_be_told_apart() {
        let named = |name: &str, generate: &str| {
            short_name(&json!({"metadata": {"name": name, "generateName": generate}}))
        };
        assert_eq!(named("web-7d9f-x2x9k", "web-7d9f-"), "x2x9k");
        assert_eq!(named("db-0", "db-"), "db-0");
        assert_eq!(named("bare", ""), "bare");
    }

    #[test]
    fn nothing_is_lost_that_the_choice_needs() {
        let mut pod = pod(json!([{"name": "web", "ready": false, "state": {"terminated": {"exitCode": 2}}}]));
        pod["metadata"]["annotations"] =
            json!({"kubectl.kubernetes.io/default-container": "proxy", "big": "x"});
        let kept = what_it_takes(&pod);
        assert_eq!(container(&kept, None, "x", false), container(&pod, None, "x", false));
        pod["status"] = json!({});
        assert_eq!(container(&what_it_takes(&pod), None, "x", false).unwrap().container, "proxy");
        assert!(!kept.to_string().contains("big"));
    }
}
