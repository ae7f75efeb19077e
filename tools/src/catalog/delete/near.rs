//! What stands around objects that go: the lists of their namespace in which something may refer to them or belong to
//! them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::cluster::read::Listing;
use crate::cluster::resolve::Resolved;
use crate::error::ToolError;
use crate::object::{builtin, items, text};
use crate::review::{Level, Line};

/// Lists by kind; where one may not be read, the reason why.
pub(super) struct Near(BTreeMap<&'static str, Result<Vec<Value>, ToolError>>);

impl Near {
    /// Reads what matters for these targets, side by side.
    pub async fn read(cluster: &Cluster, namespace: &str, targets: &[Resolved]) -> Self {
        let kinds: BTreeSet<&'static str> =
            targets.iter().flat_map(|t| around(&t.kind.kind, t.kind.namespaced)).copied().collect();
        let what = Listing { keep: Some(what_matters), ..Listing::default() };
        let lists = kinds.into_iter().map(|kind| {
            let what = &what;
            async move {
                (kind, cluster.list(&builtin(kind), Some(namespace), what).await.map(|listed| listed.items))
            }
        });
        Self(futures::future::join_all(lists).await.into_iter().collect())
    }

    /// The objects of a kind; none where they were not asked for or may not be listed.
    pub fn of(&self, kind: &str) -> &[Value] {
        self.0.get(kind).and_then(|list| list.as_deref().ok()).unwrap_or_default()
    }

    /// What could not be looked at: then nobody knows all that goes.
    pub fn unseen(&self) -> Vec<Line> {
        self.0
            .iter()
            .filter_map(|(kind, list)| {
                let error = list.as_ref().err()?;
                let plural = builtin(kind).plural;
                Some(Line::new(Level::Unknown, "with it", format!("{plural} cannot be looked at: {error}")))
            })
            .collect()
    }

    /// The uids of these objects and of all that the garbage collector takes after them.
    pub fn closure(&self, uids: &BTreeSet<String>) -> BTreeSet<String> {
        let mut all = uids.clone();
        loop {
            let before = all.len();
            for object in self.0.values().flatten().flatten() {
                let owners = items(object, "/metadata/ownerReferences");
                if !owners.is_empty() && owners.iter().all(|o| all.contains(text(o, "/uid"))) {
                    all.insert(text(object, "/metadata/uid").to_string());
                }
            }
            if all.len() == before {
                return all;
            }
        }
    }

    /// What the garbage collector takes after the object of that uid, with the kind of each.
    pub fn owned(&self, uid: &str) -> Vec<(&'static str, &Value)> {
        let of = self.closure(&BTreeSet::from([uid.to_string()]));
        let within = |object: &&Value| {
            let own = text(object, "/metadata/uid");
            own != uid && of.contains(own)
        };
        self.0
            .iter()
            .flat_map(|(kind, list)| list.iter().flatten().filter(within).map(|object| (*kind, object)))
            .collect()
    }

    #[cfg(test)]
    pub fn of_lists(lists: &[(&'static str, Vec<Value>)]) -> Self {
        Self(lists.iter().map(|(kind, list)| (*kind, Ok(list.clone()))).collect())
    }
}

/// The kinds that may belong to an object of a kind, or refer to it.
fn around(kind: &str, namespaced: bool) -> &'static [&'static str] {
    match kind {
        "Deployment" | "ReplicaSet" | "DaemonSet" | "ReplicationController" => {
            &["replicaset", "pod", "service", "horizontalpodautoscaler"]
        }
        "StatefulSet" => &["pod", "service", "horizontalpodautoscaler", "persistentvolumeclaim"],
        "Job" => &["pod"],
        "CronJob" => &["job", "pod"],
        "Pod" => &["pod", "service"],
        "Service" => &["ingress"],
        "ConfigMap" | "ServiceAccount" | "PersistentVolumeClaim" => {
            &["pod", "deployment", "statefulset", "daemonset", "cronjob"]
        }
        "Secret" => &["pod", "deployment", "statefulset", "daemonset", "cronjob", "ingress"],
        "Ingress"
        | "HorizontalPodAutoscaler"
        | "PodDisruptionBudget"
        | "NetworkPolicy"
        | "ResourceQuota"
        | "LimitRange"
        | "Role"
        | "RoleBinding"
        | "Event"
        | "Endpoints"
        | "EndpointSlice" => &[],
        // A kind of somebody else's: what it owns may be anything.
        _ if namespaced => &[
            "deployment",
            "statefulset",
            "daemonset",
            "replicaset",
            "cronjob",
            "job",
            "pod",
            "service",
            "persistentvolumeclaim",
            "configmap",
        ],
        _ => &[],
    }
}

/// The parts of a neighbour that are looked at; the rest of a long list is not kept.
fn what_matters(object: &Value) -> Value {
    let meta = |field: &str| object.pointer(&format!("/metadata/{field}")).cloned().unwrap_or_default();
    json!({
        "metadata": {"name": meta("name"), "uid": meta("uid"), "labels": meta("labels"), "ownerReferences": meta("ownerReferences")},
        "spec": object.get("spec").cloned().unwrap_or_default(),
    })
}
