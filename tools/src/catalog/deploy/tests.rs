//! What a deployment is made of, and what an update touches.

use super::*;

fn deploy(arguments: Value) -> Deploy {
    serde_json::from_value(arguments).unwrap()
}

fn built(arguments: Value, ports: &[u16]) -> Vec<(&'static str, Value)> {
    let d = deploy(arguments);
    objects::build(&d, "todo", d.image.as_deref().unwrap_or("x:1"), ports).unwrap().objects
}

fn get<'a>(objects: &'a [(&'static str, Value)], kind: &str) -> &'a Value {
    &objects.iter().find(|(k, _)| *k == kind).unwrap_or_else(|| panic!("no {kind}")).1
}

#[test]
fn the_sentence_of_the_todo_app() {
    let said = json!({"name": "frontend", "image": "todo-frontend:latest", "replicas": 2, "ports": [3000]});
    let objects = built(said, &[3000]);
    let kinds: Vec<&str> = objects.iter().map(|(k, _)| *k).collect();
    assert_eq!(kinds, ["service", "deployment"], "nothing that was not asked for");
    let deployment = get(&objects, "deployment");
    assert_eq!(deployment["spec"]["replicas"], 2);
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "todo-frontend:latest");
    assert_eq!(container["ports"][0]["containerPort"], 3000);
    assert_eq!(container["readinessProbe"]["tcpSocket"]["port"], 3000);
    assert!(container.get("livenessProbe").is_none(), "a wrong liveness probe kills: it is not invented");
    assert!(container["resources"]["limits"].get("cpu").is_none());
    assert_eq!(get(&objects, "service")["spec"]["ports"][0]["targetPort"], 3000);
}

#[test]
fn a_port_that_others_declare_is_no_service() {
    let objects = built(json!({"name": "web", "image": "web:1"}), &[80]);
    let kinds: Vec<&str> = objects.iter().map(|(k, _)| *k).collect();
    assert_eq!(kinds, ["deployment"], "nobody asked for a Service");
    let container = &get(&objects, "deployment")["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["ports"][0]["containerPort"], 80);
    assert_eq!(container["readinessProbe"]["tcpSocket"]["port"], 80);
    for asked in [
        json!({"service": "ClusterIP"}),
        json!({"host": "a.example"}),
        json!({"node_port": 30080}),
        json!({"path": "/"}),
    ] {
        let mut all = json!({"name": "web", "image": "web:1"});
        all.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
        assert_eq!(get(&built(all, &[80]), "service")["spec"]["ports"][0]["port"], 80, "{asked}");
    }
}

#[test]
fn every_default_says_why() {
    let d = deploy(json!({"name": "a", "image": "a:1"}));
    let built = objects::build(&d, "t", "a:1", &[80]).unwrap();
    assert!(built.lines.len() >= 6, "{:?}", built.lines);
    assert!(built.lines.iter().all(|l| l.text.contains(':') || l.text.contains(';')), "{:?}", built.lines);
    let d = deploy(
        json!({"name": "a", "image": "a:1", "replicas": 1, "cpu_request": "1", "memory_request": "1Gi",
        "memory_limit": "1Gi", "readiness": "none", "service_account": "a"}),
    );
    let lines = objects::build(&d, "t", "a:1", &[80]).unwrap().lines;
    assert_eq!(lines.len(), 1, "what was said is no default: {lines:?}");
}

#[test]
fn an_autoscaler_owns_the_replicas() {
    let objects = built(
        json!({"name": "b", "image": "b:1", "min_replicas": 2, "max_replicas": 5, "cpu_target": 70, "memory_target": 80}),
        &[8000],
    );
    assert!(get(&objects, "deployment")["spec"].get("replicas").is_none());
    let hpa = get(&objects, "horizontalpodautoscaler");
    assert_eq!((&hpa["spec"]["minReplicas"], &hpa["spec"]["maxReplicas"]), (&json!(2), &json!(5)));
    assert_eq!(hpa["spec"]["metrics"][1]["resource"]["name"], "memory");
}

#[test]
fn storage_per_pod_is_a_statefulset() {
    let objects =
        built(json!({"name": "db", "image": "db:1", "mounts": ["/data=5Gi"], "per_pod": true}), &[5432]);
    let set = get(&objects, "statefulset");
    assert_eq!(set["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"], "5Gi");
    assert_eq!(get(&objects, "service")["spec"]["clusterIP"], "None");
    assert!(set["spec"]["template"]["spec"].get("volumes").is_none());
    let shared = built(json!({"name": "db", "image": "db:1", "mounts": ["/data=5Gi"]}), &[5432]);
    assert_eq!(get(&shared, "deployment")["spec"]["strategy"]["type"], "Recreate");
    assert_eq!(get(&shared, "persistentvolumeclaim")["metadata"]["name"], "db-data");
    let two = deploy(json!({"name": "db", "image": "db:1", "mounts": ["/data=5Gi"], "replicas": 2}));
    assert!(objects::build(&two, "t", "db:1", &[]).is_err(), "two pods cannot share it");
}

#[test]
fn references_and_volumes() {
    let objects = built(
        json!({"name": "ai", "image": "ai:1", "env": {"MODE": "prod"}, "env_from": ["KEY=secret/keys/openai", "configmap/ai"],
            "mounts": ["/dev/shm=memory:1Gi", "/etc/ai=configmap/ai"], "user": 1000, "read_only_root": true,
            "prefer_nodes": {"node-type": "browser-pool"}}),
        &[],
    );
    let spec = &get(&objects, "deployment")["spec"]["template"]["spec"];
    let container = &spec["containers"][0];
    assert_eq!(container["env"][1]["valueFrom"]["secretKeyRef"], json!({"name": "keys", "key": "openai"}));
    assert_eq!(container["envFrom"][0]["configMapRef"]["name"], "ai");
    assert_eq!(spec["volumes"][0]["emptyDir"], json!({"medium": "Memory", "sizeLimit": "1Gi"}));
    assert_eq!(container["securityContext"]["runAsNonRoot"], true);
    let affinity = &spec["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][0];
    assert_eq!(affinity["preference"]["matchExpressions"][0]["key"], "node-type");
    assert!(!objects.iter().any(|(k, _)| *k == "service"), "no port, no Service");
}

#[test]
fn wrong_arguments_say_what_is_wrong() {
    for (arguments, says) in [
        (json!({"name": "A_b"}), "cannot name"),
        (json!({"name": "a", "image": "x y"}), "is not an image"),
        (json!({"name": "a", "cpu_request": "lots"}), "is not a quantity"),
        (json!({"name": "a", "memory_request": "2Gi", "memory_limit": "1Gi"}), "above its limit"),
        (json!({"name": "a", "min_replicas": 2}), "needs `max_replicas`"),
        (json!({"name": "a", "min_replicas": 4, "max_replicas": 2}), "below"),
        (json!({"name": "a", "node_port": 80}), "between 30000 and 32767"),
    ] {
        let error = deploy(arguments).check().unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn an_update_says_only_what_was_asked() {
    let live = json!({"metadata": {"name": "web", "uid": "1"}, "spec": {"replicas": 3, "template": {"spec": {
        "containers": [{"name": "main", "image": "web:1", "env": [{"name": "A", "value": "1"}]}]}}}});
    let kind = builtin("deployment");
    let target = Resolved { object: kind.object("t", "web"), kind, live: live.clone(), note: None };
    let d = deploy(json!({"name": "web", "image": "web:2", "env": {"B": "2"}}));
    let asked = objects::asked(&d, "t", "main", &target).unwrap();
    assert_eq!(asked.len(), 1);
    let after = diff::overlay(&live, &asked[0].1);
    let changed: Vec<String> =
        diff::fields(&live, &after).iter().map(|f| diff::human_path(&f.path)).collect();
    assert_eq!(
        changed,
        [
            "spec.template.spec.containers[main].image",
            "spec.template.spec.containers[main].env[B].name",
            "spec.template.spec.containers[main].env[B].value"
        ]
    );
}
