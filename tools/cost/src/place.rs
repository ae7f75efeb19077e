//! Where pods may run, where they would go, and how many nodes more they would need.

use std::collections::BTreeMap;

use crate::cluster::{Node, Shape, Size, Snapshot};
use crate::node::Billing;

/// The rules of a pod about nodes, as far as they are modelled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Placement {
    /// `nodeSelector`.
    pub selector: BTreeMap<String, String>,
    /// Required node affinity: one of these must hold, each with all of its expressions.
    pub terms: Vec<Vec<Expression>>,
    /// Tolerations: key, value, effect; an empty one is any, "*" as a value is any value.
    pub tolerations: Vec<[String; 3]>,
    /// Zones in which its volumes are; empty when that does not matter.
    pub zones: Vec<String>,
    /// What it uses that is not modelled, in words.
    pub unmodelled: Vec<&'static str>,
}

/// `key operator values` of a node selector term.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    /// A label's key.
    pub key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt`, `Lt`.
    pub operator: String,
    /// What it is compared with.
    pub values: Vec<String>,
    /// Whether it is about the node's name (`matchFields`) instead of a label.
    pub field: bool,
}

impl Expression {
    fn holds(&self, node: &Node) -> bool {
        let found = if self.field {
            Some(node.machine.name.as_str())
        } else {
            node.machine.labels.get(&self.key).map(String::as_str)
        };
        let number = |text: &str| text.parse::<i64>().ok();
        let bound = || self.values.first().and_then(|v| number(v));
        match self.operator.as_str() {
            "In" => found.is_some_and(|f| self.values.iter().any(|v| v == f)),
            "NotIn" => found.is_none_or(|f| self.values.iter().all(|v| v != f)),
            "Exists" => found.is_some(),
            "DoesNotExist" => found.is_none(),
            "Gt" => found.and_then(number).zip(bound()).is_some_and(|(f, b)| f > b),
            "Lt" => found.and_then(number).zip(bound()).is_some_and(|(f, b)| f < b),
            _ => false,
        }
    }
}

impl Placement {
    /// Whether the node's labels and taints let the pod in, however full it is.
    pub fn allows(&self, node: &Node) -> bool {
        let labels = &node.machine.labels;
        let zone = || labels.get("topology.kubernetes.io/zone");
        self.selector.iter().all(|(key, value)| labels.get(key) == Some(value))
            && (self.terms.is_empty() || self.terms.iter().any(|term| holds(term, node)))
            && node.taints.iter().all(|taint| taint[2] == "PreferNoSchedule" || self.tolerates(taint))
            && (self.zones.is_empty() || zone().is_none_or(|zone| self.zones.contains(zone)))
    }

    fn tolerates(&self, taint: &[String; 3]) -> bool {
        self.tolerations.iter().any(|[key, value, effect]| {
            (effect.is_empty() || *effect == taint[2])
                && ((key.is_empty() && value == "*") || *key == taint[0])
                && (value == "*" || *value == taint[1])
        })
    }
}

/// An empty term selects no node.
fn holds(term: &[Expression], node: &Node) -> bool {
    !term.is_empty() && term.iter().all(|e| e.holds(node))
}

/// What is left on a node.
#[derive(Clone, Debug)]
pub struct Room {
    /// The node, by its place in the list; for one that would be added, the node it is like.
    pub node: usize,
    /// Whether it would be added.
    pub added: bool,
    /// What can still be requested.
    pub free: Size,
    /// How many more pods it takes.
    pub pods: i64,
}

/// Where one pod would go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// To this room.
    Room(usize),
    /// Nowhere: it would stay Pending.
    Pending,
}

/// What is left on all nodes that run machines, when the pods that `gone` names are not there.
pub fn rooms(snapshot: &Snapshot, gone: &dyn Fn(usize) -> bool) -> Vec<Room> {
    let mut rooms: Vec<Room> = (0..snapshot.nodes.len())
        .map(|node| Room {
            node,
            added: false,
            free: snapshot.nodes[node].allocatable,
            pods: snapshot.nodes[node].pods,
        })
        .collect();
    let by_name: BTreeMap<&str, usize> =
        snapshot.nodes.iter().enumerate().map(|(at, n)| (n.machine.name.as_str(), at)).collect();
    for (_, pod) in snapshot.pods.iter().enumerate().filter(|(at, _)| !gone(*at)) {
        if let Some(node) = pod.node.as_deref().and_then(|name| by_name.get(name)) {
            rooms[*node].free = rooms[*node].free - pod.shape.size;
            rooms[*node].pods -= 1;
        }
    }
    rooms
}

/// Puts pods into rooms, the largest first, each where there is the most left, as the scheduler does by default.
/// The answer is in the order of `pods`.
pub fn place(snapshot: &Snapshot, rooms: &mut [Room], pods: &[&Shape]) -> Vec<Place> {
    let mut order: Vec<usize> = (0..pods.len()).collect();
    let whole = snapshot.nodes.iter().fold(Size::default(), |most, n| most.max(n.allocatable));
    order.sort_by(|a, b| share(pods[*b].size, whole).total_cmp(&share(pods[*a].size, whole)));
    let mut places = vec![Place::Pending; pods.len()];
    for at in order {
        let pod = pods[at];
        let best = rooms
            .iter()
            .enumerate()
            .filter(|(_, room)| {
                let node = &snapshot.nodes[room.node];
                (node.open || room.added)
                    && room.pods > 0
                    && pod.size.fits(room.free)
                    && pod.placement.allows(node)
            })
            // The first of equals: what is named first is filled first, each time the same.
            .min_by_key(|(_, room)| std::cmp::Reverse((room.free.cpu, room.free.memory)));
        if let Some((chosen, _)) = best {
            rooms[chosen].free = rooms[chosen].free - pod.size;
            rooms[chosen].pods -= 1;
            places[at] = Place::Room(chosen);
        }
    }
    places
}

/// How much of a node a pod takes, by what it takes most of.
fn share(size: Size, whole: Size) -> f64 {
    let part = |of: i64, all: i64| if all > 0 { of as f64 / all as f64 } else { 0.0 };
    part(size.cpu.0, whole.cpu.0).max(part(size.memory.0, whole.memory.0)).max(part(size.gpus, whole.gpus))
}

/// What the DaemonSets of a node take: a new one like it begins with so much less.
fn daemons(snapshot: &Snapshot, node: usize) -> (Size, i64) {
    let name = &snapshot.nodes[node].machine.name;
    let own = snapshot.pods.iter().filter(|p| p.of_daemon() && p.node.as_ref() == Some(name));
    own.fold((Size::default(), 0), |(size, count), pod| (size + pod.shape.size, count + 1))
}

/// Adds nodes like those there are until all pods have a place: each time the cheapest that takes at least one of them.
/// Answers the places, with the rooms that were added at the end of `rooms`.
pub fn place_with_more(
    snapshot: &Snapshot,
    rooms: &mut Vec<Room>,
    pods: &[&Shape],
    price: &dyn Fn(usize) -> Option<f64>,
) -> Vec<Place> {
    let mut places = place(snapshot, rooms, pods);
    if places.iter().all(|p| *p != Place::Pending) {
        return places;
    }
    let open = (0..snapshot.nodes.len()).filter(|node| snapshot.nodes[*node].open);
    let fresh: Vec<(f64, Room)> = open
        .filter_map(|node| {
            let (taken, count) = daemons(snapshot, node);
            let free = snapshot.nodes[node].allocatable - taken;
            Some((price(node)?, Room { node, added: true, free, pods: snapshot.nodes[node].pods - count }))
        })
        .collect();
    loop {
        let left: Vec<usize> = (0..pods.len()).filter(|at| places[*at] == Place::Pending).collect();
        let helps = |room: &Room| {
            left.iter().any(|at| {
                pods[*at].size.fits(room.free) && pods[*at].placement.allows(&snapshot.nodes[room.node])
            })
        };
        let useful = fresh.iter().filter(|(_, room)| room.pods > 0 && helps(room));
        let best = useful.min_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, room)) = best.filter(|_| !left.is_empty()) else { return places };
        let at = rooms.len();
        let mut only = [room.clone()];
        let rest: Vec<&Shape> = left.iter().map(|at| pods[*at]).collect();
        for (pod, placed) in left.iter().zip(place(snapshot, &mut only, &rest)) {
            if placed != Place::Pending {
                places[*pod] = Place::Room(at);
            }
        }
        rooms.extend(only);
    }
}

/// Nodes that an autoscaler could take away: all their pods but those of DaemonSets find room on the others. The least
/// used are tried first. `most` is the share of its requests up to which a node is looked at.
pub fn removable(snapshot: &Snapshot, gone: &dyn Fn(usize) -> bool, most: f64) -> Vec<usize> {
    let mut rooms = rooms(snapshot, gone);
    let used = |room: &Room| {
        share(snapshot.nodes[room.node].allocatable - room.free, snapshot.nodes[room.node].allocatable)
    };
    // What is billed pod by pod is no machine to give back.
    let machine = |room: &Room| snapshot.nodes[room.node].billing == Billing::Machine;
    let mut order: Vec<usize> =
        (0..rooms.len()).filter(|at| machine(&rooms[*at]) && used(&rooms[*at]) <= most).collect();
    order.sort_by(|a, b| used(&rooms[*a]).total_cmp(&used(&rooms[*b])));
    let mut away: Vec<usize> = Vec::new();
    for at in order {
        let name = &snapshot.nodes[rooms[at].node].machine.name;
        let own: Vec<&crate::cluster::Pod> = snapshot
            .pods
            .iter()
            .enumerate()
            .filter(|(pod, p)| !gone(*pod) && p.node.as_ref() == Some(name) && !p.of_daemon())
            .map(|(_, p)| p)
            .collect();
        // What nobody makes again holds its node.
        if own.iter().any(|p| p.owner.kind == "Pod") {
            continue;
        }
        let mut rest: Vec<Room> = rooms.clone();
        rest[at].pods = 0;
        for gone in &away {
            rest[*gone].pods = 0;
        }
        let shapes: Vec<&Shape> = own.iter().map(|p| &p.shape).collect();
        if place(snapshot, &mut rest, &shapes).iter().all(|p| *p != Place::Pending) {
            let before = rooms[at].clone();
            rooms = rest;
            rooms[at] = Room { pods: 0, ..before };
            away.push(at);
        }
    }
    away
}
