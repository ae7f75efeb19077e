//! What a change costs: what it reserves more or less, what the bill becomes, and whether it fits. On one snapshot, with
//! the same prices before and after.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::{Autoscaler, Balancer, Claim, Object, Range, Shape, Size, Snapshot};
use crate::node::Billing;
use crate::place::{Place, Room, place, place_with_more, removable, rooms};
use crate::tariff::{Money, Tariff};
use crate::units::Monthly;

/// How many pods of which shape a workload has.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Its replicas now.
    pub replicas: i64,
    /// Its pods.
    pub shape: Shape,
    /// Its autoscaler's range.
    pub range: Option<Range>,
}

/// One workload, before and after; `None` where there is none.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// What changes.
    pub object: Object,
    /// As it is.
    pub before: Option<State>,
    /// As it will be.
    pub after: Option<State>,
    /// The claims that each new replica gets (of a StatefulSet). Those of replicas that go stay.
    pub templates: Vec<Claim>,
}

/// A change: workloads, claims and load balancers.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    /// Workloads.
    pub workloads: Vec<Edit>,
    /// Claims that will be made or grow: before and after.
    pub claims: Vec<(Option<Claim>, Option<Claim>)>,
    /// Load balancers that go, and that come.
    pub balancers: (Vec<Balancer>, Vec<Balancer>),
}

/// At how many replicas an autoscaled workload is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The fewest that its autoscaler allows.
    Min,
    /// As it is asked for.
    Now,
    /// The most that its autoscaler allows.
    Max,
}

impl State {
    /// How many replicas there are then.
    pub fn at(&self, at: At) -> i64 {
        match (at, self.range) {
            (At::Min, Some(range)) => range.min,
            (At::Max, Some(range)) => range.max,
            _ => self.replicas,
        }
    }
}

/// Before and after of one workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The workload.
    pub object: Object,
    /// Replicas before and after.
    pub replicas: (i64, i64),
    /// What it reserved.
    pub before: Option<Money>,
    /// What it will reserve.
    pub after: Option<Money>,
}

/// Whether it fits, and on what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fit {
    /// New pods that have a place.
    pub placed: i64,
    /// New pods that would stay Pending.
    pub pending: i64,
    /// Nodes that an autoscaler would add.
    pub nodes_added: i64,
    /// Nodes that an autoscaler could take away because of the change.
    pub nodes_removable: i64,
    /// What runs out first: "cpu", "memory", "pods", "gpu" or "placement".
    pub binding: Option<&'static str>,
    /// Requested on all open machines, once the change is made.
    pub requested: Size,
    /// Allocatable on them.
    pub allocatable: Size,
    /// What the pods use that is not modelled.
    pub unmodelled: Vec<&'static str>,
}

/// What a change costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Delta {
    /// Workload by workload.
    pub rows: Vec<Row>,
    /// What is reserved before and after, volumes and load balancers included; none when a price is not known.
    pub reserved: Option<(Monthly, Monthly)>,
    /// What the bill changes by while nodes stay as they are.
    pub bill: Option<Monthly>,
    /// What it changes by where nodes come and go by themselves.
    pub bill_with_autoscaler: Option<Monthly>,
    /// Of both: volumes, and load balancers.
    pub volumes: Option<Monthly>,
    /// Load balancers' part.
    pub balancers: Option<Monthly>,
    /// What adds and removes nodes.
    pub autoscaler: Autoscaler,
    /// Whether it fits.
    pub fit: Fit,
    /// What has no known price, in words.
    pub unpriced: Vec<String>,
}

/// Most new pods of a change that are placed one by one. Beyond it they are priced, and what nodes they would take is not
/// worked out: whoever types a billion is told so before the machine is busy with it.
const MOST: i64 = 5_000;

/// Pods of one side of a change.
struct Side {
    /// For each workload: its pods that exist and stay, by place in the snapshot, and those to be made.
    stay: Vec<Vec<usize>>,
    make: Vec<(Shape, i64)>,
    gone: BTreeSet<usize>,
}

