//! OpenCost's rules beside what kai answers by the basis `opencost`: where the two models agree they agree to
//! a millionth, and each difference that docs/cost.md names is shown to be one.
//!
//! The figures on OpenCost's side are made in `opencost/rules.rs`, from the same clusters and by nothing of kai's.

#![allow(clippy::unwrap_used)]

#[path = "opencost/rules.rs"]
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::date;
use kai_cost::allocate::{Basis, Charge, charges, nodes, rows};
use kai_cost::cluster::{Object, Size, Snapshot};
use kai_cost::delta::{At, Edit, Edits, State, delta};
use kai_cost::doc::{Document, NOT_COUNTED};
use kai_cost::prices::Prices;
use kai_cost::read;
use kai_cost::report::{By, Question, document};
use kai_cost::tariff::Tariff;
use rules::{Cluster, Container, GPU, MONTH, Machine, Pod, STORAGE, container, plain, pod};
use serde_json::json;

fn near(found: f64, wanted: f64) {
    assert!((found - wanted).abs() < 1e-6, "kai {found}, OpenCost {wanted}");
}

fn differ(found: f64, wanted: f64) {
    assert!((found - wanted).abs() > 0.001, "kai {found} and OpenCost {wanted} are the same");
}

// kai's side: the same as objects of the API server, through everything that kai reads and prices with.

impl Cluster {
    fn snapshot(&self) -> Snapshot {
        let size = |m: &Machine| json!({"cpu": m.size.0, "memory": format!("{}Gi", m.size.1), "nvidia.com/gpu": m.gpus});
        let node = |m: &Machine| {
            read::node(&json!({
                "metadata": {"name": m.name},
                "status": {"capacity": size(m), "allocatable": size(m), "conditions": [{"type": "Ready", "status": "True"}]},
            }))
        };
        let asks = |(cpu, mib): (i64, i64)| {
            let mut requests: BTreeMap<&str, String> = BTreeMap::new();
            requests.extend((cpu > 0).then(|| ("cpu", format!("{cpu}m"))));
            requests.extend((mib > 0).then(|| ("memory", format!("{mib}Mi"))));
            json!({"requests": requests})
        };
        let named = |at: usize| format!("c{at}");
        let pod = |p: &Pod| {
            let spec = |(at, c): (usize, &Container)| json!({"name": named(at), "resources": asks(c.asks)});
            let sidecar = |s| json!({"name": "sidecar", "restartPolicy": "Always", "resources": asks(s)});
            let init = |s| json!({"name": "init", "resources": asks(s)});
            let claim = |c: &&str| json!({"name": c, "persistentVolumeClaim": {"claimName": c}});
            let mut pod = read::pod(&json!({
                "metadata": {"name": p.name, "namespace": p.namespace, "labels": {"of": p.namespace}},
                "spec": {
                    "nodeName": p.node,
                    "containers": p.containers.iter().enumerate().map(spec).collect::<Vec<_>>(),
                    "initContainers": p.sidecar.map(sidecar).into_iter().chain(p.init.map(init)).collect::<Vec<_>>(),
                    "volumes": p.claims.iter().map(claim).collect::<Vec<_>>(),
                },
                "status": {"phase": p.phase},
            }))
            .unwrap();
            let used = |(at, c): (usize, &Container)| {
                let (cpu, mib) = c.uses?;
                Some((named(at), Size::new(cpu, mib * 1024 * 1024)))
            };
            let samples: BTreeMap<String, Size> = p.containers.iter().enumerate().filter_map(used).collect();
            pod.usage = Some(samples).filter(|s| !s.is_empty());
            pod
        };
        let claim = |(namespace, name, asked, there): &(&str, &str, i64, i64)| {
            read::claim(&json!({
                "metadata": {"namespace": namespace, "name": name},
                "spec": {"resources": {"requests": {"storage": format!("{asked}Gi")}}},
                "status": {"capacity": {"storage": format!("{there}Gi")}},
            }))
        };
        let balancer = |namespace: &&str| {
            let spec = json!({"type": "LoadBalancer", "selector": {"of": namespace}});
            read::balancer(&json!({"metadata": {"namespace": namespace, "name": "lb"}, "spec": spec}))
                .unwrap()
        };
        Snapshot {
            nodes: self.machines.iter().map(node).collect(),
            pods: self.pods.iter().map(pod).collect(),
            claims: self.claims.iter().map(claim).collect(),
            balancers: self.balancers.iter().map(balancer).collect(),
            ..Snapshot::default()
        }
    }

