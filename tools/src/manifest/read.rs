//! Documents out of YAML and JSON: a text, a file, a folder. Everything that is wrong is said with file and line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use regex::Regex;
use serde_json::Value;

use super::lines::{Lines, parts};
use crate::error::ToolError;
use crate::object::{is_object_name, items, text};
use crate::sanitize;

/// Larger files are no manifests that people wrote.
const MAX_BYTES: u64 = 8 << 20;
/// More documents than this are no one change.
const MAX_DOCUMENTS: usize = 2000;
/// Entries of folders that are looked at: a folder of manifests has fewer, a home folder has more.
const MAX_ENTRIES: usize = 20_000;

/// One object of a manifest, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The file as it was named, or what the text came from.
    pub source: String,
    /// The line on which the document begins, counted from 1.
    pub line: usize,
    pub value: Value,
    written: Written,
}

/// A document as it is written, to find lines in.
#[derive(Clone, Debug)]
struct Written {
    text: Arc<str>,
    /// The line of the source on which the text begins.
    first: usize,
    /// Where in the text the object is: empty but for an entry of a `List`.
    within: Vec<String>,
    /// Made when the first line is asked for.
    lines: Arc<OnceLock<Lines>>,
}

impl PartialEq for Written {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.first, &self.within) == (&other.text, other.first, &other.within)
    }
}

impl Written {
    /// The line of a field in the source, when it or a part of its path is there.
    fn line(&self, path: &str) -> Option<usize> {
        let mut whole = self.within.clone();
        whole.extend(parts(path));
        self.lines.get_or_init(|| Lines::of(&self.text)).find(&whole).map(|l| self.first + l - 1)
    }
}

impl Document {
    pub fn kind(&self) -> &str {
        text(&self.value, "/kind")
    }

    pub fn api_version(&self) -> &str {
        text(&self.value, "/apiVersion")
    }

    pub fn name(&self) -> &str {
        text(&self.value, "/metadata/name")
    }

    /// The namespace that the document itself names; empty when it names none.
    pub fn namespace(&self) -> &str {
        text(&self.value, "/metadata/namespace")
    }

    /// `deployment/backend`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.kind().to_lowercase(), self.name())
    }

    /// Where a field stands, as `file:line`: the line of the deepest part of the path (`/spec/containers/0/image`) that
    /// is there; the document's first line when none is.
    pub fn place(&self, path: &str) -> String {
        format!("{}:{}", self.source, self.written.line(path).unwrap_or(self.line))
    }
}

/// The documents of a text; `source` is what it is called in messages.
///
/// # Errors
/// [`ToolError::Invalid`] naming source and line for what is no manifest.
pub fn parse(source: &str, whole: &str) -> Result<Vec<Document>, ToolError> {
    let source = sanitize::line(source);
    let mut documents = Vec::new();
    for (line, text) in split(whole) {
        if text.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#')) {
            continue;
        }
        let value: Value = serde_saphyr::from_str(&text).map_err(|e| unreadable(&source, line, &text, &e))?;
        if value.is_null() {
            continue;
        }
        let written = |within: Vec<String>| Written {
            text: text.as_str().into(),
            first: line,
            within,
            lines: Arc::default(),
        };
        if text_of_kind(&value).ends_with("List") && value.get("items").is_some() {
            let whole = written(Vec::new());
            for (i, item) in items(&value, "/items").iter().enumerate() {
                let written = Written { within: vec!["items".into(), i.to_string()], ..whole.clone() };
                let line = written.line("").unwrap_or(line);
                documents.push(checked(Document {
                    source: source.clone(),
                    line,
                    value: item.clone(),
                    written,
                })?);
            }
        } else {
            // Comments before the first key belong to nobody.
            let first = text
                .lines()
                .position(|l| !(l.trim().is_empty() || l.starts_with('#') || l.starts_with("---")))
                .unwrap_or(0);
            documents.push(checked(Document {
                source: source.clone(),
                line: line + first,
                value,
                written: written(Vec::new()),
            })?);
        }
        if documents.len() > MAX_DOCUMENTS {
            return Err(ToolError::Invalid(format!("{source}: more than {MAX_DOCUMENTS} objects")));
        }
    }
    Ok(documents)
}

fn text_of_kind(value: &Value) -> &str {
    text(value, "/kind")
}

