//! Whether pods that a change adds have room: on the nodes and in the namespace's quotas (pure).

use std::collections::BTreeMap;

use kai_cost::cluster::{Shape, Size, Snapshot};
use kai_cost::place::{Place, Room, place, rooms};
use kai_cost::read;
use serde_json::Value;

use super::{Level, Line};
use crate::object::{items, text};
use crate::plan::Change;
use crate::quantity::{milli, show_bytes, show_cpu, whole};

/// Where the added pods would go, or why they would not. They take their place in `rooms`, so that the next change of the
/// same plan finds it taken.
pub(super) fn fit(change: &Change, snapshot: &Snapshot, rooms: &mut [Room]) -> Line {
    let added = change.added_pods();
    let shape = read::shape(pod_spec(change));
    let each = describe(shape.size);
    let mut used: BTreeMap<&str, usize> = BTreeMap::new();
    let mut left = added;
    while left > 0 {
        let Some(at) = put(snapshot, rooms, &shape) else { break };
        used.insert(&snapshot.nodes[rooms[at].node].machine.name, at);
        left -= 1;
    }
    if left > 0 {
        let usable = snapshot.nodes.iter().filter(|n| n.open && shape.placement.allows(n)).count();
        let why = if usable == 0 {
            "no node takes these pods (selectors, taints or cordons)".into()
        } else {
            format!("room for {} on {usable} nodes", added - left)
        };
        return Line::new(
            Level::Problem,
            "pods",
            format!("+{added} of {each}: {why}; {left} would stay Pending"),
        );
    }
    if shape.size == Size::default() {
        let places: Vec<&str> = used.keys().copied().take(3).collect();
        return Line::new(
            Level::Fact,
            "pods",
            format!(
                "+{added} without requests: they fit anywhere and are the first to be evicted ({} likely)",
                places.join(", ")
            ),
        );
    }
    let cpu = |amount: Size| show_cpu(amount.cpu.0.into());
    let places: Vec<String> = used
        .iter()
        .take(3)
        .map(|(name, at)| {
            let (room, all) = (&rooms[*at], snapshot.nodes[rooms[*at].node].allocatable);
            format!("{name} ({} of {} CPU requested after)", cpu(all - room.free), cpu(all))
        })
        .collect();
    let more = if used.len() > 3 { format!(" and {} more nodes", used.len() - 3) } else { String::new() };
    Line::new(Level::Fact, "pods", format!("+{added} of {each}: room on {}{more}", places.join(", ")))
}

/// The pods, by their place in the list, that no node has room for when each in turn is put where there is the most.
pub(crate) fn unplaced(specs: &[&Value], nodes: &[Value], running: &[Value]) -> Vec<usize> {
    let snapshot = Snapshot {
        nodes: nodes.iter().map(read::node).collect(),
        pods: running.iter().filter_map(read::pod).collect(),
        ..Snapshot::default()
    };
    let mut rooms = rooms(&snapshot, &|_| false);
    let shapes = specs.iter().map(|spec| read::shape(spec)).enumerate();
    let without = shapes.filter(|(_, shape)| put(&snapshot, &mut rooms, shape).is_none());
    without.map(|(at, _)| at).collect()
}

/// Puts one pod where there is the most room; which room that is.
fn put(snapshot: &Snapshot, rooms: &mut [Room], shape: &Shape) -> Option<usize> {
    match place(snapshot, rooms, &[shape])[..] {
        [Place::Room(at)] => Some(at),
        _ => None,
    }
}

/// The spec of the pods that a change runs.
fn pod_spec(change: &Change) -> &Value {
    let path = if change.kind.kind == "Pod" { "/spec" } else { "/spec/template/spec" };
    change.after.pointer(path).unwrap_or(&Value::Null)
}

