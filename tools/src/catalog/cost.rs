//! `cost`: what things cost a month, what a change would cost, what could be smaller. Changes nothing and refuses nothing;
//! what is not known is said to be unknown.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::cost::{Asked, answer};
use crate::error::ToolError;
use crate::report::Report;
use crate::tool::{Context, Query};

/// Monthly cost of a workload, namespace or change that is not made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Or `cluster`.
    about: Option<String>,
    namespace: Option<String>,
    /// {tool, arguments} to price.
    #[schemars(with = "Option<serde_json::Map<String, Value>>")]
    change: Option<Change>,
    optimize: Option<bool>,
}

// The change.
#[derive(Debug, Deserialize)]
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
