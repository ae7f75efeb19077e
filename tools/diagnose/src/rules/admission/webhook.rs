//! Admission webhooks that cannot be asked, so that the API server refuses what they are to be asked about.

mod backend;
mod hook;

use serde_json::json;

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::snapshot::{Ask, Lookup};
use crate::walk;

use super::over;
use super::rejected::{Rejection, between};
use backend::Backend;
pub(crate) use hook::{Hook, hooks, named};

/// The causes of this part.
pub const CAUSES: &[Cause] =
    &[NO_ENDPOINTS, SERVICE_MISSING, TLS, TIMEOUT_SUM, SELF_DEADLOCK, UNREACHABLE, SINGLE_REPLICA];

const NO_ENDPOINTS: Cause = Cause::fault(
    "webhook-no-endpoints",
    1,
    "A webhook without which nothing may be written has no pod that answers, because it is scaled to zero.",
);
const SERVICE_MISSING: Cause = Cause::fault(
    "webhook-service-missing",
    1,
    "A webhook without which nothing may be written asks a Service or port that does not exist.",
);
const TLS: Cause = Cause::fault(
    "webhook-tls",
    1,
    "The API server does not trust the certificate of a webhook that it must ask.",
);
const TIMEOUT_SUM: Cause = Cause::fault(
    "webhook-timeout-sum",
    2,
    "Webhooks that are slow one after the other take more time than a request has, though their failure is to be ignored.",
);
const SELF_DEADLOCK: Cause = Cause::fault(
    "webhook-self-deadlock",
    1,
    "A webhook must be asked about its own pods, which therefore can never come back.",
);
const UNREACHABLE: Cause = Cause::fault(
    "webhook-unreachable",
    1,
    "A webhook that must be asked does not answer, though its Service has endpoints.",
);
const SINGLE_REPLICA: Cause = Cause::risk(
    "webhook-single-replica",
    3,
    "A webhook without which no pod may be made has one pod only, and while that is away nothing starts.",
);

/// Seconds that the API server gives a request.
const REQUEST_TIME: i64 = 34;

/// A refusal because a webhook could not be asked.
pub fn failed<'a>(engine: &mut Engine<'a>, rejection: &Rejection<'a>) -> Roots {
    let Some(name) = between(&rejection.text, "failed calling webhook \"", "\"") else {
        return timed_out(engine, rejection);
    };
    let hook = match named(engine, name) {
        Lookup::Absent => return over(engine, &UNREACHABLE, rejection, &format!("webhook {name} is gone")),
        Lookup::Unknown => {
            let object = Object::new("webhook", "", name);
            return unreachable(engine, rejection, object, format!("webhook {name} cannot be asked"));
        }
        Lookup::Found(hook) => hook,
    };
    if !hook.is_needed() {
        return over(
            engine,
            &UNREACHABLE,
            rejection,
            &format!("webhook {name} of {} may fail now", hook.object()),
        );
    }
    let state = backend::state(engine, hook);
    if let Backend::Silent(service) = state {
        // Only what is rejected by it can be kept away by it.
        let own = engine.index.makers(service);
        let is_circle = |o: &Object| *o == rejection.workload.object() || engine.is_being_explained(o);
        if let Some(own) = own.iter().find(|w| is_circle(&w.object())) {
            let own = own.object();
            let roots = deadlock(engine, rejection, hook, &own);
            engine.suffers(Object::of("service", &service.metadata), "no endpoints", Some(own), &roots);
            return roots;
        }
    }
    let roots = dead(engine, hook, state, true);
    for key in &roots {
        let finding = engine.finding(*key);
        // The refusal is evidence only for a finding about the webhook; a missing Secret of its pods has its own.
        let has_it = finding.evidence.iter().any(|e| e.value == rejection.text);
        if finding.object == hook.object() && !has_it {
            finding.evidence.push(crate::finding::Seen {
                object: rejection.by.clone(),
                at: rejection.at.into(),
                value: rejection.text.clone(),
            });
            finding.since = finding.since.or(rejection.first.0);
        }
    }
    if !roots.is_empty() {
        return roots;
    }
    let text = rejection.text.as_str();
    if text.contains("x509: ") {
        return tls(engine, rejection, hook);
    }
    if text.contains("no endpoints available") || text.contains("\" not found") {
        return match state {
            Backend::Serves(_) => {
                over(engine, &UNREACHABLE, rejection, &format!("webhook {name} has endpoints again"))
            }
            _ => {
                let says = format!("is asked as webhook {name} about every pod, and nothing answers");
                unreachable(engine, rejection, hook.object(), says)
            }
        };
    }
    let why = text.rsplit_once(": ").map_or(text, |(_, last)| last).to_owned();
    let says = format!("asks {} as webhook {name}, which does not answer: {why}", hook.target());
    unreachable(engine, rejection, hook.object(), says)
}

