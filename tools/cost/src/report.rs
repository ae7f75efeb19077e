//! The whole answer about a scope, from a snapshot and its prices: rows, what is idle, autoscalers at their most, loose ends.

use std::collections::{BTreeMap, BTreeSet};

use crate::allocate::{Basis, Charge, NodeRow, Row, charges, nodes, rows, share};
use crate::cluster::{Balancer, Claim, Node, Object, Pod, Snapshot, Workload};
use crate::delta::{At, Edit, Edits, State, delta};
use crate::doc::{
    self, Document, Gauge, Idle, Item, LooseEnd, PerPod, Replicas, Span, Totals, micros, round6,
};
use crate::node::Billing;
use crate::prices::Source;
use crate::tariff::{Money, Tariff};
use crate::units::Monthly;

/// What a row is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// What makes the pods.
    #[default]
    Workload,
    /// A namespace.
    Namespace,
    /// A node.
    Node,
    /// A pod.
    Pod,
    /// The value of a label of the pods.
    Label(String),
}

impl By {
    /// As it is said: `workload`, `label:team`.
    pub fn name(&self) -> String {
        match self {
            By::Workload => "workload".to_owned(),
            By::Namespace => "namespace".to_owned(),
            By::Node => "node".to_owned(),
            By::Pod => "pod".to_owned(),
            By::Label(key) => format!("label:{key}"),
        }
    }

    fn key(&self, pod: &Pod) -> Option<Object> {
        let named = |kind: &str, namespace: &str, name: &str| {
            Some(Object { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() })
        };
        match self {
            By::Workload => Some(pod.owner.clone()),
            By::Namespace => named("Namespace", "", &pod.namespace),
            By::Node => named("Node", "", pod.node.as_deref().unwrap_or("(none)")),
            By::Pod => named("Pod", &pod.namespace, &pod.name),
            By::Label(key) => named("Label", "", pod.labels.get(key).map_or("(none)", String::as_str)),
        }
    }
}

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// One namespace; all when none.
    pub namespace: Option<String>,
    /// One workload of it.
    pub workload: Option<Object>,
    /// What a row is.
    pub by: By,
    /// By what pods are charged.
    pub basis: Basis,
    /// Where usage is from, in words.
    pub usage: Option<String>,
}

impl Question {
    fn about(&self, object: &Object) -> bool {
        self.namespace.as_ref().is_none_or(|n| *n == object.namespace)
            && self.workload.as_ref().is_none_or(|w| w == object)
    }

    fn whole_cluster(&self) -> bool {
        self.namespace.is_none() && self.workload.is_none()
    }
}

