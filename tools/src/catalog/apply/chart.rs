//! A chart as a release: rendered by helm, applied object by object, and recorded as Helm records it, so that `helm`
//! goes on working with it.

use std::path::Path;

use serde_json::Value;

use super::removal::{Removal, removal};
use super::{Apply, objects};
use crate::cluster::Cluster;
use crate::cluster::resolve::Resolved;
use crate::error::ToolError;
use crate::helm::merge::three_way;
use crate::helm::rendered::{Rendered, documents, not_run};
use crate::helm::{self, Chart, Release, plan, user_values};
use crate::manifest::Document;
use crate::object::{builtin, is_object_name, items, text};
use crate::plan::{Change, Does, Plan};
use crate::render::{Template, helm_template};
use crate::review::{Level, Line};
use crate::sanitize;
use crate::tool::Context;

/// After everything that is applied: what is no more in the chart goes, and then the records are written.
const GONE: u32 = 2000;
const RECORDS: u32 = 2001;

/// The plan that installs or upgrades a release from a chart's folder.
///
/// # Errors
/// What cannot be read, rendered or found; objects that belong to somebody else.
pub(super) async fn release(
    call: &Apply,
    path: &Path,
    context: &Context,
    namespace: &str,
) -> Result<Plan, ToolError> {
    let cluster = &context.cluster;
    let chart = Chart::read(path)?;
    let name = call.release.clone().unwrap_or_else(|| chart.name.clone());
    if !is_object_name(&name) || name.len() > 53 {
        return Err(ToolError::Invalid(format!(
            "`{}` cannot name a release: at most 53 letters, digits and dashes",
            sanitize::line(&name)
        )));
    }
    let revisions = cluster.release(namespace, &name).await?;
    if let Some(other) = plan::pending(&revisions) {
        return Err(ToolError::Refused {
            message: format!(
                "another operation on release {name} is under way: revision {} is {}",
                other.revision, other.status
            ),
            hint: format!("Wait for it; if it died, roll it back first: \"roll back release {name}\"."),
        });
    }
    // What was uninstalled and is only remembered is installed anew.
    let before = plan::current(&revisions).filter(|r| r.status != "uninstalled");
    let (files, set) = (call.values.clone().unwrap_or_default(), call.set.clone().unwrap_or_default());
    // As helm upgrade: values that were given before stay, unless new ones are given.
    let kept = before.filter(|_| files.is_empty() && set.is_empty()).map(|r| r.config.clone());
    let config = match &kept {
        Some(config) => config.clone(),
        None => user_values(&files, &set)?,
    };
    let written = kept.as_ref().filter(|c| c.as_object().is_some_and(|m| !m.is_empty())).map(values_file);
    let written = written.transpose()?;
    let files = match &written {
        Some(file) => vec![file.path().display().to_string()],
        None => files,
    };
    let rendered = helm_template(&Template {
        chart: path,
        release: &name,
        namespace,
        values: &files,
        set: &set,
        kube_version: &cluster.version().await?,
        api_versions: &api_versions(cluster).await?,
        is_upgrade: before.is_some(),
    })
    .await?;
    let rendered = Rendered::parse(&rendered)?;
    if rendered.objects.is_empty() && rendered.definitions.is_empty() {
        return Err(ToolError::Invalid(format!(
            "{}: the chart makes no object with these values",
            sanitize::line(&path.display().to_string())
        )));
    }
    let number = revisions.last().map_or(0, |r| r.revision) + 1;
    let description = if before.is_some() { "Upgrade complete" } else { "Install complete" };
    let mut notes = not_run(&rendered.hooks, if before.is_some() { "upgrade" } else { "install" });
    if kept.is_some_and(|c| c.as_object().is_some_and(|m| !m.is_empty())) {
        notes.push("the values of the revision before are kept".into());
    }
    let mut made = Made {
        release: &name,
        namespace,
        before,
        take_over: call.take_over == Some(true),
        documents: rendered.objects,
        definitions: rendered.definitions,
        notes,
    }
    .changes(cluster)
    .await?;
    // At the first install helm finds nothing there either.
    if before.is_some() {
        made.changes.iter_mut().take(1).for_each(|first| first.lines.extend(asks(&chart)));
    }
    let record = plan::record(plan::Revision {
        release: &name,
        namespace,
        number,
        chart: chart.record.clone(),
        config,
        manifest: rendered.manifest,
        hooks: rendered.hooks.into(),
        description: description.into(),
        first_deployed: before.map(|r| text(&r.record, "/info/first_deployed")),
        now: context.now,
    });
    made.changes.extend(records(&revisions, &record));
    made.title = match before {
        None => format!("Install release {name} from chart {} {} in {namespace}", chart.name, chart.version),
        Some(_) => {
            format!("Upgrade release {name} to revision {number}, chart {} {}", chart.name, chart.version)
        }
    };
    Ok(made)
}