/// What is wrong with a webhook whose Service is absent or has nobody to answer; empty when it answers. It is a fault where
/// something was refused already, or where it is about pods that the next rollout makes.
fn dead<'a>(engine: &mut Engine<'a>, hook: Hook<'a>, state: Backend<'a>, has_refused: bool) -> Roots {
    let cause = match state {
        Backend::Serves(_) | Backend::Unknown => return Roots::new(),
        Backend::NoService(_) | Backend::NoPort(_) => &SERVICE_MISSING,
        Backend::Silent(service) => {
            let object = Object::of("service", &service.metadata);
            let roots = walk::service(engine, service);
            if !roots.is_empty() {
                engine.suffers(hook.object(), format!("{object} has no endpoints"), Some(object), &roots);
                return roots;
            }
            &NO_ENDPOINTS
        }
    };
    let (finding, service) = match state {
        Backend::Silent(service) => {
            let own = engine.index.makers(service);
            // Pods that are only starting are no trouble; a Service without a selector is somebody else's.
            let Some(own) = own.iter().find(|w| w.desired == 0) else { return Roots::new() };
            let says = format!(
                "asks service/{} about {} as webhook {}, and {} behind it is scaled to 0",
                service.metadata.name,
                hook.subject(),
                hook.webhook.name,
                own.object()
            );
            let arguments =
                json!({"workload": own.object().to_string(), "namespace": own.meta.namespace, "replicas": 1});
            let finding = Finding::new(cause, hook.object(), says)
                .seen(own.object(), "spec.replicas", "0")
                .fix(Fix::call(format!("scale {} to 1", own.object()), "scale", arguments));
            (finding, service.metadata.name.clone())
        }
        Backend::NoService(hint) => {
            let Some(service) = &hook.webhook.client_config.service else { return Roots::new() };
            let near = hint.map(|n| format!("; there is {n}")).unwrap_or_default();
            let says = format!(
                "asks service/{} in {} about {} as webhook {}, and that does not exist{near}",
                service.name,
                service.namespace,
                hook.subject(),
                hook.webhook.name
            );
            (Finding::new(cause, hook.object(), says), service.name.clone())
        }
        Backend::NoPort(found) => {
            let port = hook.port();
            let has: Vec<String> = found.spec.ports.iter().map(|p| p.port.to_string()).collect();
            let says = format!(
                "asks port {port} of service/{} about {} as webhook {}, and it has only {}",
                found.metadata.name,
                hook.subject(),
                hook.webhook.name,
                has.join(", ")
            );
            (Finding::new(cause, hook.object(), says), found.metadata.name.clone())
        }
        Backend::Serves(_) | Backend::Unknown => return Roots::new(),
    };
    let mut finding = finding
        .which(service.clone())
        .since(hook.config.metadata.written.at)
        .seen(hook.object(), format!("webhooks[{}].clientConfig.service", hook.webhook.name), hook.target())
        .seen(hook.object(), format!("webhooks[{}].failurePolicy", hook.webhook.name), "Fail");
    if let (Backend::NoPort(found), [only]) = (state, backend::ports(state).as_slice()) {
        let fields = json!({"clientConfig": {"service": {"name": found.metadata.name, "namespace": found.metadata.namespace, "port": only}}});
        finding = finding.fix(hook.change(format!("let it ask port {only}"), &fields));
    }
    let ignore =
        format!("let {} be written while webhook {} does not answer", hook.subject(), hook.webhook.name);
    finding =
        finding.fix(hook.change(ignore, &json!({"failurePolicy": "Ignore"}))).fix(Fix::advice(format!(
            "install again what service/{service} belongs to, or delete {} when that was removed for good",
            hook.object()
        )));
    if !has_refused && !hook.is_about_living_pods(engine) {
        finding = finding.class(crate::finding::Class::Risk);
    }
    engine.root(finding)
}

/// Its own pods are refused because it does not answer, and it does not answer because they are refused.
fn deadlock(engine: &mut Engine<'_>, rejection: &Rejection<'_>, hook: Hook<'_>, own: &Object) -> Roots {
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
fn tls<'a>(engine: &mut Engine<'a>, rejection: &Rejection<'a>, hook: Hook<'a>) -> Roots {
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
fn unreachable(engine: &mut Engine<'_>, rejection: &Rejection<'_>, object: Object, says: String) -> Roots {
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
fn timed_out<'a>(engine: &mut Engine<'a>, rejection: &Rejection<'a>) -> Roots {
    let workload = rejection.workload;
    let asked: Vec<Hook<'_>> = hooks(engine.snap)
        .filter(|h| h.is_asked_about(engine, &workload.meta.namespace, &workload.template.metadata.labels))
        .collect();
    let slowest = asked.iter().filter(|h| !h.mutates).map(|h| h.timeout()).max().unwrap_or(0);
    let sum: i64 =
        asked.iter().filter(|h| h.mutates).map(|h| h.timeout()).sum::<i64>().saturating_add(slowest);
    let Some(first) = asked.iter().max_by_key(|h| h.timeout()).copied() else {
        return super::policy::refused(engine, rejection);
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

/// Looks through all webhooks, also those that nobody has been refused by yet.
pub fn scan(engine: &mut Engine<'_>) {
    let snap = engine.snap;
    for hook in hooks(snap).filter(Hook::is_needed) {
        let state = backend::state(engine, hook);
        if let Backend::Serves(service) = state {
            lone(engine, hook, service);
        } else {
            dead(engine, hook, state, false);
        }
    }
}

/// One pod only answers.
fn lone<'a>(engine: &mut Engine<'a>, hook: Hook<'a>, service: &'a crate::model::Service) {
    let own = engine.index.makers(service);
    let [only] = own.as_slice() else { return };
    if only.desired != 1 || only.kind == "daemonset" || !hook.is_about_living_pods(engine) {
        return;
    }
    let says = format!(
        "has the only pod that answers as webhook {} of {}; while it is away, no pod can be made where that is asked",
        hook.webhook.name,
        hook.object()
    );
    let arguments =
        json!({"workload": only.object().to_string(), "namespace": only.meta.namespace, "replicas": 2});
    let finding = Finding::new(&SINGLE_REPLICA, only.object(), says)
        .seen(only.object(), "spec.replicas", "1")
        .seen(hook.object(), format!("webhooks[{}].failurePolicy", hook.webhook.name), "Fail")
        .fix(Fix::call(format!("scale {} to 2", only.object()), "scale", arguments));
    engine.found(finding);
}
