//! Names of hosts in settings and logs that mean Services of this cluster: what one workload needs of another, without
//! any field that says it.

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::{Container, Pod, Service};
use crate::rules::Case;
use crate::rules::services;
use crate::rules::similar::nearest;
use crate::snapshot::Lookup;
use crate::walk;

/// The causes of this family.
pub const CAUSES: &[Cause] = &[SERVICE_MISSING, AT_ZERO, DNS_POLICY, HOST_ALIAS];

const SERVICE_MISSING: Cause = Cause::fault(
    "soft-ref-missing-service",
    2,
    "A program looks for a host that should be a Service of the cluster, and there is no such Service.",
);
const AT_ZERO: Cause = Cause::fault(
    "needed-at-zero",
    2,
    "A program needs another that is scaled to zero, so that nobody answers it.",
);
const DNS_POLICY: Cause = Cause::fault(
    "dns-policy-wrong",
    3,
    "A pod does not ask the cluster's DNS, and so does not find the cluster's Services.",
);
const HOST_ALIAS: Cause = Cause::fault(
    "hostalias-stale",
    3,
    "A pod resolves the name of a Service by itself, to an address that is not the Service's.",
);

/// Words that a program says when it cannot reach another.
const TROUBLE: [&str; 16] = [
    "no such host",
    "could not resolve",
    "cannot resolve",
    "couldn't resolve",
    "name or service not known",
    "temporary failure in name resolution",
    "name does not resolve",
    "bad address",
    "enotfound",
    "unknownhost",
    "unknown host",
    "connection refused",
    "econnrefused",
    "timed out",
    "timeout",
    "unreachable",
];

/// Where a host was named: a line of a log, or a setting.
#[derive(Clone, Copy)]
struct Said<'s> {
    text: &'s str,
    in_log: bool,
}

/// A host as a log or a setting names it.
struct Named<'s> {
    service: &'s str,
    namespace: Option<&'s str>,
    /// Whether the name can only be a Service's: `x.ns.svc`.
    is_surely: bool,
}

/// The Service that a host name means within a pod of this namespace.
fn named(host: &str) -> Option<Named<'_>> {
    let host = host.strip_suffix(".cluster.local").unwrap_or(host).trim_end_matches('.');
    let parts: Vec<&str> = host.split('.').collect();
    let is_label = |p: &&str| {
        !p.is_empty()
            && p.len() <= 63
            && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && p.starts_with(|c: char| c.is_ascii_lowercase())
    };
    if !parts.iter().all(is_label) {
        return None;
    }
    match parts.as_slice() {
        [service] => Some(Named { service, namespace: None, is_surely: false }),
        [service, namespace] => Some(Named { service, namespace: Some(namespace), is_surely: false }),
        [service, namespace, "svc"] => Some(Named { service, namespace: Some(namespace), is_surely: true }),
        _ => None,
    }
}

/// Words of a text that could be hosts: schemes, users, paths and ports are cut away.
fn hosts(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || "\"'`,;()[]{}=<>|".contains(c)).filter_map(|word| {
        let word = word.rsplit_once("://").map_or(word, |(_, rest)| rest);
        let word = word.rsplit_once('@').map_or(word, |(_, rest)| rest);
        let word = word.split(['/', '?', ':']).next().unwrap_or_default();
        let word = word.trim_end_matches('.');
        (word.len() >= 2).then_some(word)
    })
}

/// All that a container is told in plain text: variables, command, arguments.
fn told(container: &Container) -> impl Iterator<Item = &str> {
    let env = container.env.iter().map(|e| e.value.as_str());
    env.chain(container.command.iter().map(String::as_str)).chain(container.args.iter().map(String::as_str))
}

/// What explains trouble that a log tells of: the Service that its line names, with that Service's own roots, or that
/// there is no such Service.
pub fn by_log<'a>(engine: &mut Engine<'a>, case: &Case<'a>, log: &str) -> Roots {
    let lines: Vec<&str> = log
        .lines()
        .rev()
        .filter(|l| {
            let low = l.to_lowercase();
            TROUBLE.iter().any(|t| low.contains(t))
        })
        .take(5)
        .collect();
    for line in &lines {
        let roots = by_words(engine, case, line, Some(line));
        if !roots.is_empty() {
            return roots;
        }
    }
    Roots::new()
}

/// What explains that a container waits or is not ready: a Service that its settings name and that is broken or absent.
pub fn by_settings<'a>(engine: &mut Engine<'a>, case: &Case<'a>) -> Roots {
    let container = case.container;
    for text in told(container) {
        let roots = by_words(engine, case, text, None);
        if !roots.is_empty() {
            return roots;
        }
    }
    Roots::new()
}

