//! The actions of `route` on an Ingress, with canaries as ingress-nginx reads them: an Ingress of their own.

use serde_json::Value;

use super::find::{Found, class_for_new};
use super::http::{last, port_of, same};
use super::place::{Backend, Place, pick};
use super::split::Split;
use super::{Route, Verb, ingress};
use crate::cluster::Cluster;
use crate::cluster::resolve::Resolved;
use crate::error::ToolError;
use crate::object::{builtin, text};
use crate::plan::{Change, Plan};
use crate::review::{Level, Line};
use crate::sanitize;

/// What ingress-nginx calls itself in an IngressClass.
const CONTROLLER: &str = "k8s.io/ingress-nginx";
/// The project's own announcement of November 2025; its repository was archived in March 2026.
const RETIRED: &str = "ingress-nginx is retired: its maintenance ended in March 2026, and security holes are not mended any more; the Gateway API takes its place";

impl Route {
    /// A new Ingress, or a rule in the one that has the name that it would get.
    pub(super) async fn create(
        &self,
        cluster: &Cluster,
        namespace: &str,
        found: &Found,
    ) -> Result<Plan, ToolError> {
        let host = self.host.clone().unwrap_or_default();
        let at = Place { host, path: self.path.clone().unwrap_or_else(|| "/".into()) };
        let backend = self.backend(cluster, namespace, None).await?;
        let name =
            self.name.as_deref().map_or(backend.service.as_str(), |n| n.rsplit('/').next().unwrap_or(n));
        let title = format!("Route {at} to {backend}");
        if let Some(there) = found.ingresses.iter().find(|i| i.object.name == name) {
            if ingress::is_canary(&there.live) {
                return Err(ToolError::Refused {
                    message: format!("{} is a canary: a new rule needs another Ingress", there.object),
                    hint: "Give the Ingress another name with `name`.".into(),
                });
            }
            let after = ingress::set(&there.live, &at, &backend.of_ingress());
            let line =
                Line::new(Level::Fact, "exists", "the rule is added to it; its annotations hold for it too");
            let changes = vec![Change::set(there.clone(), after).with(line)];
            return Ok(Plan { title, changes, ..Plan::default() });
        }
        let (class, line) = class_for_new(cluster).await?;
        let manifest = ingress::new(name, namespace, class.as_deref(), &at, &backend);
        let change = Change::apply(builtin("ingress"), namespace, None, manifest, false);
        let changes = vec![line.into_iter().fold(change, Change::with)];
        Ok(Plan { title, changes, ..Plan::default() })
    }

    pub(super) async fn on_ingress(
        &self,
        cluster: &Cluster,
        namespace: &str,
        main: &Resolved,
        found: &Found,
    ) -> Result<Plan, ToolError> {
        match self.action {
            Verb::Set => {
                let hosts = hosts(main);
                let host = self.host_of(main, &hosts)?;
                let at = Place { host, path: self.path.clone().unwrap_or_else(|| "/".into()) };
                let backend = self.backend(cluster, namespace, None).await?;
                Ok(set(main, &at, &backend))
            }
            Verb::Remove => self.remove(main, found),
            Verb::Canary => {
                let at = self.main_place(main)?;
                let split = Split::of(self)?;
                let entry = ingress::entry(&main.live, &at);
                let port = entry.and_then(|e| port_of(e).1);
                let backend = self.backend(cluster, namespace, port).await?;
                if entry.is_some_and(|e| port_of(e) == (backend.service.as_str(), Some(backend.port))) {
                    return Err(same(&at, &backend.to_string()));
                }
                let class = served_by(cluster, main).await?;
                let mut plan = canary(main, found, &at, &backend, &split)?;
                if let Some(change) = plan.changes.first_mut() {
                    change.lines.push(Line::new(Level::Fact, "canary", split.fact(true)));
                    change.lines.extend(class);
                    change.lines.push(Line::new(Level::Warning, "retired", RETIRED));
                }
                Ok(plan)
            }
            Verb::Promote | Verb::Abort => {
                let (at, canary) = self.canary_place(main, found)?;
                if self.action == Verb::Promote {
                    promote(&at, canary, found)
                } else {
                    Ok(abort(&at, canary))
                }
            }
        }
    }

    /// Host and path of the rule that is meant.
    fn main_place(&self, main: &Resolved) -> Result<Place, ToolError> {
        let host = self.host_of(main, &hosts(main))?;
        let paths = ingress::paths(&main.live, &host);
        if paths.is_empty() {
            return Err(no_rule(main, &host));
        }
        let canary = self.action == Verb::Canary;
        let path = pick(&host, &paths, self.path.as_deref(), canary).map_err(|e| match e {
            // A canary without a main rule is not a wrong name: it would be served by nobody.
            ToolError::NotFound { message, .. } if canary => ToolError::Refused {
                message: format!("{message}: a canary stands beside a main rule on the same host and path"),
                hint: "Route the path first.".into(),
            },
            e => e,
        })?;
        Ok(Place { host, path })
    }

