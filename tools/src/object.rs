//! Names of things on a cluster: which object, of which kind, at which path.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One object, by lower-case singular kind, namespace (empty when cluster-scoped) and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectRef {
    pub kind: String,
    pub namespace: String,
    pub name: String,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl ObjectRef {
    /// Whether both name one workload, of whatever kind: `deployment/redis` and `statefulset/redis`.
    pub fn same_workload(&self, other: &Self) -> bool {
        const WORKLOADS: [&str; 3] = ["deployment", "statefulset", "daemonset"];
        let is = |o: &Self| WORKLOADS.contains(&o.kind.as_str());
        is(self) && is(other) && self.namespace == other.namespace && self.name == other.name
    }
}

/// A kind of object as the API server serves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKind {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub namespaced: bool,
}

impl ApiKind {
    fn new(group: &str, version: &str, kind: &str, plural: &str, short: &[&str], namespaced: bool) -> Self {
        Self {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
            plural: plural.into(),
            singular: kind.to_lowercase(),
            short_names: short.iter().map(|s| s.to_string()).collect(),
            namespaced,
        }
    }

    /// Path of the collection, in one namespace or in all.
    pub fn collection(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        match namespace {
            Some(ns) if self.namespaced => format!("{root}/namespaces/{ns}/{}", self.plural),
            _ => format!("{root}/{}", self.plural),
        }
    }

    /// Path of one object.
    pub fn path(&self, namespace: &str, name: &str) -> String {
        let ns = if self.namespaced { Some(namespace) } else { None };
        format!("{}/{name}", self.collection(ns))
    }

    /// Whether a person may mean this kind by `word`: its kind, singular, plural or short name, in any case,
    /// with or without the group (`deployments.apps`).
    pub fn is_called(&self, word: &str) -> bool {
        let word = word.to_lowercase();
        let (base, group) = word.split_once('.').map_or((word.as_str(), None), |(b, g)| (b, Some(g)));
        if group.is_some_and(|g| g != self.group && !self.group.starts_with(&format!("{g}."))) {
            return false;
        }
        base == self.singular || base == self.plural || self.short_names.iter().any(|s| s == base)
    }

    /// Reference to an object of this kind.
    pub fn object(&self, namespace: &str, name: &str) -> ObjectRef {
        let namespace = if self.namespaced { namespace } else { "" };
        ObjectRef { kind: self.singular.clone(), namespace: namespace.into(), name: name.into() }
    }
}

/// The kinds that every cluster serves and that kai asks for most, so that no discovery is needed for them.
pub fn builtin_kinds() -> Vec<ApiKind> {
    let k = ApiKind::new;
    vec![
        k("apps", "v1", "Deployment", "deployments", &["deploy"], true),
        k("apps", "v1", "StatefulSet", "statefulsets", &["sts"], true),
        k("apps", "v1", "DaemonSet", "daemonsets", &["ds"], true),
        k("apps", "v1", "ReplicaSet", "replicasets", &["rs"], true),
        k("apps", "v1", "ControllerRevision", "controllerrevisions", &[], true),
        k("", "v1", "Pod", "pods", &["po"], true),
        k("", "v1", "Service", "services", &["svc"], true),
        k("", "v1", "ConfigMap", "configmaps", &["cm"], true),
        k("", "v1", "Secret", "secrets", &[], true),
        k("", "v1", "Namespace", "namespaces", &["ns"], false),
        k("", "v1", "Node", "nodes", &["no"], false),
        k("", "v1", "Event", "events", &["ev"], true),
        k("", "v1", "ServiceAccount", "serviceaccounts", &["sa"], true),
        k("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", &["pvc"], true),
        k("", "v1", "PersistentVolume", "persistentvolumes", &["pv"], false),
        k("", "v1", "ResourceQuota", "resourcequotas", &["quota"], true),
        k("", "v1", "LimitRange", "limitranges", &["limits"], true),
        k("", "v1", "Endpoints", "endpoints", &["ep"], true),
        k("", "v1", "ReplicationController", "replicationcontrollers", &["rc"], true),
        k("batch", "v1", "Job", "jobs", &[], true),
        k("batch", "v1", "CronJob", "cronjobs", &["cj"], true),
        k("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", &["hpa"], true),
        k("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", &["pdb"], true),
        k("networking.k8s.io", "v1", "Ingress", "ingresses", &["ing"], true),
        k("networking.k8s.io", "v1", "IngressClass", "ingressclasses", &[], false),
        k("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", &["netpol"], true),
        k("storage.k8s.io", "v1", "StorageClass", "storageclasses", &["sc"], false),
        k("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", &[], true),
        k("rbac.authorization.k8s.io", "v1", "Role", "roles", &[], true),
        k("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", &[], true),
        k("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", &[], false),
        k("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", &[], false),
    ]
}

