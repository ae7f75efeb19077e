//! What a pod takes by its spec, and what a new node has left for it.

#![allow(clippy::unwrap_used)]

mod support;

use kai_cost::allocate::{Basis, charges};
use kai_cost::cluster::Size;
use kai_cost::delta::{At, delta};
use kai_cost::read;
use kai_cost::units::Monthly;
use serde_json::{Value, json};
use support::*;

fn requests(cpu: &str, memory: &str) -> Value {
    json!({"requests": {"cpu": cpu, "memory": memory}})
}

/// The larger of what runs together and of what starts, by each resource; sidecars run from their place on.
#[test]
fn what_a_pod_takes() {
    let main = json!([{"name": "a", "resources": requests("200m", "100Mi")}, {"name": "b", "resources": requests("50m", "28Mi")}]);
    let side = json!({"name": "s", "restartPolicy": "Always", "resources": requests("30m", "16Mi")});
    let first = |cpu: &str, memory: &str| json!({"name": "i", "resources": requests(cpu, memory)});
    for (init, wanted) in [
        (json!([]), size(250, 128)),
        // A small one costs nothing; a large one is kept free for life.
        (json!([first("100m", "64Mi")]), size(250, 128)),
        (json!([first("600m", "64Mi")]), size(600, 128)),
        (json!([first("600m", "64Mi"), first("10m", "512Mi")]), size(600, 512)),
        // 250 + 30 beside each other; 600 + 30 where the sidecar is there already, 600 where it comes later.
        (json!([side]), size(280, 144)),
        (json!([side, first("600m", "64Mi")]), size(630, 144)),
        (json!([first("600m", "64Mi"), side]), size(600, 144)),
    ] {
        let mut spec = json!({"containers": main, "initContainers": init});
        assert_eq!(read::shape(&spec).size, wanted, "{init}");
        assert_eq!(read::shape(&spec).plain(), size(250, 128));
        spec["overhead"] = json!({"cpu": "20m", "memory": "10Mi"});
        assert_eq!(read::shape(&spec).size, wanted + size(20, 10), "{init}");
        // What is said for the whole pod holds, by each resource.
        spec["resources"] = json!({"requests": {"cpu": "1"}});
        assert_eq!(read::shape(&spec).size.cpu.0, 1020);
        assert_eq!(read::shape(&spec).size.memory, (wanted + size(20, 10)).memory);
    }
}

/// 4 cores less the DaemonSet's 2: a pod of 3 finds no room on any node like it, one of 1.5 has a node to itself.
#[test]
fn a_new_node_begins_with_its_daemons() {
    let mut cluster = f1();
    let mut agent = pod("kube-system", "agent", "agent", size(2000, 100));
    agent["metadata"]["ownerReferences"] =
        json!([{"kind": "DaemonSet", "name": "agent", "controller": true}]);
    cluster.pods.extend(read::pod(&agent));
    let tariff = generic(&cluster);
    let more = |cpu: i64, replicas: i64| {
        let mut edits = scaled("other", 0, replicas);
        let edit = &mut edits.workloads[0];
        edit.before = None;
        edit.after.as_mut().unwrap().shape = shape(size(cpu, 64));
        delta(&cluster, &tariff, &edits, At::Now)
    };
    let large = more(3000, 1);
    assert_eq!((large.fit.pending, large.fit.nodes_added), (1, 0));
    assert_eq!(large.bill_with_autoscaler.unwrap().0, 0.0);
    let middle = more(1500, 3);
    assert_eq!((middle.fit.pending, middle.fit.nodes_added), (3, 3));
}

/// Each replica that a StatefulSet's autoscaler asks for has a volume of its own.
#[test]
fn replicas_with_volumes() {
    let cluster = f1();
    let tariff = generic(&cluster);
    let mut edits = scaled("queue", 1, 1);
    let claim = read::claim(&json!({"spec": {"resources": {"requests": {"storage": "10Gi"}}}}));
    edits.workloads[0].before = None;
    edits.workloads[0].templates = vec![claim.clone(), claim];
    let range = kai_cost::cluster::Range { min: 2, max: 4, ..Default::default() };
    edits.workloads[0].after.as_mut().unwrap().range = Some(range);
    // 2 x 10 GiB x 0.04 for each.
    for (at, volumes) in [(At::Now, 0.8), (At::Min, 1.6), (At::Max, 3.2)] {
        let found = delta(&cluster, &tariff, &edits, at);
        assert!((found.volumes.unwrap().0 - volumes).abs() < 1e-9, "{at:?}: {:?}", found.volumes);
        assert!((found.bill.unwrap().0 - volumes).abs() < 1e-9, "{at:?}");
    }
    // Fewer replicas: their volumes stay.
    let mut fewer = scaled("queue", 4, 1);
    fewer.workloads[0].templates = edits.workloads[0].templates.clone();
    assert_eq!(delta(&cluster, &tariff, &fewer, At::Now).volumes.unwrap().0, 0.0);
}

#[test]
fn a_billion_replicas_are_priced_and_not_placed_one_by_one() {
    let cluster = f1();
    let tariff = generic(&cluster);
    let found = delta(&cluster, &tariff, &scaled("backend", 2, 2_000_000_000), At::Now);
    let (before, after) = found.reserved.unwrap();
    assert!((before.0 - 9.02791).abs() < 1e-6 && after.0 > 9e9, "{before:?} {after:?}");
    assert_eq!(found.bill, Some(Monthly(0.0)));
    assert_eq!(found.bill_with_autoscaler, None, "so many nodes were not worked out");
    assert!(found.fit.pending > 1_999_999_000);
}

#[test]
fn requests_beyond_all_numbers_do_not_overflow() {
    let mut cluster = f1();
    let tariff = generic(&cluster);
    let huge = Size::new(i64::MAX, i64::MAX);
    for pod in &mut cluster.pods {
        pod.shape.size = huge;
        pod.shape.containers[0].size = huge;
    }
    let found = delta(&cluster, &tariff, &resized(&["backend"], huge + huge), At::Now);
    assert!(found.fit.pending > 0);
    assert!(charges(&cluster, &tariff, Basis::OpenCost).iter().all(Option::is_some));
}

#[test]
fn thousands_of_pods_are_taken_away_one_crowded_node_at_a_time() {
    let mut cluster = f1();
    let one = cluster.pods.iter().find(|p| p.owner.name == "backend").unwrap().clone();
    cluster.pods.extend((0..4_998).map(|_| one.clone()));
    let tariff = generic(&cluster);
    let found = delta(&cluster, &tariff, &scaled("backend", 5_000, 1), At::Now);
    let (before, after) = found.reserved.unwrap();
    assert!((before.0 / after.0 - 5_000.0).abs() < 1e-6, "{before:?} {after:?}");
}
