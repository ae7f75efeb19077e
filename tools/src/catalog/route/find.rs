//! What routes there are, which one is meant, and the Service and class that a rule needs.

use serde_json::Value;

use super::place::{self, Backend};
use super::{Route, Verb, gateway, ingress};
use crate::cluster::Cluster;
use crate::cluster::read::Listing;
use crate::cluster::resolve::{Resolved, nearest, resolved};
use crate::error::ToolError;
use crate::object::{builtin, text};
use crate::review::{Level, Line};
use crate::sanitize;

/// The Ingresses and HTTPRoutes of a namespace.
pub(super) struct Found {
    pub ingresses: Vec<Resolved>,
    pub routes: Vec<Resolved>,
    pub notes: Vec<String>,
}

impl Found {
    /// Reads both. A cluster without the Gateway API has no HTTPRoutes.
    pub async fn read(cluster: &Cluster, namespace: &str) -> Result<Self, ToolError> {
        let kind = builtin("ingress");
        let all = |items: Vec<Value>, kind| -> Vec<Resolved> {
            items.into_iter().map(|live| resolved(kind, namespace, live, None)).collect()
        };
        let ingresses = all(cluster.all(&kind, namespace).await?, &kind);
        let mut found = Self { ingresses, routes: Vec::new(), notes: Vec::new() };
        let kind = match cluster.kind("httproutes.gateway.networking.k8s.io").await {
            Ok(kind) => kind,
            Err(ToolError::NotFound { .. } | ToolError::Invalid(_)) => return Ok(found),
            Err(e) => return Err(e),
        };
        match cluster.all(&kind, namespace).await {
            Ok(items) => found.routes = all(items, &kind),
            Err(ToolError::Forbidden { .. }) => {
                found.notes.push("HTTPRoutes may not be listed: only Ingresses were looked at".into());
            }
            Err(ToolError::NotFound { .. }) => {}
            Err(e) => return Err(e),
        }
        Ok(found)
    }

    /// The Ingresses that serve everybody.
    pub fn mains(&self) -> impl Iterator<Item = &Resolved> {
        self.ingresses.iter().filter(|i| !ingress::is_canary(&i.live))
    }

    fn of_host(&self, host: &str) -> Vec<&Resolved> {
        let ingresses = self.mains().filter(|i| ingress::has_host(&i.live, host));
        let routes = self.routes.iter().filter(|r| gateway::hosts(&r.live).iter().any(|h| h == host));
        ingresses.chain(routes).collect()
    }

    fn hosts(&self) -> Vec<String> {
        let ingresses = self.mains().flat_map(|i| ingress::entries(&i.live)).map(|(place, _)| place.host);
        ingresses.chain(self.routes.iter().flat_map(|r| gateway::hosts(&r.live))).collect()
    }
}

impl Route {
    /// The Ingress or HTTPRoute that is meant; `None` when a new one is to be made (pure).
    pub(super) fn choose(&self, found: &Found, namespace: &str) -> Result<Option<Resolved>, ToolError> {
        let of_host = self.host.as_deref().map(|host| found.of_host(host)).unwrap_or_default();
        if let Some(name) = &self.name {
            return self.named(name, found, &of_host, namespace);
        }
        let host = self.host.as_deref().unwrap_or_default();
        let at = |target: &&&Resolved| {
            let path = self.path.as_deref().unwrap_or("/");
            match target.kind.kind.as_str() {
                "Ingress" => ingress::paths(&target.live, host).iter().any(|p| p == path),
                _ => gateway::paths(&target.live).iter().any(|p| p == path),
            }
        };
        let exact: Vec<&&Resolved> = of_host.iter().filter(at).collect();
        match (of_host.as_slice(), exact.as_slice(), self.action) {
            ([one], ..) => Ok(Some((*one).clone())),
            (_, [one], _) => Ok(Some((**one).clone())),
            ([], _, Verb::Set) => Ok(None),
            ([], _, Verb::Canary) => Err(ToolError::Refused {
                message: format!(
                    "no main rule serves {host} in namespace {namespace}: a canary stands beside one"
                ),
                hint: format!("Route it first: \"route {host} to NAME:PORT\"."),
            }),
            ([], ..) => Err(ToolError::NotFound {
                message: format!("no Ingress and no HTTPRoute of namespace {namespace} serves {host}"),
                similar: nearest(host, found.hosts().iter().map(String::as_str)),
            }),
            (several, ..) => Err(ToolError::Ambiguous {
                name: host.into(),
                candidates: several.iter().map(|r| r.object.clone()).collect(),
            }),
        }
    }

