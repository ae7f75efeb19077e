//! `delete`: what goes with an object is told first, and the name is typed.

use kai_evals::proxy::Action;
use serde_json::{Value, json};

use crate::support::{Out, World, kubectl};

fn delete(world: &World, arguments: &Value) -> Out {
    world.kai(&["call", "delete", &arguments.to_string()])
}

/// A person who deletes by typing this name.
fn typed(world: &World, arguments: &Value, name: &str, code: i32) -> String {
    let mut person = world.person(&["call", "delete", &arguments.to_string()]);
    person.sees("Type").types(name);
    person.ends(code)
}

#[track_caller]
fn has(text: &str, all: &[&str]) {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for wanted in all {
        assert!(flat.contains(wanted), "wanted `{wanted}` in {text}");
    }
}

fn exists(world: &World, what: &str) -> bool {
    !world.kubectl(&["get", what, "--ignore-not-found", "-o", "name"]).trim().is_empty()
}

#[test]
fn a_deployment_goes_with_what_it_owns_and_is_made_anew() {
    let world = World::new("delete");
    world.kubectl(&["expose", "deployment", "backend", "--port=80"]);
    world.kubectl(&["autoscale", "deployment", "backend", "--min=2", "--max=4"]);
    let arguments = json!({"kind": "deployment/backend"});
    let shown = delete(&world, &arguments).ends(3).all();
    has(
        &shown,
        &[
            "Delete deployment/backend",
            "2 pods, 1 replicaset: pod/backend-",
            "service/backend is left without pods to answer",
            "hpa/backend is left without a target",
            "kai undo makes it anew",
            "deployment/backend is deleted",
        ],
    );
    world.kai(&["--yes", "call", "delete", &arguments.to_string()]).ends(3);
    world.nothing_was_written();
    let mut person = world.person(&["call", "delete", &arguments.to_string()]);
    person.sees("Type").types("yes");
    person.ends(3);
    world.nothing_was_written();

    let uid = world.object("deployment/backend")["metadata"]["uid"].clone();
    let screen = typed(&world, &arguments, "backend", 0);
    has(&screen, &["gone in", "Deleted deployment/backend.", "kai undo"]);
    assert!(!exists(&world, "deployment/backend"));
    let (write, preview) = world.proxy.pairs().swap_remove(0);
    assert!(write.method == "DELETE" && preview.is_some(), "the dry run had these bytes: {}", write.line());
    assert_eq!(write.preconditions().0.as_deref(), uid.as_str());

    world.kai(&["undo", "--yes"]).ends(0).says("Took back").says("made anew");
    assert_eq!(world.replicas(), 2);
    assert_ne!(world.object("deployment/backend")["metadata"]["uid"], uid);
}

#[test]
fn what_is_not_there_is_not_guessed() {
    let world = World::new("deletenone");
    for (arguments, says) in [
        (json!({"kind": "deployment", "name": "backnd"}), "Did you mean backend?"),
        (json!({"kind": "deployments"}), "there is no \"all deployments\""),
        (json!({"kind": "deployment", "selector": " "}), "there is no \"all deployment\""),
        (json!({"kind": "pod", "selector": "app=nothing"}), "no pod has the labels `app=nothing`"),
        (json!({"kind": "wodget", "name": "x"}), "no kind called `wodget`"),
        (json!({"kind": "pod", "name": "../../x"}), "cannot be the name"),
    ] {
        delete(&world, &arguments).ends(1).says(says);
    }
    delete(&world, &json!({"kind": "pod", "selector": "app in ("})).ends(1);
    world.nothing_was_written();
}

#[test]
fn a_selector_lists_every_object_and_wants_the_namespace() {
    let world = World::new("deletemany");
    for name in ["a", "b", "c"] {
        world.create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"x": "y"}}, "data": {"k": "v"}}));
    }
    world.create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}}));
    let arguments = json!({"kind": "cm", "selector": "x=y"});
    let screen = typed(&world, &arguments, &world.namespace, 0);
    has(&screen, &["3 changes", "configmap/a", "configmap/b", "configmap/c", "Deleted 3 configmaps."]);
    assert!(exists(&world, "configmap/other") && !exists(&world, "configmap/a"));
    world.kai(&["undo", "--yes"]).ends(0);
    assert_eq!(world.object("configmap/b")["data"], json!({"k": "v"}));
}

