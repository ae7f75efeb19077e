//! ResourceQuotas that leave no room for a pod, or that demand requests and limits which its containers do not have.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::{PodSpec, Quota};
use crate::quantity::{milli, show_bytes, show_cpu};
use crate::snapshot::Lookup;

use super::over;
use super::rejected::{Rejection, active, missing};

/// The causes of this part.
pub const CAUSES: &[Cause] = &[EXCEEDED, UNSPECIFIED];

const EXCEEDED: Cause = Cause::fault(
    "quota-exceeded",
    2,
    "Pods are not made, because a ResourceQuota of their namespace is used up.",
);
const UNSPECIFIED: Cause = Cause::fault(
    "quota-needs-resources",
    2,
    "Pods are not made, because a ResourceQuota demands requests or limits that their containers do not have.",
);

/// One line of a quota: what is asked for, used and allowed, in thousandths.
struct Line {
    resource: String,
    ask: i128,
    used: i128,
    hard: i128,
}

/// `exceeded quota: compute, requested: pods=1, used: pods=5, limited: pods=5`.
pub fn exceeded(engine: &mut Engine<'_>, rejection: &Rejection<'_>) -> Roots {
    let workload = rejection.workload;
    let namespace = &workload.meta.namespace;
    let Some((name, said)) = read(&rejection.text) else { return Roots::new() };
    let object = Object::new("resourcequota", namespace, name);
    let quota = engine.snap.quotas.find(namespace, name);
    // One that counts only some pods says nothing about who takes what.
    let is_scoped = quota.found().is_some_and(|q| !q.spec.scopes.is_empty());
    let (lines, is_proven) = match quota {
        Lookup::Absent => {
            return over(engine, &EXCEEDED, rejection, &format!("resourcequota {name} is gone"));
        }
        Lookup::Unknown => (said, false),
        Lookup::Found(quota) => {
            let now: Vec<Line> = said.into_iter().filter_map(|line| current(quota, line)).collect();
            // Another pod may take what becomes free before this one is asked for again: only what holds now counts.
            if now.is_empty() {
                return over(engine, &EXCEEDED, rejection, &format!("resourcequota {name} has room again"));
            }
            (now, true)
        }
    };
    let Some(worst) = lines.first() else { return Roots::new() };
    let shown = |line: &Line, amount: i128| show(&line.resource, amount);
    let parts: Vec<String> = lines
        .iter()
        .map(|l| {
            format!(
                "{} of {} {} are used and a pod asks for {}",
                shown(l, l.used),
                shown(l, l.hard),
                l.resource,
                shown(l, l.ask)
            )
        })
        .collect();
    // Worked out for the first that is kept away only: all of them would say the same.
    let is_told = engine.found.iter().any(|f| f.cause == EXCEEDED.id && f.object == object);
    let top = if is_told || is_scoped { Vec::new() } else { consumers(engine, namespace, &worst.resource) };
    let most: Vec<String> =
        top.iter().take(3).map(|(o, a)| format!("{o} ({})", show(&worst.resource, *a))).collect();
    let most =
        if most.is_empty() { String::new() } else { format!("; most is taken by {}", most.join(", ")) };
    let says = format!("leaves no room for the pods of {}: {}{most}", workload.object(), parts.join(", "));
    let mut finding = Finding::new(&EXCEEDED, object.clone(), says).since(rejection.first);
    for line in lines.iter().take(2) {
        let value = format!("{} of {}", shown(line, line.used), shown(line, line.hard));
        finding = finding.seen(object.clone(), format!("status.used[{}]", line.resource), value);
    }
    finding = finding.seen(rejection.by.clone(), rejection.at, rejection.text.clone());
    if !is_proven {
        finding = finding.observed();
    }
    engine.root(finding.fix(raise(rejection, name, &lines)).fix(shrink(rejection, &lines)))
}

