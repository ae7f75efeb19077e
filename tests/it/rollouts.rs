//! Rollouts that do not come up, and those that are not a Deployment's.

use serde_json::json;

use crate::support::{World, has_real_kubelets};

#[test]
fn a_bad_image_is_named_as_the_cause() {
    let world = World::new("badimage");
    world.kubectl(&["set", "image", "deployment/backend", "nginx=nginx:does-not-exist"]);
    let out = world.kai(&["--yes", "restart backend"]).ends(4);
    assert!(out.stdout.contains("nginx:does-not-exist cannot be pulled"), "{}", out.all());
    assert!(out.stdout.contains("of 2 pods serve") && out.stdout.contains("kai undo"), "{}", out.all());
    world.kai(&["--yes", "go back to revision 1 of backend"]).ends(0);
    assert_eq!(
        world.object("deployment/backend")["spec"]["template"]["spec"]["containers"][0]["image"],
        "nginx:1.27"
    );
}

#[test]
fn a_crash_is_named_with_its_last_words() {
    if has_real_kubelets() {
        return; // `real` has a container that does crash.
    }
    let world = World::new("crash");
    world.kubectl(&["set", "image", "deployment/backend", "nginx=nginx:crashloop"]);
    let out = world.kai(&["--yes", "restart backend"]).ends(4).says("crashes again and again");
    assert!(out.stdout.contains("last exit") || out.stdout.contains("log of pod/"), "{}", out.all());
}

#[test]
fn a_quota_is_named_as_the_cause() {
    let world = World::new("quota");
    world.create(&json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "3"}}}));
    std::thread::sleep(std::time::Duration::from_secs(2));
    let out = world.kai(&["--yes", "scale backend to 6"]).ends(4);
    assert!(out.stderr.contains("room for 1 of 4 new pods"), "{}", out.all());
    assert!(out.stdout.contains("quota"), "{}", out.all());
}

#[test]
fn what_no_node_takes_is_told_before_and_after() {
    let world = World::empty("unfit");
    world.create(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "backend"}, "spec": {"replicas": 1,
        "selector": {"matchLabels": {"app": "b"}}, "template": {"metadata": {"labels": {"app": "b"}},
        "spec": {"containers": [{"name": "b", "image": "nginx:1.27", "resources": {"requests": {"cpu": "900m"}}}]}}}}));
    world.settle("backend");
    world
        .kai(&["--yes", "scale backend to 30"])
        .ends(4)
        .says("would stay Pending")
        .says("no node takes the new pods");
}

#[test]
fn a_paused_deployment_scales_and_is_not_restarted() {
    let world = World::new("paused");
    world.kai(&["--yes", "pause the rollout of backend"]).ends(0);
    world.kai(&["--yes", "restart backend"]).ends(7).says("is paused").says("resume the rollout");
    world.kai(&["--yes", "scale backend to 3"]).ends(0).says("is paused: replicas change");
    world
        .kai(&["--yes", "set the image of backend to nginx:1.25"])
        .ends(4)
        .says("no pod has any of this until the rollout is resumed")
        .says("waiting for its rollout, which is paused");
    world.kai(&["--yes", "resume the rollout of backend"]).ends(0);
    world.kai(&["--yes", "restart backend"]).ends(0);
}

#[test]
fn statefulsets_scale_and_restart() {
    let world = World::empty("sets");
    world.create(&json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {"replicas": 2, "serviceName": "db",
        "selector": {"matchLabels": {"app": "db"}}, "template": {"metadata": {"labels": {"app": "db"}},
        "spec": {"containers": [{"name": "db", "image": "redis:7"}]}}}}));
    world.kubectl(&["rollout", "status", "statefulset/db", "--timeout=120s"]);
    world.kai(&["--yes", "scale the db statefulset to 3"]).ends(0).says("3/3 ready");
    world.kai(&["--yes", "restart db"]).ends(0).says("from the last to the first");
    world.kai(&["--yes", "undo the last rollout of db"]).ends(0);
}

#[test]
fn a_daemonset_has_no_replicas_and_restarts() {
    let world = World::empty("agents");
    world.create(
        &json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"}, "spec": {
        "selector": {"matchLabels": {"app": "agent"}}, "template": {"metadata": {"labels": {"app": "agent"}},
        "spec": {"containers": [{"name": "agent", "image": "nginx:1.27"}]}}}}),
    );
    world.kubectl(&["rollout", "status", "daemonset/agent", "--timeout=120s"]);
    world.kai(&["--yes", "scale agent to 3"]).ends(1).says("one pod on each node");
    world.kai(&["--yes", "restart agent"]).ends(0);
}

#[test]
fn relative_and_wide_scaling() {
    let world = World::new("wide");
    world.deploy("frontend", 1, "nginx:1.27");
    world.kai(&["--yes", "scale up backend by 2"]).ends(0).says("from 2 to 4");
    world.kai(&["--yes", "halve backend"]).ends(0).says("from 4 to 2");
    let words = format!("turn everything off in {}", world.namespace);
    world.kai(&["--yes", &words]).ends(3);
    let mut person = world.person(&[&words]);
    person.sees("2 changes").sees("Type").types(&world.namespace.clone());
    person.ends(0);
    assert_eq!(world.replicas(), 0);
    world.kai(&["--yes", "undo"]).ends(0);
    assert_eq!(world.replicas(), 2);
    assert_eq!(world.object("deployment/frontend")["spec"]["replicas"], 1);
}

#[test]
fn the_cluster_itself_is_not_touched() {
    let world = World::empty("system");
    crate::support::kubectl(&["-n", "kube-system", "create", "deployment", "part", "--image=nginx:1.27"]);
    world.kai(&["--yes", "-n", "kube-system", "restart part"]).ends(7).says("the cluster's own parts");
    world.nothing_was_written();
    crate::support::kubectl(&["-n", "kube-system", "delete", "deployment", "part"]);
}
