//! Who costs what: the price of every node given to its pods by what they request or use, and what is left over.

use std::collections::BTreeMap;

use crate::cluster::{Object, Pod, Size, Snapshot};
use crate::node::Billing;
use crate::tariff::{Money, Tariff};
use crate::units::Monthly;

/// By what a pod is charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Basis {
    /// What it requests: that is kept free for it, used or not.
    #[default]
    Requests,
    /// What it requests, or what it uses where that is more.
    Usage,
    /// As OpenCost counts: running pods, and of them `spec.containers` alone, each at the larger of request and usage.
    OpenCost,
}

/// What one pod costs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Charge {
    /// By what it requests.
    pub reserved: Money,
    /// By the basis that was asked for.
    pub allocated: Money,
    /// Requested and not used; none when nobody measured.
    pub waste: Option<Money>,
    /// What it uses, at the same rates.
    pub used: Option<Money>,
    /// Whether it is billed by itself.
    pub billed: bool,
}

/// What each pod costs, in the order of the snapshot. `None` where a price is not known. A pod without a node keeps
/// nothing from others and costs nothing yet.
pub fn charges(snapshot: &Snapshot, tariff: &Tariff, basis: Basis) -> Vec<Option<Charge>> {
    let index: BTreeMap<&str, usize> =
        snapshot.nodes.iter().enumerate().map(|(at, n)| (n.machine.name.as_str(), at)).collect();
    let charge = |pod: &Pod| {
        let Some(name) = pod.node.as_deref() else { return Some(Charge::default()) };
        // A node that is not in the list has no price that we know.
        let at = *index.get(name)?;
        let billing = snapshot.nodes[at].billing;
        if billing != Billing::Machine {
            let money = tariff.billed(billing, &pod.shape)?;
            return Some(Charge { reserved: money, allocated: money, waste: None, used: None, billed: true });
        }
        let rates = tariff.node(at)?;
        let used = pod.used();
        Some(Charge {
            reserved: rates.of(pod.shape.size),
            allocated: rates.of(allocated(pod, basis)),
            waste: used.map(|u| rates.of(Size { gpus: 0, ..pod.shape.size }.above(u))),
            used: used.map(|u| rates.of(u)),
            billed: false,
        })
    };
    snapshot.pods.iter().map(charge).collect()
}

/// What a pod is charged for.
pub fn allocated(pod: &Pod, basis: Basis) -> Size {
    let larger = || -> Size {
        let used = |name: &str| pod.usage.as_ref().and_then(|all| all.get(name)).copied().unwrap_or_default();
        pod.shape.containers.iter().map(|c| c.size.max(used(&c.name))).sum()
    };
    match basis {
        Basis::Requests => pod.shape.size,
        Basis::Usage => pod.shape.size.max(larger()),
        Basis::OpenCost if pod.running => larger(),
        Basis::OpenCost => Size::default(),
    }
}

/// One row: what a group of pods costs.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// What the group is.
    pub object: Object,
    /// How many pods, and how many of them have no node.
    pub pods: i64,
    /// Pods that wait for a node.
    pub pending: i64,
    /// What they request.
    pub size: Size,
    /// What they use, as far as it was measured.
    pub used: Option<Size>,
    /// By what they request; none when a price is not known.
    pub reserved: Option<Money>,
    /// By the basis that was asked for.
    pub allocated: Option<Money>,
    /// Requested and not used, as far as it was measured.
    pub waste: Option<Money>,
    /// What those that were measured use, and request.
    pub efficiency: Option<Efficiency>,
    /// What of it is billed pod by pod.
    pub billed: Monthly,
    /// What of `allocated` is for pods on machines: they alone bear what is idle on these.
    pub on_machines: Money,
}

/// How much of what is requested is used: 1 is all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Efficiency {
    /// Of CPU.
    pub cpu: Option<f64>,
    /// Of memory.
    pub memory: Option<f64>,
    /// Of both, weighted by what they cost.
    pub total: Option<f64>,
}

/// Pods added up by what `key` says of them.
pub fn rows(
    snapshot: &Snapshot,
    charges: &[Option<Charge>],
    key: &dyn Fn(&Pod) -> Option<Object>,
) -> Vec<Row> {
    let mut groups: BTreeMap<Object, Sum> = BTreeMap::new();
    for (pod, charge) in snapshot.pods.iter().zip(charges) {
        if let Some(object) = key(pod) {
            groups.entry(object).or_default().add(pod, charge.as_ref());
        }
    }
    groups.into_iter().map(|(object, sum)| sum.row(object)).collect()
}

#[derive(Default)]
struct Sum {
    row: Row,
    unknown: bool,
    measured: Size,
    requested: Size,
    /// What measured pods are charged for: it weighs how much of each resource is used.
    worth: Money,
}

