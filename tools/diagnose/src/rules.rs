//! All rules, by what they explain. A rule gives the findings that explain a symptom, or nothing.

use crate::engine::{Engine, Roots};
use crate::finding::Cause;
use crate::index::Workload;
use crate::model::{Container, ContainerStatus, Node, Pod};

pub mod config;
pub mod hygiene;
pub mod lifecycle;
pub mod nodes;
pub mod risks;
pub mod services;
pub mod similar;
pub mod storage;
pub mod unexplained;

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
pub const POD: &[PodRule] = &[nodes::pod, lifecycle::pod, storage::claims, config::volumes, storage::mount::mounts, nodes::network::sandbox];

/// What explains one container: the first that does is right.
pub const CONTAINER: &[ContainerRule] = &[config::container, storage::use_up::full];

/// What explains a workload beside its pods: all that do.
pub const WORKLOAD: &[WorkloadRule] = &[];

/// What explains that a node cannot run pods: the first that does is right.
pub const NODE: &[NodeRule] =
    &[nodes::health::certificate, nodes::health::silent, nodes::network::range, nodes::network::plugin, nodes::health::unready, nodes::room::pressure];

/// What is looked through from its first object to its last. What others depend on comes first.
pub const SCANS: &[Scan] = &[nodes::scan, crate::walk::workloads, storage::scan, services::scan, lifecycle::scan, risks::scan, hygiene::scan];

/// The catalogue, family by family.
pub const FAMILIES: &[&[Cause]] = &[
    config::CAUSES,
    services::CAUSES,
    hygiene::CAUSES,
    lifecycle::CAUSES,
    lifecycle::certificate::CAUSES,
    lifecycle::namespace::CAUSES,
    nodes::health::CAUSES,
    nodes::network::CAUSES,
    nodes::room::CAUSES,
    nodes::version::CAUSES,
    risks::CAUSES,
    storage::CAUSES,
    storage::binding::CAUSES,
    storage::provision::CAUSES,
    storage::mount::CAUSES,
    storage::use_up::CAUSES,
    unexplained::CAUSES,
];

/// All causes.
pub fn causes() -> impl Iterator<Item = &'static Cause> {
    FAMILIES.iter().copied().flatten()
}
