//! What is looked at of a pod: whose it is, where it runs, what it asks for (pure).

use serde_json::{Value, json};

use crate::object::{controller_of_pod, items, number, text};
use crate::resources::{self, Amounts};

/// A pod, as far as usage goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Pod {
    pub name: String,
    pub namespace: String,
    /// `deployment/backend`.
    pub workload: String,
    pub node: String,
    pub requests: Amounts,
    pub limits: Amounts,
    pub containers: Vec<Container>,
}

/// A container that runs as long as its pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Container {
    pub name: String,
    pub requests: Amounts,
    pub limits: Amounts,
}

/// The pods of an answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub pods: Vec<Pod>,
    /// Whether there are more.
    pub is_cut: bool,
}

impl Facts {
    /// From what [`what_it_takes`] kept.
    pub(super) fn of(kept: &[Value], is_cut: bool) -> Self {
        let amounts = |value: &Value, which: &str| Amounts {
            cpu: number(value, &format!("/{which}/cpu")).map(i128::from),
            memory: number(value, &format!("/{which}/memory")).map(i128::from),
        };
        let pod = |kept: &Value| Pod {
            name: text(kept, "/name").into(),
            namespace: text(kept, "/namespace").into(),
            workload: text(kept, "/workload").into(),
            node: text(kept, "/node").into(),
            requests: amounts(kept, "requests"),
            limits: amounts(kept, "limits"),
            containers: items(kept, "/containers")
                .iter()
                .map(|c| Container {
                    name: text(c, "/name").into(),
                    requests: amounts(c, "requests"),
                    limits: amounts(c, "limits"),
                })
                .collect(),
        };
        Self { pods: kept.iter().map(pod).collect(), is_cut }
    }
}

/// The little of a pod that is kept of thousands.
pub(super) fn what_it_takes(pod: &Value) -> Value {
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    let amounts = |of: Amounts| json!({"cpu": small(of.cpu), "memory": small(of.memory)});
    let is_sidecar = |c: &&Value| text(c, "/restartPolicy") == "Always";
    let running = items(spec, "/initContainers").iter().filter(is_sidecar).chain(items(spec, "/containers"));
    json!({
        "name": text(pod, "/metadata/name"),
        "namespace": text(pod, "/metadata/namespace"),
        "workload": workload(pod),
        "node": text(spec, "/nodeName"),
        "requests": amounts(resources::requests(spec)),
        "limits": amounts(resources::limits(spec)),
        "containers": running.map(|c| json!({
            "name": text(c, "/name"),
            "requests": amounts(Amounts::of(c.pointer("/resources/requests"))),
            "limits": amounts(Amounts::of(c.pointer("/resources/limits"))),
        })).collect::<Vec<_>>(),
    })
}

fn small(amount: Option<i128>) -> Option<i64> {
    amount.map(|a| i64::try_from(a).unwrap_or(i64::MAX))
}

/// The controller of a pod; of a CronJob's Job the CronJob, whose name is the Job's without its moment.
fn workload(pod: &Value) -> String {
    let controller = controller_of_pod(pod);
    let cron = controller.strip_prefix("job/").and_then(|job| job.rsplit_once('-'));
    match cron {
        Some((name, moment)) if moment.len() == 8 && moment.bytes().all(|b| b.is_ascii_digit()) => {
            format!("cronjob/{name}")
        }
        _ => controller,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_kept_and_nothing_lost() {
        let pod = json!({"metadata": {"name": "web-7d9f-x", "namespace": "todo", "labels": {"pod-template-hash": "7d9f"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "web-7d9f", "controller": true}]},
            "spec": {"nodeName": "n1", "initContainers": [{"name": "mesh", "restartPolicy": "Always", "resources": {"requests": {"cpu": "10m"}}}, {"name": "once"}],
                "containers": [{"name": "web", "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "1Mi"}}}]}});
        let facts = Facts::of(&[what_it_takes(&pod)], false);
        let pod = &facts.pods[0];
        assert_eq!((pod.workload.as_str(), pod.node.as_str()), ("deployment/web", "n1"));
        assert_eq!((pod.requests.cpu, pod.limits.memory), (Some(110), None), "the sidecar has no limit");
        let names: Vec<&str> = pod.containers.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["mesh", "web"]);
    }

    #[test]
    fn a_cron_job_s_pods_are_its_own() {
        let pod = |job: &str| json!({"metadata": {"name": "p", "ownerReferences": [{"kind": "Job", "name": job, "controller": true}]}});
        assert_eq!(workload(&pod("backup-29387520")), "cronjob/backup");
        assert_eq!(workload(&pod("backup-once")), "job/backup-once");
    }
}
