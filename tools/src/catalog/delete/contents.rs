//! What a namespace or a definition holds, counted: all of it goes with it.

use futures::stream::{self, StreamExt};
use serde_json::Value;

use super::data;
use super::effects::{few, many};
use crate::cluster::Cluster;
use crate::error::ToolError;
use crate::object::{builtin, items, number, text};
use crate::review::{Level, Line};

/// Lists asked for side by side.
const SIDE_BY_SIDE: usize = 8;
/// Most kinds that are named with their counts.
const KINDS: usize = 12;
const AGGREGATED: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
/// Names and no contents: a Secret is counted without being read.
const NAMES_ONLY: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// What people miss first, in that order; other kinds of their own come after, and bookkeeping last.
const FIRST: [&str; 13] = [
    "deployments",
    "statefulsets",
    "daemonsets",
    "cronjobs",
    "jobs",
    "pods",
    "services",
    "ingresses",
    "persistentvolumeclaims",
    "secrets",
    "configmaps",
    "horizontalpodautoscalers",
    "poddisruptionbudgets",
];
/// What comes and goes by itself.
const BOOKKEEPING: [&str; 8] = [
    "replicasets",
    "endpoints",
    "endpointslices",
    "controllerrevisions",
    "events",
    "leases",
    "podmetrics",
    "replicationcontrollers",
];

/// A kind whose objects a namespace may hold.
#[derive(Clone, Debug, PartialEq)]
struct Held {
    /// Plural, with the group where it is not Kubernetes' own.
    name: String,
    singular: String,
    plural: String,
    path: String,
}

/// Everything in a namespace, by kind, and what becomes of its data.
pub(super) async fn of_namespace(cluster: &Cluster, namespace: &str) -> Vec<Line> {
    let (core, groups) =
        tokio::join!(cluster.get_as("/api", AGGREGATED), cluster.get_as("/apis", AGGREGATED));
    let (held, unread) = match (core, groups) {
        (Ok(core), Ok(groups)) => (held_kinds(&[core, groups], namespace), None),
        (Err(e), _) | (_, Err(e)) => (Vec::new(), Some(format!("the kinds of this cluster ({e})"))),
    };
    let counts: Vec<_> = held
        .into_iter()
        .map(|kind| async move {
            let found = count(cluster, &kind.path).await;
            (kind, found)
        })
        .collect();
    let mut found: Vec<(Held, u64)> = Vec::new();
    let mut hidden: Vec<Held> = Vec::new();
    for (kind, counted) in stream::iter(counts).buffered(SIDE_BY_SIDE).collect::<Vec<_>>().await {
        match counted {
            Ok(0) => {}
            Ok(n) => found.push((kind, n)),
            // Gone since it was listed, or not to be listed at all: nothing is stored there.
            Err(ToolError::NotFound { .. } | ToolError::Api { status: 405, .. }) => {}
            Err(_) => hidden.push(kind),
        }
    }
    let mut lines = told(found);
    if let Ok(claims) = cluster.all(&builtin("persistentvolumeclaim"), namespace).await {
        lines.extend(data::lines(cluster, &claims.iter().collect::<Vec<_>>()).await);
    }
    hidden.sort_by_key(rank);
    let unseen: Vec<String> = unread.into_iter().chain(hidden.into_iter().map(|kind| kind.name)).collect();
    if !unseen.is_empty() {
        let text = format!("not known, because it may not be listed: {}", few(&unseen));
        lines.push(Line::new(Level::Unknown, "with it", text));
    }
    lines
}

/// The objects of a definition's kind, everywhere.
pub(super) async fn of_definition(cluster: &Cluster, definition: &Value) -> Vec<Line> {
    let (group, plural) = (text(definition, "/spec/group"), text(definition, "/spec/names/plural"));
    let version = items(definition, "/spec/versions").iter().find(|v| v["served"] == true);
    let version = version.map_or("", |v| text(v, "/name"));
    let counted = count(cluster, &format!("/apis/{group}/{version}/{plural}")).await;
    vec![match counted {
        Ok(0) => Line::new(Level::Fact, "with it", format!("there are no {plural}")),
        Ok(n) => {
            let what =
                many(usize::try_from(n).unwrap_or(usize::MAX), text(definition, "/spec/names/singular"));
            let text = format!("{what}: every object of that kind, in all namespaces");
            Line::new(Level::Warning, "with it", text)
        }
        Err(e) => {
            Line::new(Level::Unknown, "with it", format!("how many {plural} there are is not known: {e}"))
        }
    }]
}

/// How many objects a list holds, in one request where the server says so.
async fn count(cluster: &Cluster, path: &str) -> Result<u64, ToolError> {
    let page = cluster.get_as(&format!("{path}?limit=1"), NAMES_ONLY).await?;
    let here = items(&page, "/items").len() as u64;
    if text(&page, "/metadata/continue").is_empty() {
        return Ok(here);
    }
    if let Some(more) = number(&page, "/metadata/remainingItemCount").and_then(|n| u64::try_from(n).ok()) {
        return Ok(here + more);
    }
    let all = cluster.get_as(path, NAMES_ONLY).await?;
    Ok(items(&all, "/items").len() as u64)
}

