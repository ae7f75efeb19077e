//! `delete`: takes objects away, by name or by label selector, and says first what goes with them. Refuses a kind
//! without names, an empty selector, and more than 100 objects at once.

mod contents;
mod data;
mod effects;
mod near;
mod uses;

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::cluster::Cluster;
use crate::cluster::read::Listing;
use crate::cluster::resolve::{Resolved, nearest, resolved};
use crate::error::ToolError;
use crate::object::{ApiKind, is_object_name, items, text};
use crate::plan::{Change, Plan};
use crate::review::Line;
use crate::sanitize;
use crate::tool::{Action, Context};

/// Delete objects by name or label selector.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Delete {
    pub kind: String,
    pub name: Option<String>,
    pub names: Option<Vec<String>>,
    pub selector: Option<String>,
    pub namespace: Option<String>,
}

/// More than this is a mistake, or a namespace to delete.
const MOST: usize = 100;
/// Objects looked around at side by side.
const SIDE_BY_SIDE: usize = 8;

impl Action for Delete {
    const NAME: &'static str = "delete";
    const DESTRUCTIVE: bool = true;

    async fn plan(self, context: &Context) -> Result<Plan, ToolError> {
        let cluster = &context.cluster;
        let namespace = cluster.namespace_or(self.namespace.as_deref())?;
        let targets = match self.chosen()? {
            Chosen::Names(named) => by_names(cluster, &named, namespace).await?,
            Chosen::Selector(selector) => {
                by_selector(cluster, &cluster.kind(&self.kind).await?, &selector, namespace).await?
            }
        };
        let (going, leaving): (Vec<Resolved>, Vec<Resolved>) =
            targets.into_iter().partition(|t| t.live.pointer("/metadata/deletionTimestamp").is_none());
        let notes: Vec<String> = leaving.iter().map(being_deleted).collect();
        if going.is_empty() {
            return Ok(Plan { title: format!("nothing to change: {}", notes.join("; ")), ..Plan::default() });
        }
        let lines = effects_of(cluster, &going, namespace).await;
        Ok(changes(going, lines, notes))
    }
}

/// What a request names.
#[derive(Debug, PartialEq)]
enum Chosen {
    /// Kind and name of each.
    Names(Vec<(String, String)>),
    Selector(String),
}

impl Delete {
    /// Reads the arguments (pure).
    fn chosen(&self) -> Result<Chosen, ToolError> {
        let invalid = |message: String| Err(ToolError::Invalid(message));
        let (kind, inline) = match self.kind.trim().split_once('/') {
            Some((kind, name)) => (kind.to_string(), Some(name.to_string())),
            None => (self.kind.trim().to_string(), None),
        };
        let said = inline.iter().chain(&self.name).chain(self.names.iter().flatten());
        let mut named: Vec<(String, String)> = Vec::new();
        for said in said.map(|s| s.trim()).filter(|s| !s.is_empty()) {
            let (kind, name) = said.split_once('/').unwrap_or((&kind, said));
            if !is_object_name(name) {
                return invalid(format!("`{}` cannot be the name of a {kind}", sanitize::line(name)));
            }
            let one = (kind.to_string(), name.to_string());
            if !named.contains(&one) {
                named.push(one);
            }
        }
        let selector = self.selector.as_deref().map(str::trim).filter(|s| !s.is_empty());
        match (named.is_empty(), selector) {
            (false, Some(_)) => invalid("delete: give names or `selector`, not both".into()),
            (true, None) => invalid(format!(
                "delete: name what is to go (`name`, `names`), or give a `selector`; there is no \"all {kind}\" without one"
            )),
            (false, None) if named.len() > MOST => invalid(too_many(named.len())),
            (false, None) => Ok(Chosen::Names(named)),
            (true, Some(selector)) => Ok(Chosen::Selector(selector.to_string())),
        }
    }
}

fn too_many(found: usize) -> String {
    format!("delete: that is {found} objects, and the most at once is {MOST}; narrow the selector")
}

async fn by_names(
    cluster: &Cluster,
    named: &[(String, String)],
    namespace: &str,
) -> Result<Vec<Resolved>, ToolError> {
    let mut found: Vec<Resolved> = Vec::new();
    for (word, name) in named {
        let kind = cluster.kind(word).await?;
        match cluster.find(&kind, namespace, name).await? {
            Some(live) => {
                let target = resolved(&kind, namespace, live, None);
                if found.iter().all(|f| f.object != target.object) {
                    found.push(target);
                }
            }
            None => return Err(missing(cluster, &kind, name, namespace).await),
        }
    }
    Ok(found)
}

/// Says that there is none of that name, with the nearest there are: a deletion is never of what only looks alike.
pub(super) async fn missing(cluster: &Cluster, kind: &ApiKind, name: &str, namespace: &str) -> ToolError {
    let (place, within) = match kind.namespaced {
        true => (format!(" in namespace {namespace}"), Some(namespace)),
        false => (String::new(), None),
    };
    let names = cluster.names(kind, within).await;
    let message = format!("there is no {} `{}`{place}", kind.singular, sanitize::line(name));
    ToolError::NotFound { message, similar: nearest(name, names.iter().map(String::as_str)) }
}

