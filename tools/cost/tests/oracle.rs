//! A cluster small enough to be worked out by hand, and what everything on it costs: to a millionth.

#![allow(clippy::unwrap_used)]

mod support;

use kai_cost::allocate::{Basis, charges, nodes, rows, share};
use kai_cost::cluster::{Object, Range};
use kai_cost::delta::{At, Delta, Edits, delta};
use kai_cost::units::Monthly;
use support::*;

fn near(found: Monthly, wanted: f64) {
    assert!((found.0 - wanted).abs() < 1e-6, "found {}, wanted {wanted}", found.0);
}

fn change(found: &Delta) -> Monthly {
    let (before, after) = found.reserved.unwrap();
    after - before
}

/// reserved, bill without and with a node autoscaler, and pods that stay Pending.
fn expect(found: &Delta, reserved: f64, bill: f64, with: f64, pending: i64) {
    near(change(found), reserved);
    near(found.bill.unwrap(), bill);
    near(found.bill_with_autoscaler.unwrap(), with);
    assert_eq!(found.fit.pending, pending);
}

#[test]
fn the_node_its_apps_and_what_is_idle() {
    let cluster = f1();
    let tariff = generic(&cluster);
    near(tariff.machine(0).unwrap(), 80.758440);
    let all = charges(&cluster, &tariff, Basis::Requests);
    let by_namespace = rows(&cluster, &all, &|p| {
        Some(Object { kind: "Namespace".into(), namespace: String::new(), name: p.namespace.clone() })
    });
    let of = |name: &str| by_namespace.iter().find(|r| r.object.name == name).unwrap();
    near(of("todo-app").reserved.unwrap().total(), 27.083730);
    near(of("kube-system").reserved.unwrap().total(), 15.730224);
    let one = rows(&cluster, &all, &|p| (p.name == "backend-0").then(|| p.owner.clone()))
        .remove(0)
        .reserved
        .unwrap();
    near(one.total(), 4.513955);
    near(one.cpu, 3.980508);
    near(one.memory, 0.533448);
    let idle = nodes(&cluster, &tariff, &all).remove(0).idle.unwrap();
    near(idle.total(), 37.944486);
    near(idle.cpu, 24.679147);
    near(idle.memory, 13.265339);
    assert!((idle.total().0 / 80.758440 * 100.0 - 46.985).abs() < 0.001);
    // With its share of what is idle, each namespace's part adds up to the node.
    let sum = by_namespace.iter().map(|r| r.allocated.unwrap()).sum();
    let full = |name: &str| of(name).allocated.unwrap() + share(of(name).allocated.unwrap(), sum, idle);
    near(full("todo-app").total(), 53.351988);
    near(full("kube-system").total(), 27.406452);
    near(full("todo-app").total() + full("kube-system").total(), 80.758440);
}

#[test]
fn use_above_and_below_the_request() {
    let mut cluster = f1();
    let tariff = generic(&cluster);
    let pod = cluster.pods.iter().position(|p| p.name == "backend-0").unwrap();
    cluster.pods[pod].usage = Some([("c".to_owned(), size(400, 200))].into());
    near(charges(&cluster, &tariff, Basis::Usage)[pod].unwrap().allocated.total(), 6.902260);
    near(charges(&cluster, &tariff, Basis::OpenCost)[pod].unwrap().allocated.total(), 6.902260);
    near(charges(&cluster, &tariff, Basis::Requests)[pod].unwrap().allocated.total(), 4.513955);
    cluster.pods[pod].usage = Some([("c".to_owned(), size(40, 90))].into());
    let all = charges(&cluster, &tariff, Basis::Requests);
    let row = rows(&cluster, &all, &|p| (p.name == "backend-0").then(|| p.owner.clone())).remove(0);
    let efficiency = row.efficiency.unwrap();
    let near_percent =
        |found: Option<f64>, wanted: f64| assert!((found.unwrap() * 100.0 - wanted).abs() < 0.001);
    near_percent(efficiency.cpu, 16.0);
    near_percent(efficiency.memory, 35.156);
    near_percent(efficiency.total, 18.264);
    near(row.waste.unwrap().total(), 3.689534);
}

