//! Writes a dump that `kai diagnose --from` reads: the objects as a list that kubectl understands too, without secrets.

use std::io::Write;
use std::path::Path;

use kai_diagnose::snapshot::Seen;
use serde_json::{Value, json};

use super::Collected;
use crate::error::ToolError;
use crate::{redact, sanitize};

/// Writes the dump; a file that is there already is not touched.
///
/// # Errors
/// [`ToolError::Invalid`] when the file exists or cannot be written.
pub fn save(collected: &Collected, path: &Path) -> Result<usize, ToolError> {
    let shown = sanitize::line(&path.display().to_string());
    let unusable = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            ToolError::Invalid(format!("{shown} is there already: name another file"))
        }
        _ => ToolError::Invalid(format!("{shown} cannot be written: {e}")),
    };
    let mut items = Vec::new();
    let mut seen = serde_json::Map::new();
    for (kind, objects) in &collected.raw {
        for object in objects {
            let mut object = object.clone();
            if let Some(map) = object.as_object_mut() {
                map.insert("kind".into(), kind.kind.into());
                map.insert("apiVersion".into(), json!(version(kind.root)));
            }
            let written = writes(&object);
            let mut clean = redact::object(&object);
            if let Some(meta) = clean["metadata"].as_object_mut().filter(|_| !written.is_empty()) {
                meta.insert("managedFields".into(), Value::Array(written));
            }
            items.push(clean);
        }
        seen.insert(kind.name.into(), namespaces(collected.snapshot.seen(kind.name)));
    }
    let logs: Vec<Value> = collected
        .snapshot
        .evidence
        .logs
        .iter()
        .map(|(of, text)| {
            json!({"namespace": of.namespace, "pod": of.pod, "container": of.container,
                   "previous": of.previous, "text": redact::text(text)})
        })
        .collect();
    let count = items.len();
    let dump = json!({
        "apiVersion": "v1",
        "kind": "List",
        "kai": {"schema": "kai.snapshot/v1", "now": collected.snapshot.now.to_string(), "seen": seen,
                "blind": collected.snapshot.blind, "logs": logs},
        "items": items,
    });
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(unusable)?;
    serde_json::to_writer(&mut file, &dump).map_err(|e| unusable(e.into()))?;
    file.write_all(b"\n").map_err(unusable)?;
    Ok(count)
}

fn version(root: &str) -> &str {
    root.trim_start_matches("/apis/").trim_start_matches("/api/")
}

/// Who wrote an object and when, without the fields.
fn writes(object: &Value) -> Vec<Value> {
    let entry =
        |e: &Value| json!({"manager": e["manager"], "time": e["time"], "subresource": e["subresource"]});
    object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(entry)
        .collect()
}

fn namespaces(seen: &Seen) -> Value {
    match seen {
        Seen::No => json!([]),
        Seen::In(all) => json!(all),
        Seen::Everywhere => json!("*"),
    }
}
