//! A drain: the node takes no new pods, and each pod that can be elsewhere is asked to leave.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Node, is_cordoned, schedulable};
use crate::cluster::Cluster;
use crate::cluster::read::Listing;
use crate::cluster::resolve::{Resolved, resolved};
use crate::cost::collect::what_counts;
use crate::error::ToolError;
use crate::object::{builtin, number, selects, text};
use crate::plan::drain::{Place, controller, has_local_data, place};
use crate::plan::{Change, Plan};
use crate::review::{Level, Line, unplaced};

/// Most names that one sentence lists.
const NAMES: usize = 8;

/// What is read for a drain.
struct Seen {
    /// On the node.
    pods: Vec<Value>,
    budgets: Result<Vec<Value>, ToolError>,
    nodes: Result<Vec<Value>, ToolError>,
    /// On other nodes, reduced to what they take.
    running: Result<Vec<Value>, ToolError>,
}

impl Node {
    pub(super) async fn drain(&self, cluster: &Cluster, node: Resolved) -> Result<Plan, ToolError> {
        let name = node.object.name.as_str();
        let here = Listing { fields: Some(format!("spec.nodeName={name}")), ..Listing::default() };
        let elsewhere = Listing {
            fields: Some(format!("spec.nodeName!={name},status.phase!=Succeeded,status.phase!=Failed")),
            keep: Some(what_counts),
            ..Listing::default()
        };
        let every = Listing::default();
        let (pod, budget, kind) = (builtin("pod"), builtin("poddisruptionbudget"), builtin("node"));
        let (pods, budgets, nodes, running) = tokio::join!(
            cluster.list(&pod, None, &here),
            cluster.list(&budget, None, &every),
            cluster.list(&kind, None, &every),
            cluster.list(&pod, None, &elsewhere),
        );
        let seen = Seen {
            pods: pods?.items,
            budgets: budgets.map(|l| l.items),
            nodes: nodes.map(|l| l.items),
            running: running.map(|l| l.items),
        };
        self.drained(node, seen)
    }

    /// Decides what changes (pure).
    fn drained(&self, node: Resolved, seen: Seen) -> Result<Plan, ToolError> {
        let name = node.object.name.clone();
        let (moving, staying): (Vec<Value>, Vec<Value>) =
            seen.pods.into_iter().partition(|pod| place(pod) == Place::Moves);
        let unseen = seen.budgets.as_ref().err().map(|e| {
            Line::new(Level::Unknown, "pdb", format!("disruption budgets cannot be looked at: {e}"))
        });
        let budgets = seen.budgets.as_deref().unwrap_or_default();
        self.refuse(&moving, budgets)?;
        let mut notes = staying_note(&staying);
        let cordoned = is_cordoned(&node.live);
        if moving.is_empty() && cordoned {
            let title = format!("nothing to change: node/{name} is cordoned, and no pod is to leave it");
            return Ok(Plan { title, notes, ..Plan::default() });
        }
        if !moving.is_empty() {
            notes.push("evicted pods do not come back: their controllers make others on other nodes".into());
        }
        let room = room(&name, &moving, seen.nodes, seen.running);
        let mut about_all: Vec<Line> = room.into_iter().chain(unseen).collect();
        let mut changes = Vec::new();
        if !cordoned {
            let cordon = schedulable(node, false);
            changes.push(std::mem::take(&mut about_all).into_iter().fold(cordon, Change::with));
        }
        let counts = of_this_drain(&moving, budgets);
        for pod in moving {
            let mut lines = std::mem::take(&mut about_all);
            lines.extend(lines_of(&pod, budgets, &counts));
            let namespace = text(&pod, "/metadata/namespace").to_string();
            let target = resolved(&builtin("pod"), &namespace, pod, None);
            changes.push(lines.into_iter().fold(Change::evict(target).in_tier(1), Change::with));
        }
        let evictions = changes.iter().filter(|c| c.tier == 1).count();
        let what = match evictions {
            0 => "no pod is to leave it".to_string(),
            1 => "1 pod leaves it".to_string(),
            n => format!("{n} pods leave it"),
        };
        Ok(Plan { title: format!("Drain node/{name}: {what}"), name, changes, notes, ..Plan::default() })
    }

    /// What is not evicted unless it was asked for, and what cannot be.
    fn refuse(&self, moving: &[Value], budgets: &[Value]) -> Result<(), ToolError> {
        let named = |refused: &dyn Fn(&Value) -> bool| -> Vec<String> {
            moving.iter().filter(|pod| refused(pod)).map(full_name).collect()
        };
        let (mut why, mut hints) = (Vec::new(), Vec::new());
        let local = named(&has_local_data);
        if self.delete_local_data != Some(true) && !local.is_empty() {
            why.push(format!("data on this node (emptyDir) would be lost with {}", few(&local)));
            hints.push("`delete_local_data`");
        }
        let alone = named(&|pod| controller(pod).is_none());
        if self.force != Some(true) && !alone.is_empty() {
            why.push(format!("no controller would make these pods again: {}", few(&alone)));
            hints.push("`force`");
        }
        let twice = named(&|pod| covering(pod, budgets).count() > 1);
        if !twice.is_empty() {
            why.push(format!(
                "the API server evicts no pod that several disruption budgets cover: {}",
                few(&twice)
            ));
        }
        if why.is_empty() {
            return Ok(());
        }
        let hint = match hints.as_slice() {
            [] => "Leave each pod one budget.".to_string(),
            hints => format!("If that is well, drain with {}.", hints.join(" and ")),
        };
        Err(ToolError::Refused { message: why.join("; "), hint })
    }
}

