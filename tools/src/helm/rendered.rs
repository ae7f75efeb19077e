//! What `helm template` prints, taken apart as Helm itself keeps it: objects of the release, hooks, and the definitions
//! of a chart's `crds` folder, which belong to no release (pure).

use serde_json::{Value, json};

use crate::error::ToolError;
use crate::manifest::{Document, read};
use crate::object::text;

/// The events on which Helm runs a hook.
const EVENTS: [&str; 9] = [
    "pre-install",
    "post-install",
    "pre-delete",
    "post-delete",
    "pre-upgrade",
    "post-upgrade",
    "pre-rollback",
    "post-rollback",
    "test",
];

/// A chart with its values filled in.
#[derive(Debug, Default)]
pub struct Rendered {
    /// What the release is made of.
    pub objects: Vec<Document>,
    /// Definitions from `crds`: Helm makes those that are missing, and never changes or deletes one.
    pub definitions: Vec<Document>,
    /// As a record holds them.
    pub hooks: Vec<Value>,
    /// The objects' text, as a record holds it.
    pub manifest: String,
}

impl Rendered {
    /// Takes apart what helm printed.
    ///
    /// # Errors
    /// When a template made something that is no manifest, naming the template.
    pub fn parse(printed: &str) -> Result<Self, ToolError> {
        let mut all = Self::default();
        for (source, body) in parts(printed) {
            let documents = read::parse(&source, &body)?;
            if documents.is_empty() {
                continue;
            }
            if is_definition(&source) {
                all.definitions.extend(documents);
                continue;
            }
            let Some(hook) = documents.iter().find(|d| !hook_of(d).is_empty()) else {
                all.manifest.push_str(&format!("---\n# Source: {source}\n{}\n", body.trim_matches('\n')));
                all.objects.extend(documents);
                continue;
            };
            all.hooks.extend(record_of(hook, &source, &body));
        }
        Ok(all)
    }
}

/// The documents of a record's manifest, each called by the template that it came from.
///
/// # Errors
/// As [`Rendered::parse`].
pub fn documents(manifest: &str) -> Result<Vec<Document>, ToolError> {
    let mut documents = Vec::new();
    for (source, body) in parts(manifest) {
        documents.extend(read::parse(&source, &body)?.into_iter().filter(|d| hook_of(d).is_empty()));
    }
    Ok(documents)
}

/// Each document's template and text. One without a `# Source` of its own comes from where the one before came from: the
/// files of `crds` are printed whole.
fn parts(printed: &str) -> Vec<(String, String)> {
    let mut parts: Vec<(String, String)> = Vec::new();
    let mut begins = true;
    for line in printed.lines() {
        let ends = line.strip_prefix("---").filter(|r| r.is_empty() || r.starts_with([' ', '\t']));
        if let Some(rest) = ends {
            let source = parts.last().map_or_else(|| "the chart".to_string(), |(s, _)| s.clone());
            let rest = rest.trim();
            let body = if rest.is_empty() || rest.starts_with('#') { "".into() } else { format!("{rest}\n") };
            parts.push((source, body));
            begins = true;
            continue;
        }
        if parts.is_empty() {
            parts.push(("the chart".into(), String::new()));
        }
        let Some((source, body)) = parts.last_mut() else { continue };
        match line.strip_prefix("# Source: ").filter(|_| begins) {
            Some(named) => *source = named.trim().into(),
            None => {
                body.push_str(line);
                body.push('\n');
            }
        }
        begins = false;
    }
    parts
}

/// Whether a file is of a chart's `crds`, or of a chart's below it: `shop/crds/x.yaml`, `shop/charts/db/crds/x.yaml`.
fn is_definition(source: &str) -> bool {
    let mut folders = source.split('/').skip(1);
    loop {
        match folders.next() {
            Some("crds") => return true,
            Some("charts") => drop(folders.next()),
            _ => return false,
        }
    }
}

/// The events on which a document is a hook, as it says them; empty for an ordinary object.
fn hook_of(document: &Document) -> &str {
    text(&document.value, "/metadata/annotations/helm.sh~1hook")
}

