//! LimitRanges whose bounds a container or pod breaks.

use serde_json::json;

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::index::Workload;
use crate::model::{Container, Limit};
use crate::quantity::milli;

use super::over;
use super::rejected::Rejection;

/// The causes of this part.
pub const CAUSES: &[Cause] = &[VIOLATION];

const VIOLATION: Cause = Cause::fault(
    "limitrange-violation",
    2,
    "Pods are not made, because they ask for more or less than a LimitRange of their namespace allows.",
);

/// One bound, as the refusal has it: `maximum cpu usage per Container is 1, but limit is 2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bound<'t> {
    side: Side,
    resource: &'t str,
    /// `Container` or `Pod`.
    per: &'t str,
    value: &'t str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Min,
    Max,
    Ratio,
}

impl Side {
    fn field(self) -> &'static str {
        match self {
            Self::Min => "min",
            Self::Max => "max",
            Self::Ratio => "maxLimitRequestRatio",
        }
    }
    fn of<'l>(self, limit: &'l Limit, resource: &str) -> Option<&'l str> {
        let all = match self {
            Self::Min => &limit.min,
            Self::Max => &limit.max,
            Self::Ratio => &limit.max_limit_request_ratio,
        };
        all.get(resource).map(|a| a.0.as_str())
    }
}

/// The API server names the bound; the LimitRange and the containers prove it.
pub fn violated(engine: &mut Engine<'_>, rejection: &Rejection<'_>) -> Roots {
    let Some(bound) = read(&rejection.text) else { return defaulted(engine, rejection) };
    let workload = rejection.workload;
    let namespace = &workload.meta.namespace;
    let ranges = &engine.snap.limit_ranges;
    let range = ranges.of(namespace).iter().find(|r| {
        r.spec.limits.iter().any(|l| {
            l.kind == bound.per && bound.side.of(l, bound.resource).and_then(milli) == milli(bound.value)
        })
    });
    if range.is_none() && ranges.sees(namespace) {
        let what =
            format!("no limitrange says {} {} for {} any more", bound.value, bound.resource, bound.per);
        return over(engine, &VIOLATION, rejection, &what);
    }
    let broken = breakers(workload, bound);
    let whose = match broken.as_slice() {
        [] => "its pods break it".to_owned(),
        some => some.iter().map(|b| b.says.clone()).collect::<Vec<_>>().join("; "),
    };
    let name = range.map_or_else(|| "a limitrange".to_owned(), |r| format!("limitrange {}", r.metadata.name));
    let word = match bound.side {
        Side::Min => "at least",
        Side::Max => "at most",
        Side::Ratio => "a limit of at most so many times the request:",
    };
    let says = format!(
        "gets no new pods: {name} allows {word} {} {} for each {}, and {whose}",
        bound.value,
        bound.resource,
        bound.per.to_lowercase()
    );
    let mut finding = Finding::new(&VIOLATION, workload.object(), says).since(rejection.first);
    if let Some(range) = range {
        let at = format!("spec.limits[{}].{}.{}", bound.per, bound.side.field(), bound.resource);
        finding = finding.seen(Object::of("limitrange", &range.metadata), at, bound.value);
    }
    if range.is_none() || broken.is_empty() {
        finding = finding.observed();
    }
    finding = finding.seen(rejection.by.clone(), rejection.at, rejection.text.clone());
    for one in &broken {
        finding = finding.fix(one.fix.clone());
    }
    if broken.is_empty() {
        let what =
            format!("change {} of the pods of {} to what {name} allows", bound.resource, workload.object());
        finding = finding.fix(Fix::advice(what));
    }
    engine.root(finding)
}

/// The first bound in a refusal; several stand in brackets, one after the other.
fn read(text: &str) -> Option<Bound<'_>> {
    let words: Vec<&str> = text.split([' ', ',', '[', ']']).filter(|w| !w.is_empty()).collect();
    words.windows(7).enumerate().find_map(|(at, w)| match w {
        [side @ ("minimum" | "maximum"), resource, "usage", "per", per, "is", value] => Some(Bound {
            side: if *side == "minimum" { Side::Min } else { Side::Max },
            resource,
            per,
            value: value.trim_end_matches('.'),
        }),
        [resource, "max", "limit", "to", "request", "ratio", "per"] => Some(Bound {
            side: Side::Ratio,
            resource,
            per: words.get(at + 7)?,
            value: words.get(at + 9)?.trim_end_matches('.'),
        }),
        _ => None,
    })
}

/// A container that breaks a bound, and the change that ends it.
struct Breaker {
    says: String,
    fix: Fix,
}

