//! Nodes that nobody hears from: what is asked of their pods does not happen before they are back (pure).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Level, Line};
use crate::object::{is_silent, items, text};
use crate::plan::{Change, Does};

/// The names of the silent ones.
pub(super) fn silent(nodes: &[Value]) -> BTreeSet<String> {
    nodes.iter().filter(|n| is_silent(n)).map(|n| text(n, "/metadata/name").to_owned()).collect()
}

/// That a pod will not end, or that those of a node will not.
pub(super) fn line(change: &Change, silent: &BTreeSet<String>) -> Option<Line> {
    let warns = |says: String| Some(Line::new(Level::Warning, "node", says));
    match change.kind.kind.as_str() {
        "Node" if change.does != Does::Delete && is_silent(&change.live) => {
            warns("has stopped reporting: its pods end only when it is back, or is deleted".into())
        }
        "Pod" if change.does == Does::Delete => {
            let node = text(&change.live, "/spec/nodeName");
            if !silent.contains(node) {
                return None;
            }
            let owners = items(&change.live, "/metadata/ownerReferences");
            let before = match owners.iter().any(|o| text(o, "/kind") == "StatefulSet") {
                true => "; its StatefulSet makes no other before that",
                false => "",
            };
            warns(format!(
                "{node} has stopped reporting: the pod ends only when it is back, or is deleted{before}"
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::builtin;
    use crate::plan::UndoBy;

    #[test]
    fn a_pod_of_a_silent_node_does_not_end() {
        let node = |name: &str, ready: &str| json!({"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": ready}]}});
        let nodes = silent(&[node("a", "True"), node("b", "Unknown"), node("c", "False")]);
        assert_eq!(nodes.iter().collect::<Vec<_>>(), ["b"], "c's kubelet is there, and ends pods");
        let says = |on: &str, owner: &str| {
            let live = json!({"metadata": {"ownerReferences": [{"kind": owner}]}, "spec": {"nodeName": on}});
            let kind = builtin("pod");
            let change = Change {
                object: kind.object("n", "p"),
                kind,
                does: Does::Delete,
                live,
                after: Value::Null,
                undo: UndoBy::Never(String::new()),
                tier: 0,
                needs: Vec::new(),
                lines: Vec::new(),
            };
            line(&change, &nodes).map(|l| l.text)
        };
        assert_eq!(says("a", "StatefulSet"), None);
        assert!(says("b", "ReplicaSet").unwrap().ends_with("or is deleted"));
        assert!(says("b", "StatefulSet").unwrap().contains("makes no other before that"));
    }
}
