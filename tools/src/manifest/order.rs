//! In which order objects are made: what others need comes first, and workloads after those that they speak to (pure).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Document;
use crate::object::{items, selects, text};

/// One workload that waits for another, and why that is believed.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    /// Positions among the documents.
    pub after: usize,
    pub before: usize,
    /// `env REDIS_URL names service/redis`.
    pub evidence: String,
}

/// The order: a tier for each document, and the edges between workloads that led to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Order {
    pub tiers: Vec<u32>,
    pub edges: Vec<Edge>,
    /// Edges that would have closed a circle, and were left out.
    pub circular: Vec<Edge>,
}

const NAMESPACES: u32 = 0;
const DEFINITIONS: u32 = 1;
const CONFIG: u32 = 2;
/// After the roles that they name.
const BINDINGS: u32 = 3;
/// The first level of workloads; those that wait for others come later.
const WORKLOADS: u32 = 4;
/// Above any level of workloads.
const LAST: u32 = 1000;
/// What every later request passes through: a webhook whose program is not there yet would stop all else.
const GATES: u32 = 1001;

/// Puts documents in order. Namespaces, definitions, configuration and Services, workloads level by level, then what
/// acts on them.
pub fn order(documents: &[Document]) -> Order {
    let mut order = Order::default();
    for edge in edges(documents) {
        if reaches(&order.edges, edge.before, edge.after) {
            order.circular.push(edge);
        } else {
            order.edges.push(edge);
        }
    }
    let mut levels: BTreeMap<usize, u32> = BTreeMap::new();
    // As many rounds as there are documents settle any chain, for there is no circle.
    for _ in 0..documents.len() {
        for edge in &order.edges {
            let level = levels.get(&edge.before).copied().unwrap_or(0) + 1;
            let own = levels.entry(edge.after).or_default();
            *own = level.max(*own);
        }
    }
    order.tiers = documents
        .iter()
        .enumerate()
        .map(|(i, d)| match tier(d) {
            WORKLOADS => WORKLOADS + levels.get(&i).copied().unwrap_or(0),
            other => other,
        })
        .collect();
    order
}

fn tier(d: &Document) -> u32 {
    let group = d.api_version().split_once('/').map_or("", |(group, _)| group);
    // Custom kinds may share a name with a built-in one: Knative has a Service that runs pods.
    if group.contains('.') && !group.ends_with(".k8s.io") {
        return WORKLOADS;
    }
    match d.kind() {
        "Namespace" => NAMESPACES,
        "CustomResourceDefinition" => DEFINITIONS,
        "ConfigMap"
        | "Secret"
        | "ServiceAccount"
        | "Role"
        | "ClusterRole"
        | "PriorityClass"
        | "StorageClass"
        | "PersistentVolume"
        | "PersistentVolumeClaim"
        | "ResourceQuota"
        | "LimitRange"
        | "NetworkPolicy"
        | "Service"
        | "IngressClass"
        | "RuntimeClass"
        | "GatewayClass" => CONFIG,
        "RoleBinding" | "ClusterRoleBinding" => BINDINGS,
        "HorizontalPodAutoscaler" | "PodDisruptionBudget" | "Ingress" | "HTTPRoute" | "Gateway" => LAST,
        "MutatingWebhookConfiguration"
        | "ValidatingWebhookConfiguration"
        | "APIService"
        | "ValidatingAdmissionPolicy"
        | "ValidatingAdmissionPolicyBinding" => GATES,
        _ => WORKLOADS,
    }
}

/// Whether `to` comes, directly or not, after `from`.
fn reaches(edges: &[Edge], to: usize, from: usize) -> bool {
    let (mut next, mut seen) = (vec![to], BTreeSet::new());
    while let Some(at) = next.pop() {
        if at == from {
            return true;
        }
        if seen.insert(at) {
            next.extend(edges.iter().filter(|e| e.after == at).map(|e| e.before));
        }
    }
    false
}

/// The pod template's spec and labels of a workload.
fn template(value: &Value) -> Option<(&Value, Option<&Value>)> {
    ["/spec/template", "/spec/jobTemplate/spec/template"].iter().find_map(|at| {
        let template = value.pointer(at)?;
        Some((template.get("spec")?, template.pointer("/metadata/labels")))
    })
}

