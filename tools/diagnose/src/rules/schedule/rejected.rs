//! Pods that their kubelet turned away after they were given to it.

use serde_json::json;

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, FixCall, Object};
use crate::model::Pod;
use crate::rules::schedule::place::template_of;

pub(super) const REJECTED: Cause = Cause::fault(
    "kubelet-admission-reject",
    3,
    "A kubelet turned a pod away because the node does not suit it after all.",
);

/// A failed pod that never ran. A workload that has all its pods has replaced it, and is not asked here.
pub fn rejected<'a>(engine: &mut Engine<'a>, pod: &'a Pod) -> Roots {
    let reason = pod.status.reason.as_str();
    let is_rejected = reason.starts_with("OutOf")
        || matches!(
            reason,
            "NodeAffinity"
                | "NodePorts"
                | "UnexpectedAdmissionError"
                | "TopologyAffinityError"
                | "PodOSNotSupported"
        );
    if pod.status.phase != "Failed" || !is_rejected {
        return Roots::new();
    }
    let maker = engine.index.maker(pod);
    let workload = engine.index.workload(pod);
    let is_pinned = workload.is_some_and(|w| !w.template.spec.node_name.is_empty());
    let node = &pod.spec.node_name;
    let why = match reason {
        "NodeAffinity" => "its labels do not fit the pod's selector or affinity".to_owned(),
        "NodePorts" => "a port of the node that it wants is taken".to_owned(),
        "PodOSNotSupported" => "it has another operating system".to_owned(),
        "UnexpectedAdmissionError" | "TopologyAffinityError" => {
            "it cannot give the devices or cores".to_owned()
        }
        _ => format!("it has not enough {}", reason.trim_start_matches("OutOf")),
    };
    let pinned =
        if is_pinned { "; the pod names its node, so that no scheduler looked for room" } else { "" };
    let says = format!("pods are turned away by the kubelet of {node} with {reason}: {why}{pinned}");
    let object = if maker == Object::pod(pod) { Object::pod(pod) } else { maker.clone() };
    let finding = Finding::new(&REJECTED, object, says)
        .which(reason)
        .seen(Object::pod(pod), "status.reason", format!("{reason}: {}", pod.status.message))
        .since(pod.status.start_time)
        .observed();
    let unpinned = is_pinned.then(|| template_of(&maker, &json!({"nodeName": ""}))).flatten();
    let delete = FixCall {
        tool: "delete".into(),
        arguments: json!({"kind": "pod", "name": pod.metadata.name, "namespace": pod.metadata.namespace}),
    };
    let finding = match unpinned {
        Some(call) => finding
            .fix(Fix { says: format!("let the scheduler choose the node of {maker}"), calls: vec![call] }),
        None if maker == Object::pod(pod) => finding.fix(Fix::advice(format!(
            "make pod {} anew: it does not start again by itself",
            pod.metadata.name
        ))),
        None => finding.fix(Fix {
            says: format!("delete the failed pod {}, so that another takes its place", pod.metadata.name),
            calls: vec![delete],
        }),
    };
    engine.root(finding)
}
