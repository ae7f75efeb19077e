//! What is set, what is left alone, and what is refused.

use super::fields::{Edit, edit};
use super::*;

fn target(kind: &str, containers: Value) -> Resolved {
    let kind = builtin(kind);
    let pod = json!({"containers": containers, "nodeSelector": {"disk": "ssd"}});
    let spec = match kind.kind.as_str() {
        "CronJob" => json!({"jobTemplate": {"spec": {"template": {"spec": pod}}}}),
        _ => json!({"replicas": 2, "template": {"spec": pod}}),
    };
    let live = json!({"metadata": {"name": "web", "labels": {"app": "web", "old": "1"}}, "spec": spec});
    Resolved { object: kind.object("shop", "web"), kind, live, note: None }
}

fn web() -> Value {
    json!([{
        "name": "web", "image": "nginx:1.27", "ports": [{"containerPort": 8080}],
        "env": [{"name": "MODE", "value": "prod"}, {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "a"}}}],
        "resources": {"requests": {"cpu": "250m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 3},
    }])
}

fn set(arguments: Value, on: &Resolved) -> Result<Edit, ToolError> {
    let mut arguments = arguments;
    arguments["workload"] = json!("web");
    edit(&serde_json::from_value(arguments).unwrap(), on)
}

/// The paths that are different, and the title.
fn changes(arguments: Value, on: &Resolved) -> (Vec<String>, String) {
    let edit = set(arguments, on).unwrap();
    let paths = diff::fields(&on.live, &edit.after).iter().map(|f| diff::human_path(&f.path)).collect();
    (paths, edit.title(&on.object))
}

const POD: &str = "spec.template.spec.containers[web]";

#[test]
fn one_field_changes_and_no_other() {
    let on = target("deployment", web());
    for (arguments, path, title) in [
        (json!({"image": "1.28"}), "image", "Set image of deployment/web to nginx:1.28"),
        (json!({"env": {"MODE": "dev"}}), "env[MODE].value", "Set env MODE of deployment/web to dev"),
        (
            json!({"memory_limit": "1Gi"}),
            "resources.limits.memory",
            "Set memory limit of deployment/web to 1Gi",
        ),
        (json!({"cpu_limit": "1"}), "resources.limits.cpu", "Set cpu limit of deployment/web to 1"),
        (json!({"args": ["-v"]}), "args", "Set args of deployment/web"),
        (
            json!({"readiness": "/ready"}),
            "readinessProbe.httpGet.path",
            "Set readiness probe of deployment/web to /ready",
        ),
    ] {
        assert_eq!(changes(arguments, &on), (vec![format!("{POD}.{path}")], title.to_string()));
    }
    let (paths, title) =
        changes(json!({"image": "redis:7", "env": {"A": "1"}, "labels": {"tier": "front"}}), &on);
    assert_eq!(paths.len(), 4, "{paths:?}");
    assert_eq!(title, "Set 3 fields of deployment/web");
}

#[test]
fn what_is_so_already_is_no_change() {
    let on = target("deployment", web());
    for arguments in [
        json!({"image": "nginx:1.27"}),
        json!({"env": {"MODE": "prod"}, "env_from": ["KEY=secret/keys/a"], "unset": ["ELSEWHERE"]}),
        json!({"cpu_request": "0.25", "memory_limit": "256Mi"}),
        json!({"readiness": "http:/:8080", "liveness": "none", "command": []}),
        json!({"labels": {"app": "web", "gone": ""}, "node_selector": {"disk": "ssd"}}),
    ] {
        let (paths, title) = changes(arguments.clone(), &on);
        assert!(
            paths.is_empty() && title.starts_with("nothing to change: deployment/web "),
            "{arguments}: {paths:?} {title}"
        );
    }
}

#[test]
fn empty_and_none_remove() {
    let on = target("deployment", web());
    let edit = set(
        json!({"unset": ["MODE", "KEY"], "readiness": "none", "labels": {"old": ""}, "node_selector": {"disk": ""}}),
        &on,
    )
    .unwrap();
    let pod = &edit.after["spec"]["template"]["spec"];
    assert!(pod.get("nodeSelector").is_none() && pod["containers"][0].get("env").is_none());
    assert!(pod["containers"][0].get("readinessProbe").is_none());
    assert_eq!(edit.after["metadata"]["labels"], json!({"app": "web"}));
}

