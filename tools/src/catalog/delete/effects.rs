//! What a deletion means for what belongs to the object, uses it, or points to it (pure).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::near::Near;
use super::uses::{leads_to, pod_spec, serves_with, uses};
use crate::cluster::resolve::Resolved;
use crate::object::{builtin_kinds, items, text};
use crate::plan::{Change, UndoBy};
use crate::review::{Level, Line};

/// Most names that one line lists.
const NAMES: usize = 6;

/// What goes with the object, who uses it, and what is left pointing at nothing. `gone` holds the uids of all that the
/// whole plan takes away.
pub(super) fn lines(target: &Resolved, near: &Near, gone: &BTreeSet<String>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    lines.extend(belongings(target, near));
    lines.extend(users(target, near));
    lines.extend(left(target, near, gone));
    lines
}

/// What is said last of every object: finalizers, and whether it can be made anew.
pub(super) fn last(target: &Resolved) -> Vec<Line> {
    let mut lines = Vec::new();
    let held: Vec<String> = items(&target.live, "/metadata/finalizers")
        .iter()
        .filter_map(|f| Some(f.as_str()?.to_string()))
        .collect();
    if !held.is_empty() {
        let text = format!("it stays until its finalizers are done: {}", few(&held));
        lines.push(Line::new(Level::Warning, "finalizer", text));
    }
    if Change::delete(target.clone()).undo == UndoBy::Remake {
        let again = if target.kind.kind == "Job" { ", and it would run again" } else { "" };
        let text =
            format!("kai undo makes it anew from its spec: under another uid, without its status{again}");
        lines.push(Line::new(Level::Fact, "undo", text));
    }
    lines
}

/// What the garbage collector takes after it.
fn belongings(target: &Resolved, near: &Near) -> Vec<Line> {
    let mut lines = Vec::new();
    let owned = near.owned(text(&target.live, "/metadata/uid"));
    if !owned.is_empty() {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        owned.iter().for_each(|(kind, _)| *counts.entry(kind).or_default() += 1);
        let counts: Vec<String> = counts.into_iter().map(|(kind, n)| many(n, kind)).collect();
        let names: Vec<String> = owned
            .iter()
            .filter(|(kind, _)| *kind != "replicaset")
            .map(|(kind, object)| format!("{kind}/{}", text(object, "/metadata/name")))
            .collect();
        let names = if names.is_empty() { String::new() } else { format!(": {}", few(&names)) };
        lines.push(Line::new(Level::Fact, "with it", format!("{}{names}", counts.join(", "))));
    }
    if is_foreign(target) {
        let said = "what else its own controller removes with it cannot be seen from here";
        lines.push(Line::new(Level::Fact, "with it", said));
    }
    if target.kind.kind == "StatefulSet" && !takes_claims(target) {
        let names: Vec<String> = claims_of_set(target, near)
            .iter()
            .map(|c| format!("pvc/{}", text(c, "/metadata/name")))
            .collect();
        if !names.is_empty() {
            lines.push(Line::new(Level::Fact, "data", format!("{} stay, with their data", few(&names))));
        }
    }
    lines
}

/// Whether the kind is one that this crate knows nothing of.
fn is_foreign(target: &Resolved) -> bool {
    target.kind.namespaced
        && builtin_kinds().iter().all(|k| *k != target.kind)
        && target.kind.group.contains('.')
        && !target.kind.group.ends_with(".k8s.io")
}

/// The claims whose data go with the object.
pub(super) fn claims<'a>(target: &'a Resolved, near: &'a Near) -> Vec<&'a Value> {
    match target.kind.kind.as_str() {
        "PersistentVolumeClaim" => vec![&target.live],
        "StatefulSet" if takes_claims(target) => claims_of_set(target, near),
        _ => near
            .owned(text(&target.live, "/metadata/uid"))
            .into_iter()
            .filter(|(kind, _)| *kind == "persistentvolumeclaim")
            .map(|(_, claim)| claim)
            .collect(),
    }
}

fn takes_claims(target: &Resolved) -> bool {
    text(&target.live, "/spec/persistentVolumeClaimRetentionPolicy/whenDeleted") == "Delete"
}

/// The claims that a StatefulSet made from its templates: `<template>-<set>-<number>`.
fn claims_of_set<'a>(target: &Resolved, near: &'a Near) -> Vec<&'a Value> {
    let made_by = |claim: &&Value| {
        items(&target.live, "/spec/volumeClaimTemplates").iter().any(|template| {
            let stem = format!("{}-{}-", text(template, "/metadata/name"), target.object.name);
            text(claim, "/metadata/name")
                .strip_prefix(&stem)
                .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        })
    };
    near.of("persistentvolumeclaim").iter().filter(made_by).collect()
}

