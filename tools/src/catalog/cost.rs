//! `cost`: what things cost a month, what a change would cost, what could be smaller. Changes nothing and refuses nothing;
//! what is not known is said to be unknown.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::cost::{Asked, answer};
use crate::error::ToolError;
use crate::report::Report;
use crate::tool::{Context, Query};

/// Price a scope per month, or a change without making it. Quote its figures only.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Workload, namespace or `cluster`.
    about: Option<String>,
    namespace: Option<String>,
    /// Call to price.
    change: Option<Change>,
    /// Recommend smaller requests.
    optimize: Option<bool>,
}

// The change; without a doc comment, because the names say it to a model.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Change {
    tool: String,
    arguments: Value,
}

impl Query for Cost {
    const NAME: &'static str = "cost";

    async fn run(self, context: &Context) -> Result<Report, ToolError> {
        let asked = Asked {
            about: self.about,
            namespace: self.namespace,
            change: self.change.map(|c| (c.tool, c.arguments)).into_iter().collect(),
            optimize: self.optimize.unwrap_or(false),
            ..Asked::default()
        };
        Ok(answer(context, &asked).await?.1)
    }
}
