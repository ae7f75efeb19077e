//! Reads from the cluster what the checks want to know of it: side by side, and no more than they ask for.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use serde_json::{Value, json};

use super::{Ask, Known};
use crate::cluster::Cluster;
use crate::cluster::read::Listing;
use crate::error::ToolError;
use crate::manifest::Document;
use crate::manifest::check::check;
use crate::object::{ApiKind, builtin_kinds, items, text};

/// Requests under way at once.
const ABREAST: usize = 16;
/// Answers lead to new questions, such as what else there is when something is missing; not for ever.
const ROUNDS: usize = 5;
/// From so many objects of one kind in one namespace on, they are listed instead of read one by one. Not Secrets and
/// ConfigMaps: nobody is to read more of them than are named.
const MANY: usize = 12;
/// Names to choose a suggestion from.
const NAMES: usize = 2000;

/// What a question came to; `None` when it could not be looked at.
enum Answer {
    Object(Option<Value>),
    List(Option<Vec<Value>>),
    Names(Option<Vec<(String, String)>>),
    Kinds(Option<BTreeSet<String>>),
    Schemas(Option<Value>),
}

/// What the checks of these documents want to know of the cluster, of which it has `lives` already (in their order). What
/// may not be seen is left open: the checks then say so.
pub async fn known(cluster: &Cluster, documents: &[Document], lives: Vec<Value>) -> Known {
    let mut known = Known { namespace: cluster.namespace().into(), lives, ..Known::default() };
    for _ in 0..ROUNDS {
        let asks: Vec<Ask> = check(documents, &known).asks.into_iter().filter(|a| !known.has(a)).collect();
        if asks.is_empty() {
            break;
        }
        let asks = gathered(asks, &known);
        let answers: Vec<(Ask, Answer)> = futures::stream::iter(asks)
            .map(|ask| async {
                let answer = answer(cluster, &ask).await;
                (ask, answer)
            })
            .buffer_unordered(ABREAST)
            .collect()
            .await;
        for (ask, answer) in answers {
            match (ask, answer) {
                (Ask::Object(object), Answer::Object(found)) => {
                    known.objects.insert(object, found);
                }
                (Ask::List(kind, namespace), Answer::List(found)) => {
                    known.lists.insert((kind, namespace), found);
                }
                (Ask::Names(kind, _), Answer::Names(found)) => {
                    known.names.insert(kind, found);
                }
                (Ask::Kinds(version), Answer::Kinds(found)) => {
                    known.kinds.insert(version, found);
                }
                (Ask::Schemas(version), Answer::Schemas(found)) => {
                    known.schemas.insert(version, found);
                }
                _ => {}
            }
        }
    }
    known
}

/// The same questions, with many about single objects put as one about all; once, for it may be refused.
fn gathered(asks: Vec<Ask>, known: &Known) -> BTreeSet<Ask> {
    let place = |ask: &Ask| match ask {
        Ask::Object(o) if !matches!(o.kind.as_str(), "secret" | "configmap") => {
            Some((o.kind.clone(), o.namespace.clone())).filter(|at| !known.lists.contains_key(at))
        }
        _ => None,
    };
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for at in asks.iter().filter_map(place) {
        *counts.entry(at).or_default() += 1;
    }
    asks.into_iter()
        .map(|ask| match place(&ask) {
            Some((kind, namespace)) if counts[&(kind.clone(), namespace.clone())] >= MANY => {
                Ask::List(kind, namespace)
            }
            _ => ask,
        })
        .collect()
}

async fn answer(cluster: &Cluster, ask: &Ask) -> Answer {
    match ask {
        Ask::Object(object) => {
            let Some(kind) = kind_of(&object.kind) else { return Answer::Object(None) };
            Answer::Object(match cluster.object(&kind, &object.namespace, &object.name).await {
                Ok(found) => Some(trimmed(&kind, found)),
                // What cannot be a name cannot be there.
                Err(ToolError::NotFound { .. } | ToolError::Invalid(_)) => Some(Value::Null),
                Err(_) => None,
            })
        }
        Ask::List(kind, namespace) => {
            let Some(kind) = kind_of(kind) else { return Answer::List(None) };
            Answer::List(list(cluster, &kind, namespace).await)
        }
        Ask::Names(kind, namespace) => {
            let Some(kind) = kind_of(kind) else { return Answer::Names(None) };
            let mut found = names(cluster, &kind, None).await;
            if found.is_none() && kind.namespaced && !namespace.is_empty() {
                found = names(cluster, &kind, Some(namespace)).await;
            }
            Answer::Names(found)
        }
        Ask::Kinds(version) => Answer::Kinds(match cluster.get(&root(version)).await {
            Ok(listed) => Some(
                items(&listed, "/resources")
                    .iter()
                    .filter(|r| !text(r, "/name").contains('/'))
                    .map(|r| text(r, "/kind").to_string())
                    .collect(),
            ),
            Err(ToolError::NotFound { .. }) => Some(BTreeSet::new()),
            Err(_) => None,
        }),
        Ask::Schemas(version) => {
            let path = format!("/openapi/v3{}", root(version));
            let found = cluster.get(&path).await.ok();
            Answer::Schemas(found.and_then(|mut all| Some(all.pointer_mut("/components/schemas")?.take())))
        }
    }
}

