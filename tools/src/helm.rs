//! Helm's releases as Helm keeps them: records in Secrets, read and written so that `helm` itself goes on working with
//! what kai did, and kai with what `helm` did.

mod chart;
pub mod merge;
pub mod plan;
mod record;
pub mod rendered;
mod values;

pub use chart::Chart;
pub use record::{Release, decode, secret, secret_name, superseded};
pub use values::user_values;

use crate::cluster::Cluster;
use crate::cluster::read::Listing;
use crate::error::ToolError;
use crate::object::builtin;

impl Cluster {
    /// The releases of a namespace, or of all, every revision that is kept: by namespace and name, oldest first.
    ///
    /// # Errors
    /// When Secrets may not be listed: Helm keeps its releases in them.
    pub async fn releases(
        &self,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Result<Vec<Release>, ToolError> {
        let mut labels = "owner=helm".to_string();
        if let Some(name) = name {
            labels.push_str(&format!(",name={name}"));
        }
        let what = Listing {
            labels: Some(labels),
            fields: Some("type=helm.sh/release.v1".into()),
            limit: Some(2000),
            ..Listing::default()
        };
        let listed = self.list(&builtin("secret"), namespace, &what).await.map_err(|e| match e {
            ToolError::Forbidden { message } => {
                ToolError::Forbidden { message: format!("{message}: Helm keeps its releases in Secrets") }
            }
            other => other,
        })?;
        let mut all: Vec<Release> = listed.items.iter().filter_map(decode).collect();
        all.sort_by(|a, b| (&a.namespace, &a.name, a.revision).cmp(&(&b.namespace, &b.name, b.revision)));
        Ok(all)
    }

    /// All kept revisions of one release, oldest first; empty when there is none of that name.
    ///
    /// # Errors
    /// As [`Cluster::releases`].
    pub async fn release(&self, namespace: &str, name: &str) -> Result<Vec<Release>, ToolError> {
        self.releases(Some(namespace), Some(name)).await
    }
}
