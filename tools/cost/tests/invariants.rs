//! What holds for every cluster and every change, tried on those that chance has made.

#![allow(clippy::unwrap_used)]

mod support;

use kai_cost::allocate::{Basis, Charge, charges, nodes};
use kai_cost::cluster::Snapshot;
use kai_cost::delta::{At, Delta, Edit, Edits, State, delta};
use kai_cost::doc::Document;
use kai_cost::node::Billing;
use kai_cost::place::{Place, place, rooms};
use kai_cost::report::{By, Question, document};
use kai_cost::tariff::{Money, Rates, Tariff};
use kai_cost::units::{Hourly, Monthly, PerCoreHour, PerGibHour, PerGibMonth, PerGpuHour};
use support::random::{ANY, EQUAL, Kind, Random, World, named, world};

const MANY: u64 = 150;
const BASES: [Basis; 3] = [Basis::Requests, Basis::Usage, Basis::OpenCost];

fn groupings() -> [By; 5] {
    [By::Workload, By::Namespace, By::Node, By::Pod, By::Label("app".into())]
}

#[track_caller]
fn same(seed: u64, found: f64, wanted: f64) {
    assert!((found - wanted).abs() <= 1e-6 * wanted.abs().max(1.0), "seed {seed}: {found}, wanted {wanted}");
}

/// The same where both were rounded to six decimals, some hundred times.
#[track_caller]
fn rounded(seed: u64, found: f64, wanted: f64) {
    assert!((found - wanted).abs() <= 1e-3, "seed {seed}: {found}, wanted {wanted}");
}

fn each(kind: Kind, check: impl Fn(u64, &World)) {
    for seed in 0..MANY {
        check(seed, &world(seed, kind));
    }
}

fn asked(by: By, basis: Basis) -> Question {
    Question { by, basis, ..Question::default() }
}

fn reserved(cluster: &Snapshot, tariff: &Tariff) -> f64 {
    charges(cluster, tariff, Basis::Requests).iter().map(|c| c.unwrap().reserved.total().0).sum()
}

fn change(found: &Delta) -> f64 {
    let (before, after) = found.reserved.unwrap();
    after.0 - before.0
}

fn scaled(world: &World, workload: usize, from: i64, to: i64) -> Edits {
    let shape = world.state(workload).map(|s| s.shape).unwrap_or_default();
    let state = |replicas| Some(State { replicas, shape: shape.clone(), range: None });
    Edits {
        workloads: vec![Edit {
            object: named(workload),
            before: state(from),
            after: state(to),
            ..Edit::default()
        }],
        ..Edits::default()
    }
}

#[test]
fn a_node_costs_what_its_parts_cost() {
    each(ANY, |seed, world| {
        for (at, node) in world.cluster.nodes.iter().enumerate() {
            let Some(rates) = world.tariff.node(at) else {
                assert_ne!(node.billing, Billing::Machine, "seed {seed}: a machine without a price");
                continue;
            };
            let machine = &node.machine;
            let parts =
                machine.cpu.at(rates.cpu) + machine.memory.at(rates.memory) + rates.gpu.times(machine.gpus);
            same(seed, parts.month().0, world.tariff.machine(at).unwrap().0);
            assert!(rates.cpu.0 >= 0.0 && rates.memory.0 >= 0.0 && rates.gpu.0 >= 0.0, "seed {seed}");
        }
    });
}

#[test]
fn what_is_charged_and_what_is_idle_are_the_machines() {
    each(ANY, |seed, world| {
        for basis in BASES {
            let all = charges(&world.cluster, &world.tariff, basis);
            let charged: Monthly =
                all.iter().flatten().filter(|c| !c.billed).map(|c| c.allocated.total()).sum();
            let machines = nodes(&world.cluster, &world.tariff, &all);
            let idle: Monthly = machines.iter().map(|n| n.idle.unwrap().total()).sum();
            let price: Monthly = machines.iter().map(|n| n.price.unwrap()).sum();
            same(seed, charged.0 + idle.0, price.0);
            for by in groupings() {
                let found = document(&world.cluster, &world.tariff, &asked(by.clone(), basis));
                let rows: f64 = found.items.iter().map(|i| i.allocated.unwrap()).sum();
                let totals = &found.totals;
                rounded(seed, rows, totals.allocated.unwrap());
                rounded(
                    seed,
                    rows - totals.billed_by_pod + found.idle.unwrap().month,
                    totals.machines.unwrap(),
                );
                rounded(seed, totals.machines.unwrap(), price.0);
                let whole = totals.machines.unwrap()
                    + totals.billed_by_pod
                    + totals.pv.unwrap()
                    + totals.lb.unwrap()
                    + totals.control_plane.unwrap_or(0.0);
                rounded(seed, totals.cluster.unwrap(), whole);
            }
        }
    });
}

