//! `apply`: manifests, folders, kustomizations and charts by server-side apply, in the order in which they need each
//! other. Refuses objects of kinds that the cluster does not serve, and fields that others manage unless they are to be
//! taken over.

pub(in crate::catalog) mod chart;
mod objects;
pub(in crate::catalog) mod removal;
mod source;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::ToolError;
use crate::plan::Plan;
use crate::sanitize;
use crate::tool::{Action, Context};

/// Apply manifests: a file, folder, kustomization or Helm chart by path, or YAML text.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    pub path: Option<String>,
    /// YAML instead of a path.
    pub manifest: Option<String>,
    pub namespace: Option<String>,
    pub release: Option<String>,
    pub values: Option<Vec<String>>,
    /// Helm key=value.
    pub set: Option<Vec<String>>,
    /// Take fields from other managers.
    pub take_over: Option<bool>,
}

impl Action for Apply {
    const NAME: &'static str = "apply";
    const DESTRUCTIVE: bool = true;

    async fn plan(self, context: &Context) -> Result<Plan, ToolError> {
        let cluster = &context.cluster;
        let namespace = cluster.namespace_or(self.namespace.as_deref())?.to_string();
        let documents = match source::read(&self, context).await? {
            source::Found::Documents(documents) => documents,
            source::Found::Chart(path) => return chart::release(&self, &path, context, &namespace).await,
        };
        let forced = self.namespace.is_some().then_some(namespace.as_str());
        let options = objects::Options {
            namespace: &namespace,
            only: forced,
            take_over: self.take_over == Some(true),
            own_managers: &[],
        };
        let (changes, notes) = objects::changes(cluster, documents, &options).await?;
        let what = match &self.path {
            Some(path) => sanitize::line(path),
            None => "the manifest".into(),
        };
        let title = match changes.as_slice() {
            [one] => format!("Apply {} from {what}", one.object),
            several => format!("Apply {what}, {} objects", several.len()),
        };
        Ok(Plan { title, changes, notes, ..Plan::default() })
    }
}
