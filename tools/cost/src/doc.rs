//! `kai.cost/v1`: what machines read, and what every other face is made from. Money in US dollars a month of 730 hours,
//! with six decimals; `null` is not known, and never means 0.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::delta::{Delta, Fit, Row as DeltaRow};
use crate::tariff::Money;
use crate::units::{HOURS_PER_MONTH, Monthly};

/// The name and version of the document.
pub const SCHEMA: &str = "kai.cost/v1";
/// What no figure here holds.
pub const NOT_COUNTED: [&str; 8] = [
    "traffic (egress, between zones, of load balancers)",
    "disk operations and snapshots",
    "disks of the nodes themselves",
    "logs and metrics stores",
    "discounts and commitments",
    "support",
    "tax",
    "licences",
];

/// What something costs, or what a change to it will cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    /// `kai.cost/v1`.
    pub schema: String,
    /// Always `USD`.
    pub currency: String,
    /// 730.
    pub hours_per_month: f64,
    /// Which prices were used.
    pub prices: Prices,
    /// `requests`, `usage` (the larger of both) or `opencost`.
    pub basis: String,
    /// Where usage is from, in words; null when nobody measures.
    pub usage: Option<String>,
    /// The time that history covers, such as `14d`; null without history.
    pub window: Option<String>,
    /// How much to trust the figures.
    pub confidence: Confidence,
    /// Why not more.
    pub reasons: Vec<String>,
    /// What was asked about.
    pub scope: Scope,
    /// What is in no figure.
    pub not_counted: Vec<String>,
    /// Row by row.
    pub items: Vec<Item>,
    /// All rows together.
    pub totals: Totals,
    /// What of the machines nobody has; of the whole cluster.
    pub idle: Option<Idle>,
    /// Machine by machine, where the whole cluster was asked about.
    pub nodes: Vec<Node>,
    /// Every autoscaler of the scope at its most, as a change from now.
    pub at_max: Option<Change>,
    /// What the change costs that was asked about.
    pub delta: Option<Change>,
    /// What could be smaller.
    pub recommendations: Vec<Recommendation>,
    /// What else costs something and helps nobody: unmounted claims, load balancers without pods, pods without requests.
    pub loose_ends: Vec<LooseEnd>,
    /// What to know before believing a figure.
    pub warnings: Vec<String>,
    /// The answer in sentences, made from the figures above.
    pub say: Vec<String>,
}

/// The prices that were used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prices {
    /// The sources, the one of most nodes first, such as `embedded:exact`.
    pub source: String,
    /// The same in words.
    pub says: String,
    /// The day of the oldest price that was used.
    pub as_of: Option<String>,
    /// By node; nodes of the same price are one line.
    pub nodes: Vec<NodePrice>,
    /// Of volumes, load balancers and the control plane: what matched.
    pub other: Vec<String>,
}

/// The price of nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodePrice {
    /// The first of them.
    pub name: String,
    /// How many have that price.
    pub count: usize,
    /// US dollars an hour; null when it is not known.
    pub hourly: Option<f64>,
    /// What matched, and where from.
    pub matched: String,
    /// The lowest and the highest it may be (spot).
    pub range: Option<[f64; 2]>,
}

/// How much to trust figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// Prices are approximated, or usage is one moment.
    #[default]
    Low,
    /// Exact prices, requests alone.
    Medium,
    /// Exact prices, and at least a week of history.
    High,
}

/// What was asked about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scope {
    /// A namespace; null for all.
    pub namespace: Option<String>,
    /// `kind/name`.
    pub workload: Option<String>,
    /// What a row is: `workload`, `namespace`, `node`, `pod` or `label:<key>`.
    pub by: String,
}

/// How many pods there are at the least, now and at the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replicas {
    /// The autoscaler's least.
    pub min: i64,
    /// Now.
    pub now: i64,
    /// The autoscaler's most.
    pub max: i64,
}

/// The same for money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Span {
    /// At the least.
    pub min: Option<f64>,
    /// Now.
    pub now: Option<f64>,
    /// At the most.
    pub max: Option<f64>,
}

/// What one pod takes and costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PerPod {
    /// Cores requested.
    pub cpu_cores: f64,
    /// GiB requested.
    pub mem_gib: f64,
    /// Dollars a month.
    pub month: Option<f64>,
}

