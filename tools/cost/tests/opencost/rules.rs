//! OpenCost's rules, written down once more and simply, and the clusters that both sides are told: nothing of kai's is in here.

pub const MONTH: f64 = 730.0;
pub const CPU: f64 = 0.021811;
pub const RAM: f64 = 0.002923;
pub const GPU: f64 = 0.95;
/// OpenCost's price of a GiB and an hour.
pub const STORAGE: f64 = 0.00005479452;

// What both are told.

#[derive(Clone, Default)]
pub struct Machine {
    pub name: &'static str,
    /// Cores and GiB.
    pub size: (i64, i64),
    pub gpus: i64,
    pub hourly: f64,
}

#[derive(Clone, Copy, Default)]
pub struct Container {
    /// Millicores and MiB; 0 is not said.
    pub asks: (i64, i64),
    pub uses: Option<(i64, i64)>,
}

#[derive(Clone, Default)]
pub struct Pod {
    pub namespace: &'static str,
    pub name: String,
    pub node: Option<&'static str>,
    pub phase: &'static str,
    pub containers: Vec<Container>,
    pub sidecar: Option<(i64, i64)>,
    pub init: Option<(i64, i64)>,
    pub claims: Vec<&'static str>,
}

#[derive(Clone, Default)]
pub struct Cluster {
    pub machines: Vec<Machine>,
    pub pods: Vec<Pod>,
    /// Namespace, name, GiB that are asked for, GiB that there are.
    pub claims: Vec<(&'static str, &'static str, i64, i64)>,
    /// Namespaces whose pods a load balancer is for.
    pub balancers: Vec<&'static str>,
    pub discounts: (f64, f64),
}

pub fn container(asks: (i64, i64), uses: (i64, i64)) -> Container {
    Container { asks, uses: Some(uses) }
}

pub fn pod(namespace: &'static str, name: &str, node: &'static str, containers: &[Container]) -> Pod {
    let (name, containers) = (name.to_owned(), containers.to_vec());
    Pod { namespace, name, node: Some(node), phase: "Running", containers, ..Pod::default() }
}

/// Two types of machines; a pod below and one above what it asks for, one with two containers, one that asks for nothing.
pub fn plain() -> Cluster {
    let machine = |name, size, hourly| Machine { name, size, gpus: 0, hourly };
    let pods = [
        pod("shop", "web-0", "small", &[container((250, 256), (40, 90))]),
        pod("shop", "web-1", "large", &[container((250, 256), (400, 200))]),
        pod("shop", "api-0", "large", &[container((500, 1024), (100, 2048)), container((50, 64), (10, 32))]),
        pod("bank", "ledger-0", "small", &[container((1000, 4096), (900, 3000))]),
        pod("bank", "cron-0", "large", &[container((0, 0), (300, 700))]),
        pod("kube-system", "dns-0", "small", &[container((100, 70), (20, 30))]),
    ];
    let machines = vec![machine("small", (4, 16), 0.134012), machine("large", (8, 64), 0.504)];
    Cluster { machines, pods: pods.into(), ..Cluster::default() }
}

// OpenCost's side.

impl Cluster {
    pub fn less(&self) -> f64 {
        (1.0 - self.discounts.0) * (1.0 - self.discounts.1)
    }

    /// USD for a core, a GiB and a GPU and an hour: the whole price in the ratio of the configured rates, over capacity.
    pub fn rates(&self, node: &str) -> (f64, f64, f64) {
        let m = self.machines.iter().find(|m| m.name == node).unwrap();
        let (cores, gib, gpus) = (m.size.0 as f64, m.size.1 as f64, m.gpus as f64);
        let ram = m.hourly / (cores * CPU / RAM + gib + gpus * GPU / RAM);
        (ram * CPU / RAM * self.less(), ram * self.less(), ram * GPU / RAM)
    }

    /// A month of each pod: of its running containers alone, each at the larger of request and use.
    pub fn allocated(&self) -> Vec<(f64, f64)> {
        let one = |pod: &Pod| {
            let Some(node) = pod.node.filter(|_| pod.phase == "Running") else { return (0.0, 0.0) };
            let (cpu, ram, _) = self.rates(node);
            let most = |c: &Container, of: fn((i64, i64)) -> i64| {
                of(c.asks).max(of(c.uses.unwrap_or_default())) as f64
            };
            let cores: f64 = pod.containers.iter().map(|c| most(c, |s| s.0) / 1000.0).sum();
            let gib: f64 = pod.containers.iter().map(|c| most(c, |s| s.1) / 1024.0).sum();
            (cores * cpu * MONTH, gib * ram * MONTH)
        };
        self.pods.iter().map(one).collect()
    }

    /// A month of a node, less what is allocated on it: CPU and memory.
    pub fn idle(&self, machine: &Machine) -> (f64, f64) {
        let (cpu, ram, _) = self.rates(machine.name);
        let all = (machine.size.0 as f64 * cpu * MONTH, machine.size.1 as f64 * ram * MONTH);
        let own = self.pods.iter().zip(self.allocated()).filter(|(p, _)| p.node == Some(machine.name));
        own.fold(all, |(c, m), (_, (cpu, ram))| (c - cpu, m - ram))
    }

    /// What a namespace costs with its share of the cluster's idle capacity, weighted resource by resource.
    pub fn with_idle(&self, namespace: &str) -> f64 {
        let sum =
            |all: &mut dyn Iterator<Item = (f64, f64)>| all.fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
        let own = self.pods.iter().zip(self.allocated()).filter(|(p, _)| p.namespace == namespace);
        let own = sum(&mut own.map(|(_, cost)| cost));
        let all = sum(&mut self.allocated().into_iter());
        let idle = sum(&mut self.machines.iter().map(|m| self.idle(m)));
        own.0 + own.1 + idle.0 * own.0 / all.0 + idle.1 * own.1 / all.1
    }

    /// Used of requested, in cores, in GiB, and weighted by cost; 1 where something is used and nothing is requested.
    pub fn efficiency(&self, pod: &Pod) -> (f64, f64, f64) {
        let at = self.pods.iter().position(|p| p.name == pod.name).unwrap();
        let cost = self.allocated()[at];
        let part = |of: fn((i64, i64)) -> i64| {
            let asked: i64 = pod.containers.iter().map(|c| of(c.asks)).sum();
            let used: i64 = pod.containers.iter().map(|c| of(c.uses.unwrap())).sum();
            if asked > 0 { used as f64 / asked as f64 } else { f64::from(used > 0) }
        };
        let (cpu, ram) = (part(|s| s.0), part(|s| s.1));
        (cpu, ram, (cpu * cost.0 + ram * cost.1) / (cost.0 + cost.1))
    }

    /// A month of a pod's claims: what each asks for, in equal parts for the pods that mount it.
    pub fn volumes(&self, pod: &Pod) -> f64 {
        let mounts =
            |p: &Pod, namespace: &str, name: &str| p.namespace == namespace && p.claims.contains(&name);
        let own = self.claims.iter().filter(|(namespace, name, ..)| mounts(pod, namespace, name));
        own.map(|(namespace, name, asked, _)| {
            let shared = self.pods.iter().filter(|p| mounts(p, namespace, name)).count();
            *asked as f64 * STORAGE * MONTH / shared as f64
        })
        .sum()
    }
}
