//! What only the refusal says of a webhook that has a Service with endpoints: its certificate, its silence, its slowness;
//! and the circle of one that is asked about its own pods.

use serde_json::json;

use crate::engine::{Engine, Roots};
use crate::finding::{Finding, Fix, Object};
use crate::snapshot::Ask;

use super::backend::{self, Backend};
use super::hook::{Hook, hooks};
use super::{REQUEST_TIME, SELF_DEADLOCK, TIMEOUT_SUM, TLS, UNREACHABLE};
use crate::rules::admission::policy;
use crate::rules::admission::rejected::{Rejection, between};

/// Its own pods are refused because it does not answer, and it does not answer because they are refused.
pub(super) fn deadlock(
    engine: &mut Engine<'_>,
    rejection: &Rejection<'_>,
    hook: Hook<'_>,
    own: &Object,
) -> Roots {
    let name = &hook.webhook.name;
    let says = format!(
        "must be asked as webhook {name} about the pods of {own} in {}, which are the ones that would answer",
        own.namespace
    );
    let fields = json!({"namespaceSelector": hook.without(&own.namespace)});
    let finding = Finding::new(&SELF_DEADLOCK, hook.object(), says)
        .which(name.clone())
        .since(rejection.first)
        .seen(hook.object(), format!("webhooks[{name}].clientConfig.service"), hook.target())
        .seen(rejection.by.clone(), rejection.at, rejection.text.clone())
        .fix(hook.change(format!("do not ask webhook {name} about namespace {}", own.namespace), &fields))
        .fix(hook.change(
            format!("let pods be made while webhook {name} does not answer"),
            &json!({"failurePolicy": "Ignore"}),
        ));
    engine.root(finding)
}

/// Its certificate is not trusted.
pub(super) fn tls<'a>(engine: &mut Engine<'a>, rejection: &Rejection<'a>, hook: Hook<'a>) -> Roots {
    let name = &hook.webhook.name;
    let why = rejection.text.rsplit_once("x509: ").map_or("", |(_, w)| w);
    let bundle = if hook.webhook.client_config.ca_bundle.is_empty() { "empty" } else { "set" };
    let mut finding = Finding::new(
        &TLS,
        hook.object(),
        format!("does not trust {} as webhook {name}: {why}", hook.target()),
    )
    .observed()
    .which(name.clone())
    .since(rejection.first)
    .seen(rejection.by.clone(), rejection.at, rejection.text.clone())
    .seen(hook.object(), format!("webhooks[{name}].clientConfig.caBundle"), bundle);
    let injected = hook.config.metadata.annotations.get("cert-manager.io/inject-ca-from");
    let advice = match (injected, why.contains("expired")) {
        ("", true) => format!("renew the certificate that {} shows", hook.target()),
        ("", false) => format!(
            "put the authority that signed the certificate of {} into caBundle of {}",
            hook.target(),
            hook.object()
        ),
        (from, _) => format!("see that cert-manager issues certificate {from} and its cainjector runs"),
    };
    if let Backend::Serves(service) = backend::state(engine, hook) {
        let namespace = &service.metadata.namespace;
        let secrets: Vec<&str> = engine
            .index
            .makers(service)
            .iter()
            .flat_map(|w| &w.template.spec.volumes)
            .filter_map(|v| v.secret.as_ref().map(|s| s.name()))
            .take(2)
            .collect();
        for secret in secrets {
            let key = (namespace.clone(), secret.to_owned());
            match engine.snap.evidence.certificates.get(&key) {
                Some(certificate) => {
                    let until = certificate.not_after.0.map(|t| t.to_string()).unwrap_or_default();
                    let value = format!("for {} until {until}", certificate.names.join(", "));
                    finding = finding.seen(Object::new("secret", namespace, secret), "tls.crt", value);
                    finding.confidence = crate::Confidence::Proven;
                }
                None => {
                    engine.ask(Ask::Certificate { namespace: namespace.clone(), name: secret.to_owned() })
                }
            }
        }
    }
    engine.root(finding.fix(Fix::advice(advice)).fix(hook.change(
        format!("let pods be made while webhook {name} is not trusted"),
        &json!({"failurePolicy": "Ignore"}),
    )))
}

/// A webhook that does not answer, for a reason that no object shows.
pub(super) fn unreachable(
    engine: &mut Engine<'_>,
    rejection: &Rejection<'_>,
    object: Object,
    says: String,
) -> Roots {
    let finding = Finding::new(&UNREACHABLE, object.clone(), says)
        .observed()
        .which(between(&rejection.text, "failed calling webhook \"", "\"").unwrap_or_default())
        .since(rejection.first)
        .seen(rejection.by.clone(), rejection.at, rejection.text.clone())
        .fix(Fix::advice(format!(
            "see that the pods behind {object} answer, and that no network policy or firewall keeps the API server from their port"
        )));
    engine.root(finding)
}

/// The request took too long; webhooks that may fail take their time all the same. Those that change objects are asked
/// one after the other, the others at the same time.
pub(super) fn timed_out<'a>(engine: &mut Engine<'a>, rejection: &Rejection<'a>) -> Roots {
    let workload = rejection.workload;
    let asked: Vec<Hook<'_>> = hooks(engine.snap)
        .filter(|h| h.is_asked_about(engine, &workload.meta.namespace, &workload.template.metadata.labels))
        .collect();
    let slowest = asked.iter().filter(|h| !h.mutates).map(|h| h.timeout()).max().unwrap_or(0);
    let sum: i64 =
        asked.iter().filter(|h| h.mutates).map(|h| h.timeout()).sum::<i64>().saturating_add(slowest);
    let Some(first) = asked.iter().max_by_key(|h| h.timeout()).copied() else {
        return policy::refused(engine, rejection);
    };
    let mut shown = asked.clone();
    shown.sort_by_key(|h| std::cmp::Reverse(h.timeout()));
    let list: Vec<String> =
        shown.iter().take(4).map(|h| format!("{} {} s", h.webhook.name, h.timeout())).collect();
    let says = format!(
        "is one of the webhooks that may together take {sum} s over a pod in {}, and the API server gives up after {REQUEST_TIME} s: {}",
        workload.meta.namespace,
        list.join(", ")
    );
    let mut finding = Finding::new(&TIMEOUT_SUM, first.object(), says).since(rejection.first).seen(
        rejection.by.clone(),
        rejection.at,
        rejection.text.clone(),
    );
    finding = if sum >= REQUEST_TIME {
        finding.observed()
    } else {
        finding.likely("how long the webhooks take, from the metrics of the API server")
    };
    for hook in shown.iter().take(2) {
        let at = format!("webhooks[{}].timeoutSeconds", hook.webhook.name);
        finding = finding.seen(hook.object(), at, hook.timeout().to_string());
    }
    let fix = first.change(
        format!("wait at most 5 s for webhook {}", first.webhook.name),
        &json!({"timeoutSeconds": 5}),
    );
    engine.root(finding.fix(fix))
}