/// A row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Item {
    /// `Deployment`, `Namespace`, `Node` ...
    pub kind: String,
    /// Empty where it has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Pods.
    pub replicas: Replicas,
    /// One of its pods, where all are alike.
    pub per_pod: Option<PerPod>,
    /// Cores that its pods request.
    pub cpu_cores: f64,
    /// GiB that its pods request.
    pub mem_gib: f64,
    /// GPUs that its pods request.
    pub gpus: i64,
    /// Cores that they use.
    pub cpu_used: Option<f64>,
    /// GiB that they use.
    pub mem_used: Option<f64>,
    /// The price share of what they request.
    pub reserved: Span,
    /// The same by the basis that was asked for.
    pub allocated: Option<f64>,
    /// For CPU, of `allocated`.
    pub cpu: Option<f64>,
    /// For memory, of `allocated`.
    pub mem: Option<f64>,
    /// For GPUs, of `allocated`.
    pub gpu: Option<f64>,
    /// Its volumes.
    pub pv: Option<f64>,
    /// Its load balancers.
    pub lb: Option<f64>,
    /// Requested and not used.
    pub waste: Option<f64>,
    /// Used of requested, by what it costs; 1 is all.
    pub efficiency: Option<f64>,
    /// The same for CPU.
    pub efficiency_cpu: Option<f64>,
    /// The same for memory.
    pub efficiency_mem: Option<f64>,
    /// Its part of what is idle.
    pub idle_share: Option<f64>,
    /// Pods that wait for a node: they cost nothing yet.
    pub pending: i64,
}

/// Rows added up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// What is requested.
    pub reserved: Span,
    /// By the basis that was asked for.
    pub allocated: Option<f64>,
    /// Their part of what is idle.
    pub idle_share: Option<f64>,
    /// Volumes.
    pub pv: Option<f64>,
    /// Load balancers.
    pub lb: Option<f64>,
    /// Requested and not used.
    pub waste: Option<f64>,
    /// Control plane, where the whole cluster was asked about and the provider charges one.
    pub control_plane: Option<f64>,
    /// All machines, where the whole cluster was asked about.
    pub machines: Option<f64>,
    /// What is billed pod by pod.
    pub billed_by_pod: f64,
    /// The whole cluster's month, where that was asked about.
    pub cluster: Option<f64>,
}

/// What nobody has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Idle {
    /// Dollars a month; below 0 where more is used than there is.
    pub month: f64,
    /// Of what all machines cost.
    pub percent: f64,
    /// CPU's part.
    pub cpu: f64,
    /// Memory's part.
    pub mem: f64,
    /// GPUs' part.
    pub gpu: f64,
}

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its instance type.
    pub instance_type: Option<String>,
    /// Dollars a month.
    pub month: Option<f64>,
    /// What of it nobody has.
    pub idle: Option<f64>,
    /// Cores: requested, used, allocatable.
    pub cpu: Gauge,
    /// GiB: requested, used, allocatable.
    pub mem: Gauge,
}

/// Requested, used and allocatable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Gauge {
    /// By all its pods.
    pub requested: f64,
    /// By all its pods, where measured.
    pub used: Option<f64>,
    /// For pods.
    pub allocatable: f64,
}

/// What a change costs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Reserved after, less reserved before.
    pub reserved: Option<f64>,
    /// Reserved before.
    pub before: Option<f64>,
    /// Reserved after.
    pub after: Option<f64>,
    /// Of before; null when that was nothing.
    pub percent: Option<f64>,
    /// What the invoice changes by.
    pub bill: Bill,
    /// Of both: volumes.
    pub pv: Option<f64>,
    /// Of both: load balancers.
    pub lb: Option<f64>,
    /// What adds and removes nodes: `karpenter`, `cluster-autoscaler`, `possible` (a managed pool); null for nothing.
    pub autoscaler: Option<String>,
    /// Whether it fits.
    pub fit: FitDoc,
    /// Workload by workload.
    pub items: Vec<ChangeItem>,
    /// The same with every changed autoscaler at its least and at its most.
    pub range: Option<RangeDoc>,
    /// What has no known price.
    pub unpriced: Vec<String>,
}

/// What the invoice changes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bill {
    /// While nodes stay as they are.
    pub now: Option<f64>,
    /// Where nodes come and go by themselves.
    pub with_autoscaler: Option<f64>,
}

/// A workload of a change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeItem {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Pods before and after.
    pub replicas: [i64; 2],
    /// Reserved before and after.
    pub reserved: [Option<f64>; 2],
    /// CPU's part of the difference.
    pub cpu: Option<f64>,
    /// Memory's part of the difference.
    pub mem: Option<f64>,
}

/// The change with autoscalers at their ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RangeDoc {
    /// Reserved after the change, at the least.
    pub min: Option<f64>,
    /// Reserved after the change, at the most.
    pub max: Option<f64>,
    /// Bill at the most.
    pub bill_at_max: Bill,
    /// Pods that would stay Pending at the most.
    pub pending_at_max: i64,
}

