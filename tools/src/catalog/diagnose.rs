//! `diagnose`: what is wrong and why, from the objects themselves. Refuses nothing; what may not be read is said.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::diagnose::{Show, as_meant, collect, report};
use crate::error::ToolError;
use crate::report::Report;
use crate::tool::{Context, Query};

/// Find what is broken and why, with fixes. First choice for trouble.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Diagnose {
    /// kind/name, name or namespace.
    about: Option<String>,
    namespace: Option<String>,
    also: Option<Also>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Also {
    Risks,
    Lint,
    All,
}

impl Query for Diagnose {
    const NAME: &'static str = "diagnose";

    async fn run(self, context: &Context) -> Result<Report, ToolError> {
        let asked = as_meant(self.about.as_deref(), self.namespace.as_deref());
        let collected = collect(&context.cluster, &asked, false).await?;
        let show = Show {
            risks: matches!(self.also, Some(Also::Risks | Also::All)),
            lint: matches!(self.also, Some(Also::Lint | Also::All)),
        };
        Ok(report(&collected.diagnosis, &collected.snapshot, &collected.scope, show, Some(&collected.cost)))
    }
}
