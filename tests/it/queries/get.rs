//! `get`: any kind, whatever is broken elsewhere; a part is shown as a part.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{call, create_many, define, said};
use crate::support::{World, kubectl};

fn names(answer: &Value) -> Vec<String> {
    let items = answer["data"]["lists"][0]["items"].as_array().unwrap();
    items.iter().map(|i| i["name"].as_str().unwrap().to_string()).collect()
}

/// An API server that was registered and does not exist; gone again at the end.
struct Dead;

impl Dead {
    fn register(world: &World) -> Self {
        world.create(&json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": "v1.dead.example.com"}, "spec": {"group": "dead.example.com", "version": "v1",
            "groupPriorityMinimum": 1000, "versionPriority": 10, "insecureSkipTLSVerify": true,
            "service": {"name": "nobody", "namespace": world.namespace}}}));
        let dead = Self;
        kubectl(&[
            "wait",
            "--for=condition=Available=false",
            "--timeout=60s",
            "apiservice/v1.dead.example.com",
        ]);
        dead
    }
}

impl Drop for Dead {
    fn drop(&mut self) {
        kubectl(&["delete", "apiservice", "v1.dead.example.com"]);
    }
}

#[test]
fn a_dead_aggregated_api_hides_nothing_but_itself() {
    let world = World::new("getdead");
    let dead = Dead::register(&world);
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}});
    let columns = json!([{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}]);
    define("getdead.example.com", "gadgets", "Gadget", &schema, &columns);
    create_many(
        &format!("/apis/getdead.example.com/v1/namespaces/{}/gadgets", world.namespace),
        vec![
            json!({"apiVersion": "getdead.example.com/v1", "kind": "Gadget", "metadata": {"name": "one"}, "spec": {"size": 7}}),
        ],
    );
    let since = Instant::now();
    while world.kai(&["call", "get", r#"{"kind": "gadget"}"#]).code != Some(0) {
        assert!(since.elapsed() < Duration::from_secs(180), "the new kind is not discovered");
    }
    // A diagnosis is not kept from the rest by it, and names it.
    // An API that is only starting is given a minute.
    let since = Instant::now();
    let told = |text: &str| text.contains("apiservice-down") && text.contains("v1.dead.example.com");
    while !told(&world.kai(&["diagnose"]).ends(0).stdout) {
        assert!(since.elapsed() < Duration::from_secs(150), "the dead API is not named");
        std::thread::sleep(Duration::from_secs(3));
    }
    let gadgets = call(&world, "get", &json!({"kind": "gadgets"}));
    assert_eq!(
        gadgets["data"]["lists"][0]["items"][0],
        json!({"namespace": world.namespace, "name": "one", "size": "7"})
    );
    call(&world, "get", &json!({"kind": "pods,gadgets.getdead.example.com"}));
    world
        .kai(&["call", "get", r#"{"kind": "gadgetses"}"#])
        .ends(1)
        .says("no kind called `gadgetses`")
        .says("dead.example.com/v1")
        .says("Did you mean gadgets");
    drop(dead);
}

#[test]
fn fields_and_selectors_choose() {
    let world = World::new("getfields");
    world.deploy("web", 1, "nginx:1.25");
    let pods = call(
        &world,
        "get",
        &json!({"kind": "pods", "selector": "app=web",
        "fields": ["spec.nodeName", "spec.containers.image", "metadata.labels.app"]}),
    );
    let pod = &pods["data"]["lists"][0]["items"][0];
    assert_eq!(
        (&pod["spec.containers.image"], &pod["metadata.labels.app"]),
        (&json!("nginx:1.25"), &json!("web"))
    );
    let node = pod["spec.nodeName"].as_str().unwrap();
    let here = |selector: String| names(&call(&world, "get", &json!({"kind": "pods", "selector": selector})));
    assert_eq!(here(format!("spec.nodeName={node},app=web")).len(), 1);
    assert_eq!(here(format!("spec.nodeName!={node},app=web")).len(), 0);
    assert_eq!(here("app in (web,backend)".into()).len(), 3);
    world
        .kai(&["call", "get", r#"{"kind": "pods", "selector": "spec.colour=red"}"#])
        .ends(1)
        .says("spec.colour");
}

#[test]
fn pages_together_are_the_whole() {
    let world = World::empty("getpages");
    let map = |i: usize| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("c{i:02}"), "labels": {"n": "1"}}});
    create_many(&format!("/api/v1/namespaces/{}/configmaps", world.namespace), (0..25).map(map).collect());
    for selector in [Value::Null, json!("n=1")] {
        let (mut seen, mut page, mut pages) = (BTreeSet::new(), Value::Null, 0);
        loop {
            let answer = call(
                &world,
                "get",
                &json!({"kind": "configmaps", "selector": selector, "limit": 10, "page": page}),
            );
            assert_eq!(pages > 0, said(&answer).contains(" more "), "{}", said(&answer));
            seen.extend(names(&answer));
            (page, pages) = (answer["data"]["lists"][0]["page"].clone(), pages + 1);
            if page.is_null() {
                break;
            }
        }
        let total = if selector.is_null() { 26 } else { 25 };
        assert_eq!((seen.len(), pages), (total, 3), "one is the cluster's own");
    }
    world.kai(&["call", "get", r#"{"kind": "configmaps", "page": "zzz"}"#]).ends(1).says("page handle");
}

#[test]
fn five_thousand_pods_are_told_as_fifty_are() {
    let world = World::empty("getmany");
    let pod = |i: usize| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("p{i:04}"), "labels": {"app": "many"}}, "spec": {
            "schedulerName": "nobody", "containers": [{"name": "app", "image": "nginx:1.27",
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}]}})
    };
    let since = Instant::now();
    create_many(&format!("/api/v1/namespaces/{}/pods", world.namespace), (0..5000).map(pod).collect());
    println!("5000 pods after {:?}", since.elapsed());
    let pods = call(&world, "get", &json!({"kind": "pods"}));
    assert_eq!(
        said(&pods),
        format!(
            "5000 pods in {}: of the 100 listed, 100 Pending (p0000, p0001, p0002, ...).",
            world.namespace
        )
    );
    assert_eq!(names(&pods).len(), 100);
    let chosen = call(&world, "get", &json!({"kind": "pods", "selector": "app=many", "limit": 7}));
    assert!(said(&chosen).starts_with("5000 pods with app=many"), "{}", said(&chosen));
    let images = call(&world, "get", &json!({"kind": "pods", "output": "images"}));
    assert_eq!(images["data"]["lists"][0]["items"][0]["pods"], 5000);
    world.kai(&["call", "get", r#"{"kind": "pods"}"#]).ends(0).says("4900 more");
    let usage = call(&world, "usage", &json!({}));
    assert!(
        said(&usage)
            .starts_with(&format!("5000 pods in {} request 50 CPU and 78.1Gi memory.", world.namespace)),
        "{}",
        said(&usage)
    );
    assert_eq!(usage["data"]["items"].as_array().unwrap().len(), 20);
    world.kubectl(&["create", "service", "clusterip", "many", "--tcp=80"]);
    let logs = call(&world, "logs", &json!({"workload": "service/many"}));
    assert!(said(&logs).contains("4990 more pods were not read"), "{}", said(&logs));
}
