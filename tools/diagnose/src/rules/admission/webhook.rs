//! Admission webhooks that cannot be asked, so that the API server refuses what they are to be asked about.

mod backend;
mod hook;
mod said;

use serde_json::json;

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::snapshot::Lookup;
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
        return said::timed_out(engine, rejection);
    };
    let hook = match named(engine, name) {
        Lookup::Absent => return over(engine, &UNREACHABLE, rejection, &format!("webhook {name} is gone")),
        Lookup::Unknown => {
            let object = Object::new("webhook", "", name);
            return said::unreachable(engine, rejection, object, format!("webhook {name} cannot be asked"));
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
            let roots = said::deadlock(engine, rejection, hook, &own);
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
        return said::tls(engine, rejection, hook);
    }
    if text.contains("no endpoints available") || text.contains("\" not found") {
        return match state {
            Backend::Serves(_) => {
                over(engine, &UNREACHABLE, rejection, &format!("webhook {name} has endpoints again"))
            }
            _ => {
                let says = format!("is asked as webhook {name} about every pod, and nothing answers");
                said::unreachable(engine, rejection, hook.object(), says)
            }
        };
    }
    let why = text.rsplit_once(": ").map_or(text, |(_, last)| last).to_owned();
    let says = format!("asks {} as webhook {name}, which does not answer: {why}", hook.target());
    said::unreachable(engine, rejection, hook.object(), says)
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