async fn by_selector(
    cluster: &Cluster,
    kind: &ApiKind,
    selector: &str,
    namespace: &str,
) -> Result<Vec<Resolved>, ToolError> {
    let what = Listing { labels: Some(selector.to_string()), limit: Some(MOST + 1), ..Listing::default() };
    let within = kind.namespaced.then_some(namespace);
    let listed = cluster.list(kind, within, &what).await?;
    if listed.items.len() > MOST || listed.next.is_some() {
        let more = listed.remaining.and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        return Err(ToolError::Invalid(too_many(listed.items.len() + more)));
    }
    if listed.items.is_empty() {
        let place = if kind.namespaced { format!(" in namespace {namespace}") } else { String::new() };
        return Err(ToolError::NotFound {
            message: format!("no {} has the labels `{}`{place}", kind.singular, sanitize::line(selector)),
            similar: Vec::new(),
        });
    }
    Ok(listed.items.into_iter().map(|live| resolved(kind, namespace, live, None)).collect())
}

fn being_deleted(target: &Resolved) -> String {
    let held: Vec<&str> =
        items(&target.live, "/metadata/finalizers").iter().filter_map(|f| f.as_str()).collect();
    let by = match held.as_slice() {
        [] => String::new(),
        held => format!(" and waits for its finalizers {}", sanitize::line(&held.join(", "))),
    };
    format!("{} is being deleted already{by}", target.object)
}

/// What each deletion means, in the order of the targets.
async fn effects_of(cluster: &Cluster, going: &[Resolved], namespace: &str) -> Vec<Vec<Line>> {
    let near = near::Near::read(cluster, namespace, going).await;
    let uids: BTreeSet<String> = going.iter().map(|t| text(&t.live, "/metadata/uid").to_string()).collect();
    let gone = near.closure(&uids);
    let looks: Vec<_> = going
        .iter()
        .map(|target| {
            let (near, gone) = (&near, &gone);
            async move {
                let mut lines = effects::lines(target, near, gone);
                lines.extend(match target.kind.kind.as_str() {
                    "Namespace" => contents::of_namespace(cluster, &target.object.name).await,
                    "CustomResourceDefinition" => contents::of_definition(cluster, &target.live).await,
                    _ => data::lines(cluster, &effects::claims(target, near)).await,
                });
                lines.extend(effects::last(target));
                lines
            }
        })
        .collect();
    let mut all = stream::iter(looks).buffered(SIDE_BY_SIDE).collect::<Vec<_>>().await;
    if let Some(first) = all.first_mut() {
        first.extend(near.unseen());
    }
    all
}

/// The plan (pure).
fn changes(going: Vec<Resolved>, lines: Vec<Vec<Line>>, notes: Vec<String>) -> Plan {
    let kind = &going[0].kind;
    let title = match going.as_slice() {
        [one] => format!("Delete {}", one.object),
        several if several.iter().all(|t| t.kind == *kind) => {
            format!("Delete {} {}", several.len(), kind.plural)
        }
        several => format!("Delete {} objects", several.len()),
    };
    let changes = going
        .into_iter()
        .zip(lines)
        .map(|(target, lines)| lines.into_iter().fold(Change::delete(target), Change::with))
        .collect();
    Plan { title, changes, notes, ..Plan::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn chosen(arguments: Value) -> Result<Chosen, ToolError> {
        serde_json::from_value::<Delete>(arguments).unwrap().chosen()
    }

    #[test]
    fn names_come_in_every_form() {
        let names = |all: &[(&str, &str)]| {
            Chosen::Names(all.iter().map(|(k, n)| ((*k).to_string(), (*n).to_string())).collect())
        };
        for (arguments, expect) in [
            (json!({"kind": "pod", "name": "a"}), names(&[("pod", "a")])),
            (json!({"kind": "pod/a"}), names(&[("pod", "a")])),
            (json!({"kind": "pod", "name": "pod/a"}), names(&[("pod", "a")])),
            (json!({"kind": "pods", "names": ["a", "b", "a"]}), names(&[("pods", "a"), ("pods", "b")])),
            (json!({"kind": "pod", "names": ["service/a"]}), names(&[("service", "a")])),
            (json!({"kind": "pod", "selector": " app=a "}), Chosen::Selector("app=a".into())),
        ] {
            assert_eq!(chosen(arguments.clone()).unwrap(), expect, "{arguments}");
        }
    }

    #[test]
    fn nothing_named_is_never_all() {
        for arguments in [
            json!({"kind": "pod"}),
            json!({"kind": "pod", "names": []}),
            json!({"kind": "pod", "names": ["", " "], "selector": ""}),
            json!({"kind": "pod", "name": "a", "selector": "app=a"}),
            json!({"kind": "pod", "name": "*"}),
            json!({"kind": "pod/.."}),
            json!({"kind": "pod", "name": "a?gracePeriodSeconds=0"}),
        ] {
            assert!(matches!(chosen(arguments.clone()), Err(ToolError::Invalid(_))), "{arguments}");
        }
    }
}
