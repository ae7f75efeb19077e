//! The systems of the design documents, deployed with kai: by chart, by manifests, by plain sentences.

use std::path::{Path, PathBuf};

use kai_evals::cluster::build::{Tool, go_tool};
use kai_evals::terminal::Progress;

use crate::support::{Person, World};

fn seed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("evals/seeds").join(path)
}

fn folder_of(tool: Tool) -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let binary = runtime.block_on(go_tool(&Progress::stderr(), tool)).unwrap();
    binary.parent().unwrap().display().to_string()
}

/// A person who starts kai with helm and kubectl on the PATH.
fn person(world: &World, arguments: &[&str]) -> Person {
    let mut command = world.command();
    command.env("PATH", format!("{}:{}", folder_of(Tool::Helm), folder_of(Tool::Kubectl))).args(arguments);
    Person::at(command)
}

fn ready(world: &World, name: &str, replicas: i64) {
    let live = world.object(&format!("deployment/{name}"));
    assert_eq!(live["status"]["readyReplicas"], replicas, "{name}: {}", live["status"]);
}

#[test]
fn todo_by_chart() {
    let world = World::empty("todochart");
    world.kubectl(&["apply", "-f", seed("todo-app/secret.yaml").to_str().unwrap()]);
    let chart = seed("todo-app/chart");
    let release = ["apply", chart.to_str().unwrap(), "--release", "todo-app", "--allow", "control-plane"];
    let mut kai = person(&world, &release);
    kai.sees("waits for deployment/todo-app-backend").sees("Type").types(&world.namespace);
    let seen = kai.ends(0);
    assert!(seen.contains("Installed release todo-app"), "{seen}");
    for name in ["todo-app-frontend-web", "todo-app-frontend-chatbot"] {
        ready(&world, name, 2);
    }
    // The same again is nothing; another value is one field.
    let mut kai = person(&world, &[&release[..], &["--set", "config.LOG_LEVEL=debug"]].concat());
    kai.sees("LOG_LEVEL: info → debug").sees("Type").types("n");
    kai.ends(3);
}

#[test]
fn todo_by_plain_sentences() {
    let world = World::empty("todowords");
    world.kubectl(&["apply", "-f", seed("todo-app/secret.yaml").to_str().unwrap()]);
    let sentences = [
        "deploy backend with image todo-backend:v1, 2 replicas, port 8000, secret app-secrets, readiness /ready and liveness /health",
        "deploy frontend with image todo-frontend:latest, 2 replicas, port 3000",
        "scale backend deployment to 3 replicas",
        "set the memory limit of backend to 512Mi",
        "autoscale backend from 2 to 5 at 70% cpu and 80% memory",
    ];
    for words in sentences {
        world.kai(&["--yes", words]).ends(0);
    }
    ready(&world, "frontend", 2);
    assert_eq!(world.object("hpa/backend")["spec"]["maxReplicas"], 5);
    let out = world.kai(&["show me why pods are not starting"]).ends(0);
    assert!(out.stdout.contains("No pod") || out.stdout.contains("ready"), "{}", out.stdout);
}

#[test]
fn what_the_documents_have_wrong_is_said() {
    let world = World::empty("todowrong");
    let path = seed("todo-app/as-written");
    let out = world.kai(&["apply", path.to_str().unwrap(), "--dry-run"]).ends(1);
    for says in [
        "PodSecurityPolicy was removed in Kubernetes 1.25",
        "VITE_OPENAI_API_KEY",
        "browsers cannot resolve the cluster's own names",
        "the backend is the text backend-service:8000",
        "restricts Egress and allows none",
        "reading all Secrets of the namespace",
        "is a tag that moves",
        "Did you mean todo-app-backend",
    ] {
        assert!(out.stderr.contains(says), "{says}: {}", out.stderr);
    }
    world.nothing_was_written();
}
