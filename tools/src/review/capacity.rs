//! Whether pods that a change adds have room: on the nodes and in the namespace's quotas (pure).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Level, Line};
use crate::cost::collect::what_counts;
use crate::object::{items, selects, text};
use crate::plan::Change;
use crate::quantity::{milli, show_bytes, show_cpu, whole};
use crate::resources;

/// What one pod asks for: CPU in millicores, memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub cpu: i128,
    pub memory: i128,
}

/// What a pod spec requests; what is not set is nothing.
pub(super) fn requested(spec: &Value) -> Request {
    let requests = resources::requests(spec);
    Request { cpu: requests.cpu.unwrap_or(0), memory: requests.memory.unwrap_or(0) }
}

struct Room {
    name: String,
    cpu: i128,
    memory: i128,
    pods: i128,
    cpu_total: i128,
}

/// Where the added pods would go, or why they would not. They are put among the `pods`, so that the next change of the
/// same plan finds their place taken.
pub(super) fn fit(change: &Change, nodes: &[Value], pods: &mut Vec<Value>) -> Line {
    let added = change.added_pods();
    let spec = pod_spec(change);
    let need = requested(spec);
    let each = describe(need);
    let mut rooms = free(nodes, &Taken::of(pods), spec);
    let usable = rooms.len();
    let mut used: BTreeMap<String, i64> = BTreeMap::new();
    let mut left = added;
    while left > 0 {
        let Some(room) = roomiest(&mut rooms, need) else { break };
        room.cpu -= need.cpu;
        room.memory -= need.memory;
        room.pods -= 1;
        *used.entry(room.name.clone()).or_default() += 1;
        left -= 1;
    }
    let as_pod = what_counts(&json!({"spec": spec}));
    for (node, count) in &used {
        for _ in 0..*count {
            let mut pod = as_pod.clone();
            pod["spec"]["nodeName"] = json!(node);
            pods.push(pod);
        }
    }
    if left > 0 {
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
    if need == Request::default() {
        let places: Vec<&str> = used.keys().map(String::as_str).take(3).collect();
        return Line::new(
            Level::Fact,
            "pods",
            format!(
                "+{added} without requests: they fit anywhere and are the first to be evicted ({} likely)",
                places.join(", ")
            ),
        );
    }
    let places: Vec<String> = used
        .keys()
        .filter_map(|name| rooms.iter().find(|r| r.name == *name))
        .take(3)
        .map(|r| {
            format!(
                "{} ({} of {} CPU requested after)",
                r.name,
                show_cpu(r.cpu_total - r.cpu),
                show_cpu(r.cpu_total)
            )
        })
        .collect();
    let more = if used.len() > 3 { format!(" and {} more nodes", used.len() - 3) } else { String::new() };
    Line::new(Level::Fact, "pods", format!("+{added} of {each}: room on {}{more}", places.join(", ")))
}

/// The pods, by their place in the list, that no node has room for when each is put where there is the most.
pub(crate) fn unplaced(specs: &[&Value], nodes: &[Value], running: &[Value]) -> Vec<usize> {
    let mut taken = Taken::of(running);
    let mut without = Vec::new();
    for (at, spec) in specs.iter().enumerate() {
        let need = requested(spec);
        match roomiest(&mut free(nodes, &taken, spec), need) {
            Some(room) => taken.add(&room.name, need),
            None => without.push(at),
        }
    }
    without
}

/// The scheduler's default spreads: the node with the most room gets the next pod.
fn roomiest(rooms: &mut [Room], need: Request) -> Option<&mut Room> {
    rooms
        .iter_mut()
        .filter(|r| r.cpu >= need.cpu && r.memory >= need.memory && r.pods >= 1)
        .max_by_key(|r| (r.cpu, r.memory))
}

/// What pods take of each node.
#[derive(Default)]
struct Taken(BTreeMap<String, (Request, i128)>);

impl Taken {
    fn of(pods: &[Value]) -> Self {
        let mut taken = Self::default();
        for pod in pods {
            taken.add(text(pod, "/spec/nodeName"), requested(pod.get("spec").unwrap_or(&Value::Null)));
        }
        taken
    }

    fn add(&mut self, node: &str, request: Request) {
        let (sum, count) = self.0.entry(node.to_string()).or_default();
        sum.cpu += request.cpu;
        sum.memory += request.memory;
        *count += 1;
    }
}

/// The spec of the pods that a change runs.
fn pod_spec(change: &Change) -> &Value {
    let path = if change.kind.kind == "Pod" { "/spec" } else { "/spec/template/spec" };
    change.after.pointer(path).unwrap_or(&Value::Null)
}

fn describe(need: Request) -> String {
    match (need.cpu, need.memory) {
        (0, 0) => "unknown size (no requests)".into(),
        (cpu, 0) => format!("{} CPU", show_cpu(cpu)),
        (0, memory) => show_bytes(memory),
        (cpu, memory) => format!("{} CPU / {}", show_cpu(cpu), show_bytes(memory)),
    }
}

/// Room on each node that takes such pods.
fn free(nodes: &[Value], taken: &Taken, spec: &Value) -> Vec<Room> {
    let mut rooms: Vec<Room> = nodes
        .iter()
        .filter(|node| takes(node, spec))
        .map(|node| {
            let quantity = |name: &str| text(node, &format!("/status/allocatable/{name}")).to_string();
            let cpu = milli(&quantity("cpu")).unwrap_or(0);
            Room {
                name: text(node, "/metadata/name").into(),
                cpu,
                cpu_total: cpu,
                memory: whole(&quantity("memory")).unwrap_or(0),
                pods: whole(&quantity("pods")).unwrap_or(110),
            }
        })
        .collect();
    for room in &mut rooms {
        let (sum, count) = taken.0.get(&room.name).copied().unwrap_or_default();
        room.cpu -= sum.cpu;
        room.memory -= sum.memory;
        room.pods -= count;
    }
    rooms
}

/// Whether a node takes a pod of this spec: ready, not cordoned, selected, its taints tolerated.
fn takes(node: &Value, spec: &Value) -> bool {
    let ready = items(node, "/status/conditions")
        .iter()
        .any(|c| text(c, "/type") == "Ready" && text(c, "/status") == "True");
    let cordoned = node.pointer("/spec/unschedulable").and_then(Value::as_bool) == Some(true);
    let labels = node.pointer("/metadata/labels");
    let selected = spec
        .get("nodeSelector")
        .and_then(Value::as_object)
        .is_none_or(|want| want.iter().all(|(k, v)| labels.and_then(|l| l.get(k)) == Some(v)));
    let terms = items(
        spec,
        "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms",
    );
    let affine = terms.is_empty() || terms.iter().any(|term| selects(Some(term), labels));
    let tolerated = items(node, "/spec/taints")
        .iter()
        .filter(|t| text(t, "/effect") != "PreferNoSchedule")
        .all(|taint| items(spec, "/tolerations").iter().any(|t| tolerates(t, taint)));
    ready && !cordoned && selected && affine && tolerated
}

fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let effect = text(toleration, "/effect");
    let key = text(toleration, "/key");
    let exists = text(toleration, "/operator") == "Exists";
    (effect.is_empty() || effect == text(taint, "/effect"))
        && ((key.is_empty() && exists) || key == text(taint, "/key"))
        && (exists || text(toleration, "/value") == text(taint, "/value"))
}

