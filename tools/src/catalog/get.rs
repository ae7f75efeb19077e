//! `get`: objects of any kind, as the API server prints them, as YAML, by image or by chosen fields.

mod fetch;
mod images;
mod rows;
mod selector;
mod show;
mod state;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::cluster::Cluster;
use crate::cluster::resolve::nearest;
use crate::error::ToolError;
use crate::object::{ApiKind, builtin};
use crate::report::Report;
use crate::sanitize;
use crate::tool::{Context, Query};

/// Show objects of any kind as a table, YAML, images or chosen fields.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Get {
    /// Any kind, several with commas, `workloads`, `all`.
    pub kind: String,
    pub name: Option<String>,
    pub namespace: Option<String>,
    pub all_namespaces: Option<bool>,
    /// Labels or fields: `app=web,spec.nodeName=n1`.
    pub selector: Option<String>,
    pub only: Option<Only>,
    pub output: Option<Output>,
    /// Columns: `spec.nodeName`.
    pub fields: Option<Vec<String>>,
    pub limit: Option<u32>,
    /// From before.
    pub page: Option<String>,
}

/// Only what is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Only {
    NotReady,
}

// What is shown; images: which run, in how many pods. Without a doc comment, because the names say it to a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    #[default]
    Table,
    Yaml,
    Images,
}

/// What `workloads` means.
const WORKLOADS: [&str; 5] = ["deployment", "statefulset", "daemonset", "job", "cronjob"];
/// What `all` means: what people look at when they ask what is there.
const ALL: [&str; 9] = [
    "pod",
    "service",
    "deployment",
    "statefulset",
    "daemonset",
    "job",
    "cronjob",
    "horizontalpodautoscaler",
    "ingress",
];
/// Most kinds in one call.
const MOST_KINDS: usize = 12;

impl Query for Get {
    const NAME: &'static str = "get";

    async fn run(mut self, context: &Context) -> Result<Report, ToolError> {
        let cluster = &context.cluster;
        // "deployment/backend" is how people write both at once.
        if self.name.is_none()
            && let Some((kind, name)) = self.kind.clone().split_once('/')
        {
            (self.kind, self.name) = (kind.into(), Some(name.into()));
        }
        let kinds = self.kinds(cluster).await?;
        let twice = self.name.as_deref().and_then(|n| n.split_once('/'));
        if let Some((_, name)) = twice.filter(|(kind, _)| kinds.iter().any(|k| k.is_called(kind))) {
            self.name = Some(name.to_string());
        }
        if self.page.is_some() && kinds.len() > 1 {
            return Err(ToolError::Invalid("get: `page` goes with one kind only".into()));
        }
        if self.only.is_some() && self.output == Some(Output::Images) {
            return Err(ToolError::Invalid("get: `only` does not go with `images`".into()));
        }
        let wide = self.all_namespaces == Some(true) || self.namespace.as_deref() == Some("*");
        let namespace = if wide { None } else { Some(cluster.namespace_or(self.namespace.as_deref())?) };
        let chosen = selector::of(self.selector.as_deref(), self.name.as_deref());
        let fetch = fetch::Fetch { cluster, query: &self, chosen, namespace, now: context.now };
        let mut found = Vec::new();
        let mut refused = Vec::new();
        for outcome in futures::future::join_all(kinds.iter().map(|kind| fetch.kind(kind))).await {
            match outcome {
                Ok(one) => found.push(one),
                // Rights to one kind and not another are ordinary: what may be seen is shown.
                Err(e @ (ToolError::Forbidden { .. } | ToolError::NotFound { .. })) if kinds.len() > 1 => {
                    refused.push(e);
                }
                Err(e) => return Err(e),
            }
        }
        if found.is_empty()
            && let Some(first) = refused.into_iter().next()
        {
            return Err(first);
        }
        if let Some(namespace) = namespace
            && kinds.iter().any(|k| k.namespaced)
            && found.iter().all(fetch::Found::is_empty)
        {
            must_exist(cluster, namespace).await?;
        }
        let denied = kinds.iter().filter(|k| !found.iter().any(|f| f.kind == **k)).collect::<Vec<_>>();
        let mut report = show::report(&self, &found, namespace);
        if !denied.is_empty() && self.name.is_none() {
            let names: Vec<&str> = denied.iter().map(|k| k.plural.as_str()).collect();
            report.say.push(format!("Not shown, because they may not be listed: {}.", names.join(", ")));
        }
        Ok(report)
    }
}

impl Get {
    async fn kinds(&self, cluster: &Cluster) -> Result<Vec<ApiKind>, ToolError> {
        let mut kinds: Vec<ApiKind> = Vec::new();
        for word in self.kind.split([',', ' ']).map(str::trim).filter(|w| !w.is_empty()) {
            let meant = match word.to_lowercase().as_str() {
                "workloads" | "workload" => WORKLOADS.iter().map(|k| builtin(k)).collect(),
                "all" => ALL.iter().map(|k| builtin(k)).collect(),
                word => vec![cluster.kind(word).await?],
            };
            for kind in meant {
                if !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
        }
        if kinds.is_empty() || kinds.len() > MOST_KINDS {
            return Err(ToolError::Invalid(format!("get: `kind` names 1 to {MOST_KINDS} kinds")));
        }
        Ok(kinds)
    }

    /// How many objects are listed: what was asked for, within what one answer can hold.
    fn limit(&self) -> usize {
        let (usual, most) = if self.output == Some(Output::Yaml) { (10, 50) } else { (100, 500) };
        self.limit.map_or(usual, |l| l as usize).clamp(1, most)
    }
}

/// An empty answer is the truth only for a namespace that is there.
///
/// # Errors
/// `NotFound` with the nearest names when it is not. When namespaces may not be read, it is taken to exist.
pub(crate) async fn must_exist(cluster: &Cluster, namespace: &str) -> Result<(), ToolError> {
    let kind = builtin("namespace");
    if !matches!(cluster.find(&kind, "", namespace).await, Ok(None)) {
        return Ok(());
    }
    let names = cluster.names(&kind, None).await;
    Err(ToolError::NotFound {
        message: format!("there is no namespace `{}`", sanitize::line(namespace)),
        similar: nearest(namespace, names.iter().map(String::as_str)),
    })
}
