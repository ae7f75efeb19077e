//! `usage`: what is measured beside what is requested, and what is said where nothing measures.

use std::time::{Duration, Instant};

use kai_evals::proxy::Action;
use serde_json::{Value, json};

use super::{call, create_many, said};
use crate::support::{World, has_real_kubelets, kubectl};

/// On simulated nodes nothing is measured: two types stand in for the metrics API, and a test writes the samples.
pub fn metrics_types() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    if has_real_kubelets() {
        return;
    }
    ONCE.call_once(|| {
        let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        for (plural, kind, scope) in [("pods", "PodMetrics", "Namespaced"), ("nodes", "NodeMetrics", "Cluster")] {
            let object = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": format!("{plural}.metrics.k8s.io"), "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"}},
                "spec": {"group": "metrics.k8s.io", "scope": scope, "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
                    "versions": [{"name": "v1beta1", "served": true, "storage": true, "schema": {"openAPIV3Schema": open}}]}});
            create_many("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", vec![object]);
            kubectl(&["wait", "--for=condition=Established", "--timeout=60s", &format!("crd/{plural}.metrics.k8s.io")]);
        }
        let since = Instant::now();
        while !kubectl(&["api-resources", "--api-group=metrics.k8s.io"]).contains("NodeMetrics") {
            assert!(since.elapsed() < Duration::from_secs(60), "the stand-in is not served");
        }
    });
}

pub fn sample(kind: &str, name: &str, mut rest: Value) -> Value {
    let object = rest.as_object_mut().unwrap();
    object.insert("apiVersion".into(), json!("metrics.k8s.io/v1beta1"));
    object.insert("kind".into(), json!(kind));
    object.insert("metadata".into(), json!({"name": name}));
    object.insert("timestamp".into(), json!("2026-11-21T04:00:00Z"));
    object.insert("window".into(), json!("15s"));
    rest
}

/// `backend` with two pods of 100m and 64Mi, and a memory limit.
fn world(name: &str) -> (World, Vec<String>) {
    let world = World::empty(name);
    world.create(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "backend"}, "spec": {"replicas": 2,
        "selector": {"matchLabels": {"app": "backend"}}, "template": {"metadata": {"labels": {"app": "backend"}}, "spec": {"containers": [
            {"name": "app", "image": "nginx:1.27", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}}]}}}}));
    world.settle("backend");
    let pods = world.kubectl(&["get", "pods", "-o", "jsonpath={.items[*].metadata.name}"]);
    let pods = pods.split_whitespace().map(String::from).collect();
    (world, pods)
}

#[test]
fn figures_stand_beside_requests() {
    metrics_types();
    let (world, pods) = world("usage");
    if !has_real_kubelets() {
        let used = |cpu: &str, memory: &str| json!({"containers": [{"name": "app", "usage": {"cpu": cpu, "memory": memory}}]});
        create_many(
            &format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods", world.namespace),
            vec![
                sample("PodMetrics", &pods[0], used("20m", "32Mi")),
                sample("PodMetrics", &pods[1], used("50123456n", "126Mi")),
            ],
        );
    }
    let since = Instant::now();
    let answer = loop {
        let answer = call(&world, "usage", &json!({"sort": "memory"}));
        let sampled = answer["data"]["items"].as_array().unwrap().iter().all(|i| !i["cpu"]["used"].is_null());
        if sampled {
            break answer;
        }
        assert!(since.elapsed() < Duration::from_secs(180), "no samples: {answer}");
        std::thread::sleep(Duration::from_secs(2));
    };
    assert!(said(&answer).contains("This is a moment, not a trend: one sample of each"), "{}", said(&answer));
    assert_eq!(answer["data"]["sum"]["cpu"]["requests"], 200);
    assert_eq!(answer["data"]["sum"]["memory"]["limits"], 256 << 20);
    world.kai(&["call", "usage", "{}"]).ends(0).says("CPU REQUEST").says("MEMORY LIMIT");
    let node = world.object(&format!("pod/{}", pods[0]))["spec"]["nodeName"].as_str().unwrap().to_string();
    let nodes = call(&world, "usage", &json!({"name": format!("node/{node}")}));
    assert_eq!(nodes["data"]["total"], 1);
    let cpu = &nodes["data"]["items"][0]["cpu"];
    let left = cpu["allocatable"].as_i64().unwrap() - cpu["requests"].as_i64().unwrap();
    assert_eq!(cpu["free"], left);
    if has_real_kubelets() {
        assert!(cpu["used"].as_i64().unwrap() > 0, "{cpu}");
        return;
    }
    assert!(
        said(&answer).starts_with(&format!(
            "2 pods in {} use 71m CPU of 200m requested (36%) and 158Mi memory of 128Mi requested (123%).",
            world.namespace
        )),
        "{}",
        said(&answer)
    );
    assert!(
        said(&answer).contains(&format!("At or near a limit: {} (memory 98%).", pods[1])),
        "{}",
        said(&answer)
    );
    assert_eq!(answer["data"]["items"][0]["name"], json!(pods[1]), "the largest first");
    let one = call(&world, "usage", &json!({"by": "workloads", "name": "backend"}));
    assert_eq!(one["data"]["items"][0]["name"], "deployment/backend");
    assert_eq!(one["data"]["items"][0]["cpu"], json!({"used": 71, "requests": 200, "limits": null}));
    let pod = call(&world, "usage", &json!({"name": format!("pod/{}", pods[0])}));
    assert_eq!((&pod["data"]["by"], &pod["data"]["items"][0]["name"]), (&json!("containers"), &json!("app")));
    let spaces = call(&world, "usage", &json!({"by": "namespaces"}));
    let own = spaces["data"]["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|i| i["name"] == json!(world.namespace))
        .unwrap();
    assert_eq!(own["memory"]["used"], 158 << 20);
}

#[test]
fn without_metrics_the_answer_says_why_and_what_to_do() {
    let (world, pods) = world("usagenone");
    for (status, says) in
        [(404, "Install metrics-server"), (503, "does not answer"), (403, "system:aggregated-metrics-reader")]
    {
        world.proxy.hook(move |r| {
            if r.path.contains("metrics.k8s.io/v1beta1/") {
                Action::answer(status, "Trouble", "no metrics here")
            } else {
                Action::Forward
            }
        });
        let answer = call(&world, "usage", &json!({}));
        assert!(
            said(&answer)
                .starts_with(&format!("2 pods in {} request 200m CPU and 128Mi memory.", world.namespace)),
            "{}",
            said(&answer)
        );
        assert!(said(&answer).contains(says), "{status}: {}", said(&answer));
        assert_eq!(answer["data"]["items"][0]["memory"]["limits"], 128 << 20);
        world.kai(&["call", "usage", r#"{"by": "nodes"}"#]).ends(0).says("CPU FREE").says(says);
    }
    world.kai(&["call", "usage", r#"{"name": "node/nowhere"}"#]).ends(1).says("there is no node `nowhere`");
    world
        .kai(&["call", "usage", r#"{"namespace": "nowhere"}"#])
        .ends(1)
        .says("there is no namespace `nowhere`");
    let near = format!("pod/{}x", pods[0]);
    world.kai(&["call", "usage", &json!({"name": near}).to_string()]).ends(1).says("Did you mean");
    world.nothing_was_written();
}