/// The name of the quota and its lines.
fn read(text: &str) -> Option<(&str, Vec<Line>)> {
    let (_, rest) = text.split_once("exceeded quota: ")?;
    let (name, rest) = rest.split_once(", requested: ")?;
    let (requested, rest) = rest.split_once(", used: ")?;
    let (used, limited) = rest.split_once(", limited: ")?;
    let entries = |list: &str| -> BTreeMap<String, i128> {
        list.split(',')
            .filter_map(|e| e.trim().rsplit_once('='))
            .filter_map(|(k, v)| Some((k.to_owned(), milli(v)?)))
            .collect()
    };
    let (used, limited) = (entries(used), entries(limited));
    let lines = entries(requested).into_iter().filter_map(|(resource, ask)| {
        Some(Line { used: *used.get(&resource)?, hard: *limited.get(&resource)?, ask, resource })
    });
    Some((name, lines.collect()))
}

/// The line as the quota has it now, where a pod still does not fit.
fn current(quota: &Quota, line: Line) -> Option<Line> {
    let amount = |of: &crate::model::Resources| of.get(&line.resource).and_then(|a| a.milli());
    // What is allowed is what somebody wrote; the status follows.
    let hard = amount(&quota.spec.hard).or_else(|| amount(&quota.status.hard))?;
    let used = amount(&quota.status.used).unwrap_or(line.used);
    (used.saturating_add(line.ask) > hard).then_some(Line { used, hard, ..line })
}

/// Who takes most of a resource in a namespace.
fn consumers(engine: &Engine<'_>, namespace: &str, resource: &str) -> Vec<(Object, i128)> {
    let mut all: BTreeMap<Object, i128> = BTreeMap::new();
    for pod in engine.snap.pods.of(namespace).iter().filter(|p| !p.is_finished()) {
        let sum = all.entry(engine.index.maker(pod)).or_default();
        *sum = sum.saturating_add(amount(&pod.spec, resource));
    }
    let mut all: Vec<(Object, i128)> = all.into_iter().filter(|(_, a)| *a > 0).collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all
}

/// How much of a quota's resource a pod takes, in thousandths.
fn amount(spec: &PodSpec, resource: &str) -> i128 {
    if matches!(resource, "pods" | "count/pods") {
        return 1000;
    }
    let (name, is_limit) = match resource.split_once('.') {
        Some(("requests", name)) => (name, false),
        Some(("limits", name)) => (name, true),
        _ => (resource, false),
    };
    let of = |c: &crate::model::Container| {
        let all = if is_limit { &c.resources.limits } else { &c.resources.requests };
        all.get(name).and_then(|a| a.milli()).unwrap_or(0)
    };
    let sum = |all: &mut dyn Iterator<Item = i128>| all.fold(0_i128, i128::saturating_add);
    let sidecars = sum(&mut spec.init_containers.iter().filter(|c| c.is_sidecar()).map(of));
    let main = sum(&mut spec.containers.iter().map(of));
    let init = spec.init_containers.iter().filter(|c| !c.is_sidecar()).map(of).max().unwrap_or(0);
    main.max(init).saturating_add(sidecars)
}

/// An amount for people.
fn show(resource: &str, amount: i128) -> String {
    if resource.ends_with("cpu") {
        show_cpu(amount)
    } else if resource.ends_with("memory") || resource.ends_with("storage") {
        show_bytes(amount / 1000)
    } else {
        (amount / 1000).to_string()
    }
}

/// An amount for a manifest: never less than what is meant.
fn exact(resource: &str, amount: i128) -> String {
    const MI: i128 = 1 << 20;
    if resource.ends_with("cpu") {
        if amount % 1000 == 0 { (amount / 1000).to_string() } else { format!("{amount}m") }
    } else if resource.ends_with("memory") || resource.ends_with("storage") {
        let bytes = amount.div_euclid(1000) + i128::from(amount.rem_euclid(1000) != 0);
        let mi = bytes.div_euclid(MI) + i128::from(bytes.rem_euclid(MI) != 0);
        if mi % 1024 == 0 { format!("{}Gi", mi / 1024) } else { format!("{mi}Mi") }
    } else {
        (amount.div_euclid(1000) + i128::from(amount.rem_euclid(1000) != 0)).to_string()
    }
}

/// As much as all missing pods need.
fn raise(rejection: &Rejection<'_>, name: &str, lines: &[Line]) -> Fix {
    let workload = rejection.workload;
    let count = i128::from(missing(workload));
    let hard: Map<String, Value> = lines
        .iter()
        .map(|l| {
            (
                l.resource.clone(),
                json!(exact(&l.resource, l.used.saturating_add(l.ask.saturating_mul(count)))),
            )
        })
        .collect();
    let to: Vec<String> =
        hard.iter().map(|(k, v)| format!("{k} to {}", v.as_str().unwrap_or_default())).collect();
    let manifest = json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": name, "namespace": workload.meta.namespace},
        "spec": {"hard": hard},
    });
    Fix::call(
        format!("raise resourcequota {name}: {}, which is room for {count} more", to.join(", ")),
        "apply",
        json!({"manifest": manifest.to_string(), "take_over": true}),
    )
}

