//! Secrets appear nowhere: not on the screen, not in the journal, not in what a model is sent.

use kai_evals::canary::Canaries;
use kai_evals::cluster::Line;
use kai_evals::replay::{Replay, Script, Turn};
use serde_json::json;

use crate::support::{World, cluster};

/// A namespace in which everything that may hold a secret holds one.
fn planted(name: &str) -> (World, Canaries) {
    let world = World::empty(name);
    let canaries = Canaries::new();
    let get = |name: &str| canaries.get(name).unwrap().to_string();
    world.create(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "annotations": {"note": get("github-token")}},
        "stringData": {"password": get("password"), "key": get("pem"), "token": get("jwt")}}));
    world.create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"},
        "data": {"db_password": get("password"), "app.conf": format!("url={}\nkey={}", get("url"), get("aws-key-id"))}}));
    let deployment = |image: &str| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "backend", "annotations": {"owner-token": get("github-token")}},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "backend"}},
            "template": {"metadata": {"labels": {"app": "backend"}, "annotations": {"api-key": get("aws-secret-key")}},
                "spec": {"containers": [{"name": "app", "image": image, "args": ["--token", get("jwt")],
                    "env": [{"name": "DB_PASSWORD", "value": get("password")}, {"name": "DATABASE_URL", "value": get("url")},
                            {"name": "AWS", "value": get("aws-secret-key")}]}]}}}})
    };
    let path = world.home.path().join("d.json");
    for image in ["nginx:1.27", "nginx:1.25"] {
        let mut object = deployment(image);
        object["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] =
            json!(format!("{}{image}", get("password")));
        std::fs::write(&path, object.to_string()).unwrap();
        world.kubectl(&["apply", "-f", path.to_str().unwrap()]);
        world.settle("backend");
    }
    std::fs::remove_file(&path).unwrap();
    let _ = std::fs::remove_file(world.home.path().join("object.json"));
    let line = |text: String| Line { ago: std::time::Duration::from_secs(5), text };
    let lines: Vec<Line> = ["github-token", "jwt", "url", "aws-key-id", "pem"]
        .iter()
        .flat_map(|name| {
            let text = format!("starting with {}", get(name));
            text.lines().map(|l| line(l.to_string())).collect::<Vec<_>>()
        })
        .chain([line(format!("password={}", get("password")))])
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pods = world.kubectl(&["get", "pods", "-o", "name"]);
    for pod in pods.lines() {
        let name = pod.trim_start_matches("pod/");
        runtime.block_on(cluster().write_log(&world.namespace, name, "app", false, &lines)).unwrap();
    }
    (world, canaries)
}

#[track_caller]
fn clean(what: &str, text: &str, canaries: &Canaries) {
    let hits = canaries.find(text);
    assert!(hits.is_empty(), "{what} holds {hits:?}:\n{text}");
}

#[test]
fn no_tool_shows_a_secret_and_nothing_keeps_one() {
    let (world, canaries) = planted("secrets");
    let sentences: [&[&str]; 12] = [
        &["show secrets"],
        &["show me the yaml of secret s"],
        &["show me the yaml of configmap c"],
        &["show me the yaml of deployment backend"],
        &[
            "call",
            "get",
            r#"{"kind": "deployments", "fields": ["metadata.annotations", "spec.template.spec.containers"]}"#,
        ],
        &["call", "get", r#"{"kind": "secrets", "fields": ["data", "metadata"]}"#],
        &["show logs of backend"],
        &["show events"],
        &["what changed between the last two releases of backend"],
        &["--yes", "scale backend to 3"],
        &["--yes", "roll back backend"],
        &["log"],
    ];
    for sentence in sentences {
        for output in ["text", "json", "yaml"] {
            let mut arguments = vec!["-v", "-v", "-o", output];
            arguments.extend(sentence);
            let out = world.kai(&arguments);
            assert!(matches!(out.code, Some(0..=4)), "{sentence:?}: {}", out.all());
            clean(&format!("{sentence:?} as {output}"), &out.all(), &canaries);
        }
    }
    let found = canaries.find_in(&world.home.path().join(".local")).unwrap();
    assert!(found.is_empty(), "kept: {found:?}");
    world.kai(&["--yes", "undo"]).ends(0);
    let now = world.object("deployment/backend");
    assert_eq!(
        now["spec"]["template"]["spec"]["containers"][0]["image"], "nginx:1.25",
        "and it can be undone nonetheless"
    );
}

#[test]
fn no_model_is_sent_a_secret() {
    let (world, canaries) = planted("modelsecrets");
    let calls = [
        ("get", json!({"kind": "secrets", "output": "yaml"})),
        ("get", json!({"kind": "deployment", "name": "backend", "output": "yaml"})),
        ("get", json!({"kind": "configmaps", "output": "yaml"})),
        ("logs", json!({"workload": "backend"})),
        ("events", json!({})),
        ("rollout_status", json!({"workload": "backend", "diff": true})),
        ("rollout", json!({"action": "undo", "workload": "backend"})),
    ];
    let turns =
        calls.into_iter().map(|(tool, arguments)| Turn::call(tool, arguments)).chain([Turn::text("done")]);
    let replay = Replay::start(Script::new(turns)).unwrap();
    let key = canaries.get("aws-secret-key").unwrap();
    let mut command = world.command();
    command.env("KAI_MODEL", "m").env("KAI_BASE_URL", replay.url()).env("KAI_API_KEY", key).args([
        "-vv",
        "--yes",
        "look around",
    ]);
    let out = crate::support::run(&mut command);
    clean("the screen", &out.all(), &canaries);
    for body in replay.bodies() {
        clean("a request to the model", &body.to_string(), &canaries);
    }
    assert!(canaries.find_in(&world.home.path().join(".local")).unwrap().is_empty());
    replay.finish().unwrap();
}