/// Who uses it and will not start, or not serve, without it.
fn users(target: &Resolved, near: &Near) -> Vec<Line> {
    let kind = target.kind.kind.as_str();
    if !matches!(kind, "ConfigMap" | "Secret" | "ServiceAccount" | "PersistentVolumeClaim") {
        return Vec::new();
    }
    let name = target.object.name.as_str();
    let mut lines = Vec::new();
    let named = |kind: &str, object: &Value| format!("{kind}/{}", text(object, "/metadata/name"));
    let mut workloads: Vec<String> = Vec::new();
    for kind_of_user in ["deployment", "statefulset", "daemonset", "cronjob"] {
        let users = near.of(kind_of_user).iter().filter(|o| uses(pod_spec(kind_of_user, o), kind, name));
        workloads.extend(users.map(|o| named(kind_of_user, o)));
    }
    let pods: Vec<String> = near
        .of("pod")
        .iter()
        .filter(|pod| uses(pod_spec("pod", pod), kind, name))
        .map(|pod| named("pod", pod))
        .collect();
    if !workloads.is_empty() {
        let text = format!("{}: new pods of it do not start without it", few(&workloads));
        lines.push(Line::new(Level::Warning, "used by", text));
    }
    if !pods.is_empty() {
        let what = match kind {
            "PersistentVolumeClaim" => "it stays until no pod uses it any more",
            "ServiceAccount" => "their tokens stop working",
            _ => "they keep what they have until they start again",
        };
        lines.push(Line::new(Level::Warning, "used by", format!("{}: {what}", few(&pods))));
    }
    let ingresses: Vec<String> = near
        .of("ingress")
        .iter()
        .filter(|i| kind == "Secret" && serves_with(i, name))
        .map(|i| named("ingress", i))
        .collect();
    if !ingresses.is_empty() {
        let text = format!("{}: no certificate to serve with", few(&ingresses));
        lines.push(Line::new(Level::Warning, "used by", text));
    }
    lines
}

/// What is left pointing at nothing.
fn left(target: &Resolved, near: &Near, gone: &BTreeSet<String>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut warn = |text: String| lines.push(Line::new(Level::Warning, "left", text));
    if target.kind.kind == "Service" {
        for ingress in near.of("ingress") {
            let addresses = leads_to(ingress, &target.object.name);
            if !addresses.is_empty() {
                let name = text(ingress, "/metadata/name");
                warn(format!("ingress/{name} leads nowhere at {}", few(&addresses)));
            }
        }
    }
    let uid = text(&target.live, "/metadata/uid");
    let own: BTreeSet<&str> =
        near.owned(uid).iter().map(|(_, o)| text(o, "/metadata/uid")).chain([uid]).collect();
    for service in near.of("service") {
        let Some(want) =
            service.pointer("/spec/selector").and_then(Value::as_object).filter(|s| !s.is_empty())
        else {
            continue;
        };
        let selected: Vec<&Value> = near
            .of("pod")
            .iter()
            .filter(|pod| {
                let labels = pod.pointer("/metadata/labels");
                want.iter().all(|(k, v)| labels.and_then(|l| l.get(k)) == Some(v))
            })
            .collect();
        let is_own = |pod: &&Value| own.contains(text(pod, "/metadata/uid"));
        if selected.iter().any(is_own) && selected.iter().all(|pod| stays_gone(pod, gone)) {
            warn(format!("service/{} is left without pods to answer", text(service, "/metadata/name")));
        }
    }
    for hpa in near.of("horizontalpodautoscaler") {
        if text(hpa, "/spec/scaleTargetRef/kind") == target.kind.kind
            && text(hpa, "/spec/scaleTargetRef/name") == target.object.name
        {
            warn(format!("hpa/{} is left without a target", text(hpa, "/metadata/name")));
        }
    }
    lines
}

/// Whether a pod goes and nobody makes another.
fn stays_gone(pod: &Value, gone: &BTreeSet<String>) -> bool {
    let owner = items(pod, "/metadata/ownerReferences").iter().find(|o| o["controller"] == true);
    gone.contains(text(pod, "/metadata/uid")) && owner.is_none_or(|o| gone.contains(text(o, "/uid")))
}

/// `2 pods`, `1 replicaset`.
pub(super) fn many(count: usize, singular: &str) -> String {
    if count == 1 { format!("1 {singular}") } else { format!("{count} {singular}s") }
}