/// As few pods as fit.
fn shrink(rejection: &Rejection<'_>, lines: &[Line]) -> Fix {
    let workload = rejection.workload;
    let have = i64::try_from(active(workload).count()).unwrap_or(0);
    let scales = matches!(workload.kind, "deployment" | "statefulset");
    if scales && have > 0 && have < workload.desired {
        return Fix::call(
            format!("scale {} to {have}, which is what fits", workload.object()),
            "scale",
            json!({"workload": workload.object().to_string(), "namespace": workload.meta.namespace, "replicas": have}),
        );
    }
    let names: Vec<&str> = lines.iter().map(|l| l.resource.as_str()).collect();
    Fix::advice(format!(
        "free some {} in {}, or let {} ask for less",
        names.join(", "),
        workload.meta.namespace,
        workload.object()
    ))
}

/// `failed quota: compute: must specify limits.cpu for: web; limits.memory for: web`.
pub fn unspecified(engine: &mut Engine<'_>, rejection: &Rejection<'_>) -> Roots {
    let workload = rejection.workload;
    let namespace = &workload.meta.namespace;
    let Some((_, rest)) = rejection.text.split_once("failed quota: ") else { return Roots::new() };
    let Some((name, wants)) = rest.split_once(": must specify ") else { return Roots::new() };
    let quota = engine.snap.quotas.find(namespace, name);
    let demands = |resource: &str| quota.found().is_none_or(|q| q.spec.hard.get(resource).is_some());
    let mut lacks: Vec<(&str, &str)> = Vec::new();
    for part in wants.split("; ") {
        let Some((resource, containers)) = part.split_once(" for: ") else { continue };
        let all = containers.split(',').map(|c| (resource.trim(), c.trim()));
        lacks.extend(all.filter(|(r, c)| demands(r) && !specifies(&workload.template.spec, c, r)));
    }
    if quota.is_absent() || lacks.is_empty() {
        return over(
            engine,
            &UNSPECIFIED,
            rejection,
            &format!("resourcequota {name} demands nothing more of them"),
        );
    }
    let mut by_container: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (resource, container) in &lacks {
        by_container.entry(container).or_default().push(resource);
    }
    let parts: Vec<String> =
        by_container.iter().map(|(c, r)| format!("container {c} sets no {}", r.join(", "))).collect();
    let says = format!("gets no new pods: {}, which resourcequota {name} demands", parts.join("; "));
    let mut finding = Finding::new(&UNSPECIFIED, workload.object(), says).since(rejection.first);
    if let Lookup::Found(found) = engine.snap.quotas.find(namespace, name) {
        let keys: Vec<&str> = found.spec.hard.iter().map(|(k, _)| k).collect();
        finding = finding.seen(Object::new("resourcequota", namespace, name), "spec.hard", keys.join(", "));
    } else {
        finding = finding.observed();
    }
    let words: Vec<String> =
        by_container.iter().map(|(c, r)| format!("{} of container {c}", r.join(", "))).collect();
    finding = finding
        .seen(rejection.by.clone(), rejection.at, rejection.text.clone())
        .fix(Fix::advice(format!("set {}", words.join("; "))))
        .fix(Fix::advice(format!("or give {namespace} a LimitRange with defaults for them")));
    engine.root(finding)
}

/// Whether a container says how much of a quota's resource it takes. A limit is also a request.
fn specifies(spec: &PodSpec, container: &str, resource: &str) -> bool {
    let (name, is_limit) = match resource.split_once('.') {
        Some(("limits", name)) => (name, true),
        Some(("requests", name)) => (name, false),
        _ => (resource, false),
    };
    spec.containers.iter().chain(&spec.init_containers).find(|c| c.name == container).is_some_and(|c| {
        c.resources.limits.get(name).is_some() || !is_limit && c.resources.requests.get(name).is_some()
    })
}
