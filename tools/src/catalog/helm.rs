//! `helm`: releases, their history, values and what changed between revisions, from Helm's own records. Values of
//! secrets are masked.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::release::missing;
use crate::diff;
use crate::error::ToolError;
use crate::helm::rendered::documents;
use crate::helm::{Release, plan};
use crate::redact;
use crate::report::{Block, Report, Table, age, yaml};
use crate::tool::{Context, Query};

/// Helm releases: the list, or one of them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Helm {
    pub release: Option<String>,
    pub show: Option<Show>,
    pub revision: Option<i64>,
    pub to: Option<i64>,
    pub namespace: Option<String>,
    pub all_namespaces: Option<bool>,
}

/// What to show of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Show {
    History,
    Values,
    Manifest,
    Notes,
    Diff,
}

impl Query for Helm {
    const NAME: &'static str = "helm";

    async fn run(self, context: &Context) -> Result<Report, ToolError> {
        let cluster = &context.cluster;
        let wide = self.all_namespaces == Some(true);
        let namespace = cluster.namespace_or(self.namespace.as_deref())?.to_string();
        let Some(name) = &self.release else {
            let place = (!wide).then_some(namespace.as_str());
            return Ok(list(&cluster.releases(place, None).await?, place, context.now));
        };
        let revisions = cluster.release(&namespace, name).await?;
        let Some(current) = plan::current(&revisions) else {
            return Err(missing(cluster, &namespace, name).await);
        };
        let of = |number: Option<i64>| match number {
            None => Ok(current),
            Some(n) => revisions.iter().find(|r| r.revision == n).ok_or_else(|| ToolError::NotFound {
                message: format!("release {name} keeps no revision {n}"),
                similar: Vec::new(),
            }),
        };
        match self.show {
            None | Some(Show::History) => Ok(history(&revisions, current, context.now)),
            Some(Show::Values) => Ok(values(of(self.revision)?)),
            Some(Show::Manifest) => manifest(of(self.revision)?),
            Some(Show::Notes) => Ok(notes(of(self.revision)?)),
            Some(Show::Diff) => {
                let to = of(self.to)?;
                let from = match self.revision {
                    Some(n) => of(Some(n))?,
                    None => match revisions.iter().rev().find(|r| r.revision < to.revision) {
                        Some(before) => before,
                        None => {
                            return Ok(Report::sentence(format!(
                                "Release {name} has only revision {}.",
                                to.revision
                            )));
                        }
                    },
                };
                difference(from, to)
            }
        }
    }
}

fn list(all: &[Release], place: Option<&str>, now: jiff::Timestamp) -> Report {
    let mut latest: Vec<&Release> = Vec::new();
    for release in all {
        match latest.last_mut() {
            Some(last) if last.name == release.name && last.namespace == release.namespace => *last = release,
            _ => latest.push(release),
        }
    }
    if latest.is_empty() {
        let place = place.map_or("the cluster".to_string(), |p| format!("namespace {p}"));
        return Report::sentence(format!("No Helm release in {place}."));
    }
    let mut table =
        Table::new("", &["NAME", "NAMESPACE", "REVISION", "STATUS", "CHART", "APP VERSION", "UPDATED"]);
    for r in &latest {
        table.push([
            r.name.as_str(),
            &r.namespace,
            &r.revision.to_string(),
            &r.status,
            &r.chart,
            &r.app_version,
            &age(&r.updated, now),
        ]);
    }
    let data = latest.iter().map(|r| brief(r)).collect();
    let say = vec![format!("{} Helm release{}.", latest.len(), if latest.len() == 1 { "" } else { "s" })];
    Report { say, blocks: vec![Block::Table(table)], data, about: Vec::new() }
}

fn brief(r: &Release) -> serde_json::Value {
    json!({"name": r.name, "namespace": r.namespace, "revision": r.revision, "status": r.status, "chart": r.chart,
        "app_version": r.app_version, "updated": r.updated, "description": r.description})
}

