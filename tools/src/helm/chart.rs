//! A chart's folder as Helm's record keeps it: metadata, values, templates and files.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::error::ToolError;
use crate::object::text;
use crate::sanitize;

/// A record must fit into a Secret of 1 MiB; larger files are left out of it.
const MAX_FILE: u64 = 256 << 10;

/// A chart that was read.
#[derive(Clone, Debug)]
pub struct Chart {
    pub name: String,
    pub version: String,
    /// As the record of a release holds it.
    pub record: Value,
}

impl Chart {
    /// Reads a chart's folder.
    ///
    /// # Errors
    /// [`ToolError::Invalid`] naming the file that is missing or wrong.
    pub fn read(folder: &Path) -> Result<Self, ToolError> {
        let metadata = yaml(&folder.join("Chart.yaml"))?;
        let name = text(&metadata, "/name").to_string();
        let version = text(&metadata, "/version").to_string();
        if name.is_empty() || version.is_empty() {
            return Err(ToolError::Invalid(format!(
                "{}: a chart has a name and a version",
                sanitize::line(&folder.join("Chart.yaml").display().to_string())
            )));
        }
        let values_file = folder.join("values.yaml");
        let values = if values_file.exists() { yaml(&values_file)? } else { json!({}) };
        let mut templates = Vec::new();
        collect(folder, &folder.join("templates"), &mut templates, 0)?;
        let record = json!({
            "metadata": metadata, "lock": null, "templates": templates,
            "values": if values.is_null() { json!({}) } else { values }, "schema": null, "files": [],
        });
        Ok(Self { name, version, record })
    }
}

/// A YAML file as a value.
pub(super) fn yaml(path: &Path) -> Result<Value, ToolError> {
    let shown = sanitize::line(&path.display().to_string());
    let invalid = |why: String| ToolError::Invalid(format!("{shown}: {why}"));
    let meta = std::fs::metadata(path).map_err(|e| invalid(format!("cannot be read: {e}")))?;
    if meta.len() > 4 << 20 {
        return Err(invalid("is too large".into()));
    }
    let written = std::fs::read_to_string(path).map_err(|e| invalid(format!("cannot be read: {e}")))?;
    if written.trim().is_empty() {
        return Ok(json!({}));
    }
    serde_saphyr::from_str(&written).map_err(|e| {
        let line = e.location().map_or(String::new(), |l| format!("line {}: ", l.line()));
        let said = e.to_string();
        invalid(format!("{line}is not YAML: {}", sanitize::line(said.lines().next().unwrap_or(""))))
    })
}

fn collect(root: &Path, folder: &Path, into: &mut Vec<Value>, depth: usize) -> Result<(), ToolError> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    let mut paths: Vec<_> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() && depth < 8 {
            collect(root, &path, into, depth + 1)?;
        } else if path.metadata().is_ok_and(|m| m.is_file() && m.len() <= MAX_FILE) {
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            let data = std::fs::read(&path)
                .map_err(|e| ToolError::Invalid(format!("{}: cannot be read: {e}", sanitize::line(&name))))?;
            into.push(json!({"name": name, "data": STANDARD.encode(data)}));
        }
    }
    Ok(())
}
