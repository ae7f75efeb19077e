//! What only a real kubelet can show. `make test` runs these on kind; on simulated nodes they say that they are left out.

use serde_json::json;

use crate::support::{World, has_real_kubelets};

#[allow(clippy::print_stderr, reason = "what is left out is said")]
fn left_out(name: &str) -> bool {
    if !has_real_kubelets() {
        eprintln!("{name}: left out, no real kubelets here (KAI_TEST_PROVIDER=kind)");
    }
    !has_real_kubelets()
}

/// A Deployment `backend` whose container runs this shell command.
fn shell(world: &World, replicas: i64, command: &str) {
    world.create(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "backend"}, "spec": {"replicas": replicas,
        "selector": {"matchLabels": {"app": "backend"}}, "template": {"metadata": {"labels": {"app": "backend"}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "app", "image": "busybox:1.36", "command": ["sh", "-c", command]}]}}}}));
}

#[test]
fn a_crash_is_explained_by_the_containers_own_words() {
    if left_out("a crash") {
        return;
    }
    let world = World::empty("realcrash");
    shell(&world, 1, "echo ready; sleep 3600");
    world.settle("backend");
    world.kubectl(&["patch", "deployment", "backend", "--type=json", "-p",
        r#"[{"op": "replace", "path": "/spec/template/spec/containers/0/command/2", "value": "echo cannot open the ledger; exit 3"}]"#]);
    world
        .kai(&["--yes", "restart backend"])
        .ends(4)
        .says("crashes again and again")
        .says("cannot open the ledger")
        .says("1 of 1 pods serve");
    world.kai(&["why did backend restart? logs before the crash"]).ends(0).says("cannot open the ledger");
    world.kai(&["--yes", "go back to revision 1 of backend"]).ends(0);
}

#[test]
fn an_image_that_the_registry_does_not_have() {
    if left_out("an image") {
        return;
    }
    let world = World::new("realimage");
    world.kubectl(&["set", "image", "deployment/backend", "nginx=nginx:9.99"]);
    world
        .kai(&["--yes", "restart backend"])
        .ends(4)
        .says("nginx:9.99 cannot be pulled")
        .says("not found")
        .says("pods serve");
}

#[test]
fn logs_of_several_pods_come_merged() {
    if left_out("logs") {
        return;
    }
    let world = World::empty("reallogs");
    shell(&world, 2, "for i in 1 2 3; do echo line $i; done; echo ERROR disk full; sleep 3600");
    world.settle("backend");
    world.kai(&["show logs of backend"]).ends(0).says("line 3").says("2 pods");
    world.kai(&["errors in backend in the last hour"]).ends(0).says("disk full");
}
