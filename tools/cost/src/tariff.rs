//! The prices that hold in one snapshot: of each node, of volumes, of load balancers, of pods that are billed themselves.

use std::collections::BTreeMap;

use crate::cluster::{Billing, Shape, Size, Snapshot};
use crate::prices::NodePrice;
use crate::units::{
    Bytes, HOURS_PER_MONTH, Hourly, Monthly, PerCoreHour, PerGibHour, PerGibMonth, PerGpuHour,
};

/// What something costs a month, by what it is for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Money {
    /// For CPU.
    pub cpu: Monthly,
    /// For memory.
    pub memory: Monthly,
    /// For GPUs.
    pub gpu: Monthly,
}

impl Money {
    /// All of it.
    pub fn total(self) -> Monthly {
        self.cpu + self.memory + self.gpu
    }

    /// So many times as much.
    pub fn times(self, n: f64) -> Money {
        Money { cpu: self.cpu * n, memory: self.memory * n, gpu: self.gpu * n }
    }
}

impl std::ops::Add for Money {
    type Output = Money;
    fn add(self, other: Money) -> Money {
        Money { cpu: self.cpu + other.cpu, memory: self.memory + other.memory, gpu: self.gpu + other.gpu }
    }
}

impl std::ops::Sub for Money {
    type Output = Money;
    fn sub(self, other: Money) -> Money {
        Money { cpu: self.cpu - other.cpu, memory: self.memory - other.memory, gpu: self.gpu - other.gpu }
    }
}

impl std::iter::Sum for Money {
    fn sum<I: Iterator<Item = Money>>(all: I) -> Money {
        all.fold(Money::default(), std::ops::Add::add)
    }
}

/// What one core, one GiB and one GPU cost an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// One core.
    pub cpu: PerCoreHour,
    /// One GiB of memory.
    pub memory: PerGibHour,
    /// One GPU.
    pub gpu: PerGpuHour,
}

impl Rates {
    /// What so much costs a month.
    pub fn of(&self, size: Size) -> Money {
        Money {
            cpu: size.cpu.at(self.cpu).month(),
            memory: size.memory.at(self.memory).month(),
            gpu: self.gpu.times(size.gpus).month(),
        }
    }
}

/// The prices of one snapshot. What is not known is `None`, never 0.
#[derive(Clone, Debug, Default)]
pub struct Tariff {
    /// Of each node, in the order of the snapshot.
    pub nodes: Vec<Option<NodePrice>>,
    /// For pods that have no node, where there is none to take rates from.
    pub generic: Option<Rates>,
    /// Of each storage class by name; the default's also under the empty name.
    pub storage: BTreeMap<String, PerGibMonth>,
    /// One load balancer.
    pub balancer: Option<Hourly>,
    /// The control plane, where the provider charges one.
    pub control_plane: Option<Hourly>,
    /// Fargate's rates.
    pub fargate: Option<Rates>,
    /// GKE Autopilot's rates.
    pub autopilot: Option<Rates>,
    /// What else matched, in words: volumes, load balancers, the control plane.
    pub other: Vec<String>,
    /// What to know about the prices, in words: stale tables, nodes without a price.
    pub warnings: Vec<String>,
}

impl Tariff {
    /// The rates of a node.
    pub fn node(&self, at: usize) -> Option<Rates> {
        self.nodes.get(at)?.as_ref().map(|p| Rates { cpu: p.cpu, memory: p.memory, gpu: p.gpu })
    }

    /// What a node costs a month.
    pub fn machine(&self, at: usize) -> Option<Monthly> {
        self.nodes.get(at)?.as_ref().map(|p| p.hourly.month())
    }

    /// Rates for a pod that is nowhere yet: the mean over the machines there are, by what they have.
    pub fn anywhere(&self, snapshot: &Snapshot) -> Option<Rates> {
        let known = || {
            snapshot.nodes.iter().enumerate().filter_map(|(at, n)| {
                let machine = n.billing == Billing::Machine;
                self.node(at).filter(|_| machine).map(|r| (r, &n.machine))
            })
        };
        let weighted = |rate: fn(&Rates) -> f64, amount: fn(&crate::node::Machine) -> f64| {
            let (sum, all) =
                known().fold((0.0, 0.0), |(sum, all), (r, m)| (sum + rate(&r) * amount(m), all + amount(m)));
            (all > 0.0).then(|| sum / all)
        };
        let Some(cpu) = weighted(|r| r.cpu.0, |m| m.cpu.cores()) else { return self.generic };
        Some(Rates {
            cpu: PerCoreHour(cpu),
            memory: PerGibHour(weighted(|r| r.memory.0, |m| m.memory.gib()).unwrap_or_default()),
            gpu: PerGpuHour(weighted(|r| r.gpu.0, |m| m.gpus as f64).unwrap_or_default()),
        })
    }

    /// What a pod of this shape costs where pods are billed one by one; `None` where that price is not known.
    pub fn billed(&self, billing: Billing, shape: &Shape) -> Option<Money> {
        match billing {
            Billing::Fargate => Some(self.fargate?.of(fargate(shape)?)),
            Billing::Autopilot => Some(self.autopilot?.of(shape.size)),
            Billing::Machine | Billing::Unknown => None,
        }
    }

    /// What a volume costs a month.
    pub fn volume(&self, class: &str, size: Bytes) -> Option<Monthly> {
        self.storage.get(class).map(|rate| size.stored_at(*rate))
    }

    /// What one load balancer costs a month, before its traffic.
    pub fn balancer(&self) -> Option<Monthly> {
        self.balancer.map(Hourly::month)
    }
}

/// A month's hours, for what is counted by the hour.
pub const MONTH: f64 = HOURS_PER_MONTH;

/// The memory that Fargate takes for the kubelet and its helpers.
const FARGATE_OWN: Bytes = Bytes(256 << 20);
/// Fargate's sizes: millicores, least and most GiB, and the step between; half a GiB where the least is below one.
const FARGATE: [(i64, i64, i64, i64); 7] = [
    (250, 0, 0, 0),
    (500, 1, 4, 1),
    (1000, 2, 8, 1),
    (2000, 4, 16, 1),
    (4000, 8, 30, 1),
    (8000, 16, 60, 4),
    (16000, 32, 120, 8),
];

/// The size that Fargate rounds a pod up to; none for one that is larger than its largest.
pub fn fargate(shape: &Shape) -> Option<Size> {
    let asked = shape.size;
    let memory = asked.memory + FARGATE_OWN;
    FARGATE.iter().filter(|size| asked.cpu.0 <= size.0).find_map(|(cpu, least, most, step)| {
        let mut sizes: Vec<i64> = match least {
            // A quarter of a core comes with half a GiB, one, or two.
            0 => vec![Bytes::GIB / 2, Bytes::GIB, 2 * Bytes::GIB],
            _ => (*least..=*most).step_by(*step as usize).map(|gib| gib * Bytes::GIB).collect(),
        };
        sizes.retain(|size| *size >= memory.0);
        sizes.first().map(|size| Size::new(*cpu, *size))
    })
}
