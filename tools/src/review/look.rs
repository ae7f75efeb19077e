//! What a preview reads besides the object itself: everything side by side, in one round trip where the API allows.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{capacity, needs};
use crate::cluster::Cluster;
use crate::cluster::read::Listing;
use crate::error::ToolError;
use crate::object::{ObjectRef, builtin};
use crate::plan::{Change, Plan};

/// A list that was read, or the reason why not.
pub(super) type Seen = Result<Vec<Value>, ToolError>;

/// The neighbours of the changed objects in one namespace.
pub(super) struct Namespace {
    pub autoscalers: Seen,
    pub budgets: Seen,
    pub quotas: Seen,
    pub services: Seen,
}

/// What was read for a preview.
pub(super) struct Surroundings {
    pub namespaces: BTreeMap<String, Namespace>,
    /// Workloads that a change waits for, as they are now: `None` when there is none.
    pub needs: BTreeMap<ObjectRef, Result<Option<Value>, ToolError>>,
    /// Nodes and running pods; only read when pods are added.
    pub nodes: Option<(Seen, Seen)>,
}

/// Reads the surroundings of a plan.
pub(super) async fn look(cluster: &Cluster, plan: &Plan) -> Surroundings {
    // What runs pods has neighbours that matter; what does not has none.
    let runs_pods = |c: &&Change| c.is_workload() || c.added_pods() != 0;
    let mut names: Vec<&str> =
        plan.changes.iter().filter(runs_pods).map(|c| c.object.namespace.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let adds_pods = plan.changes.iter().any(|c| c.added_pods() > 0);
    let namespaces = futures::future::join_all(names.iter().map(|name| async move {
        let all = |kind: &'static str| async move { cluster.all(&builtin(kind), name).await };
        let (autoscalers, budgets, quotas, services) = tokio::join!(
            all("horizontalpodautoscaler"),
            all("poddisruptionbudget"),
            all("resourcequota"),
            all("service")
        );
        ((*name).to_string(), Namespace { autoscalers, budgets, quotas, services })
    }));
    let nodes = async {
        if !adds_pods {
            return None;
        }
        let running = Listing {
            fields: Some("status.phase!=Succeeded,status.phase!=Failed".into()),
            keep: Some(capacity::what_a_pod_takes),
            ..Listing::default()
        };
        let every = Listing::default();
        let (node, pod) = (builtin("node"), builtin("pod"));
        let (nodes, pods) =
            tokio::join!(cluster.list(&node, None, &every), cluster.list(&pod, None, &running));
        Some((nodes.map(|l| l.items), pods.map(|l| l.items)))
    };
    let (namespaces, nodes, needs) = tokio::join!(namespaces, nodes, needs::look(cluster, &plan.changes));
    Surroundings { namespaces: namespaces.into_iter().collect(), needs, nodes }
}

/// Whether the user may make the change, as the API server says; `None` when it would not say.
pub(super) async fn may(cluster: &Cluster, change: &Change) -> Option<bool> {
    let (verb, resource, subresource) = change.right();
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {
            "verb": verb, "group": change.kind.group, "resource": resource, "subresource": subresource,
            "namespace": change.object.namespace, "name": change.object.name,
        }},
    });
    let answer =
        cluster.self_review("authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await.ok()?;
    answer.pointer("/status/allowed").and_then(Value::as_bool)
}
