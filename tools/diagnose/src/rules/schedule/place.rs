//! Findings about which nodes a pod may have: labels, taints, cordons, nodes that are not well.

use serde_json::{Value, json};

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, FixCall, Object};
use crate::model::{Node, Requirement};
use crate::rules::schedule::filter::{Fail, holds, is_condition, is_control_plane, node_terms};
use crate::rules::schedule::{Case, list, nodes};
use crate::rules::similar::nearest;
use crate::walk;

pub(super) const SELECTOR: Cause =
    Cause::fault("nodeselector-mismatch", 2, "No node has the labels that a pod's node selector asks for.");
pub(super) const AFFINITY: Cause =
    Cause::fault("nodeaffinity-mismatch", 2, "No node fits a pod's required node affinity.");
pub(super) const TAINT: Cause = Cause::fault(
    "taint-untolerated",
    2,
    "The nodes that would take a pod have a taint that it does not tolerate.",
);
pub(super) const CORDONED: Cause =
    Cause::fault("all-cordoned", 2, "The nodes that would take a pod are cordoned.");
pub(super) const NOT_READY: Cause = Cause::fault(
    "nodes-not-ready",
    1,
    "The nodes that would take a pod carry the taint of a node that is not well.",
);

/// All nodes.
pub(super) fn all<'a>(case: &Case<'a, '_>) -> impl Iterator<Item = &'a Node> {
    case.cluster.rooms.iter().map(|r| r.node)
}

/// A change of the pod template of a workload; none for what is not changed in place.
pub(super) fn template(case: &Case<'_, '_>, spec: &Value) -> Option<Fix> {
    template_of(&case.maker, spec).map(|call| Fix { says: String::new(), calls: vec![call] })
}

/// A call that changes the pod template of a workload.
pub(super) fn template_of(maker: &Object, spec: &Value) -> Option<FixCall> {
    let kind = match maker.kind.as_str() {
        "deployment" => "Deployment",
        "statefulset" => "StatefulSet",
        "daemonset" => "DaemonSet",
        _ => return None,
    };
    let manifest = json!({
        "apiVersion": "apps/v1", "kind": kind,
        "metadata": {"name": maker.name, "namespace": maker.namespace},
        "spec": {"template": {"spec": spec}},
    });
    Some(FixCall {
        tool: "apply".into(),
        arguments: json!({"manifest": manifest.to_string(), "take_over": true}),
    })
}

/// Up to three values that nodes have for a label.
pub(super) fn values<'a>(case: &Case<'a, '_>, key: &str) -> Vec<&'a str> {
    let mut values: Vec<&str> = all(case).filter_map(|n| n.label(key)).collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// The label that nodes have and that may be meant: of the same key, else of a key like it.
fn meant<'a>(case: &Case<'a, '_>, key: &str, value: &str) -> Option<(&'a str, &'a str)> {
    let same = |node: &'a Node| node.metadata.labels.iter().find(|(k, _)| *k == key);
    let of_key = values(case, key);
    // Values are short: one letter that is wrong or out of place is enough to have been meant.
    let slip = |v: &&str| value.len() >= 3 && strsim::osa_distance(value, v) == 1;
    if let Some(near) =
        nearest(value, of_key.iter().copied()).or_else(|| of_key.iter().copied().find(|v| slip(v)))
    {
        return all(case).find_map(|n| same(n).filter(|(_, v)| *v == near)).map(|(k, v)| (k, v.as_str()));
    }
    if !of_key.is_empty() {
        return None;
    }
    let mut keys: Vec<&str> = all(case).flat_map(|n| n.metadata.labels.iter().map(|(k, _)| k)).collect();
    keys.sort_unstable();
    keys.dedup();
    let last = |k: &str| k.rsplit('/').next().unwrap_or(k).to_owned();
    let near = keys
        .iter()
        .copied()
        .find(|k| last(k) == last(key) || *k == last(key))
        .or_else(|| nearest(key, keys.iter().copied()))?;
    let of_near = values(case, near);
    let value =
        of_near.iter().copied().find(|v| *v == value).or_else(|| nearest(value, of_near.iter().copied()))?;
    Some((near, value))
}