fn breakers(workload: &Workload<'_>, bound: Bound<'_>) -> Vec<Breaker> {
    // The sum over a pod is not one container's doing, and the tool that sets resources knows two of them.
    let wanted = matches!(bound.resource, "cpu" | "memory") && bound.per == "Container";
    let Some(edge) = milli(bound.value).filter(|_| wanted && bound.side != Side::Ratio) else {
        return Vec::new();
    };
    let spec = &workload.template.spec;
    spec.containers
        .iter()
        .chain(&spec.init_containers)
        .filter_map(|c| breaker(workload, c, bound, edge))
        .collect()
}

fn breaker(workload: &Workload<'_>, container: &Container, bound: Bound<'_>, edge: i128) -> Option<Breaker> {
    let Bound { side, resource, value, .. } = bound;
    let read =
        |all: &crate::model::Resources| all.get(resource).map(|a| (a.0.clone(), a.milli().unwrap_or(0)));
    let (request, limit) = (read(&container.resources.requests), read(&container.resources.limits));
    let is_off = |amount: &Option<(String, i128)>| {
        amount.as_ref().is_some_and(|(_, a)| if side == Side::Max { *a > edge } else { *a < edge })
    };
    let mut parts = Vec::new();
    let mut call = serde_json::Map::new();
    for (what, amount) in [("request", &request), ("limit", &limit)] {
        if is_off(amount) {
            let have = amount.as_ref().map_or("", |(text, _)| text.as_str());
            parts.push(format!("its {what} is {have}"));
            call.insert(format!("{resource}_{what}"), json!(value));
        }
    }
    if parts.is_empty() {
        return None;
    }
    call.insert("workload".into(), json!(workload.object().to_string()));
    call.insert("namespace".into(), json!(workload.meta.namespace));
    call.insert("container".into(), json!(container.name));
    let says = format!("set {resource} of container {} of {} to {value}", container.name, workload.object());
    Some(Breaker {
        says: format!("container {} breaks that: {}", container.name, parts.join(" and ")),
        fix: Fix::call(says, "set", call.into()),
    })
}

/// A request above the limit that a LimitRange gives to containers without one.
fn defaulted(engine: &mut Engine<'_>, rejection: &Rejection<'_>) -> Roots {
    let workload = rejection.workload;
    let namespace = &workload.meta.namespace;
    for range in engine.snap.limit_ranges.of(namespace) {
        for limit in range.spec.limits.iter().filter(|l| l.kind == "Container") {
            for (resource, default) in limit.default.iter().filter(|(r, _)| matches!(*r, "cpu" | "memory")) {
                let over = |c: &&Container| {
                    let request = c.resources.requests.get(resource).and_then(|a| a.milli());
                    c.resources.limits.get(resource).is_none() && request > default.milli()
                };
                let Some(container) = workload.template.spec.containers.iter().find(over) else { continue };
                let request = container.resources.requests.get(resource).map_or("", |a| a.0.as_str());
                let name = &range.metadata.name;
                let says = format!(
                    "gets no new pods: container {} requests {request} {resource} and sets no limit, and limitrange {name} makes that limit {}",
                    container.name, default.0
                );
                let at = format!("spec.limits[Container].default.{resource}");
                let call = json!({"workload": workload.object().to_string(), "namespace": namespace,
                    "container": container.name, format!("{resource}_limit"): request});
                let finding = Finding::new(&VIOLATION, workload.object(), says)
                    .since(rejection.first)
                    .seen(Object::of("limitrange", &range.metadata), at, default.0.clone())
                    .seen(rejection.by.clone(), rejection.at, rejection.text.clone())
                    .fix(Fix::call(
                        format!("set the {resource} limit of container {} to {request}", container.name),
                        "set",
                        call,
                    ));
                return engine.root(finding);
            }
        }
    }
    super::policy::refused(engine, rejection)
}

#[cfg(test)]
mod tests {
    use super::{Bound, Side, read};

    #[test]
    fn bounds_are_read_from_refusals() {
        let max = Bound { side: Side::Max, resource: "cpu", per: "Container", value: "1" };
        for (text, want) in [
            ("maximum cpu usage per Container is 1, but limit is 2", max),
            ("maximum cpu usage per Container is 1. No limit is specified", max),
            (
                "[maximum cpu usage per Container is 1, but limit is 2, minimum memory usage per Pod is 1Gi, but request is 1Mi]",
                max,
            ),
            (
                "minimum memory usage per Pod is 1Gi, but request is 1Mi",
                Bound { side: Side::Min, resource: "memory", per: "Pod", value: "1Gi" },
            ),
            (
                "cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000",
                Bound { side: Side::Ratio, resource: "cpu", per: "Container", value: "2" },
            ),
        ] {
            assert_eq!(read(text), Some(want), "{text}");
        }
        assert_eq!(read("usage per"), None);
    }
}
