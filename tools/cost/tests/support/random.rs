//! Clusters made by chance, the same ones each time: nodes of several sizes and prices, pods that wait, that use more than
//! they request, that come with a node, that are billed by themselves.

use kai_cost::cluster::{Balancer, Claim, Node, Object, Size, Snapshot};
use kai_cost::delta::{Edit, Edits, State};
use kai_cost::prices::Prices;
use kai_cost::read;
use kai_cost::tariff::Tariff;
use kai_cost::units::Bytes;
use serde_json::{Value, json};

/// SplitMix64: a number of 64 bits after the other, from a seed.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to what is below `end`.
    pub fn below(&mut self, end: i64) -> i64 {
        (self.next() % u64::try_from(end).unwrap()) as i64
    }

    /// Whether one in so many.
    pub fn one_in(&mut self, of: i64) -> bool {
        self.below(of) == 0
    }

    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as i64) as usize]
    }

    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            all.swap(at, self.below(at as i64 + 1) as usize);
        }
    }
}

/// What may be in a cluster.
#[derive(Clone, Copy)]
pub struct Kind {
    /// All nodes are of one size and one price, and large enough for anything.
    pub equal: bool,
    /// Nodes whose pods are billed one by one may be among them.
    pub by_pod: bool,
    /// Pods may have no node.
    pub waiting: bool,
    /// A pod only goes where it fits, as the scheduler would have it.
    pub fitting: bool,
}

/// Anything there can be.
pub const ANY: Kind = Kind { equal: false, by_pod: true, waiting: true, fitting: false };
/// Machines that are all the same, with all pods on them.
pub const EQUAL: Kind = Kind { equal: true, by_pod: false, waiting: false, fitting: false };

/// A cluster, its prices, and how many workloads there are: w0, w1 ...
pub struct World {
    pub cluster: Snapshot,
    pub tariff: Tariff,
    pub workloads: usize,
}

const SPACES: [&str; 3] = ["a", "b", "c"];

pub fn namespace(workload: usize) -> &'static str {
    SPACES[workload % SPACES.len()]
}

pub fn named(workload: usize) -> Object {
    Object { kind: "Deployment".into(), namespace: namespace(workload).into(), name: format!("w{workload}") }
}

fn resources(cpu: i64, mib: i64, gpus: i64) -> Value {
    let mut requests = json!({"cpu": format!("{cpu}m"), "memory": format!("{mib}Mi")});
    if gpus > 0 {
        requests["nvidia.com/gpu"] = json!(gpus.to_string());
    }
    json!({"requests": requests})
}

