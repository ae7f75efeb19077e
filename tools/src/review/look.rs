//! What a preview reads besides the object itself: everything side by side, in one round trip where the API allows.

use std::collections::BTreeMap;

use kai_cost::cluster::Snapshot;
use kai_cost::place::{Room, rooms};
use serde_json::{Value, json};

use super::needs;
use crate::cluster::Cluster;
use crate::cost::Pricing;
use crate::cost::change::{Ground, ground, is_priced, snapshot};
use crate::cost::collect;
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
    /// Nodes, running pods and what else a price depends on; only read when pods are added, or something else is changed
    /// that costs.
    pub snapshot: Option<Snapshot>,
    /// What is left on each node, less what the changes take that were looked at so far.
    pub rooms: Vec<Room>,
    /// What else the price of the plan depends on.
    pub ground: Option<Ground>,
}

/// Reads the surroundings of a plan.
pub(super) async fn look(cluster: &Cluster, plan: &Plan, pricing: &Pricing) -> Surroundings {
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
    let counts = adds_pods || is_priced(&plan.changes);
    let nodes = async {
        if !counts {
            return None;
        }
        Some(tokio::join!(collect::all(cluster, "node", None), collect::pods(cluster, None)))
    };
    let ground = ground(cluster, pricing, &plan.changes);
    let needs = needs::look(cluster, &plan.changes);
    let (namespaces, nodes, ground, needs) = tokio::join!(namespaces, nodes, ground, needs);
    let snapshot = nodes.map(|(nodes, pods)| snapshot(&nodes, &pods, ground.as_ref()));
    let rooms = snapshot.as_ref().map(|s| rooms(s, &|_| false)).unwrap_or_default();
    Surroundings { namespaces: namespaces.into_iter().collect(), needs, snapshot, rooms, ground }
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
