//! A workload whose pods the API server refuses to make: finds what it said, lets go of what is over, and passes it on to
//! the rule for that kind of refusal.

use crate::engine::{Engine, Roots};
use crate::finding::Object;
use crate::index::Workload;
use crate::model::{Event, Meta, Moment, Pod, condition};

use super::{limits, names, policy, psa, quota, webhook};

/// What the API server said when a controller asked it for a pod.
pub struct Rejection<'a> {
    pub workload: &'a Workload<'a>,
    /// Who says so, and where.
    pub by: Object,
    pub at: &'static str,
    /// The refusal itself, in one line, without the controller's words before it.
    pub text: String,
    pub first: Moment,
    pub last: Moment,
}

/// What explains that a workload gets no pods, where the API server refuses them.
pub fn workload<'a>(engine: &mut Engine<'a>, workload: &'a Workload<'a>) -> Roots {
    if !lacks_pods(engine, workload) {
        return Roots::new();
    }
    let Some(rejection) = rejection(engine, workload) else { return Roots::new() };
    let text = rejection.text.as_str();
    let has = |part: &str| text.contains(part);
    // A namespace that goes away takes no new pods; that is its own story.
    if has("being terminated") {
        return Roots::new();
    }
    if has("failed calling webhook") || has("request did not complete within requested timeout") {
        return webhook::failed(engine, &rejection);
    }
    if has("denied the request") || has("denied request") {
        return policy::denied(engine, &rejection);
    }
    if has("exceeded quota: ") {
        return quota::exceeded(engine, &rejection);
    }
    if has("must specify ") && has("failed quota: ") {
        return quota::unspecified(engine, &rejection);
    }
    if has("violates PodSecurity") {
        return psa::violated(engine, &rejection);
    }
    if has("error looking up service account") {
        return names::service_account(engine, &rejection);
    }
    if has("no PriorityClass with name") {
        return names::priority_class(engine, &rejection);
    }
    if has("RuntimeClass") && has("not found") {
        return names::runtime_class(engine, &rejection);
    }
    if has(" usage per ") || has("limit to request ratio per") || has("must be less than or equal to") {
        return limits::violated(engine, &rejection);
    }
    policy::refused(engine, &rejection)
}

/// Pods that are there and not on their way out.
pub(crate) fn active<'w, 'a>(workload: &'w Workload<'a>) -> impl Iterator<Item = &'a Pod> + use<'w, 'a> {
    workload.pods.iter().copied().filter(|p| !p.is_finished() && !p.metadata.deletion_timestamp.is_set())
}

/// How many more pods a workload needs right now: those that are missing, or the next one of a rollout.
pub(crate) fn missing(workload: &Workload<'_>) -> i64 {
    let have = i64::try_from(active(workload).count()).unwrap_or(i64::MAX);
    workload.desired.saturating_sub(have).max(1)
}

/// Whether a controller should be making pods.
fn lacks_pods(engine: &Engine<'_>, workload: &Workload<'_>) -> bool {
    let sees = engine.snap.pods.sees(&workload.meta.namespace);
    let have = i64::try_from(active(workload).count()).unwrap_or(i64::MAX);
    let is_short = if sees { have < workload.desired } else { workload.ready < workload.desired };
    match workload.kind {
        "job" => {
            !workload.paused
                && is_short
                && have == 0
                && workload.ready < workload.desired
                && !is_over(workload)
        }
        "deployment" => is_short || !workload.paused && workload.updated < workload.desired,
        _ => is_short,
    }
}

/// Whether a Job has come to its end.
fn is_over(workload: &Workload<'_>) -> bool {
    workload.conditions.iter().any(|c| matches!(c.kind.as_str(), "Complete" | "Failed") && c.status == "True")
}