/// What a change costs when autoscaled workloads are at their least, as they are, or at their most.
pub fn delta(snapshot: &Snapshot, tariff: &Tariff, edits: &Edits, at: At) -> Delta {
    let own: Vec<Vec<usize>> = edits.workloads.iter().map(|e| pods_of(snapshot, &e.object)).collect();
    let before = side(snapshot, edits, &own, at, false);
    let after = side(snapshot, edits, &own, at, true);
    let was = settle(snapshot, tariff, edits, &before);
    let will = settle(snapshot, tariff, edits, &after);
    let mut unpriced: Vec<String> = Vec::new();
    let rows: Vec<Row> = edits
        .workloads
        .iter()
        .enumerate()
        .map(|(i, e)| {
            if was.cost[i].is_none() || will.cost[i].is_none() {
                unpriced.push(format!("{}: its pods run where no price is known", e.object));
            }
            let count = |s: &Option<State>| s.as_ref().map_or(0, |s| s.at(at));
            Row {
                object: e.object.clone(),
                replicas: (count(&e.before), count(&e.after)),
                before: was.cost[i],
                after: will.cost[i],
            }
        })
        .collect();
    let volume = |claim: &Option<Claim>| {
        claim.as_ref().map_or(Some(Monthly(0.0)), |c| tariff.volume(&c.class, c.size))
    };
    let mut volumes = Some((Monthly(0.0), Monthly(0.0)));
    for (old, new) in &edits.claims {
        let both = volume(old).zip(volume(new));
        if both.is_none()
            && let Some(claim) = new.as_ref().or(old.as_ref())
        {
            unpriced.push(format!("{}: the price of its storage class is not known", claim.object));
        }
        volumes = volumes.zip(both).map(|((a, b), (old, new))| (a + old, b + new));
    }
    for (edit, row) in edits.workloads.iter().zip(&rows) {
        let more = (row.replicas.1 - row.replicas.0).max(0);
        for claim in edit.templates.iter().filter(|_| more > 0) {
            let price = tariff.volume(&claim.class, claim.size);
            if price.is_none() {
                unpriced.push(format!("{}: the price of its storage class is not known", edit.object));
            }
            volumes = volumes.zip(price).map(|((old, new), one)| (old, new + one * more as f64));
        }
    }
    let count = |all: &[Balancer]| match all.len() {
        0 => Some(Monthly(0.0)),
        n => tariff.balancer().map(|one| one * n as f64),
    };
    let balancers = count(&edits.balancers.0).zip(count(&edits.balancers.1));
    if balancers.is_none() {
        unpriced.push("a load balancer: its price is not known".to_owned());
    }
    let sum = |side: fn(&Row) -> Option<Money>| -> Option<Monthly> {
        rows.iter().map(|r| side(r).map(Money::total)).sum::<Option<Monthly>>()
    };
    let reserved = sum(|r| r.before)
        .zip(sum(|r| r.after))
        .zip(volumes.zip(balancers))
        .map(|((old, new), ((v0, v1), (b0, b1)))| (old + v0 + b0, new + v1 + b1));
    let change = |pair: Option<(Monthly, Monthly)>| pair.map(|(old, new)| new - old);
    let fixed = change(volumes).zip(change(balancers)).map(|(v, b)| v + b);
    let bill = fixed.zip(will.billed.zip(was.billed)).map(|(f, (new, old))| f + new - old);
    let away = freed(snapshot, tariff, &before, &after);
    let nodes = will.added.zip(was.added).zip(away).map(|((new, old), (away, _))| new - old - away);
    if will.unplaced > 0 {
        unpriced
            .push(format!("more than {MOST} new pods: the nodes that they would take are not worked out"));
    }
    let mut fit = will.fit;
    fit.nodes_removable = away.map_or(0, |(_, count)| count);
    fit.placed -= was.fit.placed;
    fit.placed = fit.placed.max(0);
    // Those that had no place before are not of this change.
    fit.pending = (fit.pending - was.fit.pending).max(0);
    fit.nodes_added -= was.fit.nodes_added;
    let mut unmodelled: Vec<&'static str> = edits
        .workloads
        .iter()
        .filter_map(|e| e.after.as_ref())
        .flat_map(|s| s.shape.placement.unmodelled.iter().copied())
        .collect();
    unmodelled.sort_unstable();
    unmodelled.dedup();
    fit.unmodelled = unmodelled;
    Delta {
        rows,
        reserved,
        bill,
        bill_with_autoscaler: bill.zip(nodes).map(|(bill, nodes)| bill + nodes),
        volumes: change(volumes),
        balancers: change(balancers),
        autoscaler: snapshot.autoscaler,
        fit,
        unpriced,
    }
}

fn pods_of(snapshot: &Snapshot, object: &Object) -> Vec<usize> {
    (0..snapshot.pods.len()).filter(|at| snapshot.pods[*at].owner == *object).collect()
}