fn history(revisions: &[Release], current: &Release, now: jiff::Timestamp) -> Report {
    let mut table = Table::new("", &["REVISION", "UPDATED", "STATUS", "CHART", "APP VERSION", "DESCRIPTION"]);
    for r in revisions.iter().rev() {
        table.push([
            &r.revision.to_string(),
            &age(&r.updated, now),
            &r.status,
            &r.chart,
            &r.app_version,
            &r.description,
        ]);
    }
    Report {
        say: vec![format!(
            "Release {} is at revision {} ({}), {}.",
            current.name, current.revision, current.chart, current.status
        )],
        blocks: vec![Block::Table(table)],
        data: revisions.iter().map(brief).collect(),
        about: Vec::new(),
    }
}

fn text_block(title: String, text: &str) -> Block {
    let lines = redact::text(text).lines().map(crate::sanitize::line).collect();
    Block::Text { title, lines }
}

fn values(release: &Release) -> Report {
    let config = redact::object(&release.config);
    let empty = config.as_object().is_none_or(serde_json::Map::is_empty);
    let title = format!("values of release {}, revision {}", release.name, release.revision);
    if empty {
        return Report::sentence(format!("Release {} was given no values of its own.", release.name));
    }
    Report { blocks: vec![text_block(title, &yaml(&config))], data: config, ..Report::default() }
}

fn manifest(release: &Release) -> Result<Report, ToolError> {
    let made = documents(&release.manifest)?;
    let shown: Vec<String> = made.iter().map(|d| yaml(&redact::object(&d.value))).collect();
    let title = format!("manifest of release {}, revision {}", release.name, release.revision);
    Ok(Report { blocks: vec![text_block(title, &shown.join("---\n"))], ..Report::default() })
}

fn notes(release: &Release) -> Report {
    if release.notes.trim().is_empty() {
        return Report::sentence(format!("Release {} has no notes.", release.name));
    }
    let title = format!("notes of release {}", release.name);
    Report { blocks: vec![text_block(title, &release.notes)], ..Report::default() }
}

/// What differs between two revisions, object by object and field by field.
fn difference(from: &Release, to: &Release) -> Result<Report, ToolError> {
    let (old, new) = (documents(&from.manifest)?, documents(&to.manifest)?);
    let mut table = Table::new("", &["OBJECT", "FIELD", "BEFORE", "AFTER"]);
    let same = |a: &crate::manifest::Document, b: &crate::manifest::Document| {
        a.label() == b.label() && a.namespace() == b.namespace()
    };
    for document in &old {
        match new.iter().find(|d| same(d, document)) {
            None => table.push([document.label().as_str(), "", "(there)", "(gone)"]),
            Some(after) => {
                let secret = document.kind() == "Secret";
                for change in diff::fields(&document.value, &after.value) {
                    let change = change.masked();
                    let show = |v: &Option<serde_json::Value>| match v {
                        None => "(none)".to_string(),
                        Some(_) if secret => redact::MASK.to_string(),
                        Some(serde_json::Value::String(s)) => s.clone(),
                        Some(v) => v.to_string(),
                    };
                    let field = diff::human_path(&change.path);
                    table.push([document.label(), field, show(&change.before), show(&change.after)]);
                }
            }
        }
    }
    for document in new.iter().filter(|d| !old.iter().any(|o| same(o, d))) {
        table.push([document.label().as_str(), "", "(none)", "(new)"]);
    }
    let say = match table.rows.len() {
        0 => format!("Revisions {} and {} of {} make the same objects.", from.revision, to.revision, to.name),
        n => format!("{n} differences from revision {} to {} of {}.", from.revision, to.revision, to.name),
    };
    let data = table
        .rows
        .iter()
        .map(|r| json!({"object": r[0], "field": r[1], "before": r[2], "after": r[3]}))
        .collect();
    let blocks = if table.rows.is_empty() { Vec::new() } else { vec![Block::Table(table)] };
    Ok(Report { say: vec![say], blocks, data, about: Vec::new() })
}
