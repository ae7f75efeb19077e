//! What containers use, from metrics-server: one sample, or the reason why there is none.

use std::collections::HashMap;

use kai_cost::cluster::{Size, Snapshot};
use kai_cost::read;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::cluster::read::Listing;
use crate::error::ToolError;
use crate::object::ApiKind;

/// Samples, or why there are none.
pub(crate) struct Usage {
    samples: HashMap<(String, String), std::collections::BTreeMap<String, Size>>,
    none: Option<&'static str>,
}

/// Reads one sample of each pod.
pub(crate) async fn read(cluster: &Cluster, namespace: Option<&str>) -> Usage {
    let kind = ApiKind {
        group: "metrics.k8s.io".into(),
        version: "v1beta1".into(),
        kind: "PodMetrics".into(),
        plural: "pods".into(),
        singular: "pod".into(),
        short_names: Vec::new(),
        namespaced: true,
    };
    let none = |why| Usage { samples: HashMap::new(), none: Some(why) };
    let listed = match cluster.list(&kind, namespace, &Listing::default()).await {
        Ok(listed) => listed.items,
        Err(ToolError::NotFound { .. }) => return none("this cluster has no metrics-server"),
        Err(ToolError::Forbidden { .. }) => return none("you may not read the metrics API"),
        Err(_) => return none("the metrics API does not answer"),
    };
    let of = |sample: &Value| {
        let (namespace, name, containers) = read::usage(sample);
        ((namespace, name), containers)
    };
    Usage { samples: listed.iter().map(of).collect(), none: None }
}

impl Usage {
    /// Gives the pods what they use; answers where that is from, in words.
    pub(crate) fn add_to(mut self, snapshot: &mut Snapshot) -> String {
        if let Some(why) = self.none {
            return format!("not known: {why}");
        }
        let mut found = 0;
        for pod in &mut snapshot.pods {
            pod.usage = self.samples.remove(&(pod.namespace.clone(), pod.name.clone()));
            found += usize::from(pod.usage.is_some());
        }
        match found {
            0 => "not known: the metrics API has no sample of these pods yet".into(),
            _ => "one sample of metrics-server: a moment, not a trend".into(),
        }
    }
}