    fn tariff(&self) -> Tariff {
        let node =
            |m: &Machine| format!("[[node]]\nmatch = {{ name = \"{}\" }}\nhourly = {:?}\n", m.name, m.hourly);
        let nodes: String = self.machines.iter().map(node).collect();
        let off = 100.0 * (1.0 - self.less());
        let text = format!("schema = 1\n[cluster]\ndiscount_percent = {off:?}\n{nodes}");
        let prices = Prices::embedded().with_file("prices.toml", &text, false).unwrap();
        Tariff::of(&self.snapshot(), &prices, date(2026, 11, 1))
    }

    fn charges(&self, basis: Basis) -> Vec<Option<Charge>> {
        charges(&self.snapshot(), &self.tariff(), basis)
    }

    fn document(&self, by: By, basis: Basis) -> Document {
        document(&self.snapshot(), &self.tariff(), &Question { by, basis, ..Question::default() })
    }

    /// All of what both say about containers, nodes, idle capacity and its shares.
    fn agree(&self) {
        let found = self.charges(Basis::OpenCost);
        for ((pod, charge), (cpu, ram)) in self.pods.iter().zip(&found).zip(self.allocated()) {
            let allocated = charge.unwrap().allocated;
            assert!(allocated.cpu.0 >= 0.0, "{}", pod.name);
            near(allocated.cpu.0, cpu);
            near(allocated.memory.0, ram);
        }
        let (snapshot, tariff) = (self.snapshot(), self.tariff());
        for (machine, row) in self.machines.iter().zip(nodes(&snapshot, &tariff, &found)) {
            near(row.price.unwrap().0, machine.hourly * self.less() * MONTH);
            let (idle, (cpu, ram)) = (row.idle.unwrap(), self.idle(machine));
            near(idle.cpu.0, cpu);
            near(idle.memory.0, ram);
        }
        let answer = self.document(By::Namespace, Basis::OpenCost);
        let mut whole = 0.0;
        for item in &answer.items {
            let full = item.allocated.unwrap() + item.idle_share.unwrap();
            near(full, self.with_idle(&item.name));
            whole += full;
        }
        let nodes: f64 = self.machines.iter().map(|m| m.hourly * self.less() * MONTH).sum();
        assert!(
            (whole - nodes).abs() < 1e-5,
            "with its share of what is idle, all of it is the nodes: {whole} {nodes}"
        );
    }
}

// Where they agree.

#[test]
fn what_pods_nodes_and_idle_capacity_cost() {
    plain().agree();
    // A cluster on which more is used than there is: what is idle is below nothing, in both.
    let mut full = plain();
    full.pods.push(pod("bank", "burst-0", "small", &[container((100, 100), (6000, 20_000))]));
    let small = full.idle(&full.machines[0]);
    assert!(small.0 < 0.0 && small.1 < 0.0);
    full.agree();
    let mut off = plain();
    off.discounts = (0.30, 0.10);
    off.agree();
}

#[test]
fn two_hundred_clusters() {
    // A fixed generator: the same clusters each time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: i64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as i64
    };
    for _ in 0..200 {
        let mut cluster = plain();
        for machine in &mut cluster.machines {
            machine.size = (1 + next(64), 1 + next(256));
            machine.hourly = 0.01 + next(5_000_000) as f64 / 1e6;
        }
        for n in 0..next(30) {
            let (namespace, node) =
                (["shop", "bank"][next(2) as usize], ["small", "large"][next(2) as usize]);
            let mut one = || container((next(4000), next(9000)), (next(5000), next(9000)));
            let containers = [one(), one()];
            cluster.pods.push(pod(namespace, &format!("p{n}"), node, &containers));
        }
        cluster.agree();
    }
}

#[test]
fn how_much_of_what_is_requested_is_used() {
    let cluster = plain();
    let (snapshot, found) = (cluster.snapshot(), cluster.charges(Basis::OpenCost));
    for pod in &cluster.pods {
        let own = |p: &kai_cost::cluster::Pod| (p.name == pod.name).then(Object::default);
        let efficiency = rows(&snapshot, &found, &own)[0].efficiency.unwrap();
        let (cpu, ram, total) = cluster.efficiency(pod);
        near(efficiency.cpu.unwrap(), cpu);
        near(efficiency.memory.unwrap(), ram);
        near(efficiency.total.unwrap(), total);
    }
    // Asked for nothing and uses something: all of it is used.
    assert_eq!(cluster.efficiency(&cluster.pods[4]), (1.0, 1.0, 1.0));
    // Uses more than it asks for: above 1.
    assert!(cluster.efficiency(&cluster.pods[1]).0 > 1.0);
}

