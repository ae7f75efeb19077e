//! A node of a test's own that takes nobody else's pods, and an application on it; of nodes and pods, kai sees these alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use kai_evals::proxy::{Action, Recorded};
use serde_json::{Value, json};

use crate::support::{Out, World, kubectl};

/// What a node is like. The worked examples have 4 cores and 8 GiB, all of it allocatable.
pub struct Machine {
    /// What stands behind the namespace in its name.
    pub name: &'static str,
    pub labels: Value,
    pub provider: &'static str,
    /// Of 4 cores, what pods may request.
    pub allocatable: &'static str,
}

impl Default for Machine {
    fn default() -> Self {
        Self { name: "node", labels: json!({}), provider: "", allocatable: "4" }
    }
}

/// todo-app's Deployments: two pods each, 250m and 256Mi.
pub const TODO: [&str; 3] = ["backend", "database", "frontend"];

pub struct Site {
    pub world: World,
    nodes: Vec<String>,
}

impl Site {
    /// Nothing but the nodes.
    pub fn new(name: &str, machines: &[Machine]) -> Self {
        let world = World::empty(name);
        let mut site = Self { world, nodes: Vec::new() };
        site.alone();
        for machine in machines {
            site.nodes.push(site.node(machine));
        }
        for name in &site.nodes {
            kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", &format!("node/{name}")]);
            let since = Instant::now();
            // A new node has a taint more until it is seen to be ready.
            while site.world.object(&format!("node/{name}"))["spec"]["taints"].as_array().map_or(0, Vec::len)
                != 1
            {
                assert!(since.elapsed() < Duration::from_secs(60), "{name} takes no pods");
                std::thread::sleep(Duration::from_millis(200));
            }
        }
        site
    }

    /// F1 of the worked examples: one node, kube-system's 950m and 290Mi (in a namespace of another name), todo-app with
    /// its autoscalers.
    pub fn todo(name: &str, machine: Machine) -> Self {
        let site = Self::new(name, &[machine]);
        kubectl(&["create", "namespace", &site.system()]);
        site.deploy_in(&site.system(), "system", 1, "950m", "290Mi", &json!({}));
        for app in TODO {
            site.deploy(app, 2, "250m", "256Mi", &json!({}));
            site.scaler(app);
        }
        for app in TODO {
            site.world.settle(app);
        }
        kubectl(&["-n", &site.system(), "rollout", "status", "deployment/system", "--timeout=60s"]);
        site
    }

    /// The namespace that stands in for kube-system.
    pub fn system(&self) -> String {
        format!("{}-system", self.world.namespace)
    }

    /// The first node's name.
    pub fn first(&self) -> &str {
        &self.nodes[0]
    }

    fn node(&self, machine: &Machine) -> String {
        let namespace = &self.world.namespace;
        let name = format!("{namespace}-{}", machine.name);
        let room = |cpu: &str| json!({"cpu": cpu, "memory": "8Gi", "pods": "110"});
        let mut labels = machine.labels.clone();
        labels["only"] = json!(namespace);
        labels["kubernetes.io/hostname"] = json!(name);
        let mut node = json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}},
            "spec": {"taints": [{"key": "only", "value": namespace, "effect": "NoSchedule"}]},
            "status": {"allocatable": room(machine.allocatable), "capacity": room("4")}});
        if !machine.provider.is_empty() {
            node["spec"]["providerID"] = json!(machine.provider);
        }
        self.world.create(&node);
        name
    }

    pub fn deploy(&self, app: &str, replicas: u32, cpu: &str, memory: &str, more: &Value) {
        self.deploy_in(&self.world.namespace, app, replicas, cpu, memory, more);
    }

    /// A Deployment for this site's nodes; `more` goes to its pods' spec.
    fn deploy_in(&self, namespace: &str, app: &str, replicas: u32, cpu: &str, memory: &str, more: &Value) {
        let only = &self.world.namespace;
        let mut spec = json!({
            "nodeSelector": {"only": only}, "terminationGracePeriodSeconds": 1,
            "tolerations": [{"key": "only", "operator": "Exists"}],
            "containers": [{"name": "c", "image": "nginx:1.27", "resources": {"requests": {"cpu": cpu, "memory": memory}}}],
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        let path = self.world.home.path().join(format!("{app}.json"));
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": app, "namespace": namespace},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": app}},
                "template": {"metadata": {"labels": {"app": app, "only": only}}, "spec": spec}}});
        std::fs::write(&path, object.to_string()).unwrap();
        kubectl(&["create", "-f", path.to_str().unwrap()]);
    }

    /// An autoscaler from 2 to 5.
    pub fn scaler(&self, app: &str) {
        self.world.create(&json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": app},
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": app}, "minReplicas": 2, "maxReplicas": 5}}));
    }

    /// Of nodes and pods kai gets those of this site; nothing measures, and no list of prices is in the cluster.
    pub fn alone(&self) {
        let only = format!("labelSelector=only%3D{}", self.world.namespace);
        self.world.proxy.hook(move |r| apart(r, &only));
    }

    /// `kai cost` with `-o json`.
    #[track_caller]
    pub fn figures(&self, arguments: &[&str]) -> Value {
        let out = self.cost(&[arguments, &["-o", "json"]].concat()).ends(0);
        serde_json::from_str(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", out.stdout))
    }

    #[must_use]
    pub fn cost(&self, arguments: &[&str]) -> Out {
        self.world.kai(&[&["-n", &self.world.namespace, "cost"], arguments].concat())
    }

    /// What the preview of a request says, on one line.
    #[track_caller]
    pub fn preview(&self, request: &str) -> String {
        flat(&self.world.kai(&["--dry-run", request]).ends(0).all())
    }
}

/// What of a request's answer is seen.
pub fn apart(r: &Recorded, only: &str) -> Action {
    // Volumes and Services of other tests too: none of this test's own is without a label.
    let listed = matches!(
        r.path.as_str(),
        "/api/v1/nodes"
            | "/api/v1/pods"
            | "/api/v1/persistentvolumes"
            | "/api/v1/persistentvolumeclaims"
            | "/api/v1/services"
    );
    if r.method == "GET" && listed && !r.query.contains("labelSelector") {
        Action::Narrow(only.to_owned())
    } else if r.path.starts_with("/apis/metrics.k8s.io/") || r.path.ends_with("/configmaps/kai-prices") {
        Action::answer(404, "NotFound", "the server could not find the requested resource")
    } else {
        Action::Forward
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // Also after a failure, and without a second one.
        let gone = |arguments: &[&str]| {
            let _ = catch_unwind(AssertUnwindSafe(|| kubectl(arguments)));
        };
        gone(&[
            "delete",
            "namespace",
            &self.world.namespace,
            &self.system(),
            "--wait=false",
            "--ignore-not-found",
        ]);
        for name in &self.nodes {
            gone(&["delete", "node", name, "--wait=false"]);
        }
    }
}

pub fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
pub fn has(text: &str, all: &[&str]) {
    let flat = flat(text);
    for wanted in all {
        assert!(flat.contains(wanted), "wanted `{wanted}` in {text}");
    }
}

/// A figure to a millionth.
#[track_caller]
pub fn near(found: &Value, wanted: f64) {
    let number = found.as_f64().unwrap_or_else(|| panic!("wanted {wanted}, found {found}"));
    assert!((number - wanted).abs() < 1e-6, "found {number}, wanted {wanted}");
}