fn by_words<'a>(engine: &mut Engine<'a>, case: &Case<'a>, text: &str, log: Option<&str>) -> Roots {
    let here = case.pod.metadata.namespace.as_str();
    let said = Said { text, in_log: log.is_some() };
    for host in hosts(text) {
        if let Some(service) = by_address(engine, host) {
            let roots = reached(engine, case, service, said);
            if !roots.is_empty() {
                return roots;
            }
        }
        let Some(name) = named(host) else { continue };
        let namespace = name.namespace.unwrap_or(here);
        match engine.snap.services.find(namespace, name.service) {
            Lookup::Found(service) => {
                let roots = reached(engine, case, service, said);
                if !roots.is_empty() {
                    return roots;
                }
                if let Some(log) = log {
                    let roots = not_found_though_there(engine, case, service, log);
                    if !roots.is_empty() {
                        return roots;
                    }
                }
            }
            Lookup::Absent => {
                // A word of a log is only a host when the settings name it too, or when it can be nothing else.
                let is_set = told(case.container).any(|t| hosts(t).any(|h| h == host));
                let is_meant = name.is_surely || log.is_some() && is_set && looks_resolved(text, host);
                if is_meant {
                    return missing(engine, case, host, &name, said);
                }
            }
            Lookup::Unknown => {}
        }
    }
    Roots::new()
}

/// Whether the line speaks of this host as of one that it could not find.
fn looks_resolved(line: &str, host: &str) -> bool {
    let low = line.to_lowercase();
    let resolving = TROUBLE[..11].iter().any(|t| low.contains(t));
    resolving && line.contains(host)
}

fn by_address<'a>(engine: &Engine<'a>, host: &str) -> Option<&'a Service> {
    let is_address = host.bytes().all(|b| b.is_ascii_digit() || b == b'.') && host.contains('.');
    let snap = engine.snap;
    is_address.then(|| snap.services.items.iter().find(|s| s.spec.cluster_ip == host)).flatten()
}

/// What explains trouble of which nothing is said: a Service that the settings name, that is there and that is broken.
pub fn by_broken<'a>(engine: &mut Engine<'a>, case: &Case<'a>) -> Roots {
    let here = case.pod.metadata.namespace.as_str();
    let container = case.container;
    for (text, host) in told(container).flat_map(|text| hosts(text).map(move |host| (text, host))) {
        let Some(name) = named(host) else { continue };
        if let Lookup::Found(service) =
            engine.snap.services.find(name.namespace.unwrap_or(here), name.service)
        {
            let roots = reached(engine, case, service, Said { text, in_log: false });
            if !roots.is_empty() {
                return roots;
            }
        }
    }
    Roots::new()
}

/// The roots of a Service, unless that is what is being explained or leads to this very pod: a circle explains nothing.
fn reached<'a>(engine: &mut Engine<'a>, case: &Case<'a>, service: &'a Service, said: Said<'_>) -> Roots {
    let labels = &case.pod.metadata.labels;
    let is_own = service.metadata.namespace == case.pod.metadata.namespace
        && !service.spec.selector.is_empty()
        && service.spec.selector.iter().all(|(k, v)| labels.get(k) == Some(v));
    if is_own || engine.is_being_explained(&Object::of("service", &service.metadata)) {
        return Roots::new();
    }
    let roots = walk::service(engine, service);
    if roots.is_empty() {
        return at_zero(engine, case, service, said);
    }
    let maker = engine.index.maker(case.pod);
    engine.depends(maker, Object::of("service", &service.metadata));
    roots
}

/// The Service is in order, and whoever stands behind it was scaled to zero. By itself that is what somebody wants; with
/// a program that looks for it there and fails it is why.
fn at_zero<'a>(engine: &mut Engine<'a>, case: &Case<'a>, service: &Service, said: Said<'_>) -> Roots {
    let Said { text, in_log } = said;
    let Some(workload) = services::asleep(engine, service) else { return Roots::new() };
    let maker = engine.index.maker(case.pod);
    let (object, here) = (workload.object(), Object::of("service", &service.metadata));
    let at = if in_log { "log of" } else { "settings of" };
    let finding = Finding::new(&AT_ZERO, object.clone(), format!("has 0 replicas, and {maker} needs it"))
        .seen(object.clone(), "spec.replicas", "0")
        .seen(Object::pod(case.pod), format!("{at} {}", case.container.name), text.trim().to_owned())
        .fix(Fix::call(
            format!("scale {object} to 1"),
            "scale",
            serde_json::json!({"workload": object.to_string(), "namespace": object.namespace, "replicas": 1}),
        ));
    let finding =
        if in_log { finding.observed() } else { finding.likely("a line of its log that names the host") };
    engine.depends(maker, here.clone());
    let roots = engine.root(finding);
    engine.suffers(here, "no endpoints", Some(object), &roots);
    roots
}