/// The built-in kind of that exact lower-case singular name.
///
/// # Panics
/// When there is none: it is only called with names that are written in this crate, and a test calls it with each.
pub fn builtin(singular: &str) -> ApiKind {
    builtin_kinds()
        .into_iter()
        .find(|k| k.singular == singular)
        .unwrap_or_else(|| unreachable!("{singular} is not a built-in kind"))
}

/// Whether `name` can be the name of an object: it becomes a path segment, so nothing else may pass.
pub fn is_object_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 253
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':'))
        && !matches!(name, "." | "..")
        && name.as_bytes()[0].is_ascii_alphanumeric()
}

/// The text at a JSON pointer, or "".
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// Whether nobody hears from a node any more: what is asked of its pods does not happen, and they do not end.
pub(crate) fn is_silent(node: &Value) -> bool {
    let ready = items(node, "/status/conditions").iter().find(|c| text(c, "/type") == "Ready");
    ready.is_some_and(|c| text(c, "/status") == "Unknown")
}

/// Whether the rollout of a Deployment is paused.
pub fn is_paused(object: &Value) -> bool {
    object.pointer("/spec/paused").and_then(Value::as_bool) == Some(true)
}

/// The whole number at a JSON pointer.
pub fn number(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer).and_then(Value::as_i64)
}

/// The list at a JSON pointer, or an empty one.
pub fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The controller of a pod as `kind/name`; of a ReplicaSet's pod the Deployment, whose name is the ReplicaSet's without
/// its hash; of a pod without one itself.
pub fn controller_of_pod(pod: &Value) -> String {
    let Some(owner) =
        items(pod, "/metadata/ownerReferences").iter().find(|o| o.get("controller") == Some(&true.into()))
    else {
        return format!("pod/{}", text(pod, "/metadata/name"));
    };
    let (kind, name) = (text(owner, "/kind").to_lowercase(), text(owner, "/name"));
    let hash = text(pod, "/metadata/labels/pod-template-hash");
    match name.strip_suffix(hash).and_then(|n| n.strip_suffix('-')) {
        Some(deployment) if kind == "replicaset" && !hash.is_empty() => format!("deployment/{deployment}"),
        _ => format!("{kind}/{name}"),
    }
}

/// Whether the labels satisfy a LabelSelector (`matchLabels` and `matchExpressions`). An empty selector matches all;
/// one that is absent matches nothing.
pub fn selects(selector: Option<&Value>, labels: Option<&Value>) -> bool {
    let Some(selector) = selector else { return false };
    let label = |key: &str| labels.and_then(|l| l.get(key)).and_then(Value::as_str);
    let exact = selector
        .get("matchLabels")
        .and_then(Value::as_object)
        .is_none_or(|want| want.iter().all(|(k, v)| label(k) == v.as_str()));
    exact
        && items(selector, "/matchExpressions").iter().all(|e| {
            let have = label(text(e, "/key"));
            let listed = || have.is_some_and(|h| items(e, "/values").iter().any(|v| v.as_str() == Some(h)));
            match text(e, "/operator") {
                "In" => listed(),
                "NotIn" => !listed(),
                "Exists" => have.is_some(),
                "DoesNotExist" => have.is_none(),
                _ => false,
            }
        })
}

/// A selector as the `labelSelector` query of a list.
pub fn selector_query(selector: &Value) -> String {
    let mut parts: Vec<String> = Vec::new();
    if let Some(labels) = selector.get("matchLabels").and_then(Value::as_object) {
        parts.extend(labels.iter().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or(""))));
    }
    for e in items(selector, "/matchExpressions") {
        let key = text(e, "/key");
        let values: Vec<&str> = items(e, "/values").iter().filter_map(Value::as_str).collect();
        parts.push(match text(e, "/operator") {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_string(),
        });
    }
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_answer_to_their_names() {
        let deployment = builtin("deployment");
        for word in ["deploy", "Deployment", "deployments", "deployments.apps", "DEPLOY"] {
            assert!(deployment.is_called(word), "{word}");
        }
        assert!(!deployment.is_called("deployments.example.com"));
        assert_eq!(deployment.path("todo", "backend"), "/apis/apps/v1/namespaces/todo/deployments/backend");
        assert_eq!(builtin("node").path("ignored", "n1"), "/api/v1/nodes/n1");
    }

    #[test]
    fn names_cannot_escape_their_path_segment() {
        for bad in ["", ".", "..", "a/b", "a?x=1", "--server=x", "a b", "a%2fb", "a\u{202e}b"] {
            assert!(!is_object_name(bad), "{bad:?}");
        }
        assert!(is_object_name("backend-7d9f.v2"));
        assert!(is_object_name("system:node"));
    }

    #[test]
    fn selectors() {
        let labels = json!({"app": "web", "tier": "front"});
        let yes = json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["front"]}]});
        assert!(selects(Some(&yes), Some(&labels)));
        assert!(!selects(
            Some(&json!({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]})),
            Some(&labels)
        ));
        assert!(!selects(None, Some(&labels)));
        assert_eq!(selector_query(&yes), "app=web,tier in (front)");
    }
}