#[test]
fn a_partial_failure_says_what_was_done_and_how_to_go_on() {
    let world = World::empty("deletepart");
    let names: Vec<String> = (0..12).map(|n| format!("part-{n:02}")).collect();
    for name in &names {
        world.create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}));
    }
    world.proxy.hook(|r| {
        if r.is_write() && r.path.ends_with("part-02") {
            return Action::answer(403, "Forbidden", "an admission webhook says no");
        }
        Action::Forward
    });
    let screen = typed(&world, &json!({"kind": "configmap", "names": names}), &world.namespace, 5);
    has(
        &screen,
        &[
            "Done, 2 of 12: configmap/part-00, configmap/part-01.",
            "configmap/part-02 was not changed: forbidden: an admission webhook says no.",
            "Not begun, kai stopped before them: configmap/part-03,",
            "configmap/part-10 and 1 more.",
            "Go on: ask again",
            "Take it back with: kai undo",
        ],
    );
    assert!(!exists(&world, "configmap/part-01") && exists(&world, "configmap/part-03"));
    world.proxy.unhook();
    world.kai(&["undo", "--yes"]).ends(0);
    assert!(exists(&world, "configmap/part-01"));
}

#[test]
fn claims_say_what_becomes_of_the_data() {
    let world = World::empty("deletedata");
    for (name, policy) in [("lost", "Delete"), ("kept", "Retain")] {
        let volume = format!("{}-{name}", world.namespace);
        world.create(&json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume}, "spec": {
            "capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": policy,
            "storageClassName": "", "hostPath": {"path": "/tmp/x"}}}));
        world.create(&json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": volume, "resources": {"requests": {"storage": "5Gi"}}}}));
    }
    world.create(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user"}, "spec": {
        "containers": [{"name": "c", "image": "nginx:1.27"}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "lost"}}]}}));
    let lost = delete(&world, &json!({"kind": "pvc", "name": "lost"})).ends(3).all();
    has(
        &lost,
        &[
            "the data on 5Gi are lost: pvc/lost (reclaim policy Delete)",
            "pod/user: it stays until no pod uses it",
            "kubernetes.io/pvc-protection",
            "cannot be taken back",
        ],
    );
    let kept = delete(&world, &json!({"kind": "pvc", "name": "kept"})).ends(3).all();
    has(&kept, &["the data on 5Gi are kept: pvc/kept (reclaim policy Retain"]);
    world.nothing_was_written();
    let screen = typed(&world, &json!({"kind": "pvc", "name": "kept"}), "kept", 0);
    has(&screen, &["Deleted persistentvolumeclaim/kept.", "It cannot be taken back: the data go with it"]);
    world.kai(&["undo", "--yes"]).ends(7).says("cannot be taken back");
}

#[test]
fn a_namespace_is_told_with_all_that_is_in_it() {
    let world = World::new("deletens");
    world.kubectl(&["expose", "deployment", "backend", "--port=80"]);
    world.kubectl(&["create", "secret", "generic", "key", "--from-literal=k=hunter2"]);
    let arguments = json!({"kind": "namespace", "name": world.namespace});
    let shown = delete(&world, &arguments).ends(3).all();
    has(
        &shown,
        &["everything in it,", "objects: 1 deployment, 2 pods, 1 service, 1 secret", "cannot be taken back"],
    );
    assert!(!shown.contains("hunter2"));
    world.nothing_was_written();
    let screen = typed(&world, &arguments, &world.namespace, 0);
    has(&screen, &["Deleted namespace/", "It cannot be taken back: everything in the namespace"]);
    assert!(kubectl(&["get", "ns", &world.namespace, "--ignore-not-found"]).trim().is_empty());
}

