//! What becomes of an object that a release no longer makes: Helm's rules, and one more: what another release has taken
//! stays.

use crate::cluster::Cluster;
use crate::cluster::resolve::Resolved;
use crate::error::ToolError;
use crate::helm::plan;
use crate::manifest::Document;
use crate::sanitize;

/// Whether the object of a document goes.
pub(in crate::catalog) enum Removal {
    Goes(Box<Resolved>),
    /// With the reason, as a note.
    Stays(String),
}

/// Looks at the object of a document that a release made.
///
/// # Errors
/// What cannot be read.
pub(in crate::catalog) async fn removal(
    cluster: &Cluster,
    document: &Document,
    release: &str,
    namespace: &str,
) -> Result<Removal, ToolError> {
    let label = sanitize::line(&document.label());
    let kept = || Removal::Stays(format!("{label} stays: its helm.sh/resource-policy says keep"));
    if plan::stays(&document.value) {
        return Ok(kept());
    }
    let group = document.api_version().split_once('/').map_or("", |(g, _)| g);
    let word = match group {
        "" => document.kind().to_string(),
        group => format!("{}.{group}", document.kind()),
    };
    let kind = match cluster.kind(&word).await {
        Ok(kind) => kind,
        Err(ToolError::NotFound { .. }) => {
            return Ok(Removal::Stays(format!("{label}: the cluster serves no such kind any more")));
        }
        Err(e) => return Err(e),
    };
    let place = if document.namespace().is_empty() { namespace } else { document.namespace() };
    let Some(live) = cluster.find(&kind, place, document.name()).await? else {
        return Ok(Removal::Stays(format!("{label} is gone already")));
    };
    if plan::stays(&live) {
        return Ok(kept());
    }
    match plan::owner_of(&live) {
        Some((name, of)) if (name.as_str(), of.as_str()) != (release, namespace) => {
            Ok(Removal::Stays(format!("{label} stays: it belongs to release {name} in {of} now")))
        }
        _ => {
            let object = kind.object(place, document.name());
            Ok(Removal::Goes(Box::new(Resolved { kind, object, live, note: None })))
        }
    }
}
