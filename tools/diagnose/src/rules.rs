//! All rules, by what they explain. A rule gives the findings that explain a symptom, or nothing.

use crate::engine::{Engine, Roots};
use crate::finding::Cause;
use crate::index::Workload;
use crate::model::{Container, ContainerStatus, Node, Pod};

pub mod access;
pub mod admission;
pub mod api;
pub mod autoscale;
pub mod budgets;
pub mod config;
pub mod crash;
pub mod dns;
pub mod evict;
pub mod gateway;
pub mod hygiene;
pub mod image;
pub mod ingress;
pub mod jobs;
pub mod lifecycle;
pub mod nodes;
pub mod policy;
pub mod probes;
pub mod pull;
pub mod risks;
pub mod schedule;
pub mod services;
pub mod similar;
pub mod soft;
pub mod start;
pub mod storage;
pub mod unexplained;
pub mod wait;
pub mod workloads;

/// A container that may be in trouble.
pub struct Case<'a> {
    pub pod: &'a Pod,
    pub container: &'a Container,
    pub status: &'a ContainerStatus,
    pub is_init: bool,
}

type PodRule = for<'a> fn(&mut Engine<'a>, &'a Pod) -> Roots;
type ContainerRule = for<'a> fn(&mut Engine<'a>, &Case<'a>) -> Roots;
type WorkloadRule = for<'a> fn(&mut Engine<'a>, &'a Workload<'a>) -> Roots;
type NodeRule = for<'a> fn(&mut Engine<'a>, &'a Node) -> Roots;
type Scan = fn(&mut Engine<'_>);

/// What explains a whole pod, in the order in which a pod comes to life: the first that does is right.
///
/// A revision that was given up comes before what is wrong with its pods; a lost node before what its pods said last; a
/// claim that cannot be bound before the scheduler, for no node mends it.
pub const POD: &[PodRule] = &[
    workloads::stateful::trapped,
    nodes::pod,
    lifecycle::pod,
    storage::claims,
    schedule::pod,
    schedule::rejected,
    schedule::on_lost_node,
    start::refused,
    config::volumes,
    start::volumes,
    storage::mount::mounts,
    nodes::network::sandbox,
    evict::pod,
    probes::gates,
];

/// What explains one container: the first that does is right. What its kubelet says comes before what its log says.
pub const CONTAINER: &[ContainerRule] = &[
    pull::container,
    config::container,
    dns::corefile,
    crash::killed,
    storage::use_up::full,
    probes::container,
    start::container,
    dns::client,
    policy::container,
    dns::server,
    dns::agent,
    crash::container,
    wait::container,
];

/// What explains a workload beside its pods: all that do.
pub const WORKLOAD: &[WorkloadRule] = &[
    admission::rejected::workload,
    workloads::control::untended,
    workloads::stateful::nameless,
    jobs::job,
    evict::repeated,
    schedule::bogus_node,
];

/// What explains that a node cannot run pods: the first that does is right.
pub const NODE: &[NodeRule] = &[
    nodes::health::certificate,
    nodes::health::silent,
    nodes::network::range,
    nodes::network::plugin,
    nodes::health::unready,
    nodes::room::pressure,
];

/// What is looked through from its first object to its last. What others depend on comes first.
pub const SCANS: &[Scan] = &[
    nodes::scan,
    schedule::scan,
    crate::walk::workloads,
    storage::scan,
    admission::webhook::scan,
    jobs::scan,
    dns::scan,
    services::scan,
    api::scan,
    autoscale::scan,
    budgets::scan,
    workloads::scan,
    lifecycle::scan,
    ingress::scan,
    gateway::scan,
    policy::scan,
    risks::scan,
    hygiene::scan,
];

/// The catalogue, family by family.
pub const FAMILIES: &[&[Cause]] = &[
    pull::CAUSES,
    config::CAUSES,
    start::CAUSES,
    crash::CAUSES,
    probes::CAUSES,
    evict::CAUSES,
    wait::CAUSES,
    soft::CAUSES,
    access::CAUSES,
    jobs::CAUSES,
    schedule::CAUSES,
    admission::limits::CAUSES,
    admission::names::CAUSES,
    admission::policy::CAUSES,
    admission::psa::CAUSES,
    admission::quota::CAUSES,
    admission::webhook::CAUSES,
    api::CAUSES,
    workloads::CAUSES,
    autoscale::CAUSES,
    budgets::CAUSES,
    services::CAUSES,
    ingress::CAUSES,
    gateway::CAUSES,
    policy::CAUSES,
    dns::CAUSES,
    storage::CAUSES,
    storage::binding::CAUSES,
    storage::provision::CAUSES,
    storage::mount::CAUSES,
    storage::use_up::CAUSES,
    nodes::health::CAUSES,
    nodes::network::CAUSES,
    nodes::room::CAUSES,
    nodes::version::CAUSES,
    lifecycle::CAUSES,
    lifecycle::certificate::CAUSES,
    lifecycle::namespace::CAUSES,
    risks::CAUSES,
    hygiene::CAUSES,
    unexplained::CAUSES,
];

/// All causes.
pub fn causes() -> impl Iterator<Item = &'static Cause> {
    FAMILIES.iter().copied().flatten()
}
