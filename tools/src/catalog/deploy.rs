//! `deploy`: an image as a workload with what belongs to it: Service, autoscaler, Ingress, claims. What exists is
//! updated in the fields that were asked for and in no other. Refuses what it would have to guess: a Service without a
//! port, an Ingress without a Service.

mod defaults;
mod folder;
pub(in crate::catalog) mod objects;
pub(in crate::catalog) mod shorthand;

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::rollout::revisions;
use crate::cluster::Cluster;
use crate::cluster::resolve::Resolved;
use crate::diff;
use crate::error::ToolError;
use crate::manifest::known::known;
use crate::manifest::{check, read};
use crate::object::{ApiKind, builtin, is_object_name, items, text};
use crate::plan::{Change, Plan, UndoBy};
use crate::review::{Level, Line};
use crate::sanitize;
use crate::tool::{Action, Context};

/// Run an image as a workload with what is asked for; what exists changes only in the given fields.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deploy {
    #[serde(default)]
    pub name: String,
    /// Left out: what exists, or a local chart of that name.
    pub image: Option<String>,
    pub namespace: Option<String>,
    pub replicas: Option<u32>,
    /// The main one first; they get a Service.
    pub ports: Option<Vec<u16>>,
    pub env: Option<BTreeMap<String, String>>,
    /// `secret/x`, `configmap/x`, `KEY=secret/x/key`.
    pub env_from: Option<Vec<String>>,
    pub cpu_request: Option<String>,
    pub memory_request: Option<String>,
    pub cpu_limit: Option<String>,
    pub memory_limit: Option<String>,
    /// `http:/ready:8000`, `tcp:5432`, `exec:cmd` or `none`.
    pub readiness: Option<String>,
    pub liveness: Option<String>,
    pub command: Option<Vec<String>>,
    pub args: Option<Vec<String>>,
    pub service: Option<ServiceType>,
    pub service_port: Option<u16>,
    pub node_port: Option<u16>,
    pub host: Option<String>,
    pub path: Option<String>,
    /// HPA.
    pub min_replicas: Option<u32>,
    pub max_replicas: Option<u32>,
    pub cpu_target: Option<u32>,
    pub memory_target: Option<u32>,
    /// `/data=5Gi`, `/d=claim/x`, `/e=configmap/x`, `/k=secret/x`, `/t=empty`, `/s=memory:1Gi`.
    pub mounts: Option<Vec<String>>,
    /// StatefulSet with storage for each pod.
    pub per_pod: Option<bool>,
    pub user: Option<i64>,
    pub read_only_root: Option<bool>,
    pub service_account: Option<String>,
    pub node_selector: Option<BTreeMap<String, String>>,
    pub prefer_nodes: Option<BTreeMap<String, String>>,
    /// Workloads to be ready first.
    pub wait_for: Option<Vec<String>>,
}

/// What the Service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum ServiceType {
    ClusterIP,
    NodePort,
    LoadBalancer,
    None,
}

impl Action for Deploy {
    const NAME: &'static str = "deploy";
    const DESTRUCTIVE: bool = false;

    async fn plan(mut self, context: &Context) -> Result<Plan, ToolError> {
        let cluster = &context.cluster;
        let namespace = cluster.namespace_or(self.namespace.as_deref())?.to_string();
        if let (true, Some(image)) = (self.name.is_empty(), &self.image) {
            let last = objects::repository(image).rsplit('/').next().unwrap_or("");
            self.name = last.to_lowercase().replace(['_', '.'], "-");
        }
        self.check()?;
        super::get::must_exist(cluster, &namespace).await?;
        let live = existing(cluster, &namespace, &self.name).await?;
        if live.is_none() && self.image.is_none() {
            return self.in_folder(context, &namespace).await;
        }
        let mut plan = match live {
            Some(live) => self.update(cluster, &namespace, live).await?,
            None => self.create(cluster, &namespace).await?,
        };
        self.wait(cluster, &namespace, &mut plan).await?;
        Ok(plan)
    }
}

