//! The cluster of the worked examples: one node of 4 cores and 8 GiB, kube-system, the todo application; as objects that
//! the API server could have written.

#![allow(dead_code, clippy::unwrap_used)]

pub mod random;

use kai_cost::cluster::{Claim, Object, Range, Shape, Size, Snapshot};
use kai_cost::delta::{Edit, Edits, State};
use kai_cost::prices::{CORE_PER_GIB, NodePrice, Source};
use kai_cost::read;
use kai_cost::tariff::{Rates, Tariff};
use kai_cost::units::{Bytes, Hourly, PerCoreHour, PerGibHour, PerGibMonth, PerGpuHour};
use serde_json::{Value, json};

pub const TODO: [&str; 3] = ["backend", "database", "frontend"];
/// santaclaude's services and how many replicas their autoscalers allow.
pub const SANTA: [(&str, i64); 4] = [("api", 10), ("gateway", 5), ("worker", 8), ("web", 6)];

/// Millicores and MiB.
pub fn size(millicores: i64, mib: i64) -> Size {
    Size::new(millicores, mib << 20)
}

pub fn node() -> Value {
    let size = json!({"cpu": "4", "memory": "8Gi", "pods": "110"});
    json!({
        "metadata": {"name": "kind-control-plane", "labels": {"kubernetes.io/arch": "amd64"}},
        "spec": {"providerID": "kind://docker/kind/kind-control-plane"},
        "status": {"capacity": size, "allocatable": size, "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

pub fn spec(size: Size) -> Value {
    let requests = json!({"cpu": format!("{}m", size.cpu.0), "memory": format!("{}", size.memory.0)});
    json!({"containers": [{"name": "c", "resources": {"requests": requests}}]})
}

/// A pod of a Deployment on the node.
pub fn pod(namespace: &str, deployment: &str, name: &str, size: Size) -> Value {
    let mut spec = spec(size);
    spec["nodeName"] = json!("kind-control-plane");
    json!({
        "metadata": {
            "name": name, "namespace": namespace, "labels": {"pod-template-hash": "5d4f"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": format!("{deployment}-5d4f"), "controller": true}],
        },
        "spec": spec,
        "status": {"phase": "Running"},
    })
}

/// The node, kube-system and todo-app.
pub fn f1() -> Snapshot {
    let mut pods = vec![pod("kube-system", "system", "system", size(950, 290))];
    for name in TODO {
        pods.extend((0..2).map(|n| pod("todo-app", name, &format!("{name}-{n}"), size(250, 256))));
    }
    Snapshot {
        nodes: vec![read::node(&node())],
        pods: pods.iter().filter_map(read::pod).collect(),
        ..Snapshot::default()
    }
}

/// And santaclaude at its least.
pub fn both() -> Snapshot {
    let mut cluster = f1();
    for (name, _) in SANTA {
        let pods = (0..2).map(|n| pod("santaclaude", name, &format!("{name}-{n}"), size(100, 256)));
        cluster.pods.extend(pods.filter_map(|p| read::pod(&p)));
    }
    cluster
}

/// One price for every node, and 0.04 for a GiB and month of any volume.
pub fn tariff(cluster: &Snapshot, hourly: impl Fn(usize) -> (f64, f64, f64)) -> Tariff {
    let price = |at: usize| {
        let (hourly, cpu, memory) = hourly(at);
        Some(NodePrice {
            hourly: Hourly(hourly),
            cpu: PerCoreHour(cpu),
            memory: PerGibHour(memory),
            gpu: PerGpuHour(0.0),
            source: Source::Generic,
            matched: "any machine".to_owned(),
            as_of: None,
            range: None,
        })
    };
    Tariff {
        nodes: (0..cluster.nodes.len()).map(price).collect(),
        storage: [(String::new(), PerGibMonth(0.04))].into(),
        ..Tariff::default()
    }
}

/// The generic rates.
pub fn generic(cluster: &Snapshot) -> Tariff {
    tariff(cluster, |at| {
        let machine = &cluster.nodes[at].machine;
        (machine.cpu.cores() * 0.021811 + machine.memory.gib() * 0.002923, 0.021811, 0.002923)
    })
}

/// A machine's whole price, split as everywhere.
pub fn whole(cluster: &Snapshot, price: f64) -> Tariff {
    tariff(cluster, |at| {
        let machine = &cluster.nodes[at].machine;
        let memory = price / (machine.cpu.cores() * CORE_PER_GIB + machine.memory.gib());
        (price, memory * CORE_PER_GIB, memory)
    })
}

pub fn object(namespace: &str, name: &str) -> Object {
    Object { kind: "Deployment".into(), namespace: namespace.into(), name: name.into() }
}

pub fn shape(size: Size) -> Shape {
    read::shape(&spec(size))
}

/// A Deployment of todo-app with other replicas.
pub fn scaled(name: &str, from: i64, to: i64) -> Edits {
    let state = |replicas| Some(State { replicas, shape: shape(size(250, 256)), range: None });
    let edit =
        Edit { object: object("todo-app", name), before: state(from), after: state(to), ..Edit::default() };
    Edits { workloads: vec![edit], ..Edits::default() }
}

/// Deployments of todo-app with other requests.
pub fn resized(names: &[&str], to: Size) -> Edits {
    let state = |size| Some(State { replicas: 2, shape: shape(size), range: None });
    let edit = |name: &&str| Edit {
        object: object("todo-app", name),
        before: state(size(250, 256)),
        after: state(to),
        ..Edit::default()
    };
    Edits { workloads: names.iter().map(edit).collect(), ..Edits::default() }
}

/// A service of santaclaude: as it is, if it is, and at its most.
pub fn santa(name: &str, from: Option<i64>, to: i64) -> Option<Edit> {
    let state = |replicas| State { replicas, shape: shape(size(100, 256)), range: None };
    Some(Edit {
        object: object("santaclaude", name),
        before: from.map(state),
        after: Some(state(to)),
        ..Edit::default()
    })
}

/// santaclaude deployed at its least, with its autoscalers and three volumes.
pub fn santaclaude() -> Edits {
    let mut edits = Edits::default();
    for (name, most) in SANTA {
        let mut edit = santa(name, None, 2).unwrap();
        edit.after.as_mut().unwrap().range = Some(Range { min: 2, max: most, ..Range::default() });
        edits.workloads.push(edit);
    }
    for gib in [1, 5, 1] {
        let size = Bytes(gib << 30);
        let claim = Claim { object: object("santaclaude", "data"), size, class: String::new() };
        edits.claims.push((None, Some(claim)));
    }
    edits
}

/// What F2 to F4 price a machine or a pod at.
pub fn rates(cpu: f64, memory: f64) -> Rates {
    Rates { cpu: PerCoreHour(cpu), memory: PerGibHour(memory), gpu: PerGpuHour(0.0) }
}