#[test]
fn replicas() {
    let cluster = f1();
    let tariff = generic(&cluster);
    let scale = |to: i64| delta(&cluster, &tariff, &scaled("backend", 2, to), At::Now);
    let three = scale(3);
    expect(&three, 4.513955, 0.0, 0.0, 0);
    assert_eq!(three.fit.requested.cpu.0, 2700);
    assert_eq!(three.fit.binding, Some("cpu"));
    let (before, after) = three.reserved.unwrap();
    near(before, 9.02791);
    near(after, 13.541865);
    expect(&scale(8), 27.083730, 0.0, 0.0, 0);
    let nine = scale(9);
    expect(&nine, 31.597685, 0.0, 80.758440, 1);
    assert_eq!((nine.fit.nodes_added, nine.fit.requested.cpu.0), (1, 3950));
    expect(&scale(2), 0.0, 0.0, 0.0, 0);
    expect(&scale(0), -9.02791, 0.0, 0.0, 0);
}

#[test]
fn what_is_allocatable_decides_what_fits() {
    let mut cluster = f1();
    cluster.nodes[0].allocatable.cpu.0 = 3920;
    let tariff = generic(&cluster);
    // 11 todo pods fit: backend to 7 is the eleventh, to 8 the twelfth.
    expect(&delta(&cluster, &tariff, &scaled("backend", 2, 7), At::Now), 22.569775, 0.0, 0.0, 0);
    expect(&delta(&cluster, &tariff, &scaled("backend", 2, 8), At::Now), 27.083730, 0.0, 80.758440, 1);
}

#[test]
fn autoscalers_at_their_most() {
    let cluster = f1();
    let tariff = generic(&cluster);
    let mut edits = Edits::default();
    for name in TODO {
        edits.workloads.extend(scaled(name, 2, 5).workloads);
    }
    let most = delta(&cluster, &tariff, &edits, At::Now);
    expect(&most, 40.625595, 0.0, 80.758440, 3);
    near(most.reserved.unwrap().1, 67.709325);
    // The same asked of the autoscalers' own ranges.
    let mut ranged = edits.clone();
    for edit in &mut ranged.workloads {
        edit.before.as_mut().unwrap().range = Some(Range { min: 2, max: 2, ..Range::default() });
        edit.after.as_mut().unwrap().range = Some(Range { min: 2, max: 5, ..Range::default() });
    }
    expect(&delta(&cluster, &tariff, &ranged, At::Max), 40.625595, 0.0, 80.758440, 3);
    expect(&delta(&cluster, &tariff, &ranged, At::Min), 0.0, 0.0, 0.0, 0);
}

#[test]
fn requests() {
    let cluster = f1();
    let tariff = generic(&cluster);
    let larger = delta(&cluster, &tariff, &resized(&["backend"], size(500, 256)), At::Now);
    expect(&larger, 7.961015, 0.0, 0.0, 0);
    assert_eq!(larger.fit.requested.cpu.0, 2950);
    let smaller = delta(&cluster, &tariff, &resized(&TODO, size(40, 104)), At::Now);
    expect(&smaller, -21.962165, 0.0, 0.0, 0);
    let one = delta(&cluster, &tariff, &resized(&["backend"], size(40, 104)), At::Now);
    near(change(&one), -7.320722);
    near(change(&one) * 0.5, -3.660361);
}

#[test]
fn another_application_with_its_volumes() {
    let cluster = f1();
    let tariff = generic(&cluster);
    let edits = santaclaude();
    let least = delta(&cluster, &tariff, &edits, At::Now);
    expect(&least, 17.285204, 0.28, 0.28, 0);
    near(least.volumes.unwrap(), 0.28);
    assert_eq!(least.fit.requested.cpu.0, 3250);
    assert!((least.fit.requested.memory.gib() - 3.783).abs() < 0.001);
    near(delta(&cluster, &tariff, &edits, At::Min).reserved.unwrap().1, 17.285204);
    near(delta(&cluster, &tariff, &edits, At::Max).reserved.unwrap().1, 61.923865);
    let rows = |at| -> Vec<Monthly> {
        delta(&cluster, &tariff, &edits, at).rows.iter().map(|r| r.after.unwrap().total()).collect()
    };
    let (min, max) = (rows(At::Min), rows(At::Max));
    for (found, wanted) in max.iter().zip([21.256505, 10.628253, 17.005204, 12.753903]) {
        near(*found, wanted);
    }
    min.iter().for_each(|found| near(*found, 4.251301));
    near(min.iter().copied().sum(), 17.005204);
    near(max.iter().copied().sum(), 61.643865);
}

