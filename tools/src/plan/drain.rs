//! Which pods of a node a drain asks to leave, and which it leaves alone (pure).

use serde_json::Value;

use crate::object::{items, text};

/// What a drain does with a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// It is asked to leave.
    Moves,
    /// Its DaemonSet would make it again, on this very node.
    DaemonSet,
    /// The node's own kubelet runs it.
    Static,
    /// It has ended already.
    Finished,
    /// It leaves already.
    Leaving,
}

/// What a drain does with a pod.
pub(crate) fn place(pod: &Value) -> Place {
    if pod.pointer("/metadata/annotations/kubernetes.io~1config.mirror").is_some() {
        Place::Static
    } else if controller(pod).is_some_and(|o| text(o, "/kind") == "DaemonSet") {
        Place::DaemonSet
    } else if matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
        Place::Finished
    } else if pod.pointer("/metadata/deletionTimestamp").is_some() {
        Place::Leaving
    } else {
        Place::Moves
    }
}

/// Who makes another pod when this one is gone.
pub(crate) fn controller(pod: &Value) -> Option<&Value> {
    items(pod, "/metadata/ownerReferences").iter().find(|o| o["controller"] == true)
}

/// Whether the pod keeps data on its node that go with it.
pub(crate) fn has_local_data(pod: &Value) -> bool {
    items(pod, "/spec/volumes").iter().any(|v| v.get("emptyDir").is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places() {
        let owned =
            |kind: &str| json!({"metadata": {"ownerReferences": [{"kind": kind, "controller": true}]}});
        assert_eq!(place(&owned("ReplicaSet")), Place::Moves);
        assert_eq!(place(&owned("DaemonSet")), Place::DaemonSet);
        assert_eq!(place(&json!({})), Place::Moves);
        assert_eq!(
            place(&json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}})),
            Place::Static
        );
        assert_eq!(place(&json!({"status": {"phase": "Succeeded"}})), Place::Finished);
        assert_eq!(
            place(&json!({"metadata": {"deletionTimestamp": "2026-11-21T04:00:00Z"}})),
            Place::Leaving
        );
        assert!(has_local_data(&json!({"spec": {"volumes": [{"emptyDir": {}}]}})));
    }
}