/// Every row bears its part of what is idle, and all parts are all that is idle: unless nobody requests a resource.
#[test]
fn shares_of_what_is_idle_add_up() {
    each(ANY, |seed, world| {
        let all = charges(&world.cluster, &world.tariff, Basis::Requests);
        let of: Money = all.iter().flatten().filter(|c| !c.billed).map(|c| c.allocated).sum();
        let idle: Money = nodes(&world.cluster, &world.tariff, &all).iter().map(|n| n.idle.unwrap()).sum();
        let borne = |of: Monthly, idle: Monthly| if of.0 > 0.0 { idle.0 } else { 0.0 };
        let wanted = borne(of.cpu, idle.cpu) + borne(of.memory, idle.memory) + borne(of.gpu, idle.gpu);
        for by in groupings() {
            let found = document(&world.cluster, &world.tariff, &asked(by.clone(), Basis::Requests));
            let shares: f64 = found.items.iter().map(|i| i.idle_share.unwrap()).sum();
            rounded(seed, shares, wanted);
            rounded(seed, found.totals.idle_share.unwrap(), wanted);
        }
    });
}

/// What the difference says is what two clusters say, one before and one after, each counted by itself.
#[test]
fn a_change_costs_what_the_clusters_before_and_after_differ_by() {
    each(EQUAL, |seed, world| {
        for turn in 0..3 {
            let edits = world.edits(&mut Random(seed * 31 + turn));
            let found = delta(&world.cluster, &world.tariff, &edits, At::Now);
            let wanted =
                reserved(&world.made(&edits), &world.tariff) - reserved(&world.cluster, &world.tariff);
            same(seed, change(&found), wanted);
            let (was, will) = found.reserved.unwrap();
            let rows = |of: fn(&kai_cost::delta::Row) -> Option<Money>| -> f64 {
                found.rows.iter().map(|r| of(r).unwrap().total().0).sum()
            };
            same(seed, rows(|r| r.before), was.0);
            same(seed, rows(|r| r.after), will.0);
            same(seed, found.bill.unwrap().0, 0.0);
        }
    });
}

/// Where each pod is billed by itself, the bill is what is reserved.
#[test]
fn what_is_billed_by_the_pod_is_on_the_bill() {
    each(EQUAL, |seed, world| {
        let mut cluster = world.cluster.clone();
        cluster.nodes.iter_mut().for_each(|n| n.billing = Billing::Fargate);
        cluster.pods.iter_mut().for_each(|p| p.shape.size.gpus = 0);
        let mut tariff = world.tariff.clone();
        tariff.nodes.iter_mut().for_each(|price| *price = None);
        let world = World { cluster, tariff, workloads: world.workloads };
        let edits = world.edits(&mut Random(seed));
        let found = delta(&world.cluster, &world.tariff, &edits, At::Now);
        let wanted = reserved(&world.made(&edits), &world.tariff) - reserved(&world.cluster, &world.tariff);
        same(seed, change(&found), wanted);
        same(seed, found.bill.unwrap().0, wanted);
        same(seed, found.bill_with_autoscaler.unwrap().0, wanted);
        assert_eq!(found.fit.pending, 0, "seed {seed}");
        let found = document(&world.cluster, &world.tariff, &asked(By::Workload, Basis::Requests));
        rounded(seed, found.totals.billed_by_pod, reserved(&world.cluster, &world.tariff));
        rounded(seed, found.totals.machines.unwrap(), 0.0);
    });
}