/// Which workloads speak to which others of the set, by the host names in what they are told.
fn edges(documents: &[Document]) -> Vec<Edge> {
    // Service → the workloads behind it.
    let mut behind: Vec<(&Document, Vec<usize>)> = Vec::new();
    for service in documents.iter().filter(|d| d.kind() == "Service") {
        let selector = serde_json::json!({"matchLabels": service.value.pointer("/spec/selector")});
        if service.value.pointer("/spec/selector").is_none_or(|s| s.as_object().is_none_or(|m| m.is_empty()))
        {
            continue;
        }
        let chosen = (0..documents.len()).filter(|i| {
            let d = &documents[*i];
            tier(d) == WORKLOADS
                && d.namespace() == service.namespace()
                && template(&d.value).is_some_and(|(_, labels)| selects(Some(&selector), labels))
        });
        behind.push((service, chosen.collect()));
    }
    let mut found: Vec<Edge> = Vec::new();
    for (after, workload) in documents.iter().enumerate() {
        let Some((spec, _)) = template(&workload.value) else { continue };
        let told = told(workload, spec, documents);
        for (service, workloads) in &behind {
            let same = service.namespace() == workload.namespace();
            let Some((how, _)) =
                told.iter().find(|(_, said)| names_host(said, service.name(), service.namespace(), same))
            else {
                continue;
            };
            for before in workloads.iter().copied().filter(|b| *b != after) {
                if !found.iter().any(|e| e.after == after && e.before == before) {
                    let evidence = format!("{how} names service/{}", service.name());
                    found.push(Edge { after, before, evidence });
                }
            }
        }
    }
    found
}

/// What the containers of a workload are told: variables, commands, and the ConfigMaps of the set that they read.
fn told(workload: &Document, spec: &Value, documents: &[Document]) -> Vec<(String, String)> {
    let mut told: Vec<(String, String)> = Vec::new();
    let mut maps: Vec<&str> = Vec::new();
    for list in ["/initContainers", "/containers"] {
        for container in items(spec, list) {
            for env in items(container, "/env") {
                told.push((format!("env {}", text(env, "/name")), text(env, "/value").into()));
                maps.push(text(env, "/valueFrom/configMapKeyRef/name"));
            }
            maps.extend(items(container, "/envFrom").iter().map(|e| text(e, "/configMapRef/name")));
            for part in ["command", "args"] {
                for word in items(container, &format!("/{part}")).iter().filter_map(Value::as_str) {
                    told.push((format!("{part} of {}", text(container, "/name")), word.into()));
                }
            }
        }
    }
    maps.extend(items(spec, "/volumes").iter().map(|v| text(v, "/configMap/name")));
    let of_set = documents.iter().filter(|d| {
        d.kind() == "ConfigMap" && d.namespace() == workload.namespace() && maps.contains(&d.name())
    });
    for map in of_set {
        for (key, value) in map.value["data"].as_object().into_iter().flatten() {
            told.push((format!("configmap/{} {key}", map.name()), value.as_str().unwrap_or("").into()));
        }
    }
    told
}

/// Whether a text names a Service as a host: by its name alone within the namespace, or with the namespace.
fn names_host(said: &str, service: &str, namespace: &str, same_namespace: bool) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    said.split(|c: char| !is_word(c)).map(|w| w.trim_matches('.')).any(|word| {
        let mut parts = word.split('.');
        let first = parts.next().unwrap_or("");
        let mut name = first == service;
        let mut second = parts.next();
        // A pod of a StatefulSet behind the Service: `kafka-0.kafka`.
        if !name && second == Some(service) && is_numbered(first) {
            (name, second) = (true, parts.next());
            if second.is_none() {
                return same_namespace;
            }
        }
        match (name, second) {
            (false, _) => false,
            // A bare word is a host where an address is written: alone, or with a scheme or a port.
            (true, None) => same_namespace && looks_like_address(said, service),
            (true, Some("svc")) => same_namespace,
            (true, Some(ns)) => ns == namespace || (namespace.is_empty() && parts.next() == Some("svc")),
        }
    })
}

