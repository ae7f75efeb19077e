//! `release`: a Helm release back to an earlier revision, or away; recorded as Helm records it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::apply::chart::{Made, records};
use super::apply::removal::{Removal, removal};
use crate::cluster::Cluster;
use crate::cluster::resolve::{Resolved, nearest};
use crate::error::ToolError;
use crate::helm::rendered::{documents, not_run};
use crate::helm::{Release as Revision, plan};
use crate::manifest::order::order;
use crate::object::{builtin, text};
use crate::plan::{Change, Plan};
use crate::review::{Level, Line};
use crate::sanitize;
use crate::tool::{Action, Context};

/// Roll a Helm release back, or uninstall it (apply installs and upgrades).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    pub action: Verb,
    pub release: String,
    pub revision: Option<i64>,
    pub namespace: Option<String>,
}

/// What to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    Rollback,
    Uninstall,
}

/// Records go after everything else.
const RECORDS: u32 = 2001;

impl Action for Release {
    const NAME: &'static str = "release";
    const DESTRUCTIVE: bool = true;

    async fn plan(self, context: &Context) -> Result<Plan, ToolError> {
        let cluster = &context.cluster;
        let namespace = cluster.namespace_or(self.namespace.as_deref())?.to_string();
        let revisions = cluster.release(&namespace, &self.release).await?;
        let Some(current) = plan::current(&revisions) else {
            return Err(missing(cluster, &namespace, &self.release).await);
        };
        match self.action {
            Verb::Rollback => self.rollback(context, &namespace, &revisions, current).await,
            Verb::Uninstall => uninstall(cluster, &namespace, &revisions, current).await,
        }
    }
}

impl Release {
    async fn rollback(
        &self,
        context: &Context,
        namespace: &str,
        revisions: &[Revision],
        current: &Revision,
    ) -> Result<Plan, ToolError> {
        let wanted = match self.revision {
            Some(number) => revisions.iter().find(|r| r.revision == number),
            None => plan::before_last(revisions),
        };
        let kept: Vec<String> = revisions.iter().map(|r| r.revision.to_string()).collect();
        let Some(wanted) = wanted else {
            return Err(ToolError::NotFound {
                message: match self.revision {
                    Some(n) => format!(
                        "release {} keeps no revision {n}; it keeps {}",
                        current.name,
                        kept.join(", ")
                    ),
                    None => {
                        format!("release {} has no earlier revision than {}", current.name, current.revision)
                    }
                },
                similar: Vec::new(),
            });
        };
        // A newer revision that failed may have changed objects: going back is no nothing then.
        let newest = revisions.last().unwrap_or(current);
        if wanted.revision == newest.revision && newest.status == "deployed" {
            let title = format!(
                "nothing to change: release {} is at revision {} already",
                current.name, wanted.revision
            );
            return Ok(Plan { title, ..Plan::default() });
        }
        let hooks =
            wanted.record.get("hooks").and_then(serde_json::Value::as_array).cloned().unwrap_or_default();
        let mut made = Made {
            release: &current.name,
            namespace,
            before: Some(newest),
            take_over: false,
            documents: documents(&wanted.manifest)?,
            definitions: Vec::new(),
            notes: not_run(&hooks, "rollback"),
        }
        .changes(&context.cluster)
        .await?;
        let number = revisions.last().map_or(0, |r| r.revision) + 1;
        let record = plan::record(plan::Revision {
            release: &current.name,
            namespace,
            number,
            chart: wanted.record.get("chart").cloned().unwrap_or_default(),
            config: wanted.config.clone(),
            manifest: wanted.manifest.clone(),
            hooks: hooks.into(),
            description: format!("Rollback to {}", wanted.revision),
            first_deployed: Some(text(&current.record, "/info/first_deployed")),
            now: context.now,
        });
        made.changes.extend(records(revisions, &record));
        made.title = format!(
            "Roll release {} back to revision {} ({}), as revision {number}",
            current.name, wanted.revision, wanted.chart
        );
        Ok(made)
    }
}

/// Everything that the release made goes, what uses others first, and its records last.
async fn uninstall(
    cluster: &Cluster,
    namespace: &str,
    revisions: &[Revision],
    current: &Revision,
) -> Result<Plan, ToolError> {
    let documents = documents(&current.manifest)?;
    let hooks =
        current.record.get("hooks").and_then(serde_json::Value::as_array).cloned().unwrap_or_default();
    let notes = not_run(&hooks, "delete");
    let mut result = Plan { name: current.name.clone(), notes, ..Plan::default() };
    let order = order(&documents);
    let last = order.tiers.iter().max().copied().unwrap_or(0);
    for (document, tier) in documents.iter().zip(&order.tiers) {
        let object_line = Line::new(Level::Fact, "helm", format!("part of release {}", current.name));
        let target = match removal(cluster, document, &current.name, namespace).await? {
            Removal::Goes(target) => *target,
            Removal::Stays(why) => {
                result.notes.push(why);
                continue;
            }
        };
        // The reverse of the order in which they were made.
        result.changes.push(Change::delete(target).in_tier(last - tier).with(object_line));
    }
    result.changes.sort_by_key(|c| c.tier);
    let kind = builtin("secret");
    for revision in revisions {
        let object = kind.object(namespace, text(&revision.secret, "/metadata/name"));
        let target = Resolved { kind: kind.clone(), object, live: revision.secret.clone(), note: None };
        let line = Line::new(Level::Fact, "helm", format!("record of revision {}", revision.revision));
        result.changes.push(Change::delete(target).in_tier(RECORDS).with(line));
    }
    result.title = format!("Uninstall release {} ({}) from {namespace}", current.name, current.chart);
    Ok(result)
}

/// No release of that name: the near ones, or where it is.
pub(super) async fn missing(cluster: &Cluster, namespace: &str, name: &str) -> ToolError {
    let all = cluster.releases(None, None).await.unwrap_or_default();
    let elsewhere: Vec<String> = {
        let mut places: Vec<String> =
            all.iter().filter(|r| r.name == name).map(|r| format!("{name} in {}", r.namespace)).collect();
        places.dedup();
        places
    };
    let here: Vec<&str> = all.iter().filter(|r| r.namespace == namespace).map(|r| r.name.as_str()).collect();
    ToolError::NotFound {
        message: format!("there is no Helm release `{}` in {namespace}", sanitize::line(name)),
        similar: if elsewhere.is_empty() { nearest(name, here.into_iter()) } else { elsewhere },
    }
}
