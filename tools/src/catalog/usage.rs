//! `usage`: what pods, workloads, nodes and namespaces use now, beside what they request and may take. One sample is one
//! moment: no advice on sizes is drawn from it.

mod facts;
mod rows;
mod tell;

use schemars::JsonSchema;
use serde::Deserialize;

use self::facts::Facts;
use self::rows::Row;
use crate::cluster::Cluster;
use crate::cluster::read::Listing;
use crate::cluster::resolve::nearest;
use crate::error::ToolError;
use crate::metrics::Metrics;
use crate::object::{ObjectRef, builtin, is_object_name, text};
use crate::report::Report;
use crate::sanitize;
use crate::tool::{Context, Query};

/// Show CPU and memory used, requested, allowed and free.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    pub by: Option<By>,
    /// Workload, `pod/x`, `node/x`.
    pub name: Option<String>,
    /// `*`: all.
    pub namespace: Option<String>,
    pub selector: Option<String>,
    pub sort: Option<Sort>,
    pub limit: Option<u32>,
}

// What the rows are; without a doc comment, because the names say it to a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    #[default]
    Pods,
    Containers,
    Workloads,
    Nodes,
    Namespaces,
}

// What to sort by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    #[default]
    Cpu,
    Memory,
}

/// Most pods that are read.
const MOST_SEEN: usize = 20_000;

impl Query for Usage {
    const NAME: &'static str = "usage";

    async fn run(mut self, context: &Context) -> Result<Report, ToolError> {
        let cluster = &context.cluster;
        if let Some(node) = self.name.as_deref().and_then(|n| n.trim().strip_prefix("node/")) {
            (self.by, self.name) = (Some(By::Nodes), Some(node.to_string()));
        }
        if self.by == Some(By::Nodes) {
            return self.nodes(context).await;
        }
        let wide = match self.namespace.as_deref().map(str::trim) {
            Some("*") => true,
            None | Some("") => self.by == Some(By::Namespaces) && self.name.is_none(),
            Some(_) => false,
        };
        let namespace = if wide { None } else { Some(cluster.namespace_or(self.namespace.as_deref())?) };
        let (facts, about, note) = self.pods(cluster, namespace).await?;
        let by = self.by.unwrap_or_else(|| match &about {
            Some(one) if one.kind == "pod" => By::Containers,
            _ => By::Pods,
        });
        let metrics = Metrics::read(cluster, "pods", namespace).await?;
        let mut rows = rows::of_pods(by, &facts.pods, &metrics);
        rows::sort(&mut rows, self.sort.unwrap_or_default(), metrics.is_there());
        let place = match (&about, namespace) {
            (Some(object), _) => format!("of {object} in {}", object.namespace),
            (None, Some(namespace)) => format!("in {namespace}"),
            (None, None) => "in all namespaces".into(),
        };
        let told = tell::Told { usage: &self, by, rows: &rows, metrics: &metrics, now: context.now };
        let mut report = told.of_pods(&place, namespace.is_none(), facts.pods.len());
        if facts.is_cut {
            report.say.push(format!(
                "Only {MOST_SEEN} pods were read; there are more: narrow with namespace or selector."
            ));
        }
        report.say.extend(note);
        report.about.extend(about);
        Ok(report)
    }
}

impl Usage {
    /// The pods that are meant, with the object that was named.
    async fn pods(
        &self,
        cluster: &Cluster,
        namespace: Option<&str>,
    ) -> Result<(Facts, Option<ObjectRef>, Option<String>), ToolError> {
        if let Some(name) = self.name.as_deref() {
            let Some(namespace) = namespace else {
                return Err(ToolError::Invalid("usage: a `name` is looked for in one namespace".into()));
            };
            let target = cluster.workload_or_pod(name, namespace).await?;
            let pods = cluster.pods_of(&target, Some(facts::what_it_takes)).await?;
            return Ok((Facts::of(&pods, false), Some(target.object), target.note));
        }
        let what = Listing {
            labels: self.selector.clone(),
            fields: Some("status.phase!=Succeeded,status.phase!=Failed".into()),
            limit: Some(MOST_SEEN),
            keep: Some(facts::what_it_takes),
            ..Listing::default()
        };
        let listed = cluster.list(&builtin("pod"), namespace, &what).await?;
        if let Some(namespace) = namespace.filter(|_| listed.items.is_empty()) {
            super::get::must_exist(cluster, namespace).await?;
        }
        Ok((Facts::of(&listed.items, listed.next.is_some()), None, None))
    }

    async fn nodes(&self, context: &Context) -> Result<Report, ToolError> {
        let cluster = &context.cluster;
        let name = self.name.as_deref().map(str::trim);
        if let Some(name) = name.filter(|n| !is_object_name(n)) {
            return Err(ToolError::Invalid(format!(
                "`{}` cannot be the name of a node",
                sanitize::line(name)
            )));
        }
        let (node, pod) = (builtin("node"), builtin("pod"));
        let of_nodes = Listing { labels: self.selector.clone(), ..Listing::default() };
        let mut fields = "status.phase!=Succeeded,status.phase!=Failed".to_string();
        if let Some(name) = name {
            fields.push_str(&format!(",spec.nodeName={name}"));
        }
        let of_pods = Listing {
            fields: Some(fields),
            limit: Some(MOST_SEEN),
            keep: Some(facts::what_it_takes),
            ..Listing::default()
        };
        let (nodes, pods, metrics) = tokio::join!(
            cluster.list(&node, None, &of_nodes),
            cluster.list(&pod, None, &of_pods),
            Metrics::read(cluster, "nodes", None)
        );
        let (mut nodes, metrics) = (nodes?.items, metrics?);
        if let Some(name) = name {
            let names: Vec<String> = nodes.iter().map(|n| text(n, "/metadata/name").to_string()).collect();
            nodes.retain(|n| text(n, "/metadata/name") == name);
            if nodes.is_empty() {
                return Err(ToolError::NotFound {
                    message: format!("there is no node `{name}`"),
                    similar: nearest(name, names.iter().map(String::as_str)),
                });
            }
        }
        // Whoever may see nodes may not see all pods: then what is requested is not known.
        let (pods, unseen) = match pods {
            Ok(listed) => (Some(Facts::of(&listed.items, listed.next.is_some())), None),
            Err(ToolError::Forbidden { message }) => (None, Some(message)),
            Err(e) => return Err(e),
        };
        let mut rows = rows::of_nodes(&nodes, pods.as_ref().map(|f| f.pods.as_slice()), &metrics);
        rows::sort(&mut rows, self.sort.unwrap_or_default(), metrics.is_there());
        let told =
            tell::Told { usage: self, by: By::Nodes, rows: &rows, metrics: &metrics, now: context.now };
        let mut report = told.of_nodes();
        report.say.extend(unseen.map(|why| format!("What is requested on them is not known: {why}.")));
        report.about.extend(rows.iter().take(told.limit()).map(|r: &Row| node.object("", &r.name)));
        Ok(report)
    }
}
