//! Which Services a pod names in its variables, arguments and commands. Only a hint: a name may be written down and never
//! be used.

use std::net::IpAddr;

use crate::engine::Engine;
use crate::model::{Pod, PodSpec, Service};
use crate::snapshot::HasMeta;

/// A host that a text names, and the port beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host<'t> {
    pub name: &'t str,
    pub port: Option<i64>,
    /// It stands where only a host can: after `//` or `@`, or before a port.
    pub is_sure: bool,
}

/// All that could be hosts in a text.
pub fn hosts(text: &str) -> impl Iterator<Item = Host<'_>> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
    let mut from = 0;
    let mut words = Vec::new();
    for word in text.split(|c| !is_part(c)) {
        words.push((from, word));
        // The character that ends a word is skipped too, however long it is.
        from += word.len();
        from += text.get(from..).and_then(|t| t.chars().next()).map_or(0, char::len_utf8);
    }
    words.into_iter().filter_map(|(from, word)| {
        let before = text.get(..from).unwrap_or_default();
        let (name, port) = match word.split_once(':') {
            Some((name, port)) => (name, port.parse::<i64>().ok()),
            None => (word, None),
        };
        let name = name.trim_matches(['.', '-']);
        let is_name = name.contains(|c: char| c.is_ascii_alphabetic()) || name.parse::<IpAddr>().is_ok();
        let is_sure = port.is_some() || before.ends_with("//") || before.ends_with('@');
        (name.len() <= 253 && is_name).then_some(Host { name, port, is_sure })
    })
}

/// The Service of a name, as a pod of that namespace resolves it.
pub fn service<'a>(engine: &Engine<'a>, namespace: &str, host: &str) -> Option<&'a Service> {
    let host = host.trim_end_matches('.');
    let mut parts = host.split('.');
    let name = parts.next()?;
    let home = parts.next().unwrap_or(namespace);
    let is_local = match (parts.next(), parts.next(), parts.next()) {
        (None, ..) | (Some("svc"), None, _) => true,
        (Some("svc"), Some(domain), tail) => domain == "cluster" && tail == Some("local"),
        _ => false,
    };
    if !is_local {
        return None;
    }
    engine.snap.services.find(home, name).found()
}

/// Whether a variable of that name holds a host.
fn holds_host(name: &str) -> bool {
    let name = name.to_uppercase();
    ["HOST", "URL", "URI", "ADDR", "SERVER", "ENDPOINT", "SERVICE", "DSN", "BROKER", "UPSTREAM", "BACKEND"]
        .iter()
        .any(|w| name.contains(w))
}

/// The texts of a pod in which a host may stand, and whether a bare word there is one.
fn texts(spec: &PodSpec) -> impl Iterator<Item = (&str, bool)> {
    spec.init_containers.iter().chain(&spec.containers).flat_map(|c| {
        let env = c.env.iter().map(|e| (e.value.as_str(), holds_host(&e.name)));
        let words = c.command.iter().chain(&c.args).map(|a| (a.as_str(), true));
        env.chain(words)
    })
}

/// The Services that pods of that shape name, each with the port that they name with it.
pub fn services<'a>(engine: &Engine<'a>, namespace: &str, spec: &PodSpec) -> Vec<(&'a Service, Option<i64>)> {
    let mut all: Vec<(&Service, Option<i64>)> = texts(spec)
        .flat_map(|(text, is_loose)| {
            hosts(text).filter(move |h| is_loose || h.is_sure || h.name.contains('.'))
        })
        .filter_map(|h| service(engine, namespace, h.name).map(|s| (s, h.port)))
        .collect();
    all.sort_by(|a, b| {
        let key = |s: &(&Service, Option<i64>)| (s.0.meta().namespace.clone(), s.0.meta().name.clone(), s.1);
        key(a).cmp(&key(b))
    });
    all.dedup_by(|a, b| std::ptr::eq(a.0, b.0) && a.1 == b.1);
    all
}

/// Whether a pod names any host at all that it would have to look up.
pub fn looks_up(spec: &PodSpec) -> bool {
    texts(spec).flat_map(|(text, is_loose)| hosts(text).filter(move |h| is_loose || h.is_sure)).any(|h| {
        h.name.parse::<IpAddr>().is_err() && h.name != "localhost" && (h.is_sure || h.name.contains('.'))
    })
}

/// Whether a pod names that Service.
pub fn mentions(pod: &Pod, wanted: &Service) -> bool {
    let (name, home) = (wanted.metadata.name.as_str(), wanted.metadata.namespace.as_str());
    texts(&pod.spec).any(|(text, is_loose)| {
        text.contains(name)
            && hosts(text).filter(|h| is_loose || h.is_sure || h.name.contains('.')).any(|h| {
                let mut parts = h.name.split('.');
                parts.next() == Some(name) && parts.next().unwrap_or(&pod.metadata.namespace) == home
            })
    })
}
