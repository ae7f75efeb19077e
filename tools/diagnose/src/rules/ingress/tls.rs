//! Certificates of an Ingress: whether their Secret is there, and whether what is in it fits the host and the day.

use std::collections::BTreeSet;

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Class, Finding, Fix, Object};
use crate::model::Ingress;
use crate::rules::similar::nearest;
use crate::snapshot::{Ask, Lookup};

pub(super) const TLS_MISSING: Cause = Cause::fault(
    "ingress-tls-missing",
    2,
    "An Ingress asks for a certificate in a Secret that does not exist.",
);
pub(super) const TLS_BAD: Cause = Cause::fault(
    "tls-expired-or-wrong-host",
    2,
    "The certificate of an Ingress has expired, or is for other hosts.",
);

/// Certificates that are read at most, of all Ingresses.
const MOST_READS: usize = 6;
/// An end nearer than this is told before it comes.
const SOON: i64 = 7 * 24 * 3600;

/// Which Secrets were asked for.
#[derive(Default)]
pub(super) struct Reads(BTreeSet<(String, String)>);

/// What is wrong with the certificates of an Ingress.
pub(super) fn explain(engine: &mut Engine<'_>, ingress: &Ingress, reads: &mut Reads) -> Roots {
    let snap = engine.snap;
    let namespace = &ingress.metadata.namespace;
    let mut roots = Roots::new();
    for tls in ingress.spec.tls.iter().filter(|t| !t.secret_name.is_empty()) {
        let hosts: Vec<&str> = match tls.hosts.is_empty() {
            true => ingress.spec.rules.iter().map(|r| r.host.as_str()).filter(|h| !h.is_empty()).collect(),
            false => tls.hosts.iter().map(String::as_str).collect(),
        };
        match snap.secrets.find(namespace, &tls.secret_name) {
            Lookup::Absent => roots.extend(missing(engine, ingress, &tls.secret_name, &hosts)),
            Lookup::Found(_) => roots.extend(bad(engine, ingress, &tls.secret_name, &hosts, reads)),
            Lookup::Unknown => {}
        }
    }
    roots
}

/// The cert-manager Certificate that is to fill a Secret.
fn certificate<'a>(engine: &Engine<'a>, namespace: &str, secret: &str) -> Option<&'a crate::model::Custom> {
    let here = engine.snap.certificates.of(namespace);
    here.iter().find(|c| c.spec.get("secretName").and_then(|n| n.as_str()) == Some(secret))
}

fn missing(engine: &mut Engine<'_>, ingress: &Ingress, secret: &str, hosts: &[&str]) -> Roots {
    let snap = engine.snap;
    let namespace = &ingress.metadata.namespace;
    let ordered = certificate(engine, namespace, secret);
    if let Some(order) = ordered {
        // Why it was not issued is the better answer, where it is known.
        let roots = engine.known(&Object::of("certificate", &order.metadata)).cloned().unwrap_or_default();
        if !roots.is_empty() {
            return roots;
        }
    }
    if !ingress.metadata.creation_timestamp.older_than(crate::walk::PATIENCE, snap.now) {
        return Roots::new();
    }
    let near = nearest(secret, snap.secrets.of(namespace).iter().map(|s| s.metadata.name.as_str()));
    let elsewhere: Vec<&str> = snap
        .secrets
        .items
        .iter()
        .filter(|s| s.metadata.name == secret)
        .map(|s| s.metadata.namespace.as_str())
        .take(2)
        .collect();
    let for_hosts = if hosts.is_empty() { String::new() } else { format!(" for {}", hosts.join(", ")) };
    let object = Object::new("secret", namespace, secret);
    let at = Object::of("ingress", &ingress.metadata);
    let (hint, fix) = match (near, elsewhere.as_slice(), ordered) {
        (.., Some(order)) => (
            format!("; cert-manager has not issued it for certificate {}", order.metadata.name),
            Fix::advice(format!(
                "see why certificate {} is not issued: its issuer, its order and its challenge",
                order.metadata.name
            )),
        ),
        (Some(near), ..) => (
            format!("; there is {near}"),
            Fix::advice(format!("let {at} take its certificate from secret {near}")),
        ),
        (None, [only], None) => (
            format!("; it is in {only}"),
            Fix::call(
                format!("copy secret {secret} from {only} to {namespace}"),
                "copy",
                serde_json::json!({"kind": "secret", "name": secret, "from": only, "to": [namespace]}),
            ),
        ),
        _ => (
            String::new(),
            Fix::advice(format!(
                "create secret {secret} of type kubernetes.io/tls in {namespace} with the certificate{for_hosts}"
            )),
        ),
    };
    let says = format!(
        "secret {secret} with the certificate of {at}{for_hosts} does not exist in {namespace}{hint}"
    );
    let finding = Finding::new(&TLS_MISSING, object, says)
        .seen(at, "spec.tls.secretName", secret)
        .since(ingress.metadata.written.at)
        .fix(fix);
    engine.root(finding)
}