/// The answer.
pub fn document(snapshot: &Snapshot, tariff: &Tariff, question: &Question) -> Document {
    let charges = charges(snapshot, tariff, question.basis);
    let machines = nodes(snapshot, tariff, &charges);
    let about = |pod: &Pod| question.about(&pod.owner);
    let rows = rows(snapshot, &charges, &|pod| about(pod).then(|| question.by.key(pod)).flatten());
    let seen = snapshot.shows_room();
    let idle: Option<Money> = machines.iter().map(|n| n.idle).sum::<Option<Money>>().filter(|_| seen);
    let all: Money = charges.iter().flatten().filter(|c| !c.billed).map(|c| c.allocated).sum();
    let volumes = Volumes::of(snapshot, tariff, question);
    let mut document = Document::new();
    document.basis = match question.basis {
        Basis::Requests => "requests",
        Basis::Usage => "usage",
        Basis::OpenCost => "opencost",
    }
    .to_owned();
    document.usage = question.usage.clone();
    document.scope = doc::Scope {
        namespace: question.namespace.clone(),
        workload: question.workload.as_ref().map(Object::to_string),
        by: question.by.name(),
    };
    let named: BTreeMap<&Object, &Workload> = snapshot.workloads.iter().map(|w| (&w.object, w)).collect();
    let mut items: Vec<Item> = rows
        .iter()
        .map(|row| {
            let mut item = item(row, named.get(&row.object).copied());
            item.idle_share =
                row.allocated.zip(idle).map(|(_, idle)| share(row.on_machines, all, idle).total().micros());
            volumes.add_to(&mut item, &row.object);
            item
        })
        .collect();
    if question.by == By::Workload {
        // What has no pods costs nothing now; its volumes and its autoscaler's range still say something.
        let seen: BTreeSet<&Object> = rows.iter().map(|r| &r.object).collect();
        for workload in
            snapshot.workloads.iter().filter(|w| question.about(&w.object) && !seen.contains(&w.object))
        {
            let empty = Row {
                object: workload.object.clone(),
                reserved: Some(Money::default()),
                allocated: Some(Money::default()),
                ..Row::default()
            };
            let mut item = item(&empty, Some(workload));
            volumes.add_to(&mut item, &workload.object);
            items.push(item);
        }
    }
    let order =
        |item: &Item| item.allocated.unwrap_or(f64::MAX) + item.pv.unwrap_or(0.0) + item.lb.unwrap_or(0.0);
    items.sort_by(|a, b| order(b).total_cmp(&order(a)).then_with(|| a.name.cmp(&b.name)));
    document.totals = totals(&items, &rows, &volumes, idle, all);
    if question.whole_cluster() {
        let price = machines.iter().map(|n| n.price).sum::<Option<Monthly>>();
        whole_cluster(&mut document, tariff, price.filter(|_| !snapshot.no_nodes));
        document.nodes = machines.iter().map(|n| node(snapshot, n)).collect();
    }
    document.items = items;
    document.idle = idle.map(|idle| idle_doc(idle, &machines));
    document.at_max = if seen { at_max(snapshot, tariff, question) } else { None };
    document.loose_ends = loose_ends(snapshot, tariff, question);
    provenance(&mut document, snapshot, tariff);
    document
}

fn item(row: &Row, workload: Option<&Workload>) -> Item {
    let count = row.pods - row.pending;
    let now = row.reserved.map(Money::total);
    let each = now.filter(|_| count > 0).map(|sum| sum * (1.0 / count as f64));
    let range = workload.and_then(|w| w.range);
    let times = |n: i64| each.map(|one| one * n as f64);
    let efficiency = row.efficiency.unwrap_or_default();
    Item {
        kind: row.object.kind.clone(),
        namespace: row.object.namespace.clone(),
        name: row.object.name.clone(),
        replicas: Replicas {
            min: range.map_or(row.pods, |r| r.min),
            now: row.pods,
            max: range.map_or(row.pods, |r| r.max),
        },
        per_pod: workload.filter(|_| count > 0).map(|_| PerPod {
            cpu_cores: round6(row.size.cpu.cores() / row.pods as f64),
            mem_gib: round6(row.size.memory.gib() / row.pods as f64),
            month: micros(each),
        }),
        cpu_cores: row.size.cpu.cores(),
        mem_gib: round6(row.size.memory.gib()),
        gpus: row.size.gpus,
        cpu_used: row.used.map(|u| u.cpu.cores()),
        mem_used: row.used.map(|u| round6(u.memory.gib())),
        reserved: Span {
            min: micros(range.map_or(now, |r| times(r.min))),
            now: micros(now),
            max: micros(range.map_or(now, |r| times(r.max))),
        },
        allocated: micros(row.allocated.map(Money::total)),
        cpu: micros(row.allocated.map(|m| m.cpu)),
        mem: micros(row.allocated.map(|m| m.memory)),
        gpu: micros(row.allocated.map(|m| m.gpu)),
        waste: micros(row.waste.map(Money::total)),
        efficiency: efficiency.total.map(round6),
        efficiency_cpu: efficiency.cpu.map(round6),
        efficiency_mem: efficiency.memory.map(round6),
        pending: row.pending,
        ..Item::default()
    }
}

