//! What becomes of the autoscaler, and what is said about it.

use super::*;

fn web(kind: &str, replicas: i64, requests: Value) -> Resolved {
    let kind = builtin(kind);
    let live = json!({"metadata": {"name": "web"}, "spec": {"replicas": replicas, "template": {"spec": {
        "containers": [{"name": "app", "resources": {"requests": requests}}]}}}});
    Resolved { object: kind.object("shop", "web"), kind, live, note: None }
}

fn hpa(name: &str, of: &str) -> Resolved {
    let kind = builtin("horizontalpodautoscaler");
    let live = json!({"metadata": {"name": name}, "spec": {
        "scaleTargetRef": {"kind": "Deployment", "name": of}, "minReplicas": 2, "maxReplicas": 5,
        "metrics": [
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}},
            {"type": "Pods", "pods": {"metric": {"name": "requests"}}}]}});
    Resolved { object: kind.object("shop", name), kind, live, note: None }
}

fn plan(arguments: Value, workload: &Resolved, all: Vec<Resolved>) -> Result<Plan, ToolError> {
    let mut arguments = arguments;
    arguments["workload"] = json!("web");
    let autoscale: Autoscale = serde_json::from_value(arguments).unwrap();
    autoscale.check()?;
    autoscale.changes(workload, all, "shop")
}

fn warns(plan: &Plan) -> Vec<&str> {
    plan.changes[0].lines.iter().filter(|l| l.level == Level::Warning).map(|l| l.text.as_str()).collect()
}

#[test]
fn a_new_one_is_named_like_its_workload() {
    let on = web("deployment", 2, json!({"cpu": "100m"}));
    let made = plan(json!({"min": 2, "max": 5, "cpu": 70}), &on, vec![]).unwrap();
    assert_eq!(made.title, "Autoscale deployment/web from 2 to 5, cpu 70%");
    let after = &made.changes[0].after;
    assert_eq!(after["metadata"]["name"], "web");
    assert_eq!(
        after["spec"]["scaleTargetRef"],
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"})
    );
    assert!(made.changes[0].creates() && warns(&made).is_empty());
    let defaults = plan(json!({"max": 5}), &on, vec![]).unwrap();
    assert_eq!(defaults.title, "Autoscale deployment/web from 2 to 5, cpu 70%");
    assert_eq!(defaults.changes[0].lines.iter().filter(|l| l.label == "default").count(), 2);
}

#[test]
fn the_one_that_targets_it_is_changed_whatever_its_name() {
    let on = web("deployment", 2, json!({"cpu": "100m", "memory": "1Gi"}));
    let made =
        plan(json!({"max": 8, "memory": 80}), &on, vec![hpa("other", "api"), hpa("mine", "web")]).unwrap();
    let change = &made.changes[0];
    assert_eq!(change.object.name, "mine");
    assert_eq!(
        (&change.after["spec"]["minReplicas"], &change.after["spec"]["maxReplicas"]),
        (&json!(2), &json!(8))
    );
    assert_eq!(items(&change.after, "/spec/metrics").len(), 3, "the others stay");
    let same = plan(json!({"min": 2, "max": 5, "cpu": 70}), &on, vec![hpa("mine", "web")]).unwrap();
    assert!(same.changes.is_empty() && same.title.starts_with("nothing to change"), "{}", same.title);
}

#[test]
fn off_deletes_it() {
    let on = web("deployment", 2, json!({}));
    let made = plan(json!({"off": true}), &on, vec![hpa("mine", "web")]).unwrap();
    assert!(made.changes[0].removes() && made.changes[0].object.name == "mine");
    let none = plan(json!({"off": true}), &on, vec![hpa("other", "api")]).unwrap();
    assert_eq!(none.title, "nothing to change: deployment/web has no autoscaler");
}

#[test]
fn what_would_surprise_is_said() {
    let bare = web("deployment", 9, json!({"memory": "1Gi"}));
    let made = plan(json!({"min": 2, "max": 5}), &bare, vec![]).unwrap();
    assert!(warns(&made)[0].contains("no cpu request on container app"), "{:?}", warns(&made));
    assert!(warns(&made)[1].contains("goes down to 5"), "{:?}", warns(&made));
    let few = plan(json!({"min": 3, "max": 5}), &web("deployment", 1, json!({"cpu": "1"})), vec![]).unwrap();
    assert!(warns(&few)[0].contains("goes up to 3"));
    let zero =
        plan(json!({"min": 1, "max": 5}), &web("statefulset", 0, json!({"cpu": "1"})), vec![]).unwrap();
    assert!(warns(&zero)[0].contains("leaves a workload at zero"));
}

#[test]
fn refused() {
    let on = web("deployment", 2, json!({}));
    let mut keda = hpa("keda-hpa-web", "web");
    keda.live["metadata"]["labels"] = json!({"scaledobject.keda.sh/name": "web-queue"});
    for (arguments, workload, all, says) in [
        (json!({"max": 5}), &on, vec![keda], "KEDA scaledobject/web-queue"),
        (json!({"max": 5}), &web("daemonset", 1, json!({})), vec![], "is a DaemonSet"),
        (json!({"max": 5}), &web("cronjob", 1, json!({})), vec![], "no replicas to scale"),
        (json!({"max": 5}), &on, vec![hpa("web", "api")], "scales deployment/api"),
        (json!({"max": 5}), &on, vec![hpa("a", "web"), hpa("b", "web")], "fits 2 objects"),
        (json!({"min": 5}), &on, vec![], "say `max`"),
        (json!({"min": 6}), &on, vec![hpa("web", "web")], "min would be 6 and max 5"),
        (json!({"cpu": 0}), &on, vec![], "between 1 and"),
        (json!({}), &on, vec![], "say `max`"),
        (json!({"off": true, "max": 5}), &on, vec![], "give nothing else"),
    ] {
        let error = plan(arguments, workload, all).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