#[test]
fn what_volumes_cost_and_whose_they_are() {
    let mut cluster = plain();
    cluster.claims = vec![("shop", "data", 100, 100), ("bank", "books", 7, 7)];
    for at in [0, 1] {
        cluster.pods[at].claims = vec!["data"];
    }
    cluster.pods[3].claims = vec!["books"];
    let answer = cluster.document(By::Pod, Basis::OpenCost);
    for pod in &cluster.pods {
        let item = answer.items.iter().find(|i| i.name == pod.name).unwrap();
        // OpenCost's price of an hour is rounded: a ten-millionth less than 0.04 a month. Beside that they are the same.
        near(item.pv.unwrap() * STORAGE * MONTH / 0.04, cluster.volumes(pod));
    }
    assert_eq!(answer.totals.pv, Some(107.0 * 0.04));
    let theirs: f64 = cluster.pods.iter().map(|p| cluster.volumes(p)).sum();
    assert!(theirs < 107.0 * 0.04 && theirs > 107.0 * 0.04 - 1e-6, "{theirs}");
}

// Where they differ, each for a reason that docs/cost.md gives.

/// OpenCost's month of one pod, and kai's by requests and by OpenCost's basis.
fn beside(changed: impl Fn(&mut Pod)) -> (f64, f64, f64) {
    let mut cluster = plain();
    changed(&mut cluster.pods[0]);
    let (cpu, ram) = cluster.allocated()[0];
    let of = |basis| cluster.charges(basis)[0].unwrap().allocated.total().0;
    let (requests, same) = (of(Basis::Requests), of(Basis::OpenCost));
    near(same, cpu + ram);
    (cpu + ram, requests, same)
}

#[test]
fn sidecars_and_init_containers_keep_room() {
    let without = beside(|_| ()).1;
    let (opencost, requests, _) = beside(|pod| pod.sidecar = Some((100, 128)));
    near(opencost, without);
    differ(requests, opencost);
    let (opencost, requests, _) = beside(|pod| pod.init = Some((2000, 1024)));
    near(opencost, without);
    differ(requests, opencost);
}

#[test]
fn a_pod_that_has_a_node_keeps_its_room_before_it_runs() {
    let (opencost, requests, _) = beside(|pod| pod.phase = "Pending");
    assert_eq!(opencost, 0.0);
    differ(requests, opencost);
    // Without a node it keeps nothing from anybody: 0 in both, and kai says that it waits.
    let (opencost, requests, _) = beside(|pod| (pod.phase, pod.node) = ("Pending", None));
    assert_eq!((opencost, requests), (0.0, 0.0));
}

#[test]
fn use_above_the_request_is_charged_only_by_that_basis() {
    let cluster = plain();
    let of = |basis| cluster.charges(basis)[1].unwrap().allocated.total().0;
    differ(of(Basis::Requests), of(Basis::OpenCost));
    near(of(Basis::Usage), of(Basis::OpenCost));
}

#[test]
fn one_sample_is_not_the_mean_of_an_hours_maxima() {
    let (cpu, _, _) = plain().rates("small");
    // Every other minute 400m, else 100m, with 250m requested: the mean of the maxima is above that of the use.
    let maxima: f64 =
        (0..60).map(|minute| if minute % 2 == 0 { 0.4_f64 } else { 0.1 }.max(0.25)).sum::<f64>() / 60.0;
    assert!((maxima - 0.325).abs() < 1e-9);
    for (sample, wanted) in [(400, 0.4), (100, 0.25)] {
        let mut cluster = plain();
        cluster.pods[0].containers = vec![container((250, 256), (sample, 0))];
        let found = cluster.charges(Basis::OpenCost)[0].unwrap().allocated.cpu.0;
        near(found, wanted * cpu * MONTH);
        differ(found, maxima * cpu * MONTH);
    }
}