fn totals(items: &[Item], rows: &[Row], volumes: &Volumes, idle: Option<Money>, all: Money) -> Totals {
    let sum = |of: fn(&Item) -> Option<f64>| items.iter().map(of).sum::<Option<f64>>().map(round6);
    let measured: Vec<f64> = items.iter().filter_map(|i| i.waste).collect();
    let allocated: Option<Money> = rows.iter().map(|r| r.allocated).sum();
    let on_machines: Money = rows.iter().map(|r| r.on_machines).sum();
    Totals {
        reserved: Span {
            min: sum(|i| i.reserved.min),
            now: micros(rows.iter().map(|r| r.reserved.map(Money::total)).sum()),
            max: sum(|i| i.reserved.max),
        },
        allocated: micros(allocated.map(Money::total)),
        idle_share: micros(allocated.zip(idle).map(|(_, idle)| share(on_machines, all, idle).total())),
        pv: micros(volumes.all),
        lb: micros(volumes.balancers),
        waste: (!measured.is_empty()).then(|| round6(measured.iter().sum())),
        billed_by_pod: rows.iter().map(|r| r.billed).sum::<Monthly>().micros(),
        ..Totals::default()
    }
}

fn whole_cluster(document: &mut Document, tariff: &Tariff, price: Option<Monthly>) {
    let totals = &mut document.totals;
    totals.machines = micros(price);
    totals.control_plane = tariff.control_plane.map(|h| h.month().micros());
    let parts = [totals.machines, totals.pv, totals.lb];
    totals.cluster = parts
        .into_iter()
        .sum::<Option<f64>>()
        .map(|sum| round6(sum + totals.control_plane.unwrap_or(0.0) + totals.billed_by_pod));
}

fn idle_doc(idle: Money, machines: &[NodeRow]) -> Idle {
    let price: Monthly = machines.iter().filter_map(|n| n.price).sum();
    Idle {
        month: idle.total().micros(),
        percent: if price.0 > 0.0 { round6(idle.total().0 / price.0 * 100.0) } else { 0.0 },
        cpu: idle.cpu.micros(),
        mem: idle.memory.micros(),
        gpu: idle.gpu.micros(),
    }
}

fn node(snapshot: &Snapshot, row: &NodeRow) -> doc::Node {
    let node = &snapshot.nodes[row.node];
    doc::Node {
        name: node.machine.name.clone(),
        instance_type: node.machine.instance_type.clone(),
        month: micros(row.price),
        idle: micros(row.idle.map(Money::total)),
        cpu: Gauge {
            requested: row.requested.cpu.cores(),
            used: row.used.map(|u| u.cpu.cores()),
            allocatable: node.allocatable.cpu.cores(),
        },
        mem: Gauge {
            requested: round6(row.requested.memory.gib()),
            used: row.used.map(|u| round6(u.memory.gib())),
            allocatable: round6(node.allocatable.memory.gib()),
        },
    }
}

/// Every autoscaler of the scope at its most, all at once.
fn at_max(snapshot: &Snapshot, tariff: &Tariff, question: &Question) -> Option<doc::Change> {
    let scaled = snapshot.workloads.iter().filter(|w| question.about(&w.object));
    let workloads: Vec<Edit> = scaled
        .filter_map(|w| {
            let range = w.range.filter(|r| r.max > w.replicas)?;
            let state = |replicas| Some(State { replicas, shape: w.shape.clone(), range: None });
            let (before, after) = (state(w.replicas), state(range.max));
            Some(Edit { object: w.object.clone(), before, after, templates: Vec::new() })
        })
        .collect();
    let edits = Edits { workloads, ..Edits::default() };
    (!edits.workloads.is_empty()).then(|| doc::change(&delta(snapshot, tariff, &edits, At::Now), None))
}

/// Volumes and load balancers of the scope, and whose they are.
struct Volumes {
    all: Option<Monthly>,
    balancers: Option<Monthly>,
    pv: BTreeMap<Object, Option<Monthly>>,
    lb: BTreeMap<Object, Option<Monthly>>,
}

impl Volumes {
    fn of(snapshot: &Snapshot, tariff: &Tariff, question: &Question) -> Volumes {
        let mut sums = Volumes {
            all: Some(Monthly(0.0)),
            balancers: Some(Monthly(0.0)),
            pv: BTreeMap::new(),
            lb: BTreeMap::new(),
        };
        for claim in snapshot.claims.iter().filter(|c| question.holds(&c.object)) {
            let price = tariff.volume(&claim.class, claim.size);
            let pods = mounting(snapshot, claim);
            if question.workload.is_some() && !pods.iter().any(|p| question.about(&p.owner)) {
                continue;
            }
            sums.all = sums.all.zip(price).map(|(a, b)| a + b);
            split(&mut sums.pv, &pods, &question.by, price);
        }
        for balancer in snapshot.balancers.iter().filter(|b| question.holds(&b.object)) {
            let price = tariff.balancer();
            let pods = behind(snapshot, balancer);
            if question.workload.is_some() && !pods.iter().any(|p| question.about(&p.owner)) {
                continue;
            }
            sums.balancers = sums.balancers.zip(price).map(|(a, b)| a + b);
            split(&mut sums.lb, &pods, &question.by, price);
        }
        sums
    }

