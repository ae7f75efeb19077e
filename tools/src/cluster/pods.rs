//! The pods of an object: itself, or what its selector picks.

use serde_json::{Value, json};

use super::Cluster;
use super::read::Listing;
use super::resolve::Resolved;
use crate::error::ToolError;
use crate::object::{builtin, items, selector_query, text};

/// Most pods that are read.
const MOST: usize = 20_000;

impl Cluster {
    /// The pods of what was named, of each what `keep` takes. A CronJob's are those of its newest Job.
    ///
    /// # Errors
    /// `Invalid` for what runs no pods; as [`Cluster::get`] otherwise.
    pub async fn pods_of(
        &self,
        target: &Resolved,
        keep: Option<fn(&Value) -> Value>,
    ) -> Result<Vec<Value>, ToolError> {
        let namespace = &target.object.namespace;
        let mut selector = target.live.pointer("/spec/selector").cloned();
        match target.kind.kind.as_str() {
            "Pod" => return Ok(vec![keep.map_or_else(|| target.live.clone(), |keep| keep(&target.live))]),
            // A Service's selector is labels alone.
            "Service" | "ReplicationController" => {
                selector = selector.map(|labels| json!({"matchLabels": labels}))
            }
            "CronJob" => {
                let uid = text(&target.live, "/metadata/uid");
                let jobs = self.all(&builtin("job"), namespace).await?;
                let own = jobs
                    .iter()
                    .filter(|j| items(j, "/metadata/ownerReferences").iter().any(|o| text(o, "/uid") == uid));
                let newest = own.max_by_key(|j| text(j, "/metadata/creationTimestamp"));
                selector = newest.and_then(|j| j.pointer("/spec/selector").cloned());
                if selector.is_none() {
                    return Ok(Vec::new());
                }
            }
            _ => {}
        }
        let Some(selector) = selector.map(|s| selector_query(&s)).filter(|s| !s.is_empty()) else {
            return Err(ToolError::Invalid(format!(
                "{} runs no pods: name a workload or pod/x",
                target.object
            )));
        };
        let what = Listing { labels: Some(selector), limit: Some(MOST), keep, ..Listing::default() };
        Ok(self.list(&builtin("pod"), Some(namespace), &what).await?.items)
    }

    /// What is meant by a name that may also be that of a bare pod, a Job or a CronJob.
    ///
    /// # Errors
    /// As [`Cluster::workload`].
    pub async fn workload_or_pod(&self, said: &str, namespace: &str) -> Result<Resolved, ToolError> {
        let said = said.trim();
        let missing = match self.workload(said, namespace).await {
            Err(e @ ToolError::NotFound { .. }) if !said.contains('/') => e,
            other => return other,
        };
        for kind in ["pod", "job", "cronjob"] {
            if let Ok(found) = self.workload(&format!("{kind}/{said}"), namespace).await
                && found.object.name == said
            {
                return Ok(found);
            }
        }
        Err(missing)
    }
}
