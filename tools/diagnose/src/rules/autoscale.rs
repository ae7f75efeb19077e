//! HorizontalPodAutoscalers that cannot scale, or that may not scale any further.

mod metrics;

use serde_json::json;

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::{Autoscaler, Condition, condition};
use crate::rules::similar::nearest;
use crate::snapshot::{HasMeta, List, Lookup};
use crate::walk::PATIENCE;

/// The causes of this family.
pub const CAUSES: &[Cause] = &[
    TARGET_MISSING,
    metrics::NO_METRICS_API,
    metrics::MISSING_REQUESTS,
    AMBIGUOUS,
    CAPPED,
    metrics::CUSTOM_METRIC_MISSING,
];

const TARGET_MISSING: Cause =
    Cause::fault("hpa-target-missing", 3, "A HorizontalPodAutoscaler scales something that does not exist.");
const AMBIGUOUS: Cause = Cause::fault(
    "hpa-ambiguous",
    3,
    "Several HorizontalPodAutoscalers scale the same pods, so that none of them does anything.",
);
const CAPPED: Cause = Cause::fault(
    "hpa-capped",
    3,
    "A HorizontalPodAutoscaler has been at its maximum for a while, and its pods still have more to do than they should.",
);

/// Seconds at the maximum after which that is no short peak.
const LONG: i64 = 600;

/// Looks through all of them.
pub fn scan(engine: &mut Engine<'_>) {
    for one in &engine.snap.autoscalers.items {
        if one.metadata.deletion_timestamp.is_set() {
            continue;
        }
        let object = object(one);
        let roots = engine.explain(&object, |engine| explain(engine, one));
        let others: Roots = roots.into_iter().filter(|key| engine.finding(*key).object != object).collect();
        engine.suffers(object, "does not scale", None, &others);
    }
}

fn object(one: &Autoscaler) -> Object {
    Object::of("horizontalpodautoscaler", &one.metadata)
}

/// What it scales.
fn target(one: &Autoscaler) -> Object {
    let target = &one.spec.scale_target_ref;
    Object::new(&target.kind, &one.metadata.namespace, &target.name)
}

fn explain<'a>(engine: &mut Engine<'a>, one: &'a Autoscaler) -> Roots {
    let now = engine.snap.now;
    let failing = |kind: &str, status: &str| {
        condition(&one.status.conditions, kind)
            .filter(|c| c.status == status && c.last_transition_time.older_than(PATIENCE, now))
    };
    let roots = target_missing(engine, one, failing("AbleToScale", "False"));
    if !roots.is_empty() {
        return roots;
    }
    if let Some(active) = failing("ScalingActive", "False") {
        return match active.reason.as_str() {
            // Somebody scaled it to zero.
            "ScalingDisabled" => Roots::new(),
            "AmbiguousSelector" => ambiguous(engine, one, active),
            "FailedGetResourceMetric" | "FailedGetContainerResourceMetric" => {
                metrics::resource(engine, one, active)
            }
            "FailedGetPodsMetric" | "FailedGetObjectMetric" => metrics::custom(engine, one, active, "custom"),
            "FailedGetExternalMetric" => metrics::custom(engine, one, active, "external"),
            _ => Roots::new(),
        };
    }
    match failing("ScalingLimited", "True") {
        Some(limited) if limited.reason == "TooManyReplicas" => capped(engine, one, limited),
        _ => Roots::new(),
    }
}