/// The kinds of the API server's own list whose objects live in a namespace and can be listed and deleted, each once
/// (pure). What a server makes up when asked, such as metrics, cannot be deleted.
fn held_kinds(answers: &[Value], namespace: &str) -> Vec<Held> {
    let mut found: Vec<Held> = Vec::new();
    for group in answers.iter().flat_map(|a| items(a, "/items")) {
        let name = text(group, "/metadata/name");
        // Events are in the core group too.
        if name == "events.k8s.io" {
            continue;
        }
        let own = found.len();
        for version in items(group, "/versions") {
            let root = match name {
                "" => format!("/api/{}", text(version, "/version")),
                name => format!("/apis/{name}/{}", text(version, "/version")),
            };
            for resource in items(version, "/resources") {
                let plural = text(resource, "/resource");
                let can = |verb: &str| items(resource, "/verbs").iter().any(|v| v == verb);
                let stored = text(resource, "/scope") == "Namespaced" && can("list") && can("delete");
                if !stored || found[own..].iter().any(|k| k.plural == plural) {
                    continue;
                }
                let builtin = name.is_empty() || !name.contains('.') || name.ends_with(".k8s.io");
                found.push(Held {
                    name: if builtin { plural.into() } else { format!("{plural}.{name}") },
                    singular: match text(resource, "/singularResource") {
                        "" => plural.into(),
                        singular => singular.into(),
                    },
                    plural: plural.into(),
                    path: format!("{root}/namespaces/{namespace}/{plural}"),
                });
            }
        }
    }
    found
}

/// Where a kind stands: what people miss first, then other kinds, bookkeeping last.
fn rank(kind: &Held) -> usize {
    match FIRST.iter().position(|f| *f == kind.name) {
        Some(at) => at,
        None if BOOKKEEPING.contains(&kind.name.as_str()) => FIRST.len() + 1,
        None => FIRST.len(),
    }
}

/// Counts as one line, what matters most first (pure).
fn told(mut found: Vec<(Held, u64)>) -> Vec<Line> {
    if found.is_empty() {
        return vec![Line::new(Level::Fact, "with it", "nothing is in it")];
    }
    found.sort_by_key(|(kind, n)| (rank(kind), std::cmp::Reverse(*n)));
    let total: u64 = found.iter().map(|(_, n)| n).sum();
    let named =
        |(kind, n): &(Held, u64)| format!("{n} {}", if *n == 1 { &kind.singular } else { &kind.name });
    let shown: Vec<String> = found.iter().take(KINDS).map(named).collect();
    let rest: u64 = found.iter().skip(KINDS).map(|(_, n)| n).sum();
    let rest = match found.len().saturating_sub(KINDS) {
        0 => String::new(),
        kinds => format!(", {rest} of {kinds} other kinds"),
    };
    let objects = if total == 1 { "object" } else { "objects" };
    vec![Line::new(
        Level::Warning,
        "with it",
        format!("everything in it, {total} {objects}: {}{rest}", shown.join(", ")),
    )]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_that_are_stored_in_a_namespace() {
        let resource = |plural: &str, scope: &str, verbs: &[&str]| json!({"resource": plural, "scope": scope, "verbs": verbs});
        let all = ["list", "delete"];
        let answer = json!({"items": [
            {"metadata": {}, "versions": [{"version": "v1", "resources": [resource("pods", "Namespaced", &all), resource("nodes", "Cluster", &all), resource("bindings", "Namespaced", &["create"])]}]},
            {"metadata": {"name": "metrics.k8s.io"}, "versions": [{"version": "v1beta1", "resources": [resource("pods", "Namespaced", &["list"])]}]},
            {"metadata": {"name": "example.com"}, "versions": [
                {"version": "v2", "resources": [resource("widgets", "Namespaced", &all)]},
                {"version": "v1", "resources": [resource("widgets", "Namespaced", &all), resource("gears", "Namespaced", &all)]}]},
        ]});
        let found = held_kinds(&[answer], "t");
        let paths: Vec<&str> = found.iter().map(|k| k.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "/api/v1/namespaces/t/pods",
                "/apis/example.com/v2/namespaces/t/widgets",
                "/apis/example.com/v1/namespaces/t/gears"
            ]
        );
        assert_eq!(found[1].name, "widgets.example.com");
    }

    #[test]
    fn what_matters_comes_first() {
        let held = |name: &str| Held {
            name: name.into(),
            singular: name.trim_end_matches('s').into(),
            plural: name.into(),
            path: String::new(),
        };
        let said = told(vec![
            (held("events"), 40),
            (held("widgets.example.com"), 2),
            (held("pods"), 3),
            (held("deployments"), 1),
        ]);
        assert_eq!(
            said[0].text,
            "everything in it, 46 objects: 1 deployment, 3 pods, 2 widgets.example.com, 40 events"
        );
        assert_eq!(told(Vec::new())[0].text, "nothing is in it");
    }
}