/// The documents of a revision, and what was there before.
pub(in crate::catalog) struct Made<'a> {
    pub release: &'a str,
    pub namespace: &'a str,
    pub before: Option<&'a Release>,
    pub take_over: bool,
    pub documents: Vec<Document>,
    /// Of the chart's `crds`: made when missing, and no part of the release.
    pub definitions: Vec<Document>,
    pub notes: Vec<String>,
}

impl Made<'_> {
    /// The changes that make the cluster as the documents say, without the records.
    ///
    /// # Errors
    /// As [`objects::changes`]; also for objects that belong to somebody else.
    pub(in crate::catalog) async fn changes(mut self, cluster: &Cluster) -> Result<Plan, ToolError> {
        for document in &mut self.documents {
            plan::own(document, self.release, self.namespace);
        }
        let old = match self.before {
            Some(release) => documents(&release.manifest)?,
            None => Vec::new(),
        };
        let gone = plan::gone(&old, &self.documents, self.namespace);
        let mut wanted = self.documents.clone();
        for definition in &self.definitions {
            let kind = cluster.kind("customresourcedefinition").await?;
            if definition.kind() == kind.kind && cluster.find(&kind, "", definition.name()).await?.is_some() {
                self.notes.push(format!("{} is there and stays as it is, as with helm", definition.label()));
            } else {
                wanted.push(definition.clone());
            }
        }
        let options = objects::Options {
            namespace: self.namespace,
            only: None,
            take_over: self.take_over,
            // Fields that helm or another write of kai's set are the release's own; the preview names what is taken.
            own_managers: &["helm", "kai"],
        };
        let (mut changes, mut notes) = objects::changes(cluster, wanted, &options).await?;
        self.owned(&changes, &old)?;
        for change in &mut changes {
            let made = old.iter().find(|d| self.is_of(d, change));
            let Some(after) = made.and_then(|d| merged(&d.value, change)) else { continue };
            let Change { kind, object, live, .. } = change.clone();
            let set = Change::set(Resolved { kind, object, live, note: None }, after);
            change.does = set.does;
            change.after = set.after;
            change.undo = set.undo;
        }
        for document in gone {
            match removal(cluster, document, self.release, self.namespace).await? {
                Removal::Stays(why) => notes.push(why),
                Removal::Goes(target) => {
                    let why = Line::new(Level::Warning, "chart", "the chart no longer makes it");
                    changes.push(Change::delete(*target).in_tier(GONE).with(why));
                }
            }
        }
        notes.extend(self.notes);
        Ok(Plan { changes, notes, ..Plan::default() })
    }

    /// Whether a document is the object of a change.
    fn is_of(&self, document: &Document, change: &Change) -> bool {
        let (group, kind, place, name) = plan::key(document, self.namespace);
        (group, kind, name)
            == (change.kind.group.clone(), change.kind.kind.clone(), change.object.name.clone())
            && (!change.kind.namespaced || place == change.object.namespace)
    }

    /// Helm's own rule: what is there and belongs to nobody, or to another release, is not taken. What the revision
    /// before made is the release's own even when somebody took the annotations off.
    fn owned(&self, changes: &[Change], old: &[Document]) -> Result<(), ToolError> {
        let own = (self.release.to_string(), self.namespace.to_string());
        let foreign: Vec<String> = changes
            .iter()
            .filter(|c| !c.creates() && !self.take_over)
            .filter_map(|c| match plan::owner_of(&c.live) {
                Some(owner) if owner == own => None,
                Some((name, namespace)) => Some(format!("{} (release {name} in {namespace})", c.object)),
                None if old.iter().any(|d| self.is_of(d, c)) => None,
                None => Some(format!("{} (no release)", c.object)),
            })
            .collect();
        if foreign.is_empty() {
            return Ok(());
        }
        Err(ToolError::Refused {
            message: format!(
                "these exist and do not belong to release {}: {}",
                self.release,
                foreign.join(", ")
            ),
            hint: "Choose other names, or take them over: the same request with --take-over (`take_over`)."
                .into(),
        })
    }
}

