//! Measurements that an autoscaler does not get: nobody serves them, or there is nothing to measure against.

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::index::Workload;
use crate::model::{Autoscaler, Condition};
use crate::snapshot::Lookup;
use crate::walk;

use super::{find_api, object, target};

pub(super) const NO_METRICS_API: Cause = Cause::fault(
    "hpa-no-metrics-api",
    2,
    "HorizontalPodAutoscalers do not scale, because nothing in the cluster measures what pods use.",
);
pub(super) const MISSING_REQUESTS: Cause = Cause::fault(
    "hpa-missing-requests",
    3,
    "A HorizontalPodAutoscaler scales by percent of the requests, and a container requests nothing.",
);
pub(super) const CUSTOM_METRIC_MISSING: Cause = Cause::fault(
    "hpa-custom-metric-missing",
    3,
    "A HorizontalPodAutoscaler scales by a metric that nobody in the cluster serves.",
);

const METRICS: &str = "v1beta1.metrics.k8s.io";

/// No use of CPU or memory.
pub(super) fn resource<'a>(engine: &mut Engine<'a>, one: &'a Autoscaler, active: &Condition) -> Roots {
    if active.message.contains("missing request for ") {
        return unrequested(engine, one, active);
    }
    match find_api(engine, METRICS) {
        Lookup::Absent => {
            let finding = Finding::new(
                &NO_METRICS_API,
                Object::new("apiservice", "", METRICS),
                "does not exist: nothing measures the CPU and memory of pods, and autoscalers that need it do not scale",
            )
            .since(active.last_transition_time)
            .seen(object(one), "status.conditions[ScalingActive]", format!("{}: {}", active.reason, active.message))
            .fix(Fix::advice("install metrics-server"));
            engine.root(finding)
        }
        Lookup::Found(api) => {
            let roots = walk::api_service(engine, api);
            if !roots.is_empty() {
                return roots;
            }
            // It is served, but not for pods that do not run.
            let target = target(one);
            match engine.index.workload_named(&target) {
                Some(workload) if workload.ready < workload.desired => walk::workload(engine, workload),
                _ => Roots::new(),
            }
        }
        Lookup::Unknown => Roots::new(),
    }
}

/// `missing request for cpu in container web of Pod web-1-a`.
fn unrequested<'a>(engine: &mut Engine<'a>, one: &'a Autoscaler, active: &Condition) -> Roots {
    let rest = active.message.split_once("missing request for ").map_or("", |(_, r)| r);
    let Some((resource, rest)) = rest.split_once(" in container ") else { return Roots::new() };
    let name = rest.split_whitespace().next().unwrap_or_default();
    let target = target(one);
    let workload = engine.index.workload_named(&target);
    let mut lacking: Vec<&str> = workload.map(|w| silent(w, resource)).unwrap_or_default();
    let is_proven = lacking.contains(&name);
    let is_injected = workload.is_some_and(|w| !w.template.spec.containers.iter().any(|c| c.name == name));
    if !is_proven {
        // Its template was changed since, or another program put the container into the pods.
        if workload.is_some() && !is_injected {
            return Roots::new();
        }
        lacking = vec![name];
    }
    let foreign = if is_injected { ", which is not in its template but put into its pods," } else { "" };
    let (word, verb) = if lacking.len() > 1 { ("containers", "request") } else { ("container", "requests") };
    let list = lacking.join(", ");
    let says = format!(
        "has {word} {list}{foreign} that {verb} no {resource}, by percent of which {} scales it",
        object(one)
    );
    let mut finding = Finding::new(&MISSING_REQUESTS, target.clone(), says)
        .which(resource)
        .since(active.last_transition_time)
        .seen(
            object(one),
            "status.conditions[ScalingActive]",
            format!("{}: {}", active.reason, active.message),
        );
    if is_proven {
        let at = format!("spec.template.spec.containers[{name}].resources.requests.{resource}");
        finding = finding.seen(target.clone(), at, "none");
    } else {
        finding = finding.observed();
    }
    let advice =
        format!("set a {resource} request for {word} {list} of {target}: about what it uses in quiet times");
    engine.root(finding.fix(Fix::advice(advice)))
}

/// Containers that do not say how much of a resource they want; a limit says it too.
fn silent<'w>(workload: &'w Workload<'_>, resource: &str) -> Vec<&'w str> {
    let spec = &workload.template.spec;
    let sidecars = spec.init_containers.iter().filter(|c| c.is_sidecar());
    let all = spec.containers.iter().chain(sidecars);
    let says = |of: &crate::model::Resources| of.get(resource).is_some();
    all.filter(|c| !says(&c.resources.requests) && !says(&c.resources.limits))
        .map(|c| c.name.as_str())
        .collect()
}

/// No value of a metric that a program beside the cluster measures.
pub(super) fn custom<'a>(
    engine: &mut Engine<'a>,
    one: &'a Autoscaler,
    active: &Condition,
    which: &str,
) -> Roots {
    let snap = engine.snap;
    let group = format!("{which}.metrics.k8s.io");
    let said = format!("{}: {}", active.reason, active.message);
    let served: Vec<_> = snap.api_services.items.iter().filter(|a| a.spec.group == group).collect();
    if served.is_empty() && snap.api_services.sees("") {
        let name = format!("v1beta1.{group}");
        let finding = Finding::new(
            &CUSTOM_METRIC_MISSING,
            Object::new("apiservice", "", &name),
            format!("does not exist: nothing serves the {which} metrics that autoscalers are to scale by"),
        )
        .since(active.last_transition_time)
        .seen(object(one), "status.conditions[ScalingActive]", said)
        .fix(Fix::advice(format!(
            "install an adapter that serves {group}, such as prometheus-adapter or KEDA"
        )));
        return engine.root(finding);
    }
    let mut roots = Roots::new();
    for api in served {
        roots.extend(walk::api_service(engine, api));
    }
    if !roots.is_empty() {
        return roots;
    }
    let why = active.message.rsplit_once(": ").map_or(active.message.as_str(), |(_, w)| w);
    let says = format!("does not get the {which} metric that it scales by: {}", why.trim_end_matches('.'));
    let finding = Finding::new(&CUSTOM_METRIC_MISSING, object(one), says)
        .observed()
        .since(active.last_transition_time)
        .seen(object(one), "status.conditions[ScalingActive]", said)
        .fix(Fix::advice("see that something reports that metric under that name, and that the adapter of the cluster knows it"));
    engine.root(finding)
}

/// The resource that is used most, measured against its goal: its name, what is used and what is wanted, in percent.
pub(super) fn busiest(one: &Autoscaler) -> Option<(&str, i64, i64)> {
    let goals = one.spec.metrics.iter().filter_map(|m| m.resource.as_ref());
    goals
        .filter_map(|goal| {
            let want = goal.target.average_utilization?;
            let have = one.status.current_metrics.iter().filter_map(|m| m.resource.as_ref());
            let have = have.filter(|r| r.name == goal.name).find_map(|r| r.current.average_utilization)?;
            Some((goal.name.as_str(), have, want))
        })
        .max_by_key(|(_, have, want)| have.saturating_mul(100) / (*want).max(1))
}
