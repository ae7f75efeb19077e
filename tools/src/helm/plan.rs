//! What a revision of a release changes: which documents are applied, which objects go, which records are written (pure).

use serde_json::{Value, json};

use super::Release;
use crate::manifest::Document;
use crate::object::text;

/// The label and annotations by which Helm knows its objects.
pub fn own(document: &mut Document, release: &str, namespace: &str) {
    let Some(metadata) = document.value.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let mut put = |map: &str, key: &str, value: &str| {
        let entry = metadata.entry(map).or_insert_with(|| json!({}));
        if entry.is_null() {
            *entry = json!({});
        }
        entry[key] = json!(value);
    };
    put("labels", "app.kubernetes.io/managed-by", "Helm");
    put("annotations", "meta.helm.sh/release-name", release);
    put("annotations", "meta.helm.sh/release-namespace", namespace);
}

/// Whether an object belongs to a release, in Helm's own terms; the owner that it names, when it is another.
pub fn owner_of(live: &Value) -> Option<(String, String)> {
    let annotation = |key: &str| {
        live.pointer("/metadata/annotations").and_then(|a| a.get(key)).and_then(Value::as_str).unwrap_or("")
    };
    let name = annotation("meta.helm.sh/release-name");
    (!name.is_empty()).then(|| (name.to_string(), annotation("meta.helm.sh/release-namespace").to_string()))
}

/// Documents by what Helm does with them: objects to apply, and hooks, which are run and not kept.
pub fn without_hooks(documents: Vec<Document>) -> (Vec<Document>, Vec<Document>) {
    documents.into_iter().partition(|d| hook_of(d).is_empty())
}

/// The events on which a hook runs: `pre-install,pre-upgrade`; empty for an ordinary object.
pub fn hook_of(document: &Document) -> &str {
    text(&document.value, "/metadata/annotations/helm.sh~1hook")
}

/// The documents of the revision before that are no more in the new one, and that Helm may delete.
pub fn gone<'a>(before: &'a [Document], after: &[Document], namespace: &str) -> Vec<&'a Document> {
    let key = |d: &Document| {
        let group = d.api_version().split_once('/').map_or("", |(g, _)| g).to_string();
        let place = if d.namespace().is_empty() { namespace } else { d.namespace() };
        (group, d.kind().to_string(), place.to_string(), d.name().to_string())
    };
    let kept: Vec<_> = after.iter().map(key).collect();
    before
        .iter()
        .filter(|d| !kept.contains(&key(d)))
        .filter(|d| text(&d.value, "/metadata/annotations/helm.sh~1resource-policy") != "keep")
        .collect()
}

/// What a new revision is recorded with.
pub struct Revision<'a> {
    pub release: &'a str,
    pub namespace: &'a str,
    pub number: i64,
    pub chart: Value,
    pub config: Value,
    pub manifest: String,
    pub description: String,
    /// When the first revision was made; this one's time when it is the first.
    pub first_deployed: Option<&'a str>,
    pub now: jiff::Timestamp,
}

/// The record of a revision that stands.
pub fn record(revision: Revision<'_>) -> Value {
    let now = revision.now.to_string();
    json!({
        "name": revision.release,
        "info": {
            "first_deployed": revision.first_deployed.unwrap_or(&now),
            "last_deployed": now,
            "deleted": "",
            "description": revision.description,
            "status": "deployed",
        },
        "chart": revision.chart,
        "config": revision.config,
        "manifest": revision.manifest,
        "hooks": [],
        "version": revision.number,
        "namespace": revision.namespace,
    })
}

/// The revision that stands now: the last that is deployed, else the last of all.
pub fn current(revisions: &[Release]) -> Option<&Release> {
    revisions.iter().rev().find(|r| r.status == "deployed").or(revisions.last())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::read::parse;

    const DOCUMENTS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: dev}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: c, annotations: {helm.sh/resource-policy: keep}}\n---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: h, annotations: {helm.sh/hook: post-install}}\n";

    #[test]
    fn what_the_new_revision_does_not_say_goes_unless_it_is_kept() {
        let (before, hooks) = without_hooks(parse("old", DOCUMENTS).unwrap());
        assert_eq!(hooks.len(), 1);
        let after = parse("new", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n").unwrap();
        let names: Vec<&str> = gone(&before, &after, "dev").iter().map(|d| d.name()).collect();
        assert_eq!(names, ["a"], "b is the same object with its namespace said, c is to be kept");
    }

    #[test]
    fn objects_carry_their_owner() {
        let mut documents = parse("x", DOCUMENTS).unwrap();
        own(&mut documents[0], "todo", "dev");
        assert_eq!(owner_of(&documents[0].value), Some(("todo".into(), "dev".into())));
        assert_eq!(documents[0].value["metadata"]["labels"]["app.kubernetes.io/managed-by"], "Helm");
        assert_eq!(owner_of(&documents[1].value), None);
    }
}
