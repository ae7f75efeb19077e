//! All rules, by what they explain. A rule gives the findings that explain a symptom, or nothing.

use crate::engine::{Engine, Roots};
use crate::finding::Cause;
use crate::index::Workload;
use crate::model::{Container, ContainerStatus, Pod};

pub mod admission;
pub mod api;
pub mod autoscale;
pub mod budgets;
pub mod config;
pub mod services;
pub mod similar;
pub mod unexplained;
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
type Scan = fn(&mut Engine<'_>);

/// What explains a whole pod, in the order in which a pod comes to life: the first that does is right.
pub const POD: &[PodRule] = &[workloads::stateful::trapped, config::volumes];

/// What explains one container: the first that does is right.
pub const CONTAINER: &[ContainerRule] = &[config::container];

/// What explains a workload beside its pods: all that do.
pub const WORKLOAD: &[WorkloadRule] = &[admission::rejected::workload, workloads::control::untended, workloads::stateful::nameless];

/// What is looked through from its first object to its last. What others depend on comes first.
pub const SCANS: &[Scan] = &[crate::walk::workloads, admission::webhook::scan, services::scan, api::scan, autoscale::scan, budgets::scan, workloads::scan];

/// The catalogue, family by family.
pub const FAMILIES: &[&[Cause]] = &[
    admission::limits::CAUSES,
    admission::names::CAUSES,
    admission::policy::CAUSES,
    admission::psa::CAUSES,
    admission::quota::CAUSES,
    admission::webhook::CAUSES,
    api::CAUSES,
    autoscale::CAUSES,
    budgets::CAUSES,
    config::CAUSES,
    services::CAUSES,
    unexplained::CAUSES,
    workloads::CAUSES,
];

/// All causes.
pub fn causes() -> impl Iterator<Item = &'static Cause> {
    FAMILIES.iter().copied().flatten()
}