/// The pods of each workload on one side of the change. Those beyond what it wants are leaving already.
fn side(snapshot: &Snapshot, edits: &Edits, own: &[Vec<usize>], at: At, after: bool) -> Side {
    let mut all = Side { stay: Vec::new(), make: Vec::new(), gone: BTreeSet::new() };
    for (edit, own) in edits.workloads.iter().zip(own) {
        let state = if after { &edit.after } else { &edit.before };
        let Some(state) = state else {
            all.gone.extend(own);
            all.stay.push(Vec::new());
            all.make.push((Shape::default(), 0));
            continue;
        };
        let wanted = state.at(at).max(0);
        let old = edit.before.as_ref().map(|s| &s.shape);
        let same = old.is_some_and(|o| o.size == state.shape.size && o.placement == state.shape.placement);
        let mut keep: Vec<usize> = if same { own.clone() } else { Vec::new() };
        keep = survivors(snapshot, keep, usize::try_from(wanted).unwrap_or(0));
        let missing = wanted - keep.len() as i64;
        all.gone.extend(own.iter().filter(|pod| !keep.contains(pod)));
        let mut shape = state.shape.clone();
        // What admission adds to each pod (a sidecar) it adds to the next one too.
        let added = own.iter().map(|pod| snapshot.pods[*pod].shape.size).fold(Size::default(), Size::max);
        if let Some(old) = old.filter(|_| !own.is_empty()) {
            shape.size += added.above(old.size);
        }
        all.stay.push(keep);
        all.make.push((shape, missing));
    }
    all
}

/// Which pods stay when there are fewer: those that wait for a node go first, then one of each crowded node.
fn survivors(snapshot: &Snapshot, mut pods: Vec<usize>, wanted: usize) -> Vec<usize> {
    let node = |pod: usize| snapshot.pods[pod].node.as_deref();
    let mut crowds: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for pod in &pods {
        *crowds.entry(node(*pod)).or_default() += 1;
    }
    while pods.len() > wanted {
        let worst = (0..pods.len())
            .max_by_key(|at| {
                let on = node(pods[*at]);
                (on.is_none(), crowds.get(&on).copied().unwrap_or(0), *at)
            })
            .unwrap_or(0);
        let gone = pods.remove(worst);
        if let Some(crowd) = crowds.get_mut(&node(gone)) {
            *crowd -= 1;
        }
    }
    pods
}

/// One side, placed and priced.
struct Settled {
    cost: Vec<Option<Money>>,
    /// What is billed pod by pod.
    billed: Option<Monthly>,
    /// What an autoscaler would add in machines.
    added: Option<Monthly>,
    /// New pods that were not placed one by one.
    unplaced: i64,
    fit: Fit,
}

fn settle(snapshot: &Snapshot, tariff: &Tariff, edits: &Edits, side: &Side) -> Settled {
    let gone = |pod: usize| side.gone.contains(&pod);
    let mut free = rooms(snapshot, &gone);
    let anywhere = tariff.anywhere(snapshot).filter(|_| !snapshot.no_nodes);
    let index = |name: &str| snapshot.nodes.iter().position(|n| n.machine.name == name);
    let by_pod = |i: usize| billing(snapshot, &edits.workloads[i].object);
    let mut cost: Vec<Option<Money>> = Vec::new();
    let mut billed = Some(Monthly(0.0));
    let mut make: Vec<(usize, &Shape)> = Vec::new();
    let mut unplaced = 0;
    for (i, stay) in side.stay.iter().enumerate() {
        let mut sum = Some(Money::default());
        for pod in stay {
            let pod = &snapshot.pods[*pod];
            let node = pod.node.as_deref().and_then(index);
            let kind = node.map_or(Billing::Machine, |n| snapshot.nodes[n].billing);
            let price = match (kind, node) {
                (Billing::Machine, Some(node)) => tariff.node(node).map(|r| r.of(pod.shape.size)),
                (Billing::Machine, None) => anywhere.map(|r| r.of(pod.shape.size)),
                (kind, _) => {
                    let one = tariff.billed(kind, &pod.shape);
                    billed = billed.zip(one).map(|(sum, one)| sum + one.total());
                    one
                }
            };
            sum = sum.zip(price).map(|(a, b)| a + b);
        }
        let (shape, count) = &side.make[i];
        if let Some(kind) = by_pod(i) {
            let all = tariff.billed(kind, shape).map(|one| one.times((*count).max(0) as f64));
            billed = billed.zip(all).map(|(sum, all)| sum + all.total());
            sum = sum.zip(all).map(|(a, b)| a + b);
        } else {
            let room = (MOST - make.len() as i64).clamp(0, (*count).max(0));
            make.extend((0..room).map(|_| (i, shape)));
            let rest = (*count).max(0) - room;
            if rest > 0 {
                unplaced += rest;
                let rates = anywhere.map(|r| r.of(shape.size).times(rest as f64));
                sum = sum.zip(rates).map(|(a, b)| a + b);
            }
        }
        cost.push(sum);
    }
    let shapes: Vec<&Shape> = make.iter().map(|(_, shape)| *shape).collect();
    let mut more = free.clone();
    let places = place(snapshot, &mut free, &shapes);
    let price = |node: usize| tariff.machine(node).map(|m| m.0);
    let with = place_with_more(snapshot, &mut more, &shapes, &price);
    for ((i, shape), place) in make.iter().zip(&with) {
        let rates = match place {
            Place::Room(room) => tariff.node(more[*room].node),
            Place::Pending => anywhere,
        };
        let before = cost[*i].take();
        cost[*i] = before.zip(rates.map(|r| r.of(shape.size))).map(|(a, b)| a + b);
    }
    let new: Vec<&Room> = more.iter().filter(|r| r.added).collect();
    let pending = places.iter().filter(|p| **p == Place::Pending).count() as i64 + unplaced;
    let open = |r: &&Room| snapshot.nodes[r.node].open && snapshot.nodes[r.node].billing == Billing::Machine;
    let allocatable: Size = free.iter().filter(open).map(|r| snapshot.nodes[r.node].allocatable).sum();
    let left: Size = free.iter().filter(open).map(|r| r.free).sum();
    let waiting = make.iter().zip(&places).find(|(_, p)| **p == Place::Pending).map(|((_, s), _)| *s);
    Settled {
        cost,
        billed,
        unplaced,
        // What was not placed has no nodes that could be counted.
        added: new.iter().map(|r| tariff.machine(r.node)).sum::<Option<Monthly>>().filter(|_| unplaced == 0),
        fit: Fit {
            placed: places.iter().filter(|p| **p != Place::Pending).count() as i64,
            pending,
            nodes_added: if unplaced == 0 { new.len() as i64 } else { 0 },
            binding: binding(snapshot, &free, waiting, allocatable - left, allocatable),
            requested: allocatable - left,
            allocatable,
            ..Fit::default()
        },
    }
}

