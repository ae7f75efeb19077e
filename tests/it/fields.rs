//! `set`, `autoscale` and `expose`: only what was asked changes, and it comes back.

use serde_json::{Value, json};

use crate::support::{Out, World};

fn call(world: &World, tool: &str, arguments: &Value) -> Out {
    world.kai(&["call", tool, &arguments.to_string()])
}

fn apply(world: &World, tool: &str, arguments: &Value) -> Out {
    world.kai(&["call", tool, &arguments.to_string(), "--yes"])
}

fn spec(world: &World, what: &str) -> Value {
    world.object(what)["spec"].clone()
}

#[test]
fn an_image_is_set_and_comes_back() {
    let world = World::new("setimage");
    let before = spec(&world, "deployment/backend");
    world
        .kai(&["set the image of backend to nginx:1.28"])
        .ends(3)
        .says("Set image of deployment/backend to nginx:1.28")
        .says("nginx:1.27");
    world.nothing_was_written();
    world
        .kai(&["--yes", "set the image of backend to nginx:1.28"])
        .ends(0)
        .says("Set image of deployment/backend");
    let mut wanted = before.clone();
    wanted["template"]["spec"]["containers"][0]["image"] = json!("nginx:1.28");
    assert_eq!(spec(&world, "deployment/backend"), wanted, "nothing else changed");
    apply(&world, "set", &json!({"workload": "backend", "image": "1.28"}))
        .ends(0)
        .says("runs nginx:1.28 already");
    world.kai(&["undo", "--yes"]).ends(0);
    assert_eq!(spec(&world, "deployment/backend"), before);
}