/// Whether a change fits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FitDoc {
    /// New pods with a place.
    pub placed: i64,
    /// New pods without.
    pub pending: i64,
    /// Nodes that an autoscaler would add.
    pub nodes_added: i64,
    /// Nodes that it could take away.
    pub nodes_removable: i64,
    /// What runs out first.
    pub binding: Option<String>,
    /// Cores requested after the change.
    pub cpu_requested: f64,
    /// Cores allocatable.
    pub cpu_allocatable: f64,
    /// GiB requested after the change.
    pub mem_requested: f64,
    /// GiB allocatable.
    pub mem_allocatable: f64,
    /// What the pods use that is not modelled.
    pub unmodelled: Vec<String>,
}

/// Something that could be smaller, as a change that can be previewed at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recommendation {
    /// Its place in the list; `kai cost --fix <n>` previews it.
    pub number: usize,
    /// `kind/name`.
    pub object: String,
    /// Its namespace.
    pub namespace: String,
    /// What it would be.
    pub says: String,
    /// Reserved less by so much.
    pub saves: Option<f64>,
    /// What the bill becomes less by while nodes stay as they are.
    pub bill: Option<f64>,
    /// How bad it is as it stands: `critical`, `warning`, `ok`, `good`.
    pub severity: String,
    /// What to know.
    pub notes: Vec<String>,
    /// The tool and its arguments.
    pub tool: Option<String>,
    /// The tool's arguments.
    pub arguments: serde_json::Value,
}

/// Something that costs and helps nobody.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LooseEnd {
    /// `unmounted`, `unclaimed`, `no-pods`, `no-requests`.
    pub what: String,
    /// `kind/name`.
    pub object: String,
    /// Its namespace.
    pub namespace: String,
    /// In words.
    pub says: String,
    /// Dollars a month; null when that is not known or does not apply.
    pub month: Option<f64>,
}

impl Document {
    /// A document with nothing in it yet.
    pub fn new() -> Document {
        Document {
            schema: SCHEMA.to_owned(),
            currency: "USD".to_owned(),
            hours_per_month: HOURS_PER_MONTH,
            basis: "requests".to_owned(),
            not_counted: NOT_COUNTED.iter().map(|s| (*s).to_owned()).collect(),
            ..Document::default()
        }
    }
}

/// Money as JSON carries it.
pub fn micros(money: Option<Monthly>) -> Option<f64> {
    money.map(Monthly::micros)
}

/// A change as JSON carries it.
pub fn change(delta: &Delta, ends: Option<(&Delta, &Delta)>) -> Change {
    let reserved = delta.reserved;
    let percent =
        reserved.and_then(|(old, new)| (old.0 > 0.0).then(|| round2((new.0 - old.0) / old.0 * 100.0)));
    let bill = |d: &Delta| Bill { now: micros(d.bill), with_autoscaler: micros(d.bill_with_autoscaler) };
    Change {
        reserved: micros(reserved.map(|(old, new)| new - old)),
        before: micros(reserved.map(|r| r.0)),
        after: micros(reserved.map(|r| r.1)),
        percent,
        bill: bill(delta),
        pv: micros(delta.volumes),
        lb: micros(delta.balancers),
        autoscaler: delta.autoscaler.name(),
        fit: fit(&delta.fit),
        items: delta.rows.iter().map(item).collect(),
        range: ends.map(|(least, most)| RangeDoc {
            min: micros(least.reserved.map(|r| r.1)),
            max: micros(most.reserved.map(|r| r.1)),
            bill_at_max: bill(most),
            pending_at_max: most.fit.pending,
        }),
        unpriced: delta.unpriced.clone(),
    }
}

fn item(row: &DeltaRow) -> ChangeItem {
    let part =
        |of: fn(Money) -> Monthly| micros(row.before.zip(row.after).map(|(old, new)| of(new) - of(old)));
    ChangeItem {
        kind: row.object.kind.clone(),
        namespace: row.object.namespace.clone(),
        name: row.object.name.clone(),
        replicas: [row.replicas.0, row.replicas.1],
        reserved: [micros(row.before.map(Money::total)), micros(row.after.map(Money::total))],
        cpu: part(|m| m.cpu),
        mem: part(|m| m.memory),
    }
}

fn fit(fit: &Fit) -> FitDoc {
    FitDoc {
        placed: fit.placed,
        pending: fit.pending,
        nodes_added: fit.nodes_added,
        nodes_removable: fit.nodes_removable,
        binding: fit.binding.map(str::to_owned),
        cpu_requested: fit.requested.cpu.cores(),
        cpu_allocatable: fit.allocatable.cpu.cores(),
        mem_requested: round6(fit.requested.memory.gib()),
        mem_allocatable: round6(fit.allocatable.memory.gib()),
        unmodelled: fit.unmodelled.iter().map(|s| (*s).to_owned()).collect(),
    }
}

fn round2(x: f64) -> f64 {
    (x * 100.0).round() / 100.0 + 0.0
}

/// Rounded to six decimals.
pub fn round6(x: f64) -> f64 {
    (x * 1e6).round() / 1e6 + 0.0
}