/// The first names, and how many more.
pub(super) fn few(names: &[String]) -> String {
    let shown = names.iter().take(NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::resolve::resolved;
    use crate::object::builtin;

    fn target(kind: &str, live: Value) -> Resolved {
        resolved(&builtin(kind), "t", live, None)
    }

    fn owned_by(name: &str, uid: &str, owner: &str) -> Value {
        json!({"metadata": {"name": name, "uid": uid, "labels": {"app": "b"}, "ownerReferences": [{"uid": owner, "controller": true}]}})
    }

    fn neighbours() -> Near {
        Near::of_lists(&[
            ("replicaset", vec![owned_by("b-1", "rs", "d")]),
            ("pod", vec![owned_by("b-1-x", "p", "rs"), owned_by("c-x", "q", "other")]),
            ("service", vec![json!({"metadata": {"name": "b"}, "spec": {"selector": {"app": "b"}}})]),
            (
                "horizontalpodautoscaler",
                vec![
                    json!({"metadata": {"name": "h"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "b"}}}),
                ],
            ),
        ])
    }

    fn said(target: &Resolved, near: &Near) -> Vec<String> {
        let gone = near.closure(&BTreeSet::from([text(&target.live, "/metadata/uid").to_string()]));
        lines(target, near, &gone).into_iter().map(|l| format!("{}: {}", l.label, l.text)).collect()
    }

    #[test]
    fn what_belongs_to_it_goes_and_what_others_own_stays() {
        let near = neighbours();
        let all = said(&target("deployment", json!({"metadata": {"name": "b", "uid": "d"}})), &near);
        assert_eq!(all, ["with it: 1 pod, 1 replicaset: pod/b-1-x", "left: hpa/h is left without a target"]);
    }

    #[test]
    fn a_service_is_left_when_its_last_pod_goes_for_good() {
        let mut near = neighbours();
        near = Near::of_lists(&[
            ("replicaset", near.of("replicaset").to_vec()),
            ("pod", near.of("pod")[..1].to_vec()),
            ("service", near.of("service").to_vec()),
        ]);
        let all = said(&target("deployment", json!({"metadata": {"name": "b", "uid": "d"}})), &near);
        assert!(all.contains(&"left: service/b is left without pods to answer".to_string()), "{all:?}");
        let pod = target("pod", near.of("pod")[0].clone());
        assert!(said(&pod, &near).is_empty(), "its owner makes another");
    }

    #[test]
    fn claims_of_a_set_go_or_stay_by_its_policy() {
        let near = Near::of_lists(&[(
            "persistentvolumeclaim",
            vec![
                json!({"metadata": {"name": "data-db-0"}}),
                json!({"metadata": {"name": "data-db-10"}}),
                json!({"metadata": {"name": "data-db-old"}}),
                json!({"metadata": {"name": "data-dbs-0"}}),
            ],
        )]);
        let set = |policy: &str| {
            target(
                "statefulset",
                json!({"metadata": {"name": "db", "uid": "s"}, "spec": {
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": policy}, "volumeClaimTemplates": [{"metadata": {"name": "data"}}]}}),
            )
        };
        let (keeps, takes) = (set("Retain"), set("Delete"));
        assert_eq!(said(&keeps, &near), ["data: pvc/data-db-0, pvc/data-db-10 stay, with their data"]);
        assert!(claims(&keeps, &near).is_empty());
        assert_eq!(claims(&takes, &near).len(), 2);
        assert!(said(&takes, &near).is_empty());
    }

    #[test]
    fn users_are_named() {
        let spec = json!({"template": {"spec": {"volumes": [{"configMap": {"name": "c"}}]}}});
        let near = Near::of_lists(&[
            ("deployment", vec![json!({"metadata": {"name": "b"}, "spec": spec})]),
            ("pod", vec![json!({"metadata": {"name": "b-1"}, "spec": spec["template"]["spec"]})]),
        ]);
        let all = said(&target("configmap", json!({"metadata": {"name": "c", "uid": "1"}})), &near);
        assert_eq!(all.len(), 2);
        assert!(
            all[0].starts_with("used by: deployment/b") && all[1].starts_with("used by: pod/b-1"),
            "{all:?}"
        );
    }

    #[test]
    fn finalizers_and_what_cannot_be_undone() {
        let held = target("configmap", json!({"metadata": {"name": "c", "finalizers": ["x/y"]}}));
        let labels: Vec<String> = last(&held).into_iter().map(|l| l.label).collect();
        assert_eq!(labels, ["finalizer", "undo"]);
        assert!(last(&target("namespace", json!({"metadata": {"name": "n"}}))).is_empty());
        assert!(last(&target("job", json!({"metadata": {"name": "j"}})))[0].text.contains("run again"));
    }
}
