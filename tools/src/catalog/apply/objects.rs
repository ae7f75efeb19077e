//! Documents as changes: their kinds found on the cluster, what is there read, the order put in.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::error::ToolError;
use crate::manifest::check::{self, Finding, check};
use crate::manifest::known::known;
use crate::manifest::order::{Order, order};
use crate::manifest::{Document, read};
use crate::object::{ApiKind, builtin_kinds, text};
use crate::plan::{Change, Does, Take};
use crate::review::{Level, Line};
use crate::sanitize;

/// How documents are applied.
pub(in crate::catalog) struct Options<'a> {
    /// For documents that name no namespace.
    pub namespace: &'a str,
    /// The only namespace that documents may name, when the caller insisted on one.
    pub only: Option<&'a str>,
    pub take_over: bool,
    /// Managers whose fields are the applier's own.
    pub own_managers: &'a [&'a str],
}

/// The changes that apply the documents, in order, and what is to be said about the whole.
///
/// # Errors
/// Kinds that the cluster does not serve, namespaces that do not fit, what cannot be read.
pub(in crate::catalog) async fn changes(
    cluster: &Cluster,
    mut documents: Vec<Document>,
    options: &Options<'_>,
) -> Result<(Vec<Change>, Vec<String>), ToolError> {
    let kinds = match kinds(cluster, &documents).await? {
        Ok(kinds) => kinds,
        Err(unknown) => return Err(unserved(cluster, &documents, &unknown).await),
    };
    for (document, kind) in documents.iter_mut().zip(&kinds) {
        place(document, kind, options)?;
    }
    read::once(&documents)?;
    let order = order(&documents);
    let made: Vec<String> = of_kind(&documents, "Namespace").map(|d| d.name().to_string()).collect();
    let defined: Vec<String> = of_kind(&documents, "CustomResourceDefinition")
        .map(|d| text(&d.value, "/spec/names/kind").into())
        .collect();
    let looks = documents.iter().zip(&kinds).map(|(d, kind)| async {
        // What cannot be there yet is not asked for: its namespace or its kind comes with this plan.
        match cluster.find(kind, d.namespace(), d.name()).await {
            Err(ToolError::NotFound { .. }) => Ok(None),
            Err(_) if made.contains(&d.namespace().to_string()) || defined.contains(&kind.kind) => Ok(None),
            found => found,
        }
    });
    let lives: Vec<Option<Value>> =
        futures::future::join_all(looks).await.into_iter().collect::<Result<_, ToolError>>()?;
    let there = lives.iter().map(|live| live.clone().unwrap_or_default()).collect();
    let checked = check(&documents, &known(cluster, &documents, there).await);
    let mut changes = Vec::new();
    for (i, ((document, kind), live)) in documents.iter().zip(&kinds).zip(lives).enumerate() {
        let change = Change::apply(
            kind.clone(),
            document.namespace(),
            live,
            document.value.clone(),
            options.take_over,
        );
        let mut change = change.in_tier(order.tiers[i]);
        if let Does::Apply { take: take @ Take::Nothing, .. } = &mut change.does
            && !options.own_managers.is_empty()
        {
            *take = Take::From(options.own_managers.iter().map(ToString::to_string).collect());
        }
        change.lines.extend(waits(&order, i, &documents));
        change.lines.extend(checked.findings.iter().filter(|f| f.object == change.object).map(line_of));
        changes.push(change);
    }
    // The preview shows them in the order in which they are written.
    changes.sort_by_key(|c| c.tier);
    let mut notes: Vec<String> = checked
        .blind
        .iter()
        .cloned()
        .chain(
            checked
                .findings
                .iter()
                .filter(|f| !changes.iter().any(|c| c.object == f.object))
                .map(|f| sanitize::line(&f.to_string())),
        )
        .collect();
    notes.extend(order.circular.iter().map(|e| {
        format!(
            "{} and {} name each other; {} is made without waiting",
            documents[e.after].label(),
            documents[e.before].label(),
            documents[e.after].label()
        )
    }));
    Ok((changes, notes))
}

fn of_kind<'a>(documents: &'a [Document], kind: &'a str) -> impl Iterator<Item = &'a Document> {
    documents.iter().filter(move |d| d.kind() == kind)
}

fn waits(order: &Order, at: usize, documents: &[Document]) -> Vec<Line> {
    order
        .edges
        .iter()
        .filter(|e| e.after == at)
        .map(|e| {
            Line::new(Level::Fact, "waits for", format!("{}: {}", documents[e.before].label(), e.evidence))
        })
        .collect()
}