    fn remove(&self, main: &Resolved, found: &Found) -> Result<Plan, ToolError> {
        let at = self.main_place(main)?;
        let title = format!("Remove the route of {at}");
        let mut plan = match ingress::without(&main.live, &at) {
            None => last(title, main, "it was its last rule"),
            Some(after) => Plan { title, changes: vec![Change::set(main.clone(), after)], ..Plan::default() },
        };
        if let (Some(canary), Some(change)) = (canary_at(found, &at), plan.changes.first_mut()) {
            let said = format!("{} is left without its main rule: abort the canary too", canary.object);
            change.lines.push(Line::new(Level::Warning, "canary", said));
        }
        Ok(plan)
    }

    /// The canary that is meant, and one place of it.
    fn canary_place<'a>(
        &self,
        main: &Resolved,
        found: &'a Found,
    ) -> Result<(Place, &'a Resolved), ToolError> {
        let host = self.host_of(main, &hosts(main))?;
        let canaries = || found.ingresses.iter().filter(|i| ingress::is_canary(&i.live));
        let paths: Vec<String> = canaries().flat_map(|c| ingress::paths(&c.live, &host)).collect();
        let none = || ToolError::NotFound { message: format!("{host} has no canary"), similar: Vec::new() };
        if paths.is_empty() {
            return Err(none());
        }
        let at = Place { path: pick(&host, &paths, self.path.as_deref(), false)?, host };
        let canary = canary_at(found, &at).ok_or_else(|| ToolError::NotFound {
            message: format!("{at} has no canary"),
            similar: Vec::new(),
        })?;
        Ok((at, canary))
    }
}

fn hosts(main: &Resolved) -> Vec<String> {
    ingress::entries(&main.live).into_iter().map(|(place, _)| place.host).collect()
}

fn no_rule(main: &Resolved, host: &str) -> ToolError {
    ToolError::NotFound {
        message: format!("{} has no rule for {host}", main.object),
        similar: crate::cluster::resolve::nearest(host, hosts(main).iter().map(String::as_str)),
    }
}

fn canary_at<'a>(found: &'a Found, at: &Place) -> Option<&'a Resolved> {
    found.ingresses.iter().find(|i| ingress::is_canary(&i.live) && ingress::entry(&i.live, at).is_some())
}

fn set(main: &Resolved, at: &Place, backend: &Backend) -> Plan {
    let after = ingress::set(&main.live, at, &backend.of_ingress());
    if after == main.live {
        let title = format!("nothing to change: {} leads {at} to {backend} already", main.object);
        return Plan { title, ..Plan::default() };
    }
    let was = ingress::entry(&main.live, at).map(|e| format!("{at} led to {}", ingress::said(e)));
    let change = Change::set(main.clone(), after);
    let line = was.map(|was| Line::new(Level::Fact, "before", was));
    let changes = vec![line.into_iter().fold(change, Change::with)];
    Plan { title: format!("Route {at} to {backend}"), changes, ..Plan::default() }
}

/// The canary of a place: a new one, or the one that is there with another backend or other requests.
fn canary(
    main: &Resolved,
    found: &Found,
    at: &Place,
    backend: &Backend,
    split: &Split,
) -> Result<Plan, ToolError> {
    let title = format!("Send {} to {backend}", split.said(&at.to_string()));
    if let Some(there) = canary_at(found, at) {
        let after = ingress::again(&there.live, at, backend, split);
        if after == there.live {
            let title = format!("nothing to change: {} is so already", there.object);
            return Ok(Plan { title, ..Plan::default() });
        }
        let line = Line::new(Level::Fact, "exists", "the canary that is there changes: a rule has one");
        let changes = vec![Change::set(there.clone(), after).with(line)];
        return Ok(Plan { title, changes, ..Plan::default() });
    }
    let taken = |name: &str| found.ingresses.iter().any(|i| i.object.name == name);
    let first = format!("{}-canary", main.object.name);
    let names = std::iter::once(first.clone()).chain((2..100).map(|n| format!("{first}-{n}")));
    let Some(name) = names.into_iter().find(|name| !taken(name)) else {
        return Err(ToolError::Invalid(format!("route: {first} and 98 more Ingresses exist already")));
    };
    let manifest = ingress::canary(&main.live, &name, at, backend, split);
    let namespace = &main.object.namespace;
    let changes = vec![Change::apply(main.kind.clone(), namespace, None, manifest, false)];
    Ok(Plan { title, changes, ..Plan::default() })
}

