//! From what a person called something to the one object that is meant, or the question which.

use serde_json::Value;

use super::Cluster;
use super::read::Listing;
use crate::error::ToolError;
use crate::object::{ApiKind, ObjectRef, builtin, is_object_name, text};
use crate::sanitize;

/// An object that a name stood for.
#[derive(Clone, Debug)]
pub struct Resolved {
    pub kind: ApiKind,
    pub object: ObjectRef,
    pub live: Value,
    /// How the name was understood, when it is not the object's own: `backend → deployment/todo-app-backend`.
    pub note: Option<String>,
}

/// Kinds that run pods and can be meant by a bare name, in order.
const WORKLOADS: [&str; 3] = ["deployment", "statefulset", "daemonset"];

impl Cluster {
    /// The namespace that is meant: the one named, else the connection's own.
    ///
    /// # Errors
    /// `Invalid` when it cannot be a name.
    pub fn namespace_or<'a>(&'a self, named: Option<&'a str>) -> Result<&'a str, ToolError> {
        let namespace = named.map(str::trim).filter(|n| !n.is_empty()).unwrap_or(self.namespace());
        if is_object_name(namespace) {
            Ok(namespace)
        } else {
            Err(ToolError::Invalid(format!(
                "`{}` cannot be the name of a namespace",
                sanitize::line(namespace)
            )))
        }
    }

    /// Whether a workload of that very name can be seen in a namespace.
    pub async fn has_workload(&self, name: &str, namespace: &str) -> bool {
        let kinds = WORKLOADS.map(builtin);
        let tries = kinds.iter().map(|kind| self.find(kind, namespace, name));
        futures::future::join_all(tries).await.into_iter().any(|found| matches!(found, Ok(Some(_))))
    }

    /// The workload that `said` names in a namespace: `kind/name` or a bare name. Tried in order: the exact name; the
    /// `app.kubernetes.io/name` or `app` label; a name that contains the words. Several fits are a question.
    ///
    /// # Errors
    /// `Ambiguous` with the candidates; `NotFound` with the nearest names, or with the namespaces that have it.
    pub async fn workload(&self, said: &str, namespace: &str) -> Result<Resolved, ToolError> {
        let said = said.trim();
        let (kinds, name) = match said.split_once('/') {
            Some((kind, name)) => (vec![self.kind(kind).await?], name),
            None => (WORKLOADS.iter().map(|k| builtin(k)).collect(), said),
        };
        if !is_object_name(name) {
            return Err(ToolError::Invalid(format!(
                "`{}` cannot be the name of a workload",
                sanitize::line(name)
            )));
        }
        let tries = kinds.iter().map(|kind| self.find(kind, namespace, name));
        let mut exact = Vec::new();
        let mut denied = Vec::new();
        for (kind, found) in kinds.iter().zip(futures::future::join_all(tries).await) {
            match found {
                Ok(Some(live)) => exact.push(resolved(kind, namespace, live, None)),
                Ok(None) => {}
                // Rights to one kind and not another are ordinary; what may be seen decides.
                Err(e @ ToolError::Forbidden { .. }) => denied.push(e),
                Err(e) => return Err(e),
            }
        }
        match exact.len() {
            1 => return Ok(exact.remove(0)),
            0 => {}
            _ => {
                return Err(ToolError::Ambiguous {
                    name: name.into(),
                    candidates: exact.into_iter().map(|r| r.object).collect(),
                });
            }
        }
        if denied.len() == kinds.len()
            && let Some(e) = denied.into_iter().next()
        {
            return Err(e);
        }
        self.workload_alike(&kinds, name, namespace).await
    }