/// The node selector fits no node.
pub(super) fn selector(engine: &mut Engine<'_>, case: &Case<'_, '_>) -> Roots {
    let wanted = &case.pod.spec.node_selector;
    let has = |key: &str, value: &String| all(case).any(|n| n.metadata.labels.get(key) == Some(value));
    let mut missing: Vec<(&str, &String)> = wanted.iter().filter(|(k, v)| !has(k, v)).collect();
    let is_combination = missing.is_empty();
    if is_combination {
        missing = wanted.iter().collect();
    }
    let text: Vec<String> = missing.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let near: Vec<(&str, (&str, &str))> = missing
        .iter()
        .filter(|_| !is_combination)
        .filter_map(|(k, v)| meant(case, k, v).map(|m| (*k, m)))
        .collect();
    let hint = match (near.as_slice(), missing.as_slice()) {
        ([], [(key, _)]) if !values(case, key).is_empty() => {
            format!("; nodes have {key}={}", list(&values(case, key)))
        }
        ([], _) => String::new(),
        (near, _) => {
            let text: Vec<String> = near.iter().map(|(_, (k, v))| format!("{k}={v}")).collect();
            let first = near.first().map(|(_, m)| *m);
            let names: Vec<&str> = all(case)
                .filter(|n| first.is_some_and(|(k, v)| n.label(k) == Some(v)))
                .map(|n| n.metadata.name.as_str())
                .collect();
            format!(
                "; {} {} {}",
                nodes(&names),
                if names.len() == 1 { "has" } else { "have" },
                text.join(", ")
            )
        }
    };
    let together = if is_combination { "all of that together" } else { "that" };
    let says = format!("asks for a node with {}, and no node has {together}{hint}", text.join(", "));
    let finding = case.finding(&SELECTOR, case.maker.clone(), says).seen(
        case.maker.clone(),
        "spec.template.spec.nodeSelector",
        text.join(", "),
    );
    let finding = if near.len() == missing.len() && !near.is_empty() && is_settable(&case.maker) {
        let mut labels = serde_json::Map::new();
        for (old, (key, value)) in &near {
            if old != key {
                labels.insert((*old).to_owned(), json!(""));
            }
            labels.insert((*key).to_owned(), json!(value));
        }
        let wanted: Vec<String> = near.iter().map(|(_, (k, v))| format!("{k}={v}")).collect();
        finding.fix(Fix::call(
            format!("ask for {} in {}", wanted.join(", "), case.maker),
            "set",
            json!({"workload": case.maker.to_string(), "namespace": case.maker.namespace, "node_selector": labels}),
        ))
    } else {
        label_node(case, finding, &missing)
    };
    engine.root(finding)
}

fn is_settable(maker: &Object) -> bool {
    matches!(maker.kind.as_str(), "deployment" | "statefulset" | "daemonset")
}

/// Advice to give a node the labels that are asked for; a call where there is only one node that can be meant.
fn label_node(case: &Case<'_, '_>, finding: Finding, missing: &[(&str, &String)]) -> Finding {
    let text: Vec<String> = missing.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let text = text.join(", ");
    let mut workers = all(case).filter(|n| !n.spec.taints.iter().any(|t| is_control_plane(&t.key)));
    match (workers.next(), workers.next()) {
        (Some(only), None) => {
            let labels: serde_json::Map<String, Value> =
                missing.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
            let node = Object::of("node", &only.metadata);
            finding.fix(Fix::call(
                format!("label {node} {text}"),
                "set",
                json!({"workload": node.to_string(), "labels": labels}),
            ))
        }
        _ => finding.fix(Fix::advice(format!(
            "label the nodes that are meant with {text}, or do not ask for it in {}",
            case.maker
        ))),
    }
}

