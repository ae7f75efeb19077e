//! What a cost is worked out from, read side by side: nodes and pods always, the rest as far as it is asked for.

use kai_cost::cluster::{Autoscaler, Claim, Class, Snapshot};
use kai_cost::read;
use serde_json::{Value, json};

use super::usage;
use super::zones::Zones;
use crate::cluster::Cluster;
use crate::cluster::read::Listing;
use crate::error::ToolError;
use crate::metrics::Metrics;
use crate::object::{builtin, items, text};

/// A list that was read, or the reason why not.
pub(crate) type Seen = Result<Vec<Value>, ToolError>;

/// Node autoscalers leave these behind where they run.
const KARPENTER: &str = "/apis/karpenter.sh/v1/nodepools?limit=1";
const CLUSTER_AUTOSCALER: &str = "/api/v1/namespaces/kube-system/configmaps/cluster-autoscaler-status";

/// The part of a pod that costs and [`crate::review`]'s look for room are about: where it is and what it requests.
pub(crate) fn what_counts(pod: &Value) -> Value {
    let containers = |list: &str| -> Vec<Value> {
        let of = |c: &Value| {
            json!({
                "name": text(c, "/name"),
                "restartPolicy": text(c, "/restartPolicy"),
                "resources": {
                    "requests": c.pointer("/resources/requests").cloned().unwrap_or_default(),
                    "limits": {"memory": c.pointer("/resources/limits/memory").cloned().unwrap_or_default()},
                },
            })
        };
        items(pod, list).iter().map(of).collect()
    };
    let claims = items(pod, "/spec/volumes").iter().filter(|v| v.get("persistentVolumeClaim").is_some());
    let at = |path: &str| pod.pointer(path).cloned().unwrap_or_default();
    json!({
        "metadata": {
            "name": at("/metadata/name"), "namespace": at("/metadata/namespace"), "labels": at("/metadata/labels"),
            "ownerReferences": at("/metadata/ownerReferences"),
        },
        "spec": {
            "nodeName": text(pod, "/spec/nodeName"),
            "containers": containers("/spec/containers"),
            "initContainers": containers("/spec/initContainers"),
            "overhead": at("/spec/overhead"),
            "resources": at("/spec/resources"),
            "nodeSelector": at("/spec/nodeSelector"),
            "tolerations": at("/spec/tolerations"),
            "affinity": at("/spec/affinity"),
            "topologySpreadConstraints": at("/spec/topologySpreadConstraints"),
            "volumes": claims.cloned().collect::<Vec<_>>(),
        },
        "status": {"phase": text(pod, "/status/phase")},
    })
}

/// All pods that have not ended, of the whole cluster or of one namespace.
pub(crate) async fn pods(cluster: &Cluster, namespace: Option<&str>) -> Seen {
    let running = Listing {
        fields: Some("status.phase!=Succeeded,status.phase!=Failed".into()),
        keep: Some(what_counts),
        ..Listing::default()
    };
    cluster.list(&builtin("pod"), namespace, &running).await.map(|l| l.items)
}

/// All objects of a kind.
pub(crate) async fn all(cluster: &Cluster, kind: &str, namespace: Option<&str>) -> Seen {
    cluster.list(&builtin(kind), namespace, &Listing::default()).await.map(|l| l.items)
}

/// What points to a node autoscaler, or to a managed pool that may have one.
pub(crate) async fn autoscaler(cluster: &Cluster) -> Autoscaler {
    let (karpenter, status) = tokio::join!(cluster.get(KARPENTER), cluster.get(CLUSTER_AUTOSCALER));
    if karpenter.is_ok_and(|list| !items(&list, "/items").is_empty()) {
        Autoscaler::Karpenter
    } else if status.is_ok() {
        Autoscaler::ClusterAutoscaler
    } else {
        Autoscaler::None
    }
}

/// Labels of nodes in pools that a provider can make larger and smaller.
const POOLS: [&str; 4] = [
    "eks.amazonaws.com/nodegroup",
    "cloud.google.com/gke-nodepool",
    "kubernetes.azure.com/agentpool",
    "karpenter.sh/nodepool",
];

/// Nodes and pods as a snapshot. What could not be read is missing, and said.
pub(crate) fn snapshot(nodes: &Seen, pods: &Seen, autoscaler: Autoscaler) -> Snapshot {
    let mut snapshot = Snapshot { autoscaler, ..Snapshot::default() };
    match nodes {
        Ok(nodes) => snapshot.nodes = nodes.iter().map(read::node).collect(),
        Err(e) => {
            snapshot.no_nodes = true;
            let what = "nodes cannot be looked at, so neither their prices nor their room is known";
            snapshot.missing.push(format!("{what}: {e}"));
        }
    }
    match pods {
        Ok(pods) => snapshot.pods = pods.iter().filter_map(read::pod).collect(),
        Err(e) => {
            snapshot.part_of_pods = true;
            snapshot.missing.push(format!("pods cannot be looked at: {e}"));
        }
    }
    let pooled = |n: &kai_cost::cluster::Node| POOLS.iter().any(|key| n.machine.labels.contains_key(*key));
    if snapshot.autoscaler == Autoscaler::None && snapshot.nodes.iter().any(pooled) {
        snapshot.autoscaler = Autoscaler::Possible;
    }
    snapshot
}