#[test]
fn several_fields_and_their_undo() {
    let world = World::new("setmany");
    let before = spec(&world, "deployment/backend");
    let arguments = json!({"workload": "backend", "env": {"MODE": "dev", "DB_PASSWORD": "hunter2"}, "memory_request": "64Mi",
        "memory_limit": "128Mi", "readiness": "tcp:80", "labels": {"tier": "front"}});
    let shown = call(&world, "set", &arguments).ends(3).says("looks like a secret").all();
    assert!(!shown.contains("hunter2"), "{shown}");
    world.nothing_was_written();
    apply(&world, "set", &arguments).ends(0).says("Set 6 fields of deployment/backend");
    let live = world.object("deployment/backend");
    let container = &live["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(live["metadata"]["labels"]["tier"], "front");
    assert_eq!(container["resources"]["limits"], json!({"memory": "128Mi"}));
    assert_eq!(container["readinessProbe"]["tcpSocket"]["port"], 80);
    let change = json!({"workload": "backend", "env": {"MODE": "prod"}, "unset": ["DB_PASSWORD"]});
    apply(&world, "set", &change).ends(0);
    let env = || spec(&world, "deployment/backend")["template"]["spec"]["containers"][0]["env"].clone();
    assert_eq!(env(), json!([{"name": "MODE", "value": "prod"}]));
    world.kai(&["undo", "--yes"]).ends(0);
    assert_eq!(env()[0]["name"], "DB_PASSWORD", "the old template comes back from its ReplicaSet");
    world.kai(&["undo", "--yes"]).ends(0);
    assert_eq!(spec(&world, "deployment/backend"), before);
    assert!(world.object("deployment/backend")["metadata"]["labels"].get("tier").is_none());
}

#[test]
fn what_cannot_be_set() {
    let world = World::new("setno");
    for (arguments, says) in [
        (json!({"workload": "backnd", "image": "nginx:1.28"}), "Did you mean backend"),
        (json!({"workload": "backend"}), "say which fields"),
        (json!({"workload": "backend", "memory_limit": "lots"}), "is not a quantity"),
        (json!({"workload": "backend", "container": "ngin", "image": "1.28"}), "Did you mean nginx"),
        (json!({"workload": "backend", "replicas": 3}), "replicas"),
    ] {
        apply(&world, "set", &arguments).ends(1).says(says);
    }
    world.nothing_was_written();
}

#[test]
fn other_objects_have_labels() {
    let world = World::new("setlabels");
    world.kubectl(&["expose", "deployment", "backend", "--port=80"]);
    let before = world.object("service/backend");
    world.kai(&["--yes", "annotate service/backend with owner=shop"]).ends(0);
    assert_eq!(world.object("service/backend")["metadata"]["annotations"]["owner"], "shop");
    world.kai(&["undo", "--yes"]).ends(0);
    let after = world.object("service/backend");
    assert_eq!(after["metadata"]["annotations"], before["metadata"]["annotations"]);
    apply(&world, "set", &json!({"workload": "service/backend", "image": "x:1"})).says("only `labels`");
}

#[test]
fn a_cron_job_is_set_in_its_template() {
    let world = World::empty("setcron");
    world.kubectl(&["create", "cronjob", "nightly", "--image=busybox:1.36", "--schedule=0 3 * * *"]);
    apply(&world, "set", &json!({"workload": "nightly", "image": "1.37", "env": {"A": "1"}})).ends(0);
    let container = || {
        spec(&world, "cronjob/nightly")["jobTemplate"]["spec"]["template"]["spec"]["containers"][0].clone()
    };
    assert_eq!(
        (&container()["image"], &container()["env"][0]["name"]),
        (&json!("busybox:1.37"), &json!("A"))
    );
    world.kai(&["undo", "--yes"]).ends(0);
    assert_eq!((&container()["image"], container().get("env")), (&json!("busybox:1.36"), None));
}

#[test]
fn an_autoscaler_comes_changes_and_goes() {
    let world = World::new("autoscale");
    world
        .kai(&["autoscale backend from 2 to 5 at 70% cpu"])
        .ends(3)
        .says("Autoscale deployment/backend from 2 to 5, cpu 70%")
        .says("no cpu request on container nginx")
        .says("metrics API");
    world.nothing_was_written();
    world.kai(&["--yes", "autoscale backend from 2 to 5 at 70% cpu"]).ends(0);
    let hpa = spec(&world, "hpa/backend");
    assert_eq!((&hpa["minReplicas"], &hpa["maxReplicas"]), (&json!(2), &json!(5)));
    apply(&world, "autoscale", &json!({"workload": "backend", "max": 8})).ends(0);
    assert_eq!(spec(&world, "hpa/backend")["maxReplicas"], 8);
    apply(&world, "autoscale", &json!({"workload": "backend", "max": 8})).ends(0).says("already");
    world.kai(&["undo", "--yes"]).ends(0);
    assert_eq!(spec(&world, "hpa/backend")["maxReplicas"], 5);
    world.proxy.clear();
    apply(&world, "autoscale", &json!({"workload": "backend", "off": true})).ends(3);
    world.nothing_was_written();
    let mut person = world.person(&["call", "autoscale", r#"{"workload": "backend", "off": true}"#]);
    person.sees("Type").types("backend");
    person.ends(0);
    assert!(world.kubectl(&["get", "hpa", "-o", "name"]).is_empty());
    apply(&world, "autoscale", &json!({"workload": "backnd", "max": 5})).says("Did you mean backend");
    apply(&world, "autoscale", &json!({"workload": "backend", "min": 5, "max": 2}))
        .says("cannot be above max");
}

#[test]
fn a_service_comes_changes_and_goes() {
    let world = World::new("expose");
    world
        .kai(&["expose backend on port 80"])
        .ends(3)
        .says("Expose deployment/backend on port 80")
        .says("nothing says that the pods listen there");
    world.nothing_was_written();
    apply(&world, "expose", &json!({"workload": "backend"})).says("give `port`");
    world.kai(&["--yes", "expose backend on port 80"]).ends(0).says("Exposed deployment/backend on port 80");
    let service = spec(&world, "service/backend");
    assert_eq!(service["selector"], spec(&world, "deployment/backend")["selector"]["matchLabels"]);
    apply(&world, "expose", &json!({"workload": "backend"})).ends(0).says("Nothing to change");
    apply(&world, "expose", &json!({"workload": "backend", "type": "NodePort", "target_port": 8080})).ends(0);
    let changed = spec(&world, "service/backend");
    assert_eq!((&changed["type"], &changed["ports"][0]["targetPort"]), (&json!("NodePort"), &json!(8080)));
    let port = changed["ports"][0]["nodePort"].as_u64().unwrap();
    world.deploy("api", 1, "nginx:1.27");
    world.proxy.clear();
    apply(&world, "expose", &json!({"workload": "api", "port": 80, "node_port": port}))
        .says("is taken by service/backend in");
    apply(&world, "expose", &json!({"workload": "api", "port": 80, "node_port": 80}))
        .says("between 30000 and 32767");
    apply(&world, "expose", &json!({"workload": "backnd", "port": 80})).says("Did you mean backend");
    world.nothing_was_written();
    world.kai(&["undo", "--yes"]).ends(0);
    let back = spec(&world, "service/backend");
    assert_eq!((&back["type"], &back["ports"]), (&service["type"], &service["ports"]));
}

#[test]
fn a_host_makes_an_ingress() {
    let world = World::new("exposehost");
    let arguments =
        json!({"workload": "backend", "port": 80, "host": format!("{}.example.com", world.namespace)});
    apply(&world, "expose", &arguments).ends(0).says("no IngressClass");
    let ingress = spec(&world, "ingress/backend");
    assert_eq!(ingress["rules"][0]["host"], arguments["host"]);
    assert_eq!(ingress["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"]["number"], 80);
    apply(&world, "expose", &arguments).ends(0).says("Nothing to change");
    let mut person = world.person(&["undo"]);
    person.sees("Type").types(&world.namespace);
    person.ends(0);
    assert!(world.kubectl(&["get", "service,ingress", "-o", "name"]).is_empty());
}
