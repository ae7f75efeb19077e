//! A diagnosis without a cluster: objects out of files that `kubectl get -o yaml`, `kubectl cluster-info dump`, a
//! must-gather or `kai diagnose --save` wrote, and the logs beside them.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use kai_diagnose::snapshot::{LogOf, kind};
use kai_diagnose::{KINDS, Snapshot};
use serde_json::Value;

use super::{Asked, Collected, Cost, resolve};
use crate::error::ToolError;
use crate::object::text;
use crate::sanitize;

/// The largest file that is read: a dump of 10,000 pods is smaller.
const MAX_FILE: u64 = 512 << 20;
/// Entries of folders that are looked at.
const MAX_ENTRIES: usize = 100_000;
/// The end of a log that is kept.
const LOG_BYTES: usize = 32 << 10;

/// Reads a file or a folder. What cannot be read becomes a blind spot; that nothing can is an error.
///
/// # Errors
/// [`ToolError::Invalid`] naming the file, and the line where it has one, when there is no object to look at.
pub fn from_path(path: &Path) -> Result<Snapshot, ToolError> {
    let shown = sanitize::line(&path.display().to_string());
    let meta = std::fs::metadata(path).map_err(|e| ToolError::Invalid(format!("{shown}: {e}")))?;
    let mut files = Vec::new();
    if meta.is_dir() {
        walk(path, &mut files, 0);
        files.sort();
    } else {
        files.push(path.to_path_buf());
    }
    let mut reader = Reader::default();
    for file in &files {
        if let Err(why) = reader.file(file, meta.is_dir()) {
            let file = sanitize::line(&file.display().to_string());
            if !meta.is_dir() {
                return Err(ToolError::Invalid(format!("{file}: {why}")));
            }
            reader.snap.cannot_see(file, why);
        }
    }
    if reader.snap.is_empty() {
        return Err(ToolError::Invalid(format!(
            "{shown}: there is no Kubernetes object in it that a diagnosis looks at"
        )));
    }
    Ok(reader.done())
}

/// Diagnoses a dump.
///
/// # Errors
/// As [`from_path`], and when nothing is called as `asked`.
pub fn of_dump(path: &Path, asked: &Asked) -> Result<Collected, ToolError> {
    let snapshot = from_path(path)?;
    let scope = resolve(&snapshot, asked, "default")?;
    let diagnosis = kai_diagnose::diagnose(&snapshot, &scope);
    Ok(Collected { snapshot, diagnosis, scope, cost: Cost::default(), raw: Vec::new() })
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>, depth: usize) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut entries: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
    entries.sort();
    for entry in entries {
        if files.len() >= MAX_ENTRIES || depth > 12 {
            return;
        }
        let name = entry.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        // A link can lead out of the dump, or in circles.
        if name.starts_with('.') || entry.is_symlink() {
            continue;
        }
        if entry.is_dir() {
            walk(&entry, files, depth + 1);
        } else if [".yaml", ".yml", ".json", ".log"].iter().any(|e| name.ends_with(e)) || name == "logs.txt" {
            files.push(entry);
        }
    }
}

#[derive(Default)]
struct Reader {
    snap: Snapshot,
    /// The latest moment that an object tells of: the dump was made then or shortly after.
    latest: Option<Timestamp>,
    /// When the dump says that it was made.
    made: Option<Timestamp>,
    /// When the last of its files was written.
    written: Option<Timestamp>,
}

impl Reader {
    fn file(&mut self, path: &Path, in_folder: bool) -> Result<(), String> {
        let meta = std::fs::metadata(path).map_err(|e| e.to_string())?;
        if meta.len() > MAX_FILE {
            return Err(format!("is larger than {} MiB", MAX_FILE >> 20));
        }
        let written = meta.modified().ok().and_then(|t| Timestamp::try_from(t).ok());
        self.written = self.written.max(written);
        let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
        if let Some(of) = log_of(path).filter(|_| in_folder) {
            let from = bytes.len().saturating_sub(LOG_BYTES);
            self.snap.evidence.logs.insert(of, String::from_utf8_lossy(&bytes[from..]).into_owned());
            return Ok(());
        }
        if path.extension().is_some_and(|e| e == "log" || e == "txt") {
            return Ok(());
        }
        let whole = std::str::from_utf8(&bytes)
            .map_err(|e| format!("is not UTF-8 text (byte {})", e.valid_up_to()))?;
        let trimmed = whole.trim_start();
        if trimmed.starts_with('{') {
            // `kubectl cluster-info dump` without a folder writes one JSON after another.
            for value in serde_json::Deserializer::from_str(whole).into_iter::<Value>() {
                match value {
                    Ok(value) => self.document(value, path),
                    Err(e) => return Err(format!("line {}: is not JSON: {e}", e.line())),
                }
            }
            return Ok(());
        }
        let mut line = 1;
        for part in whole.split("\n---") {
            if !part.trim_matches(['-', ' ', '\n', '\r']).is_empty() {
                let value: Value = serde_saphyr::from_str(part.trim_start_matches("---")).map_err(|e| {
                    let at = line + e.location().map_or(0, |l| l.line().saturating_sub(1) as usize);
                    let why = e.to_string();
                    format!(
                        "line {at}: is not YAML: {}",
                        sanitize::line(why.lines().next().unwrap_or_default())
                    )
                })?;
                self.document(value, path);
            }
            line += part.matches('\n').count() + 1;
        }
        Ok(())
    }

