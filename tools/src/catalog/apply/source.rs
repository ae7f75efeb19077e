//! Where manifests come from: a text, a file, a folder, or what kustomize and Helm make of theirs.

use std::path::{Path, PathBuf};

use super::Apply;
use crate::error::ToolError;
use crate::manifest::{Document, read};
use crate::render::kustomize;
use crate::sanitize;
use crate::tool::Context;

/// The documents that a call names.
///
/// # Errors
/// What cannot be read or rendered, with file and line; a path that nobody but a model chose, outside the working folder.
pub(super) async fn read(call: &Apply, context: &Context) -> Result<Found, ToolError> {
    let invalid = |message: &str| ToolError::Invalid(format!("apply: {message}"));
    let path = match (&call.path, &call.manifest) {
        (Some(_), Some(_)) | (None, None) => return Err(invalid("give either `path` or `manifest`")),
        (None, Some(manifest)) => {
            let documents = read::parse("manifest", manifest)?;
            read::once(&documents)?;
            return match documents.is_empty() {
                true => Err(invalid("there is no object in the manifest")),
                false => Ok(Found::Documents(documents)),
            };
        }
        (Some(path), None) => allowed(path, context)?,
    };
    if path.join("Chart.yaml").exists() {
        for file in call.values.iter().flatten() {
            allowed(file, context)?;
        }
        return Ok(Found::Chart(path));
    }
    if path.extension().is_some_and(|e| e == "tgz") {
        return Err(invalid("unpack the chart and give its folder"));
    }
    if call.values.is_some() || call.set.is_some() || call.release.is_some() {
        return Err(invalid("`release`, `values` and `set` go with a Helm chart; this is none"));
    }
    let kustomization = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
    if kustomization.iter().any(|f| path.join(f).exists()) {
        let rendered = kustomize(&path).await?;
        let documents = read::parse(&path.display().to_string(), &rendered)?;
        return Ok(Found::Documents(documents));
    }
    read::read(&path).map(Found::Documents)
}

/// What a call names.
pub(super) enum Found {
    Documents(Vec<Document>),
    Chart(PathBuf),
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