/// What it scales is not there.
fn target_missing<'a>(engine: &mut Engine<'a>, one: &'a Autoscaler, unable: Option<&Condition>) -> Roots {
    fn look<'l, T: HasMeta>(list: &'l List<T>, of: &Object) -> Option<Option<&'l str>> {
        list.find(&of.namespace, &of.name)
            .is_absent()
            .then(|| nearest(&of.name, list.of(&of.namespace).iter().map(|o| o.meta().name.as_str())))
    }
    let snap = engine.snap;
    let target = target(one);
    let missing = match target.kind.as_str() {
        "deployment" => look(&snap.deployments, &target),
        "statefulset" => look(&snap.stateful_sets, &target),
        "replicaset" => look(&snap.replica_sets, &target),
        _ => None,
    };
    // Other kinds are not looked at here; only the controller can say that one is not there.
    let said = unable.filter(|c| c.reason == "FailedGetScale");
    let said_missing =
        said.is_some_and(|c| c.message.ends_with("not found") || c.message.contains("no matches for kind"));
    let is_known = matches!(target.kind.as_str(), "deployment" | "statefulset" | "replicaset");
    if missing.is_none() && (is_known || !said_missing) {
        return Roots::new();
    }
    if !one.metadata.creation_timestamp.older_than(PATIENCE, snap.now) {
        return Roots::new();
    }
    let near = missing.flatten();
    let hint = near.map(|n| format!("; there is {n}")).unwrap_or_default();
    let mut finding =
        Finding::new(&TARGET_MISSING, object(one), format!("scales {target}, which does not exist{hint}"))
            .seen(object(one), "spec.scaleTargetRef", target.to_string());
    if let Some(said) = said {
        finding = finding.since(said.last_transition_time).seen(
            object(one),
            "status.conditions[AbleToScale]",
            format!("{}: {}", said.reason, said.message),
        );
    }
    if missing.is_none() {
        finding = finding.observed();
    }
    let reference = &one.spec.scale_target_ref;
    if let Some(near) = near {
        let manifest = json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": one.metadata.name, "namespace": one.metadata.namespace},
            "spec": {"maxReplicas": one.spec.max_replicas,
                "scaleTargetRef": {"apiVersion": reference.api_version, "kind": reference.kind, "name": near}},
        });
        let arguments = json!({"manifest": manifest.to_string(), "take_over": true});
        finding = finding.fix(Fix::call(format!("let it scale {}/{near}", target.kind), "apply", arguments));
    }
    engine.root(finding.fix(Fix::advice(format!("deploy {target}, or delete {}", object(one)))))
}

/// Others scale the same pods.
fn ambiguous(engine: &mut Engine<'_>, one: &Autoscaler, active: &Condition) -> Roots {
    let namespace = &one.metadata.namespace;
    let rivals: Vec<&Autoscaler> = engine
        .snap
        .autoscalers
        .of(namespace)
        .iter()
        .filter(|other| {
            let name = &other.metadata.name;
            let is_named = active
                .message
                .split([' ', '[', ']', ','])
                .any(|w| w.split_once('/') == Some((namespace, name)));
            target(other) == target(one) || is_named || other.metadata.name == one.metadata.name
        })
        .collect();
    // All of them have this condition; it is one finding, on the first.
    let Some(first) = rivals.first() else { return Roots::new() };
    let names: Vec<&str> = rivals.iter().map(|r| r.metadata.name.as_str()).collect();
    let others = names.iter().skip(1).copied().collect::<Vec<_>>().join(", ");
    let says = if others.is_empty() {
        "scales pods that another autoscaler scales too, so that neither does anything".to_owned()
    } else {
        format!("scales the same pods as {others}, so that none of them does anything")
    };
    let mut finding = Finding::new(&AMBIGUOUS, object(first), says).since(active.last_transition_time);
    for rival in rivals.iter().take(3) {
        finding = finding.seen(object(rival), "spec.scaleTargetRef", target(rival).to_string());
    }
    if rivals.len() < 2 || rivals.iter().any(|r| target(r) != target(first)) {
        finding =
            finding.observed().seen(object(one), "status.conditions[ScalingActive]", active.message.clone());
    }
    let fix = format!("keep one of {} and delete the others", names.join(", "));
    engine.root(finding.fix(Fix::advice(fix)))
}

/// It is at its maximum and wants more.
fn capped(engine: &mut Engine<'_>, one: &Autoscaler, limited: &Condition) -> Roots {
    let max = one.spec.max_replicas;
    let is_long = limited.last_transition_time.older_than(LONG, engine.snap.now);
    if !is_long || one.status.current_replicas < max || max < 1 {
        return Roots::new();
    }
    let Some((resource, have, goal)) =
        metrics::busiest(one).filter(|(_, have, goal)| have > goal && *goal > 0)
    else {
        return Roots::new();
    };
    let want = max.saturating_mul(have).saturating_add(goal - 1) / goal;
    let target = target(one);
    let says = format!(
        "has been at its maximum of {max} pods, and they use {have}% of the {resource} that they request, where {goal}% is the goal"
    );
    let arguments = json!({"workload": target.to_string(), "namespace": target.namespace, "max": want});
    let finding = Finding::new(&CAPPED, object(one), says)
        .observed()
        .since(limited.last_transition_time)
        .seen(
            object(one),
            "status.conditions[ScalingLimited]",
            format!("{}: {}", limited.reason, limited.message),
        )
        .seen(object(one), format!("status.currentMetrics[{resource}].averageUtilization"), have.to_string())
        .fix(Fix::call(
            format!("let it go up to {want} pods, which is where {goal}% would be reached"),
            "autoscale",
            arguments,
        ));
    engine.root(finding)
}

/// The object of that name in a list of objects without namespace.
pub(crate) fn find_api<'a>(engine: &Engine<'a>, name: &str) -> Lookup<&'a crate::model::ApiService> {
    engine.snap.api_services.find("", name)
}