    fn document(&mut self, mut value: Value, path: &Path) {
        if let Some(notes) = value.get_mut("kai").map(Value::take) {
            self.notes(&notes);
        }
        let word = text(&value, "/kind").to_owned();
        let items = value.get_mut("items").map(Value::take);
        match (word.strip_suffix("List"), items) {
            (Some(of), Some(Value::Array(items))) => {
                if let Some(kind) = kind(of) {
                    // An empty list of a namespace's folder says that the namespace has none.
                    let folder =
                        path.parent().and_then(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned());
                    self.snap.see(kind.name, folder.as_deref().filter(|_| kind.namespaced));
                }
                for mut item in items {
                    if let Some(map) = item.as_object_mut().filter(|m| !m.contains_key("kind")) {
                        map.insert("kind".into(), of.into());
                    }
                    self.object(item);
                }
            }
            _ => self.object(value),
        }
    }

    fn object(&mut self, value: Value) {
        let Some(kind) = kind(text(&value, "/kind")) else { return };
        let group = text(&value, "/apiVersion").split_once('/').map_or("", |(g, _)| g);
        let wanted = kind.root.strip_prefix("/apis/").and_then(|r| r.split('/').next()).unwrap_or("");
        // Another group's kind of the same name is another kind (Knative has Services too).
        if !group.is_empty() && group != wanted && !(kind.name == "events" && group == "events.k8s.io") {
            return;
        }
        latest(&value, "", &mut self.latest);
        let namespace = text(&value, "/metadata/namespace").to_owned();
        let name = text(&value, "/metadata/name").to_owned();
        match self.snap.add_object(kind, value) {
            Ok(()) => self.snap.see(kind.name, Some(namespace.as_str()).filter(|_| kind.namespaced)),
            Err(why) => {
                self.snap.cannot_see(sanitize::line(&format!("{} {name}", kind.name)), sanitize::line(&why));
            }
        }
    }

    /// What `kai diagnose --save` notes beside the objects.
    fn notes(&mut self, notes: &Value) {
        self.made = text(notes, "/now").parse().ok().or(self.made);
        for (name, seen) in notes["seen"].as_object().into_iter().flatten() {
            match seen {
                Value::Array(namespaces) => {
                    for namespace in namespaces.iter().filter_map(Value::as_str) {
                        self.snap.see(name, Some(namespace));
                    }
                }
                _ => self.snap.see(name, None),
            }
        }
        for spot in notes["blind"].as_array().into_iter().flatten() {
            self.snap.cannot_see(sanitize::line(text(spot, "/what")), sanitize::line(text(spot, "/why")));
        }
        for log in notes["logs"].as_array().into_iter().flatten() {
            let of = LogOf {
                namespace: text(log, "/namespace").into(),
                pod: text(log, "/pod").into(),
                container: text(log, "/container").into(),
                previous: log["previous"] == true,
            };
            self.snap.evidence.logs.insert(of, text(log, "/text").into());
        }
    }

    fn done(mut self) -> Snapshot {
        self.snap.now = self.made.or_else(|| self.guessed()).unwrap_or_else(Timestamp::now);
        let unseen: Vec<&str> = KINDS
            .iter()
            .filter(|k| k.when == kai_diagnose::snapshot::When::Always && !self.sees(k.name))
            .map(|k| k.name)
            .collect();
        for kind in unseen {
            self.snap.cannot_see(kind, "the dump has none of them");
        }
        self.snap.finish();
        self.snap
    }

    /// When the dump was made, if it does not say so: when its files were written, unless they were copied since; then a
    /// minute after the last thing that it tells of.
    fn guessed(&self) -> Option<Timestamp> {
        let latest = self.latest?;
        let near = |t: &Timestamp| (0..3600).contains(&(t.as_second() - latest.as_second()));
        let after = Timestamp::from_second(latest.as_second() + 60).unwrap_or(latest);
        Some(self.written.filter(near).map_or(after, |t| t.max(latest)))
    }

    fn sees(&self, name: &str) -> bool {
        self.snap.has_seen(name)
    }
}

/// Whose log a file of a dump is: `<ns>/<pod>/logs.txt` of cluster-info dump,
/// `namespaces/<ns>/pods/<pod>/<container>/<container>/logs/current.log` of a must-gather.
fn log_of(path: &Path) -> Option<LogOf> {
    let parts: Vec<&str> = path.iter().filter_map(|p| p.to_str()).collect();
    match parts.as_slice() {
        [
            ..,
            "namespaces",
            namespace,
            "pods",
            pod,
            container,
            _,
            "logs",
            file @ ("current.log" | "previous.log"),
        ] => Some(LogOf {
            namespace: (*namespace).into(),
            pod: (*pod).into(),
            container: (*container).into(),
            previous: *file == "previous.log",
        }),
        _ => None,
    }
}

/// The latest moment that an object tells of; moments of the future (a certificate's end) do not count.
fn latest(value: &Value, under: &str, found: &mut Option<Timestamp>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| latest(v, k, found)),
        Value::Array(all) => all.iter().for_each(|v| latest(v, under, found)),
        Value::String(text) if under.ends_with("Time") || under.ends_with("Timestamp") || under == "time" => {
            let is_future = matches!(under, "notAfter" | "renewalTime" | "deletionTimestamp");
            if let Ok(moment) = text.parse::<Timestamp>()
                && !is_future
            {
                *found = Some(found.map_or(moment, |f| f.max(moment)));
            }
        }
        _ => {}
    }
}