/// The documents of a YAML stream with the line on which each begins. A `---` at the beginning of a line ends a document
/// wherever it stands.
fn split(whole: &str) -> Vec<(usize, String)> {
    let mut parts: Vec<(usize, String)> = vec![(1, String::new())];
    for (i, line) in whole.trim_start_matches('\u{feff}').lines().enumerate() {
        let marker = line.trim_end();
        let rest = line.strip_prefix("---").filter(|r| r.starts_with([' ', '\t'])).map(str::trim);
        if marker == "---" || marker == "..." || rest.is_some_and(|r| r.is_empty() || r.starts_with('#')) {
            parts.push((i + 2, String::new()));
        } else if let Some(rest) = rest {
            parts.push((i + 1, format!("{rest}\n")));
        } else if let Some(last) = parts.last_mut() {
            last.1.push_str(line);
            last.1.push('\n');
        }
    }
    parts
}

fn unreadable(source: &str, first: usize, text: &str, error: &serde_saphyr::Error) -> ToolError {
    if let Some(at) = text.lines().position(|l| l.contains("{{")) {
        return template(&format!("{source}:{}", first + at));
    }
    let line = error.location().map_or(first, |l| first + (l.line() as usize).saturating_sub(1));
    let message = error.to_string();
    // The library draws the place; the line says it.
    let said = message.lines().next().unwrap_or("").trim_start_matches("error: ");
    let said = crate::redact::text(&sanitize::line(said));
    ToolError::Invalid(format!("{source}:{line}: is not YAML: {said}"))
}

fn template(place: &str) -> ToolError {
    ToolError::Invalid(format!(
        "{place}: this is a template, not a manifest. For a Helm chart, give the chart's folder"
    ))
}

/// The path of a value that still has to be filled in by Helm, outside of what is handed through as it is: the data of
/// ConfigMaps and Secrets, and custom resources, whose own templates look alike.
fn left_to_fill_in(value: &Value, path: &str) -> Option<String> {
    static HELM: OnceLock<Option<Regex>> = OnceLock::new();
    let helm = HELM.get_or_init(|| {
        Regex::new(r"\{\{-?\s*(\.Values|\.Release|\.Chart|\.Capabilities|include\s|template\s|toYaml\s)").ok()
    });
    match value {
        Value::String(s) => {
            helm.as_ref().filter(|h| s.contains("{{") && h.is_match(s)).map(|_| path.to_string())
        }
        Value::Array(list) => {
            list.iter().enumerate().find_map(|(i, v)| left_to_fill_in(v, &format!("{path}/{i}")))
        }
        Value::Object(map) => map
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "data" | "stringData" | "binaryData"))
            .find_map(|(key, v)| left_to_fill_in(v, &format!("{path}/{}", key.replace('/', "~1")))),
        _ => None,
    }
}

/// A document must say what it is.
fn checked(document: Document) -> Result<Document, ToolError> {
    let place = format!("{}:{}", document.source, document.line);
    let invalid = |why: String| Err(ToolError::Invalid(format!("{place}: {why}")));
    if !document.value.is_object() {
        return invalid("a manifest is a map with apiVersion, kind and metadata".into());
    }
    for field in ["apiVersion", "kind"] {
        if text(&document.value, &format!("/{field}")).is_empty() {
            return invalid(format!("there is no {field}: this is no Kubernetes object"));
        }
    }
    let group = document.api_version().split_once('/').map_or("", |(group, _)| group);
    let is_custom = group.contains('.') && !group.ends_with(".k8s.io");
    if let Some(path) = left_to_fill_in(&document.value, "").filter(|p| !is_custom || !p.starts_with("/spec"))
    {
        return Err(template(&document.place(&path)));
    }
    if document.value.pointer("/metadata/generateName").is_some() && document.name().is_empty() {
        return invalid(format!(
            "{} has a generateName: what is applied needs a name, or the next apply makes another one",
            document.kind()
        ));
    }
    if document.value.pointer("/metadata/name").is_some_and(|n| n.is_number() || n.is_boolean()) {
        return invalid(format!(
            "the metadata.name of this {} is not text: put it in quotes",
            document.kind()
        ));
    }
    if document.name().is_empty() {
        return invalid(format!("{} has no metadata.name", sanitize::line(document.kind())));
    }
    if !is_object_name(document.name()) {
        return invalid(format!("`{}` cannot be a name", sanitize::line(document.name())));
    }
    if !document.namespace().is_empty() && !is_object_name(document.namespace()) {
        return invalid(format!("`{}` cannot be a namespace", sanitize::line(document.namespace())));
    }
    Ok(document)
}