fn full_name(pod: &Value) -> String {
    format!("{}/{}", text(pod, "/metadata/namespace"), text(pod, "/metadata/name"))
}

fn few(names: &[String]) -> String {
    let shown = names.iter().take(NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    let shown = crate::sanitize::line(&shown);
    match names.len().saturating_sub(NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// What stays on the node, counted.
fn staying_note(staying: &[Value]) -> Vec<String> {
    let mut counts: BTreeMap<Place, usize> = BTreeMap::new();
    staying.iter().for_each(|pod| *counts.entry(place(pod)).or_default() += 1);
    let said: Vec<String> = counts
        .into_iter()
        .map(|(place, n)| {
            let what = match place {
                Place::DaemonSet => "of DaemonSets",
                Place::Static => "of the node itself (static)",
                Place::Leaving => "that leave already",
                _ => "that have ended",
            };
            format!("{n} {what}")
        })
        .collect();
    if said.is_empty() { Vec::new() } else { vec![format!("pods left alone: {}", said.join(", "))] }
}

/// The disruption budgets that cover a pod.
fn covering<'a>(pod: &'a Value, budgets: &'a [Value]) -> impl Iterator<Item = &'a Value> {
    let labels = pod.pointer("/metadata/labels");
    budgets.iter().filter(move |b| {
        text(b, "/metadata/namespace") == text(pod, "/metadata/namespace")
            && selects(b.pointer("/spec/selector"), labels)
    })
}

/// How many of the pods that leave each budget covers.
fn of_this_drain(moving: &[Value], budgets: &[Value]) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for pod in moving {
        for budget in covering(pod, budgets) {
            *counts.entry(full_name(budget)).or_default() += 1;
        }
    }
    counts
}

/// What is to be known of one pod's eviction.
fn lines_of(pod: &Value, budgets: &[Value], counts: &BTreeMap<String, i64>) -> Vec<Line> {
    let mut lines = Vec::new();
    let namespace = text(pod, "/metadata/namespace");
    if namespace.starts_with("kube-") {
        lines.push(Line::new(Level::Warning, "cluster", "is a part of the cluster itself"));
    }
    if has_local_data(pod) {
        lines.push(Line::new(Level::Warning, "data", "its data on this node (emptyDir) are lost"));
    }
    if controller(pod).is_none() {
        lines.push(Line::new(Level::Warning, "alone", "has no controller: nobody makes it again"));
    }
    for budget in covering(pod, budgets) {
        let of_drain = counts.get(&full_name(budget)).copied().unwrap_or(1);
        lines.push(held(budget, of_drain));
    }
    lines
}

/// What a budget means for the pods of this drain that it covers.
fn held(budget: &Value, of_drain: i64) -> Line {
    let name = text(budget, "/metadata/name");
    let status = |field: &str| number(budget, &format!("/status/{field}")).unwrap_or(0);
    let allowed = status("disruptionsAllowed");
    let (wanted, expected) = (status("desiredHealthy"), status("expectedPods"));
    if allowed == 0 && expected <= wanted {
        return Line::new(
            Level::Warning,
            "pdb",
            format!(
                "held by pdb/{name}: it wants {wanted} of {expected} pods and allows no disruption at all; scale up, or the drain does not end"
            ),
        );
    }
    if allowed >= of_drain {
        return Line::new(Level::Fact, "pdb", format!("pdb/{name} allows {allowed} disruptions now"));
    }
    Line::new(
        Level::Warning,
        "pdb",
        format!(
            "pdb/{name} allows {allowed} of {of_drain} evictions now: the others wait until new pods are ready"
        ),
    )
}

/// Whether the other nodes have room for the pods.
fn room(
    name: &str,
    moving: &[Value],
    nodes: Result<Vec<Value>, ToolError>,
    running: Result<Vec<Value>, ToolError>,
) -> Option<Line> {
    // What nobody makes again needs no room.
    let moving: Vec<&Value> = moving.iter().filter(|pod| controller(pod).is_some()).collect();
    if moving.is_empty() {
        return None;
    }
    let (nodes, running) = match (nodes, running) {
        (Ok(nodes), Ok(running)) => (nodes, running),
        (Err(e), _) | (_, Err(e)) => {
            let text = format!("whether other nodes have room is not known: {e}");
            return Some(Line::new(Level::Unknown, "room", text));
        }
    };
    let others: Vec<Value> = nodes.into_iter().filter(|n| text(n, "/metadata/name") != name).collect();
    let specs: Vec<&Value> = moving.iter().map(|pod| pod.get("spec").unwrap_or(&Value::Null)).collect();
    let without: Vec<String> =
        unplaced(&specs, &others, &running).into_iter().map(|at| full_name(moving[at])).collect();
    Some(if without.is_empty() {
        Line::new(
            Level::Fact,
            "room",
            format!("other nodes have room for the {} pods, by their requests", moving.len()),
        )
    } else {
        Line::new(
            Level::Warning,
            "room",
            format!(
                "no other node has room for {} of {} pods, which would stay Pending: {}",
                without.len(),
                moving.len(),
                few(&without)
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, extra: Value) -> Value {
        let mut pod = json!({"metadata": {"name": name, "namespace": "t", "labels": {"app": name},
            "ownerReferences": [{"kind": "ReplicaSet", "controller": true}]}, "spec": {"containers": []}});
        for (key, value) in extra.as_object().into_iter().flatten() {
            pod[key] = value.clone();
        }
        pod
    }

    fn plan(arguments: Value, pods: Vec<Value>, budgets: Vec<Value>) -> Result<Plan, ToolError> {
        let mut all = json!({"name": "n1", "action": "drain"});
        for (key, value) in arguments.as_object().into_iter().flatten() {
            all[key] = value.clone();
        }
        let node: Node = serde_json::from_value(all).unwrap();
        let live = json!({"metadata": {"name": "n1"}, "spec": {}});
        let seen = Seen { pods, budgets: Ok(budgets), nodes: Ok(vec![]), running: Ok(vec![]) };
        node.drained(resolved(&builtin("node"), "", live, None), seen)
    }

    fn budget(name: &str, app: &str, allowed: i64, wanted: i64, expected: i64) -> Value {
        json!({"metadata": {"name": name, "namespace": "t"}, "spec": {"selector": {"matchLabels": {"app": app}}},
            "status": {"disruptionsAllowed": allowed, "desiredHealthy": wanted, "expectedPods": expected}})
    }

    #[test]
    fn first_the_cordon_then_each_pod() {
        let agent = pod(
            "agent",
            json!({"metadata": {"name": "agent", "ownerReferences": [{"kind": "DaemonSet", "controller": true}]}}),
        );
        let made = plan(json!({}), vec![pod("a", json!({})), agent, pod("b", json!({}))], vec![]).unwrap();
        let steps: Vec<(String, u32)> = made.changes.iter().map(|c| (c.object.to_string(), c.tier)).collect();
        assert_eq!(steps, [("node/n1".into(), 0), ("pod/a".into(), 1), ("pod/b".into(), 1)]);
        assert_eq!((made.title.as_str(), made.name.as_str()), ("Drain node/n1: 2 pods leave it", "n1"));
        assert_eq!(made.notes[0], "pods left alone: 1 of DaemonSets");
        let room = &made.changes[0].lines[0];
        assert!(room.level == Level::Warning && room.text.contains("2 of 2 pods"), "{}", room.text);
    }

    #[test]
    fn data_and_pods_of_nobody_are_refused_by_name_until_asked_for() {
        let local = || pod("local", json!({"spec": {"volumes": [{"emptyDir": {}}]}}));
        let alone = || pod("alone", json!({"metadata": {"name": "alone", "namespace": "t"}}));
        let error = plan(json!({}), vec![local(), alone()], vec![]).unwrap_err().explain();
        assert!(error.contains("t/local") && error.contains("t/alone"), "{error}");
        assert!(error.contains("`delete_local_data` and `force`"), "{error}");
        assert!(plan(json!({"force": true}), vec![local()], vec![]).is_err());
        let asked = json!({"force": true, "delete_local_data": true});
        let made = plan(asked, vec![local(), alone()], vec![]).unwrap();
        assert_eq!(made.changes[1].lines[0].label, "data");
        assert_eq!(made.changes[2].lines[0].label, "alone");
    }

    #[test]
    fn budgets_are_named_with_what_they_allow() {
        let said = |budgets: Vec<Value>| {
            let made = plan(json!({}), vec![pod("a", json!({})), pod("a", json!({}))], budgets).unwrap();
            made.changes[1].lines[0].clone()
        };
        let line = said(vec![budget("p", "a", 1, 2, 3)]);
        assert!(
            line.level == Level::Warning && line.text.contains("allows 1 of 2 evictions now"),
            "{}",
            line.text
        );
        assert_eq!(said(vec![budget("p", "a", 2, 1, 3)]).level, Level::Fact);
        assert!(said(vec![budget("p", "a", 0, 2, 2)]).text.contains("held by pdb/p: it wants 2 of 2"));
        let both = vec![budget("p", "a", 1, 1, 2), budget("q", "a", 1, 1, 2)];
        let error = plan(json!({}), vec![pod("a", json!({}))], both).unwrap_err().explain();
        assert!(error.contains("several disruption budgets cover: t/a"), "{error}");
    }
}