/// The required node affinity fits no node.
pub(super) fn affinity(engine: &mut Engine<'_>, case: &Case<'_, '_>) -> Roots {
    let Some(terms) = node_terms(case.pod) else { return Roots::new() };
    // The requirements that no node meets, in the term that misses least.
    let lacking = |term: &'_ crate::model::NodeTerm| -> Vec<Requirement> {
        let none = |r: &&Requirement| !all(case).any(|n| holds(r, n));
        let field = |r: &&Requirement| !all(case).any(|n| r.holds(Some(n.metadata.name.as_str())));
        let labels = term.match_expressions.iter().filter(none);
        labels.chain(term.match_fields.iter().filter(field)).cloned().collect()
    };
    let best = terms.node_selector_terms.iter().min_by_key(|t| lacking(t).len());
    let Some(best) = best else { return Roots::new() };
    let bad = lacking(best);
    let shown: Vec<String> = match bad.as_slice() {
        [] => best.match_expressions.iter().chain(&best.match_fields).map(Requirement::text).collect(),
        bad => bad.iter().map(Requirement::text).collect(),
    };
    let together = if bad.is_empty() { "all of that together" } else { "that" };
    let near = match bad.as_slice() {
        [one] if one.operator == "In" => one
            .values
            .iter()
            .find_map(|v| meant(case, &one.key, v).map(|(k, near)| (one, v.as_str(), k, near))),
        _ => None,
    };
    let hint = match (&near, bad.as_slice()) {
        (Some((.., key, value)), _) => format!("; nodes have {key}={value}"),
        (None, [one]) if !values(case, &one.key).is_empty() => {
            format!("; nodes have {}={}", one.key, list(&values(case, &one.key)))
        }
        _ => String::new(),
    };
    let says = format!("requires a node with {}, and no node has {together}{hint}", shown.join(" and "));
    let finding = case.finding(&AFFINITY, case.maker.clone(), says).seen(
        case.maker.clone(),
        "spec.template.spec.affinity.nodeAffinity",
        shown.join(" and "),
    );
    let fix = near.and_then(|(bad, from, key, value)| {
        let put = |r: &Requirement| -> Value {
            if r.key != bad.key || r.values != bad.values {
                return json!({"key": r.key, "operator": r.operator, "values": r.values});
            }
            let values: Vec<&str> = r.values.iter().map(|v| if v == from { value } else { v }).collect();
            json!({"key": key, "operator": r.operator, "values": values})
        };
        let terms: Vec<Value> = terms
            .node_selector_terms
            .iter()
            .map(|t| {
                let of = |all: &[Requirement]| all.iter().map(put).collect::<Vec<Value>>();
                let mut term = serde_json::Map::new();
                if !t.match_expressions.is_empty() {
                    term.insert("matchExpressions".into(), json!(of(&t.match_expressions)));
                }
                if !t.match_fields.is_empty() {
                    term.insert("matchFields".into(), json!(of(&t.match_fields)));
                }
                Value::Object(term)
            })
            .collect();
        let required = json!({"nodeSelectorTerms": terms});
        let spec =
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}});
        let mut fix = template(case, &spec)?;
        fix.says = format!("require {key}={value} in {}", case.maker);
        Some(fix)
    });
    let finding = match (fix, bad.as_slice()) {
        (Some(fix), _) => finding.fix(fix),
        (None, [one]) if one.operator == "In" && !one.values.is_empty() => {
            let first: Vec<(&str, &String)> =
                one.values.iter().take(1).map(|v| (one.key.as_str(), v)).collect();
            label_node(case, finding, &first)
        }
        _ => finding.fix(Fix::advice(format!(
            "change the required node affinity of {} so that some node fits, or label a node for it",
            case.maker
        ))),
    };
    engine.root(finding)
}

/// A taint, as people write it.
fn taint_text(key: &str, value: &str) -> String {
    if value.is_empty() { key.to_owned() } else { format!("{key}={value}") }
}