#[test]
fn nothing_is_below_nothing_that_cannot_be() {
    let fitting = Kind { fitting: true, ..ANY };
    each(fitting, |seed, world| {
        for basis in BASES {
            let all = charges(&world.cluster, &world.tariff, basis);
            let parts = |m: Money| [m.cpu.0, m.memory.0, m.gpu.0];
            for Charge { reserved, allocated, waste, used, .. } in all.iter().map(|c| c.unwrap()) {
                for money in [Some(reserved), Some(allocated), waste, used].into_iter().flatten() {
                    assert!(parts(money).iter().all(|x| *x >= 0.0), "seed {seed}: {money:?}");
                }
            }
            if basis == Basis::Requests {
                for node in nodes(&world.cluster, &world.tariff, &all) {
                    let idle = parts(node.idle.unwrap());
                    assert!(idle.iter().all(|x| *x >= -1e-9), "seed {seed}: {idle:?}");
                }
            }
            let found = document(&world.cluster, &world.tariff, &asked(By::Workload, basis));
            for item in &found.items {
                let amounts = [item.reserved.now, item.allocated, item.pv, item.lb];
                assert!(amounts.iter().all(|x| x.unwrap() >= 0.0), "seed {seed}: {item:?}");
                assert!(item.waste.is_none_or(|w| w >= 0.0) && item.efficiency.is_none_or(|e| e >= 0.0));
                // What is wasted was reserved.
                assert!(
                    item.waste.unwrap_or(0.0) <= item.reserved.now.unwrap() + 1e-6,
                    "seed {seed}: {item:?}"
                );
            }
            let totals = &found.totals;
            assert!(totals.pv.unwrap() >= 0.0 && totals.lb.unwrap() >= 0.0 && totals.billed_by_pod >= 0.0);
        }
    });
}

/// The nodes' pool, and where the autoscaler goes: never on the bill what only waits, and no node for what fits.
#[test]
fn more_never_costs_less_and_less_never_costs_more() {
    each(ANY, |seed, world| {
        for workload in 0..world.workloads {
            let now = world.pods(workload).len() as i64;
            for to in [now + 1, now + 7, now / 2, 0] {
                let found = delta(&world.cluster, &world.tariff, &scaled(world, workload, now, to), At::Now);
                let (Some(bill), Some(with)) = (found.bill, found.bill_with_autoscaler) else { continue };
                let up = to >= now;
                let right = |x: f64| if up { x >= -1e-9 } else { x <= 1e-9 };
                assert!(right(bill.0) && right(with.0), "seed {seed}: {now} to {to}: {bill:?} {with:?}");
                assert!(right(with.0 - bill.0), "seed {seed}: {now} to {to}: {bill:?} {with:?}");
                assert!(
                    found.fit.placed + found.fit.pending <= (to - now).max(0),
                    "seed {seed}: {:?}",
                    found.fit
                );
                assert!(found.fit.nodes_added <= found.fit.pending, "seed {seed}: {:?}", found.fit);
                assert!(up || found.fit.nodes_added == 0);
            }
        }
    });
}

#[test]
fn scaling_to_what_it_is_changes_nothing() {
    each(ANY, |seed, world| {
        for workload in 0..=world.workloads {
            let now = world.pods(workload).len() as i64;
            // A workload without pods goes from none to none.
            let found = delta(&world.cluster, &world.tariff, &scaled(world, workload, now, now), At::Now);
            assert_eq!(found.fit.placed + found.fit.pending + found.fit.nodes_added, 0, "seed {seed}");
            assert_eq!(found.fit.nodes_removable, 0, "seed {seed}");
            for money in [found.bill, found.bill_with_autoscaler, found.volumes, found.balancers] {
                assert_eq!(money.unwrap().0, 0.0, "seed {seed}");
            }
            assert_eq!(change(&found), 0.0, "seed {seed}");
            assert!(found.unpriced.is_empty(), "seed {seed}: {:?}", found.unpriced);
        }
        let found = delta(&world.cluster, &world.tariff, &Edits::default(), At::Now);
        assert_eq!((change(&found), found.bill.unwrap().0), (0.0, 0.0), "seed {seed}");
    });
}

#[test]
fn up_and_down_again_is_nothing() {
    each(EQUAL, |seed, world| {
        for workload in 0..world.workloads {
            let now = world.pods(workload).len() as i64;
            if now == 0 {
                continue;
            }
            let to = now + 1 + Random(seed).below(9);
            let up = scaled(world, workload, now, to);
            let higher =
                World { cluster: world.made(&up), tariff: world.tariff.clone(), workloads: world.workloads };
            let there = delta(&world.cluster, &world.tariff, &up, At::Now);
            let back = delta(&higher.cluster, &world.tariff, &scaled(&higher, workload, to, now), At::Now);
            same(seed, change(&there), -change(&back));
            same(seed, there.bill.unwrap().0, -back.bill.unwrap().0);
            let (was, will) = there.reserved.unwrap();
            let (after, before) = back.reserved.unwrap();
            same(seed, was.0, before.0);
            same(seed, will.0, after.0);
        }
    });
}

