//! Pods that somebody's policy refuses: a webhook that says no, a policy in CEL, another admission plugin.

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::snapshot::Lookup;

use super::over;
use super::rejected::{Rejection, between};
use super::webhook;

/// The causes of this part.
pub const CAUSES: &[Cause] = &[DENIED];

const DENIED: Cause = Cause::fault(
    "policy-denied",
    2,
    "Pods are not made, because a policy or another check of the cluster refuses them.",
);

/// `admission webhook "x" denied the request: …` or `ValidatingAdmissionPolicy 'p' with binding 'b' denied request: …`.
pub fn denied(engine: &mut Engine<'_>, rejection: &Rejection<'_>) -> Roots {
    if let Some(name) = between(&rejection.text, "ValidatingAdmissionPolicy '", "'") {
        let reason = rejection.text.split_once("denied request: ").map_or("", |(_, r)| r);
        let binding = between(&rejection.text, "with binding '", "'");
        let bound = binding.map(|b| format!(" (binding {b})")).unwrap_or_default();
        let object = Object::new("validatingadmissionpolicy", "", name);
        if engine.snap.admission_policies.find("", name).is_absent() {
            return over(engine, &DENIED, rejection, &format!("{object} is gone"));
        }
        return say(
            engine,
            rejection,
            &format!("{object}{bound}"),
            Some((object, "spec.validations", reason.to_owned())),
            reason,
        );
    }
    let Some(name) = between(&rejection.text, "admission webhook \"", "\"") else {
        return refused(engine, rejection);
    };
    let reason =
        rejection.text.split_once("denied the request").map_or("", |(_, r)| r.trim_start_matches(": "));
    match webhook::named(engine, name) {
        Lookup::Absent => over(engine, &DENIED, rejection, &format!("admission webhook {name} is gone")),
        Lookup::Unknown => say(engine, rejection, &format!("admission webhook {name}"), None, reason),
        Lookup::Found(found) => {
            let object = found.object();
            say(
                engine,
                rejection,
                &format!("webhook {name} of {object}"),
                Some((object, "webhooks", name.to_owned())),
                reason,
            )
        }
    }
}

/// A refusal of a kind that has no rule of its own, in the API server's words.
pub fn refused(engine: &mut Engine<'_>, rejection: &Rejection<'_>) -> Roots {
    let text = rejection.text.clone();
    say(engine, rejection, "the API server", None, &text)
}

fn say(
    engine: &mut Engine<'_>,
    rejection: &Rejection<'_>,
    by: &str,
    policy: Option<(Object, &str, String)>,
    reason: &str,
) -> Roots {
    let workload = rejection.workload;
    let reason = reason.trim().trim_end_matches('.');
    let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let mut finding =
        Finding::new(&DENIED, workload.object(), format!("gets no new pods: {by} refuses them{why}"))
            .observed()
            .which(by)
            .since(rejection.first);
    let mut fix = format!("change the pods of {} to what it wants", workload.object());
    if let Some((object, at, value)) = policy {
        fix = format!(
            "change the pods of {} to what {object} wants, or make an exception there",
            workload.object()
        );
        finding = finding.seen(object, at, value);
    }
    engine
        .root(finding.seen(rejection.by.clone(), rejection.at, rejection.text.clone()).fix(Fix::advice(fix)))
}