#[test]
fn what_is_not_known_is_not_nothing() {
    let mut cluster = plain();
    let mut snapshot = cluster.snapshot();
    // Somebody else's machine behind a virtual node: no price, and no default for one.
    snapshot.nodes[1].billing = kai_cost::node::Billing::Unknown;
    let tariff = Tariff::of(&snapshot, &Prices::embedded(), date(2026, 11, 1));
    let answer = document(&snapshot, &tariff, &Question { by: By::Pod, ..Question::default() });
    let of = |name: &str| answer.items.iter().find(|i| i.name == name).unwrap().allocated;
    assert!(of("web-0").is_some() && of("web-1").is_none() && answer.totals.allocated.is_none());
    // A load balancer that nobody priced is at the generic rate; OpenCost's own default.json has none, and says 0.
    cluster.balancers = vec!["shop"];
    assert_eq!(cluster.document(By::Namespace, Basis::OpenCost).totals.lb, Some(0.025 * MONTH));
}

#[test]
fn a_load_balancer_is_split_over_pods_and_not_over_containers() {
    let mut cluster = plain();
    cluster.balancers = vec!["shop"];
    let answer = cluster.document(By::Pod, Basis::OpenCost);
    let found = answer.items.iter().find(|i| i.name == "api-0").unwrap().lb.unwrap();
    near(found, 0.025 * MONTH / 3.0);
    // Of four containers of three pods, this one has two.
    differ(found, 0.025 * MONTH * 2.0 / 4.0);
}

#[test]
fn idle_capacity_is_never_clamped() {
    let mut cluster = plain();
    cluster.pods.push(pod("bank", "burst-0", "small", &[container((100, 100), (6000, 20_000))]));
    let found = cluster.document(By::Namespace, Basis::OpenCost).idle.unwrap().month;
    let idle = cluster.machines.iter().map(|m| cluster.idle(m));
    let clamped: f64 = idle.map(|(cpu, ram)| cpu.max(0.0) + ram.max(0.0)).sum();
    differ(found, clamped);
}

#[test]
fn a_gpu_has_a_rate_of_its_own() {
    let mut cluster = plain();
    cluster.machines[0] = Machine { name: "small", size: (8, 61), gpus: 1, hourly: 3.06 };
    let found = cluster.tariff().node(0).unwrap();
    let (cpu, _, gpu) = cluster.rates("small");
    near(found.gpu.0, GPU);
    differ(found.gpu.0, gpu);
    differ(found.cpu.0, cpu);
    // Both are the whole machine.
    near(8.0 * found.cpu.0 + 61.0 * found.memory.0 + found.gpu.0, 3.06);
}

#[test]
fn a_volume_is_as_large_as_it_is() {
    let mut cluster = plain();
    cluster.claims = vec![("shop", "data", 100, 128)];
    cluster.pods[0].claims = vec!["data"];
    near(cluster.document(By::Namespace, Basis::OpenCost).totals.pv.unwrap(), 128.0 * 0.04);
    differ(128.0 * 0.04, cluster.volumes(&cluster.pods[0]));
    // Nobody mounts it: a loose end of its namespace, and no pod that does not exist.
    cluster.pods[0].claims.clear();
    let answer = cluster.document(By::Pod, Basis::OpenCost);
    let names: BTreeSet<&str> = answer.items.iter().map(|i| i.name.as_str()).collect();
    assert!(names.iter().all(|name| !name.contains("unmounted")));
    assert_eq!(
        (answer.loose_ends[0].what.as_str(), answer.loose_ends[0].month),
        ("unmounted", Some(128.0 * 0.04))
    );
}

#[test]
fn capacity_is_paid_for_and_allocatable_is_filled() {
    let cluster = plain();
    let mut snapshot = cluster.snapshot();
    snapshot.pods.clear();
    snapshot.nodes.truncate(1);
    let tariff = cluster.tariff();
    let four = |snapshot: &Snapshot| {
        let shape = read::shape(&json!({"containers": [{"resources": {"requests": {"cpu": "1"}}}]}));
        let after = Some(State { replicas: 4, shape, range: None });
        let edit = Edit { object: Object::default(), before: None, after, templates: Vec::new() };
        delta(snapshot, &tariff, &Edits { workloads: vec![edit], ..Edits::default() }, At::Now)
    };
    let all = four(&snapshot);
    snapshot.nodes[0].allocatable.cpu.0 = 3920;
    let less = four(&snapshot);
    assert_eq!((all.fit.pending, less.fit.pending), (0, 1));
    let cost = |delta: &kai_cost::delta::Delta| delta.reserved.unwrap().1.0;
    near(cost(&all), cost(&less));
}

#[test]
fn what_opencost_counts_and_kai_does_not() {
    for what in ["traffic", "disks of the nodes"] {
        assert!(NOT_COUNTED.iter().any(|not| not.starts_with(what)), "{what}");
    }
}
