//! What is meant by a host name: the Ingress or HTTPRoute that answers for it.

use kai_diagnose::{Object, Scope, Snapshot};

use super::{Asked, known, known_namespace, objects};
use crate::cluster::resolve::nearest;
use crate::error::ToolError;
use crate::sanitize;

/// The host that somebody names, also as the address of a page.
pub(super) fn as_host(about: &str) -> Option<String> {
    let rest = about.strip_prefix("https://").or(about.strip_prefix("http://")).unwrap_or(about);
    let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = host.split_once(':').map_or(host, |(host, _)| host).to_lowercase();
    let is_page = rest.len() == about.len() && about.contains('/');
    (host.contains('.') && !host.starts_with('.') && !is_page).then_some(host)
}

/// Whether a wildcard of an Ingress (one label) or of a route (one or several) stands for that host.
fn stands_for(object: &Object, written: &str, host: &str) -> bool {
    let label =
        written.strip_prefix('*').filter(|end| end.starts_with('.')).and_then(|end| host.strip_suffix(end));
    label.is_some_and(|l| !l.is_empty() && (object.kind == "httproute" || !l.contains('.')))
}

/// What answers for hosts, with the hosts.
fn hosts(snap: &Snapshot) -> Vec<(Object, Vec<&str>)> {
    let ingresses = snap.ingresses.items.iter().map(|i| {
        (Object::of("ingress", &i.metadata), i.spec.rules.iter().map(|r| r.host.as_str()).collect())
    });
    let routes = snap.http_routes.items.iter().map(|r| {
        let hosts = r.spec.get("hostnames").and_then(serde_json::Value::as_array);
        let hosts = hosts.into_iter().flatten().filter_map(serde_json::Value::as_str).collect();
        (Object::of("httproute", &r.metadata), hosts)
    });
    ingresses.chain(routes).collect()
}

/// The Ingress or HTTPRoute that answers for a host; one that names it comes before one with a wildcard.
///
/// # Errors
/// [`ToolError::NotFound`] when none does, [`ToolError::Ambiguous`] when several do.
pub(super) fn by_host(snap: &Snapshot, asked: &Asked, host: &str) -> Result<Scope, ToolError> {
    if let Some(namespace) = &asked.namespace {
        known_namespace(snap, namespace)?;
    }
    let all = hosts(snap);
    let here = |o: &Object| asked.namespace.as_ref().is_none_or(|n| o.namespace == *n);
    let of = |fits: &dyn Fn(&Object, &str) -> bool| -> Vec<Object> {
        let fitting = all.iter().filter(|(o, hosts)| here(o) && hosts.iter().any(|h| fits(o, h)));
        fitting.map(|(o, _)| o.clone()).collect()
    };
    let exact = of(&|_, h| h.eq_ignore_ascii_case(host));
    let found = if exact.is_empty() { of(&|o, h| stands_for(o, h, host)) } else { exact };
    match found.as_slice() {
        [] => Err(no_host(snap, host)),
        [only] => Ok(Scope { namespace: None, object: Some(only.clone()) }),
        several => Err(ToolError::Ambiguous {
            name: sanitize::line(host),
            candidates: several.iter().map(known).collect(),
        }),
    }
}

/// The error for what is no object and no host either.
pub(super) fn no_host(snap: &Snapshot, host: &str) -> ToolError {
    let all = hosts(snap);
    let named = all.iter().flat_map(|(_, hosts)| hosts.iter().copied()).filter(|h| !h.is_empty());
    let objects = objects(snap);
    ToolError::NotFound {
        message: format!(
            "there is no workload, Service, Ingress, pod or namespace {0}, and no Ingress or HTTPRoute has the host {0}",
            sanitize::line(host)
        ),
        similar: nearest(host, named.chain(objects.iter().map(|o| o.name.as_str()))),
    }
}