/// The documents of a file, or of the YAML and JSON files of a folder and its subfolders, by name. Hidden files, charts
/// and kustomizations below the folder are left alone.
///
/// # Errors
/// [`ToolError::Invalid`] naming file and line; also for two documents that are one object.
pub fn read(path: &Path) -> Result<Vec<Document>, ToolError> {
    let shown = sanitize::line(&path.display().to_string());
    let files = if path.is_dir() {
        let mut files = Vec::new();
        let mut left = MAX_ENTRIES;
        walk(path, &mut files, 0, &mut left)?;
        if files.is_empty() {
            return Err(ToolError::Invalid(format!(
                "{shown}: the folder holds no .yaml, .yml or .json file"
            )));
        }
        files
    } else {
        vec![path.to_path_buf()]
    };
    let mut documents = Vec::new();
    for file in files {
        let shown = sanitize::line(&file.display().to_string());
        let unusable = |why: String| ToolError::Invalid(format!("{shown}: {why}"));
        let meta = std::fs::metadata(&file).map_err(|e| unusable(format!("cannot be read: {e}")))?;
        if !meta.is_file() {
            return Err(unusable("is neither a file nor a folder".into()));
        }
        if meta.len() > MAX_BYTES {
            return Err(unusable(format!("is larger than {} MiB", MAX_BYTES >> 20)));
        }
        let bytes = std::fs::read(&file).map_err(|e| unusable(format!("cannot be read: {e}")))?;
        let text = String::from_utf8(bytes)
            .map_err(|e| unusable(format!("is not UTF-8 text (byte {})", e.utf8_error().valid_up_to())))?;
        documents.extend(parse(&file.display().to_string(), &text)?);
        if documents.len() > MAX_DOCUMENTS {
            return Err(unusable(format!("with this file there are more than {MAX_DOCUMENTS} objects")));
        }
    }
    if documents.is_empty() {
        return Err(ToolError::Invalid(format!("{shown}: there is no object in it")));
    }
    once(&documents)?;
    Ok(documents)
}