/// Puts a document into its namespace.
fn place(document: &mut Document, kind: &ApiKind, options: &Options<'_>) -> Result<(), ToolError> {
    let place = document.place("/metadata/namespace");
    let Some(metadata) = document.value.get_mut("metadata").and_then(Value::as_object_mut) else {
        return Ok(());
    };
    if !kind.namespaced {
        metadata.shift_remove("namespace");
        return Ok(());
    }
    let named = metadata.get("namespace").and_then(Value::as_str).unwrap_or("").to_string();
    if named.is_empty() {
        metadata.insert("namespace".into(), json!(options.namespace));
    } else if let Some(only) = options.only.filter(|only| *only != named) {
        return Err(ToolError::Invalid(format!(
            "{place}: the manifest says namespace {named}, the request says {only}"
        )));
    }
    // What only the API server writes is no part of a wish.
    for own in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink"] {
        metadata.shift_remove(own);
    }
    Ok(())
}

/// The kind of each document as the cluster serves it, in the version that the document says.
async fn kinds(
    cluster: &Cluster,
    documents: &[Document],
) -> Result<Result<Vec<ApiKind>, Vec<String>>, ToolError> {
    let mut kinds = Vec::new();
    let mut unknown = Vec::new();
    for document in documents {
        let (group, version) =
            document.api_version().rsplit_once('/').unwrap_or(("", document.api_version()));
        let kind = document.kind();
        let known =
            builtin_kinds().into_iter().find(|k| k.kind == kind && k.group == group && k.version == version);
        let found = match known {
            Some(kind) => Some(kind),
            None => match defined(documents, group, version, kind) {
                Some(kind) => Some(kind),
                None => served(cluster, group, version, kind).await?,
            },
        };
        match found {
            Some(kind) => kinds.push(kind),
            None => unknown.push(format!(
                "{}: {} {kind} is not served by this cluster",
                document.place("/apiVersion"),
                document.api_version()
            )),
        }
    }
    Ok(if unknown.is_empty() { Ok(kinds) } else { Err(unknown) })
}

/// Some kinds are not served, so nothing can be previewed: all that is wrong with the manifests is told at once.
async fn unserved(cluster: &Cluster, documents: &[Document], unknown: &[String]) -> ToolError {
    const MOST: usize = 40;
    let checked = check(documents, &known(cluster, documents, Vec::new()).await);
    let mut findings: Vec<&Finding> = checked.findings.iter().collect();
    // Stable: of equal weight, in the order of the documents.
    findings.sort_by_key(|f| std::cmp::Reverse(f.level));
    let mut all: Vec<String> = findings.iter().map(ToString::to_string).collect();
    let told = |place: &str| all.iter().any(|f| f.starts_with(place));
    let rest: Vec<String> = unknown
        .iter()
        .filter(|u| !told(u.rsplit_once(": ").map_or(u.as_str(), |(place, _)| place)))
        .cloned()
        .collect();
    all.extend(rest);
    let more = all.len().saturating_sub(MOST);
    all.truncate(MOST);
    if more > 0 {
        all.push(format!("... {more} more"));
    }
    ToolError::Invalid(sanitize::clean(&crate::redact::text(&all.join("\n")), true))
}

/// A finding as a line of the preview.
pub(in crate::catalog) fn line_of(finding: &Finding) -> Line {
    let level = match finding.level {
        check::Level::Warning => Level::Warning,
        check::Level::Problem => Level::Problem,
    };
    let path = if finding.path.is_empty() { String::new() } else { format!(" {}", finding.path) };
    Line::new(level, "check", format!("{}{path}: {}. {}", finding.place, finding.says, finding.fix))
}

/// A kind that one of the documents defines.
fn defined(documents: &[Document], group: &str, version: &str, kind: &str) -> Option<ApiKind> {
    let crd = of_kind(documents, "CustomResourceDefinition")
        .map(|d| &d.value)
        .find(|c| text(c, "/spec/group") == group && text(c, "/spec/names/kind") == kind)?;
    Some(ApiKind {
        group: group.into(),
        version: version.into(),
        kind: kind.into(),
        plural: text(crd, "/spec/names/plural").into(),
        singular: kind.to_lowercase(),
        short_names: Vec::new(),
        namespaced: text(crd, "/spec/scope") != "Cluster",
    })
}

/// A kind as that very group and version serves it.
async fn served(
    cluster: &Cluster,
    group: &str,
    version: &str,
    kind: &str,
) -> Result<Option<ApiKind>, ToolError> {
    let path = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    let listed = match cluster.get(&path).await {
        Ok(listed) => listed,
        Err(ToolError::NotFound { .. }) => return Ok(None),
        Err(e) => return Err(e),
    };
    let found = crate::object::items(&listed, "/resources")
        .iter()
        .find(|r| text(r, "/kind") == kind && !text(r, "/name").contains('/'));
    Ok(found.map(|r| ApiKind {
        group: group.into(),
        version: version.into(),
        kind: kind.into(),
        plural: text(r, "/name").into(),
        singular: kind.to_lowercase(),
        short_names: Vec::new(),
        namespaced: r["namespaced"] == true,
    }))
}