/// The pods of a workload: one or two containers, perhaps a larger init container, a sidecar, GPUs, a pool of their own.
fn template(random: &mut Random, gpus: bool) -> Value {
    let mut containers = Vec::new();
    for at in 0..=random.below(2) {
        let mut one = json!({"name": format!("c{at}")});
        if !random.one_in(6) {
            let gpus = if gpus && random.one_in(4) { 1 } else { 0 };
            one["resources"] = resources(random.below(900), random.below(1500), gpus);
        }
        containers.push(one);
    }
    let mut spec = json!({"containers": containers});
    if random.one_in(4) {
        let (cpu, mib) = (random.below(2000), random.below(2500));
        spec["initContainers"] = json!([
            {"name": "side", "restartPolicy": "Always", "resources": resources(20, 30, 0)},
            {"name": "first", "resources": resources(cpu, mib, 0)},
        ]);
    }
    if random.one_in(4) {
        spec["nodeSelector"] = json!({"pool": random.pick(&["p0", "p1"])});
    }
    if random.one_in(2) {
        spec["tolerations"] =
            json!([{"key": "kept", "operator": "Equal", "value": "free", "effect": "NoSchedule"}]);
    }
    if random.one_in(5) {
        spec["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
    }
    spec
}

fn node(random: &mut Random, at: usize, kind: Kind) -> Value {
    let (mut cpu, mut gib, mut gpus) =
        (random.pick(&[2, 4, 8, 16]), random.pick(&[4, 8, 16, 64]), if random.one_in(4) { 2 } else { 0 });
    if kind.equal {
        (cpu, gib, gpus) = (640, 4096, 64);
    }
    let mut labels = json!({"pool": if kind.equal { "p0" } else { random.pick(&["p0", "p1"]) }});
    let mut taints = Vec::new();
    if kind.by_pod && random.one_in(4) {
        labels["eks.amazonaws.com/compute-type"] = json!("fargate");
        taints.push(
            json!({"key": "eks.amazonaws.com/compute-type", "value": "fargate", "effect": "NoSchedule"}),
        );
    } else if !kind.equal && random.one_in(4) {
        taints.push(json!({"key": "kept", "value": "free", "effect": "NoSchedule"}));
    }
    let ready = if !kind.equal && random.one_in(8) { "False" } else { "True" };
    let capacity = json!({"cpu": cpu.to_string(), "memory": format!("{gib}Gi"), "nvidia.com/gpu": gpus.to_string(), "pods": "110"});
    let room = json!({"cpu": format!("{}m", cpu * 1000 - 80), "memory": format!("{}Mi", gib * 1024 - 700),
        "nvidia.com/gpu": gpus.to_string(), "pods": "110"});
    json!({
        "metadata": {"name": format!("n{at}"), "labels": labels}, "spec": {"taints": taints},
        "status": {"capacity": capacity, "allocatable": room, "conditions": [{"type": "Ready", "status": ready}]},
    })
}

/// The cluster of a seed.
pub fn world(seed: u64, kind: Kind) -> World {
    let mut random = Random(seed);
    let count = 1 + random.below(6) as usize;
    let nodes: Vec<Node> = (0..count).map(|at| read::node(&node(&mut random, at, kind))).collect();
    let mut text = "schema = 1\nas_of = 2026-11-01\n".to_owned();
    let same = 50 + random.below(3000);
    for at in 0..count {
        let mills = if kind.equal { same } else { 50 + random.below(3000) };
        if !kind.equal && random.one_in(4) {
            continue; // This one goes by the generic rates.
        }
        text += &format!("[[node]]\nmatch = {{ name = \"n{at}\" }}\nhourly = {}\n", mills as f64 / 1000.0);
    }
    let mut cluster = Snapshot { nodes, ..Snapshot::default() };
    let workloads = 1 + random.below(7) as usize;
    let templates: Vec<Value> = (0..workloads).map(|_| template(&mut random, true)).collect();
    // Of a whole one, and of a workload that has no pods at all.
    let pods = if random.one_in(8) { 0 } else { random.below(61) };
    let mut left: Vec<Size> = cluster.nodes.iter().map(|n| n.allocatable).collect();
    for number in 0..pods {
        let workload = random.below(workloads as i64) as usize;
        let node = (!(kind.waiting && random.one_in(6))).then(|| random.below(count as i64) as usize);
        add(&mut cluster, &mut random, workload, &templates[workload], node, number as usize);
        let pod = cluster.pods.last_mut().unwrap();
        if let Some(node) = node {
            if kind.fitting && !pod.shape.size.fits(left[node]) {
                pod.node = None;
                continue;
            }
            left[node] = left[node] - pod.shape.size;
        }
    }
    if random.one_in(2) && !kind.fitting {
        let agent = template(&mut random, false);
        for at in 0..count {
            add(&mut cluster, &mut random, 0, &agent, Some(at), 1000 + at);
            let pod = cluster.pods.last_mut().unwrap();
            pod.owner = Object { kind: "DaemonSet".into(), namespace: "a".into(), name: "agent".into() };
        }
    }
    for space in SPACES.iter().take(random.below(4) as usize) {
        let of = |kind: &str, name: &str| Object {
            kind: kind.into(),
            namespace: (*space).into(),
            name: name.into(),
        };
        cluster.claims.push(Claim {
            object: of("PersistentVolumeClaim", "data"),
            size: Bytes((1 + random.below(100)) << 30),
            class: String::new(),
        });
        cluster
            .balancers
            .push(Balancer { object: of("Service", "web"), selector: [("app".into(), "w0".into())].into() });
    }
    let prices = Prices::embedded().with_file("prices.toml", &text, true).unwrap();
    let tariff = Tariff::of(&cluster, &prices, jiff::civil::date(2026, 11, 21));
    World { cluster, tariff, workloads }
}

fn add(
    cluster: &mut Snapshot,
    random: &mut Random,
    workload: usize,
    spec: &Value,
    node: Option<usize>,
    number: usize,
) {
    let mut spec = spec.clone();
    if let Some(node) = node {
        spec["nodeName"] = json!(format!("n{node}"));
    }
    let phase = if node.is_some() && !random.one_in(8) { "Running" } else { "Pending" };
    let mut pod = read::pod(&json!({
        "metadata": {
            "name": format!("p{number}"), "namespace": namespace(workload),
            "labels": {"app": format!("w{workload}"), "pod-template-hash": "5d4f"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": format!("w{workload}-5d4f"), "controller": true}],
        },
        "spec": spec, "status": {"phase": phase},
    }))
    .unwrap();
    if node.is_some() && !random.one_in(3) {
        // From nothing to three times what is asked for.
        let used = |random: &mut Random, size: Size| {
            let percent = random.below(300);
            Size::new(size.cpu.0 * percent / 100 + 1, size.memory.0 / 100 * percent + 1)
        };
        let of = pod.shape.containers.iter().map(|c| (c.name.clone(), used(random, c.size))).collect();
        pod.usage = Some(of);
    }
    cluster.pods.push(pod);
}

impl World {
    /// The pods of a workload, by their places.
    pub fn pods(&self, workload: usize) -> Vec<usize> {
        let own = named(workload);
        (0..self.cluster.pods.len()).filter(|at| self.cluster.pods[*at].owner == own).collect()
    }

    /// A workload as it is; `None` without pods.
    pub fn state(&self, workload: usize) -> Option<State> {
        let own = self.pods(workload);
        let first = own.first()?;
        let shape = self.cluster.pods[*first].shape.clone();
        Some(State { replicas: own.len() as i64, shape, range: None })
    }

    /// Some workloads scaled, resized, deleted, made: by chance.
    pub fn edits(&self, random: &mut Random) -> Edits {
        let mut edits = Edits::default();
        for workload in 0..self.workloads {
            let before = self.state(workload);
            if random.one_in(3) || before.is_none() && random.one_in(2) {
                continue;
            }
            let mut after = before.clone().or_else(|| Some(State { replicas: 0, ..State::default() }));
            if let Some(state) = &mut after {
                match random.below(4) {
                    0 => state.replicas = random.below(9),
                    1 => {
                        state.shape.size = Size::new(1 + random.below(1500), (1 + random.below(2048)) << 20);
                    }
                    2 => {
                        state.replicas = 1 + random.below(5);
                        state.shape.size = Size::new(1 + random.below(1500), (1 + random.below(2048)) << 20);
                    }
                    _ => after = None,
                }
            }
            edits.workloads.push(Edit { object: named(workload), before, after, ..Edit::default() });
        }
        edits
    }

    /// The change made by hand: the pods that it leaves, on machines that are all the same.
    pub fn made(&self, edits: &Edits) -> Snapshot {
        let mut cluster = self.cluster.clone();
        for edit in &edits.workloads {
            let mut own: Vec<_> = cluster.pods.iter().filter(|p| p.owner == edit.object).cloned().collect();
            cluster.pods.retain(|p| p.owner != edit.object);
            let Some(after) = &edit.after else { continue };
            own.truncate(after.replicas as usize);
            for number in own.len() as i64..after.replicas {
                let mut one = read::pod(&json!({
                    "metadata": {"name": format!("new{number}"), "namespace": edit.object.namespace},
                    "spec": {"nodeName": "n0"}, "status": {"phase": "Running"},
                }))
                .unwrap();
                one.owner = edit.object.clone();
                own.push(one);
            }
            for pod in &mut own {
                pod.shape = after.shape.clone();
            }
            cluster.pods.extend(own);
        }
        cluster
    }
}
