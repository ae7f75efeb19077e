//! From pods, nodes and samples to rows: put together, sorted, added up (pure).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::Value;

use super::facts::Pod;
use super::{By, Sort};
use crate::metrics::Metrics;
use crate::object::{items, text};
use crate::quantity::whole;
use crate::resources::Amounts;

/// One row: a pod, a container, or several pods together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    pub namespace: String,
    pub name: String,
    /// What was measured; of several pods, of those that have a sample.
    pub used: Amounts,
    pub requests: Amounts,
    pub limits: Amounts,
    /// Pods in it, and those without a sample.
    pub pods: usize,
    pub unsampled: usize,
    pub node: Option<Node>,
}

/// What only a node has.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Node {
    pub allocatable: Amounts,
    pub most_pods: i128,
    /// Whether what is requested on it could be read.
    pub is_known: bool,
    /// `Ready`, `NotReady`, `cordoned`.
    pub state: String,
}

impl Node {
    /// What can still be requested.
    pub(super) fn free(&self, requests: Amounts) -> Amounts {
        if !self.is_known {
            return Amounts::default();
        }
        let left = |of: Option<i128>, taken: Option<i128>| of.map(|o| o.saturating_sub(taken.unwrap_or(0)));
        Amounts {
            cpu: left(self.allocatable.cpu, requests.cpu),
            memory: left(self.allocatable.memory, requests.memory),
        }
    }
}

/// Rows of pods, of their containers, or of pods put together.
pub(super) fn of_pods(by: By, pods: &[Pod], metrics: &Metrics) -> Vec<Row> {
    let mut rows: BTreeMap<(String, String), Row> = BTreeMap::new();
    for pod in pods {
        let sample = metrics.of(&pod.namespace, &pod.name);
        let unsampled = usize::from(sample.is_none());
        if by == By::Containers {
            for container in &pod.containers {
                let name = if pods.len() == 1 {
                    container.name.clone()
                } else {
                    format!("{}/{}", pod.name, container.name)
                };
                let used = sample.and_then(|s| s.containers.get(&container.name)).copied();
                let row = Row {
                    namespace: pod.namespace.clone(),
                    name: name.clone(),
                    used: used.unwrap_or_default(),
                    requests: container.requests,
                    limits: container.limits,
                    pods: 1,
                    unsampled: usize::from(used.is_none()),
                    node: None,
                };
                rows.insert((pod.namespace.clone(), name), row);
            }
            continue;
        }
        let (namespace, name) = match by {
            By::Workloads => (pod.namespace.clone(), pod.workload.clone()),
            By::Namespaces => (String::new(), pod.namespace.clone()),
            _ => (pod.namespace.clone(), pod.name.clone()),
        };
        let used = sample.map(|s| s.whole).unwrap_or_default();
        rows.entry((namespace.clone(), name.clone()))
            .and_modify(|row| {
                row.used = row.used.plus(used);
                row.requests = row.requests.plus(pod.requests);
                row.limits = row.limits.bounded_plus(pod.limits);
                row.pods += 1;
                row.unsampled += unsampled;
            })
            .or_insert(Row {
                namespace,
                name,
                used,
                requests: pod.requests,
                limits: pod.limits,
                pods: 1,
                unsampled,
                node: None,
            });
    }
    rows.into_values().collect()
}

/// Rows of nodes; `None` for the pods when they may not be read.
pub(super) fn of_nodes(nodes: &[Value], pods: Option<&[Pod]>, metrics: &Metrics) -> Vec<Row> {
    let row = |node: &Value| {
        let name = text(node, "/metadata/name");
        let sample = metrics.of("", name);
        let mut row = Row {
            name: name.into(),
            used: sample.map(|s| s.whole).unwrap_or_default(),
            unsampled: usize::from(sample.is_none()),
            node: Some(Node {
                allocatable: Amounts::of(node.pointer("/status/allocatable")),
                most_pods: whole(text(node, "/status/allocatable/pods")).unwrap_or(110),
                is_known: pods.is_some(),
                state: state(node),
            }),
            ..Row::default()
        };
        let mut limits: Option<Amounts> = None;
        for pod in pods.unwrap_or_default().iter().filter(|p| p.node == name) {
            row.pods += 1;
            row.requests = row.requests.plus(pod.requests);
            limits = Some(limits.map_or(pod.limits, |l| l.plus(pod.limits)));
        }
        row.limits = limits.unwrap_or_default();
        row
    };
    nodes.iter().map(row).collect()
}

fn state(node: &Value) -> String {
    let ready = items(node, "/status/conditions")
        .iter()
        .any(|c| text(c, "/type") == "Ready" && text(c, "/status") == "True");
    let cordoned = node.pointer("/spec/unschedulable").and_then(Value::as_bool) == Some(true);
    match (ready, cordoned) {
        (true, false) => "Ready".into(),
        (true, true) => "Ready, cordoned".into(),
        (false, false) => "NotReady".into(),
        (false, true) => "NotReady, cordoned".into(),
    }
}

/// The largest first: by what is used, or where nothing is measured by what is requested.
pub(super) fn sort(rows: &mut [Row], by: Sort, is_measured: bool) {
    rows.sort_by_key(|row| {
        let of = |amounts: Amounts| match by {
            Sort::Cpu => amounts.cpu,
            Sort::Memory => amounts.memory,
        };
        let first = if is_measured { of(row.used) } else { None };
        (Reverse(first), Reverse(of(row.requests)), row.namespace.clone(), row.name.clone())
    });
}

