//! The questions that kai answers, asked of a real API server.

mod can_i;
mod explain;
mod get;
mod logs;
pub mod usage;

use serde_json::{Value, json};

use crate::support::{World, cluster, kubectl};

/// A tool by hand, as JSON; it must end well.
#[track_caller]
fn call(world: &World, tool: &str, arguments: &Value) -> Value {
    let out = world.kai(&["-o", "json", "call", tool, &arguments.to_string()]).ends(0);
    world.nothing_was_written();
    serde_json::from_str(&out.stdout).unwrap()
}

/// What a tool says, in one text.
fn said(answer: &Value) -> String {
    let sentences: Vec<&str> =
        answer["say"].as_array().unwrap().iter().map(|s| s.as_str().unwrap()).collect();
    sentences.join(" ")
}

/// Objects by their names, made many at a time.
pub fn create_many(path: &str, objects: Vec<Value>) {
    use futures::StreamExt;
    let admin = cluster().admin().unwrap();
    let client = admin.client().unwrap();
    let url = format!("{}{path}", admin.server);
    let create = |object: Value| {
        let request = client.post(&url).json(&object);
        async move {
            let answer = request.send().await.unwrap();
            let status = answer.status();
            assert!(status.is_success(), "{status}: {}", answer.text().await.unwrap());
        }
    };
    let all = futures::stream::iter(objects).map(create).buffer_unordered(64).collect::<Vec<()>>();
    tokio::runtime::Runtime::new().unwrap().block_on(all);
}

/// A type of objects of a group of its own, with what the API server prints of them.
fn define(group: &str, plural: &str, kind: &str, schema: &Value, columns: &Value) {
    let object = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {"group": group, "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema}, "additionalPrinterColumns": columns}]}});
    create_many("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", vec![object]);
    kubectl(&["wait", "--for=condition=Established", "--timeout=60s", &format!("crd/{plural}.{group}")]);
}