/// A hook as a record holds it; `None` for events that Helm does not know, as it does.
fn record_of(hook: &Document, source: &str, body: &str) -> Option<Value> {
    let words = |said: &str| -> Vec<String> {
        said.split(',').map(|w| w.trim().to_lowercase()).filter(|w| !w.is_empty()).collect()
    };
    let mut events = words(hook_of(hook));
    for event in &mut events {
        if event == "test-success" {
            *event = "test".into();
        }
        if !EVENTS.contains(&event.as_str()) {
            return None;
        }
    }
    let policies = words(text(&hook.value, "/metadata/annotations/helm.sh~1hook-delete-policy"));
    let weight = text(&hook.value, "/metadata/annotations/helm.sh~1hook-weight").parse::<i64>().unwrap_or(0);
    Some(json!({
        "name": hook.name(), "kind": hook.kind(), "path": source, "manifest": body.trim_matches('\n'),
        "events": events, "last_run": {"started_at": "", "completed_at": "", "phase": ""},
        "weight": weight, "delete_policies": policies,
    }))
}

/// What to say of the hooks that Helm would run around `act`: install, upgrade, rollback or delete.
pub fn not_run(hooks: &[Value], act: &str) -> Vec<String> {
    let mut said = Vec::new();
    for hook in hooks {
        let events = hook.get("events").and_then(Value::as_array).into_iter().flatten();
        let on: Vec<&str> = events
            .filter_map(Value::as_str)
            .filter(|e| e.split_once('-').is_some_and(|(_, of)| of == act))
            .collect();
        if !on.is_empty() {
            let (kind, name) = (text(hook, "/kind").to_lowercase(), text(hook, "/name"));
            said.push(format!("hook {kind}/{name} ({}) is not run: kai runs no hooks", on.join(", ")));
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "---\n# Source: shop/crds/a.yaml\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: as.x.io}\n---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: bs.x.io}\n---\n# Source: shop/templates/crds/c.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  text: |\n    # Source: not/this\n    ---\n---\n# Source: shop/templates/h.yaml\napiVersion: batch/v1\nkind: Job\nmetadata:\n  name: h\n  annotations: {helm.sh/hook: \"pre-install, post-upgrade\", helm.sh/hook-weight: \"-5\", helm.sh/hook-delete-policy: hook-succeeded}\n---\n# Source: shop/templates/t.yaml\napiVersion: v1\nkind: Pod\nmetadata: {name: t, annotations: {helm.sh/hook: test-success}}\n";

    fn names(documents: &[Document]) -> Vec<&str> {
        documents.iter().map(Document::name).collect()
    }

    #[test]
    fn definitions_and_hooks_are_no_objects_of_the_release() {
        let rendered = Rendered::parse(PRINTED).unwrap();
        assert_eq!(names(&rendered.definitions), ["as.x.io", "bs.x.io"]);
        assert_eq!(names(&rendered.objects), ["c"]);
        assert!(!rendered.manifest.contains("x.io"), "helm would delete them: {}", rendered.manifest);
        let again = documents(&rendered.manifest).unwrap();
        assert_eq!(again[0].value, rendered.objects[0].value);
        assert_eq!(again[0].source, "shop/templates/crds/c.yaml");
    }

    #[test]
    fn hooks_are_kept_for_helm_and_told_when_they_would_run() {
        let hooks = Rendered::parse(PRINTED).unwrap().hooks;
        assert_eq!(hooks[0]["events"], json!(["pre-install", "post-upgrade"]));
        assert_eq!((&hooks[0]["weight"], &hooks[1]["events"]), (&json!(-5), &json!(["test"])));
        assert_eq!(hooks[0]["path"], "shop/templates/h.yaml");
        let told = not_run(&hooks, "install");
        assert_eq!(told, ["hook job/h (pre-install) is not run: kai runs no hooks"]);
        assert!(not_run(&hooks, "delete").is_empty());
    }

    #[test]
    fn definitions_are_known_by_their_folder() {
        for (source, is) in [
            ("shop/crds/a.yaml", true),
            ("shop/charts/db/crds/a/b.yaml", true),
            ("shop/templates/crds/a.yaml", false),
            ("crds/templates/a.yaml", false),
            ("", false),
        ] {
            assert_eq!(is_definition(source), is, "{source}");
        }
    }
}