/// The main rules get the canary's backends; then the canary goes, with all of its places.
fn promote(at: &Place, canary: &Resolved, found: &Found) -> Result<Plan, ToolError> {
    let mut mains: Vec<(Resolved, Value)> = Vec::new();
    let mut said = String::new();
    for (place, entry) in ingress::entries(&canary.live) {
        let Some(main) = found.mains().find(|m| ingress::entry(&m.live, &place).is_some()) else {
            return Err(ToolError::Refused {
                message: format!("{} has no main rule for {place} to take its place", canary.object),
                hint: format!("Route it first: \"route {place} to {}\".", ingress::said(entry)),
            });
        };
        if place == *at {
            said = ingress::said(entry);
        }
        let backend = entry.get("backend").cloned().unwrap_or_default();
        match mains.iter_mut().find(|(m, _)| m.object == main.object) {
            Some((_, after)) => *after = ingress::set(after, &place, &backend),
            None => mains.push((main.clone(), ingress::set(&main.live, &place, &backend))),
        }
    }
    let title = format!("Promote the canary of {at}: {said}");
    let changed = mains.into_iter().filter(|(main, after)| main.live != *after);
    let mut changes: Vec<Change> = changed.map(|(main, after)| Change::set(main, after)).collect();
    changes.push(Change::delete(canary.clone()).in_tier(1));
    Ok(Plan { title, changes, ..Plan::default() })
}

fn abort(at: &Place, canary: &Resolved) -> Plan {
    let entries = ingress::entries(&canary.live);
    let said = entries.iter().find(|(p, _)| p == at).map(|(_, e)| ingress::said(e)).unwrap_or_default();
    let others: Vec<String> = entries.iter().filter(|(p, _)| p != at).map(|(p, _)| p.to_string()).collect();
    let mut change = Change::delete(canary.clone());
    if !others.is_empty() {
        let said = format!("the canary of {} goes too", others.join(", "));
        change.lines.push(Line::new(Level::Warning, "also", said));
    }
    Plan { title: format!("Abort the canary of {at}: {said}"), changes: vec![change], ..Plan::default() }
}

/// On any other controller the canary would be a second main rule, so its class must be one of ingress-nginx.
async fn served_by(cluster: &Cluster, main: &Resolved) -> Result<Option<Line>, ToolError> {
    let Some(class) = ingress::class(&main.live) else { return reads_canaries(main, "", Ok(None)) };
    reads_canaries(main, class, cluster.find(&builtin("ingressclass"), "", class).await)
}

/// The same, from what was read (pure).
fn reads_canaries(
    main: &Resolved,
    class: &str,
    found: Result<Option<Value>, ToolError>,
) -> Result<Option<Line>, ToolError> {
    let (object, class) = (&main.object, sanitize::line(class));
    let why = match found {
        _ if class.is_empty() => {
            format!("{object} names no class, so the cluster's default controller serves it")
        }
        Ok(Some(found)) => match text(&found, "/spec/controller") {
            CONTROLLER => return Ok(None),
            other => {
                return Err(ToolError::Refused {
                    message: format!(
                        "{object} is served by {} (class {class}), which does not read the canary annotations of ingress-nginx",
                        sanitize::line(other)
                    ),
                    hint: "Use a canary of that controller's own, or an HTTPRoute.".into(),
                });
            }
        },
        Ok(None) => format!("there is no IngressClass {class}, so who serves {object} is not known"),
        Err(_) => format!("IngressClass {class} cannot be read, so who serves {object} is not known"),
    };
    let said = format!("{why}: if that is not ingress-nginx, the canary takes requests like any other rule");
    Ok(Some(Line::new(Level::Warning, "class", said)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::resolve::resolved;

    #[test]
    fn only_ingress_nginx_reads_canaries() {
        let main = resolved(&builtin("ingress"), "ns", json!({"metadata": {"name": "shop"}}), None);
        let class = |controller: &str| Ok(Some(json!({"spec": {"controller": controller}})));
        assert_eq!(reads_canaries(&main, "nginx", class("k8s.io/ingress-nginx")).unwrap(), None);
        let refused = reads_canaries(&main, "traefik", class("traefik.io/ingress-controller")).unwrap_err();
        assert!(refused.to_string().contains("served by traefik.io/ingress-controller"), "{refused}");
        let forbidden = || Err(ToolError::Forbidden { message: String::new() });
        for (class, found, says) in [
            ("", Ok(None), "names no class"),
            ("x", Ok(None), "there is no IngressClass x"),
            ("x", forbidden(), "cannot be read"),
        ] {
            let line = reads_canaries(&main, class, found).unwrap().unwrap();
            assert!(line.level == Level::Warning && line.text.contains(says), "{}", line.text);
        }
    }
}