/// How the pods of a workload are billed, where that is one by one: as its pods are now, or as all nodes are.
fn billing(snapshot: &Snapshot, object: &Object) -> Option<Billing> {
    let of = |name: &str| snapshot.nodes.iter().find(|n| n.machine.name == name).map(|n| n.billing);
    let own = snapshot.pods.iter().filter(|p| p.owner == *object);
    let mut now = own.filter_map(|p| p.node.as_deref()).filter_map(of);
    if let Some(first) = now.next() {
        return (first != Billing::Machine).then_some(first);
    }
    let machines = snapshot.nodes.iter().any(|n| n.billing == Billing::Machine);
    snapshot.nodes.iter().map(|n| n.billing).find(|_| !machines)
}

/// What runs out first: for a pod that has no place, what the roomiest node lacks; else what is requested most of.
fn binding(
    snapshot: &Snapshot,
    free: &[Room],
    waiting: Option<&Shape>,
    requested: Size,
    allocatable: Size,
) -> Option<&'static str> {
    if let Some(pod) = waiting {
        let lets = |r: &&Room| snapshot.nodes[r.node].open && pod.placement.allows(&snapshot.nodes[r.node]);
        let Some(best) = free.iter().filter(lets).max_by_key(|r| (r.free.cpu, r.free.memory)) else {
            return Some("placement");
        };
        return Some(if pod.size.gpus > best.free.gpus {
            "gpu"
        } else if pod.size.cpu > best.free.cpu {
            "cpu"
        } else if pod.size.memory > best.free.memory {
            "memory"
        } else {
            "pods"
        });
    }
    let part = |of: i64, all: i64| if all > 0 { of as f64 / all as f64 } else { 0.0 };
    let cpu = part(requested.cpu.0, allocatable.cpu.0);
    let memory = part(requested.memory.0, allocatable.memory.0);
    (allocatable.cpu.0 > 0).then_some(if memory > cpu { "memory" } else { "cpu" })
}

/// What an autoscaler could give back because of the change: the price of the nodes that become removable, and how many.
/// `None` where their price is not known.
fn freed(snapshot: &Snapshot, tariff: &Tariff, before: &Side, after: &Side) -> Option<(Monthly, i64)> {
    if after.gone.is_subset(&before.gone) {
        return Some((Monthly(0.0), 0));
    }
    // Karpenter looks at every node; Cluster Autoscaler at those of which less than half is requested.
    let most = if snapshot.autoscaler == Autoscaler::Karpenter { 1.0 } else { 0.5 };
    let left = |side: &Side| -> Option<(Monthly, i64)> {
        // What the same change makes has to go somewhere too.
        if side.make.iter().any(|(_, count)| *count > 0) {
            return Some((Monthly(0.0), 0));
        }
        let nodes = removable(snapshot, &|pod| side.gone.contains(&pod), most);
        let price = nodes.iter().map(|n| tariff.machine(*n)).sum::<Option<Monthly>>()?;
        Some((price, nodes.len() as i64))
    };
    let ((new, count), (old, was)) = (left(after)?, left(before)?);
    Some(((new - old).max(Monthly(0.0)), (count - was).max(0)))
}
