//! What keeps pods from being made although nothing is wrong with them where they would run: quotas, limits, pod
//! security, policies, webhooks, and names that admission looks up.

pub mod limits;
pub mod names;
pub mod policy;
pub mod psa;
pub mod quota;
pub mod rejected;
pub mod webhook;

use serde_json::{Value, json};

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Class, Finding, Fix};
use crate::index::Workload;
use rejected::Rejection;

/// Seconds after which a controller that failed to make a pod surely has tried again: its longest back-off and a bit.
const LONGEST_BACK_OFF: i64 = 1200;

/// A change of the pods of a workload, as a partial manifest; none where the template cannot be changed.
pub(crate) fn pod_change(workload: &Workload<'_>, says: impl Into<String>, spec: Value) -> Option<Fix> {
    let kind = match workload.kind {
        "deployment" => "Deployment",
        "statefulset" => "StatefulSet",
        "daemonset" => "DaemonSet",
        _ => return None,
    };
    let manifest = json!({
        "apiVersion": "apps/v1", "kind": kind,
        "metadata": {"name": workload.meta.name, "namespace": workload.meta.namespace},
        "spec": {"template": {"spec": spec}},
    });
    Some(Fix::call(says, "apply", json!({"manifest": manifest.to_string(), "take_over": true})))
}

/// What kept the pods away is gone, and the controller has not tried again yet. Nothing is to be mended.
fn over(engine: &mut Engine<'_>, cause: &Cause, rejection: &Rejection<'_>, what: &str) -> Roots {
    if rejection.last.older_than(LONGEST_BACK_OFF, engine.snap.now) {
        return Roots::new();
    }
    let workload = rejection.workload;
    let says = format!("waits for the next try to make its pods: {what}");
    let finding = Finding::new(cause, workload.object(), says)
        .class(Class::Risk)
        .since(rejection.first)
        .seen(rejection.by.clone(), rejection.at, rejection.text.clone());
    let finding = match workload.kind {
        "job" => finding.fix(Fix::advice("wait: it tries again within 20 minutes")),
        _ => finding.fix(Fix::call(
            format!("restart {}, so that it tries now; by itself it tries within 20 minutes", workload.object()),
            "rollout",
            json!({"action": "restart", "workload": workload.object().to_string(), "namespace": workload.meta.namespace}),
        )),
    };
    engine.root(finding)
}
