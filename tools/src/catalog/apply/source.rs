//! Where manifests come from: a text, a file, a folder, or what kustomize and Helm make of theirs.

use std::path::{Path, PathBuf};

use super::Apply;
use crate::error::ToolError;
use crate::manifest::{Document, read};
use crate::sanitize;
use crate::tool::Context;

/// The documents that a call names.
///
/// # Errors
/// What cannot be read or rendered, with file and line; a path that nobody but a model chose, outside the working folder.
pub(super) async fn read(call: &Apply, context: &Context) -> Result<Vec<Document>, ToolError> {
    let invalid = |message: &str| Err(ToolError::Invalid(format!("apply: {message}")));
    let path = match (&call.path, &call.manifest) {
        (Some(_), Some(_)) | (None, None) => return invalid("give either `path` or `manifest`"),
        (None, Some(manifest)) => {
            let documents = read::parse("manifest", manifest)?;
            read::once(&documents)?;
            return if documents.is_empty() {
                invalid("there is no object in the manifest")
            } else {
                Ok(documents)
            };
        }
        (Some(path), None) => allowed(path, context)?,
    };
    if path.join("Chart.yaml").exists() || path.extension().is_some_and(|e| e == "tgz") {
        return invalid("charts are not rendered yet");
    }
    if call.values.is_some() || call.set.is_some() || call.release.is_some() {
        return invalid("`release`, `values` and `set` go with a Helm chart; this is none");
    }
    read::read(&path)
}

/// A path that may be read: any that a person typed; for a model, below the working folder only, for what it reads goes
/// to the model's server.
fn allowed(said: &str, context: &Context) -> Result<PathBuf, ToolError> {
    let path = Path::new(said.trim());
    if said.contains("://") {
        return Err(ToolError::Invalid(format!(
            "apply: `{}` is an address; download it, look at it, and give the file",
            sanitize::line(said)
        )));
    }
    if context.paths_are_typed || context.words.contains(said.trim()) {
        return Ok(path.to_path_buf());
    }
    let real = |p: &Path| std::fs::canonicalize(p);
    let refused = || ToolError::Refused {
        message: format!("`{}` is outside the folder that kai was started in", sanitize::line(said)),
        hint: "Name the path in your request, or start kai there.".into(),
    };
    let here = real(Path::new(".")).map_err(|_| refused())?;
    match real(path) {
        Ok(found) if found.starts_with(&here) => Ok(path.to_path_buf()),
        Ok(_) => Err(refused()),
        Err(e) => Err(ToolError::Invalid(format!("{}: cannot be read: {e}", sanitize::line(said)))),
    }
}
