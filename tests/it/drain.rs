//! A node is emptied by evictions, and no disruption budget is passed.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{World, has_real_kubelets, kubectl};

/// Nodes of a test's own, which take nobody else's pods.
struct Nodes {
    world: World,
    names: Vec<String>,
}

impl Nodes {
    fn new(name: &str, cpu: &[&str]) -> Self {
        let world = World::empty(name);
        let names: Vec<String> =
            (0..cpu.len()).map(|n| format!("{}-{}", world.namespace, char::from(b'a' + n as u8))).collect();
        for (name, cpu) in names.iter().zip(cpu) {
            let room = json!({"cpu": cpu, "memory": "8Gi", "pods": "110"});
            world.create(&json!({"apiVersion": "v1", "kind": "Node",
                "metadata": {"name": name, "labels": {"only": world.namespace, "kubernetes.io/hostname": name},
                    "annotations": {"kwok.x-k8s.io/node": "fake"}},
                "spec": {"taints": [{"key": "only", "value": world.namespace, "effect": "NoSchedule"}]},
                "status": {"allocatable": room, "capacity": room}}));
        }
        for name in &names {
            kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", &format!("node/{name}")]);
        }
        let nodes = Self { world, names };
        nodes.until("the nodes take pods", || {
            nodes.names.iter().all(|name| {
                let node = nodes.world.object(&format!("node/{name}"));
                node["spec"]["taints"].as_array().is_some_and(|taints| taints.len() == 1)
            })
        });
        nodes
    }