/// A taint that is not tolerated.
pub(super) fn taint(engine: &mut Engine<'_>, case: &Case<'_, '_>, fail: &Fail, at: &[usize]) -> Roots {
    let Fail::Taint { key, value, effect } = fail else { return Roots::new() };
    let names = case.names(at);
    let text = taint_text(key, value);
    let says = format!(
        "does not tolerate the taint {text}:{effect} of {}, which would take it otherwise",
        nodes(&names)
    );
    let first = names.first().map(|n| Object::new("node", "", n)).unwrap_or_else(|| case.maker.clone());
    let finding = case.finding(&TAINT, case.maker.clone(), says).which(format!("{text}:{effect}")).seen(
        first,
        "spec.taints",
        format!("{text}:{effect}"),
    );
    let finding = if is_settable(&case.maker) {
        finding.fix(Fix::call(
            format!("let {} tolerate {text}:{effect}", case.maker),
            "set",
            json!({"workload": case.maker.to_string(), "namespace": case.maker.namespace,
                   "tolerations": [format!("{text}:{effect}")]}),
        ))
    } else {
        finding.fix(Fix::advice(format!("make {} anew with a toleration of {text}:{effect}", case.maker)))
    };
    let finding = finding.fix(Fix::advice(format!(
        "take the taint {text}:{effect} off {}, if it is not meant",
        nodes(&names)
    )));
    engine.root(finding)
}

/// Cordons: one finding however many workloads wait.
pub(super) fn cordoned(engine: &mut Engine<'_>, case: &Case<'_, '_>, at: &[usize]) -> Roots {
    let names = case.names(at);
    let Some(first) = names.first() else { return Roots::new() };
    let (is, it) = if names.len() == 1 { ("is", "it") } else { ("are", "one of them") };
    let says = format!("{} {is} cordoned, and only {it} would take pods that wait", nodes(&names));
    let added = all(case)
        .find(|n| n.metadata.name == *first)
        .and_then(|n| n.spec.taints.iter().find(|t| t.key == "node.kubernetes.io/unschedulable"))
        .map(|t| t.time_added)
        .unwrap_or_default();
    let node = Object::new("node", "", first);
    let calls = names
        .iter()
        .map(|n| FixCall { tool: "node".into(), arguments: json!({"name": n, "action": "uncordon"}) })
        .collect();
    let finding = case
        .finding(&CORDONED, node.clone(), says)
        .seen(node, "spec.unschedulable", "true")
        .since(added)
        .fix(Fix { says: format!("uncordon {}", list(&names)), calls });
    engine.root(finding)
}

/// Nodes that are not well: what explains them explains the pod.
pub(super) fn unwell<'a>(engine: &mut Engine<'a>, case: &Case<'a, '_>, at: &[usize]) -> Roots {
    let mut roots = Roots::new();
    let mut rest = Vec::new();
    for room in at.iter().filter_map(|at| case.cluster.rooms.get(*at)) {
        let found = walk::node(engine, room.node);
        if found.is_empty() {
            rest.push(room.node);
        }
        roots.extend(found);
    }
    let Some(first) = rest.first() else { return roots };
    let names: Vec<&str> = rest.iter().map(|n| n.metadata.name.as_str()).collect();
    let Some(taint) = first.spec.taints.iter().find(|t| is_condition(&t.key)) else { return roots };
    let node = Object::of("node", &first.metadata);
    let (has, state) = if names.len() == 1 { ("has", "it is") } else { ("have", "they are") };
    let (state, advice) = if rest.iter().all(|n| n.is_ready()) {
        (
            format!(", though {state} ready"),
            "the node controller takes such a taint away: look whether kube-controller-manager runs"
                .to_owned(),
        )
    } else {
        (String::new(), format!("look at the kubelet of {}", list(&names)))
    };
    let says = format!("{} {has} the taint {}:{}{state}", nodes(&names), taint.key, taint.effect);
    let ready = first.condition("Ready").map(|c| c.message.clone()).unwrap_or_default();
    let finding = case
        .finding(&NOT_READY, node.clone(), says)
        .seen(node, "status.conditions[Ready]", ready)
        .since(taint.time_added)
        .fix(Fix::advice(advice));
    roots.push(engine.found(finding));
    roots
}
