//! The systems of the design documents, deployed with kai: by chart, by manifests, by plain sentences.

use kai_evals::cluster::build::{Tool, go_tool};
use kai_evals::terminal::Progress;

use crate::support::seeds::{copy_santaclaude, seed};
use crate::support::{Person, World, has_real_kubelets, kubectl, run};

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

/// Makes room for the next: the nodes are small.
fn leave(namespaces: &[&str]) {
    for namespace in namespaces {
        kubectl(&["delete", "namespace", namespace, "--timeout=180s"]);
    }
}

fn ready(world: &World, name: &str, replicas: i64) {
    let live = world.object(&format!("deployment/{name}"));
    assert_eq!(live["status"]["readyReplicas"], replicas, "{name}: {}", live["status"]);
}

#[test]
fn todo_by_chart() {
    // Its replicas want more than what simulated nodes share with all other tests.
    if !has_real_kubelets() {
        return;
    }
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
    // Another value is one field.
    let mut kai = person(&world, &[&release[..], &["--set", "config.LOG_LEVEL=debug"]].concat());
    kai.sees("LOG_LEVEL: info → debug").sees("Type").types("n");
    kai.ends(3);
    leave(&[&world.namespace]);
}

#[test]
fn todo_by_plain_sentences() {
    if !has_real_kubelets() {
        return;
    }
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
    assert!(out.stdout.contains("No fault"), "{}", out.stdout);
    leave(&[&world.namespace]);
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
        "there is no deployment backend",
    ] {
        assert!(out.stderr.contains(says), "{says}: {}", out.stderr);
    }
    world.nothing_was_written();
}

#[test]
fn mycorrhizae_by_kustomize_with_promotion_and_rollback() {
    if !has_real_kubelets() {
        return;
    }
    let world = World::empty("myco");
    for (place, name) in [("prod", "prod"), ("nightly", "nightly")] {
        let overlay = seed(&format!("mycorrhizae/overlays/{place}"));
        let mut kai = person(&world, &["apply", overlay.to_str().unwrap()]);
        kai.sees("Type").types(name);
        kai.ends(0);
    }
    // Promotion: prod gets nightly's commit, part by part; production wants the name.
    for part in ["frontend", "backend-server"] {
        let mut kai = world.person(&[&format!("update {part} to 8214e42 in prod")]);
        kai.sees("4be1c7d → registry.example.com/mycorrhiza/").sees("Type").types(part);
        kai.ends(0);
    }
    // A bad commit takes nobody's place, and is back in seconds.
    let mut kai = world.person(&["update backend-server to c03d5e8 in prod"]);
    kai.sees("Type").types("backend-server").sees("does not come up");
    kai.ends(4);
    let live: serde_json::Value =
        serde_json::from_str(&kubectl(&["-n", "prod", "get", "deployment/backend-server", "-o", "json"]))
            .unwrap();
    assert_eq!(live["status"]["availableReplicas"], 3, "the old pods serve on: {}", live["status"]);
    let mut kai = world.person(&["roll back backend-server in prod"]);
    kai.sees("c03d5e8 → registry.example.com/mycorrhiza/backend-server:8214e42")
        .sees("Type")
        .types("backend-server");
    kai.ends(0);
    leave(&["prod", "nightly"]);
}

#[test]
fn santaclaude_in_the_order_in_which_its_parts_need_each_other() {
    // Volumes are bound by the provisioner of the kind cluster.
    if !has_real_kubelets() {
        return;
    }
    let world = World::empty("santa");
    let folder = world.home.path().join("santaclaude");
    copy_santaclaude(&folder);
    std::fs::copy(seed("santaclaude/secret.yaml"), folder.join("secret.yaml")).unwrap();
    let mut kai = person(&world, &["apply", folder.to_str().unwrap(), "--allow", "secrets"]);
    kai.sees("waits for deployment/redis").sees("Type").types("santaclaude");
    let seen = kai.ends(0);
    let at = |what: &str| seen.rfind(what).unwrap_or_else(|| panic!("no {what} in {seen}"));
    assert!(at("✓ deployment/redis") < at("✓ deployment/message-queue-service"), "{seen}");
    assert!(at("✓ deployment/clickhouse") < at("✓ deployment/audit-sink-service"), "{seen}");
    leave(&["santaclaude"]);
}

#[test]
fn what_the_other_documents_have_wrong_is_said() {
    let world = World::empty("wrongs");
    for (path, says) in [
        ("mycorrhizae/as-written/ingress-canary.yaml", "takes the name of a cookie, not name=value"),
        ("mycorrhizae/as-written/ingress-canary.yaml", "nightly-frontend-svc"),
        ("mycorrhizae/as-written/ingress-prod.yaml", "spec.ingressClassName"),
        ("santaclaude/as-written/redis.yaml", "Recreate"),
        ("santaclaude/as-written/pod-security-context.yaml", "allowPrivilegeEscalation"),
    ] {
        let path = seed(path);
        let out = world.kai(&["apply", path.to_str().unwrap(), "--dry-run"]).all();
        let plain = out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(plain.contains(says), "{says}: {out}");
    }
    world.nothing_was_written();
}

#[test]
fn of_the_right_forms_only_what_the_cluster_lacks_is_said() {
    let world = World::empty("rightforms");
    world.kubectl(&["apply", "-f", seed("todo-app/secret.yaml").to_str().unwrap()]);
    // What simulated nodes and kind do not have, and what time has done to the documents' controller.
    let lacks = [
        "no IngressClass",
        "no StorageClass",
        "serves no metrics",
        "ingress-nginx controller, which is retired",
    ];
    for path in [
        "todo-app/k8s",
        "mycorrhizae/overlays/prod",
        "santaclaude/shared",
        "santaclaude/message-queue-service",
    ] {
        let path = seed(path);
        let mut command = world.command();
        command.env("PATH", folder_of(Tool::Kubectl));
        let out = run(command.args(["apply", path.to_str().unwrap(), "--dry-run"])).all();
        let plain = out.split_whitespace().collect::<Vec<_>>().join(" ").replace("! check", "✗ check");
        assert!(plain.contains("Apply"), "{out}");
        for finding in plain.split("✗ check").skip(1) {
            let of_the_cluster = lacks.iter().any(|lack| finding.contains(lack));
            let of_the_folder = finding.contains("there is no namespace santaclaude")
                || finding.contains("no serviceaccount todo-app-sa in namespace todo")
                || finding.contains("no service redis");
            assert!(of_the_cluster || of_the_folder, "{finding}");
        }
    }
    world.nothing_was_written();
}
