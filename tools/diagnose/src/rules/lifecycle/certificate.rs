//! Certificates of cert-manager that are not issued.

use serde_json::Value;

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::Custom;

/// The causes of this part.
pub const CAUSES: &[Cause] = &[NOT_READY];

const NOT_READY: Cause = Cause::fault("certificate-not-ready", 2, "cert-manager cannot issue a certificate.");

/// An issuer that has to be asked from outside takes a few minutes.
const SLOW: i64 = 300;

/// Looks through all certificates.
pub fn scan(engine: &mut Engine<'_>) {
    let snap = engine.snap;
    for certificate in &snap.certificates.items {
        let roots = explain(engine, certificate);
        let Some(secret) = secret(certificate).filter(|_| !roots.is_empty()) else { continue };
        let namespace = &certificate.metadata.namespace;
        for ingress in snap.ingresses.of(namespace) {
            if ingress.spec.tls.iter().any(|t| t.secret_name == secret) {
                let through = Some(Object::new("secret", namespace, secret));
                engine.suffers(
                    Object::of("ingress", &ingress.metadata),
                    format!("no certificate in {secret}"),
                    through,
                    &roots,
                );
            }
        }
    }
}

/// What explains that a Secret that cert-manager is to fill is not there; nothing where it has no such task.
pub fn for_secret<'a>(engine: &mut Engine<'a>, namespace: &str, name: &str) -> Roots {
    let of = engine.snap.certificates.of(namespace).iter().find(|c| secret(c) == Some(name));
    of.map_or_else(Roots::new, |c| explain(engine, c))
}

fn secret(certificate: &Custom) -> Option<&str> {
    certificate.spec.get("secretName").and_then(Value::as_str)
}

/// A condition of the certificate: status, reason, message, moment.
fn condition<'a>(
    certificate: &'a Custom,
    kind: &str,
) -> Option<(&'a str, &'a str, &'a str, crate::model::Moment)> {
    let all = certificate.status.get("conditions").and_then(Value::as_array)?;
    let text = |c: &'a Value, key: &str| c.get(key).and_then(Value::as_str).unwrap_or("");
    all.iter().find(|c| text(c, "type") == kind).map(|c| {
        let at = crate::model::Moment(text(c, "lastTransitionTime").parse().ok());
        (text(c, "status"), text(c, "reason"), text(c, "message"), at)
    })
}

/// What explains that a certificate is not ready.
pub fn explain<'a>(engine: &mut Engine<'a>, certificate: &'a Custom) -> Roots {
    let object = Object::of("certificate", &certificate.metadata);
    engine.explain(&object.clone(), |engine| {
        let Some((status, reason, message, at)) = condition(certificate, "Ready") else { return Roots::new() };
        let failed = condition(certificate, "Issuing").filter(|c| c.0 == "False" && c.1 == "Failed");
        if status != "False" || (failed.is_none() && !at.older_than(SLOW, engine.snap.now)) {
            return Roots::new();
        }
        let (why, from) = match failed {
            Some((_, reason, message, _)) => (message, format!("status.conditions[Issuing] {reason}")),
            None => (message, format!("status.conditions[Ready] {reason}")),
        };
        let why = why.lines().next().unwrap_or("").trim_end_matches('.');
        let reference = certificate.spec.get("issuerRef");
        let part = |key: &str, or: &'static str| reference.and_then(|r| r.get(key)).and_then(Value::as_str).unwrap_or(or).to_owned();
        let issuer = format!("{} {}", part("kind", "Issuer").to_lowercase(), part("name", ""));
        let low = why.to_lowercase();
        let fix = if low.contains("referenced") && low.contains("not found") {
            format!("create {issuer}, or correct issuerRef of {object}")
        } else if low.contains("rate") && low.contains("limit") {
            "wait until the issuer's limit is over; do not ask again before".to_owned()
        } else if low.contains("challenge") || low.contains("authorization") || low.contains("acme") {
            "let the issuer reach the challenge: DNS of the host, the Ingress from outside on port 80, or the DNS provider's credentials".to_owned()
        } else {
            format!("look at the CertificateRequest and Order of {object}, and at {issuer}")
        };
        let finding = Finding::new(&NOT_READY, object.clone(), format!("is not issued by {issuer}: {why}"))
            .seen(object, from, why)
            .since(at)
            .observed()
            .fix(Fix::advice(fix));
        let finding = if reason.is_empty() { finding.likely("its CertificateRequest") } else { finding };
        engine.root(finding)
    })
}