    #[track_caller]
    fn until(&self, what: &str, is: impl Fn() -> bool) {
        let since = Instant::now();
        while !is() {
            assert!(since.elapsed() < Duration::from_secs(60), "{what}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn template(&self, app: &str, extra: &Value) -> Value {
        let mut spec = json!({
            "nodeSelector": {"only": self.world.namespace}, "terminationGracePeriodSeconds": 1,
            "tolerations": [{"key": "only", "operator": "Exists"}],
            "containers": [{"name": "c", "image": "nginx:1.27"}],
        });
        for (key, value) in extra.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        json!({"metadata": {"labels": {"app": app}}, "spec": spec})
    }

    /// A Deployment whose pods all stand on the first node.
    fn deploy(&self, app: &str, replicas: u32, extra: &Value) {
        for other in &self.names[1..] {
            kubectl(&["cordon", other]);
        }
        self.world.create(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": app}, "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": app}}, "template": self.template(app, extra)}}));
        self.world.settle(app);
        for other in &self.names[1..] {
            kubectl(&["uncordon", other]);
        }
    }

    fn budget(&self, app: &str, minimum: u32, allowed: u32) {
        self.world.create(
            &json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": app},
            "spec": {"minAvailable": minimum, "selector": {"matchLabels": {"app": app}}}}),
        );
        self.until("the budget is counted", || {
            let status = &self.world.object(&format!("pdb/{app}"))["status"];
            status["expectedPods"].as_u64().unwrap_or(0) > 0
                && status["disruptionsAllowed"].as_u64() == Some(u64::from(allowed))
        });
    }

    fn first(&self) -> &str {
        &self.names[0]
    }

    fn pods_on_first(&self, app: &str) -> usize {
        let field = format!("--field-selector=spec.nodeName={}", self.first());
        let label = format!("app={app}");
        self.world.kubectl(&["get", "pods", &field, "-l", &label, "-o", "name"]).lines().count()
    }

    fn is_cordoned(&self) -> bool {
        self.world.object(&format!("node/{}", self.first()))["spec"]["unschedulable"] == true
    }

    fn call(&self, action: &str, extra: &Value) -> [String; 3] {
        let mut arguments = json!({"name": self.first(), "action": action});
        for (key, value) in extra.as_object().into_iter().flatten() {
            arguments[key] = value.clone();
        }
        ["call".into(), "node".into(), arguments.to_string()]
    }

    fn typed(&self, action: &str, extra: &Value, code: i32) -> String {
        let call = self.call(action, extra);
        let mut person = self.world.person(&[&call[0], &call[1], &call[2]]);
        person.sees("Type").types(self.first());
        person.ends(code)
    }

    fn shown(&self, extra: &Value) -> crate::support::Out {
        let call = self.call("drain", extra);
        self.world.kai(&[&call[0], &call[1], &call[2]])
    }

    fn evictions(&self) -> Vec<Option<u16>> {
        self.world.proxy.writes().iter().filter(|r| r.path.ends_with("/eviction")).map(|r| r.status).collect()
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        kubectl(&["delete", "namespace", &self.world.namespace, "--wait=false"]);
        for name in &self.names {
            kubectl(&["delete", "node", name, "--wait=false"]);
        }
    }
}

#[track_caller]
fn has(text: &str, all: &[&str]) {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for wanted in all {
        assert!(flat.contains(wanted), "wanted `{wanted}` in {text}");
    }
}

#[test]
fn cordon_and_uncordon_want_the_name_and_are_taken_back() {
    if has_real_kubelets() {
        return; // Nodes of a test's own are simulated ones.
    }
    let nodes = Nodes::new("cordon", &["4"]);
    let call = nodes.call("cordon", &json!({}));
    nodes.world.kai(&["--yes", &call[0], &call[1], &call[2]]).ends(3).says("serves all namespaces");
    nodes.world.nothing_was_written();
    has(&nodes.typed("cordon", &json!({}), 0), &["spec.unschedulable", "Cordoned node/"]);
    assert!(nodes.is_cordoned());
    nodes.world.kai(&["--yes", &call[0], &call[1], &call[2]]).ends(0).says("is cordoned already");
    has(&nodes.typed("uncordon", &json!({}), 0), &["Uncordoned node/"]);
    assert!(!nodes.is_cordoned());
    let mut person = nodes.world.person(&["undo"]);
    person.sees("Type").types(nodes.first());
    has(&person.ends(0), &["Took back"]);
    assert!(nodes.is_cordoned());
    nodes.world.kai(&["call", "node", r#"{"name": "cordn-nowhere", "action": "cordon"}"#]).ends(1);
    let force = nodes.call("cordon", &json!({"force": true}));
    nodes.world.kai(&[&force[0], &force[1], &force[2]]).ends(1).says("go with action `drain` only");
}

#[test]
fn a_drain_waits_for_budgets_and_ends_with_an_empty_node() {
    if has_real_kubelets() {
        return;
    }
    let nodes = Nodes::new("drain", &["4", "4"]);
    nodes.deploy("web", 3, &json!({}));
    nodes.deploy("free", 2, &json!({}));
    nodes.budget("web", 2, 1);
    nodes.world.create(
        &json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"}, "spec": {
        "selector": {"matchLabels": {"app": "agent"}}, "template": nodes.template("agent", &json!({}))}}),
    );
    nodes.world.kubectl(&["rollout", "status", "daemonset/agent", "--timeout=60s"]);
    nodes.world.proxy.clear();
    let screen = nodes.typed("drain", &json!({}), 0);
    has(
        &screen,
        &[
            "5 pods leave it",
            "pods left alone: 1 of DaemonSets",
            "pdb/web allows 1 of 3 evictions now",
            "other nodes have room for the 5 pods",
            "waits: ",
            "gone in",
            "Drained node/",
        ],
    );
    assert_eq!(
        (nodes.pods_on_first("web"), nodes.pods_on_first("free"), nodes.pods_on_first("agent")),
        (0, 0, 1)
    );
    assert!(nodes.is_cordoned());
    let evictions = nodes.evictions();
    let count = |status: u16| evictions.iter().filter(|s| **s == Some(status)).count();
    assert_eq!(count(201), 5, "{evictions:?}");
    assert!(count(429) > 0, "the budget held some back: {evictions:?}");
    let free = nodes.world.proxy.writes().iter().rposition(|r| r.path.contains("/pods/free-")).unwrap();
    let web = nodes.world.proxy.writes().iter().rposition(|r| r.path.contains("/pods/web-")).unwrap();
    assert!(free < web, "what is held keeps nobody waiting");
    let call = nodes.call("drain", &json!({}));
    nodes.world.kai(&["--yes", &call[0], &call[1], &call[2]]).ends(0).says("no pod is to leave it");
}