fn root(version: &str) -> String {
    if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") }
}

/// The kinds that the checks ask for.
fn kind_of(singular: &str) -> Option<ApiKind> {
    let more = |group: &str, kind: &str, plural: &str| ApiKind {
        group: group.into(),
        version: "v1".into(),
        kind: kind.into(),
        plural: plural.into(),
        singular: kind.to_lowercase(),
        short_names: Vec::new(),
        namespaced: false,
    };
    builtin_kinds()
        .into_iter()
        .chain([
            more("scheduling.k8s.io", "PriorityClass", "priorityclasses"),
            more("node.k8s.io", "RuntimeClass", "runtimeclasses"),
        ])
        .find(|k| k.singular == singular)
}

async fn list(cluster: &Cluster, kind: &ApiKind, namespace: &str) -> Option<Vec<Value>> {
    let keep: fn(&Value) -> Value = if kind.singular == "pod" { pod } else { object };
    let what = Listing { keep: Some(keep), ..Listing::default() };
    let namespace = Some(namespace).filter(|ns| !ns.is_empty());
    match cluster.list(kind, namespace, &what).await {
        Ok(listed) => Some(listed.items),
        Err(ToolError::NotFound { .. }) => Some(Vec::new()),
        Err(_) => None,
    }
}

/// Names alone: the API server is asked for no more than the metadata.
async fn names(cluster: &Cluster, kind: &ApiKind, namespace: Option<&str>) -> Option<Vec<(String, String)>> {
    const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let path = format!("{}?limit={NAMES}", kind.collection(namespace));
    let listed = cluster.get_as(&path, METADATA).await.ok()?;
    let name =
        |v: &Value| (text(v, "/metadata/namespace").to_string(), text(v, "/metadata/name").to_string());
    Some(items(&listed, "/items").iter().map(name).collect())
}

/// An object without what the checks never look at; of Secrets and ConfigMaps, the keys without the values.
fn trimmed(kind: &ApiKind, found: Value) -> Value {
    if !matches!(kind.singular.as_str(), "secret" | "configmap") {
        return object(&found);
    }
    let metadata = json!({
        "name": text(&found, "/metadata/name"), "namespace": text(&found, "/metadata/namespace"),
    });
    let mut out = json!({"metadata": metadata, "type": found.get("type")});
    for field in ["data", "binaryData"] {
        if let Some(map) = found.get(field).and_then(Value::as_object) {
            out[field] = map.keys().map(|key| (key.clone(), Value::Null)).collect();
        }
    }
    out
}

fn object(found: &Value) -> Value {
    let mut out = found.clone();
    if let Some(map) = out.as_object_mut() {
        map.shift_remove("status");
    }
    if let Some(metadata) = out.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.shift_remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    out
}

/// Of a pod, what selectors and ports are compared with: there may be many.
fn pod(found: &Value) -> Value {
    let containers: Vec<Value> = items(found, "/spec/containers")
        .iter()
        .map(|c| json!({"name": c["name"], "ports": c["ports"]}))
        .collect();
    json!({
        "metadata": {
            "name": found.pointer("/metadata/name"), "namespace": found.pointer("/metadata/namespace"),
            "labels": found.pointer("/metadata/labels"),
        },
        "spec": {"containers": containers},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{ObjectRef, builtin};

    #[test]
    fn values_of_secrets_are_not_kept() {
        let secret = json!({"metadata": {"name": "s", "namespace": "n", "annotations": {"a": "Y2FuYXJ5"}}, "type": "Opaque", "data": {"k": "Y2FuYXJ5"}});
        let kept = trimmed(&builtin("secret"), secret);
        assert_eq!(kept["data"], json!({"k": null}));
        assert!(!kept.to_string().contains("Y2FuYXJ5"));
    }

    #[test]
    fn many_of_a_kind_are_one_question() {
        let of = |kind: &str, n: usize| -> Vec<Ask> {
            (0..n)
                .map(|i| {
                    Ask::Object(ObjectRef { kind: kind.into(), namespace: "n".into(), name: format!("x{i}") })
                })
                .collect()
        };
        let mut known = Known::default();
        let all = BTreeSet::from([Ask::List("service".into(), "n".into())]);
        assert_eq!(gathered(of("service", 20), &known), all);
        assert_eq!(gathered(of("service", 3), &known).len(), 3);
        assert_eq!(gathered(of("secret", 20), &known).len(), 20);
        known.lists.insert(("service".into(), "n".into()), None);
        assert_eq!(gathered(of("service", 20), &known).len(), 20, "a refused list is not asked for again");
    }

    #[test]
    fn versions_have_paths() {
        assert_eq!((root("v1"), root("apps/v1")), ("/api/v1".into(), "/apis/apps/v1".into()));
        assert!(kind_of("priorityclass").is_some() && kind_of("widget").is_none());
    }
}