#[test]
fn both_applications_from_their_least_to_their_most() {
    let cluster = both();
    let tariff = generic(&cluster);
    let all = charges(&cluster, &tariff, Basis::Requests);
    near(nodes(&cluster, &tariff, &all).remove(0).idle.unwrap().total(), 20.939282);
    let mut edits = Edits::default();
    for name in TODO {
        edits.workloads.extend(scaled(name, 2, 5).workloads);
    }
    for (name, most) in SANTA {
        edits.workloads.extend(santa(name, Some(2), most));
    }
    let most = delta(&cluster, &tariff, &edits, At::Now);
    near(change(&most), 85.264255);
    near(most.bill.unwrap(), 0.0);
    near(most.bill_with_autoscaler.unwrap(), 80.758440);
    assert_eq!(most.fit.nodes_added, 1);
}

#[test]
fn what_goes_away_leaves_the_node() {
    let cluster = f1();
    let tariff = generic(&cluster);
    let mut edits = Edits::default();
    for name in TODO {
        let mut gone = scaled(name, 2, 2).workloads.remove(0);
        gone.after = None;
        edits.workloads.push(gone);
    }
    let found = delta(&cluster, &tariff, &edits, At::Now);
    expect(&found, -27.083730, 0.0, 0.0, 0);
    assert_eq!(found.fit.nodes_removable, 0);
}

#[test]
fn a_machine_with_a_price_of_its_own() {
    let cluster = both();
    let tariff = whole(&cluster, 0.17);
    near(tariff.machine(0).unwrap(), 124.10);
    let rates = tariff.node(0).unwrap();
    assert!((rates.cpu.0 - 0.0335165600).abs() < 1e-9 && (rates.memory.0 - 0.0044917200).abs() < 1e-9);
    near(rates.of(size(250, 256)).total(), 6.936511);
    let edits = santaclaude();
    let f1 = f1();
    let todo: Monthly = charges(&f1, &tariff, Basis::Requests)
        .iter()
        .zip(&f1.pods)
        .filter(|(_, p)| p.namespace == "todo-app")
        .map(|(c, _)| c.unwrap().reserved.total())
        .sum();
    near(todo, 41.619067);
    let volumes = 0.28;
    near(delta(&f1, &tariff, &edits, At::Min).reserved.unwrap().1, 26.131582 + volumes);
    near(delta(&f1, &tariff, &edits, At::Max).reserved.unwrap().1, 94.726986 + volumes);
}

#[test]
fn pods_that_are_billed_themselves() {
    let mut cluster = f1();
    cluster.nodes[0].billing = kai_cost::node::Billing::Fargate;
    let mut tariff = generic(&cluster);
    tariff.fargate = Some(rates(0.04048, 0.004445));
    let all = charges(&cluster, &tariff, Basis::Requests);
    let todo = |at: &usize| cluster.pods[*at].namespace == "todo-app";
    let six: Monthly = (0..all.len()).filter(todo).map(|at| all[at].unwrap().reserved.total()).sum();
    near(six, 54.060150);
    near(six * (1.0 / 6.0), 9.010025);
    expect(&delta(&cluster, &tariff, &scaled("backend", 2, 3), At::Now), 9.010025, 9.010025, 9.010025, 0);
    assert!(nodes(&cluster, &tariff, &all).is_empty());
}

#[test]
fn opencosts_own_rates() {
    let cluster = f1();
    let tariff = tariff(&cluster, |_| (4.0 * 0.031611 + 8.0 * 0.004237, 0.031611, 0.004237));
    assert!((tariff.machine(0).unwrap().0 - 117.0482).abs() < 1e-4);
    let todo = tariff.node(0).unwrap().of(size(250, 256)).total() * 6.0;
    assert!((todo.0 - 39.2536).abs() < 1e-4, "{todo:?}");
}