/// No Service is called so.
fn missing<'a>(
    engine: &mut Engine<'a>,
    case: &Case<'a>,
    host: &str,
    name: &Named<'_>,
    Said { text, in_log }: Said<'_>,
) -> Roots {
    let here = case.pod.metadata.namespace.as_str();
    let namespace = name.namespace.unwrap_or(here);
    let maker = engine.index.maker(case.pod);
    let snap = engine.snap;
    let near = nearest(name.service, snap.services.of(namespace).iter().map(|s| s.metadata.name.as_str()));
    let hint = match near {
        Some(near) => format!("; there is {near}"),
        None => match snap.services.items.iter().find(|s| s.metadata.name == name.service) {
            Some(other) => format!("; there is one in namespace {}", other.metadata.namespace),
            None => String::new(),
        },
    };
    let variable = case.container.env.iter().find(|e| hosts(&e.value).any(|h| h == host));
    let setting = variable.map(|e| format!(" ({})", e.name)).unwrap_or_default();
    let says = format!(
        "looks for the host {host}{setting}, and there is no Service {} in {namespace}{hint}",
        name.service
    );
    let at = if in_log {
        format!("log of {}", case.container.name)
    } else {
        format!("containers[{}]", case.container.name)
    };
    let finding = Finding::new(&SERVICE_MISSING, maker.clone(), says)
        .which(host.to_owned())
        .seen(Object::pod(case.pod), at, text.trim().to_owned())
        .since(case.pod.metadata.creation_timestamp);
    let finding = match (near, variable) {
        (Some(near), Some(variable)) => {
            let value = variable.value.replace(host, &host.replacen(name.service, near, 1));
            finding.fix(Fix::call(
                format!("set {} of {maker} to {value}", variable.name),
                "set",
                serde_json::json!({"workload": maker.to_string(), "namespace": here, "container": case.container.name,
                                   "env": {variable.name.as_str(): value}}),
            ))
        }
        _ => finding.fix(Fix::advice(format!(
            "deploy what {host} should be, or correct the name that {maker} is given"
        ))),
    };
    let finding =
        if in_log { finding.observed() } else { finding.likely("a line of its log that names the host") };
    engine.root(finding)
}

/// The Service is there and has endpoints, and the pod does not find its name: the pod's own way of resolving names.
fn not_found_though_there<'a>(
    engine: &mut Engine<'a>,
    case: &Case<'a>,
    service: &Service,
    log: &str,
) -> Roots {
    let pod: &Pod = case.pod;
    let maker = engine.index.maker(pod);
    let name = &service.metadata.name;
    let seen = |f: Finding| {
        f.seen(Object::pod(pod), format!("log of {}", case.container.name), log.trim().to_owned())
    };
    let alias = pod.spec.host_aliases.iter().find(|a| a.hostnames.iter().any(|h| h == name));
    if let Some(alias) = alias.filter(|a| a.ip != service.spec.cluster_ip) {
        let says = format!(
            "resolves {name} to {} by a host alias, and service/{name} has {}",
            alias.ip, service.spec.cluster_ip
        );
        let finding = Finding::new(&HOST_ALIAS, maker, says)
            .which(name.clone())
            .fix(Fix::advice(format!("take the host alias of {name} out of the pod template")));
        return engine.root(seen(finding));
    }
    let low = log.to_lowercase();
    let resolving = TROUBLE[..11].iter().any(|t| low.contains(t));
    let policy = pod.spec.dns_policy.as_str();
    let is_outside =
        matches!(policy, "Default" | "None") || pod.spec.host_network && policy != "ClusterFirstWithHostNet";
    if resolving && is_outside {
        let right = if pod.spec.host_network { "ClusterFirstWithHostNet" } else { "ClusterFirst" };
        let says = format!("has dnsPolicy {policy} and so does not ask the cluster's DNS for {name}");
        let finding =
            Finding::new(&DNS_POLICY, maker, says).fix(Fix::advice(format!("set dnsPolicy to {right}")));
        return engine.root(seen(finding));
    }
    Roots::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_in_what_people_write() {
        let all = |t| hosts(t).collect::<Vec<_>>();
        assert_eq!(all("postgres://u:p@db.todo:5432/x"), ["db.todo"]);
        assert_eq!(
            all("dial tcp: lookup redis on 10.96.0.10:53: no such host"),
            ["dial", "tcp", "lookup", "redis", "on", "10.96.0.10", "no", "such", "host"]
        );
        assert!(named("db.todo.svc.cluster.local").is_some_and(|n| n.is_surely && n.service == "db"));
        assert!(named("10.96.0.1").is_none());
        assert!(named("example.com.evil.net").is_none());
    }
}
