//! The prices that hold in one snapshot: of each node, of volumes, of load balancers, of pods that are billed themselves.

use std::collections::BTreeMap;

use jiff::civil::Date;

use crate::cluster::{Shape, Size, Snapshot};
use crate::node::{Billing, Machine, Provider};
use crate::prices::{NodePrice, Prices, fargate_size};
use crate::units::{Bytes, Hourly, Millicores, Monthly, PerCoreHour, PerGibHour, PerGibMonth, PerGpuHour};

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
    /// The prices that hold in a snapshot. `today` decides which of them are old.
    pub fn of(snapshot: &Snapshot, prices: &Prices, today: Date) -> Tariff {
        let mut tariff = Tariff::default();
        let provider = provider(snapshot);
        let mut providers: Vec<Provider> = snapshot.nodes.iter().map(|n| n.machine.provider).collect();
        providers.sort_unstable();
        providers.dedup();
        tariff.nodes = snapshot
            .nodes
            .iter()
            .map(|n| if n.billing == Billing::Machine { prices.node(&n.machine) } else { None })
            .collect();
        let no_machine = Machine::read("", &BTreeMap::new(), None, (Millicores(1000), Bytes(Bytes::GIB), 0));
        tariff.generic = prices.node(&no_machine).map(|p| Rates { cpu: p.cpu, memory: p.memory, gpu: p.gpu });
        let mut matched: Vec<String> = Vec::new();
        for class in &snapshot.classes {
            let (name, driver) = (Some(class.name.as_str()), Some(class.provisioner.as_str()));
            if let Some(found) = prices.storage(name, driver, class.disk.as_deref(), provider) {
                tariff.storage.insert(class.name.clone(), found.value);
                if class.default {
                    tariff.storage.insert(String::new(), found.value);
                }
                matched.push(found.matched);
            }
        }
        // A claim's class may be gone, or may not be readable; a claim without one has what the cloud gives by default.
        let named = snapshot.claims.iter().map(|c| c.class.as_str()).chain([""]);
        for class in named {
            let asked = Some(class).filter(|c| !c.is_empty());
            if !tariff.storage.contains_key(class)
                && let Some(found) = prices.storage(asked, None, None, provider)
            {
                tariff.storage.insert(class.to_owned(), found.value);
            }
        }
        let balancer = prices.load_balancer(provider);
        let plane = prices.control_plane(provider, is_managed(snapshot));
        let rates = |billing| {
            let found = prices.pods(billing)?;
            let rates = found.value;
            let pod = Rates { cpu: rates.cpu, memory: rates.memory, gpu: PerGpuHour(0.0) };
            Some((pod, found.matched))
        };
        let (fargate, autopilot) = (rates(Billing::Fargate), rates(Billing::Autopilot));
        let uses = |billing| snapshot.nodes.iter().any(|n| n.billing == billing);
        matched.extend(plane.as_ref().map(|p| p.matched.clone()));
        matched
            .extend(balancer.as_ref().filter(|_| !snapshot.balancers.is_empty()).map(|b| b.matched.clone()));
        for (billing, found) in [(Billing::Fargate, &fargate), (Billing::Autopilot, &autopilot)] {
            matched.extend(found.as_ref().filter(|_| uses(billing)).map(|(_, matched)| matched.clone()));
        }
        matched.sort();
        matched.dedup();
        tariff.balancer = balancer.map(|b| b.value);
        tariff.control_plane = plane.map(|p| p.value);
        tariff.fargate = fargate.map(|(rates, _)| rates);
        tariff.autopilot = autopilot.map(|(rates, _)| rates);
        tariff.other = matched;
        tariff.warnings = prices.stale_for(today, &providers);
        tariff
    }

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
            Billing::Fargate => {
                let (cpu, memory) = fargate_size(shape.size.cpu, shape.size.memory)?;
                Some(self.fargate?.of(Size { cpu, memory, gpus: 0 }))
            }
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

/// Whose cluster it is: that of most of its nodes.
fn provider(snapshot: &Snapshot) -> Provider {
    let mut counts: BTreeMap<Provider, usize> = BTreeMap::new();
    for node in &snapshot.nodes {
        *counts.entry(node.machine.provider).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map_or(Provider::Other, |(provider, _)| provider)
}

/// Whether somebody else runs the control plane: none of the nodes does.
fn is_managed(snapshot: &Snapshot) -> bool {
    let own = |n: &crate::cluster::Node| {
        let role = |name: &str| n.machine.labels.contains_key(&format!("node-role.kubernetes.io/{name}"));
        role("control-plane") || role("master")
    };
    !snapshot.nodes.is_empty() && !snapshot.nodes.iter().any(own)
}
