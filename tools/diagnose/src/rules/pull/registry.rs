//! Registries that cannot be asked: unknown, out of reach, not trusted, tired of us. One registry is one finding.

use std::collections::BTreeSet;

use super::{Pull, running};
use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::rules::image::parse;
use crate::rules::pull::image::set;
use crate::rules::pull::text::{Failure, classify};
use crate::rules::similar::nearest;

pub const HOST_UNKNOWN: Cause =
    Cause::fault("registry-host-unknown", 2, "The host in an image's name cannot be resolved.");
pub const UNREACHABLE: Cause =
    Cause::fault("registry-unreachable", 2, "A registry does not answer, or a node does not reach it.");
pub const TLS: Cause =
    Cause::fault("registry-tls", 2, "A registry's certificate is not trusted, or it speaks plain HTTP.");
pub const RATE_LIMITED: Cause =
    Cause::fault("registry-rate-limited", 2, "A registry refuses more pulls for a while.");

/// What explains that a registry cannot be asked.
pub fn explain(engine: &mut Engine<'_>, pull: &Pull<'_, '_>, failure: Failure) -> Roots {
    let host = pull.image.host;
    if failure == Failure::UnknownHost
        && let Some(roots) = typo(engine, pull)
    {
        return roots;
    }
    let key = Object::new("pull", "", &format!("registry {host} {failure:?}"));
    engine.explain(&key, |engine| {
        let (cause, says, fix) = match failure {
            Failure::UnknownHost => (
                &HOST_UNKNOWN,
                format!("host {host} cannot be resolved by the nodes"),
                format!("correct host {host} in the image's name, or let the nodes' DNS know it"),
            ),
            Failure::Tls if pull.said.contains("HTTP response to HTTPS") => (
                &TLS,
                format!("{host} speaks plain HTTP, and the nodes ask by HTTPS"),
                format!("give {host} a certificate, or list it as an insecure registry with the runtime of each node"),
            ),
            Failure::Tls => (
                &TLS,
                format!("the nodes do not trust the certificate of {host}"),
                format!("give the nodes the CA of {host}, or {host} a certificate that they trust"),
            ),
            Failure::RateLimit => (
                &RATE_LIMITED,
                format!("{host} refuses more pulls for now (429)"),
                format!("wait; pull with credentials for {host}, or through a mirror"),
            ),
            _ => (
                &UNREACHABLE,
                format!("{host} does not answer"),
                format!("check that {host} is up and that the nodes' firewall and proxy let them reach it"),
            ),
        };
        let nodes = failing(engine, host, failure);
        let registry = Object::new("registry", "", host);
        if let Some((node, other)) = one_node(engine, pull, &nodes, failure) {
            let says = match failure {
                Failure::UnknownHost => format!("cannot resolve {host}, from which node {other} pulls"),
                _ => format!("does not reach {host}, from which node {other} pulls"),
            };
            let found = Finding::new(cause, Object::new("node", "", &node), says)
                .which(host)
                .seen(Object::pod(pull.case.pod), pull.at.clone(), pull.said.clone())
                .likely(format!("a pull from {host} on node {node} by hand"))
                .since(pull.since)
                .fix(Fix::advice(format!("look at the network and DNS of node {node}")));
            return engine.root(found);
        }
        let on = match nodes.len() {
            0 | 1 => String::new(),
            n => format!(", on {n} nodes"),
        };
        let found = Finding::new(cause, registry, format!("{says}{on}"))
            .observed()
            .seen(Object::pod(pull.case.pod), pull.at.clone(), pull.said.clone())
            .since(pull.since)
            .fix(Fix::advice(fix));
        engine.root(found)
    })
}

/// The nodes on which pulls from a registry fail in that way.
fn failing(engine: &Engine<'_>, host: &str, failure: Failure) -> BTreeSet<String> {
    let mut nodes = BTreeSet::new();
    for pod in &engine.snap.pods.items {
        for (container, status, _) in pod.containers() {
            let Some(waiting) = status.and_then(|s| s.state.waiting.as_ref()) else { continue };
            let is_pull = matches!(
                waiting.reason.as_str(),
                "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable"
            );
            if is_pull && parse(&container.image).host == host {
                let said = classify(&waiting.message, &container.image);
                if said.is_none_or(|f| f == failure) {
                    nodes.insert(pod.spec.node_name.clone());
                }
            }
        }
    }
    nodes
}

/// The one node that fails where another pulled from the same registry later: it is the node, not the registry.
fn one_node(
    engine: &Engine<'_>,
    pull: &Pull<'_, '_>,
    nodes: &BTreeSet<String>,
    failure: Failure,
) -> Option<(String, String)> {
    let node = nodes.first().filter(|_| nodes.len() == 1)?;
    if !matches!(failure, Failure::Unreachable | Failure::UnknownHost) {
        return None;
    }
    let index = engine.index;
    running(engine)
        .filter(|(pod, c)| pod.spec.node_name != *node && parse(&c.image).host == pull.image.host)
        .find(|(pod, _)| {
            index
                .event(&pod.metadata, "Pulled")
                .is_some_and(|e| e.last() > pull.since && !e.message.contains("already present"))
        })
        .map(|(pod, _)| (node.clone(), pod.spec.node_name.clone()))
}

/// The host is written like one from which images come.
fn typo(engine: &mut Engine<'_>, pull: &Pull<'_, '_>) -> Option<Roots> {
    let host = pull.image.host;
    let key = Object::new("pull", "", &format!("host {host} {}/{}", pull.maker.namespace, pull.maker));
    let hosts: BTreeSet<&str> = running(engine).map(|(_, c)| parse(&c.image).host).collect();
    if hosts.contains(host) {
        return None;
    }
    let image = &pull.case.container.image;
    let before = super::earlier(engine, pull).filter(|b| parse(b).host != host);
    let near = nearest(host, hosts);
    let right = match (&before, near) {
        (Some(before), _) => before.clone(),
        (None, Some(near)) => image.replacen(host, near, 1),
        (None, None) => return None,
    };
    Some(engine.explain(&key, |engine| {
        let says = format!(
            "asks for image {image}, whose host {host} cannot be resolved; {} is near",
            parse(&right).host
        );
        let found = Finding::new(&HOST_UNKNOWN, pull.maker.clone(), says)
            .which(host)
            .observed()
            .seen(Object::pod(pull.case.pod), pull.at.clone(), pull.said.clone())
            .since(pull.since)
            .fix(set(pull, &right));
        engine.root(found)
    }))
}