#[test]
fn what_may_not_be_listed_is_said() {
    let world = World::new("deleteblind");
    let namespace = world.namespace.as_str();
    world.kubectl(&[
        "create",
        "role",
        "some",
        "--verb=get,list,delete",
        "--resource=deployments,pods,replicasets,services",
    ]);
    world.kubectl(&["create", "rolebinding", "some", "--role=some", "--user=jane"]);
    kubectl(&["create", "clusterrole", namespace, "--verb=get,delete", "--resource=namespaces"]);
    kubectl(&[
        "create",
        "clusterrolebinding",
        namespace,
        &format!("--clusterrole={namespace}"),
        "--user=jane",
    ]);
    let arguments = json!({"kind": "namespace", "name": namespace}).to_string();
    let shown = world.kai_as("jane", &["call", "delete", &arguments]).ends(3).all();
    has(
        &shown,
        &["1 deployment, 2 pods", "not known, because it may not be listed: statefulsets, daemonsets"],
    );
    let shown = world.kai_as("jane", &["call", "delete", r#"{"kind": "deployment/backend"}"#]).ends(3).all();
    has(&shown, &["horizontalpodautoscalers cannot be looked at"]);
    world.nothing_was_written();
    kubectl(&["delete", "clusterrole,clusterrolebinding", namespace]);
}

#[test]
fn the_clusters_own_and_protected_namespaces_are_refused() {
    let world = World::new("deletefence");
    for arguments in [
        json!({"kind": "namespace", "name": "kube-public"}),
        json!({"kind": "configmap", "name": "kube-root-ca.crt", "namespace": "kube-public"}),
        json!({"kind": "clusterrole", "name": "view"}),
        json!({"kind": "node", "name": kubectl(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"])}),
        json!({"kind": "crd", "name": "logs.kwok.x-k8s.io"}),
    ] {
        let out = delete(&world, &arguments);
        assert_eq!(out.code, Some(7), "{arguments}: {}", out.all());
    }
    let config = world.home.path().join(".config/kai");
    std::fs::create_dir_all(&config).unwrap();
    let rules = format!("[policy]\nprotected_namespaces = [\"{}\"]\n", world.namespace);
    std::fs::write(config.join("config.toml"), rules).unwrap();
    delete(&world, &json!({"kind": "deployment/backend"})).ends(7).says("is protected by policy");
    delete(&world, &json!({"kind": "namespace", "name": world.namespace}))
        .ends(7)
        .says("is protected by policy");
    world.nothing_was_written();
}

#[test]
fn a_definition_counts_its_objects_and_a_secret_wants_leave() {
    let world = World::empty("deletedef");
    world
        .kai(&[
            "--allow",
            "control-plane",
            "call",
            "delete",
            r#"{"kind": "crd", "name": "logs.kwok.x-k8s.io"}"#,
        ])
        .ends(3)
        .says("cannot be taken back: all objects of that kind go with it")
        .says("with it");
    world.kubectl(&["create", "secret", "generic", "key", "--from-literal=k=hunter2"]);
    let arguments = r#"{"kind": "secret", "name": "key"}"#;
    world.kai(&["call", "delete", arguments]).ends(7).says("--allow secrets");
    let mut person = world.person(&["--allow", "secrets", "call", "delete", arguments]);
    person.sees("cannot be taken back").sees("Type").types("key");
    let screen = person.ends(0);
    assert!(screen.contains("It cannot be taken back") && !screen.contains("hunter2"), "{screen}");
}

#[test]
fn a_pod_comes_back_and_what_is_held_is_told() {
    let world = World::new("deletepod");
    let name = world.kubectl(&["get", "pods", "-o", "jsonpath={.items[0].metadata.name}"]);
    let arguments = json!({"kind": "pod", "name": name});
    let shown = delete(&world, &arguments).ends(3).all();
    has(&shown, &["replicaset/backend-", "makes another in its place", "cannot be taken back"]);
    assert!(!shown.contains("is left without pods"), "{shown}");
    typed(&world, &arguments, &name, 0);
    world.settle("backend");

    world.create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["example.com/wait"]}}));
    let held = json!({"kind": "configmap", "name": "held"});
    has(&delete(&world, &held).ends(3).all(), &["it stays until its finalizers are done: example.com/wait"]);
    world.kubectl(&["delete", "configmap", "held", "--wait=false"]);
    delete(&world, &held)
        .ends(0)
        .says("is being deleted already and waits for its finalizers example.com/wait");
    world.kubectl(&[
        "patch",
        "configmap",
        "held",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":null}}"#,
    ]);
}
