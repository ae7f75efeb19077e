//! A chart's folder as Helm's record keeps it: metadata, lock, values, schema and templates. Other files are left out:
//! nothing reads them from a record.

use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::error::ToolError;
use crate::object::text;
use crate::sanitize;

/// A record must fit into a Secret of 1 MiB; larger files are left out of it.
const MAX_FILE: u64 = 256 << 10;
/// How much of a packed chart is looked through.
const MAX_PACKED: u64 = 16 << 20;
/// How deep folders are followed.
const MAX_DEPTH: usize = 8;

/// A chart that was read.
#[derive(Clone, Debug)]
pub struct Chart {
    pub name: String,
    pub version: String,
    /// As the record of a release holds it.
    pub record: Value,
    /// A file, of this chart or of one below it, whose template asks the cluster what is there.
    pub looks_up: Option<String>,
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
        let lock = folder.join("Chart.lock");
        let lock = if lock.exists() { yaml(&lock)? } else { Value::Null };
        let schema = folder.join("values.schema.json");
        let schema = if schema.exists() { json!(STANDARD.encode(bytes(&schema)?)) } else { Value::Null };
        let mut templates = Vec::new();
        collect(folder, &folder.join("templates"), &mut templates, 0)?;
        let record = json!({
            "metadata": metadata, "lock": lock, "templates": templates,
            "values": if values.is_null() { json!({}) } else { values }, "schema": schema, "files": [],
        });
        let looks_up = looks_up(folder, folder, 0);
        Ok(Self { name, version, record, looks_up })
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, ToolError> {
    let invalid =
        |why: String| ToolError::Invalid(format!("{}: {why}", sanitize::line(&path.display().to_string())));
    let meta = std::fs::metadata(path).map_err(|e| invalid(format!("cannot be read: {e}")))?;
    if !meta.is_file() {
        return Err(invalid("is no file".into()));
    }
    if meta.len() > 4 << 20 {
        return Err(invalid("is too large".into()));
    }
    std::fs::read(path).map_err(|e| invalid(format!("cannot be read: {e}")))
}

/// A YAML file as a value.
pub(super) fn yaml(path: &Path) -> Result<Value, ToolError> {
    let shown = sanitize::line(&path.display().to_string());
    let invalid = |why: String| ToolError::Invalid(format!("{shown}: {why}"));
    let written = String::from_utf8(bytes(path)?).map_err(|_| invalid("is not UTF-8 text".into()))?;
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
        if path.is_dir() && depth < MAX_DEPTH {
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

/// The first template that asks the cluster, in the chart's folder or in the charts below it, packed ones too.
fn looks_up(root: &Path, folder: &Path, depth: usize) -> Option<String> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).ok()?.flatten().map(|e| e.path()).collect();
    paths.sort();
    paths.into_iter().find_map(|path| {
        if path.is_dir() {
            return if depth < MAX_DEPTH { looks_up(root, &path, depth + 1) } else { None };
        }
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let text = match path.extension().and_then(|e| e.to_str()) {
            Some("tgz") => unpacked(&path)?,
            _ if name.contains("templates/") => String::from_utf8_lossy(&bytes(&path).ok()?).into_owned(),
            _ => return None,
        };
        asks(&text).then(|| sanitize::line(&name))
    })
}

/// Whether a template calls `lookup`.
fn asks(text: &str) -> bool {
    text.split("{{").skip(1).any(|rest| {
        let code = rest.split("}}").next().unwrap_or(rest);
        code.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$')))
            .any(|w| w == "lookup")
    })
}

/// The text of a packed chart's files, one after the other.
fn unpacked(path: &Path) -> Option<String> {
    let file = std::fs::File::open(path).ok()?;
    let mut bytes = Vec::new();
    // What cannot be unpacked is helm's to refuse.
    let _ = GzDecoder::new(file).take(MAX_PACKED).read_to_end(&mut bytes);
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_is_kept_as_helm_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("Chart.yaml", "apiVersion: v2\nname: shop\nversion: 0.1.0\n");
        write("values.schema.json", "{}");
        write("templates/_helpers.tpl", "{{- define \"x\" }}lookups{{ .Values.lookup }}{{ end }}");
        write("README.md", "{{ lookup }}");
        let chart = Chart::read(folder.path()).unwrap();
        assert_eq!(chart.record["schema"], "e30=");
        assert_eq!(chart.record["templates"][0]["name"], "templates/_helpers.tpl");
        assert_eq!(chart.looks_up, None);
        write("charts/db/templates/s.yaml", "{{- $s := (lookup \"v1\" \"Secret\" \"a\" \"b\") }}");
        assert_eq!(Chart::read(folder.path()).unwrap().looks_up.unwrap(), "charts/db/templates/s.yaml");
        write("Chart.yaml", "name: shop\n");
        assert!(Chart::read(folder.path()).unwrap_err().to_string().contains("Chart.yaml"));
    }
}