/// Whether a name of a certificate is for a host; `*` stands for one part.
fn covers(name: &str, host: &str) -> bool {
    if name.eq_ignore_ascii_case(host) {
        return true;
    }
    let rest = |of: &str| of.split_once('.').map(|(_, rest)| rest.to_lowercase());
    name.starts_with("*.") && rest(name) == rest(host) && !host.starts_with("*.")
}

fn bad(engine: &mut Engine<'_>, ingress: &Ingress, secret: &str, hosts: &[&str], reads: &mut Reads) -> Roots {
    let snap = engine.snap;
    let namespace = &ingress.metadata.namespace;
    let key = (namespace.clone(), secret.to_owned());
    let Some(read) = snap.evidence.certificates.get(&key) else {
        // What cert-manager has issued and renews is not read.
        let is_kept = certificate(engine, namespace, secret).is_some();
        if !is_kept && (reads.0.contains(&key) || reads.0.len() < MOST_READS) {
            reads.0.insert(key);
            engine.ask(Ask::Certificate { namespace: namespace.clone(), name: secret.to_owned() });
        }
        return Roots::new();
    };
    reads.0.insert(key);
    let object = Object::new("secret", namespace, secret);
    let at = Object::of("ingress", &ingress.metadata);
    let mut roots = Roots::new();
    if let Some(end) = read.not_after.0 {
        let left = end.as_second() - snap.now.as_second();
        let day = end.to_string();
        let day = day.split('T').next().unwrap_or_default().to_owned();
        if left < SOON {
            let says = if left < 0 {
                format!("the certificate of {at} in secret {secret} has expired on {day}")
            } else {
                format!("the certificate of {at} in secret {secret} expires on {day}")
            };
            let finding = Finding::new(&TLS_BAD, object.clone(), says)
                .which("expired")
                .seen(object.clone(), "tls.crt notAfter", end.to_string())
                .fix(Fix::advice(format!(
                    "renew the certificate and put it into secret {secret} of {namespace}"
                )));
            if left < 0 {
                roots.push(engine.found(finding.since(read.not_after)));
            } else {
                engine.found(finding.class(Class::Risk));
            }
        }
    }
    let bare: Vec<&str> =
        hosts.iter().copied().filter(|h| !h.is_empty() && !read.names.iter().any(|n| covers(n, h))).collect();
    if !bare.is_empty() && !read.names.is_empty() {
        let (bare, names) = (bare.join(", "), read.names.join(", "));
        let says = format!("the certificate of {at} in secret {secret} is for {names}, not for {bare}");
        let finding = Finding::new(&TLS_BAD, object.clone(), says)
            .which("host")
            .seen(object, "tls.crt names", names)
            .seen(at, "spec.tls.hosts", bare.clone())
            .fix(Fix::advice(format!(
                "put a certificate for {bare} into secret {secret} of {namespace}, or name another Secret"
            )));
        roots.push(engine.found(finding));
    }
    roots
}