/// Quotas that the added pods do not fit into, or that get tight.
pub(super) fn quota(change: &Change, quotas: &[Value]) -> Vec<Line> {
    let added = i128::from(change.added_pods());
    let spec = change.after.pointer("/spec/template/spec").unwrap_or(&Value::Null);
    let need = requested(spec);
    let limit = limited(spec);
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
                "cpu" | "requests.cpu" => (need.cpu, true),
                "limits.cpu" => (limit.cpu, true),
                "memory" | "requests.memory" => (need.memory, false),
                "limits.memory" => (limit.memory, false),
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

fn limited(spec: &Value) -> Request {
    let sum = |name: &str, f: fn(&str) -> Option<i128>| {
        items(spec, "/containers")
            .iter()
            .filter_map(|c| f(text(c, &format!("/resources/limits/{name}"))))
            .sum()
    };
    Request { cpu: sum("cpu", milli), memory: sum("memory", whole) }
}

#[cfg(test)]
mod tests {
    use super::*;
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

    #[test]
    fn room_is_what_is_allocatable_less_what_is_requested() {
        let spec = json!({"containers": [{"resources": {"requests": {"cpu": "500m", "memory": "256Mi"}}}]});
        let running =
            json!({"spec": {"nodeName": "n1", "containers": [{"resources": {"requests": {"cpu": "700m"}}}]}});
        let line = fit(&scale(1, 3, spec.clone()), &[node("n1", "2")], &mut vec![what_counts(&running)]);
        assert_eq!(line.text, "+2 of 500m CPU / 256Mi: room on n1 (1.70 of 2 CPU requested after)");
        let line = fit(&scale(1, 9, spec), &[node("n1", "2")], &mut Vec::new());
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
        assert_eq!(
            fit(&scale(1, 2, spec), std::slice::from_ref(&tainted), &mut Vec::new()).level,
            Level::Problem
        );
        let tolerant = json!({"containers": [{}], "tolerations": [{"key": "gpu", "operator": "Exists"}]});
        assert_eq!(fit(&scale(1, 2, tolerant), &[tainted], &mut Vec::new()).level, Level::Fact);
        let picky = json!({"containers": [{}], "nodeSelector": {"disk": "ssd"}});
        assert_eq!(fit(&scale(1, 2, picky), &[node("n1", "4")], &mut Vec::new()).level, Level::Problem);
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
