//! What is told of rows, with figures and without.

use super::super::facts;
use super::super::facts::Facts;
use super::super::rows::{of_nodes, of_pods, sort};
use super::*;
use crate::metrics::Samples;

fn now() -> Timestamp {
    "2026-11-21T04:00:12Z".parse().unwrap()
}

fn pods(many: usize) -> Facts {
    let kept: Vec<Value> = (0..many)
        .map(|i| {
            facts::what_it_takes(&json!({"metadata": {"name": format!("p{i:04}"), "namespace": "todo"}, "spec": {"containers": [
                {"name": "a", "resources": {"requests": {"cpu": "100m", "memory": "1Mi"}, "limits": {"memory": "2Mi"}}}]}}))
        })
        .collect();
    Facts::of(&kept, false)
}

fn samples(many: usize) -> Metrics {
    let all: Vec<Value> = (0..many)
        .map(|i| {
            json!({"name": format!("p{i:04}"), "namespace": "todo", "timestamp": "2026-11-21T04:00:00Z", "window": "15s",
            "containers": [{"name": "a", "usage": {"cpu": format!("{}m", i + 1), "memory": "2040Ki"}}]})
        })
        .collect();
    Metrics::There(Samples::of(&all))
}

fn told(usage: &Usage, by: By, pods: usize, metrics: &Metrics) -> Report {
    let facts = self::pods(pods);
    let mut rows = of_pods(by, &facts.pods, metrics);
    sort(&mut rows, usage.sort.unwrap_or_default(), metrics.is_there());
    Told { usage, by, rows: &rows, metrics, now: now() }.of_pods("in todo", false, pods)
}

fn table(report: &Report) -> &Table {
    match &report.blocks[0] {
        Block::Table(table) => table,
        _ => panic!("a table"),
    }
}

#[test]
fn used_stands_beside_requests_and_limits() {
    let report = told(&Usage::default(), By::Pods, 2, &samples(2));
    let names: Vec<&str> = table(&report).columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["POD", "CPU", "CPU REQUEST", "CPU LIMIT", "MEMORY", "MEMORY REQUEST", "MEMORY LIMIT"]);
    assert_eq!(
        table(&report).rows[0],
        ["p0001", "2m", "100m (2%)", "-", "2.0Mi", "1Mi (199%)", "2Mi (100%)"]
    );
    assert_eq!(
        report.say[0],
        "2 pods in todo use 3m CPU of 200m requested (2%) and 4.0Mi memory of 2Mi requested (199%)."
    );
    assert_eq!(report.say[1], "At or near a limit: p0001 (memory 100%), p0000 (memory 100%).");
    assert!(report.say[2].starts_with("This is a moment, not a trend: one sample of each over 15 s"));
    assert_eq!(
        report.data["items"][0]["memory"],
        json!({"used": 2040 << 10, "requests": 1 << 20, "limits": 2 << 20})
    );
    assert_eq!(report.data["metrics"]["window_seconds"], json!([15, 15]));
}

#[test]
fn without_figures_what_is_requested_is_still_told() {
    let report = told(&Usage::default(), By::Pods, 2, &Metrics::Absent);
    assert_eq!(table(&report).rows[0], ["p0000", "100m", "-", "1Mi", "2Mi"]);
    assert_eq!(report.say[0], "2 pods in todo request 200m CPU and 2Mi memory.");
    assert!(report.say[1].contains("no metrics API"), "{:?}", report.say);
    let empty = told(&Usage::default(), By::Pods, 0, &Metrics::Absent);
    assert_eq!(empty.say, ["No pods run in todo."]);
}

#[test]
fn pods_without_a_sample_are_counted() {
    let report = told(&Usage::default(), By::Pods, 3, &samples(1));
    assert_eq!(report.say.last().unwrap(), "2 pods have no sample: they are new or do not run.");
    assert_eq!(table(&report).rows[1][1], "-");
    let none = told(&Usage::default(), By::Pods, 3, &Metrics::There(Samples::default()));
    assert!(none.say[1].contains("no samples yet"), "{:?}", none.say);
}

#[test]
fn many_pods_are_cut_to_the_largest() {
    let report = told(&Usage::default(), By::Pods, 5000, &samples(5000));
    assert_eq!(table(&report).rows.len(), 20);
    assert_eq!(table(&report).rows[0][0], "p4999");
    assert!(table(&report).more.starts_with("4980 more"));
    assert!(
        report.say[0].starts_with("5000 pods in todo use 12502.50 CPU of 500 requested"),
        "{}",
        report.say[0]
    );
    assert_eq!(
        (report.data["total"].clone(), report.data["items"].as_array().unwrap().len()),
        (json!(5000), 20)
    );
    let most = told(&Usage { limit: Some(9999), ..Usage::default() }, By::Pods, 5000, &samples(1));
    assert_eq!(table(&most).rows.len(), 200);
}

#[test]
fn nodes_say_where_there_is_room() {
    let node = |name: &str, cpu: &str| json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu, "memory": "1Gi", "pods": "110"}, "conditions": [{"type": "Ready", "status": "True"}]}});
    let nodes = [node("n1", "2"), node("n2", "4")];
    let facts = {
        let mut facts = pods(1);
        facts.pods[0].node = "n1".into();
        facts
    };
    let used = Samples::of(&[
        json!({"name": "n1", "namespace": "", "timestamp": "2026-11-21T04:00:00Z", "window": "10s", "usage": {"cpu": "500m", "memory": "256Mi"}}),
    ]);
    let metrics = Metrics::There(used);
    let rows = of_nodes(&nodes, Some(&facts.pods), &metrics);
    let usage = Usage::default();
    let report = Told { usage: &usage, by: By::Nodes, rows: &rows, metrics: &metrics, now: now() }.of_nodes();
    assert_eq!(
        table(&report).rows[0],
        ["n1", "500m (25%)", "100m (5%)", "1.90", "256Mi (25%)", "1Mi (0%)", "1023Mi", "1/110", "Ready"]
    );
    assert_eq!(
        report.say[0],
        "2 nodes: 6 CPU and 2Gi memory, of which 2% and 0% are requested and 8% and 13% are used."
    );
    assert_eq!(report.say[1], "Most CPU is free on n2: 4 CPU and 1Gi memory are not requested.");
}
