//! Findings about the pods around: those to be near to, to be apart from, to be spread among.

use serde_json::json;

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Fix, Object};
use crate::rules::schedule::place::{all, values};
use crate::rules::schedule::topology::{about, apart_terms, counts, near_terms};
use crate::rules::schedule::{Case, nodes};
use crate::rules::similar::nearest;
use crate::walk;

pub(super) const APART: Cause = Cause::fault(
    "anti-affinity-deadlock",
    2,
    "Pods that must be apart are more than there are places to be apart in.",
);
pub(super) const NEAR: Cause =
    Cause::fault("affinity-target-missing", 3, "A pod must be near pods that are nowhere.");
pub(super) const SPREAD: Cause = Cause::fault(
    "topology-skew",
    3,
    "A topology spread constraint takes no more pods where there is room, or nodes lack its label.",
);

/// What a topology key's places are called.
fn places(key: &str, count: usize) -> String {
    let one = match key {
        "kubernetes.io/hostname" => "node",
        "topology.kubernetes.io/zone" => "zone",
        "topology.kubernetes.io/region" => "region",
        other => return format!("{count} values of {other}"),
    };
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

/// Its own anti-affinity: each place has such a pod.
pub(super) fn apart(engine: &mut Engine<'_>, case: &Case<'_, '_>, at: usize) -> Roots {
    let Some(term) = apart_terms(case.pod).get(at) else { return Roots::new() };
    let places_there = values(case, &term.topology_key).len();
    let selector = term.label_selector.as_ref().map(|s| s.text()).unwrap_or_default();
    let itself = term.label_selector.as_ref().is_some_and(|s| s.selects(&case.pod.metadata.labels));
    let there = places(&term.topology_key, places_there);
    let workload = engine.index.workload_named(&case.maker);
    let desired = workload.map_or(0, |w| w.desired);
    let running = workload.map_or(0, |w| w.pods.iter().filter(|p| !p.spec.node_name.is_empty()).count());
    let pods = about(engine, term, &case.pod.metadata.namespace);
    let holder = pods.iter().find(|p| !p.spec.node_name.is_empty());
    let says = if itself && desired > 0 {
        format!("wants {desired} pods that are all apart by {}, and there are {there}", term.topology_key)
    } else {
        format!("must be apart from pods with {selector}, and each of {there} that would do has one")
    };
    let mut finding = case.finding(&APART, case.maker.clone(), says);
    if let Some(holder) = holder {
        finding = finding.seen(Object::pod(holder), "spec.nodeName", holder.spec.node_name.clone());
    }
    let finding = if itself && running > 0 && matches!(case.maker.kind.as_str(), "deployment" | "statefulset")
    {
        finding.fix(Fix::call(
            format!("scale {} to {running}", case.maker),
            "scale",
            json!({"workload": case.maker.to_string(), "namespace": case.maker.namespace, "replicas": running}),
        ))
    } else {
        finding
    };
    let finding = finding.fix(Fix::advice(format!(
        "prefer rather than require that the pods of {} are apart, or add a node",
        case.maker
    )));
    engine.root(finding)
}

/// The anti-affinity of others.
pub(super) fn shunned(engine: &mut Engine<'_>, case: &Case<'_, '_>, other: &str, at: &[usize]) -> Roots {
    let names = case.names(at);
    let says = format!("is kept off {} by the anti-affinity of {other}, whose pods are there", nodes(&names));
    let finding = case
        .finding(&APART, case.maker.clone(), says)
        .which(format!("of {other}"))
        .fix(Fix::advice(format!("narrow the required anti-affinity of {other}, or add a node")));
    engine.root(finding)
}

/// The pods that it must be near are nowhere.
pub(super) fn near(engine: &mut Engine<'_>, case: &Case<'_, '_>, at: usize) -> Roots {
    let Some(term) = near_terms(case.pod).get(at) else { return Roots::new() };
    let home = &case.pod.metadata.namespace;
    let selector = term.label_selector.as_ref().map(|s| s.text()).unwrap_or_default();
    let targets = about(engine, term, home);
    // A target that waits itself is the cause of what waits for it.
    let waiting =
        targets.iter().find(|p| p.spec.node_name.is_empty() && p.metadata.uid != case.pod.metadata.uid);
    if let Some(target) = waiting.copied() {
        let roots = walk::pod(engine, target);
        if !roots.is_empty() {
            return roots;
        }
    }
    let placed = targets.iter().find(|p| !p.spec.node_name.is_empty());
    let (says, advice) = if let Some(placed) = placed {
        (
            format!(
                "must be near pods with {selector}, such as {} on {}, and no node that would do is in the same {}",
                placed.metadata.name, placed.spec.node_name, term.topology_key
            ),
            format!("label the nodes with {}, or drop the affinity of {}", term.topology_key, case.maker),
        )
    } else {
        let wanted = term.label_selector.as_ref().and_then(|s| s.match_labels.iter().next());
        let pods = engine.snap.pods.of(home);
        let near = wanted.and_then(|(k, v)| {
            let values = pods.iter().filter_map(|p| p.metadata.labels.get(k)).map(String::as_str);
            nearest(v, values).map(|near| format!("{k}={near}"))
        });
        let elsewhere = wanted.and_then(|(k, v)| {
            let there = engine.snap.pods.items.iter().find(|p| p.metadata.labels.get(k) == Some(v));
            there.map(|p| p.metadata.namespace.clone())
        });
        let hint = match (&near, &elsewhere) {
            (Some(near), _) => format!("; there are pods with {near}"),
            (None, Some(ns)) => format!("; such pods are in namespace {ns}"),
            _ => String::new(),
        };
        let advice = match near {
            Some(near) => format!("ask for {near} in the pod affinity of {}", case.maker),
            None => format!("start pods with {selector}, or drop the affinity of {}", case.maker),
        };
        (format!("must be near pods with {selector}, and there is no such pod in {home}{hint}"), advice)
    };
    let finding = case.finding(&NEAR, case.maker.clone(), says).which(selector).fix(Fix::advice(advice));
    engine.root(finding)
}

/// A spread constraint.
pub(super) fn spread(
    engine: &mut Engine<'_>,
    case: &Case<'_, '_>,
    at: usize,
    unlabelled: bool,
    of: &[usize],
) -> Roots {
    let Some(one) = case.pod.spec.topology_spread_constraints.get(at) else { return Roots::new() };
    let key = &one.topology_key;
    let names = case.names(of);
    let (says, advice) = if unlabelled {
        let keys = all(case).flat_map(|n| n.metadata.labels.iter().map(|(k, _)| k));
        let near = nearest(key, keys);
        let hint = near.map(|n| format!("; nodes have {n}")).unwrap_or_default();
        let says = format!(
            "spreads over {key}, which {} {} not{hint}",
            nodes(&names),
            if names.len() == 1 { "has" } else { "have" }
        );
        (says, format!("label the nodes with {key}, or spread {} over a label that they have", case.maker))
    } else {
        let counts = counts(engine, case.cluster, case.pod, at);
        let mut places: Vec<String> = counts.iter().map(|(p, c)| format!("{c} in {p}")).collect();
        let more = places.len().saturating_sub(4);
        places.truncate(4);
        if more > 0 {
            places.push(format!("{more} more places"));
        }
        (
            format!(
                "may differ by at most {} over {key}, has {}, and only where there are most is room",
                one.max_skew.max(1),
                places.join(", ")
            ),
            format!("make room where there are fewest, or let {} spread with ScheduleAnyway", case.maker),
        )
    };
    let finding = case
        .finding(&SPREAD, case.maker.clone(), says)
        .which(key.clone())
        .seen(
            case.maker.clone(),
            format!("spec.template.spec.topologySpreadConstraints[{at}]"),
            format!("{key} maxSkew {} {}", one.max_skew, one.when_unsatisfiable),
        )
        .fix(Fix::advice(advice));
    engine.root(finding)
}