#[test]
fn what_a_budget_never_allows_stays_and_ctrl_c_says_how_it_stands() {
    if has_real_kubelets() {
        return;
    }
    let nodes = Nodes::new("drainheld", &["4", "4"]);
    nodes.deploy("strict", 2, &json!({}));
    nodes.deploy("free", 1, &json!({}));
    nodes.budget("strict", 2, 0);
    let call = nodes.call("drain", &json!({}));
    let mut person = nodes.world.person(&[&call[0], &call[1], &call[2]]);
    person.sees("held by pdb/strict: it wants 2 of 2 pods").sees("Type").types(nodes.first());
    person.sees("waits: ").sees("gone in").sees("2 held by disruption budgets");
    std::thread::sleep(Duration::from_secs(6));
    person.interrupts();
    let screen = person.ends(5);
    let first = nodes.first();
    has(
        &screen,
        &[
            "1 of 3 pods have left.",
            "pod/strict-",
            "stays: the API server answered 429",
            &format!("node/{first} stays cordoned"),
            &format!("Go back: kai \"uncordon {first}\""),
        ],
    );
    assert_eq!((nodes.pods_on_first("strict"), nodes.pods_on_first("free")), (2, 0));
    let evictions = nodes.evictions();
    assert_eq!(evictions.iter().filter(|s| **s == Some(201)).count(), 1, "{evictions:?}");
    assert!(nodes.is_cordoned());
}

#[test]
fn local_data_and_pods_of_nobody_are_named_and_refused() {
    if has_real_kubelets() {
        return;
    }
    let nodes = Nodes::new("drainrefuse", &["2", "1"]);
    let cached = json!({"volumes": [{"name": "v", "emptyDir": {}}],
        "containers": [{"name": "c", "image": "nginx:1.27", "resources": {"requests": {"cpu": "800m"}}}]});
    nodes.deploy("cache", 2, &cached);
    let mut alone = nodes.template("alone", &json!({"nodeName": nodes.first()}));
    alone["apiVersion"] = json!("v1");
    alone["kind"] = json!("Pod");
    alone["metadata"]["name"] = json!("alone");
    nodes.world.create(&alone);
    nodes.world.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "pod/alone"]);
    let refused = nodes.shown(&json!({})).ends(7);
    has(&refused.all(), &["/cache-", "/alone", "drain with `delete_local_data` and `force`"]);
    nodes.shown(&json!({"force": true})).ends(7).says("emptyDir");
    nodes.world.nothing_was_written();
    let both = json!({"force": true, "delete_local_data": true});
    let shown = nodes.shown(&both).ends(3).all();
    has(
        &shown,
        &[
            "no other node has room for 1 of 2 pods, which would stay Pending",
            "its data on this node (emptyDir) are lost",
            "has no controller: nobody makes it again",
        ],
    );
    nodes.world.nothing_was_written();
    let screen = nodes.typed("drain", &both, 0);
    has(&screen, &["Drained node/"]);
    assert_eq!((nodes.pods_on_first("cache"), nodes.pods_on_first("alone")), (0, 0));
}

#[test]
fn who_may_not_evict_is_told_before() {
    if has_real_kubelets() {
        return;
    }
    let nodes = Nodes::new("drainrights", &["4", "4"]);
    nodes.deploy("web", 1, &json!({}));
    let namespace = nodes.world.namespace.clone();
    kubectl(&["create", "clusterrole", &namespace, "--verb=get,list,patch", "--resource=nodes,pods"]);
    kubectl(&[
        "create",
        "clusterrolebinding",
        &namespace,
        &format!("--clusterrole={namespace}"),
        "--user=jane",
    ]);
    let call = nodes.call("drain", &json!({}));
    let out = nodes.world.kai_as("jane", &[&call[0], &call[1], &call[2]]);
    assert_eq!(out.code, Some(7), "{}", out.all());
    has(&out.all(), &["eviction"]);
    nodes.world.nothing_was_written();
    kubectl(&["delete", "clusterrole,clusterrolebinding", &namespace]);
}