/// The latest refusal, unless a pod was made after it.
fn rejection<'a>(engine: &Engine<'a>, workload: &'a Workload<'a>) -> Option<Rejection<'a>> {
    let index = engine.index;
    let failure = condition(workload.conditions, "ReplicaFailure")
        .filter(|c| c.status == "True" && c.reason == "FailedCreate");
    // The newest revision makes the pods that are waited for; what an older one was told counts only while that still
    // fails.
    let revisions = index.revisions(workload.meta);
    let count = if failure.is_some() { revisions.len() } else { 1 };
    let sets = revisions.iter().take(count).map(|s| ("replicaset", &s.metadata));
    let makers = [(workload.kind, workload.meta)].into_iter().chain(sets);
    let event = makers
        .filter_map(|(kind, meta)| {
            let event = index.event(meta, "FailedCreate").filter(|e| is_current(engine, meta, e))?;
            Some((kind, meta, event))
        })
        .max_by_key(|(_, _, event)| event.last());
    // A Deployment that may not even make its ReplicaSet.
    let unmade = condition(workload.conditions, "Progressing")
        .filter(|c| c.status == "False" && c.reason == "ReplicaSetCreateError");
    match (event, failure) {
        // The condition keeps the first refusal of a row, the event says the last one.
        (Some((kind, meta, event)), failure)
            if failure.is_none_or(|f| event.last() >= f.last_transition_time) =>
        {
            Some(Rejection {
                workload,
                by: Object::of(kind, meta),
                at: "event FailedCreate",
                text: bare(&event.message),
                first: failure.map_or(event.first(), |f| f.last_transition_time.min(event.first())),
                last: event.last(),
            })
        }
        (_, Some(failure)) => Some(Rejection {
            workload,
            by: workload.object(),
            at: "status.conditions[ReplicaFailure]",
            text: bare(&failure.message),
            first: failure.last_transition_time,
            last: failure.last_transition_time.max(failure.last_update_time),
        }),
        _ => unmade.map(|c| Rejection {
            workload,
            by: workload.object(),
            at: "status.conditions[Progressing]",
            text: bare(&c.message),
            first: c.last_transition_time,
            last: c.last_transition_time.max(c.last_update_time),
        }),
    }
}

/// Whether no pod was made since the event.
fn is_current(engine: &Engine<'_>, maker: &Meta, event: &Event) -> bool {
    let newest = engine.index.owned(maker).iter().map(|p| p.metadata.creation_timestamp).max();
    newest.is_none_or(|made| event.last() >= made)
}

/// What the API server said, without what the controller put before it: `Error creating: pods "x" is forbidden: …`,
/// `create Pod db-0 in StatefulSet db failed error: pods "db-0" is forbidden: …`.
fn bare(message: &str) -> String {
    let text = message.strip_prefix("Error creating: ").unwrap_or(message);
    let text = text.split_once(" failed error: ").map_or(text, |(_, rest)| rest);
    let text =
        match text.strip_prefix("Failed to create new replica set \"").and_then(|t| t.split_once("\": ")) {
            Some((_, rest)) => rest,
            None => text,
        };
    let text = match text.split_once(" is forbidden: ") {
        // The name is of an object that never was, another one each time.
        Some((subject, rest)) if subject.ends_with('"') => rest,
        _ => text,
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The part of a text between two marks.
pub(crate) fn between<'t>(text: &'t str, from: &str, to: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(from)?;
    Some(rest.split_once(to)?.0)
}

#[cfg(test)]
mod tests {
    use super::bare;

    #[test]
    fn the_names_of_pods_that_never_were_are_left_out() {
        for (message, want) in [
            (
                "Error creating: pods \"web-1-x\" is forbidden: no PriorityClass with name a was found",
                "no PriorityClass with name a was found",
            ),
            (
                "create Pod db-0 in StatefulSet db failed error: pods \"db-0\" is forbidden: exceeded quota: q",
                "exceeded quota: q",
            ),
            (
                "Error creating: admission webhook \"a\" denied the request: no\nreally",
                "admission webhook \"a\" denied the request: no really",
            ),
        ] {
            assert_eq!(bare(message), want);
        }
    }
}