#[test]
fn references_and_placement() {
    let on = target("cronjob", web());
    let edit = set(
        json!({"env_from": ["configmap/app", "DB=secret/db/url"], "tolerations": ["pool=a:NoSchedule"], "liveness": "tcp:"}),
        &on,
    )
    .unwrap();
    let pod = &edit.after["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["envFrom"], json!([{"configMapRef": {"name": "app"}}]));
    assert_eq!(pod["containers"][0]["env"][2]["valueFrom"]["secretKeyRef"]["key"], "url");
    assert_eq!(pod["containers"][0]["livenessProbe"]["tcpSocket"]["port"], 8080);
    assert_eq!(pod["tolerations"][0]["effect"], "NoSchedule");
}

#[test]
fn what_should_be_known_before() {
    let on = target("deployment", web());
    for (arguments, says) in [
        (json!({"env": {"KEY": "x"}}), "KEY came from secret/keys key a"),
        (json!({"env": {"DB_PASSWORD": "x"}}), "looks like a secret"),
        (json!({"image": "nginx"}), "has no tag"),
        (json!({"image": "latest"}), "`latest` moves"),
    ] {
        let lines = set(arguments, &on).unwrap().lines;
        assert!(
            lines.iter().any(|l| l.level == Level::Warning && l.text.contains(says)),
            "{says}: {lines:?}"
        );
    }
    let title = set(json!({"env": {"DB_PASSWORD": "hunter2"}}), &on).unwrap().title(&on.object);
    assert!(!title.contains("hunter2"), "{title}");
}

#[test]
fn wrong_arguments_say_what_is_wrong() {
    let two = target(
        "deployment",
        json!([{"name": "app", "image": "app:1"}, {"name": "proxy", "image": "envoy:1"}]),
    );
    let one = target("deployment", web());
    for (on, arguments, says) in [
        (&two, json!({"env": {"A": "1"}}), "app, proxy: say which"),
        (&two, json!({"image": "v2"}), "app, proxy: say which"),
        (&two, json!({"container": "prox", "image": "v2"}), "no container `prox`"),
        (&one, json!({"cpu_request": "lots"}), "is not a quantity"),
        (&one, json!({"memory_limit": "512m"}), "fraction of a byte"),
        (&one, json!({"memory_limit": "64Mi"}), "request would be 128Mi and the limit 64Mi"),
        (&one, json!({"image": "a b"}), "is not an image"),
        (&one, json!({"unset": ["MOD"]}), "sets no environment variable MOD"),
        (&one, json!({"unset": ["A"], "env": {"A": "1"}}), "both to be set and to be removed"),
        (&one, json!({"env": {"A B": "1"}}), "cannot be the name of an environment"),
        (&one, json!({"labels": {"a": "b c"}}), "cannot be the value of label a"),
        (&one, json!({"readiness": "maybe"}), "is not a probe"),
        (&one, json!({"tolerations": ["x:Y"]}), "is not a toleration"),
    ] {
        let error = set(arguments, on).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let mut service = target("deployment", web());
    service.kind = builtin("service");
    assert!(set(json!({"image": "x:1"}), &service).unwrap_err().to_string().contains("only `labels`"));
    assert!(set(json!({"labels": {"tier": "front"}}), &service).is_ok());
}

#[test]
fn the_new_image_finds_its_container() {
    let two = target(
        "deployment",
        json!([{"name": "app", "image": "app:1"}, {"name": "proxy", "image": "envoy:1"}]),
    );
    let edit = set(json!({"image": "envoy:2"}), &two).unwrap();
    assert_eq!(edit.after["spec"]["template"]["spec"]["containers"][1]["image"], "envoy:2");
    assert_eq!(edit.after["spec"]["template"]["spec"]["containers"][0]["image"], "app:1");
}