/// All prices times a number; by a power of two, every figure is that multiple to the last bit.
fn times(tariff: &Tariff, k: f64) -> Tariff {
    let mut all = tariff.clone();
    for price in all.nodes.iter_mut().flatten() {
        price.hourly = price.hourly * k;
        (price.cpu, price.memory, price.gpu) = (price.cpu * k, price.memory * k, price.gpu * k);
    }
    let rates = |r: Rates| Rates {
        cpu: PerCoreHour(r.cpu.0 * k),
        memory: PerGibHour(r.memory.0 * k),
        gpu: PerGpuHour(r.gpu.0 * k),
    };
    all.generic = all.generic.map(rates);
    all.fargate = all.fargate.map(rates);
    all.autopilot = all.autopilot.map(rates);
    all.storage.values_mut().for_each(|p| *p = PerGibMonth(p.0 * k));
    all.balancer = all.balancer.map(|p| Hourly(p.0 * k));
    all.control_plane = all.control_plane.map(|p| Hourly(p.0 * k));
    all
}

#[test]
fn prices_times_a_number_are_figures_times_that_number() {
    each(ANY, |seed, world| {
        for k in [4.0, 0.5, 0.0] {
            let scaled = times(&world.tariff, k);
            for basis in BASES {
                let (one, many) =
                    (charges(&world.cluster, &world.tariff, basis), charges(&world.cluster, &scaled, basis));
                for (one, many) in one.iter().flatten().zip(many.iter().flatten()) {
                    assert_eq!(one.reserved.times(k), many.reserved, "seed {seed}");
                    assert_eq!(one.allocated.times(k), many.allocated, "seed {seed}");
                    assert_eq!(one.waste.map(|w| w.times(k)), many.waste, "seed {seed}");
                }
            }
            let edits = world.edits(&mut Random(seed));
            let one = delta(&world.cluster, &world.tariff, &edits, At::Now);
            let many = delta(&world.cluster, &scaled, &edits, At::Now);
            let both = |a: Option<Monthly>, b: Option<Monthly>| match (a, b) {
                (Some(a), Some(b)) => same(seed, a.0 * k, b.0),
                (a, b) => assert_eq!(a, b, "seed {seed}"),
            };
            both(one.reserved.map(|r| r.0), many.reserved.map(|r| r.0));
            both(one.reserved.map(|r| r.1), many.reserved.map(|r| r.1));
            both(one.bill, many.bill);
            if k > 0.0 {
                // Where everything is free, the cheapest node is any node.
                both(one.bill_with_autoscaler, many.bill_with_autoscaler);
                assert_eq!(one.fit, many.fit, "seed {seed}");
            }
            let money = |d: &Document| {
                let t = &d.totals;
                [t.cluster, t.machines, t.reserved.now, t.allocated, t.pv, t.lb, t.control_plane]
                    .map(|x| x.unwrap_or(0.0))
            };
            let of = |t: &Tariff| document(&world.cluster, t, &asked(By::Namespace, Basis::Usage));
            for (one, many) in money(&of(&world.tariff)).iter().zip(money(&of(&scaled))) {
                rounded(seed, one * k, many);
            }
            // What is no money stays.
            let shares = |d: &Document| {
                d.items
                    .iter()
                    .map(|i| (i.name.clone(), i.efficiency_cpu))
                    .collect::<std::collections::BTreeMap<_, _>>()
            };
            assert_eq!(shares(&of(&world.tariff)), shares(&of(&scaled)), "seed {seed}");
        }
    });
}

#[test]
fn the_order_of_nodes_and_pods_does_not_matter() {
    each(ANY, |seed, world| {
        let mut random = Random(seed);
        let (mut cluster, mut tariff) = (world.cluster.clone(), world.tariff.clone());
        let mut order: Vec<usize> = (0..cluster.nodes.len()).collect();
        random.shuffle(&mut order);
        cluster.nodes = order.iter().map(|at| world.cluster.nodes[*at].clone()).collect();
        tariff.nodes = order.iter().map(|at| world.tariff.nodes[*at].clone()).collect();
        random.shuffle(&mut cluster.pods);
        for by in groupings() {
            for basis in BASES {
                let one = document(&world.cluster, &world.tariff, &asked(by.clone(), basis));
                let two = document(&cluster, &tariff, &asked(by.clone(), basis));
                let figures = |d: &Document| {
                    let t = &d.totals;
                    let whole =
                        [t.cluster, t.machines, t.reserved.now, t.allocated, t.idle_share, t.waste, t.pv];
                    let mut all: Vec<f64> = whole.iter().map(|x| x.unwrap_or(0.0)).collect();
                    let mut items: Vec<(String, f64)> = d
                        .items
                        .iter()
                        .map(|i| (format!("{}/{}/{}", i.kind, i.namespace, i.name), i.allocated.unwrap()))
                        .collect();
                    items.sort_by(|a, b| a.0.cmp(&b.0));
                    all.extend(items.iter().map(|(_, x)| *x));
                    all.push(d.idle.unwrap().month);
                    all
                };
                let (one, two) = (figures(&one), figures(&two));
                assert_eq!(one.len(), two.len(), "seed {seed}");
                for (one, two) in one.iter().zip(two) {
                    rounded(seed, *one, two);
                }
            }
        }
    });
}