    fn named(
        &self,
        said: &str,
        found: &Found,
        of_host: &[&Resolved],
        namespace: &str,
    ) -> Result<Option<Resolved>, ToolError> {
        let (kind, name) = said.trim().split_once('/').map_or((None, said.trim()), |(k, n)| (Some(k), n));
        let all = || found.ingresses.iter().chain(&found.routes);
        let fits = |r: &&Resolved| r.object.name == name && kind.is_none_or(|k| r.kind.is_called(k));
        let named: Vec<&Resolved> = all().filter(fits).collect();
        match named.as_slice() {
            [one] if ingress::is_canary(&one.live) => Err(ToolError::Refused {
                message: format!("{} is a canary itself", one.object),
                hint: "Name its host or the Ingress of the main rule.".into(),
            }),
            [one] => Ok(Some((*one).clone())),
            [] if self.action == Verb::Set && self.host.is_some() && of_host.is_empty() => Ok(None),
            [] => Err(ToolError::NotFound {
                message: format!(
                    "there is no Ingress and no HTTPRoute `{}` in namespace {namespace}",
                    sanitize::line(name)
                ),
                similar: nearest(name, all().map(|r| r.object.name.as_str())),
            }),
            several => Err(ToolError::Ambiguous {
                name: name.into(),
                candidates: several.iter().map(|r| r.object.clone()).collect(),
            }),
        }
    }

    /// The host that is meant: the one given, else the only one of a named object.
    pub(super) fn host_of(&self, target: &Resolved, hosts: &[String]) -> Result<String, ToolError> {
        let mut hosts = hosts.to_vec();
        hosts.sort();
        hosts.dedup();
        let object = &target.object;
        match (&self.host, hosts.as_slice()) {
            (Some(host), _) => Ok(host.clone()),
            (None, [one]) => Ok(one.clone()),
            (None, []) => Err(ToolError::Invalid(format!("route: {object} names no host: give `host`"))),
            (None, several) => Err(ToolError::Invalid(format!(
                "route: {object} serves {}: which one? Give `host`",
                sanitize::line(&several.join(", "))
            ))),
        }
    }

    /// The Service that was named, with its port; `main` is the port of the rule beside it.
    pub(super) async fn backend(
        &self,
        cluster: &Cluster,
        namespace: &str,
        main: Option<i64>,
    ) -> Result<Backend, ToolError> {
        let (name, port) = place::service(self.service.as_deref().unwrap_or_default())?;
        let kind = builtin("service");
        if let Some(live) = cluster.find(&kind, namespace, &name).await? {
            let port = place::port(&live, port.as_deref(), main)?;
            return Ok(Backend { service: name, port });
        }
        let what =
            Listing { fields: Some(format!("metadata.name={name}")), limit: Some(5), ..Listing::default() };
        let elsewhere = cluster.list(&kind, None, &what).await.map(|l| l.items).unwrap_or_default();
        let elsewhere: Vec<&str> = elsewhere.iter().map(|s| text(s, "/metadata/namespace")).collect();
        if !elsewhere.is_empty() {
            return Err(ToolError::Refused {
                message: format!(
                    "service/{name} is in namespace {}, not in {namespace}: an Ingress cannot reach across namespaces",
                    elsewhere.join(", ")
                ),
                hint: format!(
                    "Make a Service in {namespace} whose pods serve there too, or put the rule into that namespace."
                ),
            });
        }
        super::super::get::must_exist(cluster, namespace).await?;
        Err(super::super::delete::missing(cluster, &kind, &name, namespace).await)
    }
}

/// The class for a new Ingress: the default one, else the only one.
pub(super) async fn class_for_new(cluster: &Cluster) -> Result<(Option<String>, Option<Line>), ToolError> {
    match cluster.list(&builtin("ingressclass"), None, &Listing::default()).await {
        Ok(listed) => chosen_class(&listed.items),
        Err(ToolError::Forbidden { .. }) => {
            let said = "the IngressClasses may not be listed: the cluster's default is meant";
            Ok((None, Some(Line::new(Level::Warning, "class", said))))
        }
        Err(e) => Err(e),
    }
}

