//! `set`: gives chosen fields of an object other values and leaves all others as they are. Refuses to guess which
//! container is meant, and anything but labels and annotations of what is no workload.

mod fields;
mod image;
mod notation;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::deploy::template_undo;
use crate::cluster::Cluster;
use crate::cluster::read::Listing;
use crate::cluster::resolve::Resolved;
use crate::diff;
use crate::error::ToolError;
use crate::journal::Kept;
use crate::object::{builtin, is_object_name, selects};
use crate::plan::{Change, Plan, UndoBy};
use crate::review::{Level, Line};
use crate::sanitize;
use crate::tool::{Action, Context};

/// Set fields of a workload or CronJob; labels and annotations of any kind/name.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Set {
    pub workload: String,
    pub namespace: Option<String>,
    pub container: Option<String>,
    /// Or only a tag.
    pub image: Option<String>,
    pub env: Option<BTreeMap<String, String>>,
    pub unset: Option<Vec<String>>,
    pub env_from: Option<Vec<String>>,
    pub cpu_request: Option<String>,
    pub memory_request: Option<String>,
    pub cpu_limit: Option<String>,
    pub memory_limit: Option<String>,
    pub command: Option<Vec<String>>,
    pub args: Option<Vec<String>>,
    pub readiness: Option<String>,
    pub liveness: Option<String>,
    /// "" removes.
    pub labels: Option<BTreeMap<String, String>>,
    pub annotations: Option<BTreeMap<String, String>>,
    pub node_selector: Option<BTreeMap<String, String>>,
    /// key=value:Effect
    pub tolerations: Option<Vec<String>>,
}

impl Action for Set {
    const NAME: &'static str = "set";
    const DESTRUCTIVE: bool = false;

    async fn plan(self, context: &Context) -> Result<Plan, ToolError> {
        let cluster = &context.cluster;
        let namespace = cluster.namespace_or(self.namespace.as_deref())?;
        if !self.of_object() && !self.of_pod() && !self.of_container() {
            return Err(ToolError::Invalid(
                "set: say which fields, such as `image`, `env` or `labels`".into(),
            ));
        }
        let target = target(cluster, &self.workload, namespace).await?;
        let edit = fields::edit(&self, &target)?;
        let mut plan = Plan { title: edit.title(&target.object), ..Plan::default() };
        plan.notes.extend(target.note.clone());
        if edit.after == target.live {
            return Ok(plan);
        }
        let mut change = Change::set(target.clone(), edit.after);
        change.lines = edit.lines;
        change.lines.extend(self.no_such_node(cluster).await);
        change.undo = undo(cluster, &target, &change).await;
        plan.changes.push(change);
        Ok(plan)
    }
}

impl Set {
    /// Whether something of the object itself is asked for.
    fn of_object(&self) -> bool {
        self.labels.is_some() || self.annotations.is_some()
    }

    /// Whether something of its pods is.
    fn of_pod(&self) -> bool {
        self.node_selector.is_some() || self.tolerations.is_some()
    }

    /// Whether something of a container is.
    fn of_container(&self) -> bool {
        let texts = [
            &self.image,
            &self.cpu_request,
            &self.memory_request,
            &self.cpu_limit,
            &self.memory_limit,
            &self.readiness,
            &self.liveness,
        ];
        let lists = [&self.unset, &self.env_from, &self.command, &self.args];
        texts.iter().any(|t| t.is_some()) || lists.iter().any(|l| l.is_some()) || self.env.is_some()
    }

    /// Says so when no node has the labels that the pods would ask for.
    async fn no_such_node(&self, cluster: &Cluster) -> Option<Line> {
        let wanted: BTreeMap<_, _> =
            self.node_selector.iter().flatten().filter(|(_, v)| !v.is_empty()).collect();
        if wanted.is_empty() {
            return None;
        }
        // Who may not list nodes is told by nobody; the scheduler decides as it does for everybody.
        let nodes = cluster.list(&builtin("node"), None, &Listing::default()).await.ok()?;
        let selector = json!({"matchLabels": wanted});
        let fits = nodes.items.iter().any(|n| selects(Some(&selector), n.pointer("/metadata/labels")));
        let shown: Vec<String> = wanted.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let text = format!("no node has {}: new pods would stay Pending", shown.join(", "));
        (!fits).then(|| Line::new(Level::Warning, "nodes", text))
    }
}

/// The object that is meant: a workload, a CronJob of exactly that name, or whatever `kind/name` says.
async fn target(cluster: &Cluster, said: &str, namespace: &str) -> Result<Resolved, ToolError> {
    let missing = match cluster.workload(said, namespace).await {
        Err(e @ ToolError::NotFound { .. }) if is_object_name(said.trim()) => e,
        other => return other,
    };
    let kind = builtin("cronjob");
    match cluster.find(&kind, namespace, said.trim()).await {
        Ok(Some(live)) => Ok(crate::cluster::resolve::resolved(&kind, namespace, live, None)),
        _ => Err(missing),
    }
}

/// How it is taken back: by fields where the journal may keep them, else from the revision that holds the template.
async fn undo(cluster: &Cluster, target: &Resolved, change: &Change) -> UndoBy {
    let hidden = |before: Option<&Value>, path: &str| matches!(Kept::of(path, before), Kept::Sha256(_));
    let by = match target.kind.kind.as_str() {
        "Deployment" | "StatefulSet" | "DaemonSet" => template_undo(cluster, target, change).await,
        _ => UndoBy::Fields,
    };
    let template = matches!(by, UndoBy::Template(_));
    let lost = diff::pieces(&change.live, &change.after)
        .iter()
        .any(|p| hidden(p.before.as_ref(), &p.path) && !(template && p.path.starts_with("/spec/template")));
    if lost { UndoBy::Never("the journal keeps no environment values and no secrets".into()) } else { by }
}

/// A refusal of what was said.
fn invalid<T>(message: impl AsRef<str>) -> Result<T, ToolError> {
    Err(ToolError::Invalid(format!("set: {}", sanitize::line(message.as_ref()))))
}

#[cfg(test)]
mod tests;
