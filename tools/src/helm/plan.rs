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
        // Anything else that is no map is the API server's to refuse.
        if let Some(map) = entry.as_object_mut() {
            map.insert(key.into(), json!(value));
        }
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

/// Whether the chart or a person wants an object to stay whatever becomes of its release; it is said on the object.
pub fn stays(object: &Value) -> bool {
    text(object, "/metadata/annotations/helm.sh~1resource-policy") == "keep"
}

/// Which object a document is, its namespace filled in.
pub fn key(d: &Document, namespace: &str) -> (String, String, String, String) {
    let group = d.api_version().split_once('/').map_or("", |(g, _)| g).to_string();
    let place = if d.namespace().is_empty() { namespace } else { d.namespace() };
    (group, d.kind().to_string(), place.to_string(), d.name().to_string())
}

/// The documents of the revision before that are no more in the new one, and that Helm may delete.
pub fn gone<'a>(before: &'a [Document], after: &[Document], namespace: &str) -> Vec<&'a Document> {
    let kept: Vec<_> = after.iter().map(|d| key(d, namespace)).collect();
    before.iter().filter(|d| !kept.contains(&key(d, namespace)) && !stays(&d.value)).collect()
}

/// What a new revision is recorded with.
pub struct Revision<'a> {
    pub release: &'a str,
    pub namespace: &'a str,
    pub number: i64,
    pub chart: Value,
    pub config: Value,
    pub manifest: String,
    pub hooks: Value,
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
        "hooks": revision.hooks,
        "version": revision.number,
        "namespace": revision.namespace,
    })
}

/// The operation that another program has begun on a release and not ended, in Helm's words: `pending-upgrade`.
pub fn pending(revisions: &[Release]) -> Option<&Release> {
    revisions.last().filter(|r| r.status.starts_with("pending-"))
}

/// The revision to go back to when none is named: the last one before the newest that stood.
pub fn before_last(revisions: &[Release]) -> Option<&Release> {
    let (_, earlier) = revisions.split_last()?;
    earlier.iter().rev().find(|r| matches!(r.status.as_str(), "superseded" | "deployed"))
}

/// The revision that stands now: the last that is deployed, else the last of all.
pub fn current(revisions: &[Release]) -> Option<&Release> {
    revisions.iter().rev().find(|r| r.status == "deployed").or(revisions.last())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::read::parse;

    const DOCUMENTS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: dev}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: c, annotations: {helm.sh/resource-policy: keep}}\n";

    #[test]
    fn what_the_new_revision_does_not_say_goes_unless_it_is_kept() {
        let before = parse("old", DOCUMENTS).unwrap();
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
        let odd = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: text, annotations: [1]}\n";
        let mut odd = parse("x", odd).unwrap();
        own(&mut odd[0], "todo", "dev");
        assert_eq!(odd[0].value["metadata"]["labels"], "text");
    }

    #[test]
    fn a_failed_upgrade_is_rolled_back_to_what_still_stands() {
        let all = |statuses: &[&str]| -> Vec<Release> {
            let one = |(i, status): (usize, &&str)| Release {
                revision: i as i64 + 1,
                status: (*status).into(),
                ..Release::default()
            };
            statuses.iter().enumerate().map(one).collect()
        };
        let back = |statuses: &[&str]| before_last(&all(statuses)).map(|r| r.revision);
        assert_eq!(back(&["deployed", "failed"]), Some(1));
        assert_eq!(back(&["superseded", "failed", "deployed"]), Some(1));
        assert_eq!(back(&["superseded", "deployed"]), Some(1));
        assert_eq!(back(&["deployed"]), None);
        assert_eq!(back(&[]), None);
        assert_eq!(pending(&all(&["deployed", "pending-upgrade"])).map(|r| r.revision), Some(2));
        assert!(pending(&all(&["pending-install", "deployed"])).is_none());
    }
}