/// `kafka-0`.
fn is_numbered(pod: &str) -> bool {
    pod.rsplit_once('-').is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

fn looks_like_address(said: &str, host: &str) -> bool {
    said.trim() == host
        || said.match_indices(host).any(|(at, _)| {
            let before = &said[..at];
            let after = &said[at + host.len()..];
            let port = after.strip_prefix(':').is_some_and(|p| p.starts_with(|c: char| c.is_ascii_digit()));
            let scheme = before.ends_with("://") || before.ends_with('@');
            let whole = !before
                .ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
                && !after.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
            whole && (port || scheme || before.ends_with(' ') && (after.is_empty() || after.starts_with(' ')))
        })
}

#[cfg(test)]
mod tests {
    use super::super::read::parse;
    use super::*;

    fn workload(name: &str, env: &str) -> String {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      containers: [{{name: c, image: x, env: [{env}]}}]\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: {name}}}}}\n---\n"
        )
    }

    fn tiers(text: &str) -> (Vec<(String, u32)>, Order) {
        let documents = parse("t", text).unwrap();
        let order = order(&documents);
        (documents.iter().map(Document::label).zip(order.tiers.clone()).collect(), order)
    }

    #[test]
    fn who_speaks_to_whom_comes_after() {
        let text = [
            workload("audit", "{name: R, value: 'redis://redis:6379'}, {name: C, value: 'http://clickhouse.default.svc.cluster.local:8123'}"),
            workload("api", "{name: AUDIT, value: 'http://audit:8003/log'}"),
            workload("redis", ""),
            workload("clickhouse", "{name: MODE, value: single}"),
        ]
        .concat();
        let (tiers, order) = tiers(&text);
        let of = |name: &str| tiers.iter().find(|(l, _)| l == &format!("deployment/{name}")).unwrap().1;
        assert_eq!((of("redis"), of("clickhouse"), of("audit"), of("api")), (4, 4, 5, 6));
        assert!(order.edges.iter().any(|e| e.evidence == "env R names service/redis"), "{:?}", order.edges);
    }

    #[test]
    fn words_are_not_hosts() {
        let text = [workload("redis", ""), workload("web", "{name: MODE, value: uses redis sometimes}, {name: X, value: my-redis:1}, {name: Y, value: redis-2}, {name: CACHE, value: redisx}")].concat();
        let (_, order) = tiers(&text);
        assert!(order.edges.iter().all(|e| !e.evidence.contains("env X") && !e.evidence.contains("env Y")));
        for (said, host) in [
            ("redis", true),
            ("redis:6379", true),
            ("redis://redis/0", true),
            ("user@redis", true),
            ("predis:1", false),
            ("redis.io", false),
            ("redis-0.redis:6379,redis-1.redis:6379", true),
            ("x.redis", false),
        ] {
            assert_eq!(names_host(said, "redis", "", true), host, "{said}");
        }
        assert!(
            names_host("redis.cache:6379", "redis", "cache", false)
                && !names_host("redis:6379", "redis", "cache", false)
        );
    }

    #[test]
    fn circles_are_broken_and_told() {
        let text = [
            workload("a", "{name: B, value: 'http://b:1'}"),
            workload("b", "{name: A, value: 'http://a:1'}"),
        ]
        .concat();
        let (_, order) = tiers(&text);
        assert_eq!((order.edges.len(), order.circular.len()), (1, 1));
    }

    #[test]
    fn many_that_speak_to_many_are_ordered_at_once() {
        let all: Vec<String> = (0..40)
            .map(|i| {
                let to: Vec<String> =
                    (0..i).map(|j| format!("{{name: E{j}, value: 'http://s{j}:80'}}")).collect();
                workload(&format!("s{i}"), &to.join(", "))
            })
            .collect();
        let (tiers, order) = tiers(&all.concat());
        assert_eq!((order.edges.len(), order.circular.len()), (780, 0));
        assert!(tiers.contains(&("deployment/s39".into(), 43)));
    }

    #[test]
    fn kinds_come_in_tiers() {
        let one = |kind: &str| format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: x}}\n---\n");
        let text: String = [
            "APIService",
            "Ingress",
            "Widget",
            "Deployment",
            "RoleBinding",
            "Role",
            "Secret",
            "CustomResourceDefinition",
            "Namespace",
        ]
        .map(one)
        .concat();
        let (tiers, _) = tiers(&text);
        assert_eq!(tiers.iter().map(|(_, t)| *t).collect::<Vec<_>>(), [1001, 1000, 4, 4, 3, 2, 2, 1, 0]);
        let knative = "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: x}\n";
        assert_eq!(order(&parse("t", knative).unwrap()).tiers, [4]);
    }
}