/// The writes that record a revision: the one before is superseded, and the new one stands.
pub(in crate::catalog) fn records(revisions: &[Release], record: &Value) -> Vec<Change> {
    let kind = builtin("secret");
    let line = || Line::new(Level::Fact, "helm", "Helm's own record of the release");
    let mut changes = Vec::new();
    for old in revisions.iter().filter(|r| r.status == "deployed") {
        let object = kind.object(&old.namespace, text(&old.secret, "/metadata/name"));
        let mut live = old.secret.clone();
        live["kind"] = "Secret".into();
        live["apiVersion"] = "v1".into();
        let mut after = helm::superseded(old);
        after["kind"] = "Secret".into();
        after["apiVersion"] = "v1".into();
        let target = Resolved { kind: kind.clone(), object, live, note: None };
        changes.push(Change::set(target, after).in_tier(RECORDS).with(line()));
    }
    let secret = helm::secret(record);
    let namespace = text(record, "/namespace").to_string();
    changes.push(Change::apply(kind, &namespace, None, secret, false).in_tier(RECORDS).with(line()));
    changes
}

/// The object of a change as Helm's merge leaves it, when an apply alone would not.
fn merged(old: &Value, change: &Change) -> Option<Value> {
    match &change.does {
        Does::Apply { manifest, .. } if !change.creates() => three_way(old, manifest, &change.live),
        _ => None,
    }
}

/// What a chart asks the cluster while it is rendered, which has no answer here.
fn asks(chart: &Chart) -> Option<Line> {
    let at = chart.looks_up.as_ref()?;
    let text = format!(
        "{at} asks the cluster with `lookup`, and is told that nothing is there: passwords and the like may be made anew"
    );
    Some(Line::new(Level::Unknown, "lookup", text))
}

/// Values in a file of their own, which goes when it is dropped.
fn values_file(config: &Value) -> Result<tempfile::NamedTempFile, ToolError> {
    let unusable = |e: std::io::Error| ToolError::Invalid(format!("a temporary file cannot be written: {e}"));
    let mut file = tempfile::Builder::new().suffix(".json").tempfile().map_err(unusable)?;
    std::io::Write::write_all(&mut file, config.to_string().as_bytes()).map_err(unusable)?;
    Ok(file)
}

/// The group versions that the cluster serves, for charts that ask.
async fn api_versions(cluster: &Cluster) -> Result<Vec<String>, ToolError> {
    let groups = cluster.get("/apis").await?;
    let mut all: Vec<String> = vec!["v1".into()];
    for group in items(&groups, "/groups") {
        all.extend(items(group, "/versions").iter().map(|v| text(v, "/groupVersion").to_string()));
    }
    Ok(all)
}
