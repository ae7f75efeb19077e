//! `route`: leads a host and path to a Service by an Ingress or HTTPRoute, and part of the requests to a canary.
//! Refuses a canary without its main rule or on another controller than ingress-nginx, and Services of other namespaces.

mod find;
mod gateway;
mod http;
mod ingress;
mod nginx;
mod place;
mod split;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::ToolError;
use crate::plan::Plan;
use crate::tool::{Action, Context};

/// Route a host and path to a Service (Ingress or HTTPRoute; other rules stay), or part of the traffic to a canary.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pub action: Verb,
    pub host: Option<String>,
    pub path: Option<String>,
    /// `name` or `name:port`.
    pub service: Option<String>,
    pub name: Option<String>,
    /// What goes to the canary.
    pub by: Option<By>,
    pub key: Option<String>,
    pub value: Option<String>,
    pub weight: Option<u32>,
    pub namespace: Option<String>,
}

// What to do. (A doc comment would be sent to models.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    Set,
    Remove,
    Canary,
    Promote,
    Abort,
}

// How requests are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    Cookie,
    Header,
    Weight,
}

impl Action for Route {
    const NAME: &'static str = "route";
    const DESTRUCTIVE: bool = true;

    async fn plan(mut self, context: &Context) -> Result<Plan, ToolError> {
        let cluster = &context.cluster;
        let namespace = cluster.namespace_or(self.namespace.as_deref())?.to_string();
        self.check()?;
        let found = find::Found::read(cluster, &namespace).await?;
        let main = self.choose(&found, &namespace)?;
        let plan = match &main {
            None => self.create(cluster, &namespace, &found).await,
            Some(main) if main.kind.kind == "Ingress" => {
                self.on_ingress(cluster, &namespace, main, &found).await
            }
            Some(main) => self.on_route(cluster, &namespace, main).await,
        };
        let mut plan = plan?;
        plan.notes.extend(found.notes);
        Ok(plan)
    }
}

impl Route {
    /// Reads the arguments, as far as that goes without the cluster.
    fn check(&mut self) -> Result<(), ToolError> {
        let given = |text: &Option<String>| text.clone().filter(|t| !t.trim().is_empty());
        (self.host, self.path) = (given(&self.host), given(&self.path));
        (self.name, self.service) = (given(&self.name), given(&self.service));
        self.host = self.host.as_deref().map(place::host).transpose()?;
        self.path = self.path.as_deref().map(place::path).transpose()?;
        if self.host.is_none() && self.name.is_none() {
            return Err(ToolError::Invalid("route: of which host? Give `host`".into()));
        }
        if matches!(self.action, Verb::Set | Verb::Canary) && self.service.is_none() {
            return Err(ToolError::Invalid("route: to which Service? Give `service`".into()));
        }
        if self.action == Verb::Canary {
            split::Split::of(self)?;
        }
        self.service.as_deref().map(place::service).transpose()?;
        Ok(())
    }
}
