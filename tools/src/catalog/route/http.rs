//! The actions of `route` on an HTTPRoute: all of them are changes of that one object.

use serde_json::Value;

use super::place::{Place, pick};
use super::split::Split;
use super::{Route, Verb, gateway};
use crate::cluster::Cluster;
use crate::cluster::resolve::Resolved;
use crate::error::ToolError;
use crate::object::{number, text};
use crate::plan::{Change, Plan};
use crate::review::{Level, Line};

impl Route {
    pub(super) async fn on_route(
        &self,
        cluster: &Cluster,
        namespace: &str,
        main: &Resolved,
    ) -> Result<Plan, ToolError> {
        let hosts = gateway::hosts(&main.live);
        let at = self.at_route(main, &hosts)?;
        let object = &main.object;
        let no_canary = || ToolError::NotFound {
            message: format!("{object} has no canary for {at}"),
            similar: Vec::new(),
        };
        let nothing =
            |why: String| Ok(Plan { title: format!("nothing to change: {why}"), ..Plan::default() });
        let said = gateway::canary(&main.live, &at.path).map(|c| gateway::said(&c));
        let mut lines = Vec::new();
        let (title, after) = match self.action {
            Verb::Set => {
                let backend = self.backend(cluster, namespace, None).await?;
                if gateway::leads_to(&main.live, &at.path, &backend) {
                    return nothing(format!("{object} leads {at} to {backend} already"));
                }
                (format!("Route {at} to {backend}"), gateway::set(&main.live, &at.path, &backend))
            }
            Verb::Remove => {
                let title = format!("Remove the route of {at}");
                let Some(after) = gateway::without(&main.live, &at.path) else {
                    return Ok(last(title, main, "it was its last rule"));
                };
                (title, after)
            }
            Verb::Canary => {
                let split = Split::of(self)?;
                let first = gateway::main(&main.live, &at.path);
                let backend =
                    self.backend(cluster, namespace, first.and_then(|m| number(m, "/port"))).await?;
                if first.is_some_and(|m| gateway::said(m) == backend.to_string()) {
                    return Err(same(&at, &backend.to_string()));
                }
                lines.push(Line::new(Level::Fact, "canary", split.fact(false)));
                let after = gateway::with_canary(&main.live, &at, &backend, &split)?;
                (format!("Send {} to {backend}", split.said(&at.to_string())), after)
            }
            Verb::Promote => {
                gateway::one_canary(&main.live, &at)?;
                let after = gateway::promote(&main.live, &at.path).ok_or_else(no_canary)?;
                (format!("Promote the canary of {at}: {}", said.unwrap_or_default()), after)
            }
            Verb::Abort => {
                gateway::one_canary(&main.live, &at)?;
                let said = said.ok_or_else(no_canary)?;
                (format!("Abort the canary of {at}: {said}"), gateway::abort(&main.live, &at.path))
            }
        };
        if after == main.live {
            return nothing(format!("{object} is so already"));
        }
        lines.extend(also(&hosts, &at));
        let change = lines.into_iter().fold(Change::set(main.clone(), after), Change::with);
        Ok(Plan { title, changes: vec![change], ..Plan::default() })
    }

    /// Host and path that are meant (pure).
    fn at_route(&self, main: &Resolved, hosts: &[String]) -> Result<Place, ToolError> {
        let host = self.host_of(main, hosts)?;
        if !hosts.is_empty() && !hosts.contains(&host) {
            return Err(ToolError::Invalid(format!(
                "route: {} does not serve {host}; it serves {}",
                main.object,
                crate::sanitize::line(&hosts.join(", "))
            )));
        }
        let paths = gateway::paths(&main.live);
        let given = self.path.as_deref();
        let path = match self.action {
            Verb::Set => given.unwrap_or("/").to_string(),
            Verb::Remove | Verb::Canary => pick(&host, &paths, given, self.action == Verb::Canary)?,
            Verb::Promote | Verb::Abort => {
                let with: Vec<String> =
                    paths.into_iter().filter(|p| gateway::canary(&main.live, p).is_some()).collect();
                if with.is_empty() {
                    return Err(ToolError::NotFound {
                        message: format!("{host} has no canary"),
                        similar: Vec::new(),
                    });
                }
                pick(&host, &with, given, false)?
            }
        };
        Ok(Place { host, path })
    }
}

/// The plan that takes an object away because nothing is left of it.
pub(super) fn last(title: String, main: &Resolved, why: &str) -> Plan {
    let change = Change::delete(main.clone()).with(Line::new(Level::Fact, "last", why));
    Plan { title, changes: vec![change], ..Plan::default() }
}

/// A canary of itself.
pub(super) fn same(at: &Place, backend: &str) -> ToolError {
    ToolError::Refused {
        message: format!("{at} leads to {backend} as it is: the canary must be another Service"),
        hint: String::new(),
    }
}

/// Other hosts of the same HTTPRoute, which share its rules.
fn also(hosts: &[String], at: &Place) -> Option<Line> {
    let others: Vec<&str> = hosts.iter().filter(|h| **h != at.host).map(String::as_str).collect();
    (!others.is_empty()).then(|| {
        Line::new(Level::Warning, "hosts", format!("the same rules serve {} too", others.join(", ")))
    })
}

/// The Service of a rule's backend and its port, where it is a number.
pub(super) fn port_of(entry: &Value) -> (&str, Option<i64>) {
    (text(entry, "/backend/service/name"), number(entry, "/backend/service/port/number"))
}