/// Claims with the class that a claim without one gets.
pub(crate) fn claims(found: &[Value]) -> Vec<Claim> {
    found.iter().map(read::claim).collect()
}

/// Storage classes.
pub(crate) fn classes(found: &[Value]) -> Vec<Class> {
    found.iter().map(read::class).collect()
}

/// Everything that a question about a scope needs.
pub(crate) async fn whole(
    cluster: &Cluster,
    namespace: Option<&str>,
) -> Result<(Snapshot, String), ToolError> {
    let kinds = [
        "deployment",
        "statefulset",
        "daemonset",
        "horizontalpodautoscaler",
        "persistentvolumeclaim",
        "service",
    ];
    let lists = futures::future::join_all(kinds.iter().map(|kind| all(cluster, kind, namespace)));
    let volumes = all(cluster, "persistentvolume", None);
    let (nodes, everywhere, lists, classes_seen, volumes, metrics, scaler) = tokio::join!(
        all(cluster, "node", None),
        pods(cluster, None),
        lists,
        all(cluster, "storageclass", None),
        volumes,
        Metrics::read(cluster, "pods", namespace),
        autoscaler(cluster),
    );
    let mut missing = Vec::new();
    let pods = match everywhere {
        // Whoever may not see all pods sees what is theirs; what nobody has cannot be said then.
        Err(ToolError::Forbidden { message }) if namespace.is_some() => {
            missing.push(format!(
                "pods of other namespaces cannot be looked at, so what is idle is not known: {message}"
            ));
            pods(cluster, namespace).await
        }
        other => other,
    };
    // Without any pods there is no figure to be had: to say nothing would be to say 0.
    let pods = Ok(pods?);
    let mut snapshot = snapshot(&nodes, &pods, scaler);
    snapshot.part_of_pods = !missing.is_empty();
    snapshot.missing.extend(missing);
    let mut lists = lists.into_iter();
    let mut next = |what: &str, missing: &mut Vec<String>| match lists.next() {
        Some(Ok(found)) => found,
        Some(Err(e)) => {
            missing.push(format!("{what} cannot be looked at: {e}"));
            Vec::new()
        }
        None => Vec::new(),
    };
    let mut missing = Vec::new();
    for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
        let found = next(&format!("{kind}s"), &mut missing);
        snapshot.workloads.extend(found.iter().filter_map(|o| read::workload(kind, o)));
    }
    for hpa in next("autoscalers", &mut missing) {
        let (object, range) = read::range(&hpa);
        if let Some(workload) = snapshot.workloads.iter_mut().find(|w| w.object == object) {
            workload.range = Some(range);
            workload.scaler = Some(text(&hpa, "/metadata/name").to_string());
        }
    }
    let claimed = next("claims", &mut missing);
    snapshot.claims = claims(&claimed);
    snapshot.balancers = next("Services", &mut missing).iter().filter_map(read::balancer).collect();
    match volumes {
        Ok(found) => {
            Zones::of(&claimed, &found).keep_all(&mut snapshot);
            if namespace.is_none() {
                snapshot.claims.extend(found.iter().filter_map(read::unclaimed));
            }
        }
        // Their zones are then not known; what nobody claims is asked about for the whole cluster alone.
        Err(_) if namespace.is_some() => {}
        Err(e) => missing.push(format!("volumes cannot be looked at: {e}")),
    }
    match classes_seen {
        Ok(found) => snapshot.classes = classes(&found),
        Err(e) => missing.push(format!("storage classes cannot be looked at: {e}")),
    }
    snapshot.missing.extend(missing);
    let said = usage::add_to(metrics, &mut snapshot);
    Ok((snapshot, said))
}

/// Gives workloads the targets of the VerticalPodAutoscalers that there are.
pub(crate) async fn verticals(cluster: &Cluster, namespace: Option<&str>, snapshot: &mut Snapshot) {
    let within = namespace.map(|n| format!("/namespaces/{n}")).unwrap_or_default();
    let path = format!("/apis/autoscaling.k8s.io/v1{within}/verticalpodautoscalers");
    // Most clusters have no such kind; without their targets nothing else is said differently.
    let Ok(list) = cluster.get(&path).await else { return };
    for (object, targets) in items(&list, "/items").iter().map(read::vertical) {
        if let Some(workload) = snapshot.workloads.iter_mut().find(|w| w.object == object) {
            workload.vertical = targets;
        }
    }
}
