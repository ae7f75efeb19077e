//! The running pod that a workload, a pod or a Service stands for: the first that is ready, by name.

use serde_json::{Value, json};

use super::Cluster;
use super::read::Listing;
use super::resolve::{Resolved, resolved};
use crate::error::ToolError;
use crate::object::{builtin, is_object_name, items, selector_query, text};

/// A pod to go into.
pub(crate) struct Inside {
    pub pod: Resolved,
    /// The name of what was asked for, which is what is typed.
    pub name: String,
    /// How the pod was chosen.
    pub note: Option<String>,
    /// The Service that led to it.
    pub service: Option<Value>,
}

/// The pod that is meant by `backend`, `deployment/x`, `pod/x` or `service/x`.
///
/// # Errors
/// When there is no such object, or no pod of it runs.
pub(crate) async fn find(cluster: &Cluster, said: &str, namespace: &str) -> Result<Inside, ToolError> {
    let said = said.trim();
    let pod_kind = builtin("pod");
    let word = said.split_once('/').map(|(word, _)| word);
    if word.is_none()
        && is_object_name(said)
        && let Some(live) = cluster.find(&pod_kind, namespace, said).await?
    {
        return running(resolved(&pod_kind, namespace, live, None), said.to_string(), None);
    }
    let target = cluster.workload(said, namespace).await?;
    let (name, note) = (target.object.name.clone(), target.note.clone());
    if target.kind.kind == "Pod" {
        return running(target, name, note);
    }
    let is_service = target.kind.kind == "Service";
    let selector = match target.live.pointer("/spec/selector") {
        Some(labels) if is_service => json!({"matchLabels": labels}),
        Some(selector) => selector.clone(),
        None => {
            return Err(ToolError::Invalid(format!("{} selects no pods", target.object)));
        }
    };
    let what = Listing { labels: Some(selector_query(&selector)), limit: Some(500), ..Listing::default() };
    let mut pods = cluster.list(&pod_kind, Some(namespace), &what).await?.items;
    pods.retain(is_running);
    pods.sort_by_key(|pod| (!is_ready(pod), text(pod, "/metadata/name").to_string()));
    let count = pods.len();
    let Some(live) = pods.into_iter().next() else {
        return Err(ToolError::NotFound {
            message: format!("no pod of {} runs", target.object),
            similar: Vec::new(),
        });
    };
    let pod = resolved(&pod_kind, namespace, live, None);
    let chosen = format!("{} is one of {count} running pods of {}", pod.object, target.object);
    let note = match note {
        Some(note) => format!("{note}; {chosen}"),
        None => chosen,
    };
    let service = is_service.then_some(target.live);
    Ok(Inside { pod, name, note: Some(note), service })
}

fn running(pod: Resolved, name: String, note: Option<String>) -> Result<Inside, ToolError> {
    if !is_running(&pod.live) {
        return Err(ToolError::Refused {
            message: format!("{} does not run", pod.object),
            hint: "See its state first.".into(),
        });
    }
    Ok(Inside { pod, name, note, service: None })
}

fn is_running(pod: &Value) -> bool {
    text(pod, "/status/phase") == "Running" && pod.pointer("/metadata/deletionTimestamp").is_none()
}

fn is_ready(pod: &Value) -> bool {
    let ready = |c: &Value| text(c, "/type") == "Ready" && text(c, "/status") == "True";
    items(pod, "/status/conditions").iter().any(ready)
}