    fn add_to(&self, item: &mut Item, object: &Object) {
        let of = |map: &BTreeMap<Object, Option<Monthly>>| match map.get(object) {
            Some(price) => micros(*price),
            None => Some(0.0),
        };
        item.pv = of(&self.pv);
        item.lb = of(&self.lb);
    }
}

impl Question {
    /// Whether a claim or a Service is in the scope.
    fn holds(&self, object: &Object) -> bool {
        self.namespace.as_ref().is_none_or(|n| *n == object.namespace)
    }
}

fn mounting<'a>(snapshot: &'a Snapshot, claim: &Claim) -> Vec<&'a Pod> {
    let mounts =
        |p: &&Pod| p.namespace == claim.object.namespace && p.shape.claims.contains(&claim.object.name);
    snapshot.pods.iter().filter(mounts).collect()
}

fn behind<'a>(snapshot: &'a Snapshot, balancer: &Balancer) -> Vec<&'a Pod> {
    let selected = |p: &&Pod| {
        p.namespace == balancer.object.namespace
            && !balancer.selector.is_empty()
            && balancer.selector.iter().all(|(key, value)| p.labels.get(key) == Some(value))
    };
    snapshot.pods.iter().filter(selected).collect()
}

/// Gives a price to the rows of some pods, in equal parts.
fn split(rows: &mut BTreeMap<Object, Option<Monthly>>, pods: &[&Pod], by: &By, price: Option<Monthly>) {
    for pod in pods {
        if let Some(key) = by.key(pod) {
            let part = price.map(|p| p * (1.0 / pods.len() as f64));
            let sum = rows.entry(key).or_insert(Some(Monthly(0.0)));
            *sum = sum.zip(part).map(|(a, b)| a + b);
        }
    }
}

/// What costs and helps nobody, and what has no price because nobody said what it takes.
fn loose_ends(snapshot: &Snapshot, tariff: &Tariff, question: &Question) -> Vec<LooseEnd> {
    let mut ends = Vec::new();
    if question.workload.is_some() {
        return ends;
    }
    let mut add = |what: &str, object: &Object, says: String, month: Option<f64>| {
        ends.push(LooseEnd {
            what: what.to_owned(),
            object: object.to_string(),
            namespace: object.namespace.clone(),
            says,
            month,
        });
    };
    for claim in snapshot.claims.iter().filter(|c| question.holds(&c.object)) {
        let price = micros(tariff.volume(&claim.class, claim.size));
        let gib = format!("{:.0} GiB", claim.size.gib());
        if claim.object.kind == "PersistentVolume" {
            add("unclaimed", &claim.object, format!("{gib} that no claim has"), price);
        } else if mounting(snapshot, claim).is_empty() {
            add("unmounted", &claim.object, format!("{gib} that no pod mounts"), price);
        }
    }
    for balancer in snapshot.balancers.iter().filter(|b| question.holds(&b.object)) {
        if behind(snapshot, balancer).is_empty() {
            let price = micros(tariff.balancer());
            add("no-pods", &balancer.object, "a load balancer with no pod behind it".to_owned(), price);
        }
    }
    let mut open: BTreeMap<&Object, i64> = BTreeMap::new();
    for pod in snapshot.pods.iter().filter(|p| question.about(&p.owner) && p.shape.unset()) {
        *open.entry(&pod.owner).or_default() += 1;
    }
    for (object, count) in open {
        let pods = if count == 1 { "1 pod".to_owned() } else { format!("{count} pods") };
        add("no-requests", object, format!("{pods} without a CPU or memory request: no price"), None);
    }
    ends
}