#[test]
fn a_node_without_a_price_makes_its_pods_unknown_and_never_free() {
    each(Kind { by_pod: false, ..ANY }, |seed, world| {
        let mut tariff = world.tariff.clone();
        let lost = Random(seed).below(world.cluster.nodes.len() as i64) as usize;
        tariff.nodes[lost] = None;
        let name = world.cluster.nodes[lost].machine.name.as_str();
        let on_it = |at: usize| world.cluster.pods[at].node.as_deref() == Some(name);
        for (at, charge) in charges(&world.cluster, &tariff, Basis::Usage).iter().enumerate() {
            assert_eq!(charge.is_none(), on_it(at), "seed {seed}");
        }
        let any = (0..world.cluster.pods.len()).any(on_it);
        for by in groupings() {
            let found = document(&world.cluster, &tariff, &asked(by.clone(), Basis::Requests));
            let totals = &found.totals;
            assert_eq!((totals.machines, totals.cluster, found.idle), (None, None, None), "seed {seed}");
            assert_eq!(totals.reserved.now.is_none(), any, "seed {seed}");
            assert_eq!(found.items.iter().any(|i| i.allocated.is_none()), any, "seed {seed}");
            assert!(found.items.iter().all(|i| i.allocated.is_some() || i.reserved.now.is_none()));
            // It is listed, and it makes the answer less certain.
            let listed =
                found.prices.nodes.iter().any(|n| n.hourly.is_none() && n.matched == "no price is known");
            assert!(listed, "seed {seed}: {:?}", found.prices.nodes);
            assert!(found.reasons.iter().any(|r| r == "some nodes have no known price"), "seed {seed}");
            let json = serde_json::to_value(&found).unwrap();
            assert!(json["totals"]["machines"].is_null() && json["idle"].is_null(), "seed {seed}");
        }
        // A change to pods that run there has no price either.
        for workload in 0..world.workloads {
            let own = world.pods(workload);
            let now = own.len() as i64;
            let found = delta(&world.cluster, &tariff, &scaled(world, workload, now, now + 1), At::Now);
            if own.iter().any(|at| on_it(*at)) {
                assert_eq!(found.reserved, None, "seed {seed}");
                assert!(found.unpriced.iter().any(|u| u.contains(&format!("w{workload}"))), "seed {seed}");
            }
        }
    });
}

/// The machine's room and its taints decide, whatever its price: nothing goes where it may not or does not fit.
#[test]
fn pods_go_where_they_may_and_where_they_fit() {
    let mut placed = 0;
    for seed in 0..MANY {
        let world = world(seed, Kind { fitting: true, ..ANY });
        let mut free = rooms(&world.cluster, &|_| false);
        let waiting: Vec<_> =
            world.cluster.pods.iter().filter(|p| p.node.is_none()).map(|p| &p.shape).collect();
        let places = place(&world.cluster, &mut free, &waiting);
        for (shape, place) in waiting.iter().zip(&places) {
            let Place::Room(room) = place else { continue };
            let node = &world.cluster.nodes[free[*room].node];
            placed += 1;
            assert!(node.open, "seed {seed}");
            for [key, value, _] in &node.taints {
                let tolerated = shape.placement.tolerations.iter().any(|[k, v, _]| k == key && v == value);
                assert!(tolerated, "seed {seed}: {key}");
            }
            let pool = shape.placement.selector.get("pool");
            assert!(pool.is_none() || pool == node.machine.labels.get("pool"), "seed {seed}");
        }
        for (at, room) in free.iter().enumerate() {
            let node = &world.cluster.nodes[at];
            let own = world.cluster.pods.iter().filter(|p| p.node.as_deref() == Some(&node.machine.name));
            let new =
                waiting.iter().zip(&places).filter(|(_, p)| **p == Place::Room(at)).map(|(s, _)| s.size);
            let requested = own.map(|p| p.shape.size).chain(new).sum();
            assert_eq!(node.allocatable - requested, room.free, "seed {seed}");
            assert!(kai_cost::cluster::Size::fits(requested, node.allocatable), "seed {seed}");
        }
    }
    assert!(placed > 100, "{placed}");
}
