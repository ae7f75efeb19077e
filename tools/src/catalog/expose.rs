//! `expose`: a Service for the pods of a workload, and an Ingress where a host or a path is asked for. The Service that
//! selects the pods already is changed, not doubled. Refuses to guess a port, names and node ports that are taken, and
//! hosts that lead elsewhere already.

mod ingress;
mod service;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::cluster::read::Listing;
use crate::cluster::resolve::{Resolved, resolved};
use crate::error::ToolError;
use crate::object::{builtin, items, number, text};
use crate::plan::Plan;
use crate::sanitize;
use crate::tool::{Action, Context};

/// Service for a workload, and an Ingress with host or path.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expose {
    pub workload: String,
    pub namespace: Option<String>,
    pub port: Option<u16>,
    pub target_port: Option<u16>,
    #[serde(rename = "type")]
    pub kind: Option<Type>,
    pub node_port: Option<u16>,
    pub name: Option<String>,
    pub host: Option<String>,
    pub path: Option<String>,
}

/// Type of the Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Type {
    ClusterIP,
    NodePort,
    LoadBalancer,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

impl Action for Expose {
    const NAME: &'static str = "expose";
    const DESTRUCTIVE: bool = false;

    async fn plan(self, context: &Context) -> Result<Plan, ToolError> {
        self.check()?;
        let cluster = &context.cluster;
        let namespace = cluster.namespace_or(self.namespace.as_deref())?;
        let workload = cluster.workload(&self.workload, namespace).await?;
        let kind = builtin("service");
        let here = cluster.all(&kind, namespace).await?;
        let services: Vec<Resolved> = here.into_iter().map(|s| resolved(&kind, namespace, s, None)).collect();
        let found = service::plan(&self, &workload, services)?;
        if self.node_port.is_some() {
            // Who may see this namespace only learns of the others from the API server's own check in the preview.
            if let Ok(listed) = cluster.list(&kind, None, &Listing::default()).await {
                self.is_free(&listed.items, namespace, &found.name)?;
            }
        }
        let mut plan = Plan::default();
        plan.notes.extend(workload.note.clone());
        let port = found.port;
        plan.changes.extend(found.change);
        let at = self.host.as_deref().unwrap_or_default();
        if self.host.is_some() || self.path.is_some() {
            let kind = builtin("ingress");
            let here = cluster.all(&kind, namespace).await?;
            let there: Vec<Resolved> =
                here.into_iter().map(|i| resolved(&kind, namespace, i, None)).collect();
            let classes = cluster.list(&builtin("ingressclass"), None, &Listing::default()).await.ok();
            let classes = classes.map(|c| c.items);
            plan.changes.extend(ingress::plan(
                &self,
                &found.name,
                port,
                namespace,
                there,
                classes.as_deref(),
            )?);
        }
        let object = &workload.object;
        let place = if at.is_empty() { String::new() } else { format!(" at {at}") };
        plan.title = match plan.changes.len() {
            0 => format!(
                "nothing to change: service/{} exposes {object} on port {port}{place} already",
                found.name
            ),
            _ => format!("Expose {object} on port {port}{place}"),
        };
        Ok(plan)
    }
}

fn invalid<T>(message: String) -> Result<T, ToolError> {
    Err(ToolError::Invalid(format!("expose: {}", sanitize::line(&message))))
}

impl Expose {
    fn check(&self) -> Result<(), ToolError> {
        if self.port == Some(0) || self.target_port == Some(0) {
            return invalid("a port is between 1 and 65535".into());
        }
        if let Some(port) = self.node_port.filter(|p| !(30000..=32767).contains(p)) {
            return invalid(format!("{port} is no node port: they are between 30000 and 32767"));
        }
        if self.node_port.is_some() && self.kind == Some(Type::ClusterIP) {
            return invalid("a ClusterIP has no node port: leave out `type` or `node_port`".into());
        }
        if let Some(name) = &self.name {
            service::is_name(name)?;
        }
        if let Some(host) = &self.host {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            let part = |p: &str| {
                !p.is_empty()
                    && p.len() <= 63
                    && p.chars().all(fits)
                    && !p.starts_with('-')
                    && !p.ends_with('-')
            };
            if host.len() > 253 || !host.strip_prefix("*.").unwrap_or(host).split('.').all(part) {
                return invalid(format!("`{host}` is not a host such as shop.example.com"));
            }
        }
        match &self.path {
            Some(path) if !path.starts_with('/') || path.contains(char::is_whitespace) => {
                invalid(format!("`{path}` is not a path such as /api"))
            }
            _ => Ok(()),
        }
    }

    /// Whether another Service has the node port (pure).
    fn is_free(&self, services: &[Value], namespace: &str, own: &str) -> Result<(), ToolError> {
        let wanted = self.node_port.map(i64::from);
        let is_own =
            |s: &Value| text(s, "/metadata/name") == own && text(s, "/metadata/namespace") == namespace;
        let has = |s: &Value| items(s, "/spec/ports").iter().any(|p| number(p, "/nodePort") == wanted);
        match services.iter().find(|s| has(s) && !is_own(s)) {
            Some(other) => invalid(format!(
                "node port {} is taken by service/{} in {}",
                wanted.unwrap_or_default(),
                text(other, "/metadata/name"),
                text(other, "/metadata/namespace")
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
