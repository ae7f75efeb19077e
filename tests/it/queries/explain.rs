//! `explain`: from the schemas of a real API server, for what it knows and for what was added to it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{call, define, said};
use crate::support::World;

fn explain(world: &World, kind: &str, path: &str) -> Value {
    call(world, "explain", &json!({"kind": kind, "path": path}))
}

fn fields(answer: &Value) -> Vec<&str> {
    answer["data"]["fields"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect()
}

#[test]
fn kinds_and_fields_that_every_cluster_has() {
    let world = World::empty("explain");
    let spec = explain(&world, "deploy", "spec");
    assert_eq!(fields(&spec)[..2], ["selector", "template"], "what is required comes first");
    assert!(fields(&spec).contains(&"replicas"));
    assert_eq!(
        said(&explain(&world, "deployment.spec.replicas", "")),
        "deployment.spec.replicas (apps/v1): integer (int32), optional."
    );
    let policy = explain(&world, "pods", "spec.containers[*].imagePullPolicy");
    assert_eq!(policy["data"]["enum"], json!(["Always", "IfNotPresent", "Never"]));
    assert_eq!(explain(&world, "pod", "spec.containers.resources.limits.cpu")["data"]["type"], "Quantity");
    let pod = world.kai(&["call", "explain", r#"{"kind": "pod", "path": "spec"}"#]).ends(0);
    pod.says("1 more: volumes").says("[]Container").says("Required. List of containers");
    world
        .kai(&["call", "explain", r#"{"kind": "deployment", "path": "spec.replica"}"#])
        .ends(1)
        .says("deployment.spec has no field `replica`")
        .says("Did you mean spec.replicas?");
    world
        .kai(&["call", "explain", r#"{"kind": "deployment", "path": "livenessProbe"}"#])
        .ends(1)
        .says("Did you mean spec.template.spec.containers.livenessProbe");
    world.kai(&["call", "explain", r#"{"kind": "deploymint"}"#]).ends(1).says("Did you mean deployment");
}

#[test]
fn custom_resources_with_and_without_a_schema() {
    let world = World::empty("explaincrd");
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "description": "What is wanted.", "required": ["colour"],
        "x-kubernetes-validations": [{"rule": "self.size < 9", "message": "too big"}],
        "properties": {
            "colour": {"type": "string", "enum": ["red", "blue"], "default": "red", "description": "How it looks.\u{1b}[2J More."},
            "size": {"type": "integer", "minimum": 1, "maximum": 8},
            "parts": {"type": "array", "items": {"type": "object", "properties": {"image": {"type": "string"}}}}}}}});
    define("explain.example.com", "gizmos", "Gizmo", &schema, &json!([]));
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    define("explain.example.com", "blobs", "Blob", &open, &json!([]));
    let since = Instant::now();
    let published = |kind: &str| {
        let out = world.kai(&["call", "explain", &json!({"kind": kind}).to_string()]);
        out.code == Some(0) && !out.stdout.contains("no schema")
    };
    while !(published("gizmo") && published("blob")) {
        assert!(since.elapsed() < Duration::from_secs(60), "the schema is not published");
    }
    let spec = explain(&world, "gizmo", "spec");
    assert_eq!(fields(&spec), ["colour", "parts", "size"]);
    assert!(said(&spec).contains("Rule: too big."), "{}", said(&spec));
    let colour = explain(&world, "gizmos", "spec.colour");
    assert_eq!(
        said(&colour),
        "gizmo.spec.colour (explain.example.com/v1): string, required. One of: red, blue. Default: red."
    );
    assert!(said(&explain(&world, "gizmo", "spec.size")).contains("Must be: at least 1, at most 8."));
    assert_eq!(fields(&explain(&world, "gizmo", "spec.parts")), ["image"]);
    let text = world.kai(&["call", "explain", r#"{"kind": "gizmo", "path": "spec.colour"}"#]).ends(0);
    assert!(!text.all().contains('\u{1b}'), "a description cannot drive the terminal");
    assert!(said(&explain(&world, "blob", "")).contains("It may hold other fields"));
    world
        .kai(&["call", "explain", r#"{"kind": "blob", "path": "spec.x"}"#])
        .ends(1)
        .says("blob may hold any fields: the schema says nothing of `spec`");
}