    /// No object has exactly that name: one that fits by label or by words, or a helpful no.
    async fn workload_alike(
        &self,
        kinds: &[ApiKind],
        name: &str,
        namespace: &str,
    ) -> Result<Resolved, ToolError> {
        let every = Listing::default();
        let lists = kinds.iter().map(|kind| self.list(kind, Some(namespace), &every));
        let mut here: Vec<(ApiKind, Value)> = Vec::new();
        for (kind, listed) in kinds.iter().zip(futures::future::join_all(lists).await) {
            match listed {
                Ok(listed) => here.extend(listed.items.into_iter().map(|live| (kind.clone(), live))),
                Err(ToolError::Forbidden { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        for fits in [by_label, by_words] {
            let mut found: Vec<&(ApiKind, Value)> =
                here.iter().filter(|(_, live)| fits(live, name)).collect();
            match found.len() {
                0 => {}
                1 => {
                    let (kind, live) = found.remove(0);
                    let note = format!("{name} → {}", kind.object(namespace, text(live, "/metadata/name")));
                    return Ok(resolved(kind, namespace, live.clone(), Some(note)));
                }
                _ => {
                    return Err(ToolError::Ambiguous {
                        name: name.into(),
                        candidates: found
                            .iter()
                            .map(|(k, l)| k.object(namespace, text(l, "/metadata/name")))
                            .collect(),
                    });
                }
            }
        }
        Err(self.no_workload(kinds, name, namespace, &here).await)
    }

    async fn no_workload(
        &self,
        kinds: &[ApiKind],
        name: &str,
        namespace: &str,
        here: &[(ApiKind, Value)],
    ) -> ToolError {
        let what = if kinds.len() == 1 { kinds[0].singular.as_str() } else { "workload" };
        if here.is_empty()
            && let Ok(None) = self.find(&builtin("namespace"), "", namespace).await
        {
            let names = self.names(&builtin("namespace"), None).await;
            return ToolError::NotFound {
                message: format!("there is no namespace `{namespace}`"),
                similar: nearest(namespace, names.iter().map(String::as_str)),
            };
        }
        let mut elsewhere: Vec<(f64, String)> = Vec::new();
        for kind in kinds {
            let what = Listing {
                fields: Some(format!("metadata.name={name}")),
                limit: Some(500),
                ..Listing::default()
            };
            let Ok(listed) = self.list(kind, None, &what).await else { continue };
            elsewhere.extend(listed.items.iter().map(|l| {
                let place = text(l, "/metadata/namespace");
                // Of many namespaces the one that is called most alike is meant most likely.
                let alike = strsim::normalized_damerau_levenshtein(namespace, place);
                (alike, format!("{}/{name} in {place}", kind.singular))
            }));
        }
        elsewhere.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let elsewhere: Vec<String> = elsewhere.into_iter().take(4).map(|(_, said)| said).collect();
        let names: Vec<&str> = here.iter().map(|(_, l)| text(l, "/metadata/name")).collect();
        let similar = if elsewhere.is_empty() { nearest(name, names.into_iter()) } else { elsewhere };
        ToolError::NotFound {
            message: format!("there is no {what} `{name}` in namespace {namespace}"),
            similar,
        }
    }

    /// Names of all objects of a kind; empty when they may not be listed.
    pub async fn names(&self, kind: &ApiKind, namespace: Option<&str>) -> Vec<String> {
        match self.list(kind, namespace, &Listing { limit: Some(2000), ..Listing::default() }).await {
            Ok(listed) => listed.items.iter().map(|l| text(l, "/metadata/name").to_string()).collect(),
            Err(_) => Vec::new(),
        }
    }
}

/// An object as it came, from a list too, with the kind that it is.
pub(crate) fn resolved(kind: &ApiKind, namespace: &str, mut live: Value, note: Option<String>) -> Resolved {
    // Items of a list do not say their kind; diffs, redaction and rules look at it.
    if let Some(map) = live.as_object_mut() {
        map.entry("kind").or_insert_with(|| kind.kind.clone().into());
        let version = if kind.group.is_empty() {
            kind.version.clone()
        } else {
            format!("{}/{}", kind.group, kind.version)
        };
        map.entry("apiVersion").or_insert_with(|| version.into());
    }
    let object = kind.object(namespace, text(&live, "/metadata/name"));
    Resolved { kind: kind.clone(), object, live, note }
}

fn by_label(live: &Value, name: &str) -> bool {
    let labels = live.pointer("/metadata/labels");
    ["app.kubernetes.io/name", "app.kubernetes.io/component", "app", "k8s-app"]
        .iter()
        .any(|key| labels.and_then(|l| l.get(*key)).and_then(Value::as_str) == Some(name))
}

/// Whether the words of `said` stand in the object's name in that order, side by side; a plural may mean the singular.
fn by_words(live: &Value, said: &str) -> bool {
    let name = text(live, "/metadata/name");
    let words: Vec<&str> = name.split(['-', '.', '_']).collect();
    let singular = said.strip_suffix('s').unwrap_or(said);
    [said, singular].iter().any(|said| {
        let wanted: Vec<&str> = said.split(['-', '.', '_']).collect();
        words.windows(wanted.len()).any(|w| w == wanted)
    })
}

/// At most three names that are near to `name`, the nearest first.
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut scored: Vec<(f64, &str)> = names
        .map(|n| {
            let contains = n.contains(name) || name.contains(n);
            (strsim::normalized_damerau_levenshtein(name, n).max(if contains { 0.7 } else { 0.0 }), n)
        })
        .filter(|(score, _)| *score >= 0.6)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup_by(|a, b| a.1 == b.1);
    scored.into_iter().take(3).map(|(_, n)| sanitize::line(n)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words() {
        let live = json!({"metadata": {"name": "todo-app-backend"}});
        assert!(by_words(&live, "backend") && by_words(&live, "backends") && by_words(&live, "app-backend"));
        assert!(!by_words(&live, "back") && !by_words(&live, "todo-backend"));
    }

    #[test]
    fn nearest_names() {
        assert_eq!(nearest("backnd", ["backend", "frontend", "db"].into_iter()), ["backend"]);
        assert!(nearest("zzz", ["backend"].into_iter()).is_empty());
    }
}