impl Sum {
    fn add(&mut self, pod: &Pod, charge: Option<&Charge>) {
        let row = &mut self.row;
        row.pods += 1;
        row.pending += i64::from(pod.node.is_none());
        row.size += pod.shape.size;
        if let Some(used) = pod.used() {
            row.used = Some(row.used.unwrap_or_default() + used);
            self.measured += used;
            self.requested += pod.shape.size;
        }
        let Some(charge) = charge else {
            self.unknown = true;
            return;
        };
        let plus = |sum: Option<Money>, more: Money| Some(sum.unwrap_or_default() + more);
        row.reserved = plus(row.reserved, charge.reserved);
        row.allocated = plus(row.allocated, charge.allocated);
        if let Some(waste) = charge.waste {
            row.waste = plus(row.waste, waste);
            self.worth = self.worth + charge.allocated;
        }
        if charge.billed {
            row.billed += charge.reserved.total();
        } else {
            row.on_machines = row.on_machines + charge.allocated;
        }
    }

    fn row(self, object: Object) -> Row {
        let mut row = Row { object, ..self.row };
        if self.unknown {
            (row.reserved, row.allocated, row.waste) = (None, None, None);
        }
        if row.used.is_some() {
            let cpu = part(self.measured.cpu.0, self.requested.cpu.0);
            let memory = part(self.measured.memory.0, self.requested.memory.0);
            let weight = |e: Option<f64>, money: Monthly| e.map_or((0.0, 0.0), |e| (e * money.0, money.0));
            let (c, m) = (weight(cpu, self.worth.cpu), weight(memory, self.worth.memory));
            let total = (c.1 + m.1 > 0.0).then(|| (c.0 + m.0) / (c.1 + m.1));
            row.efficiency = Some(Efficiency { cpu, memory, total });
        }
        row
    }
}

/// Used of requested: everything where something is used and nothing is requested; nothing said where neither is.
fn part(used: i64, requested: i64) -> Option<f64> {
    match (used, requested) {
        (_, requested) if requested > 0 => Some(used as f64 / requested as f64),
        (used, _) if used > 0 => Some(1.0),
        _ => None,
    }
}

/// What one node costs, and what of it nobody has.
#[derive(Clone, Debug)]
pub struct NodeRow {
    /// The node, by its place in the snapshot.
    pub node: usize,
    /// The whole machine; none when its price is not known.
    pub price: Option<Monthly>,
    /// What its pods request.
    pub requested: Size,
    /// What its pods use, as far as it was measured.
    pub used: Option<Size>,
    /// Its price less what its pods are charged for; below nothing where they use more than there is.
    pub idle: Option<Money>,
}

/// All machines. Nodes whose pods are billed one by one have neither a price nor idle capacity.
pub fn nodes(snapshot: &Snapshot, tariff: &Tariff, charges: &[Option<Charge>]) -> Vec<NodeRow> {
    let machines = snapshot.nodes.iter().enumerate().filter(|(_, n)| n.billing == Billing::Machine);
    let mut all: Vec<NodeRow> = machines
        .map(|(at, n)| {
            let size = Size { cpu: n.machine.cpu, memory: n.machine.memory, gpus: n.machine.gpus };
            NodeRow {
                node: at,
                price: tariff.machine(at),
                requested: Size::default(),
                used: None,
                idle: tariff.node(at).map(|r| r.of(size)),
            }
        })
        .collect();
    let mut by_name: BTreeMap<&str, usize> = BTreeMap::new();
    for (row, node) in all.iter().enumerate() {
        by_name.insert(snapshot.nodes[node.node].machine.name.as_str(), row);
    }
    for (pod, charge) in snapshot.pods.iter().zip(charges) {
        let Some(row) = pod.node.as_deref().and_then(|n| by_name.get(n)) else { continue };
        let row = &mut all[*row];
        row.requested += pod.shape.size;
        if let Some(used) = pod.used() {
            row.used = Some(row.used.unwrap_or_default() + used);
        }
        row.idle = row.idle.zip(charge.as_ref()).map(|(idle, c)| idle - c.allocated);
    }
    all
}

/// A group's share of what is idle, by what each resource costs it.
pub fn share(row: Money, all: Money, idle: Money) -> Money {
    let part = |own: Monthly, all: Monthly, idle: Monthly| {
        if all.0 > 0.0 { idle * (own.0 / all.0) } else { Monthly(0.0) }
    };
    Money {
        cpu: part(row.cpu, all.cpu, idle.cpu),
        memory: part(row.memory, all.memory, idle.memory),
        gpu: part(row.gpu, all.gpu, idle.gpu),
    }
}
