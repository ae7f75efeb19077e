//! `explain`: what the fields of a kind are, from the schemas that the API server publishes (OpenAPI v3).

mod schema;
mod tell;

use schemars::JsonSchema;
use serde::Deserialize;

use self::schema::{Missing, Schemas};
use crate::cluster::Cluster;
use crate::error::ToolError;
use crate::object::ApiKind;
use crate::report::Report;
use crate::sanitize;
use crate::tool::{Context, Query};

/// Explain a kind or one of its fields, custom resources too.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    pub kind: String,
    /// `spec.template.spec`.
    pub path: Option<String>,
}

impl Query for Explain {
    const NAME: &'static str = "explain";

    async fn run(self, context: &Context) -> Result<Report, ToolError> {
        let (kind, path) = self.what(&context.cluster).await?;
        let group = if kind.group.is_empty() { "api".into() } else { format!("apis/{}", kind.group) };
        let document = match context.cluster.get(&format!("/openapi/v3/{group}/{}", kind.version)).await {
            Err(ToolError::NotFound { .. }) => None,
            other => Some(other?),
        };
        let schemas = document.as_ref().and_then(|d| Schemas::of(d, &kind));
        let Some(schemas) = schemas else {
            let version = version_of(&kind);
            return Ok(Report::sentence(format!(
                "The API server publishes no schema for {} in {}, so its fields are not known.",
                kind.plural,
                sanitize::line(&version)
            )));
        };
        match schemas.find(&path) {
            Ok(found) => Ok(tell::report(&schemas, &kind, &found)),
            Err(missing) => Err(no_field(&kind, &missing)),
        }
    }
}

impl Explain {
    /// The kind and the path, wherever the path was written: `deployment.spec.replicas` is how people say both.
    async fn what(&self, cluster: &Cluster) -> Result<(ApiKind, Vec<String>), ToolError> {
        let said = self.kind.trim();
        let (kind, more) = match (cluster.kind(said).await, said.split_once('.')) {
            (Err(ToolError::NotFound { .. }), Some((kind, path))) => (cluster.kind(kind).await?, path),
            (kind, _) => (kind?, ""),
        };
        let path = self.path.as_deref().unwrap_or("");
        let mut path: Vec<String> = schema::segments(more).chain(schema::segments(path)).collect();
        if path.first().is_some_and(|s| kind.is_called(s)) {
            path.remove(0);
        }
        Ok((kind, path))
    }
}

fn version_of(kind: &ApiKind) -> String {
    if kind.group.is_empty() { kind.version.clone() } else { format!("{}/{}", kind.group, kind.version) }
}

/// How a place is called: `deployment.spec`.
fn place(kind: &ApiKind, path: &[String]) -> String {
    std::iter::once(&kind.singular).chain(path).map(|s| sanitize::line(s)).collect::<Vec<_>>().join(".")
}

fn no_field(kind: &ApiKind, missing: &Missing) -> ToolError {
    /// Field names that an error lists when none is near.
    const LISTED: usize = 30;
    let parent = place(kind, &missing.parent);
    let field = sanitize::line(&missing.field);
    let message = match missing.siblings.as_slice() {
        _ if missing.is_open => {
            format!("{parent} may hold any fields: the schema says nothing of `{field}`")
        }
        [] => format!("{parent} is of type {} and has no field `{field}`", missing.parent_type),
        names if missing.similar.is_empty() => {
            let mut listed: Vec<String> = names.iter().take(LISTED).map(|n| sanitize::line(n)).collect();
            if names.len() > LISTED {
                listed.push(format!("{} more", names.len() - LISTED));
            }
            format!("{parent} has no field `{field}`; it has {}", listed.join(", "))
        }
        _ => format!("{parent} has no field `{field}`"),
    };
    ToolError::NotFound { message, similar: missing.similar.iter().map(|s| sanitize::line(s)).collect() }
}