fn describe(need: Size) -> String {
    let (cpu, memory) = (i128::from(need.cpu.0), i128::from(need.memory.0));
    let parts = [
        (cpu > 0).then(|| format!("{} CPU", show_cpu(cpu))),
        (memory > 0).then(|| show_bytes(memory)),
        (need.gpus > 0).then(|| format!("{} GPU", need.gpus)),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    match parts.is_empty() {
        true => "unknown size (no requests)".into(),
        false => parts.join(" / "),
    }
}

/// Quotas that the added pods do not fit into, or that get tight.
pub(super) fn quota(change: &Change, quotas: &[Value]) -> Vec<Line> {
    let added = i128::from(change.added_pods());
    let spec = change.after.pointer("/spec/template/spec").unwrap_or(&Value::Null);
    let need = read::shape(spec).size;
    let (need_cpu, need_memory) = (i128::from(need.cpu.0), i128::from(need.memory.0));
    let (limit_cpu, limit_memory) = limited(spec);
    let mut lines = Vec::new();
    for quota in quotas
        .iter()
        .filter(|q| items(q, "/spec/scopes").is_empty() && q.pointer("/spec/scopeSelector").is_none())
    {
        let Some(hard) =
            quota.pointer("/status/hard").or(quota.pointer("/spec/hard")).and_then(Value::as_object)
        else {
            continue;
        };
        for (resource, most) in hard {
            let (each, in_milli) = match resource.as_str() {
                "pods" | "count/pods" => (1, false),
                "cpu" | "requests.cpu" => (need_cpu, true),
                "limits.cpu" => (limit_cpu, true),
                "memory" | "requests.memory" => (need_memory, false),
                "limits.memory" => (limit_memory, false),
                _ => continue,
            };
            let read = |q: &str| if in_milli { milli(q) } else { whole(q) };
            let used = quota
                .pointer("/status/used")
                .and_then(|u| u.get(resource))
                .and_then(Value::as_str)
                .unwrap_or("0");
            let (Some(most), Some(used)) = (most.as_str().and_then(read), read(used)) else { continue };
            let room = (most - used).max(0);
            let fits = if each > 0 { room / each } else { added };
            if fits < added {
                let show = |n: i128| {
                    if resource.contains("memory") {
                        show_bytes(n)
                    } else if in_milli {
                        show_cpu(n)
                    } else {
                        n.to_string()
                    }
                };
                lines.push(Line::new(
                    Level::Problem,
                    "quota",
                    format!(
                        "resourcequota/{} allows {} {resource}, {} used: room for {fits} of {added} new pods",
                        text(quota, "/metadata/name"),
                        show(most),
                        show(used)
                    ),
                ));
            }
        }
    }
    lines
}

/// What the containers of a pod may use: CPU in millicores and memory in bytes.
pub(super) fn limited(spec: &Value) -> (i128, i128) {
    let sum = |name: &str, f: fn(&str) -> Option<i128>| {
        items(spec, "/containers")
            .iter()
            .filter_map(|c| f(text(c, &format!("/resources/limits/{name}"))))
            .sum()
    };
    (sum("cpu", milli), sum("memory", whole))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cost::collect::what_counts;
    use crate::object::builtin;
    use crate::plan::{Does, UndoBy};

    fn scale(from: i64, to: i64, spec: Value) -> Change {
        let kind = builtin("deployment");
        let live = json!({"spec": {"replicas": from, "template": {"spec": spec}}});
        Change {
            object: kind.object("t", "b"),
            kind,
            does: Does::Scale { from, to },
            after: live.clone(),
            live,
            undo: UndoBy::Fields,
            tier: 0,
            needs: Vec::new(),
            lines: Vec::new(),
        }
    }

    fn node(name: &str, cpu: &str) -> Value {
        json!({"metadata": {"name": name, "labels": {"disk": name}}, "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "10"}, "conditions": [{"type": "Ready", "status": "True"}]}})
    }

    fn fits(change: &Change, nodes: &[Value], running: &[Value]) -> Line {
        let snapshot = Snapshot {
            nodes: nodes.iter().map(read::node).collect(),
            pods: running.iter().filter_map(read::pod).collect(),
            ..Snapshot::default()
        };
        fit(change, &snapshot, &mut rooms(&snapshot, &|_| false))
    }

    #[test]
    fn room_is_what_is_allocatable_less_what_is_requested() {
        let spec = json!({"containers": [{"resources": {"requests": {"cpu": "500m", "memory": "256Mi"}}}]});
        let running =
            json!({"spec": {"nodeName": "n1", "containers": [{"resources": {"requests": {"cpu": "700m"}}}]}});
        let line = fits(&scale(1, 3, spec.clone()), &[node("n1", "2")], &[what_counts(&running)]);
        assert_eq!(line.text, "+2 of 500m CPU / 256Mi: room on n1 (1.70 of 2 CPU requested after)");
        let line = fits(&scale(1, 9, spec), &[node("n1", "2")], &[]);
        assert!(
            line.level == Level::Problem && line.text.contains("room for 4 on 1 nodes; 4 would stay Pending"),
            "{}",
            line.text
        );
    }

    #[test]
    fn taints_cordons_and_selectors_count() {
        let mut tainted = node("n1", "4");
        tainted["spec"] = json!({"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]});
        let spec = json!({"containers": [{}]});
        assert_eq!(fits(&scale(1, 2, spec), std::slice::from_ref(&tainted), &[]).level, Level::Problem);
        let tolerant = json!({"containers": [{}], "tolerations": [{"key": "gpu", "operator": "Exists"}]});
        assert_eq!(fits(&scale(1, 2, tolerant), &[tainted], &[]).level, Level::Fact);
        let picky = json!({"containers": [{}], "nodeSelector": {"disk": "ssd"}});
        assert_eq!(fits(&scale(1, 2, picky), &[node("n1", "4")], &[]).level, Level::Problem);
    }

    #[test]
    fn required_affinity_is_about_labels_numbers_and_the_nodes_name() {
        let mut large = node("n1", "4");
        large["metadata"]["labels"]["cores"] = json!("16");
        let nodes = [large, node("n2", "4")];
        let wants = |term: Value| {
            let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}});
            let requests = json!({"requests": {"cpu": "100m"}});
            let spec = json!({"containers": [{"resources": requests}], "affinity": affinity});
            (unplaced(&[&spec], &nodes, &[]), fits(&scale(1, 2, spec), &nodes, &[]).text)
        };
        let cores = |operator: &str, value: &str| {
            wants(json!({"matchExpressions": [{"key": "cores", "operator": operator, "values": [value]}]}))
        };
        let named = |operator: &str, name: &str| {
            wants(json!({"matchFields": [{"key": "metadata.name", "operator": operator, "values": [name]}]}))
        };
        for ((without, said), node) in [
            (cores("Gt", "8"), "n1"),
            (cores("Lt", "32"), "n1"),
            (named("In", "n2"), "n2"),
            (named("NotIn", "n1"), "n2"),
        ] {
            assert!(without.is_empty());
            assert_eq!(said, format!("+1 of 100m CPU: room on {node} (100m of 4 CPU requested after)"));
        }
        // A term without expressions selects no node.
        for (without, said) in [cores("Gt", "16"), cores("Lt", "16"), named("In", "n3"), wants(json!({}))] {
            assert_eq!(without, [0]);
            assert!(said.contains("no node takes these pods"), "{said}");
        }
    }

    #[test]
    fn what_one_change_takes_the_next_finds_taken() {
        let spec = json!({"containers": [{"resources": {"requests": {"cpu": "500m"}}}]});
        let snapshot = Snapshot { nodes: vec![read::node(&node("n1", "2"))], ..Snapshot::default() };
        let mut rooms = rooms(&snapshot, &|_| false);
        let mut said = |to: i64| fit(&scale(1, to, spec.clone()), &snapshot, &mut rooms).text;
        assert_eq!(said(4), "+3 of 500m CPU: room on n1 (1.50 of 2 CPU requested after)");
        assert_eq!(said(3), "+2 of 500m CPU: room for 1 on 1 nodes; 1 would stay Pending");
        // A limit alone is a request too.
        let limited = json!({"containers": [{"resources": {"limits": {"cpu": "3"}}}]});
        assert!(unplaced(&[&limited], &[node("n1", "2")], &[]) == [0]);
    }

    #[test]
    fn pods_that_no_node_takes() {
        let spec = |cpu: &str| json!({"containers": [{"resources": {"requests": {"cpu": cpu}}}]});
        let (small, large) = (spec("1"), spec("1500m"));
        let specs = [&large, &small, &large, &small];
        assert_eq!(unplaced(&specs, &[node("n1", "3")], &[]), [2, 3]);
        assert!(unplaced(&specs, &[node("n1", "3"), node("n2", "2")], &[]).is_empty());
        let running =
            json!({"spec": {"nodeName": "n2", "containers": [{"resources": {"requests": {"cpu": "2"}}}]}});
        assert_eq!(unplaced(&specs, &[node("n1", "3"), node("n2", "2")], &[running]), [2, 3]);
    }

    #[test]
    fn quotas() {
        let spec = json!({"containers": [{"resources": {"requests": {"cpu": "500m"}}}]});
        let q = json!({"metadata": {"name": "q"}, "status": {"hard": {"requests.cpu": "2", "pods": "10"}, "used": {"requests.cpu": "1500m", "pods": "3"}}});
        let lines = quota(&scale(1, 3, spec.clone()), std::slice::from_ref(&q));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].text.contains("room for 1 of 2 new pods"), "{}", lines[0].text);
        assert!(quota(&scale(1, 2, spec), &[q]).is_empty());
    }
}
