//! What a preview reads besides the object itself: everything side by side, in one round trip where the API allows.

use std::collections::{BTreeMap, BTreeSet};

use kai_cost::cluster::Snapshot;
use kai_cost::place::{Room, rooms};
use serde_json::{Value, json};

use super::{allowance, behind, needs, silent};
use crate::cluster::Cluster;
use crate::cluster::read::Listing;
use crate::cost::Pricing;
use crate::cost::change::{Ground, ground, is_priced, snapshot};
use crate::cost::collect;
use crate::error::ToolError;
use crate::object::{ObjectRef, builtin, items};
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
    /// The pods of namespaces where a Service gets others behind it, or a quota is made.
    pub pods: BTreeMap<String, Seen>,
    /// Workloads that the plan makes or changes, with the labels of their pods.
    pub made: Vec<(ObjectRef, Value)>,
    /// Workloads that a change waits for, as they are now: `None` when there is none.
    pub needs: BTreeMap<ObjectRef, Result<Option<Value>, ToolError>>,
    /// Nodes that do not report any more, where nodes were read.
    pub silent: BTreeSet<String>,
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
    let pods = pods(cluster, &plan.changes);
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
    let (namespaces, pods, nodes, ground, needs) = tokio::join!(namespaces, pods, nodes, ground, needs);
    let silent = nodes.as_ref().and_then(|(nodes, _)| nodes.as_ref().ok());
    let silent = silent.map(|nodes| silent::silent(nodes)).unwrap_or_default();
    let snapshot = nodes.map(|(nodes, pods)| snapshot(&nodes, &pods, ground.as_ref()));
    let rooms = snapshot.as_ref().map(|s| rooms(s, &|_| false)).unwrap_or_default();
    let namespaces = namespaces.into_iter().collect();
    Surroundings { namespaces, pods, made: made(&plan.changes), needs, silent, snapshot, rooms, ground }
}

/// The pods of the namespaces in which it matters which there are.
async fn pods(cluster: &Cluster, changes: &[Change]) -> BTreeMap<String, Seen> {
    let matters = |c: &&Change| behind::may_switch(c) || (c.creates() && allowance::is_quota(c));
    let names: BTreeSet<&str> = changes.iter().filter(matters).map(|c| c.object.namespace.as_str()).collect();
    let pods = builtin("pod");
    let lists = names.into_iter().map(|name| async {
        let what = Listing { keep: Some(kept), ..Listing::default() };
        (name.to_string(), cluster.list(&pods, Some(name), &what).await.map(|listed| listed.items))
    });
    futures::future::join_all(lists).await.into_iter().collect()
}

/// Of a pod, who it is, whether it answers and what it uses.
fn kept(pod: &Value) -> Value {
    let at = |path: &str| pod.pointer(path).cloned().unwrap_or_default();
    let resources = |path: &str| -> Vec<Value> {
        items(pod, path)
            .iter()
            .map(|c| json!({"resources": c["resources"], "restartPolicy": c["restartPolicy"]}))
            .collect()
    };
    json!({
        "metadata": {"labels": at("/metadata/labels"), "deletionTimestamp": at("/metadata/deletionTimestamp")},
        "spec": {"containers": resources("/spec/containers"), "initContainers": resources("/spec/initContainers")},
        "status": {"phase": at("/status/phase"), "conditions": at("/status/conditions")},
    })
}

fn made(changes: &[Change]) -> Vec<(ObjectRef, Value)> {
    let new = changes.iter().filter(|c| c.is_workload() && (c.added_pods() > 0 || c.replaces_pods()));
    new.filter_map(|c| Some((c.object.clone(), c.after.pointer("/spec/template/metadata/labels")?.clone())))
        .collect()
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