fn chosen_class(classes: &[Value]) -> Result<(Option<String>, Option<Line>), ToolError> {
    let is_default = |c: &&Value| {
        let annotations = c.pointer("/metadata/annotations");
        let said = annotations.and_then(|a| a.get("ingressclass.kubernetes.io/is-default-class"));
        said.and_then(Value::as_str) == Some("true")
    };
    let name = |c: &Value| text(c, "/metadata/name").to_string();
    let defaults: Vec<&Value> = classes.iter().filter(is_default).collect();
    match (defaults.as_slice(), classes) {
        ([one], _) => Ok((Some(name(one)), None)),
        ([], [one]) => Ok((Some(name(one)), None)),
        ([], []) => {
            let said = "the cluster has no IngressClass: no controller may serve this";
            Ok((None, Some(Line::new(Level::Warning, "class", said))))
        }
        (_, several) => Err(ToolError::Refused {
            message: format!(
                "which controller is to serve it? The IngressClasses are {}, and not one of them alone is the default",
                sanitize::line(&several.iter().map(name).collect::<Vec<_>>().join(", "))
            ),
            hint: "Mark one as the default, or name an Ingress that is there with `name`.".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ingress(name: &str, host: &str, canary: bool) -> Resolved {
        let mut live = json!({"metadata": {"name": name}, "spec": {"rules": [{"host": host, "http": {"paths": [
            {"path": "/", "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}]}});
        if canary {
            live["metadata"]["annotations"] = json!({"nginx.ingress.kubernetes.io/canary": "true"});
        }
        resolved(&builtin("ingress"), "ns", live, None)
    }

    fn choose(arguments: Value) -> Result<Option<String>, ToolError> {
        let found = Found {
            ingresses: vec![
                ingress("a", "a.example.com", false),
                ingress("a-canary", "a.example.com", true),
                ingress("blue1", "b.example.com", false),
                ingress("blue2", "b.example.com", false),
            ],
            routes: Vec::new(),
            notes: Vec::new(),
        };
        let route: Route = serde_json::from_value(arguments).unwrap();
        Ok(route.choose(&found, "ns")?.map(|r| r.object.to_string()))
    }

    #[test]
    fn the_one_that_has_the_host() {
        let set = |host: &str| choose(json!({"action": "set", "host": host}));
        assert_eq!(set("a.example.com").unwrap().unwrap(), "ingress/a");
        assert_eq!(set("new.example.com").unwrap(), None);
        assert!(matches!(set("b.example.com"), Err(ToolError::Ambiguous { .. })));
        let named = choose(json!({"action": "set", "host": "b.example.com", "name": "ingress/blue2"}));
        assert_eq!(named.unwrap().unwrap(), "ingress/blue2");
        let error = choose(json!({"action": "set", "host": "b.example.com", "name": "blue3"})).unwrap_err();
        assert_eq!(error.hint().unwrap(), "Did you mean blue1 or blue2?");
        let error = choose(json!({"action": "abort", "name": "a-canary"})).unwrap_err();
        assert!(error.to_string().contains("is a canary itself"), "{error}");
        let error = choose(json!({"action": "canary", "host": "c.example.com"})).unwrap_err();
        assert!(error.to_string().contains("no main rule serves c.example.com"), "{error}");
        let error = choose(json!({"action": "remove", "host": "c.example.com"})).unwrap_err();
        assert!(error.hint().unwrap().contains("a.example.com"), "{error}");
    }

    #[test]
    fn the_class_is_the_default_or_the_only_one() {
        let class = |name: &str, default: bool| {
            json!({"metadata": {"name": name,
            "annotations": {"ingressclass.kubernetes.io/is-default-class": default.to_string()}}})
        };
        let chosen = |all: &[Value]| chosen_class(all).map(|(name, line)| (name, line.is_some()));
        assert_eq!(chosen(&[class("a", false)]).unwrap(), (Some("a".into()), false));
        assert_eq!(chosen(&[class("a", false), class("b", true)]).unwrap(), (Some("b".into()), false));
        assert_eq!(chosen(&[]).unwrap(), (None, true));
        assert!(chosen(&[class("a", false), class("b", false)]).is_err());
        assert!(chosen(&[class("a", true), class("b", true)]).is_err());
    }
}