/// The workload of exactly that name, Deployment or StatefulSet.
async fn existing(cluster: &Cluster, namespace: &str, name: &str) -> Result<Option<Resolved>, ToolError> {
    for kind in ["deployment", "statefulset", "daemonset"].map(builtin) {
        match cluster.find(&kind, namespace, name).await {
            Ok(Some(live)) => {
                let object = kind.object(namespace, name);
                return Ok(Some(Resolved { kind, object, live, note: None }));
            }
            Ok(None) | Err(ToolError::Forbidden { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

impl Deploy {
    fn check(&self) -> Result<(), ToolError> {
        let invalid = |message: String| Err(ToolError::Invalid(format!("deploy: {message}")));
        let name = sanitize::line(&self.name);
        let is_label = |n: &str| {
            n.len() <= 63
                && n.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && n.starts_with(|c: char| c.is_ascii_lowercase())
                && !n.ends_with('-')
        };
        if !is_object_name(&self.name) || !is_label(&self.name) {
            return invalid(format!(
                "`{name}` cannot name a workload and its Service: lower-case letters, digits and `-`, beginning with a letter, at most 63"
            ));
        }
        if let Some(image) = &self.image
            && (image.is_empty() || image.contains(char::is_whitespace) || image.starts_with('-'))
        {
            return invalid(format!("`{}` is not an image", sanitize::line(image)));
        }
        let quantities = [&self.cpu_request, &self.memory_request, &self.cpu_limit, &self.memory_limit];
        for quantity in quantities.into_iter().flatten() {
            if crate::quantity::milli(quantity).is_none_or(|q| q <= 0) {
                return invalid(format!(
                    "`{}` is not a quantity such as 250m or 512Mi",
                    sanitize::line(quantity)
                ));
            }
        }
        for (what, request, limit) in [
            ("cpu", &self.cpu_request, &self.cpu_limit),
            ("memory", &self.memory_request, &self.memory_limit),
        ] {
            if let (Some(request), Some(limit)) = (request, limit)
                && crate::quantity::milli(request) > crate::quantity::milli(limit)
            {
                return invalid(format!("the {what} request {request} is above its limit {limit}"));
            }
        }
        if self.max_replicas.is_none() && (self.min_replicas.is_some() || self.cpu_target.is_some()) {
            return invalid("an autoscaler needs `max_replicas`".into());
        }
        if self.max_replicas.zip(self.min_replicas).is_some_and(|(max, min)| max < min) {
            return invalid("`max_replicas` is below `min_replicas`".into());
        }
        if self.node_port.is_some_and(|p| !(30000..=32767).contains(&p)) {
            return invalid("a node port is between 30000 and 32767".into());
        }
        Ok(())
    }

    /// Whether a Service was asked for, by itself or by what needs one. A port that others declare for the image is none.
    fn wants_service(&self) -> bool {
        let port = self.ports.as_ref().is_some_and(|ports| !ports.is_empty());
        let by_what_needs_it = self.service_port.is_some()
            || self.node_port.is_some()
            || self.host.is_some()
            || self.path.is_some();
        self.service != Some(ServiceType::None) && (port || self.service.is_some() || by_what_needs_it)
    }

    async fn create(&self, cluster: &Cluster, namespace: &str) -> Result<Plan, ToolError> {
        let Some(image) = &self.image else {
            return Err(ToolError::Invalid(format!(
                "deploy: there is no workload `{}` in {namespace}; say which image it runs",
                self.name
            )));
        };
        let (ports, mut lines) = match self.ports.clone() {
            Some(ports) => (ports, Vec::new()),
            None => defaults::ports_by_evidence(cluster, namespace, image).await,
        };
        if ports.is_empty() && (self.wants_service() || self.host.is_some()) {
            return Err(ToolError::Invalid(format!(
                "deploy: on which port does {} listen? Nothing here says so; give `ports`",
                sanitize::line(image)
            )));
        }
        let built = objects::build(self, namespace, image, &ports)?;
        lines.extend(built.lines);
        if self.service != Some(ServiceType::None)
            && !built.objects.iter().any(|(kind, _)| *kind == "service")
        {
            let there = cluster.find(&builtin("service"), namespace, &self.name).await.ok().flatten();
            lines.push(defaults::no_service(&self.name, &ports, there.as_ref()));
        }
        lines.extend(findings(cluster, &built.objects).await?);
        let mut changes = Vec::new();
        for (kind, manifest) in built.objects {
            let kind = cluster.kind(kind).await?;
            let name = text(&manifest, "/metadata/name").to_string();
            let live = cluster.find(&kind, namespace, &name).await?;
            changes.extend(change(kind, namespace, live, manifest));
        }
        if let Some(workload) = changes.iter_mut().find(|c| c.is_workload()) {
            workload.lines.extend(lines);
        }
        let replicas = self.replicas.or(self.min_replicas).unwrap_or(1);
        let title = format!(
            "Deploy {} with {} ({replicas} replica{})",
            self.name,
            sanitize::line(image),
            if replicas == 1 { "" } else { "s" }
        );
        Ok(Plan { title, changes, ..Plan::default() })
    }

    /// Neither a workload nor an image: a chart or a folder of manifests of that name may be meant.
    async fn in_folder(&self, context: &Context, namespace: &str) -> Result<Plan, ToolError> {
        let name = sanitize::line(&self.name);
        let found = folder::find(Path::new("."), &self.name);
        let shown: Vec<String> = found.iter().map(|p| p.display().to_string()).collect();
        match found.as_slice() {
            [] => Err(ToolError::Invalid(format!(
                "deploy: there is no workload `{name}` in {namespace}, and no chart or folder of manifests called so below this one; say which image it runs, or give the path"
            ))),
            [one] => {
                let path = Some(one.display().to_string());
                let namespace = self.namespace.clone();
                let apply = super::apply::Apply { path, namespace, ..super::apply::Apply::default() };
                let mut plan = apply.plan(context).await?;
                plan.notes.insert(0, format!("{name} → {}", shown[0]));
                Ok(plan)
            }
            _ => Err(ToolError::Invalid(format!(
                "deploy: several folders could be `{name}`: {}. Say which: \"apply {}\"",
                shown.join(", "),
                shown[0]
            ))),
        }
    }

    /// What exists gets the fields that were asked for.
    async fn update(&self, cluster: &Cluster, namespace: &str, live: Resolved) -> Result<Plan, ToolError> {
        let containers = items(&live.live, "/spec/template/spec/containers");
        let container = self.container(containers, &live)?;
        let asked = objects::asked(self, namespace, &container, &live)?;
        let object = live.object.clone();
        let mut plan = Plan::default();
        for (kind, manifest) in asked {
            let kind = cluster.kind(kind).await?;
            if kind == live.kind {
                let after = diff::overlay(&live.live, &manifest);
                if after != live.live {
                    let mut change = Change::set(live.clone(), after);
                    change.undo = template_undo(cluster, &live, &change).await;
                    plan.changes.push(change);
                }
                continue;
            }
            let name = text(&manifest, "/metadata/name").to_string();
            let there = cluster.find(&kind, namespace, &name).await?;
            plan.changes.extend(change(kind, namespace, there, manifest));
        }
        plan.notes.push(format!("{object} exists: only what was asked for changes"));
        plan.title = match plan.changes.len() {
            0 => format!("nothing to change: {object} is so already"),
            _ => format!("Update {object}"),
        };
        if plan.changes.is_empty() {
            plan.notes.clear();
        }
        Ok(plan)
    }

    /// The container that is meant: the only one, the one of that name, or the one that runs the same image.
    fn container(&self, containers: &[Value], live: &Resolved) -> Result<String, ToolError> {
        let repository = |image: &str| objects::repository(image).to_string();
        let by_image = || {
            let wanted = repository(self.image.as_deref()?);
            containers.iter().find(|c| repository(text(c, "/image")) == wanted)
        };
        let by_name = || containers.iter().find(|c| text(c, "/name") == self.name);
        let only = || if let [one] = containers { Some(one) } else { None };
        only().or_else(by_image).or_else(by_name).map(|c| text(c, "/name").to_string()).ok_or_else(|| {
            let names: Vec<&str> = containers.iter().map(|c| text(c, "/name")).collect();
            ToolError::Invalid(format!(
                "{} has the containers {}: which is meant? Use `set` with `container`",
                live.object,
                names.join(", ")
            ))
        })
    }

    /// Waits for the workloads that must be ready first: those of the same plan, or those that are there.
    async fn wait(&self, cluster: &Cluster, namespace: &str, plan: &mut Plan) -> Result<(), ToolError> {
        for said in self.wait_for.iter().flatten() {
            let first = match cluster.workload(said, namespace).await {
                Ok(found) => found.object,
                // It may come with another part of the same request; the preview says so when it does not.
                Err(ToolError::NotFound { .. }) => builtin("deployment").object(namespace, said),
                Err(e) => return Err(e),
            };
            for change in &mut plan.changes {
                if change.is_workload() {
                    change.needs.push(first.clone());
                }
            }
        }
        Ok(())
    }
}

/// What the checks of manifests find in what is about to be made: references to nothing, tags that move. What kai itself
/// decided is explained by the lines of its defaults.
async fn findings(cluster: &Cluster, objects: &[(&'static str, Value)]) -> Result<Vec<Line>, ToolError> {
    let mut documents = Vec::new();
    for (_, manifest) in objects {
        documents.extend(read::parse("deploy", &manifest.to_string())?);
    }
    let known = known(cluster, &documents, Vec::new()).await;
    let found = check::check(&documents, &known).findings;
    let worth = |f: &&check::Finding| f.level == check::Level::Problem || f.path.ends_with("image");
    Ok(found
        .iter()
        .filter(worth)
        .map(|f| {
            let level = if f.level == check::Level::Problem { Level::Problem } else { Level::Warning };
            Line::new(level, "check", format!("{}. {}", f.says, f.fix))
        })
        .collect())
}

/// Makes an object, or lays what was asked over the one that is there; `None` when it is so already.
fn change(kind: ApiKind, namespace: &str, live: Option<Value>, manifest: Value) -> Option<Change> {
    let Some(live) = live else { return Some(Change::apply(kind, namespace, None, manifest, false)) };
    let after = diff::overlay(&live, &manifest);
    let object = kind.object(namespace, text(&live, "/metadata/name"));
    let exists = Line::new(Level::Fact, "exists", "was there before: only these fields change");
    (after != live).then(|| Change::set(Resolved { kind, object, live, note: None }, after).with(exists))
}

/// The old template comes back from the object that holds it where the journal may not keep its values.
pub(super) async fn template_undo(cluster: &Cluster, target: &Resolved, change: &Change) -> UndoBy {
    let template = |v: &Value| v.pointer("/spec/template").cloned().unwrap_or(json!(null));
    if template(&change.live) == template(&change.after) {
        return UndoBy::Fields;
    }
    let Ok(kept) = revisions(cluster, target).await else { return UndoBy::Fields };
    let old = template(&change.live);
    kept.into_iter().find(|r| r.template == old).map_or(UndoBy::Fields, |r| UndoBy::Template(r.holder))
}

#[cfg(test)]
mod tests;