/// Which prices were used, how old they are, and how much to trust the result.
pub fn provenance(document: &mut Document, snapshot: &Snapshot, tariff: &Tariff) {
    let mut nodes: Vec<doc::NodePrice> = Vec::new();
    let mut sources: BTreeMap<Source, usize> = BTreeMap::new();
    for (node, price) in snapshot.nodes.iter().zip(&tariff.nodes) {
        let hourly = price.as_ref().map(|p| round6(p.hourly.0));
        let none = || if by_pod(node, tariff) { BY_POD } else { "no price is known" }.to_owned();
        let matched = price.as_ref().map_or_else(none, |p| p.matched.clone());
        if let Some(price) = price {
            *sources.entry(price.source).or_default() += 1;
        }
        match nodes.iter_mut().find(|n| n.hourly == hourly && n.matched == matched) {
            Some(same) => same.count += 1,
            None => nodes.push(doc::NodePrice {
                name: node.machine.name.clone(),
                count: 1,
                hourly,
                matched,
                range: price
                    .as_ref()
                    .and_then(|p| p.range)
                    .map(|(low, high)| [round6(low.0), round6(high.0)]),
            }),
        }
    }
    let mut by_count: Vec<(Source, usize)> = sources.into_iter().collect();
    by_count.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let names: Vec<&str> = by_count.iter().map(|(source, _)| source.name()).collect();
    let said: Vec<&str> = by_count.iter().map(|(source, _)| source.says()).collect();
    let pods = snapshot.nodes.iter().any(|n| by_pod(n, tariff));
    let (source, says) = match pods {
        true => ("by_pod", "prices of single pods"),
        false => ("unknown", "no price of a node"),
    };
    document.prices = doc::Prices {
        source: if names.is_empty() { source.to_owned() } else { names.join(", ") },
        says: if said.is_empty() { says.to_owned() } else { said.join(", ") },
        as_of: tariff.nodes.iter().flatten().filter_map(|p| p.as_of).min().map(|d| d.to_string()),
        nodes,
        other: tariff.other.clone(),
    };
    document.warnings.extend(tariff.warnings.iter().cloned());
    document.warnings.extend(snapshot.missing.iter().cloned());
    (document.confidence, document.reasons) = confidence(document, snapshot, tariff);
}

/// What is said of a node whose pods have prices of their own.
const BY_POD: &str = "its pods are billed one by one";

fn by_pod(node: &Node, tariff: &Tariff) -> bool {
    match node.billing {
        Billing::Fargate => tariff.fargate.is_some(),
        Billing::Autopilot => tariff.autopilot.is_some(),
        Billing::Machine | Billing::Unknown => false,
    }
}

fn confidence(document: &Document, snapshot: &Snapshot, tariff: &Tariff) -> (doc::Confidence, Vec<String>) {
    let mut reasons = Vec::new();
    let prices = &tariff.nodes;
    let any = |source: Source| prices.iter().flatten().any(|p| p.source == source);
    if prices.is_empty() || any(Source::Generic) {
        reasons.push("no cloud price for these nodes".to_owned());
    }
    if any(Source::OtherRegion) {
        reasons.push("the price is that of another region".to_owned());
    }
    if any(Source::Family) {
        reasons.push("the price is worked out from other types of the family".to_owned());
    }
    if prices.iter().flatten().any(|p| p.range.is_some()) {
        reasons.push("spot prices are a range".to_owned());
    }
    if snapshot.nodes.iter().zip(prices).any(|(n, price)| price.is_none() && !by_pod(n, tariff)) {
        reasons.push("some nodes have no known price".to_owned());
    }
    if document.basis != "requests" && document.window.is_none() {
        reasons.push("usage is one moment".to_owned());
    }
    let confidence = match (reasons.is_empty(), &document.window) {
        (false, _) => doc::Confidence::Low,
        (true, Some(_)) => doc::Confidence::High,
        (true, None) => doc::Confidence::Medium,
    };
    (confidence, reasons)
}

/// What nobody has a charge for: pods on nodes of unknown price.
pub fn unpriced(charges: &[Option<Charge>]) -> usize {
    charges.iter().filter(|c| c.is_none()).count()
}