/// All rows together.
pub(super) fn sum(rows: &[Row]) -> Row {
    rows.iter().fold(Row::default(), |mut sum, row| {
        sum.used = sum.used.plus(row.used);
        sum.requests = sum.requests.plus(row.requests);
        sum.limits = sum.limits.plus(row.limits);
        sum.pods += row.pods;
        sum.unsampled += row.unsampled;
        sum
    })
}

/// How much of the whole a part is, in whole percent, rounded to the nearest.
pub(super) fn percent(part: Option<i128>, of: Option<i128>) -> Option<i128> {
    let (part, of) = (part?, of.filter(|o| *o > 0)?);
    Some((part.saturating_mul(200) + of) / (of.saturating_mul(2)))
}

/// Which rows are at or above nine tenths of a limit, and of which, the nearest first.
pub(super) fn near_limit(rows: &[Row]) -> Vec<(i128, &str, &Row)> {
    let mut near: Vec<(i128, &str, &Row)> = rows
        .iter()
        .flat_map(|row| {
            let of = |used, limit, what: &'static str| Some((percent(used, limit)?, what, row));
            [of(row.used.memory, row.limits.memory, "memory"), of(row.used.cpu, row.limits.cpu, "CPU")]
        })
        .flatten()
        .filter(|(percent, ..)| *percent >= 90)
        .collect();
    near.sort_by_key(|(percent, what, _)| (Reverse(*percent), *what));
    near
}

/// The number of pods that a node runs, of as many as it takes, when it says so.
pub(super) fn pods_of_node(row: &Row) -> String {
    match &row.node {
        Some(node) if node.is_known => format!("{}/{}", row.pods, node.most_pods),
        _ => "-".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn amounts(cpu: i128, memory: i128) -> Amounts {
        Amounts { cpu: Some(cpu), memory: Some(memory) }
    }

    fn pod(name: &str, workload: &str, limits: Amounts) -> Pod {
        Pod {
            name: name.into(),
            namespace: "todo".into(),
            workload: workload.into(),
            node: "n1".into(),
            requests: amounts(100, 1000),
            limits,
            containers: Vec::new(),
        }
    }

    #[test]
    fn pods_come_together_by_what_runs_them() {
        let pods = [
            pod("web-1", "deployment/web", amounts(200, 2000)),
            pod("web-2", "deployment/web", Amounts { cpu: None, memory: Some(2000) }),
            pod("db-0", "statefulset/db", amounts(200, 2000)),
        ];
        let rows = of_pods(By::Workloads, &pods, &Metrics::Absent);
        let web = &rows[0];
        assert_eq!((web.name.as_str(), web.pods, web.unsampled), ("deployment/web", 2, 2));
        assert_eq!(web.requests, amounts(200, 2000));
        assert_eq!(
            web.limits,
            Amounts { cpu: None, memory: Some(4000) },
            "one without a limit: together without"
        );
        assert_eq!(of_pods(By::Namespaces, &pods, &Metrics::Absent)[0].pods, 3);
    }

    #[test]
    fn the_largest_come_first() {
        let row = |name: &str, used: i128, requested: i128| Row {
            name: name.into(),
            used: Amounts { cpu: Some(used), memory: Some(100 - used) },
            requests: Amounts { cpu: Some(requested), memory: None },
            ..Row::default()
        };
        let mut rows = [row("a", 1, 9), row("b", 3, 5), row("c", 3, 7)];
        let names = |rows: &[Row]| rows.iter().map(|r| r.name.clone()).collect::<String>();
        sort(&mut rows, Sort::Cpu, true);
        assert_eq!(names(&rows), "cba");
        sort(&mut rows, Sort::Memory, true);
        assert_eq!(names(&rows), "abc");
        sort(&mut rows, Sort::Cpu, false);
        assert_eq!(names(&rows), "acb", "by requests where nothing is measured");
    }

    #[test]
    fn nodes_have_what_is_left() {
        let node = json!({"metadata": {"name": "n1"}, "spec": {"unschedulable": true}, "status": {"allocatable": {"cpu": "4", "memory": "4Ki", "pods": "10"},
            "conditions": [{"type": "Ready", "status": "True"}]}});
        let pods = [pod("a", "x", amounts(1, 1)), Pod { node: "n2".into(), ..pod("b", "x", amounts(1, 1)) }];
        let row = &of_nodes(std::slice::from_ref(&node), Some(&pods), &Metrics::Absent)[0];
        let own = row.node.as_ref().unwrap();
        assert_eq!((own.free(row.requests).cpu, own.state.as_str()), (Some(3900), "Ready, cordoned"));
        assert_eq!(pods_of_node(row), "1/10");
        let unknown = &of_nodes(&[node], None, &Metrics::Absent)[0];
        assert_eq!(unknown.node.as_ref().unwrap().free(unknown.requests), Amounts::default());
    }

    #[test]
    fn near_a_limit_is_nine_tenths_of_it() {
        let row = |used: i128| Row {
            used: amounts(used, used),
            limits: Amounts { cpu: None, memory: Some(100) },
            ..Row::default()
        };
        let rows = [row(89), row(90), row(120)];
        let near: Vec<i128> = near_limit(&rows).iter().map(|(p, ..)| *p).collect();
        assert_eq!(near, [120, 90]);
        assert_eq!(percent(Some(1), Some(0)), None);
        assert_eq!(percent(Some(1), Some(3)), Some(33));
    }
}