/// No object may be there twice: which of the two is meant cannot be known.
///
/// # Errors
/// [`ToolError::Invalid`] naming both places.
pub fn once(documents: &[Document]) -> Result<(), ToolError> {
    let mut seen: BTreeMap<(String, String, String), String> = BTreeMap::new();
    for d in documents {
        let group = d.api_version().split_once('/').map_or("", |(g, _)| g);
        let key = (format!("{group}/{}", d.kind()), d.namespace().to_string(), d.name().to_string());
        let place = format!("{}:{}", d.source, d.line);
        if let Some(first) = seen.insert(key, place.clone()) {
            return Err(ToolError::Invalid(format!("{place}: {} is in {first} already", d.label())));
        }
    }
    Ok(())
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>, depth: usize, left: &mut usize) -> Result<(), ToolError> {
    let unusable =
        |e: std::io::Error| ToolError::Invalid(format!("{}: cannot be read: {e}", folder.display()));
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).map_err(unusable)?.flatten().map(|e| e.path()).collect();
    entries.sort();
    *left = left.checked_sub(entries.len()).ok_or_else(|| {
        let shown = sanitize::line(&folder.display().to_string());
        ToolError::Invalid(format!(
            "{shown}: more than {MAX_ENTRIES} files and folders: give the folder of the manifests alone"
        ))
    })?;
    for path in entries {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            let special = ["Chart.yaml", "kustomization.yaml", "kustomization.yml", "Kustomization"];
            if depth < 8 && !special.iter().any(|f| path.join(f).exists()) {
                walk(&path, files, depth + 1, left)?;
            }
        } else if matches!(path.extension().and_then(|e| e.to_str()), Some("yaml" | "yml" | "json")) {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_know_where_they_stand() {
        let text = "# first\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n---\n\n---\n# b\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\ndata:\n  key: x\n";
        let found = parse("all.yaml", text).unwrap();
        assert_eq!(found.iter().map(|d| (d.line, d.name())).collect::<Vec<_>>(), [(2, "a"), (10, "b")]);
        assert_eq!(found[1].place("/data/key"), "all.yaml:15");
        assert_eq!(found[1].place("/spec/nothing"), "all.yaml:10");
    }

    #[test]
    fn lists_and_json_are_manifests_too() {
        let list = r#"{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}]}"#;
        assert_eq!(parse("x.json", list).unwrap()[0].label(), "secret/s");
        let list = "# all\nkind: List\napiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: s}\n- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: c\n";
        let found = parse("l.yaml", list).unwrap();
        assert_eq!((found[0].line, found[1].line), (5, 8));
        assert_eq!(found[1].place("/metadata/name"), "l.yaml:11");
    }

    #[test]
    fn markers_of_all_forms_part_documents() {
        let cm = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
        let text = format!(
            "---\n{}...\n--- # second\n{}--- {{apiVersion: v1, kind: ConfigMap, metadata: {{name: c}}}}\n",
            cm("a"),
            cm("b")
        );
        let found = parse("x", &text).unwrap();
        assert_eq!(
            found.iter().map(|d| (d.line, d.name())).collect::<Vec<_>>(),
            [(2, "a"), (7, "b"), (10, "c")]
        );
    }

    #[test]
    fn templates_of_others_are_no_helm_templates() {
        let of = |kind: &str, body: &str| format!("{kind}\nmetadata: {{name: x}}\n{body}");
        let image = "spec: {containers: [{name: a, image: \"{{ .Values.image }}\"}]}";
        let error = parse("x", &of("apiVersion: v1\nkind: Pod", image)).unwrap_err().to_string();
        assert!(error.contains("x:4: this is a template"), "{error}");
        let rules = "spec: {summary: \"{{ $labels.pod }}\", t: \"{{ .Values.x }}\"}";
        assert!(parse("x", &of("apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule", rules)).is_ok());
        let data = "data: {t: \"{{ .Values.x }}\"}";
        assert!(parse("x", &of("apiVersion: v1\nkind: ConfigMap", data)).is_ok());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, says) in [
            ("a: [1\nb: 2", "x.yaml:"),
            ("apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  name: b\n", "x.yaml:5"),
            ("apiVersion: v1\nkind: Pod\nmetadata: {}\n", "no metadata.name"),
            ("apiVersion: v1\nkind: Pod\nmetadata: {name: 12}\n", "put it in quotes"),
            ("kind: Pod\nmetadata: {name: a}\n", "no apiVersion"),
            ("apiVersion: v1\nkind: Pod\nmetadata:\n  generateName: a-\n", "generateName"),
            (
                "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ .Release.Name }}-x\n",
                "x.yaml:4: this is a template",
            ),
            ("- 1\n- 2\n", "a manifest is a map"),
            ("apiVersion: v1\nkind: Pod\nmetadata:\n  name: a/b\n", "cannot be a name"),
        ] {
            let error = parse("x.yaml", text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn folders_are_read_in_order_and_twice_is_once_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let cm = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n");
        write("b.yaml", &cm("b"));
        write("a/a.yml", &cm("a"));
        write("chart/Chart.yaml", "name: x");
        write("chart/x.yaml", "not: read");
        write("notes.txt", "nothing");
        let names: Vec<String> = read(folder.path()).unwrap().iter().map(Document::label).collect();
        assert_eq!(names, ["configmap/a", "configmap/b"]);
        write("c.yaml", &cm("a"));
        let error = read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("c.yaml:1: configmap/a is in") && error.contains("a.yml:1"), "{error}");
        let list = |from: usize| {
            (from..from + 1500).map(|i| format!("{}---\n", cm(&format!("x{i}")))).collect::<String>()
        };
        let many = tempfile::tempdir().unwrap();
        std::fs::write(many.path().join("a.yaml"), list(0)).unwrap();
        assert_eq!(read(many.path()).unwrap().len(), 1500);
        std::fs::write(many.path().join("b.yaml"), list(5000)).unwrap();
        let error = read(many.path()).unwrap_err().to_string();
        assert!(error.contains("b.yaml: with this file there are more than 2000 objects"), "{error}");
        assert!(read(&folder.path().join("none.yaml")).unwrap_err().to_string().contains("cannot be read"));
    }
}
